//! A list of segments with all that it takes to name and resolve them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime, OrdinalRange, SegmentId, UnixTime};

use crate::{
    identity::SegmentNamer,
    key::{Key, KeyUrls},
    lookup::{Found, Likeness, Place, Wanted},
    resolve::Base,
    segment::{InitSegment, NeverReason, Segment, Sharing},
    table::{Context, InitSection, Table},
};

/// A list of segments with all that it takes to name and resolve them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) table: Table,
    pub(crate) first_ordinal: u64,
    /// What references are relative to, for fetching.
    pub(crate) base: Base,
    pub(crate) namer: Arc<SegmentNamer>,
    /// Of each context of the table.
    inits: Vec<Option<Arc<InitSegment>>>,
}

impl Listed {
    /// Takes over the init segments of `old` that stayed the same.
    pub(crate) fn new(
        table: Table,
        first_ordinal: u64,
        base: Base,
        namer: Arc<SegmentNamer>,
        old: Option<&Self>,
    ) -> Self {
        let known = old.map_or(&[][..], |old| &old.inits);
        // A hostile list has one of its own for each segment.
        let known: BTreeMap<SegmentId, &Arc<InitSegment>> =
            known.iter().flatten().map(|init| (init.id, init)).collect();
        let mut inits: Vec<Option<Arc<InitSegment>>> = Vec::with_capacity(table.contexts().len());
        let mut last: Option<(&Arc<InitSection>, Arc<InitSegment>)> = None;
        for context in table.contexts() {
            let Some(section) = &context.init else {
                inits.push(None);
                continue;
            };
            let made = match &last {
                Some((made_of, init)) if Arc::ptr_eq(made_of, section) => init.clone(),
                _ => {
                    let init = init_segment(section, &base, &namer);
                    let known = known.get(&init.id).filter(|known| ****known == init);
                    known.map_or_else(|| Arc::new(init), |known| Arc::clone(known))
                }
            };
            last = Some((section, made.clone()));
            inits.push(Some(made));
        }
        Self {
            table,
            first_ordinal,
            base,
            namer,
            inits,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn window(&self) -> OrdinalRange {
        OrdinalRange::new(self.first_ordinal, self.ordinal(self.len()))
    }

    pub(crate) fn ordinal(&self, index: usize) -> u64 {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        self.first_ordinal.saturating_add(index)
    }

    pub(crate) fn index_of(&self, ordinal: u64) -> Option<usize> {
        let index = usize::try_from(ordinal.checked_sub(self.first_ordinal)?).ok()?;
        (index < self.len()).then_some(index)
    }

    /// The first place with this ordinal or a higher one.
    pub(crate) fn index_from(&self, ordinal: u64) -> usize {
        let index = ordinal.saturating_sub(self.first_ordinal);
        usize::try_from(index).map_or(self.len(), |index| index.min(self.len()))
    }

    pub(crate) fn place(&self, index: usize) -> Option<(MediaTime, Duration)> {
        self.table.place(index)
    }

    /// The segment from which the date of another is computed: itself if it has one, else the one
    /// before it that has, else the first that has.
    pub(crate) fn dated(&self, index: usize) -> Option<(usize, UnixTime)> {
        self.table.dated(index)
    }

    /// Without a date.
    pub(crate) fn segment(&self, index: usize, keys: &KeyUrls) -> Option<Segment> {
        let entry = self.table.entry(index)?;
        let context = self.table.context(index)?;
        let ordinal = self.ordinal(index);
        let url = self.base.join(entry.reference);
        let sharing = self.sharing(index, url.as_deref(), keys)?;
        Some(Segment {
            id: self.namer.media(entry.reference, ordinal, entry.range),
            ordinal,
            url: url.unwrap_or_else(|| entry.reference.into()),
            range: entry.range,
            start: entry.start,
            duration: entry.duration,
            discontinuity_sequence: context.discontinuity_sequence,
            date: None,
            init: self.init(index, keys),
            keys: context.keys.clone(),
            sharing,
        })
    }

    /// Whether a segment may be shared, whose URL is `url`.
    fn sharing(&self, index: usize, url: Option<&str>, keys: &KeyUrls) -> Option<Sharing> {
        let entry = self.table.entry(index)?;
        let no_keys = KeyUrls::default();
        let may_be_key = keys.may_contain(self.table.name(index)?);
        Some(match url {
            _ if entry.is_gap => Sharing::Never(NeverReason::Gap),
            _ if entry.range.is_some_and(|range| range.is_empty()) => NOT_FETCHABLE,
            Some(url) => sharing(url, if may_be_key { keys } else { &no_keys }),
            None => NOT_FETCHABLE,
        })
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
        let may_be_key = |list: &Self, index: usize, keys: &KeyUrls| {
            list.table
                .name(index)
                .is_some_and(|name| keys.may_contain(name))
        };
        let sharing = |list: &Self, index: usize, keys: &KeyUrls| {
            let url = list.base.join(list.table.entry(index)?.reference);
            list.sharing(index, url.as_deref(), keys)
        };
        let is_told = may_be_key(self, index, keys) || may_be_key(other, at, other_keys);
        if is_told && sharing(self, index, keys) != sharing(other, at, other_keys) {
            return false;
        }
        let init = |list: &'a Self, index: usize| {
            list.inits.get(list.table.context_index(index)?)?.as_ref()
        };
        match (init(self, index), init(other, at)) {
            (Some(a), Some(b)) => remembered(&mut compared.sharing, a, b, |a, b| {
                with_keys(a, keys).sharing == with_keys(b, other_keys).sharing
            }),
            (None, None) => true,
            _ => false,
        }
    }

    pub(crate) fn init(&self, index: usize, keys: &KeyUrls) -> Option<Arc<InitSegment>> {
        let init = self.inits.get(self.table.context_index(index)?)?.as_ref()?;
        Some(with_keys(init, keys))
    }

    /// What names a segment beside its ordinal.
    pub(crate) fn name(&self, index: usize) -> Option<Name<'_>> {
        let entry = self.table.entry(index)?;
        Some(Name(entry.reference, entry.range))
    }

    /// Whether two segments have the same canonical path and range.
    pub(crate) fn has_path_of(&self, index: usize, other: &Self, at: usize) -> bool {
        let (Some(a), Some(b)) = (self.name(index), other.name(at)) else {
            return false;
        };
        (a == b && self.namer == other.namer)
            || self.namer.media(a.0, 0, a.1) == other.namer.media(b.0, 0, b.1)
    }

    /// What of `wanted` it is, newest first.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> Option<Found> {
        let mut best: Option<Found> = None;
        let mut take = |found: Option<Found>| {
            best = match (best, found) {
                (Some(best), Some(found)) => Some(best.better(found)),
                (best, found) => best.or(found),
            };
            matches!(best, Some(Found::Exact(_)))
        };
        // Many segments may be parts of one resource.
        let mut last: Option<(&str, Option<Likeness>)> = None;
        for index in self.table.named_like(|name| wanted.may_be(name)) {
            let Some(entry) = self.table.entry(index) else {
                continue;
            };
            let likeness = match last {
                Some((reference, likeness)) if reference == entry.reference => likeness,
                _ => {
                    let url = self.base.join(entry.reference);
                    url.and_then(|url| wanted.is(&url))
                }
            };
            last = Some((entry.reference, likeness));
            let place = Place::Segment(self.ordinal(index));
            if take(likeness.map(|likeness| wanted.found(likeness, entry.range, place))) {
                return best;
            }
        }
        let mut last: Option<&Arc<InitSegment>> = None;
        for init in self.inits.iter().rev().flatten() {
            if last.is_some_and(|last| Arc::ptr_eq(last, init)) {
                continue;
            }
            last = Some(init);
            let found = |likeness| wanted.found(likeness, init.range, Place::Init(init.id));
            if take(wanted.is(&init.url).map(found)) {
                return best;
            }
        }
        best
    }

    /// Whether the manifest says the same of the segments at two places of two lists. `compared` is
    /// of the same two lists each time.
    pub(crate) fn is_same<'a>(
        &'a self,
        index: usize,
        other: &'a Self,
        at: usize,
        compared: &mut Compared<'a>,
    ) -> bool {
        self.table.is_same(index, &other.table, at)
            && match (self.table.context(index), other.table.context(at)) {
                (Some(a), Some(b)) => compared.are_same(a, b),
                _ => false,
            }
    }

    /// Whether the same references mean the same URLs and names in two lists.
    pub(crate) fn has_scope_of(&self, other: &Self) -> bool {
        self.base.is_place_of(&other.base) && self.namer == other.namer
    }

    pub(crate) fn retained_len(&self) -> usize {
        let inits = self.inits.capacity() * size_of::<Option<Arc<InitSegment>>>();
        size_of::<Self>() + self.table.retained_len() + inits
    }
}

/// Two things, and whether they are the same.
type Pair<'a, T> = (&'a Arc<T>, &'a Arc<T>, bool);

/// The contexts compared last. Thousands of segments are in the same two, and keys may be long.
#[derive(Debug, Default)]
pub(crate) struct Compared<'a> {
    keys: Option<Pair<'a, [Key]>>,
    inits: Option<Pair<'a, InitSection>>,
    sharing: Option<Pair<'a, InitSegment>>,
}

impl<'a> Compared<'a> {
    fn are_same(&mut self, a: &'a Context, b: &'a Context) -> bool {
        let same_init = match (&a.init, &b.init) {
            (Some(a), Some(b)) => remembered(&mut self.inits, a, b, Arc::eq),
            (None, None) => true,
            _ => false,
        };
        a.discontinuity_sequence == b.discontinuity_sequence
            && same_init
            && remembered(&mut self.keys, &a.keys, &b.keys, Arc::eq)
    }
}

/// What `compare` says of the two, if it was not said last.
fn remembered<'a, T: ?Sized>(
    last: &mut Option<Pair<'a, T>>,
    a: &'a Arc<T>,
    b: &'a Arc<T>,
    compare: impl FnOnce(&Arc<T>, &Arc<T>) -> bool,
) -> bool {
    match last {
        Some((x, y, same)) if Arc::ptr_eq(x, a) && Arc::ptr_eq(y, b) => *same,
        _ => last.insert((a, b, compare(a, b))).2,
    }
}

/// Reference and byte range of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a>(&'a str, Option<ByteRange>);

fn init_segment(section: &InitSection, base: &Base, namer: &SegmentNamer) -> InitSegment {
    let url = base.join(&section.reference);
    let empty = section.range.is_some_and(|range| range.is_empty());
    let sharing = match &url {
        Some(url) if !empty => sharing(url, &KeyUrls::default()),
        _ => NOT_FETCHABLE,
    };
    InitSegment {
        id: namer.init(&section.reference, section.range),
        url: url.unwrap_or_else(|| (&*section.reference).into()),
        range: section.range,
        sharing,
    }
}

/// The init segment, not to be shared if it has turned out to be a key.
pub(crate) fn with_keys(init: &Arc<InitSegment>, keys: &KeyUrls) -> Arc<InitSegment> {
    match init.sharing == Sharing::Shared && keys.contains(&init.url) {
        true => Arc::new(InitSegment {
            sharing: Sharing::Never(NeverReason::KeyUrl),
            ..InitSegment::clone(init)
        }),
        false => init.clone(),
    }
}

/// Whether a resource may be shared.
pub(crate) fn sharing(url: &str, keys: &KeyUrls) -> Sharing {
    let is_http = |scheme: &str| {
        let head = url.get(..scheme.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    if !(is_http("http://") || is_http("https://")) {
        NOT_FETCHABLE
    } else if keys.contains(url) {
        Sharing::Never(NeverReason::KeyUrl)
    } else {
        Sharing::Shared
    }
}

const NOT_FETCHABLE: Sharing = Sharing::Never(NeverReason::NotFetchable);
