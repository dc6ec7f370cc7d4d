//! Messages survive the way to bytes and back, and nothing beyond a limit gets through.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_wire::*;
use proptest::{collection::vec, prelude::*};

use support::*;

fn decode(bytes: impl Into<Bytes>) -> Result<Option<PeerMessage>, DecodeError> {
    let bytes: Bytes = bytes.into();
    PeerMessage::decode(bytes)
}

/// The field that is out of range in `message`, when it is encoded.
fn refused(message: &PeerMessage) -> Option<&'static str> {
    message.encode().err().map(|error| error.field)
}

/// The field that is out of range in `bytes`, when they are decoded.
fn refused_bytes(bytes: impl Into<Bytes>) -> Option<&'static str> {
    match decode(bytes) {
        Err(DecodeError::OutOfRange(error)) => Some(error.field),
        other => panic!("not out of range: {other:?}"),
    }
}

#[test]
fn a_payload_that_comes_apart_is_not_copied() {
    let sent = Bytes::from(vec![7; 16_384]);
    let block = PeerMessage::Block {
        request: RequestId(3),
        block: 5,
        payload: Payload(sent.clone()),
    };
    let decoded = PeerMessage::decode(block.encode().unwrap());
    let Ok(Some(PeerMessage::Block { payload, .. })) = decoded else {
        panic!("{decoded:?}");
    };
    assert_eq!(payload.0.as_ptr(), sent.as_ptr());
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(message in any_message()) {
        let bytes = message.encode().unwrap().into_bytes();
        prop_assert_eq!(decode(bytes), Ok(Some(message)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(bytes);
    }

    #[test]
    fn where_a_message_is_parted_makes_no_difference(
        message in any_message(),
        change in (any::<prop::sample::Index>(), any::<u8>()),
        cut in prop_oneof![Just(None), any::<prop::sample::Index>().prop_map(Some)],
        border in any::<prop::sample::Index>(),
    ) {
        let encoded = message.encode().unwrap();
        prop_assert_eq!(PeerMessage::decode(encoded.clone()), Ok(Some(message)));
        let mut bytes = encoded.into_bytes().to_vec();
        if let Some(cut) = cut {
            let place = change.0.index(bytes.len());
            bytes[place] = change.1;
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let joined = Bytes::from(bytes);
        let border = border.index(joined.len() + 1);
        let apart = Message {
            head: joined.slice(..border),
            payload: joined.slice(border..),
        };
        prop_assert_eq!(PeerMessage::decode(apart), decode(joined));
    }

    #[test]
    fn damaged_messages_decode_or_fail(
        message in any_message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode().unwrap().into_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(Some(message)) = decode(bytes) {
            // What is accepted can be said again.
            let again = message.encode().unwrap().into_bytes();
            prop_assert_eq!(decode(again), Ok(Some(message)));
        }
    }

    #[test]
    fn a_message_without_payload_cut_anywhere_fails(
        message in any_message(),
        cut in any::<prop::sample::Index>(),
    ) {
        let encoded = message.encode().unwrap();
        prop_assume!(encoded.payload.is_empty());
        let cut = cut.index(encoded.len());
        prop_assert!(decode(encoded.head.slice(..cut)).is_err());
    }
}

#[test]
fn payload_is_not_copied() {
    let payload = Bytes::from(vec![7; 16_384]);
    let block = PeerMessage::Block {
        request: RequestId(1),
        block: 0,
        payload: Payload(payload.clone()),
    };
    let encoded = block.encode().unwrap();
    assert_eq!(encoded.payload.as_ptr(), payload.as_ptr());

    let bytes = encoded.into_bytes();
    let Ok(Some(PeerMessage::Block { payload, .. })) = decode(bytes.clone()) else {
        panic!("a block");
    };
    assert_eq!(payload.0.as_ptr(), bytes.slice(3..).as_ptr());
}

#[test]
fn unknown_types_are_skipped() {
    for kind in [0x04, 0x0f, 0x17, 0x26, 0x30, 0x31, 0x32, 0xff] {
        assert_eq!(decode(vec![kind, 1, 2, 3]), Ok(None), "{kind:#x}");
    }
}

#[test]
fn bytes_after_the_last_field_are_refused_except_in_hello_and_goodbye() {
    assert_eq!(
        decode(vec![0x21, 7, 0]),
        Err(DecodeError::Trailing { at: 2 })
    );
    let hello = PeerMessage::Hello(hello(1, &[(0, 1)]));
    let mut bytes = hello.encode().unwrap().into_bytes().to_vec();
    bytes.push(0);
    assert_eq!(decode(bytes), Ok(Some(hello)));
    assert_eq!(
        decode(vec![0x01, 2, 0]),
        Ok(Some(PeerMessage::Goodbye {
            reason: GoodbyeReason::Full
        }))
    );
}

#[test]
fn longer_varints_than_needed_are_read() {
    assert_eq!(
        decode(vec![0x21, 0xc0, 0, 0, 0, 0, 0, 0, 7]),
        Ok(Some(PeerMessage::Cancel {
            request: RequestId(7)
        }))
    );
}

#[test]
fn later_reasons_are_read_as_the_plainest() {
    assert_eq!(
        decode(vec![0x22, 7, 5]),
        Ok(Some(PeerMessage::Reject {
            request: RequestId(7),
            reason: RejectReason::Absent
        }))
    );
    assert_eq!(
        decode(vec![0x01, 8]),
        Ok(Some(PeerMessage::Goodbye {
            reason: GoodbyeReason::Leaving
        }))
    );
}

#[test]
fn durations_are_cut_to_a_minute_both_ways() {
    let place = Place {
        handle: Handle(0),
        ordinal: 1,
        tag: 2,
    };
    let intent = |expires_after| PeerMessage::Intent {
        place,
        expires_after,
    };
    // 14, handle 0, ordinal 1, tag 2, then 60,000 = 0xea60 and 60,001.
    let minute = [0x14, 0, 1, 0, 0, 0, 2, 0x80, 0, 0xea, 0x60];
    let encoded = intent(Duration::MAX).encode().unwrap().into_bytes();
    assert_eq!(encoded, &minute[..]);
    let mut longer = minute;
    longer[10] = 0x61;
    assert_eq!(
        decode(longer.to_vec()),
        Ok(Some(intent(Duration::from_secs(60))))
    );
    let encoded = intent(Duration::from_micros(1999)).encode().unwrap();
    assert_eq!(encoded.head.last(), Some(&1), "whole milliseconds, down");
}

#[test]
fn a_message_has_at_most_max_message_len_bytes() {
    assert_eq!(
        decode(vec![0xff; MAX_MESSAGE_LEN + 1]),
        Err(DecodeError::TooLong { len: 65_536 })
    );
    assert_eq!(decode(vec![0xff; MAX_MESSAGE_LEN]), Ok(None));

    // 25, handle 0, ordinal 0, four bytes of tag: seven bytes of head.
    let map = |len: usize| PeerMessage::Map {
        place: Place {
            handle: Handle(0),
            ordinal: 0,
            tag: 0,
        },
        payload: Payload(vec![0; len].into()),
    };
    assert_eq!(refused(&map(MAX_MESSAGE_LEN - 7)), None);
    assert_eq!(refused(&map(MAX_MESSAGE_LEN - 6)), Some("message length"));
    assert_eq!(refused(&map(0)), Some("map length"));
}

#[test]
fn the_largest_map_fits_a_message() {
    let hashes = MAX_BLOCKS as usize * BlockHash::LEN;
    let head = 1 + 4 + 8 + 4;
    assert!(
        MAX_MESSAGE_LEN - head - hashes >= 512,
        "room for a signature"
    );
}

#[test]
fn blocks_are_within_their_segment_and_size() {
    let block = |block, len: usize| PeerMessage::Block {
        request: RequestId(1),
        block,
        payload: Payload(vec![0; len].into()),
    };
    assert_eq!(refused(&block(MAX_BLOCKS - 1, 16_384)), None);
    assert_eq!(refused(&block(MAX_BLOCKS, 16_384)), Some("block"));
    assert_eq!(refused(&block(0, 16_385)), Some("block length"));
    assert_eq!(refused(&block(0, 0)), Some("block length"));
    // 2,016 is 0x47e0 as a varint.
    assert_eq!(refused_bytes(vec![0x23, 1, 0x47, 0xe0, 1]), Some("block"));
    assert_eq!(refused_bytes(vec![0x23, 1, 0]), Some("block length"));
    let mut long = vec![0x23, 1, 0];
    long.resize(3 + 16_385, 0);
    assert_eq!(refused_bytes(long), Some("block length"));
}

#[test]
fn requests_ask_for_blocks_that_can_exist() {
    let request = |start, end| PeerMessage::Request {
        request: RequestId(1),
        handle: Handle(0),
        ordinal: 0,
        id: SegmentId::new([0; 16]),
        blocks: BlockRange::new(start, end),
        deadline_after: Duration::ZERO,
    };
    assert_eq!(refused(&request(0, MAX_BLOCKS)), None);
    assert_eq!(refused(&request(1, MAX_BLOCKS + 1)), Some("block"));
    assert_eq!(refused(&request(0, MAX_BLOCKS + 1)), Some("block count"));
    assert_eq!(refused(&request(3, 3)), Some("block count"));

    let mut bytes = request(0, 1).encode().unwrap().into_bytes().to_vec();
    let first = bytes.len() - 3;
    bytes[first + 1] = 0;
    assert_eq!(refused_bytes(bytes.clone()), Some("block count"));
    // Both numbers 2^32 - 1: their sum must not wrap.
    let huge = [0xc0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    bytes.truncate(first);
    bytes.extend(huge);
    bytes.extend(huge);
    bytes.push(0);
    assert!(refused_bytes(bytes).is_some());
}

#[test]
fn haves_cover_at_most_a_day_and_never_overflow() {
    let have = |start, end| PeerMessage::Have {
        handle: Handle(0),
        ordinals: OrdinalRange::new(start, end),
        digest: 0,
    };
    assert_eq!(refused(&have(5, 5 + MAX_HAVE_SEGMENTS)), None);
    assert_eq!(
        refused(&have(5, 6 + MAX_HAVE_SEGMENTS)),
        Some("segment count")
    );
    assert_eq!(refused(&have(5, 5)), Some("segment count"));
    assert_eq!(refused(&have((1 << 62) - 1, 1 << 62)), None);
    assert_eq!(refused(&have(1 << 62, (1 << 62) + 1)), Some("ordinal"));

    let mut bytes = vec![0x13, 0];
    bytes.extend([0xff; 16]);
    assert_eq!(refused_bytes(bytes), Some("ordinal"));
    // Bitfields add up: each further range starts after the last.
    let mut bytes = vec![0x10, 0, 3];
    for _ in 0..3 {
        bytes.extend([0xff; 8]);
        bytes.extend([1, 0, 0, 0, 0]);
    }
    assert_eq!(refused_bytes(bytes), Some("ordinal"));
}

#[test]
fn bitfields_have_a_capped_number_of_ascending_ranges() {
    let bitfield = |count: usize, len: u64| PeerMessage::Bitfield {
        handle: Handle(0),
        ranges: (0..count as u64)
            .map(|index| (OrdinalRange::new(index * 50, index * 50 + len), 0))
            .collect(),
    };
    assert_eq!(refused(&bitfield(MAX_RANGES, 1)), None);
    assert_eq!(refused(&bitfield(MAX_RANGES + 1, 1)), Some("range count"));
    assert_eq!(refused(&bitfield(0, 1)), Some("range count"));
    // 1,000 ranges of 43 are 43,000 segments, of 44 are 44,000.
    assert_eq!(refused(&bitfield(1_000, 43)), None);
    assert_eq!(refused(&bitfield(1_000, 44)), Some("segment count"));
    let descending = PeerMessage::Bitfield {
        handle: Handle(0),
        ranges: vec![(OrdinalRange::one(5), 0), (OrdinalRange::one(4), 0)],
    };
    assert_eq!(refused(&descending), Some("start of a range"));
    // 1,025 ranges: refused by their number alone, before any is read.
    assert_eq!(refused_bytes(vec![0x10, 0, 0x44, 1]), Some("range count"));
}

#[test]
fn progress_stays_within_the_segment() {
    let holds = |segment_len, blocks: &[u32]| PeerMessage::Holds {
        place: Place {
            handle: Handle(0),
            ordinal: 0,
            tag: 0,
        },
        segment_len,
        blocks: blocks.iter().copied().collect(),
    };
    let most = u64::from(MAX_BLOCKS) * BLOCK_LEN;
    assert_eq!(refused(&holds(most, &[MAX_BLOCKS - 1])), None);
    assert_eq!(refused(&holds(most + 1, &[])), Some("segment length"));
    assert_eq!(refused(&holds(0, &[])), Some("segment length"));
    assert_eq!(refused(&holds(BLOCK_LEN, &[0])), None);
    assert_eq!(refused(&holds(BLOCK_LEN, &[1])), Some("block"));

    // Handle, ordinal and tag 0, one byte of segment, then runs.
    let with_runs = |runs: &[u8]| [&[0x12, 0, 0, 0, 0, 0, 0, 1][..], runs].concat();
    assert_eq!(refused_bytes(with_runs(&[1, 0, 2])), Some("block"));
    assert_eq!(refused_bytes(with_runs(&[1, 0, 0])), Some("block"));
    assert_eq!(refused_bytes(with_runs(&[0x44, 1])), Some("range count"));
    // 40,000 bytes are three blocks, and two runs that touch are one.
    let touching = [0x12, 0, 0, 0, 0, 0, 0, 0x80, 0, 0x9c, 0x40, 2, 0, 1, 0, 1];
    assert_eq!(refused_bytes(touching.to_vec()), Some("gap between runs"));
}

#[test]
fn hellos_keep_their_limits() {
    let with = |change: fn(&mut Hello)| {
        let mut hello = hello(1, &[(0, 1), (1, 2)]);
        change(&mut hello);
        PeerMessage::Hello(hello)
    };
    let tracks = |count: u16| {
        let mut hello = hello(1, &[]);
        hello.tracks = (0..count)
            .map(|index| HelloTrack {
                handle: Handle(index),
                id: track_id(index as u8),
                role: Role::Holding,
            })
            .collect();
        PeerMessage::Hello(hello)
    };
    assert_eq!(refused(&tracks(64)), None);
    assert_eq!(refused(&tracks(65)), Some("track count"));
    let proof = |len: usize| {
        let mut hello = hello(1, &[]);
        hello.proof = vec![0; len].into();
        PeerMessage::Hello(hello)
    };
    assert_eq!(refused(&proof(1_024)), None);
    assert_eq!(refused(&proof(1_025)), Some("proof length"));
    assert_eq!(
        refused(&with(|hello| hello.tracks[1].handle = Handle(0))),
        Some("handle of a track given twice")
    );
    assert_eq!(
        refused(&with(|hello| hello.tracks[1].id = track_id(1))),
        Some("handle of a track given twice")
    );
    assert_eq!(
        refused(&with(|hello| hello.max_message_len = 65_534)),
        Some("message length")
    );
    assert_eq!(
        refused(&with(|hello| hello.min_version = 2)),
        Some("version")
    );
}

#[test]
fn hellos_of_others_are_told_apart() {
    let mut bytes = PeerMessage::Hello(hello(1, &[]))
        .encode()
        .unwrap()
        .into_bytes()
        .to_vec();
    bytes[1] = b'P';
    assert_eq!(decode(bytes), Err(DecodeError::Magic { magic: *b"P2pc" }));
    // The range is read before anything that a later version may lay out differently.
    assert_eq!(
        decode(vec![0, b'p', b'2', b'p', b'c', 2, 5]),
        Err(DecodeError::Version { min: 2, max: 5 })
    );
    assert_eq!(
        decode(vec![0, b'p', b'2', b'p', b'c', 0, 0]),
        Err(DecodeError::Version { min: 0, max: 0 })
    );
}

#[test]
fn a_witness_key_follows_the_tracks_and_sets_its_bit() {
    let with_key = Hello {
        witness: Some(WitnessKey::new([0x77; 32])),
        ..hello(1, &[(0, 1)])
    };
    let without = PeerMessage::Hello(hello(1, &[(0, 1)]));
    let without = without.encode().unwrap().into_bytes();
    let bytes = PeerMessage::Hello(with_key.clone()).encode().unwrap();
    let bytes = bytes.into_bytes();
    // Type, magic and versions are 7 bytes; the features come next.
    assert_eq!((without[7], bytes[7]), (0, 1));
    assert_eq!(bytes[8..without.len()], without[8..]);
    assert_eq!(bytes[without.len()..], [0x77; 32]);
    let features = 1;
    let expected = PeerMessage::Hello(Hello {
        features,
        ..with_key
    });
    assert_eq!(decode(bytes.clone()), Ok(Some(expected)));
    // Who sets the bit and sends no key has none.
    let cut = PeerMessage::Hello(Hello {
        features,
        ..hello(1, &[(0, 1)])
    });
    assert_eq!(decode(bytes.slice(..without.len())), Ok(Some(cut)));
}
