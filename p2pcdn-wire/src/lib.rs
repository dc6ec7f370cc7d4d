//! Ground types and the peer protocol of p2pcdn: ids, time, messages and the state of one peer link.
#![forbid(unsafe_code)]

mod blocks;
mod id;
mod limits;
mod random;
mod range;
mod rate;
mod say;
mod time;

pub use blocks::BlockSet;
pub use id::{
    BlockHash, ContentId, Fingerprint, LinkId, PeerId, RequestId, SegmentId, SegmentRef, SwarmId,
    TrackId, TrackIndex,
};
pub use limits::*;
pub use random::{Pcg, Seed, mix};
pub use range::{BlockRange, ByteRange, OrdinalRange, block_count};
pub use rate::BitRate;
pub use say::{
    Block, GoodbyeReason, MapData, Payload, RejectReason, Role, Said, Say, UploadClass, tag_digest,
};
pub use time::{Instant, MediaTime, UnixTime};
