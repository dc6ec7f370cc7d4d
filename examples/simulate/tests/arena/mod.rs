//! One honest viewer, on the real session, among adversaries.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod honest;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2pcdn::wire::{BitRate, Instant, LinkId};
use p2pcdn_example_simulate::{
    actor::{Actor, Outbox},
    draw::Draws,
    event::{ActorId, Signal, Timer, What},
    hostile::HostileViewer,
    media::Media,
    people::Population,
    scenario::{
        Abr, Access, Arrivals, Connectivity, Content, ContentKind, Edges, Hostile, HostileKind,
        Integrity, PayloadKind, PeerPolicy, Scenario, Tracker, Variation,
    },
    world::Shared,
};

pub(crate) use self::honest::Honest;

/// The honest one.
pub(crate) const HONEST: ActorId = 0;

/// A honest viewer, adversaries, and a tracker that hands everybody to everybody in turn.
pub(crate) struct Arena {
    pub(crate) now: Instant,
    pub(crate) shared: Arc<Shared>,
    pub(crate) honest: Honest,
    pub(crate) hostiles: Vec<HostileViewer>,
    queue: BTreeMap<(Instant, u64), (ActorId, ActorId, What)>,
    serial: u64,
    registered: Vec<ActorId>,
    turn: usize,
    outbox: Outbox,
    /// Links of the honest one that an adversary's messages came on.
    pub(crate) heard_on: BTreeMap<LinkId, u64>,
}

impl Arena {
    /// With an adversary of each of these kinds.
    pub(crate) fn new(kinds: &[HostileKind]) -> Self {
        Self::with(kinds, |_| {})
    }

    pub(crate) fn with(kinds: &[HostileKind], change: impl FnOnce(&mut Shared)) -> Self {
        let viewers = u32::try_from(kinds.len() + 1).expect("few");
        let scenario = scenario(viewers);
        let mut population = Population::new(&scenario);
        for (person, kind) in population.people.iter_mut().skip(1).zip(kinds) {
            person.hostile = Some(*kind);
        }
        let mut shared = Shared {
            population,
            media: Arc::new(Media::new(&scenario)),
            draws: Draws::new(scenario.seed),
            scenario,
        };
        change(&mut shared);
        let shared = Arc::new(shared);
        let now = shared.population.people[0].arrives_at;
        let hostiles = (1..viewers)
            .map(|person| HostileViewer::new(shared.clone(), person))
            .collect();
        let mut arena = Self {
            now,
            honest: Honest::new(shared.clone(), now),
            shared,
            hostiles,
            queue: BTreeMap::new(),
            serial: 0,
            registered: Vec::new(),
            turn: 0,
            outbox: Outbox::default(),
            heard_on: BTreeMap::new(),
        };
        for person in 1..viewers {
            arena.push(now, person, person, What::Timer(Timer::Arrive));
        }
        arena.push(now, HONEST, HONEST, What::Timer(Timer::Arrive));
        arena
    }

    pub(crate) fn run_secs(&mut self, secs: u64) {
        let until = self.now + Duration::from_secs(secs);
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    /// An adversary says goodbye.
    pub(crate) fn leave(&mut self, person: ActorId) {
        let depart = What::Timer(Timer::Depart { crash: false });
        self.push(self.now, person, person, depart);
    }

    fn next_at(&self) -> Option<Instant> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        queued.into_iter().chain(self.honest.wake_at()).min()
    }

    fn step(&mut self) {
        let due = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now);
        let Some(((to, from, what), now)) = due.map(|entry| (entry.remove(), self.now)) else {
            self.honest.wake(self.now, &mut self.outbox);
            return self.deliver(HONEST);
        };
        if let (What::Packet { link, .. }, true) = (&what, to == HONEST) {
            *self.heard_on.entry(*link).or_default() += 1;
        }
        if to == HONEST {
            self.honest.handle(what, now, &mut self.outbox);
        } else if to == self.shared.tracker() {
            return self.track(from, what);
        } else {
            let hostile = &mut self.hostiles[to as usize - 1];
            hostile.handle(from, what, now, &mut self.outbox);
        }
        self.deliver(to);
    }

    fn deliver(&mut self, from: ActorId) {
        let sent: Vec<_> = self.outbox.drain().collect();
        for (at, to, what) in sent {
            let least = if to == from {
                self.now
            } else {
                self.now + Duration::from_millis(4)
            };
            assert!(at >= least, "{from} to {to}: {what:?}");
            self.push(at, to, from, what);
        }
    }

    fn push(&mut self, at: Instant, to: ActorId, from: ActorId, what: What) {
        self.serial += 1;
        self.queue.insert((at, self.serial), (to, from, what));
    }

    fn track(&mut self, from: ActorId, what: What) {
        let What::Signal(signal) = what else {
            panic!("a tracker is told {what:?}");
        };
        let Signal::Announce { links, leaving } = *signal else {
            panic!("a tracker is told {signal:?}");
        };
        self.registered.retain(|known| *known != from);
        let others = self.registered.clone();
        if !leaving {
            self.registered.push(from);
        }
        let at = self.now + Duration::from_millis(20);
        let viewers = u32::try_from(self.registered.len()).expect("few");
        let interval = Duration::from_secs(120);
        let announced = Signal::Announced { viewers, interval };
        self.push(
            at,
            from,
            self.shared.tracker(),
            What::Signal(Box::new(announced)),
        );
        for their_link in links.into_iter().take(others.len()) {
            self.turn += 1;
            let to = others[self.turn % others.len()];
            let offer = Signal::Offer { from, their_link };
            self.push(at, to, self.shared.tracker(), What::Signal(Box::new(offer)));
        }
    }
}

pub(crate) fn scenario(viewers: u32) -> Scenario {
    Scenario {
        preset: "arena".to_owned(),
        seed: 7,
        viewers,
        duration: Duration::from_secs(240),
        steady_from: Duration::ZERO,
        content: Content {
            kind: ContentKind::Live,
            segment_duration: Duration::from_secs(2),
            renditions: vec![BitRate::from_bps(200_000)],
            length_spread: 0.0,
            window: 30,
            signing: Duration::from_millis(100),
        },
        latency: Duration::from_secs(6),
        buffer_target: Duration::from_secs(6),
        arrivals: Arrivals::Over(Duration::ZERO),
        mean_session: None,
        crash_share: 0.0,
        pauses_per_hour: 0.0,
        seeks_per_hour: 0.0,
        access: Access::Uniform {
            up: 100.0,
            down: 200.0,
        },
        mobile_share: 0.0,
        leecher_share: 0.0,
        variation: Variation::Constant,
        peer_loss: 0.0,
        http_loss: 0.0,
        connectivity: Connectivity::All,
        edges: Edges {
            count: 1,
            capacity: None,
            ttfb: Duration::from_millis(40),
            ttfb_sigma: 0.0,
            outages: Vec::new(),
        },
        tracker: Tracker {
            memory: Duration::from_secs(120),
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
        payload: PayloadKind::Real,
        max_links: 16,
        tick: Duration::ZERO,
        threads: 1,
    }
}
