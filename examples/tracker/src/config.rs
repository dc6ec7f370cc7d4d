//! What a tracker allows.

use std::time::Duration;

/// What a tracker allows, and how long it waits.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often viewers are asked to announce. Default 2 minutes, as `bittorrent-tracker` asks of
    /// WebSocket clients.
    pub interval: Duration,
    /// Bytes of one message, beyond which the connection is closed. Default 64 KiB: 20 offers of
    /// 3 KiB.
    pub max_message_len: usize,
    /// TCP connections at a time; others wait to be accepted. Default 4,096.
    pub max_connections: usize,
    /// Swarms at a time. Default 4,096.
    pub max_swarms: usize,
    /// Peers of one swarm. Default 4,096, because one connection is enough for one peer.
    pub max_peers: usize,
    /// Swarms one connection may have joined, counted once for each peer id it uses there. Default
    /// 64, the renditions and languages of a large presentation.
    pub max_joined: usize,
    /// Offers of one announce that are handed on; the others are dropped. Default 20: clients send
    /// 5 to 10.
    pub max_offers: usize,
    /// Swarms in one scrape. Default 64.
    pub max_scraped: usize,
    /// Messages a second that are read of one connection; others wait unread. Default 50.
    pub message_rate: u32,
    /// Messages that may come at once after a silence. Default 200: the answers of a viewer that
    /// many others have found at the same moment.
    pub message_burst: u32,
    /// Messages waiting to be sent to one connection, beyond which it is closed. Default 256.
    pub max_queued: usize,
    /// How long a connection may be silent, not even answering a ping, before it is closed.
    /// Default 1 minute.
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(120),
            max_message_len: 64 * 1024,
            max_connections: 4_096,
            max_swarms: 4_096,
            max_peers: 4_096,
            max_joined: 64,
            max_offers: 20,
            max_scraped: 64,
            message_rate: 50,
            message_burst: 200,
            max_queued: 256,
            idle_timeout: Duration::from_secs(60),
        }
    }
}
