//! Both worlds of whole runs.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use p2pcdn::metrics::HttpReason;
use p2pcdn_example_simulate::{
    presets::{Overrides, preset, random_small},
    scenario::{Arrivals, Content, ContentKind, OutageKind, PayloadKind, PeerPolicy, Scenario},
    tally::{Tally, Watched},
    trace::{self, ReplayError, replay_run},
    world::{Outcome, Shared, run, run_in},
};

/// A preset with so few viewers, and so short, that a run of it is over soon.
fn brief(name: &str, viewers: u32, seconds: u64) -> Scenario {
    preset(name, overrides(viewers, seconds)).unwrap()
}

fn overrides(viewers: u32, seconds: u64) -> Overrides {
    Overrides {
        viewers: Some(viewers),
        duration: Some(Duration::from_secs(seconds)),
        ..Overrides::default()
    }
}

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, &mut |_| {})
}

/// What a viewer saw and what it cost, but for block maps, which a twin has no use for. Integrals
/// over the time played are summed up in other steps, so they are compared as [`close`] ones.
fn over_http(tally: &Tally) -> impl PartialEq + Debug + use<> {
    let manifests = tally.delivery.http_bytes.of(HttpReason::Manifest);
    let media = tally.delivery.http_media_bytes();
    let watched = Watched {
        latency_seconds: 0.0,
        bits: 0.0,
        ..tally.watched.clone()
    };
    let segments = (tally.delivered.clone(), tally.http.clone());
    (watched, segments, media, manifests)
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(1.0)
}

fn check_reproduces_the_twin(scenario: Scenario) {
    let scenario = Scenario {
        policy: PeerPolicy::HttpOnly,
        payload: PayloadKind::Virtual,
        ..scenario
    };
    let outcome = play(&scenario);
    let name = (&scenario.preset, scenario.seed);
    assert_eq!(outcome.hybrid.tallies.len(), outcome.twin.tallies.len());
    for (viewer, twin) in outcome.hybrid.tallies.iter().zip(&outcome.twin.tallies) {
        let person = viewer.person;
        let (saw, would_see) = (over_http(viewer), over_http(twin));
        assert_eq!(saw, would_see, "{name:?}, {person}");
        let (own, other) = (&viewer.watched, &twin.watched);
        let is_close = close(own.latency_seconds, other.latency_seconds);
        assert!(
            is_close && close(own.bits, other.bits),
            "{name:?}, {person}"
        );
    }
    let played = |tally: &Tally| tally.watched.played;
    let played: Duration = outcome.twin.tallies.iter().map(played).sum();
    assert!(played > scenario.duration / 2, "{name:?}: {played:?}");
}

#[test]
fn an_http_only_policy_reproduces_the_twin_exactly() {
    for (name, viewers, seconds) in [
        ("small", 4, 60),
        ("event", 8, 60),
        ("congested", 6, 60),
        ("low-latency", 4, 60),
        ("vod", 4, 200),
    ] {
        check_reproduces_the_twin(brief(name, viewers, seconds));
    }
}

#[test]
fn an_http_only_policy_reproduces_the_twin_when_edges_and_lines_fail() {
    let fading = brief("fading", 6, 180);
    let outages = &fading.edges.outages;
    for kind in [OutageKind::Errors, OutageKind::Freeze] {
        assert!(outages.iter().any(|outage| outage.kind == kind));
    }
    check_reproduces_the_twin(fading);
}

#[test]
fn an_http_only_policy_reproduces_the_twin_in_random_worlds() {
    for seed in 0..20 {
        check_reproduces_the_twin(random_small(seed));
    }
}

#[test]
fn virtual_payload_gives_the_trace_of_real_bytes() {
    let of = |payload| {
        play(&Scenario {
            payload,
            ..brief("small", 3, 40)
        })
    };
    let (real, stand_in) = (of(PayloadKind::Real), of(PayloadKind::Virtual));
    assert_eq!(real.hybrid, stand_in.hybrid);
    assert_eq!(real.twin, stand_in.twin);
    let from_peers = |tally: &Tally| tally.delivery.peer_bytes;
    assert!(real.hybrid.tallies.iter().map(from_peers).sum::<u64>() > 0);
}

#[test]
fn the_trace_does_not_depend_on_the_number_of_threads() {
    let on = |threads| {
        play(&Scenario {
            threads,
            ..brief("event", 60, 30)
        })
    };
    let one = on(1);
    for threads in [2, 3] {
        let other = on(threads);
        assert_eq!(other.hybrid, one.hybrid);
        assert_eq!(other.twin, one.twin);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let of = |seed| play(&random_small(seed));
    let (one, same, other) = (of(3), of(3), of(4));
    assert_eq!((&one.hybrid, &one.twin), (&same.hybrid, &same.twin));
    assert_ne!(one.hybrid.digest, other.hybrid.digest);
}

#[test]
fn a_recorded_viewer_of_a_run_does_the_same_again() {
    for payload in [PayloadKind::Virtual, PayloadKind::Real] {
        let name = match payload {
            PayloadKind::Virtual => "event",
            PayloadKind::Real => "small",
        };
        let overrides = overrides(4, 30);
        let scenario = preset(name, overrides).unwrap();
        assert_eq!(scenario.payload, payload);
        let header = trace::header(&scenario, &overrides, 0);
        let outcome = run_in(
            &Arc::new(Shared::new(&scenario)),
            Some(&header),
            &mut |_| {},
        );
        let trace = outcome.trace.expect("the first viewer is recorded");
        let replayed = replay_run(&trace[..]).unwrap();
        assert_eq!(replayed.header.preset, name);
        assert!(
            replayed.inputs > 300 && replayed.outputs > 300,
            "{replayed:?}"
        );
        let received = String::from_utf8_lossy(&trace)
            .matches("link_received")
            .count();
        assert!(received > 100, "{received} messages of neighbours");
        // Recording is no part of the world.
        assert_eq!(outcome.hybrid, play(&scenario).hybrid);
    }
}

#[test]
fn a_trace_that_is_none_is_refused() {
    let refused = replay_run(&b"{}\n"[..]);
    assert!(
        matches!(refused, Err(ReplayError::NotATrace)),
        "{refused:?}"
    );
    let scenario = brief("small", 2, 5);
    let header = trace::header(&scenario, &overrides(2, 5), 2);
    let trace = trace::Recording::new(header).trace();
    let refused = replay_run(&trace[..]);
    assert!(matches!(refused, Err(ReplayError::Stage(_))), "{refused:?}");
}

/// Segments that a viewer got in more than one rendition.
fn fetched_again(tally: &Tally) -> usize {
    let ordinals = || tally.delivered.iter().map(|key| key.ordinal);
    ordinals().count() - ordinals().collect::<BTreeSet<_>>().len()
}

#[test]
fn adaptive_worlds_play_in_several_renditions_and_films_to_their_end() {
    let adaptive = play(&brief("mobile", 8, 60));
    let film = play(&Scenario {
        content: Content {
            kind: ContentKind::OnDemand(Duration::from_secs(40)),
            ..brief("vod", 4, 120).content
        },
        arrivals: Arrivals::Over(Duration::from_secs(10)),
        ..brief("vod", 4, 120)
    });
    for world in [&adaptive.hybrid, &adaptive.twin] {
        let delivered = || world.tallies.iter().flat_map(|tally| &tally.delivered);
        let tracks: BTreeSet<u16> = delivered().map(|key| key.track).collect();
        assert!(tracks.len() > 1, "{tracks:?}");
    }
    for world in [&film.hybrid, &film.twin] {
        for tally in &world.tallies {
            let ordinals: BTreeSet<u64> = tally.delivered.iter().map(|key| key.ordinal).collect();
            assert!(
                ordinals.contains(&19),
                "viewer {}: {ordinals:?}",
                tally.person
            );
        }
    }
    for tally in adaptive.hybrid.tallies.iter().chain(&film.hybrid.tallies) {
        assert_eq!(tally.corrupt_bytes_played, 0);
    }
    let twins = adaptive.twin.tallies.iter().map(fetched_again);
    assert_eq!(twins.sum::<usize>(), 0);
    let again: usize = adaptive.hybrid.tallies.iter().map(fetched_again).sum();
    let delivered: usize = adaptive
        .hybrid
        .tallies
        .iter()
        .map(|it| it.delivered.len())
        .sum();
    // A session that switches fetches what is ahead of the playhead in the new rendition too.
    assert!(again * 10 < delivered, "{again} of {delivered}");
}
