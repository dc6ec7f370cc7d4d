//! QUIC variable-length integers (RFC 9000 section 16), and a reader of fields made of them.

use bytes::{Buf, Bytes};

use crate::message::DecodeError;

/// The largest number that a varint holds.
pub(crate) const MAX_VARINT: u64 = (1 << 62) - 1;

/// Appends `value`, which is at most [`MAX_VARINT`], in the fewest bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    debug_assert!(value <= MAX_VARINT, "checked before encoding");
    let bytes @ [a, .., b, c, d, e] = value.to_be_bytes();
    match value {
        0..=0x3f => out.push(e),
        0x40..=0x3fff => out.extend_from_slice(&[d | 0x40, e]),
        0x4000..=0x3fff_ffff => out.extend_from_slice(&[b | 0x80, c, d, e]),
        _ => {
            out.push(a | 0xc0);
            out.extend_from_slice(bytes.split_at(1).1);
        }
    }
}

/// Takes fields from the front of a message.
pub(crate) struct Reader {
    rest: Bytes,
    len: usize,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let len = bytes.len();
        Self { rest: bytes, len }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let field = *self
            .rest
            .first_chunk()
            .ok_or(DecodeError::Truncated { at: self.at() })?;
        self.rest.advance(N);
        Ok(field)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// A number of any width: longer forms than needed are fine.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let at = self.at();
        let first = self.byte()?;
        let more = (1usize << (first >> 6)) - 1;
        if self.rest.len() < more {
            return Err(DecodeError::Truncated { at });
        }
        let rest = self.rest.split_to(more);
        Ok(rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
            (value << 8) | u64::from(*byte)
        }))
    }

    /// A varint that fits a narrower integer.
    pub(crate) fn narrow<T: TryFrom<u64>>(
        &mut self,
        field: &'static str,
    ) -> Result<T, DecodeError> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| DecodeError::out_of_range(field, value))
    }

    /// The next `len` bytes, not copied.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if self.rest.len() < len {
            return Err(DecodeError::Truncated { at: self.at() });
        }
        Ok(self.rest.split_to(len))
    }

    /// Everything that is left, not copied.
    pub(crate) fn payload(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing { at: self.at() })
        }
    }

    fn at(&self) -> usize {
        self.len - self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out
    }

    fn decoded(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let value = reader.varint()?;
        reader.end()?;
        Ok(value)
    }

    #[test]
    fn the_samples_of_rfc_9000_appendix_a_1_decode() {
        assert_eq!(decoded(&[0x25]), Ok(37));
        assert_eq!(decoded(&[0x40, 0x25]), Ok(37));
        assert_eq!(decoded(&[0x7b, 0xbd]), Ok(15_293));
        assert_eq!(decoded(&[0x9d, 0x7f, 0x3e, 0x7d]), Ok(494_878_333));
        assert_eq!(
            decoded(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            Ok(151_288_809_941_952_652)
        );
    }

    #[test]
    fn the_shortest_form_is_written() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(63), [0x3f]);
        assert_eq!(encoded(64), [0x40, 64]);
        assert_eq!(encoded(16_383), [0x7f, 0xff]);
        assert_eq!(encoded(16_384), [0x80, 0, 0x40, 0]);
        assert_eq!(encoded((1 << 30) - 1), [0xbf, 0xff, 0xff, 0xff]);
        assert_eq!(encoded(1 << 30), [0xc0, 0, 0, 0, 0x40, 0, 0, 0]);
        assert_eq!(encoded(MAX_VARINT), [0xff; 8]);
    }

    #[test]
    fn a_cut_varint_is_truncated_where_it_starts() {
        for cut in [&[][..], &[0x40], &[0x80, 0, 0], &[0xc0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(decoded(cut), Err(DecodeError::Truncated { at: 0 }));
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(value in 0..=MAX_VARINT) {
            prop_assert_eq!(decoded(&encoded(value)), Ok(value));
        }
    }
}
