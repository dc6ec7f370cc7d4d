//! A viewer while it is there: its parts, and the order in which they are looked after.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use p2pcdn::{
    Integrity, MapsConfig, Session, SessionConfig, SessionInput, SessionKey, SessionOutput,
    manifest::Presentation,
    scheduler::{Policy, Switch},
    wire::{Instant, Seed},
};

use super::{
    ViewerStore,
    http::Requests,
    links::{Links, SILENCE_TIMEOUT},
    peer_id,
    polling::Polling,
    publishing::Publishing,
    signalling::{Meeting, network_of},
    transfer::Inbound,
    viewing::Viewing,
};
use crate::{
    actor::Outbox,
    event::{ActorId, Timer, What},
    line::Line,
    people::{Habit, Person},
    scenario::{self, PeerPolicy},
    tally::{Glance, Tally},
    trace::Recording,
    world::Shared,
};

/// A viewer that has arrived and not left.
#[derive(Debug)]
pub(super) struct Life<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) own: ActorId,
    pub(super) uplink: Line,
    pub(super) downlink: Line,
    /// None before the first manifest: it names the swarm.
    pub(super) session: Option<Session<S>>,
    pub(super) presentation: Option<Arc<Presentation>>,
    pub(super) requests: Requests,
    pub(super) polling: Polling,
    pub(super) links: Links,
    pub(super) meeting: Meeting,
    /// What has reached the access line and is passing it.
    pub(super) inbound: VecDeque<Inbound>,
    pub(super) role: Role,
    /// When the session wants to be woken, as of the last time that anything was told to it.
    session_at: Option<Instant>,
    is_told: bool,
    /// The next own event under way, at which everything that is due is looked after.
    alarm: Option<Instant>,
    recording: Option<Box<Recording>>,
}

#[derive(Debug)]
pub(super) enum Role {
    Viewer(Box<Viewing>),
    Publisher(Publishing),
}

impl<S: ViewerStore> Life<S> {
    pub(super) fn new(
        shared: Arc<Shared>,
        own: ActorId,
        recording: Option<Box<Recording>>,
        now: Instant,
        out: &mut Outbox,
    ) -> Self {
        let seat = seat(&shared, own);
        let person = &shared.population.people[seat as usize];
        let is_publisher = own == shared.publisher();
        if !is_publisher {
            if let Some(departs) = &person.departs {
                let crash = departs.is_crash;
                out.later(
                    own,
                    departs.at.max(now),
                    What::Timer(Timer::Depart { crash }),
                );
            }
            plan_habit(person, 0, now, out);
        }
        let interval = shared.scenario.content.segment_duration;
        // The publisher reads the packager's folder, and so knows each segment at once.
        let poll_phase = if is_publisher {
            Duration::ZERO
        } else {
            person.poll_phase
        };
        Self {
            own,
            uplink: shared.population.uplink(seat),
            downlink: shared.population.downlink(seat),
            session: None,
            presentation: None,
            requests: Requests::default(),
            polling: Polling::new(interval, poll_phase, now),
            links: Links::default(),
            meeting: Meeting::default(),
            inbound: VecDeque::new(),
            role: if is_publisher {
                Role::Publisher(Publishing::default())
            } else {
                Role::Viewer(Box::new(Viewing::new(&shared, now)))
            },
            session_at: None,
            is_told: false,
            alarm: None,
            recording,
            shared,
        }
    }

    /// Takes in what happened; what follows from it waits for [`settle`](Self::settle).
    pub(super) fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        match what {
            What::Timer(Timer::Habit(number)) => {
                if let Role::Viewer(viewing) = &mut self.role {
                    let shared = Arc::clone(&self.shared);
                    let person = &shared.population.people[self.own as usize];
                    if let Some((_, habit)) = person.habits.get(usize::from(number)) {
                        viewing.player.habit(habit, now);
                        if matches!(habit, Habit::Seek { .. }) {
                            self.want_all(now);
                        }
                    }
                    plan_habit(person, number.saturating_add(1), now, out);
                    self.play_what_is_held(now);
                }
            }
            What::Timer(Timer::Session) => {
                if self.alarm.is_some_and(|at| at <= now) {
                    self.alarm = None;
                }
            }
            What::Answer { request, answer } => self.answered(request, answer, now, out),
            What::Packet {
                link,
                channel,
                message,
            } => self.packet_reached(link, channel, message, now),
            What::LinkClosed { link } => self.close_reached(link, now),
            What::Signal(signal) => self.signalled(from, *signal, now, out),
            // The rest is other actors'.
            What::Timer(_)
            | What::Request(_)
            | What::Acknowledged { .. }
            | What::Cancelled { .. } => {}
        }
    }

    /// Looks after everything that is due, carries out what the session wants, and sees to it that
    /// it is woken in time.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Outbox) {
        self.pass_inbound(now, out);
        self.give_up_silent(now, out);
        self.poll_manifest(now, out);
        self.links_due(now);
        self.announce_if_due(now, out);
        self.publish_due(now);
        if let Role::Viewer(viewing) = &mut self.role
            && viewing.player.poll_timeout().is_some_and(|at| at <= now)
        {
            viewing.player.handle_timeout(now);
        }
        if self.session_at.is_some_and(|at| at <= now)
            && let Some(session) = &mut self.session
        {
            if let Some(recording) = &mut self.recording {
                recording.woken(now);
            }
            session.handle_timeout(now);
            self.is_told = true;
        }
        loop {
            self.report_playback(now);
            if !self.is_told {
                break;
            }
            self.is_told = false;
            self.drain(now, out);
            self.session_at = self.session.as_ref().and_then(Session::poll_timeout);
            if let Some(recording) = &mut self.recording {
                recording.drained(self.session_at);
            }
        }
        self.acknowledge(now, out);
        self.arm(now, out);
    }

    /// Tells the session, which is drained when everything that happened at this moment was told.
    pub(super) fn tell(&mut self, input: SessionInput, now: Instant) {
        if let Some(session) = &mut self.session {
            if let Some(recording) = &mut self.recording {
                recording.told(&input, now);
            }
            session.handle_input(input, now);
            self.is_told = true;
        }
    }

    /// The next thing that the session wants.
    pub(super) fn next_output(&mut self) -> Option<SessionOutput> {
        let output = self.session.as_mut()?.poll_output()?;
        if let Some(recording) = &mut self.recording {
            recording.did(&output);
        }
        Some(output)
    }

    pub(super) fn take_recording(&mut self) -> Option<Box<Recording>> {
        self.recording.take()
    }

    pub(super) fn recording(&self) -> Option<&Recording> {
        self.recording.as_deref()
    }

    /// Begins the session, as the client does when the first manifest is there.
    pub(super) fn begin_session(&mut self, presentation: &Presentation, now: Instant) {
        if let Some(recording) = &mut self.recording {
            recording.begin(now);
        }
        self.session = Some(new_session(&self.shared, self.own, presentation, now));
        self.tell(SessionInput::PolicyChanged(self.policy()), now);
    }

    pub(super) fn policy(&self) -> Policy {
        let is_on = self.shared.scenario.policy == PeerPolicy::Peers;
        let person = self.person();
        let may_upload = match self.role {
            Role::Viewer(_) => person.may_upload,
            Role::Publisher(_) => true,
        };
        Policy {
            peer_transfer: switch(is_on),
            upload: switch(may_upload),
            upload_limit: None,
            upload_class: match self.role {
                Role::Viewer(_) => person.upload_class,
                Role::Publisher(_) => p2pcdn::wire::UploadClass::None,
            },
        }
    }

    /// Says goodbye, or falls silent.
    pub(super) fn depart(&mut self, is_crash: bool, now: Instant, out: &mut Outbox) {
        // The system ends the connections of a process that is gone.
        for request in self.requests.take_all() {
            self.to_edge(What::Cancelled { request }, now, out);
        }
        if is_crash {
            // Nothing is sent; this is when the others notice.
            for other in self.links.others() {
                let at = now + SILENCE_TIMEOUT + delay(&self.shared, self.own, other.actor);
                let link = other.link;
                out.send(other.actor, at, What::LinkClosed { link });
            }
            return;
        }
        let policy = Policy {
            peer_transfer: Switch::Off,
            ..self.policy()
        };
        self.tell(SessionInput::PolicyChanged(policy), now);
        self.drain(now, out);
        let others: Vec<_> = self.links.others().collect();
        for other in others {
            self.say_closed(other, now, out);
        }
    }

    pub(super) fn tally(&self, now: Instant) -> Tally {
        let mut tally = Tally {
            person: self.own,
            connections: self.meeting.connections,
            ..Tally::default()
        };
        if let Some(session) = &self.session {
            tally.delivery = session.snapshot().delivery;
        }
        if let Role::Viewer(viewing) = &self.role {
            let session = self.session.as_ref();
            let session = session.map(|it| (it, &*self.shared.media));
            viewing.fill(&mut tally, session, now);
        }
        tally
    }

    pub(super) fn glance(&self, now: Instant) -> Glance {
        let Role::Viewer(viewing) = &self.role else {
            return Glance::default();
        };
        let session = self.session.as_ref();
        Glance {
            buffer: viewing.player.buffer(now),
            is_present: true,
            is_stalled: viewing.player.is_stalled(),
            links: u32::try_from(self.links.open_count()).unwrap_or(u32::MAX),
            delivery: session.map_or_else(Default::default, |it| it.snapshot().delivery),
        }
    }

    pub(super) fn session(&self) -> Option<&Session<S>> {
        self.session.as_ref()
    }

    /// Bytes on the heap beside what session, store and player keep.
    pub(super) fn heap_len(&self) -> usize {
        let role = match &self.role {
            Role::Viewer(_) => size_of::<Viewing>(),
            Role::Publisher(_) => 0,
        };
        role + self.links.heap_len() + self.inbound.capacity() * size_of::<Inbound>()
    }

    /// The person that it is, or at whose place it is.
    pub(super) fn person(&self) -> &Person {
        &self.shared.population.people[self.seat() as usize]
    }

    pub(super) fn seat(&self) -> u32 {
        seat(&self.shared, self.own)
    }

    /// Has itself woken when the next thing is due, unless it will be by then.
    fn arm(&mut self, now: Instant, out: &mut Outbox) {
        let role_at = match &self.role {
            Role::Viewer(viewing) => viewing.due_at(),
            Role::Publisher(publishing) => publishing.due_at(),
        };
        let next = [
            self.session_at,
            self.inbound.front().map(|it| it.at),
            self.requests.due_at(),
            self.polling.due_at(),
            self.links.due_at(),
            self.announce_at(),
            role_at,
        ];
        let Some(next) = next.into_iter().flatten().min() else {
            return;
        };
        if self.alarm.is_none_or(|at| next < at) {
            // What is due again in this very moment is not left to spin.
            let at = next.max(now + SHORTEST_WAIT);
            out.later(self.own, at, What::Timer(Timer::Session));
            self.alarm = Some(at);
        }
    }
}

/// The session of an actor as it is before it is told anything.
pub(super) fn new_session<S: ViewerStore>(
    shared: &Shared,
    own: ActorId,
    presentation: &Presentation,
    now: Instant,
) -> Session<S> {
    let mut config = SessionConfig::new(presentation.swarm, peer_id(shared.draws, own));
    if own == shared.publisher() {
        config.maps = MapsConfig::publisher();
        config.max_links = PUBLISHER_LINKS;
    } else {
        config.maps.sidecar_after = Some(SIDECAR_AFTER);
        config.max_links = shared.scenario.max_links;
    }
    // Those beyond it come about through others' offers.
    config.scheduler.neighbours = config.scheduler.neighbours.min(config.max_links * 3 / 4);
    if shared.scenario.integrity == scenario::Integrity::Witnessed {
        let witnesses = Integrity::WITNESSES;
        config.integrity = Integrity::Witnessed { witnesses };
        config.session_key = SessionKey(random(shared, own, "session key"));
        config.network = network_of(shared, own);
        config.maps.sidecar_after = None;
    }
    let seed = Seed(random(shared, own, "session"));
    Session::new(config, S::open(&shared.media), seed, now)
}

/// What an actor draws for this use.
fn random(shared: &Shared, own: ActorId, label: &str) -> [u8; 32] {
    let draws = shared.draws.of(label).nth(u64::from(own));
    let mut random = [0; 32];
    for (word, bytes) in (0..).zip(random.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&draws.nth(word).bits().to_be_bytes());
    }
    random
}

/// The person at whose place an actor is. The publisher's peer is beside the first viewer: what it
/// hands out is small, so that its place matters little.
pub(super) fn seat(shared: &Shared, actor: ActorId) -> u32 {
    if actor == shared.publisher() {
        0
    } else {
        actor
    }
}

/// One way between two peers.
pub(super) fn delay(shared: &Shared, one: ActorId, other: ActorId) -> Duration {
    let population = &shared.population;
    population.delay(seat(shared, one), seat(shared, other))
}

fn plan_habit(person: &Person, number: u16, now: Instant, out: &mut Outbox) {
    if let Some((at, _)) = person.habits.get(usize::from(number)) {
        let habit = What::Timer(Timer::Habit(number));
        out.later(person.number, (*at).max(now), habit);
    }
}

fn switch(is_on: bool) -> Switch {
    if is_on { Switch::On } else { Switch::Off }
}

/// How long a block map may be missing before the sidecar is asked, as p2pcdn's client has it.
const SIDECAR_AFTER: Duration = Duration::from_millis(500);

/// Neighbours of the publisher's peer, at most: as many connections as its endpoint takes.
pub(super) const PUBLISHER_LINKS: usize = 64;

/// No viewer wakes itself more often.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);
