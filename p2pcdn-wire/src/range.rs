//! Half-open ranges of bytes, blocks and ordinals.

use std::fmt;

use crate::limits::BLOCK_LEN;

macro_rules! half_open {
    ($(#[$doc:meta])* $name:ident, $int:ty, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// The first one in the range.
            pub start: $int,
            /// The first one after the range; at or before `start` the range is empty.
            pub end: $int,
        }

        impl $name {
            #[doc = concat!("The ", $unit, " from `start` up to, not including, `end`.")]
            #[must_use]
            pub const fn new(start: $int, end: $int) -> Self {
                Self { start, end }
            }

            #[doc = concat!("How many ", $unit, " there are.")]
            #[must_use]
            pub const fn len(&self) -> $int {
                self.end.saturating_sub(self.start)
            }

            /// Whether there are none.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.end <= self.start
            }

            /// Whether `at` is in the range.
            #[must_use]
            pub const fn contains(&self, at: $int) -> bool {
                self.start <= at && at < self.end
            }

            /// What both ranges contain; may be empty.
            #[must_use]
            pub fn intersection(&self, other: Self) -> Self {
                Self::new(self.start.max(other.start), self.end.min(other.end))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}..{}", self.start, self.end)
            }
        }
    };
}

half_open! {
    /// A half-open range of bytes within a resource or segment.
    ByteRange, u64, "bytes"
}
half_open! {
    /// A half-open range of blocks within a segment.
    BlockRange, u32, "blocks"
}
half_open! {
    /// A half-open range of segments within a track.
    OrdinalRange, u64, "segments"
}

impl OrdinalRange {
    /// The range with the one segment `ordinal` (which is less than `u64::MAX`).
    #[must_use]
    pub const fn one(ordinal: u64) -> Self {
        Self::new(ordinal, ordinal.saturating_add(1))
    }
}

impl BlockRange {
    /// The bytes of these blocks in a segment of `segment_len` bytes.
    #[must_use]
    pub fn bytes(&self, segment_len: u64) -> ByteRange {
        let at = |block: u32| (u64::from(block) * BLOCK_LEN).min(segment_len);
        ByteRange::new(at(self.start), at(self.end))
    }
}

/// How many blocks a segment of `segment_len` bytes has; saturates at `u32::MAX`.
#[must_use]
pub fn block_count(segment_len: u64) -> u32 {
    u32::try_from(segment_len.div_ceil(BLOCK_LEN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_shorter() {
        assert_eq!(block_count(0), 0);
        assert_eq!(block_count(1), 1);
        assert_eq!(block_count(16_384), 1);
        assert_eq!(block_count(16_385), 2);
        assert_eq!(
            BlockRange::new(1, 2).bytes(20_000),
            ByteRange::new(16_384, 20_000)
        );
        assert_eq!(BlockRange::new(2, 3).bytes(20_000).len(), 0);
    }
}
