//! The figures of a run: what was delivered, by whom, and what the viewers saw.
//!
//! | figure | definition |
//! |---|---|
//! | `peer_efficiency` | useful peer bytes / (useful peer bytes + HTTP media bytes), from each viewer's join |
//! | `offload` | useful peer bytes / (useful peer bytes + every HTTP byte: media, manifests, block maps) |
//! | `peer_efficiency_steady` | the first over the segments of `Watched::steady`: useful bytes only, by the split of each segment |
//! | `bound` | the best that `peer_efficiency_steady` could be, see [`Bound`](crate::bound::Bound) |
//! | `http_copies_per_segment` | mean over the same segments of HTTP bytes / length of the segment |
//! | `waste_ratio`, `control_ratio` | peer bytes of no use, and peer traffic that is not content where it arrives, / (useful peer bytes + HTTP media bytes) |
//! | `worse_than_twin` | viewers that [`compare`] finds worse off |
//!
//! A segment that is steady for one viewer may have entered the swarm by another who was only
//! starting, so where viewers come and go a few bytes of the steady part are paid for outside of it.
//! Adversaries are in no figure, and neither are their twins.

mod compare;
mod curves;
mod html;
mod json;
mod plot;
mod quantiles;
mod rows;
mod segments;
#[cfg(test)]
mod testing;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use p2pcdn::{metrics::Delivery, wire::Instant};
use serde::Serialize;

use self::segments::Deliveries;
pub use self::{
    compare::{Delay, Shortfall, compare, mean_bitrate, mean_latency},
    html::html,
    json::json,
    quantiles::{Quantiles, nearest_rank},
    text::text,
};
use crate::{
    scenario::{ContentKind, Integrity, Scenario},
    tally::{SegmentKey, Tally},
    world::{Outcome, WorldOutcome},
};

/// What a run took place in, as far as its figures need to know.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub scenario: &'a Scenario,
    /// The group of each person who could reach one another, by number of the person.
    pub components: &'a [u32],
    /// Bytes of a segment.
    pub segment_len: &'a dyn Fn(SegmentKey) -> u64,
    /// Where the curves begin.
    pub first_arrival: Instant,
}

/// One value for each world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Both<T> {
    pub hybrid: T,
    pub twin: T,
}

/// See the table above. Shares are `None` where nothing was delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    pub peer_efficiency: Option<f64>,
    pub peer_efficiency_steady: Option<f64>,
    pub offload: Option<f64>,
    pub bound: Option<f64>,
    /// The bound of all that was delivered, steady or not.
    pub bound_all_in: Option<f64>,
    pub http_copies_per_segment: Option<f64>,
    pub waste_ratio: Option<f64>,
    pub control_ratio: Option<f64>,
    pub delivery: Both<Delivery>,
    pub stalls: Both<u64>,
    pub stall_seconds: Both<f64>,
    /// Stalled / (stalled + played).
    pub stalled_share: Both<Option<f64>>,
    /// From arrival to the first frame, of those who saw one.
    pub startup_ms: Both<Quantiles>,
    /// Over viewers, of their means over the time played; on demand there is none.
    pub latency_s: Both<Quantiles>,
    /// Bits per second played.
    pub mean_bitrate: Both<Option<f64>>,
    /// 99th percentile over viewers of the time stalled beyond the twin's.
    pub added_stall_p99: Duration,
    /// Worst first.
    pub worse_than_twin: Vec<Shortfall>,
    pub corrupt_bytes_played: u64,
    /// Corrupt bytes / bytes played.
    pub corrupt_share: Option<f64>,
    pub events: u64,
    pub wall: Duration,
    pub peak_rss_bytes: u64,
}

/// Why a run, or a figure of it, does not count.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    NobodyPlayed,
    NoSteadySegments,
    /// In a congested world twins have to suffer.
    TwinsHardlyStalled {
        share: f64,
    },
    /// Viewers that the second world does not have.
    WithoutTwin {
        count: usize,
    },
}

impl Figures {
    /// The figures of what a run came to.
    #[must_use]
    pub fn new(setting: &Setting<'_>, outcome: &Outcome) -> Self {
        let honest = honest(outcome);
        let delivery = honest.map(|viewers| viewers.iter().map(|one| one.delivery).sum());
        let hybrid: Delivery = delivery.hybrid;
        let media = hybrid.peer_bytes + hybrid.http_media_bytes();
        let steady = Deliveries::steady(setting, &honest.hybrid);
        let corrupt_bytes_played = honest
            .hybrid
            .iter()
            .map(|one| one.corrupt_bytes_played)
            .sum();
        let bits: f64 = honest.hybrid.iter().map(|one| one.watched.bits).sum();
        let pairs = pairs(&honest);
        let is_live = setting.scenario.content.kind == ContentKind::Live;
        Self {
            peer_efficiency: hybrid.peer_efficiency(),
            peer_efficiency_steady: steady.efficiency(),
            offload: hybrid.offload(),
            bound: steady.bound(),
            bound_all_in: Deliveries::all(setting, &honest.hybrid).bound(),
            http_copies_per_segment: steady.http_copies(),
            waste_ratio: ratio(hybrid.waste_total_bytes(), media),
            control_ratio: ratio(hybrid.control_received_bytes, media),
            delivery,
            stalls: honest.map(|viewers| {
                let stalls = viewers.iter().map(|one| u64::from(one.watched.stalls));
                stalls.sum()
            }),
            stall_seconds: honest.map(|viewers| stalled(viewers).as_secs_f64()),
            stalled_share: honest.map(stalled_share),
            startup_ms: honest.map(|viewers| {
                let startups = viewers.iter().filter_map(|one| one.watched.startup);
                Quantiles::new(startups.map(|startup| startup.as_secs_f64() * 1e3))
            }),
            latency_s: honest.map(|viewers| {
                let live = viewers.iter().filter(|_| is_live);
                let latencies = live.filter_map(|one| mean_latency(&one.watched));
                Quantiles::new(latencies.map(|latency| latency.as_secs_f64()))
            }),
            mean_bitrate: honest.map(bitrate),
            added_stall_p99: added_stall_p99(&pairs),
            worse_than_twin: shortfalls(&pairs),
            corrupt_bytes_played,
            corrupt_share: (bits > 0.0).then(|| corrupt_bytes_played as f64 * 8.0 / bits),
            events: outcome.hybrid.events + outcome.twin.events,
            wall: outcome.wall,
            peak_rss_bytes: outcome.peak_rss,
        }
    }

    /// Why these figures, or some of them, do not count; mostly nothing.
    #[must_use]
    pub fn warnings(&self, setting: &Setting<'_>, outcome: &Outcome) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.stalled_share.hybrid.is_none() && self.stalled_share.twin.is_none() {
            warnings.push(Warning::NobodyPlayed);
        } else if self.peer_efficiency_steady.is_none() {
            warnings.push(Warning::NoSteadySegments);
        }
        let share = self.stalled_share.twin.unwrap_or(0.0);
        let is_congested = setting.scenario.preset.starts_with("congested");
        if is_congested && share < CONGESTED_SHARE_MIN {
            warnings.push(Warning::TwinsHardlyStalled { share });
        }
        let honest = honest(outcome);
        let count = honest.hybrid.len() - pairs(&honest).len();
        if count > 0 {
            warnings.push(Warning::WithoutTwin { count });
        }
        warnings
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyPlayed => f.write_str("nobody played anything"),
            Self::NoSteadySegments => f.write_str(
                "there are no steady figures: nobody played on for more than 10 s in the measured part",
            ),
            Self::TwinsHardlyStalled { share } => write!(
                f,
                "this run does not count as congested: over HTTP alone viewers stalled {:.1} % of \
                 the time, less than {:.0} %",
                share * 100.0,
                CONGESTED_SHARE_MIN * 100.0
            ),
            Self::WithoutTwin { count } => {
                write!(f, "{count} viewers have no twin and are compared with nobody")
            }
        }
    }
}

impl Setting<'_> {
    /// How often a segment has to enter a group over HTTP.
    fn copies(&self) -> u64 {
        match self.scenario.integrity {
            Integrity::Signed => 1,
            Integrity::Witnessed => WITNESSES,
        }
    }

    fn component(&self, person: u32) -> u32 {
        let index = usize::try_from(person).unwrap_or(usize::MAX);
        self.components.get(index).copied().unwrap_or(person)
    }
}

impl<T> Both<T> {
    /// The same for each of the two.
    pub fn map<'a, U>(&'a self, mut figure: impl FnMut(&'a T) -> U) -> Both<U> {
        Both {
            hybrid: figure(&self.hybrid),
            twin: figure(&self.twin),
        }
    }
}

/// A viewer and its twin.
type Pair<'a> = (&'a Tally, &'a Tally);

/// Who counts. A twin does not know what its person would do to peers, so the first world tells.
fn honest<'a>(outcome: &'a Outcome) -> Both<Vec<&'a Tally>> {
    let all = outcome.hybrid.tallies.iter().chain(&outcome.twin.tallies);
    let hostile: BTreeSet<u32> = all
        .filter(|one| one.is_hostile)
        .map(|one| one.person)
        .collect();
    let of = |world: &'a WorldOutcome| -> Vec<&'a Tally> {
        let honest = world.tallies.iter();
        honest
            .filter(|one| !hostile.contains(&one.person))
            .collect()
    };
    Both {
        hybrid: of(&outcome.hybrid),
        twin: of(&outcome.twin),
    }
}

fn pairs<'a>(honest: &Both<Vec<&'a Tally>>) -> Vec<Pair<'a>> {
    let twins: BTreeMap<u32, &Tally> = honest.twin.iter().map(|one| (one.person, *one)).collect();
    let with_twin = |viewer: &&'a Tally| Some((*viewer, *twins.get(&viewer.person)?));
    honest.hybrid.iter().filter_map(with_twin).collect()
}

fn shortfalls(pairs: &[Pair<'_>]) -> Vec<Shortfall> {
    let compared = pairs.iter().map(|(viewer, twin)| compare(viewer, twin));
    let mut shortfalls: Vec<Shortfall> = compared.flatten().collect();
    shortfalls.sort_by_key(|one| (one.severity(), one.person));
    shortfalls
}

fn added_stall_p99(pairs: &[Pair<'_>]) -> Duration {
    let added = |(viewer, twin): &Pair<'_>| {
        let alone = twin.watched.stalled;
        viewer.watched.stalled.saturating_sub(alone)
    };
    let mut all: Vec<Duration> = pairs.iter().map(added).collect();
    all.sort_unstable();
    nearest_rank(&all, 0.99).unwrap_or_default()
}

fn stalled(viewers: &[&Tally]) -> Duration {
    viewers.iter().map(|one| one.watched.stalled).sum()
}

fn played(viewers: &[&Tally]) -> Duration {
    viewers.iter().map(|one| one.watched.played).sum()
}

fn stalled_share(viewers: &Vec<&Tally>) -> Option<f64> {
    let stalled = stalled(viewers).as_secs_f64();
    let watched = stalled + played(viewers).as_secs_f64();
    (watched > 0.0).then(|| stalled / watched)
}

fn bitrate(viewers: &Vec<&Tally>) -> Option<f64> {
    let played = played(viewers).as_secs_f64();
    let bits: f64 = viewers.iter().map(|one| one.watched.bits).sum();
    (played > 0.0).then(|| bits / played)
}

/// `part / (part + rest)`; `None` when both are zero.
fn share(part: u64, rest: u64) -> Option<f64> {
    ratio(part, part + rest)
}

/// `part / whole`; `None` when there is no whole.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Fetchers over HTTP that have to agree on a segment that no publisher has signed.
const WITNESSES: u64 = 2;

/// Twins that stall less than this share of the time were not in a congested world.
const CONGESTED_SHARE_MIN: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(outcome: &Outcome) -> Figures {
        let scenario = testing::scenario();
        Figures::new(&testing::setting(&scenario), outcome)
    }

    fn warnings(preset: &str, outcome: &Outcome) -> Vec<Warning> {
        let mut scenario = testing::scenario();
        scenario.preset = preset.to_owned();
        let setting = testing::setting(&scenario);
        Figures::new(&setting, outcome).warnings(&setting, outcome)
    }

    #[test]
    fn ratios_are_those_of_the_definitions() {
        let figures = figures(&testing::outcome());
        // 600 from peers, 200 of media over HTTP, 100 of manifests, 100 of maps.
        assert_eq!(figures.peer_efficiency, Some(0.75));
        assert_eq!(figures.offload, Some(0.6));
        // 16 and 8 of 800.
        assert_eq!(figures.waste_ratio, Some(0.02));
        assert_eq!(figures.control_ratio, Some(0.01));
    }

    #[test]
    fn steady_figures_come_from_the_steady_segments_alone() {
        let figures = figures(&testing::outcome());
        // Segments 10 and 11 of 100 bytes by both: 100 + 20 of 400 over HTTP.
        assert_eq!(figures.peer_efficiency_steady, Some(0.7));
        assert_eq!(figures.http_copies_per_segment, Some(0.6));
        assert_eq!(figures.bound, Some(0.5));
        // Segment 9 was delivered to the first of them only.
        assert_eq!(figures.bound_all_in, Some(0.4));
    }

    #[test]
    fn witnesses_cost_a_copy_each() {
        let mut scenario = testing::scenario();
        scenario.integrity = Integrity::Witnessed;
        let setting = testing::setting(&scenario);
        assert_eq!(Figures::new(&setting, &testing::outcome()).bound, Some(0.0));
    }

    #[test]
    fn viewers_are_compared_with_their_twins() {
        let figures = figures(&testing::outcome());
        assert_eq!(figures.stalls, Both { hybrid: 1, twin: 3 });
        let seconds = Both {
            hybrid: 0.5,
            twin: 4.0,
        };
        assert_eq!(figures.stall_seconds, seconds);
        assert_eq!(figures.startup_ms.hybrid.p50, Some(800.0));
        assert_eq!(figures.startup_ms.twin.p99, Some(900.0));
        assert_eq!(figures.latency_s.hybrid.mean, Some(6.0));
        assert_eq!(figures.mean_bitrate.twin, Some(3e6));
        let worse: Vec<String> = figures
            .worse_than_twin
            .iter()
            .map(|one| one.to_string())
            .collect();
        assert_eq!(worse, ["viewer 1: started 100 ms later"]);
        assert_eq!(figures.added_stall_p99, Duration::ZERO);
    }

    #[test]
    fn the_order_of_the_tallies_does_not_matter() {
        let mut outcome = testing::outcome();
        let figures_before = figures(&outcome);
        outcome.twin.tallies.reverse();
        assert_eq!(figures(&outcome), figures_before);
    }

    #[test]
    fn adversaries_and_their_twins_are_in_no_figure() {
        let outcome = testing::outcome();
        assert!(outcome.hybrid.tallies[2].is_hostile && !outcome.twin.tallies[2].is_hostile);
        let mut without = outcome.clone();
        without.hybrid.tallies.truncate(2);
        without.twin.tallies.truncate(2);
        assert_eq!(figures(&outcome), figures(&without));
    }

    #[test]
    fn added_stall_is_that_of_the_hundredth_viewer_but_one() {
        let mut outcome = Outcome::default();
        for person in 0..200 {
            let mut viewer = Tally {
                person,
                ..Tally::default()
            };
            viewer.watched.stalled = Duration::from_secs(1);
            outcome.twin.tallies.push(viewer.clone());
            // 0, 1, 2, ... milliseconds more than the twin; the last one less.
            let more = Duration::from_millis(u64::from(person));
            viewer.watched.stalled += more;
            if person == 199 {
                viewer.watched.stalled = Duration::ZERO;
            }
            outcome.hybrid.tallies.push(viewer);
        }
        // In order: 0, 0, 1, ..., 198; the 198th of 200.
        assert_eq!(
            figures(&outcome).added_stall_p99,
            Duration::from_millis(196)
        );
    }

    #[test]
    fn on_demand_there_is_no_latency() {
        let mut scenario = testing::scenario();
        scenario.content.kind = ContentKind::OnDemand(Duration::from_secs(60));
        let figures = Figures::new(&testing::setting(&scenario), &testing::outcome());
        assert_eq!(figures.latency_s.hybrid, Quantiles::default());
    }

    #[test]
    fn a_congested_run_counts_when_twins_stall_a_twentieth_of_the_time() {
        let mut outcome = testing::outcome();
        outcome.twin.tallies.truncate(1);
        outcome.hybrid.tallies.truncate(1);
        let twin = &mut outcome.twin.tallies[0].watched;
        (twin.stalled, twin.played) = (Duration::from_secs(5), Duration::from_secs(95));
        assert_eq!(warnings("congested", &outcome), []);
        outcome.twin.tallies[0].watched.played = Duration::from_secs(100);
        let share = 5.0 / 105.0;
        let expected = [Warning::TwinsHardlyStalled { share }];
        assert_eq!(warnings("congested", &outcome), expected);
        assert_eq!(warnings("small", &outcome), []);
    }

    #[test]
    fn a_run_without_players_or_steady_segments_says_so() {
        assert_eq!(
            warnings("small", &Outcome::default()),
            [Warning::NobodyPlayed]
        );
        let mut outcome = testing::outcome();
        for viewer in &mut outcome.hybrid.tallies {
            viewer.watched.steady.clear();
        }
        assert_eq!(warnings("small", &outcome), [Warning::NoSteadySegments]);
        let mut alone = testing::outcome();
        alone.twin.tallies.remove(0);
        assert_eq!(
            warnings("small", &alone),
            [Warning::WithoutTwin { count: 1 }]
        );
    }
}
