//! What HTTP brings when time is short.

mod support;

use p2pcdn_scheduler::{Growth, Input};
use support::{
    rig::{Rig, has, playing, set, swarm, window},
    segment,
};

/// A viewer with a neighbour that holds segment 1 and is asked for all of it in the end.
fn served() -> Rig {
    playing(window("#."), swarm("a:01 b:01"))
}

#[test]
fn nothing_is_rescued_before_the_rescue_point() {
    // Block 0 of segment 1 is asked of a and b; HTTP needs 200 ms + 8 blocks at 1.33 Mb/s (0.79 s)
    // + 250 ms margin + up to 300 ms jitter of the 2 s.
    let mut rig = served();
    let lines = rig.says_within(400);
    assert!(
        lines.iter().all(|line| line.starts_with("ask")),
        "{lines:?}"
    );
}

#[test]
fn a_rescue_takes_exactly_what_nobody_is_about_to_deliver() {
    let mut rig = playing(window("#."), swarm("a:00"));
    rig.hears('a', support::rig::intends(1, 60_000));
    rig.says_within(400);
    rig.hears('a', support::rig::holds(1, 2..4));
    assert_eq!(rig.says(), ["ask a 1[2..4]"]);
    let (waited, lines) = rig.says_next();
    assert!(waited < 400, "{waited}");
    assert_eq!(lines, ["http 1[4..8] deadline", "http 1[0..2] deadline"]);
}

#[test]
fn what_is_late_even_for_a_rescue_is_fetched_beside_the_request() {
    let mut rig = playing(window("#."), swarm("a:00"));
    rig.hears('a', support::rig::intends(1, 60_000));
    rig.says_within(450);
    rig.hears('a', support::rig::holds(1, 2..4));
    rig.says_within(500);
    rig.delivers('a', 1, 2..3);
    // The last block takes HTTP 200 ms + 0.1 s + 250 ms + the jitter, so its time is 1.15 s to
    // 1.45 s from the start; its request would lapse at 1.55 s.
    let lines = rig.says_within(550);
    assert!(lines.contains(&"http 1[3..4] deadline".into()), "{lines:?}");
}

#[test]
fn a_segment_behind_others_is_rescued_earlier() {
    // Segment 2 has 4 s, but segment 1 has to come before it.
    let first = |text| {
        let mut rig = playing(window(text), swarm("a:0"));
        rig.hears('a', support::rig::intends(1, 60_000));
        rig.hears('a', support::rig::intends(2, 60_000));
        loop {
            let (_, lines) = rig.says_next();
            if lines.iter().any(|line| line.starts_with("http 2")) {
                return rig.now;
            }
        }
    };
    assert!(first("#..") < first("##."));
}

#[test]
fn segments_whose_block_map_is_missing_are_fetched_for_integrity() {
    let mut rig = playing(window("#?"), swarm("a:00"));
    rig.hears('a', has(1));
    rig.says();
    let lines = rig.says_within(1_000);
    assert!(lines.contains(&"http 1[0..] integrity".into()), "{lines:?}");
}

#[test]
fn at_most_four_attempts_run_at_once() {
    let mut rig = playing(window("#..........."), swarm("a:0"));
    for ordinal in 1..12 {
        for block in [1, 3, 5] {
            rig.stores(ordinal, block..block + 1);
        }
    }
    let lines = rig.says_within(30_000);
    let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    assert!(count("http") >= 4, "{lines:?}");
    assert!(count("http") - count("stop") <= 4, "{lines:?}");
}

#[test]
fn a_throughput_of_nothing_is_no_reason_to_panic() {
    let mut setup = support::rig::Setup::new(window("#.."), swarm("a:011"));
    setup.config.throughput_prior = p2pcdn_wire::BitRate::ZERO;
    let mut rig = setup.build();
    let lines = rig.says();
    assert!(
        lines.iter().any(|line| line.starts_with("http 1")),
        "{lines:?}"
    );
}

#[test]
fn a_quarantined_block_is_not_played_and_so_rescued() {
    let mut rig = playing(window("#?"), swarm("a:00"));
    rig.tell(Input::LengthKnown {
        segment: segment(1),
        segment_len: support::rig::LEN,
    });
    rig.tell(Input::Stored {
        segment: segment(1),
        verified: set(0..0),
        private: set(4..8),
        quarantined: set(0..4),
    });
    rig.hears('a', support::rig::intends(1, 60_000));
    let lines = rig.says_within(1_700);
    assert!(
        lines.contains(&"http 1[0..4] integrity".into()),
        "{lines:?}"
    );
    rig.list(&window("##"), Growth::Live);
}
