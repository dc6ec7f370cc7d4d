//! When a viewer loads its playlist.

use std::time::Duration;

use p2pcdn::wire::Instant;

/// The clock of one viewer's playlist, as players and p2pcdn's own `Refresh` have it: once per
/// segment duration at the viewer's own phase; sooner after a failure; and at once, within limits,
/// when a neighbour spoke of a segment that is not listed yet.
#[derive(Clone, Debug)]
pub(crate) struct Polling {
    interval: Duration,
    /// A moment at which a load is due, and with it every whole interval before and after.
    phase: Duration,
    /// `None` while a load is under way, and once nothing will change any more.
    due_at: Option<Instant>,
    /// Whether the load that is due is one that early news asked for.
    is_news: bool,
    started_at: Instant,
    failures: u32,
    /// Up to when reloads because of news are used up: one per interval on average.
    news_paid_to: Instant,
}

impl Polling {
    /// Loads at once, then at `phase` within each `interval`.
    pub(crate) fn new(interval: Duration, phase: Duration, now: Instant) -> Self {
        Self {
            interval,
            phase,
            due_at: Some(now),
            is_news: false,
            started_at: now,
            failures: 0,
            news_paid_to: now,
        }
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Whether to load now; the load is then under way.
    pub(crate) fn start_if_due(&mut self, now: Instant) -> bool {
        let is_due = self.due_at.is_some_and(|at| at <= now);
        if is_due {
            self.due_at = None;
            self.started_at = now;
            if std::mem::take(&mut self.is_news) {
                self.phase = now.since_epoch();
            }
        }
        is_due
    }

    /// The load brought a playlist.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        self.due_at = Some(self.next_after(self.started_at).max(now + MIN_PAUSE));
    }

    /// The load came to nothing.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_RETRY * (1 << (self.failures - 1).min(4));
        let longest = (self.interval / 2).max(FIRST_RETRY);
        self.due_at = Some(now + pause.min(longest));
    }

    /// Nothing will change any more.
    pub(crate) fn end(&mut self) {
        self.due_at = None;
    }

    /// A neighbour spoke of a segment that is not listed.
    pub(crate) fn news(&mut self, now: Instant) {
        let may_reload = self.news_paid_to <= now + self.interval;
        let rest = match self.failures {
            0 => NEWS_REST,
            _ => FIRST_RETRY,
        };
        if let Some(due_at) = self.due_at.filter(|at| may_reload && *at > now) {
            self.due_at = Some(now.max(self.started_at + rest).min(due_at));
            self.is_news = true;
            self.news_paid_to = self.news_paid_to.max(now) + self.interval;
        }
    }

    /// The first moment of the phase after `at`.
    fn next_after(&self, at: Instant) -> Instant {
        let interval = self.interval.as_nanos().max(1);
        let (at, phase) = (
            at.since_epoch().as_nanos(),
            self.phase.as_nanos() % interval,
        );
        let since = (at + interval - phase) % interval;
        let next = at + interval - since;
        Instant::EPOCH + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX))
    }
}

/// As `Refresh` has it: the first step of the back-off, which doubles up to half of the interval.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// As `Refresh` has it: from a load to one that early news causes.
const NEWS_REST: Duration = Duration::from_millis(100);

/// As `Refresh` has it: from the end of a load to the next.
const MIN_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    fn polling() -> Polling {
        let (interval, phase) = (Duration::from_secs(2), Duration::from_millis(700));
        Polling::new(interval, phase, at(100_000))
    }

    fn load(polling: &mut Polling, millis: u64) {
        assert_eq!(polling.due_at(), Some(at(millis)));
        assert!(polling.start_if_due(at(millis)));
        polling.succeeded(at(millis + 50));
    }

    #[test]
    fn a_playlist_is_loaded_at_once_and_then_at_its_own_phase() {
        let mut polling = polling();
        for millis in [100_000, 100_700, 102_700, 104_700] {
            load(&mut polling, millis);
        }
    }

    #[test]
    fn news_moves_the_phase_but_only_once_per_interval_on_average() {
        let mut polling = polling();
        load(&mut polling, 100_000);
        load(&mut polling, 100_700);
        for news in [101_000, 101_300, 101_500] {
            polling.news(at(news));
            assert_eq!(polling.due_at(), Some(at(101_000)));
        }
        load(&mut polling, 101_000);
        polling.news(at(101_060));
        // Not within 100 ms of the load before.
        load(&mut polling, 101_100);
        polling.news(at(101_400));
        load(&mut polling, 103_100);
    }

    #[test]
    fn failures_are_retried_no_later_than_a_playlist_that_did_not_change() {
        let interval = Duration::from_secs(6);
        let mut polling = Polling::new(interval, Duration::ZERO, at(100_000));
        let mut now = 100_000;
        for wait in [500, 1_000, 2_000, 3_000, 3_000] {
            assert!(polling.start_if_due(at(now)));
            polling.failed(at(now));
            now += wait;
            assert_eq!(polling.due_at(), Some(at(now)));
        }
    }

    #[test]
    fn after_a_failure_news_is_a_reason_to_try_again() {
        let mut polling = polling();
        assert!(polling.start_if_due(at(100_000)));
        polling.failed(at(100_050));
        assert!(polling.start_if_due(at(100_550)));
        polling.failed(at(100_600));
        assert_eq!(polling.due_at(), Some(at(101_600)));
        // Half a second after the load before at the earliest.
        polling.news(at(100_700));
        assert_eq!(polling.due_at(), Some(at(101_050)));
    }
}
