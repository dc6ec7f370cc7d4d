//! Segments that a manifest lists one by one, in as few bytes as will do.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime, UnixTime};

use crate::{
    key::Key,
    reference::{Look, look},
    resolve::Base,
};

/// Segments that a manifest lists one by one: a row each, and their references in one text.
///
/// A row is 32 bytes, 16 more where the list has byte ranges and 16 more where it has a date. All
/// else of a segment is worked out when it is asked for: six hours of 2 s segments are read, kept
/// and compared on every reload, and hardly any of them is asked for twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    rows: Vec<Row>,
    /// The references, one after the other; one that comes several times in a row stands here once.
    text: String,
    /// Empty, or one per row; [`WHOLE`] for none.
    ranges: Vec<ByteRange>,
    /// Row and date of those that have one.
    dates: Vec<(u32, UnixTime)>,
    contexts: Vec<Context>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    start: MediaTime,
    /// Nanoseconds.
    duration: u64,
    text_start: u32,
    /// [`Look::name`] of the reference.
    name: u32,
    context: u32,
    text_len: u16,
    flags: u16,
}

const _: () = assert!(size_of::<Row>() == 32);

/// What holds for many segments in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// How many discontinuities came before, by the playlist's own count.
    pub(crate) discontinuity_sequence: u64,
    pub(crate) init: Option<Arc<InitSection>>,
    pub(crate) keys: Arc<[Key]>,
}

/// A resource before any segment: HLS `EXT-X-MAP`, DASH initialization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitSection {
    /// Relative to the manifest, variables replaced.
    pub(crate) reference: Box<str>,
    pub(crate) range: Option<ByteRange>,
    /// The keys in force where it is declared: how it is encrypted itself.
    pub(crate) keys: Arc<[Key]>,
}

/// A row, as it is put in and taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Relative to the manifest, variables replaced.
    pub(crate) reference: &'a str,
    pub(crate) range: Option<ByteRange>,
    pub(crate) start: MediaTime,
    pub(crate) duration: Duration,
    /// As the manifest says of this very segment.
    pub(crate) date: Option<UnixTime>,
    /// There is nothing to fetch.
    pub(crate) is_gap: bool,
    /// The manifest says so of this very segment.
    pub(crate) is_discontinuity: bool,
}

impl Table {
    /// Whatever holds for the rows to come.
    pub(crate) fn push_context(&mut self, context: Context) {
        self.contexts.push(context);
    }

    /// The same, unless it holds already: lists that are put together again and again would have
    /// more of them each time. Tells which it is.
    pub(crate) fn push_new_context(&mut self, context: &Context) -> usize {
        if self.contexts.last() != Some(context) {
            self.contexts.push(context.clone());
        }
        self.contexts.len().saturating_sub(1)
    }

    /// Makes room for `rows` more, and references of `text_len` bytes.
    pub(crate) fn reserve(&mut self, rows: usize, text_len: usize) {
        self.rows.reserve(rows);
        self.text.reserve(text_len);
    }

    /// Gives back what was reserved too much.
    pub(crate) fn shrink(&mut self) {
        self.rows.shrink_to_fit();
        self.text.shrink_to_fit();
        self.ranges.shrink_to_fit();
        self.dates.shrink_to_fit();
        self.contexts.shrink_to_fit();
    }

    /// Adds a row, in the context pushed last. One must have been pushed. Tells what its reference
    /// looks like.
    #[inline]
    pub(crate) fn push(&mut self, entry: &Entry<'_>) -> Look {
        let look = look(entry.reference);
        let at = self.rows.len();
        let text_start = match self.rows.last() {
            Some(last) if self.reference(last) == Some(entry.reference) => last.text_start,
            _ => {
                // The caller keeps below the cap on expanded texts, 64 MiB.
                let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
                self.text.push_str(entry.reference);
                start
            }
        };
        if entry.range.is_some() || !self.ranges.is_empty() {
            self.ranges.resize(at, WHOLE);
            self.ranges.push(entry.range.unwrap_or(WHOLE));
        }
        let mut flags = if entry.is_gap { GAP } else { 0 }
            | if entry.is_discontinuity {
                DISCONTINUITY
            } else {
                0
            };
        if let (Some(date), Ok(row)) = (entry.date, u32::try_from(at)) {
            self.dates.push((row, date));
            flags |= DATED;
        }
        self.rows.push(Row {
            start: entry.start,
            duration: u64::try_from(entry.duration.as_nanos()).unwrap_or(u64::MAX),
            text_start,
            name: look.name,
            context: u32::try_from(self.contexts.len().saturating_sub(1)).unwrap_or(u32::MAX),
            // The caller keeps below the cap on URLs, 8 KiB.
            text_len: u16::try_from(entry.reference.len()).unwrap_or(u16::MAX),
            flags,
        });
        look
    }

    /// Adds these rows of another table, with what holds for them.
    pub(crate) fn extend_from(&mut self, other: &Self, range: RangeInclusive<usize>) {
        let mut last = None;
        for at in range {
            if let (Some(entry), Some(context)) = (other.entry(at), other.context(at)) {
                if last != other.context_index(at) {
                    last = other.context_index(at);
                    self.push_new_context(context);
                }
                self.push(&entry);
            }
        }
    }

    /// Adds all rows of another table, whose contexts were pushed before and then had these
    /// numbers.
    pub(crate) fn extend_rows_from(&mut self, other: &Self, contexts: &[usize]) {
        for at in 0..other.len() {
            let context = other.context_index(at).and_then(|at| contexts.get(at));
            if let (Some(entry), Some(context)) = (other.entry(at), context) {
                self.push(&entry);
                if let Some(row) = self.rows.last_mut() {
                    row.context = u32::try_from(*context).unwrap_or(u32::MAX);
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn entry(&self, at: usize) -> Option<Entry<'_>> {
        let row = self.rows.get(at)?;
        Some(Entry {
            reference: self.reference(row)?,
            range: self.ranges.get(at).copied().filter(|range| *range != WHOLE),
            start: row.start,
            duration: Duration::from_nanos(row.duration),
            date: self.date(at, row),
            is_gap: row.flags & GAP != 0,
            is_discontinuity: row.flags & DISCONTINUITY != 0,
        })
    }

    #[inline]
    fn reference(&self, row: &Row) -> Option<&str> {
        let start = usize::try_from(row.text_start).ok()?;
        let end = start.checked_add(usize::from(row.text_len))?;
        self.text.get(start..end)
    }

    fn date(&self, at: usize, row: &Row) -> Option<UnixTime> {
        if row.flags & DATED == 0 {
            return None;
        }
        self.dated(at).map(|(_, date)| date)
    }

    /// Whether two rows of two lists are the same in all but start and context.
    pub(crate) fn is_same(&self, at: usize, other: &Self, also_at: usize) -> bool {
        let (Some(a), Some(b)) = (self.rows.get(at), other.rows.get(also_at)) else {
            return false;
        };
        let whole = |ranges: &[ByteRange], at: usize| ranges.get(at).copied().unwrap_or(WHOLE);
        (a.duration, a.name, a.flags) == (b.duration, b.name, b.flags)
            && self.reference(a) == other.reference(b)
            && whole(&self.ranges, at) == whole(&other.ranges, also_at)
            && self.date(at, a) == other.date(also_at, b)
    }

    /// What was pushed to hold for rows.
    pub(crate) fn contexts(&self) -> &[Context] {
        &self.contexts
    }

    pub(crate) fn contexts_mut(&mut self) -> &mut [Context] {
        &mut self.contexts
    }

    /// Which of the contexts holds for a row.
    pub(crate) fn context_index(&self, at: usize) -> Option<usize> {
        usize::try_from(self.rows.get(at)?.context).ok()
    }

    /// What holds for a row.
    pub(crate) fn context(&self, at: usize) -> Option<&Context> {
        self.contexts.get(self.context_index(at)?)
    }

    /// Puts the rows onto the timeline, given the start of each.
    pub(crate) fn set_starts(&mut self, starts: impl IntoIterator<Item = MediaTime>) {
        for (row, start) in self.rows.iter_mut().zip(starts) {
            row.start = start;
        }
    }

    /// Where a row begins on the timeline, and how long it plays.
    pub(crate) fn place(&self, at: usize) -> Option<(MediaTime, Duration)> {
        let row = self.rows.get(at)?;
        Some((row.start, Duration::from_nanos(row.duration)))
    }

    /// The rows whose [`Look::name`] is so, newest first.
    pub(crate) fn named_like(&self, is_so: impl Fn(u32) -> bool) -> impl Iterator<Item = usize> {
        let rows = self.rows.iter().enumerate().rev();
        rows.filter(move |(_, row)| is_so(row.name))
            .map(|(at, _)| at)
    }

    /// [`Look::name`] of a row's reference.
    pub(crate) fn name(&self, at: usize) -> Option<u32> {
        Some(self.rows.get(at)?.name)
    }

    /// The row from which the date of another is computed: itself if it has one, else the one
    /// before it that has, else the first that has.
    pub(crate) fn dated(&self, at: usize) -> Option<(usize, UnixTime)> {
        // Where each row has one, it stands in the row's own place.
        let own = self.dates.get(at).filter(|(row, _)| usize_of(*row) == at);
        let (row, date) = match own {
            Some(own) => own,
            None => {
                let after = self.dates.partition_point(|(row, _)| usize_of(*row) <= at);
                self.dates.get(after.saturating_sub(1))?
            }
        };
        Some((usize_of(*row), *date))
    }

    /// Bytes of memory.
    pub(crate) fn retained_len(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.text.capacity()
            + self.ranges.capacity() * size_of::<ByteRange>()
            + self.dates.capacity() * size_of::<(u32, UnixTime)>()
            + self.contexts.capacity() * size_of::<Context>()
    }
}

fn usize_of(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

/// What the references of a list are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bases {
    /// For fetching: the manifest's URL after redirects.
    pub(crate) fetched: Base,
    /// For names: its URL as it was asked for; `None` when it is the same.
    pub(crate) first: Option<Base>,
}

const GAP: u16 = 1;
const DISCONTINUITY: u16 = 2;
/// It is among the dates.
const DATED: u16 = 4;
const WHOLE: ByteRange = ByteRange {
    start: u64::MAX,
    end: u64::MAX,
};
