//! What is held of one segment.

use bytes::Bytes;
use p2pcdn::{
    Change, Mismatch,
    wire::{BLOCK_LEN, BlockRange, BlockSet, LinkId, block_count},
};

use super::{
    GOOD,
    assembly::{Assembled, Assembly, Part, by_block},
    content, map_len,
};

/// One segment: see [`Store`](p2pcdn::Store) for what the truths mean.
#[derive(Debug, Default)]
pub(super) struct Held {
    truth: Truth,
    /// Whose bytes the map is of.
    mark: u8,
    verified: Verified,
    /// Nothing once all is verified: it is never looked at again then.
    http: Option<Box<Assembly>>,
}

/// With the length that the map says.
#[derive(Clone, Copy, Debug, Default)]
enum Truth {
    #[default]
    Unmapped,
    Map(u64),
    Http(u64),
}

/// The verified blocks, all of which are what the map is of.
#[derive(Debug)]
enum Verified {
    All,
    Some(BlockSet),
}

impl Default for Verified {
    fn default() -> Self {
        Self::Some(BlockSet::new())
    }
}

impl Held {
    /// Takes a map; the first one stays.
    pub(super) fn insert_map(&mut self, map_len: u64, mark: u8, change: &mut Change) {
        if self.map_len().is_some() {
            return;
        }
        let http = self.http();
        let http_len = http.len().filter(|len| *len != map_len);
        let http_len = http_len.or(Some(http.end()).filter(|end| *end > map_len));
        self.truth = Truth::Map(map_len);
        self.mark = mark;
        if let Some(http_len) = http_len {
            self.contradict(Mismatch::MapLen { map_len, http_len }, change);
        }
        let new_whole = match self.truth {
            Truth::Map(_) => self.http().set_len(Some(map_len)).whole,
            _ => BlockSet::new(),
        };
        for block in self.http().whole_blocks().iter() {
            self.compare_with_map(block, change);
            if new_whole.contains(block) && !change.verified.contains(block) {
                change.private.insert(block);
            }
        }
        self.settle();
    }

    /// Takes the length that HTTP states.
    pub(super) fn set_len(&mut self, len: u64, change: &mut Change) {
        let known = match self.truth {
            Truth::Map(map_len) => {
                if map_len != len {
                    let http_len = len;
                    self.contradict(Mismatch::MapLen { map_len, http_len }, change);
                    if self.http_is_truth() {
                        let assembled = self.http().set_len(Some(len));
                        self.take_whole(&assembled, change);
                    }
                }
                return;
            }
            Truth::Unmapped | Truth::Http(_) => self.http().len(),
        };
        match known {
            None => {
                let assembled = self.http().set_len(Some(len));
                self.take_whole(&assembled, change);
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
    pub(super) fn write_http(&mut self, offset: u64, len: u64, mark: u8, change: &mut Change) {
        let mut taken = 0;
        for part in by_block(offset, len) {
            taken += part.len;
            if self.is_against_map(part, mark, change) {
                change.waste_http_len += part.len;
                continue;
            }
            let assembled = self.http().write(part, mark);
            self.take_whole(&assembled, change);
        }
        change.waste_http_len += len - taken;
        self.settle();
    }

    /// Compares a part that came over HTTP with what the map says; returns whether it is of no use.
    fn is_against_map(&mut self, part: Part, mark: u8, change: &mut Change) -> bool {
        let Truth::Map(map_len) = self.truth else {
            return false;
        };
        let end = u64::from(part.block) * BLOCK_LEN + part.at + part.len;
        if end > map_len {
            let http_len = end;
            self.contradict(Mismatch::MapLen { map_len, http_len }, change);
            if self.http_is_truth() {
                self.http().set_len(None);
            }
        } else if self.verified_len(part.block).is_some() {
            if mark == self.mark {
                return true;
            }
            self.contradict(Mismatch::Block(part.block), change);
        }
        !self.http_is_truth() && self.is_complete()
    }

    /// Takes a block from a peer, which is verified or dropped; the map must be there.
    pub(super) fn write_peer(
        &mut self,
        from: LinkId,
        block: u32,
        len: u64,
        mark: u8,
        change: &mut Change,
    ) {
        if let Some(verified) = self.verified_len(block) {
            change.waste_peer_len += len;
            if mark != self.mark || verified != len {
                change.corrupt.push((from, block));
            }
            return;
        }
        if mark != self.mark || self.map_block_len(block) != Some(len) {
            change.waste_peer_len += len;
            change.corrupt.push((from, block));
            return;
        }
        if self.http_is_truth() {
            change.waste_peer_len += len;
            return;
        }
        let agrees = self
            .http
            .as_ref()
            .is_none_or(|it| it.agrees_with(block, len, self.mark));
        if agrees {
            let http = self.http.as_mut();
            change.waste_http_len += http.map_or(0, |it| it.forget_pieces(block));
        } else {
            self.contradict(Mismatch::Block(block), change);
        }
        self.verify(block, change);
        change.matched.push((from, block));
        self.settle();
    }

    /// The length that the map says.
    pub(super) fn map_len(&self) -> Option<u64> {
        match self.truth {
            Truth::Unmapped => None,
            Truth::Map(len) | Truth::Http(len) => Some(len),
        }
    }

    pub(super) fn mark(&self) -> u8 {
        self.mark
    }

    /// The length, if all of it came over HTTP and is the publisher's.
    pub(super) fn len_over_http(&self) -> Option<u64> {
        let http = self.http.as_ref()?;
        let is_right = http.is_complete() && http.bad_len() == 0;
        http.len().filter(|_| is_right)
    }

    /// The length of a verified block.
    pub(super) fn verified_len(&self, block: u32) -> Option<u64> {
        let len = self.map_block_len(block)?;
        match &self.verified {
            Verified::All => Some(len),
            Verified::Some(blocks) => blocks.contains(block).then_some(len),
        }
    }

    pub(super) fn has_whole_over_http(&self, block: u32) -> bool {
        self.http.as_ref().is_some_and(|http| http.is_whole(block))
    }

    pub(super) fn verified_blocks(&self) -> BlockSet {
        match &self.verified {
            Verified::All => {
                BlockSet::from_range(BlockRange::new(0, block_count(self.map_len().unwrap_or(0))))
            }
            Verified::Some(blocks) => blocks.clone(),
        }
    }

    pub(super) fn playable_blocks(&self) -> BlockSet {
        match self.truth {
            Truth::Map(_) => self.verified_blocks(),
            Truth::Unmapped | Truth::Http(_) => {
                let http = self.http.as_ref();
                http.map_or_else(BlockSet::new, |http| http.whole_blocks())
            }
        }
    }

    pub(super) fn playable(&self, from_offset: u64) -> Vec<Bytes> {
        let mut offset = from_offset;
        let mut playable = Vec::new();
        while let Some(bytes) = self.playable_at(offset) {
            offset += bytes.len() as u64;
            playable.push(bytes);
        }
        playable
    }

    pub(super) fn len(&self) -> Option<u64> {
        match self.truth {
            Truth::Map(len) => Some(len),
            Truth::Unmapped | Truth::Http(_) => self.http.as_ref()?.len(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match self.truth {
            Truth::Map(len) => match &self.verified {
                Verified::All => true,
                Verified::Some(blocks) => blocks.len() == block_count(len),
            },
            Truth::Unmapped | Truth::Http(_) => {
                self.http.as_ref().is_some_and(|http| http.is_complete())
            }
        }
    }

    /// Bytes that would be played and are not the publisher's.
    pub(super) fn bad_len(&self) -> u64 {
        match self.truth {
            Truth::Map(_) if self.mark == GOOD => 0,
            Truth::Map(_) => {
                let blocks = self.verified_blocks();
                let lens = blocks.iter().filter_map(|block| self.verified_len(block));
                lens.sum()
            }
            Truth::Unmapped | Truth::Http(_) => self.http.as_ref().map_or(0, |it| it.bad_len()),
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let blocks = self.verified_blocks();
        let verified = blocks.iter().filter_map(|block| self.verified_len(block));
        let http = self.http.as_ref();
        let http = http.map_or(0, |http| http.used_bytes(|block| blocks.contains(block)));
        let map = self.map_len().map_or(0, map_len);
        verified.sum::<u64>() + http + map
    }

    fn http(&mut self) -> &mut Assembly {
        self.http.get_or_insert_default()
    }

    /// HTTP decides from now on, unless everything is verified already.
    fn contradict(&mut self, mismatch: Mismatch, change: &mut Change) {
        change.mismatch.get_or_insert(mismatch);
        if let Truth::Map(len) = self.truth
            && !self.is_complete()
        {
            self.truth = Truth::Http(len);
        }
    }

    fn take_whole(&mut self, assembled: &Assembled, change: &mut Change) {
        change.waste_http_len += assembled.waste_len;
        for block in assembled.whole.iter() {
            if !self.compare_with_map(block, change) {
                change.private.insert(block);
            }
        }
    }

    /// Returns whether the block, whole over HTTP, is verified.
    fn compare_with_map(&mut self, block: u32, change: &mut Change) -> bool {
        if self.map_len().is_none() || !self.has_whole_over_http(block) {
            return false;
        }
        let good_len = self.http().good_len(block).filter(|_| self.mark == GOOD);
        if good_len.is_some() && good_len == self.map_block_len(block) {
            self.verify(block, change);
            return true;
        }
        self.contradict(Mismatch::Block(block), change);
        false
    }

    fn verify(&mut self, block: u32, change: &mut Change) {
        if let Verified::Some(blocks) = &mut self.verified
            && blocks.insert(block)
        {
            change.verified.insert(block);
        }
    }

    /// Lets go of what a complete segment does not need.
    fn settle(&mut self) {
        if matches!(self.truth, Truth::Map(_)) && self.is_complete() {
            self.verified = Verified::All;
            self.http = None;
        }
    }

    fn playable_at(&self, offset: u64) -> Option<Bytes> {
        let block = u32::try_from(offset / BLOCK_LEN).ok()?;
        let at = offset % BLOCK_LEN;
        match self.truth {
            Truth::Map(_) => {
                let rest = self.verified_len(block)?.saturating_sub(at);
                (rest > 0).then(|| content(self.mark, rest))
            }
            Truth::Unmapped | Truth::Http(_) => self.http.as_ref()?.bytes_at(block, at),
        }
    }

    /// The length of a block by the map; `None` without one, and after the segment's end.
    fn map_block_len(&self, block: u32) -> Option<u64> {
        let range = BlockRange::new(block, block.saturating_add(1));
        Some(range.bytes(self.map_len()?).len()).filter(|len| *len > 0)
    }

    fn http_is_truth(&self) -> bool {
        matches!(self.truth, Truth::Http(_))
    }
}
