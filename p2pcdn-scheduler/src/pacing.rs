//! Uploading with what the uplink has to spare: a rate over all links that falls as soon as the way
//! to a neighbour takes longer than its base (the idea of LEDBAT, RFC 6817).
//!
//! No transport that a browser has tells when bytes arrived, so there is no window to fill. A ping
//! follows blocks instead: it waits in the same queue behind them, and its answer carries the
//! neighbour's clock, so that only the queue on the way there counts.

use std::time::Duration;

use p2pcdn_wire::{BLOCK_LEN, BitRate, Instant};

/// How much longer than its base the way there may become: 60 ms as in LEDBAT++
/// (draft-irtf-iccrg-ledbat-plus-plus, section 4.2); a call beside it does not suffer.
const TARGET: Duration = Duration::from_millis(60);

/// The rate to begin with: 2 Mb/s, a slow cable line; growing by half each time, a fibre line is found
/// within a second of serving.
const INITIAL_RATE: u64 = 2_000_000;

/// Less would be one block in half a second, too late for whoever asked.
const MIN_RATE: u64 = 256_000;
const MAX_RATE: u64 = 1_000_000_000;

/// How much may be sent in one go: a window of the transport hides shorter pauses.
const BURST: Duration = Duration::from_millis(20);
const MIN_BURST: u64 = 2 * BLOCK_LEN;

/// The least time between two pings on a link while the rate limits, and while it does not.
const PING_AFTER: Duration = Duration::from_millis(200);
const PING_AFTER_AT_EASE: Duration = Duration::from_secs(1);

/// And while much is on its way without an answer.
const PING_AFTER_AT_LEAST: Duration = Duration::from_millis(130);

/// What may have left without an answer that tells that it arrived: the rate's worth of this
/// beyond the round trip. It bounds the queue before any answer comes out of it.
const UNCONFIRMED: Duration = Duration::from_millis(250);

/// How long nothing may be confirmed before the rate is halved and serving begins anew: whoever was
/// asked is gone, or the queue is that long.
const SILENCE: Duration = Duration::from_secs(1);

/// The least time between two changes of the rate: all links see the same queue.
const CHANGE_AFTER: Duration = Duration::from_millis(100);

/// How long a measured queue says something about the queue of now.
const EXCESS_LIFE: Duration = Duration::from_millis(150);

/// How long a base holds: a route that became longer is the new base after one to two of these.
const BASE_LIFE: Duration = Duration::from_secs(120);

/// The rate of everything that is uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// Bits per second.
    rate: u64,
    /// Bytes that may be sent now.
    tokens: u64,
    filled_at: Instant,
    /// Whether something had to wait since the last change.
    was_limiting: bool,
    /// The rate grows by half each time until a queue first shows.
    is_ramping: bool,
    changed_at: Instant,
    /// Bytes that left, and those of them that passed the uplink, since the beginning.
    sent: u64,
    confirmed: u64,
    /// Bytes that had left before the latest ping on any link.
    asked: u64,
    /// When something last left or was confirmed.
    stirred_at: Instant,
    /// The latest round trip.
    took: Duration,
}

/// The shortest way there of late, which is the one without a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// In microseconds on a clock of no known origin, as [`Said::RoundTrip`](p2pcdn_wire::Said) has
    /// it.
    current: i64,
    before: i64,
    since: Instant,
    /// How far over the base the last ping was, and when that was known.
    excess: Duration,
    measured_at: Instant,
    /// When the last ping left.
    pub(crate) pinged_at: Instant,
    /// What had left before the ping that is on its way.
    sent_before: Option<u64>,
}

impl Base {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            current: i64::MAX,
            before: i64::MAX,
            since: now,
            excess: Duration::ZERO,
            measured_at: Instant::EPOCH,
            pinged_at: now,
            sent_before: None,
        }
    }

    /// Whether nothing was measured yet.
    pub(crate) fn is_new(&self) -> bool {
        self.current == i64::MAX && self.before == i64::MAX
    }

    /// Takes the time that a ping was on its way there.
    pub(crate) fn answered(&mut self, outward: i64, now: Instant) {
        if now >= self.since + BASE_LIFE {
            self.before = self.current;
            self.current = i64::MAX;
            self.since = now;
        }
        self.current = self.current.min(outward);
        let base = self.current.min(self.before);
        self.excess = Duration::from_micros(outward.abs_diff(base));
        self.measured_at = now;
    }

    /// How far over the base the way there was a moment ago; `None` when that is not known.
    pub(crate) fn excess(&self, now: Instant) -> Option<Duration> {
        (now < self.measured_at + EXCESS_LIFE).then_some(self.excess)
    }
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            rate: INITIAL_RATE,
            tokens: MIN_BURST,
            filled_at: now,
            was_limiting: false,
            is_ramping: true,
            changed_at: now,
            sent: 0,
            confirmed: 0,
            asked: 0,
            stirred_at: now,
            took: TARGET,
        }
    }

    /// Whether a block may be sent now; else how long to wait.
    pub(crate) fn may_send(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let is_full = self.sent - self.confirmed >= self.most_unconfirmed();
        let silent_for = now.saturating_duration_since(self.stirred_at);
        match SILENCE.checked_sub(silent_for) {
            None | Some(Duration::ZERO) => {
                if is_full {
                    self.is_ramping = false;
                    self.change(50, now);
                }
                self.confirmed = self.sent;
                self.stirred_at = now;
            }
            Some(wait) if is_full => {
                self.was_limiting = true;
                return Err(wait);
            }
            Some(_) => {}
        }
        match BLOCK_LEN.checked_sub(self.tokens) {
            None | Some(0) => Ok(()),
            Some(lacking) => {
                self.was_limiting = true;
                Err(BitRate::from_bps(self.rate).time_for(lacking))
            }
        }
    }

    /// Whether a block takes less than half of the queue that is allowed.
    pub(crate) fn is_nimble(&self) -> bool {
        self.time_for(BLOCK_LEN) <= TARGET / 2
    }

    /// How long so many bytes take at the rate of now.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        BitRate::from_bps(self.rate).time_for(bytes)
    }

    fn most_unconfirmed(&self) -> u64 {
        let rate = BitRate::from_bps(self.rate);
        let most = rate.bytes_in(self.took.min(SILENCE) + UNCONFIRMED);
        most.max(MIN_BURST)
    }

    fn fill(&mut self, now: Instant) {
        let rate = BitRate::from_bps(self.rate);
        let gained = rate.bytes_in(now.saturating_duration_since(self.filled_at));
        // Time that was too short to gain a byte is not lost.
        if gained > 0 {
            let most = rate.bytes_in(BURST).max(MIN_BURST);
            self.tokens = self.tokens.saturating_add(gained).min(most);
            self.filled_at = now;
        }
    }

    /// A block leaves on a link with this base; returns whether a ping should follow it.
    pub(crate) fn sent(&mut self, base: &mut Base, now: Instant) -> bool {
        self.tokens = self.tokens.saturating_sub(BLOCK_LEN);
        self.sent += BLOCK_LEN;
        self.stirred_at = now;
        let pause = if self.was_limiting {
            PING_AFTER
        } else {
            PING_AFTER_AT_EASE
        };
        let is_awaited = base.sent_before.is_some() && now < base.pinged_at + 3 * SILENCE;
        let is_needed = self.sent - self.asked >= self.most_unconfirmed() / 2;
        let pause = if is_needed {
            PING_AFTER_AT_LEAST
        } else {
            pause
        };
        let is_due = !is_awaited && now >= base.pinged_at + pause;
        if is_due {
            self.asked = self.sent;
            base.pinged_at = now;
            base.sent_before = Some(self.sent);
        }
        is_due
    }

    /// A ping was answered after `took`, and our uplink's queue is `excess`.
    pub(crate) fn answered(&mut self, took: Duration, excess: Duration, now: Instant) {
        self.took = took;
        if now < self.changed_at + CHANGE_AFTER.max(took) {
            return;
        }
        if excess > TARGET {
            self.is_ramping = false;
            // What would have queued for just the target, but never much less at once.
            let percent = (TARGET.as_micros() * 100 / excess.as_micros()).max(80);
            self.change(u64::try_from(percent).unwrap_or(100), now);
        } else if std::mem::take(&mut self.was_limiting) {
            // A rate that was not used tells nothing about a higher one.
            let percent = match excess <= TARGET / 2 {
                true if self.is_ramping => 150,
                true => 110,
                false => 103,
            };
            self.change(percent, now);
        }
    }

    /// What had left before a ping that was answered has passed the uplink.
    pub(crate) fn confirm(&mut self, base: &mut Base, now: Instant) {
        if let Some(sent_before) = base.sent_before.take() {
            self.confirmed = self.confirmed.max(sent_before);
            self.stirred_at = now;
        }
    }

    fn change(&mut self, percent: u64, now: Instant) {
        self.rate = (self.rate / 100 * percent).clamp(MIN_RATE, MAX_RATE);
        self.changed_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    const TOOK: Duration = Duration::from_millis(20);

    /// The rate, in Mb/s, after answers 100 ms apart with so many milliseconds of queue, while
    /// there is always a block that waits.
    fn rates(queues: &[u64]) -> Vec<f64> {
        let mut pacer = Pacer::new(at(0));
        let mut base = Base::new(at(0));
        let mut now = 0;
        let rate_after = |queue: &u64| {
            now += 100;
            while pacer.may_send(at(now)).is_ok() {
                pacer.sent(&mut base, at(now));
            }
            pacer.answered(TOOK, Duration::from_millis(*queue), at(now));
            pacer.rate as f64 / 1e6
        };
        queues.iter().map(rate_after).collect()
    }

    #[test]
    fn the_rate_grows_by_half_until_a_queue_shows_and_then_by_a_tenth() {
        // 60/75 of 27 is 21.6; a queue of more than half of the target lets it grow by 3 %.
        let rates = rates(&[0, 30, 30, 75, 30, 31]);
        assert_eq!(rates, [3.0, 4.5, 6.75, 5.4, 5.94, 6.1182]);
    }

    #[test]
    fn the_rate_falls_by_a_fifth_at_most_and_to_a_quarter_megabit() {
        assert_eq!(rates(&[100, 10_000])[..], [1.6, 1.28]);
        assert_eq!(rates(&[100; 40])[39], 0.256);
    }

    #[test]
    fn a_rate_that_was_not_used_does_not_grow() {
        let mut pacer = Pacer::new(at(0));
        assert_eq!(pacer.may_send(at(200)), Ok(()));
        pacer.answered(TOOK, Duration::ZERO, at(200));
        assert_eq!(pacer.rate, INITIAL_RATE);
    }

    #[test]
    fn the_rate_changes_once_in_a_round_trip_and_in_100_ms() {
        for (took, waits) in [(20, 100), (300, 300)] {
            let mut pacer = Pacer::new(at(0));
            let mut hear = |millis| {
                let queue = Duration::from_millis(75);
                pacer.answered(Duration::from_millis(took), queue, at(millis));
                pacer.rate
            };
            assert_eq!(hear(waits - 1), 2_000_000);
            assert_eq!(hear(waits), 1_600_000);
            assert_eq!(hear(2 * waits - 1), 1_600_000);
            assert_eq!(hear(2 * waits), 1_280_000);
        }
    }

    #[test]
    fn what_counts_is_how_much_longer_than_the_shortest_way_there_it_took() {
        let mut base = Base::new(at(0));
        let mut excess = |outward, millis: u64| {
            base.answered(outward, at(millis));
            base.excess(at(millis)).map(|it| it.as_micros())
        };
        // The clocks may differ by anything.
        assert_eq!(excess(-7_000_000, 0), Some(0));
        assert_eq!(excess(-6_990_000, 200), Some(10_000));
        assert_eq!(excess(-7_002_000, 400), Some(0));
        assert_eq!(excess(-7_000_000, 600), Some(2_000));
    }

    #[test]
    fn a_queue_of_a_while_ago_says_nothing_about_now() {
        let mut base = Base::new(at(0));
        base.answered(0, at(1_000));
        assert_eq!(base.excess(at(1_149)), Some(Duration::ZERO));
        assert_eq!(base.excess(at(1_150)), None);
    }

    #[test]
    fn a_longer_route_is_the_base_after_four_minutes() {
        let mut base = Base::new(at(0));
        let mut excess = |outward, secs: u64| {
            base.answered(outward, at(secs * 1_000));
            base.excess(at(secs * 1_000)).map(|it| it.as_millis())
        };
        assert_eq!(excess(0, 0), Some(0));
        // The first two minutes are over, and the next begin.
        assert_eq!(excess(50_000, 120), Some(50));
        assert_eq!(excess(50_000, 239), Some(50));
        assert_eq!(excess(50_000, 240), Some(0));
    }
}
