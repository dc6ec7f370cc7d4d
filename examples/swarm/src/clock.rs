//! Wall-clock time that follows tokio's clock.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The pairing of tokio's monotonic clock with the wall clock, made once.
///
/// Playlists carry wall-clock dates and players measure their latency against them; one shared
/// pairing keeps both free of clock adjustments in between, and lets paused time move the dates.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    instant: Instant,
    date: SystemTime,
}

impl WallClock {
    /// Pairs the two clocks as they stand now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            instant: Instant::now(),
            date: SystemTime::now(),
        }
    }

    /// The date at `instant`.
    #[must_use]
    pub fn date_at(&self, instant: Instant) -> SystemTime {
        let earlier = self.instant.saturating_duration_since(instant);
        self.date + instant.saturating_duration_since(self.instant) - earlier
    }

    /// Time from `date` to `instant`, zero when the date lies in the future.
    #[must_use]
    pub fn elapsed_since(&self, date: SystemTime, instant: Instant) -> Duration {
        self.date_at(instant)
            .duration_since(date)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_move_with_instants_in_both_directions() {
        let wall = WallClock::start();
        let second = Duration::from_secs(1);
        assert_eq!(wall.date_at(wall.instant + second), wall.date + second);
        assert_eq!(wall.date_at(wall.instant - second), wall.date - second);
        assert_eq!(wall.elapsed_since(wall.date, wall.instant + second), second);
        assert_eq!(
            wall.elapsed_since(wall.date + second, wall.instant),
            Duration::ZERO
        );
    }
}
