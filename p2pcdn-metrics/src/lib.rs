//! Estimators of the line and counters of delivery and playback, for p2pcdn.
//!
//! Two things are kept here. *Estimators* tell the scheduler what to expect of HTTP:
//! [`Throughput`] how fast it is, [`Quantiles`] how long the first byte takes, both with a figure
//! on the safe side that widens as measurements grow old or few. *Counters* tell everybody else
//! what happened: [`Delivery`] counts each byte by source and reason, [`Playback`] what the viewer
//! saw of it; a [`Snapshot`] is both at one moment, can be added to those of other viewers, and
//! answers the two questions that matter, [`Snapshot::peer_efficiency`] and
//! [`Snapshot::offload`].
//!
//! It does no I/O, reads no clock, and decides nothing. All state is integers, so that every
//! target computes the same figures.
//!
//! ```
//! use std::time::Duration;
//! use p2pcdn_metrics::{
//!     Delivery, HttpReason, Playback, PlaybackInput, Quantiles, Snapshot, Throughput,
//!     ThroughputConfig,
//! };
//! use p2pcdn_wire::Instant;
//!
//! let at = |ms| Instant::from_epoch(Duration::from_millis(ms));
//! let mut throughput = Throughput::new(ThroughputConfig::default());
//! let mut first_byte = Quantiles::new(Duration::from_millis(300));
//! let mut delivery = Delivery::default();
//! let mut playback = Playback::new(at(0));
//!
//! // The first segment comes over HTTP: 40 ms to the first byte, 500 kB in 200 ms.
//! first_byte.record(Duration::from_millis(40));
//! throughput.record(500_000, Duration::from_millis(200), at(240));
//! delivery.add_http(HttpReason::Startup, 500_000);
//! playback.handle_input(PlaybackInput::Started, at(250));
//! assert_eq!(throughput.estimate().as_bps(), 20_000_000);
//! assert!(throughput.pessimistic(at(250)) < throughput.estimate());
//!
//! // The second one comes from peers.
//! delivery.add_peer(500_000);
//! let duration = Duration::from_secs(2);
//! playback.handle_input(PlaybackInput::Played { duration, latency: None }, at(2_250));
//!
//! let snapshot = Snapshot { delivery, playback: playback.figures(at(2_250)) };
//! assert_eq!(snapshot.peer_efficiency(), Some(0.5));
//! assert_eq!(snapshot.playback.startup_delay(), Some(Duration::from_millis(250)));
//! ```
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `serde` | no | `Serialize` and `Deserialize` for [`Snapshot`] and what it is made of |
#![forbid(unsafe_code)]

mod decay;
mod delivery;
mod playback;
mod quantiles;
mod reason;
mod snapshot;
mod throughput;

pub use delivery::{Delivery, Waste, WasteBytes};
pub use playback::{Playback, PlaybackFigures, PlaybackInput};
pub use quantiles::Quantiles;
pub use reason::{HttpBytes, HttpReason};
pub use snapshot::Snapshot;
pub use throughput::{Throughput, ThroughputConfig};
