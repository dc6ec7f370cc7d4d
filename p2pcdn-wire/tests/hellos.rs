//! How a link begins and how its tracks change.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

mod support;

use bytes::Bytes;
use p2pcdn_wire::*;

use support::{link::*, *};

#[test]
fn greets_when_the_channels_open_and_is_ready_at_the_peers_hello() {
    let mut link = Link::new(config(US, &[(5, TRACK), (6, 78)]), at(0));
    assert_eq!(link.poll_output(), None);
    assert_eq!(link.poll_timeout(), None);

    link.handle_input(LinkInput::Opened, at(0));
    assert_eq!(
        sent(&mut link),
        [PeerMessage::Hello(hello(US, &[(5, TRACK), (6, 78)]))]
    );
    assert_eq!(link.poll_timeout(), Some(at(10_000)));

    hear(
        &mut link,
        &PeerMessage::Hello(hello(PEER, &[(9, TRACK), (3, 79)])),
    );
    let outputs = drain(&mut link);
    assert_eq!(
        outputs[..3],
        [
            LinkOutput::Event(LinkEvent::Ready {
                peer: PeerId::new([PEER; 20]),
                version: 1
            }),
            LinkOutput::Said(Said::Class(UploadClass::Normal)),
            LinkOutput::Said(Said::Joined {
                track: TrackIndex(5),
                role: Role::Watching
            }),
        ]
    );
    let LinkOutput::Send { message, .. } = &outputs[3] else {
        panic!("the first ping");
    };
    assert_eq!(message.clone().into_bytes(), &[0x02, 0][..]);
    assert_eq!(outputs.len(), 4);
}

#[test]
fn a_message_before_the_news_of_the_open_channels_opens_the_link() {
    let mut link = Link::new(config(US, &[]), at(0));
    hear(&mut link, &PeerMessage::Hello(hello(PEER, &[])));
    assert!(matches!(sent(&mut link)[0], PeerMessage::Hello(_)));
    link.handle_input(LinkInput::Opened, at(0));
    assert_eq!(drain(&mut link), []);
}

#[test]
fn closes_without_a_hello_in_time() {
    let mut link = Link::new(config(US, &[]), at(0));
    link.handle_input(LinkInput::Opened, at(0));
    drain(&mut link);
    link.handle_timeout(at(9_999));
    assert_eq!(drain(&mut link), []);
    link.handle_timeout(at(10_000));
    let outputs = drain(&mut link);
    assert_eq!(violations(&outputs), [Violation::HelloTimeout]);
    assert_eq!(closed(&outputs), Some((Side::Us, GoodbyeReason::Violation)));
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn hellos_of_other_swarms_versions_and_of_ourselves_close_with_their_reason() {
    let meet = |message: Bytes| {
        let mut link = Link::new(config(US, &[]), at(0));
        link.handle_input(LinkInput::Opened, at(0));
        drain(&mut link);
        link.handle_input(
            LinkInput::Received {
                channel: Channel::Control,
                message: message.into(),
            },
            at(0),
        );
        let outputs = drain(&mut link);
        let (by, reason) = closed(&outputs).expect("closes");
        assert_eq!(by, Side::Us);
        // In this order, and nothing else but a violation.
        let goodbye = PeerMessage::Goodbye { reason }.encode().unwrap();
        let end = [
            LinkOutput::Send {
                channel: Channel::Control,
                message: goodbye,
            },
            LinkOutput::Close(reason),
            LinkOutput::Event(LinkEvent::Closed { by, reason }),
        ];
        assert!(outputs.ends_with(&end), "{outputs:?}");
        reason
    };
    let bytes = |hello| PeerMessage::Hello(hello).encode().unwrap().into_bytes();
    let other_swarm = Hello {
        swarm: SwarmId::new([8; 20]),
        ..hello(PEER, &[])
    };
    assert_eq!(meet(bytes(other_swarm)), GoodbyeReason::Useless);
    assert_eq!(meet(bytes(hello(US, &[]))), GoodbyeReason::Duplicate);
    assert_eq!(
        meet(Bytes::from_static(b"\x00p2pc\x02\x03")),
        GoodbyeReason::Version
    );
    assert_eq!(
        meet(Bytes::from_static(b"\x00bitt\x02\x03")),
        GoodbyeReason::Violation
    );
    assert_eq!(
        meet(Bytes::from_static(&[0x02, 0])),
        GoodbyeReason::Violation,
        "a ping before the hello"
    );
}

#[test]
fn a_version_range_that_includes_ours_is_enough() {
    let mut link = Link::new(config(US, &[]), at(0));
    let later = Hello {
        min_version: 1,
        max_version: 7,
        features: 0xff,
        ..hello(PEER, &[])
    };
    hear(&mut link, &PeerMessage::Hello(later));
    assert!(
        drain(&mut link).contains(&LinkOutput::Event(LinkEvent::Ready {
            peer: PeerId::new([PEER; 20]),
            version: 1
        }))
    );
}

#[test]
fn joining_a_track_that_the_peer_is_in_finds_it_there() {
    let mut link = talking();
    hear(
        &mut link,
        &PeerMessage::Hello(hello(PEER, &[(9, TRACK), (10, 78)])),
    );
    drain(&mut link);
    let join = Say::Join {
        track: TrackIndex(6),
        id: track_id(78),
        role: Role::Watching,
    };
    say(&mut link, join.clone());
    let outputs = drain(&mut link);
    assert_eq!(
        outputs[1..],
        [LinkOutput::Said(Said::Joined {
            track: TrackIndex(6),
            role: Role::Watching
        })]
    );
    let LinkOutput::Send { message, .. } = &outputs[0] else {
        panic!("a hello");
    };
    assert_eq!(
        PeerMessage::decode(message.clone().into_bytes()),
        Ok(Some(PeerMessage::Hello(hello(US, &[(5, TRACK), (6, 78)]))))
    );
    say(&mut link, join);
    assert_eq!(drain(&mut link), [], "nothing new");
}

#[test]
fn a_repeated_hello_tells_what_changed() {
    let mut link = Link::new(config(US, &[(1, 71), (2, 72), (3, 73)]), at(0));
    hear(
        &mut link,
        &PeerMessage::Hello(hello(PEER, &[(21, 71), (22, 72)])),
    );
    drain(&mut link);
    let mut again = hello(PEER, &[(22, 72), (23, 73)]);
    again.class = UploadClass::High;
    again.tracks[0].role = Role::Holding;
    hear(&mut link, &PeerMessage::Hello(again.clone()));
    assert_eq!(
        said(&mut link),
        [
            Said::Class(UploadClass::High),
            Said::Left {
                track: TrackIndex(1)
            },
            Said::Joined {
                track: TrackIndex(2),
                role: Role::Holding
            },
            Said::Joined {
                track: TrackIndex(3),
                role: Role::Watching
            },
        ]
    );
    hear(&mut link, &PeerMessage::Hello(again));
    assert_eq!(drain(&mut link), [], "nothing changed");
}

#[test]
fn a_repeated_hello_keeps_identity_and_numbers() {
    let mut link = talking();
    hear(&mut link, &PeerMessage::Hello(hello(3, &[(9, TRACK)])));
    hear(&mut link, &PeerMessage::Hello(hello(PEER, &[(9, 78)])));
    assert_eq!(
        violations(&drain(&mut link)),
        [
            Violation::IdentityChanged,
            Violation::HandleReassigned(Handle(9))
        ]
    );
    // Neither took effect.
    hear(
        &mut link,
        &PeerMessage::Lost {
            handle: Handle(9),
            ordinals: OrdinalRange::one(1),
        },
    );
    assert_eq!(
        said(&mut link),
        [Said::Lost {
            track: TrackIndex(5),
            ordinals: OrdinalRange::one(1)
        }]
    );
}

#[test]
fn a_65th_track_is_not_joined() {
    let mut link = talking();
    for track in 6..70 {
        say(
            &mut link,
            Say::Join {
                track: TrackIndex(track),
                id: track_id(track as u8 + 100),
                role: Role::Holding,
            },
        );
    }
    let sent = sent(&mut link);
    assert_eq!(sent.len(), 63);
    let Some(PeerMessage::Hello(hello)) = sent.last() else {
        panic!("a hello");
    };
    assert_eq!(hello.tracks.len(), MAX_TRACKS);
}
