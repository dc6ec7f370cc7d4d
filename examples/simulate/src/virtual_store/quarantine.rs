//! Blocks from peers that came before their block map.

use std::collections::VecDeque;

use p2pcdn::wire::{BLOCK_LEN, LinkId, SegmentRef};

/// A bounded queue of unverified blocks; when it is full the oldest makes room.
#[derive(Debug)]
pub(super) struct Quarantine {
    waiting: VecDeque<Waiting>,
    max_blocks: u32,
    max_segment_blocks: u32,
}

/// One unverified block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) segment: SegmentRef,
    pub(super) from: LinkId,
    pub(super) block: u32,
    pub(super) len: u16,
    pub(super) mark: u8,
}

/// What became of a block.
pub(super) enum Queued {
    /// It waits. The other one, if any, had to make room for it.
    Waits(Option<Waiting>),
    /// The same bytes wait already.
    Duplicate,
    /// There is no room at all.
    Refused,
}

impl Quarantine {
    pub(super) fn new(max_len: u64, max_segment_len: u64) -> Self {
        let blocks = |len: u64| u32::try_from(len / BLOCK_LEN).unwrap_or(u32::MAX);
        Self {
            waiting: VecDeque::new(),
            max_blocks: blocks(max_len),
            max_segment_blocks: blocks(max_segment_len),
        }
    }

    pub(super) fn push(&mut self, waiting: Waiting) -> Queued {
        if self.max_blocks.min(self.max_segment_blocks) == 0 {
            return Queued::Refused;
        }
        let is_same = |other: &Waiting| {
            let from = waiting.from;
            Waiting { from, ..*other } == waiting
        };
        if self.waiting.iter().any(is_same) {
            return Queued::Duplicate;
        }
        let of_segment = |other: &&Waiting| other.segment == waiting.segment;
        let in_segment = self.waiting.iter().filter(of_segment).count();
        let oldest = if in_segment >= self.max_segment_blocks as usize {
            self.waiting.iter().position(|other| of_segment(&other))
        } else {
            (self.waiting.len() >= self.max_blocks as usize).then_some(0)
        };
        let dropped = oldest.and_then(|index| self.waiting.remove(index));
        self.waiting.push_back(waiting);
        Queued::Waits(dropped)
    }

    /// Takes the blocks of `segment` out, oldest first.
    pub(super) fn take(&mut self, segment: SegmentRef) -> Vec<Waiting> {
        let of_segment = |waiting: &&Waiting| waiting.segment == segment;
        let taken: Vec<_> = self.waiting.iter().filter(of_segment).copied().collect();
        if !taken.is_empty() {
            self.waiting.retain(|waiting| waiting.segment != segment);
            self.waiting.shrink_to_fit();
        }
        taken
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.waiting.iter().map(|it| u64::from(it.len)).sum()
    }
}
