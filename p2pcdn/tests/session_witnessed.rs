//! Where no publisher signs: a segment is played on the word of several viewers who read it.

mod support;

use std::collections::BTreeMap;

use p2pcdn::{Integrity, Network, SessionEvent, SessionKey, wire::PeerMessage};
use support::{Sent, Stream, What, World};

/// The first segment about which liars lie; before, they tell the truth and are believed.
const FIRST_LIE: u64 = 508;

/// A viewer in a network, with this many witnesses asked for.
fn viewer(world: &mut World, network: u64, witnesses: u8) -> usize {
    let index = world.nodes.len();
    world.networks.insert(index, Network::new(network));
    let byte = u8::try_from(index + 1).expect("few nodes");
    world.viewer_with(|config| {
        config.integrity = Integrity::Witnessed { witnesses };
        config.session_key = SessionKey([byte; 32]);
        config.network = Some(Network::new(network));
    })
}

/// The origin gives these viewers other bytes, the same to all of them, from `FIRST_LIE` on.
fn make_liars(world: &mut World, liars: &[usize]) {
    world.liars = liars.iter().copied().collect();
    let liars = liars.to_vec();
    world.rule(move |asked, answer| {
        if liars.contains(&asked.viewer)
            && matches!(asked.what, What::Segment(ordinal) if ordinal >= FIRST_LIE)
        {
            answer.version = 9;
        }
    });
}

/// How many viewers asked the origin for each segment.
fn copies(world: &World) -> BTreeMap<u64, usize> {
    let mut copies: BTreeMap<u64, usize> = BTreeMap::new();
    for viewer in 0..world.nodes.len() {
        let mut asked = world.asked_segments(viewer);
        asked.sort_unstable();
        asked.dedup();
        for ordinal in asked {
            *copies.entry(ordinal).or_default() += 1;
        }
    }
    copies
}

fn was_caught(world: &World, by: usize, liar: usize) -> bool {
    let liar = world.nodes[liar].peer;
    world
        .events(by)
        .any(|event| matches!(event, SessionEvent::PeerCaught { peer, .. } if *peer == liar))
}

#[test]
fn two_witnesses_are_enough_for_all_the_others() {
    let mut world = World::new(Stream::Live);
    let viewers: Vec<_> = (1..=6).map(|at| viewer(&mut world, at, 2)).collect();
    world.run_secs(60);
    world.check_no_stalls();
    // 515 to 525: all have settled by then, and all have been played.
    let copies = copies(&world);
    let total: usize = (515..=525)
        .map(|it| copies.get(&it).copied().unwrap_or(0))
        .sum();
    assert!((22..=26).contains(&total), "{copies:?}");
    assert!(viewers.iter().all(|viewer| world.peer_bytes(*viewer) > 0));
}

#[test]
fn where_there_is_one_other_viewer_everything_comes_over_http() {
    let mut world = World::new(Stream::Live);
    let viewers = [viewer(&mut world, 1, 2), viewer(&mut world, 2, 2)];
    world.run_secs(40);
    world.check_no_stalls();
    for viewer in viewers {
        assert_eq!(world.peer_bytes(viewer), 0);
    }
}

#[test]
fn viewers_in_one_network_are_one_witness() {
    let mut world = World::new(Stream::Live);
    let lone = viewer(&mut world, 1, 2);
    for _ in 0..4 {
        viewer(&mut world, 7, 2);
    }
    world.run_secs(40);
    world.check_no_stalls();
    assert_eq!(world.peer_bytes(lone), 0);
}

#[test]
fn a_lone_liar_is_never_played_and_is_caught() {
    let mut world = World::new(Stream::Live);
    let viewers: Vec<_> = (1..=6).map(|at| viewer(&mut world, at, 2)).collect();
    make_liars(&mut world, &viewers[..1]);
    // What is played is checked at every step.
    world.run_secs(60);
    let honest = &viewers[1..];
    assert!(honest.iter().any(|by| was_caught(&world, *by, viewers[0])));
    for by in honest {
        for other in honest {
            assert!(!was_caught(&world, *by, *other), "{by} blames {other}");
        }
        assert_eq!(world.player(*by).stalls, 0);
    }
}

#[test]
fn two_liars_in_one_network_are_not_played() {
    let mut world = World::new(Stream::Live);
    let liars = [viewer(&mut world, 9, 2), viewer(&mut world, 9, 2)];
    let honest: Vec<_> = (1..=4).map(|at| viewer(&mut world, at, 2)).collect();
    make_liars(&mut world, &liars);
    world.run_secs(60);
    for by in &honest {
        assert_eq!(world.player(*by).stalls, 0);
    }
    let is_caught = |liar: &usize| honest.iter().any(|by| was_caught(&world, *by, *liar));
    assert!(liars.iter().any(is_caught));
}

#[test]
fn nobody_signs_what_the_origin_serves_privately() {
    let mut world = World::new(Stream::Live);
    let viewers: Vec<_> = (1..=4).map(|at| viewer(&mut world, at, 2)).collect();
    world.rule(|asked, answer| {
        if matches!(asked.what, What::Segment(508..=510)) {
            answer.cache_control = Some("private");
        }
    });
    world.run_secs(40);
    world.check_no_stalls();
    let maps = world.sent.iter().filter_map(Sent::message);
    let of_private = maps.filter(|message| {
        matches!(message, PeerMessage::Map { place, .. } if (508..=510).contains(&place.ordinal))
    });
    assert_eq!(of_private.count(), 0);
    assert!(viewers.iter().all(|it| world.peer_bytes(*it) > 0));
}
