//! Some of the actors, with the events that wait for them: what one thread works on at a time.

use std::{cmp::Reverse, collections::BinaryHeap, mem};

use p2pcdn::wire::{Instant, mix};

use super::{
    clock::{Clock, nanos},
    layout::Layout,
    wheel::{Bucket, Wheel},
};
use crate::{
    actor::{Actor, Outbox},
    event::{ActorId, Event, What},
};

#[derive(Debug)]
pub(super) struct Shard<A> {
    pub(super) actors: Vec<A>,
    pub(super) office: Office,
    keys: Vec<Key>,
    outbox: Outbox,
}

/// All of a shard but its actors.
#[derive(Debug)]
pub(super) struct Office {
    first: ActorId,
    own_shard: usize,
    layout: Layout,
    clock: Clock,
    /// Nothing that happens then or later is kept.
    end: Instant,
    /// Whether events of a window are told together.
    is_batched: bool,
    wheel: Wheel,
    /// For each actor, how many events it caused.
    serials: Vec<u32>,
    /// What the actor at work causes for itself in the window at work.
    own: BinaryHeap<Reverse<Own>>,
    /// For each shard, what is to be handed to it after the window.
    pub(super) outgoing: Vec<Mail>,
    /// From each shard, what it handed over.
    pub(super) incoming: Vec<Mail>,
    pub(super) events: u64,
    pub(super) digest: u64,
}

/// Events on their way from shard to shard.
#[derive(Debug, Default)]
pub(super) struct Mail(Vec<Event>);

/// The order of the events of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// To whom, then the offset in the window.
    to_offset: u64,
    /// From whom, then the serial number.
    from_serial: u64,
    place: u32,
}

/// An event of the window at work that its own actor caused there.
#[derive(Debug)]
struct Own {
    offset: u32,
    serial: u32,
    what: What,
}

impl<A: Actor> Shard<A> {
    pub(super) fn new(actors: Vec<A>, number: usize, layout: Layout, limits: Limits) -> Self {
        let count = actors.len();
        let boxes = || (0..layout.shard_count()).map(|_| Mail::default());
        Self {
            actors,
            office: Office {
                first: layout.first_of(number),
                own_shard: number,
                layout,
                clock: limits.clock,
                end: limits.end,
                is_batched: limits.is_batched,
                wheel: Wheel::new(limits.clock),
                serials: vec![0; count],
                own: BinaryHeap::new(),
                outgoing: boxes().collect(),
                incoming: boxes().collect(),
                events: 0,
                digest: 0,
            },
            keys: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    /// Plays all events of `window`, before which nothing is left.
    pub(super) fn run(&mut self, window: u64) {
        self.office.wheel.advance(window);
        if self.office.wheel.len_of(window) == 0 {
            return;
        }
        let mut bucket = self.office.wheel.take();
        let mut keys = mem::take(&mut self.keys);
        keys.extend(bucket.entries().map(|(place, entry)| Key {
            to_offset: pair(entry.to, entry.offset),
            from_serial: pair(entry.from, entry.serial),
            place,
        }));
        keys.sort_unstable();
        for of_one in keys.chunk_by(|a, b| a.to() == b.to()) {
            self.run_actor(of_one, window, &mut bucket);
        }
        keys.clear();
        self.keys = keys;
        self.office.wheel.recycle(bucket);
    }

    /// Plays the events of one actor, and what it causes for itself meanwhile.
    fn run_actor(&mut self, keys: &[Key], window: u64, bucket: &mut Bucket) {
        let (
            Self {
                actors,
                office,
                outbox,
                ..
            },
            Some(to),
        ) = (self, keys.first().map(Key::to))
        else {
            return;
        };
        let actor = &mut actors[(to - office.first) as usize];
        let start = nanos(office.clock.start(window));
        let mut keys = keys.iter().peekable();
        loop {
            let given = keys.peek().map(|key| (key.offset(), key.from_serial));
            let own = office
                .own
                .peek()
                .map(|Reverse(own)| (own.offset, pair(to, own.serial)));
            let is_own = match (given, own) {
                (None, None) => return,
                (given, Some(own)) => given.is_none_or(|given| own < given),
                (Some(_), None) => false,
            };
            let (offset, from_serial, what) = if is_own {
                let Reverse(own) = office.own.pop().expect("peeked");
                (own.offset, pair(to, own.serial), own.what)
            } else {
                let key = keys.next().expect("peeked");
                let what = bucket.take(key.place).expect("each place has one key");
                (key.offset(), key.from_serial, what)
            };
            let now =
                Instant::from_epoch(std::time::Duration::from_nanos(start + u64::from(offset)));
            office.count(to, nanos(now), from_serial);
            let (from, _) = split(from_serial);
            actor.handle(from, what, now, outbox);
            office.post(to, now, window, outbox);
            let is_last = keys.peek().is_none() && office.own.is_empty();
            if is_last || !office.is_batched {
                actor.settle(now, outbox);
                office.post(to, now, window, outbox);
            }
        }
    }
}

/// What all shards have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) clock: Clock,
    pub(super) end: Instant,
    pub(super) is_batched: bool,
}

impl Office {
    /// Puts in an event from outside, as one that its actor caused.
    pub(super) fn schedule(&mut self, to: ActorId, at: Instant, what: What) {
        let serial = self.next_serial(to);
        self.keep(Event {
            at,
            to,
            from: to,
            serial,
            what,
        });
    }

    /// Takes in what other shards handed over.
    pub(super) fn collect(&mut self) {
        let mut incoming = mem::take(&mut self.incoming);
        for mail in &mut incoming {
            for event in mail.0.drain(..) {
                self.keep(event);
            }
        }
        self.incoming = incoming;
    }

    /// The first window in which something happens.
    pub(super) fn next_window(&self) -> Option<u64> {
        self.wheel.next()
    }

    /// Events of the next window.
    pub(super) fn len_of(&self, window: u64) -> usize {
        self.wheel.len_of(window)
    }

    pub(super) fn pending(&self) -> usize {
        self.wheel.len()
    }

    pub(super) fn heap_len(&self) -> usize {
        let mails = self.outgoing.iter().chain(&self.incoming);
        let mail = mails.map(|mail| mail.0.capacity()).sum::<usize>();
        self.wheel.heap_len() + mail * size_of::<Event>()
    }

    /// Sends on what `from` caused at `now`.
    fn post(&mut self, from: ActorId, now: Instant, window: u64, outbox: &mut Outbox) {
        for (at, to, what) in outbox.drain() {
            let at = at.max(now);
            let serial = self.next_serial(from);
            let (due, offset) = self.clock.place(at);
            if due > window {
                self.hand_on(Event {
                    at,
                    to,
                    from,
                    serial,
                    what,
                });
            } else if to == from {
                self.own.push(Reverse(Own {
                    offset,
                    serial,
                    what,
                }));
            } else {
                debug_assert!(
                    self.is_batched,
                    "actor {from} reaches {to} within the window"
                );
                let at = self.clock.start(window + 1);
                self.hand_on(Event {
                    at,
                    to,
                    from,
                    serial,
                    what,
                });
            }
        }
    }

    fn hand_on(&mut self, event: Event) {
        match self.layout.shard_of(event.to) {
            shard if shard == self.own_shard => self.keep(event),
            shard => self.outgoing[shard].0.push(event),
        }
    }

    fn keep(&mut self, event: Event) {
        if event.at < self.end {
            self.wheel.push(event);
        }
    }

    fn next_serial(&mut self, of: ActorId) -> u32 {
        let serial = &mut self.serials[(of - self.first) as usize];
        *serial = serial.wrapping_add(1);
        *serial
    }

    /// The digest is a sum, so that it does not depend on who is run first.
    fn count(&mut self, to: ActorId, at: u64, from_serial: u64) {
        self.events += 1;
        let key = mix(mix(u64::from(to) ^ (at << 20)) ^ from_serial);
        self.digest = self.digest.wrapping_add(key ^ at);
    }
}

impl Mail {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Key {
    fn to(&self) -> ActorId {
        split(self.to_offset).0
    }

    fn offset(&self) -> u32 {
        split(self.to_offset).1
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        (self.offset, self.serial) == (other.offset, other.serial)
    }
}

impl Eq for Own {}

impl PartialOrd for Own {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Own {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.offset, self.serial).cmp(&(other.offset, other.serial))
    }
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn split(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}
