//! The settings of a [`WebRtc`](super::WebRtc) endpoint.

use std::{net::SocketAddr, time::Duration};

use p2pcdn_wire::BitRate;

/// The settings of a [`WebRtc`](super::WebRtc) endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRtcConfig {
    /// The addresses under which peers reach the socket, offered as host candidates. Unspecified,
    /// link-local and multicast addresses are left out. Default: none, which connects to nobody.
    pub candidates: Vec<SocketAddr>,
    /// Links at a time, unopened ones included; zero allows none. Default 64: four times the
    /// neighbours of a session, at 50 to 60 KB each.
    pub max_links: usize,
    /// Links at a time that are not open yet, offers included; zero allows none. Default 32: each
    /// costs 1.6 ms of a core to set up.
    pub max_unopened_links: usize,
    /// Bytes handed over and not yet acknowledged, per link, both channels together; data stops
    /// 16 KiB below it. At least 128 KiB, which is also the default: 5.6 MB/s at a round trip of
    /// 20 ms, and twice as much in flight costs the SCTP implementation a third of its speed.
    pub send_buffer_len: usize,
    /// The rate below which datagrams of one link are never paced. Default 200 Mb/s: a full send
    /// buffer leaves within 6 ms, slow enough for the receive buffer of a peer that is scheduled
    /// every few milliseconds.
    pub pacing_floor: BitRate,
    /// How long an offer waits for its answer. Default 60 s: trackers relay offers for at most 50.
    pub offer_timeout: Duration,
    /// How long a described link may take to open. Default 15 s: what browsers give ICE.
    pub setup_timeout: Duration,
    /// How long an open link may be silent before it counts as lost. Default 7 s: three keepalives
    /// of ours, and almost three of libwebrtc's 2.5 s, unanswered.
    pub silence_timeout: Duration,
    /// How often an idle link is checked with a STUN request. Default 2 s.
    pub keepalive_interval: Duration,
}

impl Default for WebRtcConfig {
    fn default() -> Self {
        Self {
            candidates: Vec::new(),
            max_links: 64,
            max_unopened_links: 32,
            send_buffer_len: MIN_SEND_BUFFER_LEN,
            pacing_floor: BitRate::from_bps(200_000_000),
            offer_timeout: Duration::from_secs(60),
            setup_timeout: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(7),
            keepalive_interval: Duration::from_secs(2),
        }
    }
}

/// Room for the longest message, the headroom of the control channel, and as much again: less
/// would leave a sender waiting for an empty buffer.
pub(crate) const MIN_SEND_BUFFER_LEN: usize = 128 * 1024;
