//! How a figure is spread over viewers.

use serde::Serialize;

/// All `None` when there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl Quantiles {
    /// Of these values, by nearest rank.
    #[must_use]
    pub fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let sum: f64 = sorted.iter().sum();
        Self {
            mean: (!sorted.is_empty()).then(|| sum / sorted.len() as f64),
            p50: nearest_rank(&sorted, 0.5),
            p95: nearest_rank(&sorted, 0.95),
            p99: nearest_rank(&sorted, 0.99),
        }
    }
}

/// The least of the values that at least this share of them does not exceed; `None` without any.
#[must_use]
pub fn nearest_rank<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_of_the_nearest_rank() {
        // Out of order on purpose: 1 to 200.
        let values = (1..=200).rev().map(f64::from);
        let expected = Quantiles {
            mean: Some(100.5),
            p50: Some(100.0),
            p95: Some(190.0),
            p99: Some(198.0),
        };
        assert_eq!(Quantiles::new(values), expected);
    }

    #[test]
    fn one_value_is_all_quantiles_and_none_has_none() {
        let one = Quantiles::new([7.0].into_iter());
        assert_eq!(
            (one.p50, one.p99, one.mean),
            (Some(7.0), Some(7.0), Some(7.0))
        );
        assert_eq!(Quantiles::new([].into_iter()), Quantiles::default());
    }
}
