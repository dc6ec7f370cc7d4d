//! The segments of a list, however it is written.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{MediaTime, OrdinalRange, UnixTime};

#[cfg(feature = "dash")]
use crate::computed::Computed;
use crate::{
    key::KeyUrls,
    listed::{Compared, Listed},
    lookup::{Found, Wanted},
    segment::Segment,
};

/// The segments of a list, however it is written. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// One by one.
    Listed(Arc<Listed>),
    /// As a rule.
    #[cfg(feature = "dash")]
    Computed(Arc<Computed>),
}

/// Calls the same method of whichever it is.
macro_rules! either {
    ($rows:expr, $it:ident => $call:expr) => {
        match $rows {
            Rows::Listed($it) => $call,
            #[cfg(feature = "dash")]
            Rows::Computed($it) => $call,
        }
    };
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        either!(self, it => it.len())
    }

    pub(crate) fn ordinal(&self, index: usize) -> u64 {
        either!(self, it => it.ordinal(index))
    }

    pub(crate) fn window(&self) -> OrdinalRange {
        either!(self, it => it.window())
    }

    pub(crate) fn index_of(&self, ordinal: u64) -> Option<usize> {
        either!(self, it => it.index_of(ordinal))
    }

    /// The first place with this ordinal or a higher one.
    pub(crate) fn index_from(&self, ordinal: u64) -> usize {
        either!(self, it => it.index_from(ordinal))
    }

    /// Where a segment begins on the timeline, and how long it plays.
    pub(crate) fn place(&self, index: usize) -> Option<(MediaTime, Duration)> {
        either!(self, it => it.place(index))
    }

    pub(crate) fn start(&self, index: usize) -> Option<MediaTime> {
        Some(self.place(index)?.0)
    }

    pub(crate) fn durations(&self) -> impl DoubleEndedIterator<Item = Duration> {
        (0..self.len()).map(|index| self.place(index).unwrap_or_default().1)
    }

    /// How many segments there are at the start for which `is_before(start, duration)` holds.
    pub(crate) fn partition_point(&self, is_before: impl Fn(MediaTime, Duration) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let (start, duration) = self.place(middle).unwrap_or_default();
            match is_before(start, duration) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// The segment from which the date of another is computed: itself if it has one, else the one
    /// before it that has, else the first that has.
    pub(crate) fn dated(&self, index: usize) -> Option<(usize, UnixTime)> {
        either!(self, it => it.dated(index))
    }

    /// Without a computed date.
    pub(crate) fn segment(&self, index: usize, keys: &KeyUrls) -> Option<Segment> {
        either!(self, it => it.segment(index, keys))
    }

    /// What of `wanted` it is.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> Option<Found> {
        either!(self, it => it.find(wanted))
    }

    /// Whether two segments have the same canonical path and range.
    pub(crate) fn has_path_of(&self, index: usize, other: &Self, at: usize) -> bool {
        match (self, other) {
            (Self::Listed(one), Self::Listed(other)) => one.has_path_of(index, other, at),
            #[cfg(feature = "dash")]
            (Self::Computed(one), Self::Computed(other)) => one.has_path_of(index, other, at),
            #[cfg(feature = "dash")]
            _ => false,
        }
    }

    /// Whether the same references mean the same URLs and names in two lists.
    pub(crate) fn has_scope_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listed(one), Self::Listed(other)) => one.has_scope_of(other),
            #[cfg(feature = "dash")]
            (Self::Computed(one), Self::Computed(other)) => one.has_scope_of(other),
            #[cfg(feature = "dash")]
            _ => false,
        }
    }

    /// Whether the manifest says the same of the segments at two places of two lists of the same
    /// scope.
    pub(crate) fn is_same<'a>(
        &'a self,
        index: usize,
        other: &'a Self,
        at: usize,
        compared: &mut Compared<'a>,
    ) -> bool {
        match (self, other) {
            (Self::Listed(one), Self::Listed(other)) => one.is_same(index, other, at, compared),
            #[cfg(feature = "dash")]
            (Self::Computed(one), Self::Computed(other)) => one.is_same(index, other, at),
            #[cfg(feature = "dash")]
            _ => false,
        }
    }

    /// Whether two segments that the manifest says the same of may be shared alike, and so may
    /// what a decoder needs before them. `compared` is of the same lists and keys each time.
    pub(crate) fn is_shared_alike<'a>(
        &'a self,
        (index, keys): (usize, &KeyUrls),
        other: &'a Self,
        (at, other_keys): (usize, &KeyUrls),
        compared: &mut Compared<'a>,
    ) -> bool {
        match (self, other) {
            (Self::Listed(one), Self::Listed(other)) => {
                one.is_shared_alike((index, keys), other, (at, other_keys), compared)
            }
            #[cfg(feature = "dash")]
            _ => {
                let sharing = |rows: &Self, index: usize, keys: &KeyUrls| {
                    let segment = rows.segment(index, keys)?;
                    Some((segment.sharing, segment.init.map(|init| init.sharing)))
                };
                sharing(self, index, keys) == sharing(other, at, other_keys)
            }
        }
    }

    /// Whether they are one and the same.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listed(one), Self::Listed(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "dash")]
            (Self::Computed(one), Self::Computed(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "dash")]
            _ => false,
        }
    }

    /// Bytes of memory.
    pub(crate) fn retained_len(&self) -> usize {
        either!(self, it => it.retained_len())
    }

    /// The list itself, to be changed while nobody else has it.
    pub(crate) fn listed_mut(&mut self) -> Option<&mut Listed> {
        match self {
            Self::Listed(listed) => Some(Arc::make_mut(listed)),
            #[cfg(feature = "dash")]
            Self::Computed(_) => None,
        }
    }

    /// The list itself if it is written one by one.
    pub(crate) fn listed(&self) -> Option<&Arc<Listed>> {
        match self {
            Self::Listed(listed) => Some(listed),
            #[cfg(feature = "dash")]
            Self::Computed(_) => None,
        }
    }
}
