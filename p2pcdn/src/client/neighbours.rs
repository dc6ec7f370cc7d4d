//! Connections to peers: the endpoint, the trackers, and what flows between them and the session.

use p2pcdn_transport::{
    PeerCommand, PeerEvent, PeerTransport, Signalling, SignallingConfig, SignallingEvent,
    SignallingInput, SignallingOutput,
};
use p2pcdn_wire::{Channel, Instant, LinkId, Message};

use super::driver::Driver;
use crate::{network::Network, session::SessionInput};

/// Messages that wait for one peer's send buffer. Blocks are handed over only when there is room,
/// so that these are control messages of a peer that does not read; it is given up then.
const MAX_UNSENT: usize = 512;

/// How many peers are looked for, out of as many as there may be: the rest is room for those who
/// look for us.
pub(super) fn wanted_peers(max_peers: usize) -> usize {
    max_peers * 3 / 4
}

impl Driver {
    pub(super) fn webrtc_timeout(&self) -> Option<Instant> {
        self.webrtc.poll_timeout()
    }

    pub(super) fn webrtc_timeouts(&mut self, now: Instant) {
        if self.webrtc.poll_timeout().is_some_and(|at| at <= now) {
            self.webrtc.handle_timeout(now);
        }
    }

    pub(super) fn join_swarm(&mut self) {
        let (Some(presentation), None) = (&self.presentation, &self.signalling) else {
            return;
        };
        let wanted = self.config.max_peers;
        let config = SignallingConfig {
            first_link: LinkId(self.next_link),
            wanted_count: wanted_peers(wanted),
            max_neighbours: wanted,
            ..SignallingConfig::new(self.config.trackers.clone(), presentation.swarm, self.peer)
        };
        let now = self.now();
        let seed = p2pcdn_wire::mix(self.seed.derive("signalling") ^ self.next_link);
        self.signalling = Some(Signalling::new(config, seed, now));
    }

    pub(super) fn leave_swarm(&mut self) {
        self.tell_signalling(SignallingInput::Stopped);
        self.drain_signalling();
        self.signalling = None;
    }

    pub(super) fn tell_signalling(&mut self, input: SignallingInput) {
        let now = self.now();
        if let Some(signalling) = &mut self.signalling {
            signalling.handle_input(input, now);
        }
    }

    pub(super) fn drain_signalling(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.signalling.as_mut().and_then(Signalling::poll_output) {
            moved = true;
            match output {
                SignallingOutput::Connect(tracker, url) => self.trackers.connect(tracker, url),
                SignallingOutput::Disconnect(tracker) => self.trackers.disconnect(tracker),
                SignallingOutput::Send(tracker, text) => self.trackers.send(tracker, text),
                SignallingOutput::Peer(command) => self.command_peer(command),
                SignallingOutput::Event(event) => self.signalling_event(event),
            }
        }
        moved
    }

    fn command_peer(&mut self, command: PeerCommand) {
        if let PeerCommand::Accept(link, ..) | PeerCommand::Complete(link, _) = &command
            && self.is_refused(*link)
        {
            return self.turn_away(*link);
        }
        let link = match &command {
            PeerCommand::Offer(link, _)
            | PeerCommand::Accept(link, ..)
            | PeerCommand::Complete(link, _)
            | PeerCommand::Close(link) => *link,
        };
        self.next_link = self.next_link.max(link.0 + 1);
        let now = self.now();
        if let PeerCommand::Close(link) = command {
            self.tell(SessionInput::LinkClosed { link });
            self.unsent.remove(&link);
        }
        self.webrtc.handle_command(command, now);
    }

    /// Whether the peer that a link would lead to would be sent away at once.
    fn is_refused(&self, link: LinkId) -> bool {
        let peer = self.signalling.as_ref().and_then(|it| it.peer(link));
        let session = self.session.as_ref();
        peer.is_some_and(|peer| session.is_some_and(|session| session.refuses(peer)))
    }

    /// Has nothing come of an offer or an answer.
    fn turn_away(&mut self, link: LinkId) {
        tracing::debug!(%link, "a peer that is not wanted");
        let now = self.now();
        self.next_link = self.next_link.max(link.0 + 1);
        self.webrtc.handle_command(PeerCommand::Close(link), now);
        self.tell_signalling(SignallingInput::Closed(link));
    }

    fn signalling_event(&mut self, event: SignallingEvent) {
        tracing::debug!(?event, "signalling");
        if let SignallingEvent::Announced {
            complete,
            incomplete,
            ..
        } = event
        {
            let viewers = complete.saturating_add(incomplete);
            self.tell(SessionInput::SwarmCounted { viewers });
        }
    }

    /// Moves datagrams and what they bring.
    pub(super) fn drain_peers(&mut self) -> bool {
        let now = self.now();
        if let Err(error) = self.socket.pump(&mut self.webrtc, now) {
            tracing::error!(%error, "the peer socket failed");
        }
        let mut moved = false;
        while let Some(event) = self.webrtc.poll_event() {
            moved = true;
            match event {
                PeerEvent::Described(link, sdp) => {
                    self.tell_signalling(SignallingInput::Described(link, sdp));
                }
                PeerEvent::Opened(link, _) => {
                    self.tell_signalling(SignallingInput::Opened(link));
                    let network = self.webrtc.remote_address(link);
                    let network = network.and_then(|address| Network::of(address.ip()));
                    self.tell(SessionInput::LinkOpened { link, network });
                }
                PeerEvent::Received(link, channel, message) => {
                    self.tell(SessionInput::LinkReceived {
                        link,
                        channel,
                        message: message.into(),
                    })
                }
                PeerEvent::Writable(link, credit) => {
                    self.flush(link);
                    let credit = credit as u64;
                    self.tell(SessionInput::LinkWritable { link, credit });
                }
                PeerEvent::Closed(link, reason) => {
                    tracing::debug!(%link, %reason, "connection closed");
                    self.unsent.remove(&link);
                    self.tell(SessionInput::LinkClosed { link });
                    self.tell_signalling(SignallingInput::Closed(link));
                }
                other => tracing::trace!(?other, "an event that a client does not know"),
            }
        }
        moved
    }

    pub(super) fn send(&mut self, link: LinkId, channel: Channel, message: Message) {
        let now = self.now();
        if let Some(log) = &self.config.message_log {
            // Whoever read the log may be gone.
            let _ = log.send(message.clone().into_bytes());
        }
        if let Some(unsent) = self.unsent.get_mut(&link) {
            unsent.push_back((channel, message));
            if unsent.len() > MAX_UNSENT {
                tracing::debug!(%link, "a peer that does not read");
                self.close_link(link);
            }
            return;
        }
        if let Err(message) = self.webrtc.try_send(link, channel, message, now) {
            let unsent = self.unsent.entry(link).or_default();
            unsent.push_back((channel, message));
        }
    }

    fn flush(&mut self, link: LinkId) {
        let now = self.now();
        let Some(mut unsent) = self.unsent.remove(&link) else {
            return;
        };
        while let Some((channel, message)) = unsent.pop_front() {
            if let Err(message) = self.webrtc.try_send(link, channel, message, now) {
                unsent.push_front((channel, message));
                self.unsent.insert(link, unsent);
                return;
            }
        }
    }

    pub(super) fn close_link(&mut self, link: LinkId) {
        let now = self.now();
        self.unsent.remove(&link);
        self.webrtc.handle_command(PeerCommand::Close(link), now);
        self.tell(SessionInput::LinkClosed { link });
        self.tell_signalling(SignallingInput::Closed(link));
    }
}
