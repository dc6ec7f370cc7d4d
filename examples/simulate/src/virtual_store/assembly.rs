//! What HTTP delivered of one segment: which bytes, and whether they are the publisher's.

use bytes::Bytes;
use p2pcdn::{
    MAX_SEGMENT_LEN,
    wire::{BLOCK_LEN, BlockRange, BlockSet, block_count},
};

use super::{GOOD, content};

/// Blocks in the making.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    len: Option<u64>,
    /// Whole, and nothing but the publisher's.
    good: BlockSet,
    /// Any other block of which there is something, in order.
    odd: Vec<Odd>,
}

#[derive(Debug)]
struct Odd {
    block: u32,
    /// In order, disjoint, none empty.
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    at: u32,
    end: u32,
    mark: u8,
}

/// A part of what was written that lies in one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) block: u32,
    /// Offset in the block.
    pub(super) at: u64,
    pub(super) len: u64,
}

/// What a write or a length did.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    /// Blocks that became whole.
    pub(super) whole: BlockSet,
    /// Bytes of no use: there already, or after the end.
    pub(super) waste_len: u64,
}

impl Assembly {
    /// Takes bytes that all belong to one block.
    pub(super) fn write(&mut self, part: Part, mark: u8) -> Assembled {
        let Part { block, at, len } = part;
        let block_len = self.block_len(block);
        let usable = len.min(block_len.saturating_sub(at));
        let mut assembled = Assembled {
            waste_len: len - usable,
            ..Assembled::default()
        };
        if usable == 0 {
            return assembled;
        }
        if self.is_whole(block) {
            assembled.waste_len += usable;
            return assembled;
        }
        let index = self.odd.partition_point(|odd| odd.block < block);
        if self.odd.get(index).is_none_or(|odd| odd.block != block) {
            let pieces = Vec::new();
            self.odd.insert(index, Odd { block, pieces });
        }
        let pieces = &mut self.odd[index].pieces;
        assembled.waste_len += insert_piece(pieces, at as u32, (at + usable) as u32, mark);
        if total(pieces) == block_len {
            assembled.whole.insert(block);
            if pieces.iter().all(|piece| piece.mark == GOOD) {
                self.good.insert(block);
                self.odd.remove(index);
            }
        }
        assembled
    }

    /// Takes the segment's length, also one that contradicts an earlier one, or `None` when the
    /// earlier one has turned out wrong. Blocks that were whole before are not told again.
    pub(super) fn set_len(&mut self, len: Option<u64>) -> Assembled {
        let before = self.whole_blocks();
        let good: Vec<(u32, u64)> = self
            .good
            .iter()
            .map(|it| (it, self.block_len(it)))
            .collect();
        let odd = std::mem::take(&mut self.odd);
        self.good.clear();
        self.len = len;
        let mut assembled = Assembled::default();
        let mut again = |part: Part, mark: u8| {
            let one = self.write(part, mark);
            assembled.waste_len += one.waste_len;
            assembled.whole.union_with(&one.whole);
        };
        for (block, len) in good {
            again(Part { block, at: 0, len }, GOOD);
        }
        for Odd { block, pieces } in odd {
            for Piece { at, end, mark } in pieces {
                let (at, len) = (u64::from(at), u64::from(end - at));
                again(Part { block, at, len }, mark);
            }
        }
        assembled.whole.subtract(&before);
        assembled
    }

    /// Drops the pieces of a block that is not whole; returns how many bytes they were.
    pub(super) fn forget_pieces(&mut self, block: u32) -> u64 {
        if self.is_whole(block) {
            return 0;
        }
        let index = self.odd.iter().position(|odd| odd.block == block);
        index.map_or(0, |index| total(&self.odd.remove(index).pieces))
    }

    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    /// The offset after the last byte.
    pub(super) fn end(&self) -> u64 {
        let good = self.good.iter().last();
        let good_end = good.map_or(0, |it| u64::from(it) * BLOCK_LEN + self.block_len(it));
        let odd = self.odd.last();
        let odd_end = odd.map_or(0, |odd| {
            let end = odd.pieces.last().map_or(0, |piece| piece.end);
            u64::from(odd.block) * BLOCK_LEN + u64::from(end)
        });
        good_end.max(odd_end)
    }

    pub(super) fn is_complete(&self) -> bool {
        let whole = || (self.whole_blocks().len(), self.odd.iter());
        self.len.is_some_and(|len| {
            let (whole, mut odd) = whole();
            whole == block_count(len) && odd.all(|odd| self.is_whole(odd.block))
        })
    }

    pub(super) fn is_whole(&self, block: u32) -> bool {
        let is_whole = |odd: &Odd| total(&odd.pieces) == self.block_len(block);
        self.good.contains(block) || self.odd(block).is_some_and(is_whole)
    }

    /// The length of a whole block that is the publisher's.
    pub(super) fn good_len(&self, block: u32) -> Option<u64> {
        let is_good = self.good.contains(block);
        is_good.then(|| self.block_len(block))
    }

    pub(super) fn whole_blocks(&self) -> BlockSet {
        let mut whole = self.good.clone();
        let odd = self.odd.iter().map(|odd| odd.block);
        odd.filter(|block| self.is_whole(*block)).for_each(|block| {
            whole.insert(block);
        });
        whole
    }

    /// Whether what is there of `block` is also in a block of `len` bytes with this mark.
    pub(super) fn agrees_with(&self, block: u32, len: u64, mark: u8) -> bool {
        if self.good.contains(block) {
            return mark == GOOD && self.block_len(block) == len;
        }
        let is_whole = self.is_whole(block);
        self.odd(block).is_none_or(|odd| {
            let is_part = |piece: &Piece| piece.mark == mark && u64::from(piece.end) <= len;
            !is_whole && odd.pieces.iter().all(is_part)
        })
    }

    /// The bytes from `at` in `block` on, as far as they are in one place.
    pub(super) fn bytes_at(&self, block: u32, at: u64) -> Option<Bytes> {
        if self.good.contains(block) {
            let rest = self.block_len(block).saturating_sub(at);
            return (rest > 0).then(|| content(GOOD, rest));
        }
        let is_there = |it: &&Piece| u64::from(it.at) <= at && at < u64::from(it.end);
        let piece = self.odd(block)?.pieces.iter().find(is_there)?;
        Some(content(piece.mark, u64::from(piece.end) - at))
    }

    /// Bytes that are not the publisher's.
    pub(super) fn bad_len(&self) -> u64 {
        let pieces = self.odd.iter().flat_map(|odd| &odd.pieces);
        let bad = pieces.filter(|piece| piece.mark != GOOD);
        bad.map(|piece| u64::from(piece.end - piece.at)).sum()
    }

    /// Bytes of all blocks but those whole ones that are `elsewhere` too.
    pub(super) fn used_bytes(&self, elsewhere: impl Fn(u32) -> bool) -> u64 {
        let good = self.good.iter().filter(|block| !elsewhere(*block));
        let odd = self.odd.iter().map(|odd| total(&odd.pieces));
        good.map(|block| self.block_len(block)).sum::<u64>() + odd.sum::<u64>()
    }

    fn odd(&self, block: u32) -> Option<&Odd> {
        self.odd.iter().find(|odd| odd.block == block)
    }

    fn block_len(&self, block: u32) -> u64 {
        BlockRange::new(block, block.saturating_add(1))
            .bytes(self.len.unwrap_or(u64::MAX))
            .len()
    }
}

/// The parts of `len` bytes at `offset` by block, without what no segment can have.
pub(super) fn by_block(offset: u64, len: u64) -> impl Iterator<Item = Part> {
    let end = offset.saturating_add(len).min(MAX_SEGMENT_LEN);
    let mut at = offset;
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let part = Part {
                block: u32::try_from(at / BLOCK_LEN).unwrap_or(u32::MAX),
                at: at % BLOCK_LEN,
                len: (end - at).min(BLOCK_LEN - at % BLOCK_LEN),
            };
            at += part.len;
            part
        })
    })
}

/// Adds what of `at..end` is missing; returns how many bytes were not.
fn insert_piece(pieces: &mut Vec<Piece>, at: u32, end: u32, mark: u8) -> u64 {
    let mut from = at;
    let mut added = 0;
    let mut index = pieces.partition_point(|piece| piece.end <= at);
    while from < end {
        let gap_end = pieces.get(index).map_or(end, |piece| piece.at.min(end));
        if from < gap_end {
            let piece = Piece {
                at: from,
                end: gap_end,
                mark,
            };
            pieces.insert(index, piece);
            added += gap_end - from;
            index += 1;
        }
        from = pieces
            .get(index)
            .map_or(end, |piece| piece.end.max(gap_end));
        index += 1;
    }
    pieces.dedup_by(|next, piece| {
        let touches = piece.end == next.at && piece.mark == next.mark;
        if touches {
            piece.end = next.end;
        }
        touches
    });
    u64::from(end - at - added)
}

fn total(pieces: &[Piece]) -> u64 {
    let lens = pieces.iter().map(|piece| u64::from(piece.end - piece.at));
    lens.sum()
}
