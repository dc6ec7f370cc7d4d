//! An HLS presentation whose manifest is known, and what each loaded playlist changes in it.

use std::sync::Arc;

use bytes::Bytes;
use p2pcdn_wire::{Instant, TrackId};
use tracing::{debug, trace};

use super::{
    Config, DeliveryDirectives, Event,
    directives::{Directives, without_directives},
    schedule::{Outcome, Schedule},
    track_state::{Loader, TrackState},
};
use crate::{
    assemble::{Assembly, namer},
    error::ParseError,
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
        let mut known = Self {
            presentation,
            states,
            variables,
        };
        known.never_share_playlists();
        known
    }

    /// A playlist that lists playlists as segments would have them shared, and the viewer's tokens
    /// in them.
    fn never_share_playlists(&mut self) {
        let tracks = self.presentation.tracks.iter().map(|track| &track.url);
        let urls = tracks.chain([&self.presentation.url]).cloned();
        let urls: Vec<KeyUrl> = urls.map(KeyUrl::new).collect();
        self.remember_keys(urls.into_iter());
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
            due.then(|| {
                state.asked = state.directives.url(&track.url, now).into();
                state.asked.clone()
            })
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
        at(url).or_else(|| {
            let plain = without_directives(url);
            let is_it = |track: &Track| without_directives(&track.url) == plain;
            tracks.iter().position(is_it)
        })
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
        let loader = state.loader(url);
        if loader == Loader::Refresh {
            // A server that refuses directives may well have the playlist.
            state.directives = Directives::default();
        }
        let failures = state.finish(loader, Outcome::Failed, now);
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
                    segments.withdraw(keys);
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
        let loader = state.loader(url);
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
            state.finish(loader, outcome, now);
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
            Manifest::Media(media) => self.update((at, loader), media, hash, config, now),
            Manifest::Multivariant(_) => Err(ParseError::UnexpectedKind),
        }
    }

    /// Takes the playlist of the track number `at`.
    pub(super) fn update(
        &mut self,
        (at, loader): (usize, Loader),
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
            media = state.merged(media, old.as_ref(), loader)?;
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
            state.finish(loader, Outcome::Unchanged(target_duration), now);
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
        state.take_directives(directives, config.delivery_directives);
        let outcome = outcome(old.as_ref(), &segments, state.directives.blocks());
        state.finish(loader, outcome, now);
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
