//! Segment lists that are computed rather than written: arithmetic runs, however long.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::MediaTime;

/// Segments that follow each other at one distance.
///
/// No sum of its fields overflows: [`RunsBuilder`] sees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Index of its first segment in the whole list.
    index: u64,
    /// Number of its first segment.
    number: u64,
    /// Ticks at which its first segment begins.
    time: u64,
    /// Ticks from one segment sequence to the next.
    duration: u64,
    /// Segment sequences; a sequence is a single segment in nearly every list.
    count: u64,
    /// Segments in one sequence, at least one.
    sequence_len: u32,
}

/// A list of segments in arithmetic runs, or a window of it. Cheap to clone.
///
/// Indexes count from the start of the whole list, also in a window of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    runs: Arc<[Run]>,
    scale: Scale,
    /// Whether times never go back from run to run.
    is_sorted: bool,
    /// The window: index of the first segment in it, and of the first one after it.
    first: u64,
    end: u64,
}

/// How ticks become positions on the timeline of the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Ticks per second, at least one.
    pub(crate) timescale: u64,
    /// Ticks at the start of the period.
    pub(crate) offset: i64,
    /// Where the period starts.
    pub(crate) period_start: MediaTime,
}

/// One segment of a computed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Computed {
    pub(crate) number: u64,
    /// Ticks at which its sequence begins: what `$Time$` stands for.
    pub(crate) time: u64,
    /// Place in its sequence, from zero; zero where sequences are single segments.
    pub(crate) sub_number: u64,
    pub(crate) start: MediaTime,
    pub(crate) duration: Duration,
}

/// Collects runs in order.
#[derive(Debug)]
pub(crate) struct RunsBuilder {
    runs: Vec<Run>,
    scale: Scale,
    is_sorted: bool,
    next_index: u64,
    next_number: u64,
    next_time: u64,
}

impl RunsBuilder {
    /// An empty list whose first segment has `number`.
    pub(crate) fn new(scale: Scale, number: u64) -> Self {
        Self {
            runs: Vec::new(),
            scale: Scale {
                timescale: scale.timescale.max(1),
                ..scale
            },
            is_sorted: true,
            next_index: 0,
            next_number: number,
            next_time: 0,
        }
    }

    /// Ticks at which the last segment ends; zero at first.
    pub(crate) fn next_time(&self) -> u64 {
        self.next_time
    }

    /// The number that the next segment gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// The index that the next segment gets.
    pub(crate) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Gives the next segment a number; one that was passed already is not taken.
    pub(crate) fn skip_to_number(&mut self, number: u64) {
        self.next_number = self.next_number.max(number);
    }

    /// Adds `count` sequences of `duration` ticks, the first one at `time`, of `sequence_len`
    /// segments each. Cut where a sum would pass 64 bits.
    pub(crate) fn push(&mut self, time: u64, duration: u64, count: u64, sequence_len: u32) {
        let sequence_len = sequence_len.max(1);
        let room = |from: u64| u64::MAX - from;
        let by_time = room(time).checked_div(duration).unwrap_or(u64::MAX);
        let by_index = room(self.next_index) / u64::from(sequence_len);
        let count = count.min(by_time).min(by_index).min(room(self.next_number));
        if count == 0 {
            return;
        }
        self.is_sorted &= time >= self.next_time;
        let run = Run {
            index: self.next_index,
            number: self.next_number,
            time,
            duration,
            count,
            sequence_len,
        };
        self.next_index += count * u64::from(sequence_len);
        self.next_number += count;
        self.next_time = time + count * duration;
        let joins = self.runs.last_mut().filter(|last| {
            last.duration == duration
                && last.sequence_len == sequence_len
                && last.number + last.count == run.number
                && last.time + last.count * duration == time
        });
        match joins {
            Some(last) => last.count += count,
            None => self.runs.push(run),
        }
    }

    pub(crate) fn finish(self) -> Runs {
        Runs {
            runs: self.runs.into(),
            scale: self.scale,
            is_sorted: self.is_sorted,
            first: 0,
            end: self.next_index,
        }
    }
}

impl Runs {
    /// Index of the first segment in the window.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Index of the first segment after the window.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many segments the window has.
    pub(crate) fn count(&self) -> u64 {
        self.end - self.first
    }

    /// Bytes of memory.
    pub(crate) fn retained_len(&self) -> usize {
        size_of_val::<[Run]>(&self.runs)
    }

    /// The same with each sequence as one segment; those that the window has a part of count.
    pub(crate) fn sequences(&self) -> Self {
        let mut next = 0;
        let mut window = (0, 0);
        let whole = |run: &Run| {
            let len = u64::from(run.sequence_len);
            let before = |index: u64| index.saturating_sub(run.index).min(run.count * len);
            window.0 += before(self.first) / len;
            window.1 += before(self.end).div_ceil(len);
            let index = next;
            next += run.count;
            Run {
                index,
                sequence_len: 1,
                ..*run
            }
        };
        let runs: Arc<[Run]> = self.runs.iter().map(whole).collect();
        Self {
            runs,
            first: window.0,
            end: window.1,
            ..self.clone()
        }
    }

    /// The part of this window from `first` to `end`, at most.
    pub(crate) fn window(&self, first: u64, end: u64) -> Self {
        let first = first.clamp(self.first, self.end);
        Self {
            first,
            end: end.clamp(first, self.end),
            ..self.clone()
        }
    }

    /// The segment with this index; `None` outside of the window.
    pub(crate) fn get(&self, index: u64) -> Option<Computed> {
        if !(self.first..self.end).contains(&index) {
            return None;
        }
        let after = self.runs.partition_point(|run| run.index <= index);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let len = u64::from(run.sequence_len);
        let (sequence, sub_number) = ((index - run.index) / len, (index - run.index) % len);
        let time = run.time + sequence * run.duration;
        let tick = |sub: u64| {
            let part = u128::from(run.duration) * u128::from(sub) / u128::from(len);
            self.scale.nanos(u128::from(time) + part)
        };
        let (start, end) = (tick(sub_number), tick(sub_number + 1));
        Some(Computed {
            number: run.number + sequence,
            time,
            sub_number,
            start: MediaTime::from_nanos(start),
            duration: Duration::from_nanos(end.abs_diff(start)),
        })
    }

    /// Index of the first segment in the window that has not ended at `position`; the end of the
    /// window when all have.
    pub(crate) fn first_after(&self, position: MediaTime) -> u64 {
        let has_ended = |index: u64| {
            self.get(index)
                .is_some_and(|it| it.start + it.duration <= position)
        };
        partition(self.first, self.end, has_ended).map_or(self.first, |last| last + 1)
    }

    /// The part of this window whose numbers are at most `number`.
    pub(crate) fn up_to_number(&self, number: u64) -> Self {
        let within = |index: u64| self.get(index).is_some_and(|it| it.number <= number);
        let end = partition(self.first, self.end, within).map_or(self.first, |last| last + 1);
        self.window(self.first, end)
    }

    /// Index of the first segment in the window with this number.
    pub(crate) fn index_of_number(&self, number: u64) -> Option<u64> {
        let after = self.runs.partition_point(|run| run.number <= number);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let sequence = (number - run.number < run.count).then_some(number - run.number)?;
        self.in_window(run, sequence)
    }

    /// Index of the first segment in the window whose `$Time$` is this.
    pub(crate) fn index_of_time(&self, time: u64) -> Option<u64> {
        let within = |run: &Run| {
            let past = time.checked_sub(run.time)?;
            let sequence = past.checked_div(run.duration).unwrap_or(0);
            (sequence < run.count && sequence * run.duration == past).then_some(sequence)
        };
        if !self.is_sorted {
            return self
                .runs
                .iter()
                .find_map(|run| self.in_window(run, within(run)?));
        }
        let after = self.runs.partition_point(|run| run.time <= time);
        let run = self.runs.get(after.checked_sub(1)?)?;
        self.in_window(run, within(run)?)
    }

    /// Index of the last segment in the window that begins at or before `position`; `None` when
    /// even the first one begins later.
    pub(crate) fn index_at(&self, position: MediaTime) -> Option<u64> {
        let begun = |index: u64| self.get(index).is_some_and(|it| it.start <= position);
        if !self.is_sorted {
            let lasts = self.runs.iter().rev().filter_map(|run| {
                let end = (run.index + run.count * u64::from(run.sequence_len)).min(self.end);
                partition(run.index.max(self.first), end, begun)
            });
            return lasts.into_iter().next();
        }
        partition(self.first, self.end, begun)
    }

    /// Index of the first segment of a sequence that is in the window.
    fn in_window(&self, run: &Run, sequence: u64) -> Option<u64> {
        let len = u64::from(run.sequence_len);
        let begin = run.index + sequence * len;
        let index = begin.max(self.first);
        (index < (begin + len).min(self.end)).then_some(index)
    }
}

impl Scale {
    /// The position of `ticks` on the timeline of the presentation in nanoseconds, rounded down.
    fn nanos(&self, ticks: u128) -> i64 {
        let ticks = i128::try_from(ticks).unwrap_or(i128::MAX);
        let in_period = ticks.saturating_sub(i128::from(self.offset));
        let scaled = in_period.saturating_mul(1_000_000_000);
        let nanos = scaled.div_euclid(i128::from(self.timescale));
        let nanos = nanos.saturating_add(i128::from(self.period_start.as_nanos()));
        let largest = if nanos < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(nanos).unwrap_or(largest)
    }
}

/// The last index from `first` up to `end` for which `holds`, where it holds for a first part of
/// them.
fn partition(first: u64, end: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (first, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low > first).then(|| low - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCALE: Scale = Scale {
        timescale: 1_000,
        offset: 0,
        period_start: MediaTime::ZERO,
    };

    fn runs(list: &[(u64, u64, u64, u32)]) -> Runs {
        let mut builder = RunsBuilder::new(SCALE, 1);
        for (time, duration, count, len) in list {
            builder.push(*time, *duration, *count, *len);
        }
        builder.finish()
    }

    #[test]
    fn positions_count_from_the_period_and_its_offset() {
        let scale = Scale {
            timescale: 90_000,
            offset: 90_000,
            period_start: MediaTime::from_nanos(10_000_000_000),
        };
        let mut builder = RunsBuilder::new(scale, 5);
        builder.push(180_000, 30_000, 10, 1);
        let runs = builder.finish();
        let third = runs.get(2).unwrap();
        assert_eq!((third.number, third.time), (7, 240_000));
        // 10 s + (240,000 - 90,000) / 90,000 s.
        assert_eq!(third.start, MediaTime::from_nanos(11_666_666_666));
        assert_eq!(third.start + third.duration, runs.get(3).unwrap().start);
        assert_eq!(runs.get(10), None);
    }

    #[test]
    fn endless_runs_cost_nothing_and_never_overflow() {
        let runs = runs(&[(0, 2_000, u64::MAX, 1), (0, 0, u64::MAX, u32::MAX)]);
        let last = runs.get(runs.end() - 1).unwrap();
        assert_eq!(
            last.time, 0,
            "of the second run, which takes what is left of the indexes"
        );
        assert_eq!(runs.index_of_number(1 << 40), Some((1 << 40) - 1));
        assert_eq!(runs.runs.len(), 2);
    }

    #[test]
    fn a_sequence_shares_its_number_and_time() {
        let runs = runs(&[(0, 2_000, 3, 4)]);
        assert_eq!(runs.count(), 12);
        let part = runs.get(6).unwrap();
        assert_eq!((part.number, part.time, part.sub_number), (2, 2_000, 2));
        assert_eq!(part.start, MediaTime::from_nanos(3_000_000_000));
        assert_eq!(part.duration, Duration::from_millis(500));
        assert_eq!(runs.index_of_number(2), Some(4));
        assert_eq!(runs.index_of_time(4_000), Some(8));
        let within = runs.window(6, 9);
        assert_eq!(
            within.index_of_number(2),
            Some(6),
            "the first one left of it"
        );
        assert_eq!(within.index_of_time(2_000), Some(6));
        assert_eq!(within.index_of_number(1), None);
        assert_eq!(runs.index_at(MediaTime::from_nanos(3_499_999_999)), Some(6));
    }

    #[test]
    fn a_window_keeps_the_indexes() {
        let all = runs(&[(0, 1_000, 100, 1)]);
        let window = all.window(10, 20);
        assert_eq!((window.first(), window.end(), window.count()), (10, 20, 10));
        assert_eq!(window.get(9), None);
        assert_eq!(window.get(10), all.get(10));
        assert_eq!(window.index_of_number(21), None);
        assert_eq!(window.index_of_number(20), Some(19));
        assert_eq!(window.index_at(MediaTime::ZERO), None);
        assert_eq!(window.index_at(MediaTime::from_nanos(i64::MAX)), Some(19));
        assert_eq!(window.window(0, 1_000).count(), 10);
        assert_eq!(window.window(30, 5).count(), 0);
    }

    /// One segment as written out, in ticks of [`SCALE`].
    #[derive(Clone, Copy)]
    struct Written {
        number: u64,
        time: u64,
        part: u64,
        start: u64,
        end: u64,
    }

    fn position(tick: u64) -> MediaTime {
        MediaTime::ZERO + Duration::from_millis(tick)
    }

    proptest! {
        #[test]
        fn runs_agree_with_the_list_written_out(
            list in prop::collection::vec((0u64..50, 0u64..9, 0u64..5, 1u32..4), 0..8),
            first in 0u64..30,
            len in 0u64..30,
        ) {
            let mut builder = RunsBuilder::new(SCALE, 3);
            let mut written = Vec::new();
            let (mut time, mut number) = (0, 3);
            for (gap, duration, count, parts) in list {
                time += gap;
                builder.push(time, duration, count, parts);
                let parts = u64::from(parts);
                for _ in 0..count {
                    let tick = |part| time + duration * part / parts;
                    written.extend((0..parts).map(|part| Written {
                        number,
                        time,
                        part,
                        start: tick(part),
                        end: tick(part + 1),
                    }));
                    number += 1;
                    time += duration;
                }
            }
            let runs = builder.finish();
            prop_assert_eq!(runs.count(), written.len() as u64);
            let window = runs.window(first, first + len);
            for (index, it) in (0..).zip(&written) {
                let computed = runs.get(index).expect("as many as were counted");
                let fields = (computed.number, computed.time, computed.sub_number);
                prop_assert_eq!(fields, (it.number, it.time, it.part));
                prop_assert_eq!(computed.start, position(it.start));
                prop_assert_eq!(computed.start + computed.duration, position(it.end));
                let is_inside = index >= first && index < first + len;
                prop_assert_eq!(window.get(index).is_some(), is_inside);
            }
            let place = |at: Option<usize>| at.map(|at| at as u64);
            for wanted in 0..200 {
                let by_number = written.iter().position(|it| it.number == wanted);
                prop_assert_eq!(runs.index_of_number(wanted), place(by_number));
                let by_time = written.iter().any(|it| it.time == wanted);
                let found = runs.index_of_time(wanted).and_then(|index| runs.get(index));
                prop_assert_eq!(found.map(|it| it.time), by_time.then_some(wanted));
                let last = written.iter().rposition(|it| it.start <= wanted);
                prop_assert_eq!(runs.index_at(position(wanted)), place(last));
                let after = written.iter().position(|it| it.end > wanted);
                let after = after.unwrap_or(written.len()) as u64;
                prop_assert_eq!(runs.first_after(position(wanted)), after);
            }
        }
    }
}
