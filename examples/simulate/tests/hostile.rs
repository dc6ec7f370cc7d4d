//! What adversaries can do to a viewer on the session that ships.

mod arena;

use std::time::Duration;

use arena::Arena;
use p2pcdn::wire::{GoodbyeReason, LinkId};
use p2pcdn_example_simulate::{people::Departure, scenario::HostileKind, tally::Viewed};

const ALL: [HostileKind; 7] = [
    HostileKind::Polluter,
    HostileKind::ColludingPolluter,
    HostileKind::Staller,
    HostileKind::Trickler,
    HostileKind::IntentLiar,
    HostileKind::Flooder,
    HostileKind::Eclipser,
];

/// It watched all the while, and nothing but the publisher's bytes.
fn check_watches(arena: &Arena, at_least: Duration) {
    let honest = &arena.honest;
    assert_eq!(honest.wrong_len, 0, "wrong bytes to play");
    assert_eq!(honest.stalls, 0, "stalls");
    assert!(honest.played >= at_least, "played {:?}", honest.played);
}

#[test]
fn no_adversary_stalls_a_viewer_or_has_it_play_wrong_bytes() {
    for kind in ALL {
        let mut arena = Arena::new(&[kind; 3]);
        arena.run_secs(20);
        assert!(arena.honest.most_links > 0, "{kind:?} never came near");
        check_watches(&arena, Duration::from_secs(17));
    }
}

#[test]
fn all_of_them_together_do_not_either() {
    let kinds = [ALL, ALL, ALL].concat();
    let mut arena = Arena::new(&kinds);
    arena.run_secs(30);
    assert!(arena.honest.most_links > 4, "{}", arena.honest.most_links);
    check_watches(&arena, Duration::from_secs(27));
}

#[test]
fn what_a_viewer_keeps_does_not_grow_with_what_it_is_told() {
    let mut arena = Arena::new(&[HostileKind::Flooder, HostileKind::ColludingPolluter]);
    arena.run_secs(30);
    // A minute of played segments and what is ahead: 37 of 50,000 bytes and a map; 4 MiB may wait
    // for a map.
    let most = 37 * 51_000 + (4 << 20);
    assert!(arena.honest.most_used <= most, "{}", arena.honest.most_used);
    // What a hello can call forth: the holdings of 30 segments, and as much again for the rest.
    assert!(
        arena.honest.most_queued <= 60,
        "{}",
        arena.honest.most_queued
    );
    check_watches(&arena, Duration::from_secs(27));
}

#[test]
fn a_polluter_is_banned_after_one_wrong_block() {
    let mut arena = Arena::new(&[HostileKind::Polluter]);
    arena.run_secs(60);
    let honest = &arena.honest;
    let polluter = arena.hostiles[0].peer(LinkId(0));
    assert!(honest.session.is_banned(polluter));
    // What was under way with the first one is the same proof; after the ban nothing more comes.
    let caught: Vec<_> = honest.caught.iter().map(|(peer, ..)| *peer).collect();
    assert_eq!(caught, [polluter]);
    assert_eq!(honest.session.peers().count(), 0);
    assert_eq!(honest.session.snapshot().delivery.peer_bytes, 0);
    check_watches(&arena, Duration::from_secs(57));
}

#[test]
fn a_trickler_delivers_true_blocks_and_few() {
    let mut arena = Arena::new(&[HostileKind::Trickler]);
    arena.run_secs(60);
    let peer_bytes = arena.honest.session.snapshot().delivery.peer_bytes;
    // One block in two seconds.
    assert!(peer_bytes <= 30 * 16_384, "{peer_bytes}");
    assert!(arena.honest.caught.is_empty());
    check_watches(&arena, Duration::from_secs(57));
}

#[test]
fn a_flooder_sends_what_it_may_and_comes_back_under_another_name() {
    let mut arena = Arena::new(&[HostileKind::Flooder]);
    arena.run_secs(40);
    let heard: u64 = arena.heard_on.values().sum();
    assert!((1_000..=40 * 230).contains(&heard), "{heard} messages");
    // It would send 2,000 on each.
    let most = arena.heard_on.values().max().copied().unwrap_or(0);
    assert!(most < 1_500, "{most} on one link");
    assert!(arena.honest.violations > 0);
    assert!(arena.hostiles[0].tally(arena.now).connections >= 2);
    check_watches(&arena, Duration::from_secs(37));
}

#[test]
fn eclipsers_are_let_go_of_one_after_the_other() {
    let mut arena = Arena::new(&[HostileKind::Eclipser; 20]);
    arena.run_secs(55);
    assert!(arena.honest.session.peers().count() >= 14);
    assert_eq!(arena.honest.goodbyes, []);
    arena.run_secs(125);
    let goodbyes = arena.honest.goodbyes.iter();
    let useless = Some(GoodbyeReason::Useless);
    let let_go = goodbyes.filter(|reason| **reason == useless).count();
    // From the first look after a minute on, one in 15 s.
    assert!((7..=9).contains(&let_go), "{let_go}");
    assert_eq!(arena.honest.session.snapshot().delivery.peer_bytes, 0);
    check_watches(&arena, Duration::from_secs(177));
}

#[test]
fn eclipsers_of_one_network_take_half_of_the_links() {
    let mut arena = Arena::with(&[HostileKind::Eclipser; 20], |shared| {
        for person in shared.population.people.iter_mut().skip(1) {
            person.subnet = 7;
        }
    });
    arena.run_secs(60);
    assert_eq!(arena.honest.most_links, 8);
    check_watches(&arena, Duration::from_secs(57));
}

#[test]
fn who_left_holds_no_link() {
    let mut arena = Arena::with(&[HostileKind::Staller], |shared| {
        let person = &mut shared.population.people[1];
        person.departs = Some(Departure {
            at: person.arrives_at + Duration::from_secs(10),
            is_crash: false,
        });
    });
    arena.run_secs(9);
    assert_eq!(arena.hostiles[0].glance(arena.now).links, 1);
    arena.run_secs(5);
    assert!(!arena.hostiles[0].glance(arena.now).is_present);
    assert_eq!(arena.honest.session.peers().count(), 0);
    check_watches(&arena, Duration::from_secs(11));
}

/// What adversaries cost, in the time and memory of this machine: run with `--release -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement"]
fn what_adversaries_cost() {
    for kind in ALL {
        for count in [1, 8] {
            let before = resident();
            let mut arena = Arena::new(&vec![kind; count]);
            arena.run_secs(120);
            let honest = &arena.honest;
            let heard: u64 = arena.heard_on.values().sum();
            println!(
                "{kind:?} x {count}: {heard} messages heard, {:.1} us each, {:.2} % of a core; \
                 store {} KiB, {} outputs at once, {} map(s) refused, {} violations, \
                 {} reloads asked, {} stalls, {} KiB more resident",
                honest.busy.as_secs_f64() * 1e6 / heard.max(1) as f64,
                honest.busy.as_secs_f64() / 120.0 * 100.0,
                honest.most_used >> 10,
                honest.most_queued,
                honest.refused_maps,
                honest.violations,
                honest.reloads,
                honest.stalls,
                resident().saturating_sub(before),
            );
            println!(
                "    caught {} times, {} links",
                honest.caught.len(),
                arena.heard_on.len()
            );
            for (kind, (messages, busy)) in &honest.busy_with {
                let each = busy.as_secs_f64() * 1e6 / *messages as f64;
                println!("    type {kind:#04x}: {messages} messages, {each:.1} us each");
            }
        }
    }
}

/// KiB that this process has in memory, on Linux.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
