//! The peers of one swarm.

use std::collections::HashMap;

use rand::{Rng, seq::index};

use crate::{
    protocol::{Event, Id},
    state::ConnectionId,
};

/// The peers of one swarm and where to reach them.
#[derive(Debug, Default)]
pub(crate) struct Swarm {
    peers: Vec<Peer>,
    places: HashMap<Id, usize>,
    complete_count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    id: Id,
    connection: ConnectionId,
    complete: bool,
}

impl Swarm {
    /// Adds a peer or changes what is known of it; returns the connection that it was reached by
    /// before, if that was another one.
    ///
    /// The latest announce decides where a peer is reached: a viewer that lost its connection comes
    /// back by a new one long before the old one has timed out here.
    pub(crate) fn announce(
        &mut self,
        id: Id,
        connection: ConnectionId,
        event: Event,
        complete: bool,
    ) -> Option<ConnectionId> {
        let complete = complete || event == Event::Completed;
        let Some(place) = self.places.get(&id) else {
            self.places.insert(id, self.peers.len());
            self.peers.push(Peer {
                id,
                connection,
                complete,
            });
            self.complete_count += usize::from(complete);
            return None;
        };
        let peer = &mut self.peers[*place];
        if complete && !peer.complete {
            peer.complete = true;
            self.complete_count += 1;
        }
        let before = std::mem::replace(&mut peer.connection, connection);
        (before != connection).then_some(before)
    }

    /// Takes out a peer that is reached by `connection`.
    pub(crate) fn leave(&mut self, id: Id, connection: ConnectionId) {
        let Some(place) = self.places.get(&id).copied() else {
            return;
        };
        if self.peers[place].connection != connection {
            return;
        }
        self.places.remove(&id);
        let peer = self.peers.swap_remove(place);
        self.complete_count -= usize::from(peer.complete);
        if let Some(moved) = self.peers.get(place) {
            self.places.insert(moved.id, place);
        }
    }

    /// Where up to `count` different peers other than `except` are reached, chosen at random.
    pub(crate) fn pick(&self, count: usize, except: Id, rng: &mut impl Rng) -> Vec<ConnectionId> {
        let amount = self.peers.len().min(count.saturating_add(1));
        index::sample(rng, self.peers.len(), amount)
            .into_iter()
            .map(|place| self.peers[place])
            .filter(|peer| peer.id != except)
            .take(count)
            .map(|peer| peer.connection)
            .collect()
    }

    pub(crate) fn connection_of(&self, id: Id) -> Option<ConnectionId> {
        let place = self.places.get(&id)?;
        Some(self.peers[*place].connection)
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        self.places.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn complete_count(&self) -> usize {
        self.complete_count
    }

    pub(crate) fn incomplete_count(&self) -> usize {
        self.peers.len() - self.complete_count
    }
}
