//! Where the segments of a newly loaded list lie on the timeline of the presentation.
//!
//! The first list loaded begins at zero. A list that is loaded again goes on where it was:
//!
//! | new against old | positions |
//! |---|---|
//! | shares ordinals, or follows at once | as before; new segments one after the other |
//! | leaves a gap | by date if both have dates, else by the mean duration of the old segments |
//! | numbering began anew | by date if both have dates and time went on, else right after |
//!
//! A list of another track is aligned with one that is loaded already: by date if both have
//! dates; else at zero, if neither is live; else by ordinal, if the two are of one kind, have the
//! same target duration and share ordinals (variants of one encoder are numbered alike, other
//! tracks need not be); else by live edge.

use std::time::Duration;

use p2pcdn_wire::{MediaTime, UnixTime};

use crate::{
    segment::SegmentDate,
    segments::{Liveness, Segments},
};

/// How a newly loaded list relates to the last one of the same track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It shares segments with it, or follows at once.
    Continues,
    /// It goes on, but the segments in the same places have other names: tokens in their paths.
    Renamed,
    /// It goes on, but its numbers stand still: this many segments left its start uncounted.
    Slid(u64),
    /// Segments in between were never listed.
    Gap,
    /// It is older: from a cache that lags behind.
    Stale,
    /// The numbering began anew.
    Restarted(Evidence),
}

/// Why a list is taken for a new beginning rather than for an old copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Its dates are newer, or its target duration is another.
    Certain,
    /// Only that its numbers are lower, which a lagging cache may show once.
    Numbers,
}

/// Compares a newly loaded list with the last one of the same track, which has segments.
pub(crate) fn continuity(old: &Segments, new: &Segments) -> Continuity {
    // A list that lost all its segments says nothing.
    let Some(last) = new.len().checked_sub(1) else {
        return Continuity::Stale;
    };
    let (before, window) = (old.window(), new.window());
    let common = before.start.max(window.start)..before.end.min(window.end);
    if !common.is_empty() {
        let backwards = window.end < before.end;
        let redated = || {
            common.clone().any(|ordinal| {
                let dates = explicit(old, ordinal).zip(explicit(new, ordinal));
                dates.is_some_and(|(a, b)| distance(a, b) > old.target_duration)
            })
        };
        let first_checked = common.end.saturating_sub(NAMES_COMPARED).max(common.start);
        let renamed =
            (first_checked..common.end).all(|ordinal| !same_name(old, ordinal, new, ordinal));
        return match (renamed, backwards) {
            (false, false) => Continuity::Continues,
            (false, true) => Continuity::Stale,
            (true, _) if redated() => Continuity::Restarted(Evidence::Certain),
            (true, true) => Continuity::Restarted(Evidence::Numbers),
            (true, false) => slid(old, new).map_or(Continuity::Renamed, Continuity::Slid),
        };
    }
    let (forwards, retargeted) = (
        window.start >= before.end,
        new.target_duration != old.target_duration,
    );
    if window.start == before.end {
        Continuity::Continues
    } else if forwards && !retargeted {
        Continuity::Gap
    } else if forwards {
        Continuity::Restarted(Evidence::Certain)
    } else {
        match date(new, last).zip(last_date(old)) {
            Some((new, old)) if new <= old => Continuity::Stale,
            Some(_) => Continuity::Restarted(Evidence::Certain),
            None => Continuity::Restarted(Evidence::Numbers),
        }
    }
}

/// By how many segments the new list has moved on although it begins with the same number.
fn slid(old: &Segments, new: &Segments) -> Option<u64> {
    let (before, window) = (old.window(), new.window());
    let first = name(new, window.start)?;
    // A list moves on by a few segments per reload.
    let furthest = before.end.min(before.start.saturating_add(NAMES_COMPARED));
    let at = (before.start..furthest).find(|ordinal| name(old, *ordinal) == Some(first))?;
    let moved = at.checked_sub(window.start).filter(|moved| *moved > 0)?;
    let kept = at..before.end.min(window.end.saturating_add(moved));
    let checked = kept.end.saturating_sub(NAMES_COMPARED).max(kept.start)..kept.end;
    let same = |ordinal: u64| same_name(old, ordinal, new, ordinal.saturating_sub(moved));
    checked.into_iter().all(same).then_some(moved)
}

/// The name without the ordinal: reference and byte range.
fn name(list: &Segments, ordinal: u64) -> Option<crate::listed::Name<'_>> {
    let listed = list.rows.listed()?;
    listed.name(listed.index_of(ordinal)?)
}

fn same_name(a: &Segments, at: u64, b: &Segments, also_at: u64) -> bool {
    let (Some(x), Some(y)) = (a.rows.index_of(at), b.rows.index_of(also_at)) else {
        return false;
    };
    a.rows.has_path_of(x, &b.rows, y)
}

/// Where the first segment of the first list of a track begins. `other` is the list of another
/// track, if one is loaded; `related` whether the two tracks are of one kind.
pub(crate) fn first_start(new: &Segments, other: Option<&Segments>, related: Related) -> MediaTime {
    let Some(other) = other else {
        return MediaTime::ZERO;
    };
    let length = new.live_edge.saturating_duration_since(new.start());
    if let Some((at, time)) = align_dates(new, other) {
        return before(new, at, time);
    }
    let live = new.liveness == Liveness::Live || other.liveness == Liveness::Live;
    if !live && other.start() == MediaTime::ZERO {
        return MediaTime::ZERO;
    }
    if related == Related::SameKind && new.target_duration == other.target_duration {
        let shared = new.window().start.max(other.window().start);
        let at = new.rows.index_of(shared);
        let known = other.rows.index_of(shared);
        let known = known.and_then(|known| other.rows.start(known));
        if let Some((at, time)) = at.zip(known) {
            return before(new, at, time);
        }
    }
    other.live_edge.saturating_sub(length)
}

/// Where the first segment begins when the one at `at` begins at `time`.
fn before(list: &Segments, at: usize, time: MediaTime) -> MediaTime {
    let start = list.rows.start(at).unwrap_or_default();
    time.saturating_sub(start.saturating_duration_since(list.start()))
}

/// Whether two tracks are of one kind, and so perhaps of one encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Related {
    SameKind,
    OtherKind,
}

/// Gives each segment of a list that was loaded before its start.
pub(crate) fn next_starts(
    old: &Segments,
    new: &Segments,
    continuity: Continuity,
) -> Vec<MediaTime> {
    let Some(first_date) = (!new.is_empty()).then(|| date(new, 0)) else {
        return Vec::new();
    };
    let window = new.window();
    let by_date = || {
        let old_end = last_date(old)? + old.rows.durations().next_back()?;
        let gap = first_date?.saturating_duration_since(old_end);
        (first_date? >= old_end).then(|| old.live_edge + gap)
    };
    match continuity {
        Continuity::Continues | Continuity::Renamed | Continuity::Slid(_) | Continuity::Stale => {
            let known = |ordinal: u64| old.rows.start(old.rows.index_of(ordinal)?);
            let shared = window.start.max(old.window().start);
            let first = match (new.rows.index_of(shared), known(shared)) {
                (Some(at), Some(time)) => before(new, at, time),
                _ => old.live_edge,
            };
            // Durations may be corrected later; positions stay, and what follows follows them.
            let mut next = first;
            let mut starts = Vec::with_capacity(new.len());
            for (index, duration) in new.rows.durations().enumerate() {
                let start = known(new.rows.ordinal(index)).unwrap_or(next);
                starts.push(start);
                next = start + duration;
            }
            starts
        }
        Continuity::Gap => {
            let count = u64::try_from(old.len()).unwrap_or(u64::MAX);
            let played = old.live_edge.saturating_duration_since(old.start());
            let mean = played.as_nanos().checked_div(u128::from(count));
            let mean = mean.unwrap_or(old.target_duration.as_nanos());
            let missing = window.start.saturating_sub(old.window().end);
            let nanos = mean.saturating_mul(u128::from(missing));
            let gap = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            spread(new, by_date().unwrap_or_else(|| old.live_edge + gap))
        }
        Continuity::Restarted(_) => spread(new, by_date().unwrap_or(old.live_edge)),
    }
}

/// The segments one after the other, the first beginning at `time`.
pub(crate) fn spread(new: &Segments, time: MediaTime) -> Vec<MediaTime> {
    let mut next = time;
    let follow = |duration: Duration| {
        let start = next;
        next = next + duration;
        start
    };
    new.rows.durations().map(follow).collect()
}

/// The newest segment of `new` with a date of its own, and where `other` says that date lies.
fn align_dates(new: &Segments, other: &Segments) -> Option<(usize, MediaTime)> {
    let (at, date) = new.rows.dated(new.len().checked_sub(1)?)?;
    let count = other.len();
    let after = (0..count)
        .rev()
        .find(|at| self::date(other, *at).is_some_and(|d| d <= date));
    let known = after.unwrap_or(0);
    let (start, begins) = (other.rows.start(known)?, self::date(other, known)?);
    let time = if begins <= date {
        start + date.saturating_duration_since(begins)
    } else {
        start.saturating_sub(begins.saturating_duration_since(date))
    };
    // Clocks that disagree by more than the window say nothing.
    let window = other.live_edge.saturating_duration_since(other.start());
    let slack = window + 10 * other.target_duration;
    let near = time.saturating_duration_since(other.live_edge) <= slack
        && other.start().saturating_duration_since(time) <= slack;
    near.then_some((at, time))
}

fn date(list: &Segments, at: usize) -> Option<UnixTime> {
    let start = list.rows.start(at)?;
    list.date(at, start).map(SegmentDate::time)
}

fn last_date(list: &Segments) -> Option<UnixTime> {
    date(list, list.len().checked_sub(1)?)
}

fn explicit(list: &Segments, ordinal: u64) -> Option<UnixTime> {
    let index = list.rows.index_of(ordinal)?;
    let (at, date) = list.rows.dated(index)?;
    (at == index).then_some(date)
}

fn distance(a: UnixTime, b: UnixTime) -> Duration {
    a.saturating_duration_since(b)
        .max(b.saturating_duration_since(a))
}

/// How many of the names that two lists share are compared: the newest, and enough that a file
/// name used again by chance does not matter.
const NAMES_COMPARED: u64 = 64;
