//! One viewer of a world: its scheduler, its player and its tally.

use std::{collections::BTreeMap, time::Duration};

use p2pcdn_metrics::HttpReason;
use p2pcdn_scheduler::{Event, FetchId, Input, Playback, PlaybackState, Scheduler};
use p2pcdn_wire::{BlockSet, Instant, LinkId, MediaTime, SegmentRef, block_count};

use super::{SEGMENT_LEN, setting::Manner, world::World};

pub(crate) struct Viewer {
    pub(crate) scheduler: Scheduler,
    pub(super) manner: Manner,
    pub(super) joined_at: Instant,
    pub(super) learnt: u64,
    pub(super) position: MediaTime,
    pub(super) state: PlaybackState,
    pub(super) moved_at: Instant,
    pub(super) started_at: Option<Instant>,
    pub(super) held: BTreeMap<u64, BlockSet>,
    pub(super) mapped: BTreeMap<u64, bool>,
    pub(super) fetches: BTreeMap<FetchId, Fetch>,
    pub(super) uplink_free_at: Instant,
    pub(super) http_free_at: Instant,
    pub(super) in_flight: BTreeMap<LinkId, u64>,
    /// When the pending wake-up comes.
    pub(super) wake_at: Option<Instant>,
    pub(super) news_at: Instant,
    pub(crate) events: Vec<Event>,
    pub(crate) disconnected: Vec<LinkId>,
    pub(crate) startup: Option<Duration>,
    pub(crate) stalls: u32,
    pub(crate) stalled: Duration,
    /// Bytes by segment.
    pub(crate) http: BTreeMap<u64, u64>,
    pub(crate) peers: BTreeMap<u64, u64>,
    pub(crate) reasons: BTreeMap<HttpReason, u64>,
    pub(crate) waste: u64,
    pub(crate) said_bytes: u64,
    pub(crate) wrong_stored: u32,
}

impl Viewer {
    pub(super) fn new(scheduler: Scheduler, manner: Manner, joined_at: Instant) -> Self {
        Self {
            scheduler,
            manner,
            joined_at,
            learnt: 0,
            position: MediaTime::ZERO,
            state: PlaybackState::Starting,
            moved_at: joined_at,
            started_at: None,
            held: BTreeMap::new(),
            mapped: BTreeMap::new(),
            fetches: BTreeMap::new(),
            uplink_free_at: joined_at,
            http_free_at: joined_at,
            in_flight: BTreeMap::new(),
            wake_at: None,
            news_at: Instant::EPOCH,
            events: Vec::new(),
            disconnected: Vec::new(),
            startup: None,
            stalls: 0,
            stalled: Duration::ZERO,
            http: BTreeMap::new(),
            peers: BTreeMap::new(),
            reasons: BTreeMap::new(),
            waste: 0,
            said_bytes: 0,
            wrong_stored: 0,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Fetch {
    pub(super) segment: SegmentRef,
    pub(super) reason: HttpReason,
}

/// The player: it plays what is there, in real time.
impl World {
    fn is_complete(&self, viewer: usize, ordinal: u64) -> bool {
        let held = self.viewers[viewer].held.get(&ordinal);
        held.is_some_and(|held| held.len() == block_count(SEGMENT_LEN))
    }

    pub(super) fn report(&mut self, viewer: usize) {
        let state = &self.viewers[viewer];
        let playback = Playback {
            position: state.position,
            state: state.state,
            buffer_target: Duration::from_secs(20),
        };
        self.tell(viewer, Input::PlaybackChanged(playback));
    }

    pub(super) fn tick(&mut self, viewer: usize) {
        let now = self.now;
        let state = &mut self.viewers[viewer];
        let passed = now.saturating_duration_since(state.moved_at);
        state.moved_at = now;
        let before = state.state;
        if before == PlaybackState::Playing {
            state.position = state.position + passed;
        } else if before == PlaybackState::Stalled {
            state.stalled += passed;
        }
        let ordinal = state
            .position
            .saturating_duration_since(MediaTime::ZERO)
            .as_secs()
            / 2;
        let ready = self.is_complete(viewer, ordinal);
        let state = &mut self.viewers[viewer];
        state.state = match (before, ready) {
            (_, true) => PlaybackState::Playing,
            (PlaybackState::Starting, false) => PlaybackState::Starting,
            (PlaybackState::Playing, false) => {
                state.stalls += 1;
                PlaybackState::Stalled
            }
            (other, false) => other,
        };
        if ready && state.started_at.is_none() {
            state.started_at = Some(now);
            state.startup = Some(now.saturating_duration_since(state.joined_at));
        }
        if state.state != before || now.since_epoch().subsec_millis() == 0 {
            self.report(viewer);
        }
    }
}
