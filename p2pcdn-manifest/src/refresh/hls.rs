//! A presentation whose manifest is known, and what each loaded playlist changes in it.

use std::sync::Arc;

use bytes::Bytes;
use p2pcdn_wire::{Instant, TrackId};
use tracing::{debug, info};

use super::{
    Config, Event,
    schedule::{Outcome, Schedule},
    warned,
};
use crate::{
    assemble::{Assembly, without_keys},
    error::{ParseError, Warning},
    hls::{Manifest, MediaPlaylist, Source, Variables},
    identity::SegmentNamer,
    key::{Inserted, KeyUrl},
    playlist::{Liveness, Playlist},
    presentation::Presentation,
    timeline::{Continuity, Evidence, Related},
    track::Track,
    tracks::NamedTrack,
};

#[derive(Debug)]
pub(super) struct Known {
    presentation: Presentation,
    /// Beside each track of the presentation, its state.
    states: Vec<TrackState>,
    variables: Variables,
    /// Whether `presentation` differs from the one last taken.
    changed: bool,
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
}

impl Known {
    /// With these tracks in place of those of `presentation`.
    pub(super) fn new(
        named: Vec<NamedTrack>,
        mut presentation: Presentation,
        variables: Variables,
    ) -> Self {
        let (tracks, states) = named
            .into_iter()
            .map(|named| (named.track, TrackState::new(named.first_url)))
            .unzip();
        presentation.tracks = tracks;
        Self {
            presentation,
            states,
            variables,
            changed: true,
        }
    }

    /// The presentation, if it changed since it was last taken.
    pub(super) fn take_update(&mut self) -> Option<Arc<Presentation>> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| Arc::new(self.presentation.clone()))
    }

    /// All tracks with their states.
    pub(super) fn tracks(&mut self) -> impl Iterator<Item = (&Track, &mut TrackState)> {
        self.presentation.tracks.iter().zip(&mut self.states)
    }

    pub(super) fn states(&self) -> &[TrackState] {
        &self.states
    }

    pub(super) fn by_id(&mut self, id: TrackId) -> Option<(&Track, &mut TrackState)> {
        self.tracks().find(|(track, _)| track.id == id)
    }

    pub(super) fn by_url(&mut self, url: &str) -> Option<(&Track, &mut TrackState)> {
        self.tracks().find(|(track, _)| *track.url == *url)
    }

    /// Never shares these URLs, nor what is listed under them already.
    pub(super) fn remember_keys<'a>(&mut self, urls: impl Iterator<Item = &'a KeyUrl>) {
        let mut urls = urls.peekable();
        if urls.peek().is_none() {
            return;
        }
        let keys = &mut self.presentation.never_shared;
        let mut grown = false;
        for url in urls {
            // Not to copy the set for keys that it has.
            if !keys.contains(url.as_str()) {
                grown |= Arc::make_mut(keys).insert(url) == Inserted::New;
            }
        }
        if !grown {
            return;
        }
        self.changed = true;
        for track in &mut self.presentation.tracks {
            let playlist = track.playlist.as_deref();
            if let Some(marked) = playlist.and_then(|playlist| without_keys(playlist, keys)) {
                track.playlist = Some(marked.into());
            }
        }
    }

    /// Takes the text of the playlist of the track at `url`.
    pub(super) fn load(
        &mut self,
        url: &str,
        final_url: &str,
        body: &Bytes,
        config: &Config,
        now: Instant,
    ) -> Result<Vec<Event>, ParseError> {
        let tracks = &self.presentation.tracks;
        let at = tracks.iter().position(|track| *track.url == *url);
        let Some((at, state)) = at.and_then(|at| Some((at, self.states.get_mut(at)?))) else {
            return Ok(Vec::new());
        };
        let hash = body_hash(final_url, body);
        if state.body == Some(hash)
            && let Some(playlist) = tracks.get(at).and_then(|track| track.playlist.as_ref())
        {
            let outcome = match playlist.liveness {
                Liveness::Ended => Outcome::Ended,
                _ => Outcome::Unchanged(playlist.target_duration),
            };
            state.schedule.finish(outcome, now);
            return Ok(Vec::new());
        }
        let source = Source {
            url: final_url,
            first_url: &state.first_url,
            resolve: config.resolve,
            variables: &self.variables,
        };
        match source.parse(body)? {
            Manifest::Media(media) => Ok(self.update(at, &media, hash, config, now)),
            Manifest::Multivariant(_) => Err(ParseError::UnexpectedKind),
        }
    }

    /// Takes the playlist of the track number `at`.
    pub(super) fn update(
        &mut self,
        at: usize,
        media: &MediaPlaylist,
        hash: blake3::Hash,
        config: &Config,
        now: Instant,
    ) -> Vec<Event> {
        self.remember_keys(media.key_urls.iter());
        let other = self.playlist_to_align_with(at);
        let presentation = &mut self.presentation;
        let track = presentation.tracks.get_mut(at);
        let Some((track, state)) = track.zip(self.states.get_mut(at)) else {
            return Vec::new();
        };
        let old = track.playlist.clone();
        let assembly = Assembly {
            namer: SegmentNamer::new(track.id, &state.first_url, &config.identity),
            media,
            old: old.as_deref().filter(|old| !old.segments.is_empty()),
            other: other.as_ref().map(|(other, related)| (&**other, *related)),
            keys: &presentation.never_shared,
        };
        let (drafts, continuity) = assembly.drafts();
        let passed_over = match continuity {
            Some(Continuity::Stale) => true,
            Some(Continuity::Restarted(Evidence::Numbers)) => !state.suspect,
            _ => false,
        };
        state.suspect = matches!(continuity, Some(Continuity::Restarted(_))) && passed_over;
        if passed_over {
            debug!(track = %track.id, ?continuity, "an older playlist is passed over");
            let outcome = Outcome::Unchanged(media.target_duration);
            state.schedule.finish(outcome, now);
            return Vec::new();
        }
        let playlist = assembly.playlist(&drafts, continuity);
        let mut events = state.take_warnings(&track.url, media);
        events.extend(state.take_continuity(track.id, continuity));
        let was_ended = old
            .as_ref()
            .is_some_and(|old| old.liveness == Liveness::Ended);
        if playlist.liveness == Liveness::Ended && !was_ended {
            events.push(Event::Ended { track: track.id });
        }
        state.body = Some(hash);
        let outcome = outcome(old.as_deref(), &playlist);
        state.schedule.finish(outcome, now);
        if old.as_deref() != Some(&playlist) {
            track.playlist = Some(playlist.into());
            self.changed = true;
        }
        events
    }

    /// The newest playlist of another track, one of the same kind if there is any.
    fn playlist_to_align_with(&self, at: usize) -> Option<(Arc<Playlist>, Related)> {
        let tracks = &self.presentation.tracks;
        let kind = tracks.get(at)?.kind;
        let others = tracks.iter().enumerate().filter(|(other, _)| *other != at);
        let loaded = others.filter_map(|(_, track)| {
            let playlist = track.playlist.as_ref()?;
            let related = match track.kind == kind {
                true => Related::SameKind,
                false => Related::OtherKind,
            };
            (!playlist.segments.is_empty()).then_some((playlist, related))
        });
        let best = loaded
            .max_by_key(|(playlist, related)| (*related == Related::SameKind, playlist.live_edge));
        best.map(|(playlist, related)| (playlist.clone(), related))
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
        }
    }

    /// The event about a playlist that does not simply go on.
    fn take_continuity(&mut self, track: TrackId, continuity: Option<Continuity>) -> Option<Event> {
        match continuity? {
            Continuity::Restarted(_) => {
                info!(%track, "the numbering of a track began anew");
                Some(Event::EncoderRestarted { track })
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
    fn take_warnings(&mut self, url: &Arc<str>, media: &MediaPlaylist) -> Vec<Event> {
        let kinds = |warnings: &[Warning]| {
            let kinds = warnings.iter().map(|warning| warning.kind);
            kinds.collect::<std::collections::BTreeSet<_>>()
        };
        let known = kinds(&self.warnings).is_superset(&kinds(&media.warnings));
        if known {
            return Vec::new();
        }
        self.warnings.clone_from(&media.warnings);
        warned(url, media.warnings.clone()).into_iter().collect()
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

/// When a playlist may change again: after the target duration, or after the last segment's if
/// that is shorter (hls.js, `computeReloadInterval`).
fn outcome(old: Option<&Playlist>, new: &Playlist) -> Outcome {
    let same_end =
        old.is_some_and(|old| old.window().end == new.window().end && old.epoch == new.epoch);
    let last = new.segments.last().map(|segment| segment.duration);
    let target_duration = new.target_duration;
    match new.liveness {
        Liveness::Ended => Outcome::Ended,
        _ if same_end => Outcome::Unchanged(target_duration),
        _ => Outcome::Changed(last.map_or(target_duration, |last| last.min(target_duration))),
    }
}
