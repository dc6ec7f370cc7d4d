//! How well it played.

use std::{iter::Sum, ops::Add, time::Duration};

use p2pcdn_wire::Instant;

/// What a player did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackInput {
    /// It showed its first frame.
    Started,
    /// It ran out of media.
    Stalled,
    /// It has media again and goes on.
    Resumed,
    /// It played media since the last time it said so.
    Played {
        /// How much, in media time.
        duration: Duration,
        /// How far behind the newest moment of a live stream that was; `None` for VOD or when it
        /// is unknown.
        latency: Option<Duration>,
    },
}

/// Counts startup delay, stalls, time played and latency of one viewer.
///
/// ```text
///              Started, Played            Stalled
///   Starting -----------------> Playing ----------> Stalled
///                                       <----------
///                                    Resumed, Played
/// ```
///
/// What does not fit the state is late, not wrong: a stall before the first frame is part of the
/// startup delay, a second `Stalled` goes on with the first. Pausing needs no input: time that is
/// neither stalled nor reported as played is not counted. A player that seeks says `Stalled` only
/// if it wants the wait counted as a stall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playback {
    state: State,
    figures: PlaybackFigures,
    latest_at: Instant,
    /// Nanoseconds played at a known latency, and the same times the latency in nanoseconds: the
    /// figures would lose the fractions of many small reports.
    latency_nanos: u128,
    latency_product: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting { since: Instant },
    Playing,
    Stalled { since: Instant },
}

/// How well one or more viewers played, in plain numbers. All counts saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PlaybackFigures {
    /// Viewers whose playback started.
    pub started_count: u64,
    /// Microseconds from the wish to play to the first frame, summed over those viewers.
    pub startup_micros: u64,
    /// Times that playback stopped on an empty buffer after its start.
    pub stall_count: u64,
    /// Microseconds stalled, those of a stall that has not ended included.
    pub stall_micros: u64,
    /// Microseconds of media played.
    pub played_micros: u64,
    /// Milliseconds of media played at a known latency.
    pub latency_played_millis: u64,
    /// Latency integrated over them, in square milliseconds.
    pub latency_square_millis: u64,
}

impl Playback {
    /// Playback that the viewer wishes for at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Starting { since: now },
            figures: PlaybackFigures::default(),
            latest_at: now,
            latency_nanos: 0,
            latency_product: 0,
        }
    }

    /// Tells what the player did at `now`.
    pub fn handle_input(&mut self, input: PlaybackInput, now: Instant) {
        self.latest_at = self.latest_at.max(now);
        match input {
            PlaybackInput::Started => self.start(),
            PlaybackInput::Stalled => {
                if self.state == State::Playing {
                    count(&mut self.figures.stall_count, 1);
                    self.state = State::Stalled {
                        since: self.latest_at,
                    };
                }
            }
            PlaybackInput::Resumed => self.resume(),
            PlaybackInput::Played { duration, latency } => {
                self.start();
                self.resume();
                count(&mut self.figures.played_micros, micros(duration));
                if let Some(latency) = latency {
                    self.add_latency(duration, latency);
                }
            }
        }
    }

    /// The figures as of `now`.
    #[must_use]
    pub fn figures(&self, now: Instant) -> PlaybackFigures {
        let mut figures = self.figures;
        if let State::Stalled { since } = self.state {
            let stalled = now.max(self.latest_at).saturating_duration_since(since);
            count(&mut figures.stall_micros, micros(stalled));
        }
        figures.latency_played_millis = narrow(self.latency_nanos / NANOS_PER_MILLI);
        figures.latency_square_millis =
            narrow(self.latency_product / (NANOS_PER_MILLI * NANOS_PER_MILLI));
        figures
    }

    fn start(&mut self) {
        if let State::Starting { since } = self.state {
            let delay = self.latest_at.saturating_duration_since(since);
            self.figures.started_count = 1;
            self.figures.startup_micros = micros(delay);
            self.state = State::Playing;
        }
    }

    fn resume(&mut self) {
        if let State::Stalled { since } = self.state {
            let stalled = self.latest_at.saturating_duration_since(since);
            count(&mut self.figures.stall_micros, micros(stalled));
            self.state = State::Playing;
        }
    }

    fn add_latency(&mut self, duration: Duration, latency: Duration) {
        let product = duration.as_nanos().saturating_mul(latency.as_nanos());
        self.latency_nanos = self.latency_nanos.saturating_add(duration.as_nanos());
        self.latency_product = self.latency_product.saturating_add(product);
    }
}

impl PlaybackFigures {
    /// Mean time from the wish to play to the first frame; `None` before the first frame.
    #[must_use]
    pub fn startup_delay(&self) -> Option<Duration> {
        let mean = self.startup_micros.checked_div(self.started_count)?;
        Some(Duration::from_micros(mean))
    }

    /// Time stalled.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        Duration::from_micros(self.stall_micros)
    }

    /// Media played.
    #[must_use]
    pub fn played(&self) -> Duration {
        Duration::from_micros(self.played_micros)
    }

    /// Time stalled / (time stalled + media played); `None` before either.
    #[must_use]
    pub fn rebuffer_ratio(&self) -> Option<f64> {
        let whole = u128::from(self.stall_micros) + u128::from(self.played_micros);
        (whole > 0).then(|| self.stall_micros as f64 / whole as f64)
    }

    /// Mean latency over the media played at a known latency; `None` when there was none, which is
    /// always so for VOD.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        let micros = u128::from(self.latency_square_millis) * 1_000;
        let mean = micros.checked_div(u128::from(self.latency_played_millis))?;
        Some(Duration::from_micros(narrow(mean)))
    }
}

impl Add for PlaybackFigures {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        count(&mut self.started_count, other.started_count);
        count(&mut self.startup_micros, other.startup_micros);
        count(&mut self.stall_count, other.stall_count);
        count(&mut self.stall_micros, other.stall_micros);
        count(&mut self.played_micros, other.played_micros);
        count(&mut self.latency_played_millis, other.latency_played_millis);
        count(&mut self.latency_square_millis, other.latency_square_millis);
        self
    }
}

impl Sum for PlaybackFigures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), Add::add)
    }
}

const NANOS_PER_MILLI: u128 = 1_000_000;

fn count(counter: &mut u64, more: u64) {
    *counter = counter.saturating_add(more);
}

fn micros(duration: Duration) -> u64 {
    narrow(duration.as_micros())
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
