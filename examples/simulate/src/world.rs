//! The two worlds of a run.

use std::{
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use p2pcdn::{MemoryStore, metrics::Delivery, wire::Instant};

use crate::{
    actor::{Actor, Outbox},
    draw::Draws,
    edge::{Edge, EdgeTally},
    engine::{Engine, EngineConfig},
    event::{ActorId, Timer, What},
    hostile::HostileViewer,
    media::{Media, first_arrival},
    people::{LOOKAHEAD, Population},
    scenario::{Integrity, PayloadKind, PeerPolicy, Scenario},
    tally::{Glance, Tally, Viewed},
    trace::{Header, Recording},
    tracker::Tracker,
    twin::Twin,
    viewer::{Viewer, ViewerStore},
    virtual_store::VirtualStore,
};

/// What all actors of both worlds share.
#[derive(Debug)]
pub struct Shared {
    pub scenario: Scenario,
    pub population: Population,
    pub media: Arc<Media>,
    pub draws: Draws,
}

/// Both worlds at the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub hybrid: WorldOutcome,
    pub twin: WorldOutcome,
    /// Real time that both took.
    pub wall: Duration,
    /// Bytes of memory at the most; zero where the system does not say.
    pub peak_rss: u64,
    /// What [`run_in`] recorded.
    pub trace: Option<Vec<u8>>,
}

/// One world at the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorldOutcome {
    /// Of each person, in order.
    pub tallies: Vec<Tally>,
    /// Once a second of virtual time.
    pub glances: Vec<(Instant, Totals)>,
    pub edges: Vec<EdgeTally>,
    pub events: u64,
    /// Two runs with equal digests went alike; see [`Engine::digest`].
    pub digest: u64,
}

/// All honest viewers of a world at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    pub present: u32,
    pub stalled: u32,
    pub links: u64,
    /// Of those present, those with less buffer: 5 %, a half, 95 %.
    pub buffer_p5: Duration,
    pub buffer_p50: Duration,
    pub buffer_p95: Duration,
    /// Since the beginning, with what those who have left came to.
    pub delivery: Delivery,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub world: WorldKind,
    /// Virtual time since the first arrival, of `Scenario::duration`.
    pub done: Duration,
    /// Of this world, so far.
    pub events: u64,
}

/// The worlds, in the order in which they are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorldKind {
    Hybrid,
    Twin,
}

/// Plays a scenario in both worlds, one after the other: each then has all threads, and the memory
/// of the first is free again before the second begins.
pub fn run(scenario: &Scenario, progress: &mut dyn FnMut(Progress)) -> Outcome {
    run_in(&Arc::new(Shared::new(scenario)), None, progress)
}

/// As [`run`], for who goes on to use what the worlds shared: a large population takes a while to
/// make. With a header, the session of the honest viewer of the first world that it names is
/// recorded.
pub fn run_in(
    shared: &Arc<Shared>,
    header: Option<&Header>,
    progress: &mut dyn FnMut(Progress),
) -> Outcome {
    let begun = Clock::now();
    let (hybrid, trace) = match shared.scenario.payload {
        PayloadKind::Virtual => hybrid::<VirtualStore>(shared, header, &mut *progress),
        PayloadKind::Real => hybrid::<MemoryStore>(shared, header, &mut *progress),
    };
    let twins = |person| Inhabitant::Viewer(Box::new(Twin::new(shared.clone(), person)));
    let (twin, _) = play(shared, WorldKind::Twin, twins, None, progress);
    Outcome {
        trace,
        hybrid,
        twin,
        wall: begun.elapsed(),
        peak_rss: peak_rss(),
    }
}

fn hybrid<S: ViewerStore + Sync>(
    shared: &Arc<Shared>,
    header: Option<&Header>,
    progress: &mut dyn FnMut(Progress),
) -> (WorldOutcome, Option<Vec<u8>>) {
    let honest = |person: u32| {
        let viewer = Viewer::<S>::new(shared.clone(), person);
        match header.filter(|it| it.person == person) {
            Some(header) => viewer.recorded(Recording::new(header.clone())),
            None => viewer,
        }
    };
    let viewer = |person: u32| {
        let hostile = shared.population.people[person as usize].hostile;
        match hostile {
            Some(_) => Inhabitant::Hostile(Box::new(HostileViewer::new(shared.clone(), person))),
            None => Inhabitant::Viewer(Box::new(honest(person))),
        }
    };
    // Its peer hands out the block maps that it signs. Without peers there is nobody to hand them to,
    // and its own requests would take some of a busy edge, which they do not in the twins' world.
    let Scenario {
        integrity, policy, ..
    } = &shared.scenario;
    let has_publisher = *integrity == Integrity::Signed && *policy == PeerPolicy::Peers;
    let publisher = || Inhabitant::Viewer(Box::new(Viewer::publisher(shared.clone())));
    let publisher = has_publisher.then(publisher);
    play(shared, WorldKind::Hybrid, viewer, publisher, progress)
}

impl Shared {
    /// All that does not depend on what the viewers do.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            population: Population::new(scenario),
            media: Arc::new(Media::new(scenario)),
            draws: Draws::new(scenario.seed),
            scenario: scenario.clone(),
        }
    }

    /// The actor that is the edge of this number.
    #[must_use]
    pub fn edge(&self, number: u16) -> ActorId {
        self.people() + u32::from(number)
    }

    /// The actor that is the tracker.
    #[must_use]
    pub fn tracker(&self) -> ActorId {
        self.edge(self.scenario.edges.count)
    }

    /// The actor that is the publisher's peer, in the world that has one.
    #[must_use]
    pub fn publisher(&self) -> ActorId {
        self.tracker() + 1
    }

    fn people(&self) -> u32 {
        u32::try_from(self.population.people.len()).expect("actors are numbered with 32 bits")
    }
}

/// Whoever there is in a world.
enum Inhabitant<V> {
    Viewer(Box<V>),
    Hostile(Box<HostileViewer>),
    Edge(Box<Edge>),
    Tracker(Box<Tracker>),
}

impl<V: Actor> Actor for Inhabitant<V> {
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        match self {
            Self::Viewer(viewer) => viewer.handle(from, what, now, out),
            Self::Hostile(viewer) => viewer.handle(from, what, now, out),
            Self::Edge(edge) => edge.handle(from, what, now, out),
            Self::Tracker(tracker) => tracker.handle(from, what, now, out),
        }
    }

    fn settle(&mut self, now: Instant, out: &mut Outbox) {
        match self {
            Self::Viewer(viewer) => viewer.settle(now, out),
            Self::Hostile(viewer) => viewer.settle(now, out),
            Self::Edge(edge) => edge.settle(now, out),
            Self::Tracker(tracker) => tracker.settle(now, out),
        }
    }
}

/// Plays one world from its first arrival to its end.
fn play<V: Actor + Viewed + Sync>(
    shared: &Arc<Shared>,
    world: WorldKind,
    viewer: impl Fn(u32) -> Inhabitant<V>,
    publisher: Option<Inhabitant<V>>,
    progress: &mut dyn FnMut(Progress),
) -> (WorldOutcome, Option<Vec<u8>>) {
    let start = first_arrival();
    let duration = shared.scenario.duration;
    let mut engine = populate(shared, viewer, publisher);
    let mut outcome = WorldOutcome::default();
    let mut done = Duration::ZERO;
    while done < duration {
        done = (done + GLANCE_INTERVAL).min(duration);
        let now = engine.run_until(start + done);
        outcome.glances.push((now, totals(&engine, shared, now)));
        progress(Progress {
            world,
            done,
            events: engine.events(),
        });
    }
    let end = start + duration;
    let people = shared.population.people.len();
    outcome.tallies.reserve_exact(people);
    outcome.events = engine.events();
    outcome.digest = engine.digest();
    let mut number = 0..;
    let mut trace = None;
    engine.dissolve(|inhabitant| {
        // The publisher's peer comes last and is no viewer.
        let is_person = number.next().is_some_and(|it: usize| it < people);
        match inhabitant {
            Inhabitant::Viewer(viewer) if is_person => {
                outcome.tallies.push(viewer.tally(end));
                trace = trace.take().or_else(|| viewer.trace());
            }
            Inhabitant::Hostile(viewer) => outcome.tallies.push(viewer.tally(end)),
            Inhabitant::Edge(edge) => outcome.edges.push(edge.tally()),
            Inhabitant::Viewer(_) | Inhabitant::Tracker(_) => {}
        }
    });
    (outcome, trace)
}

/// An engine with everybody in it, whose first arrivals are to come.
fn populate<V: Actor>(
    shared: &Arc<Shared>,
    viewer: impl Fn(u32) -> Inhabitant<V>,
    publisher: Option<Inhabitant<V>>,
) -> Engine<Inhabitant<V>> {
    let scenario = &shared.scenario;
    let people = 0..shared.people();
    let viewers = people.map(viewer);
    let edges = 0..scenario.edges.count;
    let edges = edges.map(|edge| Inhabitant::Edge(Box::new(Edge::new(shared.clone(), edge))));
    let tracker = Inhabitant::Tracker(Box::new(Tracker::new(shared.clone())));
    let config = EngineConfig {
        lookahead: LOOKAHEAD,
        tick: scenario.tick,
        threads: scenario.threads,
        services: u32::from(scenario.edges.count) + 1 + u32::from(publisher.is_some()),
        end: first_arrival() + scenario.duration,
    };
    let has_publisher = publisher.is_some();
    let services = edges.chain([tracker]).chain(publisher);
    let mut engine = Engine::new(viewers.chain(services).collect(), config);
    if has_publisher {
        let arrives = What::Timer(Timer::Arrive);
        engine.schedule(shared.publisher(), Instant::EPOCH, arrives);
    }
    for (number, person) in (0..).zip(&shared.population.people) {
        engine.schedule(number, person.arrives_at, What::Timer(Timer::Arrive));
    }
    engine
}

fn totals<V: Actor + Viewed + Sync>(
    engine: &Engine<Inhabitant<V>>,
    shared: &Shared,
    now: Instant,
) -> Totals {
    let people = shared.people();
    Sum::finish(engine.gather(|sum: &mut Sum, number, inhabitant| {
        // Adversaries are not counted, nor is the publisher's peer.
        if let Inhabitant::Viewer(viewer) = inhabitant
            && number < people
        {
            sum.add(&viewer.glance(now));
        }
    }))
}

/// What some of the viewers come to.
#[derive(Default)]
struct Sum {
    totals: Totals,
    buffers: Vec<Duration>,
}

impl Sum {
    fn add(&mut self, glance: &Glance) {
        let totals = &mut self.totals;
        totals.delivery = totals.delivery + glance.delivery;
        if glance.is_present {
            totals.present += 1;
            totals.stalled += u32::from(glance.is_stalled);
            totals.links += u64::from(glance.links);
            self.buffers.push(glance.buffer);
        }
    }

    fn finish(sums: Vec<Self>) -> Totals {
        let mut totals = Totals::default();
        let mut buffers = Vec::new();
        for Self {
            totals: part,
            buffers: its,
        } in sums
        {
            totals.delivery = totals.delivery + part.delivery;
            totals.present += part.present;
            totals.stalled += part.stalled;
            totals.links += part.links;
            buffers.extend(its);
        }
        let mut quantile = |percent: usize| {
            let last = buffers.len().checked_sub(1)?;
            let place = (buffers.len() * percent / 100).min(last);
            Some(*buffers.select_nth_unstable(place).1)
        };
        let [buffer_p5, buffer_p50, buffer_p95] =
            [5, 50, 95].map(|percent| quantile(percent).unwrap_or_default());
        Totals {
            buffer_p5,
            buffer_p50,
            buffer_p95,
            ..totals
        }
    }
}

/// The most memory that this process ever had, in bytes; zero where the system does not say.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_peak(&status).unwrap_or(0)
}

/// `VmHWM:     1234 kB`, see proc_pid_status(5).
fn parse_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

const GLANCE_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(crate) mod tests {
    use p2pcdn::wire::BitRate;

    use super::*;
    use crate::scenario::{
        Abr, Access, Arrivals, Connectivity, Content, ContentKind, Edges, Hostile, PeerPolicy,
        Variation,
    };

    /// A plain live event: an edge without limits that takes exactly 20 ms to the first byte.
    pub(crate) fn plain(viewers: u32) -> Scenario {
        Scenario {
            preset: "plain".into(),
            seed: 1,
            viewers,
            duration: Duration::from_secs(10),
            steady_from: Duration::ZERO,
            content: Content {
                kind: ContentKind::Live,
                segment_duration: Duration::from_secs(2),
                renditions: vec![BitRate::from_bps(400_000)],
                length_spread: 0.0,
                window: 30,
                signing: Duration::from_millis(150),
            },
            latency: Duration::from_secs(6),
            buffer_target: Duration::from_secs(30),
            arrivals: Arrivals::Over(Duration::from_secs(1)),
            mean_session: None,
            crash_share: 0.0,
            pauses_per_hour: 0.0,
            seeks_per_hour: 0.0,
            access: Access::Uniform { up: 2.0, down: 8.0 },
            mobile_share: 0.0,
            leecher_share: 0.0,
            variation: Variation::Constant,
            peer_loss: 0.0,
            http_loss: 0.0,
            connectivity: Connectivity::All,
            edges: Edges {
                count: 1,
                capacity: None,
                ttfb: Duration::from_millis(20),
                ttfb_sigma: 0.0,
                outages: Vec::new(),
            },
            tracker: crate::scenario::Tracker {
                memory: Duration::from_secs(300),
                interval: Duration::from_secs(120),
                offers_per_announce: 10,
            },
            abr: Abr::Fixed,
            integrity: Integrity::Signed,
            hostile: Hostile {
                share: 0.0,
                kinds: Vec::new(),
            },
            policy: PeerPolicy::Peers,
            payload: PayloadKind::Virtual,
            max_links: 16,
            tick: Duration::ZERO,
            threads: 1,
        }
    }

    #[test]
    fn a_run_is_the_same_on_any_number_of_threads() {
        let run_on = |threads| {
            let scenario = Scenario {
                threads,
                ..plain(300)
            };
            let mut reports = 0;
            let outcome = run(&scenario, &mut |_| reports += 1);
            assert_eq!(reports, 20, "one each second in each of two worlds");
            outcome
        };
        let [one, two, three] = [1, 2, 3].map(run_on);
        assert!(one.hybrid.events > 1_000 && one.twin.events > 1_000);
        assert_eq!(one.hybrid.tallies.len(), 300);
        for other in [two, three] {
            assert_eq!(other.hybrid, one.hybrid);
            assert_eq!(other.twin, one.twin);
        }
    }

    #[test]
    fn totals_are_over_those_present() {
        let glance = |secs, is_present, is_stalled| Glance {
            buffer: Duration::from_secs(secs),
            is_present,
            is_stalled,
            links: 2,
            delivery: Delivery {
                peer_bytes: 5,
                ..Delivery::default()
            },
        };
        let present = (1..=100).rev().map(|secs| glance(secs, true, secs <= 10));
        // As from two shards.
        let mut sums = [Sum::default(), Sum::default()];
        for (number, glance) in present.chain([glance(1_000, false, true)]).enumerate() {
            sums[number % 2].add(&glance);
        }
        let totals = Sum::finish(sums.into());
        assert_eq!(
            (totals.present, totals.stalled, totals.links),
            (100, 10, 200)
        );
        // Of 1..=100, those that 5, 50 and 95 are below.
        assert_eq!(totals.buffer_p5, Duration::from_secs(6));
        assert_eq!(totals.buffer_p50, Duration::from_secs(51));
        assert_eq!(totals.buffer_p95, Duration::from_secs(96));
        assert_eq!(totals.delivery.peer_bytes, 505, "with those who left");
        assert_eq!(Sum::finish(Vec::new()), Totals::default());
    }

    #[test]
    fn reads_the_peak_of_memory() {
        let status = "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t  5 kB\n";
        assert_eq!(parse_peak(status), Some(1_263_616));
        assert_eq!(parse_peak("VmHWM:\tmuch"), None);
    }
}
