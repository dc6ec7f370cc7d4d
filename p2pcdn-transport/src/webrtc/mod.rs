//! Many connections on one UDP socket, on str0m.

mod clock;
mod config;
mod demux;
mod description;
mod link;
mod pacer;
mod setup;
mod timers;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant as StdInstant,
};

use p2pcdn_wire::{Channel, Fingerprint, Instant, LinkId, Message};
use str0m::{
    Input, Output, RtcConfig,
    net::{Protocol, Receive},
};
use tracing::{debug, trace};

use self::{
    clock::Clock,
    demux::{Demux, Kind},
    link::{Link, State},
    timers::Timers,
};
use crate::peer::{CloseReason, PeerCommand, PeerEvent, PeerTransport};

pub use self::config::WebRtcConfig;

/// WebRTC data channels to many peers over one UDP socket.
///
/// Does no I/O: the caller hands it the datagrams that arrive
/// ([`handle_datagram`](Self::handle_datagram)) and sends those it makes
/// ([`poll_transmit`](Self::poll_transmit)). Beside the contract of [`PeerTransport`], drain
/// `poll_transmit` after every input.
///
/// Descriptions are complete (no trickling), all links share one certificate, and a datagram finds
/// its link by its address, or by the ICE user name of a STUN request whose password is right; two
/// links to the same address cannot be open at a time. Keys and SCTP ids are random, so that two
/// runs are not alike.
pub struct WebRtc {
    config: WebRtcConfig,
    stack: RtcConfig,
    fingerprint: Fingerprint,
    clock: Clock,
    now: Instant,
    links: BTreeMap<LinkId, Box<Link>>,
    demux: Demux,
    timers: Timers,
    /// Links with messages that are not datagrams yet.
    dirty: VecDeque<LinkId>,
    /// Links with datagrams that may leave.
    line: VecDeque<LinkId>,
    /// Last datagrams of links that ended.
    farewells: VecDeque<Transmit>,
    events: VecDeque<PeerEvent>,
}

/// One datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The candidate of ours that it leaves from.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// What.
    pub contents: Vec<u8>,
}

impl WebRtc {
    /// An endpoint without links. `std_now` and `now` are the same moment on the two clocks.
    ///
    /// # Panics
    ///
    /// When the cryptographic library cannot make a certificate, which only happens without a
    /// source of randomness.
    #[must_use]
    pub fn new(config: WebRtcConfig, std_now: StdInstant, now: Instant) -> Self {
        let (stack, fingerprint) = setup::stack(&config);
        Self {
            config,
            stack,
            fingerprint,
            clock: Clock::new(std_now, now),
            now,
            links: BTreeMap::new(),
            demux: Demux::default(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            line: VecDeque::new(),
            farewells: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Tells the endpoint that a datagram arrived from `source` at `destination`, which is the
    /// candidate of ours that it was sent to.
    ///
    /// What no link takes is dropped.
    pub fn handle_datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        data: &[u8],
        now: Instant,
    ) {
        self.advance(now);
        let Some(kind) = Kind::of(data) else {
            return;
        };
        let Some(id) = self.recipient(kind, source, destination, data) else {
            trace!(?kind, "datagram of nobody dropped");
            return;
        };
        let std_now = self.clock.to_std(self.now);
        let (Some(link), Ok(input)) = (
            self.links.get_mut(&id),
            Receive::new(Protocol::Udp, source, destination, data),
        ) else {
            return;
        };
        link.hear(self.now);
        if let Err(error) = link.rtc.handle_input(Input::Receive(std_now, input)) {
            // Whoever knows the addresses can send garbage; what is truly broken shows in `drain`.
            trace!(link = %id, %error, "datagram refused");
        }
        self.drive(id);
    }

    /// The next datagram to send; `None` when there is none, or none that may leave yet.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.settle();
        if let Some(transmit) = self.farewells.pop_front() {
            return Some(transmit);
        }
        while let Some(id) = self.line.front().copied() {
            if let Some(link) = self.links.get_mut(&id) {
                if let Some(next) = link.outbox.front() {
                    let is_check = Kind::is_stun(&next.contents);
                    if is_check || link.pacer.take(next.contents.len(), self.now) {
                        let transmit = link.outbox.pop_front()?;
                        if Kind::of(&transmit.contents) == Some(Kind::StunRequest) {
                            self.demux.ask(transmit.destination, id);
                        }
                        return Some(transmit);
                    }
                    let ready_at = link.pacer.ready_at();
                    self.timers.set(id, ready_at, &mut link.alarm);
                }
                link.is_in_line = false;
            }
            self.line.pop_front();
        }
        None
    }

    /// The digest of the certificate that all links show.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Where the peer of a link is, as far as it proved to be there; the lowest address when there
    /// are several.
    #[must_use]
    pub fn remote_address(&self, link: LinkId) -> Option<SocketAddr> {
        self.demux.address_of(link)
    }

    /// How many links there are, unopened ones and offers included.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    fn advance(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.now);
        if gap > self.config.keepalive_interval * 3 / 2 {
            // We were not running, so that the silence was ours.
            for link in self.links.values_mut() {
                if let State::Open { heard_at, .. } = &mut link.state {
                    *heard_at += gap;
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// The link that takes a datagram. Notes the address of a STUN request that proved to be for
    /// one.
    fn recipient(
        &mut self,
        kind: Kind,
        source: SocketAddr,
        destination: SocketAddr,
        data: &[u8],
    ) -> Option<LinkId> {
        let holder = self.demux.by_address(source);
        let accepts = |id: &LinkId| {
            let std_now = self.clock.to_std(self.now);
            let input = Receive::new(Protocol::Udp, source, destination, data);
            match (self.links.get(id), input) {
                (Some(link), Ok(input)) => link.rtc.accepts(&Input::Receive(std_now, input)),
                _ => false,
            }
        };
        match kind {
            Kind::Dtls => holder,
            Kind::StunResponse => self.demux.askers(source).find(accepts),
            Kind::StunRequest => {
                let id = self.demux.by_name(demux::our_name(data)?)?;
                if holder == Some(id) {
                    return Some(id);
                }
                let is_taken = holder.is_some_and(|holder| self.is_open(holder));
                if is_taken || !accepts(&id) || self.demux.address_count(id) >= MAX_ADDRESSES {
                    return None;
                }
                self.demux.prove(source, id);
                Some(id)
            }
        }
    }

    fn is_open(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.is_open())
    }

    /// Turns written messages into datagrams.
    fn settle(&mut self) {
        while let Some(id) = self.dirty.pop_front() {
            self.drive(id);
        }
    }

    /// Lets the stack of a link work, and arranges for what it wants next.
    fn drive(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match link.drain(self.clock, self.now, &mut self.events) {
            Ok(()) => self.arrange(id),
            Err(reason) => self.end(id, Some(reason)),
        }
    }

    fn arrange(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if !link.outbox.is_empty() && !link.is_in_line {
            link.is_in_line = true;
            self.line.push_back(id);
        }
        let (deadline, _) = deadline(&link.state, &self.config);
        let at = link
            .wake_at
            .map_or(deadline, |wake_at| wake_at.min(deadline));
        self.timers.set(id, at, &mut link.alarm);
    }

    fn wake(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (deadline, reason) = deadline(&link.state, &self.config);
        if deadline <= self.now {
            self.end(id, Some(reason));
            return;
        }
        if link.wake_at.is_none_or(|wake_at| wake_at > self.now) {
            self.arrange(id);
            return;
        }
        link.wake_at = None;
        let std_now = self.clock.to_std(self.now);
        match link.rtc.handle_input(Input::Timeout(std_now)) {
            Ok(()) => self.drive(id),
            Err(error) => {
                debug!(link = %id, %error, "connection failed");
                self.end(id, Some(CloseReason::Failed));
            }
        }
    }

    /// Ends a link; `None` when we were told to.
    fn end(&mut self, id: LinkId, reason: Option<CloseReason>) {
        let Some(mut link) = self.links.remove(&id) else {
            return;
        };
        debug!(link = %id, ?reason, "link ended");
        self.demux.remove(id, &link.name);
        if !link.is_offered() && reason != Some(CloseReason::Lost) {
            self.say_farewell(&mut link);
        }
        match reason {
            Some(reason) => self.events.push_back(PeerEvent::Closed(id, reason)),
            None => self.events.retain(|event| event.link() != id),
        }
    }

    fn say_farewell(&mut self, link: &mut Link) {
        self.farewells.extend(link.outbox.drain(..));
        if link.rtc.close().is_err() {
            return;
        }
        for _ in 0..MAX_CLOSING_OUTPUTS {
            match link.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => self.farewells.push_back(Transmit {
                    source: transmit.source,
                    destination: transmit.destination,
                    contents: transmit.contents.into(),
                }),
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(_)) | Err(_) => break,
            }
        }
        let excess = self.farewells.len().saturating_sub(MAX_FAREWELLS);
        self.farewells.drain(..excess);
    }
}

impl PeerTransport for WebRtc {
    fn handle_command(&mut self, command: PeerCommand, now: Instant) {
        self.advance(now);
        match command {
            PeerCommand::Offer(id, plan) => self.offer(id, plan),
            PeerCommand::Accept(id, plan, offer) => self.accept(id, plan, &offer),
            PeerCommand::Complete(id, answer) => self.complete(id, &answer),
            PeerCommand::Close(id) => {
                // What was written last, such as a goodbye, leaves before the connection ends.
                self.settle();
                self.end(id, None);
            }
        }
    }

    fn try_send(
        &mut self,
        to: LinkId,
        channel: Channel,
        message: Message,
        now: Instant,
    ) -> Result<(), Message> {
        self.advance(now);
        let Some(link) = self.links.get_mut(&to) else {
            return Err(message);
        };
        link.send(channel, message, &mut self.events)?;
        if !link.is_dirty {
            link.is_dirty = true;
            self.dirty.push_back(to);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.settle();
        while let Some((at, id)) = self.timers.pop_due(self.now) {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            if link.alarm == Some(at) {
                link.alarm = None;
                self.wake(id);
            }
        }
    }

    fn poll_event(&mut self) -> Option<PeerEvent> {
        self.settle();
        while let Some(event) = self.events.pop_front() {
            let PeerEvent::Writable(id, _) = event else {
                return Some(event);
            };
            let room = self.links.get_mut(&id).and_then(|link| link.take_room());
            if let Some(room) = room {
                return Some(PeerEvent::Writable(id, room));
            }
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}

impl PeerEvent {
    const fn link(&self) -> LinkId {
        match self {
            Self::Described(link, _)
            | Self::Opened(link, _)
            | Self::Received(link, _, _)
            | Self::Writable(link, _)
            | Self::Closed(link, _) => *link,
        }
    }
}

/// When a link in this state ends for lack of progress, and why.
fn deadline(state: &State, config: &WebRtcConfig) -> (Instant, CloseReason) {
    match state {
        State::Offered { until, .. } | State::Opening { until, .. } => {
            (*until, CloseReason::SetupTimeout)
        }
        State::Open { heard_at, .. } => (*heard_at + config.silence_timeout, CloseReason::Lost),
    }
}

/// Addresses that one link may prove: its candidates as we see them. More would let a peer grow
/// our tables by sending from many ports.
const MAX_ADDRESSES: usize = description::MAX_CANDIDATES;

/// Outputs of a closing stack: the last of a send buffer of 1 MiB and the alerts.
const MAX_CLOSING_OUTPUTS: usize = 1_024;

/// Datagrams of ended links that wait for the socket: several full send buffers.
const MAX_FAREWELLS: usize = 4_096;
