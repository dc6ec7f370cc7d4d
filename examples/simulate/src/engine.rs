//! Runs the actors of a world in virtual time.

mod clock;
mod layout;
mod shard;
mod wheel;

use std::{mem, time::Duration};

use p2pcdn::wire::Instant;
use rayon::prelude::*;

use self::{
    clock::Clock,
    layout::Layout,
    shard::{Limits, Shard},
};
use crate::{
    actor::Actor,
    event::{ActorId, What},
};

/// How an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Between two different actors at least this much time passes.
    pub lookahead: Duration,
    /// See `Scenario::tick`.
    pub tick: Duration,
    /// Threads that share the work; what happens does not depend on their number.
    pub threads: usize,
    /// How many of the last actors are edges and trackers: they are busier than viewers, so they
    /// get shards of their own.
    pub services: u32,
    /// Nothing happens from here on.
    pub end: Instant,
}

/// A discrete-event engine on any number of threads, whose traces do not depend on that number.
///
/// Time is cut into windows as long as the time that passes at least between two different actors.
/// So nothing that one actor does in a window can reach another in the same window, and each of
/// them is run through the window by itself: all its events, in the order of (moment, sender,
/// sender's count of events caused), with those that it causes for itself meanwhile. Then the next
/// window, with an event in it, begins.
///
/// With a tick, windows are that long, an actor is told all of a window before one
/// [`Actor::settle`], and what would reach another actor within the window reaches it when the next
/// one begins, so up to a tick late. Without a tick such an event is a mistake of its sender.
#[derive(Debug)]
pub struct Engine<A> {
    shards: Vec<Shard<A>>,
    layout: Layout,
    clock: Clock,
    pool: Option<rayon::ThreadPool>,
}

impl<A: Actor> Engine<A> {
    /// An engine at the epoch, with nothing to do yet. The number of an actor is its place in
    /// `actors`.
    ///
    /// # Panics
    ///
    /// When the tick is longer than 4 s, or the system gives no threads.
    #[must_use]
    pub fn new(actors: Vec<A>, config: EngineConfig) -> Self {
        let count = u32::try_from(actors.len()).expect("actors are numbered with 32 bits");
        let layout = Layout::new(count, config.services, config.threads);
        let clock = Clock::new(config.lookahead.max(config.tick));
        let limits = Limits {
            clock,
            end: config.end,
            is_batched: config.tick > Duration::ZERO,
        };
        let mut actors = actors.into_iter();
        let shards = (0..layout.shard_count()).map(|number| {
            let len = layout.first_of(number + 1) - layout.first_of(number);
            let own = actors.by_ref().take(len as usize).collect();
            Shard::new(own, number, layout, limits)
        });
        let shards = shards.collect();
        let pool = (config.threads > 1).then(|| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(config.threads);
            builder.build().expect("the system gives threads")
        });
        Self {
            shards,
            layout,
            clock,
            pool,
        }
    }

    /// Something that happens to an actor from outside; it counts as caused by itself.
    pub fn schedule(&mut self, to: ActorId, at: Instant, what: What) {
        let shard = self.layout.shard_of(to);
        self.shards[shard].office.schedule(to, at, what);
    }

    /// Plays all windows that begin before `until`; gives the moment when the last of them ends.
    pub fn run_until(&mut self, until: Instant) -> Instant {
        let (window, offset) = self.clock.place(until);
        let stop = window + u64::from(offset > 0);
        let Self { shards, pool, .. } = self;
        match pool {
            Some(pool) => pool.install(|| run_shards(shards, stop)),
            None => run_shards(shards, stop),
        }
        self.clock.start(stop)
    }

    /// What `add` makes of the actors of each shard, in their order, beginning with the default.
    pub fn gather<T: Default + Send>(&self, add: impl Fn(&mut T, ActorId, &A) + Sync) -> Vec<T>
    where
        A: Sync,
    {
        let gather = |(number, shard): (usize, &Shard<A>)| {
            let mut gathered = T::default();
            for (actor, number) in shard.actors.iter().zip(self.layout.first_of(number)..) {
                add(&mut gathered, number, actor);
            }
            gathered
        };
        match &self.pool {
            Some(pool) => pool.install(|| {
                self.shards
                    .par_iter()
                    .enumerate()
                    .map(|(n, it)| gather((n, it)))
                    .collect()
            }),
            None => self.shards.iter().enumerate().map(gather).collect(),
        }
    }

    /// Ends: what `ask` gives for each actor, in their order. Each is gone before the next is
    /// asked, so that the answers take the room of those who gave them.
    pub fn dissolve<T>(self, mut ask: impl FnMut(A) -> T) -> Vec<T> {
        let mut answers = Vec::new();
        for shard in self.shards {
            let Shard { actors, office, .. } = shard;
            drop(office);
            answers.extend(actors.into_iter().map(&mut ask));
        }
        answers
    }

    /// Events that have happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.shards.iter().map(|shard| shard.office.events).sum()
    }

    /// A digest over who was told something by whom and when: two runs with equal digests went
    /// alike.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let digests = self.shards.iter().map(|shard| shard.office.digest);
        digests.fold(0, u64::wrapping_add)
    }

    /// Events that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shards.iter().map(|shard| shard.office.pending()).sum()
    }

    /// Bytes that waiting events occupy, without what they refer to.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.office.heap_len())
            .sum()
    }
}

fn run_shards<A: Actor>(shards: &mut [Shard<A>], stop: u64) {
    loop {
        let next = shards
            .iter()
            .filter_map(|shard| shard.office.next_window())
            .min();
        let Some(window) = next.filter(|&window| window < stop) else {
            return;
        };
        let events: usize = shards.iter().map(|shard| shard.office.len_of(window)).sum();
        let is_shared = shards.len() > 1 && events >= WORTH_SHARING;
        if is_shared {
            shards.par_iter_mut().for_each(|shard| shard.run(window));
        } else {
            shards.iter_mut().for_each(|shard| shard.run(window));
        }
        if exchange(shards) >= WORTH_SHARING {
            shards
                .par_iter_mut()
                .for_each(|shard| shard.office.collect());
        } else {
            shards.iter_mut().for_each(|shard| shard.office.collect());
        }
    }
}

/// Hands what each shard has for another over to it; gives how many events these are.
fn exchange<A>(shards: &mut [Shard<A>]) -> usize {
    let mut count = 0;
    for to in 0..shards.len() {
        for from in 0..shards.len() {
            let mail = &mut shards[from].office.outgoing[to];
            if mail.is_empty() {
                continue;
            }
            count += mail.len();
            // The receiver's mail is empty: it was collected after the last window.
            let mail = mem::take(mail);
            let emptied = mem::replace(&mut shards[to].office.incoming[from], mail);
            shards[from].office.outgoing[to] = emptied;
        }
    }
    count
}

/// Events of a window below which waking other threads costs more than it saves.
const WORTH_SHARING: usize = 128;
