//! What the engine runs.

use p2pcdn::wire::Instant;

use crate::event::{ActorId, What};

/// One who is told what happens and causes more.
pub trait Actor: Send {
    /// Takes in what happened at `now`; what it causes goes to `out`.
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox);

    /// Called after the last of the events that an actor was told together (see
    /// `Scenario::tick`; one event at a time without it).
    fn settle(&mut self, now: Instant, out: &mut Outbox);
}

/// Where an actor puts what it causes.
#[derive(Debug, Default)]
pub struct Outbox {
    sent: Vec<(Instant, ActorId, What)>,
}

impl Outbox {
    /// `what` happens to the actor itself at `at`.
    pub fn later(&mut self, own: ActorId, at: Instant, what: What) {
        self.sent.push((at, own, what));
    }

    /// `what` happens to another actor at `at`, at least the engine's lookahead from now.
    pub fn send(&mut self, to: ActorId, at: Instant, what: What) {
        self.sent.push((at, to, what));
    }

    /// Takes out what was put in, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = (Instant, ActorId, What)> + '_ {
        self.sent.drain(..)
    }
}
