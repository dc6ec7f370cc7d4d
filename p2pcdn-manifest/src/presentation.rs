//! All that one manifest describes.

use std::sync::Arc;

use p2pcdn_wire::{ByteRange, ContentId, SegmentId, SwarmId, TrackId};

use crate::{
    key::KeyUrls,
    lookup::{Found, Place, Wanted},
    track::{SwitchingSet, Track},
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
    /// What kind of manifest is at `url`.
    pub format: Format,
    /// The tracks, in the order of the manifest, each name once.
    pub tracks: Vec<Track>,
    /// Which tracks are the same content at different quality, in the order of the manifest. Each
    /// track is in one of them.
    pub switching_sets: Vec<SwitchingSet>,
    /// URLs that are never shared, because they were seen as keys, licence servers or other
    /// resources that control access or playback, HLS playlists among them.
    pub never_shared: Arc<KeyUrls>,
}

/// What kind of manifest a presentation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// An HLS multivariant playlist: each track has a media playlist of its own.
    HlsMultivariant,
    /// An HLS media playlist, which is that of the only track.
    HlsMedia,
    /// A DASH MPD, which lists the segments of all tracks.
    Dash,
    /// No manifest: one resource, cut into pieces of equal length.
    Progressive,
}

/// What a URL is to a presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// The manifest itself.
    Manifest,
    /// The media playlist of a track.
    MediaPlaylist(TrackId),
    /// A media segment: track and ordinal. May be one that is never shared.
    Segment(TrackId, u64),
    /// A part of a media segment: track, ordinal of the segment, place in it from 0.
    Part(TrackId, u64, u32),
    /// An init segment: track and name.
    Init(TrackId, SegmentId),
    /// A key or licence, or another resource that controls access. Never asked of a peer, never
    /// mentioned to one.
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
    /// playlists list them. The search takes time in proportion to the segments listed, but looks
    /// closer only at those whose file name is the same.
    #[must_use]
    pub fn resource(&self, url: &str, range: Option<ByteRange>) -> Option<Resource> {
        let wanted = Wanted::new(url, range);
        // Before the keys: playlists are among what is never shared.
        if let Some(manifest) = self.manifest(&wanted) {
            return Some(manifest);
        }
        let keys = &self.never_shared;
        if keys.count() > 0 && !keys.overflowed() && keys.contains(wanted.url) {
            return Some(Resource::Key);
        }
        self.media(&wanted)
    }

    fn manifest(&self, wanted: &Wanted<'_>) -> Option<Resource> {
        let has_own = matches!(self.format, Format::HlsMultivariant | Format::Dash);
        if has_own && wanted.is_manifest(&self.url) {
            return Some(Resource::Manifest);
        }
        if !matches!(self.format, Format::HlsMultivariant | Format::HlsMedia) {
            return None;
        }
        let mut tracks = self.tracks.iter();
        let track = tracks.find(|track| wanted.is_manifest(&track.url))?;
        Some(Resource::MediaPlaylist(track.id))
    }

    fn media(&self, wanted: &Wanted<'_>) -> Option<Resource> {
        let found = self.tracks.iter().filter_map(|track| {
            let found = track.segments.as_ref()?.find(wanted)?;
            Some((found, track.id))
        });
        let (found, track) = found.min_by_key(|(found, _)| *found)?;
        Some(match found {
            Found::Exact(place) | Found::Token(place) => match place {
                Place::Segment(ordinal) => Resource::Segment(track, ordinal),
                Place::Part(ordinal, index) => Resource::Part(track, ordinal, index),
                Place::Init(id) => Resource::Init(track, id),
            },
            Found::Elsewhere => Resource::Other,
        })
    }
}
