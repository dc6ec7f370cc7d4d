//! How fast data channels are on this machine: pairs of endpoints over loopback sockets, beside
//! plain UDP in the same run, because only ratios inside one run mean anything.
//!
//! ```sh
//! cargo run --release -p p2pcdn-transport --features tokio --example throughput -- [pairs] [seconds] [KiB in flight] [pacing floor in Mb/s]
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measures real time over real sockets"
)]

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant as StdInstant},
};

use bytes::Bytes;
use p2pcdn_transport::{
    ChannelPlan, PeerCommand, PeerEvent, PeerSocket, PeerTransport, Sdp, WebRtc, WebRtcConfig,
};
use p2pcdn_wire::{BitRate, Channel, Instant, LinkId, Message};
use tokio::sync::oneshot;

const LINK: LinkId = LinkId(1);
const BLOCK_LEN: usize = 16 * 1024;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<u64>().ok());
    let pairs = numbers.next().unwrap_or(1);
    let duration = Duration::from_secs(numbers.next().unwrap_or(5));
    let in_flight = numbers.next().unwrap_or(128) * 1024;
    let floor = numbers
        .next()
        .map(|megabits| BitRate::from_bps(megabits * 1_000_000));
    let config = WebRtcConfig {
        send_buffer_len: usize::try_from(in_flight).unwrap_or(0),
        pacing_floor: floor.unwrap_or(WebRtcConfig::default().pacing_floor),
        ..WebRtcConfig::default()
    };

    let (udp, udp_per_core) = measure(|stop, bytes| plain_udp(duration, stop, bytes));
    let (rtc, rtc_per_core) = measure(|stop, bytes| {
        data_channels(pairs, duration, &config, stop, bytes);
    });
    println!(
        "{pairs} pair(s), {} s, {} KiB in flight",
        duration.as_secs(),
        in_flight / 1024
    );
    println!("plain UDP      {udp:8.1} MB/s  {udp_per_core:8.1} MB/s per core");
    println!("data channels  {rtc:8.1} MB/s  {rtc_per_core:8.1} MB/s per core");
    println!(
        "ratio          {:8.3}       {:8.3}",
        rtc / udp,
        rtc_per_core / udp_per_core
    );
    Ok(())
}

/// Megabytes per second of wall time and of processor time.
fn measure(run: impl FnOnce(Arc<AtomicBool>, Arc<AtomicU64>)) -> (f64, f64) {
    let bytes = Arc::new(AtomicU64::new(0));
    let (started, cpu) = (StdInstant::now(), cpu_time());
    run(Arc::new(AtomicBool::new(false)), bytes.clone());
    let megabytes = bytes.load(Ordering::Relaxed) as f64 / 1e6;
    let cpu = cpu_time().saturating_sub(cpu).as_secs_f64();
    (megabytes / started.elapsed().as_secs_f64(), megabytes / cpu)
}

/// User and system time of this process; zero where there is no procfs.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 of proc(5), in hundredths of a second; the name may contain spaces.
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_ascii_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn plain_udp(duration: Duration, stop: Arc<AtomicBool>, bytes: Arc<AtomicU64>) {
    let bind = || UdpSocket::bind(SocketAddr::from((LOOPBACK, 0))).expect("a loopback socket");
    let (sender, receiver) = (bind(), bind());
    let to = receiver.local_addr().expect("bound");
    receiver
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a valid timeout");
    let stopped = stop.clone();
    let receiving = std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while !stopped.load(Ordering::Relaxed) {
            if let Ok(len) = receiver.recv(&mut buffer) {
                bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
        }
    });
    let end = StdInstant::now() + duration;
    while StdInstant::now() < end {
        for _ in 0..64 {
            let _ = sender.send_to(&[7; 1_200], to);
        }
    }
    stop.store(true, Ordering::Relaxed);
    receiving.join().expect("the receiver does not panic");
}

fn data_channels(
    pairs: u64,
    duration: Duration,
    config: &WebRtcConfig,
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for _ in 0..pairs {
            let (offer_to, offer) = oneshot::channel();
            let (answer_to, answer) = oneshot::channel();
            let (one, two) = (Node::new(config), Node::new(config));
            tokio::spawn(one.send(offer_to, answer, stop.clone()));
            tokio::spawn(two.receive(offer, answer_to, bytes.clone()));
        }
        tokio::time::sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
}

struct Node {
    socket: PeerSocket,
    peers: WebRtc,
    anchor: StdInstant,
}

impl Node {
    fn new(config: &WebRtcConfig) -> Self {
        let socket = PeerSocket::bind(SocketAddr::from((LOOPBACK, 0))).expect("a loopback socket");
        let config = WebRtcConfig {
            candidates: socket.candidates(),
            ..config.clone()
        };
        let anchor = StdInstant::now();
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

    async fn send(
        mut self,
        offer: oneshot::Sender<Sdp>,
        answer: oneshot::Receiver<Sdp>,
        stop: Arc<AtomicBool>,
    ) {
        let now = self.now();
        self.peers
            .handle_command(PeerCommand::Offer(LINK, ChannelPlan::P2PCDN_1), now);
        let _ = offer.send(self.description().await);
        let complete = PeerCommand::Complete(LINK, answer.await.expect("an answer"));
        let now = self.now();
        self.peers.handle_command(complete, now);
        let block = Bytes::from(vec![7; BLOCK_LEN]);
        while !stop.load(Ordering::Relaxed) {
            if let PeerEvent::Writable(..) = self.event().await {
                let now = self.now();
                let message = || Message::from(block.clone());
                while self
                    .peers
                    .try_send(LINK, Channel::Data, message(), now)
                    .is_ok()
                {}
            }
        }
    }

    async fn receive(
        mut self,
        offer: oneshot::Receiver<Sdp>,
        answer: oneshot::Sender<Sdp>,
        bytes: Arc<AtomicU64>,
    ) {
        let offer = offer.await.expect("an offer");
        let now = self.now();
        self.peers
            .handle_command(PeerCommand::Accept(LINK, ChannelPlan::P2PCDN_1, offer), now);
        let _ = answer.send(self.description().await);
        loop {
            if let PeerEvent::Received(_, _, block) = self.event().await {
                bytes.fetch_add(block.len() as u64, Ordering::Relaxed);
            }
        }
    }

    async fn description(&mut self) -> Sdp {
        loop {
            if let PeerEvent::Described(_, sdp) = self.event().await {
                return sdp;
            }
        }
    }

    async fn event(&mut self) -> PeerEvent {
        loop {
            if let Some(event) = self.peers.poll_event() {
                return event;
            }
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
}
