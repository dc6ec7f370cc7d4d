//! Everything that a run is made of, as data.

use std::time::Duration;

use p2pcdn::wire::BitRate;

/// A run. The presets are in `presets.rs`, what each of them stands for in `docs/simulation.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub preset: String,
    pub seed: u64,
    pub viewers: u32,
    /// From the first arrival to the end.
    pub duration: Duration,
    /// Steady figures count segments that begin to play from here on, and more than 10 s after
    /// their viewer's first frame.
    pub steady_from: Duration,
    pub content: Content,
    /// How far behind the live edge viewers start; on demand, not used.
    pub latency: Duration,
    pub buffer_target: Duration,
    pub arrivals: Arrivals,
    /// Mean of an exponential session length; `None`: everybody stays to the end. Who leaves is
    /// replaced by a newcomer at once.
    pub mean_session: Option<Duration>,
    /// Share of the departures without a goodbye: the process is gone, its links fall silent.
    pub crash_share: f64,
    pub pauses_per_hour: f64,
    pub seeks_per_hour: f64,
    pub access: Access,
    /// Share of viewers on a mobile network that may not upload (counted as uplink 0).
    pub mobile_share: f64,
    /// Share of viewers that take and never give.
    pub leecher_share: f64,
    pub variation: Variation,
    /// Share of datagrams lost on a path between two viewers, and between a viewer and an edge.
    pub peer_loss: f64,
    pub http_loss: f64,
    pub connectivity: Connectivity,
    pub edges: Edges,
    pub tracker: Tracker,
    pub abr: Abr,
    pub integrity: Integrity,
    pub hostile: Hostile,
    /// Whether the viewers of the first world deal with peers at all.
    pub policy: PeerPolicy,
    pub payload: PayloadKind,
    /// Neighbours a viewer looks for, at most.
    pub max_links: usize,
    /// Messages that reach a viewer within this much time are handled together; zero: each on its
    /// own. A stand-in for the wake-ups of a real process, and what makes the largest worlds
    /// affordable.
    pub tick: Duration,
    pub threads: usize,
}

impl Scenario {
    /// The rate of the highest rendition, by which lines are measured.
    #[must_use]
    pub fn bitrate(&self) -> BitRate {
        self.content.renditions.last().copied().unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub kind: ContentKind,
    pub segment_duration: Duration,
    /// Ascending; `Abr::Fixed` plays the last.
    pub renditions: Vec<BitRate>,
    /// Standard deviation of a segment's length, as a share of the mean.
    pub length_spread: f64,
    /// Segments that a live playlist lists.
    pub window: usize,
    /// How long after a segment its signed block map is there.
    pub signing: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    Live,
    /// A film of this length.
    OnDemand(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Evenly spaced over this long.
    Over(Duration),
    /// A flash crowd: uniformly drawn over this long.
    Crowd(Duration),
    /// A Poisson process with everybody there after about this long.
    Poisson(Duration),
}

/// Access lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    /// Everybody the same, in multiples of the highest rendition's rate.
    Uniform { up: f64, down: f64 },
    /// Each viewer's drawn uniformly within these bounds, in the same unit.
    Between { up: (f64, f64), down: (f64, f64) },
    /// The published mixture of fibre, cable, DSL and mobile lines, uplinks scaled so that their
    /// mean over all viewers (those who may not upload count as 0) is this multiple of the bitrate.
    Mixed { mean_up: f64 },
}

/// How last-mile rates vary with time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variation {
    /// They do not.
    Constant,
    /// A mean-reverting log-normal factor, new each second, within `least..=most` of the nominal
    /// rate.
    Wandering { sigma: f64, least: f64, most: f64 },
    /// As `Wandering`, and dips to `depth` of the highest bitrate, `per_minute` of them, each of
    /// about `length`.
    Fading {
        sigma: f64,
        depth: f64,
        per_minute: f64,
        length: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Connectivity {
    /// Every pair can connect.
    All,
    /// Each pair can with this probability, drawn once.
    Pairs(f64),
    /// By the NAT classes of the two.
    Nat,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Edges {
    pub count: u16,
    /// Of each edge; `None`: no limit.
    pub capacity: Option<BitRate>,
    /// Median time to first byte beyond the round trip, and the standard deviation of its
    /// logarithm.
    pub ttfb: Duration,
    pub ttfb_sigma: f64,
    pub outages: Vec<Outage>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    /// All edges when `None`.
    pub edge: Option<u16>,
    pub from: Duration,
    pub length: Duration,
    pub kind: OutageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageKind {
    /// Answers 503 at once.
    Errors,
    /// Transfers stand still and go on afterwards.
    Freeze,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracker {
    /// How long after its last announce a peer that vanished is still handed out.
    pub memory: Duration,
    pub interval: Duration,
    pub offers_per_announce: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abr {
    /// The highest rendition, always.
    Fixed,
    Throughput,
    Bola,
    Hybrid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    Signed,
    Witnessed,
}

/// Adversaries: a share of the viewers, spread over these kinds in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Hostile {
    pub share: f64,
    pub kinds: Vec<HostileKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostileKind {
    /// Serves wrong bytes.
    Polluter,
    /// Serves wrong bytes, and agrees on them with all others of its kind.
    ColludingPolluter,
    /// Announces everything and delivers nothing.
    Staller,
    /// Delivers a block now and then, so slowly that it never helps.
    Trickler,
    /// Intends every segment and fetches none.
    IntentLiar,
    /// Sends statements and requests as fast as its line allows.
    Flooder,
    /// Many names, all of which want to be everybody's neighbour, and serve nothing.
    Eclipser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPolicy {
    Peers,
    HttpOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// Lengths and a good / bad mark.
    Virtual,
    /// Real bytes, hashed; real block maps, signed and verified.
    Real,
}
