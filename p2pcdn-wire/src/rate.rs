//! Rates of transfer.

use std::{fmt, time::Duration};

/// A rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(u64);

impl BitRate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// `bits` per second.
    #[must_use]
    pub const fn from_bps(bits: u64) -> Self {
        Self(bits)
    }

    /// Bits per second.
    #[must_use]
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// The rate at which `bytes` take `duration`; saturates, so a zero `duration` is the largest
    /// rate.
    #[must_use]
    pub fn from_transfer(bytes: u64, duration: Duration) -> Self {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        let rate = bits.checked_div(duration.as_nanos()).unwrap_or(u128::MAX);
        Self(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// How long `bytes` take at this rate; [`Duration::MAX`] at rate zero.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        let bit_nanos = u128::from(bytes) * 8 * 1_000_000_000;
        match bit_nanos.checked_div(u128::from(self.0)) {
            Some(nanos) => Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            None => Duration::MAX,
        }
    }

    /// How many whole bytes pass in `duration`.
    #[must_use]
    pub fn bytes_in(self, duration: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(duration.as_nanos()) / 8_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} Mb/s", self.0 as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_agree() {
        let rate = BitRate::from_bps(8_000_000);
        assert_eq!(rate.time_for(1_000_000), Duration::from_secs(1));
        assert_eq!(rate.bytes_in(Duration::from_millis(500)), 500_000);
        assert_eq!(
            BitRate::from_transfer(1_000_000, Duration::from_secs(1)),
            rate
        );
    }

    #[test]
    fn the_ends_saturate() {
        assert_eq!(BitRate::ZERO.time_for(1), Duration::MAX);
        assert_eq!(BitRate::from_transfer(1, Duration::ZERO).as_bps(), u64::MAX);
        assert_eq!(
            BitRate::from_bps(u64::MAX).bytes_in(Duration::MAX),
            u64::MAX
        );
    }
}
