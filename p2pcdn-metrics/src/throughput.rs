//! How fast HTTP is.

use std::time::Duration;

use p2pcdn_wire::{BitRate, Instant};

use crate::decay::{DecayingMean, ONE, remaining, scale};

/// How a [`Throughput`] weighs its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThroughputConfig {
    /// What is assumed before anything was measured. Default 1 Mb/s: what hls.js and Shaka Player
    /// assume to within a factor of two.
    pub prior: BitRate,
    /// Transfer time after which a sample counts half in the quick mean. Default 2 s, as in Shaka
    /// Player.
    pub fast_half_life: Duration,
    /// Transfer time after which a sample counts half in the steady mean. Default 5 s, as in
    /// Shaka Player.
    pub slow_half_life: Duration,
    /// Time without a transfer after which what was measured counts half. Default
    /// 60 s: a viewer that is well served by its neighbours uses HTTP about once in 40 s. Zero
    /// trusts nothing but the sample of this very moment.
    pub age_half_life: Duration,
    /// Bytes below which a transfer tells about latency rather than about rate and is not
    /// counted. Default 16 KiB, as in Shaka Player; also the length of one block.
    pub min_sample_len: u64,
    /// Bytes that must have been counted before the prior is left. Default 128 KiB, as in Shaka
    /// Player: about what TCP needs to leave slow start. Zero leaves it with the first sample.
    pub min_total_len: u64,
}

impl Default for ThroughputConfig {
    fn default() -> Self {
        Self {
            prior: BitRate::from_bps(1_000_000),
            fast_half_life: Duration::from_secs(2),
            slow_half_life: Duration::from_secs(5),
            age_half_life: Duration::from_secs(60),
            min_sample_len: 16 * 1024,
            min_total_len: 128 * 1024,
        }
    }
}

/// Estimates the throughput of HTTP from its transfers, quick to believe that it became slower and
/// slow to believe that it became faster.
///
/// Two exponentially weighted means with half-lives of their own, each sample weighted by the time
/// that its transfer took; the estimate is the smaller one (the idea of Shaka Player's
/// `EwmaBandwidthEstimator`). Beside it stands how far samples were from the estimate, and a
/// confidence that grows with the time measured and decays with age, because a viewer that its
/// neighbours serve well measures HTTP rarely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throughput {
    config: ThroughputConfig,
    fast: DecayingMean,
    slow: DecayingMean,
    /// Mean distance of a sample from the estimate before it, relative to the larger of the two,
    /// in units of 1 / `ONE`.
    deviation: u64,
    /// Saturates.
    total_len: u64,
    latest_at: Instant,
}

impl Throughput {
    /// An estimator that has measured nothing.
    #[must_use]
    pub fn new(config: ThroughputConfig) -> Self {
        Self {
            config,
            fast: DecayingMean::default(),
            slow: DecayingMean::default(),
            deviation: INITIAL_DEVIATION,
            total_len: 0,
            latest_at: Instant::EPOCH,
        }
    }

    /// Tells that a transfer of `bytes` took `duration` from its first byte to its last, the last
    /// at `now`.
    ///
    /// Transfers shorter than [`ThroughputConfig::min_sample_len`] are not counted. Several
    /// transfers that shared the line are best told as one, or the line looks slower than it is.
    pub fn record(&mut self, bytes: u64, duration: Duration, now: Instant) {
        if bytes < self.config.min_sample_len || bytes == 0 {
            return;
        }
        let duration = duration.max(MIN_DURATION);
        let sample = BitRate::from_transfer(bytes, duration).as_bps();
        let slow_kept = remaining(duration, self.config.slow_half_life);
        if let Some(mean) = self.slow.mean() {
            let distance = u128::from(sample.abs_diff(mean)) * u128::from(ONE)
                / u128::from(sample.max(mean).max(1));
            let distance = u64::try_from(distance).unwrap_or(ONE).min(ONE);
            self.deviation = scale(self.deviation, slow_kept) + scale(distance, ONE - slow_kept);
        }
        let aged = self.aged(now.saturating_sub(duration));
        self.fast.fade(aged);
        self.slow.fade(aged);
        self.fast
            .add(sample, remaining(duration, self.config.fast_half_life));
        self.slow.add(sample, slow_kept);
        self.total_len = self.total_len.saturating_add(bytes);
        self.latest_at = self.latest_at.max(now);
    }

    /// The throughput to expect, however old the measurements are;
    /// [`ThroughputConfig::prior`] while too little was measured.
    #[must_use]
    pub fn estimate(&self) -> BitRate {
        if self.total_len < self.config.min_total_len {
            return self.config.prior;
        }
        match (self.fast.mean(), self.slow.mean()) {
            (Some(fast), Some(slow)) => BitRate::from_bps(fast.min(slow)),
            _ => self.config.prior,
        }
    }

    /// How far the estimate is to be trusted: from 0, nothing was measured or it is long ago, to
    /// 1, measured over much more than the slow half-life and just now.
    #[must_use]
    pub fn confidence(&self, now: Instant) -> f64 {
        self.confidence_fixed(now) as f64 / ONE as f64
    }

    /// The throughput that HTTP will hardly fall below: the estimate, lowered by twice the mean
    /// deviation and by the lack of confidence.
    ///
    /// A steady line measured just now is close to its estimate; one that was steady long ago is
    /// at half of it; the least is a quarter.
    #[must_use]
    pub fn pessimistic(&self, now: Instant) -> BitRate {
        let doubt = ONE - self.confidence_fixed(now);
        let divisor = ONE + 2 * self.deviation.min(ONE) + doubt;
        let lowered = u128::from(self.estimate().as_bps()) * u128::from(ONE) / u128::from(divisor);
        BitRate::from_bps(u64::try_from(lowered).unwrap_or(u64::MAX))
    }

    /// When the latest counted transfer ended; `None` when there was none.
    #[must_use]
    pub fn measured_at(&self) -> Option<Instant> {
        (self.total_len > 0).then_some(self.latest_at)
    }

    fn confidence_fixed(&self, now: Instant) -> u64 {
        if self.total_len < self.config.min_total_len {
            return 0;
        }
        scale(self.slow.weight(), self.aged(now))
    }

    fn aged(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.latest_at);
        remaining(age, self.config.age_half_life)
    }
}

impl Default for Throughput {
    fn default() -> Self {
        Self::new(ThroughputConfig::default())
    }
}

/// The deviation assumed of a line that was measured once: half, as RFC 6298 section 2.2 does for
/// round-trip times.
const INITIAL_DEVIATION: u64 = ONE / 2;

/// Transfers count as at least this long: timers of browsers are this coarse, and a response out
/// of a local cache tells nothing about the line.
const MIN_DURATION: Duration = Duration::from_millis(1);

// A session has 2 KiB for all of its metrics.
const _: () = assert!(size_of::<Throughput>() <= 256);
