//! What HTTP brings when time is short.

mod support;

use p2pcdn_scheduler::{Growth, Input};
use support::{
    rig::{Rig, Setup, has, playing, set, swarm, window},
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
fn what_comes_behind_makes_the_first_segment_be_rescued_earlier() {
    // At a third of 1.2 Mb/s a segment takes 2.6 s, longer than it plays: with segment 5 to come
    // before segment 6, HTTP has to begin before 6.3 s, and begins with 5; else before 8.9 s.
    let first = |text| {
        let mut setup = Setup::new(window(text), swarm("a:0"));
        setup.config.throughput_prior = p2pcdn_wire::BitRate::from_bps(1_200_000);
        let mut rig = setup.build();
        rig.hears('a', support::rig::intends(5, 60_000));
        rig.hears('a', support::rig::intends(6, 60_000));
        let start = rig.now;
        loop {
            let (_, lines) = rig.says_next();
            if lines.iter().any(|line| line.starts_with("http ")) {
                return rig.now.saturating_duration_since(start).as_millis();
            }
        }
    };
    let (behind, alone) = (first("#####.."), first("######."));
    assert!((6_000..=6_320).contains(&behind), "{behind}");
    assert!((8_620..=8_940).contains(&alone), "{alone}");
}

/// A viewer that waits for segments 1 and 2, which a neighbour promised, until HTTP hurries to
/// bring the first of them.
fn in_danger() -> Rig {
    let mut rig = playing(window("#.."), swarm("a:000"));
    rig.hears('a', support::rig::intends(1, 60_000));
    rig.hears('a', support::rig::intends(2, 60_000));
    let (_, lines) = rig.says_next();
    assert_eq!(lines, ["http 1[0..8] deadline"]);
    rig
}

#[test]
fn while_one_segment_is_in_danger_http_brings_no_other() {
    // Segment 2 takes HTTP 0.2 s + 1.57 s with the one before it + 0.25 s + the jitter, so its time
    // would come within 2 s.
    let mut rig = in_danger();
    let lines = rig.says_within(1_990 - elapsed(&rig));
    assert_eq!(lines, [""; 0]);
    rig.http_brings(1);
    let lines = rig.says_within(1_000);
    assert!(lines.contains(&"http 2[0..8] deadline".into()), "{lines:?}");
}

#[test]
fn while_one_segment_is_in_danger_peers_are_asked_for_nothing_else() {
    let mut rig = in_danger();
    rig.hears('a', has(2));
    assert_eq!(rig.says(), [""; 0]);
    rig.http_brings(1);
    let lines = rig.says();
    assert!(
        lines.iter().any(|line| line.starts_with("ask a 2")),
        "{lines:?}"
    );
}

#[test]
fn holes_beyond_four_are_fetched_across_the_narrowest_gaps() {
    let mut rig = playing(window("#?"), swarm("a:00"));
    rig.tell(Input::MapKnown {
        segment: segment(1),
        segment_len: 20 * 16_384,
    });
    // Missing are 0, 3, 5..7, 9 and 12..20.
    for held in [1..3, 4..5, 7..9, 10..12] {
        rig.stores(1, held);
    }
    rig.hears('a', support::rig::intends(1, 60_000));
    let lines = rig.says_within(1_000);
    let http: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("http"))
        .collect();
    assert_eq!(
        http,
        [
            "http 1[12..20] deadline",
            "http 1[9..10] deadline",
            "http 1[3..7] deadline",
            "http 1[0..1] deadline"
        ]
    );
}

/// Milliseconds since the rig began.
fn elapsed(rig: &Rig) -> u64 {
    let passed = rig.now.saturating_duration_since(support::at(100.0));
    u64::try_from(passed.as_millis()).expect("a short time")
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
    let mut setup = Setup::new(window("#.."), swarm("a:011"));
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
