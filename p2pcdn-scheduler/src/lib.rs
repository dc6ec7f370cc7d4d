//! Decides what to fetch, from whom and by when, whom to serve and what to keep, for p2pcdn.
//!
//! A [`Scheduler`] is told what the manifest lists, where the player is, what neighbours say and
//! hold, how HTTP fares and what was stored ([`Input`]), and answers with what to do
//! ([`Output`]): fetch these bytes over HTTP and for which reason, ask that neighbour for those
//! blocks, send a block to another, tell all of them what is new, forget a segment.
//!
//! - A segment that is needed at once comes over HTTP, and from peers at the same time.
//! - Any other is fetched by one viewer, elected without a message, and passed on block by block;
//!   what is missing when time runs short comes over HTTP, exactly that.
//! - Requests of neighbours are served by deadline, within what the transport takes and the
//!   policy allows; what would be late is rejected at once.
//! - What neighbours say is used as far as they keep their promises, and everything that they can
//!   make grow has a cap.
//!
//! It holds ranges and digests, no bytes: it computes no hash, checks no block, opens nothing,
//! reads no clock, and speaks no protocol. The reasons behind every rule and number are in
//! [docs/scheduling.md](https://github.com/p2pcdn/p2pcdn/blob/main/docs/scheduling.md).
//!
//! # Driving it
//!
//! After each input and each timeout, drain the outputs, then wait for the next input or until
//! [`Scheduler::poll_timeout`].
//!
//! ```
//! use std::time::Duration;
//! use p2pcdn_metrics::HttpReason;
//! use p2pcdn_scheduler::{
//!     Config, Growth, Input, Listed, Output, Playback, PlaybackState, Scheduler, Sharing,
//! };
//! use p2pcdn_wire::{
//!     BlockSet, Instant, MediaTime, PeerId, Role, SegmentId, SegmentRef, TrackId, TrackIndex,
//! };
//!
//! let now = Instant::EPOCH;
//! let mut scheduler = Scheduler::new(Config::new(PeerId::new([1; 20])), 7, now);
//!
//! // A player is about to start at the first of two segments of 2 s.
//! let (track, id) = (TrackIndex(0), TrackId::new([2; 16]));
//! let listed = |ordinal: u8| {
//!     let id = SegmentId::new([ordinal; 16]);
//!     Listed {
//!         segment: SegmentRef { track, ordinal: ordinal.into(), tag: id.tag() },
//!         id,
//!         start: MediaTime::ZERO + Duration::from_secs(2) * ordinal.into(),
//!         duration: Duration::from_secs(2),
//!         sharing: Sharing::Shared,
//!     }
//! };
//! let segments = vec![listed(0), listed(1)];
//! let first = segments[0].segment;
//! for input in [
//!     Input::TrackJoined { track, id, role: Role::Watching, bitrate: None },
//!     Input::SegmentsListed { track, segments, first: 0, growth: Growth::Ended },
//!     Input::PlaybackChanged(Playback {
//!         position: MediaTime::ZERO,
//!         state: PlaybackState::Starting,
//!         buffer_target: Duration::from_secs(20),
//!     }),
//! ] {
//!     scheduler.handle_input(input, now);
//! }
//!
//! // What to do about it: the first segment is fetched, and nothing that would delay it.
//! let mut fetched = Vec::new();
//! while let Some(output) = scheduler.poll_output() {
//!     match output {
//!         Output::Fetch { fetch, segment, reason, .. } => fetched.push((fetch, segment, reason)),
//!         Output::CancelFetch { .. } | Output::Evict { .. } => {}      // for HTTP and the store
//!         Output::Peer(..) | Output::Serve { .. } | Output::Disconnect { .. } => {} // for links
//!         Output::Event(_) => {}
//!     }
//! }
//! let (fetch, segment, reason) = fetched[0];
//! assert_eq!((segment, reason), (first, HttpReason::Startup));
//! assert_eq!(fetched.len(), 1);
//!
//! // It came, was stored and may be played.
//! let now = now + Duration::from_millis(180);
//! for input in [
//!     Input::LengthKnown { segment, segment_len: 30_000 },
//!     Input::FetchProgressed { fetch, offset: 30_000 },
//!     Input::Stored {
//!         segment,
//!         verified: BlockSet::new(),
//!         private: [0, 1].into_iter().collect(),
//!         quarantined: BlockSet::new(),
//!     },
//!     Input::FetchEnded { fetch, result: Ok(()) },
//! ] {
//!     scheduler.handle_input(input, now);
//! }
//! let completed = p2pcdn_scheduler::Event::SegmentCompleted { segment };
//! assert_eq!(scheduler.poll_output(), Some(Output::Event(completed)));
//! while scheduler.poll_output().is_some() {} // and so on
//! ```
//!
//! # Features
//!
//! None: everything is always there and builds for `wasm32-unknown-unknown`.
#![forbid(unsafe_code)]

mod agenda;
mod announce;
mod apart;
mod choice;
mod clock;
mod config;
mod duty;
mod election;
mod holdings;
mod http;
mod io;
mod memory;
mod neighbour;
mod neighbours;
mod pacing;
mod peers;
mod range_set;
mod scheduler;
mod segment;
mod statements;
mod upload;

pub use config::{Config, Policy, Switch};
pub use io::{
    Event, FetchFailure, FetchId, Growth, Input, Listed, MediaSpan, Output, Playback,
    PlaybackState, Sharing,
};
pub use scheduler::Scheduler;
