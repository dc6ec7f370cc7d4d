use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{scenario::ContentKind, testing};

/// Steady from 130 s on, content for 220 s.
fn scenario() -> Scenario {
    late(testing::scenario())
}

fn with_renditions(megabits: &[u64]) -> Scenario {
    late(testing::with_renditions(megabits))
}

fn late(scenario: Scenario) -> Scenario {
    Scenario {
        duration: Duration::from_secs(220),
        steady_from: Duration::from_secs(130),
        ..scenario
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(millis))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key(ordinal: u64) -> SegmentKey {
    SegmentKey { track: 0, ordinal }
}

fn player(scenario: &Scenario) -> Player {
    Player::new(scenario, Arc::new(Media::new(scenario)), at(100_000))
}

/// Arrived 100 s after the start of the clock, when the event had been on for 160 s and 80 segments
/// were published; saw the manifest 0.3 s later, the segment of its playhead 0.5 s after that.
fn playing() -> Player {
    let mut player = player(&scenario());
    player.listed(80, at(100_300));
    assert_eq!(player.next_ordinal(), Some(77));
    player.segment_ready(key(77), at(100_800));
    player
}

fn on_demand(length: Duration) -> Player {
    let mut scenario = scenario();
    scenario.content.kind = ContentKind::OnDemand(length);
    player(&scenario)
}

fn state(player: &Player, now: Instant) -> PlaybackState {
    player.playback(now).state
}

fn position(player: &Player, now: Instant) -> Duration {
    let position = player.playback(now).position;
    position.saturating_duration_since(MediaTime::ZERO)
}

#[test]
fn starts_the_wanted_latency_behind_live_and_startup_adds_to_it() {
    let mut player = player(&scenario());
    assert_eq!(player.latency(at(100_200)), None);
    player.listed(80, at(100_300));
    assert_eq!(player.latency(at(100_300)), Some(ms(6_000)));
    assert_eq!(position(&player, at(100_300)), ms(154_300));
    assert_eq!(state(&player, at(100_300)), PlaybackState::Starting);
    player.segment_ready(key(78), at(100_700));
    assert_eq!(state(&player, at(100_700)), PlaybackState::Starting);
    player.segment_ready(key(77), at(100_800));
    assert_eq!(state(&player, at(100_800)), PlaybackState::Playing);
    assert_eq!(player.latency(at(102_000)), Some(ms(6_500)));
    assert_eq!(player.watched(at(102_000)).startup, Some(ms(800)));
    // To the end of segment 78, at 158 s.
    assert_eq!(player.buffer(at(102_000)), ms(2_500));
}

#[test]
fn a_start_before_or_after_the_list_is_moved_into_it() {
    let mut scenario = scenario();
    scenario.latency = Duration::from_secs(500);
    let mut early = player(&scenario);
    early.listed(80, at(100_000));
    assert_eq!(early.next_ordinal(), Some(50));
    scenario.latency = Duration::ZERO;
    let mut late = player(&scenario);
    late.listed(80, at(100_000));
    assert_eq!(late.next_ordinal(), Some(79));
}

#[test]
fn stalls_when_the_playhead_reaches_what_is_not_there_and_not_before() {
    let mut player = playing();
    player.changed();
    // Segment 77 ends at 156 s, 1.7 s after 154.3 s.
    assert_eq!(player.poll_timeout(), Some(at(102_500)));
    player.handle_timeout(at(102_499));
    assert_eq!(state(&player, at(102_499)), PlaybackState::Playing);
    assert!(!player.changed());
    player.handle_timeout(at(102_500));
    assert_eq!(state(&player, at(102_500)), PlaybackState::Stalled);
    assert!(player.is_stalled() && player.changed());
    player.segment_ready(key(78), at(103_100));
    assert_eq!(player.poll_timeout(), Some(at(105_100)));
    let watched = player.watched(at(104_100));
    assert_eq!(watched.each_stall, [(at(102_500), ms(600))]);
    assert_eq!((watched.stalls, watched.stalled), (1, ms(600)));
    assert_eq!(watched.played, ms(2_700));
    assert!((watched.latency_seconds - (6.5 * 1.7 + 7.1)).abs() < 1e-9);
    assert!((watched.bits - 3e6 * 2.7).abs() < 1e-3);
}

#[test]
fn a_stall_that_goes_on_counts_up_to_the_end() {
    let mut player = playing();
    assert_eq!(player.watched(at(102_900)).stalled, ms(400));
    player.handle_timeout(at(102_500));
    assert_eq!(player.watched(at(102_900)).stalled, ms(400));
    assert_eq!(player.watched(at(102_500)).stalls, 0);
}

#[test]
fn a_late_wake_up_does_not_change_when_the_stall_began() {
    let mut player = playing();
    player.segment_ready(key(78), at(103_100));
    assert_eq!(
        player.watched(at(103_500)).each_stall,
        [(at(102_500), ms(600))]
    );
}

#[test]
fn a_segment_that_comes_in_the_last_moment_prevents_the_stall() {
    let mut player = playing();
    player.segment_ready(key(78), at(102_500));
    player.handle_timeout(at(102_500));
    assert_eq!(state(&player, at(102_500)), PlaybackState::Playing);
    // Told the other way around, the stall has no length.
    let mut player = playing();
    player.handle_timeout(at(102_500));
    player.segment_ready(key(78), at(102_500));
    assert_eq!(player.watched(at(103_000)).stalls, 0);
}

#[test]
fn one_segment_is_played_of_each_ordinal_the_first_that_is_ready() {
    let mut player = player(&with_renditions(&[1, 2]));
    player.listed(80, at(100_300));
    player.segment_ready(key(77), at(100_800));
    for (track, ordinal) in [(1, 77), (1, 78), (0, 78)] {
        player.segment_ready(SegmentKey { track, ordinal }, at(100_900));
    }
    // 1.7 s of the first rendition, 0.3 s of the second.
    let watched = player.watched(at(102_800));
    assert!(
        (watched.bits - (1.7e6 + 0.6e6)).abs() < 1e-3,
        "{}",
        watched.bits
    );
}

#[test]
fn steady_segments_begin_after_the_given_moment_and_after_settling() {
    // The playhead is at 154.3 s at 100.8 s: at 184 s, the start of segment 92, at 130.5 s.
    let steady = |steady_from: u64| {
        let mut scenario = scenario();
        scenario.steady_from = Duration::from_secs(100 + steady_from);
        let mut player = player(&scenario);
        player.listed(80, at(100_300));
        for ordinal in 77..120 {
            player.segment_ready(key(ordinal), at(100_800));
        }
        let watched = player.watched(at(136_000));
        let ordinals = watched.steady.iter().map(|it| it.ordinal);
        ordinals.collect::<Vec<_>>()
    };
    assert_eq!(steady(30), [92, 93, 94]);
    // 10 s after the first frame it is at 164.3 s; segment 83 begins at 166 s.
    assert_eq!(steady(0).first(), Some(&83));
}

#[test]
fn the_segment_after_a_stall_begins_when_the_stall_ends() {
    let mut scenario = scenario();
    scenario.steady_from = Duration::ZERO;
    let mut player = player(&scenario);
    player.listed(80, at(100_300));
    for ordinal in 77..90 {
        player.segment_ready(key(ordinal), at(100_800));
    }
    // Segment 90 begins at 180 s, which the playhead reaches at 126.5 s.
    player.listed(92, at(124_000));
    player.segment_ready(key(90), at(127_000));
    player.segment_ready(key(91), at(129_000));
    let last: Vec<_> = player.watched(at(130_000)).steady[5..].to_vec();
    assert_eq!(last, [key(88), key(89), key(90), key(91)]);
}

#[test]
fn a_segment_begins_where_a_seek_goes_to_and_not_where_a_pause_ends() {
    let mut player = playing();
    for ordinal in 78..100 {
        player.segment_ready(key(ordinal), at(101_000));
    }
    player.listed(94, at(129_000));
    // Steady from 130 s on, when segment 91 is at half of its time, 183.5 s.
    player.habit(&Habit::Pause, at(129_900));
    player.habit(&Habit::Resume, at(130_100));
    assert_eq!(player.watched(at(130_200)).steady, []);
    // 21 s behind 190.2 s: 169.2 s, in segment 84.
    player.habit(&Habit::Seek { to: 21.0 }, at(130_200));
    assert_eq!(player.watched(at(130_300)).steady, [key(84)]);
    // The same again counts once.
    player.habit(&Habit::Seek { to: 21.0 }, at(130_300));
    assert_eq!(player.watched(at(130_400)).steady, [key(84)]);
}

#[test]
fn a_pause_takes_no_media_and_is_no_stall() {
    let mut player = playing();
    player.habit(&Habit::Pause, at(101_800));
    assert_eq!(state(&player, at(105_000)), PlaybackState::Paused);
    assert_eq!(player.poll_timeout(), None);
    player.habit(&Habit::Resume, at(106_800));
    assert_eq!(player.poll_timeout(), Some(at(107_500)));
    let watched = player.watched(at(107_000));
    assert_eq!((watched.played, watched.stalls), (ms(1_200), 0));
    assert_eq!(player.latency(at(107_000)), Some(ms(11_500)));
}

#[test]
fn who_paused_for_longer_than_the_window_goes_on_inside_of_it() {
    let mut player = playing();
    player.habit(&Habit::Pause, at(102_500));
    player.listed(135, at(210_000));
    player.changed();
    player.habit(&Habit::Resume, at(210_000));
    assert!(player.changed());
    // Of 105..135 the oldest may go any moment.
    assert_eq!(player.next_ordinal(), Some(106));
    assert_eq!(position(&player, at(210_000)), ms(212_000));
    player.segment_ready(key(106), at(210_400));
    assert_eq!(state(&player, at(210_400)), PlaybackState::Playing);
}

#[test]
fn who_waits_for_what_is_not_listed_any_more_goes_on_with_what_is() {
    let mut player = playing();
    player.handle_timeout(at(102_500));
    player.listed(107, at(154_000));
    assert_eq!(player.next_ordinal(), Some(78));
    player.listed(109, at(158_000));
    assert_eq!(player.next_ordinal(), Some(80));
    assert_eq!(player.watched(at(158_000)).stalled, ms(55_500));
}

#[test]
fn a_seek_waits_for_its_segment_unless_it_is_there() {
    let mut player = playing();
    // 20 s behind 161.8 s: 141.8 s, in segment 70.
    player.habit(&Habit::Seek { to: 20.0 }, at(101_800));
    assert_eq!(player.next_ordinal(), Some(70));
    assert_eq!(state(&player, at(101_800)), PlaybackState::Starting);
    player.segment_ready(key(70), at(102_300));
    let watched = player.watched(at(102_300));
    assert_eq!((watched.seeking, watched.stalls), (ms(500), 0));
    assert_eq!(watched.startup, Some(ms(800)));
    // Back to 162.5 - 7.5 = 155 s.
    player.habit(&Habit::Seek { to: 7.5 }, at(102_500));
    assert_eq!(state(&player, at(102_500)), PlaybackState::Playing);
    assert_eq!(player.poll_timeout(), Some(at(103_500)));
}

#[test]
fn a_seek_out_of_the_window_is_moved_into_it() {
    let mut player = playing();
    player.habit(&Habit::Seek { to: 1e9 }, at(101_800));
    assert_eq!(player.next_ordinal(), Some(51));
    player.habit(&Habit::Seek { to: -5.0 }, at(101_900));
    assert_eq!(player.next_ordinal(), Some(79));
}

#[test]
fn what_lies_beyond_the_buffer_target_is_not_wanted_yet() {
    let mut player = on_demand(Duration::from_secs(60));
    player.listed(30, at(100_000));
    for ordinal in 0..10 {
        assert_eq!(player.next_ordinal(), Some(ordinal));
        player.segment_ready(key(ordinal), at(101_000));
    }
    // Segment 10 begins 20 s after the playhead.
    assert_eq!(player.next_ordinal(), None);
    assert!(!player.wants(10));
    let more_at = player.wants_more_at().unwrap();
    assert_eq!(more_at, at(101_000) + Duration::from_nanos(1));
    player.handle_timeout(more_at);
    assert_eq!(player.next_ordinal(), Some(10));
    assert!(player.wants(10));
}

#[test]
fn content_on_demand_ends_without_a_stall() {
    let mut player = on_demand(Duration::from_secs(4));
    player.listed(2, at(100_000));
    player.segment_ready(key(0), at(100_500));
    player.segment_ready(key(1), at(100_500));
    assert_eq!(player.poll_timeout(), Some(at(104_500)));
    player.handle_timeout(at(104_500));
    assert_eq!(player.poll_timeout(), None);
    assert_eq!(state(&player, at(105_000)), PlaybackState::Paused);
    let watched = player.watched(at(110_000));
    assert_eq!((watched.played, watched.stalls), (ms(4_000), 0));
    assert_eq!(watched.latency_seconds, 0.0);
    player.habit(&Habit::Seek { to: 0.5 }, at(111_000));
    assert_eq!(player.poll_timeout(), Some(at(113_000)));
}

#[test]
fn what_was_played_long_ago_is_needed_again() {
    let mut player = playing();
    for ordinal in 78..110 {
        player.segment_ready(key(ordinal), at(101_000));
    }
    // Segment 77 ends at 156 s; the playhead is at 186 s, 30 s later, at 132.5 s.
    player.handle_timeout(at(132_400));
    assert!(player.is_ready(77));
    player.handle_timeout(at(132_500));
    assert!(!player.is_ready(77) && player.is_ready(78));
}

#[derive(Clone, Debug)]
enum Step {
    Listed,
    Ready(u64),
    Pause,
    Resume,
    Seek(f64),
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        3 => Just(Step::Listed),
        8 => (0..4u64).prop_map(Step::Ready),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => (0.0..80.0f64).prop_map(Step::Seek),
    ];
    (0..3_000u64, step)
}

/// Plays the steps; wakes the player as often as `wakes` says between two of them.
fn play(media: &Arc<Media>, steps: &[(u64, Step)], wakes: u64) -> (Watched, Instant) {
    let mut player = Player::new(&scenario(), media.clone(), at(100_000));
    let mut now = at(100_000);
    for (pause, step) in steps {
        for wake in 1..=wakes {
            player.handle_timeout(now + ms(*pause) * wake as u32 / wakes as u32);
        }
        now += ms(*pause);
        match step {
            Step::Listed => player.listed(media.published(now), now),
            Step::Ready(ahead) => {
                if let Some(next) = player.next_ordinal() {
                    player.segment_ready(key(next + ahead), now);
                }
            }
            Step::Pause => player.habit(&Habit::Pause, now),
            Step::Resume => player.habit(&Habit::Resume, now),
            Step::Seek(to) => player.habit(&Habit::Seek { to: *to }, now),
        }
    }
    (player.watched(now), now)
}

proptest! {
    #[test]
    fn waking_it_more_often_changes_nothing(steps in prop::collection::vec(step(), 0..60)) {
        static MEDIA: LazyLock<Arc<Media>> = LazyLock::new(|| Arc::new(Media::new(&scenario())));
        // One wake-up at each step itself, so that both know the same next segment.
        let (few, end) = play(&MEDIA, &steps, 1);
        let (many, _) = play(&MEDIA, &steps, 7);
        prop_assert_eq!(&few.each_stall, &many.each_stall);
        prop_assert_eq!(&few.steady, &many.steady);
        prop_assert_eq!(few.played, many.played);
        prop_assert_eq!((few.startup, few.seeking), (many.startup, many.seeking));
        prop_assert!((few.bits - many.bits).abs() < 1.0);
        prop_assert!((few.latency_seconds - many.latency_seconds).abs() < 1e-6);
        // No time is counted twice, and all stalls are listed.
        let startup = few.startup.unwrap_or_default();
        let counted = startup + few.played + few.stalled + few.seeking;
        prop_assert!(counted <= end.saturating_duration_since(at(100_000)));
        prop_assert_eq!(few.each_stall.iter().map(|it| it.1).sum::<Duration>(), few.stalled);
        prop_assert_eq!(few.each_stall.len(), few.stalls as usize);
        prop_assert!((few.bits - 3e6 * few.played.as_secs_f64()).abs() < 1.0);
    }
}
