//! Viewers of an HLS or DASH stream fetch its segments from each other over WebRTC, beside the CDN and
//! never worse than with it alone.
//!
//! - `Client` (feature `tokio`) is one viewer with its sockets: give it a manifest URL, ask it for
//!   what the player asks for, tell it what the player does. Its bytes come over HTTP, from peers,
//!   or from both at once.
//! - [`Session`] is the same viewer without sockets, clock or threads, for other shells: a machine
//!   that is told what happened and says what to do. It joins the scheduler, the links, the block
//!   maps, the counters and a [`Store`].
//! - [`MemoryStore`] keeps segments and verifies each block from a peer against a block map that
//!   the publisher signed ([`SignedMap`]). What is not verified is neither played nor passed on.
//! - [`Fetch`] is one HTTP attempt at a segment, [`Maps`] the search for block maps,
//!   [`Authorisation`] what the origin's own answers allow.
//!
//! The crates below it are here under their own names: [`manifest`], [`metrics`], [`scheduler`],
//! [`transport`], [`wire`].
//!
//! It deliberately does not decode or play media, choose renditions, hold credentials of its own
//! (every HTTP request carries the headers that you give it), keep anything on disk, or reach peers
//! before the origin has delivered a manifest and a segment to this very viewer. Without a
//! publisher's key it takes nothing from peers.
//!
//! # Example
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```text")]
//! use p2pcdn::scheduler::{Policy, Switch};
//! use p2pcdn::{Client, ClientConfig, Request};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = ClientConfig {
//!         trackers: vec!["wss://tracker.example/".into()],
//!         publisher_keys: vec![std::fs::read_to_string("publisher.pub")?.parse()?],
//!         ..ClientConfig::default()
//!     };
//!     let client = Client::open("https://cdn.example/live.m3u8", config).await?;
//!     client.watch(client.presentation().tracks[0].id).await?;
//!     let mut changes = client.changes();
//!     let listed = changes.wait_for(|it| it.tracks[0].segments.is_some()).await?.clone();
//!     let segments = listed.tracks[0].segments.as_ref().ok_or("not loaded")?;
//!     let newest = segments.last().ok_or("no segments yet")?;
//!     let media = client.fetch(Request::get(&*newest.url)).await?.bytes().await?;
//!     println!("{} bytes: {:?}", media.len(), client.statistics().await?.snapshot);
//!     client.set_policy(Policy { upload: Switch::Off, ..Policy::default() }).await?;
//!     client.close().await;
//!     Ok(())
//! }
//! ```
//!
//! A player that reads manifests itself needs less: hand each of its requests to `Client::fetch`.
//! Manifests come as the origin wrote them, segments through the swarm, everything else (init
//! segments, keys, parts of segments) straight from the origin. So do the segments
//! of live DASH tracks that are named by time: they are not shared. Tell `Client::set_playback` at each change and about
//! once a second where the playhead is: deadlines come from it.
//!
//! # Other shells
//!
//! A [`Session`] is told a [`SessionInput`] with the time, drained of [`SessionOutput`]s until there
//! are none, and woken at [`Session::poll_timeout`]. Its inputs and outputs are values, so that a
//! run can be recorded and replayed:
//!
//! ```
//! use p2pcdn::wire::{Instant, PeerId, Seed, SwarmId};
//! use p2pcdn::{MemoryStore, MemoryStoreConfig, Session, SessionConfig, SessionInput, Standing};
//!
//! let now = Instant::EPOCH;
//! let config = SessionConfig::new(SwarmId::new([7; 20]), PeerId::new([1; 20]));
//! let store = MemoryStore::new(MemoryStoreConfig::default());
//! let mut session = Session::new(config, store, Seed([0; 32]), now);
//!
//! let ttfb = std::time::Duration::from_millis(40);
//! session.handle_input(SessionInput::ManifestAnswered { status: 200, ttfb, len: 900 }, now);
//! while let Some(output) = session.poll_output() {
//!     println!("{output:?}"); // A shell carries it out.
//! }
//! // The origin has delivered a manifest and no segment yet.
//! assert_eq!(session.standing(), Standing::Pending);
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `hls` | yes | HLS playlists: `manifest::parse` and `manifest::Refresh` |
//! | `dash` | yes | DASH MPDs |
//! | `tokio` | no | `Client`, and with it `hls`, `url` of the manifest crate, WebRTC on str0m, HTTP with reqwest, trackers over WebSocket |
//! | `serde` | no | `Serialize` and `Deserialize` for the counters |
//!
//! Without `tokio` it builds for `wasm32-unknown-unknown`.
#![forbid(unsafe_code)]

// What the tests here share with the benches names this crate from outside.
#[cfg(test)]
extern crate self as p2pcdn;

mod assembly;
mod authorisation;
mod block_map;
#[cfg(feature = "tokio")]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the shell is where sockets and clocks belong"
)]
mod client;
mod dense;
mod fetch;
mod held;
mod http_response;
mod keys;
mod maps;
mod memory_store;
mod network;
mod quarantine;
mod session;
mod store;
mod witness;
mod witnesses;

pub use authorisation::{Answer, Authorisation, Standing, Subject};
pub use block_map::{BlockMap, MapError, SignedMap};
#[cfg(feature = "tokio")]
pub use client::{Client, ClientConfig, ClientError, Request, Response, Statistics};
pub use fetch::{
    Fetch, FetchEnd, FetchError, FetchHead, FetchPlan, FetchRequest, MAX_SEGMENT_LEN, Retry,
};
pub use http_response::{ResponseHead, Validator};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use maps::{MapSource, Maps, MapsConfig, MapsInput, MapsOutput};
pub use memory_store::{MemoryStore, MemoryStoreConfig};
pub use network::Network;
pub use p2pcdn_manifest as manifest;
pub use p2pcdn_metrics as metrics;
pub use p2pcdn_scheduler as scheduler;
pub use p2pcdn_transport as transport;
pub use p2pcdn_wire as wire;
pub use session::{
    Integrity, SegmentSources, Session, SessionConfig, SessionEvent, SessionInput, SessionKey,
    SessionOutput,
};
pub use store::{Change, Dropped, MapAccepted, Mismatch, Source, Store};
pub use witness::{Attestation, MAX_ATTESTATIONS, WitnessedMap};
