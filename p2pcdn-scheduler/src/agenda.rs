//! Which plans have to be made again.

use p2pcdn_wire::{Instant, Said};

use crate::{io::Input, scheduler::earliest};

/// When a plan has to be made again.
///
/// A plan that was made once decides nothing new until something that it rests on changes or its
/// time comes, so it is skipped until then. Whatever changes what a plan reads calls
/// [`spoil`](Self::spoil); the plan itself names the moments at which time alone changes what it
/// decides, with [`Scheduler::wake`](crate::Scheduler) or, where nobody has to be woken for it,
/// `look_again`. To make a plan once too often costs time, once too seldom is an error: tests and
/// debug builds make every plan at each decision on a copy, and compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// `EPOCH` when it is due whatever the time.
    at: Option<Instant>,
    /// When the plan asked to be woken.
    wake_at: Option<Instant>,
}

impl Due {
    /// Due at once.
    pub(crate) fn new() -> Self {
        Self {
            at: Some(Instant::EPOCH),
            wake_at: None,
        }
    }

    /// Something that the plan rests on changed.
    pub(crate) fn spoil(&mut self) {
        self.at = Some(Instant::EPOCH);
    }

    pub(crate) fn is_now(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }
}

impl Due {
    /// Takes note that the plan is being made.
    pub(crate) fn begin(&mut self) {
        *self = Self {
            at: None,
            wake_at: None,
        };
    }

    /// Takes note of when the plan wants to be made again, with and without being woken.
    pub(crate) fn made(&mut self, wake_at: Option<Instant>, again_at: Option<Instant>) {
        self.wake_at = wake_at;
        for at in [wake_at, again_at] {
            self.at = earliest(self.at, at);
        }
    }
}

/// The plans that are not made at each decision.
#[derive(Clone, Debug)]
pub(crate) struct Agenda {
    /// The fate of what was requested of neighbours.
    pub(crate) requests: Due,
    /// What to request of neighbours.
    pub(crate) sources: Due,
    /// When the next request lapses, or a neighbour may be asked again.
    pub(crate) patience: Due,
    pub(crate) uploads: Due,
    pub(crate) memory: Due,
}

impl Agenda {
    /// All plans are due.
    pub(crate) fn new() -> Self {
        Self {
            requests: Due::new(),
            sources: Due::new(),
            patience: Due::new(),
            uploads: Due::new(),
            memory: Due::new(),
        }
    }

    /// Takes note of an input: of the frequent ones, what they leave alone is known.
    pub(crate) fn hear(&mut self, input: &Input) {
        match input {
            // Whether credit is of use, and what a stored block means for what to request and to
            // keep, is noted where the neighbour and the segment are at hand.
            Input::SwarmCounted { .. } | Input::Credit { .. } => {}
            Input::OriginAnswered { .. }
            | Input::FetchProgressed { .. }
            | Input::FetchEnded { .. } => self.sources.spoil(),
            Input::LengthKnown { .. } => {
                self.sources.spoil();
                self.uploads.spoil();
            }
            Input::Peer(_, said) => self.hear_said(said),
            Input::BlockArrived { .. } => {
                self.requests.spoil();
                self.patience.spoil();
                self.sources.spoil();
            }
            Input::Stored { .. } => self.requests.spoil(),
            _ => *self = Self::new(),
        }
    }

    fn hear_said(&mut self, said: &Said) {
        match said {
            Said::Class(_) => self.sources.spoil(),
            Said::MapRequest { .. }
            | Said::Intent { .. }
            | Said::IntentWithdrawn { .. }
            | Said::HasMaps { .. } => {}
            Said::Request { .. } | Said::Cancel { .. } => self.uploads.spoil(),
            Said::Joined { .. }
            | Said::Left { .. }
            | Said::Have { .. }
            | Said::Holds { .. }
            | Said::Lost { .. }
            | Said::RoundTrip { .. } => self.sources.spoil(),
            Said::Reject { .. } => {
                self.requests.spoil();
                self.patience.spoil();
                self.sources.spoil();
            }
        }
    }
}
