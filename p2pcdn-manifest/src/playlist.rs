//! The segments of one track, as last loaded.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{MediaTime, OrdinalRange};

use crate::segment::Segment;

/// The segments of one track, as last loaded. Their ordinals are consecutive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playlist {
    /// The segments, oldest first.
    pub segments: Vec<Arc<Segment>>,
    /// Ordinal of the first segment, or of the one to come when there is none.
    pub media_sequence: u64,
    /// No segment lasts longer than this, rounded to the second. At least 1 s.
    pub target_duration: Duration,
    /// Whether segments will come and go.
    pub liveness: Liveness,
    /// Where the newest segment ends on the timeline of the presentation.
    pub live_edge: MediaTime,
    /// How often the track's numbering started anew while this viewer watched; 0 at first. Ids
    /// of an earlier epoch are no longer worth advertising.
    pub epoch: u32,
}

/// Whether a playlist still changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// Segments are added at the end and leave at the start.
    Live,
    /// Segments are added at the end, none leaves.
    Event,
    /// It will not change: on demand, or a live stream that is over.
    Ended,
}

impl Playlist {
    /// The ordinals listed.
    #[must_use]
    pub fn window(&self) -> OrdinalRange {
        let count = u64::try_from(self.segments.len()).unwrap_or(u64::MAX);
        OrdinalRange::new(
            self.media_sequence,
            self.media_sequence.saturating_add(count),
        )
    }

    /// The segment with this ordinal.
    #[must_use]
    pub fn segment(&self, ordinal: u64) -> Option<&Arc<Segment>> {
        let index = ordinal.checked_sub(self.media_sequence)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// The segment that plays at `time`: the last one that begins at or before it and ends after
    /// it.
    #[must_use]
    pub fn segment_at(&self, time: MediaTime) -> Option<&Arc<Segment>> {
        let after = self.segments.partition_point(|s| s.start <= time);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (time < segment.end()).then_some(segment)
    }

    /// Where the oldest segment begins on the timeline of the presentation; the live edge when
    /// there is none.
    #[must_use]
    pub fn start(&self) -> MediaTime {
        self.segments.first().map_or(self.live_edge, |s| s.start)
    }
}
