//! The publisher's Ed25519 keys (RFC 8032) and their text form.

use std::{fmt, str::FromStr};

use ed25519_dalek::Signer as _;
use thiserror::Error;

/// A publisher's secret key, which signs block maps.
///
/// `Debug` shows the public key only, and there is no `Display`: the secret leaves this type
/// through [`to_hex`](Self::to_hex) alone.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key with this secret: 32 bytes that nobody can guess, from the operating system's
    /// random source.
    #[must_use]
    pub fn from_random(secret: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&secret))
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The secret as 64 hexadecimal digits, for the publisher's key file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        Hex(self.0.as_bytes()).to_string()
    }

    /// The signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    /// Reads what [`to_hex`](Self::to_hex) wrote; white space around it is allowed, since key
    /// files end in a line feed.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse_hex(text).map(Self::from_random)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public_key())
    }
}

/// A publisher's public key, pinned in the configuration of its viewers.
///
/// Written as 64 hexadecimal digits, the form that `Display` gives and `FromStr` reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAKey`] when they encode no point of the curve, or one of small order, under
    /// which anybody can make signatures.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        ed25519_dalek::VerifyingKey::from_bytes(&bytes)
            .ok()
            .filter(|key| !key.is_weak())
            .map(Self)
            .ok_or(KeyError::NotAKey)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// Strict, so that every viewer accepts the same signatures: RFC 8032 leaves implementations
    /// room to disagree on points of small order.
    pub(crate) fn is_signed(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse_hex(text).and_then(Self::from_bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Why a text or its bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text has another length than a key's.
    #[error("a key has 64 hexadecimal digits, this text has {len} characters")]
    Length {
        /// Its length in characters.
        len: usize,
    },
    /// The text has a character that is no hexadecimal digit.
    #[error("{found:?} at position {at} is not a hexadecimal digit")]
    Digit {
        /// Where, in characters from zero.
        at: usize,
        /// The character.
        found: char,
    },
    /// The bytes encode no usable point of the curve.
    #[error("these bytes are not an Ed25519 public key")]
    NotAKey,
}

struct Hex<'a>(&'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn parse_hex(text: &str) -> Result<[u8; 32], KeyError> {
    let text = text.trim();
    let len = text.chars().count();
    if len != 64 {
        return Err(KeyError::Length { len });
    }
    let mut bytes = [0; 32];
    for (at, found) in text.chars().enumerate() {
        let digit = found
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(KeyError::Digit { at, found })?;
        if let Some(byte) = bytes.get_mut(at / 2) {
            *byte = (*byte << 4) | digit;
        }
    }
    Ok(bytes)
}

/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8032 section 7.1, tests 1 to 3: secret key, public key, message, signature.
    const VECTORS: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn signs_and_verifies_the_vectors_of_rfc_8032() {
        for [secret, public, message, signature] in VECTORS {
            let key: SigningKey = secret.parse().unwrap();
            assert_eq!(key.public_key().to_string(), public);
            assert_eq!(key.to_hex(), secret);
            let (message, signature) = (bytes(message), bytes(signature));
            assert_eq!(key.sign(&message)[..], signature[..]);
            let public: PublicKey = public.parse().unwrap();
            let signature: [u8; SIGNATURE_LEN] = signature.try_into().unwrap();
            assert!(public.is_signed(&message, &signature));
            assert!(!public.is_signed(b"another message", &signature));
        }
    }

    #[test]
    fn a_text_that_is_no_key_says_where_it_goes_wrong() {
        let text = VECTORS[0][1];
        assert_eq!(
            text[1..].parse::<PublicKey>(),
            Err(KeyError::Length { len: 63 })
        );
        assert_eq!(
            format!("{}é{}", &text[..5], &text[6..]).parse::<PublicKey>(),
            Err(KeyError::Digit { at: 5, found: 'é' })
        );
        assert_eq!(
            format!(" {text}\n")
                .parse::<PublicKey>()
                .unwrap()
                .to_string(),
            text
        );
    }

    #[test]
    fn keys_under_which_anybody_can_sign_are_refused() {
        // The neutral element (y = 1) has order one; y = 2 is not on the curve.
        let y = |y: u8| {
            let mut bytes = [0; 32];
            bytes[0] = y;
            PublicKey::from_bytes(bytes)
        };
        assert_eq!(y(1), Err(KeyError::NotAKey));
        assert_eq!(y(2), Err(KeyError::NotAKey));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let key: SigningKey = VECTORS[0][0].parse().unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(VECTORS[0][1]), "{shown}");
        assert!(!shown.contains(VECTORS[0][0]), "{shown}");
    }
}
