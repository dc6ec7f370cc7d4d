//! What is known of one connected peer.

use std::{collections::VecDeque, time::Duration};

use p2pcdn_wire::{
    BLOCK_LEN, BitRate, BlockSet, Instant, MAX_DURATION, MAX_TRACKS, OrdinalRange, PeerId,
    RequestId, Role, Said, SegmentRef, TrackIndex, UploadClass,
};

use crate::{
    choice::Worth, election::Voter, pacing::Base, range_set::RangeSet, scheduler::earliest,
    upload::Upload,
};

/// Round-trip time assumed until the link measured one: a domestic one.
const RTT_PRIOR: Duration = Duration::from_millis(50);

/// Rate assumed of a peer until blocks arrived: 4 Mb/s, the slower half of domestic uplinks.
const RATE_PRIOR: BitRate = BitRate::from_bps(4_000_000);

/// The least rate assumed of a peer: one block in two minutes, far beyond the longest wait.
const MIN_RATE: BitRate = BitRate::from_bps(1_000);

/// Statements about segments not listed yet that are kept for each neighbour: have, intent and
/// progress of three segments, some of it repeated.
const MAX_EARLY: usize = 16;

/// Segments in progress, intents and runs of complete segments that are kept for each neighbour
/// and track; a viewer has a handful of the former and one run a gap of the latter.
const MAX_PARTIAL: usize = 32;
const MAX_INTENTS: usize = 8;
const MAX_RUNS: usize = 256;

/// How long a peer that rejected a request is left alone, at first; and the more often it is
/// doubled, the longer nothing of it came in between.
const REJECT_PAUSE: Duration = Duration::from_millis(100);
const MAX_REJECT_DOUBLINGS: u32 = 4;

/// The longest wait for the next block of a peer.
const MAX_PATIENCE: Duration = Duration::from_secs(3);

/// Blocks that may be outstanding at a peer: 256 KiB, what its send buffer holds.
const MAX_WINDOW: usize = 16;

/// One connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) peer: PeerId,
    pub(crate) voter: Voter,
    pub(crate) class: UploadClass,
    pub(crate) rtt: Duration,
    pub(crate) tracks: Vec<NeighbourTrack>,
    /// What it said about segments that the manifest does not list yet.
    early: VecDeque<Early>,
    pub(crate) outstanding: Vec<Outstanding>,
    pub(crate) standing: Standing,
    pub(crate) worth: Worth,
    /// Its requests, waiting to be served.
    pub(crate) uploads: Vec<Upload>,
    /// How long it takes to get there when nothing queues.
    pub(crate) base: Base,
    /// Bytes that the transport takes now.
    pub(crate) credit: u64,
    recent_len: u64,
    recent_time: Duration,
    /// What the two come to.
    rate: BitRate,
    last_block_at: Instant,
    /// When a block was last served to it.
    pub(crate) served_at: Instant,
    next_request: u32,
}

/// A statement about a segment that the manifest does not list yet.
#[derive(Clone, Debug)]
struct Early {
    said: Said,
    heard_at: Instant,
}

/// What a neighbour does and holds in one track.
#[derive(Clone, Debug)]
pub(crate) struct NeighbourTrack {
    pub(crate) index: TrackIndex,
    pub(crate) role: Role,
    complete: RangeSet,
    mapped: RangeSet,
    partial: Vec<Partial>,
    intents: Vec<Intent>,
}

#[derive(Clone, Debug)]
struct Partial {
    ordinal: u64,
    segment_len: u64,
    blocks: BlockSet,
}

#[derive(Clone, Copy, Debug)]
struct Intent {
    ordinal: u64,
    expires_at: Instant,
}

/// What was requested of a neighbour and has not come yet.
#[derive(Clone, Debug)]
pub(crate) struct Outstanding {
    pub(crate) request: RequestId,
    pub(crate) segment: SegmentRef,
    pub(crate) blocks: BlockSet,
    /// When the wait for its next block ends.
    pub(crate) lapses_at: Instant,
}

/// How far a neighbour's word is good. Broken promises make it wait, kept ones restore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests that lapsed, less those that were served since.
    strikes: u32,
    lapsed_intents: u32,
    shunned_until: Instant,
    /// Rejects since a block came of it.
    rejects: u32,
    rests_until: Instant,
}

/// Intents that may lapse before a neighbour's intents count for nothing.
const MAX_LAPSED_INTENTS: u32 = 2;

impl Standing {
    /// Whether requests go to it.
    pub(crate) fn may_be_asked(&self, now: Instant) -> bool {
        self.may_be_asked_at() <= now
    }

    pub(crate) fn may_be_asked_at(&self) -> Instant {
        self.shunned_until.max(self.rests_until)
    }

    /// Whether anybody waits because of what it says.
    pub(crate) fn is_believed(&self, now: Instant) -> bool {
        self.shunned_until <= now && self.strikes < 2
    }

    fn intents_count(&self, now: Instant) -> bool {
        self.is_believed(now) && self.lapsed_intents < MAX_LAPSED_INTENTS
    }

    /// A request was not served in time: no requests for a time that doubles from 0.5 s to 32 s.
    pub(crate) fn broke_a_promise(&mut self, now: Instant) {
        let pause = Duration::from_millis(500) * (1 << self.strikes.min(6));
        self.strikes = self.strikes.saturating_add(1);
        self.shunned_until = now + pause;
    }

    fn kept_a_promise(&mut self) {
        self.strikes = self.strikes.saturating_sub(1);
        self.rejects = 0;
    }

    /// It rejected a request: whoever has no room now is not asked at once again.
    pub(crate) fn rejected(&mut self, now: Instant) {
        let pause = REJECT_PAUSE * (1 << self.rejects.min(MAX_REJECT_DOUBLINGS));
        self.rejects = self.rejects.saturating_add(1);
        self.rests_until = now + pause;
    }
}

impl Neighbour {
    pub(crate) fn new(peer: PeerId, now: Instant) -> Self {
        let mut new = Self {
            peer,
            voter: Voter::new(peer),
            class: UploadClass::default(),
            rtt: RTT_PRIOR,
            tracks: Vec::new(),
            early: VecDeque::new(),
            outstanding: Vec::new(),
            standing: Standing::default(),
            worth: Worth::new(now),
            uploads: Vec::new(),
            base: Base::new(now),
            credit: 0,
            recent_len: 2 * BLOCK_LEN,
            recent_time: RATE_PRIOR.time_for(2 * BLOCK_LEN),
            rate: MIN_RATE,
            last_block_at: now,
            served_at: Instant::EPOCH,
            next_request: 0,
        };
        new.rate = new.measured_rate();
        new
    }

    pub(crate) fn track(&self, index: TrackIndex) -> Option<&NeighbourTrack> {
        self.tracks.iter().find(|track| track.index == index)
    }

    pub(crate) fn track_mut(&mut self, index: TrackIndex) -> Option<&mut NeighbourTrack> {
        self.tracks.iter_mut().find(|track| track.index == index)
    }

    /// It is in a track; returns whether that is new, rather than a change of its role.
    pub(crate) fn joined(&mut self, index: TrackIndex, role: Role) -> bool {
        if let Some(track) = self.track_mut(index) {
            track.role = role;
            return false;
        }
        let has_room = self.tracks.len() < MAX_TRACKS;
        if has_room {
            // Most neighbours are in one track.
            self.tracks.reserve_exact(1);
            self.tracks.push(NeighbourTrack {
                index,
                role,
                complete: RangeSet::default(),
                mapped: RangeSet::default(),
                partial: Vec::new(),
                intents: Vec::new(),
            });
        }
        has_room
    }

    pub(crate) fn left(&mut self, index: TrackIndex) {
        self.tracks.retain(|track| track.index != index);
    }

    /// Keeps a statement about a segment that is not listed yet.
    pub(crate) fn keep_for_later(&mut self, said: Said, heard_at: Instant) {
        if self.early.len() == MAX_EARLY {
            self.early.pop_front();
        }
        self.early.push_back(Early { said, heard_at });
    }

    /// What was kept, each with the time at which it was said.
    pub(crate) fn take_early(&mut self) -> impl Iterator<Item = (Said, Instant)> + use<> {
        let early = std::mem::take(&mut self.early);
        early.into_iter().map(|early| (early.said, early.heard_at))
    }

    /// It gave a fetch up that may still be news.
    pub(crate) fn withdraws_early(&mut self, name: SegmentRef) {
        self.early
            .retain(|early| !matches!(early.said, Said::Intent { segment, .. } if segment == name));
    }

    /// The track's segments are numbered anew: nothing said of the old ones holds.
    pub(crate) fn forget_segments(&mut self, index: TrackIndex) {
        if let Some(track) = self.track_mut(index) {
            track.complete = RangeSet::default();
            track.mapped = RangeSet::default();
            track.partial.clear();
            track.intents.clear();
        }
        self.early.retain(|early| match &early.said {
            Said::Have { track, .. } | Said::HasMaps { track, .. } => *track != index,
            Said::Holds { segment, .. } | Said::Intent { segment, .. } => segment.track != index,
            _ => true,
        });
    }

    /// A shorter round trip is believed at once, a longer one slowly: what is wanted is the
    /// distance, not the queue of the moment.
    pub(crate) fn measured_rtt(&mut self, rtt: Duration) {
        let rtt = rtt.min(MAX_DURATION);
        let is_first = self.base.is_new();
        self.rtt = if is_first || rtt < self.rtt {
            rtt
        } else {
            (self.rtt * 7 + rtt) / 8
        };
    }

    /// Whether it plays the track, and so may be on duty.
    pub(crate) fn watches(&self, index: TrackIndex) -> bool {
        self.track(index)
            .is_some_and(|track| track.role == Role::Watching)
    }

    /// Whether it holds any bytes of the segment and is believed.
    pub(crate) fn delivers(&self, segment: SegmentRef, now: Instant) -> bool {
        self.standing.is_believed(now)
            && self.class != UploadClass::None
            && self
                .track(segment.track)
                .is_some_and(|track| track.holds_any(segment.ordinal))
    }

    /// Until when its intent to fetch the segment counts.
    pub(crate) fn intends_until(&self, segment: SegmentRef, now: Instant) -> Option<Instant> {
        if !self.standing.intents_count(now) {
            return None;
        }
        let track = self.track(segment.track)?;
        let intent = track
            .intents
            .iter()
            .find(|intent| intent.ordinal == segment.ordinal)?;
        (intent.expires_at > now).then_some(intent.expires_at)
    }

    /// Drops intents that expired, and counts those of which nothing came against those of which
    /// something did.
    /// Returns when the next one expires.
    pub(crate) fn expire_intents(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let lapsed = &mut self.standing.lapsed_intents;
        for track in &mut self.tracks {
            let (complete, partial) = (&track.complete, &track.partial);
            track.intents.retain(|intent| {
                let came = complete.contains(intent.ordinal)
                    || partial.iter().any(|part| part.ordinal == intent.ordinal);
                let is_over = intent.expires_at <= now;
                if is_over && came {
                    *lapsed = lapsed.saturating_sub(1);
                } else if is_over {
                    *lapsed = lapsed.saturating_add(1);
                } else {
                    next = earliest(next, Some(intent.expires_at));
                }
                !is_over
            });
            if track.intents.is_empty() {
                track.intents = Vec::new();
            }
        }
        next
    }

    /// Blocks that it requested and that wait to be served.
    pub(crate) fn queued_blocks(&self) -> u32 {
        self.uploads.iter().map(|upload| upload.blocks.len()).sum()
    }

    /// Blocks that it was asked for and that have not come.
    pub(crate) fn outstanding_count(&self) -> u32 {
        self.outstanding.iter().map(|out| out.blocks.len()).sum()
    }

    /// How many more blocks may be requested of it now.
    pub(crate) fn window(&self) -> usize {
        let outstanding: u32 = self.outstanding.iter().map(|out| out.blocks.len()).sum();
        let product = self.rate().bytes_in(self.rtt * 2) / BLOCK_LEN;
        let window = usize::try_from(product)
            .unwrap_or(MAX_WINDOW)
            .saturating_add(2)
            .min(MAX_WINDOW);
        window.saturating_sub(outstanding as usize)
    }

    /// How long it will take to deliver what is outstanding and one block more.
    pub(crate) fn delivery_time(&self) -> Duration {
        let outstanding: u32 = self.outstanding.iter().map(|out| out.blocks.len()).sum();
        self.rtt + self.rate().time_for(u64::from(outstanding + 1) * BLOCK_LEN)
    }

    /// The rate at which it delivers, of late.
    pub(crate) fn rate(&self) -> BitRate {
        self.rate
    }

    fn measured_rate(&self) -> BitRate {
        // Blocks that arrive together share one instant: count no more than 1 Gb/s.
        let least = BitRate::from_bps(1_000_000_000).time_for(self.recent_len);
        BitRate::from_transfer(self.recent_len, self.recent_time.max(least)).max(MIN_RATE)
    }

    /// Records a new request and returns its number.
    pub(crate) fn request(
        &mut self,
        segment: SegmentRef,
        blocks: BlockSet,
        slack: Duration,
        now: Instant,
    ) -> RequestId {
        if self.outstanding.is_empty() {
            self.last_block_at = now;
        }
        let request = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        let patience = self.patience().max(slack / 4).min(MAX_PATIENCE);
        let lapses_at = now + patience;
        self.outstanding.reserve_exact(1);
        self.outstanding.push(Outstanding {
            request,
            segment,
            blocks,
            lapses_at,
        });
        request
    }

    /// Takes note of a block that came; returns whether it was expected.
    pub(crate) fn block_arrived(
        &mut self,
        request: RequestId,
        block: u32,
        len: u32,
        now: Instant,
    ) -> bool {
        let patience = self.patience();
        let Some(at) = self
            .outstanding
            .iter()
            .position(|out| out.request == request)
        else {
            return false;
        };
        if !self.outstanding[at].blocks.remove(block) {
            // Not what was asked for, so no progress either.
            return false;
        }
        if self.outstanding[at].blocks.is_empty() {
            self.outstanding.remove(at);
        }
        if self.outstanding.is_empty() {
            self.outstanding = Vec::new();
        }
        self.standing.kept_a_promise();
        self.worth.exchanged(now);
        self.measure(len, now);
        // Requests queue up behind each other: one block is progress for all of them.
        for out in &mut self.outstanding {
            out.lapses_at = out.lapses_at.max(now + patience);
        }
        true
    }

    pub(crate) fn take_outstanding(&mut self, request: RequestId) -> Option<Outstanding> {
        let at = self
            .outstanding
            .iter()
            .position(|out| out.request == request)?;
        let taken = self.outstanding.remove(at);
        if self.outstanding.is_empty() {
            self.outstanding = Vec::new();
        }
        Some(taken)
    }

    /// Removes and returns the requests whose time is over.
    pub(crate) fn take_lapsed(&mut self, now: Instant) -> Vec<Outstanding> {
        if self.outstanding.iter().all(|out| out.lapses_at > now) {
            return Vec::new();
        }
        let (lapsed, waiting) = std::mem::take(&mut self.outstanding)
            .into_iter()
            .partition(|out| out.lapses_at <= now);
        self.outstanding = waiting;
        lapsed
    }

    /// How long to wait for the next block: twice what everything outstanding should take, at
    /// least 600 ms (a delayed acknowledgement, a scheduling delay at both ends, a burst of other
    /// neighbours' requests), at most 3 s.
    fn patience(&self) -> Duration {
        let expected = (self.rtt + self.delivery_time()) * 2;
        expected.clamp(Duration::from_millis(600), MAX_PATIENCE)
    }

    /// The rate is bytes over the time they took while something was outstanding, both fading with
    /// a weight of 1/8 a block, so that a burst after a long wait counts as the wait.
    fn measure(&mut self, len: u32, now: Instant) {
        // A longer wait was this machine asleep.
        let gap = now.saturating_duration_since(self.last_block_at);
        let gap = gap.min(MAX_PATIENCE);
        self.last_block_at = now;
        self.recent_len = self.recent_len / 8 * 7 + u64::from(len);
        self.recent_time = self.recent_time / 8 * 7 + gap;
        self.rate = self.measured_rate();
    }
}

impl NeighbourTrack {
    pub(crate) fn has(&mut self, ordinals: OrdinalRange) {
        self.complete.insert(ordinals);
        self.complete.keep_last(MAX_RUNS);
        self.partial.retain(|part| !ordinals.contains(part.ordinal));
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
    }

    pub(crate) fn has_maps(&mut self, ordinals: OrdinalRange) {
        self.mapped.insert(ordinals);
        self.mapped.keep_last(MAX_RUNS);
    }

    pub(crate) fn holds(&mut self, ordinal: u64, segment_len: u64, blocks: BlockSet) {
        match self.partial.iter_mut().find(|part| part.ordinal == ordinal) {
            Some(part) => {
                part.segment_len = segment_len;
                part.blocks = blocks;
            }
            None => {
                if self.partial.len() == MAX_PARTIAL {
                    self.partial.remove(0);
                }
                self.partial.reserve_exact(1);
                self.partial.push(Partial {
                    ordinal,
                    segment_len,
                    blocks,
                });
            }
        }
    }

    pub(crate) fn lost(&mut self, ordinals: OrdinalRange) {
        self.complete.remove(ordinals);
        self.mapped.remove(ordinals);
        // What is lost from the middle of a run leaves two.
        self.complete.keep_last(MAX_RUNS);
        self.mapped.keep_last(MAX_RUNS);
        self.partial.retain(|part| !ordinals.contains(part.ordinal));
    }

    pub(crate) fn intends(&mut self, ordinal: u64, expires_at: Instant) {
        self.withdraws(ordinal);
        if self.intents.len() == MAX_INTENTS {
            self.intents.remove(0);
        }
        self.intents.reserve_exact(1);
        self.intents.push(Intent {
            ordinal,
            expires_at,
        });
    }

    pub(crate) fn withdraws(&mut self, ordinal: u64) {
        self.intents.retain(|intent| intent.ordinal != ordinal);
        if self.intents.is_empty() {
            self.intents = Vec::new();
        }
    }

    pub(crate) fn holds_all(&self, ordinal: u64) -> bool {
        self.complete.contains(ordinal)
    }

    pub(crate) fn holds_any(&self, ordinal: u64) -> bool {
        self.holds_all(ordinal)
            || self
                .partial
                .iter()
                .any(|part| part.ordinal == ordinal && !part.blocks.is_empty())
    }

    /// Whether it is known to hold the block map.
    pub(crate) fn has_map(&self, ordinal: u64) -> bool {
        self.holds_all(ordinal)
            || self.mapped.contains(ordinal)
            || self.partial.iter().any(|part| part.ordinal == ordinal)
    }

    /// The blocks that it holds of a segment, out of `blocks`.
    pub(crate) fn holds_of(&self, ordinal: u64, blocks: &BlockSet) -> BlockSet {
        if self.holds_all(ordinal) {
            return blocks.clone();
        }
        let mut held = self
            .partial
            .iter()
            .find(|part| part.ordinal == ordinal)
            .map(|part| part.blocks.clone())
            .unwrap_or_default();
        held.intersect_with(blocks);
        held
    }

    /// The length that it states for a segment in progress.
    pub(crate) fn stated_len(&self, ordinal: u64) -> Option<u64> {
        let part = self.partial.iter().find(|part| part.ordinal == ordinal)?;
        Some(part.segment_len)
    }
}
