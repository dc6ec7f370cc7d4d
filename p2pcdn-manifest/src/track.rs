//! Tracks: what a player can choose from.

use std::sync::Arc;

use p2pcdn_wire::{BitRate, TrackId};

use crate::playlist::Playlist;

/// One sequence of segments that is fetched as such: an HLS media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name, the same for every viewer.
    pub id: TrackId,
    /// What it carries.
    pub kind: TrackKind,
    /// Where its media playlist is: absolute, with the viewer's own query.
    pub url: Arc<str>,
    /// Peak bandwidth the manifest declares; `None` for renditions.
    pub bandwidth: Option<BitRate>,
    /// Codecs as the manifest writes them (RFC 6381).
    pub codecs: Option<Arc<str>>,
    /// Picture size.
    pub resolution: Option<Resolution>,
    /// Language as the manifest writes it (RFC 5646).
    pub language: Option<Arc<str>>,
    /// Name for people.
    pub name: Option<Arc<str>>,
    /// The segments; `None` until loaded.
    pub playlist: Option<Arc<Playlist>>,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackKind {
    /// Video, alone or together with audio; also what cannot be told from the manifest.
    Video,
    /// Audio alone.
    Audio,
    /// Subtitles.
    Subtitles,
    /// Single pictures for fast seeking, usually byte ranges of a video track's resources.
    IFrames,
}

impl TrackKind {
    /// The word that stands for it in a track's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Subtitles => "subtitles",
            Self::IFrames => "iframes",
        }
    }
}

/// A picture size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolution {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}
