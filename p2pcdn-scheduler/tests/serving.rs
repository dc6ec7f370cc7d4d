//! Whom to serve, in which order, and whom not.

mod support;

use p2pcdn_scheduler::{Input, Policy, Switch};
use p2pcdn_wire::{BitRate, RequestId, Said, SegmentId, UploadClass};
use support::{
    TRACK,
    rig::{Rig, link, playing, set, swarm, wants, window},
    segment,
};

/// A viewer that holds segment 0 and has nothing else to do.
fn holder(neighbours: &str) -> Rig {
    let mut rig = playing(window("#"), swarm(neighbours));
    assert_eq!(rig.says(), [""; 0]);
    rig
}

fn credit(rig: &mut Rig, name: char, bytes: u64) {
    let link = link(name);
    rig.tell(Input::Credit { link, bytes });
}

#[test]
fn blocks_are_served_in_order() {
    let mut rig = holder("a:0");
    rig.hears('a', wants(1, 0, 2..5, 1_000));
    assert_eq!(rig.says(), ["serve a 0[2]", "serve a 0[3]", "serve a 0[4]"]);
}

#[test]
fn the_earliest_deadline_is_served_first() {
    let mut rig = holder("a:0 b:0 c:0");
    rig.hears('a', wants(1, 0, 0..1, 3_000));
    rig.hears('b', wants(1, 0, 1..2, 1_000));
    rig.hears('c', wants(1, 0, 2..3, 2_000));
    rig.hears('a', wants(2, 0, 3..4, 500));
    let served = [
        "serve a 0[3]",
        "serve b 0[1]",
        "serve c 0[2]",
        "serve a 0[0]",
    ];
    assert_eq!(rig.says(), served);
}

#[test]
fn nothing_is_served_beyond_the_transports_credit() {
    let mut rig = holder("a:0");
    // A block and the 32 bytes of its head.
    credit(&mut rig, 'a', 16_415);
    rig.hears('a', wants(1, 0, 0..2, 1_000));
    assert_eq!(rig.says(), [""; 0]);
    credit(&mut rig, 'a', 16_416);
    assert_eq!(rig.says(), ["serve a 0[0]"]);
    credit(&mut rig, 'a', 16_416);
    assert_eq!(rig.says(), ["serve a 0[1]"]);
}

#[test]
fn an_upload_limit_spreads_blocks_over_time() {
    let mut rig = holder("a:0");
    // Eight blocks a second; nothing is saved up yet.
    rig.tell(Input::PolicyChanged(Policy {
        upload_limit: Some(BitRate::from_bps(8 * 8 * 16_384)),
        ..Policy::default()
    }));
    rig.hears('a', wants(1, 0, 0..8, 10_000));
    rig.says();
    let start = rig.now;
    let mut served = 0;
    while served < 8 {
        served += rig.says_next().1.len();
        let passed = rig.now.saturating_duration_since(start).as_millis();
        assert!(
            passed + 200 >= served as u128 * 125,
            "{served} in {passed} ms"
        );
    }
    assert!(rig.now.saturating_duration_since(start).as_millis() <= 1_100);
}

#[test]
fn a_cancelled_request_is_not_served() {
    let mut rig = holder("a:0");
    credit(&mut rig, 'a', 0);
    rig.hears('a', wants(1, 0, 0..2, 1_000));
    rig.hears('a', wants(2, 0, 4..5, 1_000));
    rig.says();
    rig.hears(
        'a',
        Said::Cancel {
            request: RequestId(1),
        },
    );
    credit(&mut rig, 'a', 1 << 20);
    assert_eq!(rig.says(), ["serve a 0[4]"]);
}

#[test]
fn what_is_not_held_is_rejected_at_once() {
    let mut rig = playing(window("#."), swarm("a:00"));
    rig.stores(1, 0..2);
    rig.says();
    rig.hears('a', wants(1, 1, 0..3, 1_000));
    rig.hears('a', wants(2, 7, 0..1, 1_000));
    let lines = rig.says();
    assert_eq!(lines[..2], ["reject a Absent", "reject a Absent"]);
}

#[test]
fn what_may_only_be_played_is_not_served() {
    let mut rig = playing(window("?"), swarm("a:0"));
    rig.stores_privately(0, 0..8);
    rig.hears('a', wants(1, 0, 0..1, 1_000));
    assert!(rig.says().contains(&"reject a Absent".into()));
}

#[test]
fn other_content_is_rejected() {
    let mut rig = holder("a:0");
    let mut bytes = *support::segment_id(0).as_bytes();
    // The tag is the same, the rest is not.
    bytes[15] ^= 1;
    let Said::Request {
        request,
        segment,
        blocks,
        deadline_after,
        ..
    } = wants(1, 0, 0..1, 1_000)
    else {
        unreachable!("a request");
    };
    rig.hears(
        'a',
        Said::Request {
            request,
            segment,
            id: SegmentId::new(bytes),
            blocks,
            deadline_after,
        },
    );
    assert_eq!(rig.says(), ["reject a OtherContent"]);
}

#[test]
fn late_work_is_rejected() {
    let mut rig = holder("a:0");
    rig.hears('a', wants(1, 0, 0..1, 0));
    assert_eq!(rig.says(), ["reject a TooLate"]);
    credit(&mut rig, 'a', 0);
    rig.hears('a', wants(2, 0, 0..1, 300));
    assert_eq!(rig.says_next(), (300, vec!["reject a TooLate".to_owned()]));
}

#[test]
fn requests_for_no_blocks_are_rejected() {
    let mut rig = holder("a:0");
    for blocks in [[3, 3], [u32::MAX, u32::MAX], [5, 1]] {
        rig.hears('a', wants(1, 0, blocks[0]..blocks[1], 1_000));
        assert_eq!(rig.says(), ["reject a Absent"], "{blocks:?}");
    }
    rig.hears('a', wants(1, 0, 0..u32::MAX, 1_000));
    assert_eq!(rig.says(), ["reject a Absent"]);
}

#[test]
fn a_neighbour_may_have_sixty_four_blocks_waiting() {
    let mut rig = holder("a:0 b:0");
    credit(&mut rig, 'a', 0);
    for request in 0..8 {
        rig.hears('a', wants(request, 0, 0..8, 60_000));
    }
    assert_eq!(rig.says(), [""; 0]);
    rig.hears('a', wants(8, 0, 0..1, 60_000));
    rig.hears('b', wants(0, 0, 0..1, 60_000));
    assert_eq!(rig.says(), ["reject a Busy", "serve b 0[0]"]);
}

#[test]
fn two_hundred_and_fifty_six_blocks_may_wait_altogether() {
    let mut rig = holder("a:0 b:0 c:0 d:0 e:0");
    for name in ['a', 'b', 'c', 'd', 'e'] {
        credit(&mut rig, name, 0);
    }
    for name in ['a', 'b', 'c', 'd'] {
        for request in 0..8 {
            rig.hears(name, wants(request, 0, 0..8, 60_000));
        }
    }
    assert_eq!(rig.says(), [""; 0]);
    rig.hears('e', wants(0, 0, 0..1, 60_000));
    assert_eq!(rig.says(), ["reject e Busy"]);
}

#[test]
fn without_uploads_requests_are_rejected_and_no_class_is_declared() {
    let policies = [
        Policy {
            upload: Switch::Off,
            ..Policy::default()
        },
        Policy {
            peer_transfer: Switch::Off,
            ..Policy::default()
        },
        Policy {
            upload_limit: Some(BitRate::ZERO),
            ..Policy::default()
        },
    ];
    for policy in policies {
        let mut rig = holder("a:0");
        credit(&mut rig, 'a', 0);
        rig.hears('a', wants(1, 0, 0..1, 1_000));
        rig.says();
        rig.tell(Input::PolicyChanged(policy));
        assert_eq!(rig.says(), ["class a None", "reject a Policy"]);
        rig.hears('a', wants(2, 0, 0..1, 1_000));
        assert_eq!(rig.says(), ["reject a Policy"]);
    }
}

#[test]
fn a_change_of_class_is_declared() {
    let mut rig = holder("a:0");
    rig.tell(Input::PolicyChanged(Policy {
        upload_class: UploadClass::High,
        ..Policy::default()
    }));
    assert_eq!(rig.says(), ["class a High"]);
    rig.tell(Input::PolicyChanged(Policy {
        upload_class: UploadClass::High,
        upload_limit: Some(BitRate::from_bps(1)),
        ..Policy::default()
    }));
    assert_eq!(rig.says(), [""; 0]);
}

#[test]
fn requests_for_what_was_dropped_are_rejected() {
    let mut rig = holder("a:0");
    credit(&mut rig, 'a', 0);
    rig.hears('a', wants(1, 0, 0..1, 1_000));
    rig.says();
    rig.tell(Input::Unshareable {
        segment: segment(0),
        segment_len: None,
        private: set(0..0),
    });
    let lines = rig.says();
    assert!(lines.contains(&"reject a Absent".into()), "{lines:?}");
    assert!(lines.contains(&"lost a 0..1".into()), "{lines:?}");
    rig.hears('a', Said::Left { track: TRACK });
}
