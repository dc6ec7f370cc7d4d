//! The sans-IO parts joined: scheduler, links, block maps, store, counters.

mod content;
mod early_maps;
mod fetches;
#[cfg(all(test, feature = "hls"))]
mod heap;
mod interface;
mod links;
mod unwelcome;
mod witnessing;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use p2pcdn_metrics::{Delivery, PlaybackInput, Snapshot};
use p2pcdn_scheduler::{FetchId, Playback, PlaybackState, Policy, Scheduler, Switch};
use p2pcdn_wire::{
    BitRate, GoodbyeReason, Instant, LinkConfig, LinkId, PeerId, Say, Seed, SegmentRef,
};

pub use self::interface::{
    Integrity, SessionConfig, SessionEvent, SessionInput, SessionKey, SessionOutput,
};
use self::{
    content::SessionTrack,
    early_maps::{EarlyMaps, RefusedMaps},
    fetches::Attempt,
    links::SessionLink,
    unwelcome::Unwelcome,
};
use crate::{
    authorisation::{Answer, Authorisation, Standing, Subject},
    dense::{Dense, DenseSet},
    http_response::Validator,
    maps::{MapSource, Maps, MapsInput, MapsOutput},
    store::{Source, Store},
    witnesses::Witnesses,
};

/// How much later than the one before a player's report may be sent than told.
const REPORT_JITTER: Duration = Duration::from_millis(100);

/// Segments whose sources are remembered, at most: two hours of 2 s segments, which only a store
/// with room for hours holds.
const MAX_SOURCES: usize = 3_600;

/// Outputs that there is always room for: what most inputs make.
const SPARE_OUTPUTS: usize = 4;

/// One viewer of one presentation: decides what to fetch, talks to peers, verifies and counts.
///
/// Sans-IO: a shell carries out what [`poll_output`](Self::poll_output) says, in order, and tells
/// what came of it. The contract is that of every machine here: after `handle_input` or
/// `handle_timeout` drain the outputs to `None`, then wait until
/// [`poll_timeout`](Self::poll_timeout) or the next input; time never goes back; inputs about what
/// is over are ignored.
///
/// Peers are dealt with only while the origin itself lets this viewer watch: see
/// [`Authorisation`].
#[derive(Debug)]
pub struct Session<S> {
    config: SessionConfig,
    now: Instant,
    store: S,
    scheduler: Scheduler,
    maps: Maps,
    authorisation: Authorisation,
    standing: Standing,
    policy: Policy,
    transfer: Switch,
    tracks: Vec<SessionTrack>,
    /// The number of the next track.
    next_track: u16,
    playback: Playback,
    links: Dense<LinkId, SessionLink>,
    /// When each link wants to be woken, apart so that the soonest is found at a glance.
    link_wakes: Dense<LinkId, Instant>,
    /// What links are opened with: one for all as long as nothing changes.
    link_config: Arc<LinkConfig>,
    unwelcome: Unwelcome,
    fetches: Dense<FetchId, Attempt>,
    validators: Dense<SegmentRef, Validator>,
    /// Segments of which the origin does not serve ranges.
    wholes: DenseSet<SegmentRef>,
    wanted_maps: DenseSet<SegmentRef>,
    /// Whether the segments whose block maps are wanted may have changed.
    are_maps_due: bool,
    early_maps: EarlyMaps,
    refused_maps: RefusedMaps,
    /// Where fetchers vouch for what they read.
    witnesses: Option<Box<Witnesses>>,
    /// As the trackers count them.
    viewers: Option<u32>,
    delivery: Delivery,
    sources: Dense<SegmentRef, SegmentSources>,
    player: p2pcdn_metrics::Playback,
    /// When the player last reported.
    played_at: Instant,
    outputs: VecDeque<SessionOutput>,
    is_dirty: bool,
}

/// Where the useful bytes of one segment came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSources {
    /// Bytes from peers.
    pub peer_len: u64,
    /// Bytes over HTTP.
    pub http_len: u64,
}

impl<S: Store> Session<S> {
    /// A session that has not begun, with its bytes in `store`.
    #[must_use]
    pub fn new(mut config: SessionConfig, store: S, seed: Seed, now: Instant) -> Self {
        if let Integrity::Witnessed { witnesses } = config.integrity {
            config.scheduler.duty_copies = witnesses.into();
        }
        let scheduler = Scheduler::new(config.scheduler.clone(), seed.derive("scheduler"), now);
        let draws = witnessing::draw_seed(&config).unwrap_or_else(|| seed.derive("maps"));
        let maps = Maps::new(config.maps.clone(), draws, now);
        Self {
            now,
            store,
            scheduler,
            maps,
            authorisation: Authorisation::new(now),
            standing: Standing::Pending,
            policy: Policy::default(),
            transfer: Switch::Off,
            tracks: Vec::new(),
            next_track: 0,
            playback: Playback {
                position: p2pcdn_wire::MediaTime::ZERO,
                state: PlaybackState::Starting,
                buffer_target: Duration::ZERO,
            },
            links: Dense::new(),
            link_wakes: Dense::new(),
            link_config: Arc::new(LinkConfig::new(config.scheduler.peer, config.swarm)),
            unwelcome: Unwelcome::default(),
            fetches: Dense::new(),
            validators: Dense::new(),
            wholes: DenseSet::new(),
            wanted_maps: DenseSet::new(),
            are_maps_due: true,
            early_maps: EarlyMaps::default(),
            refused_maps: RefusedMaps::default(),
            witnesses: witnessing::witnesses(&config),
            viewers: None,
            delivery: Delivery::default(),
            sources: Dense::new(),
            player: p2pcdn_metrics::Playback::new(now),
            played_at: now,
            outputs: VecDeque::new(),
            is_dirty: false,
            config,
        }
    }

    /// Tells the session what happened at `now`.
    pub fn handle_input(&mut self, input: SessionInput, now: Instant) {
        self.advance(now);
        match input {
            SessionInput::PresentationUpdated(presentation) => self.update(&presentation),
            SessionInput::TrackRoleChanged { track, role } => self.change_role(track, role),
            SessionInput::TrackWanted { track, span } => self.want_span(track, span),
            SessionInput::PlaybackChanged { playback, latency } => {
                self.playback_changed(playback, latency);
            }
            SessionInput::PolicyChanged(policy) => {
                self.review_standing();
                self.policy = policy;
                self.tell_policy();
            }
            SessionInput::ManifestAnswered { status, ttfb, len } => {
                self.delivery
                    .add_http(p2pcdn_metrics::HttpReason::Manifest, len);
                self.origin_answered(Subject::Manifest, Answer::from_status(status));
                let answered = p2pcdn_scheduler::Input::OriginAnswered { fetch: None, ttfb };
                self.tell_scheduler(answered);
            }
            SessionInput::UnsharedReceived { len } => self
                .delivery
                .add_http(p2pcdn_metrics::HttpReason::NotShareable, len),
            SessionInput::LinkOpened { link, network } => self.open_link(link, network),
            SessionInput::LinkReceived {
                link,
                channel,
                message,
            } => self.receive(link, channel, message),
            SessionInput::LinkWritable { link, credit } => self.link_writable(link, credit),
            SessionInput::LinkClosed { link } => self.forget_link(link, None),
            SessionInput::FetchAnswered { fetch, head, ttfb } => {
                self.fetch_answered(fetch, &head, ttfb);
            }
            SessionInput::FetchReceived { fetch, bytes } => self.fetch_received(fetch, bytes),
            SessionInput::FetchEnded { fetch, result } => self.fetch_ended(fetch, result),
            SessionInput::MapSigned { segment, encoded } => {
                // Who signs a segment has read it.
                self.origin_answered(Subject::Segment(segment), Answer::Granted);
                self.take_map(segment, &encoded, MapSource::Own);
            }
            SessionInput::SidecarAnswered { segment, encoded } => {
                self.sidecar_answered(segment, encoded);
            }
            SessionInput::RenewalAnswered { segment, status } => {
                if let Some(status) = status {
                    self.origin_answered(Subject::Segment(segment), Answer::from_status(status));
                }
            }
            SessionInput::SwarmCounted { viewers } => {
                self.viewers = Some(viewers);
                self.tell_scheduler(p2pcdn_scheduler::Input::SwarmCounted { viewers });
            }
        }
    }

    /// Tells the session that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.scheduler.handle_timeout(self.now);
        self.maps.handle_timeout(self.now);
        self.wake_links();
        self.settle_maps();
        self.review_standing();
        self.renew_authorisation();
    }

    /// The next thing to do or to know; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        if self.outputs.is_empty() && self.is_dirty {
            self.is_dirty = false;
            self.pump();
        }
        let output = self.outputs.pop_front();
        if output.is_none() {
            self.outputs.shrink_to(SPARE_OUTPUTS);
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when only an input can
    /// change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transfer = self.transfer.is_on();
        let links = self.link_wakes.values().iter().copied();
        [
            self.scheduler.poll_timeout(),
            self.maps.poll_timeout(),
            self.witnesses.as_ref().and_then(|it| it.wake_at()),
            transfer.then(|| self.authorisation.stale_at()),
            self.authorisation.renew_at().filter(|_| transfer),
        ]
        .into_iter()
        .flatten()
        .chain(links)
        .min()
    }

    /// The bytes.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Where the viewer stands with the origin.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The counters.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            delivery: self.delivery,
            playback: self.player.figures(self.now),
        }
    }

    /// Where the useful bytes of a segment came from so far; zeros once nothing of it is held any
    /// more.
    #[must_use]
    pub fn sources(&self, segment: SegmentRef) -> SegmentSources {
        self.sources.get(segment).copied().unwrap_or_default()
    }

    /// The HTTP throughput of late; `None` until some was measured.
    #[must_use]
    pub fn throughput(&self) -> Option<BitRate> {
        self.scheduler.throughput()
    }

    /// The peers that can be talked to.
    pub fn peers(&self) -> impl Iterator<Item = (LinkId, PeerId)> + '_ {
        self.links
            .iter()
            .filter_map(|(link, state)| Some((link, state.peer()?)))
    }

    /// Whether a peer was caught sending wrong bytes or breaking the protocol, and is not dealt with
    /// again.
    #[must_use]
    pub fn is_banned(&self, peer: PeerId) -> bool {
        self.unwelcome.is_banned(peer)
    }

    /// Whether a peer would be sent away if it connected, because it is banned or was let go of
    /// less than five minutes ago: a shell that knows who offers need not let it come so far.
    #[must_use]
    pub fn refuses(&self, peer: PeerId) -> bool {
        self.unwelcome.refusal(peer, self.now).is_some()
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.is_dirty = true;
    }

    fn tell_scheduler(&mut self, input: p2pcdn_scheduler::Input) {
        self.scheduler.handle_input(input, self.now);
    }

    fn event(&mut self, event: SessionEvent) {
        self.outputs.push_back(SessionOutput::Event(event));
    }

    /// Carries out what the machines want until none wants anything more.
    fn pump(&mut self) {
        self.want_maps();
        loop {
            if let Some(output) = self.maps.poll_output() {
                self.carry_out_map(output);
            } else if let Some(output) = self.scheduler.poll_output() {
                self.carry_out(output);
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, output: p2pcdn_scheduler::Output) {
        use p2pcdn_scheduler::Output;
        match output {
            Output::Fetch {
                fetch,
                segment,
                range,
                reason,
            } => self.start_fetch(fetch, segment, range, reason),
            Output::CancelFetch { fetch } => {
                if self.fetches.remove(fetch).is_some() {
                    self.outputs.push_back(SessionOutput::CancelFetch { fetch });
                }
            }
            Output::Peer(link, say) => self.say(link, say),
            Output::Serve {
                link,
                request,
                segment,
                block,
            } => self.serve(link, request, segment, block),
            Output::Evict { segment } => self.evict(segment),
            Output::Disconnect { link, reason } => self.say(link, Say::Goodbye(reason)),
            Output::Event(event) => self.scheduler_event(event),
        }
    }

    fn scheduler_event(&mut self, event: p2pcdn_scheduler::Event) {
        use p2pcdn_scheduler::Event;
        match event {
            Event::NewsHeard { track } => {
                if let Some(track) = self.track(track) {
                    let track = track.id();
                    self.outputs
                        .push_back(SessionOutput::ReloadManifest { track });
                }
            }
            Event::SegmentCompleted { segment } => {
                self.event(SessionEvent::SegmentCompleted { segment });
            }
            Event::PeerCaught {
                peer,
                segment,
                block,
            } => {
                self.unwelcome.ban(peer);
                self.event(SessionEvent::PeerCaught {
                    peer,
                    segment,
                    block,
                });
            }
            Event::PeerLetGo { peer } => self.unwelcome.let_go(peer, self.now),
            // Told with its reason where the attempt failed.
            Event::SegmentFailed { .. } => {}
            other => tracing::trace!(?other, "an event that a session does not know"),
        }
    }

    fn carry_out_map(&mut self, output: MapsOutput) {
        match output {
            MapsOutput::Request { link, segment } => {
                if let Some(id) = self.segment_id(segment) {
                    if let Some(state) = self.links.get_mut(link) {
                        state.asks(segment);
                    }
                    if let Some(witnesses) = &mut self.witnesses {
                        witnesses.drew(segment, link);
                    }
                    self.say(link, Say::MapRequest { segment, id });
                }
            }
            MapsOutput::Push { link, segment } => self.hand_on_map(link, segment),
            MapsOutput::FetchSidecar { segment } => match self.segment_id(segment) {
                Some(id) => self
                    .outputs
                    .push_back(SessionOutput::FetchSidecar { segment, id }),
                None => self.tell_maps(MapsInput::MapRefused {
                    segment,
                    from: MapSource::Sidecar,
                }),
            },
        }
    }

    fn tell_maps(&mut self, input: MapsInput) {
        self.maps.handle_input(input, self.now);
    }

    fn evict(&mut self, segment: SegmentRef) {
        self.store.remove(segment);
        self.validators.remove(segment);
        self.wholes.remove(segment);
        self.sources.remove(segment);
        if let Some(witnesses) = &mut self.witnesses {
            witnesses.forget(segment);
        }
        if self.wanted_maps.remove(segment).is_some() {
            self.are_maps_due = true;
            self.tell_maps(MapsInput::SegmentGone(segment));
        }
    }

    fn playback_changed(&mut self, playback: Playback, latency: Option<Duration>) {
        let before = std::mem::replace(&mut self.playback, playback);
        self.are_maps_due = true;
        let now = self.now;
        let was_playing = before.state == PlaybackState::Playing;
        // A seek moves the playhead too, but nothing is played on the way.
        let passed = now.saturating_duration_since(self.played_at) + REPORT_JITTER;
        self.played_at = now;
        let moved = playback
            .position
            .saturating_duration_since(before.position)
            .min(passed);
        if was_playing && playback.state != PlaybackState::Starting && !moved.is_zero() {
            let duration = moved;
            let played = PlaybackInput::Played { duration, latency };
            self.player.handle_input(played, now);
        }
        match (before.state, playback.state) {
            (PlaybackState::Stalled, PlaybackState::Playing) => {
                self.player.handle_input(PlaybackInput::Resumed, now);
            }
            (_, PlaybackState::Playing) if !was_playing => {
                self.player.handle_input(PlaybackInput::Started, now);
            }
            (PlaybackState::Playing, PlaybackState::Stalled) => {
                self.player.handle_input(PlaybackInput::Stalled, now);
            }
            _ => {}
        }
        self.tell_scheduler(p2pcdn_scheduler::Input::PlaybackChanged(playback));
    }

    fn origin_answered(&mut self, subject: Subject, answer: Answer) {
        self.authorisation.answered(subject, answer, self.now);
        self.review_standing();
    }

    fn review_standing(&mut self) {
        let standing = self.authorisation.standing(self.now);
        if standing != self.standing {
            self.standing = standing;
            self.event(SessionEvent::AuthorisationChanged(standing));
            self.tell_policy();
        }
    }

    /// Applies the policy, as far as the origin's authorisation allows.
    fn tell_policy(&mut self) {
        let granted = self.standing == Standing::Granted;
        let transfer = if granted && self.policy.peer_transfer.is_on() {
            Switch::On
        } else {
            Switch::Off
        };
        let effective = Policy {
            peer_transfer: transfer,
            ..self.policy
        };
        self.tell_scheduler(p2pcdn_scheduler::Input::PolicyChanged(effective));
        if transfer == self.transfer {
            return;
        }
        self.transfer = transfer;
        self.are_maps_due = true;
        if transfer.is_on() {
            self.outputs.push_back(SessionOutput::JoinSwarm);
            return;
        }
        let links = self.links.keys().to_vec();
        for link in links {
            self.say(link, Say::Goodbye(GoodbyeReason::Policy));
        }
        self.outputs.push_back(SessionOutput::LeaveSwarm);
    }

    fn renew_authorisation(&mut self) {
        let due = self
            .authorisation
            .renew_at()
            .is_some_and(|at| at <= self.now);
        if !due || !self.transfer.is_on() {
            return;
        }
        self.authorisation.renewing(self.now);
        if let Some((segment, request)) = self.renewal() {
            self.outputs
                .push_back(SessionOutput::RenewAuthorisation { segment, request });
        }
    }

    fn count_source(&mut self, segment: SegmentRef, source: Source, len: u64) {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains(segment) {
            self.sources.pop_first();
        }
        let sources = self
            .sources
            .get_or_insert_with(segment, SegmentSources::default);
        match source {
            Source::Http => sources.http_len += len,
            Source::Peer(_) => sources.peer_len += len,
        }
    }
}
