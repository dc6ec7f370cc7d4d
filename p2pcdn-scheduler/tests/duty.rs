//! Who fetches a segment over HTTP, and when.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{FetchFailure, Input, PlaybackState};
use p2pcdn_wire::{Role, Said, UploadClass};
use support::rig::{
    Setup, has, holds, intends, joins, link, lost, playing, swarm, window, withdraws,
};

/// Segment 1 is missing and has 2 s until its start; HTTP alone needs 1.24 s for it.
fn setup() -> Setup {
    Setup::new(window("#."), swarm("a:00"))
}

fn fetches(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with("http 1"))
}

#[test]
fn the_first_in_rank_fetches_at_once_and_says_so() {
    let (_, lines) = setup().who(fetches);
    assert_eq!(lines, ["http 1[0..8] duty", "intent a 1"]);
}

#[test]
fn the_others_wait_for_their_turn() {
    let (mut rig, lines) = setup().who(|lines| !fetches(lines));
    assert!(lines.is_empty());
    // Rank 1 of 2, T = 33 ms a block at 4 Mb/s + 30 ms: the wait is k * T, k at most 5.
    let (waited, lines) = rig.says_next();
    assert!((62..=315).contains(&waited), "{waited}");
    assert_eq!(lines, ["http 1[0..8] duty", "intent a 1"]);
}

#[test]
fn of_two_viewers_just_one_is_first() {
    for ordinal in 1..40 {
        let text = "#".repeat(ordinal) + ".";
        let of = |me: usize, other: usize| {
            let mut setup = Setup::new(window(&text), swarm(""));
            setup.buffer_target = Duration::from_secs(1_000);
            setup.config.peer = support::peer(me);
            let mut rig = setup.build();
            rig.tell(Input::LinkReady {
                link: link('a'),
                peer: support::peer(other),
            });
            rig.hears('a', Said::Class(UploadClass::Normal));
            rig.hears('a', joins(Role::Watching));
            rig.says().iter().any(|line| line.starts_with("http"))
        };
        assert!(of(3, 4) != of(4, 3), "segment {ordinal}");
    }
}

#[test]
fn a_viewer_that_uploads_nothing_is_never_on_duty() {
    for me in 100..120 {
        let mut setup = setup();
        setup.config.peer = support::peer(me);
        setup.policy.upload_class = UploadClass::None;
        let mut rig = setup.build();
        let (waited, lines) = rig.says_next();
        assert!(
            waited > 400 && lines == ["http 1[0..8] no_holder"],
            "{waited} {lines:?}"
        );
    }
}

#[test]
fn a_neighbour_that_only_holds_does_not_stand_for_election() {
    for me in 100..110 {
        let mut setup = setup();
        setup.config.peer = support::peer(me);
        let mut rig = setup.build();
        rig.hears('a', joins(Role::Holding));
        assert!(fetches(&rig.says()));
    }
}

#[test]
fn an_intent_makes_the_others_wait() {
    let (mut rig, _) = setup().who(|lines| !fetches(lines));
    rig.hears('a', intends(1, 400));
    assert_eq!(rig.says_within(400 - 1), [""; 0]);
}

#[test]
fn an_intent_that_lapses_opens_the_election_again() {
    let (mut rig, _) = setup().who(|lines| !fetches(lines));
    rig.hears('a', intends(1, 300));
    let lines = rig.says_within(700);
    assert_eq!(lines, ["http 1[0..8] duty", "intent a 1"]);
}

#[test]
fn a_withdrawn_intent_opens_the_election_again() {
    let (mut rig, _) = setup().who(|lines| !fetches(lines));
    rig.hears('a', intends(1, 10_000));
    rig.says();
    rig.hears('a', withdraws(1));
    let (waited, lines) = rig.says_next();
    assert!(waited <= 315 && fetches(&lines), "{waited} {lines:?}");
}

#[test]
fn intents_that_come_true_restore_the_belief_in_a_neighbour() {
    // Two lapses, and intents count no more; one that came true in between takes one lapse away.
    for (keeps, waits) in [(false, false), (true, true)] {
        let mut rig = playing(window("##########."), swarm("a:0"));
        rig.says_within(50);
        rig.hears('a', intends(7, 100));
        rig.says_within(200);
        if keeps {
            rig.hears('a', intends(8, 100));
            rig.hears('a', has(8));
            rig.says_within(200);
        }
        rig.hears('a', intends(9, 100));
        rig.says_within(200);
        rig.list(&window("###########."), p2pcdn_scheduler::Growth::Live);
        rig.hears('a', intends(11, 3_000));
        let lines = rig.says_within(2_000);
        let waited = !lines.iter().any(|line| line.starts_with("http 11"));
        assert_eq!(waited, waits, "{keeps} {lines:?}");
    }
}

#[test]
fn a_holder_makes_the_others_wait_and_is_asked() {
    let (mut rig, _) = setup().who(|lines| !fetches(lines));
    rig.hears('a', has(1));
    let lines = rig.says();
    assert!(
        lines.iter().all(|line| line.starts_with("ask a 1")),
        "{lines:?}"
    );
    assert!(!lines.is_empty());
}

#[test]
fn the_block_map_alone_is_no_reason_to_wait() {
    let (mut rig, _) = setup().who(|lines| !fetches(lines));
    rig.hears('a', holds(1, 0..0));
    assert!(fetches(&rig.says_within(320)));
}

#[test]
fn what_a_holder_lost_opens_the_election_again() {
    let (mut rig, _) = setup().who(|lines| !fetches(lines));
    rig.hears('a', holds(1, 0..1));
    assert_eq!(rig.says(), ["ask a 1[0..1]"]);
    rig.hears('a', lost(1));
    let (waited, lines) = rig.says_next();
    assert!(waited <= 315 && fetches(&lines), "{waited} {lines:?}");
}

#[test]
fn a_failed_duty_is_withdrawn() {
    let (mut rig, _) = setup().who(fetches);
    rig.http_fails(1, FetchFailure::NotFound);
    assert_eq!(rig.says(), ["withdraw a 1", "failed 1"]);
}

#[test]
fn a_duty_that_a_seek_ends_is_withdrawn() {
    let mut setup = setup();
    setup.window = window("#.......");
    setup.buffer_target = Duration::from_secs(4);
    let (mut rig, _) = setup.who(fetches);
    rig.plays(PlaybackState::Playing, 12.0, Duration::from_secs(2));
    let lines = rig.says();
    assert_eq!(lines[..2], ["stop 1[0..8]", "withdraw a 1"], "{lines:?}");
}

#[test]
fn a_viewer_that_sees_few_of_many_estimates_its_rank_and_waits_longer() {
    let wait = |viewers| {
        let mut setup = setup();
        // Time enough for any wait.
        setup.window = window("##########.");
        let (mut rig, _) = setup.who(|lines| lines.is_empty());
        rig.tell(Input::SwarmCounted { viewers });
        rig.hears('a', intends(10, 100));
        rig.says_within(100);
        rig.says_next().0
    };
    let (few, many) = (wait(2), wait(10_000));
    assert!(many > few, "{few} {many}");
}
