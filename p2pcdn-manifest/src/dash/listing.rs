//! The segments of a representation at a moment.

use std::{ops::Range, sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime, UnixTime};

use super::{
    base::Place,
    elements::UrlRange,
    model::MpdResource,
    template::{Template, Values},
    timeline::Sequences,
};
use crate::{
    reference::look,
    runs::{Computed, Runs},
};

/// The segments of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listing {
    /// They follow from a template, or are listed.
    Segments(SegmentWindow),
    /// They are ranges of one resource, which an index (`sidx`) tells.
    Indexed {
        /// The resource that the segments are in.
        media: MpdResource,
        /// The bytes of the index; [`parse_sidx`](crate::parse_sidx) reads them.
        index: MpdResource,
    },
    /// There is one resource, and no index of it is known.
    Single(MpdResource),
    /// The MPD does not say where there is anything.
    Nothing,
}

/// Some consecutive segments of a representation, computed when asked for. Cheap to clone.
///
/// They have indexes that count from the first segment that the representation ever has, available
/// or not, as far as this version of the MPD tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentWindow {
    runs: Runs,
    names: Arc<Names>,
    cut: Option<MediaTime>,
}

/// One segment of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSegment {
    /// Its index in the list.
    pub index: u64,
    /// Where to fetch it: absolute.
    pub url: Arc<str>,
    /// The URL as it would be without redirects of the MPD, for names.
    pub first_url: Arc<str>,
    /// The bytes of the resource that are the segment; `None` for all of them.
    pub range: Option<ByteRange>,
    /// The value of `$Number$`.
    pub number: u64,
    /// The value of `$Time$` in ticks; `None` when the MPD says no duration.
    pub time: Option<u64>,
    /// The value of `$SubNumber$`, its place in a segment sequence (`S@k`), from 0.
    pub sub_number: u64,
    /// Where it begins on the timeline of the presentation.
    pub start: MediaTime,
    /// How long it plays; `None` when the MPD does not say.
    pub duration: Option<Duration>,
}

/// What tells a segment from others of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    number: Option<u64>,
    url: Option<&'a UrlRange>,
    time: u64,
    sub_number: u64,
    start: MediaTime,
    duration: Duration,
}

impl SegmentWindow {
    /// Index of the first segment.
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.runs.first()
    }

    /// Index of the first segment after the last one.
    #[must_use]
    pub fn end_index(&self) -> u64 {
        self.runs.end()
    }

    /// How many segments there are. May be huge: nothing is written out.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs.count()
    }

    /// Number, time and place of the segment with this index; `None` outside of the window.
    pub(crate) fn times(&self, index: u64) -> Option<Computed> {
        let mut it = self.runs.get(index)?;
        if let Some(end) = self.cut {
            let left = end.saturating_duration_since(it.start);
            if !left.is_zero() {
                it.duration = it.duration.min(left);
            }
        }
        Some(it)
    }

    /// The list as it is to players that know of no segment sequences (`S@k`): each sequence is one
    /// segment, and `$SubNumber$` stays in its URL.
    #[must_use]
    pub fn sequences(&self) -> Self {
        let names = match &*self.names {
            Names::Template {
                place,
                template,
                representation_id,
                bandwidth,
            } if template.has_sub_number() => Arc::new(Names::Template {
                place: place.clone(),
                template: template.without_sub_number(),
                representation_id: representation_id.clone(),
                bandwidth: *bandwidth,
            }),
            _ => return self.clone(),
        };
        Self {
            runs: self.runs.sequences(),
            names,
            cut: self.cut,
        }
    }

    /// Whether the segments of two windows have the same URLs where what is
    /// [said of them](Self::said_of) is the same.
    pub(crate) fn has_names_of(&self, other: &Self) -> bool {
        match (&*self.names, &*other.names) {
            (Names::List { place: a, .. }, Names::List { place: b, .. }) => a == b,
            (a, b) => Arc::ptr_eq(&self.names, &other.names) || a == b,
        }
    }

    /// All that the URL, the place and the length of a segment depend on.
    pub(crate) fn said_of(&self, index: u64) -> Option<Said<'_>> {
        let it = self.times(index)?;
        let (number, url) = match &*self.names {
            // Where times name the segments, numbers may count from the start of the list.
            Names::Template { template, .. } if template.is_by_time() => (None, None),
            Names::Template { .. } => (Some(it.number), None),
            Names::List { urls, .. } => (None, Some(urls.get(usize::try_from(index).ok()?)?)),
        };
        Some(Said {
            number,
            url,
            time: it.time,
            sub_number: it.sub_number,
            start: it.start,
            duration: it.duration,
        })
    }

    /// Whether the URLs have times in them and no numbers.
    pub(crate) fn is_named_by_time(&self) -> bool {
        match &*self.names {
            Names::Template { template, .. } => template.is_by_time(),
            Names::List { .. } => false,
        }
    }

    /// Whether they come in sequences (`S@k`), so that several have one number and time.
    pub(crate) fn is_of_sequences(&self) -> bool {
        match &*self.names {
            Names::Template { template, .. } => template.has_sub_number(),
            Names::List { .. } => false,
        }
    }

    /// Indexes of the segments that may have this URL, so that not all of them have to be written
    /// out to find it: those whose number or time stands in it.
    pub(crate) fn candidates(&self, url: &str) -> Vec<u64> {
        match &*self.names {
            Names::Template { .. } => {
                let digits = url.split(|c: char| !c.is_ascii_digit());
                let values = digits.flat_map(numbers_in);
                let found = values.flat_map(|value| {
                    let by_number = self.index_of_number(value);
                    by_number.into_iter().chain(self.index_of_time(value))
                });
                let mut found: Vec<u64> = found.flat_map(|first| self.sequence(first)).collect();
                // A template without number or time has one URL for all.
                found.extend(self.count().checked_sub(1).map(|_| self.first_index()));
                found.sort_unstable();
                found.dedup();
                found
            }
            Names::List { urls, .. } => {
                let wanted = look(url).name;
                let is_like = |index: &u64| {
                    let entry = usize::try_from(*index).ok().and_then(|at| urls.get(at));
                    let name = entry.map_or(0, |entry| look(&entry.url).name);
                    name == 0 || wanted == 0 || name == wanted
                };
                let end = u64::try_from(urls.len()).unwrap_or(u64::MAX);
                let end = self.end_index().min(end);
                (self.first_index()..end).filter(is_like).collect()
            }
        }
    }

    /// The indexes of the sequence that begins with this one.
    fn sequence(&self, first: u64) -> Range<u64> {
        let place = |index: u64| self.times(index).map(|it| (it.number, it.time));
        let rest = (first + 1..self.end_index()).take_while(|at| place(*at) == place(first));
        first..first + 1 + u64::try_from(rest.count()).unwrap_or(0)
    }

    /// Bytes of memory, those of the MPD aside.
    pub(crate) fn retained_len(&self) -> usize {
        self.runs.retained_len()
    }

    /// The segment with this index; `None` outside of the window, or when its URL is none.
    #[must_use]
    pub fn segment(&self, index: u64) -> Option<ListedSegment> {
        let it = self.times(index)?;
        let (url, range) = match &*self.names {
            Names::Template {
                place,
                template,
                representation_id,
                bandwidth,
            } => {
                let filled = template.fill(&Values {
                    representation_id,
                    bandwidth: *bandwidth,
                    number: it.number,
                    sub_number: it.sub_number,
                    time: it.time,
                })?;
                (place.resolve(&filled)?, None)
            }
            Names::List { place, urls } => {
                let entry = urls.get(usize::try_from(index).ok()?)?;
                (place.resolve(&entry.url)?, entry.range)
            }
        };
        Some(ListedSegment {
            url: url.url,
            first_url: url.first_url,
            range,
            ..self.without_url(index)?
        })
    }

    /// The segment with this index, with an empty URL; `None` outside of the window.
    pub(crate) fn without_url(&self, index: u64) -> Option<ListedSegment> {
        let it = self.times(index)?;
        let duration = Some(it.duration).filter(|duration| !duration.is_zero());
        Some(ListedSegment {
            index,
            url: Arc::default(),
            first_url: Arc::default(),
            range: None,
            number: it.number,
            time: duration.map(|_| it.time),
            sub_number: it.sub_number,
            start: it.start,
            duration,
        })
    }

    /// Index of the first segment with this `$Number$`.
    #[must_use]
    pub fn index_of_number(&self, number: u64) -> Option<u64> {
        self.runs.index_of_number(number)
    }

    /// Index of the first segment with this `$Time$`.
    #[must_use]
    pub fn index_of_time(&self, time: u64) -> Option<u64> {
        self.runs.index_of_time(time)
    }

    /// Index of the last segment that begins at or before `position`; `None` when even the first
    /// one begins later.
    #[must_use]
    pub fn index_at(&self, position: MediaTime) -> Option<u64> {
        self.runs.index_at(position)
    }

    /// The part from `first` up to, not including, `end`, as far as it lies in this window.
    #[must_use]
    pub fn window(&self, first: u64, end: u64) -> Self {
        Self {
            runs: self.runs.window(first, end),
            names: self.names.clone(),
            cut: self.cut,
        }
    }

    /// Every segment in order; those whose URL is none are left out.
    pub fn iter(&self) -> impl Iterator<Item = ListedSegment> {
        (self.first_index()..self.end_index()).filter_map(|index| self.segment(index))
    }
}

/// Every number that may stand in these digits, since a template may have digits beside it.
fn numbers_in(digits: &str) -> impl Iterator<Item = u64> {
    let len = digits.len();
    let is_short = len <= MAX_DIGITS;
    let starts = if is_short { 0..len } else { 0..1 };
    starts.flat_map(move |start| {
        let first_end = if is_short { start + 1 } else { len };
        (first_end..=len).filter_map(move |end| digits.get(start..end)?.parse().ok())
    })
}

/// Digits in which numbers are looked for beside other digits: room for two of the longest numbers.
const MAX_DIGITS: usize = 40;

/// Where the segments of a list are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Template {
        place: Place,
        template: Template,
        representation_id: Arc<str>,
        bandwidth: u64,
    },
    List {
        place: Place,
        urls: Arc<[UrlRange]>,
    },
}

impl Names {
    pub(super) fn sequences(&self) -> Sequences {
        match self {
            Self::Template { template, .. } if template.has_sub_number() => Sequences::Apart,
            Self::Template { .. } | Self::List { .. } => Sequences::Whole,
        }
    }
}

/// What a representation lists, at any moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Segments(Segments),
    Fixed(Listing),
}

/// All segments that a representation will ever have as far as is known, and when they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    pub(super) runs: Runs,
    pub(super) names: Arc<Names>,
    /// Index of the first segment that the clock decides on.
    pub(super) open_from: Option<u64>,
    /// Of a dynamic MPD.
    pub(super) clock: Option<Clock>,
    /// Where segments of constant duration end at the latest.
    pub(super) cut: Option<MediaTime>,
}

/// When segments of a dynamic MPD are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) availability_start: UnixTime,
    /// Nanoseconds that segments are available before they are complete.
    pub(super) offset: i64,
    pub(super) is_chunked: bool,
    /// How long segments of constant duration stay available.
    pub(super) depth: Option<Duration>,
}

impl Clock {
    /// Up to where segments are complete at `now`.
    fn edge(&self, now: UnixTime) -> MediaTime {
        MediaTime::from_nanos(self.elapsed(now).saturating_add(self.offset))
    }

    /// Before what segments are gone at `now`.
    fn tail(&self, now: UnixTime) -> MediaTime {
        let tail = MediaTime::from_nanos(self.elapsed(now));
        self.depth.map_or(MediaTime::from_nanos(i64::MIN), |depth| {
            tail.saturating_sub(depth)
        })
    }

    fn elapsed(&self, now: UnixTime) -> i64 {
        let start = self.availability_start.as_micros();
        now.as_micros().saturating_sub(start).saturating_mul(1_000)
    }
}

impl Plan {
    pub(super) fn listing(&self, now: Option<UnixTime>) -> Listing {
        match self {
            Self::Fixed(listing) => listing.clone(),
            Self::Segments(segments) => Listing::Segments(SegmentWindow {
                runs: segments.available(now),
                names: segments.names.clone(),
                cut: segments.cut,
            }),
        }
    }

    pub(super) fn availability_of(&self, index: u64) -> Option<UnixTime> {
        let Self::Segments(segments) = self else {
            return None;
        };
        let it = segments.runs.get(index)?;
        let clock = segments.clock.as_ref()?;
        let end = it.start + it.duration;
        let early = end.as_nanos().saturating_sub(clock.offset);
        // Not a microsecond too early.
        let micros = early
            .div_euclid(1_000)
            .saturating_add(i64::from(early % 1_000 != 0));
        let start = clock.availability_start.as_micros();
        Some(UnixTime::from_micros(start.saturating_add(micros)))
    }

    pub(super) fn next_available_after(&self, now: UnixTime) -> Option<UnixTime> {
        let Self::Segments(segments) = self else {
            return None;
        };
        segments.open_from?;
        self.availability_of(segments.available(Some(now)).end())
    }

    pub(super) fn is_chunked(&self) -> bool {
        let Self::Segments(segments) = self else {
            return false;
        };
        segments.clock.is_some_and(|clock| clock.is_chunked)
    }
}

impl Segments {
    fn available(&self, now: Option<UnixTime>) -> Runs {
        let (Some(open_from), Some(clock)) = (self.open_from, &self.clock) else {
            return self.runs.clone();
        };
        let Some(now) = now else {
            return self.runs.window(0, open_from);
        };
        let open = self.runs.window(open_from, u64::MAX);
        let end = open.first_after(clock.edge(now));
        let first = match open_from {
            0 => self.runs.first_after(clock.tail(now)),
            // What a timeline writes out, it says to be available.
            _ => 0,
        };
        self.runs.window(first, end)
    }
}
