//! One connection to a peer, seen as a protocol: hello, track numbers, request numbers, violations.

mod interface;
mod outbox;
mod requests;
mod statement;
mod talk;
mod tracks;
mod work;

pub use interface::{LinkConfig, LinkEvent, LinkInput, LinkOutput, Side, Violation};

use std::sync::Arc;

use crate::{
    channel::{Channel, Message},
    id::{TrackId, TrackIndex},
    limits::{MAX_MESSAGE_LEN, MAX_PROOF_LEN, MAX_TRACKS, MAX_VIOLATIONS},
    message::{DecodeError, Hello, HelloTrack, PROTOCOL_VERSION, PeerMessage},
    say::{GoodbyeReason, Role, Say},
    time::Instant,
};

use outbox::Outbox;
use statement::handle_of;
use talk::Talk;
use work::{Verdict, Work};

/// The state of one link to a peer, between what is stated ([`Say`], [`Said`](crate::Said)) and
/// the messages on its two channels.
///
/// It keeps what the protocol needs and nothing else: who holds what, which request is worth
/// making and when it is overdue is for whoever hears what it says.
///
/// ```text
///            Opened             the peer's hello
///  Opening ----------> Greeting -----------------> Talking
///     |   hello sent      |       Event(Ready)        |
///     |                   |                           |
///     |  Say(Goodbye)     |  ..., no hello in time,   |  ..., the peer's goodbye,
///     |                   |  any violation, another   |  the last allowed violation
///     v                   v  swarm, version, ourself  v
///     +----------------> Closed <---------------------+
///                  Close, Event(Closed)
/// ```
///
/// The contract of the machine:
/// 1. After any `handle_*`, drain [`poll_output`](Self::poll_output) to `None`, then wait for
///    [`poll_timeout`](Self::poll_timeout) or the next input. Several inputs before a drain are
///    fine, and make fewer messages of several [`Say::Have`].
/// 2. An earlier `now` counts as the latest seen; jumps forward are normal.
/// 3. [`handle_timeout`](Self::handle_timeout) early, late or twice is harmless; after it
///    `poll_timeout` is in the future or `None`.
/// 4. An input about something that is over is ignored.
/// 5. The same config and inputs give the same outputs; it draws no randomness, so takes no seed.
/// 6. What the peer can make grow is capped: tracks ([`MAX_TRACKS`]), requests
///    ([`MAX_REQUESTS`](crate::MAX_REQUESTS)), bytes that nobody asked for (none). What it can make
///    us do is capped too: 200 messages a second, 2,000 at once, dearer ones counting for several;
///    blocks pay for themselves. What is beyond is dropped unread, and for 5 s a violation.
#[derive(Clone, Debug)]
pub struct Link {
    /// Shared with the other links of a session until something changes.
    config: Arc<LinkConfig>,
    state: State,
    outbox: Outbox,
    violations: u32,
    work: Work,
    now: Instant,
}

#[derive(Clone, Debug)]
enum State {
    /// The channels are not open yet.
    Opening,
    /// Our hello is on its way.
    Greeting {
        /// When the peer's must have come.
        timeout_at: Instant,
    },
    /// Both hellos are known.
    Talking(Box<Talk>),
    /// Over.
    Closed,
}

impl Link {
    /// A link whose channels are about to open. Links of one session may share its config.
    #[must_use]
    pub fn new(config: impl Into<Arc<LinkConfig>>, now: Instant) -> Self {
        let mut config = config.into();
        let mut tracks = Vec::new();
        for &(track, id, role) in &config.tracks {
            put_track(&mut tracks, track, id, role);
        }
        if tracks != config.tracks {
            Arc::make_mut(&mut config).tracks = tracks;
        }
        if config.proof.len() > MAX_PROOF_LEN {
            Arc::make_mut(&mut config).proof.clear();
        }
        Self {
            config,
            state: State::Opening,
            outbox: Outbox::default(),
            violations: 0,
            work: Work::new(now),
            now,
        }
    }

    /// Tells the link what happened at `now`.
    pub fn handle_input(&mut self, input: LinkInput, now: Instant) {
        self.now = self.now.max(now);
        match input {
            LinkInput::Opened => self.open(),
            LinkInput::Received { channel, message } => {
                // A message can overtake the news that the second channel is open too.
                self.open();
                self.receive(channel, message);
            }
            LinkInput::Say(say) => self.say(say),
            LinkInput::Violated(_) if matches!(self.state, State::Closed) => {}
            LinkInput::Violated(violation) => self.violate(violation),
        }
    }

    /// Tells the link that it is now `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match &mut self.state {
            State::Greeting { timeout_at } if *timeout_at <= self.now => {
                self.violate(Violation::HelloTimeout);
            }
            State::Talking(talk) => {
                talk.handle_timeout(self.config.ping_interval, &mut self.outbox, self.now);
            }
            State::Opening | State::Greeting { .. } | State::Closed => {}
        }
    }

    /// The next thing to do or to know; `None` when there is nothing more.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outbox.poll()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when only an input can
    /// change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Greeting { timeout_at } => Some(*timeout_at),
            State::Talking(talk) => talk.poll_timeout(),
            State::Opening | State::Closed => None,
        }
    }

    fn open(&mut self) {
        if matches!(self.state, State::Opening) {
            self.state = State::Greeting {
                timeout_at: self.now + self.config.hello_timeout,
            };
            self.send_hello();
        }
    }

    fn receive(&mut self, channel: Channel, bytes: Message) {
        if matches!(self.state, State::Closed) {
            return;
        }
        match self.work.spend(work::cost(&bytes), self.now) {
            Verdict::Read => {}
            Verdict::Drop => return self.outbox.event(LinkEvent::Dropped),
            Verdict::Flood => return self.violate(Violation::Flooding),
        }
        let message = match PeerMessage::decode(bytes) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(DecodeError::Version { .. }) => return self.close(GoodbyeReason::Version),
            Err(error) => return self.violate(Violation::Malformed(error)),
        };
        if message.channel() != channel {
            return self.violate(Violation::WrongChannel(channel));
        }
        match (&mut self.state, message) {
            (_, PeerMessage::Goodbye { reason }) => self.end(Side::Peer, reason),
            (State::Talking(talk), message) => {
                let is_block = matches!(message, PeerMessage::Block { .. });
                let heard = talk.hear(message, &self.config, &mut self.outbox, self.now);
                if is_block && heard.is_ok() {
                    self.work.earn();
                }
                if let Err(violation) = heard {
                    self.violate(violation);
                }
            }
            (_, PeerMessage::Hello(hello)) => self.greet(&hello),
            _ => self.violate(Violation::BeforeHello),
        }
    }

    fn greet(&mut self, hello: &Hello) {
        if hello.swarm != self.config.swarm {
            return self.close(GoodbyeReason::Useless);
        }
        if hello.peer == self.config.peer {
            return self.close(GoodbyeReason::Duplicate);
        }
        self.outbox.event(LinkEvent::Ready {
            peer: hello.peer,
            version: PROTOCOL_VERSION,
        });
        if let Some(witness) = hello.witness {
            self.outbox.event(LinkEvent::Witness(witness));
        }
        let talk = Talk::new(hello, &self.config, &mut self.outbox, self.now);
        self.state = State::Talking(Box::new(talk));
    }

    fn say(&mut self, say: Say) {
        match say {
            _ if matches!(self.state, State::Closed) => {}
            Say::Join { track, id, role } => self.join(track, id, role),
            Say::Leave { track } => self.leave(track),
            Say::Class(class) => {
                if self.config.class != class {
                    Arc::make_mut(&mut self.config).class = class;
                    self.repeat_hello();
                }
            }
            Say::Goodbye(reason) => self.close(reason),
            say => {
                if let State::Talking(talk) = &mut self.state {
                    if matches!(say, Say::Block(_)) {
                        self.work.earn();
                    }
                    talk.say(say, &mut self.outbox, self.now);
                }
            }
        }
    }

    fn join(&mut self, track: TrackIndex, id: TrackId, role: Role) {
        let mut tracks = self.config.tracks.clone();
        if !put_track(&mut tracks, track, id, role) {
            return;
        }
        Arc::make_mut(&mut self.config).tracks = tracks;
        self.repeat_hello();
        if let State::Talking(talk) = &mut self.state {
            talk.join(track, id, &mut self.outbox);
        }
    }

    fn leave(&mut self, track: TrackIndex) {
        if !self
            .config
            .tracks
            .iter()
            .any(|(number, ..)| *number == track)
        {
            return;
        }
        let tracks = &mut Arc::make_mut(&mut self.config).tracks;
        tracks.retain(|(number, ..)| *number != track);
        if let State::Talking(talk) = &mut self.state {
            talk.leave(track, &mut self.outbox);
        }
        self.repeat_hello();
    }

    fn repeat_hello(&mut self) {
        if !matches!(self.state, State::Opening) {
            self.send_hello();
        }
    }

    fn send_hello(&mut self) {
        let LinkConfig {
            peer,
            swarm,
            class,
            tracks,
            proof,
            witness,
            ..
        } = &*self.config;
        let hello = Hello {
            min_version: PROTOCOL_VERSION,
            max_version: PROTOCOL_VERSION,
            features: 0,
            max_message_len: MAX_MESSAGE_LEN as u64,
            peer: *peer,
            swarm: *swarm,
            class: *class,
            proof: proof.clone(),
            witness: *witness,
            tracks: tracks
                .iter()
                .map(|&(track, id, role)| HelloTrack {
                    handle: handle_of(track),
                    id,
                    role,
                })
                .collect(),
        };
        self.outbox.send(&PeerMessage::Hello(hello));
    }

    /// Counts a violation. Before the hello there is nothing to lose, so the first one is enough.
    fn violate(&mut self, violation: Violation) {
        self.violations += 1;
        self.outbox.event(LinkEvent::Violation(violation));
        let talking = matches!(self.state, State::Talking(_));
        let is_grave = violation == Violation::Flooding;
        if !talking || is_grave || self.violations >= MAX_VIOLATIONS {
            self.close(GoodbyeReason::Violation);
        }
    }

    fn close(&mut self, reason: GoodbyeReason) {
        if !matches!(self.state, State::Opening) {
            self.outbox.send(&PeerMessage::Goodbye { reason });
        }
        self.end(Side::Us, reason);
    }

    fn end(&mut self, by: Side, reason: GoodbyeReason) {
        self.state = State::Closed;
        self.outbox.discard();
        self.outbox.push(LinkOutput::Close(reason));
        self.outbox.event(LinkEvent::Closed { by, reason });
    }
}

// A session has one for each neighbour, and 8 KiB for sixteen of them.
const _: () = assert!(size_of::<Link>() + size_of::<Talk>() <= 384);

/// Adds a track or changes our role in it; returns whether that changed anything. Numbers and ids
/// go in pairs, so half of a known pair is refused, and so is one track too many.
fn put_track(
    tracks: &mut Vec<(TrackIndex, TrackId, Role)>,
    track: TrackIndex,
    id: TrackId,
    role: Role,
) -> bool {
    let known = tracks
        .iter_mut()
        .find(|(number, other, _)| *number == track || *other == id);
    match known {
        Some((number, other, old)) => {
            let changed = (*number, *other) == (track, id) && *old != role;
            if changed {
                *old = role;
            }
            changed
        }
        None => {
            let room = tracks.len() < MAX_TRACKS;
            if room {
                tracks.push((track, id, role));
            }
            room
        }
    }
}
