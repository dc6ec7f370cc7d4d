//! A last-mile line: a queue whose rate wanders.

use std::time::Duration;

use p2pcdn::wire::{BitRate, Instant, mix};

use crate::{draw::Draws, scenario::Variation};

/// One direction of an access line: first in, first out, at a rate that is constant for a second at
/// a time.
///
/// The rate of a second is computed from draws named by that second, never stored and never
/// dependent on what was sent, so that both worlds meet the same dips at the same moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    seed: u64,
    nominal: u64,
    /// What is left of the rate in a dip, in bits per second.
    in_dip: u64,
    free_at: Instant,
    /// The rate of second `cached_step`.
    cached_rate: u64,
    cached_step: u32,
    /// Zero: constant.
    sigma: f32,
    least: f32,
    most: f32,
    dips_per_second: f32,
    dip_length: f32,
}

const _: () = assert!(
    size_of::<Line>() <= 64,
    "a large world has a million of them"
);

impl Line {
    /// An idle line. `bitrate` is the highest of the content, by which dips are measured.
    #[must_use]
    pub fn new(nominal: BitRate, variation: Variation, bitrate: BitRate, draws: Draws) -> Self {
        let mut line = Self {
            seed: draws.bits(),
            nominal: nominal.as_bps().max(LEAST_BPS),
            in_dip: 0,
            free_at: Instant::EPOCH,
            cached_rate: nominal.as_bps().max(LEAST_BPS),
            cached_step: u32::MAX,
            sigma: 0.0,
            least: 1.0,
            most: 1.0,
            dips_per_second: 0.0,
            dip_length: 0.0,
        };
        match variation {
            Variation::Constant => {}
            Variation::Wandering { sigma, least, most } => {
                (line.sigma, line.least, line.most) = (sigma as f32, least as f32, most as f32);
            }
            Variation::Fading {
                sigma,
                depth,
                per_minute,
                length,
            } => {
                (line.sigma, line.least, line.most) = (sigma as f32, 0.5, 1.5);
                line.in_dip = (bitrate.as_bps() as f64 * depth) as u64;
                line.dips_per_second = (per_minute / 60.0).clamp(0.0, 1.0) as f32;
                line.dip_length = length.as_secs_f32().min(LONGEST_DIP);
            }
        }
        line
    }

    /// Sends `bytes` at `now`, behind all that was sent before: when the last bit has passed.
    pub fn pass(&mut self, bytes: u64, now: Instant) -> Instant {
        let mut at = self.free_at.max(now);
        // Bits times nanoseconds per second, so that division by bits per second gives nanoseconds.
        let mut work = bytes.saturating_mul(8_000_000_000);
        loop {
            let (step, ends_in) = self.step(at);
            let rate = self.rate_of(step);
            let need = work.div_ceil(rate);
            if need <= ends_in {
                at += Duration::from_nanos(need);
                break;
            }
            work -= ends_in * rate;
            at += Duration::from_nanos(ends_in);
        }
        self.free_at = at;
        at
    }

    /// How long what was sent so far will still take.
    #[must_use]
    pub fn backlog(&self, now: Instant) -> Duration {
        self.free_at.saturating_duration_since(now)
    }

    /// The rate at this moment.
    #[must_use]
    pub fn rate_at(&self, at: Instant) -> BitRate {
        let (step, _) = self.step(at);
        BitRate::from_bps(self.compute(step))
    }

    /// The rate that the line was made with, about which it wanders.
    #[must_use]
    pub fn nominal(&self) -> BitRate {
        BitRate::from_bps(self.nominal)
    }

    /// The second of the line's own clock, and the nanoseconds left of it. Each line's seconds
    /// begin elsewhere, or all would change at once.
    fn step(&self, at: Instant) -> (u32, u64) {
        let since = at.since_epoch() + Duration::from_nanos(self.seed % SECOND);
        (
            u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
            SECOND - u64::from(since.subsec_nanos()),
        )
    }

    fn rate_of(&mut self, step: u32) -> u64 {
        if step != self.cached_step {
            self.cached_rate = self.compute(step);
            self.cached_step = step;
        }
        self.cached_rate
    }

    fn compute(&self, step: u32) -> u64 {
        if self.sigma <= 0.0 && self.dips_per_second <= 0.0 {
            return self.nominal;
        }
        let rate = (self.nominal as f64 * self.factor(step)) as u64;
        let rate = if self.is_in_dip(step) {
            rate.min(self.in_dip)
        } else {
            rate
        };
        rate.max(LEAST_BPS)
    }

    /// A log-normal factor with mean 1 whose logarithm is the weighted sum of the innovations of
    /// the last [`MEMORY`] seconds: a first-order autoregression, cut off where its memory is 13 %.
    /// Innovations are uniform, and their sum is close to normal.
    fn factor(&self, step: u32) -> f64 {
        let mut sum = 0.0;
        let mut squares = 0.0;
        let mut weight = 1.0;
        for age in 0..MEMORY {
            let uniform = unit(self.seed, u64::from(step.wrapping_sub(age)));
            // Of variance 1.
            sum += weight * (uniform - 0.5) * 12f64.sqrt();
            squares += weight * weight;
            weight *= PERSISTENCE;
        }
        let sigma = f64::from(self.sigma);
        let factor = (sigma * sum / squares.sqrt() - sigma * sigma / 2.0).exp();
        factor.clamp(f64::from(self.least), f64::from(self.most))
    }

    /// Time is cut into slots of half the mean distance of two dips; in every second one, by lot, a
    /// dip begins somewhere and lasts between half and one and a half times the usual length.
    fn is_in_dip(&self, step: u32) -> bool {
        if self.dips_per_second <= 0.0 {
            return false;
        }
        let slot_len = 0.5 / f64::from(self.dips_per_second);
        let now = f64::from(step);
        let slot = (now / slot_len) as u64;
        let reach = (1.5 * f64::from(self.dip_length) / slot_len) as u64 + 1;
        (slot.saturating_sub(reach)..=slot).any(|slot| {
            let draw = |what: u64| unit(self.seed ^ DIPS, slot * 4 + what);
            let start = (slot as f64 + draw(1)) * slot_len;
            let length = f64::from(self.dip_length) * (0.5 + draw(2));
            draw(0) < 0.5 && (start..start + length).contains(&now)
        })
    }
}

const SECOND: u64 = 1_000_000_000;

/// No line stands still for good, so that `pass` comes to an end: 16 kb/s, about what a radio link
/// at the edge of its cell still carries.
const LEAST_BPS: u64 = 16_000;

/// Correlation of the rates of two consecutive seconds.
const PERSISTENCE: f64 = 0.775;

/// In seconds.
const MEMORY: u32 = 8;

/// In seconds; with at most one dip a second this bounds the slots that are looked at.
const LONGEST_DIP: f32 = 30.0;

const DIPS: u64 = 0x6469_7073;

fn unit(seed: u64, number: u64) -> f64 {
    (mix(seed ^ mix(number)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBPS: u64 = 1_000_000;
    const WANDERING: Variation = Variation::Wandering {
        sigma: 0.15,
        least: 0.7,
        most: 1.3,
    };
    const FADING: Variation = Variation::Fading {
        sigma: 0.1,
        depth: 0.5,
        per_minute: 2.0,
        length: Duration::from_secs(4),
    };

    fn line(mbps: u64, variation: Variation, number: u64) -> Line {
        Line::new(
            BitRate::from_bps(mbps * MBPS),
            variation,
            BitRate::from_bps(3 * MBPS),
            Draws::new(1).nth(number),
        )
    }

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    /// Rates of this many consecutive seconds in Mb/s.
    fn rates(line: &Line, seconds: u64) -> Vec<f64> {
        (0..seconds)
            .map(|second| line.rate_at(at(second * 1_000)).as_bps() as f64 / 1e6)
            .collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Correlation of each value with the one `lag` later.
    fn correlation(values: &[f64], lag: usize) -> f64 {
        let centre = mean(values);
        let cover = |lag: usize| {
            values
                .iter()
                .zip(&values[lag..])
                .map(|(a, b)| (a - centre) * (b - centre))
                .sum::<f64>()
        };
        cover(lag) / cover(0)
    }

    #[test]
    fn messages_queue_behind_each_other() {
        let mut line = line(8, Variation::Constant, 0);
        assert_eq!(line.pass(1_000, at(0)), at(1));
        assert_eq!(line.pass(1_000, at(0)), at(2));
        assert_eq!(line.backlog(at(0)), Duration::from_millis(2));
        assert_eq!(line.backlog(at(5)), Duration::ZERO);
        assert_eq!(line.pass(3_000_000, at(10)), at(3_010));
    }

    #[test]
    fn nothing_passes_at_once() {
        assert_eq!(line(8, WANDERING, 0).pass(0, at(7)), at(7));
    }

    #[test]
    fn what_passes_is_the_integral_of_the_rate() {
        let mut line = line(10, WANDERING, 3);
        let done = line.pass(20_000_000, at(500));
        // Summed in steps of a millisecond.
        let mut bits = 0.0;
        let mut now = at(500);
        while bits < 160e6 {
            bits += line.rate_at(now).as_bps() as f64 / 1e3;
            now += Duration::from_millis(1);
        }
        let error = done.since_epoch().abs_diff(now.since_epoch());
        assert!(error < Duration::from_millis(10), "{error:?}");
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_split() {
        let mut whole = line(5, FADING, 4);
        let mut split = whole.clone();
        let once = whole.pass(8_000_000, at(0));
        let last = (0..500).map(|_| split.pass(16_000, at(0))).last().unwrap();
        // Each message ends on a whole nanosecond.
        assert!(last.since_epoch().abs_diff(once.since_epoch()) <= Duration::from_nanos(500));
    }

    #[test]
    fn the_past_does_not_change_the_rate() {
        let fresh = line(5, FADING, 5);
        let mut used = fresh.clone();
        used.pass(50_000_000, at(0));
        for second in (0..100).rev() {
            assert_eq!(
                used.rate_at(at(second * 997)),
                fresh.rate_at(at(second * 997))
            );
        }
    }

    #[test]
    fn a_wandering_rate_stays_in_its_band_about_the_nominal() {
        let all: Vec<f64> = (0..50)
            .flat_map(|n| rates(&line(10, WANDERING, n), 400))
            .collect();
        assert!(all.iter().all(|rate| (6.999..13.001).contains(rate)));
        assert!((mean(&all) - 10.0).abs() < 0.15, "{}", mean(&all));
        let variance = mean(
            &all.iter()
                .map(|rate| (rate - 10.0).powi(2))
                .collect::<Vec<_>>(),
        );
        // A little below the 0.15 of the log-normal, the ends being cut at two deviations.
        assert!(
            (1.3..1.55).contains(&variance.sqrt()),
            "{}",
            variance.sqrt()
        );
    }

    #[test]
    fn a_wandering_rate_forgets_over_seconds() {
        let wide = Variation::Wandering {
            sigma: 0.15,
            least: 0.1,
            most: 9.0,
        };
        let all = rates(&line(10, wide, 2), 20_000);
        // For weights 0.775^i over 8 seconds, by hand: the sum of w(i) w(i + lag) over that of
        // w(i)^2 is 0.775^lag (1 - 0.775^(2 (8 - lag))) / (1 - 0.775^16).
        for (lag, expected) in [(1, 0.766), (3, 0.435), (8, 0.0)] {
            let found = correlation(&all, lag);
            assert!((found - expected).abs() < 0.05, "{lag}: {found}");
        }
    }

    #[test]
    fn lines_wander_apart() {
        let (a, b) = (
            rates(&line(10, WANDERING, 1), 100),
            rates(&line(10, WANDERING, 2), 100),
        );
        assert!(a.iter().zip(&b).all(|(a, b)| a != b));
    }

    #[test]
    fn dips_come_as_often_and_last_as_long_as_asked() {
        let mut below = 0;
        let mut dips = 0;
        for number in 0..40 {
            let is_dip: Vec<bool> = rates(&line(10, FADING, number), 1_200)
                .iter()
                .map(|rate| *rate <= 1.5)
                .collect();
            below += is_dip.iter().filter(|dip| **dip).count();
            dips += is_dip.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        }
        // 800 minutes with two dips each of 4 s; some of them touch.
        assert!((1_300..1_650).contains(&dips), "{dips}");
        assert!((5_600..6_700).contains(&below), "{below}");
    }

    #[test]
    fn a_dead_line_still_ends_what_it_began() {
        let mut dead = line(0, Variation::Constant, 0);
        assert_eq!(dead.pass(16_000, at(0)), at(8_000));
        let silent = Variation::Fading {
            sigma: 0.0,
            depth: 0.0,
            per_minute: 60.0,
            length: Duration::from_secs(60),
        };
        assert!(line(10, silent, 0).pass(20_000, at(100_000)) > at(101_000));
    }
}
