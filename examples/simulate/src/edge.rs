//! A CDN edge.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use p2pcdn::wire::{BitRate, Instant};

use crate::{
    actor::{Actor, Outbox},
    draw::Draws,
    event::{ActorId, Answer, Request, Resource, Timer, What},
    media,
    scenario::{Outage, OutageKind},
    world::Shared,
};

/// A CDN edge: answers requests after a time to first byte, and sends bodies in chunks of
/// [`EDGE_CHUNK`].
///
/// A body is sent as far as its window allows: [`FIRST_WINDOW`] chunks that are not acknowledged
/// yet, one more for each acknowledged one, [`LAST_WINDOW`] at most. So it doubles each round trip
/// (slow start), and a slow downlink slows the sender. What its path can carry spaces the chunks
/// of a body, and all bodies share the capacity of the edge, chunk by chunk in turn.
///
/// | at | status | body |
/// |---|---|---|
/// | an outage with errors | 503, at once | none |
/// | a segment or block map that is not there yet | 404 | none |
/// | a range beyond the end | 416 | none |
/// | else | 200, or 206 when it is a part of a segment | as asked for, at most to the end |
///
/// While it is frozen nothing leaves it; it goes on as if it had only been stopped.
pub struct Edge {
    shared: Arc<Shared>,
    own: ActorId,
    outages: Vec<Outage>,
    flows: BTreeMap<FlowId, Flow>,
    line: Option<Line>,
    tally: EdgeTally,
}

/// What an edge came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeTally {
    pub requests: u64,
    /// Answers of 400 and above.
    pub errors: u64,
    /// Of bodies, sent.
    pub bytes: u64,
}

/// An answer: to whom, and the number of the request.
type FlowId = (ActorId, u32);

#[derive(Debug)]
struct Flow {
    rate_cap: BitRate,
    state: FlowState,
}

#[derive(Debug)]
enum FlowState {
    /// Until the first byte.
    Waiting {
        resource: Resource,
        since: Instant,
    },
    Sending(Body),
}

#[derive(Debug)]
struct Body {
    left: u64,
    /// Chunks that may be under way.
    window: u32,
    under_way: u32,
    /// When the path has carried what was sent.
    path_free_at: Instant,
    /// Whether it is in the line's queue, or a timer is set for when the path is free.
    is_due: bool,
}

/// The edge's own line, if it has a limit.
#[derive(Debug)]
struct Line {
    capacity: BitRate,
    /// Bodies that have a chunk to send, in turn.
    queue: VecDeque<FlowId>,
    free_at: Instant,
    /// Whether a timer is set for when it is free.
    is_armed: bool,
}

impl Edge {
    /// The edge of this number.
    #[must_use]
    pub fn new(shared: Arc<Shared>, number: u16) -> Self {
        let edges = &shared.scenario.edges;
        let outages = edges.outages.iter().copied();
        let outages = outages.filter(|outage| outage.edge.is_none_or(|edge| edge == number));
        let line = edges.capacity.map(|capacity| Line {
            capacity,
            queue: VecDeque::new(),
            free_at: Instant::EPOCH,
            is_armed: false,
        });
        Self {
            own: shared.edge(number),
            outages: outages.collect(),
            flows: BTreeMap::new(),
            line,
            tally: EdgeTally::default(),
            shared,
        }
    }

    /// What it came to so far.
    #[must_use]
    pub fn tally(&self) -> EdgeTally {
        self.tally
    }

    fn requested(&mut self, viewer: ActorId, request: Request, now: Instant, out: &mut Outbox) {
        self.tally.requests += 1;
        if self.outage(OutageKind::Errors, now).is_some() {
            self.refuse((viewer, request.request), 503, Duration::ZERO, now, out);
            return;
        }
        let edges = &self.shared.scenario.edges;
        let wait = Draws::new(request.ttfb_draw).log_normal(edges.ttfb, edges.ttfb_sigma);
        let flow = Flow {
            rate_cap: BitRate::from_bps(request.rate_cap.max(1)),
            state: FlowState::Waiting {
                resource: request.resource,
                since: now,
            },
        };
        self.flows.insert((viewer, request.request), flow);
        self.wake((viewer, request.request), self.thawed(now + wait), out);
    }

    /// The time of a flow has come: for its first byte, or for the next chunk.
    fn woken(&mut self, id: FlowId, now: Instant, out: &mut Outbox) {
        let thawed_at = self.thawed(now);
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        if thawed_at > now {
            self.wake(id, thawed_at, out);
            return;
        }
        match &mut flow.state {
            FlowState::Waiting { resource, since } => {
                let (resource, since) = (*resource, *since);
                self.answer(id, resource, since, now, out);
            }
            FlowState::Sending(body) => {
                body.is_due = false;
                self.advance(id, now, out);
            }
        }
    }

    /// Sends the head, and as much of the body as may be sent.
    fn answer(
        &mut self,
        id: FlowId,
        resource: Resource,
        since: Instant,
        now: Instant,
        out: &mut Outbox,
    ) {
        let took = now.saturating_duration_since(since);
        let (status, len) = match self.look_up(resource, now) {
            Ok(found) => found,
            Err(status) => {
                self.flows.remove(&id);
                self.refuse(id, status, took, now, out);
                return;
            }
        };
        let published = self.shared.media.published(now);
        let head = Answer::Head {
            status,
            len,
            published,
            took,
        };
        self.send(id, now, head, out);
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.state = FlowState::Sending(Body {
                left: len,
                window: FIRST_WINDOW,
                under_way: 0,
                path_free_at: now,
                is_due: false,
            });
        }
        if len == 0 {
            self.flows.remove(&id);
        }
        self.advance(id, now, out);
    }

    /// Status and length of what is there, or the status of the error.
    fn look_up(&self, resource: Resource, now: Instant) -> Result<(u16, u64), u16> {
        let content = &self.shared.media;
        match resource {
            Resource::Manifest { .. } => Ok((200, content.playlist_len())),
            Resource::Map { track, ordinal } if now >= content.map_at(track, ordinal) => {
                Ok((200, content.map(track, ordinal).len() as u64))
            }
            Resource::Segment {
                track,
                ordinal,
                start,
                end,
            } if ordinal < content.published(now) => {
                let len = content.segment_len(track, ordinal);
                match end.min(len).checked_sub(start) {
                    None | Some(0) => Err(416),
                    Some(whole) if whole == len => Ok((200, whole)),
                    Some(part) => Ok((206, part)),
                }
            }
            Resource::Map { .. } | Resource::Segment { .. } => Err(404),
        }
    }

    fn acknowledged(&mut self, id: FlowId, count: u8, now: Instant, out: &mut Outbox) {
        let Some(Flow {
            state: FlowState::Sending(body),
            ..
        }) = self.flows.get_mut(&id)
        else {
            return;
        };
        let count = u32::from(count).min(body.under_way);
        body.under_way -= count;
        body.window = (body.window + count).min(LAST_WINDOW);
        self.advance(id, now, out);
    }

    /// Sends the chunks of a body that may be sent, or sees to it that they will be.
    fn advance(&mut self, id: FlowId, now: Instant, out: &mut Outbox) {
        let thawed_at = self.thawed(now);
        while let Some(Flow {
            state: FlowState::Sending(body),
            ..
        }) = self.flows.get_mut(&id)
        {
            if body.is_due || body.under_way >= body.window {
                return;
            }
            let ready_at = body.path_free_at.max(thawed_at);
            if ready_at > now {
                body.is_due = true;
                self.wake(id, ready_at, out);
                return;
            }
            if let Some(line) = &mut self.line {
                body.is_due = true;
                line.queue.push_back(id);
                self.work_line(now, out);
                return;
            }
            self.send_chunk(id, now, now, out);
        }
    }

    /// Sends chunks in turn while the line is free.
    fn work_line(&mut self, now: Instant, out: &mut Outbox) {
        let thawed_at = self.thawed(now);
        while let Some(line) = &mut self.line {
            if line.is_armed || line.queue.is_empty() {
                return;
            }
            let free_at = line.free_at.max(thawed_at);
            if free_at > now {
                line.is_armed = true;
                out.later(self.own, free_at, What::Timer(Timer::Line));
                return;
            }
            let Some(id) = line.queue.pop_front() else {
                return;
            };
            let Some(Flow {
                state: FlowState::Sending(body),
                ..
            }) = self.flows.get_mut(&id)
            else {
                continue; // Cancelled while it waited.
            };
            body.is_due = false;
            let passed_at = now + line.capacity.time_for(body.left.min(EDGE_CHUNK));
            line.free_at = passed_at;
            self.send_chunk(id, now, passed_at, out);
            self.advance(id, now, out);
        }
    }

    /// Sends the next chunk, which the edge's own line has carried at `passed_at`.
    fn send_chunk(&mut self, id: FlowId, now: Instant, passed_at: Instant, out: &mut Outbox) {
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        let FlowState::Sending(body) = &mut flow.state else {
            return;
        };
        let len = body.left.min(EDGE_CHUNK);
        body.left -= len;
        body.under_way += 1;
        body.path_free_at = now + flow.rate_cap.time_for(len);
        let sent_at = body.path_free_at.max(passed_at);
        let last = body.left == 0;
        if last {
            self.flows.remove(&id);
        }
        self.tally.bytes += len;
        let len = u32::try_from(len).expect("a chunk at most");
        self.send(id, sent_at, Answer::Chunk { len, last }, out);
    }

    fn refuse(&mut self, id: FlowId, status: u16, took: Duration, now: Instant, out: &mut Outbox) {
        self.tally.errors += 1;
        let published = self.shared.media.published(now);
        let head = Answer::Head {
            status,
            len: 0,
            published,
            took,
        };
        self.send(id, now, head, out);
    }

    fn send(&self, (viewer, request): FlowId, at: Instant, answer: Answer, out: &mut Outbox) {
        let arrives_at = at + self.shared.population.edge_delay(viewer);
        out.send(viewer, arrives_at, What::Answer { request, answer });
    }

    fn wake(&self, (viewer, request): FlowId, at: Instant, out: &mut Outbox) {
        out.later(self.own, at, What::Timer(Timer::Flow { viewer, request }));
    }

    /// The first moment from `at` on when it is not frozen.
    fn thawed(&self, at: Instant) -> Instant {
        let mut at = at;
        while let Some(end) = self.outage(OutageKind::Freeze, at) {
            at = end;
        }
        at
    }

    /// When the outage of this kind ends that there is at `at`.
    fn outage(&self, kind: OutageKind, at: Instant) -> Option<Instant> {
        let begin = |outage: &Outage| media::first_arrival() + outage.from;
        let current = self.outages.iter().find(|outage| {
            let from = begin(outage);
            outage.kind == kind && from <= at && at < from + outage.length
        })?;
        Some(begin(current) + current.length)
    }
}

impl Actor for Edge {
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        match what {
            What::Request(request) => self.requested(from, request, now, out),
            What::Acknowledged { request, count } => {
                self.acknowledged((from, request), count, now, out);
            }
            What::Cancelled { request } => {
                self.flows.remove(&(from, request));
            }
            What::Timer(Timer::Flow { viewer, request }) => {
                self.woken((viewer, request), now, out);
            }
            What::Timer(Timer::Line) => {
                if let Some(line) = &mut self.line {
                    line.is_armed = false;
                }
                self.work_line(now, out);
            }
            _ => {}
        }
    }

    fn settle(&mut self, _: Instant, _: &mut Outbox) {}
}

/// Bytes of a body that are sent, delayed and acknowledged as one; the last may be shorter. A
/// block's worth, so that HTTP and peers share a downlink in equal pieces.
pub const EDGE_CHUNK: u64 = 16 * 1024;
/// 64 KiB: a connection that is in use, so beyond the 10 packets of RFC 6928.
pub const FIRST_WINDOW: u32 = 4;
/// 512 KiB: 100 Mb/s at a round trip of 40 ms.
pub const LAST_WINDOW: u32 = 32;

#[cfg(test)]
mod tests;
