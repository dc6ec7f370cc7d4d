//! What is asked of whom.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{Growth, Input};
use p2pcdn_wire::{
    BitRate, BlockSet, RejectReason, Role, Said, SegmentRef, TrackId, TrackIndex, UploadClass,
};
use support::{
    rig::{Rig, Setup, has, holds, intends, joins, link, playing, rejects, set, swarm, window},
    segment,
};

/// The blocks that lines ask of a neighbour for segment 1, in the order of asking.
fn asked(lines: &[String], of: char) -> Vec<u32> {
    let start = format!("ask {of} 1[");
    lines
        .iter()
        .filter_map(|line| line.strip_prefix(&start)?.strip_suffix(']'))
        .flat_map(|range| {
            let (from, to) = range.split_once("..").expect("a range");
            from.parse().expect("a block")..to.parse().expect("a block")
        })
        .collect()
}

/// A viewer that is never on duty.
fn guest(text: &str, neighbours: &str) -> Rig {
    let mut setup = Setup::new(window(text), swarm(neighbours));
    setup.policy.upload_class = UploadClass::None;
    setup.build()
}

/// A guest whose line carries more than its neighbours do.
fn fast(text: &str, neighbours: &str) -> Rig {
    let mut setup = Setup::new(window(text), swarm(neighbours));
    setup.policy.upload_class = UploadClass::None;
    setup.config.throughput_prior = BitRate::from_bps(100_000_000);
    setup.build()
}

/// Neighbour a answers a ping.
fn answers(rig: &mut Rig, after_millis: u64) {
    let took = Duration::from_millis(after_millis);
    rig.hears('a', Said::RoundTrip { took, outward: 0 });
}

/// How many blocks lines ask for.
fn asked_in_all(lines: &[String]) -> u32 {
    let ranges = lines.iter().filter_map(|line| {
        let place = line.strip_prefix("ask ")?;
        place.split_once('[')?.1.strip_suffix(']')?.split_once("..")
    });
    let number = |text: &str| text.parse::<u32>().expect("a block");
    ranges.map(|(from, to)| number(to) - number(from)).sum()
}

/// A viewer with a segment to get from neighbours that hold nothing so far.
fn waiting(neighbours: &str) -> Rig {
    let mut rig = guest("#.", neighbours);
    assert_eq!(rig.says(), [""; 0]);
    rig
}

#[test]
fn no_block_is_asked_of_two() {
    let mut rig = playing(window("#."), swarm("a:01 b:01 c:01"));
    let lines = rig.says();
    let mut all: Vec<_> = ['a', 'b', 'c']
        .iter()
        .flat_map(|name| asked(&lines, *name))
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..8).collect::<Vec<_>>());
}

#[test]
fn a_block_that_few_hold_goes_first() {
    let mut rig = waiting("a:00 b:00");
    rig.hears('a', holds(1, 0..8));
    rig.hears('b', holds(1, 0..5));
    let lines = rig.says();
    // Blocks 5 to 7 are with a alone; the first run asked of it begins there.
    assert!(asked(&lines, 'a')[0] >= 5, "{lines:?}");
}

#[test]
fn a_request_has_at_most_four_blocks() {
    let mut rig = waiting("a:00");
    rig.hears('a', has(1));
    for line in rig.says() {
        let count = asked(std::slice::from_ref(&line), 'a').len();
        assert!((1..=4).contains(&count), "{line}");
    }
}

#[test]
fn a_neighbour_is_asked_for_no_more_than_its_window() {
    let mut rig = waiting("a:00");
    rig.hears('a', has(1));
    // 4 Mb/s over twice 20 ms is one block, and two more.
    assert_eq!(asked(&rig.says(), 'a').len(), 3);
}

#[test]
fn a_window_has_at_most_sixteen_blocks() {
    let mut rig = fast("#........", "a:011111111");
    answers(&mut rig, 60_000);
    let lines = rig.says();
    assert_eq!(asked_in_all(&lines), 16, "{lines:?}");
}

#[test]
fn a_longer_round_trip_is_believed_slowly_and_a_shorter_one_at_once() {
    // 20 ms, then one of a second, which counts an eighth: 142.5 ms. Twice that at 4 Mb/s is eight
    // blocks, and two more.
    let mut rig = fast("#........", "a:011111111");
    answers(&mut rig, 1_000);
    assert_eq!(asked_in_all(&rig.says()), 10);
    let mut rig = fast("#........", "a:011111111");
    answers(&mut rig, 1_000);
    answers(&mut rig, 20);
    assert_eq!(asked_in_all(&rig.says()), 3);
}

#[test]
fn all_neighbours_together_are_asked_for_three_hundred_milliseconds_of_the_line() {
    // 300 ms of 4 Mb/s are 9 blocks, but 12 are always allowed; of 8 Mb/s 18. The windows of eight
    // neighbours come to 24.
    for (mbps, most) in [(4, 12), (8, 18)] {
        let holders: Vec<_> = ('a'..='h').map(|name| format!("{name}:0000111")).collect();
        let mut setup = Setup::new(window("####..."), swarm(&holders.join(" ")));
        setup.config.throughput_prior = BitRate::from_bps(mbps * 1_000_000);
        assert_eq!(asked_in_all(&setup.build().says()), most, "{mbps}");
    }
}

#[test]
fn who_declares_no_uplink_is_not_asked() {
    let mut rig = waiting("a:00");
    rig.hears('a', Said::Class(UploadClass::None));
    rig.hears('a', has(1));
    assert_eq!(asked(&rig.says(), 'a'), []);
    rig.hears('a', Said::Class(UploadClass::Low));
    assert_eq!(asked(&rig.says(), 'a').len(), 3);
}

#[test]
fn blocks_are_asked_for_in_order_when_time_is_short() {
    let mut rig = waiting("a:00");
    rig.plays(
        p2pcdn_scheduler::PlaybackState::Paused,
        0.6,
        Duration::from_secs(60),
    );
    rig.says();
    rig.hears('a', has(1));
    assert_eq!(asked(&rig.says(), 'a'), [0, 1, 2]);
}

#[test]
fn newest_segments_go_first_live_and_oldest_on_demand() {
    for (growth, first) in [(Growth::Live, "ask a 3"), (Growth::Ended, "ask a 1")] {
        let mut setup = Setup::new(window("#..."), swarm("a:0111"));
        setup.growth = growth;
        let lines = setup.build().says();
        assert!(lines[0].starts_with(first), "{lines:?}");
    }
}

#[test]
fn delivered_blocks_make_room_for_others() {
    let mut rig = waiting("a:00");
    rig.hears('a', holds(1, 0..8));
    let first = asked(&rig.says(), 'a');
    rig.delivers('a', 1, first[0]..first[0] + 1);
    let more = asked(&rig.says(), 'a');
    assert!(!more.is_empty());
    assert!(
        more.iter().all(|block| !first.contains(block)),
        "{first:?} {more:?}"
    );
}

#[test]
fn a_silent_neighbour_is_cancelled_and_left_alone_for_longer_and_longer() {
    let mut rig = guest("####################.", "a:000000000000000000001");
    let lines = rig.says();
    assert!(
        lines.iter().all(|line| line.starts_with("ask a 20")),
        "{lines:?}"
    );
    for pause in [500, 1_000, 2_000] {
        let (waited, lines) = rig.says_next();
        assert_eq!(waited, 3_000);
        assert!(
            lines.iter().any(|line| line.starts_with("cancel a 20")),
            "{lines:?}"
        );
        let lines = rig.says_within(pause - 1);
        assert!(
            !lines.iter().any(|line| line.starts_with("ask")),
            "{lines:?}"
        );
        let lines = rig.says_within(1);
        let asks = lines.iter().any(|line| line.starts_with("ask a 20"));
        assert!(asks, "{pause} {lines:?}");
    }
}

#[test]
fn a_request_may_take_a_quarter_of_the_slack() {
    // But 600 ms at least and 3 s at most.
    for (held, patience) in [(1, 600), (4, 2_000), (20, 3_000)] {
        let mut rig = fast(&("#".repeat(held) + "."), "a:0");
        let ordinal = held as u64;
        rig.hears('a', holds(ordinal, 0..1));
        assert_eq!(rig.says(), [format!("ask a {ordinal}[0..1]")]);
        let (waited, lines) = rig.says_next();
        assert_eq!(waited, patience, "{lines:?}");
        assert_eq!(lines, [format!("cancel a {ordinal}[0..1]")]);
    }
}

#[test]
fn blocks_that_were_not_asked_for_keep_no_request_alive() {
    let mut rig = waiting("a:00");
    rig.hears('a', holds(1, 0..2));
    assert_eq!(asked(&rig.says(), 'a').len(), 2);
    let request = rig.request('a', 1, 0);
    for _ in 0..6 {
        rig.says_within(99);
        rig.tell(Input::BlockArrived {
            link: link('a'),
            request,
            segment: segment(1),
            block: 7,
            len: 16_384,
        });
    }
    let lines = rig.says_within(20);
    assert!(lines.contains(&"cancel a 1[0..2]".into()), "{lines:?}");
}

#[test]
fn blocks_without_bytes_are_no_reason_to_panic() {
    let mut rig = playing(window("#."), swarm("a:01"));
    let blocks = asked(&rig.says(), 'a');
    for block in blocks {
        rig.tell(Input::BlockArrived {
            link: link('a'),
            request: rig.request('a', 1, block),
            segment: segment(1),
            block,
            len: 0,
        });
        rig.says();
    }
}

#[test]
fn a_rejected_request_goes_to_somebody_else() {
    let mut rig = waiting("a:00 b:00");
    rig.hears('a', holds(1, 0..3));
    let lines = rig.says();
    assert_eq!(lines, ["ask a 1[0..3]"]);
    rig.hears('b', holds(1, 0..3));
    rig.says();
    let request = rig.request('a', 1, 0);
    rig.hears('a', rejects(request));
    assert_eq!(asked(&rig.says(), 'b').len(), 3);
}

#[test]
fn a_neighbour_that_rejected_is_not_asked_at_once_again() {
    let mut rig = waiting("a:00");
    rig.hears('a', holds(1, 0..3));
    rig.says();
    let request = rig.request('a', 1, 0);
    rig.hears('a', rejects(request));
    rig.hears('a', holds(1, 0..3));
    assert_eq!(rig.says_within(99), [""; 0]);
    assert_eq!(asked(&rig.says_within(1), 'a').len(), 3);
}

#[test]
fn a_busy_neighbour_is_asked_again_without_having_to_say_what_it_holds() {
    let mut rig = waiting("a:00");
    rig.hears('a', holds(1, 0..3));
    rig.says();
    for pause in [100, 200] {
        let request = rig.request('a', 1, 0);
        let reason = RejectReason::Busy;
        rig.hears('a', Said::Reject { request, reason });
        assert!(asked(&rig.says_within(pause - 1), 'a').is_empty());
        assert!(asked(&rig.says_within(1), 'a').contains(&0), "{pause}");
    }
}

#[test]
fn nobody_waits_for_a_neighbour_that_broke_two_promises() {
    // The segment has 40 s, so only the election decides; a says it holds it all.
    let mut rig = playing(
        window("####################."),
        swarm("a:000000000000000000001"),
    );
    rig.says();
    let lines = rig.says_within(3_000 + 500 + 3_000 + 400);
    assert!(lines.contains(&"http 20[0..8] duty".into()), "{lines:?}");
}

#[test]
fn nobody_waits_for_a_neighbour_that_uploads_nothing() {
    let mut rig = playing(window("#."), swarm("a:00 b:00"));
    rig.hears('a', Said::Class(UploadClass::None));
    rig.hears('a', holds(1, 0..1));
    // The draw of a is infinite and b does not stand, so ours is the smallest.
    rig.hears('b', joins(Role::Holding));
    let lines = rig.says();
    assert!(lines.contains(&"http 1[0..8] duty".into()), "{lines:?}");
}

#[test]
fn a_block_that_came_elsewhere_is_cancelled() {
    let mut rig = waiting("a:00");
    rig.hears('a', holds(1, 0..2));
    assert_eq!(rig.says(), ["ask a 1[0..2]"]);
    rig.stores(1, 0..2);
    assert!(rig.says().contains(&"cancel a 1[0..2]".into()));
}

#[test]
fn a_neighbour_that_left_is_replaced() {
    let mut rig = waiting("a:00 b:00");
    rig.hears('a', holds(1, 0..3));
    rig.says();
    rig.hears('b', holds(1, 0..3));
    assert_eq!(rig.says(), [""; 0]);
    rig.tell(Input::LinkClosed { link: link('a') });
    assert_eq!(asked(&rig.says(), 'b').len(), 3);
}

#[test]
fn a_link_that_is_ready_twice_starts_anew() {
    let mut rig = waiting("a:00");
    rig.hears('a', holds(1, 0..3));
    assert_eq!(rig.says(), ["ask a 1[0..3]"]);
    rig.meet('a');
    rig.hears('a', holds(1, 0..3));
    assert_eq!(asked(&rig.says(), 'a').len(), 3);
}

#[test]
fn without_a_block_map_at_most_eight_blocks_are_on_their_way_or_waiting() {
    let mut setup = Setup::new(window("#?"), swarm("a:00 b:00 c:00"));
    setup.policy.upload_class = UploadClass::None;
    setup.config.throughput_prior = BitRate::from_bps(100_000_000);
    let mut rig = setup.build();
    for name in ['a', 'b', 'c'] {
        rig.hears(
            name,
            Said::Holds {
                segment: segment(1),
                segment_len: 100 * 16_384,
                blocks: set(0..100),
            },
        );
    }
    let lines = rig.says();
    assert_eq!(asked_in_all(&lines), 8, "{lines:?}");
    rig.tell(Input::Stored {
        segment: segment(1),
        verified: BlockSet::new(),
        private: BlockSet::new(),
        quarantined: set(0..8),
    });
    let lines = rig.says();
    assert!(
        !lines.iter().any(|line| line.starts_with("ask")),
        "{lines:?}"
    );
    rig.tell(Input::MapKnown {
        segment: segment(1),
        segment_len: 100 * 16_384,
    });
    assert!(rig.says().iter().any(|line| line.starts_with("ask")));
}

#[test]
fn a_wrong_block_ends_the_link_and_frees_its_blocks() {
    let mut rig = waiting("a:00 b:00");
    rig.hears('a', holds(1, 0..3));
    rig.says();
    rig.hears('b', holds(1, 0..3));
    rig.tell(Input::Corrupt {
        link: link('a'),
        segment: segment(1),
        block: 2,
    });
    let lines = rig.says();
    assert_eq!(lines[..2], ["bye a", "caught 1[2]"]);
    assert_eq!(asked(&lines, 'b').len(), 3);
    // What it says from now on is late.
    rig.hears('a', has(1));
    assert_eq!(rig.says(), [""; 0]);
}

#[test]
fn forgetful_holders_cost_no_more_than_256_runs_each() {
    // Even ordinals of 0..600 are lost one by one, which would leave 300 runs: the newest 256 stay.
    let mut rig = playing(window(&".".repeat(600)), swarm("a:0"));
    rig.says();
    let tags = (0..600).map(|ordinal| segment(ordinal).tag);
    rig.hears(
        'a',
        Said::Have {
            track: support::TRACK,
            ordinals: p2pcdn_wire::OrdinalRange::new(0, 600),
            digest: p2pcdn_wire::tag_digest(tags),
        },
    );
    for ordinal in (0..600).step_by(2) {
        rig.hears('a', support::rig::lost(ordinal));
    }
    let knows = |ordinal| rig.scheduler.map_holders(segment(ordinal)).count();
    assert_eq!((knows(599), knows(598), knows(89), knows(87)), (1, 0, 1, 0));
}

#[test]
fn thirty_two_segments_in_progress_are_remembered_of_a_neighbour() {
    for (others, is_known) in [(31, 1), (32, 0)] {
        let mut rig = guest(&"?".repeat(60), "a:0");
        for ordinal in 0..=others {
            rig.hears('a', holds(ordinal, 0..1));
        }
        let known = rig.scheduler.map_holders(segment(0)).count();
        assert_eq!(known, is_known, "{others}");
    }
}

#[test]
fn eight_intents_are_remembered_of_a_neighbour() {
    for (others, waits) in [(7, true), (8, false)] {
        let mut rig = playing(window(&"#".repeat(20)), swarm("a:0"));
        rig.list(&window(&("#".repeat(20) + &".".repeat(12))), Growth::Live);
        for ordinal in 20..=20 + others {
            rig.hears('a', intends(ordinal, 60_000));
        }
        let lines = rig.says_within(500);
        let fetched = lines.iter().any(|line| line.starts_with("http 20"));
        assert_eq!(fetched, !waits, "{others} {lines:?}");
    }
}

#[test]
fn a_neighbour_is_believed_to_be_in_sixty_four_tracks() {
    let mut rig = guest("#", "a:0");
    for track in (1..=65).map(TrackIndex) {
        let role = Role::Watching;
        rig.tell(Input::TrackJoined {
            track,
            id: TrackId::new([1; 16]),
            role,
            bitrate: None,
        });
        let name = SegmentRef {
            track,
            ..segment(0)
        };
        rig.tell(Input::SegmentsListed {
            track,
            segments: vec![p2pcdn_scheduler::Listed {
                segment: name,
                ..support::listed(0)
            }],
            first: 0,
            growth: Growth::Live,
        });
        rig.hears('a', Said::Joined { track, role });
        rig.hears(
            'a',
            Said::Holds {
                segment: name,
                segment_len: support::rig::LEN,
                blocks: BlockSet::new(),
            },
        );
        let known = rig.scheduler.map_holders(name).count();
        // It was in one before these.
        assert_eq!(known, usize::from(track.0 < 64), "{track}");
    }
}
