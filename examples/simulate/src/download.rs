//! HTTP as a viewer without peers sees it: requests to its edge, and bodies that pass its access
//! line chunk by chunk.

use std::{collections::VecDeque, time::Duration};

use p2pcdn::wire::Instant;

use crate::{
    actor::Outbox,
    event::{ActorId, Answer, Request, Resource, Timer, What},
    goodput::tcp_rate_cap,
    line::Line,
    world::Shared,
};

/// The downloads of one viewer.
#[derive(Debug)]
pub(crate) struct Downloads {
    own: ActorId,
    edge: ActorId,
    /// One way.
    delay: Duration,
    rate_cap: u64,
    downlink: Line,
    /// What is on the access line, in order.
    passing: VecDeque<Passing>,
    open: Vec<u32>,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Passing {
    /// When its last bit has passed.
    at: Instant,
    request: u32,
    chunk: Chunk,
}

/// Bytes of a body that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) len: u32,
    pub(crate) is_last: bool,
}

/// A response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) published: u64,
}

impl Downloads {
    pub(crate) fn new(shared: &Shared, person: u32) -> Self {
        let population = &shared.population;
        let people = u32::try_from(population.people.len()).expect("actors have 32 bits");
        let delay = population.edge_delay(person);
        let rate_cap = tcp_rate_cap(2 * delay, shared.scenario.http_loss);
        Self {
            own: person,
            edge: people + u32::from(population.people[person as usize].edge),
            delay,
            rate_cap: rate_cap.map_or(u64::MAX, |rate| rate.as_bps()),
            downlink: population.downlink(person),
            passing: VecDeque::new(),
            open: Vec::new(),
            next: 0,
        }
    }

    /// Asks the edge; returns the number of the request.
    pub(crate) fn request(
        &mut self,
        resource: Resource,
        ttfb_draw: u64,
        now: Instant,
        out: &mut Outbox,
    ) -> u32 {
        let request = self.next;
        self.next += 1;
        self.open.push(request);
        let asked = Request {
            request,
            resource,
            ttfb_draw,
            rate_cap: self.rate_cap,
        };
        out.send(self.edge, now + self.delay, What::Request(asked));
        request
    }

    pub(crate) fn cancel(&mut self, request: u32, now: Instant, out: &mut Outbox) {
        if self.close(request) {
            let cancelled = What::Cancelled { request };
            out.send(self.edge, now + self.delay, cancelled);
        }
    }

    /// Ends everything.
    pub(crate) fn cancel_all(&mut self, now: Instant, out: &mut Outbox) {
        for request in std::mem::take(&mut self.open) {
            let cancelled = What::Cancelled { request };
            out.send(self.edge, now + self.delay, cancelled);
        }
        self.passing = VecDeque::new();
    }

    /// Takes what came from the edge. A chunk has yet to pass the access line; the head of a
    /// request that is still open is returned.
    pub(crate) fn answered(
        &mut self,
        request: u32,
        answer: Answer,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<Head> {
        match answer {
            Answer::Head {
                status, published, ..
            } => {
                let is_failure = !(200..300).contains(&status);
                let is_open = self.open.contains(&request);
                if is_failure {
                    self.close(request);
                }
                is_open.then_some(Head { status, published })
            }
            Answer::Chunk { len, last } => {
                let at = self.downlink.pass(u64::from(len), now);
                if self.passing.is_empty() {
                    out.later(self.own, at, What::Timer(Timer::Passed));
                }
                let chunk = Chunk { len, is_last: last };
                self.passing.push_back(Passing { at, request, chunk });
                None
            }
        }
    }

    /// The next chunk that has passed the access line by now; it is acknowledged. To be asked at
    /// each `Timer::Passed` until there is none.
    pub(crate) fn passed(&mut self, now: Instant, out: &mut Outbox) -> Option<(u32, Chunk)> {
        while let Some(first) = self.passing.front().copied() {
            if first.at > now {
                out.later(self.own, first.at, What::Timer(Timer::Passed));
                return None;
            }
            self.passing.pop_front();
            let Passing { request, chunk, .. } = first;
            // What was cancelled still took its time on the line.
            if self.open.contains(&request) {
                let acknowledged = What::Acknowledged { request, count: 1 };
                out.send(self.edge, now + self.delay, acknowledged);
                if chunk.is_last {
                    self.close(request);
                }
                return Some((request, chunk));
            }
        }
        None
    }

    fn close(&mut self, request: u32) -> bool {
        let at = self.open.iter().position(|it| *it == request);
        if let Some(at) = at {
            self.open.swap_remove(at);
        }
        at.is_some()
    }
}
