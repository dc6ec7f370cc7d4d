//! How much a peer may have us do: a token bucket over what its messages cost.

use std::time::Duration;

use crate::{channel::Message, codes::kind, limits::MAX_BITFIELD_RUNS, time::Instant};

/// What a peer may have us do in a second, in messages of the cheap kind. A neighbour in a live
/// stream of 8 Mb/s comes to about 50: progress every 50 ms, and what goes with requests, which
/// the blocks pay for.
const PER_SECOND: u32 = 200;

/// What it may save up: ten seconds of it, so that joins, seeks and bitfields of hours of media
/// pass at once.
const BURST: u32 = 2_000;

/// Excess that lasts so long is no burst.
const PATIENCE: Duration = Duration::from_secs(5);

/// One unit of work comes back in this time.
const UNIT: Duration = Duration::from_millis(1_000 / PER_SECOND as u64);

/// The time of an excess that there is not; not an option, which would be twice as large, for each
/// link.
const WITHIN: Instant = Instant::EPOCH;

/// What is left of a peer's allowance.
#[derive(Clone, Debug)]
pub(super) struct Work {
    left: u32,
    filled_at: Instant,
    /// When something was dropped for the first time since the allowance was half full.
    exceeded_at: Instant,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Read it.
    Read,
    /// Drop it unread.
    Drop,
    /// Drop it, and the link: that goes on for too long.
    Flood,
}

impl Work {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled_at: now,
            exceeded_at: WITHIN,
        }
    }

    /// Takes what a message costs out of the allowance.
    pub(super) fn spend(&mut self, cost: u32, now: Instant) -> Verdict {
        self.fill(now);
        if self.left >= BURST / 2 {
            self.exceeded_at = WITHIN;
        }
        if let Some(left) = self.left.checked_sub(cost) {
            self.left = left;
            return Verdict::Read;
        }
        if self.exceeded_at == WITHIN {
            self.exceeded_at = now;
        }
        if self.exceeded_at + PATIENCE <= now {
            Verdict::Flood
        } else {
            Verdict::Drop
        }
    }

    /// A block passed, one way or the other: it pays for what was said about it, so that a fast
    /// line is not mistaken for a flood.
    pub(super) fn earn(&mut self) {
        self.left = (self.left + 1).min(BURST);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at);
        let units = passed.as_nanos() / UNIT.as_nanos();
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        if units >= BURST - self.left {
            self.left = BURST;
            self.filled_at = now;
        } else {
            self.left += units;
            // Time that was too short for a unit is not lost.
            self.filled_at += UNIT * units;
        }
    }
}

/// What it costs to read and to act on a message.
pub(super) fn cost(message: &Message) -> u32 {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let first = message.head.first().or_else(|| message.payload.first());
    match first.copied() {
        // Capped by what was requested, and by what a link says last.
        Some(kind::BLOCK | kind::GOODBYE) => 0,
        // All that is held may be told again.
        Some(kind::HELLO) => 32,
        Some(kind::BITFIELD) => {
            let runs = usize::try_from(len / MIN_RUN_LEN).unwrap_or(usize::MAX);
            1 + u32::try_from(runs.min(MAX_BITFIELD_RUNS)).unwrap_or(u32::MAX)
        }
        // Whether one is verified is not decided here.
        Some(kind::MAP) => 1 + len / 4_096,
        _ => 1 + len / 256,
    }
}

/// Bytes of the shortest run in a bitfield: gap, count, digest.
const MIN_RUN_LEN: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    #[test]
    fn two_thousand_pass_at_once_and_then_two_hundred_a_second() {
        let mut work = Work::new(at(0));
        let passed = |work: &mut Work, millis| {
            (0..5_000)
                .take_while(|_| work.spend(1, at(millis)) == Verdict::Read)
                .count()
        };
        assert_eq!(passed(&mut work, 0), 2_000);
        assert_eq!(passed(&mut work, 7), 1);
        assert_eq!(passed(&mut work, 10), 1);
        assert_eq!(passed(&mut work, 1_010), 200);
    }

    #[test]
    fn a_burst_is_forgiven_after_five_quiet_seconds() {
        let mut work = Work::new(at(0));
        assert_eq!(work.spend(2_000, at(0)), Verdict::Read);
        assert_eq!(work.spend(1, at(0)), Verdict::Drop);
        // A thousand have come back: what follows is another burst.
        assert_eq!(work.spend(1_001, at(5_000)), Verdict::Drop);
        assert_eq!(work.spend(1_001, at(5_001)), Verdict::Drop);
    }

    #[test]
    fn excess_of_five_seconds_is_a_flood() {
        let mut work = Work::new(at(0));
        assert_eq!(work.spend(2_000, at(0)), Verdict::Read);
        assert_eq!(work.spend(100, at(100)), Verdict::Drop);
        // Of 600 that came back: never half full again.
        assert_eq!(work.spend(500, at(3_000)), Verdict::Read);
        assert_eq!(work.spend(600, at(5_099)), Verdict::Drop);
        assert_eq!(work.spend(600, at(5_100)), Verdict::Flood);
    }

    #[test]
    fn blocks_pay_for_what_is_said_of_them() {
        let mut work = Work::new(at(0));
        for _ in 0..100_000 {
            // A request of four blocks, and the blocks.
            assert_eq!(work.spend(1, at(0)), Verdict::Read);
            (0..4).for_each(|_| work.earn());
        }
    }

    #[test]
    fn a_bitfield_costs_its_runs_up_to_those_that_are_heard() {
        assert_eq!(
            cost(&Message::from(bytes::Bytes::from_static(
                &[0x10; 3 + 6 * 10]
            ))),
            11
        );
        assert_eq!(
            cost(&Message::from(bytes::Bytes::from_static(&[0x10; 6_200]))),
            257
        );
        assert_eq!(
            cost(&Message::from(bytes::Bytes::from_static(&[0x11; 20]))),
            1
        );
    }
}
