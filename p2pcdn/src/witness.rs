//! Witnessed block maps: what fetchers sign of the bytes that they read over HTTP themselves, where
//! no publisher signs any.
//!
//! One encoding carries one content and all who are known to vouch for it; integers big-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | format, 2 |
//! | 1 | 16 | id of the segment |
//! | 17 | 8 | its length in bytes |
//! | 25 | 32 n | BLAKE3 hash of each block, in order |
//! | 25 + 32 n | 104 k | attestations, k = 1 to 4, no witness twice |
//!
//! An attestation is the witness's public Ed25519 key (32 bytes), the network that it says it is
//! in (8, zero: not said) and a signature (64) over the 16 ASCII bytes `p2pcdn/witness/1`, the
//! BLAKE3 hash of everything before the attestations, and the network. Everything before the
//! attestations is the *body*.

use bytes::Bytes;
use p2pcdn_wire::{SegmentId, WitnessKey};

use crate::{
    block_map::{MapError, SignedMap},
    keys::{PublicKey, SIGNATURE_LEN, SigningKey},
    network::Network,
};

/// One witness's word that a segment has these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Who gives it.
    pub witness: WitnessKey,
    /// The network that the witness says it is in; `None` when it does not say.
    pub network: Option<Network>,
    signature: [u8; SIGNATURE_LEN],
}

impl Attestation {
    /// Vouches for the content with this digest.
    pub(crate) fn sign(digest: &Digest, network: Option<Network>, key: &SigningKey) -> Self {
        Self {
            witness: WitnessKey::new(*key.public_key().as_bytes()),
            network,
            signature: key.sign(&signed(digest, network)),
        }
    }

    /// Whether the witness really gave it.
    pub(crate) fn is_genuine(&self, digest: &Digest) -> bool {
        PublicKey::from_bytes(*self.witness.as_bytes())
            .is_ok_and(|key| key.is_signed(&signed(digest, self.network), &self.signature))
    }
}

/// The hash of a body.
pub(crate) type Digest = [u8; 32];

/// A block map with those who vouch for it. Nothing of it is verified by reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedMap {
    body: Bytes,
    segment: SegmentId,
    attestations: Vec<Attestation>,
}

impl WitnessedMap {
    /// The map with this body, signed by one witness.
    ///
    /// # Errors
    ///
    /// [`MapError::Format`], [`MapError::Length`] and [`MapError::SegmentTooLong`] when `body` is
    /// none.
    pub fn sign(
        body: &Bytes,
        network: Option<Network>,
        key: &SigningKey,
    ) -> Result<Self, MapError> {
        let segment = SignedMap::trusted(body)?.segment();
        Ok(Self {
            body: body.clone(),
            segment,
            attestations: vec![Attestation::sign(&digest(body), network, key)],
        })
    }

    /// A map put together of what was read before; at most [`MAX_ATTESTATIONS`] are kept.
    pub(crate) fn of(body: &Bytes, segment: SegmentId, attestations: &[Attestation]) -> Self {
        let kept = attestations.iter().take(MAX_ATTESTATIONS);
        Self {
            body: body.clone(),
            segment,
            attestations: kept.copied().collect(),
        }
    }

    /// Reads an encoded map; signatures are not looked at.
    ///
    /// # Errors
    ///
    /// [`MapError::Format`], [`MapError::Length`] and [`MapError::SegmentTooLong`].
    pub fn read(encoded: &Bytes) -> Result<Self, MapError> {
        let (segment, body_len) = SignedMap::read_body(encoded)?;
        let rest = encoded.len().saturating_sub(body_len);
        let count = rest / ATTESTATION_LEN;
        let is_whole = count * ATTESTATION_LEN == rest && encoded.len() >= body_len;
        if !is_whole || !(1..=MAX_ATTESTATIONS).contains(&count) {
            return Err(MapError::Length {
                len: encoded.len(),
                expected: body_len + ATTESTATION_LEN,
            });
        }
        let mut attestations: Vec<Attestation> = Vec::with_capacity(count);
        let parts = encoded.iter().as_slice().get(body_len..).unwrap_or(&[]);
        for part in parts.chunks_exact(ATTESTATION_LEN) {
            let one = attestation(part).expect("a chunk of this length holds the three fields");
            if attestations.iter().all(|it| it.witness != one.witness) {
                attestations.push(one);
            }
        }
        Ok(Self {
            body: encoded.slice(..body_len),
            segment,
            attestations,
        })
    }

    /// The encoding.
    #[must_use]
    pub fn encoded(&self) -> Bytes {
        let mut encoded = self.body.to_vec();
        for one in &self.attestations {
            encoded.extend_from_slice(one.witness.as_bytes());
            encoded.extend_from_slice(&encoded_network(one.network));
            encoded.extend_from_slice(&one.signature);
        }
        encoded.into()
    }

    /// Everything before the attestations.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Who vouches for it, as it says.
    #[must_use]
    pub fn attestations(&self) -> &[Attestation] {
        &self.attestations
    }
}

/// The hash of a body, which is what is signed.
pub(crate) fn digest(body: &Bytes) -> Digest {
    *blake3::hash(body).as_bytes()
}

fn signed(digest: &Digest, network: Option<Network>) -> Vec<u8> {
    [DOMAIN, &digest[..], &encoded_network(network)].concat()
}

fn encoded_network(network: Option<Network>) -> [u8; NETWORK_LEN] {
    network.map_or(0, Network::number).to_be_bytes()
}

fn attestation(part: &[u8]) -> Option<Attestation> {
    let (witness, rest) = part.split_first_chunk::<{ WitnessKey::LEN }>()?;
    let (network, rest) = rest.split_first_chunk::<NETWORK_LEN>()?;
    Some(Attestation {
        witness: WitnessKey::new(*witness),
        network: Some(Network::new(u64::from_be_bytes(*network))).filter(|it| it.number() != 0),
        signature: *rest.first_chunk::<SIGNATURE_LEN>()?,
    })
}

/// What these signatures are made for; in front of what is signed.
const DOMAIN: &[u8] = b"p2pcdn/witness/1";

/// Bytes of an attestation.
const ATTESTATION_LEN: usize = WitnessKey::LEN + NETWORK_LEN + SIGNATURE_LEN;

/// Bytes of a network's number in it.
const NETWORK_LEN: usize = 8;

/// Witnesses of one content that are kept and handed on: twice as many as are needed by default.
pub const MAX_ATTESTATIONS: usize = 4;

// A map of the longest segment with all its attestations travels in one message.
const _: () = assert!(
    25 + 32 * p2pcdn_wire::MAX_BLOCKS as usize + MAX_ATTESTATIONS * ATTESTATION_LEN
        <= p2pcdn_wire::MAX_MESSAGE_LEN - 64
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block_map::BlockMap;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_random([number; 32])
    }

    fn body(fill: u8) -> Bytes {
        let map = BlockMap::of(SegmentId::new([0xa5; 16]), &[fill; 20_000]).unwrap();
        map.body()
    }

    #[test]
    fn the_encoding_is_laid_out_as_documented() {
        let map = WitnessedMap::sign(&body(7), Some(Network::new(0x0102_0304)), &key(1)).unwrap();
        let encoded = map.encoded();
        // Two blocks: 25 + 2 x 32 + 104.
        assert_eq!(encoded.len(), 193);
        assert_eq!(encoded[0], 2);
        assert_eq!(encoded[1..17], [0xa5; 16]);
        assert_eq!(encoded[17..25], 20_000u64.to_be_bytes());
        assert_eq!(encoded[25..57], *blake3::hash(&[7; 16_384]).as_bytes());
        assert_eq!(encoded[89..121], *key(1).public_key().as_bytes());
        assert_eq!(encoded[121..129], [0, 0, 0, 0, 1, 2, 3, 4]);
        let message = [
            b"p2pcdn/witness/1",
            &blake3::hash(&encoded[..89]).as_bytes()[..],
            &[0, 0, 0, 0, 1, 2, 3, 4],
        ]
        .concat();
        assert_eq!(encoded[129..], key(1).sign(&message));
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let encoded = WitnessedMap::sign(&body(7), Some(Network::new(9)), &key(1))
            .unwrap()
            .encoded();
        for at in 0..encoded.len() {
            let mut tampered = encoded.to_vec();
            tampered[at] ^= 0x01;
            let holds = WitnessedMap::read(&tampered.into()).is_ok_and(|map| {
                let digest = digest(map.body());
                map.attestations().iter().all(|it| it.is_genuine(&digest))
            });
            assert!(!holds, "byte {at}");
        }
    }

    #[test]
    fn four_attestations_are_read_and_a_fifth_is_refused() {
        let one = WitnessedMap::sign(&body(7), Some(Network::new(1)), &key(1)).unwrap();
        let mut encoded = one.body().to_vec();
        for number in 1..=5 {
            let next = WitnessedMap::sign(&body(7), Some(Network::new(1)), &key(number)).unwrap();
            encoded.extend_from_slice(&next.encoded()[89..]);
            let read = WitnessedMap::read(&encoded.clone().into());
            match number {
                5 => assert!(matches!(read, Err(MapError::Length { len: 609, .. }))),
                _ => assert_eq!(read.unwrap().attestations().len(), usize::from(number)),
            }
        }
    }

    #[test]
    fn a_witness_counts_once() {
        let one = WitnessedMap::sign(&body(7), Some(Network::new(1)), &key(1)).unwrap();
        let twice = [&one.encoded()[..], &one.encoded()[89..]].concat();
        let read = WitnessedMap::read(&twice.into()).unwrap();
        assert_eq!(read.attestations().len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut with_format = bytes.clone();
            if let Some(first) = with_format.first_mut() {
                *first = 2;
            }
            for bytes in [bytes, with_format] {
                if let Ok(map) = WitnessedMap::read(&Bytes::from(bytes)) {
                    prop_assert!(map.attestations().iter().all(|it| !it.is_genuine(&digest(map.body()))));
                }
            }
        }
    }
}
