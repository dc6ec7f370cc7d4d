//! Who watches: when they come and go, what they do, where and how they are connected.
//!
//! All of it is drawn before a run and is the same in both worlds. Draws are named by a viewer's
//! place among the viewers (and, for newcomers, by how many sat there before), so a world with one
//! viewer more has the same others. Three things depend on all: where in the ramp one arrives, the
//! common factor of mixed uplinks, and the numbers of newcomers.

use std::time::Duration;

use p2pcdn::{
    Network,
    wire::{BitRate, Instant, UploadClass, mix},
};

use crate::{
    access::{self, AccessClass},
    draw::Draws,
    geography,
    line::Line,
    nat::{self, NatClass},
    reach,
    scenario::{Access, Arrivals, Connectivity, ContentKind, HostileKind, Scenario, Variation},
};

/// Least time between what one actor does and what another hears of it. With it the actors of one
/// window of this length can be run apart; no path in these worlds is shorter.
pub const LOOKAHEAD: Duration = Duration::from_millis(4);

/// One who watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub number: u32,
    /// What draws about this person alone, or a pair with it, are named by; unlike the number the
    /// same in a world with more viewers.
    pub key: u64,
    pub arrives_at: Instant,
    /// `None`: stays to the end.
    pub departs: Option<Departure>,
    pub region: u8,
    /// The edge that answers its requests.
    pub edge: u16,
    pub nat: NatClass,
    pub class: AccessClass,
    pub down: BitRate,
    /// The line's rate: what it sends passes at this rate even if it may not serve others. For
    /// sums of uplinks take [`Person::given`].
    pub up: BitRate,
    /// One way over the last mile.
    pub delay: Duration,
    pub may_upload: bool,
    pub upload_class: UploadClass,
    /// When in each segment duration it polls its playlist.
    pub poll_phase: Duration,
    /// In order of time, all between arrival and departure.
    pub habits: Vec<(Instant, Habit)>,
    pub hostile: Option<HostileKind>,
    /// Stands for an address prefix: few viewers share one, an adversary with many names has few.
    pub subnet: u32,
}

impl Person {
    /// The uplink that it gives to others: zero when it may not upload.
    #[must_use]
    pub fn given(&self) -> BitRate {
        if self.may_upload {
            self.up
        } else {
            BitRate::ZERO
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    pub at: Instant,
    /// Without a goodbye.
    pub is_crash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Habit {
    Pause,
    Resume,
    /// To a share of what is listed on demand, to so many seconds behind the live edge live.
    Seek {
        to: f64,
    },
}

/// Everybody of a run. The first [`Scenario::viewers`] of them come by themselves; the others take
/// the place of one who left.
///
/// The number after the last stands for the publisher: a machine in a data centre that delays and
/// connections may be asked about like those of a person.
#[derive(Clone, Debug)]
pub struct Population {
    pub people: Vec<Person>,
    /// What is needed for each message, packed: people are scattered over memory.
    sites: Vec<Site>,
    connectivity: Connectivity,
    variation: Variation,
    bitrate: BitRate,
    draws: Draws,
}

#[derive(Clone, Copy, Debug)]
struct Site {
    delay_us: u32,
    region: u8,
    nat: NatClass,
}

impl Population {
    /// Draws everybody of this run.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let draws = Draws::new(scenario.seed).of("people");
        let maker = Maker { scenario, draws };
        let first = maker.arrivals();
        let mut newcomers = Vec::new();
        let mut people: Vec<Person> = (0..scenario.viewers)
            .zip(first)
            .map(|(place, arrives_at)| maker.place(place, arrives_at, &mut newcomers))
            .collect();
        people.append(&mut newcomers);
        for (number, person) in (0..).zip(&mut people) {
            person.number = number;
        }
        let bitrate = scenario.bitrate();
        if let Access::Mixed { mean_up } = scenario.access {
            scale_uplinks(&mut people, mean_up * bitrate.as_bps() as f64);
        }
        for person in &mut people {
            person.upload_class = access::upload_class(person.given(), bitrate);
        }
        let sites = people.iter().map(site).chain([PUBLISHER]).collect();
        Self {
            people,
            sites,
            connectivity: scenario.connectivity,
            variation: scenario.variation,
            bitrate,
            draws,
        }
    }

    /// One way between two people, the time on their lines not included; at least [`LOOKAHEAD`].
    #[must_use]
    pub fn delay(&self, a: u32, b: u32) -> Duration {
        let (a, b) = (self.site(a), self.site(b));
        let miles = Duration::from_micros(u64::from(a.delay_us) + u64::from(b.delay_us));
        (miles + geography::backbone(a.region, b.region)).max(LOOKAHEAD)
    }

    /// One way between a person and its edge.
    #[must_use]
    pub fn edge_delay(&self, person: u32) -> Duration {
        let region = match self.people.get(person as usize) {
            Some(person) => geography::edge_region(person.edge),
            None => geography::HOME,
        };
        self.delay_to_server(person, region)
    }

    /// One way between a person and the tracker.
    #[must_use]
    pub fn tracker_delay(&self, person: u32) -> Duration {
        self.delay_to_server(person, geography::HOME)
    }

    /// Whether a connection between the two opens if they try.
    #[must_use]
    pub fn can_connect(&self, a: u32, b: u32) -> bool {
        if a == b {
            return false;
        }
        match self.connectivity {
            Connectivity::All => true,
            Connectivity::Pairs(probability) => {
                let is_publisher = a.max(b) as usize >= self.people.len();
                is_publisher || self.pair(a, b).of("connect").chance(probability)
            }
            Connectivity::Nat => self.site(a).nat.reaches(self.site(b).nat),
        }
    }

    /// From the moment that both know each other's description until the connection opens.
    #[must_use]
    pub fn setup_time(&self, a: u32, b: u32) -> Duration {
        nat::setup_time(2 * self.delay(a, b), self.pair(a, b).of("setup"))
    }

    /// For each person the least number among those whom it can reach, over others too: the same
    /// for all of a connected component.
    #[must_use]
    pub fn components(&self) -> Vec<u32> {
        let count = self.people.len();
        match self.connectivity {
            Connectivity::All => vec![0; count],
            Connectivity::Pairs(_) => reach::of_pairs(count, |a, b| self.can_connect(a, b)),
            Connectivity::Nat => reach::of_classes(self.people.iter().map(|person| person.nat)),
        }
    }

    /// The idle uplink of a person.
    #[must_use]
    pub fn uplink(&self, person: u32) -> Line {
        let direction = match self.variation {
            // A bad moment of a radio link is one for both directions.
            Variation::Fading { .. } => "downlink",
            Variation::Constant | Variation::Wandering { .. } => "uplink",
        };
        self.line(person, direction, |person| person.up)
    }

    /// The idle downlink of a person.
    #[must_use]
    pub fn downlink(&self, person: u32) -> Line {
        self.line(person, "downlink", |person| person.down)
    }

    fn line(&self, person: u32, direction: &str, rate: fn(&Person) -> BitRate) -> Line {
        match self.people.get(person as usize) {
            Some(person) => {
                let draws = self.draws.nth(person.key).of(direction);
                Line::new(rate(person), self.variation, self.bitrate, draws)
            }
            None => Line::new(
                PUBLISHER_RATE,
                Variation::Constant,
                self.bitrate,
                self.draws,
            ),
        }
    }

    fn delay_to_server(&self, person: u32, region: u8) -> Duration {
        let site = self.site(person);
        let mile = Duration::from_micros(u64::from(site.delay_us));
        (mile + geography::backbone(site.region, region)).max(LOOKAHEAD)
    }

    fn site(&self, person: u32) -> Site {
        self.sites
            .get(person as usize)
            .copied()
            .unwrap_or(PUBLISHER)
    }

    /// The draws of a pair, whichever of the two is named first.
    fn pair(&self, a: u32, b: u32) -> Draws {
        let key = |person: u32| match self.people.get(person as usize) {
            Some(person) => person.key,
            None => u64::MAX,
        };
        let (a, b) = (key(a), key(b));
        self.draws.of("pairs").nth(mix(a.min(b)) ^ a.max(b))
    }
}

const PUBLISHER: Site = Site {
    delay_us: 1_000,
    region: geography::HOME,
    nat: NatClass::Open,
};

const PUBLISHER_RATE: BitRate = BitRate::from_bps(1_000_000_000);

fn site(person: &Person) -> Site {
    Site {
        delay_us: u32::try_from(person.delay.as_micros()).unwrap_or(u32::MAX),
        region: person.region,
        nat: person.nat,
    }
}

/// Makes the mean of what is given `mean` bits per second, people who give nothing counted.
fn scale_uplinks(people: &mut [Person], mean: f64) {
    let given: u64 = people.iter().map(|person| person.given().as_bps()).sum();
    let wanted = mean * people.len() as f64;
    for person in people.iter_mut().filter(|person| person.may_upload) {
        let up = person.up.as_bps() as f64 / given as f64 * wanted;
        person.up = BitRate::from_bps(up.round() as u64);
    }
}

/// Makes people of draws.
struct Maker<'a> {
    scenario: &'a Scenario,
    draws: Draws,
}

impl Maker<'_> {
    /// When those who come by themselves arrive, by place.
    fn arrivals(&self) -> Vec<Instant> {
        let count = self.scenario.viewers.max(1);
        let draws = |place: u32| self.draws.of("arrival").nth(u64::from(place));
        let mut latest = Instant::EPOCH;
        (0..self.scenario.viewers)
            .map(|place| match self.scenario.arrivals {
                Arrivals::Over(length) => {
                    let share = (f64::from(place) + draws(place).unit()) / f64::from(count);
                    Instant::EPOCH + length.mul_f64(share)
                }
                Arrivals::Crowd(length) => Instant::EPOCH + length.mul_f64(draws(place).unit()),
                Arrivals::Poisson(length) => {
                    latest += draws(place).exponential(length / count);
                    latest
                }
            })
            .collect()
    }

    /// Who sits at this place: the first is returned, those who follow go to `newcomers`.
    fn place(&self, place: u32, arrives_at: Instant, newcomers: &mut Vec<Person>) -> Person {
        let first = self.person(place, 0, arrives_at);
        let mut departs = first.departs;
        for turn in 1..=MOST_TURNS {
            let Some(departure) = departs else {
                break;
            };
            let next = self.person(place, turn, departure.at);
            departs = next.departs;
            newcomers.push(next);
        }
        first
    }

    fn person(&self, place: u32, turn: u32, arrives_at: Instant) -> Person {
        let scenario = self.scenario;
        let key = u64::from(place) << 32 | u64::from(turn);
        let draws = self.draws.nth(key);
        let hostile = self.hostile(place);
        let is_mobile = draws.of("mobile").chance(scenario.mobile_share);
        let is_leecher = draws.of("leecher").chance(scenario.leecher_share);
        let class = if is_mobile {
            access::mobile_class(draws.of("class"))
        } else {
            access::fixed_class(draws.of("class"))
        };
        let (down, up) = self.rates(class, draws);
        let region = geography::region(draws.of("region"));
        let departs = self.departure(arrives_at, draws);
        Person {
            number: place,
            key,
            arrives_at,
            departs,
            region,
            edge: geography::nearest_edge(region, scenario.edges.count, draws.of("edge")),
            nat: NatClass::drawn(is_mobile, draws.of("nat")),
            class,
            down,
            up,
            delay: access::last_mile(class, draws.of("delay")),
            may_upload: !is_mobile && !is_leecher,
            upload_class: UploadClass::None,
            poll_phase: scenario
                .content
                .segment_duration
                .mul_f64(draws.of("poll").unit()),
            habits: self.habits(arrives_at, departs, draws),
            hostile,
            subnet: subnet(region, hostile, draws.of("subnet")),
        }
    }

    /// Spread evenly over the places, the kinds in turn from one that the seed picks. The first
    /// viewer is always honest, so that there is somebody whose lot can be looked at.
    fn hostile(&self, place: u32) -> Option<HostileKind> {
        let hostile = &self.scenario.hostile;
        let before = |place: u32| (f64::from(place) * hostile.share.clamp(0.0, 1.0)) as u64;
        let is_hostile = place > 0 && before(place + 1) > before(place);
        let count = hostile.kinds.len() as u64;
        (is_hostile && count > 0).then(|| {
            let turn = before(place).wrapping_add(self.scenario.seed) % count;
            hostile.kinds[turn as usize]
        })
    }

    /// Down and up.
    fn rates(&self, class: AccessClass, draws: Draws) -> (BitRate, BitRate) {
        let bitrate = self.scenario.bitrate().as_bps() as f64;
        let times = |factor: f64| BitRate::from_bps((bitrate * factor).round() as u64);
        let within =
            |(least, most): (f64, f64), draws: Draws| times(least + (most - least) * draws.unit());
        match self.scenario.access {
            Access::Uniform { up, down } => (times(down), times(up)),
            Access::Between { up, down } => {
                (within(down, draws.of("down")), within(up, draws.of("up")))
            }
            Access::Mixed { .. } => (
                access::downlink(class, draws.of("down")).max(times(LEAST_DOWN)),
                access::uplink(class, draws.of("up")),
            ),
        }
    }

    fn departure(&self, arrives_at: Instant, draws: Draws) -> Option<Departure> {
        let mean = self.scenario.mean_session?;
        let at = arrives_at + draws.of("session").exponential(mean).max(SHORTEST_SESSION);
        (at < Instant::from_epoch(self.scenario.duration)).then(|| Departure {
            at,
            is_crash: draws.of("crash").chance(self.scenario.crash_share),
        })
    }

    /// Pauses and seeks at the times of two Poisson processes.
    fn habits(
        &self,
        arrives_at: Instant,
        departs: Option<Departure>,
        draws: Draws,
    ) -> Vec<(Instant, Habit)> {
        let end = Instant::from_epoch(self.scenario.duration);
        let until = departs.map_or(end, |departure| departure.at);
        let mut habits = Vec::new();
        let pauses = draws.of("pauses");
        let mut at = arrives_at;
        for turn in 0..MOST_HABITS {
            let draws = pauses.nth(turn);
            let Some(gap) = mean_gap(self.scenario.pauses_per_hour) else {
                break;
            };
            at += draws.of("gap").exponential(gap);
            let resumes_at = at + draws.of("length").exponential(MEAN_PAUSE);
            if resumes_at >= until {
                break;
            }
            habits.extend([(at, Habit::Pause), (resumes_at, Habit::Resume)]);
            at = resumes_at;
        }
        let seeks = draws.of("seeks");
        let mut at = arrives_at;
        for turn in 0..MOST_HABITS {
            let draws = seeks.nth(turn);
            let Some(gap) = mean_gap(self.scenario.seeks_per_hour) else {
                break;
            };
            at += draws.of("gap").exponential(gap);
            if at >= until {
                break;
            }
            let to = self.seek_target(draws.of("to"));
            habits.push((at, Habit::Seek { to }));
        }
        // Stable: a seek at the moment of a pause comes after it.
        habits.sort_by_key(|(at, _)| *at);
        habits
    }

    fn seek_target(&self, draws: Draws) -> f64 {
        let content = &self.scenario.content;
        match content.kind {
            ContentKind::OnDemand(_) => draws.unit(),
            ContentKind::Live => {
                let nearest = self.scenario.latency.as_secs_f64();
                // Not the oldest listed segments, which are gone before they are fetched.
                let listed = content.segment_duration.as_secs_f64() * content.window as f64;
                nearest + draws.unit() * (listed * 0.5 - nearest).max(0.0)
            }
        }
    }
}

fn mean_gap(per_hour: f64) -> Option<Duration> {
    (per_hour > 0.0).then(|| Duration::from_secs_f64(3_600.0 / per_hour))
}

impl Person {
    /// Its network, as those who connect to it see.
    #[must_use]
    pub fn network(&self) -> Network {
        // Zero is how a witness says that it does not know.
        Network::new(self.subnet.max(1).into())
    }
}

/// A name of 24 bits within the region. Eclipsers have names in plenty but few addresses: a /24 of
/// some provider that all of them share.
fn subnet(region: u8, hostile: Option<HostileKind>, draws: Draws) -> u32 {
    match hostile {
        Some(HostileKind::Eclipser) => ECLIPSERS,
        _ => u32::from(region) << 24 | draws.below(1 << 24) as u32,
    }
}

const ECLIPSERS: u32 = 0xff00_0000;

/// Times the bitrate: below it a viewer stalls over HTTP alone, and what peers do for it is not
/// what a mixed world is there to show.
const LEAST_DOWN: f64 = 1.5;

/// Nobody leaves before the first picture could be there.
const SHORTEST_SESSION: Duration = Duration::from_secs(2);

const MEAN_PAUSE: Duration = Duration::from_secs(20);

/// Ends the loops whatever a scenario says.
const MOST_HABITS: u64 = 64;
const MOST_TURNS: u32 = 10_000;

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
