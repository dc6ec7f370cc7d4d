//! The protocol document says what the code does: its examples decode to the values that its text
//! gives them and encode back to the same bytes, and its limits are the constants.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use p2pcdn_wire::*;

const DOCUMENT: &str = include_str!("../docs/protocol.md");

#[test]
fn every_example_is_the_message_it_claims_to_be() {
    let examples = examples();
    let expected = expected();
    assert_eq!(
        examples.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "each message has one example"
    );
    for (name, bytes) in examples {
        let message = &expected[name.as_str()];
        assert_eq!(
            PeerMessage::decode(Bytes::from(bytes.clone())).as_ref(),
            Ok(&Some(message.clone())),
            "{name}"
        );
        let encoded = message.encode().unwrap().into_bytes();
        assert_eq!(encoded, bytes, "{name}");
    }
}

#[test]
fn every_limit_is_the_constant() {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let constants = BTreeMap::from([
        ("BLOCK_LEN", BLOCK_LEN),
        ("MAX_MESSAGE_LEN", MAX_MESSAGE_LEN as u64),
        ("MAX_BLOCKS", MAX_BLOCKS.into()),
        ("MAX_TRACKS", MAX_TRACKS as u64),
        ("MAX_PROOF_LEN", MAX_PROOF_LEN as u64),
        ("MAX_REQUESTS", MAX_REQUESTS as u64),
        ("MAX_HAVE_SEGMENTS", MAX_HAVE_SEGMENTS),
        ("MAX_RANGES", MAX_RANGES as u64),
        ("MAX_BITFIELD_RUNS", MAX_BITFIELD_RUNS as u64),
        ("MAX_DURATION", millis(MAX_DURATION)),
        ("HELLO_TIMEOUT", millis(HELLO_TIMEOUT)),
        ("PING_INTERVAL", millis(PING_INTERVAL)),
        ("MAX_PONG_WAIT", millis(MAX_PONG_WAIT)),
        ("MAX_VIOLATIONS", MAX_VIOLATIONS.into()),
    ]);
    let documented: BTreeMap<&str, u64> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "## Limits")
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            let (value, _) = rest.split_once(" |")?;
            Some((name, value.replace(',', "").parse().unwrap()))
        })
        .collect();
    assert_eq!(documented, constants);
}

/// The examples by the headings that they stand under.
fn examples() -> BTreeMap<String, Vec<u8>> {
    let mut examples = BTreeMap::new();
    let mut name = None;
    let mut bytes = None;
    for line in DOCUMENT.lines() {
        match (&mut bytes, line) {
            (Some(_), "```") => {
                let message: Vec<u8> = bytes.take().unwrap();
                let name: String = name.take().expect("one example under each heading");
                examples.insert(name, message);
            }
            (Some(bytes), line) => {
                let hex = line.split(';').next().unwrap();
                bytes.extend(
                    hex.split_whitespace()
                        .map(|byte| u8::from_str_radix(byte, 16).unwrap()),
                );
            }
            (None, "```hex") => bytes = Some(Vec::new()),
            (None, line) => {
                if let Some(heading) = line.strip_prefix("### ") {
                    name = Some(heading.to_owned());
                }
            }
        }
    }
    examples
}

fn expected() -> BTreeMap<&'static str, PeerMessage> {
    let handle = Handle(1);
    let request = RequestId(7);
    let id = SegmentId::new(std::array::from_fn(|at| 0x5a + at as u8));
    let held = Place {
        handle,
        ordinal: 114,
        tag: 0x5a5b_5c5d,
    };
    let fetched = Place {
        handle,
        ordinal: 115,
        tag: 0x0102_0304,
    };
    BTreeMap::from([
        ("0x00 hello", PeerMessage::Hello(hello())),
        (
            "0x01 goodbye",
            PeerMessage::Goodbye {
                reason: GoodbyeReason::Duplicate,
            },
        ),
        ("0x02 ping", PeerMessage::Ping { at: 1_000_000 }),
        (
            "0x03 pong",
            PeerMessage::Pong {
                echo: 1_000_000,
                at: 2_500_000,
            },
        ),
        (
            "0x10 bitfield",
            PeerMessage::Bitfield {
                handle,
                ranges: vec![
                    (OrdinalRange::new(100, 110), 0x0102_0304),
                    (OrdinalRange::new(112, 113), 0xaabb_ccdd),
                ],
            },
        ),
        (
            "0x11 have",
            PeerMessage::Have {
                handle,
                ordinals: OrdinalRange::one(113),
                digest: 0xdead_beef,
            },
        ),
        (
            "0x12 holds",
            PeerMessage::Holds {
                place: held,
                segment_len: 750_000,
                blocks: [0, 1, 2, 3, 8].into_iter().collect(),
            },
        ),
        (
            "0x13 lost",
            PeerMessage::Lost {
                handle,
                ordinals: OrdinalRange::new(90, 100),
            },
        ),
        (
            "0x14 intent",
            PeerMessage::Intent {
                place: fetched,
                expires_after: Duration::from_millis(400),
            },
        ),
        ("0x15 withdrawn", PeerMessage::Withdrawn { place: fetched }),
        (
            "0x16 has maps",
            PeerMessage::HasMaps {
                handle,
                ordinals: OrdinalRange::new(113, 116),
                digest: 0x0bad_cafe,
            },
        ),
        (
            "0x20 request",
            PeerMessage::Request {
                request,
                handle,
                ordinal: 114,
                id,
                blocks: BlockRange::new(4, 8),
                deadline_after: Duration::from_millis(1500),
            },
        ),
        ("0x21 cancel", PeerMessage::Cancel { request }),
        (
            "0x22 reject",
            PeerMessage::Reject {
                request,
                reason: RejectReason::TooLate,
            },
        ),
        (
            "0x23 block",
            PeerMessage::Block {
                request,
                block: 4,
                payload: Payload(Bytes::from_static(b"media")),
            },
        ),
        (
            "0x24 map request",
            PeerMessage::MapRequest {
                handle,
                ordinal: 114,
                id,
            },
        ),
        (
            "0x25 map",
            PeerMessage::Map {
                place: held,
                payload: Payload(Bytes::from_static(b"map")),
            },
        ),
    ])
}

fn hello() -> Hello {
    Hello {
        min_version: 1,
        max_version: 1,
        features: 0,
        max_message_len: 65_535,
        peer: PeerId::new(std::array::from_fn(|at| at as u8 + 1)),
        swarm: SwarmId::new([0xaa; 20]),
        class: UploadClass::Normal,
        proof: Bytes::new(),
        tracks: vec![
            HelloTrack {
                handle: Handle(0),
                id: TrackId::new([0x11; 16]),
                role: Role::Watching,
            },
            HelloTrack {
                handle: Handle(1),
                id: TrackId::new([0x22; 16]),
                role: Role::Holding,
            },
        ],
        witness: None,
    }
}
