//! When periods begin and how long they are.

use std::time::Duration;

use p2pcdn_wire::MediaTime;

use super::{elements::PeriodElement, model::Mpd};
use crate::{
    error::{Warning, WarningKind},
    limits::MAX_WARNINGS,
};

/// Where a period is on the timeline of the presentation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeriodExtent {
    pub(super) start: Option<MediaTime>,
    pub(super) duration: Option<Duration>,
}

/// The places of all periods (ISO/IEC 23009-1, 5.3.2.1).
pub(super) fn extents(
    periods: &[PeriodElement],
    mpd: &Mpd,
    warnings: &mut Vec<Warning>,
) -> Vec<PeriodExtent> {
    let mut starts = Vec::with_capacity(periods.len());
    // The first period of a live MPD should say its start; players take zero.
    let mut end_of_last = Some(Duration::ZERO);
    for period in periods {
        let start = period.start.or(end_of_last);
        if start.is_none() {
            warn(warnings, period.line, WarningKind::NoPeriodStart);
        }
        starts.push(start);
        end_of_last = match (start, period.duration) {
            (Some(start), Some(duration)) => Some(start.saturating_add(duration)),
            _ => None,
        };
    }
    let ends = mpd.availability_end_time.zip(mpd.availability_start_time);
    let until = ends.map(|(end, start)| end.saturating_duration_since(start));
    let extent = |(at, period): (usize, &PeriodElement)| {
        let start = starts.get(at).copied().flatten();
        let next = starts.get(at + 1).copied().flatten().zip(start);
        let to_next = next.and_then(|(next, start)| next.checked_sub(start));
        let is_last = at + 1 == periods.len();
        let whole = mpd
            .media_presentation_duration
            .or(until)
            .filter(|_| is_last);
        // Some give the duration of the last period for that of the whole.
        let to_end = whole.map(|whole| match whole.checked_sub(start.unwrap_or_default()) {
            None | Some(Duration::ZERO) => whole,
            Some(rest) => rest,
        });
        let duration = match (period.duration, to_next) {
            (Some(own), Some(to_next)) => Some(own.min(to_next)),
            (own, to_next) => own.or(to_next).or(to_end),
        };
        PeriodExtent {
            start: start.map(|start| MediaTime::ZERO + start),
            duration,
        }
    };
    periods.iter().enumerate().map(extent).collect()
}

/// Remembers a warning about the line.
pub(super) fn warn(warnings: &mut Vec<Warning>, line: u32, kind: WarningKind) {
    if warnings.len() < MAX_WARNINGS {
        warnings.push(Warning { line, kind });
    }
}
