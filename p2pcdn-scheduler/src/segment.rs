//! What is known of one segment and of the track that it belongs to.

use std::time::Duration;

use p2pcdn_wire::{
    BitRate, BlockRange, BlockSet, Instant, MediaTime, OrdinalRange, Role, SegmentId, SegmentRef,
    TrackIndex, block_count,
};

use crate::{
    io::{FetchFailure, Growth, Listed, MediaSpan, Sharing},
    range_set::RangeSet,
};

/// One listed segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentRef,
    pub(crate) id: SegmentId,
    pub(crate) start: MediaTime,
    pub(crate) duration: Duration,
    pub(crate) sharing: Sharing,
    /// In bytes, once the block map or the origin told.
    pub(crate) len: Option<u64>,
    pub(crate) has_map: bool,
    pub(crate) verified: BlockSet,
    /// Blocks that were served to somebody.
    pub(crate) served: BlockSet,
    pub(crate) duty: Duty,
    pub(crate) completed: bool,
    /// Boxed, because of a window of segments only a few are being worked at.
    work: Option<Box<Work>>,
}

/// What there is of a segment only while it is on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Held, but not known to match a block map.
    pub(crate) private: BlockSet,
    /// Arrived from peers before the block map.
    pub(crate) quarantined: BlockSet,
    /// Asked of peers and still expected.
    pub(crate) requested: BlockSet,
    /// The intent that neighbours were told, while it is renewed.
    pub(crate) promise: Option<Promise>,
    pub(crate) retry: Retry,
    pub(crate) announced: Announced,
}

impl Work {
    const NONE: Self = Self {
        private: BlockSet::new(),
        quarantined: BlockSet::new(),
        requested: BlockSet::new(),
        promise: None,
        retry: Retry {
            failures: 0,
            not_before: Instant::EPOCH,
        },
        announced: Announced { count: 0, at: None },
    };
}

/// What a segment that nobody works at has of it.
static NO_WORK: Work = Work::NONE;

/// Where a segment stands in the duty election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Not wanted so far.
    Unknown,
    /// Nobody is known to fetch it; our turn comes at `turn_at`.
    Open { turn_at: Instant },
    /// Somebody was to bring it and did not; our turn comes at `turn_at`.
    Reopened { turn_at: Instant },
    /// A neighbour holds, intends or delivers it.
    Supported,
    /// We told our neighbours that we fetch it.
    Ours,
}

/// An intent that stands although neighbours cannot be told of blocks, because the block map is not
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) lifetime: Duration,
    pub(crate) renew_at: Instant,
    /// Not renewed from then on: a map that takes longer may never come.
    pub(crate) until: Instant,
}

/// After failed HTTP attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) failures: u32,
    pub(crate) not_before: Instant,
}

impl Retry {
    /// Doubles from 100 ms up to 3 s, where hls.js and Shaka retry a segment too; the first
    /// retry of a broken transfer is immediate.
    pub(crate) fn failed(&mut self, failure: FetchFailure, now: Instant) {
        let at_once = self.failures == 0 && failure == FetchFailure::Transient;
        let pause = match self.failures.min(5) {
            _ if at_once => Duration::ZERO,
            doublings => Duration::from_millis(100) * (1 << doublings),
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause.min(Duration::from_secs(3));
    }
}

/// What neighbours were told of a segment in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Verified blocks that were there then.
    pub(crate) count: u32,
    /// When; `None` if never.
    pub(crate) at: Option<Instant>,
}

impl Segment {
    pub(crate) fn new(listed: Listed) -> Self {
        Self {
            name: listed.segment,
            id: listed.id,
            start: listed.start,
            duration: listed.duration,
            sharing: listed.sharing,
            len: None,
            has_map: false,
            verified: BlockSet::new(),
            served: BlockSet::new(),
            duty: Duty::Unknown,
            completed: false,
            work: None,
        }
    }

    pub(crate) fn work(&self) -> &Work {
        self.work.as_deref().unwrap_or(&NO_WORK)
    }

    /// To change it; [`tidy`](Self::tidy) comes after.
    pub(crate) fn work_mut(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Adds blocks that are not verified, as far as they are not.
    pub(crate) fn hold_unverified(&mut self, private: &BlockSet, quarantined: &BlockSet) {
        if self.work.is_none() && private.is_empty() && quarantined.is_empty() {
            return;
        }
        let work = self.work.get_or_insert_default();
        work.private.union_with(private);
        work.private.subtract(&self.verified);
        work.quarantined.union_with(quarantined);
        work.quarantined.subtract(&self.verified);
        work.quarantined.subtract(&work.private);
    }

    /// Frees what is no longer of use.
    pub(crate) fn tidy(&mut self) {
        if let Some(work) = &mut self.work {
            if self.completed {
                // Said with the news that all of it is there.
                work.announced = Announced::default();
            }
            if **work == Work::NONE {
                self.work = None;
            }
        }
    }

    pub(crate) fn end(&self) -> MediaTime {
        self.start + self.duration
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.sharing == Sharing::Shared
    }

    /// Whether neighbours may have been told that we hold it, its block map at least.
    pub(crate) fn is_told(&self) -> bool {
        self.is_shared() && self.has_map
    }

    /// Takes note of whether all of it is there; returns whether that is new.
    pub(crate) fn completes(&mut self) -> bool {
        let is_complete = self.missing().is_some_and(|missing| missing.is_empty());
        let completes = is_complete && !self.completed;
        self.completed |= is_complete;
        completes
    }

    /// Whether all of it may be served.
    pub(crate) fn is_verified(&self) -> bool {
        self.has_map
            && self
                .len
                .is_some_and(|len| self.verified.len() == block_count(len))
    }

    /// Blocks that can be played.
    pub(crate) fn held(&self) -> BlockSet {
        let mut held = self.verified.clone();
        held.union_with(&self.work().private);
        held
    }

    /// Whether all of `blocks` can be played.
    pub(crate) fn holds_all(&self, blocks: &BlockSet) -> bool {
        self.verified.contains_all(blocks) || self.held().contains_all(blocks)
    }

    /// Blocks that cannot be played yet; `None` while the length is unknown.
    pub(crate) fn missing(&self) -> Option<BlockSet> {
        let mut missing = BlockSet::from_range(BlockRange::new(0, block_count(self.len?)));
        missing.subtract(&self.verified);
        missing.subtract(&self.work().private);
        Some(missing)
    }

    pub(crate) fn is_held_in_part(&self) -> bool {
        !self.verified.is_empty()
            || !self.work().private.is_empty()
            || !self.work().quarantined.is_empty()
    }

    /// Forgets all bytes.
    pub(crate) fn clear(&mut self) {
        self.verified.clear();
        self.served.clear();
        self.completed = false;
        if let Some(work) = &mut self.work {
            **work = Work {
                requested: std::mem::take(&mut work.requested),
                retry: work.retry,
                ..Work::NONE
            };
        }
        self.tidy();
        self.duty = Duty::Unknown;
    }

    /// Its bytes in memory, by the block.
    pub(crate) fn held_len(&self) -> u64 {
        let blocks =
            self.verified.len() + self.work().private.len() + self.work().quarantined.len();
        u64::from(blocks) * p2pcdn_wire::BLOCK_LEN
    }
}

/// A track that the session is in, with its segments in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) index: TrackIndex,
    pub(crate) role: Role,
    /// What the player takes of it.
    pub(crate) span: MediaSpan,
    pub(crate) bitrate: Option<BitRate>,
    pub(crate) growth: Growth,
    /// The first ordinal that the manifest still lists.
    pub(crate) first_listed: u64,
    pub(crate) segments: Vec<Segment>,
    /// Segments not listed yet of which neighbours spoke.
    pub(crate) news: RangeSet,
    /// The ordinals of the segments of which something is held, ascending.
    held: Vec<u64>,
    /// That of the newest segment whose length is known.
    rate: Option<BitRate>,
}

/// Assumed of a track that declares no bandwidth, until a segment's length is known.
const BITRATE_PRIOR: BitRate = BitRate::from_bps(3_000_000);

impl Track {
    pub(crate) fn new(index: TrackIndex, role: Role, bitrate: Option<BitRate>) -> Self {
        Self {
            index,
            role,
            span: MediaSpan::ALL,
            bitrate,
            growth: Growth::Live,
            first_listed: 0,
            segments: Vec::new(),
            news: RangeSet::default(),
            held: Vec::new(),
            rate: None,
        }
    }

    /// Adds newly listed segments; returns those that were new.
    pub(crate) fn list(&mut self, listed: Vec<Listed>) -> Vec<SegmentRef> {
        let mut added = Vec::new();
        self.segments.reserve_exact(listed.len());
        for entry in listed {
            match self.find(entry.segment.ordinal) {
                Ok(_) => {}
                Err(at) => {
                    added.push(entry.segment);
                    self.segments.insert(at, Segment::new(entry));
                }
            }
        }
        self.note_lengths();
        if let Some(newest) = self.newest().map(|segment| segment.name.ordinal) {
            self.news
                .remove(OrdinalRange::new(0, newest.saturating_add(1)));
        }
        added
    }

    /// Forgets all segments, because their numbering started anew.
    pub(crate) fn forget_segments(&mut self) {
        self.segments = Vec::new();
        self.news = RangeSet::default();
        self.held = Vec::new();
        self.rate = None;
    }

    /// The index of the segment with this ordinal, or where it would be.
    pub(crate) fn find(&self, ordinal: u64) -> Result<usize, usize> {
        // Consecutive ordinals, as HLS has them, need no search.
        let guess = self
            .segments
            .first()
            .and_then(|first| usize::try_from(ordinal.checked_sub(first.name.ordinal)?).ok());
        if let Some(at) = guess
            && self
                .segments
                .get(at)
                .is_some_and(|segment| segment.name.ordinal == ordinal)
        {
            return Ok(at);
        }
        self.segments
            .binary_search_by_key(&ordinal, |segment| segment.name.ordinal)
    }

    /// The segment of this name, unless another content stands in its place.
    pub(crate) fn get(&self, name: SegmentRef) -> Option<&Segment> {
        let segment = &self.segments[self.find(name.ordinal).ok()?];
        (segment.name.tag == name.tag).then_some(segment)
    }

    pub(crate) fn get_mut(&mut self, name: SegmentRef) -> Option<&mut Segment> {
        let at = self.find(name.ordinal).ok()?;
        let segment = &mut self.segments[at];
        (segment.name.tag == name.tag).then_some(segment)
    }

    /// How far apart ordinals are at the end: 1 where they are numbers, more where they are times.
    pub(crate) fn spacing(&self) -> u64 {
        let mut newest = self
            .segments
            .iter()
            .rev()
            .map(|segment| segment.name.ordinal);
        let last = newest.next().zip(newest.next());
        last.map_or(1, |(last, before)| last.saturating_sub(before).max(1))
    }

    pub(crate) fn newest(&self) -> Option<&Segment> {
        self.segments.last()
    }

    /// Whether the viewer plays it.
    pub(crate) fn is_watched(&self) -> bool {
        self.role == Role::Watching
    }

    /// The place of the first segment that ends after `from`.
    pub(crate) fn first_needed(&self, from: MediaTime) -> usize {
        self.segments
            .partition_point(|segment| segment.end() <= from)
    }

    /// The segments that the player takes of it within `span`.
    pub(crate) fn wanted(&self, span: MediaSpan) -> impl Iterator<Item = &Segment> + '_ {
        let span = span.intersection(self.span);
        self.segments[self.first_needed(span.from)..]
            .iter()
            .take_while(move |segment| segment.start < span.until)
    }

    /// Where the first segment that starts at `horizon` or later starts.
    pub(crate) fn first_from(&self, horizon: MediaTime) -> Option<MediaTime> {
        let at = self
            .segments
            .partition_point(|segment| segment.start < horizon);
        self.segments.get(at).map(|segment| segment.start)
    }

    /// Takes note of a segment's new length, or that there are other segments.
    pub(crate) fn note_lengths(&mut self) {
        let newest = self.segments.iter().rev().take(LEN_SAMPLES);
        self.rate = newest
            .filter(|one| !one.duration.is_zero())
            .find_map(|one| Some(BitRate::from_transfer(one.len?, one.duration)));
    }

    /// Takes note of whether anything of a segment is held.
    pub(crate) fn note_held(&mut self, ordinal: u64, is_held: bool) {
        match self.held.binary_search(&ordinal) {
            Err(at) if is_held => {
                self.held.reserve_exact(1);
                self.held.insert(at, ordinal);
            }
            Ok(at) if !is_held => drop(self.held.remove(at)),
            _ => {}
        }
    }

    /// The segments of which something is held.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Segment> {
        let ordinals = self.held.iter();
        ordinals.filter_map(|ordinal| self.segments.get(self.find(*ordinal).ok()?))
    }

    /// How long `segment` probably is, in bytes: as the newest one whose length is known, else as
    /// the declared bandwidth has it.
    pub(crate) fn expected_len(&self, segment: &Segment) -> u64 {
        segment.len.unwrap_or_else(|| {
            let bitrate = self.rate.or(self.bitrate).unwrap_or(BITRATE_PRIOR);
            bitrate.bytes_in(segment.duration)
        })
    }
}

/// Segments that are looked at for a length: the live window of most streams.
const LEN_SAMPLES: usize = 16;
