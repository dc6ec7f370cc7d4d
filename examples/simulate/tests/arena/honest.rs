//! The honest viewer: a shell around the real session, with an origin that answers at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use p2pcdn::{
    FetchRequest, MemoryStore, MemoryStoreConfig, Network, ResponseHead, Session, SessionConfig,
    SessionEvent, SessionInput, SessionOutput, Store,
    manifest::{Presentation, Segments},
    scheduler::{FetchId, Playback, PlaybackState, Policy},
    transport::HttpRange,
    wire::{
        Channel, GoodbyeReason, Instant, LinkId, MediaTime, PeerId, Role, Seed, SegmentRef, TrackId,
    },
};
use p2pcdn_example_simulate::{
    actor::Outbox,
    event::{ActorId, Signal, Timer, What},
    trace::Recorder,
    world::Shared,
};

use super::HONEST;

/// What a link takes at once.
const CREDIT: u64 = 128 << 10;

const TICK: Duration = Duration::from_millis(100);

pub(crate) struct Honest {
    shared: Arc<Shared>,
    pub(crate) session: Session<MemoryStore>,
    pub(crate) recorder: Option<Recorder<Vec<u8>>>,
    presentation: Option<Arc<Presentation>>,
    published: u64,
    links: BTreeMap<LinkId, (ActorId, LinkId)>,
    offered: BTreeSet<LinkId>,
    next_link: u64,
    /// What the origin sends, and when.
    coming: BTreeMap<(Instant, u64), SessionInput>,
    serial: u64,
    cancelled: BTreeSet<FetchId>,
    next_tick: Instant,
    next_poll: Instant,
    reloaded_at: Instant,
    position: Option<MediaTime>,
    state: PlaybackState,
    ticks: u32,
    pub(crate) stalls: u32,
    pub(crate) played: Duration,
    pub(crate) wrong_len: usize,
    pub(crate) caught: Vec<(PeerId, SegmentRef, u32)>,
    pub(crate) goodbyes: Vec<Option<GoodbyeReason>>,
    pub(crate) violations: u64,
    pub(crate) refused_maps: u64,
    pub(crate) reloads: u64,
    pub(crate) most_used: u64,
    pub(crate) most_links: usize,
    pub(crate) most_queued: usize,
    pub(crate) inputs: u64,
    /// Time that the session took over what it was told by peers.
    pub(crate) busy: Duration,
    /// As `busy`, with how many there were, by the type of the message.
    pub(crate) busy_with: BTreeMap<u8, (u64, Duration)>,
}

pub(crate) fn new_session(shared: &Shared, now: Instant) -> Session<MemoryStore> {
    let published = shared.media.published(now);
    let swarm = shared.media.presentation(published).swarm;
    let mut config = SessionConfig::new(swarm, PeerId::new([1; 20]));
    config.max_links = shared.scenario.max_links;
    config.maps.sidecar_after = Some(Duration::from_millis(300));
    let store = MemoryStore::new(MemoryStoreConfig {
        keys: vec![shared.media.publisher_key()],
        ..MemoryStoreConfig::default()
    });
    Session::new(config, store, Seed([1; 32]), now)
}

impl Honest {
    pub(crate) fn new(shared: Arc<Shared>, now: Instant) -> Self {
        Self {
            session: new_session(&shared, now),
            shared,
            recorder: None,
            presentation: None,
            published: 0,
            links: BTreeMap::new(),
            offered: BTreeSet::new(),
            next_link: 0,
            coming: BTreeMap::new(),
            serial: 0,
            cancelled: BTreeSet::new(),
            next_tick: now + Duration::from_secs(3_600),
            next_poll: now + Duration::from_secs(3_600),
            reloaded_at: now,
            position: None,
            state: PlaybackState::Starting,
            ticks: 0,
            stalls: 0,
            played: Duration::ZERO,
            wrong_len: 0,
            caught: Vec::new(),
            goodbyes: Vec::new(),
            violations: 0,
            refused_maps: 0,
            reloads: 0,
            most_used: 0,
            most_links: 0,
            most_queued: 0,
            inputs: 0,
            busy: Duration::ZERO,
            busy_with: BTreeMap::new(),
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let coming = self.coming.keys().next().map(|(at, _)| *at);
        [
            Some(self.next_tick),
            Some(self.next_poll),
            coming,
            self.session.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(crate) fn wake(&mut self, now: Instant, out: &mut Outbox) {
        let coming = self
            .coming
            .first_entry()
            .filter(|entry| entry.key().0 <= now);
        if let Some(input) = coming.map(|entry| entry.remove()) {
            let fetch = match &input {
                SessionInput::FetchAnswered { fetch, .. }
                | SessionInput::FetchReceived { fetch, .. }
                | SessionInput::FetchEnded { fetch, .. } => Some(*fetch),
                _ => None,
            };
            if fetch.is_none_or(|fetch| !self.cancelled.contains(&fetch)) {
                self.tell(input, now, out);
            }
        } else if self.next_poll <= now {
            self.next_poll = now + self.shared.scenario.content.segment_duration;
            self.reload(now, out);
        } else if self.next_tick <= now {
            self.next_tick = now + TICK;
            self.tick(now, out);
        } else {
            if let Some(recorder) = &mut self.recorder {
                recorder.woken(now);
            }
            self.session.handle_timeout(now);
            self.drain(now, out);
        }
    }

    pub(crate) fn handle(&mut self, what: What, now: Instant, out: &mut Outbox) {
        match what {
            What::Timer(Timer::Arrive) => {
                self.next_tick = now;
                self.next_poll = now + Duration::from_millis(300);
                self.reload(now, out);
                let track = self.track();
                let role = Role::Watching;
                self.tell(SessionInput::TrackRoleChanged { track, role }, now, out);
                self.tell(SessionInput::PolicyChanged(Policy::default()), now, out);
            }
            What::Timer(Timer::Announce) => self.announce(now, out),
            What::Timer(Timer::Connected { link }) => {
                if let Some((person, _)) = self.links.get(&link) {
                    let subnet = self.shared.population.people[*person as usize].subnet;
                    let network = Some(Network::new(subnet.into()));
                    self.tell(SessionInput::LinkOpened { link, network }, now, out);
                    let credit = CREDIT;
                    self.tell(SessionInput::LinkWritable { link, credit }, now, out);
                }
            }
            What::Signal(signal) => self.signalled(*signal, now, out),
            What::Packet {
                link,
                channel,
                message,
            } => {
                let kind = message.head.first().copied().unwrap_or(0xff);
                let received = SessionInput::LinkReceived {
                    link,
                    channel,
                    message,
                };
                let began = std::time::Instant::now();
                self.tell(received, now, out);
                self.busy += began.elapsed();
                let (count, busy) = self.busy_with.entry(kind).or_default();
                *count += 1;
                *busy += began.elapsed();
            }
            What::LinkClosed { link } => {
                if self.links.remove(&link).is_some() {
                    self.tell(SessionInput::LinkClosed { link }, now, out);
                }
            }
            what => panic!("not for a viewer without edges: {what:?}"),
        }
    }

    fn signalled(&mut self, signal: Signal, now: Instant, out: &mut Outbox) {
        let population = &self.shared.population;
        match signal {
            Signal::Announce { .. } => panic!("a viewer is no tracker"),
            Signal::Announced { viewers, .. } => {
                self.tell(SessionInput::SwarmCounted { viewers }, now, out);
            }
            Signal::Offer { from, their_link } => {
                let is_linked = self.links.values().any(|(person, _)| *person == from);
                if is_linked || self.links.len() >= self.shared.scenario.max_links {
                    return;
                }
                let link = LinkId(self.next_link);
                self.next_link += 1;
                let heard_at =
                    now + population.tracker_delay(HONEST) + population.tracker_delay(from);
                let opens_at = heard_at + population.setup_time(HONEST, from);
                let answer = Signal::Answer {
                    from: HONEST,
                    link: their_link,
                    their_link: link,
                    opens_at: Some(opens_at),
                };
                out.send(from, heard_at, What::Signal(Box::new(answer)));
                self.links.insert(link, (from, their_link));
                out.later(HONEST, opens_at, What::Timer(Timer::Connected { link }));
            }
            Signal::Answer {
                from,
                link,
                their_link,
                opens_at,
            } => {
                let is_linked = self.links.values().any(|(person, _)| *person == from);
                let Some(opens_at) = opens_at.filter(|_| self.offered.remove(&link)) else {
                    return;
                };
                if is_linked {
                    let at = now + population.delay(HONEST, from);
                    out.send(from, at, What::LinkClosed { link: their_link });
                    return;
                }
                self.links.insert(link, (from, their_link));
                out.later(
                    HONEST,
                    opens_at.max(now),
                    What::Timer(Timer::Connected { link }),
                );
            }
        }
    }

    fn announce(&mut self, now: Instant, out: &mut Outbox) {
        let missing = self.shared.scenario.max_links * 3 / 4;
        let missing = missing.saturating_sub(self.links.len()).min(10);
        self.offered.clear();
        let links: Vec<_> = (0..missing)
            .map(|at| LinkId(self.next_link + at as u64))
            .collect();
        self.next_link += missing as u64;
        self.offered.extend(&links);
        let leaving = false;
        let announce = What::Signal(Box::new(Signal::Announce { links, leaving }));
        let at = now + self.shared.population.tracker_delay(HONEST);
        out.send(self.shared.tracker(), at, announce);
        let again = now + Duration::from_secs(5);
        out.later(HONEST, again, What::Timer(Timer::Announce));
    }

    fn reload(&mut self, now: Instant, out: &mut Outbox) {
        self.reloaded_at = now;
        self.published = self.shared.media.published(now);
        let presentation = self.shared.media.presentation(self.published);
        let answered = SessionInput::ManifestAnswered {
            status: 200,
            ttfb: Duration::from_millis(40),
            len: 900,
        };
        self.tell(answered, now, out);
        self.presentation = Some(presentation.clone());
        self.tell(SessionInput::PresentationUpdated(presentation), now, out);
    }

    fn tell(&mut self, input: SessionInput, now: Instant, out: &mut Outbox) {
        self.inputs += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.told(&input, self.published, now);
        }
        self.session.handle_input(input, now);
        self.drain(now, out);
    }

    fn drain(&mut self, now: Instant, out: &mut Outbox) {
        let mut queued = 0;
        while let Some(output) = self.session.poll_output() {
            queued += 1;
            if let Some(recorder) = &mut self.recorder {
                recorder.did(&output);
            }
            self.carry_out(output, now, out);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.drained(self.session.poll_timeout());
        }
        self.most_queued = self.most_queued.max(queued);
        self.most_used = self.most_used.max(self.session.store().used_bytes());
        self.most_links = self.most_links.max(self.session.peers().count());
    }

    fn carry_out(&mut self, output: SessionOutput, now: Instant, out: &mut Outbox) {
        match output {
            SessionOutput::Fetch { fetch, request } => self.fetch(fetch, &request, now),
            SessionOutput::CancelFetch { fetch } => {
                self.cancelled.insert(fetch);
            }
            SessionOutput::FetchSidecar { segment, .. } => {
                let is_there = self.shared.media.map_at(0, segment.ordinal) <= now;
                let encoded = is_there.then(|| self.shared.media.map(0, segment.ordinal));
                let answered = SessionInput::SidecarAnswered { segment, encoded };
                self.comes(now + Duration::from_millis(40), answered);
            }
            SessionOutput::RenewAuthorisation { segment, .. } => {
                let status = Some(206);
                let answered = SessionInput::RenewalAnswered { segment, status };
                self.comes(now + Duration::from_millis(40), answered);
            }
            SessionOutput::Send {
                link,
                channel,
                message,
            } => {
                let Some((to, their_link)) = self.links.get(&link).copied() else {
                    return;
                };
                if channel == Channel::Data {
                    let credit = CREDIT;
                    let writable = SessionInput::LinkWritable { link, credit };
                    self.comes(now + Duration::from_millis(60), writable);
                }
                let packet = What::Packet {
                    link: their_link,
                    channel,
                    message,
                };
                out.send(to, now + self.shared.population.delay(HONEST, to), packet);
            }
            SessionOutput::CloseLink { link } => {
                if let Some((to, link)) = self.links.remove(&link) {
                    let at = now + self.shared.population.delay(HONEST, to);
                    out.send(to, at, What::LinkClosed { link });
                }
            }
            SessionOutput::JoinSwarm => self.announce(now, out),
            SessionOutput::LeaveSwarm => panic!("the origin lets it watch"),
            SessionOutput::ReloadManifest { .. } => {
                self.reloads += 1;
                if self.reloaded_at + Duration::from_secs(1) <= now {
                    self.next_poll = now;
                }
            }
            SessionOutput::Event(event) => self.note(event),
        }
    }

    fn note(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::PeerCaught {
                peer,
                segment,
                block,
            } => self.caught.push((peer, segment, block)),
            SessionEvent::PeerGone { reason, .. } => self.goodbyes.push(reason),
            SessionEvent::PeerViolated { .. } => self.violations += 1,
            SessionEvent::MapRefused { .. } => self.refused_maps += 1,
            SessionEvent::SegmentProgressed { segment }
            | SessionEvent::SegmentCompleted { segment } => self.check(segment),
            _ => {}
        }
    }

    /// Counts the playable bytes that are not the publisher's.
    fn check(&mut self, segment: SegmentRef) {
        let mut at = 0;
        for bytes in self.session.store().playable(segment, 0) {
            let range = at..at + bytes.len() as u64;
            at = range.end;
            let right = self.shared.media.bytes(0, segment.ordinal, range);
            if right != bytes {
                self.wrong_len += bytes.len();
            }
        }
    }

    fn comes(&mut self, at: Instant, input: SessionInput) {
        self.serial += 1;
        self.coming.insert((at, self.serial), input);
    }

    fn fetch(&mut self, fetch: FetchId, request: &FetchRequest, now: Instant) {
        let segments = self.segments();
        let mut listed = segments.iter();
        let Some(segment) = listed.find(|segment| *segment.url == *request.url) else {
            return;
        };
        let len = self.shared.media.segment_len(0, segment.ordinal);
        let HttpRange { start, end } = request.range.unwrap_or(HttpRange {
            start: 0,
            end: None,
        });
        let end = end.map_or(len, |end| end.min(len));
        let mut head = ResponseHead {
            status: 200,
            content_length: Some(end - start),
            ..ResponseHead::default()
        };
        if request.range.is_some() {
            head.status = 206;
            head.content_range = Some(format!("bytes {start}-{}/{len}", end - 1));
        }
        let ttfb = Duration::from_millis(40);
        let mut at = now + ttfb;
        self.comes(at, SessionInput::FetchAnswered { fetch, head, ttfb });
        let mut bytes = self.shared.media.bytes(0, segment.ordinal, start..end);
        while !bytes.is_empty() {
            at += Duration::from_millis(4);
            let bytes = bytes.split_to(bytes.len().min(16_384));
            self.comes(at, SessionInput::FetchReceived { fetch, bytes });
        }
        let result = Ok(());
        self.comes(at, SessionInput::FetchEnded { fetch, result });
    }

    fn tick(&mut self, now: Instant, out: &mut Outbox) {
        let segments = self.segments();
        self.ticks += 1;
        let before = self.state;
        let is_new = self.position.is_none();
        let start = segments
            .live_edge
            .saturating_sub(self.shared.scenario.latency);
        let position = *self.position.get_or_insert(start);
        let is_playing = self.state == PlaybackState::Playing;
        let next = if is_playing {
            position + TICK
        } else {
            position
        };
        let is_there = self.is_there(&segments, next);
        self.state = match (is_playing, is_there) {
            (_, true) => PlaybackState::Playing,
            (true, false) => {
                self.stalls += 1;
                PlaybackState::Stalled
            }
            (false, false) => self.state,
        };
        if is_playing && is_there {
            self.position = Some(next);
            self.played += TICK;
        }
        if is_new || before != self.state || self.ticks.is_multiple_of(10) {
            let playback = Playback {
                position: self.position.unwrap_or(position),
                state: self.state,
                buffer_target: self.shared.scenario.buffer_target,
            };
            let latency = Some(self.shared.scenario.latency);
            self.tell(
                SessionInput::PlaybackChanged { playback, latency },
                now,
                out,
            );
        }
    }

    fn is_there(&self, segments: &Segments, at: MediaTime) -> bool {
        let segment = segments.segment_at(at);
        let name = segment.and_then(|it| self.session.segment_ref(self.track(), it.ordinal));
        name.is_some_and(|name| self.session.store().is_complete(name))
    }

    fn segments(&self) -> Segments {
        let presentation = self.presentation.as_ref().expect("it was loaded");
        let track = presentation.track(self.track()).expect("it is listed");
        track.segments.clone().expect("they are known")
    }

    fn track(&self) -> TrackId {
        self.shared.media.track_id(0)
    }
}
