//! A player that needs whole segments and moves in real time, without ticks: every change of its
//! state has an exact moment.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use p2pcdn::{
    scheduler::{Playback, PlaybackState},
    wire::{Instant, MediaTime},
};

use crate::{
    media::{Media, first_arrival},
    people::Habit,
    scenario::Scenario,
    tally::{SegmentKey, Watched},
};

/// Segments that ended this far behind the playhead are forgotten and needed again after a seek
/// (Shaka Player's `streaming.bufferBehind`).
const KEPT_BEHIND: Duration = Duration::from_secs(30);

/// Steady figures leave out what begins to play in this time after the first frame.
const SETTLING: Duration = Duration::from_secs(10);

/// Plays whole segments.
///
/// ```text
///   Unlisted --manifest--> Waiting for the start --segment--> Playing --the end--> Ended
///
///   Playing --out of media--> Waiting, stalled --segment--> Playing
///   any listed state --seek--> Waiting after a seek --segment--> Playing
///   Playing, Waiting --pause--> Paused --resume--> Waiting --segment, at once if there--> Playing
/// ```
#[derive(Clone, Debug)]
pub struct Player {
    media: Arc<Media>,
    latency: Duration,
    buffer_target: Duration,
    arrived_at: Instant,
    steady_from: Instant,
    first_frame_at: Option<Instant>,
    published: u64,
    /// The playhead as of `moved_at`.
    position: MediaTime,
    moved_at: Instant,
    state: State,
    /// What can be played, by ordinal; the first track that was ready is the one played.
    ready: VecDeque<SegmentKey>,
    has_changed: bool,
    watched: Watched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known of the content.
    Unlisted,
    Waiting(Wait),
    Playing,
    Paused(AfterPause),
    /// Everything was played.
    Ended,
}

/// What the player waits for with an empty buffer, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The first frame.
    Start,
    /// The first frame after a seek.
    Seek(Instant),
    /// Media that should be there.
    Stall(Instant),
}

/// What follows a pause, if the media is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterPause {
    Seek,
    Stall,
}

impl Player {
    /// The player of a viewer who arrived then.
    #[must_use]
    pub fn new(scenario: &Scenario, media: Arc<Media>, arrived_at: Instant) -> Self {
        Self {
            media,
            latency: scenario.latency,
            buffer_target: scenario.buffer_target,
            arrived_at,
            steady_from: first_arrival() + scenario.steady_from,
            first_frame_at: None,
            published: 0,
            position: MediaTime::ZERO,
            moved_at: arrived_at,
            state: State::Unlisted,
            ready: VecDeque::new(),
            has_changed: false,
            watched: Watched::default(),
        }
    }

    /// Takes a manifest. The first one decides where playback starts: live, the wanted latency
    /// behind what happens now, as far as that is listed.
    pub fn listed(&mut self, published: u64, now: Instant) {
        self.advance(now);
        if published <= self.published {
            return;
        }
        self.published = published;
        match self.state {
            State::Unlisted => {
                let live = self.media.live_position(now);
                let wanted = live.map_or(MediaTime::ZERO, |it| it.saturating_sub(self.latency));
                self.position = self.within_list(wanted, 0);
                self.become_state(State::Waiting(Wait::Start));
                self.begin_if_ready(now);
            }
            State::Waiting(_) => self.catch_the_list_up(now),
            State::Playing | State::Paused(_) | State::Ended => {}
        }
    }

    /// Takes a complete segment. After a seek back, those that are held but not
    /// [ready](Self::is_ready) any more are to be told again.
    pub fn segment_ready(&mut self, key: SegmentKey, now: Instant) {
        // Before it is there, so that a stall ends only now.
        self.advance(now);
        let at = self.place_of(key.ordinal);
        let is_there = self
            .ready
            .get(at)
            .is_some_and(|it| it.ordinal == key.ordinal);
        let is_over = self.is_forgotten(key.ordinal);
        if is_there || is_over {
            return;
        }
        self.ready.insert(at, key);
        self.begin_if_ready(now);
        if self.state == State::Playing && self.media.start(key.ordinal) == self.position {
            self.begin_segment_at_playhead();
        }
    }

    /// Does as its person does. Who waits for the first frame does not pause.
    pub fn habit(&mut self, habit: &Habit, now: Instant) {
        self.handle_timeout(now);
        match habit {
            Habit::Pause => self.pause(now),
            Habit::Resume => self.resume(now),
            Habit::Seek { to } => self.seek(*to, now),
        }
    }

    /// Tells the player that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.state == State::Playing && self.position >= self.playable_end() {
            self.run_out(now);
        }
    }

    /// Whether the state changed, or the playhead jumped, since this was asked last.
    pub fn changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// When it runs out of media.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state == State::Playing).then(|| self.reaches(self.playable_end()))
    }

    /// When another segment comes within the buffer target by time alone.
    #[must_use]
    pub fn wants_more_at(&self) -> Option<Instant> {
        let next = self.first_missing().filter(|it| *it < self.published)?;
        let at = self.media.start(next).saturating_sub(self.buffer_target);
        let is_moving = self.state == State::Playing && at >= self.position;
        is_moving.then(|| self.reaches(at) + Duration::from_nanos(1))
    }

    /// The player as the session wants to know it.
    #[must_use]
    pub fn playback(&self, now: Instant) -> Playback {
        Playback {
            position: self.position_at(now),
            state: match self.state {
                State::Unlisted | State::Waiting(Wait::Start | Wait::Seek(_)) => {
                    PlaybackState::Starting
                }
                State::Waiting(Wait::Stall(_)) => PlaybackState::Stalled,
                State::Playing => PlaybackState::Playing,
                State::Paused(_) | State::Ended => PlaybackState::Paused,
            },
            buffer_target: self.buffer_target,
        }
    }

    /// How far behind live the playhead is; `None` on demand and before anything is listed.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        let live = self.media.live_position(now)?;
        let is_placed = self.state != State::Unlisted;
        is_placed.then(|| live.saturating_duration_since(self.position_at(now)))
    }

    /// The first listed segment at or after the playhead that is not there and begins before the
    /// playhead plus the buffer target, as of the moment that the player was told last.
    #[must_use]
    pub fn next_ordinal(&self) -> Option<u64> {
        let next = self.first_missing()?;
        let horizon = self.position + self.buffer_target;
        let is_wanted = next < self.published && self.media.start(next) < horizon;
        is_wanted.then_some(next)
    }

    /// Whether this segment is of any use: listed, not over, and before the playhead plus the
    /// buffer target.
    #[must_use]
    pub fn wants(&self, ordinal: u64) -> bool {
        let is_listed = self.media.listed(self.published).contains(&ordinal);
        let is_over = self.media.start(ordinal + 1) <= self.position;
        is_listed && !is_over && self.media.start(ordinal) < self.position + self.buffer_target
    }

    /// Whether this segment can be played, in whatever track.
    #[must_use]
    pub fn is_ready(&self, ordinal: u64) -> bool {
        let found = self.ready.get(self.place_of(ordinal));
        found.is_some_and(|it| it.ordinal == ordinal)
    }

    /// Media ahead of the playhead without a gap.
    #[must_use]
    pub fn buffer(&self, now: Instant) -> Duration {
        self.playable_end()
            .saturating_duration_since(self.position_at(now))
    }

    /// Whether it stands still on an empty buffer after the start.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        matches!(self.state, State::Waiting(Wait::Stall(_)))
    }

    /// How playback went up to `now`.
    #[must_use]
    pub fn watched(&self, now: Instant) -> Watched {
        let mut end = self.clone();
        end.advance(now);
        end.finish_wait(now);
        end.watched
    }

    /// Plays up to `now`, over the moment when media ran out if there was one.
    fn advance(&mut self, now: Instant) {
        // Again after a jump to what is listed, which may be there already.
        while self.state == State::Playing && self.moved_at < now {
            let out_at = self.reaches(self.playable_end());
            self.play_until(now.min(out_at));
            if out_at < now {
                self.run_out(out_at);
            }
        }
        self.moved_at = self.moved_at.max(now);
    }

    fn play_until(&mut self, at: Instant) {
        let from = self.position;
        let began_at = self.moved_at;
        self.position = self.position_at(at);
        self.moved_at = self.moved_at.max(at);
        let played = self.position.saturating_duration_since(from);
        if played.is_zero() {
            return;
        }
        self.watched.played += played;
        if let Some(live) = self.media.live_position(began_at) {
            let latency = live.saturating_duration_since(from);
            self.watched.latency_seconds += latency.as_secs_f64() * played.as_secs_f64();
        }
        let first = self.place_of(self.media.ordinal_at(from));
        let mut next = from;
        for index in first..self.ready.len() {
            if next >= self.position {
                break;
            }
            let key = self.ready[index];
            let until = self.media.start(key.ordinal + 1).min(self.position);
            let span = until.saturating_duration_since(next).as_secs_f64();
            self.watched.bits += self.media.rate(key.track).as_bps() as f64 * span;
            if next > from {
                self.begin_segment(key, began_at + next.saturating_duration_since(from));
            }
            next = until;
        }
        // The next one begins in this very moment.
        if self.media.start(self.media.ordinal_at(self.position)) == self.position {
            self.begin_segment_at_playhead();
        }
        self.forget();
    }

    fn begin_segment_at_playhead(&mut self) {
        let ordinal = self.media.ordinal_at(self.position);
        let key = self.ready.get(self.place_of(ordinal)).copied();
        if let Some(key) = key.filter(|it| it.ordinal == ordinal) {
            self.begin_segment(key, self.moved_at);
        }
    }

    /// Playback of `key` began at `at`.
    fn begin_segment(&mut self, key: SegmentKey, at: Instant) {
        let settled = self
            .first_frame_at
            .is_some_and(|first| at > first + SETTLING);
        if !settled || at < self.steady_from {
            return;
        }
        let steady = &mut self.watched.steady;
        // Only after a seek back can it have been played before.
        let is_newest = steady.last().is_none_or(|last| last.ordinal < key.ordinal);
        if is_newest || !steady.contains(&key) {
            steady.push(key);
        }
    }

    fn run_out(&mut self, at: Instant) {
        if self.media.end().is_some_and(|end| self.position >= end) {
            return self.become_state(State::Ended);
        }
        self.become_state(State::Waiting(Wait::Stall(at)));
        self.catch_the_list_up(at);
    }

    /// A playhead that waits for what is not listed any more goes on with what is.
    fn catch_the_list_up(&mut self, now: Instant) {
        let listed = self.media.listed(self.published);
        if self.media.ordinal_at(self.position) < listed.start && !self.is_playable() {
            self.position = self.within_list(self.position, 1);
            self.has_changed = true;
            self.begin_if_ready(now);
        }
    }

    fn begin_if_ready(&mut self, now: Instant) {
        let State::Waiting(wait) = self.state else {
            return;
        };
        if !self.is_playable() {
            return;
        }
        self.finish_wait(now);
        self.become_state(State::Playing);
        self.moved_at = now;
        if self.first_frame_at.is_none() {
            self.first_frame_at = Some(now);
            self.watched.startup = Some(now.saturating_duration_since(self.arrived_at));
        }
        let is_at_its_start =
            self.media.start(self.media.ordinal_at(self.position)) == self.position;
        if is_at_its_start || !matches!(wait, Wait::Stall(_)) {
            self.begin_segment_at_playhead();
        }
    }

    /// Counts what was waited up to `now`.
    fn finish_wait(&mut self, now: Instant) {
        match self.state {
            State::Waiting(Wait::Stall(since)) => {
                let length = now.saturating_duration_since(since);
                if !length.is_zero() {
                    self.watched.stalls += 1;
                    self.watched.stalled += length;
                    self.watched.each_stall.push((since, length));
                }
            }
            State::Waiting(Wait::Seek(since)) => {
                self.watched.seeking += now.saturating_duration_since(since);
            }
            _ => {}
        }
    }

    fn pause(&mut self, now: Instant) {
        let after = match self.state {
            State::Playing | State::Waiting(Wait::Stall(_)) => AfterPause::Stall,
            State::Waiting(Wait::Seek(_)) => AfterPause::Seek,
            _ => return,
        };
        self.finish_wait(now);
        self.become_state(State::Paused(after));
    }

    fn resume(&mut self, now: Instant) {
        let State::Paused(after) = self.state else {
            return;
        };
        let wait = match after {
            AfterPause::Seek => Wait::Seek(now),
            AfterPause::Stall => Wait::Stall(now),
        };
        self.become_state(State::Waiting(wait));
        self.catch_the_list_up(now);
        self.begin_if_ready(now);
    }

    fn seek(&mut self, to: f64, now: Instant) {
        let wanted = match (self.media.live_position(now), self.media.end()) {
            (Some(live), _) => live.saturating_sub(seconds(to)),
            (None, Some(end)) => {
                let whole = end.saturating_duration_since(MediaTime::ZERO);
                MediaTime::ZERO + whole.mul_f64(to.clamp(0.0, 1.0))
            }
            (None, None) => return,
        };
        if self.state == State::Unlisted {
            return;
        }
        self.finish_wait(now);
        self.position = self.within_list(wanted, 1);
        let state = match self.state {
            State::Paused(_) => State::Paused(AfterPause::Seek),
            State::Waiting(Wait::Start) => State::Waiting(Wait::Start),
            _ => State::Waiting(Wait::Seek(now)),
        };
        self.become_state(state);
        self.forget();
        self.begin_if_ready(now);
    }

    /// Segments far behind the playhead cannot be played again.
    fn forget(&mut self) {
        while let Some(oldest) = self.ready.front()
            && self.is_forgotten(oldest.ordinal)
        {
            self.ready.pop_front();
        }
    }

    fn become_state(&mut self, state: State) {
        self.state = state;
        self.has_changed = true;
    }

    fn is_forgotten(&self, ordinal: u64) -> bool {
        self.media.start(ordinal + 1) + KEPT_BEHIND <= self.position
    }

    fn is_playable(&self) -> bool {
        self.is_ready(self.media.ordinal_at(self.position))
    }

    /// The nearest position that is listed; live, so many segments after the oldest, because that
    /// one goes before it can be fetched.
    fn within_list(&self, wanted: MediaTime, margin: u64) -> MediaTime {
        let Range { start, end } = self.media.listed(self.published);
        let last = end.saturating_sub(1);
        let is_live = self.media.end().is_none();
        let first = (start + margin * u64::from(is_live)).min(last);
        wanted
            .min(self.media.start(last))
            .max(self.media.start(first))
    }

    /// Up to where there is media from the playhead on.
    fn playable_end(&self) -> MediaTime {
        match self.first_missing() {
            Some(missing) => self.media.start(missing).max(self.position),
            None => self.position,
        }
    }

    /// The first segment from the playhead on that is not there; `None` before anything is listed.
    #[must_use]
    pub fn first_missing(&self) -> Option<u64> {
        if self.state == State::Unlisted {
            return None;
        }
        let first = self.media.ordinal_at(self.position);
        let ready = self.ready.range(self.place_of(first)..);
        let run = ready
            .zip(first..)
            .take_while(|(key, ordinal)| key.ordinal == *ordinal);
        Some(first + run.count() as u64)
    }

    fn place_of(&self, ordinal: u64) -> usize {
        self.ready.partition_point(|it| it.ordinal < ordinal)
    }

    fn position_at(&self, now: Instant) -> MediaTime {
        match self.state {
            State::Playing => {
                let moved = self.position + now.saturating_duration_since(self.moved_at);
                moved.min(self.playable_end())
            }
            _ => self.position,
        }
    }

    /// When a moving playhead is at `position`.
    fn reaches(&self, position: MediaTime) -> Instant {
        self.moved_at + position.saturating_duration_since(self.position)
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
