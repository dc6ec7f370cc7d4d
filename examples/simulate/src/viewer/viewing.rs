//! The player of a viewer and what is counted of it.

use std::{sync::Arc, time::Duration};

use p2pcdn::{
    Session, SessionInput,
    scheduler::PlaybackState,
    wire::{Instant, Role as TrackRole, SegmentRef},
};

use super::{
    ViewerStore,
    life::{Life, Role},
};
use crate::{
    abr::Adaptation,
    event::Resource,
    media::Media,
    player::Player,
    tally::{HttpShare, SegmentKey, Tally},
    world::Shared,
};

/// A viewer's player, what it chose, and what came to it.
#[derive(Debug)]
pub(super) struct Viewing {
    pub(super) player: Player,
    adaptation: Adaptation,
    /// The rendition that is watched.
    pub(super) track: u16,
    /// When the player reports without a reason.
    report_at: Option<Instant>,
    delivered: Vec<SegmentKey>,
    http: Vec<HttpShare>,
    /// Asked of the edge and not complete.
    fetching: Vec<SegmentKey>,
    corrupt_len: u64,
}

impl Viewing {
    pub(super) fn new(shared: &Shared, now: Instant) -> Self {
        let media = Arc::clone(&shared.media);
        let mut adaptation = Adaptation::new(&shared.scenario);
        let track = adaptation.choose(Duration::ZERO, None, 0);
        Self {
            player: Player::new(&shared.scenario, media, now),
            adaptation,
            track,
            report_at: None,
            delivered: Vec::new(),
            http: Vec::new(),
            fetching: Vec::new(),
            corrupt_len: 0,
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.player
            .poll_timeout()
            .into_iter()
            .chain(self.report_at)
            .min()
    }

    /// Puts down what there is, with what came of segments that are not complete.
    pub(super) fn fill<S: ViewerStore>(
        &self,
        tally: &mut Tally,
        session: Option<(&Session<S>, &Media)>,
        now: Instant,
    ) {
        tally.watched = self.player.watched(now);
        tally.delivered.clone_from(&self.delivered);
        tally.http.clone_from(&self.http);
        tally.corrupt_bytes_played = self.corrupt_len;
        let incomplete = self.fetching.iter().filter_map(|key| {
            let (session, media) = session?;
            let segment = session.segment_ref(media.track_id(key.track), key.ordinal)?;
            Some(HttpShare {
                segment: *key,
                http_len: session.sources(segment).http_len,
            })
        });
        tally.http.extend(incomplete.filter(|it| it.http_len > 0));
    }
}

impl<S: ViewerStore> Life<S> {
    /// Tells the session what the player does: at each change, and once a second while it plays.
    pub(super) fn report_playback(&mut self, now: Instant) {
        let Role::Viewer(viewing) = &mut self.role else {
            return;
        };
        let is_due = viewing.report_at.is_some_and(|at| at <= now);
        if self.session.is_none() || !(viewing.player.changed() | is_due) {
            return;
        }
        let playback = viewing.player.playback(now);
        let latency = viewing.player.latency(now);
        let is_playing = playback.state == PlaybackState::Playing;
        viewing.report_at = is_playing.then(|| now + REPORT_INTERVAL);
        self.tell(SessionInput::PlaybackChanged { playback, latency }, now);
    }

    /// The player takes a complete segment, and chooses the rendition of the next.
    pub(super) fn segment_completed(&mut self, segment: SegmentRef, now: Instant) {
        let (Some(key), Some(session)) = (self.key_of(segment), &self.session) else {
            return;
        };
        let Role::Viewer(viewing) = &mut self.role else {
            return;
        };
        viewing.fetching.retain(|it| *it != key);
        let is_new = !viewing.delivered.iter().rev().any(|it| *it == key);
        if is_new {
            viewing.delivered.push(key);
            let http_len = session.sources(segment).http_len;
            if http_len > 0 {
                let segment = key;
                viewing.http.push(HttpShare { segment, http_len });
            }
        }
        viewing.corrupt_len += session.store().bad_len(segment, key, &self.shared.media);
        viewing.player.segment_ready(key, now);
        if key.track == viewing.track {
            let buffer = viewing.player.buffer(now);
            let throughput = session.throughput();
            let current = viewing.track;
            let chosen = viewing.adaptation.choose(buffer, throughput, current);
            self.watch(chosen, now);
        }
    }

    /// Notes that a segment is asked of the edge.
    pub(super) fn fetching(&mut self, resource: Resource) {
        if let (Role::Viewer(viewing), Resource::Segment { track, ordinal, .. }) =
            (&mut self.role, resource)
        {
            let key = SegmentKey { track, ordinal };
            if !viewing.fetching.contains(&key) {
                viewing.fetching.push(key);
            }
            if viewing.fetching.len() > MAX_FETCHING {
                viewing.fetching.remove(0);
            }
        }
    }

    /// Plays this rendition from now on, and holds the one before.
    pub(super) fn watch(&mut self, track: u16, now: Instant) {
        let Role::Viewer(viewing) = &mut self.role else {
            return;
        };
        let before = std::mem::replace(&mut viewing.track, track);
        if before != track {
            self.change_role(before, TrackRole::Holding, now);
            self.change_role(track, TrackRole::Watching, now);
        }
    }

    pub(super) fn change_role(&mut self, track: u16, role: TrackRole, now: Instant) {
        let track = self.shared.media.track_id(track);
        self.tell(SessionInput::TrackRoleChanged { track, role }, now);
    }

    /// The rendition and ordinal of a segment as the session names it.
    pub(super) fn key_of(&self, segment: SegmentRef) -> Option<SegmentKey> {
        let presentation = self.presentation.as_ref()?;
        // A session numbers tracks in the order in which the manifest first lists them; here none
        // is ever added or dropped.
        let track = presentation.tracks.get(usize::from(segment.track.0))?;
        Some(SegmentKey {
            track: self.shared.media.track_of(track.id)?,
            ordinal: segment.ordinal,
        })
    }
}

/// Segments that were asked for and are not complete: those of a seek away are forgotten in time.
const MAX_FETCHING: usize = 16;

/// How often a player reports while nothing changes.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
