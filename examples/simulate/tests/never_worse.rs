//! No viewer is worse off than its twin, in any world where none need be.
//!
//! Worlds come by seed from `presets::random_small`. A test run plays a few of them; many are played
//! by hand, in release:
//!
//! ```text
//! cargo test --release -p p2pcdn-example-simulate --test never_worse -- --ignored --nocapture
//! ```

use std::{cmp::Reverse, collections::BTreeMap, ops::Range, time::Duration};

use p2pcdn_example_simulate::{
    presets::{Overrides, preset, random_small},
    report::{Shortfall, compare},
    scenario::{Hostile, Scenario, Variation},
    world::run,
};
use proptest::{
    num::u32::BinarySearch,
    prelude::*,
    strategy::NewTree,
    test_runner::{Config, TestCaseError, TestRunner},
};

/// A random small world, by what a failure can do without.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    /// Of the viewers, at most so many beyond two.
    viewers: u32,
    /// Of the run, at most so many seconds beyond five.
    seconds: u32,
    /// Of how much rates vary, per cent.
    variation: u32,
    /// Of the lengths of segments and of times to first byte, per cent.
    spread: u32,
    /// Neighbours that are adversaries, per cent.
    hostile: u32,
}

impl Case {
    /// The world of this seed as it is.
    fn whole(seed: u64, hostile: u32) -> Self {
        Self {
            seed,
            viewers: 10,
            seconds: 85,
            variation: 100,
            spread: 100,
            hostile,
        }
    }

    fn scenario(self) -> Scenario {
        let mut scenario = random_small(self.seed);
        scenario.viewers = scenario.viewers.min(2 + self.viewers);
        let duration = Duration::from_secs(5 + u64::from(self.seconds));
        scenario.duration = scenario.duration.min(duration);
        scenario.steady_from = scenario.steady_from.min(scenario.duration / 2);
        if let Variation::Wandering { sigma, least, most } = &mut scenario.variation {
            let share = f64::from(self.variation) / 100.0;
            *sigma *= share;
            *least = 1.0 - (1.0 - *least) * share;
            *most = 1.0 + (*most - 1.0) * share;
        }
        let share = f64::from(self.spread) / 100.0;
        scenario.content.length_spread *= share;
        scenario.edges.ttfb_sigma *= share;
        if self.hostile > 0 {
            let adversaries = preset("hostile", Overrides::default()).expect("it is there");
            scenario.hostile = Hostile {
                share: f64::from(self.hostile) / 100.0,
                ..adversaries.hostile
            };
        }
        scenario
    }

    fn play(self) -> Played {
        let outcome = run(&self.scenario(), &mut |_| {});
        let pairs = outcome.hybrid.tallies.iter().zip(&outcome.twin.tallies);
        let mut played = Played::default();
        for (viewer, twin) in pairs.filter(|(viewer, _)| !viewer.is_hostile) {
            played.honest += 1;
            played.corrupt_bytes += viewer.corrupt_bytes_played;
            played.worse.extend(compare(viewer, twin));
        }
        played
    }

    fn check(self) -> Result<(), TestCaseError> {
        let played = self.play();
        prop_assert!(played.honest > 0);
        prop_assert_eq!(
            played.corrupt_bytes,
            0,
            "corrupt bytes played, seed {}",
            self.seed
        );
        let worse: Vec<_> = played.worse.iter().map(Shortfall::to_string).collect();
        prop_assert!(worse.is_empty(), "seed {}: {}", self.seed, worse.join("; "));
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Played {
    honest: u32,
    corrupt_bytes: u64,
    worse: Vec<Shortfall>,
}

/// Always this number; less when shrinking.
#[derive(Debug)]
struct AtMost(u32);

impl Strategy for AtMost {
    type Tree = BinarySearch;
    type Value = u32;

    fn new_tree(&self, _: &mut TestRunner) -> NewTree<Self> {
        Ok(BinarySearch::new(self.0))
    }
}

/// The world of this seed, shrunk when it fails.
fn world(seed: u64, hostile: u32) -> impl Strategy<Value = Case> {
    let whole = Case::whole(seed, hostile);
    let knobs = [whole.viewers, whole.seconds, whole.variation, whole.spread];
    let [viewers, seconds, variation, spread] = knobs.map(AtMost);
    (viewers, seconds, variation, spread).prop_map(move |(viewers, seconds, variation, spread)| {
        Case {
            viewers,
            seconds,
            variation,
            spread,
            ..whole
        }
    })
}

fn check_worlds(seeds: Range<u64>, hostile: u32) {
    for seed in seeds {
        let config = Config {
            cases: 1,
            // Some tens of seconds.
            max_shrink_iters: 60,
            failure_persistence: None,
            ..Config::default()
        };
        let result = TestRunner::new(config).run(&world(seed, hostile), Case::check);
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
}

/// Plays worlds and prints who is worse off, the worst last; gives how many worlds have somebody.
fn print_worse(seeds: Range<u64>, hostile: u32) -> usize {
    let count = seeds.end - seeds.start;
    let (mut worse, mut corrupt, mut honest) = (Vec::new(), BTreeMap::new(), 0);
    for seed in seeds {
        let played = Case::whole(seed, hostile).play();
        honest += played.honest;
        worse.extend(played.worse.into_iter().map(|it| (it.severity(), seed, it)));
        if played.corrupt_bytes > 0 {
            corrupt.insert(seed, played.corrupt_bytes);
        }
    }
    worse.sort_by_key(|(severity, seed, it)| (Reverse(*severity), *seed, it.person));
    for (_, seed, it) in &worse {
        println!("seed {seed}, {it}");
    }
    let mut worlds: Vec<u64> = worse.iter().map(|(_, seed, _)| *seed).collect();
    worlds.sort_unstable();
    worlds.dedup();
    println!(
        "{hostile} % hostile: {} of {honest} viewers worse off, in {} of {count} worlds; corrupt \
         bytes played by seed: {corrupt:?}",
        worse.len(),
        worlds.len(),
    );
    worlds.len() + corrupt.len()
}

/// The promise is nobody at all, which `a_thousand_worlds` checks and which does not hold yet
/// (docs/simulation.md has the figures). This holds what has been reached.
fn check_that_few_are_worse(seeds: Range<u64>, hostile: u32) {
    let (mut worse, mut honest) = (Vec::new(), 0);
    for seed in seeds {
        let played = Case::whole(seed, hostile).play();
        assert_eq!(played.corrupt_bytes, 0, "corrupt bytes played, seed {seed}");
        honest += played.honest;
        worse.extend(played.worse.into_iter().map(|it| (seed, it)));
    }
    let listed: Vec<_> = worse
        .iter()
        .map(|(seed, it)| format!("seed {seed}, {it}"))
        .collect();
    let listed = listed.join("; ");
    assert!(worse.len() as u32 * 20 <= honest, "of {honest}: {listed}");
    let by_a_second = |it: &Shortfall| it.severity() < Reverse(Duration::from_secs(1));
    assert!(!worse.iter().any(|(_, it)| by_a_second(it)), "{listed}");
}

#[test]
fn few_viewers_are_worse_off_than_their_twins_and_none_by_a_second() {
    check_that_few_are_worse(0..6, 0);
}

#[test]
fn the_same_with_a_fifth_of_hostile_neighbours() {
    check_that_few_are_worse(0..10, 20);
}

#[test]
#[ignore = "the goal, not reached yet: shrinks the first world that fails"]
fn no_viewer_is_worse_off_than_its_twin() {
    check_worlds(0..200, 0);
}

#[test]
#[ignore = "the goal, not reached yet: shrinks the first world that fails"]
fn hostile_neighbours_make_nobody_worse_off() {
    check_worlds(0..20, 20);
    check_worlds(0..20, 100);
}

#[test]
fn a_failure_shrinks_to_a_world_that_is_smaller_in_all_its_knobs() {
    let config = Config {
        cases: 1,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    };
    // Fails from four viewers and ten seconds on, whatever the rest.
    let result = TestRunner::new(config).run(&world(7, 0), |case| {
        prop_assert!(case.viewers < 2 || case.seconds < 5, "seed {}", case.seed);
        Ok(())
    });
    let Err(proptest::test_runner::TestError::Fail(reason, case)) = result else {
        panic!("{result:?}");
    };
    assert_eq!((case.viewers, case.seconds), (2, 5));
    assert_eq!((case.variation, case.spread, case.seed), (0, 0, 7));
    assert!(reason.to_string().contains("seed 7"), "{reason}");
}

#[test]
#[ignore = "six minutes in release"]
fn a_thousand_worlds() {
    assert_eq!(print_worse(0..1_000, 0), 0);
}

#[test]
#[ignore = "two minutes in release"]
fn a_hundred_hostile_worlds() {
    let failed = [20, 100].map(|hostile| print_worse(0..100, hostile));
    assert_eq!(failed, [0, 0]);
}
