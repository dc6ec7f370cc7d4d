//! What has been played, when, and when it could not be.

use std::{collections::VecDeque, time::Duration};

use p2pcdn::wire::MediaTime;
use tokio::time::Instant;

/// The playing half of a player: it plays what is in its buffer in real time and knows nothing of
/// how it came there.
///
/// ```text
/// Starting --push--> Playing --buffer empty--> Stalled
///                     |   ^                     |
///      empty, finished|   +--------push---------+
///                     v
///                   Ended
/// ```
///
/// Time is told: every call brings the playhead to `now` first.
#[derive(Debug)]
pub(crate) struct Playhead {
    phase: Phase,
    buffer: VecDeque<Chunk>,
    finished: bool,
    played: Played,
}

/// A piece of media in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Where it begins on the presentation's timeline.
    pub(crate) start: MediaTime,
    pub(crate) duration: Duration,
}

/// The account of a playback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Played {
    /// When each chunk began to play, in the order in which they were pushed. The first is the
    /// first frame.
    pub(crate) begun: Vec<Instant>,
    pub(crate) stalls: u64,
    pub(crate) stalled: Duration,
    pub(crate) duration: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Playing { chunk: Chunk, since: Instant },
    Stalled { at: MediaTime, since: Instant },
    Ended { at: MediaTime },
}

/// What the playhead is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing has been played yet.
    Starting,
    /// The position advances.
    Playing,
    /// The buffer is empty.
    Stalled,
    /// Everything has been played.
    Ended,
}

impl Playhead {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Starting,
            buffer: VecDeque::new(),
            finished: false,
            played: Played::default(),
        }
    }

    /// Puts `chunk` behind what is in the buffer. Where it does not join on, the playhead jumps.
    pub(crate) fn push(&mut self, chunk: Chunk, now: Instant) {
        self.advance(now);
        self.buffer.push_back(chunk);
        if let Phase::Stalled { since, .. } = self.phase {
            self.played.stalled += now.saturating_duration_since(since);
        }
        if matches!(self.phase, Phase::Starting | Phase::Stalled { .. }) {
            self.begin_next(now);
        }
    }

    /// Nothing more will be pushed: an empty buffer is the end, not a stall.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.advance(now);
        self.finished = true;
        if let Phase::Stalled { at, since } = self.phase {
            self.played.stalled += now.saturating_duration_since(since);
            self.phase = Phase::Ended { at };
        }
    }

    /// Brings the account up to `now`, where the viewer leaves, and closes it.
    pub(crate) fn stop(mut self, now: Instant) -> Played {
        self.advance(now);
        match self.phase {
            Phase::Playing { since, .. } => {
                self.played.duration += now.saturating_duration_since(since);
            }
            Phase::Stalled { since, .. } => {
                self.played.stalled += now.saturating_duration_since(since);
            }
            Phase::Starting | Phase::Ended { .. } => {}
        }
        self.played
    }

    /// Plays up to `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Phase::Playing { chunk, since } = self.phase {
            let end = since + chunk.duration;
            if end > now {
                return;
            }
            self.played.duration += chunk.duration;
            let at = chunk.start + chunk.duration;
            if !self.buffer.is_empty() {
                self.begin_next(end);
            } else if self.finished {
                self.phase = Phase::Ended { at };
            } else {
                self.played.stalls += 1;
                self.phase = Phase::Stalled { at, since: end };
            }
        }
    }

    pub(crate) fn status(&self) -> Status {
        match self.phase {
            Phase::Starting => Status::Starting,
            Phase::Playing { .. } => Status::Playing,
            Phase::Stalled { .. } => Status::Stalled,
            Phase::Ended { .. } => Status::Ended,
        }
    }

    /// Where the playhead is; `None` before the first frame.
    pub(crate) fn position(&self, now: Instant) -> Option<MediaTime> {
        match self.phase {
            Phase::Starting => None,
            Phase::Playing { chunk, since } => {
                let into = now.saturating_duration_since(since);
                Some(chunk.start + into.min(chunk.duration))
            }
            Phase::Stalled { at, .. } | Phase::Ended { at } => Some(at),
        }
    }

    /// How long it can go on without another chunk.
    pub(crate) fn buffered(&self, now: Instant) -> Duration {
        let waiting: Duration = self.buffer.iter().map(|chunk| chunk.duration).sum();
        match self.phase {
            Phase::Playing { chunk, since } => {
                let into = now.saturating_duration_since(since);
                waiting + chunk.duration.saturating_sub(into)
            }
            _ => waiting,
        }
    }

    fn begin_next(&mut self, at: Instant) {
        if let Some(chunk) = self.buffer.pop_front() {
            self.played.begun.push(at);
            self.phase = Phase::Playing { chunk, since: at };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn chunk(start: u32, seconds: u32) -> Chunk {
        Chunk {
            start: MediaTime::ZERO + SECOND * start,
            duration: SECOND * seconds,
        }
    }

    #[test]
    fn a_fed_buffer_plays_without_a_stall() {
        let zero = Instant::now();
        let mut playhead = Playhead::new();
        assert_eq!(playhead.position(zero), None);
        playhead.push(chunk(10, 2), zero + SECOND);
        playhead.push(chunk(12, 2), zero + SECOND * 2);
        assert_eq!(playhead.buffered(zero + SECOND * 2), SECOND * 3);
        playhead.advance(zero + SECOND * 4);
        assert_eq!(
            playhead.position(zero + SECOND * 4),
            Some(MediaTime::ZERO + SECOND * 13)
        );
        let played = playhead.stop(zero + SECOND * 4);
        assert_eq!(played.begun, [zero + SECOND, zero + SECOND * 3]);
        assert_eq!((played.stalls, played.stalled), (0, Duration::ZERO));
        assert_eq!(played.duration, SECOND * 3);
    }

    #[test]
    fn an_empty_buffer_stalls_until_the_next_chunk() {
        let zero = Instant::now();
        let mut playhead = Playhead::new();
        playhead.push(chunk(0, 2), zero);
        // Nothing is told between 2 s, when the buffer runs empty, and 5 s.
        playhead.push(chunk(2, 2), zero + SECOND * 5);
        assert_eq!(playhead.status(), Status::Playing);
        playhead.advance(zero + SECOND * 8);
        assert_eq!(playhead.status(), Status::Stalled);
        let played = playhead.stop(zero + SECOND * 9);
        // 2 s to 5 s and 7 s to 9 s.
        assert_eq!((played.stalls, played.stalled), (2, SECOND * 5));
        assert_eq!(played.duration, SECOND * 4);
        assert_eq!(played.begun, [zero, zero + SECOND * 5]);
    }

    #[test]
    fn a_chunk_that_comes_at_the_last_moment_makes_a_stall_of_no_length() {
        let zero = Instant::now();
        let mut playhead = Playhead::new();
        playhead.push(chunk(0, 2), zero);
        playhead.push(chunk(2, 2), zero + SECOND * 2);
        let played = playhead.stop(zero + SECOND * 3);
        assert_eq!((played.stalls, played.stalled), (1, Duration::ZERO));
    }

    #[test]
    fn the_end_is_no_stall() {
        let zero = Instant::now();
        let mut playhead = Playhead::new();
        playhead.push(chunk(0, 2), zero);
        playhead.finish(zero + SECOND);
        playhead.advance(zero + SECOND * 9);
        assert_eq!(playhead.status(), Status::Ended);
        let played = playhead.stop(zero + SECOND * 9);
        assert_eq!((played.stalls, played.duration), (0, SECOND * 2));
    }

    #[test]
    fn a_gap_is_jumped_when_the_buffer_reaches_it() {
        let zero = Instant::now();
        let mut playhead = Playhead::new();
        playhead.push(chunk(0, 2), zero);
        playhead.push(chunk(8, 2), zero);
        playhead.advance(zero + SECOND * 3);
        assert_eq!(
            playhead.position(zero + SECOND * 3),
            Some(MediaTime::ZERO + SECOND * 9)
        );
        assert_eq!(playhead.stop(zero + SECOND * 3).stalls, 0);
    }

    #[test]
    fn leaving_before_the_first_frame_is_no_stall() {
        let zero = Instant::now();
        assert_eq!(Playhead::new().stop(zero + SECOND), Played::default());
    }
}
