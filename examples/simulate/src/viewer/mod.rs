//! A viewer of the hybrid world: the session that ships, and around it what the client of p2pcdn is
//! around it, with lines instead of sockets.
//!
//! Inputs reach the session in the order and under the circumstances in which `p2pcdn::Client`
//! tells them; connections come about as its signalling and its WebRTC endpoint have it.

mod http;
mod life;
mod links;
mod outputs;
pub(crate) mod polling;
mod publishing;
mod signalling;
mod transfer;
mod viewing;

use std::{fmt::Debug, sync::Arc};

use p2pcdn::{
    MemoryStore, MemoryStoreConfig, Session, Store,
    wire::{Instant, PeerId, SegmentRef, mix},
};

use self::life::Life;
use crate::{
    actor::{Actor, Outbox},
    draw::Draws,
    event::{ActorId, Signal, Timer, What},
    media::Media,
    tally::{Glance, SegmentKey, Tally, Viewed},
    trace::Recording,
    virtual_store::VirtualStore,
    world::Shared,
};

/// A store that a simulated viewer can have.
pub trait ViewerStore: Store + Send + Debug + Sized {
    /// An empty one that trusts the publisher of `media`.
    fn open(media: &Media) -> Self;

    /// Bytes of what would be played of a segment that are not the publisher's.
    fn bad_len(&self, segment: SegmentRef, key: SegmentKey, media: &Media) -> u64;
}

/// One viewer, before, during and after its stay; or the publisher, who signs block maps and hands
/// them to its neighbours.
#[derive(Debug)]
pub struct Viewer<S> {
    shared: Arc<Shared>,
    own: ActorId,
    state: State<S>,
    /// While the viewer is not there; a life has it.
    recording: Option<Box<Recording>>,
}

#[derive(Debug)]
enum State<S> {
    Away,
    Here(Box<Life<S>>),
    Gone(Box<Tally>),
}

impl<S: ViewerStore> Viewer<S> {
    /// The viewer that this person is; it waits for [`Timer::Arrive`].
    #[must_use]
    pub fn new(shared: Arc<Shared>, person: u32) -> Self {
        Self {
            shared,
            own: person,
            state: State::Away,
            recording: None,
        }
    }

    /// The same, with its session recorded.
    #[must_use]
    pub fn recorded(self, recording: Recording) -> Self {
        Self {
            recording: Some(Box::new(recording)),
            ..self
        }
    }

    /// The publisher's peer, which plays nothing. It needs a [`Timer::Arrive`] too, before the
    /// first viewer's.
    #[must_use]
    pub fn publisher(shared: Arc<Shared>) -> Self {
        let own = shared.publisher();
        Self::new(shared, own)
    }

    /// Bytes on the heap that are the shell's alone: without session, store and player.
    #[must_use]
    pub fn shell_heap_len(&self) -> usize {
        match &self.state {
            State::Here(life) => size_of::<Life<S>>() + life.heap_len(),
            State::Away | State::Gone(_) => 0,
        }
    }

    /// The session, while the viewer is here and knows what it watches.
    #[must_use]
    pub fn session(&self) -> Option<&p2pcdn::Session<S>> {
        match &self.state {
            State::Here(life) => life.session(),
            State::Away | State::Gone(_) => None,
        }
    }

    fn depart(&mut self, is_crash: bool, now: Instant, out: &mut Outbox) {
        if let State::Here(life) = &mut self.state {
            life.depart(is_crash, now, out);
            self.recording = life.take_recording();
            self.state = State::Gone(Box::new(life.tally(now)));
        }
    }
}

impl<S: ViewerStore> Actor for Viewer<S> {
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        let _span = tracing::error_span!("viewer", own = self.own, ?now).entered();
        match (&mut self.state, what) {
            (State::Away, What::Timer(Timer::Arrive)) => {
                let recording = self.recording.take();
                let life = Life::new(self.shared.clone(), self.own, recording, now, out);
                self.state = State::Here(Box::new(life));
            }
            (State::Here(_), What::Timer(Timer::Depart { crash })) => {
                self.depart(crash, now, out);
            }
            (State::Here(life), what) => life.handle(from, what, now, out),
            // Nobody is there to complete the connection, which fails at the other side then.
            (State::Gone(_), What::Signal(signal)) => {
                if let Signal::Answer {
                    from, their_link, ..
                } = *signal
                {
                    signalling::fail(&self.shared, self.own, from, their_link, now, out);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, now: Instant, out: &mut Outbox) {
        let _span = tracing::error_span!("viewer", own = self.own, ?now).entered();
        if let State::Here(life) = &mut self.state {
            life.settle(now, out);
        }
    }
}

impl<S: ViewerStore> Viewed for Viewer<S> {
    fn tally(&self, now: Instant) -> Tally {
        match &self.state {
            State::Away => Tally {
                person: self.own,
                ..Tally::default()
            },
            State::Here(life) => life.tally(now),
            State::Gone(tally) => (**tally).clone(),
        }
    }

    fn trace(&self) -> Option<Vec<u8>> {
        let recording = match &self.state {
            State::Here(life) => life.recording(),
            State::Away | State::Gone(_) => self.recording.as_deref(),
        };
        recording.map(Recording::trace)
    }

    fn glance(&self, now: Instant) -> Glance {
        match &self.state {
            State::Away => Glance::default(),
            State::Here(life) => life.glance(now),
            State::Gone(tally) => Glance {
                delivery: tally.delivery,
                ..Glance::default()
            },
        }
    }
}

impl ViewerStore for MemoryStore {
    fn open(media: &Media) -> Self {
        Self::new(MemoryStoreConfig {
            keys: vec![media.publisher_key()],
            ..MemoryStoreConfig::default()
        })
    }

    fn bad_len(&self, segment: SegmentRef, key: SegmentKey, media: &Media) -> u64 {
        let mut offset = 0;
        let mut bad = 0;
        for bytes in self.playable(segment, 0) {
            let end = offset + bytes.len() as u64;
            let good = media.bytes(key.track, key.ordinal, offset..end);
            let pairs = bytes.iter().zip(&good);
            bad += pairs.filter(|(byte, good)| byte != good).count() as u64;
            bad += bytes.len().saturating_sub(good.len()) as u64;
            offset = end;
        }
        bad
    }
}

impl ViewerStore for VirtualStore {
    fn open(_: &Media) -> Self {
        Self::default()
    }

    fn bad_len(&self, segment: SegmentRef, _: SegmentKey, _: &Media) -> u64 {
        self.bad_len(segment)
    }
}

/// The session of a viewer as it is before it is told anything, for a replay.
#[must_use]
pub fn new_session<S: ViewerStore>(shared: &Shared, person: u32, now: Instant) -> Session<S> {
    // Every update names the same swarm.
    let presentation = shared.media.presentation(0);
    life::new_session(shared, person, &presentation, now)
}

/// The id under which an actor is known to its peers.
#[must_use]
pub fn peer_id(draws: Draws, actor: ActorId) -> PeerId {
    let bits = draws.of("peer id").nth(u64::from(actor)).bits();
    let mut id = [0; PeerId::LEN];
    id[..8].copy_from_slice(&bits.to_be_bytes());
    id[8..16].copy_from_slice(&mix(bits).to_be_bytes());
    // The draws may repeat, the number does not.
    id[16..].copy_from_slice(&actor.to_be_bytes());
    PeerId::new(id)
}
