//! Carries out what sessions want: HTTP, wires, manifests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2pcdn::{
    FetchRequest, ResponseHead, SessionEvent, SessionInput, SessionOutput, Store,
    manifest::{self, LoadFailure},
    scheduler::FetchId,
    transport::{HttpError, HttpRange},
    wire::{Channel, LinkId, Message},
};

use super::{
    Answer, Asked, CREDIT, Event, Fate, LATENCY, Sent, World, content,
    origin::{self, What},
    role_of,
};

const PIECE_LEN: usize = 8 << 10;

impl World {
    pub(super) fn drain(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].session.poll_output() {
            if self.keeps_logs {
                self.nodes[index].outputs.push((self.now, output.clone()));
            }
            self.carry_out(index, output);
        }
        let node = &mut self.nodes[index];
        node.most_used = node.most_used.max(node.session.store().used_bytes());
    }

    fn carry_out(&mut self, index: usize, output: SessionOutput) {
        match output {
            SessionOutput::Fetch { fetch, request } => self.fetch(index, fetch, request),
            SessionOutput::CancelFetch { fetch } => {
                self.nodes[index].fetches.remove(&fetch);
            }
            SessionOutput::FetchSidecar { segment, id } => {
                let encoded = self
                    .sidecar
                    .then(|| origin::signed_map(id, segment.ordinal + self.first_number));
                let answered = SessionInput::SidecarAnswered { segment, encoded };
                self.schedule(LATENCY * 2, Event::Http(index, answered));
            }
            SessionOutput::RenewAuthorisation { segment, request } => {
                let what = What::Renewal(origin::ordinal_of(&request.url));
                let answer = self.ask(index, what, &request);
                let status = Some(answer.status);
                let answered = SessionInput::RenewalAnswered { segment, status };
                self.schedule(answer.ttfb, Event::Http(index, answered));
            }
            SessionOutput::Send {
                link,
                channel,
                message,
            } => self.send(index, link, channel, message),
            SessionOutput::CloseLink { link } => self.close(index, link),
            SessionOutput::JoinSwarm => self.join(index),
            SessionOutput::LeaveSwarm => self.nodes[index].is_in_swarm = false,
            SessionOutput::ReloadManifest { track } => {
                self.schedule(Duration::ZERO, Event::NewsHeard(index, track));
            }
            SessionOutput::Event(event) => {
                let segment = match &event {
                    SessionEvent::SegmentProgressed { segment }
                    | SessionEvent::SegmentCompleted { segment }
                    | SessionEvent::Mismatched { segment, .. } => Some(*segment),
                    _ => None,
                };
                if self.keeps_logs {
                    self.nodes[index].events.push((self.now, event));
                }
                if let Some(segment) = segment {
                    self.check_bytes(index, segment);
                }
            }
        }
    }

    fn join(&mut self, index: usize) {
        self.nodes[index].is_in_swarm = true;
        if !self.connects {
            return;
        }
        for other in 0..self.nodes.len() {
            let node = &self.nodes[other];
            let is_linked = node.links.values().any(|wire| wire.to == index);
            if other != index && node.is_in_swarm && !is_linked {
                self.connect(index, other);
            }
        }
    }

    fn close(&mut self, index: usize, link: LinkId) {
        if let Some(wire) = self.nodes[index].links.remove(&link) {
            self.schedule(LATENCY, Event::Closed(wire.to, wire.link));
        }
    }

    fn send(&mut self, from: usize, link: LinkId, channel: Channel, message: Message) {
        let Some(wire) = self.nodes[from].links.get(&link) else {
            return;
        };
        let (to, its_link) = (wire.to, wire.link);
        let len = message.len() as u64;
        let sent = Sent {
            at: self.now,
            from,
            to,
            channel,
            bytes: message.into_bytes(),
        };
        let fate = (self.tamper)(&sent);
        let (bytes, times, late) = match fate {
            Fate::Arrives => (sent.bytes.clone(), 1, Duration::ZERO),
            Fate::Lost => (sent.bytes.clone(), 0, Duration::ZERO),
            Fate::Doubled => (sent.bytes.clone(), 2, Duration::ZERO),
            Fate::Delayed(late) => (sent.bytes.clone(), 1, late),
            Fate::Becomes(bytes) => (bytes, 1, Duration::ZERO),
        };
        if self.keeps_logs {
            self.sent.push(sent);
        }
        let delay = self.delay(from, len) + late;
        for copy in 0..times {
            let len = if copy == 0 && channel == Channel::Data {
                len
            } else {
                0
            };
            let event = Event::Delivered(to, its_link, channel, bytes.clone(), len);
            self.schedule(delay, event);
        }
        if times > 0
            && channel == Channel::Data
            && let Some(wire) = self.nodes[from].links.get_mut(&link)
        {
            wire.in_flight += len;
        }
    }

    fn delay(&mut self, from: usize, len: u64) -> Duration {
        let Some(uplink) = self.uplink else {
            return LATENCY;
        };
        let free_at = self.uplink_free_at.entry(from).or_insert(self.now);
        *free_at = (*free_at).max(self.now) + Duration::from_micros(len * 1_000_000 / uplink);
        LATENCY + free_at.saturating_duration_since(self.now)
    }

    /// What arrived at `node` makes room at the sender.
    pub(super) fn give_credit_back(&mut self, node: usize, link: LinkId, len: u64) {
        let Some(wire) = self.nodes[node].links.get(&link) else {
            return;
        };
        let (sender, link) = (wire.to, wire.link);
        if let Some(wire) = self.nodes[sender].links.get_mut(&link).filter(|_| len > 0) {
            wire.in_flight = wire.in_flight.saturating_sub(len);
            let credit = CREDIT.saturating_sub(wire.in_flight);
            self.tell(sender, SessionInput::LinkWritable { link, credit });
        }
    }

    fn ask(&mut self, viewer: usize, what: What, request: &FetchRequest) -> Answer {
        let asked = Asked {
            viewer,
            what,
            url: request.url.clone(),
            range: request.range,
            if_range: request.if_range.clone(),
            at: self.now,
        };
        let mut answer = Answer::default();
        (self.rule)(&asked, &mut answer);
        if self.keeps_logs {
            self.asked.push(asked);
        }
        answer
    }

    fn fetch(&mut self, index: usize, fetch: FetchId, request: FetchRequest) {
        self.nodes[index].fetches.insert(fetch);
        let ordinal = origin::ordinal_of(&request.url);
        let answer = self.ask(index, What::Segment(ordinal), &request);
        let mut resource = content(ordinal, answer.version).to_vec();
        resource.extend((0..answer.longer).map(|_| 7));
        let resource = Bytes::from(resource);
        let (head, mut body) = respond(&answer, &request, &resource);
        if (200..300).contains(&head.status) {
            let given = self.nodes[index].given.entry(ordinal).or_default();
            given.push(resource);
        }
        let result = match answer.breaks_after {
            Some(len) if len < body.len() => {
                body.truncate(len);
                Err(HttpError::Reset)
            }
            _ => Ok(()),
        };
        let ttfb = answer.ttfb;
        let answered = SessionInput::FetchAnswered { fetch, head, ttfb };
        self.schedule(ttfb, Event::Http(index, answered));
        let mut at = ttfb;
        while !body.is_empty() {
            at += answer.piece_time;
            let bytes = body.split_to(body.len().min(PIECE_LEN));
            let received = SessionInput::FetchReceived { fetch, bytes };
            self.schedule(at, Event::Http(index, received));
        }
        let ended = SessionInput::FetchEnded { fetch, result };
        self.schedule(at + answer.piece_time, Event::Http(index, ended));
    }

    pub(super) fn http_event(&mut self, index: usize, input: SessionInput) {
        let fetch = match &input {
            SessionInput::FetchAnswered { fetch, .. }
            | SessionInput::FetchReceived { fetch, .. }
            | SessionInput::FetchEnded { fetch, .. } => Some(*fetch),
            _ => None,
        };
        let is_cancelled = fetch.is_some_and(|id| !self.nodes[index].fetches.contains(&id));
        if !is_cancelled {
            self.tell(index, input);
        }
    }

    pub(super) fn drain_refresh(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].refresh.poll_output() {
            match output {
                manifest::Output::Load { url, .. } => {
                    let ttfb = Answer::default().ttfb;
                    self.schedule(ttfb, Event::Manifest(index, url, ttfb));
                }
                manifest::Output::Updated(update) => {
                    let presentation = update.presentation;
                    self.nodes[index].presentation = Some(presentation.clone());
                    self.tell(index, SessionInput::PresentationUpdated(presentation));
                    let track = self.track(index);
                    let role = role_of(self.nodes[index].player.as_ref());
                    self.tell(index, SessionInput::TrackRoleChanged { track, role });
                    self.sign_new(index);
                }
                manifest::Output::Event(_) => {}
            }
        }
    }

    pub(super) fn manifest_answered(&mut self, index: usize, url: Arc<str>, ttfb: Duration) {
        let request = FetchRequest {
            url: url.to_string(),
            range: None,
            if_range: None,
        };
        let status = self.ask(index, What::Manifest, &request).status;
        let text = origin::playlist(self.stream, self.first_number, index, self.now);
        let len = text.len() as u64;
        self.tell(index, SessionInput::ManifestAnswered { status, ttfb, len });
        let loaded = if status == 200 {
            manifest::Input::Loaded {
                final_url: url.clone(),
                url,
                range: None,
                body: text.into(),
            }
        } else {
            let reason = LoadFailure::Status(status);
            let range = None;
            manifest::Input::LoadFailed { url, range, reason }
        };
        self.nodes[index].refresh.handle_input(loaded, self.now);
        self.drain_refresh(index);
    }

    fn sign_new(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let (Some(delay), Some(presentation)) = (node.sign_after, &node.presentation) else {
            return;
        };
        let track = &presentation.tracks[0];
        let mut new = Vec::new();
        for segment in track.segments.iter().flat_map(|listed| listed.iter()) {
            let name = node.session.segment_ref(track.id, segment.ordinal);
            if let Some(name) = name.filter(|_| node.signed.insert(segment.id)) {
                new.push((name, segment.id, origin::ordinal_of(&segment.url)));
            }
        }
        for (name, id, ordinal) in new {
            let encoded = origin::signed_map(id, ordinal);
            self.schedule(delay, Event::Signed(index, name, encoded));
        }
    }
}

/// What an HTTP server sends.
fn respond(answer: &Answer, request: &FetchRequest, resource: &Bytes) -> (ResponseHead, Bytes) {
    let len = resource.len();
    let etag = format!("\"v{}-{}\"", answer.version, answer.longer);
    let mut head = ResponseHead {
        status: answer.status,
        cache_control: answer.cache_control.map(str::to_owned),
        etag: answer.has_etag.then(|| etag.clone()),
        ..ResponseHead::default()
    };
    if answer.status != 200 {
        return (head, Bytes::new());
    }
    let is_same = request.if_range.as_ref().is_none_or(|it| *it == etag);
    let range = request.range.filter(|_| is_same && !answer.ignores_range);
    let Some(HttpRange { start, end }) = range else {
        head.content_length = answer.has_length.then_some(len as u64);
        return (head, resource.clone());
    };
    let start = usize::try_from(start).expect("a short segment") + usize::from(answer.shifts_range);
    let end = end.map_or(len, |end| {
        usize::try_from(end).expect("a short segment").min(len)
    });
    if start >= end {
        head.status = 416;
        head.content_range = Some(format!("bytes */{len}"));
        return (head, Bytes::new());
    }
    head.status = 206;
    head.content_range = Some(format!("bytes {start}-{}/{len}", end - 1));
    head.content_length = Some((end - start) as u64);
    (head, resource.slice(start..end))
}
