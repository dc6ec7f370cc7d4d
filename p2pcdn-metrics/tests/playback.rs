//! What the playback counters make of a viewer's evening.

use std::time::Duration;

use p2pcdn_metrics::{Playback, PlaybackFigures, PlaybackInput, Snapshot};
use p2pcdn_wire::Instant;
use proptest::prelude::*;

use PlaybackInput::{Resumed, Stalled, Started};

fn at(ms: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(ms))
}

fn played(ms: u64) -> PlaybackInput {
    PlaybackInput::Played {
        duration: Duration::from_millis(ms),
        latency: None,
    }
}

fn played_live(ms: u64, latency_ms: u64) -> PlaybackInput {
    PlaybackInput::Played {
        duration: Duration::from_millis(ms),
        latency: Some(Duration::from_millis(latency_ms)),
    }
}

/// A viewer who wished to play at 1 s and did this.
fn figures(inputs: &[(u64, PlaybackInput)], now_ms: u64) -> PlaybackFigures {
    let mut playback = Playback::new(at(1_000));
    for (ms, input) in inputs {
        playback.handle_input(*input, at(*ms));
    }
    playback.figures(at(now_ms))
}

#[test]
fn startup_is_apart_from_stalls() {
    let inputs = [
        (1_200, Stalled),
        (1_400, Resumed),
        (1_500, Started),
        (9_500, played(8_000)),
        (9_500, Stalled),
        (11_500, Resumed),
    ];
    let figures = figures(&inputs, 20_000);
    assert_eq!(figures.startup_delay(), Some(Duration::from_millis(500)));
    assert_eq!(figures.stall_count, 1);
    assert_eq!(figures.stalled(), Duration::from_secs(2));
    assert_eq!(figures.played(), Duration::from_secs(8));
    assert_eq!(figures.rebuffer_ratio(), Some(0.2));
    assert_eq!(figures.latency(), None);
}

#[test]
fn a_viewer_who_never_saw_a_frame_has_no_figures() {
    let figures = figures(&[(2_000, Stalled)], 60_000);
    assert_eq!(figures, PlaybackFigures::default());
    assert_eq!(figures.startup_delay(), None);
    assert_eq!(figures.rebuffer_ratio(), None);
}

#[test]
fn a_stall_that_goes_on_is_counted_up_to_now() {
    let inputs = [(1_000, Started), (3_000, Stalled), (4_000, Stalled)];
    let open = figures(&inputs, 10_000);
    assert_eq!(
        (open.stall_count, open.stalled()),
        (1, Duration::from_secs(7))
    );
    assert_eq!(open.rebuffer_ratio(), Some(1.0));
    assert_eq!(figures(&inputs, 3_500).stalled(), Duration::from_secs(1));
}

#[test]
fn playing_starts_and_resumes_by_itself() {
    let inputs = [(1_300, played(100)), (2_000, Stalled), (2_600, played(100))];
    let figures = figures(&inputs, 9_000);
    assert_eq!(figures.startup_delay(), Some(Duration::from_millis(300)));
    assert_eq!(figures.stalled(), Duration::from_millis(600));
    assert_eq!(figures.played(), Duration::from_millis(200));
}

#[test]
fn what_is_out_of_place_changes_nothing() {
    let inputs = [
        (1_100, Started),
        (5_000, Started),
        (6_000, Resumed),
        (7_000, Resumed),
    ];
    let figures = figures(&inputs, 9_000);
    assert_eq!(figures.startup_delay(), Some(Duration::from_millis(100)));
    assert_eq!((figures.started_count, figures.stall_count), (1, 0));
}

#[test]
fn latency_is_weighted_by_time_played() {
    // Six seconds at 6 s, two at 10 s, and eight at a latency nobody knows: (36 + 20) / 8.
    let inputs = [
        (1_000, played_live(6_000, 6_000)),
        (7_000, played_live(2_000, 10_000)),
        (9_000, played(8_000)),
    ];
    let figures = figures(&inputs, 20_000);
    assert_eq!(figures.latency(), Some(Duration::from_secs(7)));
    assert_eq!(figures.played(), Duration::from_secs(16));
}

#[test]
fn many_small_reports_lose_nothing() {
    let mut playback = Playback::new(at(0));
    for _ in 0..60_000 {
        let duration = Duration::from_micros(100);
        let latency = Some(Duration::from_millis(3));
        playback.handle_input(PlaybackInput::Played { duration, latency }, at(0));
    }
    let figures = playback.figures(at(0));
    assert_eq!(figures.played(), Duration::from_secs(6));
    assert_eq!(figures.latency(), Some(Duration::from_millis(3)));
}

#[test]
fn figures_of_viewers_add_up_to_means() {
    let quick = figures(
        &[(1_100, Started), (2_000, played_live(3_000, 4_000))],
        9_000,
    );
    let slow = figures(
        &[
            (1_300, Started),
            (1_300, Stalled),
            (2_300, played_live(1_000, 8_000)),
        ],
        9_000,
    );
    let sum: PlaybackFigures = [quick, slow].into_iter().sum();
    assert_eq!(sum.startup_delay(), Some(Duration::from_millis(200)));
    assert_eq!((sum.started_count, sum.stall_count), (2, 1));
    assert_eq!(sum.rebuffer_ratio(), Some(0.2));
    // (3 * 4 + 1 * 8) / 4
    assert_eq!(sum.latency(), Some(Duration::from_secs(5)));
    let snapshot = |playback| Snapshot {
        playback,
        ..Snapshot::default()
    };
    let snapshots: Snapshot = [snapshot(quick), snapshot(slow)].into_iter().sum();
    assert_eq!(snapshots.playback, sum);
}

#[test]
fn time_that_goes_back_counts_as_the_latest() {
    let inputs = [(5_000, Started), (4_000, Stalled), (2_000, Resumed)];
    let figures = figures(&inputs, 0);
    assert_eq!(figures.startup_delay(), Some(Duration::from_secs(4)));
    assert_eq!(
        (figures.stall_count, figures.stalled()),
        (1, Duration::ZERO)
    );
}

fn inputs() -> impl Strategy<Value = Vec<(u64, PlaybackInput)>> {
    let input = prop_oneof![
        Just(Started),
        Just(Stalled),
        Just(Resumed),
        (0u64..5_000).prop_map(played),
        (0u64..5_000, 0u64..60_000).prop_map(|(ms, latency)| played_live(ms, latency)),
    ];
    prop::collection::vec((0u64..10_000, input), 0..60)
}

proptest! {
    #[test]
    fn counters_only_grow_and_stalls_fit_into_the_time_that_passed(steps in inputs()) {
        let mut playback = Playback::new(Instant::EPOCH);
        let mut now = Instant::EPOCH;
        let mut before = playback.figures(now);
        for (pause, input) in steps {
            now += Duration::from_millis(pause);
            playback.handle_input(input, now);
            let after = playback.figures(now);
            prop_assert!(after.stall_count >= before.stall_count);
            prop_assert!(after.stall_micros >= before.stall_micros);
            prop_assert!(after.played_micros >= before.played_micros);
            prop_assert!(after.started_count >= before.started_count);
            let busy = after.stalled() + Duration::from_micros(after.startup_micros);
            prop_assert!(busy <= now.since_epoch());
            if let Some(ratio) = after.rebuffer_ratio() {
                prop_assert!((0.0..=1.0).contains(&ratio));
            }
            if let Some(latency) = after.latency() {
                prop_assert!(latency <= Duration::from_secs(60));
            }
            before = after;
        }
    }

    #[test]
    fn reading_the_figures_changes_nothing(steps in inputs()) {
        let mut read = Playback::new(Instant::EPOCH);
        let mut unread = read.clone();
        let mut now = Instant::EPOCH;
        for (pause, input) in steps {
            now += Duration::from_millis(pause);
            let _ = read.figures(now + Duration::from_secs(5));
            read.handle_input(input, now);
            unread.handle_input(input, now);
        }
        prop_assert_eq!(read, unread);
    }
}
