//! Where people are, and how long packets travel between the places.

use std::time::Duration;

use crate::draw::Draws;

/// Places: Washington DC, Dallas, Frankfurt, London, Madrid, Tokyo, Sydney, São Paulo.
pub const REGION_COUNT: usize = 8;

/// Where the tracker and the publisher are: Frankfurt.
pub const HOME: u8 = 2;

/// The region of a viewer: a European event with an audience in the whole world.
#[must_use]
pub fn region(draws: Draws) -> u8 {
    let mut left = draws.below(WEIGHTS.iter().sum());
    for (region, weight) in (0..).zip(WEIGHTS) {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return region,
        }
    }
    HOME
}

/// One way between the networks of two regions, last miles not included.
#[must_use]
pub fn backbone(a: u8, b: u8) -> Duration {
    Duration::from_micros(ROUND_TRIPS_MS[usize::from(a)][usize::from(b)] * 500)
}

/// Where the edge of this number stands. The first is in [`HOME`], the second in the next busiest
/// region, and so on around.
#[must_use]
pub fn edge_region(edge: u16) -> u8 {
    BUSIEST[usize::from(edge) % REGION_COUNT]
}

/// The edge that serves viewers of `region` when there are `count` of them: one of those at the
/// shortest distance, which draw decides.
#[must_use]
pub fn nearest_edge(region: u8, count: u16, draws: Draws) -> u16 {
    let distance = |edge: u16| backbone(region, edge_region(edge));
    let Some(shortest) = (0..count).map(distance).min() else {
        return 0;
    };
    let near = || (0..count).filter(|edge| distance(*edge) == shortest);
    let chosen = draws.below(near().count() as u64) as usize;
    near().nth(chosen).unwrap_or(0)
}

/// Viewers per mille. With the matrix below and the last miles of `access.rs` the median round trip
/// of two viewers drawn at random is 60 ms.
const WEIGHTS: [u64; REGION_COUNT] = [95, 50, 355, 285, 140, 30, 15, 30];

/// Regions by weight, busiest first.
const BUSIEST: [u8; REGION_COUNT] = [2, 3, 4, 0, 1, 5, 7, 6];

/// Round trips in ms between regions: means that IBM Cloud published for its own regions, 28
/// September to 27 October 2024, the two directions averaged. On the diagonal, an assumption: the
/// detour between two access networks of one region.
const ROUND_TRIPS_MS: [[u64; REGION_COUNT]; REGION_COUNT] = [
    [6, 32, 91, 76, 90, 168, 214, 119],
    [32, 6, 123, 114, 119, 142, 185, 144],
    [91, 123, 6, 13, 29, 231, 250, 198],
    [76, 114, 13, 6, 27, 243, 261, 188],
    [90, 119, 29, 27, 6, 256, 275, 207],
    [168, 142, 231, 243, 256, 6, 115, 285],
    [214, 185, 250, 261, 275, 115, 6, 328],
    [119, 144, 198, 188, 207, 285, 328, 6],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access;

    fn last_mile(draws: Draws) -> Duration {
        let class = access::fixed_class(draws.of("class"));
        access::last_mile(class, draws.of("delay"))
    }

    fn round_trips(is_counted: impl Fn(u8, u8) -> bool) -> Vec<Duration> {
        let mut all: Vec<Duration> = (0..20_000)
            .map(|pair| Draws::new(7).nth(pair))
            .filter_map(|pair| {
                let (a, b) = (pair.nth(0), pair.nth(1));
                let (here, there) = (region(a), region(b));
                let one_way = last_mile(a) + last_mile(b) + backbone(here, there);
                is_counted(here, there).then_some(2 * one_way)
            })
            .collect();
        all.sort();
        all
    }

    fn quantile(sorted: &[Duration], share: f64) -> f64 {
        sorted[(sorted.len() as f64 * share) as usize].as_secs_f64() * 1e3
    }

    #[test]
    fn two_viewers_at_random_are_60_ms_apart_in_the_median() {
        let median = quantile(&round_trips(|_, _| true), 0.5);
        assert!((57.0..63.0).contains(&median), "{median}");
    }

    #[test]
    fn most_pairs_of_one_region_are_20_to_60_ms_apart() {
        let inside = round_trips(|a, b| a == b);
        assert!(quantile(&inside, 0.1) > 20.0, "{}", quantile(&inside, 0.1));
        assert!((25.0..40.0).contains(&quantile(&inside, 0.5)));
        assert!(quantile(&inside, 0.9) < 60.0, "{}", quantile(&inside, 0.9));
    }

    #[test]
    fn it_is_as_far_there_as_back() {
        for (a, b) in (0..8).flat_map(|a| (0..8).map(move |b| (a, b))) {
            assert_eq!(backbone(a, b), backbone(b, a), "{a} {b}");
        }
        assert_eq!(backbone(2, 3), Duration::from_micros(6_500));
    }

    #[test]
    fn everybody_is_served_from_nearby() {
        let draws = Draws::new(1);
        // Frankfurt alone, then Frankfurt and London: Washington is nearer to London.
        assert_eq!(nearest_edge(0, 1, draws), 0);
        assert_eq!(nearest_edge(0, 2, draws), 1);
        for region in 0..8 {
            assert_eq!(
                edge_region(nearest_edge(region, REGION_COUNT as u16, draws)),
                region
            );
        }
    }

    #[test]
    fn edges_of_one_place_share_its_viewers() {
        let mut seen = [0; 16];
        for viewer in 0..100 {
            seen[usize::from(nearest_edge(HOME, 16, Draws::new(3).nth(viewer)))] += 1;
        }
        assert_eq!(seen[0] + seen[8], 100);
        assert!(seen[0] > 30 && seen[8] > 30, "{seen:?}");
    }

    #[test]
    fn regions_come_in_their_shares() {
        let mut seen = [0u64; REGION_COUNT];
        for viewer in 0..100_000 {
            seen[usize::from(region(Draws::new(5).nth(viewer)))] += 1;
        }
        for (count, weight) in seen.into_iter().zip(WEIGHTS) {
            assert!(count.abs_diff(weight * 100) < 600, "{count} {weight}");
        }
    }
}
