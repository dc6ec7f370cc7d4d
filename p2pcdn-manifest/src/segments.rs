//! The segments of one track, as last loaded.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{MediaTime, OrdinalRange, UnixTime};

use crate::{
    key::KeyUrls,
    listed::Compared,
    lookup::{Found, Likeness, Place, Wanted},
    rows::Rows,
    segment::{NeverReason, Part, Segment, SegmentDate, Sharing},
};

/// The segments of one track, as last loaded: oldest first, their ordinals ascending.
///
/// They are kept in a few dozen bytes each and made into [`Segment`]s when asked for, so that
/// hours of segments cost little to read again every 2 s. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    pub(crate) rows: Rows,
    pub(crate) never_shared: Arc<KeyUrls>,
    pub(crate) parts: Arc<[Part]>,
    /// A date that the list no longer states: where it lies on the timeline.
    pub(crate) anchor: Option<(MediaTime, UnixTime)>,
    /// HLS: what the playlist says of stretches of time (`EXT-X-DATERANGE`), such as
    /// advertisements.
    #[cfg(feature = "hls")]
    pub date_ranges: Arc<[crate::hls::DateRange]>,
    /// No segment lasts longer than this, rounded to the second. At least 1 s.
    pub target_duration: Duration,
    /// Low-latency streams: no part lasts longer than this.
    pub part_target: Option<Duration>,
    /// How far behind the live edge the publisher wants players to be; `None` when the manifest
    /// does not say. HLS: `PART-HOLD-BACK` or `HOLD-BACK`; DASH: `suggestedPresentationDelay`.
    pub live_delay: Option<Duration>,
    /// Whether segments will come and go.
    pub liveness: Liveness,
    /// Where the newest segment ends on the timeline of the presentation.
    pub live_edge: MediaTime,
    /// How often the track's numbering started anew while this viewer watched; 0 at first. Ids
    /// of an earlier epoch are no longer worth advertising.
    pub epoch: u32,
}

/// Whether the list of segments still changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// Segments are added at the end and leave at the start.
    Live,
    /// Segments are added at the end, none leaves.
    Event,
    /// It will not change: on demand, or a live stream that is over.
    Ended,
}

impl Segments {
    /// How many are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ordinals listed: from that of the first segment, or of the one to come when there is
    /// none.
    #[must_use]
    pub fn window(&self) -> OrdinalRange {
        self.rows.window()
    }

    /// The segment at this place of the list, from 0.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<Segment> {
        let mut segment = self.rows.segment(index, &self.never_shared)?;
        segment.date = self.date(index, segment.start);
        Some(segment)
    }

    /// The oldest segment.
    #[must_use]
    pub fn first(&self) -> Option<Segment> {
        self.at(0)
    }

    /// The newest segment.
    #[must_use]
    pub fn last(&self) -> Option<Segment> {
        self.at(self.len().checked_sub(1)?)
    }

    /// The segment with this ordinal.
    #[must_use]
    pub fn segment(&self, ordinal: u64) -> Option<Segment> {
        self.at(self.rows.index_of(ordinal)?)
    }

    /// The segment that plays at `time`: the last one that begins at or before it and ends after
    /// it.
    #[must_use]
    pub fn segment_at(&self, time: MediaTime) -> Option<Segment> {
        let after = self.rows.partition_point(|start, _| start <= time);
        let segment = self.at(after.checked_sub(1)?)?;
        (time < segment.end()).then_some(segment)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Segment> + ExactSizeIterator {
        (0..self.len()).map(|index| self.at(index).expect("the index is below the length"))
    }

    /// Those that end after `time`, oldest first.
    pub fn ending_after(&self, time: MediaTime) -> impl DoubleEndedIterator<Item = Segment> {
        let ended = |start: MediaTime, duration: Duration| start + duration <= time;
        self.skipping(self.rows.partition_point(ended))
    }

    /// Those with this ordinal or a higher one, oldest first.
    pub fn from_ordinal(&self, ordinal: u64) -> impl DoubleEndedIterator<Item = Segment> {
        self.skipping(self.rows.index_from(ordinal))
    }

    /// The parts listed, oldest first: of the newest segments, and of one that is not complete yet.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Where the oldest segment begins on the timeline of the presentation; the live edge when
    /// there is none.
    #[must_use]
    pub fn start(&self) -> MediaTime {
        self.rows.start(0).unwrap_or(self.live_edge)
    }

    fn skipping(&self, count: usize) -> impl DoubleEndedIterator<Item = Segment> {
        (count..self.len()).filter_map(|index| self.at(index))
    }

    /// When the segment at `index`, which begins at `start`, was made.
    pub(crate) fn date(&self, index: usize, start: MediaTime) -> Option<SegmentDate> {
        let anchor = match self.rows.dated(index) {
            Some((at, date)) if at == index => return Some(SegmentDate::Explicit(date)),
            Some((at, date)) => Some((self.rows.start(at)?, date)),
            None => self.anchor,
        };
        anchor.map(|(at, date)| SegmentDate::Extrapolated(shifted(date, at, start)))
    }

    /// Whether two segments are the same when made, computed dates aside.
    pub(crate) fn makes_same(&self, index: usize, other: &Self, at: usize) -> bool {
        let made = |list: &Self, index: usize| {
            let mut segment = list.at(index)?;
            segment.date = segment.date.filter(|date| date.explicit().is_some());
            Some(segment)
        };
        let own = made(self, index);
        own.is_some() && own == made(other, at)
    }

    /// Whether a segment of two lists of the same scope is the same in all but a computed date.
    /// `compared` is of the same two lists each time.
    pub(crate) fn is_same<'a>(
        &'a self,
        index: usize,
        other: &'a Self,
        at: usize,
        compared: &mut Compared<'a>,
    ) -> bool {
        self.rows.start(index) == other.rows.start(at)
            && self.rows.is_same(index, &other.rows, at, compared)
            && (self.has_keys_of(other)
                || self.rows.is_shared_alike(
                    (index, &self.never_shared),
                    &other.rows,
                    (at, &other.never_shared),
                    compared,
                ))
    }

    /// Whether the same URLs are keys to both, given that keys are never forgotten.
    fn has_keys_of(&self, other: &Self) -> bool {
        let (one, other) = (&self.never_shared, &other.never_shared);
        (one.count(), one.overflowed()) == (other.count(), other.overflowed())
    }

    /// Never shares these URLs, whatever is listed under them.
    pub(crate) fn withdraw(&mut self, keys: &Arc<KeyUrls>) {
        self.never_shared = keys.clone();
        let is_key = |part: &Part| part.sharing == Sharing::Shared && keys.contains(&part.url);
        if self.parts.iter().any(is_key) {
            for part in Arc::make_mut(&mut self.parts) {
                if is_key(part) {
                    part.sharing = Sharing::Never(NeverReason::KeyUrl);
                }
            }
        }
    }

    /// Bytes of memory that they take, what is shared with other lists aside.
    #[must_use]
    pub fn retained_len(&self) -> usize {
        size_of::<Self>() + self.rows.retained_len() + size_of_val::<[Part]>(&self.parts)
    }

    /// What of `wanted` they are; see [`Presentation::resource`](crate::Presentation::resource).
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> Option<Found> {
        // Many parts may be ranges of one resource.
        let mut last: Option<(&str, Option<Likeness>)> = None;
        let parts = self.parts.iter().rev().filter_map(|part| {
            let likeness = match last {
                Some((url, likeness)) if url == &*part.url => likeness,
                _ => wanted.is(&part.url),
            };
            last = Some((&part.url, likeness));
            let place = Place::Part(part.ordinal, part.index);
            Some(wanted.found(likeness?, part.range, place))
        });
        parts.chain(self.rows.find(wanted)).reduce(Found::better)
    }
}

/// `date`, which lies at `from`, moved to where `to` is.
fn shifted(date: UnixTime, from: MediaTime, to: MediaTime) -> UnixTime {
    let nanos = to.as_nanos().saturating_sub(from.as_nanos());
    UnixTime::from_micros(date.as_micros().saturating_add(nanos / 1000))
}
