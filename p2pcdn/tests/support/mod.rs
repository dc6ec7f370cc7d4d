//! A world in virtual time: sessions with players, wires with latency, an HTTP origin.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod origin;
mod player;
mod shell;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use p2pcdn::{
    MapsConfig, MemoryStore, MemoryStoreConfig, Network, Session, SessionConfig, SessionEvent,
    SessionInput, SessionOutput, Store,
    manifest::{self, Presentation, Refresh},
    scheduler::{FetchId, Policy},
    wire::{
        Channel, Handle, Instant, LinkId, MediaTime, PeerId, PeerMessage, Role, Seed, SegmentId,
        SegmentRef, SwarmId, TrackId,
    },
};

pub(crate) use self::{
    origin::{Answer, Asked, Rule, Stream, What, content},
    player::Player,
};

/// When every world begins.
pub(crate) const START: Duration = Duration::from_secs(1000);

/// One way, on every wire.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);

/// What a transport's send buffer takes.
pub(crate) const CREDIT: u64 = 256 << 10;

/// What becomes of a message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Doubled,
    Delayed(Duration),
    Becomes(Bytes),
}

pub(crate) type Tamper = Box<dyn FnMut(&Sent) -> Fate>;

/// A message that a session sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) channel: Channel,
    pub(crate) bytes: Bytes,
}

impl Sent {
    pub(crate) fn message(&self) -> Option<PeerMessage> {
        PeerMessage::decode(self.bytes.clone()).expect("sessions send messages")
    }
}

/// One step of a session's life, for replay.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Input(Box<SessionInput>),
    Timeout,
}

/// A session with all that surrounds it.
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) session: Session<MemoryStore>,
    pub(crate) config: SessionConfig,
    pub(crate) refresh: Refresh,
    pub(crate) presentation: Option<Arc<Presentation>>,
    /// `None` for a publisher.
    pub(crate) player: Option<Player>,
    pub(crate) is_in_swarm: bool,
    pub(crate) links: BTreeMap<LinkId, Wire>,
    pub(crate) events: Vec<(Instant, SessionEvent)>,
    pub(crate) outputs: Vec<(Instant, SessionOutput)>,
    pub(crate) steps: Vec<(Instant, Step)>,
    /// Attempts under way.
    pub(crate) fetches: BTreeSet<FetchId>,
    /// What the origin gave this viewer as the bytes of each segment.
    pub(crate) given: BTreeMap<u64, Vec<Bytes>>,
    /// How long it takes to read and sign a new segment; `None`: it signs nothing.
    sign_after: Option<Duration>,
    signed: BTreeSet<SegmentId>,
    pub(crate) wakeups: usize,
    pub(crate) most_used: u64,
}

/// This side's end of a connection.
pub(crate) struct Wire {
    pub(crate) to: usize,
    pub(crate) link: LinkId,
    in_flight: u64,
}

enum Event {
    Opened(usize, LinkId),
    Delivered(usize, LinkId, Channel, Bytes, u64),
    Closed(usize, LinkId),
    Http(usize, SessionInput),
    Manifest(usize, Arc<str>, Duration),
    NewsHeard(usize, TrackId),
    Signed(usize, SegmentRef, Bytes),
    Tick(usize),
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) stream: Stream,
    /// Subtracted from what the origin numbers segments by: another value is another encoder run.
    pub(crate) first_number: u64,
    pub(crate) rule: Rule,
    /// Nodes whose bytes are nobody's concern.
    pub(crate) liars: BTreeSet<usize>,
    /// Where each node is, as those who connect to it see.
    pub(crate) networks: BTreeMap<usize, Network>,
    pub(crate) tamper: Tamper,
    pub(crate) nodes: Vec<Node>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) sent: Vec<Sent>,
    /// Whether messages, inputs and outputs are kept for the test to look at.
    pub(crate) keeps_logs: bool,
    /// Whether the sidecar has maps.
    pub(crate) sidecar: bool,
    /// Whether viewers that join the swarm are connected to all others there.
    pub(crate) connects: bool,
    /// Uplink in bytes a second; `None`: as fast as can be.
    pub(crate) uplink: Option<u64>,
    uplink_free_at: BTreeMap<usize, Instant>,
    queue: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    next_link: u64,
    swarm: SwarmId,
}

impl World {
    pub(crate) fn new(stream: Stream) -> Self {
        let now = Instant::from_epoch(START);
        Self {
            now,
            stream,
            first_number: 0,
            rule: Box::new(|_, _| {}),
            liars: BTreeSet::new(),
            networks: BTreeMap::new(),
            tamper: Box::new(|_| Fate::Arrives),
            nodes: Vec::new(),
            asked: Vec::new(),
            sent: Vec::new(),
            keeps_logs: true,
            sidecar: false,
            connects: true,
            uplink: None,
            uplink_free_at: BTreeMap::new(),
            queue: BTreeMap::new(),
            next_event: 0,
            next_link: 0,
            swarm: swarm(stream, now),
        }
    }

    pub(crate) fn rule(&mut self, rule: impl Fn(&Asked, &mut Answer) + 'static) {
        self.rule = Box::new(rule);
    }

    pub(crate) fn tamper(&mut self, tamper: impl FnMut(&Sent) -> Fate + 'static) {
        self.tamper = Box::new(tamper);
    }

    /// A viewer that plays 6 s behind live or with a buffer of 20 s.
    pub(crate) fn viewer(&mut self) -> usize {
        self.viewer_with(|_| {})
    }

    pub(crate) fn viewer_with(&mut self, change: impl FnOnce(&mut SessionConfig)) -> usize {
        let player = Player::new(self.stream);
        self.add(Some(player), None, change)
    }

    /// Reads and signs each segment as soon as it is listed, and pushes the maps.
    pub(crate) fn publisher(&mut self) -> usize {
        self.publisher_after(Duration::from_millis(50))
    }

    pub(crate) fn publisher_after(&mut self, delay: Duration) -> usize {
        self.add(None, Some(delay), |config| {
            config.maps = MapsConfig::publisher();
        })
    }

    fn add(
        &mut self,
        player: Option<Player>,
        sign_after: Option<Duration>,
        change: impl FnOnce(&mut SessionConfig),
    ) -> usize {
        let index = self.nodes.len();
        let byte = u8::try_from(index + 1).expect("few nodes");
        let peer = PeerId::new([byte; 20]);
        let mut config = SessionConfig::new(self.swarm, peer);
        change(&mut config);
        let refresh_config = manifest::Config::default();
        let url = origin::manifest_url(index);
        self.nodes.push(Node {
            peer,
            session: new_session(&config, index, self.now),
            config,
            refresh: Refresh::new(refresh_config, &url, self.now),
            presentation: None,
            player,
            is_in_swarm: false,
            links: BTreeMap::new(),
            events: Vec::new(),
            outputs: Vec::new(),
            steps: Vec::new(),
            fetches: BTreeSet::new(),
            given: BTreeMap::new(),
            sign_after,
            signed: BTreeSet::new(),
            wakeups: 0,
            most_used: 0,
        });
        self.drain_refresh(index);
        self.schedule(Duration::ZERO, Event::Tick(index));
        index
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut steps_at_once = 0;
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            steps_at_once = if at > self.now { 0 } else { steps_at_once + 1 };
            assert!(steps_at_once < 20_000, "time stands still");
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    pub(crate) fn run_secs(&mut self, secs: u64) {
        self.run_for(Duration::from_secs(secs));
    }

    /// Runs until `is_met`, at most a minute.
    pub(crate) fn run_until(&mut self, is_met: impl Fn(&Self) -> bool) {
        let give_up_at = self.now + Duration::from_secs(60);
        while !is_met(self) {
            assert!(self.now < give_up_at, "it does not happen");
            self.run_for(Duration::from_millis(5));
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let wakes = self.nodes.iter().flat_map(|node| {
            [node.session.poll_timeout(), node.refresh.poll_timeout()]
                .into_iter()
                .flatten()
        });
        queued.into_iter().chain(wakes).min()
    }

    fn step(&mut self) {
        let due = self.queue.first_key_value().map(|(key, _)| *key);
        if let Some(key) = due.filter(|(at, _)| *at <= self.now)
            && let Some(event) = self.queue.remove(&key)
        {
            self.happen(event);
            return;
        }
        for index in 0..self.nodes.len() {
            let now = self.now;
            let node = &mut self.nodes[index];
            if node.refresh.poll_timeout().is_some_and(|at| at <= now) {
                node.refresh.handle_timeout(now);
                self.drain_refresh(index);
            }
            let node = &mut self.nodes[index];
            if node.session.poll_timeout().is_some_and(|at| at <= now) {
                self.timeout(index);
                let again = self.nodes[index].session.poll_timeout();
                assert!(again.is_none_or(|at| at > now), "node {index} would spin");
            }
        }
    }

    pub(crate) fn timeout(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        node.wakeups += 1;
        if self.keeps_logs {
            node.steps.push((now, Step::Timeout));
        }
        node.session.handle_timeout(now);
        self.drain(index);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Opened(node, link) => {
                if self.nodes[node].links.contains_key(&link) {
                    let to = self.nodes[node].links.get(&link).map(|wire| wire.to);
                    let network = to.and_then(|to| self.networks.get(&to)).copied();
                    self.tell(node, SessionInput::LinkOpened { link, network });
                    let credit = CREDIT;
                    self.tell(node, SessionInput::LinkWritable { link, credit });
                }
            }
            Event::Delivered(node, link, channel, message, len) => {
                self.give_credit_back(node, link, len);
                self.tell(
                    node,
                    SessionInput::LinkReceived {
                        link,
                        channel,
                        message: message.into(),
                    },
                );
            }
            Event::Closed(node, link) => {
                self.nodes[node].links.remove(&link);
                self.tell(node, SessionInput::LinkClosed { link });
            }
            Event::Http(node, input) => self.http_event(node, input),
            Event::Manifest(node, url, ttfb) => self.manifest_answered(node, url, ttfb),
            Event::NewsHeard(node, track) => {
                let news = manifest::Input::NewsHeard { track };
                self.nodes[node].refresh.handle_input(news, self.now);
                self.drain_refresh(node);
            }
            Event::Signed(node, segment, encoded) => {
                self.tell(node, SessionInput::MapSigned { segment, encoded });
            }
            Event::Tick(node) => {
                self.tick(node);
                self.schedule(player::TICK, Event::Tick(node));
            }
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.next_event += 1;
        self.queue
            .insert((self.now + after, self.next_event), event);
    }

    /// Opens a connection; returns the links of both sides.
    pub(crate) fn connect(&mut self, one: usize, other: usize) -> (LinkId, LinkId) {
        let links = (LinkId(self.next_link), LinkId(self.next_link + 1));
        self.next_link += 2;
        let mut open = |from: usize, link, to, its_link| {
            let wire = Wire {
                to,
                link: its_link,
                in_flight: 0,
            };
            self.nodes[from].links.insert(link, wire);
            self.schedule(LATENCY, Event::Opened(from, link));
        };
        open(one, links.0, other, links.1);
        open(other, links.1, one, links.0);
        links
    }

    pub(crate) fn tell(&mut self, index: usize, input: SessionInput) {
        let node = &mut self.nodes[index];
        if self.keeps_logs {
            node.steps
                .push((self.now, Step::Input(Box::new(input.clone()))));
        }
        node.session.handle_input(input, self.now);
        self.drain(index);
    }

    pub(crate) fn set_policy(&mut self, index: usize, policy: Policy) {
        self.tell(index, SessionInput::PolicyChanged(policy));
    }

    pub(crate) fn events(&self, index: usize) -> impl Iterator<Item = &SessionEvent> {
        self.nodes[index].events.iter().map(|(_, event)| event)
    }

    pub(crate) fn track(&self, index: usize) -> TrackId {
        let presentation = self.nodes[index].presentation.as_ref();
        presentation.expect("the manifest was loaded").tracks[0].id
    }

    pub(crate) fn segment(&self, index: usize, ordinal: u64) -> SegmentRef {
        let track = self.track(index);
        let segment = self.nodes[index].session.segment_ref(track, ordinal);
        segment.expect("the segment is listed")
    }

    pub(crate) fn store(&self, index: usize) -> &MemoryStore {
        self.nodes[index].session.store()
    }

    pub(crate) fn peer_bytes(&self, index: usize) -> u64 {
        self.nodes[index].session.snapshot().delivery.peer_bytes
    }

    pub(crate) fn http_bytes(&self, index: usize) -> u64 {
        let delivery = self.nodes[index].session.snapshot().delivery;
        delivery.http_media_bytes()
    }

    pub(crate) fn player(&self, index: usize) -> &Player {
        self.nodes[index].player.as_ref().expect("a viewer")
    }

    pub(crate) fn player_mut(&mut self, index: usize) -> &mut Player {
        self.nodes[index].player.as_mut().expect("a viewer")
    }

    /// The segments of this kind of request that `viewer` asked the origin for.
    pub(crate) fn asked_segments(&self, viewer: usize) -> Vec<u64> {
        let asked = self.asked.iter().filter(|asked| asked.viewer == viewer);
        asked
            .filter_map(|asked| match asked.what {
                What::Segment(ordinal) => Some(ordinal),
                _ => None,
            })
            .collect()
    }

    /// The messages from one node to another.
    pub(crate) fn messages(&self, from: usize, to: usize) -> Vec<PeerMessage> {
        let sent = self.sent.iter();
        sent.filter(|sent| sent.from == from && sent.to == to)
            .filter_map(Sent::message)
            .collect()
    }

    /// The number that a node gave its track in its hellos.
    pub(crate) fn handle(&self, from: usize) -> Handle {
        let sent = self.sent.iter().filter(|sent| sent.from == from);
        let handle = sent
            .filter_map(Sent::message)
            .find_map(|message| match message {
                PeerMessage::Hello(hello) => hello.tracks.first().map(|track| track.handle),
                _ => None,
            });
        handle.expect("it said hello")
    }

    /// What can be played is what the origin gave this viewer, or what the publisher signed.
    pub(crate) fn check_bytes(&self, index: usize, segment: SegmentRef) {
        if self.liars.contains(&index) {
            return;
        }
        let node = &self.nodes[index];
        let ordinal = segment.ordinal + self.first_number;
        let playable = node.session.store().playable(segment, 0).concat();
        let is_given = |given: &Bytes| given.starts_with(&playable);
        assert!(
            is_given(&content(ordinal, 0))
                || node
                    .given
                    .get(&ordinal)
                    .is_some_and(|given| given.iter().any(is_given)),
            "node {index} would play wrong bytes of {segment}"
        );
        let store = node.session.store();
        for block in store.verified_blocks(segment).iter() {
            let at = usize::try_from(block).expect("32 bits") * 16_384;
            let bytes = store.read(segment, block).expect("it is verified");
            assert!(
                content(ordinal, 0)[at..].starts_with(&bytes),
                "{segment} block {block}"
            );
        }
    }

    pub(crate) fn check_no_stalls(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(player) = &node.player {
                assert_eq!(player.stalls, 0, "viewer {index}");
                assert!(
                    player.position > MediaTime::ZERO,
                    "viewer {index} never began"
                );
            }
        }
    }
}

pub(crate) fn new_session(
    config: &SessionConfig,
    index: usize,
    now: Instant,
) -> Session<MemoryStore> {
    let store = MemoryStore::new(MemoryStoreConfig {
        keys: vec![origin::publisher_key().public_key()],
        ..MemoryStoreConfig::default()
    });
    let seed = Seed([u8::try_from(index).expect("few nodes"); 32]);
    Session::new(config.clone(), store, seed, now)
}

/// The swarm of the stream, which no viewer's token is part of.
fn swarm(stream: Stream, now: Instant) -> SwarmId {
    let url: Arc<str> = origin::manifest_url(usize::MAX).into();
    let mut refresh = Refresh::new(manifest::Config::default(), &url, now);
    let loaded = manifest::Input::Loaded {
        url: url.clone(),
        range: None,
        final_url: url.clone(),
        body: origin::playlist(stream, 0, 0, now).into(),
    };
    while refresh.poll_output().is_some() {}
    refresh.handle_input(loaded, now);
    let swarm = std::iter::from_fn(|| refresh.poll_output()).find_map(|output| match output {
        manifest::Output::Updated(update) => Some(update.presentation.swarm),
        _ => None,
    });
    swarm.expect("the playlist is one")
}

pub(crate) fn role_of(player: Option<&Player>) -> Role {
    match player {
        Some(_) => Role::Watching,
        None => Role::Holding,
    }
}
