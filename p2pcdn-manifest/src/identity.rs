//! Names that viewers agree on without talking to each other.
//!
//! Every name is the BLAKE3 hash of a label and some fields, cut to the length of the id. Label and
//! fields are each preceded by their length as four bytes, big-endian.
//!
//! | name | label | fields |
//! |---|---|---|
//! | content | `p2pcdn/content/1` | tenant; `id` or `url`; the content id, or the canonical manifest URL |
//! | swarm | `p2pcdn/swarm/1` | content |
//! | track | `p2pcdn/track/1` | content; `hls`, `dash` or `progressive`; period (none: empty); kind; its key |
//! | segment | `p2pcdn/segment/1` | track; `media`, `part` or `init`; ordinal, 8 bytes (`part`: and index, 4 bytes; `init`: empty); path; range (`start` and `end`, 8 bytes each; none: empty) |
//!
//! The path of a segment is the part of its canonical URL below the directory of its manifest, or
//! all of it when it lies elsewhere. Segments named by path alone (`media by path`, `part by path`)
//! leave the ordinal empty, those named by ordinal alone (`media by ordinal`, `part by ordinal`) the
//! path. Dates, durations, discontinuities, keys and places in a list
//! are in no name, because they change while the bytes stay the same.

use std::sync::Arc;

use p2pcdn_wire::{ByteRange, ContentId, SegmentId, SwarmId, TrackId};

use crate::{canonical::Canonical, reference::look, resolve::Base, track::TrackKind};

/// What a publisher declares about names.
///
/// The default shares among viewers of the same manifest URL on the same host, and is safe for
/// any publisher; everything beyond is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Keeps apart contents of different publishers; all viewers of a content use the same.
    /// Default: empty.
    pub tenant: String,
    /// The publisher's own name for the content. `None` (the default): the manifest URL names it.
    pub content_id: Option<String>,
    /// Hosts that serve the same bytes under the same paths. Default: none.
    pub host_groups: Vec<HostGroup>,
    /// Query parameters that differ between viewers of the same bytes, beyond those that every
    /// CDN uses for tokens; in any case. Default: none.
    pub session_parameters: Vec<String>,
    /// Tokens inside paths. Default: none, because what looks like a token may choose the content.
    pub path_tokens: Vec<PathToken>,
    /// What tells the segments of a track apart. Default: [`Both`](IdentityMode::Both).
    pub mode: IdentityMode,
}

/// What tells the segments of a track apart in their names. Each of the two facts alone is wrong in
/// a common case; a byte range counts in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityMode {
    /// Ordinal and path.
    #[default]
    Both,
    /// The path alone: for packagers that number the same segments differently, such as after
    /// advertisements were inserted for one viewer. Wrong where file names are used again.
    PathOnly,
    /// The ordinal alone: for paths that differ between viewers in ways that cannot be declared as
    /// tokens. Wrong where numbering begins anew.
    OrdinalOnly,
}

impl IdentityConfig {
    /// The name of the content whose manifest is at `url`: the URL that the viewer was given, not
    /// the one it was redirected to.
    #[must_use]
    pub fn content(&self, url: &str) -> ContentId {
        let tenant = self.tenant.as_bytes();
        ContentId::new(match &self.content_id {
            Some(id) => hash(CONTENT, &[tenant, b"id", id.as_bytes()]),
            None => {
                let url = Canonical::new(url, self).to_string();
                hash(CONTENT, &[tenant, b"url", url.as_bytes()])
            }
        })
    }
}

/// Hosts that serve the same bytes under the same paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostGroup {
    /// Stands for the hosts in names; all viewers use the same.
    pub name: String,
    /// The hosts, with `:port` where it is not the default of the scheme; in any case.
    pub hosts: Vec<String>,
}

/// A kind of token inside paths, to be left out of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathToken {
    /// A part of the path like `hdntl=exp=...~hmac=...` (Akamai token authentication).
    Akamai,
    /// `_w` and digits inside file names (Wowza's session).
    Wowza,
    /// Each part of the path that begins like this. An empty prefix matches nothing.
    Prefix(String),
}

/// The rendezvous name of the viewers of a content.
#[must_use]
pub fn swarm_id(content: ContentId) -> SwarmId {
    SwarmId::new(hash("p2pcdn/swarm/1", &[content.as_bytes()]))
}

/// The name of a track of `content`, from the fields that tell it from the others of its period and
/// kind.
pub(crate) fn track_id(
    content: ContentId,
    protocol: &str,
    period: &str,
    kind: TrackKind,
    key: &[String],
) -> TrackId {
    let [protocol, period, kind] = [protocol, period, kind.as_str()].map(str::as_bytes);
    let mut fields: Vec<&[u8]> = vec![content.as_bytes(), protocol, period, kind];
    fields.extend(key.iter().map(String::as_bytes));
    TrackId::new(hash("p2pcdn/track/1", &fields))
}

/// Names the segments of one track, given references as its manifest writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentNamer {
    track: TrackId,
    /// What paths are relative to.
    manifest: Canonical,
    /// What references are relative to, had there been no redirection.
    base: Base,
    /// What stands before a plain reference in its path; `None` when that takes a closer look.
    plain_dir: Option<String>,
    config: Arc<IdentityConfig>,
}

impl SegmentNamer {
    /// For the track that is listed in the manifest at `url`, before redirection.
    pub(crate) fn new(track: TrackId, url: &str, base: Base, config: Arc<IdentityConfig>) -> Self {
        let manifest = Canonical::new(url, &config);
        let plain_dir = config.path_tokens.is_empty().then_some(()).and(base.dir());
        let plain_dir = plain_dir.map(|dir| Canonical::new(dir, &config).below(&manifest));
        Self {
            track,
            manifest,
            plain_dir,
            base,
            config,
        }
    }

    /// The same, with another mode.
    pub(crate) fn with_mode(&self, mode: IdentityMode) -> Self {
        let mut namer = self.clone();
        Arc::make_mut(&mut namer.config).mode = mode;
        namer
    }

    pub(crate) fn media(
        &self,
        reference: &str,
        ordinal: u64,
        range: Option<ByteRange>,
    ) -> SegmentId {
        let ordinal = ordinal.to_be_bytes();
        match self.config.mode {
            IdentityMode::Both => self.name(b"media", &ordinal, reference, range),
            IdentityMode::PathOnly => self.name(b"media by path", b"", reference, range),
            IdentityMode::OrdinalOnly => self.hash(b"media by ordinal", &ordinal, "", range),
        }
    }

    /// The name of part `index` of the segment with this ordinal.
    pub(crate) fn part(
        &self,
        reference: &str,
        (ordinal, index): (u64, u32),
        range: Option<ByteRange>,
    ) -> SegmentId {
        let place = [&ordinal.to_be_bytes()[..], &index.to_be_bytes()[..]].concat();
        match self.config.mode {
            IdentityMode::Both => self.name(b"part", &place, reference, range),
            IdentityMode::PathOnly => self.name(b"part by path", b"", reference, range),
            IdentityMode::OrdinalOnly => self.hash(b"part by ordinal", &place, "", range),
        }
    }

    /// The name of an init segment, which has no ordinal: its path names it in every mode.
    pub(crate) fn init(&self, reference: &str, range: Option<ByteRange>) -> SegmentId {
        self.name(b"init", b"", reference, range)
    }

    fn name(
        &self,
        kind: &[u8],
        ordinal: &[u8],
        reference: &str,
        range: Option<ByteRange>,
    ) -> SegmentId {
        if let Some(dir) = &self.plain_dir
            && !reference.contains('?')
            && look(reference).is_plain
        {
            return match dir.is_empty() {
                true => self.hash(kind, ordinal, reference, range),
                false => self.hash(kind, ordinal, &[dir, reference].concat(), range),
            };
        }
        let url = self.base.join(reference);
        let url = url.as_deref().unwrap_or(reference);
        let path = Canonical::new(url, &self.config).below(&self.manifest);
        self.hash(kind, ordinal, &path, range)
    }

    fn hash(&self, kind: &[u8], ordinal: &[u8], path: &str, range: Option<ByteRange>) -> SegmentId {
        let range =
            range.map(|range| [range.start.to_be_bytes(), range.end.to_be_bytes()].concat());
        let range = range.as_deref().unwrap_or_default();
        let track = self.track.as_bytes();
        let fields = [track, kind, ordinal, path.as_bytes(), range];
        SegmentId::new(hash("p2pcdn/segment/1", &fields))
    }
}

/// The first `N` bytes of the BLAKE3 hash of a label and fields, each preceded by its length.
pub(crate) fn hash<const N: usize>(label: &str, fields: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    for field in std::iter::once(&label.as_bytes()).chain(fields) {
        let len = u32::try_from(field.len()).expect("no URL or name is as long as 4 GiB");
        hasher.update(&len.to_be_bytes());
        hasher.update(field);
    }
    let mut bytes = [0; N];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

const CONTENT: &str = "p2pcdn/content/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_flow_into_each_other() {
        let one: [u8; 16] = hash("l", &[b"ab", b"c"]);
        let other: [u8; 16] = hash("l", &[b"a", b"bc"]);
        assert_ne!(one, other);
        assert_ne!(one, hash("l", &[b"ab", b"c", b""]));
    }

    #[test]
    fn a_hash_is_blake3_of_lengths_and_fields() {
        let expected = blake3::hash(b"\x00\x00\x00\x01l\x00\x00\x00\x02ab\x00\x00\x00\x00");
        let bytes: [u8; 16] = hash("l", &[b"ab", b""]);
        assert_eq!(bytes, expected.as_bytes()[..16]);
    }

    #[test]
    fn a_content_id_and_a_url_never_name_the_same_content() {
        let url = "https://h/a.m3u8";
        let by_url = IdentityConfig::default();
        let by_id = IdentityConfig {
            content_id: Some(url.into()),
            ..IdentityConfig::default()
        };
        let by_tenant = IdentityConfig {
            tenant: "t".into(),
            ..IdentityConfig::default()
        };
        assert_ne!(by_url.content(url), by_id.content(url));
        assert_ne!(by_url.content(url), by_tenant.content(url));
        assert_eq!(by_id.content(url), by_id.content("https://other/b.m3u8"));
    }
}
