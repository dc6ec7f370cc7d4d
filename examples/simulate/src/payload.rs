//! Bytes of segments and stand-ins for them: nothing is kept, whatever range is asked for.

use std::ops::Range;

use bytes::Bytes;
use p2pcdn::wire::mix;

/// What a virtual block or segment is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The publisher's.
    Good,
    /// Somebody else's.
    Forged,
}

/// Virtual bytes, of which the first is 0 for good ones and 1 for others; nothing is copied.
#[must_use]
pub fn marked(mark: Mark, range: Range<u64>) -> Bytes {
    static GOOD: [u8; SLICE_LEN] = [0; SLICE_LEN];
    static FORGED: [u8; SLICE_LEN] = [1; SLICE_LEN];
    let (source, byte) = match mark {
        Mark::Good => (&GOOD, 0),
        Mark::Forged => (&FORGED, 1),
    };
    let len = range.end.saturating_sub(range.start) as usize;
    match source.get(..len) {
        Some(slice) => Bytes::from_static(slice),
        None => vec![byte; len].into(),
    }
}

/// More than any block or chunk has.
const SLICE_LEN: usize = 64 << 10;

/// Bytes that no two segments share, made eight at a time from their place.
pub(crate) fn generated(key: u64, range: Range<u64>) -> Bytes {
    let words = range.start / 8..range.end.div_ceil(8);
    let bytes: Vec<u8> = words
        .flat_map(|word| mix(key ^ mix(word)).to_be_bytes())
        .collect();
    let skipped = (range.start % 8) as usize;
    let len = range.end.saturating_sub(range.start) as usize;
    Bytes::from(bytes).slice(skipped..skipped + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_bytes_tell_their_mark_first_at_any_length() {
        assert_eq!(marked(Mark::Forged, 5..8), [1, 1, 1][..]);
        let long = marked(Mark::Good, 0..1_000_000);
        assert_eq!((long.len(), long[0]), (1_000_000, 0));
    }

    #[test]
    fn any_range_of_generated_bytes_is_a_part_of_the_whole() {
        let whole = generated(7, 0..100);
        for start in 0..100 {
            for end in start..100 {
                let part = whole.slice(start as usize..end as usize);
                assert_eq!(generated(7, start..end), part);
            }
        }
        assert_ne!(whole, generated(8, 0..100));
    }
}
