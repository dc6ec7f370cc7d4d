//! Uploading with what the uplink has to spare: a rate over all links that falls as soon as the way
//! to a neighbour takes longer than its base (the idea of LEDBAT, RFC 6817).
//!
//! No transport that a browser has tells when bytes arrived. A ping follows blocks instead: it waits
//! in the same queue behind them, and its answer carries the neighbour's clock, so that only the
//! queue on the way there counts. What left between two pings, over the time between their arrivals,
//! is the rate of the uplink while it is busy (the idea of BBR,
//! draft-ietf-ccwg-bbr): a queue is drained by sending a known part of that, not by guessing.

use std::time::Duration;

use p2pcdn_wire::{BLOCK_LEN, BitRate, Instant};

/// How much longer than its base the way there may become, besides the time of the block before
/// the ping: 60 ms as in LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus, section 4.2); a call beside it
/// does not suffer.
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

/// How far two pings may arrive apart for what left between them to tell the rate of the uplink: in
/// less time a few blocks are a guess, in more it was hardly busy throughout.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(50);
const LONGEST_SAMPLE: Duration = Duration::from_secs(1);

/// How long such a rate holds: lines change from second to second.
const DELIVERED_LIFE: Duration = Duration::from_millis(500);

/// In which time a queue beyond the target is to be gone: a few round trips, so that one answer
/// that was held up elsewhere does little.
const DRAIN: Duration = Duration::from_millis(500);

/// Of the rate or of what was delivered, in thousandths: the least that one answer leaves, and the
/// most that it adds without a queue, at first and later.
const LEAST_KEPT: u64 = 600;
const MOST_ADDED_AT_FIRST: u64 = 500;
const MOST_ADDED: u64 = 120;

/// What a shell's clock may be apart that is read twice for one event.
const CLOCK_TICK: Duration = Duration::from_millis(2);

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
    /// The most of late that the uplink carried between two pings, in bits per second.
    delivered: u64,
    delivered_at: Instant,
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
    /// The ping before it that was answered.
    mark: Option<Mark>,
}

/// What had left before a ping, and when it arrived by the neighbour's clock, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Mark {
    sent: u64,
    arrived: i64,
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
            mark: None,
        }
    }

    /// At which rate, in bits per second, what left between this ping and the one before got there:
    /// that of the uplink, if it was never idle in between.
    fn delivered(&mut self, mark: Mark) -> Option<u64> {
        let before = *self.mark.get_or_insert(mark);
        let apart = u64::try_from(mark.arrived.saturating_sub(before.arrived)).unwrap_or(0);
        let apart = Duration::from_micros(apart);
        if apart < SHORTEST_SAMPLE {
            return None;
        }
        self.mark = Some(mark);
        let len = mark.sent.saturating_sub(before.sent);
        (apart <= LONGEST_SAMPLE).then(|| BitRate::from_transfer(len, apart).as_bps())
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
            delivered: 0,
            delivered_at: Instant::EPOCH,
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
                    self.set(self.rate / 2, now);
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

    /// A ping on this link was answered after `took`; it took `outward` to get there, by two clocks.
    pub(crate) fn answered(&mut self, base: &mut Base, took: Duration, outward: i64, now: Instant) {
        let left_at = now.since_epoch().saturating_sub(took);
        let asked_at = base.pinged_at.since_epoch();
        let is_ours = left_at + CLOCK_TICK >= asked_at;
        let Some(sent_before) = base.sent_before.take_if(|_| is_ours) else {
            return;
        };
        self.confirmed = self.confirmed.max(sent_before);
        self.stirred_at = now;
        let left_micros = i64::try_from(left_at.as_micros()).unwrap_or(i64::MAX);
        let mark = Mark {
            sent: sent_before,
            arrived: left_micros.saturating_add(outward),
        };
        // One that had to wait for the answer to another one left with more before it.
        if left_at.abs_diff(asked_at) > CLOCK_TICK {
            base.mark = None;
        } else if let Some(rate) = base.delivered(mark)
            && (rate >= self.delivered || now >= self.delivered_at + DELIVERED_LIFE)
        {
            self.delivered = rate;
            self.delivered_at = now;
        }
    }

    /// Our uplink's queue was `excess` when a ping was answered after `took`.
    pub(crate) fn queued(&mut self, took: Duration, excess: Duration, now: Instant) {
        self.took = took;
        let left_at = now.since_epoch().saturating_sub(took);
        if now < self.changed_at + CHANGE_AFTER || left_at < self.changed_at.since_epoch() {
            return;
        }
        let target = TARGET + self.time_for(BLOCK_LEN);
        if let Some(beyond) = excess.checked_sub(target) {
            self.is_ramping = false;
            let is_known = self.delivered > 0 && now < self.delivered_at + DELIVERED_LIFE;
            let carried = match is_known {
                true => self.delivered.min(self.rate),
                false => self.rate,
            };
            let kept = 1_000u64.saturating_sub(thousandths(beyond, DRAIN));
            let rate = carried / 1_000 * kept;
            self.set(rate.max(self.rate / 1_000 * LEAST_KEPT), now);
        } else if std::mem::take(&mut self.was_limiting) {
            // A rate that was not used tells nothing about a higher one.
            let most = match self.is_ramping {
                true => MOST_ADDED_AT_FIRST,
                false => MOST_ADDED,
            };
            let added = most * thousandths(target - excess, target) / 1_000;
            self.set(self.rate / 1_000 * (1_000 + added), now);
        }
    }

    fn set(&mut self, rate: u64, now: Instant) {
        self.rate = rate.clamp(MIN_RATE, MAX_RATE);
        self.changed_at = now;
    }
}

fn thousandths(part: Duration, whole: Duration) -> u64 {
    let whole = whole.as_micros().max(1);
    u64::try_from(part.as_micros() * 1_000 / whole).unwrap_or(u64::MAX)
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
            pacer.queued(TOOK, Duration::from_millis(*queue), at(now));
            pacer.rate as f64 / 1e6
        };
        queues.iter().map(rate_after).collect()
    }

    #[test]
    fn the_rate_grows_by_half_until_a_queue_shows_and_then_by_an_eighth() {
        // At 3 Mb/s a block takes 43.69 ms, so that 2.31 of 106 ms are beyond the target: 4
        // thousandths of the 500 ms in which they are to be gone.
        let rates = rates(&[0, 106, 0]);
        assert_eq!(rates[..2], [3.0, 2.988]);
        assert!((rates[2] - 2.988 * 1.12).abs() < 1e-6, "{rates:?}");
    }

    #[test]
    fn the_rate_falls_by_two_fifths_at_most_and_to_a_quarter_megabit() {
        assert_eq!(rates(&[10_000, 10_000])[..], [1.2, 0.72]);
        assert_eq!(rates(&[10_000; 40])[39], 0.256);
    }

    #[test]
    fn a_queue_is_drained_by_less_than_what_the_uplink_carries() {
        let mut pacer = Pacer::new(at(0));
        let mut base = Base::new(at(0));
        pacer.rate = 8_000_000;
        // Two pings with 100 kB between them arrive 200 ms apart: 4 Mb/s.
        for (sent, left) in [(0, 1_000), (100_000, 1_100)] {
            base.pinged_at = at(left);
            base.sent_before = Some(sent);
            let outward = if sent == 0 { 0 } else { 100_000 };
            pacer.answered(&mut base, TOOK, outward, at(left) + TOOK);
        }
        assert_eq!(pacer.delivered, 4_000_000);
        // A block takes 16.384 ms at 8 Mb/s, so that 76.384 ms are the target; 500 ms drain it.
        pacer.queued(TOOK, Duration::from_micros(126_384), at(1_120));
        assert_eq!(
            pacer.rate, 4_800_000,
            "three fifths of the rate are the least"
        );
        pacer.queued(
            TOOK,
            Duration::from_micros(60_000 + 27_307 + 50_000),
            at(1_300),
        );
        assert_eq!(pacer.rate, 3_600_000, "nine tenths of what is carried");
    }

    #[test]
    fn a_rate_that_was_not_used_does_not_grow() {
        let mut pacer = Pacer::new(at(0));
        assert_eq!(pacer.may_send(at(200)), Ok(()));
        pacer.queued(TOOK, Duration::ZERO, at(200));
        assert_eq!(pacer.rate, INITIAL_RATE);
    }

    #[test]
    fn the_rate_changes_once_in_100_ms_and_by_pings_that_left_after_the_last_change() {
        for (took, waits) in [(20, 100), (300, 300)] {
            let mut pacer = Pacer::new(at(1_000));
            let mut hear = |millis: u64| {
                let queue = Duration::from_secs(10);
                pacer.queued(Duration::from_millis(took), queue, at(1_000 + millis));
                pacer.rate
            };
            assert_eq!(hear(waits - 1), 2_000_000);
            assert_eq!(hear(waits), 1_200_000);
            assert_eq!(hear(2 * waits - 1), 1_200_000);
            assert_eq!(hear(2 * waits), 720_000);
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
