//! The machine itself: its state, its inputs and the order of its plans.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use p2pcdn_metrics::{Quantiles, Throughput, ThroughputConfig};
use p2pcdn_wire::{Instant, LinkId, MediaTime, Pcg, Say, SegmentRef, TrackIndex};

use crate::{
    clock::PlaybackClock,
    config::{Config, Policy},
    election::Voter,
    http::Fetch,
    io::{Event, Growth, Input, Listed, Output, Playback, PlaybackState},
    neighbour::Neighbour,
    segment::{Segment, Track},
    upload::Allowance,
};

/// Decides what to fetch, from whom and by when; whom to serve; what to keep.
///
/// Drive it as every machine here: after `handle_input` or `handle_timeout`, drain
/// [`poll_output`](Self::poll_output) to `None`, then wait until
/// [`poll_timeout`](Self::poll_timeout) or the next input. Decisions are made once per drain, over
/// all inputs since the last. Time never goes back; inputs about what is over are ignored; the same
/// config, seed and inputs give the same outputs.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    pub(crate) now: Instant,
    pub(crate) random: Pcg,
    pub(crate) voter: Voter,
    pub(crate) clock: PlaybackClock,
    pub(crate) tracks: Vec<Track>,
    pub(crate) neighbours: BTreeMap<LinkId, Neighbour>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) next_fetch: u64,
    pub(crate) throughput: Throughput,
    pub(crate) ttfb: Quantiles,
    pub(crate) viewers: Option<u32>,
    pub(crate) expects_peers_until: Instant,
    /// Whether the buffer reached its safe level since playback last started.
    pub(crate) has_settled: bool,
    pub(crate) allowance: Allowance,
    pub(crate) outputs: VecDeque<Output>,
    wake_at: Option<Instant>,
    is_dirty: bool,
}

impl Scheduler {
    /// A scheduler without tracks or neighbours, with peer transfer off until a policy comes.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let playback = Playback {
            position: MediaTime::ZERO,
            state: PlaybackState::Starting,
            buffer_target: Duration::ZERO,
        };
        Self {
            policy: Policy {
                peer_transfer: crate::Switch::Off,
                ..Policy::default()
            },
            now,
            random: Pcg::new(seed),
            voter: Voter::new(config.peer),
            clock: PlaybackClock::new(playback, now),
            tracks: Vec::new(),
            neighbours: BTreeMap::new(),
            fetches: Vec::new(),
            next_fetch: 0,
            throughput: Throughput::new(ThroughputConfig {
                prior: config.throughput_prior,
                ..ThroughputConfig::default()
            }),
            ttfb: Quantiles::new(config.ttfb_prior),
            viewers: None,
            expects_peers_until: now,
            has_settled: false,
            allowance: Allowance::new(now),
            outputs: VecDeque::new(),
            wake_at: None,
            is_dirty: false,
            config,
        }
    }

    /// Tells the machine what happened at `now`.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.handle_timeout(now);
        match input {
            Input::PolicyChanged(policy) => self.policy_changed(policy),
            Input::TrackJoined {
                track,
                role,
                bitrate,
                id: _,
            } => match self.track_mut(track) {
                Some(known) => known.role = role,
                None => self.tracks.push(Track::new(track, role, bitrate)),
            },
            Input::SegmentsListed {
                track,
                segments,
                first,
                growth,
            } => self.segments_listed(track, segments, first, growth),
            Input::PlaybackChanged(playback) => self.playback_changed(playback),
            Input::LinkReady { link, peer } => self.link_ready(link, peer),
            Input::LinkClosed { link } => self.link_closed(link),
            Input::Peer(link, said) => self.peer_said(link, said, self.now),
            Input::BlockArrived {
                link,
                request,
                segment,
                block,
                len,
            } => self.block_arrived(link, request, segment, block, len),
            Input::Credit { link, bytes } => {
                if let Some(neighbour) = self.neighbours.get_mut(&link) {
                    neighbour.credit = bytes;
                }
            }
            Input::MapKnown {
                segment,
                segment_len,
            } => self.map_known(segment, segment_len),
            Input::LengthKnown {
                segment,
                segment_len,
            } => self.length_known(segment, segment_len),
            Input::Stored {
                segment,
                verified,
                private,
                quarantined,
            } => self.stored(segment, &verified, &private, &quarantined),
            Input::Dropped { segment, blocks } => self.with_segment(segment, |segment| {
                segment.quarantined.subtract(&blocks);
            }),
            Input::Corrupt {
                link,
                segment,
                block,
            } => self.peer_caught(link, segment, block),
            Input::Cleared { segment } => self.cleared(segment),
            Input::TrackReset { track } => self.reset_track(track),
            Input::TrackLeft { track } => self.leave_track(track),
            Input::Unshareable {
                segment,
                segment_len,
                private,
            } => self.unshareable(segment, segment_len, private),
            Input::OriginAnswered { fetch, ttfb } => {
                self.ttfb.record(ttfb);
                let now = self.now;
                let fetch = self.fetches.iter_mut().find(|own| Some(own.id) == fetch);
                if let Some(fetch) = fetch {
                    fetch.answered_at = Some(now);
                    fetch.heard_at = now;
                }
            }
            Input::FetchProgressed { fetch, offset } => {
                let now = self.now;
                let fetch = self.fetches.iter_mut().find(|own| own.id == fetch);
                if let Some(fetch) = fetch {
                    fetch.cursor = fetch.cursor.max(offset);
                    fetch.heard_at = now;
                }
            }
            Input::FetchEnded { fetch, result } => self.fetch_ended(fetch, result),
            Input::SwarmCounted { viewers } => self.viewers = Some(viewers),
        }
    }

    /// Tells the machine that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.is_dirty = true;
    }

    /// The next thing to do or to know; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && self.is_dirty {
            self.is_dirty = false;
            self.decide();
        }
        let output = self.outputs.pop_front();
        if output.is_none() {
            self.outputs.shrink_to_fit();
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when only an input can
    /// change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    /// The HTTP throughput of late, which a player may be told of its network; `None` until some
    /// was measured.
    #[must_use]
    pub fn throughput(&self) -> Option<p2pcdn_wire::BitRate> {
        let measured = self.throughput.measured_at().is_some();
        measured.then(|| self.throughput.estimate())
    }

    /// The neighbours that are known to hold a segment's block map.
    pub fn map_holders(&self, segment: SegmentRef) -> impl Iterator<Item = LinkId> + '_ {
        self.neighbours.iter().filter_map(move |(link, neighbour)| {
            let track = neighbour.track(segment.track)?;
            track.has_map(segment.ordinal).then_some(*link)
        })
    }

    fn decide(&mut self) {
        self.wake_at = None;
        for neighbour in self.neighbours.values_mut() {
            neighbour.expire_intents(self.now);
        }
        self.plan_http();
        self.plan_peers();
        self.plan_promises();
        self.plan_announcements();
        self.plan_uploads();
        self.plan_memory();
        // A plan that wants to be woken in the past would make the caller spin.
        if let Some(at) = &mut self.wake_at {
            *at = (*at).max(self.now + Duration::from_millis(1));
        }
    }

    /// Asks to be woken at `at` at the latest.
    pub(crate) fn wake(&mut self, at: Instant) {
        self.wake_at = earliest(self.wake_at, Some(at));
    }

    pub(crate) fn say(&mut self, link: LinkId, say: Say) {
        self.outputs.push_back(Output::Peer(link, say));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn track(&self, index: TrackIndex) -> Option<&Track> {
        self.tracks.iter().find(|track| track.index == index)
    }

    pub(crate) fn track_mut(&mut self, index: TrackIndex) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.index == index)
    }

    /// The segment, if the player needs it.
    pub(crate) fn wanted_segment(&self, name: SegmentRef) -> Option<&Segment> {
        let track = self.track(name.track)?;
        let segment = track.get(name)?;
        let is_ahead = segment.end() > self.clock.position(self.now)
            && segment.start < self.clock.horizon(self.now);
        (track.role == p2pcdn_wire::Role::Watching && is_ahead).then_some(segment)
    }

    pub(crate) fn with_segment(&mut self, name: SegmentRef, change: impl FnOnce(&mut Segment)) {
        match self.track_mut(name.track).and_then(|t| t.get_mut(name)) {
            Some(segment) => change(segment),
            None => tracing::trace!(segment = %name, "not listed"),
        }
    }

    fn policy_changed(&mut self, policy: Policy) {
        let was_on = self.policy.peer_transfer.is_on();
        let class = self.policy.effective_class();
        self.policy = policy;
        if policy.peer_transfer.is_on() && !was_on {
            self.expects_peers_until = self.now + self.config.expect_peers_for;
        }
        if policy.effective_class() != class {
            let links: Vec<_> = self.neighbours.keys().copied().collect();
            for link in links {
                self.say(link, Say::Class(policy.effective_class()));
            }
        }
    }

    fn playback_changed(&mut self, playback: Playback) {
        let starts = playback.state == PlaybackState::Starting
            && self.clock.state() != PlaybackState::Starting;
        if starts {
            self.has_settled = false;
        }
        self.clock = PlaybackClock::new(playback, self.now);
    }

    fn segments_listed(
        &mut self,
        index: TrackIndex,
        segments: Vec<Listed>,
        first: u64,
        growth: Growth,
    ) {
        let Some(track) = self.track_mut(index) else {
            return;
        };
        track.first_listed = first;
        track.growth = growth;
        if track.list(segments).is_empty() {
            return;
        }
        let links: Vec<_> = self.neighbours.keys().copied().collect();
        for link in links {
            let early = self.neighbours.get_mut(&link).map(Neighbour::take_early);
            for (said, said_at) in early.into_iter().flatten() {
                self.peer_said(link, said, said_at);
            }
        }
    }
}

/// The earlier of two moments, where `None` is never.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
