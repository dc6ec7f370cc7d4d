//! From the playhead to deadlines.

use std::time::Duration;

use p2pcdn_wire::{Instant, MediaTime};

use crate::io::{MediaSpan, Playback, PlaybackState};

/// The player's last report and when it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaybackClock {
    playback: Playback,
    reported_at: Instant,
}

impl PlaybackClock {
    pub(crate) fn new(playback: Playback, now: Instant) -> Self {
        Self {
            playback,
            reported_at: now,
        }
    }

    pub(crate) fn state(&self) -> PlaybackState {
        self.playback.state
    }

    /// Whether the player shows nothing until more media is there.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(
            self.playback.state,
            PlaybackState::Starting | PlaybackState::Stalled
        )
    }

    /// Where the playhead is.
    pub(crate) fn position(&self, now: Instant) -> MediaTime {
        match self.playback.state {
            PlaybackState::Playing => {
                self.playback.position + now.saturating_duration_since(self.reported_at)
            }
            PlaybackState::Starting | PlaybackState::Stalled | PlaybackState::Paused => {
                self.playback.position
            }
        }
    }

    /// How long until the playhead reaches `at`, if it moves from now on.
    pub(crate) fn time_until(&self, at: MediaTime, now: Instant) -> Duration {
        at.saturating_duration_since(self.position(now))
    }

    /// Up to where segments are wanted.
    pub(crate) fn horizon(&self, now: Instant) -> MediaTime {
        self.position(now) + self.playback.buffer_target
    }

    /// From the playhead to the horizon.
    pub(crate) fn ahead(&self, now: Instant) -> MediaSpan {
        MediaSpan {
            from: self.position(now),
            until: self.horizon(now),
        }
    }

    /// When a segment that starts at `start` will be wanted; `None` while the playhead stands.
    pub(crate) fn horizon_passes_at(&self, start: MediaTime) -> Option<Instant> {
        self.passes_at(start.saturating_sub(self.playback.buffer_target))
    }

    /// When the playhead will be at `at`; `None` while it stands.
    pub(crate) fn reaches_at(&self, at: MediaTime) -> Option<Instant> {
        let wait = at.saturating_duration_since(self.playback.position);
        let is_moving = self.playback.state == PlaybackState::Playing;
        is_moving.then(|| self.reported_at + wait)
    }

    /// When the playhead will be past `at`; `None` while it stands.
    pub(crate) fn passes_at(&self, at: MediaTime) -> Option<Instant> {
        Some(self.reaches_at(at)? + Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_playing_playhead_moves() {
        let start = Instant::EPOCH + Duration::from_secs(5);
        let later = start + Duration::from_secs(2);
        let at = MediaTime::ZERO + Duration::from_secs(10);
        let clock = |state| {
            let playback = Playback {
                position: MediaTime::ZERO,
                state,
                buffer_target: Duration::from_secs(20),
            };
            PlaybackClock::new(playback, start)
        };
        let until = |state| clock(state).time_until(at, later);
        assert_eq!(until(PlaybackState::Playing), Duration::from_secs(8));
        assert_eq!(until(PlaybackState::Stalled), Duration::from_secs(10));
        assert_eq!(until(PlaybackState::Paused), Duration::from_secs(10));
    }
}
