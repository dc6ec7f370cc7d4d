//! A small world for viewers: one queue of events, an edge that is never busy, a tracker.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2pcdn::wire::{BitRate, Instant};
use p2pcdn_example_simulate::{
    actor::{Actor, Outbox},
    draw::Draws,
    event::{ActorId, Answer, Request, Resource, Signal, Timer, What},
    media::Media,
    people::Population,
    scenario::Scenario,
    tally::{Tally, Viewed},
    viewer::{Viewer, ViewerStore},
    world::Shared,
};

/// Of an edge: what it sends at once.
const CHUNK: u64 = 16 << 10;

/// From the start of the clock, when the publisher's peer comes, to the first arrival.
pub const LEAD: Duration = Duration::from_secs(10);

pub struct World<S> {
    pub now: Instant,
    pub shared: Arc<Shared>,
    pub viewers: Vec<Viewer<S>>,
    pub publisher: Viewer<S>,
    queue: BTreeMap<(Instant, u64), (ActorId, ActorId, What)>,
    serial: u64,
    pub events: u64,
    /// FNV-1a over every event, in order.
    pub digest: u64,
    members: Vec<ActorId>,
    /// What the edge still has to send: by viewer and request.
    bodies: BTreeMap<(ActorId, u32), u64>,
    pub requests: Vec<(Instant, ActorId, Request)>,
}

impl<S: ViewerStore> World<S> {
    pub fn new(scenario: Scenario, change: impl FnOnce(&mut Population)) -> Self {
        let mut population = Population::new(&scenario);
        for person in &mut population.people {
            person.arrives_at += LEAD;
        }
        change(&mut population);
        let media = Arc::new(Media::new(&scenario));
        let draws = Draws::new(scenario.seed);
        let shared = Arc::new(Shared {
            scenario,
            population,
            media,
            draws,
        });
        let people = shared.population.people.len() as u32;
        let viewer = |person| Viewer::new(shared.clone(), person);
        let mut world = Self {
            now: Instant::EPOCH,
            viewers: (0..people).map(viewer).collect(),
            publisher: Viewer::publisher(shared.clone()),
            queue: BTreeMap::new(),
            serial: 0,
            events: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            members: Vec::new(),
            bodies: BTreeMap::new(),
            requests: Vec::new(),
            shared,
        };
        for person in 0..people {
            let at = world.shared.population.people[person as usize].arrives_at;
            world.push(person, person, at, What::Timer(Timer::Arrive));
        }
        world
    }

    /// Has the publisher's peer there from shortly before the first viewer.
    pub fn with_publisher(mut self) -> Self {
        let own = self.shared.publisher();
        self.push(own, own, Instant::EPOCH, What::Timer(Timer::Arrive));
        self
    }

    pub fn run_until(&mut self, until: Instant) {
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > until {
                break;
            }
            let (from, to, what) = entry.remove();
            assert!(at >= self.now, "time goes back");
            self.now = at;
            self.events += 1;
            assert!(self.events < 20_000_000, "it never ends");
            for byte in format!("{at} {from} {to} {what:?}").bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            self.happen(from, to, what);
        }
        self.now = until;
    }

    /// Seconds from the first arrival.
    pub fn run_secs(&mut self, secs: u64) {
        self.run_until(Instant::EPOCH + LEAD + Duration::from_secs(secs));
    }

    pub fn tally(&self, viewer: usize) -> Tally {
        self.viewers[viewer].tally(self.now)
    }

    fn push(&mut self, from: ActorId, to: ActorId, at: Instant, what: What) {
        self.serial += 1;
        self.queue.insert((at, self.serial), (from, to, what));
    }

    fn happen(&mut self, from: ActorId, to: ActorId, what: What) {
        let people = self.viewers.len() as u32;
        let mut out = Outbox::default();
        if to < people || to == self.shared.publisher() {
            let viewer = self
                .viewers
                .get_mut(to as usize)
                .unwrap_or(&mut self.publisher);
            viewer.handle(from, what, self.now, &mut out);
            viewer.settle(self.now, &mut out);
        } else if to == self.shared.tracker() {
            self.track(from, what, &mut out);
        } else {
            self.serve(from, what, &mut out);
        }
        for (at, target, what) in out.drain() {
            let least = if target == to {
                Duration::ZERO
            } else {
                Duration::from_millis(4)
            };
            assert!(at >= self.now + least, "too soon: {what:?}");
            self.push(to, target, at, what);
        }
    }

    /// The edge: the head after 20 ms, then chunks, a few at a time.
    fn serve(&mut self, viewer: ActorId, what: What, out: &mut Outbox) {
        let seat = if viewer == self.shared.publisher() {
            0
        } else {
            viewer
        };
        let delay = self.shared.population.edge_delay(seat);
        match what {
            What::Request(request) => {
                self.requests.push((self.now, viewer, request));
                let at = self.now + Duration::from_millis(20);
                let media = &self.shared.media;
                let (status, len) = match request.resource {
                    Resource::Manifest { .. } => (200, media.playlist_len()),
                    Resource::Segment {
                        start,
                        end,
                        ordinal,
                        ..
                    } => {
                        assert!(media.available_at(ordinal) <= self.now, "asked too early");
                        (200, end - start)
                    }
                    Resource::Map { track, ordinal } if media.map_at(track, ordinal) <= at => {
                        (200, media.map(track, ordinal).len() as u64)
                    }
                    Resource::Map { .. } => (404, 0),
                };
                let answer = Answer::Head {
                    status,
                    len,
                    published: media.published(at),
                    took: Duration::from_millis(20),
                };
                let request = request.request;
                out.send(viewer, at + delay, What::Answer { request, answer });
                if len > 0 {
                    self.bodies.insert((viewer, request), len);
                    (0..4).for_each(|_| self.send_chunk(viewer, request, at + delay, out));
                }
            }
            What::Acknowledged { request, count } => {
                for _ in 0..count {
                    self.send_chunk(viewer, request, self.now + delay, out);
                }
            }
            What::Cancelled { request } => {
                self.bodies.remove(&(viewer, request));
            }
            other => panic!("an edge is told {other:?}"),
        }
    }

    fn send_chunk(&mut self, viewer: ActorId, request: u32, at: Instant, out: &mut Outbox) {
        let Some(left) = self.bodies.get_mut(&(viewer, request)) else {
            return;
        };
        let len = CHUNK.min(*left);
        *left -= len;
        let last = *left == 0;
        if last {
            self.bodies.remove(&(viewer, request));
        }
        let len = len as u32;
        let answer = Answer::Chunk { len, last };
        out.send(viewer, at, What::Answer { request, answer });
    }

    /// The tracker: hands the offers to the other members in turn.
    fn track(&mut self, from: ActorId, what: What, out: &mut Outbox) {
        let What::Signal(signal) = what else {
            panic!("a tracker is told {what:?}");
        };
        let Signal::Announce { links, leaving } = *signal else {
            panic!("a tracker is told {signal:?}");
        };
        self.members.retain(|member| *member != from);
        if leaving {
            return;
        }
        let at = self.now + Duration::from_millis(30);
        for (their_link, member) in links.iter().zip(&self.members) {
            let their_link = *their_link;
            let offer = Signal::Offer { from, their_link };
            out.send(*member, at, What::Signal(Box::new(offer)));
        }
        self.members.push(from);
        let announced = Signal::Announced {
            viewers: self.members.len() as u32,
            interval: Duration::from_secs(120),
        };
        out.send(from, at, What::Signal(Box::new(announced)));
    }
}

pub fn mbps(rate: u64) -> BitRate {
    BitRate::from_bps(rate * 1_000_000)
}
