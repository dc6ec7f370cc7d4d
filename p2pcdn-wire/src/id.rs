//! Names of things: contents, tracks, segments, swarms, peers and links.

use std::fmt;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The id with these bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

byte_id! {
    /// What is being watched, independent of where it is fetched from.
    ContentId, 16
}
byte_id! {
    /// One sequence of segments of a content: an HLS media playlist, a DASH representation.
    TrackId, 16
}
byte_id! {
    /// One segment of a track, and the same segment for every viewer. Its first four bytes are
    /// its [tag](SegmentId::tag).
    SegmentId, 16
}
byte_id! {
    /// The rendezvous name of a swarm: what WebTorrent trackers call `info_hash`.
    SwarmId, 20
}
byte_id! {
    /// A peer as trackers and neighbours know it, fixed for the life of a session.
    PeerId, 20
}
byte_id! {
    /// The SHA-256 digest of a peer's DTLS certificate.
    Fingerprint, 32
}
byte_id! {
    /// The BLAKE3 hash of one block's bytes.
    BlockHash, 32
}

byte_id! {
    /// The public Ed25519 key of a session that signs block maps as a witness.
    WitnessKey, 32
}

impl SegmentId {
    /// The first four bytes, big-endian: stands for the id in messages that name many segments.
    #[must_use]
    pub const fn tag(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// One connection to a peer, numbered by this process and never reused.
///
/// Not a [`PeerId`]: two connections to one peer can exist for a moment, and a peer's id is only
/// known once its hello has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// A track as this session numbers it; a 16-byte [`TrackId`] interned at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackIndex(pub u16);

impl fmt::Display for TrackIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "track {}", self.0)
    }
}

/// A segment as this session names it: its track, its place in it, and the tag of its
/// [`SegmentId`], which tells apart different contents that claim the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentRef {
    /// The track.
    pub track: TrackIndex,
    /// HLS: the media sequence number.
    pub ordinal: u64,
    /// [`SegmentId::tag`] of the segment's id.
    pub tag: u32,
}

impl fmt::Display for SegmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{:08x}", self.track, self.ordinal, self.tag)
    }
}

/// A request on one link, numbered by its sender and unique while it is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_first_four_bytes() {
        let id = SegmentId::new([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(id.tag(), 0x0102_0304);
        assert_eq!(id.to_string(), "0102030405060708090a0b0c0d0e0f10");
    }
}
