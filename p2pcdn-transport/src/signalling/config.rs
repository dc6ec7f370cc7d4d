//! The settings of a [`Signalling`](super::Signalling) machine.

use std::time::Duration;

use p2pcdn_wire::{LinkId, PeerId, SwarmId};

use crate::peer::ChannelPlan;

/// The settings of a [`Signalling`](super::Signalling) machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignallingConfig {
    /// The `ws:` or `wss:` URLs of the trackers; all of them are used. At most 65,535.
    pub trackers: Vec<String>,
    /// The swarm, which trackers call `info_hash`.
    pub swarm: SwarmId,
    /// Our own id in it.
    pub peer: PeerId,
    /// The channels of every link.
    pub plan: ChannelPlan,
    /// The first link number that this machine gives out; it counts up from here, and nobody else
    /// may use the numbers above. Default 0.
    pub first_link: LinkId,
    /// Neighbours that are looked for; zero looks for none, but still accepts offers. Default 12:
    /// a mesh of that degree stays connected when half of it leaves.
    pub wanted_count: usize,
    /// Neighbours at which offers of others are no longer accepted. Default 20: peers that already
    /// have enough must still let newcomers in.
    pub max_neighbours: usize,
    /// Offers in one announce, at most; a tracker passes each to another peer. Default 10: what
    /// trackers accept (the cap of aquatic).
    pub offers_per_announce: usize,
    /// How long an offer waits for its answer. Default 50 s: what WebTorrent clients use.
    pub offer_timeout: Duration,
}

impl SignallingConfig {
    /// The default settings for these trackers, this swarm and this peer.
    #[must_use]
    pub fn new(trackers: Vec<String>, swarm: SwarmId, peer: PeerId) -> Self {
        Self {
            trackers,
            swarm,
            peer,
            plan: ChannelPlan::P2PCDN_1,
            first_link: LinkId(0),
            wanted_count: 12,
            max_neighbours: 20,
            offers_per_announce: 10,
            offer_timeout: Duration::from_secs(50),
        }
    }
}
