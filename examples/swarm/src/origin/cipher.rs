//! AES-128 as HLS uses it (RFC 8216 section 4.3.2.4): whole segments in CBC mode, PKCS #7 padding.

use std::sync::OnceLock;

use aes::Aes128;
use bytes::Bytes;
use cbc::{
    Decryptor, Encryptor,
    cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7},
};

use crate::media::{LOOP_LEN, RENDITIONS, Rendition};

/// The encrypted copy of a segment, made when it is first asked for.
pub(super) fn encrypted_segment(rendition: Rendition, sequence: u64) -> Bytes {
    let place = RENDITIONS.iter().position(|one| one.name == rendition.name);
    let place = place.expect("every rendition is listed");
    let index = usize::try_from(sequence % LOOP_LEN).expect("below the loop's length");
    let encrypt = || {
        let cipher = Encryptor::<Aes128>::new(&KEY.into(), &IV.into());
        let plain = rendition.segment(sequence);
        Bytes::from(cipher.encrypt_padded_vec::<Pkcs7>(&plain))
    };
    ENCRYPTED[place][index].get_or_init(encrypt).clone()
}

/// By rendition, then by place in the loop.
static ENCRYPTED: [[OnceLock<Bytes>; LOOP_LEN as usize]; RENDITIONS.len()] =
    [const { [const { OnceLock::new() }; LOOP_LEN as usize] }; RENDITIONS.len()];

/// Decrypts a whole segment; `None` when the padding shows that key or bytes are wrong.
pub(crate) fn decrypt(segment: &[u8], key: &[u8; 16], iv: &[u8; 16]) -> Option<Vec<u8>> {
    let cipher = Decryptor::<Aes128>::new(key.into(), iv.into());
    cipher.decrypt_padded_vec::<Pkcs7>(segment).ok()
}

/// The development key. It protects nothing: it gives tests something to look for.
pub(super) const KEY: [u8; 16] = *b"p2pcdn-swarm-key";

/// One initialisation vector for all segments, stated in the playlist.
pub(super) const IV: [u8; 16] = *b"p2pcdn-swarm-iv.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_nist_vector() {
        // SP 800-38A, F.2.1: the first block of CBC-AES128.
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3cu128.to_be_bytes();
        let iv = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0fu128.to_be_bytes();
        let plain = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172au128.to_be_bytes();
        let cipher = Encryptor::<Aes128>::new(&key.into(), &iv.into());
        let encrypted = cipher.encrypt_padded_vec::<Pkcs7>(&plain);
        let expected = 0x7649_abac_8119_b246_cee9_8e9b_12e9_197du128.to_be_bytes();
        assert_eq!(encrypted[..16], expected);
        assert_eq!(decrypt(&encrypted, &key, &iv).unwrap(), plain);
    }

    #[test]
    fn what_is_encrypted_comes_back_with_the_key_only() {
        let encrypted = encrypted_segment(RENDITIONS[0], LOOP_LEN + 1);
        let plain = RENDITIONS[0].segment(1);
        assert_eq!(decrypt(&encrypted, &KEY, &IV).unwrap(), plain);
        assert_ne!(decrypt(&encrypted, &[0; 16], &IV), Some(plain.to_vec()));
        assert_eq!(decrypt(&encrypted[1..], &KEY, &IV), None);
    }
}
