//! Meeting others through the tracker, by the rules of p2pcdn's signalling.

use std::time::Duration;

use p2pcdn::{
    Network, SessionInput,
    wire::{Instant, LinkId},
};

use super::{
    ViewerStore,
    life::{Life, PUBLISHER_LINKS, Role, delay, seat},
    links::{Credit, Due, OFFER_TIMEOUT, Other, SETUP_TIMEOUT, Side, Stage, Standing},
    peer_id,
};
use crate::{
    actor::Outbox,
    event::{ActorId, Signal, What},
    goodput,
    world::Shared,
};

/// The tracker as this viewer sees it.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    state: State,
    interval: Option<Duration>,
    /// Announces so far.
    announces: u32,
    /// Early announces in a row.
    eager_count: u32,
    /// Others in the swarm, as the tracker last counted.
    other_count: u32,
    /// Share of a delay by which it is lengthened, so that viewers do not announce in step.
    stagger: f64,
    /// Connections that opened.
    pub(super) connections: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Away,
    Connecting {
        until: Instant,
    },
    Announced {
        at: Instant,
        is_replied: bool,
    },
}

impl<S: ViewerStore> Life<S> {
    /// Connects to the tracker, which takes three round trips: TCP, TLS 1.3, WebSocket.
    pub(super) fn join_swarm(&mut self, now: Instant) {
        if self.meeting.state == State::Away {
            let until = now + self.tracker_delay() * 6;
            self.meeting.state = State::Connecting { until };
        }
    }

    pub(super) fn leave_swarm(&mut self, now: Instant, out: &mut Outbox) {
        if let State::Announced { .. } = self.meeting.state {
            let leave = Signal::Announce {
                links: Vec::new(),
                leaving: true,
            };
            self.to_tracker(leave, now, out);
        }
        self.links.drop_offers();
        self.meeting = Meeting {
            connections: self.meeting.connections,
            announces: self.meeting.announces,
            ..Meeting::default()
        };
    }

    /// When to announce: after the interval, or earlier while neighbours are missing that the
    /// tracker could find.
    pub(super) fn announce_at(&self) -> Option<Instant> {
        match self.meeting.state {
            State::Away => None,
            State::Connecting { until } => Some(until),
            State::Announced { at, .. } => {
                let interval = self.meeting.interval.unwrap_or(DEFAULT_INTERVAL);
                let found = self.links.neighbour_count();
                let wants_more =
                    found < self.wanted_count() && self.meeting.other_count as usize > found;
                let eager =
                    MIN_INTERVAL * (1 << self.meeting.eager_count.saturating_sub(1).min(16));
                let delay = if wants_more {
                    eager.min(interval)
                } else {
                    interval
                };
                Some(at + delay.mul_f64(1.0 + self.meeting.stagger))
            }
        }
    }

    pub(super) fn announce_if_due(&mut self, now: Instant, out: &mut Outbox) {
        if self.announce_at().is_none_or(|at| at > now) {
            return;
        }
        let missing = self
            .wanted_count()
            .saturating_sub(self.links.neighbour_count());
        let room = MAX_PENDING_OFFERS.saturating_sub(self.links.offer_count());
        let per_announce = self.shared.scenario.tracker.offers_per_announce;
        let offers = missing.min(per_announce).min(room);
        let until = now + OFFER_TIMEOUT;
        let links = (0..offers).map(|_| self.links.add(Stage::Offered { until }));
        let links: Vec<_> = links.collect();
        let leaving = false;
        self.to_tracker(Signal::Announce { links, leaving }, now, out);
        self.meeting.announces += 1;
        let draws = self.shared.draws.of("announce").nth(u64::from(self.own));
        self.meeting.stagger = draws.nth(u64::from(self.meeting.announces)).unit() / 10.0;
        self.meeting.state = State::Announced {
            at: now,
            is_replied: false,
        };
    }

    pub(super) fn signalled(&mut self, _: ActorId, signal: Signal, now: Instant, out: &mut Outbox) {
        match signal {
            // Only a tracker is told.
            Signal::Announce { .. } => {}
            Signal::Announced { viewers, interval } => self.announced(viewers, interval, now),
            Signal::Offer { from, their_link } => self.offered(from, their_link, now, out),
            Signal::Answer {
                from,
                link,
                their_link,
                opens_at,
            } => {
                let other = Other {
                    actor: from,
                    link: their_link,
                };
                self.offer_answered(link, other, opens_at, now, out);
            }
        }
    }

    fn announced(&mut self, viewers: u32, interval: Duration, now: Instant) {
        let State::Announced { is_replied, .. } = &mut self.meeting.state else {
            return;
        };
        if !std::mem::replace(is_replied, true) {
            self.meeting.eager_count = self.meeting.eager_count.saturating_add(1);
        }
        self.meeting.interval = Some(interval.clamp(MIN_INTERVAL, MAX_INTERVAL));
        self.meeting.other_count = viewers.saturating_sub(1);
        self.tell(SessionInput::SwarmCounted { viewers }, now);
    }

    fn offered(&mut self, from: ActorId, their_link: LinkId, now: Instant, out: &mut Outbox) {
        if self.meeting.state == State::Away || from == self.own {
            return;
        }
        match self.links.standing(from) {
            Standing::Stranger => {}
            Standing::OfferedByUs(link) if from < self.own => self.abandon(link, now, out),
            _ => return,
        }
        if self.links.neighbour_count() >= self.max_neighbours() || self.refuses(from) {
            return;
        }
        let other = Other {
            actor: from,
            link: their_link,
        };
        let population = &self.shared.population;
        let (own_seat, their_seat) = (self.seat(), seat(&self.shared, from));
        let their_delay = population.tracker_delay(their_seat);
        let heard_at = now + self.tracker_delay() + their_delay;
        let publisher = self.shared.publisher();
        let can_connect = from == publisher
            || self.own == publisher
            || population.can_connect(own_seat, their_seat);
        let opens_at = can_connect.then(|| heard_at + population.setup_time(own_seat, their_seat));
        let link = self.links.add(Stage::Opening {
            other,
            by: Side::Them,
            opens_at,
            until: now + SETUP_TIMEOUT,
        });
        let answer = Signal::Answer {
            from: self.own,
            link: their_link,
            their_link: link,
            opens_at,
        };
        out.send(from, heard_at, What::Signal(Box::new(answer)));
    }

    fn offer_answered(
        &mut self,
        link: LinkId,
        other: Other,
        opens_at: Option<Instant>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let is_ours = matches!(self.links.stage(link), Some(Stage::Offered { .. }));
        let is_full = self.links.neighbour_count() >= self.max_neighbours();
        let is_wanted = match self.links.standing(other.actor) {
            Standing::Stranger => !is_full && !self.refuses(other.actor),
            Standing::OfferedByThem(theirs) if self.own < other.actor => {
                if is_ours {
                    self.abandon(theirs, now, out);
                }
                true
            }
            _ => false,
        };
        if is_ours && is_wanted {
            let opening = Stage::Opening {
                other,
                by: Side::Us,
                opens_at: opens_at.map(|at| at.max(now)),
                until: now + SETUP_TIMEOUT,
            };
            self.links.set_stage(link, opening);
            return;
        }
        if is_ours {
            self.links.remove(link);
        }
        fail(&self.shared, self.own, other.actor, other.link, now, out);
    }

    /// Gives up a connection that is coming about.
    fn abandon(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let removed = self.links.remove(link);
        if let Some(other) = removed.and_then(|it| it.stage.other()) {
            fail(&self.shared, self.own, other.actor, other.link, now, out);
        }
    }

    /// Opens, fails, expires and refills what is due.
    pub(super) fn links_due(&mut self, now: Instant) {
        let due = self.links.take_due(now);
        if due.is_empty() {
            return;
        }
        for due in due {
            match due {
                Due::Expired(link) | Due::Failed(link) => {
                    self.links.remove(link);
                }
                Due::Opens(link) => self.open_link(link, now),
                Due::Writable(link) => {
                    if let Some((_, credit)) = self.links.open_mut(link) {
                        let credit = credit.tell(now);
                        self.tell(SessionInput::LinkWritable { link, credit }, now);
                    }
                }
            }
        }
        self.links.changed();
    }

    pub(super) fn open_link(&mut self, link: LinkId, now: Instant) {
        let Some(other) = self.links.stage(link).and_then(Stage::other) else {
            return;
        };
        let round_trip = delay(&self.shared, self.own, other.actor) * 2;
        let window = goodput::sctp_window(round_trip, self.shared.scenario.peer_loss);
        let mut credit = Credit::new(window);
        let free = credit.tell(now);
        self.links.set_stage(link, Stage::Open { other, credit });
        self.meeting.eager_count = 0;
        self.meeting.connections += 1;
        let network = network_of(&self.shared, other.actor);
        self.tell(SessionInput::LinkOpened { link, network }, now);
        let credit = free;
        self.tell(SessionInput::LinkWritable { link, credit }, now);
    }

    /// The other side is gone. One that was never open only fails to open.
    pub(super) fn closed_by_other(&mut self, link: LinkId, now: Instant) {
        match self.links.stage(link) {
            Some(Stage::Open { .. }) => {
                self.links.remove(link);
                self.tell(SessionInput::LinkClosed { link }, now);
            }
            Some(Stage::Opening {
                other, by, until, ..
            }) => {
                let opening = Stage::Opening {
                    other: *other,
                    by: *by,
                    opens_at: None,
                    until: *until,
                };
                self.links.set_stage(link, opening);
            }
            _ => {}
        }
    }

    fn to_tracker(&self, signal: Signal, now: Instant, out: &mut Outbox) {
        let at = now + self.tracker_delay();
        out.send(self.shared.tracker(), at, What::Signal(Box::new(signal)));
    }

    fn tracker_delay(&self) -> Duration {
        self.shared.population.tracker_delay(self.seat())
    }

    /// Whether the session would send somebody away, so that no connection is made.
    fn refuses(&self, other: ActorId) -> bool {
        let peer = peer_id(self.shared.draws, other);
        let session = self.session.as_ref();
        session.is_some_and(|session| session.refuses(peer))
    }

    /// Neighbours that are looked for; others' offers are taken beyond that.
    pub(super) fn wanted_count(&self) -> usize {
        self.max_neighbours() * 3 / 4
    }

    fn max_neighbours(&self) -> usize {
        match self.role {
            Role::Viewer(_) => self.shared.scenario.max_links,
            Role::Publisher(_) => PUBLISHER_LINKS,
        }
    }
}

/// The network that an actor's address is in; `None` for the publisher, who has one of its own.
pub(super) fn network_of(shared: &Shared, actor: ActorId) -> Option<Network> {
    let person = shared.population.people.get(actor as usize)?;
    Some(person.network())
}

/// Has a connection that the other side expects come to nothing.
pub(super) fn fail(
    shared: &Shared,
    own: ActorId,
    other: ActorId,
    link: LinkId,
    now: Instant,
    out: &mut Outbox,
) {
    let at = now + delay(shared, own, other);
    out.send(other, at, What::LinkClosed { link });
}

/// How often to announce until the tracker says: what WebTorrent clients use.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(120);

/// As p2pcdn's signalling has it: never more often, whatever the tracker says.
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// As p2pcdn's signalling has it: nor less often.
const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// As p2pcdn's signalling has it: offers that nobody answered yet.
const MAX_PENDING_OFFERS: usize = 64;
