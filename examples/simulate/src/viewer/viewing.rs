//! The player of a viewer and what is counted of it.

use std::{sync::Arc, time::Duration};

use p2pcdn::{
    Session, SessionInput,
    scheduler::{MediaSpan, PlaybackState},
    wire::{Instant, MediaTime, Role as TrackRole, SegmentRef},
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
    /// From where on.
    from: MediaTime,
    /// The rendition before, while something of it is still to come.
    leaving: Option<Leaving>,
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
            from: MediaSpan::ALL.from,
            leaving: None,
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

/// A rendition of which the player still takes what was begun.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    track: u16,
    /// The first segment that it takes of the next one.
    until: u64,
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
        self.finish_leaving(now);
        self.adapt(now);
    }

    /// Chooses the rendition of what was not begun yet, unless that of what comes before it was
    /// chosen only just now.
    fn adapt(&mut self, now: Instant) {
        let (Role::Viewer(viewing), Some(session)) = (&mut self.role, &self.session) else {
            return;
        };
        if viewing.leaving.is_some() {
            return;
        }
        let buffer = viewing.player.buffer(now);
        let current = viewing.track;
        let chosen = viewing
            .adaptation
            .choose(buffer, session.throughput(), current);
        let Some(first) = viewing.player.first_missing().filter(|_| chosen != current) else {
            return;
        };
        // What takes fewer bytes to complete than to begin anew stays as it is.
        let media = &self.shared.media;
        let is_new = |ordinal: &u64| {
            let segment = session.segment_ref(media.track_id(current), *ordinal);
            let held_len = segment.map_or(0, |it| {
                let sources = session.sources(it);
                sources.peer_len + sources.http_len
            });
            let missing_len = media
                .segment_len(current, *ordinal)
                .saturating_sub(held_len);
            let is_begun = held_len > 0 && missing_len <= media.segment_len(chosen, *ordinal);
            !viewing.player.is_ready(*ordinal) && !is_begun
        };
        let until = (first..).find(is_new).unwrap_or(first);
        self.watch(chosen, until, now);
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

    /// Plays this rendition from this segment on, and the one before up to there.
    fn watch(&mut self, track: u16, first: u64, now: Instant) {
        let Role::Viewer(viewing) = &mut self.role else {
            return;
        };
        let at = self.shared.media.start(first);
        let before = MediaSpan {
            from: std::mem::replace(&mut viewing.from, at),
            until: at,
        };
        let leaving = std::mem::replace(&mut viewing.track, track);
        viewing.leaving = Some(Leaving {
            track: leaving,
            until: first,
        });
        self.want(leaving, before, now);
        self.change_role(track, TrackRole::Watching, now);
        let from_there = MediaSpan {
            from: at,
            ..MediaSpan::ALL
        };
        self.want(track, from_there, now);
        self.finish_leaving(now);
        self.play_what_is_held(now);
    }

    /// Holds the rendition before once the player has all that it takes of it.
    fn finish_leaving(&mut self, now: Instant) {
        let Role::Viewer(viewing) = &mut self.role else {
            return;
        };
        let next = viewing.player.first_missing();
        let is_over = |leaving: &mut Leaving| next.is_none_or(|next| next >= leaving.until);
        if let Some(Leaving { track, .. }) = viewing.leaving.take_if(is_over) {
            self.change_role(track, TrackRole::Holding, now);
        }
    }

    /// Hands the player what is ahead of it and held already, of which no news will come: after a
    /// seek back, or in a rendition that it returns to.
    pub(super) fn play_what_is_held(&mut self, now: Instant) {
        let (Role::Viewer(viewing), Some(session)) = (&mut self.role, &self.session) else {
            return;
        };
        let media = &self.shared.media;
        let position = viewing.player.playback(now).position.max(viewing.from);
        let track = viewing.track;
        for ordinal in media.ordinal_at(position)..media.published(now) {
            let held = session
                .segment_ref(media.track_id(track), ordinal)
                .is_some_and(|segment| session.store().is_complete(segment));
            if held && !viewing.player.is_ready(ordinal) {
                viewing
                    .player
                    .segment_ready(SegmentKey { track, ordinal }, now);
            }
        }
    }

    /// The player went elsewhere, and wants everything there.
    pub(super) fn want_all(&mut self, now: Instant) {
        let Role::Viewer(viewing) = &mut self.role else {
            return;
        };
        let track = viewing.track;
        viewing.from = MediaSpan::ALL.from;
        if let Some(Leaving { track, .. }) = viewing.leaving.take() {
            self.change_role(track, TrackRole::Holding, now);
        }
        self.want(track, MediaSpan::ALL, now);
    }

    fn want(&mut self, track: u16, span: MediaSpan, now: Instant) {
        let track = self.shared.media.track_id(track);
        self.tell(SessionInput::TrackWanted { track, span }, now);
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
