//! Scenarios for unit tests.

use std::time::Duration;

use p2pcdn::wire::BitRate;

use crate::scenario::{
    Abr, Access, Arrivals, Connectivity, Content, ContentKind, Edges, Hostile, Integrity,
    PayloadKind, PeerPolicy, Scenario, Tracker, Variation,
};

/// One viewer of one rendition, 3 Mb/s, 2 s segments, 6 s behind live; nothing varies.
pub(crate) fn scenario() -> Scenario {
    Scenario {
        preset: "test".to_owned(),
        seed: 1,
        viewers: 1,
        duration: Duration::from_secs(120),
        steady_from: Duration::from_secs(30),
        content: Content {
            kind: ContentKind::Live,
            segment_duration: Duration::from_secs(2),
            renditions: vec![BitRate::from_bps(3_000_000)],
            length_spread: 0.0,
            window: 30,
            signing: Duration::from_millis(150),
        },
        latency: Duration::from_secs(6),
        buffer_target: Duration::from_secs(20),
        arrivals: Arrivals::Over(Duration::ZERO),
        mean_session: None,
        crash_share: 0.0,
        pauses_per_hour: 0.0,
        seeks_per_hour: 0.0,
        access: Access::Uniform { up: 2.0, down: 5.0 },
        mobile_share: 0.0,
        leecher_share: 0.0,
        variation: Variation::Constant,
        peer_loss: 0.0,
        http_loss: 0.0,
        connectivity: Connectivity::All,
        edges: Edges {
            count: 1,
            capacity: None,
            ttfb: Duration::from_millis(20),
            ttfb_sigma: 0.0,
            outages: Vec::new(),
        },
        tracker: Tracker {
            memory: Duration::from_secs(120),
            interval: Duration::from_secs(120),
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

/// The same in renditions of so many Mb/s.
pub(crate) fn with_renditions(rates: &[u64]) -> Scenario {
    let mut scenario = scenario();
    let rates = rates.iter().map(|rate| BitRate::from_bps(rate * 1_000_000));
    scenario.content.renditions = rates.collect();
    scenario
}
