//! What is held of one segment: the blocks that match its map, and what HTTP delivered.

use bytes::Bytes;
use p2pcdn_wire::{BLOCK_LEN, BlockSet, LinkId, block_count};

use crate::{
    assembly::{Assembled, Assembly, by_block, is_part},
    block_map::SignedMap,
    store::{Change, Mismatch},
};

/// The bytes of one segment.
///
/// | truth | when | played |
/// |---|---|---|
/// | `Unmapped` | no map yet | what HTTP delivered |
/// | `Map` | a map that HTTP does not contradict | verified blocks |
/// | `Http` | HTTP contradicts the map | what HTTP delivered |
///
/// Blocks that came over HTTP and match the map are in `http` and in `verified`, sharing memory.
#[derive(Debug, Default)]
pub(crate) struct Held {
    truth: Truth,
    /// By block; never longer than the map says.
    verified: Vec<Option<Bytes>>,
    http: Assembly,
}

#[derive(Debug, Default)]
enum Truth {
    #[default]
    Unmapped,
    Map(SignedMap),
    Http(SignedMap),
}

impl Held {
    /// Takes a map; the first one stays.
    pub(crate) fn insert_map(&mut self, map: SignedMap, change: &mut Change) {
        if self.map().is_some() {
            return;
        }
        let map_len = map.segment_len();
        let http_len = self.http.len().filter(|len| *len != map_len);
        let http_len = http_len.or(Some(self.http.end()).filter(|end| *end > map_len));
        self.truth = Truth::Map(map);
        if let Some(http_len) = http_len {
            self.contradict(Mismatch::MapLen { map_len, http_len }, change);
        }
        // When the lengths differ, the blocks that match may still be served.
        let new_whole = match self.truth {
            Truth::Map(_) => self.http.set_len(Some(map_len)).whole,
            _ => BlockSet::new(),
        };
        for block in self.http.whole_blocks().iter() {
            self.compare_with_map(block, change);
            if new_whole.contains(block) && !change.verified.contains(block) {
                change.private.insert(block);
            }
        }
    }

    /// Takes the length that HTTP states.
    pub(crate) fn set_len(&mut self, len: u64, change: &mut Change) {
        let known = match &self.truth {
            Truth::Map(map) => {
                let map_len = map.segment_len();
                if map_len != len {
                    let http_len = len;
                    self.contradict(Mismatch::MapLen { map_len, http_len }, change);
                    if self.http_is_truth() {
                        let assembled = self.http.set_len(Some(len));
                        self.take_whole(assembled, change);
                    }
                }
                return;
            }
            Truth::Unmapped | Truth::Http(_) => self.http.len(),
        };
        match known {
            None => {
                let assembled = self.http.set_len(Some(len));
                self.take_whole(assembled, change);
            }
            Some(first_len) if first_len != len => {
                let later_len = len;
                change.mismatch = Some(Mismatch::HttpLen {
                    first_len,
                    later_len,
                });
            }
            Some(_) => {}
        }
    }

    /// Takes bytes that came over HTTP.
    pub(crate) fn write_http(&mut self, offset: u64, bytes: &Bytes, change: &mut Change) {
        let mut taken = 0;
        for (block, at, part) in by_block(offset, bytes) {
            taken += part.len() as u64;
            if let Truth::Map(map) = &self.truth {
                let map_len = map.segment_len();
                let end = u64::from(block) * BLOCK_LEN + at + part.len() as u64;
                if end > map_len {
                    let http_len = end;
                    self.contradict(Mismatch::MapLen { map_len, http_len }, change);
                    if self.http_is_truth() {
                        self.http.set_len(None);
                    }
                } else if let Some(verified) = self.verified(block) {
                    if is_part(&part, at, verified) {
                        change.waste_http_len += part.len() as u64;
                        continue;
                    }
                    self.contradict(Mismatch::Block(block), change);
                }
                if matches!(self.truth, Truth::Map(_)) && self.is_complete() {
                    change.waste_http_len += part.len() as u64;
                    continue;
                }
            }
            let assembled = self.http.write(block, at, &part);
            self.take_whole(assembled, change);
        }
        change.waste_http_len += bytes.len() as u64 - taken;
    }

    /// Takes a block from a peer, which is verified or dropped; the map must be there.
    pub(crate) fn write_peer(
        &mut self,
        from: LinkId,
        block: u32,
        bytes: Bytes,
        change: &mut Change,
    ) {
        let len = bytes.len() as u64;
        if let Some(verified) = self.verified(block) {
            change.waste_peer_len += len;
            if *verified != bytes {
                change.corrupt.push((from, block));
            }
            return;
        }
        if !self.map().is_some_and(|map| map.matches(block, &bytes)) {
            change.waste_peer_len += len;
            change.corrupt.push((from, block));
            return;
        }
        if self.http_is_truth() {
            change.waste_peer_len += len;
            return;
        }
        if self.http.agrees_with(block, &bytes) {
            change.waste_http_len += self.http.forget_pieces(block);
        } else {
            self.contradict(Mismatch::Block(block), change);
        }
        self.verify(block, bytes, change);
        change.matched.push((from, block));
    }

    pub(crate) fn map(&self) -> Option<&SignedMap> {
        match &self.truth {
            Truth::Unmapped => None,
            Truth::Map(map) | Truth::Http(map) => Some(map),
        }
    }

    pub(crate) fn verified(&self, block: u32) -> Option<&Bytes> {
        self.verified.get(block as usize)?.as_ref()
    }

    pub(crate) fn has_whole_over_http(&self, block: u32) -> bool {
        self.http.whole(block).is_some()
    }

    /// All blocks, if all of them came over HTTP.
    pub(crate) fn http_blocks(&self) -> Option<Vec<Bytes>> {
        let count = block_count(self.http.len().filter(|_| self.http.is_complete())?);
        (0..count)
            .map(|block| self.http.whole(block).cloned())
            .collect()
    }

    pub(crate) fn verified_blocks(&self) -> BlockSet {
        (0u32..)
            .zip(&self.verified)
            .filter(|(_, bytes)| bytes.is_some())
            .map(|(block, _)| block)
            .collect()
    }

    pub(crate) fn playable_blocks(&self) -> BlockSet {
        match self.truth {
            Truth::Map(_) => self.verified_blocks(),
            Truth::Unmapped | Truth::Http(_) => self.http.whole_blocks(),
        }
    }

    pub(crate) fn playable(&self, from_offset: u64) -> Vec<Bytes> {
        let mut offset = from_offset;
        let mut playable = Vec::new();
        while let Some(bytes) = self.playable_at(offset) {
            offset += bytes.len() as u64;
            playable.push(bytes);
        }
        playable
    }

    pub(crate) fn len(&self) -> Option<u64> {
        match &self.truth {
            Truth::Map(map) => Some(map.segment_len()),
            Truth::Unmapped | Truth::Http(_) => self.http.len(),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        match &self.truth {
            Truth::Map(map) => {
                self.verified.len() == block_count(map.segment_len()) as usize
                    && self.verified.iter().all(Option::is_some)
            }
            Truth::Unmapped | Truth::Http(_) => self.http.is_complete(),
        }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        let verified: u64 = self
            .verified
            .iter()
            .flatten()
            .map(|bytes| bytes.len() as u64)
            .sum();
        let is_verified = |block: u32, bytes: &Bytes| {
            self.verified(block)
                .is_some_and(|verified| verified.as_ptr() == bytes.as_ptr())
        };
        let map = self.map().map_or(0, |map| map.encoded().len() as u64);
        verified + self.http.used_bytes(is_verified) + map
    }

    /// HTTP decides from now on, unless everything is verified already.
    fn contradict(&mut self, mismatch: Mismatch, change: &mut Change) {
        change.mismatch.get_or_insert(mismatch);
        if let Truth::Map(map) = &self.truth
            && !self.is_complete()
        {
            self.truth = Truth::Http(map.clone());
        }
    }

    fn take_whole(&mut self, assembled: Assembled, change: &mut Change) {
        change.waste_http_len += assembled.waste_len;
        for block in assembled.whole.iter() {
            if !self.compare_with_map(block, change) {
                change.private.insert(block);
            }
        }
    }

    /// Returns whether the block, whole over HTTP, is verified.
    fn compare_with_map(&mut self, block: u32, change: &mut Change) -> bool {
        let (Some(map), Some(bytes)) = (self.map(), self.http.whole(block)) else {
            return false;
        };
        if map.matches(block, bytes) {
            let bytes = bytes.clone();
            self.verify(block, bytes, change);
            return true;
        }
        self.contradict(Mismatch::Block(block), change);
        false
    }

    fn verify(&mut self, block: u32, bytes: Bytes, change: &mut Change) {
        let index = block as usize;
        if index >= self.verified.len() {
            self.verified.resize(index + 1, None);
        }
        let slot = self
            .verified
            .get_mut(index)
            .expect("resized to hold the block");
        if slot.is_none() {
            *slot = Some(bytes);
            change.verified.insert(block);
        }
    }

    fn playable_at(&self, offset: u64) -> Option<Bytes> {
        let block = u32::try_from(offset / BLOCK_LEN).ok()?;
        let at = offset % BLOCK_LEN;
        match self.truth {
            Truth::Map(_) => {
                let verified = self.verified(block)?;
                let skip = usize::try_from(at).ok()?;
                (skip < verified.len()).then(|| verified.slice(skip..))
            }
            Truth::Unmapped | Truth::Http(_) => self.http.bytes_at(block, at),
        }
    }

    fn http_is_truth(&self) -> bool {
        matches!(self.truth, Truth::Http(_))
    }
}
