//! What one viewer came to, in either world.

use std::time::Duration;

use p2pcdn::metrics::Delivery;
use p2pcdn::wire::Instant;

/// A segment of a track, by the track's place in `Content::renditions` and its ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    pub track: u16,
    pub ordinal: u64,
}

/// How playback went; made by the player, which both worlds share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// From arrival to the first frame; `None` if there was none.
    pub startup: Option<Duration>,
    pub stalls: u32,
    /// Stopped on an empty buffer after the start, up to the end or the departure.
    pub stalled: Duration,
    /// Waited for the first frame after seeks; neither stalled nor played.
    pub seeking: Duration,
    pub played: Duration,
    /// Latency behind live, integrated over the time played: seconds x seconds.
    pub latency_seconds: f64,
    /// Bits of the renditions played: bits/s integrated over the time played.
    pub bits: f64,
    /// Segments whose playback began in the steady part (see `Scenario::steady_from`).
    pub steady: Vec<SegmentKey>,
    /// Each stall: when it began, how long it lasted.
    pub each_stall: Vec<(Instant, Duration)>,
}

/// Useful bytes of a segment that came over HTTP; those that came from peers alone are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpShare {
    pub segment: SegmentKey,
    pub http_len: u64,
}

/// All that is kept of a viewer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub person: u32,
    pub is_hostile: bool,
    pub watched: Watched,
    /// `Session::snapshot`; zeros but for HTTP in the twin world.
    pub delivery: Delivery,
    /// Complete segments, in order of completion.
    pub delivered: Vec<SegmentKey>,
    pub http: Vec<HttpShare>,
    /// Bytes played that are not the publisher's.
    pub corrupt_bytes_played: u64,
    /// Bytes on the heap of the session, estimated by the shell; for the memory figures.
    pub connections: u32,
}

/// A viewer at one moment, for the curves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Glance {
    /// Media ahead of the playhead.
    pub buffer: Duration,
    pub is_present: bool,
    pub is_stalled: bool,
    pub links: u32,
    pub delivery: Delivery,
}

/// What a world asks of its viewers.
pub trait Viewed {
    /// At the end, or when the viewer left.
    fn tally(&self, now: Instant) -> Tally;
    /// What its session was told and what it answered, if that is recorded; see
    /// [`trace`](crate::trace).
    fn trace(&self) -> Option<Vec<u8>> {
        None
    }
    /// Now.
    fn glance(&self, now: Instant) -> Glance;
}
