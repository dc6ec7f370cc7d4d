//! Peer channels, signalling and HTTP for p2pcdn: the traits, WebRTC on str0m, WebTorrent trackers.
//!
//! - [`PeerTransport`]: connections to peers, two data channels each, as commands in and events
//!   out. `WebRtc` (feature `webrtc`) is one, with any number of connections on one UDP socket; a
//!   browser's `RTCPeerConnection` or a wire in memory can be others.
//! - [`Signalling`]: a machine that finds neighbours through WebTorrent trackers.
//! - [`HttpClient`]: what fetching over HTTP needs; `ReqwestClient` (feature `tokio`) is one.
//!
//! It knows no segments, no peer protocol and no policy: links are numbers, messages are bytes, and
//! whom to trust is decided above. Nothing here reads a clock or does I/O but the shells of the
//! feature `tokio`.
//!
//! # The run loop
//!
//! Machines are drained after every input; what one wants done is another's input. Whoever runs
//! them moves the bytes:
//!
//! ```
//! use p2pcdn_transport::{
//!     PeerEvent, PeerTransport, Signalling, SignallingInput, SignallingOutput, TrackerId,
//! };
//! use p2pcdn_wire::Instant;
//!
//! /// What the trackers' sockets are to do.
//! enum Socket {
//!     Connect(TrackerId, String),
//!     Send(TrackerId, String),
//!     Disconnect(TrackerId),
//! }
//!
//! /// Drains both machines until neither has anything more to say.
//! fn settle(
//!     signalling: &mut Signalling,
//!     peers: &mut impl PeerTransport,
//!     sockets: &mut Vec<Socket>,
//!     session: &mut Vec<PeerEvent>,
//!     now: Instant,
//! ) {
//!     loop {
//!         while let Some(output) = signalling.poll_output() {
//!             match output {
//!                 SignallingOutput::Peer(command) => peers.handle_command(command, now),
//!                 SignallingOutput::Connect(id, url) => sockets.push(Socket::Connect(id, url)),
//!                 SignallingOutput::Send(id, text) => sockets.push(Socket::Send(id, text)),
//!                 SignallingOutput::Disconnect(id) => sockets.push(Socket::Disconnect(id)),
//!                 SignallingOutput::Event(_) => {}
//!             }
//!         }
//!         let Some(event) = peers.poll_event() else {
//!             break;
//!         };
//!         let news = match &event {
//!             PeerEvent::Described(link, sdp) => {
//!                 Some(SignallingInput::Described(*link, sdp.clone()))
//!             }
//!             PeerEvent::Opened(link, _) => Some(SignallingInput::Opened(*link)),
//!             PeerEvent::Closed(link, _) => Some(SignallingInput::Closed(*link)),
//!             _ => None,
//!         };
//!         if let Some(news) = news {
//!             signalling.handle_input(news, now);
//!         }
//!         session.push(event);
//!     }
//! }
//! ```
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `webrtc` | `WebRtc`: data channels on str0m, with aws-lc-rs | no |
//! | `tokio` | `webrtc`, and the shells `PeerSocket`, `TrackerSockets` and `ReqwestClient` | no |
//!
//! Without features the crate builds for `wasm32-unknown-unknown`.
#![forbid(unsafe_code)]

mod http;
mod peer;
#[cfg(feature = "tokio")]
#[expect(
    clippy::disallowed_types,
    reason = "the shell is where sockets and clocks belong"
)]
mod shell;
mod signalling;
#[cfg(feature = "webrtc")]
#[expect(
    clippy::disallowed_types,
    reason = "str0m's time is std's; `WebRtc::new` takes the pair of instants"
)]
mod webrtc;

pub use http::{HttpBody, HttpClient, HttpError, HttpMethod, HttpRange, HttpRequest, HttpResponse};
pub use peer::{
    ChannelPlan, ChannelSpec, CloseReason, Delivery, Fingerprints, PeerCommand, PeerEvent,
    PeerTransport, Sdp,
};
#[cfg(feature = "tokio")]
pub use shell::{PeerSocket, ReqwestClient, ReqwestConfig, TrackerSockets};
pub use signalling::{
    IgnoreReason, MAX_TRACKER_MESSAGE_LEN, Signalling, SignallingConfig, SignallingEvent,
    SignallingInput, SignallingOutput, TrackerId,
};
#[cfg(feature = "webrtc")]
pub use webrtc::{Transmit, WebRtc, WebRtcConfig};
