//! A DASH presentation whose MPD is known, and what each loaded MPD and the passing of time change
//! in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use p2pcdn_wire::{ByteRange, Instant, TrackId, UnixTime};
use tracing::{debug, trace};

use super::{
    Config, Event,
    hls::body_hash,
    index::Index,
    schedule::{Outcome, Schedule},
    scope::Scope,
    warned,
};
use crate::{
    dash::{Listing, Mpd, MpdSource},
    error::ParseError,
    identity::IdentityConfig,
    key::{Inserted, KeyUrl},
    limits::{DEFAULT_TARGET_DURATION, MAX_CONTROL_URLS},
    mpd_tracks::{Place, tracks},
    patch::apply_patch,
    presentation::Presentation,
    ranges::Piece,
    rows::Rows,
    segments::{Liveness, Segments},
};

#[derive(Debug)]
pub(super) struct DashState {
    presentation: Presentation,
    /// Beside each track of the presentation, its state.
    states: Vec<TrackState>,
    mpd: Mpd,
    /// The text of the MPD, if it can be patched, and where it came from.
    text: Option<Bytes>,
    final_url: Arc<str>,
    hash: blake3::Hash,
    schedule: Schedule,
    /// What the load under way, or the next one, is of.
    next: Next,
    /// What the wall clock shows when ours is at its epoch, as last used; microseconds.
    offset: Option<i64>,
    /// When segments become available without another MPD.
    available_at: Option<Instant>,
    /// Whether the segments are to be listed again.
    is_stale: bool,
    /// MPDs in a row that were published before the one that is known.
    older_count: u32,
    /// URLs of MPDs, patches and clocks among those that are never shared.
    control_count: usize,
    resolve: crate::resolve::Resolve,
    identity: Arc<IdentityConfig>,
    events: Vec<Event>,
}

/// What is loaded next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// The MPD.
    Mpd(Arc<str>),
    /// What changed in it.
    Patch(Arc<str>),
}

/// What is known of a track that its readers need not know.
#[derive(Debug)]
struct TrackState {
    place: Place,
    active: bool,
    index: Option<Index>,
    is_ended: bool,
}

pub(super) fn is_mpd(body: &[u8]) -> bool {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    text.trim_ascii_start().starts_with(b"<")
}

impl DashState {
    pub(super) fn new(
        presentation: Presentation,
        schedule: Schedule,
        final_url: &str,
        body: &Bytes,
        config: &Config,
        now: Instant,
    ) -> Result<(Self, Vec<Event>), ParseError> {
        let url = presentation.url.clone();
        let mpd = source(final_url, &url, config).parse(body)?;
        let mut state = Self {
            presentation,
            states: Vec::new(),
            mpd: mpd.clone(),
            text: None,
            final_url: final_url.into(),
            hash: body_hash(final_url, body),
            schedule,
            next: Next::Mpd(url.clone()),
            offset: None,
            available_at: None,
            is_stale: true,
            older_count: 0,
            control_count: 0,
            resolve: config.resolve,
            identity: config.identity.clone(),
            events: Vec::new(),
        };
        state.take(mpd, body.clone(), now);
        let mut events: Vec<Event> = warned(&url, state.mpd.warnings.clone())
            .into_iter()
            .collect();
        if state.mpd.is_dynamic {
            let sources = state.mpd.utc_timings.clone();
            events.push(Event::ClockWanted { sources });
        }
        Ok((state, events))
    }

    pub(super) fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn activate(&mut self, id: TrackId, now: Instant) {
        let Some(state) = self.by_id(id) else {
            return trace!(track = %id, "an unknown track was activated");
        };
        state.active = true;
        if let Some(index) = &mut state.index
            && index.missing().is_some()
        {
            index.schedule.request(now);
        }
        self.is_stale = true;
        if self.changes() && self.schedule.due_at().is_none() {
            self.schedule.request(now);
        }
    }

    pub(super) fn deactivate(&mut self, id: TrackId) {
        if let Some(state) = self.by_id(id) {
            state.active = false;
            if let Some(index) = &mut state.index {
                index.schedule.cancel();
            }
        }
        self.is_stale = true;
        if !self.states.iter().any(|state| state.active) {
            self.schedule.cancel();
        }
    }

    pub(super) fn news(&mut self, _track: TrackId, now: Instant) {
        if self.changes() {
            self.schedule.news(now);
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        let indexes = self.states.iter().filter_map(|state| state.index.as_ref());
        let indexes = indexes.filter_map(|index| index.schedule.due_at());
        let own = [self.schedule.due_at(), self.available_at];
        own.into_iter().flatten().chain(indexes).min()
    }

    /// Lists what has become available, and says whether that changed anything.
    pub(super) fn proceed(&mut self, now: Instant, clock: Option<UnixTime>) -> bool {
        let since_epoch = i64::try_from(now.since_epoch().as_micros()).unwrap_or(i64::MAX);
        let offset = clock.map(|clock| clock.as_micros().saturating_sub(since_epoch));
        let is_due = self.available_at.is_some_and(|at| at <= now);
        if !self.is_stale && !is_due && offset == self.offset {
            return false;
        }
        self.is_stale = false;
        self.offset = offset;
        self.list(clock);
        let active = self.presentation.tracks.iter().zip(&self.states);
        let next = active
            .filter(|(_, state)| state.active)
            .filter_map(|(_, state)| {
                let (period, representation) = state.place.find(&self.mpd)?;
                period.start?;
                representation.next_available_after(clock?)
            });
        self.available_at = next.min().and_then(|at| {
            let wait = at.saturating_duration_since(clock?);
            Some(now + wait.max(MIN_WAIT))
        });
        true
    }

    /// What to load now.
    pub(super) fn start_loads(&mut self, now: Instant) -> Vec<(Arc<str>, Option<ByteRange>)> {
        let mut loads = Vec::new();
        if self.schedule.start_if_due(now) {
            let (Next::Mpd(url) | Next::Patch(url)) = &self.next;
            loads.push((url.clone(), None));
        }
        // Periods may share a resource, and its index is loaded once for all of them.
        let indexes = self.states.iter().filter_map(|state| state.index.as_ref());
        let indexes = indexes.filter(|index| index.schedule.is_loading());
        let mut under_way: BTreeSet<_> = indexes.filter_map(Index::load).collect();
        for state in &mut self.states {
            if let Some(index) = &mut state.index
                && index.schedule.start_if_due(now)
                && let Some(load) = index.load()
                && under_way.insert(load.clone())
            {
                loads.push(load);
            }
        }
        loads
    }

    pub(super) fn load(
        &mut self,
        (url, range): (&str, Option<ByteRange>),
        final_url: &str,
        body: &Bytes,
        config: &Config,
        now: Instant,
    ) -> Result<Vec<Event>, ParseError> {
        if let Some(range) = range {
            self.take_index(url, range, body, now)?;
            return Ok(Vec::new());
        }
        if let Next::Patch(patch) = &self.next
            && **patch == *url
        {
            return self.load_patch(body, config, now);
        }
        let is_mpd = *self.presentation.url == *url
            || self.next == Next::Mpd(url.into())
            || self.mpd.locations.iter().any(|location| **location == *url);
        if !is_mpd {
            return Ok(Vec::new());
        }
        let hash = body_hash(final_url, body);
        if hash == self.hash {
            self.finish(now);
            return Ok(Vec::new());
        }
        let mpd = source(final_url, &self.presentation.url, config).parse(body)?;
        let times = mpd.publish_time.zip(self.mpd.publish_time);
        let is_older = mpd.is_dynamic && times.is_some_and(|(its, known)| its < known);
        if is_older && self.older_count < MAX_OLDER {
            debug!("an older MPD is passed over");
            self.older_count += 1;
            self.finish(now);
            return Ok(Vec::new());
        }
        (self.hash, self.final_url) = (hash, final_url.into());
        self.take(mpd, body.clone(), now);
        Ok(Vec::new())
    }

    /// A patch that does not fit is no harm: the whole MPD is loaded instead.
    fn load_patch(
        &mut self,
        body: &Bytes,
        config: &Config,
        now: Instant,
    ) -> Result<Vec<Event>, ParseError> {
        let patched = self.text.as_ref().map(|text| apply_patch(text, body));
        let parsed = match patched {
            Some(Ok(text)) => {
                let text = Bytes::from(text);
                let source = source(&self.final_url, &self.presentation.url, config);
                source.parse(&text).map(|mpd| (mpd, text))
            }
            Some(Err(error)) => {
                debug!(%error, "a patch does not fit");
                Err(ParseError::UnusablePatch)
            }
            None => Err(ParseError::UnusablePatch),
        };
        match parsed {
            Ok((mpd, text)) => {
                self.hash = body_hash(&self.final_url, &text);
                self.take(mpd, text, now);
                Ok(Vec::new())
            }
            Err(error) => {
                self.next = Next::Mpd(self.location());
                Err(error)
            }
        }
    }

    fn take_index(
        &mut self,
        url: &str,
        range: ByteRange,
        body: &Bytes,
        now: Instant,
    ) -> Result<(), ParseError> {
        let wanted = Some((Arc::from(url), Some(range)));
        for state in &mut self.states {
            if let Some(index) = &mut state.index
                && index.load() == wanted
            {
                index.take(range, body, now)?;
                self.is_stale = true;
            }
        }
        Ok(())
    }

    pub(super) fn failed(
        &mut self,
        (url, range): (&str, Option<ByteRange>),
        now: Instant,
    ) -> Option<(Arc<str>, u32)> {
        if range.is_some() {
            let wanted = Some((Arc::from(url), range));
            let indexes = self
                .states
                .iter_mut()
                .filter_map(|state| state.index.as_mut());
            let failures = indexes.filter(|index| index.load() == wanted).map(|index| {
                let failures = index.schedule.finish(Outcome::Failed, now);
                (index.media.url.clone(), failures)
            });
            return failures.max_by_key(|(_, failures)| *failures);
        }
        let (Next::Mpd(asked) | Next::Patch(asked)) = &self.next;
        if **asked != *url && *self.presentation.url != *url {
            return None;
        }
        let failures = self.schedule.finish(Outcome::Failed, now);
        // Where the MPD says to be may not be there; where it was asked for first, it was.
        self.next = Next::Mpd(match failures {
            1 => self.location(),
            _ => self.presentation.url.clone(),
        });
        Some((Arc::from(url), failures))
    }

    fn by_id(&mut self, id: TrackId) -> Option<&mut TrackState> {
        let at = self
            .presentation
            .tracks
            .iter()
            .position(|track| track.id == id)?;
        self.states.get_mut(at)
    }

    /// Whether another MPD is to be expected.
    fn changes(&self) -> bool {
        self.mpd.is_dynamic && self.mpd.minimum_update_period.is_some()
    }

    fn location(&self) -> Arc<str> {
        let first = self.mpd.locations.first();
        first.unwrap_or(&self.presentation.url).clone()
    }

    /// Takes another version of the MPD.
    fn take(&mut self, mpd: Mpd, text: Bytes, now: Instant) {
        self.older_count = 0;
        self.never_share(&mpd);
        let named = tracks(&mpd, self.presentation.content, &self.presentation.url);
        let old = std::mem::take(&mut self.presentation.tracks);
        let old = old.into_iter().zip(std::mem::take(&mut self.states));
        let mut known: BTreeMap<_, _> = old
            .map(|(track, state)| (track.id, (track, state)))
            .collect();
        for (mut track, place) in named.tracks {
            let mut state = TrackState {
                place,
                active: false,
                index: None,
                is_ended: false,
            };
            if let Some((before, was)) = known.remove(&track.id) {
                track.segments = before.segments;
                state = TrackState { place, ..was };
            }
            self.presentation.tracks.push(track);
            self.states.push(state);
        }
        self.presentation.switching_sets = named.switching_sets;
        self.text = (!mpd.patch_locations.is_empty()).then_some(text);
        self.mpd = mpd;
        self.next = match self.mpd.patch_locations.first() {
            Some(patch) => Next::Patch(patch.url.clone()),
            None => Next::Mpd(self.location()),
        };
        self.is_stale = true;
        self.finish(now);
    }

    /// Remembers what of the MPD is never shared. Licence URLs all are; the URLs of patches tend to
    /// be new with each MPD, and are no segments' anyway.
    fn never_share(&mut self, mpd: &Mpd) {
        let is_new = |url: &&KeyUrl| !self.presentation.never_shared.contains(url.as_str());
        let licences: Vec<&KeyUrl> = mpd.never_share.iter().filter(is_new).collect();
        let control = mpd.control_urls.iter().cloned().map(KeyUrl::new);
        let control: Vec<KeyUrl> = control.filter(|url| is_new(&url)).collect();
        let room = MAX_CONTROL_URLS.saturating_sub(self.control_count);
        if licences.is_empty() && (control.is_empty() || room == 0) {
            return;
        }
        let keys = Arc::make_mut(&mut self.presentation.never_shared);
        for url in licences {
            keys.insert(url);
        }
        let new = control
            .iter()
            .filter(|url| keys.insert(url) == Inserted::New);
        self.control_count += new.take(room).count();
    }

    /// Says when the MPD is loaded again.
    fn finish(&mut self, now: Instant) {
        let outcome = match self.mpd.minimum_update_period {
            Some(period) if self.mpd.is_dynamic => Outcome::Again(match period.is_zero() {
                true => self.unsaid_period(),
                false => period,
            }),
            _ => Outcome::Ended,
        };
        self.schedule.finish(outcome, now);
    }

    /// How often an MPD is loaded that leaves it to events in the media: as often as segments come,
    /// and at least every 5 s (ExoPlayer).
    fn unsaid_period(&self) -> Duration {
        let longest = self.mpd.max_segment_duration;
        let most = Duration::from_secs(5);
        longest.unwrap_or(most).clamp(Duration::from_secs(1), most)
    }

    /// Lists the segments of all tracks that are available when the wall clock shows this.
    fn list(&mut self, clock: Option<UnixTime>) {
        for at in 0..self.states.len() {
            let before = self.presentation.tracks.get(at);
            let before = before.and_then(|track| track.segments.clone());
            let Some(now) = self.segments(at, before.as_ref(), clock) else {
                continue;
            };
            if let (Some(track), Some(state)) = (
                self.presentation.tracks.get_mut(at),
                self.states.get_mut(at),
            ) {
                if now.liveness == Liveness::Ended && !state.is_ended && state.active {
                    state.is_ended = true;
                    self.events.push(Event::Ended { track: track.id });
                }
                if before.as_ref() != Some(&now) {
                    track.segments = Some(now);
                }
            }
        }
    }

    /// The segments of the track number `at`; `None` while they are not known.
    fn segments(
        &mut self,
        at: usize,
        before: Option<&Segments>,
        clock: Option<UnixTime>,
    ) -> Option<Segments> {
        let (track, state) = (self.presentation.tracks.get(at)?, self.states.get_mut(at)?);
        let (period, representation) = state.place.find(&self.mpd)?;
        // What is available early, nobody knows the place of yet.
        if self.mpd.is_dynamic && period.start.is_none() {
            return None;
        }
        let scope = Scope {
            track: track.id,
            presentation: &self.presentation,
            mpd: &self.mpd,
            period,
            representation,
            resolve: self.resolve,
            identity: &self.identity,
        };
        let rows = match representation.listing(clock) {
            Listing::Segments(window) => Rows::Computed(Arc::new(scope.computed(window))),
            Listing::Indexed { media, index } => {
                // Of an index in a resource of its own, too little is said to be sure what it
                // counts from.
                let range = index.range.filter(|_| index.url == media.url)?;
                let known = state.index.take();
                let known = known.filter(|known| known.is_of(&media, range));
                let known = known.unwrap_or_else(|| Index::new(media, range));
                let known = state.index.insert(known);
                scope.listed(&known.media, known.pieces(scope.start())?)
            }
            Listing::Single(media) => {
                let piece = Piece {
                    range: media.range,
                    start: scope.start(),
                    duration: period.duration.unwrap_or(DEFAULT_TARGET_DURATION),
                };
                scope.listed(&media, std::iter::once(piece))
            }
            Listing::Nothing => return None,
        };
        Some(scope.finish(rows, before, clock))
    }
}

fn source<'a>(final_url: &'a str, first_url: &'a str, config: &Config) -> MpdSource<'a> {
    MpdSource {
        url: final_url,
        first_url,
        resolve: config.resolve,
        service_location: None,
    }
}

/// MPDs in a row that are passed over because they were published before the one that is known: a
/// cache may lag for a reload or two, a publisher whose clock was set back stays behind.
const MAX_OLDER: u32 = 3;

/// The shortest time to wait for the next segment, against lists whose segments have no length.
const MIN_WAIT: Duration = Duration::from_millis(10);
