//! An HLS presentation whose manifest is known, and what each loaded playlist changes in it.

use std::sync::Arc;

use bytes::Bytes;
use p2pcdn_wire::{Instant, TrackId};
use tracing::{debug, info, trace};

use super::{
    Config, DeliveryDirectives, Event,
    directives::{Directives, without_directives},
    schedule::{Outcome, Schedule},
    warned,
};
use crate::{
    assemble::{Assembly, namer},
    error::{ParseError, Warning},
    hls::{Manifest, MediaPlaylist, Multivariant, RenditionReport, Source, Variables},
    identity::IdentityMode,
    key::{Inserted, KeyUrl},
    presentation::Presentation,
    segments::{Liveness, Segments},
    timeline::{Continuity, Evidence, Related},
    track::Track,
    tracks::{self, NamedTrack},
};

#[derive(Debug)]
pub(super) struct HlsState {
    presentation: Presentation,
    /// Beside each track of the presentation, its state.
    states: Vec<TrackState>,
    variables: Variables,
}

/// What is known of a track that its readers need not know.
#[derive(Debug)]
pub(super) struct TrackState {
    /// The URL of its playlist had the manifest not been redirected.
    first_url: Arc<str>,
    pub(super) active: bool,
    pub(super) schedule: Schedule,
    /// The hash of the last body that was used, and where it came from.
    body: Option<blake3::Hash>,
    warnings: Vec<Warning>,
    /// Whether the last body was passed over because its numbers are lower.
    suspect: bool,
    /// Whether it was said that its names are unstable.
    unstable: bool,
    /// How many segments the playlist has dropped without counting them, and so far named by path
    /// alone if any.
    uncounted: u64,
    /// What the next load may ask for beside the playlist.
    directives: Directives,
}

impl HlsState {
    pub(super) fn multivariant(
        mut presentation: Presentation,
        list: &Multivariant,
        config: &Config,
    ) -> Self {
        let named = tracks::tracks(
            list,
            presentation.content,
            &presentation.url,
            &config.identity,
        );
        presentation.switching_sets = named.switching_sets;
        let mut known = Self::new(named.tracks, presentation, list.variables.clone());
        known.remember_keys(list.never_shared());
        known
    }

    /// With the playlist of the only track.
    pub(super) fn media(mut presentation: Presentation, schedule: Schedule) -> Self {
        let named = tracks::single(presentation.content, &presentation.url);
        presentation.switching_sets = named.switching_sets;
        let mut known = Self::new(named.tracks, presentation, Variables::default());
        for state in &mut known.states {
            state.active = true;
            state.schedule = schedule.clone();
        }
        known
    }

    fn new(named: Vec<NamedTrack>, mut presentation: Presentation, variables: Variables) -> Self {
        let (tracks, states) = named
            .into_iter()
            .map(|named| (named.track, TrackState::new(named.first_url)))
            .unzip();
        presentation.tracks = tracks;
        Self {
            presentation,
            states,
            variables,
        }
    }

    pub(super) fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        let states = self.states.iter();
        states.filter_map(|state| state.schedule.due_at()).min()
    }

    /// The URLs to load now.
    pub(super) fn start_loads(&mut self, now: Instant) -> Vec<Arc<str>> {
        let tracks = self.presentation.tracks.iter().zip(&mut self.states);
        let load = |(track, state): (&Track, &mut TrackState)| {
            let due = state.schedule.start_if_due(now);
            due.then(|| state.directives.url(&track.url, now).into())
        };
        tracks.filter_map(load).collect()
    }

    fn tracks(&mut self) -> impl Iterator<Item = (&Track, &mut TrackState)> {
        self.presentation.tracks.iter().zip(&mut self.states)
    }

    fn by_id(&mut self, id: TrackId) -> Option<(&Track, &mut TrackState)> {
        self.tracks().find(|(track, _)| track.id == id)
    }

    /// The track whose playlist is at `url`, delivery directives aside.
    fn by_url(&mut self, url: &str) -> Option<(&Track, &mut TrackState)> {
        let at = self.index_of(url)?;
        self.tracks().nth(at)
    }

    fn index_of(&self, url: &str) -> Option<usize> {
        let tracks = &self.presentation.tracks;
        let at = |url: &str| tracks.iter().position(|track| *track.url == *url);
        at(url).or_else(|| at(&without_directives(url)))
    }

    pub(super) fn activate(&mut self, id: TrackId, now: Instant) {
        let Some((track, state)) = self.by_id(id) else {
            return trace!(track = %id, "an unknown track was activated");
        };
        state.active = true;
        let ended = |segments: &Segments| segments.liveness == Liveness::Ended;
        if !track.segments.as_ref().is_some_and(ended) {
            state.schedule.request(now);
        }
    }

    pub(super) fn deactivate(&mut self, id: TrackId) {
        if let Some((_, state)) = self.by_id(id) {
            state.active = false;
            // When it is played again, what it would wait for has long come.
            state.directives = Directives::default();
            state.schedule.cancel();
        }
    }

    pub(super) fn news(&mut self, id: TrackId, now: Instant) {
        if let Some((_, state)) = self.by_id(id) {
            state.schedule.news(now);
        }
    }

    /// The playlist at `url` could not be used: its URL, and how often that happened in a row.
    pub(super) fn failed(&mut self, url: &str, now: Instant) -> Option<(Arc<str>, u32)> {
        let (track, state) = self.by_url(url)?;
        // A server that refuses directives may well have the playlist.
        state.directives = Directives::default();
        let failures = state.schedule.finish(Outcome::Failed, now);
        Some((track.url.clone(), failures))
    }

    /// Never shares these URLs, nor what is listed under them already.
    fn remember_keys(&mut self, urls: impl Iterator<Item = KeyUrl>) {
        let keys = &mut self.presentation.never_shared;
        let mut grown = false;
        for url in urls {
            // Not to copy the set for keys that it has.
            if !keys.contains(url.as_str()) {
                grown |= Arc::make_mut(keys).insert(&url) == Inserted::New;
            }
        }
        if grown {
            for track in &mut self.presentation.tracks {
                if let Some(segments) = &mut track.segments {
                    segments.never_shared = keys.clone();
                }
            }
        }
    }

    /// Takes the text of the playlist at `url`.
    pub(super) fn load(
        &mut self,
        url: &str,
        final_url: &str,
        body: &Bytes,
        config: &Config,
        now: Instant,
    ) -> Result<Vec<Event>, ParseError> {
        let at = self.index_of(url);
        let track = at.and_then(|at| Some((at, self.presentation.tracks.get(at)?)));
        let Some(((at, track), state)) =
            track.and_then(|it| Some((it, self.states.get_mut(it.0)?)))
        else {
            return Ok(Vec::new());
        };
        let final_url = without_directives(final_url);
        let hash = body_hash(&final_url, body);
        if state.body == Some(hash)
            && let Some(segments) = &track.segments
        {
            let outcome = match segments.liveness {
                Liveness::Ended => Outcome::Ended,
                _ if state.directives.blocks() => {
                    Outcome::Unchanged(segments.part_target.unwrap_or(segments.target_duration))
                }
                _ => Outcome::Unchanged(segments.target_duration),
            };
            state.schedule.finish(outcome, now);
            return Ok(Vec::new());
        }
        let source = Source {
            url: &final_url,
            first_url: &state.first_url,
            resolve: config.resolve,
            variables: &self.variables,
            before: track
                .segments
                .as_ref()
                .and_then(|segments| segments.rows.listed())
                .map(|it| &**it),
        };
        match source.parse(body)? {
            Manifest::Media(media) => self.update(at, media, hash, config, now),
            Manifest::Multivariant(_) => Err(ParseError::UnexpectedKind),
        }
    }

    /// Takes the playlist of the track number `at`.
    pub(super) fn update(
        &mut self,
        at: usize,
        mut media: MediaPlaylist,
        hash: blake3::Hash,
        config: &Config,
        now: Instant,
    ) -> Result<Vec<Event>, ParseError> {
        self.remember_keys(media.key_urls.iter().cloned());
        let other = self.segments_to_align_with(at);
        let presentation = &mut self.presentation;
        let track = presentation.tracks.get_mut(at);
        let Some((track, state)) = track.zip(self.states.get_mut(at)) else {
            return Ok(Vec::new());
        };
        let mut namer = namer(track.id, &state.first_url, &media, &config.identity);
        if state.uncounted > 0 {
            namer = namer.with_mode(IdentityMode::PathOnly);
        }
        let old = track.segments.clone();
        if media.skipped > 0 {
            // What is left out is not known: the whole list has to be asked for.
            state.directives = state.directives.without_skip();
            let known = old.as_ref().filter(|_| state.uncounted == 0);
            let date_ranges = known.map_or(&[][..], |known| &known.date_ranges);
            media = media.merged(
                known.and_then(|known| known.rows.listed()).map(|it| &**it),
                date_ranges,
            )?;
        }
        let assembly = Assembly {
            namer: Arc::new(namer),
            uncounted: state.uncounted,
            old: old.as_ref(),
            other: other.as_ref().map(|(other, related)| (other, *related)),
            keys: &presentation.never_shared,
        };
        let directives = Directives::offered(&media, now);
        let target_duration = media.target_duration;
        let warnings = std::mem::take(&mut media.warnings);
        let reports = std::mem::take(&mut media.rendition_reports);
        let (draft, continuity) = assembly.draft(media);
        let passed_over = match continuity {
            Some(Continuity::Stale) => true,
            Some(Continuity::Restarted(Evidence::Numbers)) => !state.suspect,
            _ => false,
        };
        state.suspect = matches!(continuity, Some(Continuity::Restarted(_))) && passed_over;
        if passed_over {
            debug!(track = %track.id, ?continuity, "an older playlist is passed over");
            state
                .schedule
                .finish(Outcome::Unchanged(target_duration), now);
            return Ok(Vec::new());
        }
        let segments = assembly.finish(draft, continuity);
        let mut events = state.take_warnings(&track.url, warnings);
        events.extend(state.take_continuity(track.id, continuity));
        let was_ended = old
            .as_ref()
            .is_some_and(|old| old.liveness == Liveness::Ended);
        if segments.liveness == Liveness::Ended && !was_ended {
            events.push(Event::Ended { track: track.id });
        }
        state.body = Some(hash);
        state.directives = match config.delivery_directives {
            DeliveryDirectives::Offered => directives,
            DeliveryDirectives::Never => Directives::default(),
        };
        let outcome = outcome(old.as_ref(), &segments, state.directives.blocks());
        state.schedule.finish(outcome, now);
        if old.as_ref() != Some(&segments) {
            track.segments = Some(segments);
        }
        if config.delivery_directives == DeliveryDirectives::Offered {
            self.take_reports(at, &reports);
        }
        Ok(events)
    }

    /// Remembers what a playlist says of those of other tracks that are not loaded.
    fn take_reports(&mut self, at: usize, reports: &[RenditionReport]) {
        for report in reports {
            let index = self.index_of(&report.url).filter(|index| *index != at);
            let Some(state) = index.and_then(|index| self.states.get_mut(index)) else {
                continue;
            };
            if !state.active {
                state.directives = Directives::reported(report);
            }
        }
    }

    /// The newest segments of another track, one of the same kind if there is any.
    fn segments_to_align_with(&self, at: usize) -> Option<(Segments, Related)> {
        let tracks = &self.presentation.tracks;
        let kind = tracks.get(at)?.kind;
        let others = tracks.iter().enumerate().filter(|(other, _)| *other != at);
        let loaded = others.filter_map(|(_, track)| {
            let segments = track.segments.as_ref()?;
            let related = match track.kind == kind {
                true => Related::SameKind,
                false => Related::OtherKind,
            };
            (!segments.is_empty()).then_some((segments, related))
        });
        let best = loaded
            .max_by_key(|(segments, related)| (*related == Related::SameKind, segments.live_edge));
        best.map(|(segments, related)| (segments.clone(), related))
    }
}

impl TrackState {
    fn new(first_url: Arc<str>) -> Self {
        Self {
            first_url,
            active: false,
            schedule: Schedule::default(),
            body: None,
            warnings: Vec::new(),
            suspect: false,
            unstable: false,
            uncounted: 0,
            directives: Directives::default(),
        }
    }

    /// The event about a playlist that does not simply go on.
    fn take_continuity(&mut self, track: TrackId, continuity: Option<Continuity>) -> Option<Event> {
        match continuity? {
            Continuity::Restarted(_) => {
                info!(%track, "the numbering of a track began anew");
                Some(Event::EncoderRestarted { track })
            }
            Continuity::Slid(moved) => {
                let first = self.uncounted == 0;
                self.uncounted = self.uncounted.saturating_add(moved);
                first.then_some(Event::NumbersUnstable { track })
            }
            Continuity::Renamed if !self.unstable => {
                self.unstable = true;
                Some(Event::NamesUnstable { track })
            }
            _ => None,
        }
    }

    /// The event about new warnings, if they are not those of the last time. Line numbers move
    /// with the window, so only kinds count.
    fn take_warnings(&mut self, url: &Arc<str>, warnings: Vec<Warning>) -> Vec<Event> {
        let kinds = |warnings: &[Warning]| {
            let kinds = warnings.iter().map(|warning| warning.kind);
            kinds.collect::<std::collections::BTreeSet<_>>()
        };
        if kinds(&self.warnings).is_superset(&kinds(&warnings)) {
            return Vec::new();
        }
        self.warnings.clone_from(&warnings);
        warned(url, warnings).into_iter().collect()
    }
}

/// Identifies a body, and where its relative URLs point.
pub(super) fn body_hash(final_url: &str, body: &Bytes) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(final_url.as_bytes());
    hasher.update(b"\n");
    hasher.update(body);
    hasher.finalize()
}

/// When a playlist may change again: at once if the server answers when it has, else after the
/// target duration, or after the last segment's if that is shorter (hls.js,
/// `computeReloadInterval`).
fn outcome(old: Option<&Segments>, new: &Segments, blocks: bool) -> Outcome {
    let same_end = old.is_some_and(|old| {
        old.window().end == new.window().end && old.epoch == new.epoch && old.parts == new.parts
    });
    let target_duration = match new.part_target {
        // A server that should have held its answer back did not.
        Some(part_target) if blocks => part_target,
        _ => new.target_duration,
    };
    let last = new.rows.durations().next_back();
    match new.liveness {
        Liveness::Ended => Outcome::Ended,
        _ if same_end => Outcome::Unchanged(target_duration),
        _ if blocks => Outcome::Blocks,
        _ => Outcome::Changed(last.map_or(target_duration, |last| last.min(target_duration))),
    }
}
