//! Sets of blocks of one segment.

use std::fmt;

use crate::range::BlockRange;

/// A set of blocks of one segment: a bitmap whose first 64 blocks (1 MiB of media) need no
/// allocation.
///
/// Equal sets are equal values, however they came about.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct BlockSet {
    first: u64,
    /// Blocks 64 and up; never ends in a zero word, nor is it empty. A thin pointer, because most
    /// sets need none.
    #[expect(
        clippy::box_collection,
        reason = "a Vec in place would make every set larger by half"
    )]
    rest: Option<Box<Vec<u64>>>,
}

impl BlockSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            first: 0,
            rest: None,
        }
    }

    /// The blocks of `range`.
    #[must_use]
    pub fn from_range(range: BlockRange) -> Self {
        let mut set = Self::new();
        set.insert_range(range);
        set
    }

    /// Adds `block`; returns whether it was missing.
    pub fn insert(&mut self, block: u32) -> bool {
        let (index, bit) = place(block);
        if index >= self.word_count() {
            self.grow(index);
        }
        let word = self.word_mut(index).expect("resized to hold the word");
        let missing = *word & bit == 0;
        *word |= bit;
        missing
    }

    /// Adds the blocks of `range`.
    pub fn insert_range(&mut self, range: BlockRange) {
        if range.is_empty() {
            return;
        }
        let (first, _) = place(range.start);
        let (last, _) = place(range.end - 1);
        if last >= self.word_count() {
            self.grow(last);
        }
        for index in first..=last {
            let mask = word_mask(index, range);
            *self.word_mut(index).expect("resized to hold the last word") |= mask;
        }
    }

    /// Takes `block` out; returns whether it was there.
    pub fn remove(&mut self, block: u32) -> bool {
        let (index, bit) = place(block);
        let Some(word) = self.word_mut(index) else {
            return false;
        };
        let there = *word & bit != 0;
        *word &= !bit;
        self.trim();
        there
    }

    /// Adds every block of `other`.
    pub fn union_with(&mut self, other: &Self) {
        self.first |= other.first;
        if other.rest().len() > self.rest().len() {
            self.grow(other.rest().len());
        }
        for (word, theirs) in self.rest_mut().iter_mut().zip(other.rest()) {
            *word |= theirs;
        }
    }

    /// Takes every block of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        self.first &= !other.first;
        if self.rest.is_some() {
            for (word, theirs) in self.rest_mut().iter_mut().zip(other.rest()) {
                *word &= !theirs;
            }
            self.trim();
        }
    }

    /// Keeps only what `other` has too.
    pub fn intersect_with(&mut self, other: &Self) {
        self.first &= other.first;
        if let Some(rest) = &mut self.rest {
            rest.truncate(other.rest().len());
            for (word, theirs) in rest.iter_mut().zip(other.rest()) {
                *word &= theirs;
            }
            self.trim();
        }
    }

    /// Takes all blocks out and frees the memory.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether `block` is in the set.
    #[must_use]
    pub fn contains(&self, block: u32) -> bool {
        let (index, bit) = place(block);
        self.word(index) & bit != 0
    }

    /// Whether every block of `other` is in the set.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        (0..other.word_count()).all(|index| other.word(index) & !self.word(index) == 0)
    }

    /// Whether the sets have a block in common.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        (0..self.word_count()).any(|index| self.word(index) & other.word(index) != 0)
    }

    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        (0..self.word_count())
            .map(|index| self.word(index).count_ones())
            .sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.rest.is_none()
    }

    /// The blocks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.word_count()).flat_map(|index| {
            let base = block_of(index);
            Bits(self.word(index)).map(move |bit| base + bit)
        })
    }

    /// The maximal runs of blocks in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = BlockRange> + '_ {
        let mut blocks = self.iter().peekable();
        std::iter::from_fn(move || {
            let start = blocks.next()?;
            let mut end = start + 1;
            while blocks.next_if_eq(&end).is_some() {
                end += 1;
            }
            Some(BlockRange::new(start, end))
        })
    }

    fn word(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            None => self.first,
            Some(rest) => self.rest().get(rest).copied().unwrap_or(0),
        }
    }

    fn word_mut(&mut self, index: usize) -> Option<&mut u64> {
        match index.checked_sub(1) {
            None => Some(&mut self.first),
            Some(rest) => self.rest_mut().get_mut(rest),
        }
    }

    fn word_count(&self) -> usize {
        self.rest().len() + 1
    }

    fn trim(&mut self) {
        let Some(rest) = &mut self.rest else {
            return;
        };
        while rest.last() == Some(&0) {
            rest.pop();
        }
        if rest.is_empty() {
            self.rest = None;
        }
    }

    fn rest(&self) -> &[u64] {
        self.rest.as_ref().map_or(&[], |rest| rest.as_slice())
    }

    fn rest_mut(&mut self) -> &mut [u64] {
        self.rest
            .as_mut()
            .map_or(&mut [], |rest| rest.as_mut_slice())
    }

    /// Makes room for `words` beyond the first.
    fn grow(&mut self, words: usize) {
        self.rest.get_or_insert_default().resize(words, 0);
    }
}

impl FromIterator<u32> for BlockSet {
    fn from_iter<I: IntoIterator<Item = u32>>(blocks: I) -> Self {
        let mut set = Self::new();
        for block in blocks {
            set.insert(block);
        }
        set
    }
}

impl fmt::Debug for BlockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.ranges().map(|range| range.to_string()))
            .finish()
    }
}

struct Bits(u64);

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

fn place(block: u32) -> (usize, u64) {
    ((block / 64) as usize, 1 << (block % 64))
}

fn block_of(index: usize) -> u32 {
    u32::try_from(index * 64).expect("the words of a set are numbered by blocks, which are u32")
}

fn word_mask(index: usize, range: BlockRange) -> u64 {
    let base = block_of(index);
    let from = range.start.saturating_sub(base).min(64);
    let to = range.end.saturating_sub(base).min(64);
    let below = |bits: u32| 1u64.checked_shl(bits).map_or(u64::MAX, |bit| bit - 1);
    below(to) & !below(from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(blocks: &BTreeSet<u32>) -> BlockSet {
        blocks.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(
            a in prop::collection::btree_set(0u32..300, 0..60),
            b in prop::collection::btree_set(0u32..300, 0..60),
            start in 0u32..300,
            len in 0u32..200,
        ) {
            let (sa, sb) = (set(&a), set(&b));
            prop_assert_eq!(sa.iter().collect::<Vec<_>>(), a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(sa.len() as usize, a.len());
            prop_assert_eq!(sa.is_empty(), a.is_empty());
            prop_assert_eq!(sa.contains_all(&sb), a.is_superset(&b));
            prop_assert_eq!(sa.intersects(&sb), !a.is_disjoint(&b));

            let mut union = sa.clone();
            union.union_with(&sb);
            prop_assert_eq!(union, set(&(&a | &b)));
            let mut rest = sa.clone();
            rest.subtract(&sb);
            prop_assert_eq!(rest, set(&(&a - &b)));
            let mut common = sa.clone();
            common.intersect_with(&sb);
            prop_assert_eq!(common, set(&(&a & &b)));

            let mut ranged = sa.clone();
            ranged.insert_range(BlockRange::new(start, start + len));
            let mut expected = a.clone();
            expected.extend(start..start + len);
            prop_assert_eq!(&ranged, &set(&expected));

            let mut rebuilt = BlockSet::new();
            ranged.ranges().for_each(|range| rebuilt.insert_range(range));
            prop_assert_eq!(rebuilt, ranged);

            let mut emptied = sa.clone();
            for block in &a {
                prop_assert!(emptied.remove(*block));
                prop_assert!(!emptied.contains(*block));
            }
            prop_assert_eq!(emptied, BlockSet::new());
        }
    }
}
