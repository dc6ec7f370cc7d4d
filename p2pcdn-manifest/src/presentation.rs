//! All that one manifest describes.

use std::sync::Arc;

use p2pcdn_wire::{ByteRange, ContentId, SegmentId, SwarmId, TrackId};

use crate::{
    canonical::Canonical, identity::IdentityConfig, key::KeyUrls, playlist::Playlist,
    segment::Segment, track::Track,
};

/// All that one manifest describes, at one moment. Cheap to clone, and never changed in place:
/// each reload makes a new one that shares all that stayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// Its name, the same for every viewer.
    pub content: ContentId,
    /// Where its viewers meet.
    pub swarm: SwarmId,
    /// The manifest URL that the viewer was given, before redirects.
    pub url: Arc<str>,
    /// The tracks, in the order of the manifest, each URL and each name once.
    pub tracks: Vec<Track>,
    /// Whether `url` is a multivariant playlist. Otherwise it is the media playlist of the only
    /// track.
    pub is_multivariant: bool,
    /// URLs that are never shared, because they were seen as keys.
    pub never_shared: Arc<KeyUrls>,
}

/// What a URL is to a presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The multivariant playlist.
    MultivariantPlaylist,
    /// The media playlist of a track.
    MediaPlaylist(TrackId),
    /// A media segment: track and ordinal. May be one that is never shared.
    Segment(TrackId, u64),
    /// An init segment: track and name.
    Init(TrackId, SegmentId),
    /// A key. Never asked of a peer, never mentioned to one.
    Key,
    /// A resource of the presentation, but bytes that are no whole segment.
    Other,
}

impl Presentation {
    /// The track with this name.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// What the bytes `range` (`None`: all) of `url` are to this presentation; `None` when it does
    /// not mention the URL.
    ///
    /// A range inside a segment counts as the segment. A URL also counts as one of the playlists'
    /// when only known access tokens tell them apart, because players keep URLs for longer than
    /// playlists list them. The search takes time in proportion to the segments listed, newest
    /// first: some 100 µs for six hours of 2 s segments.
    #[must_use]
    pub fn resource(&self, url: &str, range: Option<ByteRange>) -> Option<Resource> {
        let url = without_fragment(url);
        if self.never_shared.count() > 0
            && !self.never_shared.overflowed()
            && self.never_shared.contains(url)
        {
            return Some(Resource::Key);
        }
        self.manifest(url)
            .or_else(|| self.media(range, &|listed| without_fragment(listed) == url))
            .or_else(|| {
                let wanted = canonical(url);
                let path = without_query(url);
                let same =
                    |listed: &str| without_query(listed) == path && canonical(listed) == wanted;
                self.media(range, &same)
            })
    }

    fn manifest(&self, url: &str) -> Option<Resource> {
        // Low-latency players add directives of their own to playlist URLs.
        let matches = |listed: &str| {
            without_fragment(listed) == url || (url.contains("_HLS_") && same(listed, url))
        };
        if self.is_multivariant && matches(&self.url) {
            return Some(Resource::MultivariantPlaylist);
        }
        let track = self.tracks.iter().find(|track| matches(&track.url))?;
        Some(Resource::MediaPlaylist(track.id))
    }

    fn media(&self, range: Option<ByteRange>, same: &dyn Fn(&str) -> bool) -> Option<Resource> {
        let mut found = None;
        for track in &self.tracks {
            let playlist = track.playlist.as_deref();
            match playlist.and_then(|playlist| find(playlist, range, same)) {
                Some(Found::Segment(segment)) => {
                    return Some(Resource::Segment(track.id, segment.ordinal));
                }
                Some(Found::Init(id)) => return Some(Resource::Init(track.id, id)),
                Some(Found::Elsewhere) => found = Some(Resource::Other),
                None => {}
            }
        }
        found
    }
}

enum Found<'a> {
    Segment(&'a Segment),
    Init(SegmentId),
    /// The URL is listed, but not with these bytes.
    Elsewhere,
}

fn find<'a>(
    playlist: &'a Playlist,
    range: Option<ByteRange>,
    same: &dyn Fn(&str) -> bool,
) -> Option<Found<'a>> {
    let mut found = None;
    let mut last_init = None;
    for segment in playlist.segments.iter().rev() {
        if same(&segment.url) {
            if covers(segment.range, range) {
                return Some(Found::Segment(segment));
            }
            found = Some(Found::Elsewhere);
        }
        let init = segment.init.as_ref();
        if let Some(init) = init
            && !last_init.is_some_and(|last| Arc::ptr_eq(last, init))
        {
            last_init = Some(init);
            if same(&init.url) {
                if covers(init.range, range) {
                    return Some(Found::Init(init.id));
                }
                found = Some(Found::Elsewhere);
            }
        }
    }
    found
}

/// Whether the bytes `wanted` of a resource lie within its part `listed`; `None` is all of it.
fn covers(listed: Option<ByteRange>, wanted: Option<ByteRange>) -> bool {
    match (listed, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(listed), Some(wanted)) => {
            !wanted.is_empty() && listed.start <= wanted.start && wanted.end <= listed.end
        }
    }
}

fn same(a: &str, b: &str) -> bool {
    without_query(a) == without_query(b) && canonical(a) == canonical(b)
}

fn canonical(url: &str) -> Canonical {
    Canonical::new(url, &IdentityConfig::default())
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
