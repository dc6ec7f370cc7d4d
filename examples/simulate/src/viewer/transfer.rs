//! What comes over the access line: messages of peers and bodies of HTTP responses, one queue.

use p2pcdn::{
    SessionInput,
    manifest::Presentation,
    transport::HttpError,
    wire::{Channel, Instant, LinkId, Message, Role as TrackRole},
};

use super::{
    ViewerStore,
    http::{Head, Open, Purpose},
    life::{Life, Role, delay},
    links::{Other, Stage},
};
use crate::{
    actor::Outbox,
    event::{Answer, Resource, What},
};

/// Something that passes the downlink, and when it has passed it.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) at: Instant,
    what: Passing,
}

#[derive(Debug)]
enum Passing {
    Message {
        link: LinkId,
        channel: Channel,
        message: Message,
    },
    /// The other side closed the connection after all that it sent.
    Closed(LinkId),
    Chunk {
        request: u32,
        len: u32,
        is_last: bool,
    },
}

impl<S: ViewerStore> Life<S> {
    pub(super) fn packet_reached(
        &mut self,
        link: LinkId,
        channel: Channel,
        message: Message,
        now: Instant,
    ) {
        let len = on_the_line(message.len());
        let message = Passing::Message {
            link,
            channel,
            message,
        };
        self.reached(message, len, now);
    }

    pub(super) fn close_reached(&mut self, link: LinkId, now: Instant) {
        self.reached(Passing::Closed(link), 0, now);
    }

    fn reached(&mut self, what: Passing, len: u64, now: Instant) {
        let passed_at = match len {
            0 => now + self.downlink.backlog(now),
            _ => self.downlink.pass(len, now),
        };
        self.inbound.push_back(Inbound {
            at: passed_at,
            what,
        });
    }

    /// Takes in what has passed the downlink.
    pub(super) fn pass_inbound(&mut self, now: Instant, out: &mut Outbox) {
        // A process that is woken once a tick finds what came within it.
        let until = now + self.shared.scenario.tick;
        while self.inbound.front().is_some_and(|it| it.at <= until) {
            let Some(Inbound { what, .. }) = self.inbound.pop_front() else {
                break;
            };
            match what {
                Passing::Message {
                    link,
                    channel,
                    message,
                } => self.received(link, channel, message, now),
                Passing::Closed(link) => self.closed_by_other(link, now),
                Passing::Chunk {
                    request,
                    len,
                    is_last,
                } => self.chunk_received(request, u64::from(len), is_last, now, out),
            }
        }
        if self.inbound.is_empty() && self.inbound.capacity() > IDLE_CAPACITY {
            self.inbound.shrink_to(0);
        }
    }

    fn received(&mut self, link: LinkId, channel: Channel, message: Message, now: Instant) {
        match self.links.stage(link) {
            Some(Stage::Open { .. }) => {}
            // The other side has seen both channels open, so they are.
            Some(Stage::Opening {
                opens_at: Some(_), ..
            }) => self.open_link(link, now),
            _ => return,
        }
        let received = SessionInput::LinkReceived {
            link,
            channel,
            message,
        };
        self.tell(received, now);
    }

    /// Hands a message to the uplink.
    pub(super) fn send(
        &mut self,
        link: LinkId,
        channel: Channel,
        message: Message,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some((other, credit)) = self.links.open_mut(link) else {
            return;
        };
        let len = message.len();
        let delay = delay(&self.shared, self.own, other.actor);
        let sent_at = match self.role {
            Role::Viewer(_) => self.uplink.pass(on_the_line(len), now),
            // In a data centre.
            Role::Publisher(_) => now,
        };
        let mut wake_at = None;
        if channel == Channel::Data {
            wake_at = credit.spend(len, sent_at + delay * 2, now);
        }
        if let Some(at) = wake_at {
            self.links.wake_by(at);
        }
        let packet = What::Packet {
            link: other.link,
            channel,
            message,
        };
        out.send(other.actor, sent_at + delay, packet);
    }

    /// Lets the other end of a connection know, after everything that was sent, that it is closed.
    pub(super) fn say_closed(&mut self, other: Other, now: Instant, out: &mut Outbox) {
        let delay = delay(&self.shared, self.own, other.actor);
        let at = now + self.uplink.backlog(now) + delay;
        let link = other.link;
        out.send(other.actor, at, What::LinkClosed { link });
    }

    /// Sends a request, behind what the uplink still has to send.
    pub(super) fn request(
        &mut self,
        purpose: Purpose,
        resource: Resource,
        is_partial: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<u32> {
        let path = self.http_path();
        let request = self
            .requests
            .start(purpose, resource, is_partial, path, now);
        let number = request.request;
        self.to_edge(What::Request(request), now, out);
        Some(number)
    }

    pub(super) fn to_edge(&self, what: What, now: Instant, out: &mut Outbox) {
        let delay = self.shared.population.edge_delay(self.seat());
        let waits = match self.role {
            Role::Viewer(_) => self.uplink.backlog(now),
            Role::Publisher(_) => std::time::Duration::ZERO,
        };
        let edge = self.shared.edge(self.person().edge);
        out.send(edge, now + waits + delay, what);
    }

    /// Acknowledges the chunks that passed, so that the edge sends more.
    pub(super) fn acknowledge(&mut self, now: Instant, out: &mut Outbox) {
        for (request, count) in std::mem::take(&mut self.requests.unacknowledged) {
            self.to_edge(What::Acknowledged { request, count }, now, out);
        }
    }

    pub(super) fn answered(
        &mut self,
        request: u32,
        answer: Answer,
        now: Instant,
        out: &mut Outbox,
    ) {
        match answer {
            Answer::Head {
                status,
                len,
                published,
                ..
            } => {
                let Some(open) = self.requests.find_mut(request) else {
                    return;
                };
                open.heard_at = now;
                let ttfb = now.saturating_duration_since(open.sent_at);
                open.head = Some(Head {
                    status,
                    len,
                    published,
                    ttfb,
                });
                let open = open.clone();
                self.head_received(&open, status, ttfb, now);
                if len == 0 {
                    self.ended(request, now, out);
                }
            }
            Answer::Chunk { len, last } => {
                let chunk = Passing::Chunk {
                    request,
                    len,
                    is_last: last,
                };
                self.reached(chunk, u64::from(len), now);
            }
        }
    }

    fn head_received(&mut self, open: &Open, status: u16, ttfb: std::time::Duration, now: Instant) {
        match (open.purpose, open.resource) {
            (Purpose::Fetch(fetch), Resource::Segment { track, ordinal, .. }) => {
                let segment_len = self.shared.media.segment_len(track, ordinal);
                let head = open.response_head(status, segment_len);
                self.tell(SessionInput::FetchAnswered { fetch, head, ttfb }, now);
            }
            (Purpose::Renewal(segment), _) => {
                let status = Some(status);
                self.tell(SessionInput::RenewalAnswered { segment, status }, now);
            }
            _ => {}
        }
    }

    fn chunk_received(
        &mut self,
        request: u32,
        len: u64,
        is_last: bool,
        now: Instant,
        out: &mut Outbox,
    ) {
        // What was cancelled has come for nothing.
        let Some(open) = self.requests.find_mut(request) else {
            return;
        };
        let offset = open.offset();
        open.heard_at = now;
        open.received += len;
        if let (Purpose::Fetch(fetch), Resource::Segment { track, ordinal, .. }) =
            (open.purpose, open.resource)
        {
            let range = offset..offset + len;
            let bytes = self.shared.media.bytes(track, ordinal, range);
            self.tell(SessionInput::FetchReceived { fetch, bytes }, now);
        }
        if is_last {
            self.ended(request, now, out);
        } else {
            self.requests.acknowledge(request);
        }
    }

    /// All of a response is there.
    fn ended(&mut self, request: u32, now: Instant, out: &mut Outbox) {
        let Some(open) = self.requests.end(request) else {
            return;
        };
        match (open.purpose, open.head) {
            (Purpose::Manifest, Some(head)) => self.manifest_loaded(head, now, out),
            (Purpose::Fetch(fetch), _) => {
                let result = Ok(());
                self.tell(SessionInput::FetchEnded { fetch, result }, now);
            }
            (Purpose::Sidecar(segment), Some(head)) => {
                let Resource::Map { track, ordinal } = open.resource else {
                    return;
                };
                let is_there = head.status == 200;
                let encoded = is_there.then(|| self.shared.media.map(track, ordinal));
                self.tell(SessionInput::SidecarAnswered { segment, encoded }, now);
            }
            _ => {}
        }
    }

    /// Ends what the edge left hanging.
    pub(super) fn give_up_silent(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(request) = self.requests.silent(now) {
            self.cancel(request, now, out);
        }
    }

    /// Gives a request up; the session hears of it as of a timeout.
    fn cancel(&mut self, request: u32, now: Instant, out: &mut Outbox) {
        let Some(open) = self.requests.end(request) else {
            return;
        };
        self.to_edge(What::Cancelled { request }, now, out);
        match open.purpose {
            Purpose::Manifest => self.polling.failed(now),
            Purpose::Fetch(fetch) => {
                let result = Err(HttpError::Timeout);
                self.tell(SessionInput::FetchEnded { fetch, result }, now);
            }
            Purpose::Sidecar(segment) => {
                let encoded = None;
                self.tell(SessionInput::SidecarAnswered { segment, encoded }, now);
            }
            Purpose::Renewal(segment) if open.head.is_none() => {
                let status = None;
                self.tell(SessionInput::RenewalAnswered { segment, status }, now);
            }
            Purpose::Renewal(_) => {}
        }
    }

    pub(super) fn poll_manifest(&mut self, now: Instant, out: &mut Outbox) {
        if self.polling.start_if_due(now) {
            let track = match &self.role {
                Role::Viewer(viewing) => viewing.track,
                Role::Publisher(_) => 0,
            };
            let resource = Resource::Manifest { track };
            self.request(Purpose::Manifest, resource, false, now, out);
        }
    }

    fn manifest_loaded(&mut self, head: Head, now: Instant, _: &mut Outbox) {
        let answered = SessionInput::ManifestAnswered {
            status: head.status,
            ttfb: head.ttfb,
            len: head.len,
        };
        if head.status != 200 {
            self.polling.failed(now);
            self.tell(answered, now);
            return;
        }
        self.polling.succeeded(now);
        let presentation = self.shared.media.presentation(head.published);
        let is_first = self.session.is_none();
        if is_first {
            self.begin_session(&presentation, now);
        }
        self.tell(answered, now);
        let before = self.presentation.replace(presentation.clone());
        // A playlist as it was changes nothing.
        if before.is_none_or(|it| !std::sync::Arc::ptr_eq(&it, &presentation)) {
            let updated = SessionInput::PresentationUpdated(presentation.clone());
            self.tell(updated, now);
        }
        if is_first {
            self.take_roles(&presentation, now);
        }
        self.plan_maps(head.published);
        if let Role::Viewer(viewing) = &mut self.role {
            viewing.player.listed(head.published, now);
        }
        if self.shared.media.end().is_some() {
            self.polling.end();
        }
    }

    fn take_roles(&mut self, presentation: &Presentation, now: Instant) {
        match &self.role {
            Role::Viewer(viewing) => {
                self.change_role(viewing.track, TrackRole::Watching, now);
            }
            Role::Publisher(_) => {
                for track in &presentation.tracks {
                    let (track, role) = (track.id, TrackRole::Holding);
                    self.tell(SessionInput::TrackRoleChanged { track, role }, now);
                }
            }
        }
    }
}

/// Bytes of a message on the line: with what DTLS (37), SCTP (28), UDP and IP (28) add to each
/// datagram of 1,107 bytes of it.
pub(super) fn on_the_line(len: usize) -> u64 {
    let datagrams = len.div_ceil(DATAGRAM_PAYLOAD).max(1);
    (len + datagrams * DATAGRAM_OVERHEAD) as u64
}

/// 1,200 bytes, as WebRTC stacks have them, without what follows.
const DATAGRAM_PAYLOAD: usize = 1_200 - DATAGRAM_OVERHEAD;

/// Headers of DTLS 1.2 with AES-GCM, an SCTP packet with one chunk of data, UDP and IPv4.
const DATAGRAM_OVERHEAD: usize = 93;

/// Messages that an idle viewer keeps room for.
const IDLE_CAPACITY: usize = 4;
