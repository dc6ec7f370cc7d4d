//! The messages of `p2pcdn/1` as values. Their bytes are laid out in `docs/protocol.md`.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::{
    blocks::BlockSet,
    channel::Channel,
    id::{PeerId, RequestId, SegmentId, SwarmId, TrackId, WitnessKey},
    limits::{
        BLOCK_LEN, MAX_BLOCKS, MAX_HAVE_SEGMENTS, MAX_MESSAGE_LEN, MAX_PROOF_LEN, MAX_RANGES,
        MAX_TRACKS,
    },
    range::{BlockRange, OrdinalRange, block_count},
    say::{GoodbyeReason, Payload, RejectReason, Role, UploadClass},
    varint::MAX_VARINT,
};

/// The only version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// A track as the sender of a message numbers it; its [`Hello`] says which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u16);

/// A segment as the sender of a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The track.
    pub handle: Handle,
    /// HLS: the media sequence number; at most 2^62 - 1.
    pub ordinal: u64,
    /// [`SegmentId::tag`] of the segment's id.
    pub tag: u32,
}

/// A track in a [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HelloTrack {
    /// The sender's number of it.
    pub handle: Handle,
    /// Its id.
    pub id: TrackId,
    /// What the sender does there.
    pub role: Role,
}

/// The first message of either side, and sent again when what it says has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest version that the sender speaks.
    pub min_version: u32,
    /// The highest version that the sender speaks.
    pub max_version: u32,
    /// A bit for each optional feature; unknown ones mean nothing. Bit 0 is set whenever there is
    /// a `witness`.
    pub features: u64,
    /// The longest message that the sender accepts: [`MAX_MESSAGE_LEN`] or more.
    pub max_message_len: u64,
    /// The sender.
    pub peer: PeerId,
    /// The swarm that this link is for.
    pub swarm: SwarmId,
    /// How much the sender is willing to upload.
    pub class: UploadClass,
    /// Proof that the sender may be here; empty where none is asked for.
    pub proof: Bytes,
    /// All tracks it has joined.
    pub tracks: Vec<HelloTrack>,
    /// The key with which the sender signs block maps of what it reads itself; `None` where the
    /// publisher signs them.
    pub witness: Option<WitnessKey>,
}

/// One message between peers, as a value.
///
/// | message | type byte | channel |
/// |---|---|---|
/// | `Hello`, `Goodbye`, `Ping`, `Pong` | 0x00 to 0x03 | control |
/// | `Bitfield`, `Have`, `Holds`, `Lost`, `Intent`, `Withdrawn`, `HasMaps` | 0x10 to 0x16 | control |
/// | `Request`, `Cancel`, `Reject` | 0x20 to 0x22 | control |
/// | `Block` | 0x23 | data |
/// | `MapRequest`, `Map` | 0x24, 0x25 | control |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Who the sender is and which tracks it has joined.
    Hello(Hello),
    /// The link ends.
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
    },
    /// Asks for a [`PeerMessage::Pong`].
    Ping {
        /// The sender's clock in microseconds, of any epoch.
        at: u64,
    },
    /// Answers a [`PeerMessage::Ping`].
    Pong {
        /// The time in the ping.
        echo: u64,
        /// The sender's own clock in microseconds, of any epoch: how the difference of the two
        /// moves is the trend of the one-way delay.
        at: u64,
    },
    /// The sender holds all segments of these ranges: several [`PeerMessage::Have`] in one.
    Bitfield {
        /// The track.
        handle: Handle,
        /// Ascending, disjoint ranges, each with the digest over its segments' tags.
        ranges: Vec<(OrdinalRange, u32)>,
    },
    /// The sender holds all segments of the range.
    Have {
        /// The track.
        handle: Handle,
        /// The segments.
        ordinals: OrdinalRange,
        /// [`tag_digest`](crate::tag_digest) over their tags.
        digest: u32,
    },
    /// The sender holds these blocks of a segment, no more and no fewer, and its block map.
    Holds {
        /// The segment.
        place: Place,
        /// Its length in bytes.
        segment_len: u64,
        /// The blocks.
        blocks: BlockSet,
    },
    /// The sender no longer holds these segments.
    Lost {
        /// The track.
        handle: Handle,
        /// The segments.
        ordinals: OrdinalRange,
    },
    /// The sender is fetching the segment over HTTP.
    Intent {
        /// The segment.
        place: Place,
        /// How long until its first bytes, at most; whole milliseconds.
        expires_after: Duration,
    },
    /// The sender gave that fetch up.
    Withdrawn {
        /// The segment.
        place: Place,
    },
    /// The sender holds the block maps of all segments of the range.
    HasMaps {
        /// The track.
        handle: Handle,
        /// The segments.
        ordinals: OrdinalRange,
        /// [`tag_digest`](crate::tag_digest) over their tags.
        digest: u32,
    },
    /// The sender wants these blocks.
    Request {
        /// Greater than that of every earlier request of the sender on this link.
        request: RequestId,
        /// The track.
        handle: Handle,
        /// The segment's place in it.
        ordinal: u64,
        /// The segment's id.
        id: SegmentId,
        /// The blocks.
        blocks: BlockRange,
        /// When they are of no more use; whole milliseconds.
        deadline_after: Duration,
    },
    /// The sender no longer wants what it requested.
    Cancel {
        /// The sender's number of the request.
        request: RequestId,
    },
    /// The sender does not serve what the receiver requested, or no more of it.
    Reject {
        /// The receiver's number of the request.
        request: RequestId,
        /// Why.
        reason: RejectReason,
    },
    /// One block of what the receiver requested.
    Block {
        /// The receiver's number of the request.
        request: RequestId,
        /// Which block of the segment.
        block: u32,
        /// Its bytes.
        payload: Payload,
    },
    /// The sender wants the block map of a segment.
    MapRequest {
        /// The track.
        handle: Handle,
        /// The segment's place in it.
        ordinal: u64,
        /// The segment's id.
        id: SegmentId,
    },
    /// The block map of a segment, asked for or not.
    Map {
        /// The segment.
        place: Place,
        /// Its encoding.
        payload: Payload,
    },
}

/// A field whose value is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{field} is out of range: {value}")]
pub struct OutOfRange {
    /// The field.
    pub field: &'static str,
    /// The value.
    pub value: u64,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end where a field should be.
    #[error("ends within or before the field at byte {at}")]
    Truncated {
        /// Where the field starts.
        at: usize,
    },
    /// More bytes follow the last field.
    #[error("goes on at byte {at} after its last field")]
    Trailing {
        /// Where they start.
        at: usize,
    },
    /// More bytes than any message has.
    #[error("has {len} bytes")]
    TooLong {
        /// How many.
        len: usize,
    },
    /// A hello that is not of this protocol.
    #[error("is a hello of another protocol: {magic:02x?}")]
    Magic {
        /// What stands in place of the protocol's name.
        magic: [u8; 4],
    },
    /// A hello of versions that we do not speak.
    #[error("is a hello of versions {min} to {max}")]
    Version {
        /// The lowest version that the sender speaks.
        min: u32,
        /// The highest version that the sender speaks.
        max: u32,
    },
    /// A field beyond its limit.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl DecodeError {
    pub(crate) const fn out_of_range(field: &'static str, value: u64) -> Self {
        Self::OutOfRange(OutOfRange { field, value })
    }
}

impl PeerMessage {
    /// The channel that it travels on.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Block { .. } => Channel::Data,
            _ => Channel::Control,
        }
    }

    /// Whether every field is within its limit: the one gate for what is sent and for what
    /// arrives.
    pub(crate) fn check(&self) -> Result<(), OutOfRange> {
        match self {
            Self::Hello(hello) => hello.check(),
            Self::Goodbye { .. } | Self::Cancel { .. } | Self::Reject { .. } => Ok(()),
            Self::Ping { at } => at_most("clock", *at, MAX_VARINT),
            Self::Pong { echo, at } => {
                at_most("echo", *echo, MAX_VARINT)?;
                at_most("clock", *at, MAX_VARINT)
            }
            Self::Bitfield { ranges, .. } => check_ranges(ranges),
            Self::Have { ordinals, .. }
            | Self::HasMaps { ordinals, .. }
            | Self::Lost { ordinals, .. } => check_ordinals(*ordinals),
            Self::Holds {
                place,
                segment_len,
                blocks,
            } => {
                at_most("ordinal", place.ordinal, MAX_VARINT)?;
                within("segment length", *segment_len, 1, MAX_SEGMENT_LEN)?;
                let end = blocks.ranges().last().map_or(0, |range| range.end);
                at_most("block", end.into(), block_count(*segment_len).into())
            }
            Self::Intent { place, .. } | Self::Withdrawn { place } => {
                at_most("ordinal", place.ordinal, MAX_VARINT)
            }
            Self::Request {
                ordinal, blocks, ..
            } => {
                at_most("ordinal", *ordinal, MAX_VARINT)?;
                within("block count", blocks.len().into(), 1, MAX_BLOCKS.into())?;
                at_most("block", blocks.end.into(), MAX_BLOCKS.into())
            }
            Self::Block { block, payload, .. } => {
                at_most("block", u64::from(*block) + 1, MAX_BLOCKS.into())?;
                within("block length", payload.0.len() as u64, 1, BLOCK_LEN)
            }
            Self::MapRequest { ordinal, .. } => at_most("ordinal", *ordinal, MAX_VARINT),
            Self::Map { place, payload } => {
                at_most("ordinal", place.ordinal, MAX_VARINT)?;
                within(
                    "map length",
                    payload.0.len() as u64,
                    1,
                    MAX_MESSAGE_LEN as u64,
                )
            }
        }
    }
}

impl Hello {
    fn check(&self) -> Result<(), OutOfRange> {
        within(
            "version",
            self.max_version.into(),
            self.min_version.into(),
            u32::MAX.into(),
        )?;
        at_most("features", self.features, MAX_VARINT)?;
        within(
            "message length",
            self.max_message_len,
            MAX_MESSAGE_LEN as u64,
            MAX_VARINT,
        )?;
        at_most(
            "proof length",
            self.proof.len() as u64,
            MAX_PROOF_LEN as u64,
        )?;
        at_most("track count", self.tracks.len() as u64, MAX_TRACKS as u64)?;
        for (index, track) in self.tracks.iter().enumerate() {
            let twice = self
                .tracks
                .iter()
                .take(index)
                .any(|other| other.handle == track.handle || other.id == track.id);
            if twice {
                return Err(OutOfRange {
                    field: "handle of a track given twice",
                    value: track.handle.0.into(),
                });
            }
        }
        Ok(())
    }
}

fn check_ranges(ranges: &[(OrdinalRange, u32)]) -> Result<(), OutOfRange> {
    within("range count", ranges.len() as u64, 1, MAX_RANGES as u64)?;
    let mut total = 0;
    let mut end = 0;
    for (ordinals, _) in ranges {
        check_ordinals(*ordinals)?;
        within("start of a range", ordinals.start, end, MAX_VARINT)?;
        end = ordinals.end;
        total += ordinals.len();
    }
    at_most("segment count", total, MAX_HAVE_SEGMENTS)
}

fn check_ordinals(ordinals: OrdinalRange) -> Result<(), OutOfRange> {
    within("segment count", ordinals.len(), 1, MAX_HAVE_SEGMENTS)?;
    at_most("ordinal", ordinals.end - 1, MAX_VARINT)
}

fn at_most(field: &'static str, value: u64, limit: u64) -> Result<(), OutOfRange> {
    within(field, value, 0, limit)
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), OutOfRange> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(OutOfRange { field, value })
    }
}

/// Bytes of a segment: [`MAX_BLOCKS`] full blocks.
pub(crate) const MAX_SEGMENT_LEN: u64 = MAX_BLOCKS as u64 * BLOCK_LEN;
