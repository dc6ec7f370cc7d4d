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
        [Said::RoundTrip(Duration::from_millis(35))]
    );
    hear_at(&mut link, &PeerMessage::Pong { echo: 0, at: 7 }, 40);
    assert_eq!(drain(&mut link), [], "answered already");

    assert_eq!(link.poll_timeout(), Some(at(10_000)));
    link.handle_timeout(at(10_000));
    assert_eq!(sent(&mut link), [PeerMessage::Ping { at: 10_000_000 }]);
    assert_eq!(link.poll_timeout(), Some(at(20_000)));
    let echo = 10_000_000;
    hear_at(&mut link, &PeerMessage::Pong { echo, at: 0 }, 90_000);
    assert_eq!(said(&mut link), [Said::RoundTrip(MAX_DURATION)]);
}

#[test]
fn pings_are_answered_but_at_most_one_a_second() {
    let mut link = talking();
    hear_at(&mut link, &PeerMessage::Ping { at: 123 }, 500);
    assert_eq!(
        sent(&mut link),
        [PeerMessage::Pong {
            echo: 123,
            at: 500_000
        }]
    );
    hear_at(&mut link, &PeerMessage::Ping { at: 124 }, 1_499);
    assert_eq!(drain(&mut link), []);
    hear_at(&mut link, &PeerMessage::Ping { at: 125 }, 1_500);
    assert_eq!(sent(&mut link).len(), 1);
}

#[test]
fn the_fourth_violation_closes() {
    let mut link = talking();
    let garbage = || LinkInput::Received {
        channel: Channel::Control,
        message: Bytes::from_static(&[0x21]),
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
        message: message.encode().unwrap().into_bytes(),
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
