//! Tracks, segments and block maps of a session.

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_manifest::{Liveness, Presentation, Segment, Segments};
use p2pcdn_metrics::Waste;
use p2pcdn_scheduler::{Growth, Input, Listed, MediaSpan, Sharing};
use p2pcdn_wire::{
    BLOCK_LEN, BitRate, BlockSet, ByteRange, LinkId, LinkInput, MAX_TRACKS, MapData, Payload, Role,
    Say, SegmentId, SegmentRef, TrackId, TrackIndex, Violation, block_count,
};

use super::{Session, SessionEvent};
use crate::{
    block_map::MapError,
    fetch::{Fetch, FetchPlan, FetchRequest},
    maps::{MapSource, MapsInput},
    store::{Change, Mismatch, Source, Store},
};

/// How much sooner than a segment its block map is wanted: a map takes a few round trips, and what
/// comes before it cannot be announced. Players report every few seconds, and the horizon moves on
/// in between.
const MAPS_AHEAD: Duration = Duration::from_secs(10);

/// Segments at the end of a live track whose block maps are taken whoever needs them: a minute of
/// 2 s segments, as long as anybody is behind.
const NEW_SEGMENTS: usize = 30;

/// Segments looked at for one that may be asked for to renew the authorisation: those that are
/// never shared come in breaks, of a few minutes at most.
const RENEWAL_REACH: usize = 128;

/// One track of the presentation, as the session numbers it.
#[derive(Clone, Debug)]
pub(super) struct SessionTrack {
    id: TrackId,
    index: TrackIndex,
    bitrate: Option<BitRate>,
    role: Option<Role>,
    /// What the player takes of it.
    span: MediaSpan,
    /// `None` until they are known.
    segments: Option<Segments>,
    /// Segments below this ordinal were listed to the scheduler.
    listed_to: u64,
}

impl SessionTrack {
    pub(super) fn id(&self) -> TrackId {
        self.id
    }

    /// What peers are told of it: nothing before its segments are known, since what they answer
    /// is about those.
    pub(super) fn joined(&self) -> Option<(TrackIndex, TrackId, Role)> {
        self.segments.as_ref()?;
        Some((self.index, self.id, self.role?))
    }

    fn segment(&self, segment: SegmentRef) -> Option<Segment> {
        let found = self.segments.as_ref()?.segment(segment.ordinal)?;
        (found.id.tag() == segment.tag).then_some(found)
    }

    fn name(&self, segment: &Segment) -> SegmentRef {
        SegmentRef {
            track: self.index,
            ordinal: segment.ordinal,
            tag: segment.id.tag(),
        }
    }
}

impl<S: Store> Session<S> {
    pub(super) fn update(&mut self, presentation: &Presentation) {
        self.leave_tracks(|id| presentation.track(id).is_none());
        for track in &presentation.tracks {
            if !self.tracks.iter().any(|known| known.id == track.id) {
                if self.tracks.len() >= MAX_TRACKS {
                    tracing::warn!(cap = MAX_TRACKS, "more tracks than a session keeps");
                    break;
                }
                // Peers know a track by its number: none is given twice.
                let Some(next) = self.next_track.checked_add(1) else {
                    tracing::warn!("more tracks than there are numbers");
                    break;
                };
                let index = TrackIndex(std::mem::replace(&mut self.next_track, next));
                // A session watches one or two of them for long.
                self.tracks.reserve_exact(1);
                self.tracks.push(SessionTrack {
                    id: track.id,
                    index,
                    bitrate: track.bandwidth,
                    role: None,
                    span: MediaSpan::ALL,
                    segments: None,
                    listed_to: 0,
                });
            }
        }
        let updates: Vec<_> = presentation
            .tracks
            .iter()
            .filter_map(|track| Some((track.id, track.segments.clone()?)))
            .collect();
        for (id, segments) in updates {
            self.update_track(id, segments);
        }
    }

    /// Leaves tracks that the manifest lists no more, as those of a period that is over.
    fn leave_tracks(&mut self, is_gone: impl Fn(TrackId) -> bool) {
        let gone = self.tracks.iter().filter(|track| is_gone(track.id));
        let gone: Vec<_> = gone.map(|track| (track.index, track.joined())).collect();
        self.tracks.retain(|track| !is_gone(track.id));
        for (track, joined) in gone {
            self.tell_scheduler(Input::TrackLeft { track });
            if joined.is_some() {
                let links = self.links.keys().to_vec();
                for link in links {
                    self.say(link, Say::Leave { track });
                }
            }
            self.wanted_maps.retain(|segment| segment.track != track);
        }
    }

    /// The track with this number.
    pub(super) fn track(&self, index: TrackIndex) -> Option<&SessionTrack> {
        self.tracks.iter().find(|track| track.index == index)
    }

    fn update_track(&mut self, id: TrackId, segments: Segments) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else {
            return;
        };
        let epoch = segments.epoch;
        let before = track.segments.replace(segments);
        if before.as_ref().is_some_and(|it| it.epoch != epoch) {
            track.listed_to = 0;
            let track = track.index;
            self.tell_scheduler(Input::TrackReset { track });
        }
        self.list_segments(id);
        if before.is_none() {
            self.tell_join(id);
        }
    }

    pub(super) fn change_role(&mut self, id: TrackId, role: Role) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else {
            return;
        };
        if track.role == Some(role) {
            return;
        }
        track.role = Some(role);
        track.span = MediaSpan::ALL;
        let (index, bitrate) = (track.index, track.bitrate);
        self.tell_scheduler(Input::TrackJoined {
            track: index,
            id,
            role,
            bitrate,
        });
        self.are_maps_due = true;
        self.list_segments(id);
        self.tell_join(id);
    }

    /// The player takes only this part of a track.
    pub(super) fn want_span(&mut self, id: TrackId, span: MediaSpan) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else {
            return;
        };
        track.span = span;
        let track = track.index;
        self.are_maps_due = true;
        self.tell_scheduler(Input::TrackWanted { track, span });
    }

    fn tell_join(&mut self, id: TrackId) {
        let track = self.tracks.iter().find(|track| track.id == id);
        let Some((track, id, role)) = track.and_then(SessionTrack::joined) else {
            return;
        };
        let join = Say::Join { track, id, role };
        let links = self.links.keys().to_vec();
        for link in links {
            self.say(link, join.clone());
        }
    }

    /// Tells the scheduler of the segments that it does not know yet.
    fn list_segments(&mut self, id: TrackId) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else {
            return;
        };
        let (Some(known), Some(_)) = (track.segments.as_ref(), track.role) else {
            return;
        };
        let segments: Vec<_> = known
            .from_ordinal(track.listed_to)
            .map(|segment| listed(track.name(&segment), &segment))
            .collect();
        let (window, liveness) = (known.window(), known.liveness);
        track.listed_to = track.listed_to.max(window.end);
        let index = track.index;
        let new: Vec<_> = segments.iter().map(|listed| listed.segment).collect();
        self.tell_scheduler(Input::SegmentsListed {
            track: index,
            segments,
            first: window.start,
            growth: match liveness {
                Liveness::Ended => Growth::Ended,
                Liveness::Live | Liveness::Event => Growth::Live,
            },
        });
        self.are_maps_due = true;
        for segment in new {
            for (link, encoded) in self.early_maps.take(segment) {
                self.take_map(segment, &encoded, MapSource::Peer(link));
            }
        }
    }

    /// The segment of a track with this ordinal, as this session names it; `None` when it is not
    /// listed.
    #[must_use]
    pub fn segment_ref(&self, track: TrackId, ordinal: u64) -> Option<SegmentRef> {
        let track = self.tracks.iter().find(|known| known.id == track)?;
        let segment = track.segments.as_ref()?.segment(ordinal)?;
        Some(track.name(&segment))
    }

    pub(super) fn listed_segment(&self, name: SegmentRef) -> Option<Segment> {
        self.track(name.track)?.segment(name)
    }

    pub(super) fn segment_id(&self, name: SegmentRef) -> Option<SegmentId> {
        self.listed_segment(name).map(|segment| segment.id)
    }

    /// Wants the block maps of the segments that the player will need, if those may be others than
    /// the last time.
    pub(super) fn want_maps(&mut self) {
        if !self.transfer.is_on() || !std::mem::take(&mut self.are_maps_due) {
            return;
        }
        let from = self.playback.position;
        let until = from + self.playback.buffer_target + MAPS_AHEAD;
        let mut wanted = Vec::new();
        for track in &self.tracks {
            let Some(segments) = track.segments.as_ref() else {
                continue;
            };
            if track.role != Some(Role::Watching) {
                continue;
            }
            let wanted_span = MediaSpan { from, until }.intersection(track.span);
            let ahead = segments.ending_after(wanted_span.from);
            for segment in ahead.take_while(|segment| segment.start < wanted_span.until) {
                let name = track.name(&segment);
                let is_shared = segment.sharing == p2pcdn_manifest::Sharing::Shared;
                if is_shared && !self.wanted_maps.contains(name) {
                    wanted.push(name);
                }
            }
        }
        for segment in wanted {
            self.wanted_maps.insert(segment, ());
            if let Some(witnesses) = &mut self.witnesses {
                witnesses.want(segment, self.now);
            }
            if self.store.has_map(segment) {
                continue;
            }
            self.tell_maps(MapsInput::SegmentWanted(segment));
            let holders: Vec<_> = self.scheduler.map_holders(segment).collect();
            for link in holders {
                if self.counts_maps_of(link) {
                    self.tell_maps(MapsInput::MapHeldBy { link, segment });
                }
            }
        }
    }

    /// Takes a block map that a neighbour sent, if it is worth looking at: to check one takes longer
    /// than to make one up.
    pub(super) fn map_arrived(&mut self, link: LinkId, segment: SegmentRef, encoded: &Bytes) {
        let now = self.now;
        // What a witness says contradicts, or not, what others' word made a map.
        let is_open = self.witnesses.is_some() || !self.store.has_map(segment);
        let is_welcome = is_open && self.is_map_welcome(segment);
        let is_listed = self.segment_id(segment).is_some();
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        let was_asked = state.take_asked(segment);
        if was_asked || !is_listed || (is_welcome && state.pushes.take(now)) {
            self.take_map(segment, encoded, MapSource::Peer(link));
        }
    }

    /// Whether a block map that nobody asked for is of use: that of a segment that the player will
    /// need, or that others will ask for when it is new.
    fn is_map_welcome(&self, segment: SegmentRef) -> bool {
        let is_new = || {
            let segments = self.track(segment.track)?.segments.as_ref()?;
            let mut newest = segments.iter().rev().take(NEW_SEGMENTS);
            let is_live = segments.liveness != Liveness::Ended;
            Some(is_live && newest.any(|listed| listed.ordinal == segment.ordinal))
        };
        self.wanted_maps.contains(segment) || is_new() == Some(true)
    }

    /// What a refused map says of who sent it.
    fn map_refused(&mut self, segment: SegmentRef, from: MapSource, error: &MapError) {
        let MapSource::Peer(link) = from else {
            return;
        };
        match error {
            // Right for whoever trusts other keys, or is of a later version, for all we know yet.
            MapError::Signature | MapError::Format(_) => self.refused_maps.note(segment, link),
            MapError::Length { .. }
            | MapError::SegmentTooLong { .. }
            | MapError::OtherSegment { .. } => self.blame_for_map(link),
            // Not the sender's doing.
            _ => {}
        }
    }

    pub(super) fn blame_for_map(&mut self, link: LinkId) {
        self.tell_link(link, LinkInput::Violated(Violation::ForgedMap));
    }

    /// Takes a block map, wherever it comes from.
    pub(super) fn take_map(&mut self, segment: SegmentRef, encoded: &Bytes, from: MapSource) {
        let Some(id) = self.segment_id(segment) else {
            if let MapSource::Peer(link) = from {
                self.early_maps.keep(segment, link, encoded.clone());
            }
            return;
        };
        if self.witnesses.is_some() {
            if let MapSource::Peer(link) = from {
                self.take_witnessed(segment, encoded, link);
            }
            return;
        }
        if self.store.has_map(segment) {
            return;
        }
        match self.store.insert_map(segment, id, encoded) {
            Ok(accepted) => {
                self.tell_maps(MapsInput::MapAccepted { segment, from });
                for forger in self.refused_maps.take(segment) {
                    self.blame_for_map(forger);
                }
                self.tell_scheduler(Input::MapKnown {
                    segment,
                    segment_len: accepted.segment_len,
                });
                self.apply(segment, accepted.change);
            }
            Err(error) => {
                self.tell_maps(MapsInput::MapRefused { segment, from });
                self.map_refused(segment, from, &error);
                self.event(SessionEvent::MapRefused { segment, error });
            }
        }
    }

    pub(super) fn sidecar_answered(&mut self, segment: SegmentRef, encoded: Option<Bytes>) {
        match encoded {
            Some(encoded) => {
                self.delivery.add_map(encoded.len() as u64);
                self.take_map(segment, &encoded, MapSource::Sidecar);
            }
            None => self.tell_maps(MapsInput::MapRefused {
                segment,
                from: MapSource::Sidecar,
            }),
        }
    }

    pub(super) fn hand_on_map(&mut self, link: LinkId, segment: SegmentRef) {
        if self.witnesses.is_some() {
            return self.hand_on_witnessed(link, segment);
        }
        if let Some(encoded) = self.store.map(segment) {
            let payload = Payload(encoded);
            self.say(link, Say::Map(MapData { segment, payload }));
        }
    }

    /// Passes on what bytes, a length or a map changed in the store.
    pub(super) fn apply(&mut self, segment: SegmentRef, change: Change) {
        let len = self.store.segment_len(segment);
        let block_len = |block: u32| {
            let start = u64::from(block) * BLOCK_LEN;
            len.map_or(BLOCK_LEN, |len| len.saturating_sub(start).min(BLOCK_LEN))
        };
        for (link, block) in &change.matched {
            let bytes = block_len(*block);
            self.delivery.add_peer(bytes);
            self.count_source(segment, Source::Peer(*link), bytes);
        }
        let waste = if change.corrupt.is_empty() {
            Waste::Duplicate
        } else {
            Waste::Corrupt
        };
        self.delivery.add_waste(waste, change.waste_peer_len);
        for dropped in &change.dropped {
            let blocks: BlockSet = [dropped.block].into_iter().collect();
            let segment = dropped.segment;
            self.tell_scheduler(Input::Dropped { segment, blocks });
        }
        let has_progressed = !change.verified.is_empty() || !change.private.is_empty();
        if has_progressed || !change.waiting.is_empty() {
            self.tell_scheduler(Input::Stored {
                segment,
                verified: change.verified,
                private: change.private,
                quarantined: change.waiting,
            });
        }
        let mut is_disputed = false;
        for (link, block) in &change.corrupt {
            let (link, block) = (*link, *block);
            let witnesses = self.witnesses.as_mut();
            if witnesses.is_some_and(|it| it.contradicts(segment, link)) {
                is_disputed = true;
                continue;
            }
            self.tell_scheduler(Input::Corrupt {
                link,
                segment,
                block,
            });
        }
        if is_disputed {
            return self.settle_over_http(segment);
        }
        if let Some(mismatch) = change.mismatch {
            self.mismatched(segment, mismatch);
        } else if has_progressed {
            self.event(SessionEvent::SegmentProgressed { segment });
        }
    }

    fn mismatched(&mut self, segment: SegmentRef, mismatch: Mismatch) {
        tracing::warn!(%segment, ?mismatch, "the origin contradicts the block map or itself");
        let verified = self.store.verified_blocks(segment).len();
        let len = self.store.segment_len(segment);
        // What the map confirms as a whole stays: HTTP cannot be right about it any more.
        let is_verified = len.is_some_and(|len| verified == block_count(len));
        if !matches!(mismatch, Mismatch::HttpLen { .. }) && !is_verified {
            if let Some(witnesses) = &mut self.witnesses {
                witnesses.dispute(segment);
            }
            self.forbid_sharing(segment);
        }
        self.event(SessionEvent::Mismatched { segment, mismatch });
    }

    /// A request for one byte of a segment that the manifest lists.
    pub(super) fn renewal(&self) -> Option<(SegmentRef, FetchRequest)> {
        let track = self
            .tracks
            .iter()
            .filter(|track| track.segments.is_some())
            .max_by_key(|track| track.role)?;
        let segments = track.segments.as_ref()?;
        let is_shared = |segment: &Segment| segment.sharing == p2pcdn_manifest::Sharing::Shared;
        let mut newest = segments.iter().rev().take(RENEWAL_REACH);
        let segment = segments
            .segment_at(self.playback.position)
            .filter(is_shared)
            .or_else(|| newest.find(is_shared))?;
        let fetch = Fetch::new(FetchPlan {
            url: segment.url.to_string(),
            resource: segment.range,
            start: 0,
            end: Some(1),
            validator: None,
        });
        Some((track.name(&segment), fetch.request()))
    }

    /// The byte range of a resource that a segment is, and where it is.
    pub(super) fn resource(&self, name: SegmentRef) -> Option<(String, Option<ByteRange>)> {
        let segment = self.listed_segment(name)?;
        Some((segment.url.to_string(), segment.range))
    }
}

fn listed(name: SegmentRef, segment: &Segment) -> Listed {
    Listed {
        segment: name,
        id: segment.id,
        start: segment.start,
        duration: segment.duration,
        sharing: match segment.sharing {
            p2pcdn_manifest::Sharing::Shared => Sharing::Shared,
            p2pcdn_manifest::Sharing::Never(_) => Sharing::HttpOnly,
        },
    }
}

/// The links' view of the tracks that the session is in.
pub(super) fn joined_tracks(tracks: &[SessionTrack]) -> Vec<(TrackIndex, TrackId, Role)> {
    tracks.iter().filter_map(SessionTrack::joined).collect()
}
