//! QUIC variable-length integers (RFC 9000 section 16), and a reader of fields made of them.

use bytes::{Buf, Bytes};

use crate::{channel::Message, message::DecodeError};

/// The largest number that a varint holds.
pub(crate) const MAX_VARINT: u64 = (1 << 62) - 1;

/// Collects the fields of a message: short ones, which most messages are, without an allocation but
/// that of the result.
pub(crate) struct Writer {
    short: [u8; SHORT_LEN],
    len: usize,
    /// Everything, once it is longer than `short`.
    long: Vec<u8>,
}

impl Writer {
    pub(crate) const fn new() -> Self {
        Self {
            short: [0; SHORT_LEN],
            len: 0,
            long: Vec::new(),
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let room = self.short.get_mut(self.len..self.len + bytes.len());
        if let Some(room) = room.filter(|_| self.long.is_empty()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
            return;
        }
        if self.long.is_empty() {
            let short = self.short.get(..self.len).unwrap_or_default();
            self.long.extend_from_slice(short);
        }
        self.long.extend_from_slice(bytes);
    }

    /// Appends `value`, which is at most [`MAX_VARINT`], in the fewest bytes.
    pub(crate) fn varint(&mut self, value: u64) {
        debug_assert!(value <= MAX_VARINT, "checked before encoding");
        let bytes @ [a, .., b, c, d, e] = value.to_be_bytes();
        match value {
            0..=0x3f => self.byte(e),
            0x40..=0x3fff => self.bytes(&[d | 0x40, e]),
            0x4000..=0x3fff_ffff => self.bytes(&[b | 0x80, c, d, e]),
            _ => {
                let [_, rest @ ..] = bytes;
                self.byte(a | 0xc0);
                self.bytes(&rest);
            }
        }
    }

    /// What was written, in one buffer of just its length.
    pub(crate) fn finish(self) -> Bytes {
        if self.long.is_empty() {
            Bytes::copy_from_slice(self.short.get(..self.len).unwrap_or_default())
        } else {
            self.long.into_boxed_slice().into()
        }
    }
}

/// Covers the head of every message but hello, bitfield and a ragged holds: a block's has at most
/// 11 bytes, a request's at most 48.
const SHORT_LEN: usize = 48;

/// Takes fields from the front of a message.
pub(crate) struct Reader {
    bytes: Bytes,
    at: usize,
    /// What follows `bytes`, apart from them as long as no field lies across the border.
    apart: Bytes,
}

impl Reader {
    pub(crate) fn new(message: Message) -> Self {
        Self {
            bytes: message.head,
            at: 0,
            apart: message.payload,
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated { at: self.at };
        let field = *self.ahead(N).first_chunk().ok_or(truncated)?;
        self.at += N;
        Ok(field)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// A number of any width: longer forms than needed are fine.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let truncated = DecodeError::Truncated { at: self.at };
        let first = self.ahead(1).first().copied().ok_or(truncated)?;
        let more = (1usize << (first >> 6)) - 1;
        let rest = self.ahead(1 + more).get(1..=more).ok_or(truncated)?;
        let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
            (value << 8) | u64::from(*byte)
        });
        self.at += 1 + more;
        Ok(value)
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
        if self.ahead(len).len() < len {
            return Err(DecodeError::Truncated { at: self.at });
        }
        let start = self.at;
        self.at += len;
        Ok(self.bytes.slice(start..self.at))
    }

    /// Everything that is left, not copied where it lies in one piece.
    pub(crate) fn payload(&mut self) -> Bytes {
        if self.rest().is_empty() {
            return std::mem::take(&mut self.apart);
        }
        self.join();
        let mut payload = std::mem::take(&mut self.bytes);
        payload.advance(std::mem::take(&mut self.at));
        payload
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.rest().is_empty() && self.apart.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing { at: self.at })
        }
    }

    /// The bytes from here on, in one piece as far as `len`.
    fn ahead(&mut self, len: usize) -> &[u8] {
        if self.rest().len() < len {
            self.join();
        }
        self.rest()
    }

    fn join(&mut self) {
        if !self.apart.is_empty() {
            let message = Message {
                head: std::mem::take(&mut self.bytes),
                payload: std::mem::take(&mut self.apart),
            };
            self.bytes = message.into_bytes();
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Writer::new();
        out.varint(value);
        out.finish().to_vec()
    }

    fn decoded(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes).into());
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
    fn what_is_written_comes_out_in_order_whatever_its_length() {
        for split in [0, 1, 47, 48, 49, 100] {
            let all: Vec<u8> = (0..=120).collect();
            let (head, tail) = all.split_at(split);
            let mut out = Writer::new();
            out.bytes(head);
            tail.iter().for_each(|byte| out.byte(*byte));
            assert_eq!(out.finish(), all, "{split}");
        }
        for len in [0, 47, 48, 49] {
            let mut out = Writer::new();
            (0..len).for_each(|byte| out.byte(byte));
            assert_eq!(out.finish(), (0..len).collect::<Vec<u8>>());
        }
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
