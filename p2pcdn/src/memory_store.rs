//! The store of every ordinary viewer: segments in memory, and in memory only.

use std::collections::BTreeMap;

use bytes::Bytes;
use p2pcdn_wire::{BLOCK_LEN, BlockSet, LinkId, MAX_BLOCKS, SegmentId, SegmentRef};

use crate::{
    block_map::{BlockMap, MapError, SignedMap},
    held::Held,
    keys::PublicKey,
    quarantine::{Quarantine, Queued, Waiting},
    store::{Change, Dropped, MapAccepted, Source, Store},
};

/// What a [`MemoryStore`] trusts and how much it keeps unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryStoreConfig {
    /// The publisher's keys, any of which may sign a block map; several while a key is being
    /// replaced. Default: none, and then no map is accepted, so that nothing from peers is ever
    /// played and nothing is passed on.
    pub keys: Vec<PublicKey>,
    /// How many bytes from peers may wait for a block map, in all segments together; a block
    /// counts 16,384 whatever its length. Default 4 MiB: at 16 neighbours with 256 KiB under way
    /// each, all that can arrive in one round trip. Zero: nothing waits.
    pub quarantine_len: u64,
    /// As `quarantine_len`, for each segment alone, so that one whose map never comes cannot push
    /// out the others. Default 2 MiB, a segment of 2 s at 8 Mb/s. Zero: nothing waits.
    pub quarantine_segment_len: u64,
}

impl Default for MemoryStoreConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            quarantine_len: 4 << 20,
            quarantine_segment_len: 2 << 20,
        }
    }
}

/// A [`Store`] in memory.
///
/// It keeps what it is given until [`remove`](Store::remove): which segments are worth their
/// memory is the scheduler's decision, by [`used_bytes`](Store::used_bytes). Only what peers can
/// send without being checked at once, the quarantine, has a limit of its own.
///
/// ```
/// use bytes::Bytes;
/// use p2pcdn::{BlockMap, MemoryStore, MemoryStoreConfig, SigningKey, Source, Store};
/// use p2pcdn::wire::{LinkId, SegmentId, SegmentRef, TrackIndex};
///
/// let publisher = SigningKey::from_random([7; 32]);
/// let mut store = MemoryStore::new(MemoryStoreConfig {
///     keys: vec![publisher.public_key()],
///     ..MemoryStoreConfig::default()
/// });
/// let id = SegmentId::new([1; 16]);
/// let segment = SegmentRef { track: TrackIndex(0), ordinal: 7, tag: id.tag() };
/// let bytes = Bytes::from_static(b"one short block");
///
/// let change = store.write(segment, 0, bytes.clone(), Source::Peer(LinkId(1)));
/// assert!(change.waiting.contains(0));
///
/// let map = BlockMap::of(id, &bytes).unwrap().sign(&publisher);
/// let accepted = store.insert_map(segment, id, map.encoded()).unwrap();
/// assert!(accepted.change.verified.contains(0));
/// assert_eq!(store.playable(segment, 4), [bytes.slice(4..)]);
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    keys: Vec<PublicKey>,
    segments: BTreeMap<SegmentRef, Held>,
    quarantine: Quarantine,
    /// Of `segments`.
    used_bytes: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(config: MemoryStoreConfig) -> Self {
        Self {
            keys: config.keys,
            segments: BTreeMap::new(),
            quarantine: Quarantine::new(config.quarantine_len, config.quarantine_segment_len),
            used_bytes: 0,
        }
    }

    fn take_map(
        &mut self,
        segment: SegmentRef,
        id: SegmentId,
        map: SignedMap,
    ) -> Result<MapAccepted, MapError> {
        let found = map.segment();
        if found != id || found.tag() != segment.tag {
            return Err(MapError::OtherSegment { segment, found });
        }
        if self.has_map(segment) {
            return Err(MapError::Conflict { segment });
        }
        let segment_len = map.segment_len();
        let mut change = Change::default();
        let waiting = self.quarantine.take(segment);
        self.update(segment, |held| {
            held.insert_map(map, &mut change);
            for Waiting {
                block, from, bytes, ..
            } in waiting
            {
                held.write_peer(from, block, bytes, &mut change);
            }
        });
        Ok(MapAccepted {
            segment_len,
            change,
        })
    }

    fn update(&mut self, segment: SegmentRef, update: impl FnOnce(&mut Held)) {
        let held = self.segments.entry(segment).or_default();
        let before = held.used_bytes();
        update(held);
        self.used_bytes = self.used_bytes - before + held.used_bytes();
    }

    fn write_peer(
        &mut self,
        from: LinkId,
        segment: SegmentRef,
        offset: u64,
        bytes: Bytes,
        change: &mut Change,
    ) {
        let len = bytes.len() as u64;
        let block = u32::try_from(offset / BLOCK_LEN).unwrap_or(u32::MAX);
        let is_block = offset.is_multiple_of(BLOCK_LEN) && 0 < len && len <= BLOCK_LEN;
        if !is_block || block >= MAX_BLOCKS {
            change.waste_peer_len += len;
            change.corrupt.push((from, block));
            return;
        }
        let held = self.segments.get(&segment);
        if held.is_some_and(|held| held.map().is_some()) {
            self.update(segment, |held| held.write_peer(from, block, bytes, change));
        } else if held.is_some_and(|held| held.has_whole_over_http(block)) {
            change.waste_peer_len += len;
        } else {
            let waiting = Waiting {
                segment,
                block,
                from,
                bytes,
            };
            self.wait(waiting, change);
        }
    }

    fn wait(&mut self, waiting: Waiting, change: &mut Change) {
        let (segment, block, from) = (waiting.segment, waiting.block, waiting.from);
        let len = waiting.bytes.len() as u64;
        let mut drop = |segment, block, from, len: u64| {
            change.waste_peer_len += len;
            change.dropped.push(Dropped {
                segment,
                block,
                from,
            });
        };
        match self.quarantine.push(waiting) {
            Queued::Waits(oldest) => {
                if let Some(oldest) = oldest {
                    let len = oldest.bytes.len() as u64;
                    drop(oldest.segment, oldest.block, oldest.from, len);
                }
                change.waiting.insert(block);
            }
            Queued::Duplicate => change.waste_peer_len += len,
            Queued::Refused => drop(segment, block, from, len),
        }
    }
}

impl Store for MemoryStore {
    fn insert_map(
        &mut self,
        segment: SegmentRef,
        id: SegmentId,
        encoded: &Bytes,
    ) -> Result<MapAccepted, MapError> {
        let known = self.segments.get(&segment).and_then(Held::map);
        if let Some(known) = known.filter(|known| known.encoded() == encoded) {
            return Ok(MapAccepted {
                segment_len: known.segment_len(),
                change: Change::default(),
            });
        }
        let map = SignedMap::verify(encoded, &self.keys)?;
        self.take_map(segment, id, map)
    }

    fn insert_body(
        &mut self,
        segment: SegmentRef,
        id: SegmentId,
        body: &Bytes,
    ) -> Result<MapAccepted, MapError> {
        let map = SignedMap::trusted(body)?;
        self.take_map(segment, id, map)
    }

    fn body(&self, segment: SegmentRef, id: SegmentId) -> Option<Bytes> {
        let blocks = self.segments.get(&segment)?.http_blocks()?;
        BlockMap::of_blocks(id, &blocks).ok().map(|map| map.body())
    }

    fn write(&mut self, segment: SegmentRef, offset: u64, bytes: Bytes, source: Source) -> Change {
        let mut change = Change::default();
        match source {
            Source::Http => self.update(segment, |held| {
                held.write_http(offset, &bytes, &mut change);
            }),
            Source::Peer(from) => self.write_peer(from, segment, offset, bytes, &mut change),
        }
        change
    }

    fn set_len(&mut self, segment: SegmentRef, len: u64) -> Change {
        let mut change = Change::default();
        self.update(segment, |held| held.set_len(len, &mut change));
        change
    }

    fn remove(&mut self, segment: SegmentRef) {
        if let Some(held) = self.segments.remove(&segment) {
            self.used_bytes -= held.used_bytes();
        }
        self.quarantine.take(segment);
    }

    fn map(&self, segment: SegmentRef) -> Option<Bytes> {
        let map = self.segments.get(&segment)?.map()?;
        Some(map.encoded().clone())
    }

    fn has_map(&self, segment: SegmentRef) -> bool {
        let held = self.segments.get(&segment);
        held.is_some_and(|held| held.map().is_some())
    }

    fn read(&self, segment: SegmentRef, block: u32) -> Option<Bytes> {
        self.segments.get(&segment)?.verified(block).cloned()
    }

    fn playable(&self, segment: SegmentRef, from_offset: u64) -> Vec<Bytes> {
        let held = self.segments.get(&segment);
        held.map_or_else(Vec::new, |held| held.playable(from_offset))
    }

    fn verified_blocks(&self, segment: SegmentRef) -> BlockSet {
        let held = self.segments.get(&segment);
        held.map_or_else(BlockSet::new, Held::verified_blocks)
    }

    fn playable_blocks(&self, segment: SegmentRef) -> BlockSet {
        let held = self.segments.get(&segment);
        held.map_or_else(BlockSet::new, Held::playable_blocks)
    }

    fn segment_len(&self, segment: SegmentRef) -> Option<u64> {
        self.segments.get(&segment)?.len()
    }

    fn is_complete(&self, segment: SegmentRef) -> bool {
        self.segments.get(&segment).is_some_and(Held::is_complete)
    }

    fn used_bytes(&self) -> u64 {
        self.used_bytes + self.quarantine.used_bytes()
    }
}
