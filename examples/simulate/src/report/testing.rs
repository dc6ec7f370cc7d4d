//! A run by hand: two honest viewers and an adversary, whose figures are easy to work out.

use std::time::Duration;

use p2pcdn::{
    metrics::{HttpReason, Waste},
    wire::{BitRate, Instant},
};

use super::{Figures, Setting};
use crate::{
    scenario::{
        Abr, Access, Arrivals, Connectivity, Content, ContentKind, Edges, Hostile, Integrity,
        PayloadKind, PeerPolicy, Scenario, Tracker, Variation,
    },
    tally::{HttpShare, SegmentKey, Tally, Watched},
    world::{Outcome, Totals, WorldOutcome},
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn scenario() -> Scenario {
    Scenario {
        preset: "small".to_owned(),
        seed: 7,
        viewers: 3,
        duration: 60 * SECOND,
        steady_from: 20 * SECOND,
        content: Content {
            kind: ContentKind::Live,
            segment_duration: 2 * SECOND,
            renditions: vec![BitRate::from_bps(3_000_000)],
            length_spread: 0.0,
            window: 30,
            signing: Duration::ZERO,
        },
        latency: 6 * SECOND,
        buffer_target: 10 * SECOND,
        arrivals: Arrivals::Over(SECOND),
        mean_session: None,
        crash_share: 0.0,
        pauses_per_hour: 0.0,
        seeks_per_hour: 0.0,
        access: Access::Uniform { up: 2.0, down: 7.0 },
        mobile_share: 0.0,
        leecher_share: 0.0,
        variation: Variation::Constant,
        peer_loss: 0.0,
        http_loss: 0.0,
        connectivity: Connectivity::All,
        edges: Edges {
            count: 1,
            capacity: None,
            ttfb: Duration::ZERO,
            ttfb_sigma: 0.0,
            outages: Vec::new(),
        },
        tracker: Tracker {
            memory: SECOND,
            interval: SECOND,
            offers_per_announce: 10,
        },
        abr: Abr::Fixed,
        integrity: Integrity::Signed,
        hostile: Hostile {
            share: 0.0,
            kinds: Vec::new(),
        },
        policy: PeerPolicy::Peers,
        payload: PayloadKind::Virtual,
        max_links: 16,
        tick: Duration::ZERO,
        threads: 1,
    }
}

/// Everybody can reach everybody, segments are 100 bytes long, the first arrival is at 100 s.
pub(super) fn setting(scenario: &Scenario) -> Setting<'_> {
    Setting {
        scenario,
        components: &[0, 0, 0],
        segment_len: &|_| 100,
        first_arrival: Instant::EPOCH + 100 * SECOND,
    }
}

pub(super) fn outcome() -> Outcome {
    Outcome {
        trace: None,
        hybrid: WorldOutcome {
            tallies: vec![first(), second(), adversary(true)],
            glances: glances(600, 200),
            events: 900,
            ..WorldOutcome::default()
        },
        twin: WorldOutcome {
            tallies: vec![
                with_watched(0, watched(800, 2, 3_000)),
                with_watched(1, watched(900, 1, 1_000)),
                adversary(false),
            ],
            glances: glances(0, 800),
            events: 100,
            ..WorldOutcome::default()
        },
        wall: Duration::from_millis(2_500),
        peak_rss: 3_000_000,
    }
}

/// The JSON object of an outcome in `scenario`.
pub(super) fn json(outcome: &Outcome) -> serde_json::Value {
    let scenario = scenario();
    let setting = setting(&scenario);
    let text = super::json(&setting, &Figures::new(&setting, outcome));
    serde_json::from_str(&text).unwrap()
}

fn first() -> Tally {
    let mut tally = with_watched(0, watched(800, 1, 500));
    let delivery = &mut tally.delivery;
    delivery.add_peer(400);
    delivery.add_http(HttpReason::Duty, 150);
    delivery.add_http(HttpReason::Startup, 50);
    delivery.add_http(HttpReason::Manifest, 100);
    delivery.add_waste(Waste::Late, 16);
    tally.watched.steady = vec![key(10), key(11)];
    tally.delivered = vec![key(9), key(10), key(11)];
    tally.http = vec![share(9, 100), share(10, 100)];
    tally
}

fn second() -> Tally {
    let mut tally = with_watched(1, watched(1_000, 0, 0));
    tally.delivery.add_peer(200);
    tally.delivery.add_map(100);
    tally.delivery.add_control_received(8);
    tally.delivery.add_control_sent(1_000);
    tally.watched.steady = vec![key(10), key(11)];
    tally.delivered = vec![key(11), key(10)];
    tally.http = vec![share(11, 20)];
    tally
}

/// Would show in every figure.
fn adversary(is_hostile: bool) -> Tally {
    let mut tally = with_watched(2, watched(50_000, 9, 90_000));
    tally.is_hostile = is_hostile;
    tally.delivery.add_peer(1_000_000);
    tally.delivery.add_http(HttpReason::Deadline, 1_000_000);
    tally.watched.steady = vec![key(10), key(12)];
    tally.delivered = vec![key(10), key(12)];
    tally.http = vec![share(12, 100)];
    tally.corrupt_bytes_played = if is_hostile { 77 } else { 0 };
    tally
}

fn with_watched(person: u32, watched: Watched) -> Tally {
    Tally {
        person,
        watched,
        ..Tally::default()
    }
}

/// 40 s at 3 Mb/s, 6 s behind live.
fn watched(startup_ms: u64, stalls: u32, stalled_ms: u64) -> Watched {
    Watched {
        startup: Some(Duration::from_millis(startup_ms)),
        stalls,
        stalled: Duration::from_millis(stalled_ms),
        played: 40 * SECOND,
        latency_seconds: 240.0,
        bits: 120e6,
        ..Watched::default()
    }
}

/// 60 s in which bytes arrive evenly.
fn glances(peer: u64, http: u64) -> Vec<(Instant, Totals)> {
    let at = |second: u32| {
        let mut totals = Totals {
            present: 2,
            buffer_p5: SECOND,
            buffer_p50: 4 * SECOND,
            buffer_p95: 5 * SECOND,
            ..Totals::default()
        };
        totals.delivery.add_peer(peer * u64::from(second));
        totals
            .delivery
            .add_http(HttpReason::Duty, http * u64::from(second));
        totals.delivery.add_control_received(8 * u64::from(second));
        (Instant::EPOCH + (100 + second) * SECOND, totals)
    };
    (0..=60).map(at).collect()
}

fn key(ordinal: u64) -> SegmentKey {
    SegmentKey { track: 0, ordinal }
}

fn share(ordinal: u64, http_len: u64) -> HttpShare {
    HttpShare {
        segment: key(ordinal),
        http_len,
    }
}
