//! Exponential decay in integers, so that every target computes the same figures: `powf` and
//! `exp2` of different platforms differ in the last bits.

use std::time::Duration;

/// The number one, in fixed point with 32 fractional bits.
pub(crate) const ONE: u64 = 1 << 32;

/// What remains of one after `elapsed`: 2^(-elapsed / half_life), in units of 1 / [`ONE`].
///
/// A zero `half_life` forgets at once.
pub(crate) fn remaining(elapsed: Duration, half_life: Duration) -> u64 {
    let half_life = half_life.as_nanos();
    let Some(whole) = elapsed.as_nanos().checked_div(half_life) else {
        return if elapsed.is_zero() { ONE } else { 0 };
    };
    let Some(mut rest) = u32::try_from(whole)
        .ok()
        .and_then(|whole| ONE.checked_shr(whole))
    else {
        return 0;
    };
    let fraction = ((elapsed.as_nanos() % half_life) << FRACTION_BITS) / half_life;
    for (place, root) in ROOTS.iter().enumerate() {
        if fraction & (1 << (FRACTION_BITS - 1 - place)) != 0 {
            rest = (rest * root) >> 32;
        }
    }
    rest
}

/// `value` times `factor`, which is at most [`ONE`].
pub(crate) fn scale(value: u64, factor: u64) -> u64 {
    let scaled = (u128::from(value) * u128::from(factor)) >> 32;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// A mean whose older samples count for less, with its bias towards zero corrected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DecayingMean {
    /// Decayed sum of the samples, in units of 1 / `ONE`.
    sum: u128,
    /// What a constant sample of one would have summed up to; at most `ONE`.
    norm: u64,
}

impl DecayingMean {
    /// Adds a sample that leaves `kept` (at most `ONE`) of what was there before.
    pub(crate) fn add(&mut self, value: u64, kept: u64) {
        let kept = kept.min(ONE);
        self.fade(kept);
        let new = ONE - kept;
        self.sum += u128::from(value) * u128::from(new);
        self.norm = (self.norm + new).min(ONE);
    }

    /// Lets the samples so far count for `kept` of what they did; the mean stays as it is.
    pub(crate) fn fade(&mut self, kept: u64) {
        // In two halves: the sum has up to 96 bits.
        let kept = kept.min(ONE);
        let (high, low) = (self.sum >> 32, self.sum & u128::from(u32::MAX));
        self.sum = high * u128::from(kept) + ((low * u128::from(kept)) >> 32);
        self.norm = scale(self.norm, kept);
    }

    /// The mean, `None` without samples.
    pub(crate) fn mean(&self) -> Option<u64> {
        let mean = self.sum.checked_div(u128::from(self.norm))?;
        Some(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// How much the samples so far weigh, up to `ONE`.
    pub(crate) fn weight(&self) -> u64 {
        self.norm
    }
}

/// Binary places of a fraction of a half-life: a sample of 1 ms under a half-life of a minute is
/// still known to 0.4 %.
const FRACTION_BITS: usize = 24;

/// 2^(-1/2), 2^(-1/4), 2^(-1/8), ...
const ROOTS: [u64; FRACTION_BITS] = {
    let mut roots = [0; FRACTION_BITS];
    let mut root = ONE / 2;
    let mut place = 0;
    while place < FRACTION_BITS {
        root = (root << 32).isqrt();
        roots[place] = root;
        place += 1;
    }
    roots
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn halves_once_in_a_half_life() {
        assert_eq!(remaining(Duration::ZERO, MINUTE), ONE);
        assert_eq!(remaining(MINUTE, MINUTE), ONE / 2);
        assert_eq!(remaining(MINUTE * 3, MINUTE), ONE / 8);
        assert_eq!(remaining(MINUTE * 33, MINUTE), 0);
        assert_eq!(remaining(Duration::MAX, Duration::from_nanos(1)), 0);
        assert_eq!(remaining(Duration::MAX, Duration::MAX), ONE / 2);
    }

    #[test]
    fn a_zero_half_life_forgets_at_once() {
        assert_eq!(remaining(Duration::ZERO, Duration::ZERO), ONE);
        assert_eq!(remaining(Duration::from_nanos(1), Duration::ZERO), 0);
    }

    #[test]
    fn the_mean_of_equal_samples_is_that_sample() {
        let mut mean = DecayingMean::default();
        assert_eq!(mean.mean(), None);
        mean.add(1_000, ONE / 2);
        assert_eq!(mean.mean(), Some(1_000));
        mean.add(1_000, ONE / 4);
        assert_eq!(mean.mean(), Some(1_000));
        assert_eq!(mean.weight(), ONE / 8 + ONE * 3 / 4);
    }

    #[test]
    fn the_largest_samples_do_not_overflow() {
        let mut mean = DecayingMean::default();
        for _ in 0..100 {
            mean.add(u64::MAX, ONE - 1);
            mean.add(u64::MAX, 0);
        }
        assert_eq!(mean.mean(), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn agrees_with_floating_point(elapsed_ms in 0u64..600_000, half_life_ms in 500u64..120_000) {
            let exact = 0.5f64.powf(elapsed_ms as f64 / half_life_ms as f64);
            let ours = remaining(
                Duration::from_millis(elapsed_ms),
                Duration::from_millis(half_life_ms),
            ) as f64 / ONE as f64;
            prop_assert!((ours - exact).abs() < 1e-6, "{ours} {exact}");
        }

        #[test]
        fn never_grows_with_time(a in 0u64..600_000, b in 0u64..600_000) {
            let (early, late) = (a.min(b), a.max(b));
            let at = |ms| remaining(Duration::from_millis(ms), Duration::from_secs(7));
            prop_assert!(at(late) <= at(early));
        }

        #[test]
        fn the_mean_stays_between_its_samples(
            samples in prop::collection::vec((1_000u64..1_000_000_000, 0u64..ONE * 99 / 100), 1..50),
        ) {
            let mut mean = DecayingMean::default();
            for (value, kept) in &samples {
                mean.add(*value, *kept);
            }
            let least = samples.iter().map(|(value, _)| *value).min().unwrap();
            let most = samples.iter().map(|(value, _)| *value).max().unwrap();
            let mean = mean.mean().unwrap();
            // Rounding in 32 binary places.
            prop_assert!(mean + mean / 100_000 + 1 >= least && mean <= most + most / 100_000 + 1);
        }
    }
}
