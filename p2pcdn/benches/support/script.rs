//! The neighbours, the origin and the player of a recorded life.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use p2pcdn::{
    FetchRequest, ResponseHead, Session, SessionEvent, SessionInput, SessionOutput,
    manifest::Presentation,
    scheduler::{FetchId, Playback, PlaybackState, Policy},
    wire::{
        BLOCK_LEN, BlockRange, BlockSet, Channel, Handle, Hello, HelloTrack, Instant, LinkId,
        MAX_MESSAGE_LEN, MediaTime, Message, OrdinalRange, PROTOCOL_VERSION, Payload, PeerId,
        PeerMessage, Place, RequestId, Role, SegmentId, SwarmId, TrackId, UploadClass, block_count,
        tag_digest,
    },
};

use super::{LengthStore, Playlist, SEGMENT, SEGMENT_LEN, START, Step, Steps, WINDOW, new_session};

/// Neighbours that watch this viewer closely enough to be told, and to tell, single blocks.
const CLOSE: u64 = 6;

const ROUND_TRIP: Duration = Duration::from_millis(40);
const CREDIT: u64 = 256 << 10;
const LATENCY: Duration = Duration::from_secs(8);
const REPORT: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(10);

pub(super) struct Script {
    now: Instant,
    session: Session<LengthStore>,
    steps: Steps,
    queue: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    playlist: Playlist,
    swarm: SwarmId,
    track: TrackId,
    presentation: Arc<Presentation>,
    neighbours: u64,
    /// The number of the next request of each neighbour.
    requests: Vec<u32>,
    fetches: Vec<FetchId>,
}

enum Event {
    Tell(SessionInput),
    Fetched(FetchId, SessionInput),
    Says(u64, PeerMessage),
    Has(u64, u64),
    Listed,
    Report,
}

impl Script {
    pub(super) fn new(neighbours: usize) -> Self {
        let (presentation, _) = Playlist::new().next();
        Self {
            now: START,
            session: new_session(),
            steps: Vec::new(),
            queue: BTreeMap::new(),
            next_event: 0,
            playlist: Playlist::new(),
            swarm: presentation.swarm,
            track: presentation.tracks[0].id,
            presentation,
            neighbours: neighbours as u64,
            requests: vec![0; neighbours],
            fetches: Vec::new(),
        }
    }

    pub(super) fn record(mut self, duration: Duration) -> Steps {
        self.begin();
        let until = START + duration;
        loop {
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let wakes = self.session.poll_timeout();
            let next = queued.into_iter().chain(wakes).min().expect("it goes on");
            if next >= until {
                self.check();
                return self.steps;
            }
            self.now = next.max(self.now);
            if queued == Some(next) {
                let (_, event) = self.queue.pop_first().expect("it is queued");
                self.happen(event);
            } else {
                self.steps.push((self.now, Step::Timeout));
                self.session.handle_timeout(self.now);
                self.drain();
            }
        }
    }

    fn begin(&mut self) {
        let policy = SessionInput::PolicyChanged(Policy::default());
        self.after(Duration::ZERO, Event::Tell(policy));
        self.after(Duration::ZERO, Event::Listed);
        self.after(Duration::from_millis(1), Event::Report);
        for peer in 0..self.neighbours {
            let link = LinkId(peer);
            let at = Duration::from_millis(1_900 + peer);
            let opened = SessionInput::LinkOpened {
                link,
                network: None,
            };
            self.after(at, Event::Tell(opened));
            let credit = CREDIT;
            let writable = SessionInput::LinkWritable { link, credit };
            self.after(at, Event::Tell(writable));
            let hello = PeerMessage::Hello(self.hello(peer));
            self.after(at + ROUND_TRIP, Event::Says(peer, hello));
            for ping in 0..60 {
                let at = at + PING * ping + ROUND_TRIP * 2;
                let message = PeerMessage::Ping { at: 1 };
                self.after(at, Event::Says(peer, message));
            }
        }
    }

    fn hello(&self, peer: u64) -> Hello {
        let byte = u8::try_from(peer + 1).expect("few neighbours");
        Hello {
            min_version: PROTOCOL_VERSION,
            max_version: PROTOCOL_VERSION,
            features: 0,
            max_message_len: MAX_MESSAGE_LEN as u64,
            peer: PeerId::new([byte; 20]),
            swarm: self.swarm,
            class: UploadClass::Normal,
            proof: Bytes::new(),
            tracks: vec![HelloTrack {
                handle: Handle(0),
                id: self.track,
                role: Role::Watching,
            }],
            witness: None,
        }
    }

    fn after(&mut self, after: Duration, event: Event) {
        self.next_event += 1;
        let key = (self.now + after, self.next_event);
        self.queue.insert(key, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tell(input) => self.tell(input),
            Event::Fetched(fetch, input) => {
                if self.fetches.contains(&fetch) {
                    self.tell(input);
                }
            }
            Event::Says(peer, message) => {
                let channel = message.channel();
                let message = message.encode().expect("it is within the limits");
                self.tell(SessionInput::LinkReceived {
                    link: LinkId(peer),
                    channel,
                    message,
                });
            }
            Event::Has(peer, ordinal) => self.asks(peer, ordinal),
            Event::Listed => {
                self.listed();
                self.after(SEGMENT, Event::Listed);
            }
            Event::Report => {
                self.report();
                self.after(REPORT, Event::Report);
            }
        }
    }

    fn tell(&mut self, input: SessionInput) {
        let step = Step::Input(Box::new(input.clone()));
        self.steps.push((self.now, step));
        self.session.handle_input(input, self.now);
        self.drain();
    }

    /// The playlist has one segment more, and so have the neighbours before long.
    fn listed(&mut self) {
        let (presentation, newest) = self.playlist.next();
        self.presentation = presentation.clone();
        self.tell(SessionInput::ManifestAnswered {
            status: 200,
            ttfb: ROUND_TRIP,
            len: 2_000,
        });
        self.tell(SessionInput::PresentationUpdated(presentation));
        let (track, role) = (self.track, Role::Watching);
        self.tell(SessionInput::TrackRoleChanged { track, role });
        let (peers, newest_place) = (self.neighbours, self.place(newest));
        let millis = Duration::from_millis;
        let map = PeerMessage::Map {
            place: newest_place,
            payload: Payload(Bytes::from(vec![1; 1_600])),
        };
        self.after(millis(5), Event::Says(newest % peers, map));
        let intent = PeerMessage::Intent {
            place: newest_place,
            expires_after: millis(400),
        };
        self.after(millis(6), Event::Says((newest + 1) % peers, intent));
        for peer in 0..peers {
            let maps = PeerMessage::HasMaps {
                handle: Handle(0),
                ordinals: OrdinalRange::one(newest),
                digest: tag_digest([newest_place.tag]),
            };
            self.after(millis(10 + peer), Event::Says(peer, maps));
            let have = PeerMessage::Have {
                handle: Handle(0),
                ordinals: OrdinalRange::one(newest),
                digest: tag_digest([newest_place.tag]),
            };
            self.after(millis(900 + peer * 10), Event::Says(peer, have));
            let lost = PeerMessage::Lost {
                handle: Handle(0),
                ordinals: OrdinalRange::one(newest - WINDOW),
            };
            self.after(millis(1_700 + peer * 3), Event::Says(peer, lost));
        }
        for (step, close) in (0..4).flat_map(|step| (0..CLOSE).map(move |close| (step, close))) {
            let held = BlockRange::new(0, 11 * (u32::try_from(step).expect("below 4") + 1));
            let holds = PeerMessage::Holds {
                place: newest_place,
                segment_len: SEGMENT_LEN,
                blocks: BlockSet::from_range(held),
            };
            let at = millis(100 + 200 * step + 7 * close);
            self.after(at, Event::Says((newest + close) % peers, holds));
        }
    }

    /// A neighbour asks for its part of a segment that this viewer holds.
    fn asks(&mut self, peer: u64, ordinal: u64) {
        let count = block_count(SEGMENT_LEN);
        let peers = u32::try_from(self.neighbours).expect("few neighbours");
        let place = self.place(ordinal);
        let mut block = u32::try_from(peer).expect("few neighbours");
        let mut at = ROUND_TRIP;
        while block < count {
            let next = &mut self.requests[usize::try_from(peer).expect("few neighbours")];
            *next += 1;
            let request = PeerMessage::Request {
                request: RequestId(*next),
                handle: place.handle,
                ordinal,
                id: self.id(ordinal),
                blocks: BlockRange::new(block, block + 1),
                deadline_after: Duration::from_secs(4),
            };
            self.after(at, Event::Says(peer, request));
            at += Duration::from_millis(50);
            block += peers;
        }
    }

    fn id(&self, ordinal: u64) -> SegmentId {
        let segments = self.presentation.tracks[0].segments.as_ref();
        let segment = segments.and_then(|segments| segments.segment(ordinal));
        segment.expect("it is listed").id
    }

    fn place(&self, ordinal: u64) -> Place {
        Place {
            handle: Handle(0),
            ordinal,
            tag: self.id(ordinal).tag(),
        }
    }

    /// It was a life among peers.
    fn check(&self) {
        let delivery = self.session.snapshot().delivery;
        let (peers, http) = (delivery.peer_bytes, delivery.http_media_bytes());
        assert!(
            peers > 10 * http,
            "{peers} bytes from peers, {http} over HTTP"
        );
        assert!(delivery.upload_bytes > peers / 2, "{delivery:?}");
        assert_eq!(self.session.peers().count() as u64, self.neighbours);
    }

    fn report(&mut self) {
        let played = self.now.saturating_duration_since(START);
        let first_edge = MediaTime::ZERO + SEGMENT * u32::try_from(WINDOW).expect("a minute");
        let position = first_edge.saturating_sub(LATENCY) + played;
        let state = if played < Duration::from_secs(1) {
            PlaybackState::Starting
        } else {
            PlaybackState::Playing
        };
        let playback = Playback {
            position,
            state,
            buffer_target: Duration::from_secs(20),
        };
        let latency = Some(LATENCY);
        self.tell(SessionInput::PlaybackChanged { playback, latency });
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                SessionOutput::Send {
                    link,
                    channel,
                    message,
                } => self.sent(link, channel, message),
                SessionOutput::Fetch { fetch, request } => self.fetch(fetch, &request),
                SessionOutput::CancelFetch { fetch } => self.fetches.retain(|it| *it != fetch),
                SessionOutput::CloseLink { link } => panic!("{link} was closed"),
                SessionOutput::Event(SessionEvent::PeerViolated { link, violation }) => {
                    panic!("{link} broke the protocol: {violation}")
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, link: LinkId, channel: Channel, message: Message) {
        let peer = link.0;
        let message = PeerMessage::decode(message.into_bytes()).expect("sessions send messages");
        if channel == Channel::Data {
            let credit = CREDIT;
            let writable = SessionInput::LinkWritable { link, credit };
            self.after(ROUND_TRIP / 2, Event::Tell(writable));
        }
        match message {
            Some(PeerMessage::Have { ordinals, .. }) if ordinals.len() == 1 => {
                self.after(Duration::ZERO, Event::Has(peer, ordinals.start));
            }
            Some(PeerMessage::Ping { at }) => {
                let pong = PeerMessage::Pong { echo: at, at };
                self.after(ROUND_TRIP, Event::Says(peer, pong));
            }
            Some(PeerMessage::Request {
                request, blocks, ..
            }) => {
                for block in blocks.start..blocks.end {
                    let range = BlockRange::new(block, block + 1).bytes(SEGMENT_LEN);
                    let len = usize::try_from(range.len()).expect("a block");
                    let message = PeerMessage::Block {
                        request,
                        block,
                        payload: Payload(Bytes::from(vec![0; len])),
                    };
                    self.after(ROUND_TRIP, Event::Says(peer, message));
                }
            }
            Some(PeerMessage::MapRequest { ordinal, .. }) => {
                let map = PeerMessage::Map {
                    place: self.place(ordinal),
                    payload: Payload(Bytes::from(vec![1; 1_600])),
                };
                self.after(ROUND_TRIP, Event::Says(peer, map));
            }
            _ => {}
        }
    }

    /// The origin answers, 16 KiB every 5 ms.
    fn fetch(&mut self, fetch: FetchId, request: &FetchRequest) {
        self.fetches.push(fetch);
        let start = request.range.map_or(0, |range| range.start);
        let end = request.range.and_then(|range| range.end);
        let end = end.unwrap_or(SEGMENT_LEN);
        let mut head = ResponseHead {
            status: 200,
            content_length: Some(end - start),
            ..ResponseHead::default()
        };
        if request.range.is_some() {
            head.status = 206;
            head.content_range = Some(format!("bytes {start}-{}/{SEGMENT_LEN}", end - 1));
        }
        let ttfb = ROUND_TRIP;
        let answered = SessionInput::FetchAnswered { fetch, head, ttfb };
        self.after(ttfb, Event::Fetched(fetch, answered));
        let (mut at, mut offset) = (ttfb, start);
        while offset < end {
            let len = (end - offset).min(BLOCK_LEN);
            let bytes = Bytes::from(vec![0; usize::try_from(len).expect("a block")]);
            at += Duration::from_millis(5);
            offset += len;
            let received = SessionInput::FetchReceived { fetch, bytes };
            self.after(at, Event::Fetched(fetch, received));
        }
        let result = Ok(());
        let ended = SessionInput::FetchEnded { fetch, result };
        self.after(at, Event::Fetched(fetch, ended));
    }
}
