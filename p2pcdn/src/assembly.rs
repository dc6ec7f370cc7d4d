//! The bytes of one segment as HTTP delivers them, put together into blocks.

use bytes::{Bytes, BytesMut};
use p2pcdn_wire::{BLOCK_LEN, BlockRange, BlockSet, ByteRange, block_count};

use crate::fetch::MAX_SEGMENT_LEN;

/// Blocks in the making. The pieces of a block are kept as they came and copied once, when the
/// block is whole.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    len: Option<u64>,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    /// In order of their offset in the block, neither touching nor overlapping where it could be
    /// avoided: see [`MAX_PIECES`].
    Pieces(Vec<Piece>),
    Whole(Bytes),
}

#[derive(Clone, Debug)]
struct Piece {
    at: u64,
    bytes: Bytes,
}

/// What a write or a length did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Assembled {
    /// Blocks that became whole.
    pub(crate) whole: BlockSet,
    /// Bytes of no use: there already, or after the end.
    pub(crate) waste_len: u64,
}

impl Assembly {
    /// Takes bytes that all belong to `block`, from `at` in it on.
    pub(crate) fn write(&mut self, block: u32, at: u64, bytes: &Bytes) -> Assembled {
        let block_len = self.block_len(block);
        let room = usize::try_from(block_len.saturating_sub(at)).unwrap_or(usize::MAX);
        let usable = bytes.slice(..bytes.len().min(room));
        let mut assembled = Assembled {
            waste_len: (bytes.len() - usable.len()) as u64,
            ..Assembled::default()
        };
        if usable.is_empty() {
            return assembled;
        }
        let slot = self.slot_mut(block);
        let pieces = match slot {
            Slot::Whole(_) => {
                assembled.waste_len += usable.len() as u64;
                return assembled;
            }
            Slot::Pieces(pieces) => pieces,
            Slot::Empty => {
                *slot = Slot::Pieces(Vec::new());
                match slot {
                    Slot::Pieces(pieces) => pieces,
                    _ => return assembled,
                }
            }
        };
        assembled.waste_len += insert_piece(pieces, at, usable);
        if piece_len(pieces) == block_len {
            *slot = Slot::Whole(join(pieces));
            assembled.whole.insert(block);
        }
        assembled
    }

    /// Takes the segment's length, also one that contradicts an earlier one, or `None` when the
    /// earlier one has turned out wrong. Blocks that were whole before are not told again.
    pub(crate) fn set_len(&mut self, len: Option<u64>) -> Assembled {
        self.len = len;
        let mut assembled = Assembled::default();
        let slots = std::mem::take(&mut self.slots);
        for (block, slot) in (0u32..).zip(slots) {
            let was_whole = matches!(slot, Slot::Whole(_));
            let pieces = match slot {
                Slot::Empty => continue,
                Slot::Pieces(pieces) => pieces,
                Slot::Whole(bytes) => vec![Piece { at: 0, bytes }],
            };
            for Piece { at, bytes } in pieces {
                let again = self.write(block, at, &bytes);
                assembled.waste_len += again.waste_len;
                if !was_whole {
                    assembled.whole.union_with(&again.whole);
                }
            }
        }
        assembled
    }

    /// Takes the pieces of a block that is not whole out; returns how many bytes they were.
    pub(crate) fn forget_pieces(&mut self, block: u32) -> u64 {
        match self.slots.get_mut(block as usize) {
            Some(slot @ Slot::Pieces(_)) => {
                let len = slot.len();
                *slot = Slot::Empty;
                len
            }
            _ => 0,
        }
    }

    pub(crate) fn len(&self) -> Option<u64> {
        self.len
    }

    /// The offset after the last byte.
    pub(crate) fn end(&self) -> u64 {
        let block = self.slots.iter().rposition(|slot| slot.len() > 0);
        let Some(block) = block else { return 0 };
        let within = match self.slots.get(block) {
            Some(Slot::Whole(bytes)) => bytes.len() as u64,
            Some(Slot::Pieces(pieces)) => pieces.last().map_or(0, Piece::end),
            _ => 0,
        };
        block as u64 * BLOCK_LEN + within
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.len.is_some_and(|len| {
            let count = block_count(len);
            self.slots.len() >= count as usize
                && self.slots.iter().all(|slot| matches!(slot, Slot::Whole(_)))
        })
    }

    pub(crate) fn whole(&self, block: u32) -> Option<&Bytes> {
        match self.slots.get(block as usize)? {
            Slot::Whole(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn whole_blocks(&self) -> BlockSet {
        (0u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| matches!(slot, Slot::Whole(_)))
            .map(|(block, _)| block)
            .collect()
    }

    /// Whether what is there of `block` is also in `bytes`, the block's right ones.
    pub(crate) fn agrees_with(&self, block: u32, bytes: &Bytes) -> bool {
        match self.slots.get(block as usize) {
            None | Some(Slot::Empty) => true,
            Some(Slot::Whole(whole)) => whole == bytes,
            Some(Slot::Pieces(pieces)) => pieces
                .iter()
                .all(|piece| is_part(&piece.bytes, piece.at, bytes)),
        }
    }

    /// The bytes from `at` in `block` on, as far as they are in one place.
    pub(crate) fn bytes_at(&self, block: u32, at: u64) -> Option<Bytes> {
        let (start, bytes) = match self.slots.get(block as usize)? {
            Slot::Empty => return None,
            Slot::Whole(bytes) => (0, bytes),
            Slot::Pieces(pieces) => pieces
                .iter()
                .find(|piece| piece.at <= at && at < piece.end())
                .map(|piece| (piece.at, &piece.bytes))?,
        };
        let skip = usize::try_from(at - start).ok()?;
        (skip < bytes.len()).then(|| bytes.slice(skip..))
    }

    /// Bytes of all blocks but those whole ones that `is_elsewhere` keeps too.
    pub(crate) fn used_bytes(&self, is_elsewhere: impl Fn(u32, &Bytes) -> bool) -> u64 {
        (0u32..)
            .zip(&self.slots)
            .filter(|(block, slot)| match slot {
                Slot::Whole(bytes) => !is_elsewhere(*block, bytes),
                _ => true,
            })
            .map(|(_, slot)| slot.len())
            .sum()
    }

    fn block_len(&self, block: u32) -> u64 {
        BlockRange::new(block, block.saturating_add(1))
            .bytes(self.len.unwrap_or(u64::MAX))
            .len()
    }

    fn slot_mut(&mut self, block: u32) -> &mut Slot {
        let index = block as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots.get_mut(index).expect("resized to hold the slot")
    }
}

impl Slot {
    fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Pieces(pieces) => piece_len(pieces),
            Self::Whole(bytes) => bytes.len() as u64,
        }
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

/// The parts of `bytes` at `offset` by block: block, offset within it, bytes. What lies past
/// [`MAX_SEGMENT_LEN`] is left out.
pub(crate) fn by_block(offset: u64, bytes: &Bytes) -> impl Iterator<Item = (u32, u64, Bytes)> {
    let end = offset.saturating_add(bytes.len() as u64);
    let range = ByteRange::new(offset, end.min(MAX_SEGMENT_LEN));
    let first = range.start / BLOCK_LEN;
    (first..range.end.div_ceil(BLOCK_LEN).max(first)).filter_map(move |block| {
        let part = ByteRange::new(block * BLOCK_LEN, (block + 1) * BLOCK_LEN).intersection(range);
        let from = usize::try_from(part.start - offset).ok()?;
        let to = usize::try_from(part.end - offset).ok()?;
        let block = u32::try_from(block).ok()?;
        Some((block, part.start % BLOCK_LEN, bytes.slice(from..to)))
    })
}

/// Whether `part` is in `whole` at `at`.
pub(crate) fn is_part(part: &Bytes, at: u64, whole: &Bytes) -> bool {
    usize::try_from(at)
        .ok()
        .and_then(|at| whole.get(at..at.checked_add(part.len())?))
        .is_some_and(|there| there == part)
}

/// Adds the parts of `bytes` that are missing; returns how many bytes were not.
fn insert_piece(pieces: &mut Vec<Piece>, at: u64, bytes: Bytes) -> u64 {
    let total = bytes.len() as u64;
    let end = at + total;
    let mut from = at;
    let mut added = 0;
    let mut index = pieces.partition_point(|piece| piece.end() <= at);
    while from < end {
        let gap_end = pieces.get(index).map_or(end, |piece| piece.at.min(end));
        if from < gap_end {
            let start = usize::try_from(from - at).unwrap_or(usize::MAX);
            let stop = usize::try_from(gap_end - at).unwrap_or(usize::MAX);
            let piece = Piece {
                at: from,
                bytes: bytes.slice(start..stop),
            };
            added += gap_end - from;
            pieces.insert(index, piece);
            index += 1;
        }
        from = pieces
            .get(index)
            .map_or(end, |piece| piece.end().max(gap_end));
        index += 1;
    }
    if pieces.len() > MAX_PIECES {
        merge_touching(pieces);
    }
    total - added
}

fn merge_touching(pieces: &mut Vec<Piece>) {
    let merged = pieces
        .chunk_by(|a, b| a.end() == b.at)
        .filter_map(|run| {
            Some(Piece {
                at: run.first()?.at,
                bytes: join(run),
            })
        })
        .collect();
    *pieces = merged;
}

/// One buffer with all of `pieces`, which follow each other.
fn join(pieces: &[Piece]) -> Bytes {
    if let [piece] = pieces {
        return piece.bytes.clone();
    }
    let len = usize::try_from(piece_len(pieces)).unwrap_or(0);
    let mut joined = BytesMut::with_capacity(len);
    for piece in pieces {
        joined.extend_from_slice(&piece.bytes);
    }
    joined.freeze()
}

fn piece_len(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.bytes.len() as u64).sum()
}

/// Pieces of a block before those that touch are merged: an origin that sends a byte at a time
/// would otherwise cost a hundred bytes of bookkeeping for each. HTTP libraries deliver 4 to 64 KiB
/// at a time, so that blocks have 1 to 5 pieces.
const MAX_PIECES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(len: usize) -> Bytes {
        (0..=250).cycle().take(len).collect()
    }

    fn write(assembly: &mut Assembly, offset: u64, bytes: &Bytes) -> Assembled {
        let mut all = Assembled::default();
        for (block, at, part) in by_block(offset, bytes) {
            let one = assembly.write(block, at, &part);
            all.whole.union_with(&one.whole);
            all.waste_len += one.waste_len;
        }
        all
    }

    #[test]
    fn the_last_block_is_whole_once_the_length_is_known() {
        let bytes = content(20_000);
        let mut assembly = Assembly::default();
        assert_eq!(
            write(&mut assembly, 0, &bytes).whole,
            BlockSet::from_iter([0])
        );
        assert_eq!(
            assembly.set_len(Some(20_000)).whole,
            BlockSet::from_iter([1])
        );
        assert!(assembly.is_complete());
        assert_eq!(assembly.whole(1), Some(&bytes.slice(16_384..)));
    }

    #[test]
    fn another_length_cuts_or_reopens_the_last_block() {
        let mut assembly = Assembly::default();
        assembly.set_len(Some(20_000));
        write(&mut assembly, 0, &content(20_000));
        assert_eq!(assembly.set_len(Some(17_000)).waste_len, 3_000);
        assert!(assembly.is_complete());
        assembly.set_len(Some(20_000));
        assert!(!assembly.is_complete());
        assert_eq!(assembly.end(), 17_000);
        write(&mut assembly, 17_000, &content(20_000).slice(17_000..));
        assert!(assembly.is_complete());
    }

    #[test]
    fn single_bytes_cost_no_more_than_a_bounded_number_of_pieces() {
        let bytes = content(16_384);
        let mut assembly = Assembly::default();
        for at in 0..1_000 {
            assembly.write(0, at as u64, &bytes.slice(at..=at));
        }
        let Slot::Pieces(pieces) = &assembly.slots[0] else {
            panic!("not whole yet");
        };
        assert!(pieces.len() <= MAX_PIECES, "{}", pieces.len());
        assembly.write(0, 1_000, &bytes.slice(1_000..));
        assert_eq!(assembly.whole(0), Some(&bytes));
    }

    #[test]
    fn bytes_past_the_longest_segment_are_left_out() {
        let parts: Vec<_> = by_block(MAX_SEGMENT_LEN - 1, &content(2)).collect();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].2.len(), 1);
        assert_eq!(by_block(MAX_SEGMENT_LEN, &content(2)).count(), 0);
        assert_eq!(by_block(u64::MAX - 1, &content(2)).count(), 0);
    }

    proptest! {
        #[test]
        fn any_order_of_pieces_gives_the_same_bytes(
            writes in prop::collection::vec((0usize..40_000, 1usize..9_000), 0..60),
            len_after in 0usize..60,
        ) {
            let bytes = content(40_000);
            let mut assembly = Assembly::default();
            let mut there = vec![false; 40_000];
            let mut whole = BlockSet::new();
            for (index, (from, len)) in writes.into_iter().enumerate() {
                if index == len_after {
                    whole.union_with(&assembly.set_len(Some(40_000)).whole);
                }
                let to = (from + len).min(40_000);
                let expected_waste = there[from..to].iter().filter(|there| **there).count();
                there[from..to].fill(true);
                let assembled = write(&mut assembly, from as u64, &bytes.slice(from..to));
                prop_assert_eq!(assembled.waste_len, expected_waste as u64);
                prop_assert!(!assembled.whole.intersects(&whole));
                whole.union_with(&assembled.whole);
            }
            whole.union_with(&assembly.set_len(Some(40_000)).whole);
            prop_assert_eq!(assembly.whole_blocks(), whole);
            prop_assert_eq!(assembly.is_complete(), there.iter().all(|there| *there));
            for (at, there) in there.iter().enumerate() {
                let found = assembly.bytes_at(u32::try_from(at / 16_384).unwrap(), at as u64 % 16_384);
                prop_assert_eq!(found.map(|found| found[0]), there.then(|| bytes[at]));
            }
        }
    }
}
