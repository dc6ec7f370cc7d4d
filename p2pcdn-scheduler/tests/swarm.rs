//! Whole swarms in virtual time: what the parts of the scheduler come to together.

mod support;

use std::time::Duration;

use p2pcdn_metrics::HttpReason;
use support::{
    setting::{Manner, Setting},
    world::World,
};

fn show(world: &World) -> String {
    let viewers: Vec<_> = world
        .viewers
        .iter()
        .map(|viewer| (viewer.startup, viewer.stalls, viewer.stalled, viewer.waste))
        .collect();
    format!(
        "efficiency {:.3}, reasons {:?}, viewers {viewers:?}",
        world.peer_efficiency(0),
        world.reasons(),
    )
}

/// The first segment that is played more than ten seconds after the last viewer joined, 20 s after
/// the epoch at the earliest, with one viewer a second.
fn steady(viewers: usize) -> u64 {
    (20 + viewers as u64 + 10) / 2
}

fn a_live_swarm_of(viewers: usize, least: f64) {
    let world = World::new(Setting {
        viewers,
        ..Setting::default()
    })
    .run();
    let efficiency = world.peer_efficiency(steady(viewers));
    println!("{viewers}: {efficiency:.3} {}", show(&world));
    assert!(efficiency >= least, "{efficiency} {}", show(&world));
    assert_eq!(world.stalls(), 0, "{}", show(&world));
}

// The bound is one copy over HTTP: 1 - 1/n.

#[test]
fn two_live_viewers_share_all_but_one_copy() {
    a_live_swarm_of(2, 0.49);
}

#[test]
fn three_live_viewers_share_all_but_one_copy() {
    a_live_swarm_of(3, 0.65);
}

#[test]
fn six_live_viewers_share_all_but_one_copy() {
    a_live_swarm_of(6, 0.82);
}

#[test]
fn twenty_live_viewers_share_all_but_one_copy() {
    a_live_swarm_of(20, 0.94);
}

#[test]
fn on_demand_swarms_share_although_viewers_are_at_different_places() {
    let setting = Setting {
        viewers: 5,
        live: false,
        ..Setting::default()
    };
    let world = World::new(setting).run();
    let efficiency = world.peer_efficiency(10);
    println!("vod {efficiency:.3} {}", show(&world));
    assert!(efficiency >= 0.75, "{efficiency} {}", show(&world));
    assert_eq!(world.stalls(), 0);
}

#[test]
fn viewers_start_as_fast_as_over_http_alone() {
    let alone = World::new(Setting {
        peer_transfer: false,
        ..Setting::default()
    })
    .run();
    let together = World::new(Setting::default()).run();
    for (alone, together) in alone.viewers.iter().zip(&together.viewers) {
        assert!(together.startup.is_some());
        assert!(together.startup <= alone.startup, "{:?}", together.startup);
    }
    assert_eq!(alone.stalls(), 0);
    let reasons = alone.reasons();
    assert!(reasons.contains_key(&HttpReason::Policy));
    assert!(!reasons.contains_key(&HttpReason::Duty));
}

#[test]
fn without_block_maps_everybody_falls_back_to_http_in_time() {
    let world = World::new(Setting {
        maps_after: None,
        ..Setting::default()
    })
    .run();
    println!("no maps {}", show(&world));
    assert_eq!(world.stalls(), 0, "{}", show(&world));
    assert!(world.peer_efficiency(0) < 0.01);
    assert!(world.reasons().contains_key(&HttpReason::Integrity));
}

#[test]
fn viewers_that_promise_and_do_not_deliver_cost_no_stall_and_little_offload() {
    let world = World::new(Setting {
        manners: vec![Manner::Silent, Manner::Silent],
        seconds: 90.0,
        ..Setting::default()
    })
    .run();
    println!("silent {}", show(&world));
    assert_eq!(world.stalls(), 0, "{}", show(&world));
    // Four honest ones among them could share 3/4; nobody else's bytes count.
    assert!(world.peer_efficiency(30) > 0.45, "{}", show(&world));
}

#[test]
fn a_viewer_that_sends_wrong_bytes_is_cut_off_by_all() {
    let world = World::new(Setting {
        manners: vec![Manner::Wrong],
        ..Setting::default()
    })
    .run();
    println!("wrong {}", show(&world));
    assert_eq!(world.stalls(), 0, "{}", show(&world));
    for viewer in &world.viewers[1..] {
        assert!(viewer.disconnected.contains(&p2pcdn_wire::LinkId(0)));
    }
    assert!(world.peer_efficiency(30) > 0.6, "{}", show(&world));
}

#[test]
fn an_outage_of_the_origin_hurts_nobody_more_than_alone() {
    let setting = Setting {
        outage: Some((20.0, 3.0)),
        ..Setting::default()
    };
    let alone = World::new(Setting {
        peer_transfer: false,
        ..setting.clone()
    })
    .run();
    let together = World::new(setting).run();
    println!("outage {} / {}", show(&together), show(&alone));
    for (one, other) in alone.viewers.iter().zip(&together.viewers) {
        assert!(other.stalled <= one.stalled, "{}", show(&together));
    }
}

#[test]
fn a_slow_origin_is_no_worse_for_waiting() {
    // HTTP at 4 Mb/s carries the 3 Mb/s stream, with little to spare.
    let setting = Setting {
        http: p2pcdn_wire::BitRate::from_bps(4_000_000),
        uplink: p2pcdn_wire::BitRate::from_bps(2_000_000),
        ..Setting::default()
    };
    let alone = World::new(Setting {
        peer_transfer: false,
        ..setting.clone()
    })
    .run();
    let together = World::new(setting).run();
    println!("slow {} / {}", show(&together), show(&alone));
    for (one, other) in alone.viewers.iter().zip(&together.viewers) {
        assert!(other.stalled <= one.stalled, "{}", show(&together));
    }
}

#[test]
fn a_publisher_that_takes_its_time_to_sign_costs_nothing() {
    let setting = Setting {
        maps_after: Some(Duration::from_millis(900)),
        ..Setting::default()
    };
    let from = steady(setting.viewers);
    let world = World::new(setting).run();
    let efficiency = world.peer_efficiency(from);
    println!("slow publisher {efficiency:.3} {}", show(&world));
    assert!(efficiency >= 0.80, "{efficiency} {}", show(&world));
    assert_eq!(world.stalls(), 0, "{}", show(&world));
}
