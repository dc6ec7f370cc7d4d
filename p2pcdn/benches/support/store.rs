//! A store without bytes, so that neither hashing nor memory is measured.

use bytes::Bytes;
use p2pcdn::{
    Change, MapAccepted, MapError, Source, Store,
    wire::{BLOCK_LEN, BlockRange, BlockSet, SegmentId, SegmentRef, block_count},
};

/// Keeps lengths, and takes every block as right.
#[derive(Debug, Default)]
pub(crate) struct LengthStore(Vec<Held>);

#[derive(Debug)]
struct Held {
    segment: SegmentRef,
    len: Option<u64>,
    map: Option<Bytes>,
    blocks: BlockSet,
    /// Over HTTP, up to where without a gap.
    cursor: u64,
}

/// What every block is served as.
static ZEROS: [u8; 16_384] = [0; 16_384];

impl LengthStore {
    fn find(&self, segment: SegmentRef) -> Option<&Held> {
        let place = self.0.binary_search_by_key(&segment, |held| held.segment);
        self.0.get(place.ok()?)
    }

    fn entry(&mut self, segment: SegmentRef) -> &mut Held {
        let found = self.0.binary_search_by_key(&segment, |held| held.segment);
        let place = found.unwrap_or_else(|place| {
            let held = Held {
                segment,
                len: None,
                map: None,
                blocks: BlockSet::new(),
                cursor: 0,
            };
            self.0.insert(place, held);
            place
        });
        &mut self.0[place]
    }
}

impl Store for LengthStore {
    fn insert_map(
        &mut self,
        segment: SegmentRef,
        _: SegmentId,
        encoded: &Bytes,
    ) -> Result<MapAccepted, MapError> {
        let held = self.entry(segment);
        held.len = Some(super::SEGMENT_LEN);
        held.map = Some(encoded.clone());
        Ok(MapAccepted {
            segment_len: super::SEGMENT_LEN,
            change: Change {
                verified: held.blocks.clone(),
                ..Change::default()
            },
        })
    }

    fn write(&mut self, segment: SegmentRef, offset: u64, bytes: Bytes, source: Source) -> Change {
        let held = self.entry(segment);
        let end = offset + bytes.len() as u64;
        let is_last = held.len == Some(end);
        let first = match source {
            Source::Http if offset == held.cursor => 0,
            _ => offset,
        };
        held.cursor = end;
        let block = |offset: u64| u32::try_from(offset / BLOCK_LEN).expect("a short segment");
        let whole = if is_last {
            block_count(end)
        } else {
            block(end)
        };
        let mut change = Change::default();
        for block in BlockRange::new(block(first), whole.max(block(first))).start..whole {
            if !held.blocks.contains(block) {
                held.blocks.insert(block);
                change.verified.insert(block);
            }
        }
        match source {
            Source::Peer(link) if change.verified.is_empty() => {
                let _ = link;
                change.waste_peer_len = bytes.len() as u64;
            }
            Source::Peer(link) => change.matched.push((link, block(offset))),
            Source::Http => {}
        }
        change
    }

    fn set_len(&mut self, segment: SegmentRef, len: u64) -> Change {
        self.entry(segment).len = Some(len);
        Change::default()
    }

    fn remove(&mut self, segment: SegmentRef) {
        self.0.retain(|held| held.segment != segment);
    }

    fn map(&self, segment: SegmentRef) -> Option<Bytes> {
        self.find(segment)?.map.clone()
    }

    fn has_map(&self, segment: SegmentRef) -> bool {
        self.find(segment).is_some_and(|held| held.map.is_some())
    }

    fn read(&self, segment: SegmentRef, block: u32) -> Option<Bytes> {
        let is_held = self.find(segment)?.blocks.contains(block);
        is_held.then_some(Bytes::from_static(&ZEROS))
    }

    fn playable(&self, _: SegmentRef, _: u64) -> Vec<Bytes> {
        Vec::new()
    }

    fn verified_blocks(&self, segment: SegmentRef) -> BlockSet {
        let held = self.find(segment);
        held.map_or_else(BlockSet::new, |held| held.blocks.clone())
    }

    fn playable_blocks(&self, segment: SegmentRef) -> BlockSet {
        self.verified_blocks(segment)
    }

    fn segment_len(&self, segment: SegmentRef) -> Option<u64> {
        self.find(segment)?.len
    }

    fn is_complete(&self, segment: SegmentRef) -> bool {
        let len = self.segment_len(segment);
        len.is_some_and(|len| self.verified_blocks(segment).len() == block_count(len))
    }

    fn used_bytes(&self) -> u64 {
        0
    }
}
