//! The two channels of a link, and what travels on them.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::say::Payload;

/// One of the two data channels of a link, both negotiated beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Ordered and reliable: everything but blocks.
    Control,
    /// Unordered and reliable: blocks, so that a lost datagram delays one of them only.
    Data,
}

impl Channel {
    /// Its negotiated data channel id (RFC 8832 calls it the stream id): 0 or 1.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Control => 0,
            Self::Data => 1,
        }
    }

    /// The channel with the negotiated id `id`.
    #[must_use]
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0 => Some(Self::Control),
            1 => Some(Self::Data),
            _ => None,
        }
    }
}

/// One unit on a data channel: an encoded head and the payload that follows it, apart so that the
/// payload is not copied.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The type byte and the fields.
    pub head: Bytes,
    /// The bytes of a block or of a block map; empty in other messages.
    pub payload: Bytes,
}

impl Message {
    /// Bytes on the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.payload.is_empty()
    }

    /// Its bytes in one piece; copies when there is a payload.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.payload.is_empty() {
            return self.head;
        }
        let mut joined = BytesMut::with_capacity(self.len());
        joined.extend_from_slice(&self.head);
        joined.extend_from_slice(&self.payload);
        joined.freeze()
    }
}

impl From<Bytes> for Message {
    fn from(head: Bytes) -> Self {
        Self {
            head,
            payload: Bytes::new(),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("head", &self.head)
            .field("payload", &Payload(self.payload.clone()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_comes_before_the_payload() {
        let message = Message {
            head: Bytes::from_static(&[1, 2]),
            payload: Bytes::from_static(&[3]),
        };
        assert_eq!(message.len(), 3);
        assert_eq!(message.into_bytes(), Bytes::from_static(&[1, 2, 3]));
    }

    #[test]
    fn ids_name_channels() {
        for channel in [Channel::Control, Channel::Data] {
            assert_eq!(Channel::from_id(channel.id()), Some(channel));
        }
        assert_eq!(Channel::from_id(2), None);
    }
}
