//! What is kept in memory, and for how long.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{Input, PlaybackState};
use support::{
    TRACK,
    rig::{LEN, Setup, playing, swarm, window},
};

const TARGET: Duration = Duration::from_secs(60);

#[test]
fn what_was_played_is_kept_for_a_minute() {
    let mut rig = playing(window("##"), swarm("a:00"));
    rig.says();
    // The first segment ends at 2 s.
    let (waited, lines) = rig.says_next_within(120);
    assert_eq!(waited, 62_000);
    assert_eq!(lines, ["evict 0", "lost a 0..1"]);
}

#[test]
fn memory_without_room_loses_the_oldest_first() {
    let mut setup = Setup::new(window("########"), swarm("a:0"));
    setup.config.memory_budget = 5 * LEN;
    let mut rig = setup.build();
    rig.plays(PlaybackState::Playing, 10.0, TARGET);
    let evicted: Vec<_> = rig
        .says()
        .into_iter()
        .filter(|line| line.starts_with("evict"))
        .collect();
    assert_eq!(evicted, ["evict 0", "evict 1", "evict 2"]);
}

#[test]
fn what_the_player_needs_is_kept_without_room() {
    let mut setup = Setup::new(window("####"), swarm("a:0"));
    setup.config.memory_budget = 0;
    let mut rig = setup.build();
    assert_eq!(rig.says(), [""; 0]);
    // Each is dropped as soon as it was played.
    assert_eq!(rig.says_within(1_999), [""; 0]);
    assert_eq!(rig.says_within(2), ["evict 0", "lost a 0..1"]);
}

#[test]
fn zero_keeps_nothing_behind_the_playhead() {
    let mut setup = Setup::new(window("####"), swarm("a:0"));
    setup.config.keep_behind = Duration::ZERO;
    let mut rig = setup.build();
    rig.plays(PlaybackState::Playing, 5.0, TARGET);
    let lines = rig.says();
    assert_eq!(lines, ["evict 0", "lost a 0..1", "evict 1", "lost a 1..2"]);
}

#[test]
fn segments_that_left_the_playlist_unplayed_and_unheld_are_forgotten() {
    let mut rig = playing(window("??"), swarm("a:00"));
    rig.plays(PlaybackState::Paused, 4.0, TARGET);
    rig.says();
    rig.tell(Input::SegmentsListed {
        track: TRACK,
        segments: Vec::new(),
        first: 2,
        growth: p2pcdn_scheduler::Growth::Live,
    });
    rig.says();
    // Not known any more: its map is no news.
    rig.map_comes(0);
    assert_eq!(rig.says(), [""; 0]);
}
