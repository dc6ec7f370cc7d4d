//! HLS playlists as one presentation model with segment identity, for p2pcdn.
//!
//! - [`parse`] reads one playlist as written: tolerant of what players tolerate, bounded, never
//!   panicking, exact (durations in nanoseconds, byte ranges resolved, keys and init sections
//!   scoped).
//! - [`Refresh`] keeps a [`Presentation`] up to date: it says which playlist to load and when, and
//!   puts out a new presentation whenever something changed.
//! - [`IdentityConfig`] gives tracks and segments names that all viewers agree on without talking
//!   to each other: safe for any publisher by default, sharing across hosts declared.
//! - [`Presentation::resource`] tells what a URL is, so that keys and playlists are never asked of a
//!   peer.
//!
//! It does no I/O and reads no clock; it does not decide what to fetch, and does not choose tracks.
//! Low-latency parts and DASH are not modelled: a low-latency playlist is read for its whole
//! segments.
//!
//! # Example
//!
//! ```
//! use p2pcdn_manifest::{Config, Input, Output, Refresh, Sharing};
//! use p2pcdn_wire::{Instant, MediaTime};
//!
//! let mut now = Instant::EPOCH;
//! let mut refresh = Refresh::new(Config::default(), "https://cdn.example/live.m3u8", now);
//! let mut presentation = None;
//! for _ in 0..2 {
//!     while let Some(output) = refresh.poll_output() {
//!         match output {
//!             // A shell fetches the URL with the viewer's own headers.
//!             Output::Load { url } => {
//!                 let final_url = url.clone();
//!                 let body = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n".into();
//!                 refresh.handle_input(Input::Loaded { url, final_url, body }, now);
//!             }
//!             Output::Updated(update) => presentation = Some(update),
//!             Output::Event(event) => println!("{event:?}"),
//!         }
//!     }
//!     if let Some(at) = refresh.poll_timeout() {
//!         now = at; // A shell sleeps until then.
//!         refresh.handle_timeout(now);
//!     }
//! }
//! let presentation = presentation.expect("it was loaded");
//! let playlist = presentation.tracks[0].playlist.as_ref().expect("it is the only track");
//! let segment = playlist.segment_at(MediaTime::ZERO).expect("it lists one segment");
//! assert_eq!(&*segment.url, "https://cdn.example/1.ts");
//! assert_eq!(segment.sharing, Sharing::Shared);
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `hls` | yes | [`parse`] and [`Refresh`] |
//! | `url` | yes | [`resolve()`] for every relative URL, with the `url` crate; without it only plain ones and absolute ones, unless [`Config::resolve`] is given |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "hls"),
    expect(dead_code, reason = "without a format, only the model is used")
)]

#[cfg(feature = "hls")]
mod assemble;
mod canonical;
mod error;
#[cfg(feature = "hls")]
mod hls;
mod identity;
mod key;
mod limits;
mod playlist;
mod presentation;
#[cfg(feature = "hls")]
mod refresh;
mod resolve;
mod segment;
#[cfg(feature = "hls")]
mod timeline;
mod track;
#[cfg(feature = "hls")]
mod tracks;

pub use error::{Found, ParseError, Warning, WarningKind};
#[cfg(feature = "hls")]
pub use hls::{
    InitSection, Manifest, MediaPlaylist, MediaSegment, Multivariant, Rendition, RenditionKind,
    Variant, VariantKind, parse,
};
pub use identity::{HostGroup, IdentityConfig, PathToken, swarm_id};
pub use key::{Key, KeyUrl, KeyUrls};
pub use limits::*;
pub use playlist::{Liveness, Playlist};
pub use presentation::{Presentation, Resource};
#[cfg(feature = "hls")]
pub use refresh::{Config, Event, Input, LoadFailure, Output, Refresh};
pub use resolve::{Resolve, resolve};
pub use segment::{InitSegment, NeverReason, Segment, SegmentDate, Sharing};
pub use track::{Resolution, Track, TrackKind};
