//! The settings of a [`Client`](super::Client).

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use p2pcdn_manifest::IdentityConfig;
use p2pcdn_scheduler::Policy;
use p2pcdn_wire::{BitRate, PeerId};
use tokio::sync::mpsc;

use crate::keys::PublicKey;

/// The settings of a [`Client`](super::Client).
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// WebTorrent trackers, `ws:` or `wss:` URLs. Default: none, so no peers are found.
    pub trackers: Vec<String>,
    /// The publisher's keys: what peers send is played only when one of them signed it. Default:
    /// none, so everything comes over HTTP.
    pub publisher_keys: Vec<PublicKey>,
    /// Where the publisher serves block maps, as `<sidecar>/<segment id>`, for when no peer has
    /// one. Default: `None`.
    pub sidecar: Option<String>,
    /// To how many neighbours a block map that this client publishes is sent unasked; default 0,
    /// as for every viewer. 8 for publishers.
    pub push_degree: usize,
    /// What may be done with peers from the start. Default: everything.
    pub policy: Policy,
    /// What the publisher declares about names. Default: nothing.
    pub identity: IdentityConfig,
    /// Sent with every HTTP request of the viewer: cookies, authorisation. Default: none.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The local address of the UDP socket that peers are reached by. Default: `None`, any port of
    /// the address that this machine's default route starts from, or of the loopback interface
    /// when there is no route.
    pub bind: Option<SocketAddr>,
    /// Peers that are connected to, at most; default 24.
    pub max_peers: usize,
    /// Bytes of segments kept in memory; default 64 MiB.
    pub memory_budget: u64,
    /// The HTTP throughput assumed until some was measured; default 4 Mb/s.
    pub throughput_prior: BitRate,
    /// How far ahead of the playhead segments are fetched for a player that does not say; default
    /// 20 s.
    pub buffer_target: Duration,
    /// This viewer's id. Default: `None`, a random one, in the form of WebTorrent clients.
    pub peer: Option<PeerId>,
    /// Gets a copy of every message as it is handed to a peer's channel: a tap for diagnosis, by
    /// which anybody can see what leaves this machine. It costs a copy of all that is sent, and
    /// memory for what is not read. Default: `None`.
    pub message_log: Option<mpsc::UnboundedSender<Bytes>>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            trackers: Vec::new(),
            publisher_keys: Vec::new(),
            sidecar: None,
            push_degree: 0,
            policy: Policy::default(),
            identity: IdentityConfig::default(),
            headers: Vec::new(),
            bind: None,
            max_peers: 24,
            memory_budget: 64 << 20,
            throughput_prior: BitRate::from_bps(4_000_000),
            buffer_target: Duration::from_secs(20),
            peer: None,
            message_log: None,
        }
    }
}
