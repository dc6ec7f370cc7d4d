use std::collections::BTreeMap;

use super::*;
use crate::{
    draw::Draws,
    event::{Answer, Request},
    media::{Media, first_arrival},
    people::{Departure, Habit, Population},
    scenario::{Abr, Access, ContentKind, Scenario},
    testing::{scenario, with_renditions},
};

const CHUNK: u64 = 16 << 10;
/// Chunks on their way: more than the line's product of rate and round trip.
const WINDOW: u64 = 32;
const TTFB: Duration = Duration::from_millis(20);

type Rule = Box<dyn Fn(&Request, Instant) -> u16>;

/// A twin and an edge of unlimited capacity.
struct Bench {
    twin: Twin,
    shared: Arc<Shared>,
    delay: Duration,
    out: Outbox,
    queue: BTreeMap<(Instant, u64), (ActorId, What)>,
    serial: u64,
    /// Bytes that the edge has yet to send.
    bodies: BTreeMap<u32, u64>,
    requests: Vec<(Instant, Request)>,
    cancelled: usize,
    rule: Rule,
    now: Instant,
}

impl Bench {
    fn new(scenario: Scenario, rule: Rule, change: impl FnOnce(&mut Population)) -> Self {
        let mut population = Population::new(&scenario);
        change(&mut population);
        let shared = Arc::new(Shared {
            media: Arc::new(Media::new(&scenario)),
            draws: Draws::new(scenario.seed),
            population,
            scenario,
        });
        let arrives_at = shared.population.people[0].arrives_at;
        let arrival = (0, Timer::Arrive.into());
        Self {
            twin: Twin::new(shared.clone(), 0),
            delay: shared.population.edge_delay(0),
            shared,
            out: Outbox::default(),
            queue: BTreeMap::from([((arrives_at, 0), arrival)]),
            serial: 1,
            bodies: BTreeMap::new(),
            requests: Vec::new(),
            cancelled: 0,
            rule,
            now: Instant::EPOCH,
        }
    }

    fn run(mut self, seconds: u64) -> Self {
        let end = first_arrival() + Duration::from_secs(seconds);
        let mut steps = 0;
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), (to, what)) = entry.remove_entry();
            steps += 1;
            assert!(steps < 1_000_000, "it does not come to rest");
            self.now = at;
            if to == 0 {
                self.twin.handle(0, what, at, &mut self.out);
                self.twin.settle(at, &mut self.out);
                for (at, to, what) in self.out.drain().collect::<Vec<_>>() {
                    self.push(at, to, what);
                }
            } else {
                self.edge(what);
            }
        }
        self.now = end;
        self
    }

    fn push(&mut self, at: Instant, to: ActorId, what: What) {
        assert!(at >= self.now, "nothing happens in the past");
        self.queue.insert((at, self.serial), (to, what));
        self.serial += 1;
    }

    fn edge(&mut self, what: What) {
        match what {
            What::Request(request) => {
                let number = request.request;
                let status = (self.rule)(&request, self.now);
                let len = match request.resource {
                    _ if status != 200 => 0,
                    Resource::Segment { start, end, .. } => end - start,
                    _ => self.shared.media.playlist_len(),
                };
                self.requests.push((self.now, request));
                let head = Answer::Head {
                    status,
                    len,
                    published: self.shared.media.published(self.now),
                    took: TTFB,
                };
                self.answer(number, head, TTFB);
                self.bodies.insert(number, len);
                for _ in 0..WINDOW {
                    self.chunk(number, TTFB);
                }
            }
            What::Acknowledged { request, count } => {
                for _ in 0..count {
                    self.chunk(request, Duration::ZERO);
                }
            }
            What::Cancelled { request } => {
                self.bodies.remove(&request);
                self.cancelled += 1;
            }
            other => panic!("a twin does not send {other:?}"),
        }
    }

    fn chunk(&mut self, request: u32, after: Duration) {
        let Some(left) = self.bodies.get_mut(&request).filter(|left| **left > 0) else {
            return;
        };
        let len = CHUNK.min(*left);
        *left -= len;
        let last = *left == 0;
        let len = u32::try_from(len).unwrap();
        self.answer(request, Answer::Chunk { len, last }, after);
    }

    fn answer(&mut self, request: u32, answer: Answer, after: Duration) {
        let at = self.now + self.delay + after;
        self.push(at, 0, What::Answer { request, answer });
    }

    fn tally(&self) -> Tally {
        self.twin.tally(self.now)
    }

    /// When segments were asked for, as the twin's clock has it.
    fn asked(&self) -> Vec<(Instant, u64)> {
        let segment = |(at, request): &(Instant, Request)| match request.resource {
            Resource::Segment { ordinal, .. } => Some((at.saturating_sub(self.delay), ordinal)),
            _ => None,
        };
        self.requests.iter().filter_map(segment).collect()
    }
}

fn always() -> Rule {
    Box::new(|_, _| 200)
}

fn film(seconds: u64) -> Scenario {
    let mut scenario = scenario();
    scenario.content.kind = ContentKind::OnDemand(Duration::from_secs(seconds));
    scenario
}

fn close(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) < Duration::from_micros(100)
}

#[test]
fn watches_live_without_a_stall_on_a_fast_line() {
    let bench = Bench::new(scenario(), always(), |_| {}).run(60);
    let tally = bench.tally();
    // Two round trips with their times to first byte, and 6 Mbit and a playlist at 15 Mb/s.
    let transfer = |len: u64| Duration::from_secs_f64(len as f64 * 8.0 / 15e6);
    let bodies = transfer(750_000) + transfer(bench.shared.media.playlist_len());
    let startup = (2 * bench.delay + TTFB) * 2 + bodies;
    assert!(close(tally.watched.startup.unwrap(), startup));
    assert_eq!(tally.watched.stalls, 0);
    // Each segment once, in order, and not before it was there.
    let asked = bench.asked();
    let first = asked[0].1;
    let ordinals: Vec<_> = asked.iter().map(|(_, ordinal)| *ordinal).collect();
    assert_eq!(
        ordinals,
        (first..first + asked.len() as u64).collect::<Vec<_>>()
    );
    for (at, ordinal) in &asked {
        assert!(bench.shared.media.available_at(*ordinal) <= *at);
    }
    // 6 s behind live when it saw the manifest, and what it took to start from there.
    assert_eq!(tally.delivered.len(), tally.http.len());
    let bytes = tally.delivery.http_bytes;
    assert_eq!(
        bytes.of(HttpReason::Policy),
        750_000 * tally.delivered.len() as u64
    );
}

#[test]
fn polls_at_its_own_phase() {
    let bench = Bench::new(scenario(), always(), |population| {
        population.people[0].poll_phase = Duration::from_millis(700);
    })
    .run(9);
    let is_poll =
        |(_, request): &&(Instant, Request)| matches!(request.resource, Resource::Manifest { .. });
    let polls = bench.requests.iter().filter(is_poll);
    let millis: Vec<_> = polls
        .map(|(at, _)| at.saturating_sub(bench.delay).since_epoch().as_millis())
        .collect();
    assert_eq!(millis, [0, 700, 2_700, 4_700, 6_700, 8_700]);
}

#[test]
fn stalls_for_what_its_line_lacks() {
    let mut scenario = film(60);
    scenario.access = Access::Uniform { up: 1.0, down: 0.5 };
    let bench = Bench::new(scenario, always(), |_| {}).run(60);
    let tally = bench.tally();
    // At half of its rate a segment of 2 s takes 4 s, and a round trip and the time to first byte.
    let lacking = Duration::from_secs(2) + 2 * bench.delay + TTFB;
    assert!(tally.watched.stalls > 10);
    for (_, length) in &tally.watched.each_stall[..10] {
        assert!(close(*length, lacking), "{length:?}");
    }
}

#[test]
fn fetches_no_more_than_the_buffer_target_has_room_for() {
    let bench = Bench::new(film(600), always(), |_| {}).run(60);
    let tally = bench.tally();
    let start = first_arrival() + tally.watched.startup.unwrap();
    let mut at_once = 0;
    for (at, ordinal) in bench.asked() {
        let room_at =
            start + Duration::from_secs(2 * ordinal).saturating_sub(Duration::from_secs(20));
        assert!(at >= room_at || ordinal < 10, "{ordinal} at {at}");
        at_once += u64::from(at > room_at + Duration::from_millis(1));
    }
    // From the 11th on each is asked for as soon as there is room.
    assert!(at_once <= 11, "{at_once}");
    // One manifest is enough on demand.
    let manifests = bench.requests.len() - bench.asked().len();
    assert_eq!(manifests, 1);
}

#[test]
fn tries_again_at_once_then_after_longer_and_longer_pauses() {
    let back_at = first_arrival() + Duration::from_secs(20);
    let rule: Rule = Box::new(move |request, now| match request.resource {
        Resource::Segment { .. } if now < back_at => 503,
        _ => 200,
    });
    let bench = Bench::new(film(60), rule, |_| {}).run(40);
    let asked = bench.asked();
    let rest: Vec<_> = asked
        .windows(2)
        .take(8)
        .map(|pair| pair[1].0.saturating_duration_since(pair[0].0))
        .collect();
    // Beyond the round trip.
    let pauses = [0, 200, 400, 800, 1_600, 3_000, 3_000, 3_000];
    let expected = pauses.map(|pause| Duration::from_millis(pause) + 2 * bench.delay + TTFB);
    assert_eq!(rest, expected);
    assert!(bench.tally().watched.startup.unwrap() > Duration::from_secs(20));
}

#[test]
fn a_failed_manifest_is_loaded_again_before_the_next_poll() {
    let back_at = first_arrival() + Duration::from_millis(400);
    let rule: Rule = Box::new(move |_, now| if now < back_at { 503 } else { 200 });
    let bench = Bench::new(film(60), rule, |_| {}).run(10);
    // Asked at 0, 50, 300 and 750 ms.
    let startup = bench.tally().watched.startup.unwrap();
    assert!(startup > Duration::from_millis(750) && startup < Duration::from_millis(1_300));
}

#[test]
fn each_try_has_a_draw_of_its_own() {
    let back_at = first_arrival() + Duration::from_secs(1);
    let rule: Rule = Box::new(move |request, now| match request.resource {
        Resource::Segment { .. } if now < back_at => 503,
        _ => 200,
    });
    let bench = Bench::new(film(60), rule, |_| {}).run(5);
    let first = SegmentKey {
        track: 0,
        ordinal: 0,
    };
    let draws = bench.requests[1..].iter().map(|(_, it)| it.ttfb_draw);
    let expected = (0..).map(|attempt| bench.shared.draws.segment_ttfb(0, first, attempt));
    let mut seen = Vec::new();
    for (draw, expected) in draws.zip(expected).take(4) {
        assert_eq!(draw, expected);
        assert!(!seen.contains(&draw));
        seen.push(draw);
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn who_leaves_asks_for_nothing_more_and_counts_nothing_more() {
    let left_at = first_arrival() + Duration::from_millis(5_200);
    let bench = Bench::new(scenario(), always(), |population| {
        population.people[0].departs = Some(Departure {
            at: left_at,
            is_crash: true,
        });
    });
    let bench = bench.run(30);
    assert!(
        bench
            .requests
            .iter()
            .all(|(at, _)| *at <= left_at + bench.delay)
    );
    assert!(!bench.twin.glance(bench.now).is_present);
    assert_eq!(bench.tally(), bench.twin.tally(left_at));
    assert!(bench.queue.len() < 2, "{:?}", bench.queue);
}

#[test]
fn takes_the_rendition_that_its_line_carries_from_the_second_segment_on() {
    let mut scenario = with_renditions(&[1, 2, 4]);
    scenario.content.kind = ContentKind::OnDemand(Duration::from_secs(600));
    scenario.abr = Abr::Throughput;
    // 3 Mb/s, of which 0.85 is more than 2 and less than 4, round trips included.
    scenario.access = Access::Uniform {
        up: 1.0,
        down: 0.75,
    };
    let tally = Bench::new(scenario, always(), |_| {}).run(60).tally();
    let tracks: Vec<_> = tally.delivered.iter().map(|it| it.track).collect();
    assert!(tracks.len() > 30);
    assert_eq!(tracks[0], 0);
    assert!(tracks[1..].iter().all(|track| *track == 1), "{tracks:?}");
    let played = tally.watched.played.as_secs_f64();
    assert!((tally.watched.bits - (2e6 * played - 1e6 * 2.0)).abs() < 1.0);
}

#[test]
fn a_seek_ends_a_transfer_that_is_of_no_use_any_more() {
    let mut scenario = film(600);
    // 1 s for each segment.
    scenario.access = Access::Uniform { up: 1.0, down: 2.0 };
    let seek_at = first_arrival() + Duration::from_millis(2_500);
    let bench = Bench::new(scenario, always(), |population| {
        population.people[0].habits = vec![(seek_at, Habit::Seek { to: 0.5 })];
    })
    .run(20);
    assert_eq!(bench.cancelled, 1);
    let asked = bench.asked();
    let next = asked.iter().find(|(at, _)| *at >= seek_at).unwrap();
    assert_eq!(*next, (seek_at, 150));
    // What was on its way still passes the line first, half a megabyte at most: 0.7 s.
    let seeking = bench.tally().watched.seeking;
    assert!(seeking > Duration::from_secs(1) && seeking < Duration::from_millis(1_750));
}
