//! Block maps: the publisher's commitment to the bytes of one segment, which travels ahead of
//! them.
//!
//! The encoding, all integers big-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | format, 1 |
//! | 1 | 16 | id of the segment |
//! | 17 | 8 | its length in bytes, at most 2,016 x 16,384 |
//! | 25 | 32 n | BLAKE3 hash of each block, in order; n = length / 16,384, rounded up |
//! | 25 + 32 n | 64 | Ed25519 signature |
//!
//! The signature is over the 12 ASCII bytes `p2pcdn/map/1` followed by everything before it, so
//! that it can never be taken for a signature made for another purpose. Every field has one
//! encoding and nothing may follow, so two different encodings are two different maps.

use bytes::Bytes;
use p2pcdn_wire::{
    BLOCK_LEN, BlockHash, BlockRange, MAX_BLOCKS, MAX_MESSAGE_LEN, SegmentId, SegmentRef,
    block_count,
};
use thiserror::Error;

use crate::keys::{PublicKey, SIGNATURE_LEN, SigningKey};

/// The hashes of a segment's blocks, not yet signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    segment: SegmentId,
    segment_len: u64,
    hashes: Vec<BlockHash>,
}

impl BlockMap {
    /// The map of the segment with these bytes.
    ///
    /// # Errors
    ///
    /// [`MapError::SegmentTooLong`] above [`MAX_BLOCKS`] blocks.
    pub fn of(segment: SegmentId, bytes: &[u8]) -> Result<Self, MapError> {
        let segment_len = bytes.len() as u64;
        check_len(segment_len)?;
        let hashes = bytes.chunks(BLOCK_SIZE).map(hash).collect();
        Ok(Self {
            segment,
            segment_len,
            hashes,
        })
    }

    /// The map of a segment that consists of these blocks.
    pub(crate) fn of_blocks(segment: SegmentId, blocks: &[Bytes]) -> Result<Self, MapError> {
        let segment_len = blocks.iter().map(|block| block.len() as u64).sum();
        check_len(segment_len)?;
        let hashes = blocks.iter().map(|block| hash(block)).collect();
        Ok(Self {
            segment,
            segment_len,
            hashes,
        })
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> SignedMap {
        let mut message = Vec::with_capacity(DOMAIN.len() + encoded_len(self.hashes.len()));
        message.extend_from_slice(DOMAIN);
        message.push(FORMAT);
        message.extend_from_slice(self.segment.as_bytes());
        message.extend_from_slice(&self.segment_len.to_be_bytes());
        for hash in &self.hashes {
            message.extend_from_slice(hash.as_bytes());
        }
        let signature = key.sign(&message);
        message.extend_from_slice(&signature);
        SignedMap {
            encoded: Bytes::from(message).slice(DOMAIN.len()..),
            segment: self.segment,
            segment_len: self.segment_len,
        }
    }

    /// What a witness signs of it: see [`WitnessedMap`](crate::WitnessedMap).
    #[must_use]
    pub fn body(&self) -> Bytes {
        let mut body = Vec::with_capacity(encoded_len(self.hashes.len()));
        body.push(WITNESSED_FORMAT);
        body.extend_from_slice(self.segment.as_bytes());
        body.extend_from_slice(&self.segment_len.to_be_bytes());
        for hash in &self.hashes {
            body.extend_from_slice(hash.as_bytes());
        }
        body.into()
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Its length in bytes.
    #[must_use]
    pub fn segment_len(&self) -> u64 {
        self.segment_len
    }

    /// The hash of each block, in order.
    #[must_use]
    pub fn hashes(&self) -> &[BlockHash] {
        &self.hashes
    }
}

/// A block map whose signature was checked, kept in its encoding: it proves itself, so anybody may
/// hand it on as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedMap {
    encoded: Bytes,
    segment: SegmentId,
    segment_len: u64,
}

impl SignedMap {
    /// Reads and checks an encoded map. `keys` are the pinned keys of the publisher, of which one
    /// must have signed it.
    ///
    /// # Errors
    ///
    /// Every [`MapError`] but [`OtherSegment`](MapError::OtherSegment) and
    /// [`Conflict`](MapError::Conflict).
    pub fn verify(encoded: &Bytes, keys: &[PublicKey]) -> Result<Self, MapError> {
        if keys.is_empty() {
            return Err(MapError::NoKey);
        }
        let (head, _) = encoded
            .split_first_chunk::<HEAD_LEN>()
            .ok_or(MapError::Length {
                len: encoded.len(),
                expected: encoded_len(0),
            })?;
        let [format, rest @ ..] = *head;
        if format != FORMAT {
            return Err(MapError::Format(format));
        }
        let (segment, segment_len) = rest
            .split_first_chunk::<{ SegmentId::LEN }>()
            .and_then(|(id, len)| Some((*id, u64::from_be_bytes(*len.first_chunk()?))))
            .expect("a head is a format, an id and a length");
        check_len(segment_len)?;
        let expected = encoded_len(block_count(segment_len) as usize);
        let (body, signature) = encoded
            .split_last_chunk::<SIGNATURE_LEN>()
            .filter(|_| encoded.len() == expected)
            .ok_or(MapError::Length {
                len: encoded.len(),
                expected,
            })?;
        let message = [DOMAIN, body].concat();
        if !keys.iter().any(|key| key.is_signed(&message, signature)) {
            return Err(MapError::Signature);
        }
        Ok(Self {
            encoded: encoded.clone(),
            segment: SegmentId::new(segment),
            segment_len,
        })
    }

    /// The map with this body, which whoever calls has reason to trust.
    pub(crate) fn trusted(body: &Bytes) -> Result<Self, MapError> {
        let (segment, segment_len, body_len) = Self::read_witnessed(body)?;
        if body.len() != body_len {
            return Err(MapError::Length {
                len: body.len(),
                expected: body_len,
            });
        }
        Ok(Self {
            encoded: body.clone(),
            segment,
            segment_len,
        })
    }

    /// The segment of a witnessed map, and how long its body is, whatever follows.
    pub(crate) fn read_body(encoded: &Bytes) -> Result<(SegmentId, usize), MapError> {
        let (segment, _, body_len) = Self::read_witnessed(encoded)?;
        Ok((segment, body_len))
    }

    /// Segment, its length, and the length of the body.
    fn read_witnessed(encoded: &Bytes) -> Result<(SegmentId, u64, usize), MapError> {
        let (head, _) = encoded
            .split_first_chunk::<HEAD_LEN>()
            .ok_or(MapError::Length {
                len: encoded.len(),
                expected: HEAD_LEN,
            })?;
        let [format, rest @ ..] = *head;
        if format != WITNESSED_FORMAT {
            return Err(MapError::Format(format));
        }
        let (segment, segment_len) = rest
            .split_first_chunk::<{ SegmentId::LEN }>()
            .and_then(|(id, len)| Some((*id, u64::from_be_bytes(*len.first_chunk()?))))
            .expect("a head is a format, an id and a length");
        check_len(segment_len)?;
        let body_len = HEAD_LEN + block_count(segment_len) as usize * BlockHash::LEN;
        Ok((SegmentId::new(segment), segment_len, body_len))
    }

    /// The encoding.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Its length in bytes.
    #[must_use]
    pub fn segment_len(&self) -> u64 {
        self.segment_len
    }

    /// How many blocks it has.
    #[must_use]
    pub fn block_count(&self) -> u32 {
        block_count(self.segment_len)
    }

    /// The hash of `block`; `None` when the segment ends before it.
    #[must_use]
    pub fn block_hash(&self, block: u32) -> Option<BlockHash> {
        let at =
            HEAD_LEN + (block < self.block_count()).then_some(block)? as usize * BlockHash::LEN;
        self.encoded
            .get(at..)?
            .first_chunk()
            .copied()
            .map(BlockHash::new)
    }

    /// Whether `bytes` are those of `block`.
    #[must_use]
    pub fn matches(&self, block: u32, bytes: &[u8]) -> bool {
        let expected_len = BlockRange::new(block, block.saturating_add(1))
            .bytes(self.segment_len)
            .len();
        // Hashing what cannot match would be work for whoever sends it.
        bytes.len() as u64 == expected_len && self.block_hash(block) == Some(hash(bytes))
    }
}

impl std::fmt::Debug for SignedMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            segment,
            segment_len,
            ..
        } = self;
        write!(f, "SignedMap({segment}, {segment_len} bytes)")
    }
}

/// Why a block map is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MapError {
    /// No publisher's key is pinned, so nothing can be verified.
    #[error("no publisher's key is configured")]
    NoKey,
    /// It is in a format that this version does not know.
    #[error("block map format {0} is unknown")]
    Format(u8),
    /// The segment has more blocks than a map can list.
    #[error("a segment of {segment_len} bytes is longer than {limit}", limit = MAX_SEGMENT_LEN)]
    SegmentTooLong {
        /// The segment's length in bytes.
        segment_len: u64,
    },
    /// The encoding has another length than the segment's length asks for.
    #[error("the block map has {len} bytes, its content asks for {expected}")]
    Length {
        /// Bytes there are.
        len: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// None of the pinned keys signed it.
    #[error("no pinned key signed the block map")]
    Signature,
    /// The witness says that it is in another network than it is seen in.
    #[error("the witness is not in the network that it says")]
    Network,
    /// It is the map of another segment.
    #[error("the block map is of segment {found}, not of {segment}")]
    OtherSegment {
        /// The segment it was given for.
        segment: SegmentRef,
        /// The segment it is of.
        found: SegmentId,
    },
    /// A different map of the same segment, just as well signed, came first; that one stays.
    #[error("the publisher signed two different block maps for {segment}")]
    Conflict {
        /// The segment.
        segment: SegmentRef,
    },
}

fn check_len(segment_len: u64) -> Result<(), MapError> {
    if segment_len > MAX_SEGMENT_LEN {
        return Err(MapError::SegmentTooLong { segment_len });
    }
    Ok(())
}

fn hash(block: &[u8]) -> BlockHash {
    BlockHash::new(*blake3::hash(block).as_bytes())
}

const fn encoded_len(blocks: usize) -> usize {
    HEAD_LEN + blocks * BlockHash::LEN + SIGNATURE_LEN
}

const FORMAT: u8 = 1;

/// Of maps that witnesses sign, whose encoding goes on differently after the hashes.
const WITNESSED_FORMAT: u8 = 2;

/// What a signature of a map is made for; in front of what is signed.
const DOMAIN: &[u8] = b"p2pcdn/map/1";

/// Bytes before the hashes: format, segment, length.
const HEAD_LEN: usize = 1 + SegmentId::LEN + size_of::<u64>();

/// Bytes of the longest segment that a map can describe.
const MAX_SEGMENT_LEN: u64 = MAX_BLOCKS as u64 * BLOCK_LEN;

/// [`BLOCK_LEN`] as a size in memory.
const BLOCK_SIZE: usize = 16_384;

const _: () = assert!(BLOCK_SIZE as u64 == BLOCK_LEN);

// A map travels as the payload of one message, whose own fields take some tens of bytes.
const _: () = assert!(encoded_len(MAX_BLOCKS as usize) <= MAX_MESSAGE_LEN - 64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_random([number; 32])
    }

    fn id() -> SegmentId {
        SegmentId::new([0xa5; 16])
    }

    #[test]
    fn a_block_is_hashed_as_the_official_vectors_of_blake3_say() {
        // test_vectors.json of the BLAKE3 project: input byte i is i mod 251.
        let input: Vec<u8> = (0..=250).cycle().take(16_384).collect();
        let cases = [
            (
                1,
                "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            ),
            (
                1_024,
                "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            ),
            (
                16_384,
                "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4",
            ),
        ];
        for (len, expected) in cases {
            let map = BlockMap::of(id(), &input[..len]).unwrap();
            assert_eq!(map.hashes().len(), 1);
            assert_eq!(map.hashes()[0].to_string(), expected, "{len} bytes");
        }
    }

    #[test]
    fn the_encoding_is_laid_out_as_documented() {
        let bytes = vec![7; 16_385];
        let map = BlockMap::of(id(), &bytes).unwrap();
        let signed = map.sign(&key(1));
        let encoded = signed.encoded();
        assert_eq!(encoded.len(), 25 + 2 * 32 + 64);
        assert_eq!(encoded[0], 1);
        assert_eq!(encoded[1..17], [0xa5; 16]);
        assert_eq!(encoded[17..25], [0, 0, 0, 0, 0, 0, 0x40, 0x01]);
        assert_eq!(encoded[25..57], *blake3::hash(&bytes[..16_384]).as_bytes());
        assert_eq!(encoded[57..89], *blake3::hash(&[7]).as_bytes());
        let message = [b"p2pcdn/map/1", &encoded[..89]].concat();
        assert_eq!(encoded[89..], key(1).sign(&message));
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let signed = BlockMap::of(id(), &[7; 20_000]).unwrap().sign(&key(1));
        let keys = [key(1).public_key()];
        for at in 0..signed.encoded().len() {
            for flip in [0x01, 0x80] {
                let mut tampered = signed.encoded().to_vec();
                tampered[at] ^= flip;
                let result = SignedMap::verify(&tampered.into(), &keys);
                assert!(result.is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn a_cut_or_longer_encoding_is_refused() {
        let encoded = BlockMap::of(id(), &[7; 20_000]).unwrap().sign(&key(1));
        let encoded = encoded.encoded();
        let keys = [key(1).public_key()];
        for len in 0..encoded.len() {
            let result = SignedMap::verify(&encoded.slice(..len), &keys);
            assert!(
                matches!(result, Err(MapError::Length { len: found, .. }) if found == len),
                "{len}: {result:?}"
            );
        }
        let longer = [encoded, &[0][..]].concat();
        assert_eq!(
            SignedMap::verify(&longer.into(), &keys),
            Err(MapError::Length {
                len: 154,
                expected: 153
            })
        );
    }

    #[test]
    fn only_a_pinned_key_counts() {
        let signed = BlockMap::of(id(), b"segment").unwrap().sign(&key(1));
        let encoded = signed.encoded();
        let [one, two] = [key(1).public_key(), key(2).public_key()];
        assert_eq!(SignedMap::verify(encoded, &[]), Err(MapError::NoKey));
        assert_eq!(SignedMap::verify(encoded, &[two]), Err(MapError::Signature));
        assert_eq!(SignedMap::verify(encoded, &[two, one]), Ok(signed.clone()));
    }

    #[test]
    fn the_longest_segment_fits_and_one_byte_more_does_not() {
        let mut bytes = vec![0; 2_016 * 16_384];
        let signed = BlockMap::of(id(), &bytes).unwrap().sign(&key(1));
        assert_eq!(signed.block_count(), 2_016);
        assert!(signed.encoded().len() <= 65_535 - 64);
        assert!(SignedMap::verify(signed.encoded(), &[key(1).public_key()]).is_ok());

        bytes.push(0);
        let too_long = MapError::SegmentTooLong {
            segment_len: 33_030_145,
        };
        assert_eq!(BlockMap::of(id(), &bytes), Err(too_long));
        let mut encoded = signed.encoded().to_vec();
        encoded[17..25].copy_from_slice(&33_030_145u64.to_be_bytes());
        assert_eq!(
            SignedMap::verify(&encoded.into(), &[key(1).public_key()]),
            Err(too_long)
        );
    }

    #[test]
    fn an_empty_segment_has_no_blocks() {
        let signed = BlockMap::of(id(), b"").unwrap().sign(&key(1));
        assert_eq!((signed.segment_len(), signed.block_count()), (0, 0));
        assert_eq!(signed.block_hash(0), None);
        assert!(!signed.matches(0, b""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut with_format = bytes.clone();
            if let Some(first) = with_format.first_mut() {
                *first = 1;
            }
            for bytes in [bytes, with_format] {
                prop_assert!(SignedMap::verify(&bytes.into(), &[key(1).public_key()]).is_err());
            }
        }

        #[test]
        fn reading_what_was_signed_gives_the_same_map(len in 0usize..70_000, fill in any::<u8>()) {
            let bytes = vec![fill; len];
            let map = BlockMap::of(id(), &bytes).unwrap();
            let signed = map.sign(&key(1));
            let read = SignedMap::verify(signed.encoded(), &[key(1).public_key()]).unwrap();
            prop_assert_eq!(&read, &signed);
            prop_assert_eq!((read.segment(), read.segment_len()), (id(), len as u64));
            let hashes: Vec<_> = (0..read.block_count()).filter_map(|b| read.block_hash(b)).collect();
            prop_assert_eq!(&hashes[..], map.hashes());
            for (block, bytes) in (0u32..).zip(bytes.chunks(16_384)) {
                prop_assert!(read.matches(block, bytes));
                prop_assert!(!read.matches(block, &bytes[1..]));
            }
        }
    }
}
