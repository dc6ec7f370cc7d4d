//! Start, refill, seeking, and what a viewer without peers does.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{FetchFailure, Input, PlaybackState, Policy, Switch};
use p2pcdn_wire::{BitRate, Role, TrackId};
use support::{
    TRACK,
    rig::{LEN, Setup, has, joins, playing, set, starting, swarm, window},
    segment,
};

const TARGET: Duration = Duration::from_secs(60);

#[test]
fn a_start_fetches_the_first_segment_at_once_and_nothing_else() {
    let mut rig = starting(window("...."), swarm(""));
    assert_eq!(rig.says(), ["http 0[0..8] startup"]);
    assert!(rig.says_within(2_000).is_empty());
}

#[test]
fn a_segment_of_unknown_length_is_fetched_to_its_end() {
    let mut rig = starting(window("??"), swarm(""));
    assert_eq!(rig.says(), ["http 0[0..] startup"]);
}

#[test]
fn peers_are_not_in_the_way_of_a_start() {
    let mut rig = starting(window(".."), swarm("a:11"));
    assert_eq!(rig.says(), ["http 0[0..8] startup"]);
    rig.http_brings(0);
    rig.plays(PlaybackState::Playing, 0.0, TARGET);
    assert!(!rig.says().is_empty());
}

#[test]
fn http_and_peers_meet_where_time_is_short_but_not_up() {
    // HTTP would rescue it within 0.8 s; the player needs it in 1.2 s.
    let mut setup = Setup::new(window("#."), swarm("a:00"));
    setup.config.throughput_prior = BitRate::from_bps(100_000_000);
    let is_on_duty = |lines: &[String]| lines.contains(&"http 1[0..8] duty".into());
    let (mut rig, _) = setup.who(is_on_duty);
    rig.plays(PlaybackState::Playing, 0.8, TARGET);
    rig.hears('a', has(1));
    // Half of it and the gap are HTTP's: blocks 0 to 5.
    assert_eq!(rig.says(), ["ask a 1[6..8]"]);
}

#[test]
fn an_attempt_ends_when_peers_brought_the_rest() {
    let mut rig = starting(window("."), swarm("a:1"));
    rig.says();
    let fetch = rig.fetch(0);
    let offset = 6 * 16_384;
    rig.tell(Input::FetchProgressed { fetch, offset });
    // Peers had been asked for the last two before the start.
    rig.stores(0, 0..8);
    let lines = rig.says();
    assert_eq!(lines, ["complete 0", "have a 0..1", "stop 0[0..8]"]);
}

#[test]
fn a_low_buffer_is_refilled_over_http() {
    let mut setup = Setup::new(window("#..."), swarm("a:0000"));
    setup.state = PlaybackState::Stalled;
    let mut rig = setup.build();
    assert_eq!(rig.says(), ["http 1[0..8] startup"]);
    // A second before it is needed, 1.24 s would be safe: nothing else goes first.
    rig.plays(PlaybackState::Stalled, 1.0, TARGET);
    assert_eq!(rig.says(), [""; 0]);
    rig.http_brings(1);
    rig.plays(PlaybackState::Playing, 1.0, TARGET);
    let lines = rig.says();
    assert!(lines.contains(&"complete 1".into()), "{lines:?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("http 2") && line.ends_with("startup"))
    );
}

#[test]
fn a_buffer_that_is_safe_once_ends_the_start() {
    let mut setup = Setup::new(window("#..."), swarm("a:0000"));
    setup.state = PlaybackState::Starting;
    let mut rig = setup.build();
    rig.says();
    rig.http_brings(1);
    rig.plays(PlaybackState::Playing, 0.0, TARGET);
    rig.says();
    rig.http_fails_if_any();
    rig.plays(PlaybackState::Playing, 3.0, TARGET);
    let lines = rig.says();
    assert!(
        lines.contains(&"http 2[0..8] no_holder".into()),
        "{lines:?}"
    );
}

#[test]
fn a_stall_is_another_start() {
    let mut rig = playing(window("##.."), swarm("a:0000"));
    rig.says();
    rig.http_fails_if_any();
    rig.plays(PlaybackState::Stalled, 4.0, TARGET);
    let lines = rig.says();
    assert!(lines.contains(&"http 2[0..8] startup".into()), "{lines:?}");
}

#[test]
fn without_peer_transfer_segments_come_one_after_the_other() {
    let mut setup = Setup::new(window("#..."), swarm("a:1111"));
    setup.policy.peer_transfer = Switch::Off;
    let mut rig = setup.build();
    assert_eq!(rig.says(), ["http 1[0..8] policy"]);
    assert!(rig.says_within(500).is_empty());
    rig.http_brings(1);
    let lines = rig.says();
    assert!(lines.contains(&"http 2[0..8] policy".into()), "{lines:?}");
}

#[test]
fn switching_peer_transfer_off_cancels_what_peers_were_asked() {
    let mut rig = playing(window("#..."), swarm("a:1111"));
    let asked = rig.says();
    assert!(
        asked.iter().all(|line| line.starts_with("ask a")),
        "{asked:?}"
    );
    rig.tell(Input::PolicyChanged(Policy {
        peer_transfer: Switch::Off,
        ..Policy::default()
    }));
    let lines = rig.says();
    let cancels = lines
        .iter()
        .filter(|line| line.starts_with("cancel a"))
        .count();
    assert_eq!(cancels, asked.len());
    assert!(lines.contains(&"http 1[0..8] policy".into()), "{lines:?}");
    assert!(lines.contains(&"class a None".into()), "{lines:?}");
}

#[test]
fn switching_peer_transfer_on_waits_for_peers_for_a_while() {
    let mut setup = Setup::new(window("####."), swarm(""));
    setup.policy.peer_transfer = Switch::Off;
    setup.window = window("####.");
    let mut rig = setup.build();
    assert_eq!(rig.says(), ["http 4[0..8] policy"]);
    rig.http_fails(4, FetchFailure::NotFound);
    assert_eq!(rig.says(), ["failed 4"]);
    rig.tell(Input::SwarmCounted { viewers: 1_000_000 });
    rig.tell(Input::PolicyChanged(Policy::default()));
    // Alone among a million, its turn comes late; three seconds after that it hopes no more.
    let (waited, lines) = rig.says_next();
    assert_eq!(
        (waited, lines),
        (3_000, vec!["http 4[0..8] no_peer".to_owned()])
    );
}

#[test]
fn a_seek_drops_what_was_under_way_and_starts_anew() {
    let mut rig = starting(window("......"), swarm("a:101010"));
    rig.says();
    rig.plays(PlaybackState::Starting, 8.0, TARGET);
    assert_eq!(rig.says(), ["stop 0[0..8]", "http 4[0..8] startup"]);
}

#[test]
fn a_seek_cancels_what_peers_were_asked_for() {
    let mut rig = playing(window("#....."), swarm("a:010000"));
    let asked = rig.says().into_iter().filter(|it| it.starts_with("ask"));
    let cancelled: Vec<_> = asked.map(|it| it.replace("ask", "cancel")).collect();
    assert!(!cancelled.is_empty());
    rig.plays(PlaybackState::Starting, 8.0, TARGET);
    let lines = rig.says();
    assert!(
        cancelled.iter().all(|line| lines.contains(line)),
        "{lines:?}"
    );
}

#[test]
fn a_track_that_is_no_longer_watched_is_no_longer_fetched() {
    let mut rig = starting(window(".."), swarm("a:10"));
    rig.says();
    rig.tell(Input::TrackJoined {
        track: TRACK,
        id: TrackId::new([1; 16]),
        role: Role::Holding,
        bitrate: Some(BitRate::from_bps(1)),
    });
    assert_eq!(rig.says(), ["stop 0[0..8]"]);
    assert!(rig.says_within(10_000).is_empty());
}

#[test]
fn a_segment_is_wanted_as_soon_as_the_buffer_target_reaches_it() {
    let mut setup = Setup::new(window("###."), swarm("a:1111"));
    setup.buffer_target = Duration::from_secs(4);
    let mut rig = setup.build();
    let (waited, lines) = rig.says_next();
    assert_eq!(waited, 2_000);
    assert!(
        lines.iter().all(|line| line.starts_with("ask a 3")),
        "{lines:?}"
    );
}

#[test]
fn a_paused_player_does_not_keep_the_scheduler_awake() {
    let mut setup = Setup::new(window("#."), swarm("a:00"));
    setup.state = PlaybackState::Paused;
    let mut rig = setup.build();
    rig.says();
    let mut wakes = 0;
    while let Some(at) = rig.scheduler.poll_timeout() {
        rig.now = at;
        rig.scheduler.handle_timeout(at);
        rig.says();
        wakes += 1;
        assert!(wakes < 10, "still awake at {}", rig.now);
    }
}

#[test]
fn failures_are_retried_later_and_later() {
    let mut rig = starting(window("."), swarm(""));
    rig.says();
    rig.http_fails(0, FetchFailure::Transient);
    // A broken transfer is tried again at once...
    assert_eq!(rig.says(), ["failed 0", "http 0[0..8] startup"]);
    for pause in [200, 400, 800, 1_600, 3_000, 3_000] {
        rig.http_fails(0, FetchFailure::Transient);
        assert_eq!(rig.says(), ["failed 0"]);
        // ...and then after a pause.
        assert_eq!(rig.says_next().0, pause);
    }
}

#[test]
fn an_answer_without_bytes_is_a_failure() {
    let mut rig = starting(window("."), swarm(""));
    rig.says();
    for pause in [100, 200, 400] {
        let fetch = rig.take_fetch(0);
        let result = Ok(());
        rig.tell(Input::FetchEnded { fetch, result });
        assert_eq!(rig.says(), ["failed 0"]);
        assert_eq!(rig.says_next().0, pause);
    }
}

#[test]
fn a_segment_without_bytes_is_complete() {
    let mut rig = starting(window("?."), swarm(""));
    rig.says();
    rig.tell(Input::LengthKnown {
        segment: segment(0),
        segment_len: 0,
    });
    let fetch = rig.take_fetch(0);
    let result = Ok(());
    rig.tell(Input::FetchEnded { fetch, result });
    let lines = rig.says();
    assert!(lines.contains(&"complete 0".into()), "{lines:?}");
    assert!(lines.contains(&"http 1[0..8] startup".into()), "{lines:?}");
}

#[test]
fn a_length_that_comes_last_completes_a_segment() {
    let mut rig = starting(window("?"), swarm(""));
    rig.says();
    rig.stores_privately(0, 0..8);
    assert!(rig.says().is_empty());
    rig.tell(Input::LengthKnown {
        segment: segment(0),
        segment_len: LEN,
    });
    assert_eq!(rig.says(), ["complete 0", "stop 0[0..]"]);
}

#[test]
fn segments_that_are_not_shareable_come_over_http_one_after_the_other() {
    let mut rig = playing(window("#xx"), swarm("a:111"));
    assert_eq!(rig.says(), ["http 1[0..] not_shareable"]);
    assert!(rig.says_within(500).is_empty());
    rig.http_brings(1);
    let lines = rig.says();
    assert_eq!(lines, ["complete 1", "http 2[0..] not_shareable"]);
}

#[test]
fn what_neighbours_hold_of_an_unshareable_segment_is_not_asked_for() {
    let mut rig = playing(window("#."), swarm("a:11"));
    let lines = rig.says();
    assert!(
        lines.iter().all(|line| line.starts_with("ask a 1")),
        "{lines:?}"
    );
    rig.tell(Input::Unshareable {
        segment: segment(1),
        private: set(0..0),
        segment_len: None,
    });
    rig.hears('a', joins(Role::Watching));
    rig.hears('a', has(1));
    let lines = rig.says();
    assert!(
        lines.contains(&"http 1[0..] not_shareable".into()),
        "{lines:?}"
    );
}

#[test]
fn peers_are_asked_for_what_a_silent_attempt_lacks() {
    let mut rig = starting(window("."), swarm("a:1"));
    assert_eq!(rig.says(), ["http 0[0..8] startup"]);
    let lines = rig.says_within(999);
    assert!(
        !lines.iter().any(|line| line.starts_with("ask")),
        "{lines:?}"
    );
    let lines = rig.says_within(1);
    assert!(
        lines.iter().any(|line| line.starts_with("ask a 0")),
        "{lines:?}"
    );
}
