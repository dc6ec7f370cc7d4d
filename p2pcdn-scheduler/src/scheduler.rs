//! The machine itself: its state, its inputs and the order of its plans.

use std::{collections::VecDeque, time::Duration};

use p2pcdn_metrics::{Quantiles, Throughput, ThroughputConfig};
use p2pcdn_wire::{BitRate, Instant, LinkId, MediaTime, Pcg, Say, SegmentRef, TrackIndex};

use crate::{
    agenda::{Agenda, Due},
    clock::PlaybackClock,
    config::{Config, Policy},
    election::Voter,
    http::Fetch,
    io::{Event, Growth, Input, Listed, MediaSpan, Output, Playback, PlaybackState},
    neighbour::Neighbour,
    neighbours::Neighbours,
    pacing::Pacer,
    peers::Wanted,
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
#[derive(Clone, Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    pub(crate) now: Instant,
    pub(crate) random: Pcg,
    pub(crate) voter: Voter,
    pub(crate) clock: PlaybackClock,
    pub(crate) tracks: Vec<Track>,
    pub(crate) neighbours: Neighbours,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) next_fetch: u64,
    pub(crate) throughput: Throughput,
    /// What HTTP will hardly fall below, as of this decision.
    pub(crate) pessimistic: BitRate,
    pub(crate) ttfb: Ttfb,
    pub(crate) viewers: Option<u32>,
    pub(crate) expects_peers_until: Instant,
    /// Whether the buffer reached its safe level since playback last started.
    pub(crate) has_settled: bool,
    pub(crate) allowance: Allowance,
    pub(crate) pacer: Pacer,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) agenda: Agenda,
    /// When the neighbours are looked at for one to let go of.
    pub(crate) look_at: Instant,
    /// An intent of a neighbour expires then, at the earliest.
    pub(crate) intents_expire_at: Instant,
    /// Segments whose progress is not told yet.
    pub(crate) unannounced: Vec<SegmentRef>,
    /// Segments of which neighbours were told that we fetch them, before they could see it.
    pub(crate) promised: Vec<SegmentRef>,
    /// Bytes that may be added to segments held in part before something has to go.
    pub(crate) memory_room: u64,
    /// Empty between decisions, kept for its memory.
    pub(crate) scratch: Vec<Wanted>,
    /// The segments that HTTP hurries to bring, one a track at most.
    pub(crate) endangered: Vec<SegmentRef>,
    wake_at: Option<Instant>,
    again_at: Option<Instant>,
    is_dirty: bool,
}

/// Quantiles of the time from a request to the first byte, computed when one was measured rather
/// than at each decision.
#[derive(Clone, Debug)]
pub(crate) struct Ttfb {
    all: Quantiles,
    pub(crate) p95: Duration,
    pub(crate) p99: Duration,
}

impl Ttfb {
    fn new(prior: Duration) -> Self {
        let all = Quantiles::new(prior);
        Self {
            p95: all.p95(),
            p99: all.p99(),
            all,
        }
    }

    fn record(&mut self, ttfb: Duration) {
        self.all.record(ttfb);
        self.p95 = self.all.p95();
        self.p99 = self.all.p99();
    }
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
            neighbours: Neighbours::default(),
            fetches: Vec::new(),
            next_fetch: 0,
            throughput: Throughput::new(ThroughputConfig {
                prior: config.throughput_prior,
                ..ThroughputConfig::default()
            }),
            pessimistic: config.throughput_prior,
            ttfb: Ttfb::new(config.ttfb_prior),
            viewers: None,
            expects_peers_until: now,
            has_settled: false,
            allowance: Allowance::new(now),
            pacer: Pacer::new(now),
            outputs: VecDeque::new(),
            agenda: Agenda::new(),
            look_at: Self::first_look(Voter::new(config.peer), now),
            intents_expire_at: end_of_time(),
            unannounced: Vec::new(),
            promised: Vec::new(),
            memory_room: 0,
            scratch: Vec::new(),
            endangered: Vec::new(),
            wake_at: None,
            again_at: None,
            is_dirty: false,
            config,
        }
    }

    /// Tells the machine what happened at `now`.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.handle_timeout(now);
        self.agenda.hear(&input);
        match input {
            Input::PolicyChanged(policy) => self.policy_changed(policy),
            Input::TrackJoined {
                track,
                role,
                bitrate,
                id: _,
            } => match self.track_mut(track) {
                Some(known) => {
                    known.role = role;
                    known.span = MediaSpan::ALL;
                }
                None => self.tracks.push(Track::new(track, role, bitrate)),
            },
            Input::TrackWanted { track, span } => {
                if let Some(track) = self.track_mut(track) {
                    track.span = span;
                }
            }
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
                if let Some(neighbour) = self.neighbours.get_mut(link) {
                    neighbour.credit = bytes;
                    if !neighbour.uploads.is_empty() {
                        self.agenda.uploads.spoil();
                    }
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
                segment.work_mut().quarantined.subtract(&blocks);
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
            track.has_map(segment.ordinal).then_some(link)
        })
    }

    fn decide(&mut self) {
        #[cfg(debug_assertions)]
        let thorough = self.thorough();
        self.make_plans();
        #[cfg(debug_assertions)]
        self.assert_same_as(&thorough);
    }

    fn make_plans(&mut self) {
        self.wake_at = None;
        self.again_at = None;
        if self.intents_expire_at <= self.now {
            let left = self.neighbours.values_mut();
            let left = left.filter_map(|neighbour| neighbour.expire_intents(self.now));
            self.intents_expire_at = left.min().unwrap_or_else(end_of_time);
        }
        self.plan_choice();
        self.plan_http();
        self.plan_peers();
        self.plan_promises();
        self.plan_announcements();
        self.make(|agenda| &mut agenda.uploads, Self::plan_uploads);
        self.make(|agenda| &mut agenda.memory, Self::plan_memory);
        // A plan that wants to be woken in the past would make the caller spin.
        if let Some(at) = &mut self.wake_at {
            *at = (*at).max(self.now + Duration::from_millis(1));
        }
    }

    /// Asks to be woken at `at` at the latest.
    pub(crate) fn wake(&mut self, at: Instant) {
        self.wake_at = earliest(self.wake_at, Some(at));
    }

    /// Asks that the plan be made again at `at`, if there is a decision then.
    pub(crate) fn look_again(&mut self, at: Instant) {
        self.again_at = earliest(self.again_at, Some(at));
    }

    /// Makes a plan if it is due.
    pub(crate) fn make(
        &mut self,
        which: fn(&mut Agenda) -> &mut Due,
        plan: impl FnOnce(&mut Self),
    ) {
        let due = which(&mut self.agenda);
        if !due.is_now(self.now) {
            let wake_at = due.wake_at();
            self.wake_at = earliest(self.wake_at, wake_at);
            return;
        }
        due.begin();
        let others = self.wake_at.take();
        self.again_at = None;
        plan(self);
        which(&mut self.agenda).made(self.wake_at, self.again_at);
        self.wake_at = earliest(self.wake_at, others);
    }

    /// Adds a segment to one of the lists of segments, in the order of tracks and ordinals.
    pub(crate) fn insert_in_order(
        &mut self,
        name: SegmentRef,
        list: fn(&mut Self) -> &mut Vec<SegmentRef>,
    ) {
        let mut names = std::mem::take(list(self));
        let place = |name: &SegmentRef| {
            let track = self.tracks.iter().position(|own| own.index == name.track);
            (track, name.ordinal, name.tag)
        };
        if let Err(at) = names.binary_search_by_key(&place(&name), place) {
            names.insert(at, name);
        }
        *list(self) = names;
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
        let span = self.clock.ahead(self.now).intersection(track.span);
        let is_ahead = segment.end() > span.from && segment.start < span.until;
        (track.role == p2pcdn_wire::Role::Watching && is_ahead).then_some(segment)
    }

    pub(crate) fn with_segment(&mut self, name: SegmentRef, change: impl FnOnce(&mut Segment)) {
        let Some(track) = self.track_mut(name.track) else {
            return;
        };
        let Some(segment) = track.get_mut(name) else {
            tracing::trace!(segment = %name, "not listed");
            return;
        };
        let (len, held_len) = (segment.len, segment.held_len());
        change(segment);
        segment.tidy();
        let (has_other_len, holds) = (segment.len != len, segment.held_len());
        if has_other_len {
            track.note_lengths();
        }
        if (holds > 0) != (held_len > 0) {
            track.note_held(name.ordinal, holds > 0);
            self.agenda.memory.spoil();
        } else if holds != held_len {
            match self.memory_room.checked_sub(holds.saturating_sub(held_len)) {
                Some(room) => self.memory_room = room,
                None => self.agenda.memory.spoil(),
            }
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
            let links: Vec<_> = self.neighbours.links().collect();
            for link in links {
                self.say(link, Say::Class(policy.effective_class()));
            }
        }
    }

    fn playback_changed(&mut self, playback: Playback) {
        let starts = playback.state == PlaybackState::Starting
            && self.clock.state() != PlaybackState::Starting;
        if starts || playback.state == PlaybackState::Stalled {
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
        let links: Vec<_> = self.neighbours.links().collect();
        for link in links {
            let early = self.neighbours.get_mut(link).map(Neighbour::take_early);
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

/// Later than anything that happens.
fn end_of_time() -> Instant {
    Instant::from_epoch(Duration::MAX)
}

/// What is skipped is checked where it costs nothing that matters.
#[cfg(debug_assertions)]
impl Scheduler {
    /// A copy that made all of its plans.
    fn thorough(&self) -> Self {
        let mut copy = self.clone();
        copy.agenda = Agenda::new();
        copy.intents_expire_at = Instant::EPOCH;
        copy.make_plans();
        copy
    }

    fn assert_same_as(&self, thorough: &Self) {
        assert_eq!(
            self.outputs, thorough.outputs,
            "a plan that was due was skipped"
        );
        assert_eq!(self.random, thorough.random);
        assert_eq!(self.fetches.len(), thorough.fetches.len());
    }
}
