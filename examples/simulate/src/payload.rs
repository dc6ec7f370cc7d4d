//! Bytes of segments and stand-ins for them: nothing is kept, whatever range is asked for.

use std::ops::Range;

use bytes::Bytes;
use p2pcdn::wire::mix;

/// What a virtual block, map or segment is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The publisher's.
    Good,
    /// Somebody else's.
    Forged,
}

/// The stand-in for an encoded block map: the segment's length, 8 bytes, big-endian, and 1, or 0
/// when it is forged.
#[must_use]
pub fn map_mark(segment_len: u64, mark: Mark) -> Bytes {
    let mut encoded = segment_len.to_be_bytes().to_vec();
    encoded.push(u8::from(mark == Mark::Good));
    encoded.into()
}

/// What [`map_mark`] made; `None` of anything else.
#[must_use]
pub fn read_map_mark(encoded: &[u8]) -> Option<(u64, Mark)> {
    let (len, rest) = encoded.split_first_chunk()?;
    let mark = match rest {
        [1] => Mark::Good,
        [0] => Mark::Forged,
        _ => return None,
    };
    Some((u64::from_be_bytes(*len), mark))
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
    fn a_mark_is_read_as_it_was_made_and_nothing_else_is_one() {
        let forged = map_mark(9, Mark::Forged);
        assert_eq!(forged, [0, 0, 0, 0, 0, 0, 0, 9, 0][..]);
        assert_eq!(read_map_mark(&forged), Some((9, Mark::Forged)));
        assert_eq!(
            read_map_mark(&map_mark(9, Mark::Good)),
            Some((9, Mark::Good))
        );
        for other in [&b""[..], b"something else", &[0; 8], &[2; 9]] {
            assert_eq!(read_map_mark(other), None);
        }
    }

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
