//! Endpoints over real sockets on the loopback interface.
#![cfg(feature = "tokio")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a shell of its own"
)]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use p2pcdn_transport::{
    ChannelPlan, CloseReason, PeerCommand, PeerEvent, PeerSocket, PeerTransport, Sdp, WebRtc,
    WebRtcConfig,
};
use p2pcdn_wire::{Channel, Instant, LinkId};
use tokio::sync::{mpsc, watch};

const LINK: LinkId = LinkId(1);
const BLOCK_LEN: usize = 16 * 1024;

struct Node {
    socket: PeerSocket,
    peers: WebRtc,
    anchor: std::time::Instant,
}

impl Node {
    fn new() -> Self {
        let socket = PeerSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback");
        let config = WebRtcConfig {
            candidates: socket.candidates(),
            ..WebRtcConfig::default()
        };
        let anchor = std::time::Instant::now();
        let peers = WebRtc::new(config, anchor, Instant::EPOCH);
        Self {
            socket,
            peers,
            anchor,
        }
    }

    fn now(&self) -> Instant {
        Instant::EPOCH + self.anchor.elapsed()
    }

    fn command(&mut self, command: PeerCommand) {
        let now = self.now();
        self.peers.handle_command(command, now);
    }

    async fn event(&mut self) -> PeerEvent {
        loop {
            let now = self.now();
            self.peers.handle_timeout(now);
            self.socket
                .pump(&mut self.peers, now)
                .expect("a socket that works");
            if let Some(event) = self.peers.poll_event() {
                return event;
            }
            let at = self.peers.poll_timeout();
            let wait = at.map_or(Duration::from_secs(60), |at| {
                at.saturating_duration_since(now)
            });
            tokio::select! {
                ready = self.socket.ready() => ready.expect("a socket that works"),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn description(&mut self) -> Sdp {
        match self.event().await {
            PeerEvent::Described(LINK, sdp) => sdp,
            other => panic!("not a description: {other:?}"),
        }
    }
}

/// Sends `count` blocks as the credit allows, and receives as many. Goes on until both sides are
/// done: what was handed over may still have to be sent again.
async fn exchange(
    mut node: Node,
    count: usize,
    done: mpsc::Sender<()>,
    mut all_done: watch::Receiver<bool>,
) -> Node {
    let (mut credit, mut sent, mut received) = (0, 0, 0);
    while sent < count || received < count {
        match node.event().await {
            PeerEvent::Opened(..) => {}
            PeerEvent::Writable(LINK, room) => credit = room,
            PeerEvent::Received(LINK, Channel::Data, block) => {
                assert_eq!(block.len(), BLOCK_LEN);
                assert!(
                    block.iter().all(|byte| *byte == block[0]),
                    "blocks stay whole"
                );
                received += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
        while sent < count && credit >= BLOCK_LEN {
            let fill = u8::try_from(sent % 256).expect("a byte");
            let block = Bytes::from(vec![fill; BLOCK_LEN]);
            let now = node.now();
            let sending = node.peers.try_send(LINK, Channel::Data, block.into(), now);
            assert!(sending.is_ok(), "the credit holds");
            credit -= BLOCK_LEN;
            sent += 1;
        }
    }
    done.send(()).await.expect("the test waits");
    loop {
        tokio::select! {
            event = node.event() => {
                assert!(matches!(event, PeerEvent::Writable(..)), "unexpected {event:?}");
            }
            all = all_done.wait_for(|all| *all) => {
                all.expect("the test waits");
                break;
            }
        }
    }
    node
}

#[tokio::test]
async fn candidates_are_addresses_that_peers_can_use() {
    let bind = |ip: [u8; 4]| PeerSocket::bind(SocketAddr::from((ip, 0))).expect("a socket");
    let socket = bind([127, 0, 0, 1]);
    assert_eq!(socket.candidates(), [socket.local_addr()]);
    let socket = bind([0, 0, 0, 0]);
    for candidate in socket.candidates() {
        assert!(!candidate.ip().is_unspecified());
        assert_eq!(candidate.port(), socket.local_addr().port());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mebibyte_flows_both_ways() {
    let (mut one, mut two) = (Node::new(), Node::new());
    one.command(PeerCommand::Offer(LINK, ChannelPlan::P2PCDN_1));
    let offer = one.description().await;
    two.command(PeerCommand::Accept(LINK, ChannelPlan::P2PCDN_1, offer));
    let answer = two.description().await;
    one.command(PeerCommand::Complete(LINK, answer));

    let (sender, mut done) = mpsc::channel(2);
    let (all_done, waits) = watch::channel(false);
    let first = tokio::spawn(exchange(one, 64, sender.clone(), waits.clone()));
    let second = tokio::spawn(exchange(two, 64, sender, waits));
    let both = async {
        done.recv().await.expect("one of two");
        done.recv().await.expect("two of two");
        all_done.send(true).expect("both wait");
    };
    let finished = tokio::time::timeout(Duration::from_secs(60), both).await;
    assert!(finished.is_ok(), "in time");
    let (mut one, mut two) = (first.await.expect("one"), second.await.expect("two"));

    one.command(PeerCommand::Close(LINK));
    let now = one.now();
    one.socket
        .pump(&mut one.peers, now)
        .expect("a socket that works");
    let closed = async {
        loop {
            if let PeerEvent::Closed(LINK, reason) = two.event().await {
                return reason;
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(10), closed).await;
    assert_eq!(reason.expect("in time"), CloseReason::Remote);
}
