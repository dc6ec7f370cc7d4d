//! Randomness from outside of the viewers: the same in both worlds, whatever happens in them.
//!
//! Nothing here has a state that one decision could shift for the next: each draw is named by what
//! it is for, so that a twin's third time to first byte is that of its viewer's third.

use std::time::Duration;

use p2pcdn::wire::{Instant, mix};

use crate::tally::SegmentKey;

/// The source of draws of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws(u64);

impl Draws {
    /// The draws of the run with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x7065_6572))
    }

    /// The draws for one purpose.
    #[must_use]
    pub fn of(self, purpose: &str) -> Self {
        let hash = purpose
            .bytes()
            .fold(self.0, |state, byte| mix(state ^ u64::from(byte)));
        Self(hash)
    }

    /// The draws for the one of this number.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number.wrapping_add(1))))
    }

    /// For the time to first byte of a request for a segment: the same in both worlds for the same
    /// segment and try, whatever came before.
    #[must_use]
    pub fn segment_ttfb(self, person: u32, segment: SegmentKey, attempt: u64) -> u64 {
        let draws = self.of("segment ttfb").nth(u64::from(person));
        let draws = draws.nth(u64::from(segment.track)).nth(segment.ordinal);
        draws.nth(attempt).bits()
    }

    /// The same for a request for a manifest at `now`: viewers poll at the same moments in both
    /// worlds.
    #[must_use]
    pub fn manifest_ttfb(self, person: u32, now: Instant) -> u64 {
        let moment = u64::try_from(now.since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let draws = self.of("manifest ttfb").nth(u64::from(person));
        draws.nth(moment).bits()
    }

    /// 64 bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        mix(self.0 ^ 0x6269_7473)
    }

    /// Uniform in 0..1.
    #[must_use]
    pub fn unit(self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    #[must_use]
    pub fn chance(self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number below `count`, which is not zero.
    #[must_use]
    pub fn below(self, count: u64) -> u64 {
        self.bits() % count
    }

    /// Standard normal.
    #[must_use]
    pub fn normal(self) -> f64 {
        let radius = (-2.0 * (1.0 - self.nth(0).unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.nth(1).unit()).cos()
    }

    /// Log-normal with this median; `sigma` is the standard deviation of its logarithm.
    #[must_use]
    pub fn log_normal(self, median: Duration, sigma: f64) -> Duration {
        median.mul_f64((sigma * self.normal()).exp())
    }

    /// Exponential with this mean.
    #[must_use]
    pub fn exponential(self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}
