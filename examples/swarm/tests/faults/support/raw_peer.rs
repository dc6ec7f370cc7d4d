//! A peer without a client behind it, that does as it pleases.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use p2pcdn::{
    transport::{
        PeerCommand, PeerEvent, PeerSocket, PeerTransport, Signalling, SignallingConfig,
        SignallingInput, SignallingOutput, TrackerSockets, WebRtc, WebRtcConfig,
    },
    wire::{
        Block, BlockRange, Channel, GoodbyeReason, Instant, Link, LinkConfig, LinkEvent, LinkId,
        LinkInput, LinkOutput, MAX_MESSAGE_LEN, Message, OrdinalRange, Payload, Pcg, PeerId,
        RequestId, Role, Said, Say, SegmentId, SegmentRef, Side, TrackIndex, tag_digest,
    },
};
use tokio::task::JoinHandle;

use super::foreseen::Foreseen;

/// How a [`RawPeer`] behaves. All but the observer say of each segment, the moment it is
/// published, that they hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Answers no request.
    Silent,
    /// Answers every request with bytes of the right length that are not the segment's.
    WrongBytes,
    /// Sends what is no message, or none that may be sent.
    Garbage,
    /// Serves so many right blocks, then is gone without a word in the middle of a transfer.
    Vanishes {
        /// How many.
        after_blocks: usize,
    },
    /// Announces nothing, asks for whatever others announce, and remembers all it is sent.
    Observes,
}

/// What a [`RawPeer`] has seen and done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Whom it has met.
    pub(crate) met: BTreeSet<PeerId>,
    /// Every message and who sent it; before the first hello nobody did. Only an observer
    /// remembers them.
    pub(crate) received: Vec<(Option<PeerId>, Bytes)>,
    /// Requests that came.
    pub(crate) asked_count: usize,
    /// Blocks that it sent, right or wrong.
    pub(crate) sent_blocks: usize,
    /// Blocks that it got.
    pub(crate) received_blocks: usize,
    /// Why links ended, and who ended them.
    pub(crate) goodbyes: Vec<(Side, GoodbyeReason)>,
    /// Whether it has vanished.
    pub(crate) is_gone: bool,
}

impl Account {
    /// All but what it received.
    pub(crate) fn summary(&self) -> Self {
        Self {
            received: Vec::new(),
            ..self.clone()
        }
    }
}

/// A peer in a task of its own; dropping it ends it without a goodbye.
pub(crate) struct RawPeer {
    account: Arc<Mutex<Account>>,
    task: JoinHandle<()>,
}

impl RawPeer {
    /// Lets a peer join the swarm of `stream` by way of `tracker`.
    pub(crate) fn join(conduct: Conduct, stream: Foreseen, tracker: &str) -> Self {
        let account = Arc::new(Mutex::default());
        let actor = Actor::new(conduct, stream, tracker, account.clone());
        Self {
            account,
            task: tokio::spawn(actor.run()),
        }
    }

    pub(crate) fn account(&self) -> Account {
        self.account.lock().unwrap().clone()
    }

    /// Whether somebody ended a link with it for `reason`.
    pub(crate) fn was_sent_away_for(&self, reason: GoodbyeReason) -> bool {
        let account = self.account.lock().unwrap();
        account.goodbyes.contains(&(Side::Peer, reason))
    }
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Actor {
    conduct: Conduct,
    stream: Foreseen,
    peer: PeerId,
    started: std::time::Instant,
    socket: PeerSocket,
    webrtc: WebRtc,
    signalling: Signalling,
    trackers: TrackerSockets,
    links: BTreeMap<LinkId, RawLink>,
    noise: Pcg,
    account: Arc<Mutex<Account>>,
}

struct RawLink {
    link: Link,
    peer: Option<PeerId>,
    announced: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    unsent: VecDeque<(Channel, Message)>,
}

impl Actor {
    fn new(
        conduct: Conduct,
        stream: Foreseen,
        tracker: &str,
        account: Arc<Mutex<Account>>,
    ) -> Self {
        let now = Instant::EPOCH;
        let started = std::time::Instant::now();
        let socket = PeerSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let mut peer = *b"-RAW001-000000000000";
        let port = format!("{:05}", socket.local_addr().port());
        peer[15..].copy_from_slice(port.as_bytes());
        let peer = PeerId::new(peer);
        let config = WebRtcConfig {
            candidates: vec![socket.local_addr()],
            ..WebRtcConfig::default()
        };
        let trackers = vec![tracker.to_owned()];
        let signalling = SignallingConfig::new(trackers, stream.swarm, peer);
        Self {
            conduct,
            peer,
            started,
            socket,
            webrtc: WebRtc::new(config, started, now),
            signalling: Signalling::new(signalling, 1, now),
            trackers: TrackerSockets::new(),
            links: BTreeMap::new(),
            noise: Pcg::new(7),
            account,
            stream,
        }
    }

    async fn run(mut self) {
        loop {
            self.settle();
            if self.account().is_gone {
                return;
            }
            let now = self.now();
            let links = self
                .links
                .values()
                .filter_map(|one| one.link.poll_timeout());
            let due = [self.webrtc.poll_timeout(), self.signalling.poll_timeout()];
            let due = due.into_iter().flatten().chain(links).min();
            let due = due.map_or(TICK, |at| at.saturating_duration_since(now).min(TICK));
            tokio::select! {
                ready = self.socket.ready() => ready.unwrap(),
                input = self.trackers.recv() => self.signal(input),
                () = tokio::time::sleep(due) => {}
            }
            let now = self.now();
            self.webrtc.handle_timeout(now);
            self.signalling.handle_timeout(now);
            for one in self.links.values_mut() {
                one.link.handle_timeout(now);
            }
            self.act();
        }
    }

    /// What it does of its own accord.
    fn act(&mut self) {
        let ids: Vec<_> = self.links.keys().copied().collect();
        match self.conduct {
            Conduct::Observes => {}
            Conduct::Garbage => {
                for link in ids {
                    self.send_garbage(link);
                }
            }
            _ => {
                for link in ids {
                    self.announce(link);
                }
            }
        }
    }

    fn announce(&mut self, link: LinkId) {
        let now = self.now();
        let Some(one) = self.links.get_mut(&link).filter(|one| one.peer.is_some()) else {
            return;
        };
        for (ordinal, id) in self.stream.published(tokio::time::Instant::now()) {
            if one.announced.insert(ordinal) {
                let have = Say::Have {
                    track: TRACK,
                    ordinals: OrdinalRange::one(ordinal),
                    digest: tag_digest([id.tag()]),
                };
                one.link.handle_input(LinkInput::Say(have), now);
            }
        }
    }

    /// Bytes that are no message on either channel, a block that nobody asked for, and a message
    /// as long as can be.
    fn send_garbage(&mut self, link: LinkId) {
        let now = self.now();
        if self.links.get(&link).is_none_or(|one| one.peer.is_none()) {
            return;
        }
        let mut noise = |head: &[u8], len: usize| {
            let mut bytes = head.to_vec();
            bytes.extend((0..len).map(|_| self.noise.next_u32().to_le_bytes()[0]));
            Message::from(Bytes::from(bytes))
        };
        let garbage = [
            (Channel::Control, noise(&[], 100)),
            (Channel::Data, noise(&[BLOCK_TYPE], 500)),
            (Channel::Control, noise(&[REQUEST_TYPE], 20)),
            (Channel::Data, noise(&[], MAX_MESSAGE_LEN)),
            (Channel::Control, noise(&[HELLO_TYPE], 60)),
        ];
        for (channel, message) in garbage {
            // A full channel has garbage enough.
            let _ = self.webrtc.try_send(link, channel, message, now);
        }
    }

    fn settle(&mut self) {
        loop {
            let now = self.now();
            let ids: Vec<_> = self.links.keys().copied().collect();
            for link in ids {
                self.drain_link(link);
                self.flush(link);
            }
            while let Some(output) = self.signalling.poll_output() {
                match output {
                    SignallingOutput::Connect(tracker, url) => self.trackers.connect(tracker, url),
                    SignallingOutput::Disconnect(tracker) => self.trackers.disconnect(tracker),
                    SignallingOutput::Send(tracker, text) => self.trackers.send(tracker, text),
                    SignallingOutput::Peer(command) => self.webrtc.handle_command(command, now),
                    SignallingOutput::Event(_) => {}
                }
            }
            self.socket.pump(&mut self.webrtc, now).unwrap();
            let Some(event) = self.webrtc.poll_event() else {
                return;
            };
            self.peer_event(event);
        }
    }

    fn peer_event(&mut self, event: PeerEvent) {
        let now = self.now();
        match event {
            PeerEvent::Described(link, sdp) => {
                self.signal(SignallingInput::Described(link, sdp));
            }
            PeerEvent::Opened(link, _) => {
                self.signal(SignallingInput::Opened(link));
                let config = LinkConfig {
                    tracks: vec![(TRACK, self.stream.track, Role::Watching)],
                    ..LinkConfig::new(self.peer, self.stream.swarm)
                };
                let mut one = RawLink {
                    link: Link::new(config, now),
                    peer: None,
                    announced: BTreeSet::new(),
                    asked: BTreeSet::new(),
                    unsent: VecDeque::new(),
                };
                one.link.handle_input(LinkInput::Opened, now);
                self.links.insert(link, one);
            }
            PeerEvent::Received(link, channel, message) => {
                let Some(one) = self.links.get_mut(&link) else {
                    return;
                };
                let input = LinkInput::Received {
                    channel,
                    message: message.clone().into(),
                };
                one.link.handle_input(input, now);
                self.drain_link(link);
                if self.conduct == Conduct::Observes {
                    let peer = self.links.get(&link).and_then(|one| one.peer);
                    self.account().received.push((peer, message));
                }
            }
            PeerEvent::Closed(link, _) => {
                self.links.remove(&link);
                self.signal(SignallingInput::Closed(link));
            }
            _ => {}
        }
    }

    fn drain_link(&mut self, link: LinkId) {
        while let Some(one) = self.links.get_mut(&link)
            && let Some(output) = one.link.poll_output()
        {
            match output {
                LinkOutput::Send { channel, message } => one.unsent.push_back((channel, message)),
                LinkOutput::Said(said) => self.heard(link, said),
                LinkOutput::Block { .. } => self.account().received_blocks += 1,
                LinkOutput::Event(LinkEvent::Ready { peer, .. }) => {
                    one.peer = Some(peer);
                    self.account().met.insert(peer);
                }
                LinkOutput::Event(LinkEvent::Closed { by, reason }) => {
                    self.account().goodbyes.push((by, reason));
                    self.flush(link);
                    self.links.remove(&link);
                    let now = self.now();
                    self.webrtc.handle_command(PeerCommand::Close(link), now);
                    self.signal(SignallingInput::Closed(link));
                }
                _ => {}
            }
        }
    }

    fn heard(&mut self, link: LinkId, said: Said) {
        match said {
            Said::Request {
                request,
                segment,
                blocks,
                ..
            } => {
                self.account().asked_count += 1;
                match self.conduct {
                    Conduct::WrongBytes | Conduct::Vanishes { .. } => {
                        for block in blocks.start..blocks.end {
                            self.serve(link, request, segment.ordinal, block);
                        }
                    }
                    Conduct::Silent | Conduct::Garbage | Conduct::Observes => {}
                }
            }
            Said::Have { ordinals, .. } if self.conduct == Conduct::Observes => {
                for ordinal in ordinals.start..ordinals.end {
                    self.ask(link, ordinal);
                }
            }
            Said::Holds { segment, .. } if self.conduct == Conduct::Observes => {
                self.ask(link, segment.ordinal);
            }
            _ => {}
        }
    }

    fn serve(&mut self, link: LinkId, request: RequestId, ordinal: u64, block: u32) {
        if let Conduct::Vanishes { after_blocks } = self.conduct
            && self.account().sent_blocks >= after_blocks
        {
            self.account().is_gone = true;
            return;
        }
        let right = self.stream.bytes(ordinal);
        let range = BlockRange::new(block, block + 1).bytes(right.len() as u64);
        let at = |at: u64| usize::try_from(at).expect("within a segment");
        let right = right.slice(at(range.start)..at(range.end));
        let bytes = match self.conduct {
            Conduct::WrongBytes => right.iter().map(|byte| byte ^ 0x55).collect(),
            _ => right,
        };
        self.account().sent_blocks += 1;
        let block = Block {
            request,
            block,
            payload: Payload(bytes),
        };
        self.say(link, Say::Block(block));
    }

    /// Asks for the block map and the first blocks of a segment, once.
    fn ask(&mut self, link: LinkId, ordinal: u64) {
        let id: Option<SegmentId> = self.stream.ids.get(&ordinal).copied();
        let (Some(id), Some(one)) = (id, self.links.get_mut(&link)) else {
            return;
        };
        if !one.asked.insert(ordinal) {
            return;
        }
        let segment = SegmentRef {
            track: TRACK,
            ordinal,
            tag: id.tag(),
        };
        let request = RequestId(u32::try_from(ordinal).expect("a small number"));
        self.say(link, Say::MapRequest { segment, id });
        let wanted = Say::Request {
            request,
            segment,
            id,
            blocks: BlockRange::new(0, 4),
            deadline_after: Duration::from_secs(5),
        };
        self.say(link, wanted);
    }

    fn say(&mut self, link: LinkId, say: Say) {
        let now = self.now();
        if let Some(one) = self.links.get_mut(&link) {
            one.link.handle_input(LinkInput::Say(say), now);
        }
    }

    fn flush(&mut self, link: LinkId) {
        let now = self.now();
        let Some(one) = self.links.get_mut(&link) else {
            return;
        };
        while let Some((channel, message)) = one.unsent.pop_front() {
            if let Err(message) = self.webrtc.try_send(link, channel, message, now) {
                one.unsent.push_front((channel, message));
                return;
            }
        }
    }

    fn signal(&mut self, input: SignallingInput) {
        let now = self.now();
        self.signalling.handle_input(input, now);
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    fn now(&self) -> Instant {
        Instant::from_epoch(self.started.elapsed())
    }
}

/// Its number of the one track.
const TRACK: TrackIndex = TrackIndex(0);

/// How often it looks whether there is something new to announce.
const TICK: Duration = Duration::from_millis(50);

/// Type bytes of `p2pcdn/1`: what begins like a message gets further than noise.
const HELLO_TYPE: u8 = 0x00;
const REQUEST_TYPE: u8 = 0x20;
const BLOCK_TYPE: u8 = 0x23;
