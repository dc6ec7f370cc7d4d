//! One link against messages written by hand: statements, times, violations, the end.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_wire::*;

use support::{link::*, *};

#[test]
fn numbers_of_tracks_are_translated() {
    let mut link = talking();
    let place = Place {
        handle: Handle(9),
        ordinal: 100,
        tag: 42,
    };
    hear(&mut link, &PeerMessage::Withdrawn { place });
    let segment = SegmentRef {
        track: TrackIndex(5),
        ordinal: 100,
        tag: 42,
    };
    assert_eq!(said(&mut link), [Said::IntentWithdrawn { segment }]);

    say(&mut link, Say::IntentWithdrawn { segment });
    let place = Place {
        handle: Handle(5),
        ..place
    };
    assert_eq!(sent(&mut link), [PeerMessage::Withdrawn { place }]);
}

#[test]
fn tracks_that_only_one_side_has_joined_are_not_talked_about() {
    let mut link = talking();
    hear(
        &mut link,
        &PeerMessage::Hello(hello(PEER, &[(9, TRACK), (10, 78)])),
    );
    hear(
        &mut link,
        &PeerMessage::Lost {
            handle: Handle(10),
            ordinals: OrdinalRange::one(1),
        },
    );
    hear(&mut link, &wanted(1, 10, 0..1));
    say(&mut link, have(6, 1, 2));
    assert_eq!(drain(&mut link), []);

    // A handle that no hello has named is another matter.
    hear(
        &mut link,
        &PeerMessage::Lost {
            handle: Handle(11),
            ordinals: OrdinalRange::one(1),
        },
    );
    assert_eq!(
        violations(&drain(&mut link)),
        [Violation::UnknownHandle(Handle(11))]
    );
}

#[test]
fn several_haves_before_a_drain_are_one_bitfield() {
    let mut link = talking();
    say(&mut link, have(5, 10, 12));
    say(&mut link, have(5, 14, 15));
    say(&mut link, have(5, 3, 4));
    say(&mut link, Say::Class(UploadClass::Low));
    let sent = sent(&mut link);
    assert_eq!(
        sent[..2],
        [
            PeerMessage::Bitfield {
                handle: Handle(5),
                ranges: vec![(OrdinalRange::new(10, 12), 1), (OrdinalRange::one(14), 1)]
            },
            PeerMessage::Have {
                handle: Handle(5),
                ordinals: OrdinalRange::one(3),
                digest: 1
            },
        ]
    );
    assert!(matches!(sent[2], PeerMessage::Hello(_)));
}

#[test]
fn the_round_trip_is_measured_every_ten_seconds() {
    let mut link = talking();
    hear_at(&mut link, &PeerMessage::Pong { echo: 0, at: 7 }, 35);
    assert_eq!(
        said(&mut link),
        [Said::RoundTrip {
            took: Duration::from_millis(35),
            outward: 7
        }]
    );
    hear_at(&mut link, &PeerMessage::Pong { echo: 0, at: 7 }, 40);
    assert_eq!(drain(&mut link), [], "answered already");

    assert_eq!(link.poll_timeout(), Some(at(10_000)));
    link.handle_timeout(at(10_000));
    assert_eq!(sent(&mut link), [PeerMessage::Ping { at: 10_000_000 }]);
    assert_eq!(link.poll_timeout(), Some(at(20_000)));
    let echo = 10_000_000;
    hear_at(&mut link, &PeerMessage::Pong { echo, at: 0 }, 90_000);
    assert_eq!(
        said(&mut link),
        [Said::RoundTrip {
            took: MAX_DURATION,
            outward: -10_000_000
        }]
    );
}

#[test]
fn every_ping_is_answered_however_close_a_queue_brings_them() {
    let mut link = talking();
    hear_at(&mut link, &PeerMessage::Ping { at: 123 }, 500);
    assert_eq!(
        sent(&mut link),
        [PeerMessage::Pong {
            echo: 123,
            at: 500_000
        }]
    );
    hear_at(&mut link, &PeerMessage::Ping { at: 124 }, 500);
    assert_eq!(sent(&mut link).len(), 1);
}

#[test]
fn a_ping_is_sent_when_asked_for_or_when_the_answer_that_is_awaited_has_come() {
    let mut link = talking();
    let ping = |link: &mut Link, millis| {
        link.handle_input(LinkInput::Say(Say::Ping), at(millis));
        sent(link)
    };
    // The one that follows the hello is not answered yet.
    assert_eq!(ping(&mut link, 50), []);
    hear_at(&mut link, &PeerMessage::Pong { echo: 0, at: 7 }, 60);
    assert_eq!(sent(&mut link), [PeerMessage::Ping { at: 60_000 }]);
    hear_at(
        &mut link,
        &PeerMessage::Pong {
            echo: 60_000,
            at: 7,
        },
        90,
    );
    assert_eq!(sent(&mut link), []);
    assert_eq!(ping(&mut link, 100), [PeerMessage::Ping { at: 100_000 }]);
    assert_eq!(ping(&mut link, 3_099), []);
    assert_eq!(
        ping(&mut link, 3_100),
        [PeerMessage::Ping { at: 3_100_000 }]
    );
}

#[test]
fn the_fourth_violation_closes() {
    let mut link = talking();
    let garbage = || LinkInput::Received {
        channel: Channel::Control,
        message: Bytes::from_static(&[0x21]).into(),
    };
    for _ in 0..3 {
        link.handle_input(garbage(), at(0));
    }
    let outputs = drain(&mut link);
    assert_eq!(
        violations(&outputs),
        [Violation::Malformed(DecodeError::Truncated { at: 1 }); 3]
    );
    assert_eq!(closed(&outputs), None);
    link.handle_input(garbage(), at(0));
    assert_eq!(
        closed(&drain(&mut link)),
        Some((Side::Us, GoodbyeReason::Violation))
    );
    link.handle_input(garbage(), at(0));
    say(&mut link, have(5, 1, 2));
    assert_eq!(drain(&mut link), [], "nothing after the end");
}

#[test]
fn messages_belong_on_their_channel() {
    let mut link = talking();
    let on = |channel, message: &PeerMessage| LinkInput::Received {
        channel,
        message: message.encode().unwrap(),
    };
    link.handle_input(on(Channel::Control, &block(1, 0)), at(0));
    link.handle_input(on(Channel::Data, &PeerMessage::Ping { at: 0 }), at(0));
    assert_eq!(
        violations(&drain(&mut link)),
        [
            Violation::WrongChannel(Channel::Control),
            Violation::WrongChannel(Channel::Data)
        ]
    );
}

#[test]
fn goodbye_ends_it_from_either_side() {
    let mut link = talking();
    say(&mut link, have(5, 1, 2));
    say(&mut link, Say::Goodbye(GoodbyeReason::Leaving));
    let outputs = drain(&mut link);
    assert_eq!(outputs.len(), 4, "what was said before still goes out");
    assert_eq!(closed(&outputs), Some((Side::Us, GoodbyeReason::Leaving)));

    let mut link = talking();
    hear(
        &mut link,
        &PeerMessage::Goodbye {
            reason: GoodbyeReason::Full,
        },
    );
    let reason = GoodbyeReason::Full;
    assert_eq!(
        drain(&mut link),
        [
            LinkOutput::Close(reason),
            LinkOutput::Event(LinkEvent::Closed {
                by: Side::Peer,
                reason
            })
        ]
    );
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn of_a_bitfield_the_newest_runs_are_heard() {
    let mut link = talking();
    let range = |run: u64| (OrdinalRange::one(2 * run), 1);
    let bitfield = |runs: u64| PeerMessage::Bitfield {
        handle: Handle(9),
        ranges: (0..runs).map(range).collect(),
    };
    hear(&mut link, &bitfield(256));
    assert_eq!(said(&mut link).len(), 256);
    hear(&mut link, &bitfield(257));
    let heard = said(&mut link);
    assert_eq!(heard.len(), 256);
    let oldest = Said::Have {
        track: TrackIndex(5),
        ordinals: OrdinalRange::one(2),
        digest: 1,
    };
    assert_eq!(heard[0], oldest);
}

#[test]
fn what_nobody_has_a_use_for_is_dropped_and_then_the_link_is() {
    let mut link = talking();
    let place = Place {
        handle: Handle(9),
        ordinal: 100,
        tag: 42,
    };
    let mut outputs = Vec::new();
    // A thousand a second, for seven seconds.
    for millis in 0..7_000 {
        link.handle_input(received(&PeerMessage::Withdrawn { place }), at(millis));
        outputs.push((millis, drain(&mut link)));
    }
    let first = |is_it: &dyn Fn(&LinkOutput) -> bool| {
        let found = outputs
            .iter()
            .find(|(_, outputs)| outputs.iter().any(is_it));
        found.map(|(millis, _)| *millis)
    };
    let dropped = first(&|it| *it == LinkOutput::Event(LinkEvent::Dropped));
    // The hello took 32, and of each five one is free: 1,968 are used up after 2.46 s.
    let dropped = dropped.expect("more than it may send");
    assert!((2_450..=2_470).contains(&dropped), "{dropped}");
    let flooded = first(&|it| *it == LinkOutput::Event(LinkEvent::Violation(Violation::Flooding)));
    let closed = first(&|it| *it == LinkOutput::Close(GoodbyeReason::Violation));
    assert!(flooded.is_none() && closed.is_none(), "less than 5 s of it");
    for millis in 7_000..8_000 {
        link.handle_input(received(&PeerMessage::Withdrawn { place }), at(millis));
    }
    let outputs = drain(&mut link);
    assert_eq!(violations(&outputs), [Violation::Flooding]);
    assert_eq!(
        self::closed(&outputs),
        Some((Side::Us, GoodbyeReason::Violation))
    );
}

#[test]
fn violations_that_show_elsewhere_count_as_any() {
    let mut link = talking();
    for _ in 0..3 {
        link.handle_input(LinkInput::Violated(Violation::ForgedMap), at(0));
    }
    assert_eq!(closed(&drain(&mut link)), None);
    link.handle_input(LinkInput::Violated(Violation::ForgedMap), at(0));
    assert_eq!(
        closed(&drain(&mut link)),
        Some((Side::Us, GoodbyeReason::Violation))
    );
    link.handle_input(LinkInput::Violated(Violation::ForgedMap), at(0));
    assert_eq!(drain(&mut link), []);
}
