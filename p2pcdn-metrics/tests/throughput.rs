//! What the throughput estimator makes of known transfers.

use std::time::Duration;

use p2pcdn_metrics::{Throughput, ThroughputConfig};
use p2pcdn_wire::{BitRate, Instant};
use proptest::prelude::*;

const MBPS: u64 = 1_000_000;

fn at(secs: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(secs))
}

/// Tells of one second at each rate, one after the other from the epoch on.
fn seconds_at(mbps: &[u64]) -> Throughput {
    let mut throughput = Throughput::default();
    for (second, mbps) in (1..).zip(mbps) {
        throughput.record(mbps * MBPS / 8, Duration::from_secs(1), at(second));
    }
    throughput
}

#[test]
fn a_steady_line_is_estimated_exactly_from_the_first_transfer_on() {
    for seconds in [1, 2, 10] {
        let throughput = seconds_at(&vec![8; seconds]);
        assert_eq!(throughput.estimate(), BitRate::from_bps(8 * MBPS));
    }
}

#[test]
fn the_quick_mean_leads_downwards_and_the_steady_one_upwards() {
    // After a long time at 8, two seconds (one fast half-life) at 2 leave the quick mean in the
    // middle: 2 + (8 - 2) / 2 = 5.
    let mut down = vec![8; 60];
    down.extend([2, 2]);
    let down = seconds_at(&down).estimate().as_bps();
    assert!(down.abs_diff(5 * MBPS) < MBPS / 1_000, "{down}");
    // Upwards five seconds (one slow half-life) are needed for the middle.
    let mut up = vec![2; 60];
    up.extend([8; 5]);
    let up = seconds_at(&up).estimate().as_bps();
    assert!(up.abs_diff(5 * MBPS) < MBPS / 1_000, "{up}");
}

#[test]
fn the_prior_stands_until_enough_was_measured() {
    let mut throughput = Throughput::new(ThroughputConfig {
        prior: BitRate::from_bps(3 * MBPS),
        ..ThroughputConfig::default()
    });
    assert_eq!(throughput.estimate(), BitRate::from_bps(3 * MBPS));
    assert_eq!(throughput.measured_at(), None);
    throughput.record(128 * 1024 - 1, Duration::from_secs(1), at(1));
    assert_eq!(throughput.estimate(), BitRate::from_bps(3 * MBPS));
    assert_eq!(throughput.confidence(at(1)), 0.0);
    throughput.record(128 * 1024 - 1, Duration::from_secs(1), at(2));
    assert_eq!(
        throughput.estimate(),
        BitRate::from_bps(8 * (128 * 1024 - 1))
    );
    assert!(throughput.confidence(at(2)) > 0.0);
    assert_eq!(throughput.measured_at(), Some(at(2)));
}

#[test]
fn small_transfers_tell_nothing_about_the_rate() {
    let mut throughput = seconds_at(&[8, 8, 8]);
    let before = throughput.clone();
    for _ in 0..100 {
        throughput.record(16 * 1024 - 1, Duration::from_secs(10), at(4));
    }
    assert_eq!(throughput, before);
    throughput.record(16 * 1024, Duration::from_secs(10), at(4));
    assert!(throughput.estimate() < before.estimate());
}

#[test]
fn confidence_grows_with_time_measured_and_halves_in_a_minute() {
    // Five seconds are one slow half-life.
    let throughput = seconds_at(&[8; 5]);
    assert!((throughput.confidence(at(5)) - 0.5).abs() < 1e-6);
    assert!((throughput.confidence(at(65)) - 0.25).abs() < 1e-6);
    assert!((throughput.confidence(at(5 + 600)) - 0.5 / 1024.0).abs() < 1e-6);
    assert_eq!(throughput.estimate(), BitRate::from_bps(8 * MBPS));
}

#[test]
fn the_pessimistic_figure_widens_with_age_from_the_estimate_to_its_half() {
    let throughput = seconds_at(&[8; 300]);
    // 300 s are 60 slow half-lives: nothing is left of the first deviation and doubt.
    let fresh = throughput.pessimistic(at(300)).as_bps();
    assert!(fresh.abs_diff(8 * MBPS) < 1_000, "{fresh}");
    let old = throughput.pessimistic(at(300 + 3_600)).as_bps();
    assert!(old.abs_diff(4 * MBPS) < 1_000, "{old}");
}

#[test]
fn an_uneven_line_is_trusted_less_than_a_steady_one() {
    let steady = seconds_at(&[8; 100]);
    let uneven: Vec<u64> = (0..100)
        .map(|second| if second % 2 == 0 { 4 } else { 12 })
        .collect();
    let uneven = seconds_at(&uneven);
    let share = |throughput: &Throughput| {
        throughput.pessimistic(at(100)).as_bps() as f64 / throughput.estimate().as_bps() as f64
    };
    // Distances of about 4 from 8 relative to 8 or 12: a third to a half, so 1 / (1 + 2 * 0.4).
    assert!((0.45..0.65).contains(&share(&uneven)), "{}", share(&uneven));
    assert!(share(&steady) > 0.99, "{}", share(&steady));
}

#[test]
fn after_a_long_pause_one_transfer_outweighs_the_past() {
    let mut throughput = seconds_at(&[20; 60]);
    throughput.record(MBPS / 8 * 2, Duration::from_secs(1), at(60 + 600));
    let estimate = throughput.estimate().as_bps();
    assert!(estimate < 3 * MBPS, "{estimate}");
}

#[test]
fn absurd_transfers_saturate() {
    let mut throughput = Throughput::default();
    throughput.record(u64::MAX, Duration::ZERO, at(1));
    throughput.record(u64::MAX, Duration::MAX, at(0));
    throughput.record(0, Duration::ZERO, at(2));
    assert!(throughput.pessimistic(at(0)) <= throughput.estimate());
    assert!(throughput.confidence(Instant::EPOCH + Duration::MAX) < 1e-9);
}

#[test]
fn a_zero_threshold_counts_everything_but_empty_transfers() {
    let mut throughput = Throughput::new(ThroughputConfig {
        min_sample_len: 0,
        min_total_len: 0,
        ..ThroughputConfig::default()
    });
    throughput.record(0, Duration::from_secs(1), at(1));
    assert_eq!(throughput.estimate(), ThroughputConfig::default().prior);
    throughput.record(1_000, Duration::from_secs(1), at(1));
    assert_eq!(throughput.estimate(), BitRate::from_bps(8_000));
}

fn transfers() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((200_000u64..20_000_000, 1u64..20_000, 0u64..100_000), 1..40)
}

proptest! {
    #[test]
    fn the_estimate_lies_between_the_slowest_and_the_fastest_transfer(transfers in transfers()) {
        let mut throughput = Throughput::default();
        let mut now = Instant::EPOCH;
        let mut rates = Vec::new();
        for (bytes, duration_ms, pause_ms) in transfers {
            let duration = Duration::from_millis(duration_ms);
            now += duration + Duration::from_millis(pause_ms);
            throughput.record(bytes, duration, now);
            rates.push(BitRate::from_transfer(bytes, duration).as_bps());
        }
        let estimate = throughput.estimate().as_bps();
        let (least, most) = (*rates.iter().min().unwrap(), *rates.iter().max().unwrap());
        prop_assert!(estimate + estimate / 10_000 + 1 >= least, "{estimate} {least}");
        prop_assert!(estimate <= most + most / 10_000 + 1, "{estimate} {most}");
        let pessimistic = throughput.pessimistic(now).as_bps();
        prop_assert!(pessimistic <= estimate && pessimistic >= estimate / 4);
        prop_assert!((0.0..=1.0).contains(&throughput.confidence(now)));
    }

    #[test]
    fn age_only_lowers_confidence_and_the_pessimistic_figure(
        transfers in transfers(),
        first in 0u64..1_000,
        second in 0u64..1_000,
    ) {
        let mut throughput = Throughput::default();
        for (bytes, duration_ms, _) in transfers {
            throughput.record(bytes, Duration::from_millis(duration_ms), at(1));
        }
        let (early, late) = (at(first.min(second)), at(first.max(second)));
        prop_assert!(throughput.confidence(late) <= throughput.confidence(early));
        prop_assert!(throughput.pessimistic(late) <= throughput.pessimistic(early));
    }

    #[test]
    fn a_faster_last_transfer_never_lowers_the_estimate(
        transfers in transfers(),
        bytes in 200_000u64..20_000_000,
        more in 0u64..20_000_000,
    ) {
        let mut slower = Throughput::default();
        for (bytes, duration_ms, _) in transfers {
            slower.record(bytes, Duration::from_millis(duration_ms), at(1));
        }
        let mut faster = slower.clone();
        slower.record(bytes, Duration::from_secs(1), at(2));
        faster.record(bytes + more, Duration::from_secs(1), at(2));
        prop_assert!(slower.estimate() <= faster.estimate());
    }
}
