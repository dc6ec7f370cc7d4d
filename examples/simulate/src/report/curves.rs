//! The lines that the page draws, as points.

use std::{collections::BTreeMap, time::Duration};

use p2pcdn::{metrics::Delivery, wire::Instant};

use super::{Both, Setting, honest, ratio, segments::Deliveries};
use crate::{
    tally::Tally,
    world::{Outcome, Totals},
};

pub(super) type Points = Vec<(f64, f64)>;

/// Time is in seconds since the first arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Curves {
    /// Peer efficiency of what arrived lately.
    pub(super) efficiency: Points,
    /// Control bytes in percent of the media that arrived lately.
    pub(super) control: Points,
    /// HTTP copies by segment, counted from the first that was delivered.
    pub(super) copies: Points,
    /// Seconds of buffer that 5 %, a half and 95 % of the viewers do not exceed.
    pub(super) buffer: Both<[Points; 3]>,
    /// Share of the viewers that stalled for at most so many seconds.
    pub(super) stalls: Both<Points>,
}

impl Curves {
    pub(super) fn new(setting: &Setting<'_>, outcome: &Outcome) -> Self {
        let honest = honest(outcome);
        let lately = |part: fn(&Delivery) -> u64| {
            lately(setting.first_arrival, &outcome.hybrid.glances, part)
        };
        let control = lately(|one| one.control_received_bytes).into_iter();
        let buffers = |glances| buffers(setting.first_arrival, glances);
        Self {
            efficiency: lately(|one| one.peer_bytes),
            control: control.map(|(at, share)| (at, share * 100.0)).collect(),
            copies: copies(&Deliveries::all(setting, &honest.hybrid)),
            buffer: Both {
                hybrid: buffers(&outcome.hybrid.glances),
                twin: buffers(&outcome.twin.glances),
            },
            stalls: honest.map(|viewers| stalls(viewers)),
        }
    }
}

/// `part` of the media that arrived within `LATELY` before each moment.
fn lately(start: Instant, glances: &[(Instant, Totals)], part: fn(&Delivery) -> u64) -> Points {
    let mut points = Vec::new();
    let mut oldest = 0;
    for (at, totals) in glances {
        while oldest < glances.len() && glances[oldest].0 + LATELY < *at {
            oldest += 1;
        }
        // One more than `LATELY` ago at the most; before the first of them nothing had arrived.
        let before = match oldest.checked_sub(1) {
            Some(index) => glances[index].1.delivery,
            None => Delivery::default(),
        };
        let since = |of: fn(&Delivery) -> u64| of(&totals.delivery).saturating_sub(of(&before));
        let media = since(|one| one.peer_bytes) + since(Delivery::http_media_bytes);
        points.extend(ratio(since(part), media).map(|share| (seconds_since(start, *at), share)));
    }
    thinned(points)
}

fn buffers(start: Instant, glances: &[(Instant, Totals)]) -> [Points; 3] {
    let quantiles: [fn(&Totals) -> Duration; 3] = [
        |one| one.buffer_p5,
        |one| one.buffer_p50,
        |one| one.buffer_p95,
    ];
    quantiles.map(|quantile| {
        let present = glances.iter().filter(|(_, totals)| totals.present > 0);
        let point = |(at, totals): &(Instant, Totals)| {
            let buffer = quantile(totals).as_secs_f64();
            (seconds_since(start, *at), buffer)
        };
        thinned(present.map(point).collect())
    })
}

/// Renditions of one ordinal are averaged: a copy is a copy of one of them.
fn copies(all: &Deliveries) -> Points {
    let mut ordinals: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (segment, copies) in all.copies_of_each() {
        let (sum, count) = ordinals.entry(segment.ordinal).or_default();
        *sum += copies;
        *count += 1.0;
    }
    let first = ordinals.keys().next().copied().unwrap_or(0);
    let points = ordinals
        .into_iter()
        .map(|(ordinal, (sum, count))| ((ordinal - first) as f64, sum / count));
    thinned(points.collect())
}

/// A step for each length of stall.
fn stalls(viewers: &[&Tally]) -> Points {
    let stalled = viewers.iter().map(|one| one.watched.stalled.as_secs_f64());
    let mut stalled: Vec<f64> = stalled.collect();
    stalled.sort_unstable_by(f64::total_cmp);
    let count = stalled.len() as f64;
    let mut points: Points = Vec::new();
    if stalled.first().is_some_and(|least| *least > 0.0) {
        points.push((0.0, 0.0));
    }
    for (rank, seconds) in stalled.into_iter().enumerate() {
        let share = (rank + 1) as f64 / count;
        match points.last_mut() {
            Some((last, reached)) if *last == seconds => *reached = share,
            _ => points.push((seconds, share)),
        }
    }
    thinned(points)
}

fn seconds_since(start: Instant, at: Instant) -> f64 {
    at.saturating_duration_since(start).as_secs_f64()
}

/// The first, the last and as many between them as a plot can show.
fn thinned(points: Points) -> Points {
    let Some(last) = points.len().checked_sub(1) else {
        return points;
    };
    let step = points.len().div_ceil(POINTS_MAX);
    let keep = |index: usize| index.is_multiple_of(step) || index == last;
    let kept = points.into_iter().enumerate();
    kept.filter(|(index, _)| keep(*index))
        .map(|(_, point)| point)
        .collect()
}

/// Long enough for some segments of any length to arrive, short enough to show a crowd.
const LATELY: Duration = Duration::from_secs(10);

/// More than a plot has columns on a phone, few enough to keep a page small.
const POINTS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use p2pcdn::metrics::HttpReason;

    use super::{super::testing, *};
    use crate::tally::{HttpShare, SegmentKey};

    const START: Instant = Instant::EPOCH;

    /// At each second what had arrived from peers and over HTTP by then.
    fn glances(arrived: &[(u64, u64)]) -> Vec<(Instant, Totals)> {
        let glance = |(second, (peer, http)): (u32, &(u64, u64))| {
            let mut totals = Totals::default();
            totals.delivery.add_peer(*peer);
            totals.delivery.add_http(HttpReason::Duty, *http);
            (START + Duration::from_secs(1) * second, totals)
        };
        (0..).zip(arrived).map(glance).collect()
    }

    #[test]
    fn a_moment_shows_what_arrived_in_the_ten_seconds_before_it() {
        // 100 bytes a second: over HTTP up to second 20, from peers afterwards.
        let arrived = |second: u64| (100 * second.saturating_sub(20), 100 * second.min(20));
        let arrived: Vec<_> = (0..=40).map(arrived).collect();
        let points = lately(START, &glances(&arrived), |one| one.peer_bytes);
        let at = |second: f64| points.iter().find(|(at, _)| *at == second).unwrap().1;
        assert_eq!(at(20.0), 0.0);
        // From second 14 to 25 six seconds are of HTTP; the glance 11 s ago is the base.
        assert_eq!(at(25.0), 5.0 / 11.0);
        assert_eq!(at(31.0), 1.0);
        // Nothing had arrived at second 0.
        assert_eq!(points[0].0, 1.0);
    }

    #[test]
    fn copies_are_counted_from_the_first_segment_delivered() {
        let scenario = testing::scenario();
        let key = |track, ordinal| SegmentKey { track, ordinal };
        let share = |segment, http_len| HttpShare { segment, http_len };
        let viewer = Tally {
            delivered: vec![key(0, 50), key(0, 51), key(1, 51)],
            http: vec![share(key(0, 50), 100), share(key(1, 51), 50)],
            ..Tally::default()
        };
        let all = Deliveries::all(&testing::setting(&scenario), &[&viewer]);
        assert_eq!(copies(&all), [(0.0, 1.0), (1.0, 0.25)]);
    }

    #[test]
    fn the_share_of_viewers_grows_with_the_length_of_the_stall() {
        let viewer = |seconds| {
            let mut tally = Tally::default();
            tally.watched.stalled = Duration::from_secs(seconds);
            tally
        };
        let viewers = [viewer(3), viewer(0), viewer(0), viewer(9)];
        let points = stalls(&viewers.iter().collect::<Vec<_>>());
        assert_eq!(points, [(0.0, 0.5), (3.0, 0.75), (9.0, 1.0)]);
        assert_eq!(stalls(&[&viewers[3]]), [(0.0, 0.0), (9.0, 1.0)]);
        assert_eq!(stalls(&[]), []);
    }

    #[test]
    fn a_plot_gets_no_more_points_than_it_can_show() {
        let many = |count: u32| (0..count).map(|n| (f64::from(n), 0.0)).collect::<Points>();
        assert_eq!(thinned(many(300)).len(), 300);
        let thin = thinned(many(86_400));
        assert!(thin.len() <= POINTS_MAX + 1);
        assert_eq!((thin[0].0, thin[thin.len() - 1].0), (0.0, 86_399.0));
        assert_eq!(thinned(Vec::new()), []);
    }
}
