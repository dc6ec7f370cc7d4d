//! What the player asks for, answered as the bytes come.

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_manifest::{Presentation, Resource, Segment, TrackKind};
use p2pcdn_scheduler::{Playback, PlaybackState};
use p2pcdn_wire::{ByteRange, Instant, MediaTime, Role, SegmentRef, TrackId};
use tokio::sync::{mpsc, oneshot};

use super::{
    driver::Driver,
    response::{ClientError, Request, Response},
};
use crate::{
    fetch::{FetchError, Retry},
    session::{SessionEvent, SessionInput},
    store::Store,
};

pub(super) type Reply = oneshot::Sender<Result<Response, ClientError>>;

/// Segments ahead of the playhead among which a clip that comes again is looked for: half an hour
/// of 2 s segments, which takes a millisecond.
const CLIP_REACH: usize = 900;

/// A player that waits for a segment, or for more of it.
#[derive(Debug)]
pub(super) struct Waiter {
    segment: SegmentRef,
    listed: Segment,
    request: Request,
    /// The bytes of the segment that the player wants.
    range: ByteRange,
    /// Up to where it got them.
    offset: u64,
    /// To whom to say that it begins, until it has begun.
    reply: Option<Reply>,
    parts: mpsc::UnboundedSender<Result<Bytes, ClientError>>,
    unread: Option<mpsc::UnboundedReceiver<Result<Bytes, ClientError>>>,
}

impl Driver {
    pub(super) fn fetch(&mut self, request: Request, reply: Reply) {
        let range = byte_range(&request);
        let presentation = self.presentation.clone();
        let resource = presentation
            .as_ref()
            .and_then(|presentation| presentation.resource(&request.url, range));
        match (resource, presentation) {
            (Some(Resource::Manifest), Some(presentation)) => {
                self.fetch_manifest(&presentation, &request, reply);
            }
            (Some(Resource::MediaPlaylist(track)), Some(presentation)) => {
                match presentation.track(track) {
                    Some(track) => self.fetch_playlist(track, &request, reply),
                    None => self.pass_through(request, reply),
                }
            }
            (Some(Resource::Segment(track, ordinal)), Some(presentation)) => {
                let segment = segment_of(&presentation, track, ordinal);
                match (segment, self.session_ref(track, ordinal)) {
                    (Some(segment), Some(_)) => {
                        let segment = self.nearest_listing(&presentation, track, segment);
                        self.fetch_segment(track, segment, request, reply);
                    }
                    // The session does not share it.
                    _ => self.pass_through(request, reply),
                }
            }
            _ => self.pass_through(request, reply),
        }
    }

    fn session_ref(&self, track: TrackId, ordinal: u64) -> Option<SegmentRef> {
        self.session.as_ref()?.segment_ref(track, ordinal)
    }

    /// Of the places where a track lists the same bytes, as it does with a clip that comes again,
    /// the one that the player comes to next.
    fn nearest_listing(
        &self,
        presentation: &Presentation,
        track: TrackId,
        found: Segment,
    ) -> Segment {
        let position = self.playback_at(self.now()).position;
        let segments = presentation
            .track(track)
            .and_then(|track| track.segments.as_ref());
        let ahead = segments
            .into_iter()
            .flat_map(|it| it.ending_after(position));
        let is_same = |one: &Segment| one.url == found.url && one.range == found.range;
        let next = ahead.take(CLIP_REACH).find(is_same);
        next.unwrap_or(found)
    }

    fn fetch_segment(&mut self, track: TrackId, segment: Segment, request: Request, reply: Reply) {
        self.watch(track);
        let Some(name) = self.session_ref(track, segment.ordinal) else {
            let _ = reply.send(Err(ClientError::Closed));
            return;
        };
        self.follow_player(&segment);
        // The range that the player asks for is one of the resource.
        let base = segment.range.map_or(0, |range| range.start);
        let range = byte_range(&request).map_or(ByteRange::new(0, u64::MAX), |range| {
            ByteRange::new(range.start - base, range.end.saturating_sub(base))
        });
        let (parts, unread) = mpsc::unbounded_channel();
        self.waiters.push(Waiter {
            segment: name,
            listed: segment,
            request,
            range,
            offset: range.start,
            reply: Some(reply),
            parts,
            unread: Some(unread),
        });
        self.feed(name);
    }

    /// A segment away from the playhead means that the player went there. What it still waits for
    /// shortly before that, as the other track of a pair, it waits for on.
    fn follow_player(&mut self, segment: &Segment) {
        let now = self.now();
        let playback = self.playback_at(now);
        let is_ahead = segment.end() > playback.position
            && segment.start < playback.position + playback.buffer_target;
        if is_ahead && self.was_told_playback {
            return;
        }
        let target = self.buffer_target;
        let waits_near = |start: &MediaTime| {
            *start >= playback.position
                && *start < segment.start
                && segment.start.saturating_duration_since(*start) <= target
        };
        let waiting = self.waiters.iter().filter(|waiter| waiter.is_heard());
        let starts = waiting.map(|waiter| waiter.listed.start);
        let position = starts.filter(waits_near).min().unwrap_or(segment.start);
        let reach = segment.end().saturating_duration_since(position);
        let playback = Playback {
            position,
            state: PlaybackState::Starting,
            buffer_target: target.max(reach),
        };
        self.move_playhead(playback, None);
    }

    /// The player's last report, moved on to `now`.
    fn playback_at(&self, now: Instant) -> Playback {
        let (mut playback, at) = self.playback;
        if playback.state == PlaybackState::Playing {
            playback.position = playback.position + now.saturating_duration_since(at);
        }
        playback
    }

    pub(super) fn set_playback(&mut self, playback: Playback, latency: Option<Duration>) {
        self.buffer_target = playback.buffer_target;
        self.move_playhead(playback, latency);
    }

    fn move_playhead(&mut self, playback: Playback, latency: Option<Duration>) {
        let now = self.now();
        self.playback = (playback, now);
        self.was_told_playback = true;
        self.tell(SessionInput::PlaybackChanged { playback, latency });
        let passed = |waiter: &Waiter| waiter.listed.end() <= playback.position;
        for waiter in self.waiters.extract_if(.., |waiter| passed(waiter)) {
            waiter.fail(ClientError::Passed);
        }
    }

    /// The track is played from now on, and no other of its kind.
    pub(super) fn watch(&mut self, track: TrackId) {
        if self.roles.get(&track) == Some(&Role::Watching) {
            return;
        }
        let kind = |id| {
            let presentation = self.presentation.as_ref()?;
            presentation.track(id).map(|track| track.kind)
        };
        let own = kind(track);
        let others: Vec<_> = self
            .roles
            .iter()
            .filter(|(id, role)| **role == Role::Watching && same_kind(own, kind(**id)))
            .map(|(id, _)| *id)
            .collect();
        for other in others {
            self.set_role(other, Role::Holding);
            self.deactivate(other);
            self.fetch_apart(other);
        }
        self.activate(track);
        self.set_role(track, Role::Watching);
    }

    /// What the player still waits for of a track that it left comes over HTTP, as it would
    /// without peers: the session fetches only what is played.
    fn fetch_apart(&mut self, track: TrackId) {
        let session = self.session.as_ref();
        let is_left = |waiter: &mut Waiter| {
            let name = session.and_then(|it| it.segment_ref(track, waiter.listed.ordinal));
            name == Some(waiter.segment)
        };
        let left: Vec<_> = self.waiters.extract_if(.., is_left).collect();
        for waiter in left.into_iter().filter(Waiter::is_heard) {
            match waiter.reply {
                Some(reply) => self.pass_through(waiter.request, reply),
                None => waiter.fail(ClientError::Left),
            }
        }
    }

    pub(super) fn set_role(&mut self, track: TrackId, role: Role) {
        self.roles.insert(track, role);
        self.tell(SessionInput::TrackRoleChanged { track, role });
    }

    /// Hands what can be played of a segment to those who wait for it.
    fn feed(&mut self, segment: SegmentRef) {
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let store = session.store();
        let segment_len = store.segment_len(segment);
        let is_complete = store.is_complete(segment);
        self.waiters.retain_mut(|waiter| {
            if waiter.segment != segment {
                return true;
            }
            let len =
                segment_len.map(|len| waiter.range.intersection(ByteRange::new(0, len)).len());
            for part in store.playable(segment, waiter.offset) {
                waiter.give(part, len);
            }
            let is_done = is_complete || waiter.offset >= waiter.range.end;
            if is_done {
                waiter.begin(len);
            }
            !is_done && waiter.is_heard()
        });
    }

    pub(super) fn session_event(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::SegmentProgressed { segment }
            | SessionEvent::SegmentCompleted { segment } => self.feed(*segment),
            SessionEvent::FetchFailed { segment, error } => self.fetch_failed(*segment, error),
            SessionEvent::Unlisted { segment } => {
                let waits = |waiter: &Waiter| waiter.segment == *segment;
                for waiter in self.waiters.extract_if(.., |waiter| waits(waiter)) {
                    waiter.fail(ClientError::Unlisted);
                }
            }
            SessionEvent::Mismatched { segment, .. } => {
                let begun = |waiter: &Waiter| waiter.segment == *segment && waiter.reply.is_none();
                for waiter in self.waiters.extract_if(.., |waiter| begun(waiter)) {
                    waiter.fail(ClientError::ContentChanged);
                }
                self.feed(*segment);
            }
            event => tracing::debug!(?event, "session"),
        }
    }

    /// The player hears of failures that another attempt cannot mend, unless it got bytes already.
    fn fetch_failed(&mut self, segment: SegmentRef, error: &FetchError) {
        if error.retry() != Retry::Never {
            return;
        }
        let hears = |waiter: &Waiter| waiter.segment == segment && waiter.reply.is_some();
        for waiter in self.waiters.extract_if(.., |waiter| hears(waiter)) {
            waiter.fail(error.clone().into());
        }
    }

    /// Asks the origin for what is not shared, for as long as the player waits for it.
    fn pass_through(&mut self, request: Request, mut reply: Reply) {
        let loader = self.loader.clone();
        let counted = self.unshared.clone();
        tokio::spawn(async move {
            let mut http = loader.request(&request.url);
            http.range = request.range;
            let response = tokio::select! {
                response = loader.send(http) => response,
                () = reply.closed() => return,
            };
            let _ = reply.send(match response {
                Ok((response, _)) => Ok(Response::passed(response, counted)),
                Err(error) => Err(error.into()),
            });
        });
    }

    /// Those who wait get no more.
    pub(super) fn fail_waiters(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.fail(ClientError::Closed);
        }
    }
}

impl Waiter {
    /// Whether the player has not given up.
    fn is_heard(&self) -> bool {
        match &self.reply {
            Some(reply) => !reply.is_closed(),
            None => !self.parts.is_closed(),
        }
    }

    fn give(&mut self, part: Bytes, len: Option<u64>) {
        let left = self.range.end.saturating_sub(self.offset);
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        if take == 0 {
            return;
        }
        self.offset += take as u64;
        self.begin(len);
        // A player that no longer reads is noticed by the caller.
        let _ = self.parts.send(Ok(part.slice(..take)));
    }

    fn begin(&mut self, len: Option<u64>) {
        if let (Some(reply), Some(unread)) = (self.reply.take(), self.unread.take()) {
            let status = if self.request.range.is_some() {
                206
            } else {
                200
            };
            let _ = reply.send(Ok(Response::parts(status, len, unread)));
        }
    }

    fn fail(self, error: ClientError) {
        match self.reply {
            Some(reply) => {
                let _ = reply.send(Err(error));
            }
            None => {
                let _ = self.parts.send(Err(error));
            }
        }
    }
}

fn byte_range(request: &Request) -> Option<ByteRange> {
    let range = request.range?;
    Some(ByteRange::new(range.start, range.end.unwrap_or(u64::MAX)))
}

fn segment_of(presentation: &Presentation, track: TrackId, ordinal: u64) -> Option<Segment> {
    let segments = presentation.track(track)?.segments.as_ref()?;
    segments.segment(ordinal)
}

fn same_kind(one: Option<TrackKind>, other: Option<TrackKind>) -> bool {
    one.is_some() && one == other
}
