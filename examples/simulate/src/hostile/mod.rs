//! Adversaries: actors that speak the real protocol and mean harm.
//!
//! Each joins the swarm by the tracker as anybody does, has one [`Link`](p2pcdn::wire::Link) for
//! each connection, sends through its own uplink, and is told what the publisher publishes sooner
//! than any viewer: it needs no playlist. What it does there is its
//! [`HostileKind`]:
//!
//! | kind | states | answers requests | besides |
//! |---|---|---|---|
//! | `Polluter` | all it could hold | with wrong bytes, at once | hands out the true maps |
//! | `ColludingPolluter` | all it could hold | with the wrong bytes of all its kind | pushes maps that the publisher never signed, under a new name on each link |
//! | `Staller` | all it could hold, and a segment more | never | |
//! | `Trickler` | all it could hold | one true block every 2 s | |
//! | `IntentLiar` | intents for the newest segments, and two more | never | |
//! | `Flooder` | whatever costs something to hear | never | see the table at [`flood`] |
//! | `Eclipser` | all it could hold | rejects at once, and states it anew | refuses no link, under a new name on each |
//!
//! Where viewers vouch for what they read, polluters of both kinds sign maps of their wrong bytes,
//! first to speak of every segment. A colluding one tells the truth about what was published before
//! it had been a neighbour for 10 s: who always lies is found out before anybody believes it.
//!
//! What they receive is not made to wait for their downlinks: that only makes them quicker.

pub mod flood;
mod manner;
mod neighbours;

use std::{sync::Arc, time::Duration};

use p2pcdn::wire::{
    Channel, Instant, LinkConfig, LinkId, LinkInput, LinkOutput, Message, PeerId, Role, TrackIndex,
    UploadClass,
};

use self::{
    flood::Flood,
    neighbours::{Neighbour, Neighbours},
};
use crate::{
    actor::{Actor, Outbox},
    event::{ActorId, Signal, Timer, What},
    line::Line,
    scenario::HostileKind,
    tally::{Glance, Tally, Viewed},
    world::Shared,
};

/// One adversary.
#[derive(Debug)]
pub struct HostileViewer {
    shared: Arc<Shared>,
    person: u32,
    kind: HostileKind,
    uplink: Line,
    is_present: bool,
    neighbours: Neighbours,
    announced_at: Option<Instant>,
    interval: Duration,
    /// Segments below this ordinal were claimed.
    claimed: u64,
    flood: Flood,
    connections: u32,
}

impl HostileViewer {
    /// The adversary that `person` is.
    ///
    /// # Panics
    ///
    /// When the population has no such person, or this one means no harm.
    #[must_use]
    pub fn new(shared: Arc<Shared>, person: u32) -> Self {
        let kind = shared.population.people[person as usize].hostile;
        let kind = kind.expect("an adversary has a manner");
        let draws = shared.draws.of("flood").nth(person.into());
        Self {
            uplink: shared.population.uplink(person),
            flood: Flood::new(draws),
            shared,
            person,
            kind,
            is_present: false,
            neighbours: Neighbours::default(),
            announced_at: None,
            interval: ANNOUNCE_AFTER,
            claimed: 0,
            connections: 0,
        }
    }

    /// The id under which it is known on a link.
    #[must_use]
    pub fn peer(&self, link: LinkId) -> PeerId {
        let name = match self.kind {
            HostileKind::ColludingPolluter | HostileKind::Flooder | HostileKind::Eclipser => {
                link.0 + 1
            }
            _ => 0,
        };
        let draws = self.shared.draws.of("hostile peer");
        let draws = draws.nth(self.person.into()).nth(name);
        let mut bytes = [0; PeerId::LEN];
        for (number, part) in (0..).zip(bytes.chunks_mut(8)) {
            let drawn = draws.nth(number).bits().to_be_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
        PeerId::new(bytes)
    }

    fn arrive(&mut self, now: Instant, out: &mut Outbox) {
        self.is_present = true;
        self.claimed = self.shared.media.published(now);
        self.announce(now, out);
        let person = &self.shared.population.people[self.person as usize];
        if let Some(departure) = &person.departs {
            let crash = departure.is_crash;
            let depart = What::Timer(Timer::Depart { crash });
            out.later(self.person, departure.at, depart);
        }
        let rounds = self.shared.draws.of("mischief").nth(self.person.into());
        // Not all at the same moment.
        let first = now + round_of(self.kind).mul_f64(rounds.unit());
        out.later(self.person, first, What::Timer(Timer::Mischief));
    }

    fn depart(&mut self, is_crash: bool, now: Instant, out: &mut Outbox) {
        self.is_present = false;
        for neighbour in self.neighbours.drain() {
            if !is_crash {
                self.tell_closed(&neighbour, now, out);
            }
        }
        if !is_crash {
            let leaving = true;
            let links = Vec::new();
            self.to_tracker(Signal::Announce { links, leaving }, now, out);
        }
    }

    /// Announces if there is a reason to, and comes back to it.
    fn announce(&mut self, now: Instant, out: &mut Outbox) {
        for silent in self.neighbours.take_silent(now) {
            self.tell_closed(&silent, now, out);
        }
        let missing = self.most_links().saturating_sub(self.neighbours.count());
        let offers = missing.min(self.shared.scenario.tracker.offers_per_announce);
        let is_due = self.announced_at.is_none_or(|at| at + self.interval <= now);
        if offers > 0 || is_due {
            let links = (0..offers).map(|_| self.neighbours.offer(now)).collect();
            let leaving = false;
            self.to_tracker(Signal::Announce { links, leaving }, now, out);
            self.announced_at = Some(now);
        }
        let again = now + ANNOUNCE_AFTER;
        out.later(self.person, again, What::Timer(Timer::Announce));
    }

    fn signalled(&mut self, signal: Signal, now: Instant, out: &mut Outbox) {
        match signal {
            // Only a tracker is told.
            Signal::Announce { .. } => {}
            Signal::Announced { interval, .. } => self.interval = interval.max(ANNOUNCE_AFTER),
            Signal::Offer { from, their_link } => self.offered(from, their_link, now, out),
            Signal::Answer {
                from,
                link,
                their_link,
                opens_at,
            } => {
                let is_ours = self.neighbours.end_offer(link);
                let Some(opens_at) = opens_at.filter(|_| is_ours) else {
                    return;
                };
                self.connect(link, from, their_link, opens_at.max(now), out);
            }
        }
    }

    fn offered(&mut self, from: ActorId, their_link: LinkId, now: Instant, out: &mut Outbox) {
        let is_full = self.neighbours.count() >= self.most_links();
        if is_full || from == self.person || self.neighbours.is_linked_to(from) {
            return;
        }
        let population = &self.shared.population;
        let way = population.tracker_delay(self.person) + population.tracker_delay(from);
        let heard_at = now + way;
        let opens_at = population
            .can_connect(self.person, from)
            .then(|| heard_at + population.setup_time(self.person, from));
        let own_link = self.neighbours.number();
        let answer = Signal::Answer {
            from: self.person,
            link: their_link,
            their_link: own_link,
            opens_at,
        };
        out.send(from, heard_at, What::Signal(Box::new(answer)));
        if let Some(opens_at) = opens_at {
            self.connect(own_link, from, their_link, opens_at, out);
        }
    }

    fn connect(
        &mut self,
        link: LinkId,
        to: ActorId,
        their_link: LinkId,
        opens_at: Instant,
        out: &mut Outbox,
    ) {
        let config = LinkConfig {
            class: self.class(),
            tracks: self.tracks(),
            // Nobody here cares how far away its victims are.
            ping_interval: Duration::ZERO,
            witness: self.witness_key(link).map(|key| {
                let public = key.public_key();
                p2pcdn::wire::WitnessKey::new(*public.as_bytes())
            }),
            ..LinkConfig::new(
                self.peer(link),
                self.shared.media.presentation(self.claimed).swarm,
            )
        };
        let neighbour = Neighbour::new(link, to, their_link, config, opens_at);
        self.neighbours.insert(neighbour);
        out.later(
            self.person,
            opens_at,
            What::Timer(Timer::Connected { link }),
        );
    }

    /// Tells a link something, and does what follows from it.
    fn tell(&mut self, link: LinkId, input: LinkInput, now: Instant, out: &mut Outbox) {
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return;
        };
        neighbour.link.handle_input(input, now);
        while let Some(output) = self.neighbours.next_output(link) {
            match output {
                LinkOutput::Send { channel, message } => {
                    self.post(link, channel, message, now, out);
                }
                LinkOutput::Said(said) => {
                    for say in self.respond(link, &said, now) {
                        if let Some(neighbour) = self.neighbours.get_mut(link) {
                            neighbour.link.handle_input(LinkInput::Say(say), now);
                        }
                    }
                }
                LinkOutput::Close(_) => self.close(link, now, out),
                LinkOutput::Block { .. } | LinkOutput::Map(_) | LinkOutput::Event(_) => {}
            }
        }
    }

    /// Sends a message through the uplink.
    fn post(
        &mut self,
        link: LinkId,
        channel: Channel,
        message: Message,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(neighbour) = self.neighbours.get(link) else {
            return;
        };
        let (to, link) = (neighbour.to, neighbour.their_link);
        let gone_at = self.uplink.pass(message.len() as u64, now);
        let arrives_at = gone_at + self.shared.population.delay(self.person, to);
        let packet = What::Packet {
            link,
            channel,
            message,
        };
        out.send(to, arrives_at, packet);
    }

    fn close(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        if let Some(neighbour) = self.neighbours.remove(link) {
            self.tell_closed(&neighbour, now, out);
        }
    }

    fn tell_closed(&mut self, neighbour: &Neighbour, now: Instant, out: &mut Outbox) {
        let (to, link) = (neighbour.to, neighbour.their_link);
        let delay = self.shared.population.delay(self.person, to);
        // Behind what was sent before.
        let at = now + self.uplink.backlog(now) + delay;
        out.send(to, at, What::LinkClosed { link });
    }

    fn to_tracker(&self, signal: Signal, now: Instant, out: &mut Outbox) {
        let at = now + self.shared.population.tracker_delay(self.person);
        out.send(self.shared.tracker(), at, What::Signal(Box::new(signal)));
    }

    fn most_links(&self) -> usize {
        match self.kind {
            HostileKind::Eclipser => MAX_ECLIPSER_LINKS,
            _ => self.shared.scenario.max_links,
        }
    }

    /// What it pretends to be: whoever is said to upload much is asked first.
    fn class(&self) -> UploadClass {
        match self.kind {
            HostileKind::IntentLiar | HostileKind::Flooder => UploadClass::Normal,
            _ => UploadClass::High,
        }
    }

    fn tracks(&self) -> Vec<(TrackIndex, p2pcdn::wire::TrackId, Role)> {
        (0..self.shared.scenario.content.renditions.len())
            .filter_map(|track| u16::try_from(track).ok())
            .map(|track| {
                let id = self.shared.media.track_id(track);
                (TrackIndex(track), id, Role::Watching)
            })
            .collect()
    }
}

impl Actor for HostileViewer {
    fn handle(&mut self, _: ActorId, what: What, now: Instant, out: &mut Outbox) {
        match what {
            What::Timer(Timer::Arrive) => self.arrive(now, out),
            // What is under way to somebody who is gone.
            _ if !self.is_present => {}
            What::Timer(Timer::Depart { crash }) => self.depart(crash, now, out),
            What::Timer(Timer::Announce) => self.announce(now, out),
            What::Timer(Timer::Connected { link }) => {
                self.connections += 1;
                self.tell(link, LinkInput::Opened, now, out);
            }
            What::Timer(Timer::Mischief) => {
                self.mischief(now, out);
                let next = now + round_of(self.kind);
                out.later(self.person, next, What::Timer(Timer::Mischief));
            }
            What::Signal(signal) => self.signalled(*signal, now, out),
            What::Packet {
                link,
                channel,
                message,
            } => {
                self.neighbours.heard(link, now);
                // It does not read what it had them send.
                if channel == Channel::Control || self.kind != HostileKind::Flooder {
                    self.tell(link, LinkInput::Received { channel, message }, now, out);
                }
            }
            What::LinkClosed { link } => {
                self.neighbours.remove(link);
            }
            What::Timer(_)
            | What::Request(_)
            | What::Acknowledged { .. }
            | What::Cancelled { .. }
            | What::Answer { .. } => {}
        }
    }

    fn settle(&mut self, _: Instant, _: &mut Outbox) {}
}

impl Viewed for HostileViewer {
    fn tally(&self, _: Instant) -> Tally {
        Tally {
            person: self.person,
            is_hostile: true,
            connections: self.connections,
            ..Tally::default()
        }
    }

    fn glance(&self, _: Instant) -> Glance {
        Glance {
            is_present: self.is_present,
            links: u32::try_from(self.neighbours.count()).unwrap_or(u32::MAX),
            ..Glance::default()
        }
    }
}

/// How often an adversary acts unasked.
fn round_of(kind: HostileKind) -> Duration {
    match kind {
        HostileKind::Flooder => flood::ROUND,
        HostileKind::Trickler => TRICKLE,
        // Soon enough after each publication to be the first to speak of it.
        _ => Duration::from_millis(250),
    }
}

/// A trickler's time from block to block.
const TRICKLE: Duration = Duration::from_secs(2);

/// From one announce to the next while links are missing, which is when the real client makes its
/// second one; an adversary does not back off after it.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(5);

/// Links that an eclipser has at most: it would take them all, and this keeps a run bounded.
const MAX_ECLIPSER_LINKS: usize = 256;

/// An uplink as far behind as this sends nothing more that nobody asked for.
const MAX_BACKLOG: Duration = Duration::from_secs(1);
