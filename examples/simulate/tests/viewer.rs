//! Viewers of the hybrid world among themselves.

mod support;

use std::time::Duration;

use p2pcdn::{MemoryStore, wire::Instant};
use p2pcdn_example_simulate::{
    people::{Departure, Habit, Population},
    presets::{Overrides, preset},
    scenario::{PayloadKind, PeerPolicy, Scenario},
    tally::Tally,
    virtual_store::VirtualStore,
};

use self::support::{LEAD, World};

/// A live event of 3 Mb/s for so many viewers, half a minute of it.
fn scenario(viewers: u32) -> Scenario {
    let overrides = Overrides {
        viewers: Some(viewers),
        duration: Some(Duration::from_secs(50)),
        ..Overrides::default()
    };
    Scenario {
        payload: PayloadKind::Virtual,
        ..preset("small", overrides).unwrap()
    }
}

fn at(secs: u64) -> Instant {
    Instant::EPOCH + LEAD + Duration::from_secs(secs)
}

/// Everybody is there within the first two seconds.
fn soon(population: &mut Population) {
    for (number, person) in (0u32..).zip(&mut population.people) {
        person.arrives_at = at(0) + Duration::from_millis(400) * number;
    }
}

/// Stalls but for those of the start: who begins in the middle of a segment has little of it, and
/// that is a question for the scheduler.
fn stalls(tally: &Tally) -> usize {
    let each = tally.watched.each_stall.iter();
    each.filter(|(began_at, _)| *began_at > at(4)).count()
}

#[test]
fn a_viewer_alone_plays_over_http_without_a_stall() {
    let mut world = World::<VirtualStore>::new(scenario(1), soon);
    world.run_secs(30);
    let tally = world.tally(0);
    assert!(
        tally
            .watched
            .startup
            .is_some_and(|it| it < Duration::from_secs(2))
    );
    assert_eq!(stalls(&tally), 0);
    assert!(tally.watched.played > Duration::from_secs(27), "{tally:?}");
    assert_eq!(tally.delivery.peer_bytes, 0);
    let media = &world.shared.media;
    let delivered = tally.delivered.iter();
    let len: u64 = delivered
        .map(|it| media.segment_len(it.track, it.ordinal))
        .sum();
    let http: u64 = tally.http.iter().map(|it| it.http_len).sum();
    assert!(http >= len && tally.delivery.http_media_bytes() >= http);
}

#[test]
fn after_a_seek_back_plays_what_the_session_holds_and_the_player_forgot() {
    let overrides = Overrides {
        viewers: Some(1),
        ..Overrides::default()
    };
    let film = preset("vod", overrides).unwrap();
    let seeks_back = |population: &mut Population| {
        soon(population);
        // A player forgets after 30 s, a session after 60 s: of the film's 600 s, back to 2 s.
        let seek = Habit::Seek { to: 2.0 / 600.0 };
        population.people[0].habits = vec![(at(46), seek)];
        population.people[0].departs = None;
    };
    let mut world = World::<VirtualStore>::new(film, seeks_back);
    world.run_secs(60);
    let watched = world.tally(0).watched;
    assert_eq!(watched.stalls, 0, "{watched:?}");
    // It is all there.
    assert_eq!(watched.seeking, Duration::ZERO);
    assert!(watched.played > Duration::from_secs(58), "{watched:?}");
}

#[test]
fn neighbours_share_what_one_of_them_fetched() {
    let mut world = World::<VirtualStore>::new(scenario(3), soon).with_publisher();
    world.run_secs(38);
    let tallies: Vec<_> = (0..3).map(|viewer| world.tally(viewer)).collect();
    for tally in &tallies {
        assert_eq!(stalls(tally), 0, "{tally:?}");
        assert!(tally.connections >= 2);
        assert_eq!(tally.corrupt_bytes_played, 0);
    }
    let sum = |of: fn(&p2pcdn::metrics::Delivery) -> u64| {
        tallies.iter().map(|it| of(&it.delivery)).sum::<u64>()
    };
    let (peers, http) = (sum(|it| it.peer_bytes), sum(|it| it.http_media_bytes()));
    // Two thirds is what three can reach; the start costs some of it.
    let efficiency = peers as f64 / (peers + http) as f64;
    assert!((0.4..0.667).contains(&efficiency), "{efficiency}");
    assert!(sum(|it| it.upload_bytes) >= peers);
}

#[test]
fn without_a_publisher_maps_come_from_the_sidecar() {
    let mut world = World::<VirtualStore>::new(scenario(3), soon);
    world.run_secs(38);
    let tallies: Vec<_> = (0..3).map(|viewer| world.tally(viewer)).collect();
    assert!(tallies.iter().any(|it| it.delivery.map_bytes > 0));
    assert!(tallies.iter().all(|it| it.delivery.peer_bytes > 0));
}

#[test]
fn who_deals_with_no_peers_meets_none() {
    let scenario = Scenario {
        policy: PeerPolicy::HttpOnly,
        ..scenario(3)
    };
    let mut world = World::<VirtualStore>::new(scenario, soon);
    world.run_secs(38);
    for viewer in 0..3 {
        let tally = world.tally(viewer);
        assert_eq!((tally.connections, tally.delivery.peer_bytes), (0, 0));
        assert_eq!(tally.delivery.control_sent_bytes, 0);
        assert_eq!(stalls(&tally), 0);
    }
}

#[test]
fn virtual_and_real_payload_give_the_same_trace() {
    let run = |payload| Scenario {
        payload,
        ..scenario(3)
    };
    let mut virtual_ = World::<VirtualStore>::new(run(PayloadKind::Virtual), soon).with_publisher();
    virtual_.run_secs(20);
    let mut real = World::<MemoryStore>::new(run(PayloadKind::Real), soon).with_publisher();
    real.run_secs(20);
    for viewer in 0..3 {
        assert_eq!(virtual_.tally(viewer), real.tally(viewer));
    }
    assert_eq!(virtual_.events, real.events);
    assert!(virtual_.tally(1).delivery.peer_bytes > 0);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let scenario = Scenario {
            seed,
            ..scenario(3)
        };
        let mut world = World::<VirtualStore>::new(scenario, soon).with_publisher();
        world.run_secs(20);
        world.digest
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn who_stays_notices_a_crash_after_the_silence_and_a_goodbye_at_once() {
    for (is_crash, noticed_after) in [(false, 2), (true, 9)] {
        let mut world = World::<VirtualStore>::new(scenario(2), |population| {
            soon(population);
            let at = at(20);
            population.people[1].departs = Some(Departure { at, is_crash });
        });
        let peers = |world: &World<VirtualStore>| {
            world.viewers[0]
                .session()
                .map_or(0, |it| it.peers().count())
        };
        world.run_secs(19);
        assert_eq!(peers(&world), 1);
        if is_crash {
            world.run_secs(26);
            assert_eq!(peers(&world), 1, "7 s are not over");
        }
        world.run_secs(20 + noticed_after);
        assert_eq!(peers(&world), 0);
        assert!(world.viewers[1].session().is_none());
        world.run_secs(38);
        assert_eq!(stalls(&world.tally(0)), 0);
        assert!(world.tally(1).delivery.peer_bytes > 0);
    }
}

#[test]
fn handling_messages_by_ticks_changes_little() {
    let tick = Duration::from_millis(10);
    let scenario = Scenario {
        tick,
        ..scenario(3)
    };
    let mut world = World::<VirtualStore>::new(scenario, soon).with_publisher();
    world.run_secs(38);
    for viewer in 0..3 {
        let tally = world.tally(viewer);
        assert_eq!(stalls(&tally), 0);
        assert!(tally.delivery.peer_bytes > 0);
    }
}
