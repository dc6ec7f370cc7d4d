//! What a session needs of whatever keeps the bytes of its segments.

use bytes::Bytes;
use p2pcdn_wire::{BlockSet, LinkId, SegmentId, SegmentRef};

use crate::block_map::MapError;

/// Keeps the bytes of segments, hashes them, and says which of them may be played and which may be
/// passed on.
///
/// A block is *verified* when it matches the segment's signed block map; only such a block is
/// announced or served, and a block from a peer is played only then. Bytes that this viewer
/// fetched over HTTP may be played at once; while no map confirms them they are *private*. A
/// verified block is never replaced.
///
/// One segment is played from one source of truth. That is the map as soon as it is there, unless
/// HTTP delivers other bytes than the map says (see [`Mismatch`]): then, as long as the verified
/// blocks are not complete, HTTP decides, and this segment is played from bytes that came over
/// HTTP alone, since a mixture of two versions would be neither.
///
/// Nothing here fails because of a peer: what is wrong with its bytes is told in the [`Change`].
pub trait Store {
    /// Takes the encoded block map of `segment`, whose full id is `id`. A map that is there
    /// already changes nothing.
    ///
    /// # Errors
    ///
    /// Why the map is refused; nothing has changed then.
    fn insert_map(
        &mut self,
        segment: SegmentRef,
        id: SegmentId,
        encoded: &Bytes,
    ) -> Result<MapAccepted, MapError>;

    /// Takes the body of a [`WitnessedMap`](crate::WitnessedMap) that the caller trusts: from then
    /// on it is the segment's map. Refused by default.
    ///
    /// # Errors
    ///
    /// Why the map is refused; nothing has changed then.
    fn insert_body(
        &mut self,
        _segment: SegmentRef,
        _id: SegmentId,
        _body: &Bytes,
    ) -> Result<MapAccepted, MapError> {
        Err(MapError::NoKey)
    }

    /// The body of the map of a segment that came over HTTP as a whole, for its viewer to sign;
    /// `None`, the default, for any other.
    fn body(&self, _segment: SegmentRef, _id: SegmentId) -> Option<Bytes> {
        None
    }

    /// Takes bytes of `segment` from `offset` on: over HTTP any bytes, from a peer exactly one
    /// block.
    fn write(&mut self, segment: SegmentRef, offset: u64, bytes: Bytes, source: Source) -> Change;

    /// Takes the length in bytes that HTTP states for `segment`.
    fn set_len(&mut self, segment: SegmentRef, len: u64) -> Change;

    /// Drops everything of `segment`.
    fn remove(&mut self, segment: SegmentRef);

    /// The encoded block map, to hand on.
    fn map(&self, segment: SegmentRef) -> Option<Bytes>;

    /// Whether [`map`](Self::map) has one: asked often, and answered without handing it out.
    fn has_map(&self, segment: SegmentRef) -> bool {
        self.map(segment).is_some()
    }

    /// A verified block, to serve.
    fn read(&self, segment: SegmentRef, block: u32) -> Option<Bytes>;

    /// The bytes that may be played from `from_offset` on without a gap, in order; empty when
    /// there are none. Where HTTP decides, this includes what came of a block so far; where the
    /// map decides, whole blocks only.
    fn playable(&self, segment: SegmentRef, from_offset: u64) -> Vec<Bytes>;

    /// The blocks that may be served.
    fn verified_blocks(&self, segment: SegmentRef) -> BlockSet;

    /// The complete blocks that may be played. Only a [`Mismatch`] takes blocks out of it.
    fn playable_blocks(&self, segment: SegmentRef) -> BlockSet;

    /// The length in bytes of what is played; `None` while unknown.
    fn segment_len(&self, segment: SegmentRef) -> Option<u64>;

    /// Whether the whole segment may be played.
    fn is_complete(&self, segment: SegmentRef) -> bool;

    /// Bytes in memory: verified, private and waiting ones, and block maps.
    fn used_bytes(&self) -> u64;
}

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This viewer's own HTTP fetch.
    Http,
    /// A peer.
    Peer(LinkId),
}

/// An accepted block map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapAccepted {
    /// The segment's length in bytes, by the map.
    pub segment_len: u64,
    /// What it changed for bytes that were there before it.
    pub change: Change,
}

/// What new bytes, a length or a block map changed.
///
/// `verified` and `private` are disjoint, and a block is told at most once in each: a private
/// block that a map confirms later is told again as verified. Every byte handed to the store ends
/// up in a block or in exactly one of the two waste counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Blocks that now match the map: may be announced, served and played.
    pub verified: BlockSet,
    /// Blocks now complete over HTTP without a map, or against it: may be played, never passed on.
    pub private: BlockSet,
    /// Blocks from a peer that now wait for the map: may not be used yet, need not be requested
    /// again.
    pub waiting: BlockSet,
    /// Those of `verified` that peers delivered, with the peer.
    pub matched: Vec<(LinkId, u32)>,
    /// Blocks from peers that do not match the map, or that no segment can have; they were
    /// dropped.
    pub corrupt: Vec<(LinkId, u32)>,
    /// Blocks that waited for a map and had to make room; they can be requested again.
    pub dropped: Vec<Dropped>,
    /// Bytes from peers that were of no use: duplicates, corrupt and dropped blocks.
    pub waste_peer_len: u64,
    /// Bytes over HTTP that were of no use: duplicates and bytes after the end.
    pub waste_http_len: u64,
    /// HTTP contradicts the map or itself.
    pub mismatch: Option<Mismatch>,
}

/// A block that was dropped before a map could tell whether it was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// Its segment, not always the one that was written to.
    pub segment: SegmentRef,
    /// The block.
    pub block: u32,
    /// Who delivered it.
    pub from: LinkId,
}

/// How HTTP contradicts the block map, or itself.
///
/// After either of the first two, a segment whose verified blocks are not yet complete is played
/// from HTTP alone: [`Store::playable_blocks`] tells what is left to fetch over HTTP, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The segment has another length than its map says.
    MapLen {
        /// Bytes, by the map.
        map_len: u64,
        /// Bytes over HTTP, at least.
        http_len: u64,
    },
    /// A block has other bytes than its map says.
    Block(u32),
    /// Two HTTP responses state different lengths; the first one counts.
    HttpLen {
        /// Bytes, by the first.
        first_len: u64,
        /// Bytes, by the later one.
        later_len: u64,
    },
    /// The origin has another version by now: what was held of the one before was dropped. Never
    /// told by a [`Store`], which cannot see versions.
    Version,
}
