//! What a world is like.

use std::time::Duration;

use p2pcdn_wire::BitRate;

/// How a viewer behaves towards the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Announces and promises, never delivers.
    Silent,
    /// What it sends is wrong.
    Wrong,
}

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) viewers: usize,
    pub(crate) seconds: f64,
    pub(crate) live: bool,
    /// Segments behind the live edge at which viewers start.
    pub(crate) segments_behind: u64,
    pub(crate) join_every: f64,
    pub(crate) http: BitRate,
    pub(crate) ttfb: Duration,
    pub(crate) uplink: BitRate,
    pub(crate) one_way: Duration,
    /// When block maps are there after the segment; `None` is never.
    pub(crate) maps_after: Option<Duration>,
    pub(crate) peer_transfer: bool,
    pub(crate) manners: Vec<Manner>,
    /// From then on, for so long, the origin answers 500.
    pub(crate) outage: Option<(f64, f64)>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            viewers: 6,
            seconds: 60.0,
            live: true,
            segments_behind: 3,
            join_every: 1.0,
            http: BitRate::from_bps(20_000_000),
            ttfb: Duration::from_millis(30),
            uplink: BitRate::from_bps(20_000_000),
            one_way: Duration::from_millis(10),
            maps_after: Some(Duration::from_millis(150)),
            peer_transfer: true,
            manners: Vec::new(),
            outage: None,
        }
    }
}
