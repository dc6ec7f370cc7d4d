//! What is said between peers, whatever the dialect: [`Said`] by a peer, [`Say`] by us.
//!
//! A link turns [`Say`] into messages and messages into [`Said`]. The two that carry bytes, blocks
//! and block maps, stand apart ([`Block`], [`MapData`]), because those who decide hold none.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{
    blocks::BlockSet,
    id::{RequestId, SegmentId, SegmentRef, TrackId, TrackIndex},
    range::{BlockRange, OrdinalRange},
};

/// What a viewer does with a track it has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Only serves what it still holds of it (or signs its block maps).
    Holding,
    /// Plays it, and so takes its turn at fetching segments over HTTP.
    Watching,
}

/// How much a viewer is willing to upload, and with it how often its turn comes to fetch a
/// segment over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UploadClass {
    /// Uploads nothing and is never on duty.
    None,
    /// Less than the bitrate of the stream.
    Low,
    /// About the bitrate of the stream, or unknown.
    #[default]
    Normal,
    /// Several times the bitrate of the stream.
    High,
}

impl UploadClass {
    /// Its weight in the duty election: 0, 1, 2 or 4.
    #[must_use]
    pub const fn weight(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Low => 1,
            Self::Normal => 2,
            Self::High => 4,
        }
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The sender does not hold the blocks (any more).
    Absent,
    /// The sender holds another content in this place.
    OtherContent,
    /// They cannot arrive by the deadline.
    TooLate,
    /// Too many requests are waiting.
    Busy,
    /// The sender's policy forbids uploading.
    Policy,
}

/// Why a side ends a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// The viewer leaves.
    Leaving,
    /// Peer transfer was switched off, or its authorisation ended.
    Policy,
    /// Too many neighbours.
    Full,
    /// The other side broke the protocol.
    Violation,
    /// The other side sent bytes that do not match their commitment.
    Corruption,
    /// The two connected twice, or to themselves.
    Duplicate,
    /// No version in common.
    Version,
    /// Nothing in common to share.
    Useless,
}

/// What a peer stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is in a track that we are in too, or changed its role there.
    Joined {
        /// Our number of the track.
        track: TrackIndex,
        /// What it does there.
        role: Role,
    },
    /// It left the track.
    Left {
        /// Our number of the track.
        track: TrackIndex,
    },
    /// Its upload class, said once after the hello and at each change.
    Class(UploadClass),
    /// It holds these segments completely.
    Have {
        /// The track.
        track: TrackIndex,
        /// The segments.
        ordinals: OrdinalRange,
        /// [`tag_digest`] over their tags.
        digest: u32,
    },
    /// It holds these blocks of a segment, and the block map. Replaces what it said before of the
    /// same segment.
    Holds {
        /// The segment.
        segment: SegmentRef,
        /// Its length in bytes.
        segment_len: u64,
        /// The blocks.
        blocks: BlockSet,
    },
    /// It holds the block maps of these segments; of their bytes it says nothing.
    HasMaps {
        /// The track.
        track: TrackIndex,
        /// The segments.
        ordinals: OrdinalRange,
        /// [`tag_digest`] over their tags.
        digest: u32,
    },
    /// It no longer holds these segments, nor any block of them, nor their block maps.
    Lost {
        /// The track.
        track: TrackIndex,
        /// The segments.
        ordinals: OrdinalRange,
    },
    /// It is fetching the segment over HTTP now.
    Intent {
        /// The segment.
        segment: SegmentRef,
        /// How long its first bytes may take, at most; then the intent lapses.
        expires_after: Duration,
    },
    /// It gave that fetch up.
    IntentWithdrawn {
        /// The segment.
        segment: SegmentRef,
    },
    /// It wants these blocks.
    Request {
        /// Its number of the request.
        request: RequestId,
        /// The segment.
        segment: SegmentRef,
        /// The segment's full id.
        id: SegmentId,
        /// The blocks.
        blocks: BlockRange,
        /// When they are of no more use to it.
        deadline_after: Duration,
    },
    /// It no longer wants what it requested.
    Cancel {
        /// Its number of the request.
        request: RequestId,
    },
    /// It does not serve what we requested, or no more of it.
    Reject {
        /// Our number of the request.
        request: RequestId,
        /// Why.
        reason: RejectReason,
    },
    /// It wants the block map of a segment.
    MapRequest {
        /// The segment.
        segment: SegmentRef,
        /// The segment's full id.
        id: SegmentId,
    },
    /// It answered a ping.
    RoundTrip {
        /// From the ping to its answer.
        took: Duration,
        /// Its clock when it answered less ours at the ping, in microseconds. The clocks have
        /// nothing in common, so only the trend means something: a rise is a queue on the way there.
        outward: i64,
    },
}

/// What we state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// We join a track, or change our role there.
    Join {
        /// Our number of it.
        track: TrackIndex,
        /// Its id.
        id: TrackId,
        /// What we do there.
        role: Role,
    },
    /// We leave a track.
    Leave {
        /// Our number of it.
        track: TrackIndex,
    },
    /// Our upload class changed.
    Class(UploadClass),
    /// See [`Said::Have`].
    Have {
        /// The track.
        track: TrackIndex,
        /// The segments.
        ordinals: OrdinalRange,
        /// [`tag_digest`] over their tags.
        digest: u32,
    },
    /// See [`Said::Holds`].
    Holds {
        /// The segment.
        segment: SegmentRef,
        /// Its length in bytes.
        segment_len: u64,
        /// The blocks.
        blocks: BlockSet,
    },
    /// See [`Said::HasMaps`].
    HasMaps {
        /// The track.
        track: TrackIndex,
        /// The segments.
        ordinals: OrdinalRange,
        /// [`tag_digest`] over their tags.
        digest: u32,
    },
    /// See [`Said::Lost`].
    Lost {
        /// The track.
        track: TrackIndex,
        /// The segments.
        ordinals: OrdinalRange,
    },
    /// See [`Said::Intent`].
    Intent {
        /// The segment.
        segment: SegmentRef,
        /// How long its first bytes may take, at most.
        expires_after: Duration,
    },
    /// See [`Said::IntentWithdrawn`].
    IntentWithdrawn {
        /// The segment.
        segment: SegmentRef,
    },
    /// We want these blocks.
    Request {
        /// Our number of the request, not used by another outstanding one on this link.
        request: RequestId,
        /// The segment.
        segment: SegmentRef,
        /// The segment's full id.
        id: SegmentId,
        /// The blocks.
        blocks: BlockRange,
        /// When they are of no more use to us.
        deadline_after: Duration,
    },
    /// Measure the way there and back now, unless an answer is awaited.
    Ping,
    /// We no longer want what we requested.
    Cancel {
        /// Our number of the request.
        request: RequestId,
    },
    /// We do not serve what it requested, or no more of it.
    Reject {
        /// Its number of the request.
        request: RequestId,
        /// Why.
        reason: RejectReason,
    },
    /// We want the block map of a segment.
    MapRequest {
        /// The segment.
        segment: SegmentRef,
        /// The segment's full id.
        id: SegmentId,
    },
    /// Serves one block of what it requested.
    Block(Block),
    /// Hands on a block map.
    Map(MapData),
    /// Ends the link.
    Goodbye(GoodbyeReason),
}

/// One block of a segment, under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The requester's number of the request that it answers.
    pub request: RequestId,
    /// Which block of the segment.
    pub block: u32,
    /// Its bytes: [`BLOCK_LEN`](crate::BLOCK_LEN), the last of a segment may be shorter.
    pub payload: Payload,
}

/// The encoded, signed block map of one segment, under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapData {
    /// The segment.
    pub segment: SegmentRef,
    /// The encoding, which this crate does not look into.
    pub payload: Payload,
}

/// Bytes whose `Debug` does not print them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())?;
        if let Some(head) = self.0.first_chunk::<4>() {
            write!(f, " {:08x}..", u32::from_be_bytes(*head))?;
        }
        Ok(())
    }
}

/// A digest over the tags of consecutive segments, in order, by which two viewers notice that they
/// mean different contents: FNV-1a (32 bit) over the big-endian tags.
#[must_use]
pub fn tag_digest(tags: impl IntoIterator<Item = u32>) -> u32 {
    tags.into_iter()
        .flat_map(u32::to_be_bytes)
        .fold(0x811c_9dc5, |digest, byte| {
            (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}

// Every queued statement costs this much; a session's queues are budgeted on it.
const _: () = assert!(size_of::<Say>() <= 72 && size_of::<Said>() <= 72);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_order() {
        assert_eq!(tag_digest([]), 0x811c_9dc5);
        assert_ne!(tag_digest([1, 2]), tag_digest([2, 1]));
    }

    #[test]
    fn payload_is_not_printed() {
        let payload = Payload(Bytes::from_static(b"\x01\x02\x03\x04secret"));
        assert_eq!(format!("{payload:?}"), "10 bytes 01020304..");
    }
}
