//! When the datagrams of one link may leave.

use std::time::Duration;

use p2pcdn_wire::{BitRate, Instant};

/// A token bucket under SCTP, which neither paces nor limits bursts: a whole window that leaves at
/// once overflows the peer's receive buffer, and that costs a retransmission timeout of a second.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    /// Bytes that may leave now; a datagram may overdraw it.
    tokens: i64,
    rate: BitRate,
    floor: BitRate,
    refilled_at: Instant,
}

impl Pacer {
    pub(super) const fn new(floor: BitRate, now: Instant) -> Self {
        Self {
            tokens: BURST,
            rate: floor,
            floor,
            refilled_at: now,
        }
    }

    /// Sets the rate so that `window` bytes a round trip are never held back.
    pub(super) fn set_round_trip(&mut self, window: usize, round_trip: Duration) {
        let bytes = window as u64 + window as u64 / 4;
        self.rate = BitRate::from_transfer(bytes, round_trip).max(self.floor);
    }

    /// Whether a datagram may leave; if so, it is counted.
    pub(super) fn take(&mut self, len: usize, now: Instant) -> bool {
        self.refill(now);
        let allowed = self.tokens > 0;
        if allowed {
            self.tokens -= i64::try_from(len).unwrap_or(i64::MAX);
        }
        allowed
    }

    /// When a quarter of a burst may leave: often enough for a smooth flow, seldom enough for the
    /// timer.
    pub(super) fn ready_at(&self) -> Instant {
        let missing = u64::try_from(BURST / 4 - self.tokens).unwrap_or(0);
        self.refilled_at + self.rate.time_for(missing).min(LONGEST_WAIT)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        let bytes = i64::try_from(self.rate.bytes_in(elapsed)).unwrap_or(BURST);
        if bytes > 0 {
            self.refilled_at = now;
            self.tokens = self.tokens.saturating_add(bytes).min(BURST);
        }
    }
}

/// 32 datagrams of 1,200 bytes: a fifth of the default receive buffer of a Linux socket, and what
/// one segmentation-offload call sends.
const BURST: i64 = 32 * 1_200;

/// No link waits longer than this, whatever the rate.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: BitRate = BitRate::from_bps(96_000_000);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn send(pacer: &mut Pacer, now: Instant) -> usize {
        std::iter::repeat_with(|| pacer.take(1_200, now))
            .take_while(|taken| *taken)
            .count()
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let mut pacer = Pacer::new(FLOOR, at(0));
        assert_eq!(send(&mut pacer, at(0)), 32);
        // 96 Mb/s are 12,000 bytes, ten datagrams, in a millisecond.
        assert_eq!(send(&mut pacer, at(1)), 10);
        assert_eq!(send(&mut pacer, at(1000)), 32);
    }

    #[test]
    fn the_rate_follows_the_round_trip_but_not_below_the_floor() {
        let mut pacer = Pacer::new(FLOOR, at(0));
        assert_eq!(send(&mut pacer, at(0)), 32);
        // 96,000 bytes and a quarter in 10 ms are as much as the floor.
        pacer.set_round_trip(96_000, Duration::from_millis(5));
        assert_eq!(send(&mut pacer, at(1)), 20);
        pacer.set_round_trip(96_000, Duration::from_secs(5));
        assert_eq!(send(&mut pacer, at(2)), 10);
    }

    #[test]
    fn waits_for_a_quarter_of_a_burst() {
        let mut pacer = Pacer::new(FLOOR, at(0));
        send(&mut pacer, at(0));
        let wait = pacer.ready_at().saturating_duration_since(at(0));
        assert_eq!(wait, Duration::from_micros(800));
        assert_eq!(send(&mut pacer, at(0) + wait), 8);
    }
}
