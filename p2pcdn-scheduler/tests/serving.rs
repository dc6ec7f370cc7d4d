//! Whom to serve, in which order, and whom not.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{Input, Policy, Switch};
use p2pcdn_wire::{BitRate, RequestId, Said, SegmentId, UploadClass};
use support::{
    TRACK,
    rig::{Rig, Setup, link, playing, set, swarm, wants, window},
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
    let served = ["serve a 0[2]", "serve a 0[3]", "serve a 0[4]"];
    assert_eq!(rig.says_within(100), served);
}

#[test]
fn of_what_runs_out_of_time_the_earliest_deadline_is_served_first() {
    let mut rig = holder("a:0 b:0 c:0");
    rig.hears('a', wants(1, 0, 0..1, 1_500));
    rig.hears('b', wants(1, 0, 1..2, 1_000));
    rig.hears('c', wants(1, 0, 2..3, 1_200));
    rig.hears('a', wants(2, 0, 3..4, 500));
    let served = [
        "serve a 0[3]",
        "serve b 0[1]",
        "serve c 0[2]",
        "serve a 0[0]",
    ];
    let mut lines = rig.says_within(150);
    lines.retain(|line| line.starts_with("serve"));
    assert_eq!(lines, served);
}

#[test]
fn what_runs_out_of_time_goes_before_what_nobody_has_yet() {
    let mut rig = holder("a:0 b:0");
    rig.hears('a', wants(1, 0, 0..1, 1_000));
    assert_eq!(rig.says(), ["serve a 0[0]"]);
    rig.hears('a', wants(2, 0, 1..2, 1_600));
    rig.hears('b', wants(1, 0, 0..1, 1_400));
    assert_eq!(rig.says_within(90), ["serve b 0[0]", "serve a 0[1]"]);
}

#[test]
fn blocks_that_nobody_has_yet_go_before_those_that_multiply() {
    let mut rig = holder("a:0 b:0 c:0");
    rig.hears('a', wants(1, 0, 0..1, 3_000));
    assert_eq!(rig.says(), ["serve a 0[0]"]);
    rig.hears('b', wants(1, 0, 0..1, 2_000));
    rig.hears('c', wants(1, 0, 1..2, 3_000));
    assert_eq!(rig.says_within(100), ["serve c 0[1]", "serve b 0[0]"]);
}

#[test]
fn who_waits_is_sent_away_once_others_were_given_what_it_waits_for() {
    // 4 blocks take 262 ms at 2 Mb/s, 5 take 328 ms.
    for (ahead, is_busy) in [(4, false), (5, true)] {
        let mut rig = holder("a:0 c:0");
        credit(&mut rig, 'c', 0);
        rig.hears('c', wants(1, 0, 0..1, 60_000));
        rig.hears('a', wants(1, 0, 0..1, 60_000));
        assert_eq!(rig.says(), ["serve a 0[0]"]);
        credit(&mut rig, 'a', 0);
        rig.hears('a', wants(2, 0, 1..1 + ahead, 60_000));
        let is_rejected = rig.says().contains(&"reject c Busy".into());
        assert_eq!(is_rejected, is_busy, "{ahead}");
    }
}

#[test]
fn what_only_its_seed_can_pass_on_goes_before_what_runs_out_of_time() {
    let is_on_duty = |lines: &[String]| lines.contains(&"http 1[0..8] duty".into());
    let setup = Setup::new(window("#."), swarm("a:00 b:00"));
    let (mut rig, _) = setup.who(is_on_duty);
    rig.http_brings(1);
    rig.says();
    rig.hears('a', wants(1, 1, 0..1, 60_000));
    rig.hears('b', wants(1, 0, 0..1, 500));
    assert_eq!(rig.says(), ["serve a 1[0]", "serve b 0[0]"]);
}

#[test]
fn who_uploads_much_is_served_before_who_uploads_little() {
    let mut rig = holder("a:0 b:0");
    rig.hears('b', Said::Class(UploadClass::High));
    rig.hears('a', wants(1, 0, 0..1, 2_000));
    rig.hears('b', wants(1, 0, 1..2, 3_000));
    assert_eq!(rig.says(), ["serve b 0[1]", "serve a 0[0]"]);
}

#[test]
fn neighbours_with_time_are_served_in_turn() {
    let mut rig = holder("a:0 b:0");
    rig.hears('a', wants(1, 0, 0..2, 2_000));
    rig.hears('b', wants(1, 0, 2..4, 3_000));
    let served = [
        "serve a 0[0]",
        "serve b 0[2]",
        "serve a 0[1]",
        "serve b 0[3]",
    ];
    let mut lines = rig.says_within(150);
    lines.retain(|line| line.starts_with("serve"));
    assert_eq!(lines, served);
}

#[test]
fn who_would_wait_long_for_what_others_were_given_is_sent_to_them() {
    // 4 blocks take 262 ms at 2 Mb/s, 5 take 328 ms.
    for (waiting, is_busy) in [(4, false), (5, true)] {
        let mut rig = holder("a:0 b:0 c:0");
        rig.hears('b', wants(1, 0, 0..1, 1_000));
        assert_eq!(rig.says(), ["serve b 0[0]"]);
        credit(&mut rig, 'a', 0);
        for request in 0..waiting {
            rig.hears('a', wants(request, 0, 1..2, 60_000));
        }
        rig.hears('c', wants(1, 0, 0..1, 60_000));
        let lines = rig.says();
        let reject = "reject c Busy".to_owned();
        assert_eq!(lines.contains(&reject), is_busy, "{waiting} {lines:?}");
        // A block that nobody was given is worth the wait.
        rig.hears('c', wants(2, 0, 2..3, 60_000));
        let lines = rig.says_within(100);
        assert!(lines.contains(&"serve c 0[2]".into()), "{lines:?}");
    }
}

/// How many blocks are served within `millis`.
fn served_within(rig: &mut Rig, millis: u64) -> usize {
    let lines = rig.says_within(millis);
    lines.iter().filter(|it| it.starts_with("serve")).count()
}

/// A neighbour answers a ping that left `millis` ago, and was on its way for `excess_millis` more
/// than the ones before.
fn answers(rig: &mut Rig, name: char, millis: u64, excess_millis: i64) {
    let (took, outward) = (Duration::from_millis(millis), excess_millis * 1_000);
    rig.hears(name, Said::RoundTrip { took, outward });
}

#[test]
fn uploads_begin_at_two_megabits_a_second() {
    let mut rig = holder("a:0");
    rig.hears('a', wants(1, 0, 0..8, 10_000));
    // Two at once, then one each 65.5 ms: three take 196.6 ms.
    assert_eq!(served_within(&mut rig, 196), 4);
    assert_eq!(served_within(&mut rig, 2), 1);
    // The rate's worth of 310 ms, 77.5 kB, may be on its way without an answer.
    assert_eq!(served_within(&mut rig, 500), 0);
    answers(&mut rig, 'a', 20, 0);
    assert!(served_within(&mut rig, 200) > 0);
}

#[test]
fn a_queue_on_the_way_to_a_neighbour_slows_uploads_down() {
    let mut rig = holder("a:0");
    rig.says_within(200);
    // The target is 60 ms and the 65.5 of a block; of what is beyond, 500 ms take a tenth of the
    // rate: two blocks take 145.6 ms.
    answers(&mut rig, 'a', 20, 176);
    rig.hears('a', wants(1, 0, 0..8, 10_000));
    assert_eq!(served_within(&mut rig, 145), 3);
    assert_eq!(served_within(&mut rig, 2), 1);

    let mut rig = holder("a:0");
    rig.says_within(200);
    answers(&mut rig, 'a', 20, 1_000);
    rig.hears('a', wants(1, 0, 0..8, 10_000));
    // Never by more than two fifths: a block takes 109.2 ms.
    assert_eq!(served_within(&mut rig, 109), 2);
    assert_eq!(served_within(&mut rig, 2), 1);
}

#[test]
fn a_queue_on_the_way_to_one_neighbour_alone_is_not_ours() {
    let mut rig = holder("a:0 b:0");
    rig.says_within(200);
    answers(&mut rig, 'b', 20, 0);
    answers(&mut rig, 'a', 20, 1_000);
    rig.hears('a', wants(1, 0, 0..8, 10_000));
    assert_eq!(served_within(&mut rig, 197), 5);
}

#[test]
fn a_ping_follows_a_block_once_a_second_while_nothing_waits() {
    let mut rig = holder("a:0");
    for (request, (millis, has_ping)) in
        (0..).zip([(999, false), (1, true), (999, false), (1, true)])
    {
        rig.says_within(millis);
        rig.hears('a', wants(request, 0, 0..1, 10_000));
        let lines = rig.says();
        assert_eq!(
            lines.contains(&"ping a".into()),
            has_ping,
            "{request} {lines:?}"
        );
        if has_ping {
            answers(&mut rig, 'a', 0, 0);
        }
    }
}

#[test]
fn a_ping_follows_a_block_a_few_times_a_second_while_blocks_wait() {
    let mut rig = holder("a:0");
    for request in 0..8 {
        rig.hears('a', wants(request, 0, 0..8, 60_000));
    }
    let mut pings = 0;
    for _ in 0..100 {
        if rig.says_within(10).contains(&"ping a".into()) {
            pings += 1;
            answers(&mut rig, 'a', 0, 0);
        }
    }
    // At least 130 ms apart, and not more than 200 ms and a block.
    assert!((3..=8).contains(&pings), "{pings}");
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
        let lines = rig.says_next().1;
        served += lines.iter().filter(|it| it.starts_with("serve")).count();
        if lines.contains(&"ping a".into()) {
            answers(&mut rig, 'a', 0, 0);
        }
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
