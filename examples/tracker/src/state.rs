//! All swarms and connections, and what a request does to them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use axum::extract::ws::{Message, Utf8Bytes};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tracing::{debug, trace};

use crate::{
    config::Config,
    protocol::{Announce, Event, Failure, Flags, Id, Reply, Request, Scraped},
    swarm::Swarm,
};

/// One WebSocket, numbered and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(u64);

/// All swarms and connections.
#[derive(Debug)]
pub(crate) struct State {
    config: Config,
    swarms: HashMap<Id, Swarm>,
    connections: HashMap<ConnectionId, Connection>,
    next_id: u64,
}

#[derive(Debug)]
struct Connection {
    queue: mpsc::Sender<Message>,
    closing: Arc<Notify>,
    /// Swarms and who it is in them.
    joined: BTreeSet<(Id, Id)>,
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            swarms: HashMap::new(),
            connections: HashMap::new(),
            next_id: 0,
        }
    }

    /// Adds a connection whose messages go to `queue`, and which is told by `closing` to end.
    pub(crate) fn connect(
        &mut self,
        queue: mpsc::Sender<Message>,
        closing: Arc<Notify>,
    ) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        let connection = Connection {
            queue,
            closing,
            joined: BTreeSet::new(),
        };
        self.connections.insert(id, connection);
        id
    }

    /// Takes a connection out of everything it had joined. Harmless when that was done before.
    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        connection.closing.notify_one();
        for (info_hash, peer_id) in connection.joined {
            self.leave_swarm(info_hash, peer_id, id);
        }
    }

    /// Carries out one message of a connection.
    pub(crate) fn handle_message(&mut self, from: ConnectionId, text: &str) {
        let outcome = Request::parse(text).and_then(|request| match request {
            Request::Announce(announce) => self.announce(from, &announce),
            Request::Scrape(info_hashes) => self.scrape(from, &info_hashes),
        });
        if let Err(failure) = outcome {
            debug!(?from, ?failure, "refused a message");
            self.send(from, &failure);
        }
    }

    /// What there is, for people.
    pub(crate) fn summary(&self) -> String {
        let peer_count: usize = self.swarms.values().map(Swarm::len).sum();
        format!(
            "p2pcdn tracker: {} connections, {} swarms, {peer_count} peers\n",
            self.connections.len(),
            self.swarms.len()
        )
    }

    fn announce(&mut self, from: ConnectionId, announce: &Announce) -> Result<(), Failure> {
        if announce.event == Event::Stopped {
            self.leave(from, announce);
        } else {
            self.join(from, announce)?;
        }
        let info_hash = announce.info_hash;
        match &announce.answer {
            // Answers come many at a time and get no reply.
            Some(_) => {}
            None => {
                let swarm = self.swarms.get(&info_hash);
                let reply = Reply::Announce {
                    info_hash,
                    interval: self.config.interval.as_secs(),
                    complete: swarm.map_or(0, Swarm::complete_count),
                    incomplete: swarm.map_or(0, Swarm::incomplete_count),
                };
                self.send(from, &reply);
            }
        }
        if announce.event != Event::Stopped {
            self.hand_on_offers(announce);
            self.hand_on_answer(announce);
        }
        Ok(())
    }

    fn join(&mut self, from: ConnectionId, announce: &Announce) -> Result<(), Failure> {
        let (info_hash, peer_id) = (announce.info_hash, announce.peer_id);
        let fail = |reason| Err(Failure::of_announce(info_hash, reason));
        let Some(connection) = self.connections.get_mut(&from) else {
            return Ok(());
        };
        let key = (info_hash, peer_id);
        if !connection.joined.contains(&key) && connection.joined.len() >= self.config.max_joined {
            return fail("too many swarms on one connection");
        }
        match self.swarms.get(&info_hash) {
            Some(swarm) if !swarm.contains(peer_id) && swarm.len() >= self.config.max_peers => {
                return fail("the swarm is full");
            }
            None if self.swarms.len() >= self.config.max_swarms => {
                return fail("too many swarms");
            }
            _ => {}
        }
        connection.joined.insert(key);
        let swarm = self.swarms.entry(info_hash).or_default();
        let before = swarm.announce(peer_id, from, announce.event, announce.complete);
        if let Some(before) = before.and_then(|before| self.connections.get_mut(&before)) {
            before.joined.remove(&key);
        }
        Ok(())
    }

    fn leave(&mut self, from: ConnectionId, announce: &Announce) {
        let key = (announce.info_hash, announce.peer_id);
        let connection = self.connections.get_mut(&from);
        if connection.is_some_and(|connection| connection.joined.remove(&key)) {
            self.leave_swarm(announce.info_hash, announce.peer_id, from);
        }
    }

    fn leave_swarm(&mut self, info_hash: Id, peer_id: Id, connection: ConnectionId) {
        if let Some(swarm) = self.swarms.get_mut(&info_hash) {
            swarm.leave(peer_id, connection);
            if swarm.len() == 0 {
                self.swarms.remove(&info_hash);
            }
        }
    }

    fn hand_on_offers(&mut self, announce: &Announce) {
        let Some(swarm) = self.swarms.get(&announce.info_hash) else {
            return;
        };
        let count = announce.offers.len().min(self.config.max_offers);
        let peers = swarm.pick(count, announce.peer_id, &mut rand::rng());
        for (peer, offer) in peers.into_iter().zip(&announce.offers) {
            let reply = Reply::Offer {
                info_hash: announce.info_hash,
                peer_id: announce.peer_id,
                offer_id: offer.offer_id,
                offer: &offer.offer,
            };
            self.send(peer, &reply);
        }
    }

    fn hand_on_answer(&mut self, announce: &Announce) {
        let Some(answer) = &announce.answer else {
            return;
        };
        let swarm = self.swarms.get(&announce.info_hash);
        let Some(peer) = swarm.and_then(|swarm| swarm.connection_of(answer.to_peer_id)) else {
            trace!(to = %answer.to_peer_id, "an answer came after its peer had left");
            return;
        };
        let reply = Reply::Answer {
            info_hash: announce.info_hash,
            peer_id: announce.peer_id,
            offer_id: answer.offer_id,
            answer: &answer.answer,
        };
        self.send(peer, &reply);
    }

    fn scrape(&mut self, from: ConnectionId, info_hashes: &[Id]) -> Result<(), Failure> {
        if info_hashes.len() > self.config.max_scraped {
            return Err(Failure::of_scrape("too many swarms in one scrape"));
        }
        let scraped = |info_hash| {
            let swarm = self.swarms.get(info_hash);
            let complete = swarm.map_or(0, Swarm::complete_count);
            Scraped {
                complete,
                incomplete: swarm.map_or(0, Swarm::incomplete_count),
                downloaded: complete,
            }
        };
        let files: BTreeMap<Id, Scraped> = info_hashes
            .iter()
            .map(|info_hash| (*info_hash, scraped(info_hash)))
            .collect();
        let reply = Reply::Scrape {
            files,
            flags: Flags {
                min_request_interval: self.config.interval.as_secs(),
            },
        };
        self.send(from, &reply);
        Ok(())
    }

    /// Queues a message; a connection whose queue is full reads too slowly and is closed.
    fn send(&mut self, to: ConnectionId, message: &impl Serialize) {
        let Some(connection) = self.connections.get(&to) else {
            return;
        };
        let text = serde_json::to_string(message).expect("string keys and plain values only");
        let message = Message::Text(Utf8Bytes::from(text));
        if connection.queue.try_send(message).is_err() {
            debug!(?to, "closing a connection that reads too slowly");
            self.disconnect(to);
        }
    }
}
