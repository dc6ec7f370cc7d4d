//! Two ways to try a scheduler in virtual time. A [`rig`] is one scheduler under the hand of a
//! test, with a little language for its state and its outputs. A [`world`] is many of them with an
//! origin, links with latency and uplinks with a rate; segments there are 2 s of 3 Mb/s.

#![allow(dead_code, reason = "each test binary uses its own part")]

mod network;
pub(crate) mod rig;
pub(crate) mod setting;
mod viewer;
pub(crate) mod words;
pub(crate) mod world;

use std::time::Duration;

use p2pcdn_scheduler::{Listed, Sharing};
use p2pcdn_wire::{Instant, MediaTime, PeerId, SegmentId, SegmentRef, TrackIndex};

pub(crate) const TRACK: TrackIndex = TrackIndex(0);
pub(crate) const SEGMENT_LEN: u64 = 750_000;
pub(crate) const DURATION: Duration = Duration::from_secs(2);

pub(crate) fn at(secs: f64) -> Instant {
    Instant::from_epoch(Duration::from_secs_f64(secs))
}

pub(crate) fn segment_id(ordinal: u64) -> SegmentId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&p2pcdn_wire::mix(ordinal).to_be_bytes());
    SegmentId::new(bytes)
}

pub(crate) fn segment(ordinal: u64) -> SegmentRef {
    SegmentRef {
        track: TRACK,
        ordinal,
        tag: segment_id(ordinal).tag(),
    }
}

pub(crate) fn listed(ordinal: u64) -> Listed {
    Listed {
        segment: segment(ordinal),
        id: segment_id(ordinal),
        start: MediaTime::ZERO + DURATION * number(ordinal),
        duration: DURATION,
        sharing: Sharing::Shared,
    }
}

pub(crate) fn peer(place: usize) -> PeerId {
    PeerId::new([u8::try_from(place + 1).expect("few viewers"); 20])
}

/// A number that is small in these tests.
pub(crate) fn number(value: u64) -> u32 {
    u32::try_from(value).expect("a small number")
}
