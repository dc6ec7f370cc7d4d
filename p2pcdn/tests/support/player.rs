//! A player that needs whole segments and moves in real time.

use std::time::Duration;

use p2pcdn::{
    SessionInput, Store,
    manifest::Segments,
    scheduler::{Playback, PlaybackState},
    wire::MediaTime,
};

use super::{Stream, World};

/// How often a player looks.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How often it reports without being asked.
const REPORT: u32 = 10;

pub(crate) struct Player {
    pub(crate) state: PlaybackState,
    pub(crate) position: MediaTime,
    pub(crate) buffer_target: Duration,
    /// Behind the newest moment when it starts; `None`: from the beginning.
    pub(crate) latency: Option<Duration>,
    pub(crate) stalls: u32,
    pub(crate) played: Duration,
    is_placed: bool,
    ticks: u32,
}

impl Player {
    pub(crate) fn new(stream: Stream) -> Self {
        let (latency, buffer_target) = match stream {
            Stream::Live | Stream::Encrypted => (Some(Duration::from_secs(6)), 6),
            Stream::Vod(_) => (None, 20),
        };
        Self {
            state: PlaybackState::Starting,
            position: MediaTime::ZERO,
            buffer_target: Duration::from_secs(buffer_target),
            latency,
            stalls: 0,
            played: Duration::ZERO,
            is_placed: false,
            ticks: 0,
        }
    }

    pub(crate) fn seek(&mut self, position: MediaTime) {
        self.position = position;
        self.state = PlaybackState::Starting;
    }

    /// Moves one tick; `is_there` tells whether the segment at a position can be played. Returns
    /// whether there is something to report.
    fn tick(&mut self, segments: &Segments, is_there: impl Fn(MediaTime) -> bool) -> bool {
        let before = self.state;
        self.ticks += 1;
        if !self.is_placed || self.position < segments.start() {
            let back = self
                .latency
                .map(|back| segments.live_edge.saturating_sub(back));
            self.position = back.unwrap_or(segments.start()).max(segments.start());
            self.state = PlaybackState::Starting;
            let first = !self.is_placed;
            self.is_placed = true;
            return first || before != self.state;
        }
        match self.state {
            PlaybackState::Paused => {}
            PlaybackState::Playing => {
                let next = self.position + TICK;
                if is_there(next) {
                    self.position = next;
                    self.played += TICK;
                } else if next < segments.live_edge || self.latency.is_some() {
                    self.state = PlaybackState::Stalled;
                    self.stalls += 1;
                } else {
                    self.state = PlaybackState::Paused;
                }
            }
            PlaybackState::Starting | PlaybackState::Stalled => {
                if is_there(self.position) {
                    self.state = PlaybackState::Playing;
                }
            }
        }
        before != self.state || self.ticks.is_multiple_of(REPORT)
    }
}

impl World {
    pub(super) fn tick(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let known = node.presentation.as_ref().and_then(|presentation| {
            let track = presentation.tracks.first()?;
            Some((track.id, track.segments.clone()?))
        });
        let (Some((track, segments)), Some(player)) = (known, &mut node.player) else {
            return;
        };
        let session = &node.session;
        let is_there = |at| {
            let segment = segments.segment_at(at);
            let name = segment.and_then(|it| session.segment_ref(track, it.ordinal));
            name.is_some_and(|name| session.store().is_complete(name))
        };
        if player.tick(&segments, is_there) {
            let playback = Playback {
                position: player.position,
                state: player.state,
                buffer_target: player.buffer_target,
            };
            let latency = player.latency;
            self.tell(index, SessionInput::PlaybackChanged { playback, latency });
        }
    }
}
