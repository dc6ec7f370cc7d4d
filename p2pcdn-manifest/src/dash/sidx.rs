//! Segment indexes: the `sidx` box (ISO/IEC 14496-12, 8.16.3).

use p2pcdn_wire::ByteRange;
use thiserror::Error;

use crate::limits::{MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES};

/// What a `sidx` box lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    /// Its entries in the order of the resource, those of nested indexes in the place of these.
    pub entries: Vec<IndexEntry>,
}

/// One entry of a [`SegmentIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// What the bytes are.
    pub target: IndexTarget,
    /// The bytes in the resource.
    pub range: ByteRange,
    /// Ticks at which it begins on the timeline of the media.
    pub time: u64,
    /// Ticks that it plays.
    pub duration: u64,
    /// Ticks per second; never zero.
    pub timescale: u32,
    /// Whether playback can begin with it.
    pub starts_with_sap: bool,
}

/// What an [`IndexEntry`] points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexTarget {
    /// A segment.
    Segment,
    /// Another index, which is not among the bytes given, or nested too deeply: to be loaded and
    /// read in its turn.
    Index,
}

/// Why bytes cannot be used as a segment index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SidxError {
    /// There is no `sidx` box.
    #[error("no segment index")]
    NotFound,
    /// The bytes end within a box.
    #[error("the segment index is cut off")]
    Truncated,
    /// A version other than 0 and 1.
    #[error("segment index of version {version}")]
    UnknownVersion {
        /// The version.
        version: u8,
    },
    /// The timescale is zero, a reference is empty, or an offset is beyond 64 bits.
    #[error("the segment index makes no sense")]
    Invalid,
    /// There are more references than [`MAX_INDEX_ENTRIES`].
    #[error("too many entries in a segment index")]
    TooMany,
}

/// Reads the first `sidx` box in `bytes`, which lie at `first_offset` in their resource. Boxes in
/// front of it are passed over. Indexes that it refers to are read with it where they are among
/// the bytes.
///
/// # Errors
///
/// When there is none, or it cannot be used.
pub fn parse_sidx(bytes: &[u8], first_offset: u64) -> Result<SegmentIndex, SidxError> {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let header = Header::read(rest)?;
        if header.kind == *b"sidx" {
            let mut reader = Reader {
                bytes,
                first_offset,
                read: 0,
                entries: Vec::new(),
            };
            reader.index(at, 1)?;
            return Ok(SegmentIndex {
                entries: reader.entries,
            });
        }
        // Whatever follows in a box that ends with the resource is no index.
        let len = header.len.ok_or(SidxError::NotFound)?;
        at = usize::try_from(len)
            .ok()
            .and_then(|len| at.checked_add(len))
            .ok_or(SidxError::NotFound)?;
    }
    Err(SidxError::NotFound)
}

struct Reader<'a> {
    bytes: &'a [u8],
    first_offset: u64,
    /// References read so far.
    read: usize,
    entries: Vec<IndexEntry>,
}

impl Reader<'_> {
    /// Reads the box that begins `at`.
    fn index(&mut self, at: usize, depth: usize) -> Result<(), SidxError> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let header = Header::read(rest)?;
        let available = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let len = header.len.unwrap_or(available);
        if header.kind != *b"sidx" {
            return Err(SidxError::NotFound);
        }
        let body = usize::try_from(len)
            .ok()
            .and_then(|len| rest.get(header.size..len));
        let mut body = Bytes(body.ok_or(SidxError::Truncated)?);
        let [version, ..] = body.take::<4>()?;
        body.take::<4>()?;
        let timescale = body.u32()?;
        let (mut time, offset) = match version {
            0 => (u64::from(body.u32()?), u64::from(body.u32()?)),
            1 => (body.u64()?, body.u64()?),
            _ => return Err(SidxError::UnknownVersion { version }),
        };
        body.take::<2>()?;
        let count = u16::from_be_bytes(body.take()?);
        if timescale == 0 {
            return Err(SidxError::Invalid);
        }
        // References count from the first byte behind the box.
        let start = u64::try_from(at).ok().and_then(|at| at.checked_add(len));
        let start = start.and_then(|end| end.checked_add(offset)?.checked_add(self.first_offset));
        let mut start = start.ok_or(SidxError::Invalid)?;
        for _ in 0..count {
            let reference = body.u32()?;
            let duration = u64::from(body.u32()?);
            let sap = body.u32()?;
            let end = start.checked_add(u64::from(reference & 0x7FFF_FFFF));
            let end = end.filter(|end| *end > start).ok_or(SidxError::Invalid)?;
            let entry = IndexEntry {
                target: if reference >> 31 == 1 {
                    IndexTarget::Index
                } else {
                    IndexTarget::Segment
                },
                range: ByteRange::new(start, end),
                time,
                duration,
                timescale,
                starts_with_sap: sap >> 31 == 1,
            };
            self.entry(entry, depth)?;
            start = end;
            time = time.checked_add(duration).ok_or(SidxError::Invalid)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: IndexEntry, depth: usize) -> Result<(), SidxError> {
        self.read += 1;
        if self.read > MAX_INDEX_ENTRIES {
            return Err(SidxError::TooMany);
        }
        let nested = match entry.target {
            IndexTarget::Index if depth < MAX_INDEX_DEPTH => self.position(entry.range),
            _ => None,
        };
        match nested {
            Some(at) => self.index(at, depth + 1),
            None => {
                self.entries.push(entry);
                Ok(())
            }
        }
    }

    /// Where these bytes begin among those given, if they are all there.
    fn position(&self, range: ByteRange) -> Option<usize> {
        let at = |offset: u64| usize::try_from(offset.checked_sub(self.first_offset)?).ok();
        let (start, end) = (at(range.start)?, at(range.end)?);
        self.bytes.get(start..end).map(|_| start)
    }
}

struct Header {
    kind: [u8; 4],
    /// Bytes of the box; `None` for all that follow.
    len: Option<u64>,
    /// Bytes of the header itself.
    size: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, SidxError> {
        let mut rest = Bytes(bytes);
        let len = u64::from(rest.u32()?);
        let kind = rest.take()?;
        let (len, size) = match len {
            0 => (None, 8),
            1 => (Some(rest.u64()?), 16),
            len => (Some(len), 8),
        };
        if len.is_some_and(|len| len < u64::try_from(size).unwrap_or(u64::MAX)) {
            return Err(SidxError::Invalid);
        }
        Ok(Self { kind, len, size })
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SidxError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SidxError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, SidxError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, SidxError> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDEX: u32 = 1 << 31;
    const SAP: u32 = 1 << 31;

    fn word(len: usize) -> u32 {
        u32::try_from(len).unwrap()
    }

    /// A box of version 0: timescale 1000, from tick 5000.
    fn sidx(first_offset: u32, references: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let len = 8 + 4 + 8 + 8 + 4 + 12 * references.len();
        bytes.extend(word(len).to_be_bytes());
        bytes.extend(b"sidx\0\0\0\0\0\0\0\x01");
        for word in [1_000, 5_000, first_offset, word(references.len())] {
            bytes.extend(word.to_be_bytes());
        }
        for (size, duration, sap) in references {
            bytes.extend(
                [*size, *duration, *sap]
                    .iter()
                    .flat_map(|word| word.to_be_bytes()),
            );
        }
        bytes
    }

    fn ranges(index: &SegmentIndex) -> Vec<(u64, u64)> {
        index
            .entries
            .iter()
            .map(|entry| (entry.range.start, entry.range.end))
            .collect()
    }

    #[test]
    fn references_count_from_the_end_of_the_box() {
        let bytes = sidx(10, &[(100, 2_000, SAP), (50, 1_000, 0)]);
        let len = bytes.len() as u64;
        let index = parse_sidx(&bytes, 700).unwrap();
        assert_eq!(
            ranges(&index),
            [(710 + len, 810 + len), (810 + len, 860 + len)]
        );
        let first = index.entries[0];
        assert_eq!(
            (first.time, first.duration, first.timescale),
            (5_000, 2_000, 1_000)
        );
        assert_eq!(index.entries[1].time, 7_000);
        assert!(first.starts_with_sap && !index.entries[1].starts_with_sap);
    }

    #[test]
    fn boxes_in_front_are_passed_over() {
        let mut bytes = b"\0\0\0\x0Cstyp\0\0\0\0\0\0\0\x01free\0\0\0\0\0\0\0\x10".to_vec();
        let alone = parse_sidx(&sidx(0, &[(7, 1, 0)]), 28).unwrap();
        bytes.extend(sidx(0, &[(7, 1, 0)]));
        assert_eq!(parse_sidx(&bytes, 0).unwrap(), alone);
    }

    #[test]
    fn version_1_and_large_sizes_have_64_bits() {
        let mut bytes = b"\0\0\0\x01sidx".to_vec();
        bytes.extend(60u64.to_be_bytes());
        bytes.extend(b"\x01\0\0\0\0\0\0\x01\0\0\x03\xE8");
        bytes.extend((1u64 << 40).to_be_bytes());
        bytes.extend((1u64 << 33).to_be_bytes());
        bytes.extend(b"\0\0\0\x01\0\0\0\x05\0\0\0\x02\x80\0\0\0");
        assert_eq!(bytes.len(), 60);
        let index = parse_sidx(&bytes, 0).unwrap();
        assert_eq!(ranges(&index), [((1 << 33) + 60, (1 << 33) + 65)]);
        assert_eq!(index.entries[0].time, 1 << 40);
    }

    #[test]
    fn nested_indexes_are_read_where_they_are_at_hand() {
        let inner = sidx(0, &[(30, 500, SAP), (40, 500, SAP)]);
        let len = word(inner.len());
        // Two indexes behind each other; their segments come after both, and the second is absent.
        let mut bytes = sidx(0, &[(INDEX | len, 1_000, 0), (INDEX | len, 1_000, 0)]);
        let outer = bytes.len() as u64;
        bytes.extend(&inner);
        let index = parse_sidx(&bytes, 0).unwrap();
        let first = outer + u64::from(len);
        assert_eq!(
            ranges(&index),
            [
                (first, first + 30),
                (first + 30, first + 70),
                (first, first + u64::from(len)),
            ]
        );
        assert_eq!(index.entries[2].target, IndexTarget::Index);
        assert_eq!(index.entries[2].time, 6_000);
    }

    #[test]
    fn indexes_within_indexes_are_bounded() {
        // Each box refers to the next one as a whole.
        let mut chain = sidx(0, &[(9, 1, 0)]);
        for _ in 0..10 {
            let mut outer = sidx(0, &[(INDEX | word(chain.len()), 1, 0)]);
            outer.extend(&chain);
            chain = outer;
        }
        let index = parse_sidx(&chain, 0).unwrap();
        assert_eq!(index.entries.len(), 1);
        assert_eq!(index.entries[0].target, IndexTarget::Index);
    }

    #[test]
    fn entries_are_bounded_however_indexes_fold() {
        // 60,000 segments, referred to again and again from three levels above.
        let leaf = sidx(0, &vec![(1, 1, 0); 60_000]);
        let mut bytes = sidx(0, &[(INDEX | word(leaf.len()), 1, 0)]);
        bytes.extend(&leaf);
        assert_eq!(parse_sidx(&bytes, 0).unwrap().entries.len(), 60_000);
        let mut fold = Vec::new();
        for at in 0..4u32 {
            // All four of these boxes skip to the same leaf.
            let skip = (3 - at) * 44;
            fold.extend(sidx(skip, &[(INDEX | word(leaf.len()), 1, 0)]));
        }
        let mut bytes = sidx(0, &[(INDEX | 44, 1, 0); 4]);
        bytes.extend(&fold);
        bytes.extend(&leaf);
        assert_eq!(parse_sidx(&bytes, 0), Err(SidxError::TooMany));
    }

    #[test]
    fn nonsense_is_refused() {
        let good = sidx(0, &[(7, 1, 0)]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            parse_sidx(&bytes, 0)
        };
        assert_eq!(with(8, 2), Err(SidxError::UnknownVersion { version: 2 }));
        assert_eq!(with(3, 255), Err(SidxError::Truncated));
        assert_eq!(with(31, 2), Err(SidxError::Truncated));
        assert_eq!(with(3, 7), Err(SidxError::Invalid));
        assert_eq!(parse_sidx(b"", 0), Err(SidxError::NotFound));
        assert_eq!(parse_sidx(b"\0\0\0\x08free", 0), Err(SidxError::NotFound));
        assert_eq!(parse_sidx(b"\0\0\0\0mdat", 0), Err(SidxError::NotFound));
        assert_eq!(
            parse_sidx(&sidx(0, &[(0, 1, 0)]), 0),
            Err(SidxError::Invalid)
        );
        assert_eq!(parse_sidx(&good, u64::MAX), Err(SidxError::Invalid));
        for len in 1..good.len() {
            assert_eq!(
                parse_sidx(&good[..len], 0),
                Err(SidxError::Truncated),
                "{len}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_index_or_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            has_header in any::<bool>(),
            offset in any::<u64>(),
        ) {
            if has_header && bytes.len() >= 12 {
                bytes[..12].copy_from_slice(b"\0\0\0\0sidx\0\0\0\0");
            }
            let _ = parse_sidx(&bytes, offset);
        }
    }
}
