//! The task that owns everything of one client and moves bytes between its machines.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use p2pcdn_manifest::{DeliveryDirectives, Presentation, Refresh};
use p2pcdn_metrics::Snapshot;
use p2pcdn_scheduler::{FetchId, Playback, PlaybackState, Switch};
use p2pcdn_transport::{PeerSocket, Signalling, TrackerSockets, WebRtc, WebRtcConfig};
use p2pcdn_wire::{
    Channel, Instant, LinkId, MediaTime, Message, PeerId, Role, Seed, TrackId, UnixTime,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::{
    Command, Statistics,
    config::ClientConfig,
    loads::{HttpEvent, Loader, SharedHttpClient},
    manifests::{ManifestCopies, Purpose},
    neighbours::wanted_peers,
    requests::Waiter,
    response::ClientError,
};
use crate::{
    authorisation::Standing,
    memory_store::{MemoryStore, MemoryStoreConfig},
    session::{Session, SessionConfig, SessionInput, SessionOutput},
    store::Store,
};

/// Pieces of HTTP bodies that may wait for the driver; beyond that the connections wait, which
/// slows the origin down instead of filling memory.
const HTTP_QUEUE: usize = 64;

/// Events handled before sockets are looked after again.
const BATCH: usize = 64;

/// How long the goodbyes may take when a client closes.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How old a manifest may be when it is handed to a player, until its target duration is known.
const MANIFEST_MAX_AGE: Duration = Duration::from_secs(1);

type Changes = watch::Sender<Arc<Presentation>>;
type Opened = oneshot::Sender<Result<watch::Receiver<Arc<Presentation>>, ClientError>>;

pub(super) struct Driver {
    started: std::time::Instant,
    pub(super) seed: Seed,
    pub(super) config: ClientConfig,
    pub(super) peer: PeerId,
    commands: mpsc::Receiver<Command>,
    http_events: mpsc::Receiver<HttpEvent>,
    unshared_counts: mpsc::UnboundedReceiver<u64>,
    pub(super) unshared: mpsc::UnboundedSender<u64>,
    pub(super) loader: Loader,
    refresh: Refresh,
    pub(super) presentation: Option<Arc<Presentation>>,
    changes: Option<Changes>,
    opened: Option<Opened>,
    pub(super) session: Option<Session<MemoryStore>>,
    pub(super) fetches: BTreeMap<FetchId, AbortHandle>,
    pub(super) roles: BTreeMap<TrackId, Role>,
    /// Tracks whose manifests are kept up to date.
    pub(super) active: BTreeSet<TrackId>,
    pub(super) manifests: ManifestCopies,
    pub(super) manifest_max_age: Duration,
    pub(super) waiters: Vec<Waiter>,
    pub(super) playback: (Playback, Instant),
    pub(super) was_told_playback: bool,
    /// As the player last said, or as it was configured.
    pub(super) buffer_target: Duration,
    pub(super) socket: PeerSocket,
    pub(super) webrtc: WebRtc,
    pub(super) signalling: Option<Signalling>,
    pub(super) trackers: TrackerSockets,
    pub(super) unsent: BTreeMap<LinkId, VecDeque<(Channel, Message)>>,
    pub(super) next_link: u64,
    closing: Option<(oneshot::Sender<()>, Instant)>,
    is_done: bool,
}

impl Driver {
    pub(super) fn new(
        manifest_url: &str,
        config: ClientConfig,
        http: SharedHttpClient,
        commands: mpsc::Receiver<Command>,
    ) -> Result<(Self, PeerId), ClientError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| ClientError::Randomness)?;
        let peer = config.peer.unwrap_or_else(|| random_peer(&seed));
        let address = config.bind.unwrap_or_else(default_address);
        let socket = PeerSocket::bind(address).map_err(|error| ClientError::Socket {
            address: address.to_string(),
            reason: error.to_string(),
        })?;
        let started = std::time::Instant::now();
        let now = Instant::EPOCH;
        let webrtc_config = WebRtcConfig {
            candidates: vec![socket.local_addr()],
            ..WebRtcConfig::default()
        };
        let (http_sender, http_events) = mpsc::channel(HTTP_QUEUE);
        let (unshared, unshared_counts) = mpsc::unbounded_channel();
        let refresh_config = p2pcdn_manifest::Config {
            identity: Arc::new(config.identity.clone()),
            // A low-latency player asks for its playlists itself, and what it is given counts
            // here too: waiting requests of our own would only come on top.
            delivery_directives: DeliveryDirectives::Never,
            ..p2pcdn_manifest::Config::default()
        };
        let playback = Playback {
            position: MediaTime::ZERO,
            state: PlaybackState::Starting,
            buffer_target: config.buffer_target,
        };
        let driver = Self {
            started,
            seed: Seed(seed),
            peer,
            commands,
            http_events,
            unshared_counts,
            unshared,
            loader: Loader {
                http,
                headers: config.headers.clone(),
                events: http_sender,
            },
            refresh: Refresh::new(refresh_config, manifest_url, now),
            presentation: None,
            changes: None,
            opened: None,
            session: None,
            fetches: BTreeMap::new(),
            roles: BTreeMap::new(),
            active: BTreeSet::new(),
            manifests: ManifestCopies::new(),
            manifest_max_age: MANIFEST_MAX_AGE,
            waiters: Vec::new(),
            playback: (playback, now),
            was_told_playback: false,
            buffer_target: config.buffer_target,
            socket,
            webrtc: WebRtc::new(webrtc_config, started, now),
            signalling: None,
            trackers: TrackerSockets::new(),
            unsent: BTreeMap::new(),
            next_link: 0,
            closing: None,
            is_done: false,
            config,
        };
        Ok((driver, peer))
    }

    pub(super) async fn run(mut self, opened: Opened) {
        self.opened = Some(opened);
        self.tell_clock();
        self.settle();
        while !self.is_done {
            let wake_at = self.next_wake();
            let wait = wake_at.map(|at| at.saturating_duration_since(self.now()));
            let deadline = tokio::time::Instant::now() + wait.unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                ready = self.socket.ready() => {
                    if let Err(error) = ready {
                        tracing::error!(%error, "the peer socket is broken");
                        self.is_done = true;
                    }
                }
                command = self.commands.recv(), if self.closing.is_none() => match command {
                    Some(command) => self.command(command),
                    None => self.begin_close(None),
                },
                Some(event) = self.http_events.recv() => {
                    self.http_event(event);
                    for _ in 0..BATCH {
                        match self.http_events.try_recv() {
                            Ok(event) => self.http_event(event),
                            Err(_) => break,
                        }
                    }
                }
                Some(len) = self.unshared_counts.recv() => {
                    self.tell(SessionInput::UnsharedReceived { len });
                }
                input = self.trackers.recv() => self.tell_signalling(input),
                () = tokio::time::sleep_until(deadline) => {}
            }
            self.timeouts();
            self.settle();
        }
        for fetch in self.fetches.values() {
            fetch.abort();
        }
        self.fail_waiters();
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_epoch(self.started.elapsed())
    }

    fn next_wake(&self) -> Option<Instant> {
        [
            self.session.as_ref().and_then(Session::poll_timeout),
            self.refresh.poll_timeout(),
            self.signalling.as_ref().and_then(Signalling::poll_timeout),
            self.webrtc_timeout(),
            self.closing.as_ref().map(|(_, at)| *at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn timeouts(&mut self) {
        let now = self.now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(session) = &mut self.session
            && due(session.poll_timeout())
        {
            session.handle_timeout(now);
        }
        if due(self.refresh.poll_timeout()) {
            self.refresh.handle_timeout(now);
        }
        if let Some(signalling) = &mut self.signalling
            && due(signalling.poll_timeout())
        {
            signalling.handle_timeout(now);
        }
        self.webrtc_timeouts(now);
        if self.closing.as_ref().is_some_and(|(_, at)| *at <= now) {
            self.is_done = true;
        }
    }

    /// Carries out what the machines want until none wants anything more.
    fn settle(&mut self) {
        loop {
            let moved = self.drain_refresh()
                | self.drain_session()
                | self.drain_signalling()
                | self.drain_peers();
            if !moved {
                return;
            }
        }
    }

    fn drain_refresh(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.refresh.poll_output() {
            use p2pcdn_manifest::Output;
            moved = true;
            match output {
                Output::Load { url, range: None } => self.load_manifest(url, Purpose::Refresh),
                Output::Load {
                    url,
                    range: Some(range),
                } => self.loader.index(url, range),
                Output::Updated(update) => self.presentation_updated(update.presentation),
                Output::Event(event) => self.refresh_event(event),
            }
        }
        moved
    }

    fn presentation_updated(&mut self, presentation: Arc<Presentation>) {
        self.active.retain(|id| presentation.track(*id).is_some());
        self.presentation = Some(presentation.clone());
        if self.session.is_none() {
            self.session = Some(self.new_session(&presentation));
        }
        let tracks = presentation.tracks.iter();
        let known = tracks.filter_map(|track| track.segments.as_ref());
        if let Some(shortest) = known.map(|segments| segments.target_duration).min() {
            self.manifest_max_age = shortest / 2;
        }
        self.tell(SessionInput::PresentationUpdated(presentation.clone()));
        match &self.changes {
            Some(changes) => {
                changes.send_replace(presentation);
            }
            None => {
                let (changes, receiver) = watch::channel(presentation);
                self.changes = Some(changes);
                if let Some(opened) = self.opened.take() {
                    // A caller that is gone has dropped the commands too.
                    let _ = opened.send(Ok(receiver));
                }
            }
        }
    }

    fn new_session(&self, presentation: &Presentation) -> Session<MemoryStore> {
        let mut config = SessionConfig::new(presentation.swarm, self.peer);
        config.scheduler.memory_budget = self.config.memory_budget;
        config.scheduler.throughput_prior = self.config.throughput_prior;
        config.max_links = self.config.max_peers;
        // Fewer are looked for when fewer may be had.
        let wanted = wanted_peers(self.config.max_peers);
        config.scheduler.neighbours = config.scheduler.neighbours.min(wanted);
        config.maps.push_degree = self.config.push_degree;
        if self.config.sidecar.is_some() {
            config.maps.sidecar_after = Some(SIDECAR_AFTER);
        }
        let store = MemoryStore::new(MemoryStoreConfig {
            keys: self.config.publisher_keys.clone(),
            ..MemoryStoreConfig::default()
        });
        let now = self.now();
        let mut session = Session::new(config, store, self.seed, now);
        let mut policy = self.config.policy;
        if self.config.trackers.is_empty() {
            policy.peer_transfer = Switch::Off;
        }
        session.handle_input(SessionInput::PolicyChanged(policy), now);
        // What was loaded before there was a session.
        for copy in self.manifests.values() {
            if let Some(answered) = copy.answered() {
                session.handle_input(answered, now);
            }
        }
        session
    }

    fn refresh_event(&mut self, event: p2pcdn_manifest::Event) {
        use p2pcdn_manifest::Event;
        tracing::debug!(?event, "manifest");
        #[cfg(feature = "dash")]
        if let Event::ClockWanted { .. } = event {
            self.tell_clock();
            return;
        }
        let Some(opened) = self.opened.take() else {
            return;
        };
        // Nothing was ever loaded: the caller decides whether to try again.
        let error = match event {
            Event::LoadFailed { url, reason, .. } => ClientError::Manifest {
                url: url.to_string(),
                reason,
            },
            Event::ParseFailed { url, error, .. } => ClientError::NotAManifest {
                url: url.to_string(),
                reason: error.to_string(),
            },
            _ => {
                self.opened = Some(opened);
                return;
            }
        };
        let _ = opened.send(Err(error));
        self.is_done = true;
    }

    fn drain_session(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.session.as_mut().and_then(Session::poll_output) {
            moved = true;
            match output {
                SessionOutput::Fetch { fetch, request } => {
                    let task = self.loader.fetch(fetch, request);
                    self.fetches.insert(fetch, task);
                }
                SessionOutput::CancelFetch { fetch } => {
                    if let Some(task) = self.fetches.remove(&fetch) {
                        task.abort();
                    }
                }
                SessionOutput::FetchSidecar { segment, id } => {
                    if let Some(base) = &self.config.sidecar {
                        let url = format!("{}/{id}", base.trim_end_matches('/'));
                        self.loader.sidecar(segment, url);
                    }
                }
                SessionOutput::RenewAuthorisation { segment, request } => {
                    self.loader.renewal(segment, request);
                }
                SessionOutput::Send {
                    link,
                    channel,
                    message,
                } => self.send(link, channel, message),
                SessionOutput::CloseLink { link } => self.close_link(link),
                SessionOutput::JoinSwarm => self.join_swarm(),
                SessionOutput::LeaveSwarm => self.leave_swarm(),
                SessionOutput::ReloadManifest { track } => {
                    let news = p2pcdn_manifest::Input::NewsHeard { track };
                    self.tell_refresh(news);
                }
                SessionOutput::Event(event) => self.session_event(&event),
            }
        }
        moved
    }

    pub(super) fn tell(&mut self, input: SessionInput) {
        let now = self.now();
        if let Some(session) = &mut self.session {
            session.handle_input(input, now);
        }
    }

    pub(super) fn tell_refresh(&mut self, input: p2pcdn_manifest::Input) {
        let now = self.now();
        self.refresh.handle_input(input, now);
    }

    /// What this machine's clock shows.
    fn tell_clock(&mut self) {
        let time = match std::time::UNIX_EPOCH.elapsed() {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        };
        let time = UnixTime::from_micros(time);
        self.tell_refresh(p2pcdn_manifest::Input::ClockKnown(time));
    }

    /// Has the manifest of a track kept up to date. To say so again would load it again.
    pub(super) fn activate(&mut self, track: TrackId) {
        let presentation = self.presentation.as_ref();
        let is_known = presentation.is_some_and(|it| it.track(track).is_some());
        if is_known && self.active.insert(track) {
            self.tell_refresh(p2pcdn_manifest::Input::TrackActivated(track));
        }
    }

    pub(super) fn deactivate(&mut self, track: TrackId) {
        self.active.remove(&track);
        self.tell_refresh(p2pcdn_manifest::Input::TrackDeactivated(track));
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Fetch(request, reply) => self.fetch(request, reply),
            Command::Watch(track) => self.watch(track),
            Command::Hold(track) => {
                self.activate(track);
                self.set_role(track, Role::Holding);
            }
            Command::SetPlayback(playback, latency) => self.set_playback(playback, latency),
            Command::SetPolicy(policy) => self.tell(SessionInput::PolicyChanged(policy)),
            Command::Statistics(reply) => {
                // Who asked may be gone.
                let _ = reply.send(self.statistics());
            }
            Command::Sources(track, ordinal, reply) => {
                let session = self.session.as_ref();
                let sources = session.and_then(|session| {
                    let segment = session.segment_ref(track, ordinal)?;
                    Some(session.sources(segment))
                });
                let _ = reply.send(sources.unwrap_or_default());
            }
            Command::PublishMap(track, ordinal, encoded) => {
                let session = self.session.as_ref();
                let segment = session.and_then(|session| session.segment_ref(track, ordinal));
                if let Some(segment) = segment {
                    self.tell(SessionInput::MapSigned { segment, encoded });
                }
            }
            Command::Close(done) => self.begin_close(Some(done)),
        }
    }

    fn statistics(&mut self) -> Statistics {
        let Some(session) = &self.session else {
            return Statistics {
                snapshot: Snapshot::default(),
                peer_count: 0,
                standing: Standing::Pending,
                throughput: None,
                memory_len: 0,
            };
        };
        Statistics {
            snapshot: session.snapshot(),
            peer_count: session.peers().count(),
            standing: session.standing(),
            throughput: session.throughput(),
            memory_len: session.store().used_bytes(),
        }
    }

    /// Switches peers off, which says goodbye to them, and ends when that has had time to leave.
    fn begin_close(&mut self, done: Option<oneshot::Sender<()>>) {
        if self.closing.is_some() {
            return;
        }
        let has_peers = self
            .session
            .as_ref()
            .is_some_and(|session| session.peers().next().is_some());
        let policy = p2pcdn_scheduler::Policy {
            peer_transfer: Switch::Off,
            ..self.config.policy
        };
        self.tell(SessionInput::PolicyChanged(policy));
        let wait = if has_peers || self.signalling.is_some() {
            CLOSE_TIMEOUT
        } else {
            Duration::ZERO
        };
        let done = done.unwrap_or_else(|| oneshot::channel().0);
        self.closing = Some((done, self.now() + wait));
    }

    fn http_event(&mut self, event: HttpEvent) {
        match event {
            HttpEvent::Head { fetch, head, ttfb } => {
                self.tell(SessionInput::FetchAnswered { fetch, head, ttfb });
            }
            HttpEvent::Body { fetch, bytes } => {
                self.tell(SessionInput::FetchReceived { fetch, bytes });
            }
            HttpEvent::End { fetch, result } => {
                self.fetches.remove(&fetch);
                self.tell(SessionInput::FetchEnded { fetch, result });
            }
            HttpEvent::Manifest { url, result } => self.manifest_loaded(url, result),
            HttpEvent::Index { url, range, result } => self.index_loaded(url, range, result),
            HttpEvent::Sidecar { segment, encoded } => {
                self.tell(SessionInput::SidecarAnswered { segment, encoded });
            }
            HttpEvent::Renewal { segment, status } => {
                self.tell(SessionInput::RenewalAnswered { segment, status });
            }
        }
    }
}

/// How long a block map may be missing before the sidecar is asked: after the flood of pushed and
/// requested maps, before the rescue points of a short live latency.
const SIDECAR_AFTER: Duration = Duration::from_millis(500);

/// A random id in the form that WebTorrent clients use: a client tag, then random letters.
fn random_peer(seed: &[u8; 32]) -> PeerId {
    let hash = blake3::keyed_hash(seed, b"peer id");
    let mut bytes = *b"-PC0001-            ";
    for (byte, random) in bytes[8..].iter_mut().zip(hash.as_bytes()) {
        let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        *byte = alphabet[usize::from(*random) % alphabet.len()];
    }
    PeerId::new(bytes)
}

/// Any port of the address that the default route starts from: connecting a UDP socket sends
/// nothing, but picks that address.
fn default_address() -> SocketAddr {
    let route = || {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // An address for documentation (RFC 5737).
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let ip = route().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, 0)
}
