use super::*;

fn of(name: &str) -> Scenario {
    preset(name, Overrides::default()).unwrap()
}

#[test]
fn every_listed_preset_is_there_and_remembers_its_name() {
    for (name, _) in PRESETS {
        let scenario = of(name);
        assert_eq!(scenario.preset, name);
        assert!(scenario.steady_from < scenario.duration, "{name}");
        assert!(scenario.content.renditions.is_sorted(), "{name}");
        assert_ne!(scenario.variation, Variation::Constant, "{name}");
        assert_eq!(scenario.integrity, Integrity::Signed, "{name}");
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones() {
    let error = preset("smal", Overrides::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("there is no preset \"smal\"; there are: small, ")
    );
}

#[test]
fn what_is_asked_for_is_taken_over() {
    let overrides = Overrides {
        viewers: Some(3),
        seed: Some(7),
        duration: Some(Duration::from_secs(40)),
        latency: Some(Duration::from_secs(8)),
        integrity: Some(Integrity::Witnessed),
        threads: Some(0),
    };
    let scenario = preset("small", overrides).unwrap();
    assert_eq!(
        (scenario.viewers, scenario.seed, scenario.threads),
        (3, 7, 1)
    );
    assert_eq!(scenario.latency, Duration::from_secs(8));
    assert_eq!(scenario.integrity, Integrity::Witnessed);
    // Too short for 30 s of settling.
    assert_eq!(scenario.duration, Duration::from_secs(40));
    assert_eq!(scenario.steady_from, Duration::from_secs(20));
}

#[test]
fn congested_edges_carry_half_of_what_all_viewers_need() {
    for viewers in [10, 80] {
        let overrides = Overrides {
            viewers: Some(viewers),
            ..Overrides::default()
        };
        let edges = preset("congested", overrides).unwrap().edges;
        let capacity = edges.capacity.unwrap().as_bps() * u64::from(edges.count);
        assert_eq!(capacity, 1_500_000 * u64::from(viewers));
    }
}

#[test]
fn an_event_measures_two_minutes_whatever_its_size() {
    for (viewers, ramp) in [(100, 10), (500, 30), (1_000, 60), (10_000, 60)] {
        let overrides = Overrides {
            viewers: Some(viewers),
            ..Overrides::default()
        };
        let scenario = preset("event", overrides).unwrap();
        assert_eq!(
            scenario.arrivals,
            Arrivals::Crowd(Duration::from_secs(ramp))
        );
        assert_eq!(scenario.steady_from, Duration::from_secs(ramp + 30));
        assert_eq!(scenario.duration, Duration::from_secs(ramp + 150));
    }
}

#[test]
fn a_segment_of_the_record_has_16_blocks() {
    let scenario = of("record");
    let len = scenario
        .bitrate()
        .bytes_in(scenario.content.segment_duration);
    assert_eq!(len.div_ceil(16_384), 16);
    assert_eq!(scenario.viewers, 440_000);
}

#[test]
fn random_small_worlds_stay_where_nobody_need_be_worse_off() {
    for seed in 0..2_000 {
        let scenario = random_small(seed);
        assert!((2..=12).contains(&scenario.viewers));
        let Access::Between { up, down } = scenario.access else {
            panic!("{:?}", scenario.access);
        };
        assert!(0.3 <= up.0 && up.0 < up.1 && up.1 <= 4.0, "{seed}");
        assert!(2.5 <= down.0 && down.0 < down.1 && down.1 <= 10.0, "{seed}");
        let Variation::Wandering { sigma, least, most } = scenario.variation else {
            panic!("{:?}", scenario.variation);
        };
        assert!(sigma > 0.0 && least >= 0.6 && most <= 1.4, "{seed}");
        // 2 (phi(0) - phi(1)) + 2 (1 - Phi(1)) = 0.631, and twice that.
        assert!(least >= 1.0 / (1.0 + 1.262 * sigma), "{seed}");
        assert!(scenario.latency >= 2 * scenario.content.segment_duration);
        assert!(scenario.latency <= Duration::from_secs(12));
        assert_eq!(scenario.edges.capacity, None);
        assert_eq!(scenario.edges.outages, []);
    }
}

#[test]
fn random_small_worlds_differ() {
    let worlds: Vec<Scenario> = (0..200).map(random_small).collect();
    let count = |is: fn(&Scenario) -> bool| worlds.iter().filter(|world| is(world)).count();
    for (what, found) in [
        ("churn", count(|world| world.mean_session.is_some())),
        (
            "NAT",
            count(|world| world.connectivity == Connectivity::Nat),
        ),
        (
            "all",
            count(|world| world.connectivity == Connectivity::All),
        ),
        ("mobile", count(|world| world.mobile_share > 0.0)),
        ("two", count(|world| world.viewers == 2)),
    ] {
        assert!((5..=150).contains(&found), "{what}: {found}");
    }
}
