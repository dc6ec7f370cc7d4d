//! A store that keeps which blocks are there and whether they are the publisher's, but no bytes.
//!
//! All content of a virtual world is one of two bytes over and over: [`GOOD`] is what the publisher
//! made, [`BAD`] anything else. A block is judged by its length and its first byte, so that nothing
//! is hashed; apart from that it is a [`MemoryStore`](p2pcdn::MemoryStore), to the last count.

mod assembly;
mod held;
mod quarantine;

use bytes::{BufMut as _, Bytes, BytesMut};
use p2pcdn::{
    Change, Dropped, MapAccepted, MapError, Source, Store,
    wire::{BLOCK_LEN, BlockSet, LinkId, MAX_BLOCKS, SegmentId, SegmentRef, block_count},
};

use self::{
    held::Held,
    quarantine::{Quarantine, Queued, Waiting},
};

/// The publisher's content, each byte of it.
pub const GOOD: u8 = 0;

/// Any other content.
pub const BAD: u8 = 1;

/// Bytes of a real block map: its head and signature, and a hash for each block.
#[must_use]
pub fn map_len(segment_len: u64) -> u64 {
    25 + 64 + 32 * u64::from(block_count(segment_len))
}

/// `len` bytes of virtual content, at most a block.
#[must_use]
pub fn content(mark: u8, len: u64) -> Bytes {
    static GOODS: [u8; BLOCK_SIZE] = [GOOD; BLOCK_SIZE];
    static BADS: [u8; BLOCK_SIZE] = [BAD; BLOCK_SIZE];
    let len = len.min(BLOCK_LEN) as usize;
    Bytes::from_static(if mark == GOOD { &GOODS } else { &BADS }).slice(..len)
}

/// The virtual block map of a segment of this length: the length, a byte that says whether the
/// publisher signed it, and zeros up to the length of a real one, so that it costs as much to send.
#[must_use]
pub fn encode_map(segment_len: u64, is_signed: bool) -> Bytes {
    let len = map_len(segment_len) as usize;
    let mut encoded = BytesMut::with_capacity(len);
    encoded.put_u64(segment_len);
    encoded.put_u8(u8::from(is_signed));
    encoded.resize(len, 0);
    encoded.freeze()
}

/// The virtual body of a witnessed map: as long as a real one and with its head, so that sessions
/// read it; in place of the hashes the mark of all blocks, and four bytes that tell authors of
/// different wrong bytes apart.
#[must_use]
pub fn encode_body(id: SegmentId, segment_len: u64, mark: u8, author: u32) -> Bytes {
    let len = map_len(segment_len) as usize - 64;
    let mut encoded = BytesMut::with_capacity(len);
    encoded.put_u8(2);
    encoded.put_slice(id.as_bytes());
    encoded.put_u64(segment_len);
    encoded.put_u8(mark);
    encoded.put_u32(author);
    encoded.resize(len, 0);
    encoded.freeze()
}

/// A [`Store`] of virtual content.
#[derive(Debug)]
pub struct VirtualStore {
    /// In order: a viewer holds some tens of segments.
    segments: Vec<(SegmentRef, Held)>,
    quarantine: Quarantine,
}

impl Default for VirtualStore {
    /// As much room for what waits as a memory store has by default.
    fn default() -> Self {
        Self::new(4 << 20, 2 << 20)
    }
}

impl VirtualStore {
    /// An empty store; `quarantine_len` and `quarantine_segment_len` as those of a memory store.
    #[must_use]
    pub fn new(quarantine_len: u64, quarantine_segment_len: u64) -> Self {
        Self {
            segments: Vec::new(),
            quarantine: Quarantine::new(quarantine_len, quarantine_segment_len),
        }
    }

    /// Bytes of what would be played of a segment that are not the publisher's.
    #[must_use]
    pub fn bad_len(&self, segment: SegmentRef) -> u64 {
        self.held(segment).map_or(0, Held::bad_len)
    }

    fn take_map(&mut self, segment: SegmentRef, segment_len: u64, mark: u8) -> MapAccepted {
        let mut change = Change::default();
        let waiting = self.quarantine.take(segment);
        let held = self.held_mut(segment);
        held.insert_map(segment_len, mark, &mut change);
        for Waiting {
            from,
            block,
            len,
            mark,
            ..
        } in waiting
        {
            held.write_peer(from, block, u64::from(len), mark, &mut change);
        }
        MapAccepted {
            segment_len,
            change,
        }
    }

    fn held(&self, segment: SegmentRef) -> Option<&Held> {
        let index = self.find(segment).ok()?;
        self.segments.get(index).map(|(_, held)| held)
    }

    fn held_mut(&mut self, segment: SegmentRef) -> &mut Held {
        let index = match self.find(segment) {
            Ok(index) => index,
            Err(index) => {
                self.segments.insert(index, (segment, Held::default()));
                index
            }
        };
        &mut self.segments[index].1
    }

    fn find(&self, segment: SegmentRef) -> Result<usize, usize> {
        self.segments.binary_search_by_key(&segment, |(it, _)| *it)
    }

    fn write_peer(
        &mut self,
        from: LinkId,
        segment: SegmentRef,
        offset: u64,
        bytes: &Bytes,
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
        let mark = mark_of(bytes);
        let held = self.held(segment);
        if held.is_some_and(|held| held.map_len().is_some()) {
            self.held_mut(segment)
                .write_peer(from, block, len, mark, change);
        } else if held.is_some_and(|held| held.has_whole_over_http(block)) {
            change.waste_peer_len += len;
        } else {
            let waiting = Waiting {
                segment,
                from,
                block,
                len: len as u16,
                mark,
            };
            self.wait(waiting, change);
        }
    }

    fn wait(&mut self, waiting: Waiting, change: &mut Change) {
        let mut drop = |waiting: Waiting| {
            change.waste_peer_len += u64::from(waiting.len);
            change.dropped.push(Dropped {
                segment: waiting.segment,
                block: waiting.block,
                from: waiting.from,
            });
        };
        match self.quarantine.push(waiting) {
            Queued::Waits(oldest) => {
                oldest.map(&mut drop);
                change.waiting.insert(waiting.block);
            }
            Queued::Duplicate => change.waste_peer_len += u64::from(waiting.len),
            Queued::Refused => drop(waiting),
        }
    }
}

impl Store for VirtualStore {
    fn insert_map(
        &mut self,
        segment: SegmentRef,
        _id: SegmentId,
        encoded: &Bytes,
    ) -> Result<MapAccepted, MapError> {
        let segment_len = decode_map(encoded)?;
        let change = Change::default();
        match self.held(segment).and_then(Held::map_len) {
            Some(known_len) if known_len != segment_len => {
                return Err(MapError::Conflict { segment });
            }
            Some(_) => {
                return Ok(MapAccepted {
                    segment_len,
                    change,
                });
            }
            None => {}
        }
        Ok(self.take_map(segment, segment_len, GOOD))
    }

    fn insert_body(
        &mut self,
        segment: SegmentRef,
        _id: SegmentId,
        body: &Bytes,
    ) -> Result<MapAccepted, MapError> {
        let (segment_len, mark) = decode_body(body)?;
        if self.held(segment).and_then(Held::map_len).is_some() {
            return Err(MapError::Conflict { segment });
        }
        Ok(self.take_map(segment, segment_len, mark))
    }

    fn body(&self, segment: SegmentRef, id: SegmentId) -> Option<Bytes> {
        let segment_len = self.held(segment)?.len_over_http()?;
        Some(encode_body(id, segment_len, GOOD, 0))
    }

    fn write(&mut self, segment: SegmentRef, offset: u64, bytes: Bytes, source: Source) -> Change {
        let mut change = Change::default();
        match source {
            Source::Http => {
                let (len, mark) = (bytes.len() as u64, mark_of(&bytes));
                self.held_mut(segment)
                    .write_http(offset, len, mark, &mut change);
            }
            Source::Peer(from) => self.write_peer(from, segment, offset, &bytes, &mut change),
        }
        change
    }

    fn set_len(&mut self, segment: SegmentRef, len: u64) -> Change {
        let mut change = Change::default();
        self.held_mut(segment).set_len(len, &mut change);
        change
    }

    fn remove(&mut self, segment: SegmentRef) {
        if let Ok(index) = self.find(segment) {
            self.segments.remove(index);
        }
        self.quarantine.take(segment);
    }

    fn map(&self, segment: SegmentRef) -> Option<Bytes> {
        Some(encode_map(self.held(segment)?.map_len()?, true))
    }

    fn read(&self, segment: SegmentRef, block: u32) -> Option<Bytes> {
        let held = self.held(segment)?;
        Some(content(held.mark(), held.verified_len(block)?))
    }

    fn playable(&self, segment: SegmentRef, from_offset: u64) -> Vec<Bytes> {
        let held = self.held(segment);
        held.map_or_else(Vec::new, |held| held.playable(from_offset))
    }

    fn verified_blocks(&self, segment: SegmentRef) -> BlockSet {
        let held = self.held(segment);
        held.map_or_else(BlockSet::new, Held::verified_blocks)
    }

    fn playable_blocks(&self, segment: SegmentRef) -> BlockSet {
        let held = self.held(segment);
        held.map_or_else(BlockSet::new, Held::playable_blocks)
    }

    fn segment_len(&self, segment: SegmentRef) -> Option<u64> {
        self.held(segment)?.len()
    }

    fn is_complete(&self, segment: SegmentRef) -> bool {
        self.held(segment).is_some_and(Held::is_complete)
    }

    /// Bytes that a memory store would keep; where HTTP contradicts the map, roughly.
    fn used_bytes(&self) -> u64 {
        let held = self.segments.iter().map(|(_, held)| held.used_bytes());
        held.sum::<u64>() + self.quarantine.used_bytes()
    }
}

fn mark_of(bytes: &Bytes) -> u8 {
    bytes.first().copied().unwrap_or(GOOD)
}

/// Reads a map; one without the padding is as good.
fn decode_map(encoded: &Bytes) -> Result<u64, MapError> {
    let Some((len, [signed, ..])) = encoded.split_first_chunk::<8>() else {
        return Err(MapError::Length {
            len: encoded.len(),
            expected: 9,
        });
    };
    if *signed != 1 {
        return Err(MapError::Signature);
    }
    let segment_len = u64::from_be_bytes(*len);
    if segment_len > u64::from(MAX_BLOCKS) * BLOCK_LEN {
        return Err(MapError::SegmentTooLong { segment_len });
    }
    Ok(segment_len)
}

/// The length and the mark of the segment that a body describes.
fn decode_body(body: &Bytes) -> Result<(u64, u8), MapError> {
    let len = body.len();
    let fields = body.get(17..).and_then(|rest| {
        let (segment_len, rest) = rest.split_first_chunk()?;
        Some((u64::from_be_bytes(*segment_len), *rest.first()?))
    });
    fields.ok_or(MapError::Length { len, expected: 26 })
}

/// [`BLOCK_LEN`] as a size in memory.
const BLOCK_SIZE: usize = 16_384;

// A complete segment keeps nothing beside its entry.
const _: () = assert!(size_of::<(SegmentRef, Held)>() <= 72);
