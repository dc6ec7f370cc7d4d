//! Segments and init segments: the units that are fetched, shared and played.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime, SegmentId, UnixTime};

use crate::key::Key;

/// A media segment of a track, made from the list when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name, the same for every viewer.
    pub id: SegmentId,
    /// Its place in the track. HLS: the media sequence number. DASH: `$Time$` in ticks where the
    /// list names segments by time, else `$Number$`; the place in the index of a single resource.
    pub ordinal: u64,
    /// Where to fetch it: absolute, with the viewer's own query.
    pub url: Arc<str>,
    /// The bytes of the resource that are the segment; `None` for all of them.
    pub range: Option<ByteRange>,
    /// Where it begins on the timeline of the presentation.
    pub start: MediaTime,
    /// How long it plays.
    pub duration: Duration,
    /// How many discontinuities came before, by the playlist's own count. To be compared between
    /// viewers, never part of a name.
    pub discontinuity_sequence: u64,
    /// When it was made.
    pub date: Option<SegmentDate>,
    /// What a decoder needs before it.
    pub init: Option<Arc<InitSegment>>,
    /// The keys in force, at most one per key format; empty when it is not encrypted.
    pub keys: Arc<[Key]>,
    /// Whether peers may hear of it.
    pub sharing: Sharing,
}

impl Segment {
    /// Where it ends on the timeline of the presentation.
    #[must_use]
    pub fn end(&self) -> MediaTime {
        self.start + self.duration
    }
}

/// A part of a segment that can be fetched before the segment is complete (LL-HLS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, the same for every viewer.
    pub id: SegmentId,
    /// The ordinal of the segment that it is a part of, which may not be listed yet.
    pub ordinal: u64,
    /// Its place in the segment, from 0.
    pub index: u32,
    /// Where to fetch it: absolute, with the viewer's own query.
    pub url: Arc<str>,
    /// The bytes of the resource that are the part; `None` for all of them.
    pub range: Option<ByteRange>,
    /// Where it begins on the timeline of the presentation.
    pub start: MediaTime,
    /// How long it plays.
    pub duration: Duration,
    /// Whether playback can begin with it.
    pub independent: bool,
    /// Whether peers may hear of it.
    pub sharing: Sharing,
}

impl Part {
    /// Where it ends on the timeline of the presentation.
    #[must_use]
    pub fn end(&self) -> MediaTime {
        self.start + self.duration
    }
}

/// The bytes a decoder needs before any segment: HLS `EXT-X-MAP`, DASH initialization segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitSegment {
    /// Its name, the same for every viewer.
    pub id: SegmentId,
    /// Where to fetch it: absolute, with the viewer's own query.
    pub url: Arc<str>,
    /// The bytes of the resource that are the init segment; `None` for all of them.
    pub range: Option<ByteRange>,
    /// Whether peers may hear of it.
    pub sharing: Sharing,
}

/// When a segment was made, by the playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentDate {
    /// As the playlist says of this very segment: the same for every viewer, within reason, and so
    /// fit to be compared between viewers.
    Explicit(UnixTime),
    /// Computed from the date of another segment: to show latency with, not to compare.
    Extrapolated(UnixTime),
}

impl SegmentDate {
    /// The date, however it is known.
    #[must_use]
    pub const fn time(self) -> UnixTime {
        match self {
            Self::Explicit(time) | Self::Extrapolated(time) => time,
        }
    }

    /// The date if the playlist states it of this segment.
    #[must_use]
    pub const fn explicit(self) -> Option<UnixTime> {
        match self {
            Self::Explicit(time) => Some(time),
            Self::Extrapolated(_) => None,
        }
    }
}

/// Whether peers may hear of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They may, once the origin has let this viewer have it.
    Shared,
    /// Never.
    Never(NeverReason),
}

/// Why a segment is never shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NeverReason {
    /// The playlist says that there is nothing to fetch (`EXT-X-GAP`).
    Gap,
    /// The same URL is that of a key.
    KeyUrl,
    /// It has no bytes of its own at an HTTP server: a `data:` or other URL, or an empty range.
    NotFetchable,
}
