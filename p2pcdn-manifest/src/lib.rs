//! HLS and DASH manifests as one presentation model with segment identity, for p2pcdn.
//!
//! - [`parse`] reads one HLS playlist as written, [`parse_mpd`] one MPD, [`parse_sidx`] one segment
//!   index: tolerant of what players tolerate, bounded, never panicking, exact (durations in
//!   nanoseconds, byte ranges resolved, keys and init sections scoped).
//! - [`Refresh`] keeps a [`Presentation`] up to date: it says what to load and when (playlists, delta
//!   updates, MPDs, patches, indexes), and puts out a new presentation, with what was added, removed
//!   and changed, whenever something did.
//! - [`progressive`] makes a presentation of a single resource, so that it can be shared too.
//! - [`IdentityConfig`] gives tracks and segments names that all viewers agree on without talking
//!   to each other: safe for any publisher by default, sharing across hosts declared.
//! - [`Presentation::resource`] tells what a URL is, so that keys and playlists are never asked of a
//!   peer.
//! - [`rewrite`] changes the URLs in a manifest and not one byte else, for a proxy.
//!
//! It does no I/O and reads no clock; it does not decide what to fetch, and does not choose tracks.
//! Remote elements of an MPD (xlink) are not loaded.
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
//!             Output::Load { url, range } => {
//!                 let final_url = url.clone();
//!                 let body = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n".into();
//!                 refresh.handle_input(Input::Loaded { url, range, final_url, body }, now);
//!             }
//!             Output::Updated(update) => presentation = Some(update.presentation),
//!             Output::Event(event) => println!("{event:?}"),
//!         }
//!     }
//!     if let Some(at) = refresh.poll_timeout() {
//!         now = at; // A shell sleeps until then.
//!         refresh.handle_timeout(now);
//!     }
//! }
//! let presentation = presentation.expect("it was loaded");
//! let segments = presentation.tracks[0].segments.as_ref().expect("it is the only track");
//! let segment = segments.segment_at(MediaTime::ZERO).expect("it lists one segment");
//! assert_eq!(&*segment.url, "https://cdn.example/1.ts");
//! assert_eq!(segment.sharing, Sharing::Shared);
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `hls` | yes | [`parse`], [`Refresh`] and [`rewrite`] |
//! | `dash` | yes | the same for MPDs: [`parse_mpd`], [`parse_sidx`], [`apply_patch`]; brings `hls` |
//! | `url` | yes | [`resolve()`] for every relative URL, with the `url` crate; without it only plain ones and absolute ones, unless [`Config::resolve`] is given |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "hls"),
    expect(dead_code, reason = "without a format, only the model is used")
)]

#[cfg(feature = "hls")]
mod assemble;
mod canonical;
#[cfg(feature = "dash")]
mod computed;
#[cfg(feature = "dash")]
mod dash;
#[cfg(feature = "hls")]
mod date;
mod error;
#[cfg(feature = "hls")]
mod hls;
mod identity;
mod key;
mod limits;
mod listed;
mod lookup;
#[cfg(feature = "dash")]
mod markup;
#[cfg(feature = "dash")]
mod mpd_tracks;
#[cfg(feature = "dash")]
mod patch;
mod presentation;
mod progressive;
mod ranges;
mod reference;
#[cfg(feature = "hls")]
mod refresh;
mod resolve;
#[cfg(feature = "hls")]
mod rewrite;
mod rows;
#[cfg(feature = "dash")]
mod runs;
mod segment;
mod segments;
mod table;
#[cfg(feature = "hls")]
mod timeline;
mod track;
#[cfg(feature = "hls")]
mod tracks;

#[cfg(feature = "dash")]
pub use dash::{
    AdaptationSet, ContentType, Descriptor, DescriptorKind, IndexEntry, IndexTarget, ListedSegment,
    Listing, Mpd, MpdResource, MpdSource, PatchLocation, Period, Representation, SegmentIndex,
    SegmentWindow, SidxError, UtcTiming, parse_mpd, parse_sidx,
};
pub use error::{Found, ParseError, Warning, WarningKind};
#[cfg(feature = "hls")]
pub use hls::{
    ContentSteering, DateRange, HintKind, InitSection, Manifest, MediaPart, MediaPlaylist,
    MediaSegment, MediaSegments, Multivariant, PlaylistType, PreloadHint, Rendition, RenditionKind,
    RenditionReport, ServerControl, SessionData, SessionDataValue, StartOrigin, StartPoint,
    Variant, VariantKind, parse,
};
pub use identity::{HostGroup, IdentityConfig, IdentityMode, PathToken, swarm_id};
pub use key::{Key, KeyUrl, KeyUrls};
pub use limits::*;
#[cfg(feature = "dash")]
pub use patch::{PatchDocument, PatchError, apply_patch};
pub use presentation::{Format, Presentation, Resource};
pub use progressive::{ProgressiveConfig, ProgressiveError, progressive};
#[cfg(feature = "hls")]
pub use refresh::{
    Config, DeliveryDirectives, Event, Input, LoadFailure, Output, Refresh, TrackChange, Update,
};
pub use resolve::{Resolve, resolve};
#[cfg(feature = "hls")]
pub use rewrite::{
    Licences, Place, RewriteError, RewriteOptions, Rewritten, UrlKind, UrlUse, rewrite,
    split_directives, with_directives,
};
pub use segment::{InitSegment, NeverReason, Part, Segment, SegmentDate, Sharing};
pub use segments::{Liveness, Segments};
pub use track::{MediaSpan, Resolution, SwitchingSet, Track, TrackKind};
