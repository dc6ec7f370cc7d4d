//! Where the segments of a newly loaded playlist lie on the timeline of the presentation.
//!
//! The first playlist loaded begins at zero. A playlist that is loaded again goes on where it was:
//!
//! | new against old | positions |
//! |---|---|
//! | shares ordinals, or follows at once | as before; new segments one after the other |
//! | leaves a gap | by date if both have dates, else by the mean duration of the old segments |
//! | numbering began anew | by date if both have dates and time went on, else right after |
//!
//! A playlist of another track is aligned with one that is loaded already: by date if both have
//! dates; else at zero, if neither is live; else by ordinal, if the two are of one kind, have the
//! same target duration and share ordinals (variants of one encoder are numbered alike, other
//! tracks need not be); else by live edge.

use std::time::Duration;

use p2pcdn_wire::{MediaTime, SegmentId, UnixTime};

use crate::{
    playlist::{Liveness, Playlist},
    segment::SegmentDate,
};

/// A segment of a newly loaded playlist, as far as its position depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) ordinal: u64,
    pub(crate) id: SegmentId,
    pub(crate) duration: Duration,
    pub(crate) date: Option<SegmentDate>,
}

/// How a newly loaded playlist relates to the last one of the same track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It shares segments with it, or follows at once.
    Continues,
    /// It goes on, but the segments in the same places have other names: tokens in their paths,
    /// or a packager that does not count.
    Renamed,
    /// Segments in between were never listed.
    Gap,
    /// It is older: from a cache that lags behind.
    Stale,
    /// The numbering began anew.
    Restarted(Evidence),
}

/// Why a playlist is taken for a new beginning rather than for an old copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Its dates are newer, or its target duration is another.
    Certain,
    /// Only that its numbers are lower, which a lagging cache may show once.
    Numbers,
}

/// Compares a newly loaded playlist, its dates filled in, with the last one of the same track, which
/// has segments.
pub(crate) fn continuity(old: &Playlist, new: &[Draft], target_duration: Duration) -> Continuity {
    // A playlist that lost all its segments says nothing.
    let (Some(first), Some(last)) = (new.first(), new.last()) else {
        return Continuity::Stale;
    };
    let (window, end) = (old.window(), last.ordinal + 1);
    let mut common = new
        .iter()
        .filter_map(|draft| Some((draft, old.segment(draft.ordinal)?)))
        .peekable();
    if common.peek().is_some() {
        let backwards = end < window.end;
        let redated = common.clone().any(|(draft, segment)| {
            let dates = explicit(draft.date).zip(explicit(segment.date));
            dates.is_some_and(|(a, b)| distance(a, b) > old.target_duration)
        });
        let renamed = common.all(|(draft, segment)| draft.id != segment.id);
        return match (renamed, backwards, redated) {
            (false, false, _) => Continuity::Continues,
            (false, true, _) => Continuity::Stale,
            (true, _, true) => Continuity::Restarted(Evidence::Certain),
            (true, true, false) => Continuity::Restarted(Evidence::Numbers),
            (true, false, false) => Continuity::Renamed,
        };
    }
    let (forwards, retargeted) = (
        first.ordinal >= window.end,
        target_duration != old.target_duration,
    );
    if first.ordinal == window.end {
        Continuity::Continues
    } else if forwards && !retargeted {
        Continuity::Gap
    } else if forwards {
        Continuity::Restarted(Evidence::Certain)
    } else {
        match last.date.zip(last_date(old)) {
            Some((new, old)) if new.time() <= old => Continuity::Stale,
            Some(_) => Continuity::Restarted(Evidence::Certain),
            None => Continuity::Restarted(Evidence::Numbers),
        }
    }
}

/// Gives each segment of the first playlist of a track its start. `other` is a playlist of another
/// track, if one is loaded; `related` whether the two tracks are of one kind.
pub(crate) fn first_starts(
    new: &[Draft],
    target_duration: Duration,
    liveness: Liveness,
    other: Option<&Playlist>,
    related: Related,
) -> Vec<MediaTime> {
    let Some(other) = other else {
        return spread(new, 0, MediaTime::ZERO);
    };
    if let Some((at, time)) = align_dates(new, other) {
        return spread(new, at, time);
    }
    let live = liveness == Liveness::Live || other.liveness == Liveness::Live;
    if !live && other.start() == MediaTime::ZERO {
        return spread(new, 0, MediaTime::ZERO);
    }
    if related == Related::SameKind && target_duration == other.target_duration {
        let shared = new.iter().enumerate().find_map(|(at, draft)| {
            let segment = other.segment(draft.ordinal)?;
            Some((at, segment.start))
        });
        if let Some((at, time)) = shared {
            return spread(new, at, time);
        }
    }
    let length = new.iter().map(|draft| draft.duration).sum();
    spread(new, 0, other.live_edge.saturating_sub(length))
}

/// Whether two tracks are of one kind, and so perhaps of one encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Related {
    SameKind,
    OtherKind,
}

/// Gives each segment of a playlist that was loaded before its start.
pub(crate) fn next_starts(old: &Playlist, new: &[Draft], continuity: Continuity) -> Vec<MediaTime> {
    let Some(first) = new.first() else {
        return Vec::new();
    };
    let by_date = || {
        let old_end = last_date(old)? + old.segments.last()?.duration;
        let new_start = first.date?.time();
        let gap = new_start.saturating_duration_since(old_end);
        (new_start >= old_end).then(|| old.live_edge + gap)
    };
    match continuity {
        Continuity::Continues | Continuity::Renamed | Continuity::Stale => {
            let common = new.iter().enumerate().find_map(|(at, draft)| {
                let segment = old.segment(draft.ordinal)?;
                Some((at, segment.start))
            });
            let (at, time) = common.unwrap_or((0, old.live_edge));
            let mut starts = spread(new, at, time);
            // Durations may be corrected later; positions stay, and what follows follows them.
            let mut next = None;
            for (start, draft) in starts.iter_mut().zip(new).skip(at) {
                let known = old.segment(draft.ordinal).map(|segment| segment.start);
                *start = known.or(next).unwrap_or(*start);
                next = Some(*start + draft.duration);
            }
            starts
        }
        Continuity::Gap => {
            let count = u64::try_from(old.segments.len()).unwrap_or(u64::MAX);
            let played = old.live_edge.saturating_duration_since(old.start());
            let mean = played.as_nanos().checked_div(u128::from(count));
            let mean = mean.unwrap_or(old.target_duration.as_nanos());
            let missing = first.ordinal.saturating_sub(old.window().end);
            let nanos = mean.saturating_mul(u128::from(missing));
            let gap = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            spread(new, 0, by_date().unwrap_or_else(|| old.live_edge + gap))
        }
        Continuity::Restarted(_) => spread(new, 0, by_date().unwrap_or(old.live_edge)),
    }
}

/// Fills in the dates that a playlist leaves out: each from the one before it, those before the
/// first from the one after. Without any, from the old playlist's date of a shared segment.
pub(crate) fn fill_dates(new: &mut [Draft], old: Option<&Playlist>) {
    if new.iter().all(|draft| draft.date.is_none()) {
        let known = new.iter_mut().find_map(|draft| {
            let date = old?.segment(draft.ordinal)?.date?;
            Some((draft, date))
        });
        if let Some((draft, date)) = known {
            draft.date = Some(SegmentDate::Extrapolated(date.time()));
        }
    }
    let mut next: Option<UnixTime> = None;
    for draft in new.iter_mut() {
        draft.date = draft.date.or(next.map(SegmentDate::Extrapolated));
        next = draft.date.map(|date| date.time() + draft.duration);
    }
    let mut after: Option<UnixTime> = None;
    for draft in new.iter_mut().rev() {
        let computed = after.map(|after| before(after, draft.duration));
        draft.date = draft.date.or(computed.map(SegmentDate::Extrapolated));
        after = draft.date.map(SegmentDate::time);
    }
}

/// The segments one after the other, the one at `at` beginning at `time`.
fn spread(new: &[Draft], at: usize, time: MediaTime) -> Vec<MediaTime> {
    let before: Duration = new.iter().take(at).map(|draft| draft.duration).sum();
    let mut next = time.saturating_sub(before);
    let mut starts = Vec::with_capacity(new.len());
    for draft in new {
        starts.push(next);
        next = next + draft.duration;
    }
    starts
}

/// The newest segment of `new` with a date of its own, and where `other` says that date lies.
fn align_dates(new: &[Draft], other: &Playlist) -> Option<(usize, MediaTime)> {
    let mut dated = new.iter().enumerate().rev();
    let (at, date) = dated.find_map(|(at, draft)| Some((at, explicit(draft.date)?)))?;
    let known = |segment: &&std::sync::Arc<crate::Segment>| segment.date.is_some();
    let at_or_before = other.segments.iter().rev().find(|segment| {
        let begins = segment.date.map(SegmentDate::time);
        begins.is_some_and(|begins| begins <= date)
    });
    let segment = at_or_before.or_else(|| other.segments.iter().find(known))?;
    let begins = segment.date?.time();
    let time = if begins <= date {
        segment.start + date.saturating_duration_since(begins)
    } else {
        let early = begins.saturating_duration_since(date);
        segment.start.saturating_sub(early)
    };
    // Clocks that disagree by more than the window say nothing.
    let window = other.live_edge.saturating_duration_since(other.start());
    let slack = window + 10 * other.target_duration;
    let near = time.saturating_duration_since(other.live_edge) <= slack
        && other.start().saturating_duration_since(time) <= slack;
    near.then_some((at, time))
}

fn last_date(playlist: &Playlist) -> Option<UnixTime> {
    Some(playlist.segments.last()?.date?.time())
}

fn explicit(date: Option<SegmentDate>) -> Option<UnixTime> {
    date.and_then(SegmentDate::explicit)
}

fn distance(a: UnixTime, b: UnixTime) -> Duration {
    a.saturating_duration_since(b)
        .max(b.saturating_duration_since(a))
}

fn before(time: UnixTime, duration: Duration) -> UnixTime {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    UnixTime::from_micros(time.as_micros().saturating_sub(micros))
}
