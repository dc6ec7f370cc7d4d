//! The origin's name space.
//!
//! | path | what |
//! |---|---|
//! | `/{show}/master.m3u8` | multivariant playlist |
//! | `/{show}/{rendition}/playlist.m3u8` | media playlist |
//! | `/{show}/{rendition}/init.mp4` | init segment |
//! | `/{show}/{rendition}/seg-000123.m4s` | segment by media sequence number |
//! | `/keys/k1` | the key of the encrypted show |

use crate::media::{RENDITIONS, Rendition};

/// One way of presenting the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A sliding window that loops for ever.
    Live,
    /// The loop repeated up to a length, then ended.
    Vod,
    /// Live, encrypted with AES-128, every URL with a token.
    Secure,
}

impl Show {
    /// Its folder in URLs.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Vod => "vod",
            Self::Secure => "secure",
        }
    }
}

/// What kind of traffic a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Segments and init segments.
    Media,
    /// Playlists.
    Manifest,
    /// Decryption keys.
    Key,
}

/// Something that the origin can serve.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    Master(Show),
    Playlist(Show),
    Init(Show, Rendition),
    Segment(Show, Rendition, u64),
    Key,
}

impl Resource {
    /// The resource at `path`, which is without scheme, host and query.
    pub(crate) fn at_path(path: &str) -> Option<Self> {
        if path == KEY_PATH {
            return Some(Self::Key);
        }
        let (folder, rest) = path.strip_prefix('/')?.split_once('/')?;
        let show = [Show::Live, Show::Vod, Show::Secure]
            .into_iter()
            .find(|show| show.folder() == folder)?;
        if rest == "master.m3u8" {
            return Some(Self::Master(show));
        }
        let (name, file) = rest.split_once('/')?;
        let rendition = RENDITIONS.into_iter().find(|one| one.name == name)?;
        match file {
            "playlist.m3u8" => Some(Self::Playlist(show)),
            "init.mp4" => Some(Self::Init(show, rendition)),
            _ => {
                let digits = file.strip_prefix("seg-")?.strip_suffix(".m4s")?;
                let sequence = digits.parse().ok()?;
                // One name per segment: no sign, no other number of zeros.
                (file == segment_file(sequence)).then_some(Self::Segment(show, rendition, sequence))
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Master(_) | Self::Playlist(_) => Kind::Manifest,
            Self::Init(..) | Self::Segment(..) => Kind::Media,
            Self::Key => Kind::Key,
        }
    }

    pub(crate) fn needs_token(&self) -> bool {
        match self {
            Self::Master(show)
            | Self::Playlist(show)
            | Self::Init(show, _)
            | Self::Segment(show, ..) => *show == Show::Secure,
            Self::Key => true,
        }
    }
}

/// The file name of the segment numbered `sequence`.
pub(super) fn segment_file(sequence: u64) -> String {
    format!("seg-{sequence:06}.m4s")
}

/// Where the encrypted show's key is.
pub(super) const KEY_PATH: &str = "/keys/k1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_one_name() {
        assert!(matches!(
            Resource::at_path("/live/top/seg-000123.m4s"),
            Some(Resource::Segment(Show::Live, rendition, 123)) if rendition.name == "top"
        ));
        assert!(matches!(
            Resource::at_path("/vod/low/seg-1234567.m4s"),
            Some(Resource::Segment(Show::Vod, _, 1_234_567))
        ));
        for path in [
            "/live/top/seg-123.m4s",
            "/live/top/seg-+00123.m4s",
            "/live/top/seg-99999999999999999999999.m4s",
            "/live/best/init.mp4",
            "/live",
            "live/master.m3u8",
            "/live/../vod/master.m3u8",
            "",
        ] {
            assert!(Resource::at_path(path).is_none(), "{path}");
        }
    }

    #[test]
    fn only_the_encrypted_show_asks_for_a_token() {
        let needs = |path| Resource::at_path(path).unwrap().needs_token();
        assert!(needs("/secure/master.m3u8"));
        assert!(needs("/secure/top/init.mp4"));
        assert!(needs("/keys/k1"));
        assert!(!needs("/live/top/seg-000001.m4s"));
    }
}
