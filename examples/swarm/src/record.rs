//! What is remembered of one viewer.

use std::time::Duration;

use p2pcdn::{metrics::Delivery, wire::SegmentId};

use crate::source::Split;

/// The account of one viewer's visit.
#[derive(Clone, Debug, Default)]
pub struct ViewerRecord {
    /// What the viewer is called at the origin.
    pub name: String,
    /// From joining to the first frame; `None` when there was none.
    pub startup: Option<Duration>,
    /// How often the buffer ran empty after the first frame.
    pub stalls: u64,
    /// How long playback stood still because of that.
    pub stalled: Duration,
    /// Media played.
    pub played: Duration,
    /// Mean distance of the playhead from the dates in the playlist; `None` where it has none.
    pub latency: Option<Duration>,
    /// Every segment and init segment that was loaded, in order.
    pub segments: Vec<SegmentRecord>,
    /// Segments that did not have the origin's bytes.
    pub corrupt: u64,
    /// Tries that failed, whatever the reason.
    pub failed_tries: u64,
    /// Times when the wanted segment had left the playlist, so that media were skipped.
    pub skips: u64,
    /// All bytes by source.
    pub delivery: Delivery,
}

/// One segment in a viewer's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Which one.
    pub id: SegmentId,
    /// Its length in bytes.
    pub len: u64,
    /// Where they came from.
    pub split: Split,
    /// When it began to play, counted from the first frame; `None` when it did not (yet), and for
    /// init segments.
    pub begun: Option<Duration>,
}
