//! Segments that a manifest lists by a rule, with all that it takes to name them.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{MediaTime, OrdinalRange, UnixTime};

use crate::{
    dash::{ListedSegment, SegmentWindow},
    identity::SegmentNamer,
    key::{Key, KeyUrls},
    listed::{sharing, with_keys},
    lookup::{Found, Place, Wanted},
    segment::{InitSegment, NeverReason, Segment, Sharing},
};

/// Segments that a manifest lists by a rule, with all that it takes to name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Computed {
    pub(crate) window: SegmentWindow,
    pub(crate) numbering: Numbering,
    pub(crate) namer: SegmentNamer,
    pub(crate) init: Option<Arc<InitSegment>>,
    pub(crate) keys: Arc<[Key]>,
    /// How long a segment counts whose duration the manifest does not say.
    pub(crate) default_duration: Duration,
}

/// What the ordinals of segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// Their numbers, which also name them.
    Number,
    /// Their numbers, while they are named by time: a list that does not change any more.
    NumberNamedByTime,
    /// Their times, in a list whose beginning will be forgotten.
    Time,
    /// Their numbers and places in segment sequences (`S@k`), which have one number.
    Sequence,
}

impl Computed {
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.window.count()).unwrap_or(usize::MAX)
    }

    fn at(&self, index: usize) -> Option<u64> {
        let index = u64::try_from(index).ok()?;
        self.window.first_index().checked_add(index)
    }

    /// One whose URL is none is in its place all the same, with an empty URL.
    fn listed(&self, index: usize) -> Option<ListedSegment> {
        let index = self.at(index)?;
        let named = self.window.segment(index);
        named.or_else(|| self.window.without_url(index))
    }

    fn ordinal_of(&self, number: u64, time: Option<u64>, sub_number: u64) -> u64 {
        match self.numbering {
            // The segments of a sequence have one time and come one tick apart: none is as short.
            Numbering::Time => time.unwrap_or(number).saturating_add(sub_number),
            Numbering::Number | Numbering::NumberNamedByTime => number,
            Numbering::Sequence => number
                .saturating_mul(MAX_SEQUENCE_LEN)
                .saturating_add(sub_number.min(MAX_SEQUENCE_LEN - 1)),
        }
    }

    pub(crate) fn ordinal(&self, index: usize) -> u64 {
        let Some(it) = self.at(index).and_then(|index| self.window.times(index)) else {
            return self.window().end;
        };
        self.ordinal_of(it.number, Some(it.time), it.sub_number)
    }

    pub(crate) fn window(&self) -> OrdinalRange {
        let ordinal = |index: u64| {
            let it = self.window.times(index)?;
            Some(self.ordinal_of(it.number, Some(it.time), it.sub_number))
        };
        let first = ordinal(self.window.first_index());
        let last = self.window.end_index().checked_sub(1).and_then(ordinal);
        match (first, last) {
            (Some(first), Some(last)) => {
                OrdinalRange::new(first, last.max(first).saturating_add(1))
            }
            _ => OrdinalRange::new(0, 0),
        }
    }

    pub(crate) fn index_of(&self, ordinal: u64) -> Option<usize> {
        let index = self.index_from(ordinal);
        (index < self.len() && self.ordinal(index) == ordinal).then_some(index)
    }

    pub(crate) fn index_from(&self, ordinal: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.ordinal(middle) < ordinal {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    pub(crate) fn place(&self, index: usize) -> Option<(MediaTime, Duration)> {
        let it = self.window.times(self.at(index)?)?;
        Some((it.start, self.duration(it.duration)))
    }

    fn duration(&self, stated: Duration) -> Duration {
        match stated.is_zero() {
            true => self.default_duration,
            false => stated,
        }
    }

    /// None: a live MPD dates all of its timeline, and no segment by itself.
    pub(crate) fn dated(&self, _index: usize) -> Option<(usize, UnixTime)> {
        None
    }

    pub(crate) fn segment(&self, index: usize, keys: &KeyUrls) -> Option<Segment> {
        let listed = self.listed(index)?;
        let ordinal = self.ordinal_of(listed.number, listed.time, listed.sub_number);
        let empty = listed.range.is_some_and(|range| range.is_empty());
        Some(Segment {
            id: self.id(&listed, ordinal),
            ordinal,
            range: listed.range,
            start: listed.start,
            duration: self.duration(listed.duration.unwrap_or_default()),
            discontinuity_sequence: 0,
            date: None,
            init: self.init.as_ref().map(|init| with_keys(init, keys)),
            keys: self.keys.clone(),
            sharing: match empty {
                true => Sharing::Never(NeverReason::NotFetchable),
                false => sharing(&listed.url, keys),
            },
            url: listed.url,
        })
    }

    fn id(&self, listed: &ListedSegment, ordinal: u64) -> p2pcdn_wire::SegmentId {
        let name = match (self.numbering, listed.time) {
            (Numbering::NumberNamedByTime, Some(time)) => time.saturating_add(listed.sub_number),
            _ => ordinal,
        };
        self.namer.media(&listed.first_url, name, listed.range)
    }

    /// What of `wanted` it is.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> Option<Found> {
        let init = self.init.iter().filter_map(|init| {
            let place = Place::Init(init.id);
            Some(wanted.found(wanted.is(&init.url)?, init.range, place))
        });
        let candidates = self.window.candidates(wanted.url);
        let segments = candidates.into_iter().filter_map(|index| {
            let listed = self.window.segment(index)?;
            let ordinal = self.ordinal_of(listed.number, listed.time, listed.sub_number);
            let likeness = wanted.is(&listed.url)?;
            Some(wanted.found(likeness, listed.range, Place::Segment(ordinal)))
        });
        init.chain(segments).min()
    }

    pub(crate) fn has_path_of(&self, index: usize, other: &Self, at: usize) -> bool {
        match (self.listed(index), other.listed(at)) {
            (Some(a), Some(b)) => (&a.first_url, a.range) == (&b.first_url, b.range),
            _ => false,
        }
    }

    /// Whether the same number and time mean the same segment in two lists.
    pub(crate) fn has_scope_of(&self, other: &Self) -> bool {
        self.namer == other.namer
            && self.init == other.init
            && self.keys == other.keys
            && self.window.has_names_of(&other.window)
    }

    pub(crate) fn is_same(&self, index: usize, other: &Self, at: usize) -> bool {
        let own = self.at(index).and_then(|index| self.window.said_of(index));
        let others = other.at(at).and_then(|at| other.window.said_of(at));
        own.is_some() && own == others
    }

    pub(crate) fn retained_len(&self) -> usize {
        size_of::<Self>() + self.window.retained_len()
    }
}

/// Segments of one sequence that have ordinals of their own.
const MAX_SEQUENCE_LEN: u64 = 1 << 16;
