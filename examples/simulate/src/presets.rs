//! Scenarios by name, and small worlds by lot.

use std::time::Duration;

use p2pcdn::wire::BitRate;

use crate::{
    draw::Draws,
    geography::REGION_COUNT,
    scenario::{
        Abr, Access, Arrivals, Connectivity, Content, ContentKind, Edges, Hostile, HostileKind,
        Integrity, Outage, OutageKind, PayloadKind, PeerPolicy, Scenario, Tracker, Variation,
    },
};

/// The presets, each with what it is for, in the order in which they are best read.
pub const PRESETS: [(&str, &str); 17] = [
    ("small", "every pair connects, uplinks of twice the bitrate"),
    ("small-nat", "as small, four pairs in five connect"),
    (
        "event",
        "1,000 viewers with mixed lines, some of them mobile, who come and go",
    ),
    (
        "record",
        "440,000 viewers of one live event who come within a minute",
    ),
    (
        "mobile",
        "half of the viewers on mobile networks, adapting their rendition",
    ),
    (
        "hostile",
        "a fifth of the viewers are adversaries of every kind",
    ),
    ("polluters-5", POLLUTERS),
    ("polluters-10", POLLUTERS),
    ("polluters-20", POLLUTERS),
    ("colluders-5", COLLUDERS),
    ("colluders-10", COLLUDERS),
    ("colluders-20", COLLUDERS),
    (
        "congested",
        "edges with half of the capacity that viewers without peers need",
    ),
    (
        "congested-abr",
        "as congested, viewers adapting their rendition",
    ),
    (
        "fading",
        "lines dip below the bitrate, edges fail, viewers crash",
    ),
    ("vod", "a film, with pauses and seeks"),
    ("low-latency", "3 s behind live in segments of 1 s"),
];

/// What of a preset is asked for otherwise; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    pub viewers: Option<u32>,
    pub seed: Option<u64>,
    /// Of the whole run, from the first arrival.
    pub duration: Option<Duration>,
    pub latency: Option<Duration>,
    pub integrity: Option<Integrity>,
    /// Default: one.
    pub threads: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset {name:?}; there are: {}", names())]
pub struct UnknownPreset {
    pub name: String,
}

/// The scenario of this name.
///
/// The number of viewers scales what must go with it: the ramp of an event, the capacity of
/// congested edges. A run too short for ramp and settling is steady from its middle on.
///
/// # Errors
///
/// The name is not among [`PRESETS`].
pub fn preset(name: &str, overrides: Overrides) -> Result<Scenario, UnknownPreset> {
    let viewers = |default: u32| overrides.viewers.unwrap_or(default);
    let mut scenario = match name {
        "small" => small(viewers(10)),
        "small-nat" => small_nat(viewers(10)),
        "event" => event(viewers(1_000)),
        "record" => record(viewers(440_000)),
        "mobile" => mobile(viewers(100)),
        "hostile" => hostile(viewers(20)),
        "polluters-5" => polluted(viewers(100), HostileKind::Polluter, 0.05),
        "polluters-10" => polluted(viewers(100), HostileKind::Polluter, 0.1),
        "polluters-20" => polluted(viewers(100), HostileKind::Polluter, 0.2),
        "colluders-5" => polluted(viewers(100), HostileKind::ColludingPolluter, 0.05),
        "colluders-10" => polluted(viewers(100), HostileKind::ColludingPolluter, 0.1),
        "colluders-20" => polluted(viewers(100), HostileKind::ColludingPolluter, 0.2),
        "congested" => congested(viewers(50)),
        "congested-abr" => congested_abr(viewers(50)),
        "fading" => fading(viewers(20)),
        "vod" => vod(viewers(20)),
        "low-latency" => low_latency(viewers(20)),
        _ => {
            return Err(UnknownPreset {
                name: name.to_owned(),
            });
        }
    };
    scenario.preset = name.to_owned();
    scenario.seed = overrides.seed.unwrap_or(1);
    scenario.duration = overrides.duration.unwrap_or(scenario.duration);
    scenario.steady_from = scenario.steady_from.min(scenario.duration / 2);
    scenario.latency = overrides.latency.unwrap_or(scenario.latency);
    scenario.integrity = overrides.integrity.unwrap_or(scenario.integrity);
    scenario.threads = overrides.threads.unwrap_or(1).max(1);
    Ok(scenario)
}

/// A small world in which every viewer is to be served no worse than its twin, whatever the seed.
///
/// Its rates vary all the time, but foreseeably. A viewer counts on its throughput estimate divided
/// by 1 + 2 x its mean relative deviation + (1 - confidence). A normal rate cut off one standard
/// deviation from its mean has a mean deviation of 0.63 of one, so that what is counted on in the
/// long run, 1 / (1 + 1.26 sigma), is not above the worst that comes, 1 - sigma, for any sigma up to
/// 0.2. Edges have no limit and no outages.
#[must_use]
pub fn random_small(seed: u64) -> Scenario {
    let draws = Draws::new(seed).of("random small world");
    let between =
        |purpose: &str, least: f64, most: f64| least + (most - least) * draws.of(purpose).unit();
    let seconds = |purpose: &str, least: f64, most: f64| {
        Duration::from_secs_f64((between(purpose, least, most) * 1e3).round() / 1e3)
    };
    let segment_duration = seconds("segment", 1.0, 4.0);
    let sigma = between("sigma", 0.03, 0.2);
    let is_churning = draws.of("churn").chance(0.5);
    let uplink = between("uplink", 0.3, 4.0);
    let mut scenario = Scenario {
        preset: "random-small".to_owned(),
        seed,
        viewers: 2 + draws.of("viewers").below(11) as u32,
        duration: Duration::from_secs(90),
        steady_from: Duration::from_secs(30),
        latency: seconds("latency", 6.0, 12.0).max(segment_duration * 2),
        arrivals: Arrivals::Crowd(seconds("ramp", 0.0, 20.0)),
        mean_session: is_churning.then(|| seconds("session", 20.0, 120.0)),
        crash_share: between("crashes", 0.0, 1.0),
        access: Access::Between {
            up: (0.3, uplink.max(0.4)),
            down: (2.5, between("downlink", 3.0, 10.0)),
        },
        mobile_share: if draws.of("mobile").chance(0.3) {
            0.25
        } else {
            0.0
        },
        leecher_share: if draws.of("leechers").chance(0.3) {
            0.25
        } else {
            0.0
        },
        variation: Variation::Wandering {
            sigma,
            least: 1.0 - sigma,
            most: 1.0 + sigma,
        },
        peer_loss: between("peer loss", 0.0, 0.002),
        http_loss: between("http loss", 0.0, 0.000_1),
        connectivity: match draws.of("connectivity").below(3) {
            0 => Connectivity::All,
            1 => Connectivity::Pairs(between("pairs", 0.5, 1.0)),
            _ => Connectivity::Nat,
        },
        ..small(2)
    };
    scenario.content.segment_duration = segment_duration;
    scenario.content.renditions = vec![BitRate::from_bps(between("bitrate", 1e6, 4e6) as u64)];
    scenario.content.length_spread = between("lengths", 0.0, 0.2);
    scenario.edges.ttfb = seconds("ttfb", 0.01, 0.15);
    scenario.edges.ttfb_sigma = between("ttfb sigma", 0.1, 0.6);
    scenario.payload = PayloadKind::Virtual;
    scenario
}

fn names() -> String {
    PRESETS.map(|(name, _)| name).join(", ")
}

fn small(viewers: u32) -> Scenario {
    Scenario {
        preset: String::new(),
        seed: 1,
        viewers,
        duration: Duration::from_secs(120),
        steady_from: Duration::from_secs(30),
        content: live(2.0, &[3_000_000]),
        latency: Duration::from_secs(6),
        // That of hls.js, maxBufferLength. Live viewers never get as far.
        buffer_target: Duration::from_secs(30),
        arrivals: Arrivals::Over(Duration::from_secs(10)),
        mean_session: None,
        crash_share: 0.0,
        pauses_per_hour: 0.0,
        seeks_per_hour: 0.0,
        access: Access::Uniform {
            up: 2.0,
            down: 20.0 / 3.0,
        },
        mobile_share: 0.0,
        leecher_share: 0.0,
        variation: Variation::Wandering {
            sigma: 0.15,
            least: 0.7,
            most: 1.3,
        },
        peer_loss: 0.000_5,
        http_loss: 0.000_1,
        connectivity: Connectivity::All,
        edges: edges(REGION_COUNT as u16, None),
        tracker: TRACKER,
        abr: Abr::Fixed,
        integrity: Integrity::Signed,
        hostile: Hostile {
            share: 0.0,
            kinds: Vec::new(),
        },
        policy: PeerPolicy::Peers,
        payload: PayloadKind::Real,
        max_links: 24,
        tick: Duration::ZERO,
        threads: 1,
    }
}

fn small_nat(viewers: u32) -> Scenario {
    Scenario {
        connectivity: Connectivity::Pairs(0.8),
        ..small(viewers)
    }
}

fn event(viewers: u32) -> Scenario {
    let ramp = Duration::from_secs_f64((0.06 * f64::from(viewers)).clamp(10.0, 60.0));
    let settling = Duration::from_secs(30);
    Scenario {
        duration: ramp + settling + Duration::from_secs(120),
        steady_from: ramp + settling,
        arrivals: Arrivals::Crowd(ramp),
        // A fifth of the viewers leave, and are replaced, in the 120 s that are measured.
        mean_session: Some(Duration::from_secs(600)),
        crash_share: 0.3,
        access: Access::Mixed { mean_up: 1.5 },
        mobile_share: 0.2,
        connectivity: Connectivity::Nat,
        payload: PayloadKind::Virtual,
        ..small(viewers)
    }
}

fn record(viewers: u32) -> Scenario {
    Scenario {
        duration: Duration::from_secs(150),
        steady_from: Duration::from_secs(90),
        // 16 blocks of 16 KiB a segment, so that a run is affordable; control messages weigh three
        // times as much against media as at 3 Mb/s.
        content: live(2.0, &[1_000_000]),
        arrivals: Arrivals::Crowd(Duration::from_secs(60)),
        mean_session: None,
        access: Access::Mixed { mean_up: 2.0 },
        edges: edges(4 * REGION_COUNT as u16, None),
        max_links: 16,
        tick: Duration::from_millis(10),
        ..event(viewers)
    }
}

fn mobile(viewers: u32) -> Scenario {
    Scenario {
        content: live(2.0, &LADDER),
        mobile_share: 0.5,
        mean_session: None,
        abr: Abr::Hybrid,
        variation: Variation::Wandering {
            sigma: 0.3,
            least: 0.5,
            most: 1.6,
        },
        ..event(viewers)
    }
}

fn hostile(viewers: u32) -> Scenario {
    Scenario {
        hostile: Hostile {
            share: 0.2,
            kinds: vec![
                HostileKind::Polluter,
                HostileKind::ColludingPolluter,
                HostileKind::Staller,
                HostileKind::Trickler,
                HostileKind::IntentLiar,
                HostileKind::Flooder,
                HostileKind::Eclipser,
            ],
        },
        ..small(viewers)
    }
}

fn polluted(viewers: u32, kind: HostileKind, share: f64) -> Scenario {
    Scenario {
        hostile: Hostile {
            share,
            kinds: vec![kind],
        },
        payload: PayloadKind::Virtual,
        ..small(viewers)
    }
}

const POLLUTERS: &str = "this percentage of the viewers hand out wrong bytes, each its own";
const COLLUDERS: &str = "this percentage of the viewers hand out wrong bytes, all the same";

fn congested(viewers: u32) -> Scenario {
    let base = small(viewers);
    let demand = base.bitrate().as_bps() * u64::from(viewers);
    Scenario {
        // One edge, or regions of different weight would be short of different shares.
        edges: edges(1, Some(BitRate::from_bps((demand / 2).max(1)))),
        arrivals: Arrivals::Over(Duration::from_secs(20)),
        duration: Duration::from_secs(150),
        payload: PayloadKind::Virtual,
        ..base
    }
}

fn congested_abr(viewers: u32) -> Scenario {
    Scenario {
        content: live(2.0, &LADDER),
        abr: Abr::Hybrid,
        ..congested(viewers)
    }
}

fn fading(viewers: u32) -> Scenario {
    let outage = |edge, from, length, kind| Outage {
        edge,
        from: Duration::from_secs(from),
        length: Duration::from_secs(length),
        kind,
    };
    let mut edges = edges(REGION_COUNT as u16, None);
    edges.outages = vec![
        outage(None, 60, 4, OutageKind::Errors),
        outage(Some(0), 90, 6, OutageKind::Freeze),
        outage(None, 130, 3, OutageKind::Freeze),
        outage(Some(1), 150, 8, OutageKind::Errors),
    ];
    Scenario {
        duration: Duration::from_secs(180),
        edges,
        variation: Variation::Fading {
            sigma: 0.15,
            depth: 0.5,
            per_minute: 1.0,
            length: Duration::from_secs(4),
        },
        mean_session: Some(Duration::from_secs(120)),
        crash_share: 0.5,
        payload: PayloadKind::Virtual,
        ..small(viewers)
    }
}

fn vod(viewers: u32) -> Scenario {
    let base = small(viewers);
    let film = Duration::from_secs(600);
    Scenario {
        content: Content {
            kind: ContentKind::OnDemand(film),
            window: 300,
            ..base.content
        },
        duration: Duration::from_secs(420),
        steady_from: Duration::from_secs(90),
        arrivals: Arrivals::Poisson(Duration::from_secs(60)),
        pauses_per_hour: 10.0,
        seeks_per_hour: 10.0,
        payload: PayloadKind::Virtual,
        ..base
    }
}

fn low_latency(viewers: u32) -> Scenario {
    Scenario {
        content: live(1.0, &[3_000_000]),
        latency: Duration::from_secs(3),
        ..small(viewers)
    }
}

fn live(segment_seconds: f64, renditions: &[u64]) -> Content {
    Content {
        kind: ContentKind::Live,
        segment_duration: Duration::from_secs_f64(segment_seconds),
        renditions: renditions.iter().copied().map(BitRate::from_bps).collect(),
        // About what a capped variable bitrate gives; an assumption.
        length_spread: 0.05,
        window: 30,
        // The attester reads the segment from the origin, hashes and signs it; an assumption.
        signing: Duration::from_millis(150),
    }
}

fn edges(count: u16, capacity: Option<BitRate>) -> Edges {
    Edges {
        count,
        capacity,
        // A cache hit, with now and then a slow one (99th percentile 130 ms); an assumption.
        ttfb: Duration::from_millis(40),
        ttfb_sigma: 0.5,
        outages: Vec::new(),
    }
}

/// The 3 Mb/s of the other presets and two steps below, each about half.
const LADDER: [u64; 3] = [800_000, 1_600_000, 3_000_000];

/// As aquatic_ws has it by default: told to announce every 120 s, forgotten after 180 s, 10 offers
/// an announce.
const TRACKER: Tracker = Tracker {
    memory: Duration::from_secs(180),
    interval: Duration::from_secs(120),
    offers_per_announce: 10,
};

#[cfg(test)]
#[path = "presets_tests.rs"]
mod tests;
