//! What a flooder sends: messages that cost little to send and something to hear.
//!
//! | message | what it is after |
//! |---|---|
//! | bitfield of up to 1,024 runs | one statement each |
//! | `lost` in the middle of runs | sets that fall apart |
//! | `holds` of every other block | as before |
//! | `has maps`, `have`, `intent`, `withdrawn` | what is kept of a neighbour; early playlist reloads |
//! | two hellos, the first one without tracks | holdings, told again and again |
//! | requests of nothing, and of true blocks that it does not read | rejects; the uplink |
//! | map requests | the uplink |
//! | maps that nobody signed, of listed segments and of those to come | hashing; what is kept unverified |
//! | cancels, rejects, pings, unknown types | the way there and back |
//! | malformed, too long, on the wrong channel, unrequested | three to a link, then the line is crossed, and it comes back under a new name |

use std::time::Duration;

use bytes::Bytes;
use p2pcdn::wire::{
    BlockRange, BlockSet, Channel, Handle, Hello, HelloTrack, Instant, LinkId, MAX_BLOCKS,
    MAX_DURATION, MAX_MESSAGE_LEN, MAX_RANGES, MAX_TRACKS, MAX_VIOLATIONS, Message, OrdinalRange,
    PROTOCOL_VERSION, Payload, PeerMessage, Place, RejectReason, RequestId, Role, SegmentId,
    TrackId, UploadClass, tag_digest,
};

use super::{HostileViewer, MAX_BACKLOG};
use crate::{actor::Outbox, draw::Draws};

/// A flooder acts this often.
pub const ROUND: Duration = Duration::from_millis(100);

/// Messages that a flooder sends each time; 200 a second.
pub const MESSAGES_PER_ROUND: u64 = 20;

/// How far it has come.
#[derive(Debug)]
pub(super) struct Flood {
    draws: Draws,
    sent: u64,
}

impl Flood {
    pub(super) fn new(draws: Draws) -> Self {
        Self { draws, sent: 0 }
    }
}

impl HostileViewer {
    pub(super) fn flood(&mut self, now: Instant, out: &mut Outbox) {
        let links = self.neighbours.links();
        for _ in 0..MESSAGES_PER_ROUND {
            let turn = self.flood.sent.checked_rem(links.len() as u64);
            let link = turn.and_then(|turn| links.get(usize::try_from(turn).ok()?));
            let Some(link) = link.filter(|_| self.uplink.backlog(now) <= MAX_BACKLOG) else {
                return;
            };
            let draws = self.flood.draws.nth(self.flood.sent);
            self.flood.sent += 1;
            for (channel, message) in self.next_junk(*link, draws, now) {
                self.post(*link, channel, message, now, out);
            }
        }
    }

    fn next_junk(&mut self, link: LinkId, draws: Draws, now: Instant) -> Vec<(Channel, Message)> {
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return Vec::new();
        };
        neighbour.flooded += 1;
        let flooded = neighbour.flooded;
        if flooded >= MESSAGES_PER_LINK {
            return (0..u64::from(MAX_VIOLATIONS))
                .map(|kind| wrong(kind, flooded))
                .collect();
        }
        let is_time = flooded.is_multiple_of(MESSAGES_PER_LINK / u64::from(MAX_VIOLATIONS));
        if is_time {
            return vec![wrong(draws.below(u64::from(MAX_VIOLATIONS)), flooded)];
        }
        if draws.below(KINDS) == 0 {
            return vec![(Channel::Control, Bytes::from_static(b"\x7fwhat?").into())];
        }
        let messages = self.junk(link, draws, flooded, now);
        let encode = |message: PeerMessage| Some((message.channel(), message.encode().ok()?));
        messages.into_iter().filter_map(encode).collect()
    }

    fn junk(&self, link: LinkId, draws: Draws, flooded: u64, now: Instant) -> Vec<PeerMessage> {
        let tracks = self.track_numbers();
        let pick = draws.of("track").below(tracks.len().max(1) as u64);
        let track = u16::try_from(pick).unwrap_or(0);
        let handle = Handle(track);
        let published = self.shared.media.published(now);
        let back = draws.of("segment").below(REACH);
        let ordinal = (published + 2).saturating_sub(back);
        let (tag, id) = self.name(track, ordinal, now).map_or_else(
            || (0, SegmentId::new([7; 16])),
            |(segment, id)| (segment.tag, id),
        );
        let place = Place {
            handle,
            ordinal,
            tag,
        };
        let ordinals = OrdinalRange::one(ordinal);
        let digest = tag_digest([tag]);
        let request = RequestId(u32::try_from(flooded).unwrap_or(u32::MAX));
        let one = |message| vec![message];
        match draws.below(KINDS) {
            1 => one(bitfield(handle, published)),
            2 => {
                let start = published.saturating_sub(1 + 2 * draws.of("hole").below(1_000));
                let ordinals = OrdinalRange::one(start);
                one(PeerMessage::Lost { handle, ordinals })
            }
            3 => one(PeerMessage::Holds {
                place,
                segment_len: u64::from(MAX_BLOCKS) * p2pcdn::wire::BLOCK_LEN,
                blocks: every_other_block(),
            }),
            4 => one(PeerMessage::Have {
                handle,
                ordinals,
                digest,
            }),
            5 => one(PeerMessage::HasMaps {
                handle,
                ordinals,
                digest,
            }),
            6 => one(PeerMessage::Intent {
                place,
                expires_after: MAX_DURATION,
            }),
            7 => one(PeerMessage::Withdrawn { place }),
            8 => vec![self.hello(link, &[]), self.hello(link, &tracks)],
            kind @ (9 | 10) => one(PeerMessage::Request {
                request,
                handle,
                ordinal,
                id: if kind == 9 {
                    SegmentId::new([7; 16])
                } else {
                    id
                },
                blocks: BlockRange::new(0, 1 + u32::try_from(draws.below(16)).unwrap_or(0)),
                deadline_after: Duration::from_secs(1),
            }),
            11 => one(PeerMessage::MapRequest {
                handle,
                ordinal,
                id,
            }),
            12 => one(PeerMessage::Map {
                place,
                payload: Payload(unsigned_map()),
            }),
            13 => one(PeerMessage::Cancel { request }),
            14 => {
                let reason = RejectReason::Busy;
                one(PeerMessage::Reject { request, reason })
            }
            _ => one(PeerMessage::Ping { at: flooded }),
        }
    }

    /// What it says of itself: the tracks, and as many more as fit.
    fn hello(&self, link: LinkId, tracks: &[u16]) -> PeerMessage {
        let watched = tracks.iter().map(|track| HelloTrack {
            handle: Handle(*track),
            id: self.shared.media.track_id(*track),
            role: Role::Watching,
        });
        let invented = (1_000..).map(|number: u16| HelloTrack {
            handle: Handle(number),
            id: TrackId::new([number.to_be_bytes()[1]; 16]),
            role: Role::Watching,
        });
        PeerMessage::Hello(Hello {
            min_version: PROTOCOL_VERSION,
            max_version: PROTOCOL_VERSION,
            features: 0,
            max_message_len: MAX_MESSAGE_LEN as u64,
            peer: self.peer(link),
            swarm: self.shared.media.presentation(self.claimed).swarm,
            class: if tracks.is_empty() {
                UploadClass::None
            } else {
                UploadClass::High
            },
            proof: Bytes::new(),
            tracks: watched.chain(invented).take(MAX_TRACKS).collect(),
            witness: None,
        })
    }
}

/// Every other segment up to the newest one.
fn bitfield(handle: Handle, published: u64) -> PeerMessage {
    let most = MAX_RANGES as u64;
    let first = published.saturating_sub(2 * most);
    let ranges = (first..published.saturating_sub(1))
        .step_by(2)
        .map(|ordinal| (OrdinalRange::one(ordinal), 0));
    let ranges = ranges.take(MAX_RANGES).collect();
    PeerMessage::Bitfield { handle, ranges }
}

fn every_other_block() -> BlockSet {
    (0..MAX_BLOCKS).step_by(2).collect()
}

/// As long as a map can be.
fn unsigned_map() -> Bytes {
    static MAP: [u8; 64_000] = [1; 64_000];
    Bytes::from_static(&MAP)
}

/// What breaks the protocol.
fn wrong(kind: u64, flooded: u64) -> (Channel, Message) {
    static LONG: [u8; MAX_MESSAGE_LEN + 1] = [0; MAX_MESSAGE_LEN + 1];
    match kind {
        0 => (Channel::Control, Bytes::from_static(b"\x11").into()),
        1 => (Channel::Control, Bytes::from_static(&LONG).into()),
        2 => {
            let ping = PeerMessage::Ping { at: flooded };
            (Channel::Data, ping.encode().unwrap_or_default())
        }
        _ => {
            let block = PeerMessage::Block {
                request: RequestId(u32::MAX),
                block: 0,
                payload: Payload(Bytes::from_static(&[1; 100])),
            };
            (Channel::Data, block.encode().unwrap_or_default())
        }
    }
}

/// Messages on one link, after which it is burnt.
const MESSAGES_PER_LINK: u64 = 2_000;

/// Of messages that do not break the protocol.
const KINDS: u64 = 16;

/// How far behind the newest segment its statements reach: as far as a playlist does.
const REACH: u64 = 30;
