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
    media::first_arrival,
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
        let media = &self.shared.media;
        match resource {
            Resource::Manifest { .. } => Ok((200, media.playlist_len())),
            Resource::Map { track, ordinal } if now >= media.map_at(track, ordinal) => {
                Ok((200, media.map(track, ordinal).len() as u64))
            }
            Resource::Segment {
                track,
                ordinal,
                start,
                end,
            } if ordinal < media.published(now) => {
                let len = media.segment_len(track, ordinal);
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
        let begin = |outage: &Outage| first_arrival() + outage.from;
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
mod tests {
    use super::*;
    use crate::{scenario::Scenario, world::tests::plain};

    /// One edge, and viewer 0 and more who acknowledge what they get, or do not.
    struct Bench {
        shared: Arc<Shared>,
        edge: Edge,
        /// What the edge is to be told.
        queue: BTreeMap<(Instant, u32), (ActorId, What)>,
        count: u32,
        acknowledges: bool,
        /// When the edge sent what; the way to the viewer taken off.
        sent: Vec<(u64, ActorId, Answer)>,
    }

    impl Bench {
        fn new(change: impl FnOnce(&mut Scenario)) -> Self {
            let mut scenario = plain(4);
            change(&mut scenario);
            let shared = Arc::new(Shared::new(&scenario));
            Self {
                edge: Edge::new(shared.clone(), 0),
                shared,
                queue: BTreeMap::new(),
                count: 0,
                acknowledges: true,
                sent: Vec::new(),
            }
        }

        /// Milliseconds after the first arrival.
        fn at(&self, ms: u64) -> Instant {
            first_arrival() + Duration::from_millis(ms)
        }

        fn tell(&mut self, from: ActorId, at: Instant, what: What) {
            self.count += 1;
            self.queue.insert((at, self.count), (from, what));
        }

        fn ask(&mut self, viewer: ActorId, ms: u64, resource: Resource, rate_cap: u64) {
            let request = Request {
                request: 7,
                resource,
                ttfb_draw: 5,
                rate_cap,
            };
            self.tell(viewer, self.at(ms), What::Request(request));
        }

        fn newest(&self, ms: u64) -> Resource {
            Resource::Segment {
                track: 0,
                ordinal: self.shared.media.published(self.at(ms)) - 1,
                start: 0,
                end: u64::MAX,
            }
        }

        fn run(&mut self) {
            let mut out = Outbox::default();
            for _ in 0..10_000 {
                let Some(((now, _), (from, what))) = self.queue.pop_first() else {
                    return;
                };
                self.edge.handle(from, what, now, &mut out);
                let caused: Vec<_> = out.drain().collect();
                for (at, to, what) in caused {
                    let What::Answer { request, answer } = what else {
                        self.tell(to, at, what);
                        continue;
                    };
                    let way = self.shared.population.edge_delay(to);
                    let sent_at = at.saturating_sub(way);
                    let since = sent_at.saturating_duration_since(first_arrival());
                    self.sent.push((since.as_millis() as u64, to, answer));
                    if self.acknowledges && matches!(answer, Answer::Chunk { .. }) {
                        let what = What::Acknowledged { request, count: 1 };
                        self.tell(to, at + way, what);
                    }
                }
            }
            panic!("the edge does not come to rest");
        }

        fn chunks(&self, of: ActorId) -> Vec<(u64, u32)> {
            let chunks = self
                .sent
                .iter()
                .filter_map(|&(at, to, answer)| match answer {
                    Answer::Chunk { len, .. } if to == of => Some((at, len)),
                    _ => None,
                });
            chunks.collect()
        }

        fn head(&self, of: ActorId) -> (u64, u16, u64) {
            let heads = self
                .sent
                .iter()
                .filter_map(|&(at, to, answer)| match answer {
                    Answer::Head { status, len, .. } if to == of => Some((at, status, len)),
                    _ => None,
                });
            let heads: Vec<_> = heads.collect();
            assert_eq!(heads.len(), 1, "{heads:?}");
            heads[0]
        }
    }

    const NO_CAP: u64 = u64::MAX;

    #[test]
    fn a_body_comes_after_the_first_byte_and_its_window_grows() {
        let mut bench = Bench::new(|_| {});
        bench.ask(0, 100, bench.newest(100), NO_CAP);
        bench.run();
        let Resource::Segment { ordinal, .. } = bench.newest(100) else {
            unreachable!()
        };
        let len = bench.shared.media.segment_len(0, ordinal);
        assert_eq!(bench.head(0), (120, 200, len));
        let round_trip = 2 * bench.shared.population.edge_delay(0).as_millis() as u64;
        let chunks = bench.chunks(0);
        // 4 at once, then 8 when these are acknowledged, as far as there are any.
        for (place, &(at, _)) in chunks.iter().enumerate() {
            let trips = if place < 4 { 0 } else { 1 };
            assert!(place < 12);
            assert_eq!(at, 120 + trips * round_trip);
        }
        let total: u64 = chunks.iter().map(|&(_, len)| u64::from(len)).sum();
        assert_eq!(total, len);
        assert_eq!(bench.edge.tally().bytes, len);
        assert!(bench.edge.flows.is_empty());
    }

    #[test]
    fn only_the_last_chunk_says_that_it_is_the_last() {
        let mut bench = Bench::new(|_| {});
        bench.ask(0, 100, bench.newest(100), NO_CAP);
        bench.run();
        let last = bench
            .sent
            .iter()
            .filter(|(_, _, answer)| matches!(answer, Answer::Chunk { last: true, .. }));
        assert_eq!(last.count(), 1);
        let (_, _, answer) = bench.sent.last().unwrap();
        assert!(matches!(answer, Answer::Chunk { last: true, .. }));
    }

    #[test]
    fn who_does_not_acknowledge_gets_the_first_window_only() {
        let mut bench = Bench::new(|_| {});
        bench.acknowledges = false;
        bench.ask(0, 100, bench.newest(100), NO_CAP);
        bench.run();
        assert_eq!(bench.chunks(0).len(), 4);
    }

    #[test]
    fn a_path_spaces_the_chunks_of_a_body() {
        let mut bench = Bench::new(|_| {});
        // 16 KiB in 128 ms.
        bench.ask(0, 100, bench.newest(100), 1_024_000);
        bench.run();
        let times: Vec<u64> = bench.chunks(0).iter().map(|&(at, _)| at).collect();
        assert_eq!(times[..4], [248, 376, 504, 632]);
    }

    #[test]
    fn bodies_share_the_edge_chunk_by_chunk() {
        let mut bench = Bench::new(|scenario| {
            // 16 KiB in 128 ms.
            scenario.edges.capacity = Some(BitRate::from_bps(1_024_000));
        });
        bench.ask(0, 100, bench.newest(100), NO_CAP);
        bench.ask(1, 101, bench.newest(100), NO_CAP);
        bench.run();
        let firsts = |chunks: Vec<(u64, u32)>| [chunks[0].0, chunks[1].0, chunks[2].0];
        // The second chunk of the first body was in the queue before the second body came.
        assert_eq!(firsts(bench.chunks(0)), [248, 376, 632]);
        assert_eq!(firsts(bench.chunks(1)), [504, 760, 1_016]);
    }

    #[test]
    fn a_cancelled_body_leaves_the_line_to_the_others() {
        let mut bench = Bench::new(|scenario| {
            scenario.edges.capacity = Some(BitRate::from_bps(1_024_000));
        });
        bench.ask(0, 100, bench.newest(100), NO_CAP);
        bench.ask(1, 101, bench.newest(100), NO_CAP);
        bench.tell(0, bench.at(200), What::Cancelled { request: 7 });
        bench.run();
        assert_eq!(bench.chunks(0).len(), 1);
        let chunks = bench.chunks(1);
        assert_eq!([chunks[0].0, chunks[1].0, chunks[2].0], [376, 504, 632]);
        assert!(bench.edge.flows.is_empty());
    }

    #[test]
    fn nothing_comes_of_a_request_cancelled_before_its_first_byte() {
        let mut bench = Bench::new(|_| {});
        bench.ask(0, 100, bench.newest(100), NO_CAP);
        bench.tell(0, bench.at(110), What::Cancelled { request: 7 });
        bench.run();
        assert_eq!(bench.sent, []);
    }

    fn outage(kind: OutageKind) -> Outage {
        Outage {
            edge: Some(0),
            from: Duration::from_millis(300),
            length: Duration::from_millis(500),
            kind,
        }
    }

    #[test]
    fn during_errors_it_answers_503_at_once() {
        let mut bench = Bench::new(|scenario| {
            scenario.edges.outages = vec![outage(OutageKind::Errors)];
        });
        for (viewer, ms) in [(0, 299), (1, 300), (2, 799), (3, 800)] {
            bench.ask(viewer, ms, bench.newest(ms), NO_CAP);
        }
        bench.run();
        assert_eq!(bench.head(0).1, 200);
        assert_eq!(bench.head(1), (300, 503, 0));
        assert_eq!(bench.head(2), (799, 503, 0));
        assert_eq!(bench.head(3).1, 200);
        assert_eq!(bench.edge.tally().errors, 2);
    }

    #[test]
    fn a_freeze_stops_what_is_under_way_and_lets_it_go_on() {
        for capacity in [None, Some(BitRate::from_bps(1_024_000))] {
            let mut bench = Bench::new(|scenario| {
                scenario.edges.outages = vec![outage(OutageKind::Freeze)];
                scenario.edges.capacity = capacity;
            });
            bench.ask(0, 100, bench.newest(100), 1_024_000);
            bench.ask(1, 400, bench.newest(100), NO_CAP);
            bench.run();
            let times: Vec<u64> = bench.chunks(0).iter().map(|&(at, _)| at).collect();
            // Begun at 120 and 248; the next only at 800.
            assert_eq!(times[..2], [248, 376]);
            assert!(times[2] >= 928, "{times:?}");
            assert_eq!(bench.head(1).0, 800);
        }
    }

    #[test]
    fn another_edge_does_not_share_its_outages() {
        let elsewhere = Outage {
            edge: Some(1),
            ..outage(OutageKind::Errors)
        };
        let mut bench = Bench::new(|scenario| scenario.edges.outages = vec![elsewhere]);
        bench.ask(0, 400, bench.newest(100), NO_CAP);
        bench.run();
        assert_eq!(bench.head(0).1, 200);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let mut bench = Bench::new(|_| {});
        let published = bench.shared.media.published(bench.at(100));
        let segment = |ordinal, start, end| Resource::Segment {
            track: 0,
            ordinal,
            start,
            end,
        };
        bench.ask(0, 100, segment(published, 0, 10), NO_CAP);
        bench.ask(1, 100, segment(published - 1, 5, 15), NO_CAP);
        bench.ask(2, 100, segment(published - 1, 1 << 40, 1 << 41), NO_CAP);
        bench.run();
        assert_eq!(bench.head(0), (120, 404, 0));
        assert_eq!(bench.head(1), (120, 206, 10));
        assert_eq!(bench.head(2), (120, 416, 0));
    }

    #[test]
    fn a_block_map_is_there_once_it_is_signed() {
        let mut bench = Bench::new(|_| {});
        let ordinal = bench.shared.media.published(bench.at(0));
        let map = Resource::Map { track: 0, ordinal };
        let signed_at = bench.shared.media.map_at(0, ordinal);
        let signed = signed_at.saturating_duration_since(bench.at(0)).as_millis() as u64;
        // It takes 20 ms to look.
        bench.ask(0, signed - 21, map, NO_CAP);
        bench.ask(1, signed - 20, map, NO_CAP);
        bench.run();
        assert_eq!(bench.head(0).1, 404);
        assert_eq!(bench.head(1).1, 200);
    }

    #[test]
    fn a_manifest_tells_what_is_published_when_it_is_answered() {
        let mut bench = Bench::new(|_| {});
        let before = bench.shared.media.published(bench.at(0));
        let next = bench.shared.media.available_at(before);
        let next = next.saturating_duration_since(bench.at(0)).as_millis() as u64;
        bench.ask(0, next - 21, Resource::Manifest { track: 0 }, NO_CAP);
        bench.ask(1, next - 20, Resource::Manifest { track: 0 }, NO_CAP);
        bench.run();
        let published = bench.sent.iter().filter_map(|(_, _, answer)| match answer {
            Answer::Head { published, .. } => Some(*published),
            Answer::Chunk { .. } => None,
        });
        assert_eq!(published.collect::<Vec<_>>(), [before, before + 1]);
    }
}
