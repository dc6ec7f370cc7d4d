//! Blocks from peers that came before the block map that could verify them.

use std::collections::VecDeque;

use bytes::Bytes;
use p2pcdn_wire::{BLOCK_LEN, LinkId, SegmentRef};

/// A bounded queue of unverified blocks; when it is full the oldest makes room.
#[derive(Debug)]
pub(crate) struct Quarantine {
    waiting: VecDeque<Waiting>,
    max_blocks: usize,
    max_segment_blocks: usize,
}

/// One unverified block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) segment: SegmentRef,
    pub(crate) block: u32,
    pub(crate) from: LinkId,
    pub(crate) bytes: Bytes,
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It waits. The other one, if any, had to make room for it.
    Waits(Option<Waiting>),
    /// The same bytes wait already.
    Duplicate,
    /// There is no room at all.
    Refused,
}

impl Quarantine {
    /// Every block counts as a full one, whatever its length: what a sender can fill with blocks
    /// of one byte is then bounded too.
    pub(crate) fn new(max_len: u64, max_segment_len: u64) -> Self {
        let blocks = |len: u64| usize::try_from(len / BLOCK_LEN).unwrap_or(usize::MAX);
        Self {
            waiting: VecDeque::new(),
            max_blocks: blocks(max_len),
            max_segment_blocks: blocks(max_segment_len),
        }
    }

    pub(crate) fn push(&mut self, waiting: Waiting) -> Queued {
        let same = |other: &Waiting| {
            (other.segment, other.block) == (waiting.segment, waiting.block)
                && other.bytes == waiting.bytes
        };
        if self.max_blocks.min(self.max_segment_blocks) == 0 {
            return Queued::Refused;
        }
        if self.waiting.iter().any(same) {
            return Queued::Duplicate;
        }
        let of_segment = |other: &&Waiting| other.segment == waiting.segment;
        let oldest = if self.waiting.iter().filter(of_segment).count() >= self.max_segment_blocks {
            self.waiting.iter().position(|other| of_segment(&other))
        } else {
            (self.waiting.len() >= self.max_blocks).then_some(0)
        };
        let dropped = oldest.and_then(|index| self.waiting.remove(index));
        self.waiting.push_back(waiting);
        Queued::Waits(dropped)
    }

    /// Takes the blocks of `segment` out, oldest first.
    pub(crate) fn take(&mut self, segment: SegmentRef) -> Vec<Waiting> {
        let (taken, kept): (VecDeque<_>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.segment == segment);
        self.waiting = kept;
        taken.into()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.waiting
            .iter()
            .map(|waiting| waiting.bytes.len() as u64)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use p2pcdn_wire::TrackIndex;

    use super::*;

    fn waiting(ordinal: u64, block: u32, len: usize) -> Waiting {
        Waiting {
            segment: SegmentRef {
                track: TrackIndex(0),
                ordinal,
                tag: 0,
            },
            block,
            from: LinkId(1),
            bytes: vec![0; len].into(),
        }
    }

    #[test]
    fn the_oldest_of_all_makes_room_when_the_whole_is_full() {
        let mut quarantine = Quarantine::new(3 * BLOCK_LEN, 2 * BLOCK_LEN);
        for (ordinal, block) in [(1, 0), (2, 0), (1, 1)] {
            let queued = quarantine.push(waiting(ordinal, block, 16_384));
            assert_eq!(queued, Queued::Waits(None));
        }
        assert_eq!(
            quarantine.push(waiting(3, 0, 16_384)),
            Queued::Waits(Some(waiting(1, 0, 16_384)))
        );
        assert_eq!(quarantine.used_bytes(), 3 * BLOCK_LEN);
    }

    #[test]
    fn a_segment_cannot_push_out_another() {
        let mut quarantine = Quarantine::new(3 * BLOCK_LEN, 2 * BLOCK_LEN);
        quarantine.push(waiting(2, 0, 100));
        quarantine.push(waiting(1, 0, 100));
        quarantine.push(waiting(1, 1, 100));
        assert_eq!(
            quarantine.push(waiting(1, 2, 100)),
            Queued::Waits(Some(waiting(1, 0, 100)))
        );
        assert_eq!(
            quarantine.take(self::waiting(2, 0, 0).segment),
            [waiting(2, 0, 100)]
        );
    }

    #[test]
    fn blocks_of_one_byte_do_not_multiply() {
        let mut quarantine = Quarantine::new(4 * BLOCK_LEN, 4 * BLOCK_LEN);
        for block in 0..100 {
            quarantine.push(waiting(1, block, 1));
        }
        assert_eq!(quarantine.take(waiting(1, 0, 1).segment).len(), 4);
    }

    #[test]
    fn without_room_nothing_waits() {
        let mut quarantine = Quarantine::new(BLOCK_LEN - 1, BLOCK_LEN);
        assert_eq!(quarantine.push(waiting(1, 0, 1)), Queued::Refused);
    }
}
