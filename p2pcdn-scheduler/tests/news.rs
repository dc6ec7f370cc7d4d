//! What neighbours say of segments that the playlist does not list yet, or that are not ours.

mod support;

use p2pcdn_scheduler::{Growth, Input};
use p2pcdn_wire::{BlockSet, OrdinalRange, Said, SegmentRef, TrackIndex, UploadClass, tag_digest};
use support::{
    TRACK, listed,
    rig::{LEN, Rig, Setup, has, holds, intends, playing, swarm, window, withdraws},
    segment,
};

/// A viewer that is never on duty.
fn guest(text: &str, neighbours: &str) -> Rig {
    let mut setup = Setup::new(window(text), swarm(neighbours));
    setup.policy.upload_class = UploadClass::None;
    setup.build()
}

#[test]
fn news_is_heard_once_for_each_segment() {
    let mut rig = playing(window("##"), swarm("a:11 b:11"));
    rig.hears('a', has(2));
    assert_eq!(rig.says(), ["news"]);
    rig.hears('a', holds(2, 0..8));
    rig.hears('b', has(2));
    assert_eq!(rig.says(), [""; 0]);
    rig.hears('a', has(3));
    assert_eq!(rig.says(), ["news"]);
}

#[test]
fn news_from_too_far_ahead_hides_no_other_news() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.hears('a', has(4));
    assert_eq!(rig.says(), ["news"]);
    rig.hears('a', has(5));
    assert_eq!(rig.says(), [""; 0]);
    rig.hears('a', has(2));
    assert_eq!(rig.says(), ["news"]);
}

#[test]
fn what_was_said_too_early_counts_once_the_segment_is_listed() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.hears('a', has(2));
    rig.says();
    rig.list(&window("##."), Growth::Live);
    let lines = rig.says();
    assert!(
        lines.iter().any(|line| line.starts_with("ask a 2")),
        "{lines:?}"
    );
}

#[test]
fn where_ordinals_are_times_three_segments_ahead_are_three_times_their_distance() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.tell(Input::SegmentsListed {
        track: TRACK,
        segments: vec![listed(1000), listed(2000)],
        first: 0,
        growth: Growth::Live,
    });
    rig.says();
    rig.hears('a', has(5001));
    assert_eq!(rig.says(), [""; 0]);
    rig.hears('a', has(5000));
    assert_eq!(rig.says(), ["news"]);
}

#[test]
fn what_was_said_from_beyond_three_segments_ahead_is_dropped() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.hears('a', has(5));
    assert_eq!(rig.says(), [""; 0]);
    rig.list(&window("##...."), Growth::Live);
    let lines = rig.says();
    assert!(
        !lines.iter().any(|line| line.starts_with("ask")),
        "{lines:?}"
    );
}

#[test]
fn there_is_no_news_of_an_ended_track() {
    let mut setup = Setup::new(window("##"), swarm("a:11"));
    setup.growth = Growth::Ended;
    let mut rig = setup.build();
    rig.hears('a', has(2));
    assert_eq!(rig.says(), [""; 0]);
}

#[test]
fn an_intent_that_lapsed_before_the_segment_was_listed_holds_nobody_up() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.hears('a', intends(2, 300));
    assert_eq!(rig.says_within(400), ["news"]);
    rig.list(&window("##."), Growth::Live);
    let lines = rig.says_within(320);
    assert!(
        lines.iter().any(|line| line.starts_with("http 2")),
        "{lines:?}"
    );
}

#[test]
fn an_intent_that_was_withdrawn_before_the_segment_was_listed_holds_nobody_up() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.hears('a', intends(2, 60_000));
    rig.hears('a', withdraws(2));
    rig.says();
    rig.list(&window("##."), Growth::Live);
    let lines = rig.says_within(320);
    assert!(
        lines.iter().any(|line| line.starts_with("http 2")),
        "{lines:?}"
    );
}

#[test]
fn a_neighbour_is_remembered_for_sixteen_early_statements() {
    for (others, is_kept) in [(15, true), (16, false)] {
        let mut rig = playing(window("##"), swarm("a:11"));
        rig.hears('a', has(2));
        for _ in 0..others {
            rig.hears('a', intends(3, 1));
        }
        rig.says_within(10);
        rig.list(&window("##."), Growth::Live);
        let asks = rig.says().iter().any(|line| line.starts_with("ask a 2"));
        assert_eq!(asks, is_kept, "{others}");
    }
}

#[test]
fn other_content_in_the_same_place_is_ignored() {
    let other = |said| {
        let mut rig = guest("#.", "a:10");
        rig.says_within(1);
        rig.hears('a', said);
        !rig.says().iter().any(|line| line.starts_with("ask"))
    };
    let alien = SegmentRef {
        tag: !segment(1).tag,
        ..segment(1)
    };
    assert!(other(Said::Have {
        track: TRACK,
        ordinals: OrdinalRange::new(0, 2),
        digest: tag_digest([segment(0).tag, alien.tag]),
    }));
    assert!(other(Said::Holds {
        segment: alien,
        segment_len: LEN,
        blocks: [1].into_iter().collect(),
    }));
    assert!(!other(holds(1, 1..2)));
}

#[test]
fn statements_about_a_track_that_we_are_not_in_are_ignored() {
    let mut rig = guest("#.", "a:10");
    rig.says_within(1);
    let track = TrackIndex(9);
    rig.hears(
        'a',
        Said::Have {
            track,
            ordinals: OrdinalRange::new(0, 2),
            digest: 0,
        },
    );
    rig.hears(
        'a',
        Said::Lost {
            track,
            ordinals: OrdinalRange::new(0, u64::MAX),
        },
    );
    assert_eq!(rig.says(), [""; 0]);
}

#[test]
fn a_length_that_no_segment_has_is_not_believed() {
    for segment_len in [0, u64::MAX, 2_016 * 16_384 + 1] {
        let mut rig = guest("#?", "a:10");
        rig.says_within(1);
        rig.hears(
            'a',
            Said::Holds {
                segment: segment(1),
                segment_len,
                blocks: [0].into_iter().collect(),
            },
        );
        let lines = rig.says();
        assert!(
            !lines.iter().any(|line| line.starts_with("ask")),
            "{lines:?}"
        );
    }
}

#[test]
fn the_longest_length_that_a_segment_has_is_believed() {
    let mut rig = guest("#?", "a:10");
    rig.says_within(1);
    rig.hears(
        'a',
        Said::Holds {
            segment: segment(1),
            segment_len: 2_016 * 16_384,
            blocks: [0].into_iter().collect(),
        },
    );
    assert!(rig.says().iter().any(|line| line.starts_with("ask a 1")));
}

#[test]
fn ordinals_at_the_end_of_their_range_do_no_harm() {
    let mut rig = guest("#.", "a:10");
    let last = SegmentRef {
        ordinal: u64::MAX,
        ..segment(1)
    };
    rig.tell(Input::SegmentsListed {
        track: TRACK,
        segments: vec![p2pcdn_scheduler::Listed {
            segment: last,
            ..support::listed(2)
        }],
        first: 0,
        growth: Growth::Live,
    });
    rig.tell(Input::MapKnown {
        segment: last,
        segment_len: LEN,
    });
    rig.tell(Input::Stored {
        segment: last,
        verified: support::rig::set(0..8),
        private: BlockSet::new(),
        quarantined: BlockSet::new(),
    });
    rig.hears(
        'a',
        Said::Intent {
            segment: last,
            expires_after: std::time::Duration::MAX,
        },
    );
    rig.hears(
        'a',
        Said::RoundTrip {
            took: std::time::Duration::MAX,
            outward: 0,
        },
    );
    rig.hears(
        'a',
        Said::Have {
            track: TRACK,
            ordinals: OrdinalRange::new(u64::MAX, 0),
            digest: 1,
        },
    );
    rig.meet('b');
    rig.says_within(1_000);
}

#[test]
fn news_heard_twice_is_news_again_after_the_numbering_started_anew() {
    let mut rig = playing(window("##"), swarm("a:11"));
    rig.hears('a', has(2));
    assert_eq!(rig.says(), ["news"]);
    rig.tell(Input::TrackReset { track: TRACK });
    rig.says();
    rig.list(&window("##"), Growth::Live);
    rig.says();
    rig.hears('a', has(2));
    assert!(rig.says().contains(&"news".into()));
}
