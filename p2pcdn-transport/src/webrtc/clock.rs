//! The one place where our time and the stack's meet.

use std::time::{Duration, Instant as StdInstant};

use p2pcdn_wire::Instant;

/// Converts between our instants and those of the standard library, which str0m wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    std_anchor: StdInstant,
    anchor: Instant,
}

impl Clock {
    pub(super) const fn new(std_anchor: StdInstant, anchor: Instant) -> Self {
        Self { std_anchor, anchor }
    }

    pub(super) fn to_std(self, at: Instant) -> StdInstant {
        self.std_anchor + at.saturating_duration_since(self.anchor)
    }

    /// The stack's wish to be woken: times up to `now` are `now`, times more than a day ahead are
    /// never, because the stack uses both as sentinels.
    pub(super) fn alarm(self, at: StdInstant, now: Instant) -> Option<Instant> {
        let ahead = at.saturating_duration_since(self.to_std(now));
        (ahead <= DAY).then(|| now + ahead)
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sentinels_are_recognised() {
        #[expect(
            clippy::disallowed_methods,
            reason = "std's instants have no other origin"
        )]
        let std_now = StdInstant::now();
        let now = Instant::from_epoch(Duration::from_secs(7));
        let clock = Clock::new(std_now, now);
        let later = now + Duration::from_secs(1);
        let std_later = clock.to_std(later);
        assert_eq!(std_later, std_now + Duration::from_secs(1));
        assert_eq!(clock.alarm(std_now, later), Some(later));
        assert_eq!(clock.alarm(std_later + DAY, later), Some(later + DAY));
        assert_eq!(
            clock.alarm(std_later + DAY + Duration::from_nanos(1), later),
            None
        );
    }
}
