//! Quantiles of the latest durations.

use std::time::Duration;

/// Quantiles of the latest [`Quantiles::WINDOW`] durations, used for the time from an HTTP request
/// to its first byte.
///
/// Errs on the long side. While the window is not full, the prior stands in it as one more sample;
/// between two samples, the longer one is the quantile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantiles {
    prior: u32,
    /// Microseconds. The oldest is at `next` once `count` is the window.
    samples: [u32; Self::WINDOW],
    next: u8,
    count: u8,
}

impl Quantiles {
    /// How many samples are kept: a minute of playlist reloads at 2 s, and enough for the third
    /// longest to lie beyond the 0.9-quantile.
    pub const WINDOW: usize = 32;

    /// Quantiles of no samples yet: all of them are `prior` (kept in microseconds, at most 71
    /// minutes).
    #[must_use]
    pub fn new(prior: Duration) -> Self {
        Self {
            prior: micros(prior),
            samples: [0; Self::WINDOW],
            next: 0,
            count: 0,
        }
    }

    /// Adds a sample (kept in microseconds, at most 71 minutes); the oldest falls out of a full
    /// window.
    pub fn record(&mut self, sample: Duration) {
        self.samples[usize::from(self.next)] = micros(sample);
        self.next = (self.next + 1) % WINDOW;
        self.count = (self.count + 1).min(WINDOW);
    }

    /// The duration that half of the samples exceed.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.quantile(50)
    }

    /// The duration that one sample in 20 exceeds.
    #[must_use]
    pub fn p95(&self) -> Duration {
        self.quantile(95)
    }

    /// The duration that one sample in 100 exceeds, which is the longest in the window.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.quantile(99)
    }

    /// How many samples are in the window, at most [`Quantiles::WINDOW`].
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut samples = self.samples;
        let mut count = self.count();
        if let Some(free) = samples.get_mut(count) {
            *free = self.prior;
            count += 1;
        }
        let samples = &mut samples[..count];
        samples.sort_unstable();
        let index = (count * percent / 100).min(count - 1);
        Duration::from_micros(u64::from(samples[index]))
    }
}

const WINDOW: u8 = 32;

const _: () = assert!(WINDOW as usize == Quantiles::WINDOW);

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRIOR: Duration = Duration::from_millis(300);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn after(samples: impl IntoIterator<Item = u64>) -> Quantiles {
        let mut quantiles = Quantiles::new(PRIOR);
        samples
            .into_iter()
            .for_each(|sample| quantiles.record(ms(sample)));
        quantiles
    }

    #[test]
    fn knows_the_prior_before_any_sample() {
        let none = after([]);
        assert_eq!((none.p50(), none.p95(), none.p99()), (PRIOR, PRIOR, PRIOR));
        assert_eq!(none.count(), 0);
    }

    #[test]
    fn errs_on_the_long_side_of_few_samples() {
        let one = after([20]);
        assert_eq!((one.p50(), one.p95(), one.p99()), (PRIOR, PRIOR, PRIOR));
        // 20, 30 and the prior.
        let two = after([20, 30]);
        assert_eq!((two.p50(), two.p95(), two.p99()), (ms(30), PRIOR, PRIOR));
        let slow = after([900]);
        assert_eq!((slow.p50(), slow.p95()), (ms(900), ms(900)));
    }

    #[test]
    fn forgets_the_prior_when_the_window_is_full() {
        assert_eq!(after(1..=31).p99(), PRIOR);
        let full = after(1..=32);
        // Half of 1..=32 lies at or above 17; a twentieth, 1.6 samples, is exceeded by 32 alone.
        assert_eq!(
            (full.p50(), full.p95(), full.p99()),
            (ms(17), ms(31), ms(32))
        );
    }

    #[test]
    fn the_oldest_sample_falls_out() {
        let mut quantiles = after([5_000]);
        (0..31).for_each(|_| quantiles.record(ms(10)));
        assert_eq!(quantiles.p99(), ms(5_000));
        quantiles.record(ms(10));
        assert_eq!(quantiles.p99(), ms(10));
        assert_eq!(quantiles.count(), Quantiles::WINDOW);
    }

    #[test]
    fn absurd_durations_saturate() {
        let mut quantiles = Quantiles::new(Duration::MAX);
        quantiles.record(Duration::MAX);
        assert_eq!(quantiles.p50(), Duration::from_micros(u64::from(u32::MAX)));
    }

    proptest! {
        #[test]
        fn quantiles_are_ordered_and_are_samples_or_the_prior(
            samples in prop::collection::vec(0u64..10_000, 0..100),
        ) {
            let quantiles = after(samples.iter().copied());
            let latest = &samples[samples.len().saturating_sub(Quantiles::WINDOW)..];
            let (p50, p95, p99) = (quantiles.p50(), quantiles.p95(), quantiles.p99());
            prop_assert!(p50 <= p95 && p95 <= p99);
            for quantile in [p50, p95, p99] {
                prop_assert!(quantile == PRIOR || latest.iter().any(|sample| ms(*sample) == quantile));
            }
            let exceeding = latest.iter().filter(|sample| ms(**sample) > p95).count();
            prop_assert!(exceeding <= 1, "{exceeding} of {}", latest.len());
        }
    }
}
