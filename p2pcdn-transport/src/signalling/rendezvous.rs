//! The links on their way from an offer to an open connection, and who is at their other end.

use std::collections::BTreeMap;

use p2pcdn_wire::{Instant, LinkId, PeerId};

use super::{TrackerId, message::OfferId};
use crate::peer::Sdp;

/// ```text
/// Making --described--> Ready --announced--> Sent --answered--> OfferedByUs --.
///                                                                             |--opened--> Open
/// (offer received) --> Answering --described--> OfferedByThem ----------------'
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rendezvous {
    /// The transport is making our offer for this tracker.
    Making {
        tracker: TrackerId,
    },
    /// Our offer waits for the announce that carries it.
    Ready {
        tracker: TrackerId,
        sdp: Sdp,
        until: Instant,
    },
    /// Our offer is out; who gets it is the tracker's choice.
    Sent {
        offer_id: OfferId,
        until: Instant,
    },
    /// The transport is making our answer.
    Answering {
        tracker: TrackerId,
        peer: PeerId,
        offer_id: OfferId,
    },
    /// Both sides know all they need; we offered.
    OfferedByUs {
        peer: PeerId,
    },
    /// Both sides know all they need; the peer offered.
    OfferedByThem {
        peer: PeerId,
    },
    Open {
        peer: PeerId,
    },
}

impl Rendezvous {
    pub(super) const fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Making { .. } | Self::Ready { .. } | Self::Sent { .. } => None,
            Self::Answering { peer, .. }
            | Self::OfferedByUs { peer }
            | Self::OfferedByThem { peer }
            | Self::Open { peer } => Some(*peer),
        }
    }

    const fn expiry(&self) -> Option<Instant> {
        match self {
            Self::Ready { until, .. } | Self::Sent { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// How we stand with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Stranger,
    OfferedByUs(LinkId),
    OfferedByThem(LinkId),
    Open,
}

/// All links of one swarm.
#[derive(Clone, Debug, Default)]
pub(super) struct Meeting {
    links: BTreeMap<LinkId, Rendezvous>,
}

impl Meeting {
    pub(super) fn insert(&mut self, link: LinkId, rendezvous: Rendezvous) {
        self.links.insert(link, rendezvous);
    }

    pub(super) fn remove(&mut self, link: LinkId) -> Option<Rendezvous> {
        self.links.remove(&link)
    }

    /// Notes that a link opened; returns whether it is one of ours.
    pub(super) fn open(&mut self, link: LinkId) -> bool {
        let Some(rendezvous) = self.links.get_mut(&link) else {
            return false;
        };
        let Some(peer) = rendezvous.peer() else {
            return false;
        };
        *rendezvous = Rendezvous::Open { peer };
        true
    }

    /// Removes the offers whose time is over, and names them.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<LinkId> {
        let is_over = |rendezvous: &Rendezvous| rendezvous.expiry().is_some_and(|at| at <= now);
        self.remove_all(is_over)
    }

    /// Removes up to `count` offers that are ready for `tracker`, oldest first.
    pub(super) fn take_ready(&mut self, tracker: TrackerId, count: usize) -> Vec<(LinkId, Sdp)> {
        let ready = self
            .links
            .iter()
            .filter_map(|(link, rendezvous)| match rendezvous {
                Rendezvous::Ready {
                    tracker: carrier,
                    sdp,
                    ..
                } if *carrier == tracker => Some((*link, sdp.clone())),
                _ => None,
            });
        let ready: Vec<_> = ready.take(count).collect();
        for (link, _) in &ready {
            self.links.remove(link);
        }
        ready
    }

    /// Removes the links that still need a tracker to come about, and names them.
    pub(super) fn unfinished(&mut self) -> Vec<LinkId> {
        self.remove_all(|rendezvous| {
            rendezvous.peer().is_none() || matches!(rendezvous, Rendezvous::Answering { .. })
        })
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Rendezvous> {
        self.links.get(&link)
    }

    pub(super) fn standing(&self, with: PeerId) -> Standing {
        let found = self
            .links
            .iter()
            .find(|(_, rendezvous)| rendezvous.peer() == Some(with));
        match found {
            None => Standing::Stranger,
            Some((_, Rendezvous::Open { .. })) => Standing::Open,
            Some((link, Rendezvous::OfferedByUs { .. })) => Standing::OfferedByUs(*link),
            Some((link, _)) => Standing::OfferedByThem(*link),
        }
    }

    /// The link whose offer is out under this id.
    pub(super) fn offered(&self, wanted: &OfferId) -> Option<LinkId> {
        let is_it = |rendezvous: &Rendezvous| matches!(rendezvous, Rendezvous::Sent { offer_id, .. } if offer_id == wanted);
        let mut links = self.links.iter();
        links
            .find(|(_, rendezvous)| is_it(rendezvous))
            .map(|(link, _)| *link)
    }

    pub(super) fn is_making(&self, tracker: TrackerId) -> bool {
        let making = Rendezvous::Making { tracker };
        self.links.values().any(|rendezvous| *rendezvous == making)
    }

    pub(super) fn ready_count(&self, tracker: TrackerId) -> usize {
        let is_ready = |rendezvous: &&Rendezvous| matches!(rendezvous, Rendezvous::Ready { tracker: carrier, .. } if *carrier == tracker);
        self.links.values().filter(is_ready).count()
    }

    /// Offers that nobody answered yet.
    pub(super) fn offer_count(&self) -> usize {
        self.links.len() - self.neighbour_count()
    }

    /// Peers connected to, or about to be.
    pub(super) fn neighbour_count(&self) -> usize {
        let neighbours = self
            .links
            .values()
            .filter(|rendezvous| rendezvous.peer().is_some());
        neighbours.count()
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.links.values().filter_map(Rendezvous::expiry).min()
    }

    fn remove_all(&mut self, is_removed: impl Fn(&Rendezvous) -> bool) -> Vec<LinkId> {
        let removed = self
            .links
            .iter()
            .filter(|(_, rendezvous)| is_removed(rendezvous));
        let removed: Vec<_> = removed.map(|(link, _)| *link).collect();
        for link in &removed {
            self.links.remove(link);
        }
        removed
    }
}
