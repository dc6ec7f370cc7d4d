//! Virtual time cut into windows.

use std::time::Duration;

use p2pcdn::wire::Instant;

/// The length of a window; windows are counted from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    nanos: u64,
}

impl Clock {
    /// # Panics
    ///
    /// When the length is zero or more than 4 s: offsets in a window are 32 bits.
    pub(super) fn new(window: Duration) -> Self {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        assert!(
            (1..=4_000_000_000).contains(&nanos),
            "a window is 1 ns to 4 s, not {window:?}"
        );
        Self { nanos }
    }

    /// The window of a moment, and the nanoseconds from its start.
    pub(super) fn place(self, at: Instant) -> (u64, u32) {
        let nanos = nanos(at);
        let offset = nanos % self.nanos;
        (nanos / self.nanos, offset as u32)
    }

    /// When the window begins.
    pub(super) fn start(self, window: u64) -> Instant {
        Instant::from_epoch(Duration::from_nanos(window.saturating_mul(self.nanos)))
    }
}

pub(super) fn nanos(at: Instant) -> u64 {
    u64::try_from(at.since_epoch().as_nanos()).unwrap_or(u64::MAX)
}
