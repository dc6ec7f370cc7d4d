//! Endpoints joined by a wire in virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_types,
    reason = "a test's own net; std's instants have no other origin than the clock"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use p2pcdn_transport::{
    ChannelPlan, CloseReason, Fingerprints, PeerCommand, PeerEvent, PeerTransport, Sdp, Transmit,
    WebRtc, WebRtcConfig,
};
use p2pcdn_wire::{Channel, Instant, LinkId};

pub struct Endpoint {
    pub rtc: WebRtc,
    pub described: BTreeMap<LinkId, Sdp>,
    pub opened: BTreeMap<LinkId, Fingerprints>,
    pub closed: BTreeMap<LinkId, CloseReason>,
    pub writable: BTreeMap<LinkId, Vec<usize>>,
    pub received: Vec<(LinkId, Channel, Bytes)>,
    /// Sent on the data channel by each link the moment it opens.
    pub greeting: Bytes,
}

pub struct Net {
    pub now: Instant,
    pub delay: Duration,
    pub endpoints: BTreeMap<SocketAddr, Endpoint>,
    /// Datagrams from or to these addresses vanish.
    pub cut: Vec<SocketAddr>,
    pub datagram_count: usize,
    wire: VecDeque<(Instant, Transmit)>,
}

pub fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5000))
}

impl Net {
    pub fn new(count: u8) -> Self {
        Self::with(count, WebRtcConfig::default())
    }

    pub fn with(count: u8, config: WebRtcConfig) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1_000));
        let std_now = std::time::Instant::now();
        let endpoints = (1..=count).map(|index| {
            let config = WebRtcConfig {
                candidates: vec![address(index)],
                ..config.clone()
            };
            (
                address(index),
                Endpoint::new(WebRtc::new(config, std_now, now)),
            )
        });
        Self {
            now,
            delay: Duration::from_millis(5),
            endpoints: endpoints.collect(),
            cut: Vec::new(),
            datagram_count: 0,
            wire: VecDeque::new(),
        }
    }

    pub fn at(&mut self, last: u8) -> &mut Endpoint {
        self.endpoints
            .get_mut(&address(last))
            .expect("endpoints are numbered from 1")
    }

    pub fn command(&mut self, last: u8, command: PeerCommand) {
        let now = self.now;
        self.at(last).rtc.handle_command(command, now);
        self.settle();
    }

    /// Offers from `from` to `to` and exchanges the descriptions.
    pub fn describe(&mut self, from: u8, to: u8, link: LinkId) {
        self.command(from, PeerCommand::Offer(link, ChannelPlan::P2PCDN_1));
        let offer = self.at(from).described[&link].clone();
        self.command(to, PeerCommand::Accept(link, ChannelPlan::P2PCDN_1, offer));
        let answer = self.at(to).described[&link].clone();
        self.command(from, PeerCommand::Complete(link, answer));
    }

    pub fn connect(&mut self, from: u8, to: u8, link: LinkId) {
        self.describe(from, to, link);
        self.run(Duration::from_secs(3));
        assert!(self.at(from).opened.contains_key(&link), "offerer opened");
        assert!(self.at(to).opened.contains_key(&link), "answerer opened");
    }

    pub fn send(&mut self, from: u8, link: LinkId, channel: Channel, bytes: &[u8]) -> bool {
        let now = self.now;
        let message = Bytes::copy_from_slice(bytes).into();
        self.at(from)
            .rtc
            .try_send(link, channel, message, now)
            .is_ok()
    }

    /// Hands a datagram to `to` as if it came from `source`.
    pub fn inject(&mut self, source: SocketAddr, to: u8, data: &[u8]) {
        let now = self.now;
        self.at(to)
            .rtc
            .handle_datagram(source, address(to), data, now);
        self.settle();
    }

    /// Takes events and datagrams out of every endpoint.
    pub fn settle(&mut self) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.collect(self.now);
            while let Some(transmit) = endpoint.rtc.poll_transmit() {
                self.datagram_count += 1;
                let is_cut =
                    self.cut.contains(&transmit.source) || self.cut.contains(&transmit.destination);
                if !is_cut {
                    self.wire.push_back((self.now + self.delay, transmit));
                }
            }
        }
    }

    /// Lets `duration` pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        loop {
            let arrival = self.wire.front().map(|(at, _)| *at);
            let timers = self
                .endpoints
                .values()
                .filter_map(|endpoint| endpoint.rtc.poll_timeout());
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some((at, transmit)) = self.wire.pop_front() {
                if at > self.now {
                    self.wire.push_front((at, transmit));
                    break;
                }
                if let Some(endpoint) = self.endpoints.get_mut(&transmit.destination) {
                    endpoint.rtc.handle_datagram(
                        transmit.source,
                        transmit.destination,
                        &transmit.contents,
                        self.now,
                    );
                }
            }
            for endpoint in self.endpoints.values_mut() {
                if endpoint.rtc.poll_timeout().is_some_and(|at| at <= self.now) {
                    endpoint.rtc.handle_timeout(self.now);
                }
            }
            self.settle();
            for endpoint in self.endpoints.values() {
                assert!(
                    endpoint.rtc.poll_timeout().is_none_or(|at| at > self.now),
                    "no busy loop"
                );
            }
        }
        self.now = end;
    }
}

impl Endpoint {
    fn new(rtc: WebRtc) -> Self {
        Self {
            rtc,
            described: BTreeMap::new(),
            opened: BTreeMap::new(),
            closed: BTreeMap::new(),
            writable: BTreeMap::new(),
            received: Vec::new(),
            greeting: Bytes::new(),
        }
    }

    fn collect(&mut self, now: Instant) {
        while let Some(event) = self.rtc.poll_event() {
            match event {
                PeerEvent::Described(link, sdp) => {
                    self.described.insert(link, sdp);
                }
                PeerEvent::Opened(link, fingerprints) => {
                    self.opened.insert(link, fingerprints);
                    if !self.greeting.is_empty() {
                        let greeting = self.greeting.clone().into();
                        let sent = self.rtc.try_send(link, Channel::Data, greeting, now);
                        assert!(sent.is_ok(), "an open link takes a message");
                    }
                }
                PeerEvent::Received(link, channel, bytes) => {
                    self.received.push((link, channel, bytes));
                }
                PeerEvent::Writable(link, room) => {
                    self.writable.entry(link).or_default().push(room);
                }
                PeerEvent::Closed(link, reason) => {
                    assert_eq!(self.closed.insert(link, reason), None, "closed twice");
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}
