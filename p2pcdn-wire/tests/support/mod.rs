//! Messages and links for tests.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod link;

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use p2pcdn_wire::*;
use proptest::{collection::vec, prelude::*};

pub(crate) const SWARM: SwarmId = SwarmId::new([9; 20]);

/// A config of the peer whose id is all `peer`, in tracks numbered as given and with ids all
/// `track`.
pub(crate) fn config(peer: u8, tracks: &[(u16, u8)]) -> LinkConfig {
    LinkConfig {
        tracks: tracks
            .iter()
            .map(|&(number, track)| (TrackIndex(number), track_id(track), Role::Watching))
            .collect(),
        ..LinkConfig::new(PeerId::new([peer; 20]), SWARM)
    }
}

pub(crate) fn track_id(track: u8) -> TrackId {
    TrackId::new([track; 16])
}

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(millis))
}

pub(crate) fn drain(link: &mut Link) -> Vec<LinkOutput> {
    std::iter::from_fn(|| link.poll_output()).collect()
}

/// A message as the peer would send it.
pub(crate) fn received(message: &PeerMessage) -> LinkInput {
    LinkInput::Received {
        channel: message.channel(),
        message: message.encode().unwrap(),
    }
}

/// The hello of the peer whose id is all `peer`.
pub(crate) fn hello(peer: u8, tracks: &[(u16, u8)]) -> Hello {
    Hello {
        min_version: 1,
        max_version: 1,
        features: 0,
        max_message_len: MAX_MESSAGE_LEN as u64,
        peer: PeerId::new([peer; 20]),
        swarm: SWARM,
        class: UploadClass::Normal,
        proof: Bytes::new(),
        tracks: tracks
            .iter()
            .map(|&(handle, track)| HelloTrack {
                handle: Handle(handle),
                id: track_id(track),
                role: Role::Watching,
            })
            .collect(),
        witness: None,
    }
}

/// Any message within the limits. Handles and request numbers are small, so that a link fed with
/// several often finds them meaningful.
pub(crate) fn any_message() -> impl Strategy<Value = PeerMessage> {
    prop_oneof![
        any_hello().prop_map(PeerMessage::Hello),
        any_goodbye().prop_map(|reason| PeerMessage::Goodbye { reason }),
        ordinal().prop_map(|at| PeerMessage::Ping { at }),
        (ordinal(), ordinal()).prop_map(|(echo, at)| PeerMessage::Pong { echo, at }),
        (handle(), any_ranges())
            .prop_map(|(handle, ranges)| PeerMessage::Bitfield { handle, ranges }),
        (handle(), any_ordinals(), any::<u32>()).prop_map(|(handle, ordinals, digest)| {
            PeerMessage::Have {
                handle,
                ordinals,
                digest,
            }
        }),
        (handle(), any_ordinals(), any::<u32>()).prop_map(|(handle, ordinals, digest)| {
            PeerMessage::HasMaps {
                handle,
                ordinals,
                digest,
            }
        }),
        (place(), any_blocks()).prop_map(|(place, (segment_len, blocks))| {
            PeerMessage::Holds {
                place,
                segment_len,
                blocks,
            }
        }),
        (handle(), any_ordinals())
            .prop_map(|(handle, ordinals)| PeerMessage::Lost { handle, ordinals }),
        (place(), any_duration()).prop_map(|(place, expires_after)| PeerMessage::Intent {
            place,
            expires_after,
        }),
        place().prop_map(|place| PeerMessage::Withdrawn { place }),
        (
            request(),
            handle(),
            ordinal(),
            any_id(),
            any_block_range(),
            any_duration()
        )
            .prop_map(|(request, handle, ordinal, id, blocks, deadline_after)| {
                PeerMessage::Request {
                    request,
                    handle,
                    ordinal,
                    id,
                    blocks,
                    deadline_after,
                }
            }),
        request().prop_map(|request| PeerMessage::Cancel { request }),
        (request(), any_reject())
            .prop_map(|(request, reason)| PeerMessage::Reject { request, reason }),
        (request(), 0..MAX_BLOCKS, any_payload(1..40)).prop_map(|(request, block, payload)| {
            PeerMessage::Block {
                request,
                block,
                payload,
            }
        }),
        (handle(), ordinal(), any_id()).prop_map(|(handle, ordinal, id)| {
            PeerMessage::MapRequest {
                handle,
                ordinal,
                id,
            }
        }),
        (place(), any_payload(1..200))
            .prop_map(|(place, payload)| PeerMessage::Map { place, payload }),
    ]
}

fn handle() -> impl Strategy<Value = Handle> {
    (0u16..4).prop_map(Handle)
}

fn request() -> impl Strategy<Value = RequestId> {
    (0u32..40).prop_map(RequestId)
}

fn place() -> impl Strategy<Value = Place> {
    (handle(), ordinal(), any::<u32>()).prop_map(|(handle, ordinal, tag)| Place {
        handle,
        ordinal,
        tag,
    })
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let role = prop_oneof![Just(Role::Holding), Just(Role::Watching)];
    let class = prop::sample::select(vec![
        UploadClass::None,
        UploadClass::Low,
        UploadClass::Normal,
        UploadClass::High,
    ]);
    let tracks = prop::collection::btree_map(0u16..300, role, 0..6);
    (
        0u32..=1,
        1u32..9,
        ordinal(),
        MAX_MESSAGE_LEN as u64..1 << 62,
        1u8..4,
        class,
        vec(any::<u8>(), 0..40),
        tracks,
    )
        .prop_map(
            |(min_version, max_version, features, max_message_len, peer, class, proof, tracks)| {
                Hello {
                    min_version,
                    max_version,
                    features,
                    max_message_len,
                    peer: PeerId::new([peer; 20]),
                    swarm: SWARM,
                    class,
                    proof: proof.into(),
                    witness: None,
                    tracks: tracks
                        .into_iter()
                        .map(|(handle, role)| HelloTrack {
                            handle: Handle(handle),
                            id: track_id(handle as u8 ^ (handle >> 2) as u8),
                            role,
                        })
                        .fold(Vec::new(), |mut tracks: Vec<HelloTrack>, track| {
                            if tracks.iter().all(|other| other.id != track.id) {
                                tracks.push(track);
                            }
                            tracks
                        }),
                }
            },
        )
}

fn ordinal() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..300, 0..1u64 << 62]
}

fn any_ordinals() -> impl Strategy<Value = OrdinalRange> {
    (0..(1u64 << 62) - MAX_HAVE_SEGMENTS, 1..=MAX_HAVE_SEGMENTS)
        .prop_map(|(start, count)| OrdinalRange::new(start, start + count))
}

fn any_ranges() -> impl Strategy<Value = Vec<(OrdinalRange, u32)>> {
    vec((0u64..5_000_000, 1u64..400, any::<u32>()), 1..100).prop_map(|runs| {
        let mut end = 0;
        runs.into_iter()
            .map(|(gap, count, digest)| {
                let start = end + gap;
                end = start + count;
                (OrdinalRange::new(start, end), digest)
            })
            .collect()
    })
}

fn any_blocks() -> impl Strategy<Value = (u64, BlockSet)> {
    (1..=u64::from(MAX_BLOCKS) * BLOCK_LEN).prop_flat_map(|len| {
        let blocks = vec(0..block_count(len), 0..30);
        (Just(len), blocks.prop_map(BlockSet::from_iter))
    })
}

fn any_block_range() -> impl Strategy<Value = BlockRange> {
    (0..MAX_BLOCKS)
        .prop_flat_map(|start| (Just(start), start + 1..=MAX_BLOCKS))
        .prop_map(|(start, end)| BlockRange::new(start, end))
}

fn any_id() -> impl Strategy<Value = SegmentId> {
    any::<[u8; 16]>().prop_map(SegmentId::new)
}

fn any_duration() -> impl Strategy<Value = Duration> {
    (0u64..=60_000).prop_map(Duration::from_millis)
}

fn any_payload(len: Range<usize>) -> impl Strategy<Value = Payload> {
    vec(any::<u8>(), len).prop_map(|bytes| Payload(bytes.into()))
}

fn any_reject() -> impl Strategy<Value = RejectReason> {
    prop::sample::select(vec![
        RejectReason::Absent,
        RejectReason::OtherContent,
        RejectReason::TooLate,
        RejectReason::Busy,
        RejectReason::Policy,
    ])
}

fn any_goodbye() -> impl Strategy<Value = GoodbyeReason> {
    prop::sample::select(vec![
        GoodbyeReason::Leaving,
        GoodbyeReason::Policy,
        GoodbyeReason::Full,
        GoodbyeReason::Violation,
        GoodbyeReason::Corruption,
        GoodbyeReason::Duplicate,
        GoodbyeReason::Version,
        GoodbyeReason::Useless,
    ])
}
