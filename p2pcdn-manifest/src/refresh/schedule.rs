//! When one playlist is loaded.

use std::time::Duration;

use p2pcdn_wire::Instant;

/// When one playlist is loaded: a pure clockwork that knows no text.
///
/// ```text
///   Idle --request--> Due --start--> Loading --finish--> Due, or Idle when nothing will change
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    state: State,
    failures: u32,
    /// When the load under way, or the last one, was asked for.
    started_at: Option<Instant>,
    /// The interval of the last reload: how often early news may cause one more.
    interval: Duration,
    /// Up to when the reloads that early news caused have used up their share of one per interval.
    news_paid_to: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Due(Instant),
    Loading(After),
}

/// What follows a load under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The reload that its outcome asks for.
    Reload,
    /// The same, or one at once if it brings nothing new: early news came meanwhile.
    News,
    /// Nothing: the track was left.
    Nothing,
}

/// What a load brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A playlist that will not change.
    Ended,
    /// A playlist that changed, and may again after this long.
    Changed(Duration),
    /// A playlist that changed; the server answers the next load as soon as it changes again.
    Blocks,
    /// A manifest that says after how long to load it again.
    #[cfg_attr(not(feature = "dash"), expect(dead_code, reason = "MPDs say so"))]
    Again(Duration),
    /// A playlist as it was, of this target duration.
    Unchanged(Duration),
    /// No playlist.
    Failed,
}

impl Schedule {
    /// Asks for a load at once.
    pub(super) fn request(&mut self, now: Instant) {
        match &mut self.state {
            State::Loading(after @ After::Nothing) => *after = After::Reload,
            State::Loading(_) => {}
            // Who switches to and fro does not load more often.
            State::Idle | State::Due(_) => {
                let rest = match self.failures {
                    0 => MIN_INTERVAL,
                    failures => self.backoff(failures),
                };
                self.state = State::Due(self.rested_at(rest, now));
            }
        }
    }

    /// Asks for nothing more.
    pub(super) fn cancel(&mut self) {
        self.state = match self.state {
            State::Loading(_) => State::Loading(After::Nothing),
            State::Idle | State::Due(_) => State::Idle,
        };
    }

    /// Asks for a load at once, but only once per interval on average: news of one segment may come
    /// a little sooner after news of the one before than the interval. After a failure too: who
    /// heard of a segment knows that somebody could load the playlist.
    pub(super) fn news(&mut self, now: Instant) {
        let may_reload = self.news_paid_to <= now + self.interval;
        let rest = match self.failures {
            0 => NEWS_REST,
            _ => MIN_INTERVAL,
        };
        let rested_at = self.rested_at(rest, now);
        match &mut self.state {
            State::Due(at) if may_reload && *at > now => {
                *at = rested_at.min(*at);
                self.news_paid_to = self.news_paid_to.max(now) + self.interval;
            }
            State::Loading(after @ After::Reload) => *after = After::News,
            _ => {}
        }
    }

    /// Whether to load now; the load is then under way.
    pub(super) fn start_if_due(&mut self, now: Instant) -> bool {
        let due = matches!(self.state, State::Due(at) if at <= now);
        if due {
            self.state = State::Loading(After::Reload);
            self.started_at = Some(now);
        }
        due
    }

    /// Takes the outcome of a load, under way or not, and counts failures in a row.
    pub(super) fn finish(&mut self, outcome: Outcome, now: Instant) -> u32 {
        let after = match self.state {
            State::Loading(after) => after,
            // The player loaded it itself.
            State::Idle | State::Due(_) if outcome == Outcome::Failed => return self.failures,
            State::Due(_) => {
                self.started_at = Some(now);
                After::Reload
            }
            State::Idle => After::Nothing,
        };
        self.failures = match outcome {
            Outcome::Failed => self.failures.saturating_add(1),
            _ => 0,
        };
        let interval = match outcome {
            Outcome::Ended => None,
            Outcome::Changed(interval) => Some(interval),
            Outcome::Blocks => Some(Duration::ZERO),
            Outcome::Again(wait) => Some(wait),
            Outcome::Unchanged(target_duration) => Some(target_duration / 2),
            Outcome::Failed => Some(self.backoff(self.failures)),
        };
        self.state = match (after, interval) {
            (After::Nothing, _) | (_, None) => State::Idle,
            (_, Some(_)) if outcome == Outcome::Blocks => {
                State::Due(self.rested_at(NEWS_REST, now))
            }
            (_, Some(wait)) => {
                let longest = match outcome {
                    Outcome::Again(_) => Duration::MAX,
                    _ => MAX_INTERVAL,
                };
                let wait = wait.clamp(MIN_INTERVAL, longest);
                // A failure rests from its end, a reload from its beginning.
                let from = match outcome {
                    Outcome::Failed => now,
                    _ => self.started_at.unwrap_or(now),
                };
                State::Due((from + wait).max(now + MIN_PAUSE))
            }
        };
        if let Outcome::Changed(interval)
        | Outcome::Unchanged(interval)
        | Outcome::Again(interval) = outcome
        {
            self.interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        }
        if let (After::News, Outcome::Unchanged(_)) = (after, outcome) {
            self.news(now);
        }
        self.failures
    }

    /// Doubles, but not beyond half of the interval of the last reload, after which a playlist that
    /// did not change is loaded again too (RFC 8216 section 6.3.4): a pause of 8 s would outlast the
    /// buffer of a live viewer.
    fn backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(4);
        let pause = MIN_INTERVAL * (1 << doublings);
        match self.interval {
            Duration::ZERO => pause,
            interval => pause.min((interval / 2).max(MIN_INTERVAL)),
        }
    }

    /// The first moment from `now` on that is `rest` after the start of the last load.
    fn rested_at(&self, rest: Duration, now: Instant) -> Instant {
        self.started_at.map_or(now, |at| now.max(at + rest))
    }

    /// Whether a load is under way.
    pub(super) fn is_loading(&self) -> bool {
        matches!(self.state, State::Loading(_))
    }

    /// How many loads failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether nothing is under way, and nothing will be by itself.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// When it is to be loaded.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Idle | State::Loading(_) => None,
        }
    }
}

/// The shortest time from one load to the next: half the shortest target duration there is (1 s),
/// and the first step of the back-off, whose fifth and last is 8 s.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest time from a load to one that early news causes: less than a segment takes to reach
/// the edges of a CDN.
const NEWS_REST: Duration = Duration::from_millis(100);

/// The longest time from one load to the next: no live stream has longer segments, and a playlist
/// that pretends to would never be seen to end.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest time from the end of a load to the next, for a server so slow that the next load
/// is due when one ends.
const MIN_PAUSE: Duration = Duration::from_millis(100);
