//! From a `SegmentTimeline`, or a constant duration, to runs of segments.

use std::time::Duration;

use super::{elements::S, values::Decimal};
use crate::{
    error::WarningKind,
    runs::{Runs, RunsBuilder, Scale},
};

/// The period that segments are in, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// How long the period is.
    pub(super) duration: Option<Duration>,
    /// Whether segments go on coming where the end is not known.
    pub(super) is_dynamic: bool,
}

/// What a segment sequence (`S@k`) is to the names of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequences {
    /// One segment: names have no place for more.
    Whole,
    /// Its segments have names of their own (`$SubNumber$`).
    Apart,
}

/// A list of segments as far as the MPD itself says, and how it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) runs: Runs,
    /// Index of the first segment that the clock decides on; `None` when all are written out.
    pub(super) open_from: Option<u64>,
    pub(super) warning: Option<WarningKind>,
}

/// The segments that a `SegmentTimeline` lists. Time is linear in its entries, however often they
/// repeat.
pub(super) fn written(
    entries: &[S],
    scale: Scale,
    number: u64,
    extent: Extent,
    sequences: Sequences,
) -> Timeline {
    let mut builder = RunsBuilder::new(scale, number);
    let mut warning = None;
    let mut open_from = None;
    for (at, entry) in entries.iter().enumerate() {
        let time = entry.time.unwrap_or(builder.next_time());
        if time < builder.next_time() {
            warning = Some(WarningKind::TimelineGoesBack);
        }
        if let Some(number) = entry.number {
            if number < builder.next_number() {
                warning = Some(WarningKind::BadTimelineEntry);
            }
            builder.skip_to_number(number);
        }
        let next = entries.get(at + 1);
        let count = if entry.duration == 0 {
            None
        } else if let Ok(repeat) = u64::try_from(entry.repeat) {
            Some(repeat.saturating_add(1))
        } else if let Some(next) = next {
            next.time
                .and_then(|next| next.checked_sub(time))
                .map(|ticks| ticks.div_ceil(entry.duration))
        } else if let Some(duration) = extent.duration {
            open_from = extent.is_dynamic.then_some(builder.next_index());
            let end = end_of_period(duration, &scale);
            let ticks = u64::try_from(end.saturating_sub(i128::from(time))).ok();
            ticks.map(|ticks| ticks.div_ceil(entry.duration))
        } else if extent.is_dynamic {
            open_from = Some(builder.next_index());
            Some(u64::MAX)
        } else {
            None
        };
        if count.is_none() {
            warning = Some(WarningKind::BadTimelineEntry);
        }
        let count = count.unwrap_or(1).max(1);
        let sequence_len = match sequences {
            Sequences::Whole => 1,
            Sequences::Apart => entry.sequence_len,
        };
        builder.push(time, entry.duration, count, sequence_len);
    }
    Timeline {
        runs: builder.finish(),
        open_from,
        warning,
    }
}

/// Segments of one constant duration (`@duration`), the first one where the period starts; up to
/// the number `last` where nothing else says how many there are.
pub(super) fn constant(
    duration: Decimal,
    scale: Scale,
    number: u64,
    extent: Extent,
    last: Option<u64>,
) -> Timeline {
    // A fraction of a tick, which the standard does not allow: finer ticks.
    let scale = Scale {
        timescale: scale.timescale.saturating_mul(duration.scale),
        offset: 0,
        ..scale
    };
    let (count, warning) = match extent.duration {
        Some(period) => (count_in(period, duration.scaled, scale.timescale), None),
        None if extent.is_dynamic => (u64::MAX, None),
        None => match last.and_then(|last| last.checked_sub(number)) {
            Some(further) => (further.saturating_add(1), None),
            None => (1, Some(WarningKind::NoSegmentDuration)),
        },
    };
    let mut builder = RunsBuilder::new(scale, number);
    builder.push(0, duration.scaled, count, 1);
    Timeline {
        runs: builder.finish(),
        open_from: extent.is_dynamic.then_some(0),
        warning,
    }
}

/// `count` segments of which the MPD says no duration; a single one is as long as the period.
pub(super) fn unspecified(count: u64, scale: Scale, number: u64, extent: Extent) -> Timeline {
    let scale = Scale {
        timescale: 1_000_000_000,
        offset: 0,
        ..scale
    };
    let nanos = extent.duration.filter(|_| count == 1);
    let nanos = nanos.map_or(0, |duration| {
        u64::try_from(duration.as_nanos()).unwrap_or(0)
    });
    let mut builder = RunsBuilder::new(scale, number);
    builder.push(0, nanos, count, 1);
    Timeline {
        runs: builder.finish(),
        open_from: None,
        warning: (count > 1).then_some(WarningKind::NoSegmentDuration),
    }
}

/// How many segments a period has. One that would play for less than a microsecond is what is
/// left of a rounded duration, and no segment.
fn count_in(period: Duration, ticks: u64, timescale: u64) -> u64 {
    const NANOS: u128 = 1_000_000_000;
    let nanos = period.as_nanos().min(u128::from(u64::MAX));
    let total = nanos * u128::from(timescale);
    let one = (u128::from(ticks) * NANOS).max(1);
    let rest = total % one;
    let is_real = rest / u128::from(timescale.max(1)) >= 1_000 || (rest > 0 && total < one);
    u64::try_from(total / one + u128::from(is_real)).unwrap_or(u64::MAX)
}

/// The tick at which the period ends.
fn end_of_period(duration: Duration, scale: &Scale) -> i128 {
    let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    let ticks = nanos.saturating_mul(i128::from(scale.timescale)) / 1_000_000_000;
    ticks.saturating_add(i128::from(scale.offset))
}

#[cfg(test)]
mod tests {
    use p2pcdn_wire::MediaTime;

    use super::*;

    const SCALE: Scale = Scale {
        timescale: 10,
        offset: 0,
        period_start: MediaTime::ZERO,
    };

    fn s(text: &str) -> Vec<S> {
        let entries = text.split(';').map(|entry| {
            let mut s = S {
                sequence_len: 1,
                ..S::default()
            };
            for word in entry.split_whitespace() {
                let (name, value) = word.split_at(1);
                match name {
                    "t" => s.time = value.parse().ok(),
                    "n" => s.number = value.parse().ok(),
                    "d" => s.duration = value.parse().unwrap(),
                    "r" => s.repeat = value.parse().unwrap(),
                    _ => s.sequence_len = value.parse().unwrap(),
                }
            }
            s
        });
        entries.collect()
    }

    fn timeline(text: &str, period: Option<u64>, is_dynamic: bool) -> Timeline {
        let extent = Extent {
            duration: period.map(Duration::from_secs),
            is_dynamic,
        };
        written(&s(text), SCALE, 1, extent, Sequences::Apart)
    }

    fn times(timeline: &Timeline) -> Vec<u64> {
        let segments = 0..timeline.runs.count().min(20);
        segments
            .map(|at| timeline.runs.get(at).unwrap().time)
            .collect()
    }

    #[test]
    fn entries_repeat_and_leave_gaps() {
        let list = timeline("d20 r2;t100 d30;d10", None, false);
        assert_eq!(times(&list), [0, 20, 40, 100, 130]);
        assert_eq!((list.open_from, list.warning), (None, None));
    }

    #[test]
    fn a_negative_repeat_fills_up_to_the_next_entry() {
        assert_eq!(
            times(&timeline("t0 d20 r-1;t50 d10", None, false)),
            [0, 20, 40, 50]
        );
        let back = timeline("t100 d20 r-1;t50 d10", None, false);
        assert_eq!(times(&back), [100, 50]);
        assert!(back.warning.is_some());
    }

    #[test]
    fn a_negative_repeat_at_the_end_fills_the_period() {
        assert_eq!(times(&timeline("t0 d20 r-1", Some(5), false)), [0, 20, 40]);
        let unknown = timeline("t0 d20 r-1", None, false);
        assert_eq!(times(&unknown), [0]);
        assert_eq!(unknown.warning, Some(WarningKind::BadTimelineEntry));
        let live = timeline("d20;d10 r-1", None, true);
        assert_eq!(live.open_from, Some(1));
        assert_eq!(
            live.runs.get(1_000_000_000).unwrap().time,
            20 + 10 * 999_999_999
        );
    }

    #[test]
    fn the_largest_repeat_takes_no_memory() {
        let list = timeline(
            "d1 r9223372036854775807;d1 r9223372036854775807",
            None,
            false,
        );
        assert_eq!(list.runs.count(), u64::MAX - 1, "numbers begin at one");
    }

    #[test]
    fn an_entry_that_goes_back_counts_as_written() {
        let list = timeline("t100 d50 r1;t120 d50", None, false);
        assert_eq!(times(&list), [100, 150, 120]);
        assert_eq!(list.warning, Some(WarningKind::TimelineGoesBack));
    }

    #[test]
    fn numbers_can_be_skipped_but_not_taken_back() {
        let list = timeline("d10;n7 d10;n2 d10", None, false);
        let numbers: Vec<_> = (0..3).map(|at| list.runs.get(at).unwrap().number).collect();
        assert_eq!(numbers, [1, 7, 8]);
        assert!(list.warning.is_some());
    }

    #[test]
    fn a_period_has_no_empty_segment_at_its_end() {
        // 59/30 s each, and periods rounded to the digits that packagers write.
        let count = |nanos| count_in(Duration::from_nanos(nanos), 59, 30);
        assert_eq!(count(590_000_000_000), 300);
        assert_eq!(count(590_000_000_500), 300);
        assert_eq!(count(590_001_000_000), 301);
        assert_eq!(count(589_999_999_999), 300);
        assert_eq!(count(1), 1);
        assert_eq!(count(0), 0);
        assert_eq!(count_in(Duration::MAX, u64::MAX, u64::MAX), 18_446_744_074);
        assert_eq!(count_in(Duration::MAX, 1, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_fraction_of_a_tick_makes_finer_ticks() {
        let duration = Decimal {
            scaled: 2_002,
            scale: 1_000,
        };
        let scale = Scale {
            timescale: 1,
            ..SCALE
        };
        let extent = Extent {
            duration: Some(Duration::from_secs(20)),
            is_dynamic: false,
        };
        let list = constant(duration, scale, 1, extent, None);
        assert_eq!(list.runs.count(), 10);
        let second = list.runs.get(1).unwrap();
        assert_eq!(second.start, MediaTime::from_nanos(2_002_000_000));
    }
}
