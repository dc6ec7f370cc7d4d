//! Who is told what is held.

mod support;

use p2pcdn_scheduler::Input;
use p2pcdn_wire::{Role, Said, SegmentRef};
use support::{
    TRACK,
    rig::{Rig, Setup, has, intends, joins, set, swarm, window},
    segment,
};

/// A viewer that is never on duty, with segment 1 to get in its own time.
fn guest(neighbours: &str) -> Rig {
    let mut setup = Setup::new(window("#########."), swarm(neighbours));
    setup.policy.upload_class = p2pcdn_wire::UploadClass::None;
    let mut rig = setup.build();
    assert_eq!(rig.says(), [""; 0]);
    rig
}

/// A viewer that uploads, with segment 9 to get, which a promised to fetch.
fn sharer(neighbours: &str) -> Rig {
    let mut rig = Setup::new(window("#########."), swarm(neighbours)).build();
    rig.hears('a', intends(9, 60_000));
    assert_eq!(rig.says(), [""; 0]);
    rig
}

#[test]
fn who_joins_is_told_everything_once() {
    let mut setup = Setup::new(window("##.#?"), swarm(""));
    setup.policy.upload_class = p2pcdn_wire::UploadClass::None;
    let mut rig = setup.build();
    rig.stores(2, 0..3);
    rig.says();
    rig.meet('a');
    let told = [
        "have a 0..2",
        "have a 3..4",
        "maps a 2..3",
        "holds a 2[0..3]",
    ];
    assert_eq!(rig.says(), told);
    rig.hears('a', joins(Role::Holding));
    assert_eq!(rig.says(), [""; 0]);
}

#[test]
fn progress_is_told_after_fifty_milliseconds_and_four_blocks() {
    let mut rig = sharer("a:0");
    rig.stores(9, 0..1);
    // The first block goes out at once: it tells that there is something to ask for.
    assert_eq!(rig.says(), ["holds a 9[0..1]"]);
    rig.stores(9, 1..4);
    assert_eq!(rig.says_within(20), [""; 0]);
    rig.stores(9, 4..5);
    assert_eq!(rig.says_within(29), [""; 0]);
    assert_eq!(rig.says_within(1), ["holds a 9[0..5]"]);
}

#[test]
fn little_progress_is_told_after_sixty_milliseconds() {
    let mut rig = sharer("a:0");
    rig.stores(9, 0..1);
    rig.says();
    rig.stores(9, 1..2);
    assert_eq!(rig.says_next(), (60, vec!["holds a 9[0..2]".to_owned()]));
}

#[test]
fn progress_is_told_to_sixteen_that_want_it_and_completion_to_all() {
    let neighbours: Vec<_> = ('a'..='r').map(|name| format!("{name}:0")).collect();
    let mut rig = sharer(&neighbours.join(" "));
    rig.hears('a', has(9));
    rig.says();
    rig.stores(9, 0..1);
    let lines = rig.says();
    let told: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("holds"))
        .collect();
    assert_eq!(told.len(), 16, "{lines:?}");
    assert!(!lines.contains(&"holds a 9[0..1]".into()));
    rig.stores(9, 1..8);
    let lines = rig.says();
    let told = lines.iter().filter(|line| line.starts_with("have")).count();
    assert_eq!(told, 18, "{lines:?}");
}

#[test]
fn who_declares_no_uplink_tells_no_progress_but_completion() {
    let mut rig = guest("a:0");
    rig.stores(9, 0..5);
    assert_eq!(rig.says_within(500), [""; 0]);
    rig.stores(9, 5..8);
    assert!(rig.says().contains(&"have a 9..10".into()));
}

#[test]
fn what_may_only_be_played_is_not_announced() {
    let mut setup = Setup::new(window("?"), swarm("a:0"));
    setup.policy.upload_class = p2pcdn_wire::UploadClass::None;
    let mut rig = setup.build();
    rig.says();
    rig.stores_privately(0, 0..8);
    let lines = rig.says_within(500);
    assert!(!lines.iter().any(|line| line.contains(" a ")), "{lines:?}");
}

#[test]
fn a_block_map_is_announced_to_those_that_lack_it() {
    let mut setup = Setup::new(window("##########?"), swarm("a:0 b:0"));
    setup.policy.upload_class = p2pcdn_wire::UploadClass::None;
    let mut rig = setup.build();
    rig.hears('a', support::rig::holds(10, 0..0));
    rig.says();
    rig.map_comes(10);
    assert_eq!(rig.says(), ["maps b 10..11"]);
    rig.map_comes(10);
    assert_eq!(rig.says(), [""; 0]);
}

#[test]
fn what_is_cleared_is_taken_back() {
    let mut rig = guest("a:0");
    rig.tell(Input::Cleared {
        segment: segment(3),
    });
    let lines = rig.says();
    assert_eq!(lines[0], "lost a 3..4");
    // Its length may have been the other version's.
    rig.map_comes(3);
    rig.stores(3, 0..8);
    let lines = rig.says();
    assert!(lines.contains(&"complete 3".into()) && lines.contains(&"have a 3..4".into()));
}

#[test]
fn what_turns_out_not_to_be_shareable_is_taken_back_and_stays_complete() {
    let mut rig = guest("a:0");
    rig.tell(Input::Unshareable {
        segment: segment(3),
        segment_len: Some(support::rig::LEN),
        private: set(0..8),
    });
    assert_eq!(rig.says(), ["lost a 3..4"]);
}

#[test]
fn what_remains_of_an_unshareable_segment_can_complete_it() {
    let mut rig = guest("a:0");
    rig.stores_privately(9, 0..8);
    assert_eq!(rig.says(), ["complete 9"]);
    rig.tell(Input::Cleared {
        segment: segment(9),
    });
    rig.tell(Input::Unshareable {
        segment: segment(9),
        segment_len: Some(support::rig::LEN),
        private: set(0..8),
    });
    assert!(rig.says().contains(&"complete 9".into()));
}

#[test]
fn a_numbering_that_starts_anew_takes_everything_back() {
    let mut rig = guest("a:1");
    rig.tell(Input::TrackReset { track: TRACK });
    let lines = rig.says();
    for ordinal in 0..10 {
        assert!(lines.contains(&format!("evict {ordinal}")), "{lines:?}");
        assert!(
            lines.contains(&format!("lost a {ordinal}..{}", ordinal + 1)),
            "{lines:?}"
        );
    }
    // The same numbers now stand for other contents.
    let other = SegmentRef {
        tag: 5,
        ..segment(0)
    };
    rig.tell(Input::SegmentsListed {
        track: TRACK,
        segments: vec![p2pcdn_scheduler::Listed {
            segment: other,
            ..support::listed(0)
        }],
        first: 0,
        growth: p2pcdn_scheduler::Growth::Live,
    });
    rig.hears('a', Said::Left { track: TRACK });
    let lines = rig.says();
    assert!(
        !lines.iter().any(|line| line.starts_with("ask")),
        "{lines:?}"
    );
    assert!(rig.scheduler.map_holders(other).next().is_none());
}
