//! Keeps a presentation up to date: what to load, and when to load it again.

mod known;
mod schedule;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use known::{Known, body_hash};
use p2pcdn_wire::{Instant, TrackId};
use schedule::{Outcome, Schedule};
use thiserror::Error;
use tracing::{debug, trace};

use crate::{
    error::{ParseError, Warning},
    hls::{Manifest, Source, Variables},
    identity::{IdentityConfig, swarm_id},
    key::KeyUrls,
    playlist::Liveness,
    presentation::Presentation,
    resolve::{Resolve, resolve},
    tracks,
};

/// How a [`Refresh`] names and resolves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the publisher declares about names. Default: nothing.
    pub identity: IdentityConfig,
    /// Resolves relative URLs. Default: [`resolve()`].
    pub resolve: Resolve,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identity: IdentityConfig::default(),
            resolve,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A track is played, or about to be: its playlist is needed and, if it changes, kept fresh.
    TrackActivated(TrackId),
    /// A track is played no more: its playlist is left as it is.
    TrackDeactivated(TrackId),
    /// A playlist was loaded: the answer to an [`Output::Load`], or one that the player asked for
    /// itself, which then counts as a reload.
    Loaded {
        /// The URL as it was asked for.
        url: Arc<str>,
        /// The URL after redirects.
        final_url: Arc<str>,
        /// The text.
        body: Bytes,
    },
    /// A playlist could not be loaded.
    LoadFailed {
        /// The URL as it was asked for.
        url: Arc<str>,
        /// Why.
        reason: LoadFailure,
    },
    /// A peer mentioned a segment that the playlist of this track does not list yet.
    NewsHeard {
        /// The track.
        track: TrackId,
    },
}

/// Why a playlist could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoadFailure {
    /// The server answered with this HTTP status.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Nothing can be asked at this URL.
    #[error("not a URL that can be loaded")]
    InvalidUrl,
    /// No connection, or one that broke.
    #[error("network error")]
    Network,
    /// It took too long.
    #[error("timeout")]
    Timeout,
    /// The body is longer than a playlist may be.
    #[error("body too long")]
    TooLong,
}

/// What to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Load this URL, with the viewer's own headers, and answer with [`Input::Loaded`] or
    /// [`Input::LoadFailed`]. At most one load per URL is under way at any time.
    Load {
        /// The URL.
        url: Arc<str>,
    },
    /// The presentation changed.
    Updated(Arc<Presentation>),
    /// What may be ignored.
    Event(Event),
}

/// What became known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A playlist could not be loaded; it is tried again.
    LoadFailed {
        /// Its URL.
        url: Arc<str>,
        /// Why.
        reason: LoadFailure,
        /// How many loads of it failed in a row.
        failures: u32,
    },
    /// A text is no usable playlist; it is tried again.
    ParseFailed {
        /// Its URL.
        url: Arc<str>,
        /// Why.
        error: ParseError,
        /// How many loads of it failed in a row.
        failures: u32,
    },
    /// A playlist has faults that it had not the last time.
    Warned {
        /// Its URL.
        url: Arc<str>,
        /// The faults.
        warnings: Vec<Warning>,
    },
    /// The numbering of a track began anew: ids of before are no longer worth advertising.
    EncoderRestarted {
        /// The track.
        track: TrackId,
    },
    /// The segments of a track have other names than the last time in the same places, as when
    /// each load puts a new token into their paths: little can be shared until the publisher
    /// declares the token. Said once per track.
    NamesUnstable {
        /// The track.
        track: TrackId,
    },
    /// A track will not change any more.
    Ended {
        /// The track.
        track: TrackId,
    },
}

/// Keeps one presentation up to date, for any number of sessions. Does no I/O.
///
/// It asks for the manifest at once, then for the media playlist of each active track: again after
/// the target duration while it changes, after half of it when it did not (RFC 8216bis section
/// 6.3.4, as hls.js does it), not at all once it ended. A failed load is tried again after 0.5 s,
/// 1 s, 2 s and so on up to 8 s. A media playlist given directly is the one track of its
/// presentation, and active.
///
/// The contract is that of all machines of p2pcdn: after any `handle_*`, drain
/// [`poll_output`](Self::poll_output) and wait for [`poll_timeout`](Self::poll_timeout) or the next
/// input. Time never goes back; inputs about what is unknown are late and ignored. Each
/// [`Output::Load`] must be answered once.
#[derive(Debug)]
pub struct Refresh {
    config: Config,
    now: Instant,
    url: Arc<str>,
    manifest: ManifestState,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum ManifestState {
    Loading(Schedule),
    Known(Box<Known>),
}

impl Refresh {
    /// For the presentation whose manifest is at `url`: the URL that the viewer was given.
    #[must_use]
    pub fn new(config: Config, url: &str, now: Instant) -> Self {
        let mut schedule = Schedule::default();
        schedule.request(now);
        let mut refresh = Self {
            config,
            now,
            url: url.into(),
            manifest: ManifestState::Loading(schedule),
            outputs: VecDeque::new(),
        };
        refresh.load_what_is_due();
        refresh
    }

    /// Tells the machine what happened at `now`.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.now = self.now.max(now);
        match input {
            Input::TrackActivated(track) => self.activate(track),
            Input::TrackDeactivated(track) => {
                if let ManifestState::Known(known) = &mut self.manifest
                    && let Some((_, state)) = known.by_id(track)
                {
                    state.active = false;
                    state.schedule.cancel();
                }
            }
            Input::Loaded {
                url,
                final_url,
                body,
            } => self.loaded(&url, &final_url, &body),
            Input::LoadFailed { url, reason } => self.failed(&url, Failure::Load(reason)),
            Input::NewsHeard { track } => {
                if let ManifestState::Known(known) = &mut self.manifest
                    && let Some((_, state)) = known.by_id(track)
                {
                    state.schedule.news(self.now);
                }
            }
        }
        self.load_what_is_due();
    }

    /// Tells the machine that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.load_what_is_due();
    }

    /// The next thing to do or to know; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        if let ManifestState::Known(known) = &mut self.manifest
            && let Some(update) = known.take_update()
        {
            self.outputs.push_back(Output::Updated(update));
        }
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            self.outputs.shrink_to(8);
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when only an input can
    /// change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.manifest {
            ManifestState::Loading(schedule) => schedule.due_at(),
            ManifestState::Known(known) => {
                let states = known.states().iter();
                states.filter_map(|state| state.schedule.due_at()).min()
            }
        }
    }

    fn activate(&mut self, id: TrackId) {
        let ManifestState::Known(known) = &mut self.manifest else {
            trace!(track = %id, "a track was activated before the manifest is known");
            return;
        };
        let Some((track, state)) = known.by_id(id) else {
            trace!(track = %id, "an unknown track was activated");
            return;
        };
        state.active = true;
        let playlist = track.playlist.as_deref();
        if playlist.is_none_or(|playlist| playlist.liveness != Liveness::Ended) {
            state.schedule.request(self.now);
        }
    }

    fn load_what_is_due(&mut self) {
        let now = self.now;
        match &mut self.manifest {
            ManifestState::Loading(schedule) => {
                if schedule.start_if_due(now) {
                    let url = self.url.clone();
                    self.outputs.push_back(Output::Load { url });
                }
            }
            ManifestState::Known(known) => {
                for (track, state) in known.tracks() {
                    if state.schedule.start_if_due(now) {
                        let url = track.url.clone();
                        self.outputs.push_back(Output::Load { url });
                    }
                }
            }
        }
    }

    fn loaded(&mut self, url: &str, final_url: &str, body: &Bytes) {
        let now = self.now;
        match &mut self.manifest {
            ManifestState::Loading(_) if *self.url == *url => {
                let source = Source {
                    url: final_url,
                    first_url: url,
                    resolve: self.config.resolve,
                    variables: &Variables::default(),
                };
                match source.parse(body) {
                    Ok(manifest) => self.manifest_known(manifest, body_hash(final_url, body)),
                    Err(error) => self.failed(url, Failure::Parse(error)),
                }
            }
            ManifestState::Loading(_) => trace!("an unknown URL was loaded"),
            ManifestState::Known(known) => {
                match known.load(url, final_url, body, &self.config, now) {
                    Ok(events) => self.outputs.extend(events.into_iter().map(Output::Event)),
                    Err(error) => self.failed(url, Failure::Parse(error)),
                }
            }
        }
    }

    fn manifest_known(&mut self, manifest: Manifest, hash: blake3::Hash) {
        let identity = &self.config.identity;
        let content = identity.content(&self.url);
        let presentation = Presentation {
            content,
            swarm: swarm_id(content),
            url: self.url.clone(),
            tracks: Vec::new(),
            is_multivariant: matches!(manifest, Manifest::Multivariant(_)),
            never_shared: Arc::new(KeyUrls::default()),
        };
        debug!(%content, "the manifest is known");
        let mut events = Vec::new();
        let known = match manifest {
            Manifest::Multivariant(list) => {
                let tracks = tracks::tracks(&list, content, &self.url, identity);
                let mut known = Known::new(tracks, presentation, list.variables);
                known.remember_keys(list.session_keys.iter().filter_map(|key| key.url.as_ref()));
                events.extend(warned(&self.url, list.warnings));
                known
            }
            Manifest::Media(media) => {
                let track = tracks::single(content, &self.url);
                let mut known = Known::new(vec![track], presentation, Variables::default());
                if let ManifestState::Loading(schedule) = &self.manifest
                    && let Some((_, state)) = known.by_url(&self.url)
                {
                    state.active = true;
                    state.schedule = schedule.clone();
                }
                events = known.update(0, &media, hash, &self.config, self.now);
                known
            }
        };
        self.manifest = ManifestState::Known(Box::new(known));
        self.outputs.extend(events.into_iter().map(Output::Event));
    }

    fn failed(&mut self, url: &str, failure: Failure) {
        let now = self.now;
        let (url, schedule) = match &mut self.manifest {
            ManifestState::Loading(schedule) if *self.url == *url => (self.url.clone(), schedule),
            ManifestState::Loading(_) => return,
            ManifestState::Known(known) => {
                let Some((track, state)) = known.by_url(url) else {
                    return;
                };
                (track.url.clone(), &mut state.schedule)
            }
        };
        let failures = schedule.finish(Outcome::Failed, now);
        self.outputs.push_back(Output::Event(match failure {
            Failure::Load(reason) => Event::LoadFailed {
                url,
                reason,
                failures,
            },
            Failure::Parse(error) => Event::ParseFailed {
                url,
                error,
                failures,
            },
        }));
    }
}

enum Failure {
    Load(LoadFailure),
    Parse(ParseError),
}

fn warned(url: &Arc<str>, warnings: Vec<Warning>) -> Option<Event> {
    let url = url.clone();
    (!warnings.is_empty()).then_some(Event::Warned { url, warnings })
}

/// Outputs wait in a queue.
const _: () = assert!(size_of::<Output>() <= 72);
