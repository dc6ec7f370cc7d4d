use super::*;
use crate::{
    presets::{Overrides, preset},
    scenario::Hostile,
};

fn scenario(name: &str, viewers: u32) -> Scenario {
    let overrides = Overrides {
        viewers: Some(viewers),
        ..Overrides::default()
    };
    preset(name, overrides).unwrap()
}

fn seconds(at: Instant) -> f64 {
    at.since_epoch().as_secs_f64()
}

/// What is a person's own, whoever else is there.
fn traits(person: &Person) -> Person {
    Person {
        number: 0,
        arrives_at: Instant::EPOCH,
        departs: None,
        habits: Vec::new(),
        ..person.clone()
    }
}

#[test]
fn the_same_seed_gives_the_same_people() {
    let (a, b) = (
        Population::new(&scenario("event", 300)),
        Population::new(&scenario("event", 300)),
    );
    assert_eq!(a.people, b.people);
    let other = Scenario {
        seed: 2,
        ..scenario("event", 300)
    };
    assert_ne!(a.people, Population::new(&other).people);
}

#[test]
fn one_viewer_more_leaves_the_others_as_they_were() {
    for name in ["small", "small-nat", "hostile", "vod"] {
        let fewer = Population::new(&scenario(name, 20));
        let more = Population::new(&scenario(name, 21));
        for (a, b) in fewer.people.iter().zip(&more.people) {
            assert_eq!(traits(a), traits(b), "{name}");
            assert_eq!(fewer.uplink(a.number), more.uplink(a.number));
            assert_eq!(
                fewer.can_connect(0, a.number),
                more.can_connect(0, a.number)
            );
            assert_eq!(fewer.setup_time(0, a.number), more.setup_time(0, a.number));
        }
    }
}

#[test]
fn mixed_uplinks_have_exactly_the_mean_asked_for() {
    for (name, mean) in [("event", 1.5), ("record", 2.0)] {
        let scenario = scenario(name, 2_000);
        let people = Population::new(&scenario).people;
        let sum: u64 = people.iter().map(|person| person.given().as_bps()).sum();
        let wanted = mean * scenario.bitrate().as_bps() as f64 * people.len() as f64;
        // Each is rounded to a whole bit per second.
        assert!(
            (sum as f64 - wanted).abs() <= people.len() as f64,
            "{sum} {wanted}"
        );
        let silent = people.iter().filter(|person| !person.may_upload).count();
        let share = silent as f64 / people.len() as f64;
        assert!((0.17..0.23).contains(&share), "{share}");
        let least = 1.5 * scenario.bitrate().as_bps() as f64;
        assert!(
            people
                .iter()
                .all(|person| person.down.as_bps() as f64 >= least)
        );
    }
}

#[test]
fn who_may_not_upload_declares_it_and_still_has_a_line() {
    let people = Population::new(&scenario("mobile", 400)).people;
    for person in people.iter().filter(|person| !person.may_upload) {
        assert_eq!(person.upload_class, UploadClass::None);
        assert_eq!(person.given(), BitRate::ZERO);
        assert!(person.class.is_mobile());
        assert!(person.up > BitRate::from_bps(500_000));
    }
    assert!(
        people
            .iter()
            .any(|person| person.upload_class == UploadClass::High)
    );
    assert!(
        people
            .iter()
            .any(|person| person.upload_class == UploadClass::Low)
    );
}

#[test]
fn uniform_lines_are_multiples_of_the_bitrate() {
    let population = Population::new(&scenario("small", 5));
    for person in &population.people {
        assert_eq!(person.up, BitRate::from_bps(6_000_000));
        assert_eq!(person.down, BitRate::from_bps(20_000_000));
        assert_eq!(person.upload_class, UploadClass::Normal);
        assert_eq!(population.uplink(person.number).nominal(), person.up);
    }
}

#[test]
fn arrivals_are_spread_as_asked() {
    let arrivals = |arrivals| -> Vec<f64> {
        let scenario = Scenario {
            arrivals,
            ..scenario("small", 1_000)
        };
        let people = Population::new(&scenario).people;
        people
            .iter()
            .map(|person| seconds(person.arrives_at))
            .collect()
    };
    let minute = Duration::from_secs(60);
    for (place, at) in arrivals(Arrivals::Over(minute)).into_iter().enumerate() {
        let slot = 0.06 * place as f64;
        assert!(
            (slot - 1e-6..slot + 0.060_001).contains(&at),
            "{place} {at}"
        );
    }
    let crowd = arrivals(Arrivals::Crowd(minute));
    assert!(crowd.iter().all(|at| (0.0..60.0).contains(at)));
    let early = crowd.iter().filter(|at| **at < 15.0).count();
    assert!(early.abs_diff(250) < 45, "{early}");
    let poisson = arrivals(Arrivals::Poisson(minute));
    assert!(poisson.is_sorted());
    // The sum of 1,000 exponentials of 60 ms has a standard deviation of 1.9 s.
    assert!((54.0..66.0).contains(&poisson[999]), "{}", poisson[999]);
}

#[test]
fn a_newcomer_takes_the_place_of_each_who_leaves() {
    let scenario = Scenario {
        mean_session: Some(Duration::from_secs(40)),
        ..scenario("event", 200)
    };
    let end = Instant::from_epoch(scenario.duration);
    let people = Population::new(&scenario).people;
    let mut left: Vec<Instant> = people
        .iter()
        .filter_map(|person| person.departs)
        .map(|departure| departure.at)
        .collect();
    let mut came: Vec<Instant> = people[200..]
        .iter()
        .map(|person| person.arrives_at)
        .collect();
    left.sort();
    came.sort();
    assert_eq!(left, came);
    assert!(left.iter().all(|at| *at < end));
    // 200 places, each taken for the 162 s of the run less half of the ramp of 12 s on average.
    let expected = 200.0 * 156.0 / 40.0;
    assert!(
        (left.len() as f64 / expected - 1.0).abs() < 0.15,
        "{}",
        left.len()
    );
    let crashes = people.iter().filter_map(|person| person.departs);
    let crashed = crashes.filter(|departure| departure.is_crash).count();
    let share = crashed as f64 / left.len() as f64;
    assert!((0.24..0.36).contains(&share), "{share}");
    assert!(
        (0..)
            .zip(&people)
            .all(|(number, person)| person.number == number)
    );
}

#[test]
fn without_churn_nobody_leaves() {
    let people = Population::new(&scenario("small", 20)).people;
    assert_eq!(people.len(), 20);
    assert!(people.iter().all(|person| person.departs.is_none()));
}

#[test]
fn habits_come_in_order_while_their_person_is_there() {
    let scenario = Scenario {
        mean_session: Some(Duration::from_secs(200)),
        pauses_per_hour: 60.0,
        seeks_per_hour: 60.0,
        ..scenario("vod", 200)
    };
    let end = Instant::from_epoch(scenario.duration);
    let mut pauses = 0;
    for person in Population::new(&scenario).people {
        let until = person.departs.map_or(end, |departure| departure.at);
        assert!(person.habits.is_sorted_by_key(|(at, _)| *at));
        let inside = |at: Instant| at >= person.arrives_at && at < until;
        assert!(person.habits.iter().all(|(at, _)| inside(*at)));
        let mut is_paused = false;
        for (_, habit) in person.habits {
            match habit {
                Habit::Pause => assert!(!std::mem::replace(&mut is_paused, true)),
                Habit::Resume => assert!(std::mem::replace(&mut is_paused, false)),
                Habit::Seek { to } => assert!((0.0..1.0).contains(&to)),
            }
            pauses += u32::from(is_paused);
        }
        assert!(!is_paused);
    }
    assert!(pauses > 100, "{pauses}");
}

#[test]
fn live_seeks_stay_between_the_latency_and_half_of_what_is_listed() {
    let scenario = Scenario {
        seeks_per_hour: 200.0,
        ..scenario("small", 50)
    };
    let people = Population::new(&scenario).people;
    let targets = people.iter().flat_map(|person| &person.habits);
    let targets: Vec<f64> = targets
        .map(|(_, habit)| match habit {
            Habit::Seek { to } => *to,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(targets.len() > 50);
    assert!(targets.iter().all(|to| (6.0..=30.0).contains(to)));
}

#[test]
fn adversaries_come_in_their_share_and_in_turn() {
    let with = |share| {
        let base = scenario("hostile", 71);
        let hostile = Hostile {
            share,
            ..base.hostile
        };
        Population::new(&Scenario { hostile, ..base }).people
    };
    let fifth = with(0.2);
    let kinds: Vec<HostileKind> = fifth.iter().filter_map(|person| person.hostile).collect();
    assert_eq!(kinds.len(), 14);
    for kind in scenario("hostile", 2).hostile.kinds {
        assert_eq!(kinds.iter().filter(|other| **other == kind).count(), 2);
    }
    let all = with(1.0);
    assert_eq!(all[0].hostile, None);
    assert!(all[1..].iter().all(|person| person.hostile.is_some()));
    assert!(with(0.0).iter().all(|person| person.hostile.is_none()));
}

#[test]
fn eclipsers_share_a_prefix_and_others_do_not() {
    let scenario = scenario("hostile", 140);
    let people = Population::new(&scenario).people;
    let (eclipsers, others): (Vec<&Person>, Vec<&Person>) = people
        .iter()
        .partition(|person| person.hostile == Some(HostileKind::Eclipser));
    assert_eq!(eclipsers.len(), 4);
    assert!(
        eclipsers
            .iter()
            .all(|person| person.subnet == eclipsers[0].subnet)
    );
    let mut subnets: Vec<u32> = others.iter().map(|person| person.subnet).collect();
    subnets.sort_unstable();
    subnets.dedup();
    assert_eq!(subnets.len(), others.len());
}

#[test]
fn paths_are_symmetric_and_never_shorter_than_the_lookahead() {
    let population = Population::new(&scenario("event", 100));
    let publisher = population.people.len() as u32;
    for a in 0..=publisher {
        assert!(population.edge_delay(a) >= LOOKAHEAD);
        assert!(population.tracker_delay(a) >= LOOKAHEAD);
        for b in 0..=publisher {
            assert!(population.delay(a, b) >= LOOKAHEAD);
            assert_eq!(population.delay(a, b), population.delay(b, a));
            assert_eq!(population.can_connect(a, b), population.can_connect(b, a));
            assert_eq!(population.setup_time(a, b), population.setup_time(b, a));
        }
    }
}

#[test]
fn a_path_is_two_last_miles_and_what_lies_between() {
    let population = Population::new(&scenario("event", 50));
    let (a, b) = (&population.people[3], &population.people[7]);
    let expected = a.delay + b.delay + geography::backbone(a.region, b.region);
    let error = population.delay(3, 7).abs_diff(expected);
    assert!(error < Duration::from_micros(2), "{error:?}");
}

#[test]
fn four_pairs_in_five_connect_in_small_nat() {
    let population = Population::new(&scenario("small-nat", 200));
    let pairs = (0..200).flat_map(|a| (0..a).map(move |b| (a, b)));
    let connected = pairs
        .filter(|(a, b)| population.can_connect(*a, *b))
        .count();
    assert!(connected.abs_diff(15_920) < 250, "{connected}");
    assert!(
        population
            .components()
            .iter()
            .all(|component| *component == 0)
    );
    assert!(
        population.can_connect(200, 3),
        "the publisher reaches everybody"
    );
}

#[test]
fn blocked_viewers_are_components_of_their_own() {
    let population = Population::new(&scenario("event", 500));
    for (person, component) in population.people.iter().zip(population.components()) {
        let alone = person.nat == NatClass::Blocked;
        assert_eq!(
            component == person.number && component != 0,
            alone,
            "{person:?}"
        );
    }
}

#[test]
fn both_directions_of_a_fading_line_dip_together() {
    let population = Population::new(&scenario("fading", 4));
    let (up, down) = (population.uplink(2), population.downlink(2));
    let is_dip = |line: &Line, second| {
        line.rate_at(Instant::from_epoch(Duration::from_secs(second)))
            <= BitRate::from_bps(1_500_000)
    };
    assert!((0..180).all(|second| is_dip(&up, second) == is_dip(&down, second)));
    assert!((0..180).any(|second| is_dip(&down, second)));
}
