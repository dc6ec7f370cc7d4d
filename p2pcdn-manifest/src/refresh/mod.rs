//! Keeps a presentation up to date: what to load, and when to load it again.

mod changes;
#[cfg_attr(not(feature = "dash"), path = "no_dash.rs")]
mod dash;
mod directives;
mod hls;
#[cfg(feature = "dash")]
mod index;
mod schedule;
#[cfg(feature = "dash")]
mod scope;
mod track_state;

pub use changes::{TrackChange, Update};

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use dash::DashState;
use directives::without_directives;
use hls::{HlsState, body_hash};
use p2pcdn_wire::{ByteRange, Instant, TrackId, UnixTime};
use schedule::{Outcome, Schedule};
use thiserror::Error;
use tracing::{debug, trace};
use track_state::Loader;

use crate::{
    error::{ParseError, Warning},
    hls::{Manifest, Source, Variables},
    identity::{IdentityConfig, swarm_id},
    presentation::{Format, Presentation},
    resolve::{Resolve, resolve},
};

/// How a [`Refresh`] names and resolves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the publisher declares about names. Default: nothing.
    pub identity: Arc<IdentityConfig>,
    /// Resolves relative URLs. Default: [`resolve()`].
    pub resolve: Resolve,
    /// Whether playlists are asked for in the ways of LL-HLS where the server offers them. Default:
    /// as offered.
    pub delivery_directives: DeliveryDirectives,
}

/// Whether low-latency servers are asked to answer when there is something new (`_HLS_msn`,
/// `_HLS_part`) and to leave out what is known (`_HLS_skip`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryDirectives {
    /// Where the playlist offers it.
    #[default]
    Offered,
    /// Never: playlists are polled.
    Never,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identity: Arc::default(),
            resolve,
            delivery_directives: DeliveryDirectives::default(),
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
        /// The bytes of it that were asked for; `None` for all of them.
        range: Option<ByteRange>,
        /// The URL after redirects.
        final_url: Arc<str>,
        /// The text.
        body: Bytes,
    },
    /// What was to be loaded could not be.
    LoadFailed {
        /// The URL as it was asked for.
        url: Arc<str>,
        /// The bytes of it that were asked for; `None` for all of them.
        range: Option<ByteRange>,
        /// Why.
        reason: LoadFailure,
    },
    /// A peer mentioned a segment that the playlist of this track does not list yet.
    NewsHeard {
        /// The track.
        track: TrackId,
    },
    /// What the wall clock shows, in UTC: best from a source that the MPD names
    /// ([`Event::ClockWanted`]), else the system's. Live MPDs without a list of their segments say
    /// nothing before it is known; HLS does not need it.
    ClockKnown(UnixTime),
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
    /// Load this, with the viewer's own headers, and answer with [`Input::Loaded`] or
    /// [`Input::LoadFailed`]. At most one load per playlist, MPD or index is under way at any time.
    Load {
        /// The URL.
        url: Arc<str>,
        /// The bytes of it that are wanted, an index of segments; `None` for all of them.
        range: Option<ByteRange>,
    },
    /// The presentation changed.
    Updated(Update),
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
    /// The playlist of a track drops segments without counting them: its segments are named by
    /// path alone from now on. Said once per track.
    NumbersUnstable {
        /// The track.
        track: TrackId,
    },
    /// The wall clock should be set by one of these sources of an MPD, the best first, and told by
    /// [`Input::ClockKnown`].
    #[cfg(feature = "dash")]
    ClockWanted {
        /// The sources.
        sources: Vec<crate::UtcTiming>,
    },
    /// A track will not change any more.
    Ended {
        /// The track.
        track: TrackId,
    },
}

/// Keeps one presentation up to date, for any number of sessions. Does no I/O.
///
/// | what | is loaded | and again |
/// |---|---|---|
/// | manifest | at once | HLS multivariant: not; media playlist, MPD: as below |
/// | media playlist | when its track is activated | after the target duration, or that of its last segment if that is shorter, counted from when it was asked for; after half of it when nothing changed (RFC 8216bis section 6.3.4, as hls.js does it); not when it ended |
/// | the same, of a server that blocks reloads | with `_HLS_msn`, `_HLS_part` and, while what is known is fresh enough, `_HLS_skip` | at once; after half a part when the server did not wait |
/// | MPD | | after `minimumUpdatePeriod`; as often as segments come (1 s to 5 s) where that is zero; not without one. From `Location`, or as a patch from `PatchLocation` |
/// | segment index (`sidx`) | when its track is activated | only those that it refers to |
///
/// A failed load is tried again after 0.5 s, 1 s, 2 s and so on, up to half of the interval of the
/// last reload or, before any, 8 s; without directives or patches. Segments that a live MPD does not
/// write out appear by the wall clock ([`Input::ClockKnown`]), without a load. A media playlist given
/// directly is the one track of its presentation, and active.
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
    state: State,
    /// What was put out last.
    taken: Option<Arc<Presentation>>,
    /// Whether the presentation may differ from it.
    changed: bool,
    /// A moment, and what the wall clock showed then.
    clock: Option<(Instant, UnixTime)>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Loading(Schedule),
    Hls(Box<HlsState>),
    Dash(Box<DashState>),
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
            state: State::Loading(schedule),
            taken: None,
            changed: false,
            clock: None,
            outputs: VecDeque::new(),
        };
        refresh.proceed();
        refresh
    }

    /// Tells the machine what happened at `now`.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.now = self.now.max(now);
        match input {
            Input::TrackActivated(track) => match &mut self.state {
                State::Loading(_) => trace!(%track, "activated before the manifest is known"),
                State::Hls(hls) => hls.activate(track, self.now),
                State::Dash(dash) => dash.activate(track, self.now),
            },
            Input::TrackDeactivated(track) => match &mut self.state {
                State::Loading(_) => trace!(%track, "deactivated before the manifest is known"),
                State::Hls(hls) => hls.deactivate(track),
                State::Dash(dash) => dash.deactivate(track),
            },
            Input::Loaded {
                url,
                range,
                final_url,
                body,
            } => self.loaded(&url, range, &final_url, &body),
            Input::LoadFailed { url, range, reason } => {
                self.failed(&url, range, Failure::Load(reason));
            }
            Input::NewsHeard { track } => match &mut self.state {
                State::Loading(_) => trace!(%track, "news before the manifest is known"),
                State::Hls(hls) => hls.news(track, self.now),
                State::Dash(dash) => dash.news(track, self.now),
            },
            Input::ClockKnown(time) => self.clock = Some((self.now, time)),
        }
        self.proceed();
    }

    /// Tells the machine that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.proceed();
    }

    /// The next thing to do or to know; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.changed)
            && let Some(presentation) = self.state.presentation()
            && self.taken.as_deref() != Some(presentation)
        {
            let changes = changes::changes(self.taken.as_deref(), presentation);
            let presentation = Arc::new(presentation.clone());
            self.taken = Some(presentation.clone());
            let update = Update {
                presentation,
                changes,
            };
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
        match &self.state {
            State::Loading(schedule) => schedule.due_at(),
            State::Hls(hls) => hls.due_at(),
            State::Dash(dash) => dash.due_at(),
        }
    }

    /// Does what is due.
    fn proceed(&mut self) {
        let now = self.now;
        let load = |(url, range)| Output::Load { url, range };
        match &mut self.state {
            State::Loading(schedule) => {
                if schedule.start_if_due(now) {
                    self.outputs.push_back(load((self.url.clone(), None)));
                }
            }
            State::Hls(hls) => {
                let urls = hls.start_loads(now);
                self.outputs
                    .extend(urls.into_iter().map(|url| load((url, None))));
            }
            State::Dash(dash) => {
                let clock = self
                    .clock
                    .map(|(at, time)| time + now.saturating_duration_since(at));
                self.changed |= dash.proceed(now, clock);
                self.outputs
                    .extend(dash.take_events().into_iter().map(Output::Event));
                self.outputs
                    .extend(dash.start_loads(now).into_iter().map(load));
            }
        }
    }

    fn loaded(&mut self, url: &str, range: Option<ByteRange>, final_url: &str, body: &Bytes) {
        let now = self.now;
        let result = match &mut self.state {
            State::Loading(_) if *self.url == *url => self.manifest_loaded(final_url, body),
            State::Loading(_) => return trace!("an unknown URL was loaded"),
            State::Hls(hls) => hls.load(url, final_url, body, &self.config, now),
            State::Dash(dash) => dash.load((url, range), final_url, body, &self.config, now),
        };
        match result {
            Ok(events) => {
                self.changed = true;
                self.outputs.extend(events.into_iter().map(Output::Event));
            }
            Err(error) => self.failed(url, range, Failure::Parse(error)),
        }
    }

    fn manifest_loaded(&mut self, final_url: &str, body: &Bytes) -> Result<Vec<Event>, ParseError> {
        let State::Loading(schedule) = &self.state else {
            return Ok(Vec::new());
        };
        let schedule = schedule.clone();
        let content = self.config.identity.content(&self.url);
        let mut presentation = Presentation {
            content,
            swarm: swarm_id(content),
            url: self.url.clone(),
            format: Format::HlsMedia,
            tracks: Vec::new(),
            switching_sets: Vec::new(),
            never_shared: Arc::default(),
        };
        if dash::is_mpd(body) {
            presentation.format = Format::Dash;
            let (dash, events) = DashState::new(
                presentation,
                schedule,
                final_url,
                body,
                &self.config,
                self.now,
            )?;
            self.state = State::Dash(Box::new(dash));
            return Ok(events);
        }
        let final_url = &*without_directives(final_url);
        let source = Source {
            url: final_url,
            first_url: &self.url,
            resolve: self.config.resolve,
            variables: &Variables::default(),
            before: None,
        };
        let (hls, events) = match source.parse(body)? {
            Manifest::Multivariant(list) => {
                presentation.format = Format::HlsMultivariant;
                let hls = HlsState::multivariant(presentation, &list, &self.config);
                (hls, warned(&self.url, list.warnings).into_iter().collect())
            }
            Manifest::Media(media) => {
                let hash = body_hash(final_url, body);
                let mut hls = HlsState::media(presentation, schedule);
                let events =
                    hls.update((0, Loader::Refresh), media, hash, &self.config, self.now)?;
                (hls, events)
            }
        };
        debug!(%content, "the manifest is known");
        self.state = State::Hls(Box::new(hls));
        Ok(events)
    }

    fn failed(&mut self, url: &str, range: Option<ByteRange>, failure: Failure) {
        let now = self.now;
        let failed = match &mut self.state {
            State::Loading(schedule) if *self.url == *url => {
                Some((self.url.clone(), schedule.finish(Outcome::Failed, now)))
            }
            State::Loading(_) => None,
            State::Hls(hls) => hls.failed(url, now),
            State::Dash(dash) => dash.failed((url, range), now),
        };
        let Some((url, failures)) = failed else {
            return;
        };
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

impl State {
    fn presentation(&self) -> Option<&Presentation> {
        match self {
            Self::Loading(_) => None,
            Self::Hls(hls) => Some(hls.presentation()),
            Self::Dash(dash) => Some(dash.presentation()),
        }
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
