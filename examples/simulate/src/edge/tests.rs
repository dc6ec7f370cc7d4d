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
        media::first_arrival() + Duration::from_millis(ms)
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
                let since = sent_at.saturating_duration_since(media::first_arrival());
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
