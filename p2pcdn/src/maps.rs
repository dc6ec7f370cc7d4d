//! Getting block maps: from whom, when, and on to whom.

use std::{collections::VecDeque, time::Duration};

use p2pcdn_wire::{Instant, LinkId, Pcg, SegmentRef, TrackIndex};
use tracing::trace;

use crate::dense::{Dense, DenseSet};

/// How block maps are got and handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapsConfig {
    /// How long a map that a neighbour holds may take to come unasked. Default 30 ms: the map of
    /// a publisher reaches its neighbours within half a round trip of the first announcement.
    /// Zero: ask at once.
    pub request_after: Duration,
    /// How long a neighbour may take to answer before another one is asked. Default 1 s: several
    /// round trips across the world, and one retransmission. At least 1 ms.
    pub request_timeout: Duration,
    /// To how many neighbours a map that this session made itself is pushed. Default 0, as for
    /// every viewer: they announce maps and are asked.
    pub push_degree: usize,
    /// How long a listed segment's map may be missing with no neighbour to ask before it is
    /// fetched from the sidecar URL; drawn anew between this and twice this each time, so that
    /// viewers do not come at once, and doubled after each failure up to a minute. Default
    /// `None`: there is no sidecar.
    pub sidecar_after: Option<Duration>,
}

impl Default for MapsConfig {
    fn default() -> Self {
        Self {
            request_after: Duration::from_millis(30),
            request_timeout: Duration::from_secs(1),
            push_degree: 0,
            sidecar_after: None,
        }
    }
}

impl MapsConfig {
    /// For a session that signs maps: it pushes each to 8 neighbours, from which the rest of the
    /// swarm has it in a few hops.
    #[must_use]
    pub fn publisher() -> Self {
        Self {
            push_degree: 8,
            ..Self::default()
        }
    }
}

/// Gets the block map of every segment this session cares for, one source at a time, and pushes
/// those it made itself.
///
/// | told | does |
/// |---|---|
/// | a segment is wanted, and a neighbour holds its map | waits `request_after`, then asks it |
/// | no answer in `request_timeout` | asks another holder, in the end the first one again |
/// | no answer, and `sidecar_after` is over | fetches the sidecar before it asks again |
/// | a bad map | drops it and never asks that link for this segment again |
/// | nobody holds it for `sidecar_after` | fetches the sidecar |
/// | the map was accepted | is done with the segment; pushes it if this session made it |
///
/// Drain [`poll_output`](Self::poll_output) after each `handle_*`, then wait for
/// [`poll_timeout`](Self::poll_timeout) or the next input. Time that goes back counts as the latest
/// seen; timeouts may come early, late or twice; inputs about what is unknown are ignored.
///
/// ```text
///          holder known             request_after over
///   Idle ---------------> Due ---------------------------> Asked
///    |  <--- no holder ---/  <--- timeout, bad map, left --/
///    |  sidecar_after over
///    +-----------------> Sidecar --- failed ---> Idle or Due
/// any --- accepted ---> Known
/// ```
#[derive(Clone, Debug)]
pub struct Maps {
    config: MapsConfig,
    pcg: Pcg,
    now: Instant,
    /// Those whose maps are still to be had.
    wanted: Dense<SegmentRef, Entry>,
    /// Those whose maps were accepted.
    known: DenseSet<SegmentRef>,
    links: DenseSet<LinkId>,
    joined: DenseSet<(LinkId, TrackIndex)>,
    /// Announced, but not wanted yet; the oldest first.
    early: Vec<(LinkId, SegmentRef)>,
    outputs: VecDeque<MapsOutput>,
}

/// What [`Maps`] is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapsInput {
    /// A neighbour is in a track that this session is in too.
    PeerJoined {
        /// Its link.
        link: LinkId,
        /// The track.
        track: TrackIndex,
    },
    /// A neighbour left the track.
    PeerParted {
        /// Its link.
        link: LinkId,
        /// The track.
        track: TrackIndex,
    },
    /// A link closed.
    PeerLeft(LinkId),
    /// The session cares for a segment from now on. Who is known to hold any of it is told right
    /// after, with `MapHeldBy`.
    SegmentWanted(SegmentRef),
    /// The session no longer cares.
    SegmentGone(SegmentRef),
    /// A neighbour announced the segment, whole or in part, and so holds its map. Up to 8 of a
    /// link's latest announcements of segments that are not wanted yet are kept.
    MapHeldBy {
        /// Its link.
        link: LinkId,
        /// The segment.
        segment: SegmentRef,
    },
    /// A map was accepted.
    MapAccepted {
        /// The segment.
        segment: SegmentRef,
        /// Where it came from.
        from: MapSource,
    },
    /// A neighbour sent a map that counts, but more neighbours have to.
    MapCounted {
        /// The segment.
        segment: SegmentRef,
        /// Its link.
        link: LinkId,
    },
    /// A map was refused, or the sidecar does not have it.
    MapRefused {
        /// The segment.
        segment: SegmentRef,
        /// Where it came from.
        from: MapSource,
    },
}

/// Where a block map comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapSource {
    /// This session signed it.
    Own,
    /// A neighbour sent it.
    Peer(LinkId),
    /// The sidecar URL.
    Sidecar,
}

/// What [`Maps`] wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapsOutput {
    /// Ask a neighbour for a map.
    Request {
        /// Its link.
        link: LinkId,
        /// The segment.
        segment: SegmentRef,
    },
    /// Send a map unasked.
    Push {
        /// To whom.
        link: LinkId,
        /// The segment.
        segment: SegmentRef,
    },
    /// Fetch a map from the sidecar URL.
    FetchSidecar {
        /// The segment.
        segment: SegmentRef,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    /// Who can be asked and was not yet.
    fresh: Vec<LinkId>,
    /// Who was asked, the longest ago first.
    asked: Vec<LinkId>,
    /// Who sent a bad map of this segment.
    liars: Vec<LinkId>,
    sidecar_at: Option<Instant>,
    sidecar_failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody to ask.
    Idle,
    /// The first holder is asked at this time.
    Due(Instant),
    Asked {
        link: LinkId,
        until: Instant,
    },
    /// The sidecar is being fetched.
    Sidecar,
}

impl Maps {
    /// A machine that wants nothing yet.
    #[must_use]
    pub fn new(config: MapsConfig, seed: u64, now: Instant) -> Self {
        Self {
            config,
            pcg: Pcg::new(seed),
            now,
            wanted: Dense::new(),
            known: DenseSet::new(),
            links: DenseSet::new(),
            joined: DenseSet::new(),
            early: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Tells the machine what happened at `now`.
    pub fn handle_input(&mut self, input: MapsInput, now: Instant) {
        self.now = self.now.max(now);
        match input {
            MapsInput::PeerJoined { link, track } => {
                self.links.insert(link, ());
                self.joined.insert((link, track), ());
            }
            MapsInput::PeerParted { link, track } => {
                self.joined.remove((link, track));
                self.early
                    .retain(|(from, segment)| *from != link || segment.track != track);
                self.forget_holder(link, Some(track));
            }
            MapsInput::PeerLeft(link) => {
                self.links.remove(link);
                self.joined.retain(|(joined, _)| joined != link);
                self.early.retain(|(from, _)| *from != link);
                self.forget_holder(link, None);
            }
            MapsInput::SegmentWanted(segment) => self.want(segment),
            MapsInput::SegmentGone(segment) => {
                self.wanted.remove(segment);
                self.known.remove(segment);
            }
            MapsInput::MapHeldBy { link, segment } => self.add_holder(link, segment),
            MapsInput::MapAccepted { segment, from } => self.accepted(segment, from),
            MapsInput::MapCounted { segment, link } => self.counted(segment, link),
            MapsInput::MapRefused { segment, from } => self.refused(segment, from),
        }
    }

    /// Tells the machine that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let now = self.now;
        for (segment, entry) in self.wanted.iter_mut() {
            match entry.state {
                State::Asked { link, until } if until <= now => {
                    trace!(%segment, %link, "no answer to a map request");
                    entry.state = State::Idle;
                    if !entry.is_sidecar_due(now) {
                        entry.find_source(now);
                    }
                }
                _ => {}
            }
            match entry.state {
                State::Idle if entry.is_sidecar_due(now) => {
                    entry.sidecar_at = None;
                    entry.state = State::Sidecar;
                    self.outputs.push_back(MapsOutput::FetchSidecar { segment });
                }
                State::Due(at) if at <= now => {
                    let Some(link) = entry.next_holder(&mut self.pcg) else {
                        continue;
                    };
                    let until = now + self.config.request_timeout.max(MIN_TIMEOUT);
                    entry.state = State::Asked { link, until };
                    self.outputs
                        .push_back(MapsOutput::Request { link, segment });
                }
                _ => {}
            }
        }
    }

    /// The next thing to do; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<MapsOutput> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() && self.outputs.capacity() > 0 {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When to call `handle_timeout` next; `None` when only an input can change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wanted.values().iter().filter_map(Entry::wake_at).min()
    }

    /// The neighbours in a track.
    pub(crate) fn joined(&self, track: TrackIndex) -> Vec<LinkId> {
        let joined = self.joined.keys().iter();
        let joined = joined.filter(|(_, in_track)| *in_track == track);
        joined.map(|(link, _)| *link).collect()
    }

    fn want(&mut self, segment: SegmentRef) {
        let count = self.wanted.len() + self.known.len();
        if self.wanted.contains(segment) || self.known.contains(segment) || count >= MAX_WANTED {
            return;
        }
        let entry = Entry {
            state: State::Idle,
            fresh: Vec::new(),
            asked: Vec::new(),
            liars: Vec::new(),
            sidecar_at: None,
            sidecar_failures: 0,
        };
        self.wanted.insert(segment, entry);
        self.plan_sidecar(segment);
        let mut early = Vec::new();
        self.early.retain(|(link, it)| {
            let is_it = *it == segment;
            if is_it {
                early.push(*link);
            }
            !is_it
        });
        early.sort_unstable();
        for link in early {
            self.add_holder(link, segment);
        }
    }

    fn add_holder(&mut self, link: LinkId, segment: SegmentRef) {
        if !self.links.contains(link) {
            trace!(%link, %segment, "a map is held by an unknown link");
            return;
        }
        if self.known.contains(segment) {
            return;
        }
        let Some(entry) = self.wanted.get_mut(segment) else {
            self.keep_early(link, segment);
            return;
        };
        let holders = entry.fresh.len() + entry.asked.len();
        let is_full = holders >= MAX_HOLDERS || entry.liars.len() >= MAX_LIARS;
        if is_full || entry.liars.contains(&link) || entry.is_holder(link) {
            return;
        }
        entry.fresh.push(link);
        if entry.state == State::Idle {
            entry.find_source(self.now + self.config.request_after);
        }
    }

    /// Keeps the latest announcements of a link for segments that are not wanted yet.
    fn keep_early(&mut self, link: LinkId, segment: SegmentRef) {
        if self.early.contains(&(link, segment)) {
            return;
        }
        let of_link = |(from, _): &(LinkId, SegmentRef)| *from == link;
        if self.early.iter().filter(|early| of_link(early)).count() >= MAX_EARLY
            && let Some(oldest) = self.early.iter().position(of_link)
        {
            self.early.remove(oldest);
        }
        self.early.push((link, segment));
    }

    fn accepted(&mut self, segment: SegmentRef, from: MapSource) {
        let entry = self.wanted.remove(segment);
        if entry.is_some() {
            self.known.insert(segment, ());
        }
        if from == MapSource::Own {
            self.push(segment, entry.as_ref());
        }
    }

    fn counted(&mut self, segment: SegmentRef, link: LinkId) {
        let Some(entry) = self.wanted.get_mut(segment) else {
            return;
        };
        let was_asked = matches!(entry.state, State::Asked { link: asked, .. } if asked == link);
        if !was_asked {
            return;
        }
        entry.state = State::Idle;
        // Who had one witness's word a moment ago may have more now.
        let pause = if entry.fresh.is_empty() {
            ASK_AGAIN_AFTER
        } else {
            Duration::ZERO
        };
        entry.find_source(self.now + pause);
    }

    fn push(&mut self, segment: SegmentRef, entry: Option<&Entry>) {
        let holds = |link: LinkId| {
            self.early.contains(&(link, segment)) || entry.is_some_and(|it| it.is_holder(link))
        };
        let joined = self.joined.keys().iter();
        let mut links: Vec<LinkId> = joined
            .filter(|(link, track)| *track == segment.track && !holds(*link))
            .map(|(link, _)| *link)
            .collect();
        for _ in 0..self.config.push_degree {
            if links.is_empty() {
                break;
            }
            let link = links.swap_remove(self.pcg.below(links.len()));
            self.outputs.push_back(MapsOutput::Push { link, segment });
        }
    }

    fn refused(&mut self, segment: SegmentRef, from: MapSource) {
        let now = self.now;
        let Some(entry) = self.wanted.get_mut(segment) else {
            return;
        };
        match from {
            MapSource::Own => {}
            MapSource::Peer(link) => {
                if entry.liars.len() < MAX_LIARS && !entry.liars.contains(&link) {
                    entry.liars.push(link);
                }
                if entry.liars.len() >= MAX_LIARS {
                    entry.fresh.clear();
                    entry.asked.clear();
                }
                entry.drop_holder(link, now);
            }
            MapSource::Sidecar => {
                if entry.state == State::Sidecar {
                    entry.state = State::Idle;
                    entry.find_source(now);
                }
                entry.sidecar_failures = entry.sidecar_failures.saturating_add(1);
                self.plan_sidecar(segment);
            }
        }
    }

    fn forget_holder(&mut self, link: LinkId, track: Option<TrackIndex>) {
        for (segment, entry) in self.wanted.iter_mut() {
            if track.is_none_or(|track| segment.track == track) {
                entry.drop_holder(link, self.now);
            }
        }
    }

    fn plan_sidecar(&mut self, segment: SegmentRef) {
        let Some(after) = self.config.sidecar_after else {
            return;
        };
        if let Some(entry) = self.wanted.get_mut(segment) {
            let backed_off = after.saturating_mul(1 << entry.sidecar_failures.min(16));
            let drawn = backed_off
                .min(MAX_SIDECAR_AFTER)
                .mul_f64(1.0 + self.pcg.unit());
            entry.sidecar_at = Some(self.now + drawn);
        }
    }
}

impl Entry {
    /// Leaves `Idle` if anybody can be asked.
    fn find_source(&mut self, at: Instant) {
        if !self.fresh.is_empty() || !self.asked.is_empty() {
            self.state = State::Due(at);
        }
    }

    /// Any of the fresh holders, so that viewers who hear of the same ones do not all ask the same
    /// one; when there are none left, the one that was asked the longest ago.
    fn next_holder(&mut self, pcg: &mut Pcg) -> Option<LinkId> {
        let link = if self.fresh.is_empty() {
            self.asked.first()?;
            self.asked.remove(0)
        } else {
            self.fresh.swap_remove(pcg.below(self.fresh.len()))
        };
        self.asked.push(link);
        Some(link)
    }

    fn drop_holder(&mut self, link: LinkId, now: Instant) {
        self.fresh.retain(|holder| *holder != link);
        self.asked.retain(|holder| *holder != link);
        let was_asked = matches!(self.state, State::Asked { link: asked, .. } if asked == link);
        let is_empty = self.fresh.is_empty() && self.asked.is_empty();
        if was_asked || (is_empty && matches!(self.state, State::Due(_))) {
            self.state = State::Idle;
            self.find_source(now);
        }
    }

    fn is_holder(&self, link: LinkId) -> bool {
        self.fresh.contains(&link) || self.asked.contains(&link)
    }

    fn is_sidecar_due(&self, now: Instant) -> bool {
        self.sidecar_at.is_some_and(|at| at <= now)
    }

    fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Idle => self.sidecar_at,
            State::Due(at) => Some(at),
            State::Asked { until, .. } => Some(until),
            State::Sidecar => None,
        }
    }
}

/// Segments whose maps are looked after at once: at 2 s each and 16 joined tracks, a minute of all
/// of them.
const MAX_WANTED: usize = 512;

/// Announcements kept of a link for segments that are not listed yet: a live viewer is at most
/// three segments behind another one's playlist, on one or two tracks.
const MAX_EARLY: usize = 8;

/// Holders kept for a segment: enough to try for half a minute.
const MAX_HOLDERS: usize = 16;

/// Bad maps after which no peer is asked for a segment any more: whoever they are, the next one
/// is as likely a liar. A good map may still come unasked or from the sidecar.
const MAX_LIARS: usize = 16;

/// Where the back-off of a sidecar ends: later than that the segment has been played.
const MAX_SIDECAR_AFTER: Duration = Duration::from_secs(60);

/// From one question to the next while every holder was asked and all that came is not enough.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Less would be a busy loop.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

const _: () = assert!(size_of::<MapsOutput>() <= 40);
