//! The ground of p2pcdn, and the protocol that its peers speak.
//!
//! - **Ground types**, for all other crates: ids ([`SegmentId`], [`PeerId`], ...), three clocks
//!   that are never mixed ([`Instant`], [`MediaTime`], [`UnixTime`]), [`BitRate`], ranges and sets
//!   of blocks, and randomness that can be replayed ([`Seed`], [`Pcg`]).
//! - **The vocabulary** between peers, whatever the dialect: [`Say`] is what we state, [`Said`]
//!   what a peer stated.
//! - **The protocol** `p2pcdn/1`: [`PeerMessage`] to bytes and back, and [`Link`], the state of
//!   one connection: hellos, track and request numbers, violations. Its layouts are in
//!   [docs/protocol.md](https://github.com/p2pcdn/p2pcdn/blob/main/docs/protocol.md), its limits
//!   are constants here ([`MAX_BLOCKS`], ...).
//!
//! It does no I/O, reads no clock and draws no randomness. It knows neither who holds what nor
//! what is worth requesting (that is the scheduler's), computes no hash and verifies no byte
//! (the store's), and opens no connection (the transport's).
//!
//! # A link
//!
//! Feed it what happened, drain what it wants, wait for its timeout:
//!
//! ```
//! use std::{collections::VecDeque, time::Duration};
//! use p2pcdn_wire::{
//!     Instant, Link, LinkConfig, LinkInput, LinkOutput, OrdinalRange, PeerId, Role, Said, Say,
//!     SwarmId, TrackId, TrackIndex, tag_digest,
//! };
//!
//! let (swarm, id) = (SwarmId::new([9; 20]), TrackId::new([7; 16]));
//! let now = Instant::EPOCH;
//! let [mut alice, mut bob] = [1, 2].map(|peer| {
//!     let tracks = vec![(TrackIndex(peer.into()), id, Role::Watching)];
//!     let config = LinkConfig { tracks, ..LinkConfig::new(PeerId::new([peer; 20]), swarm) };
//!     Link::new(config, now)
//! });
//!
//! // Here the wire is a queue; in life it is two data channels.
//! let mut to_alice = VecDeque::from([LinkInput::Opened]);
//! let mut to_bob = VecDeque::from([LinkInput::Opened]);
//! let mut bob_heard = Vec::new();
//! let track = TrackIndex(1);
//! for _ in 0..3 {
//!     while let Some(input) = to_alice.pop_front() {
//!         alice.handle_input(input, now);
//!     }
//!     while let Some(output) = alice.poll_output() {
//!         match output {
//!             LinkOutput::Send { channel, message } => {
//!                 to_bob.push_back(LinkInput::Received { channel, message });
//!             }
//!             LinkOutput::Said(Said::Joined { .. }) => {
//!                 let (ordinals, digest) = (OrdinalRange::new(100, 102), tag_digest([5, 6]));
//!                 to_alice.push_back(LinkInput::Say(Say::Have { track, ordinals, digest }));
//!             }
//!             // To the scheduler, the store, the transport, the metrics.
//!             LinkOutput::Said(_)
//!             | LinkOutput::Block { .. }
//!             | LinkOutput::Map(_)
//!             | LinkOutput::Close(_)
//!             | LinkOutput::Event(_) => {}
//!         }
//!     }
//!     while let Some(input) = to_bob.pop_front() {
//!         bob.handle_input(input, now);
//!     }
//!     while let Some(output) = bob.poll_output() {
//!         match output {
//!             LinkOutput::Send { channel, message } => {
//!                 to_alice.push_back(LinkInput::Received { channel, message });
//!             }
//!             LinkOutput::Said(said) => bob_heard.push(said),
//!             _ => {}
//!         }
//!     }
//! }
//! assert!(bob_heard.contains(&Said::Have {
//!     track: TrackIndex(2), // Bob's number of it
//!     ordinals: OrdinalRange::new(100, 102),
//!     digest: tag_digest([5, 6]),
//! }));
//!
//! // Nothing to do until the next ping.
//! assert_eq!(alice.poll_timeout(), Some(now + Duration::from_secs(10)));
//! ```
//!
//! # Features
//!
//! None: everything is always there, builds for `wasm32-unknown-unknown`, and needs `bytes` and
//! `thiserror` only.
#![forbid(unsafe_code)]

mod blocks;
mod channel;
mod codec;
mod codes;
mod id;
mod limits;
mod link;
mod message;
mod random;
mod range;
mod rate;
mod say;
mod time;
mod varint;

pub use blocks::BlockSet;
pub use channel::{Channel, Message};
pub use id::{
    BlockHash, ContentId, Fingerprint, LinkId, PeerId, RequestId, SegmentId, SegmentRef, SwarmId,
    TrackId, TrackIndex, WitnessKey,
};
pub use limits::*;
pub use link::{Link, LinkConfig, LinkEvent, LinkInput, LinkOutput, Side, Violation};
pub use message::{
    DecodeError, Handle, Hello, HelloTrack, OutOfRange, PROTOCOL_VERSION, PeerMessage, Place,
};
pub use random::{Pcg, Seed, mix};
pub use range::{BlockRange, ByteRange, OrdinalRange, block_count};
pub use rate::BitRate;
pub use say::{
    Block, GoodbyeReason, MapData, Payload, RejectReason, Role, Said, Say, UploadClass, tag_digest,
};
pub use time::{Instant, MediaTime, UnixTime};
