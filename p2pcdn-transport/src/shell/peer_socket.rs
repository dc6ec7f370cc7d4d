//! The UDP socket of an endpoint.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
};

use p2pcdn_wire::Instant;
use quinn_udp::{RecvMeta, UdpSocketState};
use tokio::{io::Interest, net::UdpSocket};
use tracing::debug;

use crate::webrtc::{Transmit, WebRtc};

/// A UDP socket that moves the datagrams of a [`WebRtc`] many at a time (segmentation and receive
/// offload where the system has them).
///
/// ```no_run
/// # async fn run(mut socket: p2pcdn_transport::PeerSocket, mut peers: p2pcdn_transport::WebRtc,
/// #     now: impl Fn() -> p2pcdn_wire::Instant) -> std::io::Result<()> {
/// use p2pcdn_transport::PeerTransport;
/// loop {
///     socket.pump(&mut peers, now())?;
///     while let Some(event) = peers.poll_event() { /* .. */ }
///     let wake = peers.poll_timeout().map(|at| at.saturating_duration_since(now()));
///     tokio::select! {
///         ready = socket.ready() => ready?,
///         () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
///     }
///     peers.handle_timeout(now());
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct PeerSocket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffer: Box<[u8]>,
    outgoing: Batch,
    is_blocked: bool,
    has_more: bool,
}

/// Datagrams of one size to one place; the last may be shorter.
#[derive(Debug, Default)]
struct Batch {
    contents: Vec<u8>,
    segment_len: usize,
    count: usize,
    route: Option<(SocketAddr, SocketAddr)>,
    /// Taken from the endpoint but not fitting this batch.
    next: Option<Transmit>,
}

impl PeerSocket {
    /// Binds a socket; must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system says, for example that the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        // The defaults hold one window of one peer; what the system refuses is not needed.
        let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER_LEN);
        let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER_LEN);
        let local = socket.local_addr()?;
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            state,
            local,
            buffer: vec![0; RECEIVE_SLOTS * RECEIVE_SLOT_LEN].into_boxed_slice(),
            outgoing: Batch::default(),
            is_blocked: false,
            has_more: false,
        })
    }

    /// The address it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Addresses to offer as candidates: the one it is bound to, or if that is unspecified, the one
    /// that leaves by the default route (found without sending anything); none when there is no
    /// network.
    #[must_use]
    pub fn candidates(&self) -> Vec<SocketAddr> {
        if !self.local.ip().is_unspecified() {
            return vec![self.local];
        }
        // Addresses for documentation (RFC 5737, RFC 3849): routed like any other, never reached.
        let anywhere: SocketAddr = match self.local {
            SocketAddr::V4(_) => ([192, 0, 2, 1], 9).into(),
            SocketAddr::V6(_) => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into(),
        };
        let routed = std::net::UdpSocket::bind(SocketAddr::new(self.local.ip(), 0))
            .and_then(|probe| probe.connect(anywhere).and_then(|()| probe.local_addr()));
        routed
            .map(|address| SocketAddr::new(address.ip(), self.local.port()))
            .into_iter()
            .collect()
    }

    /// Waits until [`pump`](Self::pump) can move something: datagrams that came, or room for those
    /// that did not fit. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// When the runtime shuts down.
    pub async fn ready(&self) -> io::Result<()> {
        if self.has_more {
            return Ok(());
        }
        let interest = if self.is_blocked {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.io.ready(interest).await.map(|_| ())
    }

    /// Moves datagrams both ways until nothing is left, the system takes no more, or some hundred
    /// were received, so that the caller can look after the events.
    ///
    /// # Errors
    ///
    /// When the socket is broken. That a single datagram cannot be sent is not an error: peers have
    /// candidates that lead nowhere.
    pub fn pump(&mut self, peers: &mut WebRtc, now: Instant) -> io::Result<()> {
        self.send(peers)?;
        self.has_more = true;
        for _ in 0..MAX_RECEIVE_CALLS {
            let received = self.receive(peers, now)?;
            self.send(peers)?;
            if !received {
                self.has_more = false;
                break;
            }
        }
        Ok(())
    }

    /// One call to the system; `false` when nothing was there.
    fn receive(&mut self, peers: &mut WebRtc, now: Instant) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); RECEIVE_SLOTS];
        let mut slots: Vec<_> = self
            .buffer
            .chunks_mut(RECEIVE_SLOT_LEN)
            .map(IoSliceMut::new)
            .collect();
        let received = self.io.try_io(Interest::READABLE, || {
            self.state.recv((&self.io).into(), &mut slots, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // An ICMP message about a datagram of ours, not about the socket.
            Err(error) if is_about_a_peer(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        for (meta, slot) in metas.iter().zip(&slots).take(count) {
            let destination = meta.dst_ip.filter(|_| self.local.ip().is_unspecified());
            let destination = destination.map_or(self.local, |ip| {
                SocketAddr::new(ip.to_canonical(), self.local.port())
            });
            let source = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let data = slot.get(..meta.len).unwrap_or_default();
            for datagram in data.chunks(meta.stride.max(1)) {
                peers.handle_datagram(source, destination, datagram, now);
            }
        }
        Ok(count > 0)
    }

    fn send(&mut self, peers: &mut WebRtc) -> io::Result<()> {
        self.is_blocked = false;
        let max_count = self.state.max_gso_segments().max(1);
        while self.outgoing.fill(peers, max_count) {
            let Some((source, destination)) = self.outgoing.route else {
                continue;
            };
            let transmit = quinn_udp::Transmit {
                destination,
                ecn: None,
                contents: &self.outgoing.contents,
                segment_size: (self.outgoing.count > 1).then_some(self.outgoing.segment_len),
                src_ip: self.local.ip().is_unspecified().then(|| source.ip()),
            };
            let sent = self.io.try_io(Interest::WRITABLE, || {
                self.state.try_send((&self.io).into(), &transmit)
            });
            match sent {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
                Err(error) => debug!(%error, "datagrams not sent"),
            }
            self.outgoing.clear();
        }
        Ok(())
    }
}

impl Batch {
    /// Takes datagrams until the next one does not fit; `false` when there are none.
    fn fill(&mut self, peers: &mut WebRtc, max_count: usize) -> bool {
        while self.has_room(max_count) {
            let Some(transmit) = self.next.take().or_else(|| peers.poll_transmit()) else {
                break;
            };
            let route = (transmit.source, transmit.destination);
            let len = transmit.contents.len();
            if self.count == 0 {
                self.route = Some(route);
                self.segment_len = len;
            } else if self.route != Some(route) || len > self.segment_len {
                self.next = Some(transmit);
                break;
            }
            self.contents.extend_from_slice(&transmit.contents);
            self.count += 1;
        }
        self.count > 0
    }

    fn has_room(&self, max_count: usize) -> bool {
        // A datagram shorter than the first ends the batch.
        self.count < max_count
            && self.contents.len() == self.count * self.segment_len
            && self.contents.len() + self.segment_len <= MAX_BATCH_LEN
    }

    fn clear(&mut self) {
        self.contents.clear();
        self.count = 0;
        self.route = None;
    }
}

fn is_about_a_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Several windows of several peers.
const SOCKET_BUFFER_LEN: usize = 2 * 1024 * 1024;

/// Buffers of one receive call, each for up to 64 datagrams that the system joined.
const RECEIVE_SLOTS: usize = 4;

/// The longest train of joined datagrams.
const RECEIVE_SLOT_LEN: usize = 64 * 1024;

/// The longest payload of one segmentation-offload call.
const MAX_BATCH_LEN: usize = 60_000;

/// Receive calls of one pump.
const MAX_RECEIVE_CALLS: usize = 8;
