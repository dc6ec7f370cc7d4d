//! What the two sides say to each other once both hellos are known.

use std::time::Duration;

use crate::{
    id::{PeerId, RequestId, SegmentId, SegmentRef, TrackId, TrackIndex},
    limits::{MAX_BITFIELD_RUNS, MAX_DURATION, MAX_PONG_WAIT},
    message::{Handle, Hello, PeerMessage, Place},
    range::BlockRange,
    say::{Block, MapData, RejectReason, Said, Say, UploadClass},
    time::Instant,
};

use super::{
    interface::{LinkConfig, LinkEvent, LinkOutput, Violation},
    outbox::Outbox,
    requests::{Arrival, OurRequests, TheirRequests},
    statement::{handle_of, to_message},
    tracks::PeerTracks,
};

#[derive(Clone, Debug)]
pub(super) struct Talk {
    peer: PeerId,
    class: UploadClass,
    tracks: PeerTracks,
    ours: OurRequests,
    theirs: TheirRequests,
    /// The epoch of the clock in pings.
    started_at: Instant,
    next_ping_at: Option<Instant>,
    /// When the ping left that has no answer yet.
    pinged_at: Option<Instant>,
    /// Whether another one leaves as soon as that one is answered.
    is_ping_wanted: bool,
}

impl Talk {
    /// Starts with the peer's first hello.
    pub(super) fn new(hello: &Hello, us: &LinkConfig, outbox: &mut Outbox, now: Instant) -> Self {
        let mut talk = Self {
            peer: hello.peer,
            class: hello.class,
            tracks: PeerTracks::default(),
            ours: OurRequests::default(),
            theirs: TheirRequests::default(),
            started_at: now,
            next_ping_at: (us.ping_interval > Duration::ZERO).then_some(now),
            pinged_at: None,
            is_ping_wanted: false,
        };
        outbox.tell(Said::Class(talk.class));
        let joined = talk
            .tracks
            .replace(&hello.tracks, |id| number_of(us, id))
            .expect("no handle of an empty list is reassigned");
        joined.into_iter().for_each(|said| outbox.tell(said));
        talk.handle_timeout(us.ping_interval, outbox, now);
        talk
    }

    /// Takes a message that is no goodbye.
    pub(super) fn hear(
        &mut self,
        message: PeerMessage,
        us: &LinkConfig,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Result<(), Violation> {
        match message {
            PeerMessage::Hello(hello) => self.hear_hello(&hello, us, outbox)?,
            PeerMessage::Ping { at } => self.hear_ping(at, outbox, now),
            PeerMessage::Pong { echo, at } => self.hear_pong(echo, at, outbox, now),
            PeerMessage::Cancel { request } => {
                if self.theirs.end(request) {
                    outbox.tell(Said::Cancel { request });
                }
            }
            PeerMessage::Reject { request, reason } => {
                if let Some(request) = self.ours.reject(request) {
                    outbox.tell(Said::Reject { request, reason });
                }
            }
            PeerMessage::Block {
                request,
                block,
                payload,
            } => {
                let output = match self.ours.arrive(request, block)? {
                    Arrival::Wanted { request, segment } => LinkOutput::Block {
                        segment,
                        request,
                        block,
                        payload,
                    },
                    Arrival::Late => LinkOutput::Event(LinkEvent::Wasted {
                        len: payload.0.len() as u64,
                    }),
                };
                outbox.push(output);
            }
            PeerMessage::Request {
                request,
                handle,
                ordinal,
                id,
                blocks,
                deadline_after,
            } => {
                self.theirs.number(request)?;
                if let Some(segment) = self.segment(handle, ordinal, id.tag())? {
                    self.theirs.insert(request, segment.track, blocks)?;
                    outbox.tell(Said::Request {
                        request,
                        segment,
                        id,
                        blocks,
                        deadline_after,
                    });
                }
            }
            statement => self.hear_statement(statement, outbox)?,
        }
        Ok(())
    }

    /// Says something that is neither about our tracks and class nor goodbye.
    pub(super) fn say(&mut self, say: Say, outbox: &mut Outbox, now: Instant) {
        match say {
            Say::Request {
                request,
                segment,
                id,
                blocks,
                deadline_after,
            } => self.say_request(request, segment, id, blocks, deadline_after, outbox),
            Say::Ping => {
                self.is_ping_wanted = self.pinged_at.is_some_and(|at| now < at + MAX_PONG_WAIT);
                if !self.is_ping_wanted {
                    self.ping(outbox, now);
                }
            }
            Say::Cancel { request } => {
                if let Some(request) = self.ours.cancel(request) {
                    outbox.send(&PeerMessage::Cancel { request });
                }
            }
            Say::Reject { request, reason } => {
                if self.theirs.end(request) {
                    outbox.send(&PeerMessage::Reject { request, reason });
                }
            }
            Say::Block(Block {
                request,
                block,
                payload,
            }) => {
                let wanted = self.theirs.wants(request, block);
                let message = PeerMessage::Block {
                    request,
                    block,
                    payload,
                };
                if wanted && outbox.send(&message) {
                    self.theirs.sent(request, block);
                }
            }
            Say::Have {
                track,
                ordinals,
                digest,
            } => {
                if self.tracks.has(track) {
                    outbox.send_have(handle_of(track), ordinals, digest);
                }
            }
            statement => {
                if let Some((track, message)) = to_message(statement)
                    && self.tracks.has(track)
                {
                    outbox.send(&message);
                }
            }
        }
    }

    /// Notes that we joined `track`, or changed our role in it.
    pub(super) fn join(&mut self, track: TrackIndex, id: TrackId, outbox: &mut Outbox) {
        if !self.tracks.has(track)
            && let Some(role) = self.tracks.join(track, id)
        {
            outbox.tell(Said::Joined { track, role });
        }
    }

    /// Notes that we left `track`.
    pub(super) fn leave(&mut self, track: TrackIndex, outbox: &mut Outbox) {
        self.drop_requests(track, outbox);
        self.tracks.leave(track);
    }

    pub(super) fn handle_timeout(
        &mut self,
        ping_interval: Duration,
        outbox: &mut Outbox,
        now: Instant,
    ) {
        if self.next_ping_at.is_some_and(|at| at <= now) {
            self.ping(outbox, now);
            self.next_ping_at = Some(now + ping_interval);
        }
    }

    fn ping(&mut self, outbox: &mut Outbox, now: Instant) {
        let at = self.clock(now);
        outbox.send(&PeerMessage::Ping { at });
        self.pinged_at = Some(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_ping_at
    }

    fn hear_hello(
        &mut self,
        hello: &Hello,
        us: &LinkConfig,
        outbox: &mut Outbox,
    ) -> Result<(), Violation> {
        if hello.peer != self.peer || hello.swarm != us.swarm {
            return Err(Violation::IdentityChanged);
        }
        let changes = self.tracks.replace(&hello.tracks, |id| number_of(us, id))?;
        if hello.class != self.class {
            self.class = hello.class;
            outbox.tell(Said::Class(hello.class));
        }
        for said in changes {
            if let Said::Left { track } = said {
                self.drop_requests(track, outbox);
            }
            outbox.tell(said);
        }
        Ok(())
    }

    fn hear_statement(&self, message: PeerMessage, outbox: &mut Outbox) -> Result<(), Violation> {
        match message {
            PeerMessage::Bitfield { handle, ranges } => {
                if let Some(track) = self.tracks.ours(handle)? {
                    // What is beyond would be forgotten at once.
                    let left_out = ranges.len().saturating_sub(MAX_BITFIELD_RUNS);
                    for (ordinals, digest) in ranges.into_iter().skip(left_out) {
                        outbox.tell(Said::Have {
                            track,
                            ordinals,
                            digest,
                        });
                    }
                }
            }
            PeerMessage::Have {
                handle,
                ordinals,
                digest,
            } => {
                if let Some(track) = self.tracks.ours(handle)? {
                    outbox.tell(Said::Have {
                        track,
                        ordinals,
                        digest,
                    });
                }
            }
            PeerMessage::HasMaps {
                handle,
                ordinals,
                digest,
            } => {
                if let Some(track) = self.tracks.ours(handle)? {
                    outbox.tell(Said::HasMaps {
                        track,
                        ordinals,
                        digest,
                    });
                }
            }
            PeerMessage::Lost { handle, ordinals } => {
                if let Some(track) = self.tracks.ours(handle)? {
                    outbox.tell(Said::Lost { track, ordinals });
                }
            }
            PeerMessage::Holds {
                place,
                segment_len,
                blocks,
            } => {
                if let Some(segment) = self.place(place)? {
                    outbox.tell(Said::Holds {
                        segment,
                        segment_len,
                        blocks,
                    });
                }
            }
            PeerMessage::Intent {
                place,
                expires_after,
            } => {
                if let Some(segment) = self.place(place)? {
                    outbox.tell(Said::Intent {
                        segment,
                        expires_after,
                    });
                }
            }
            PeerMessage::Withdrawn { place } => {
                if let Some(segment) = self.place(place)? {
                    outbox.tell(Said::IntentWithdrawn { segment });
                }
            }
            PeerMessage::MapRequest {
                handle,
                ordinal,
                id,
            } => {
                if let Some(segment) = self.segment(handle, ordinal, id.tag())? {
                    outbox.tell(Said::MapRequest { segment, id });
                }
            }
            PeerMessage::Map { place, payload } => {
                if let Some(segment) = self.place(place)? {
                    outbox.push(LinkOutput::Map(MapData { segment, payload }));
                }
            }
            PeerMessage::Hello(_)
            | PeerMessage::Goodbye { .. }
            | PeerMessage::Ping { .. }
            | PeerMessage::Pong { .. }
            | PeerMessage::Request { .. }
            | PeerMessage::Cancel { .. }
            | PeerMessage::Reject { .. }
            | PeerMessage::Block { .. } => {}
        }
        Ok(())
    }

    /// Answers a ping. Each one, since a queue brings pings closer together than they left; how
    /// many there may be is for the link's budget.
    fn hear_ping(&mut self, echo: u64, outbox: &mut Outbox, now: Instant) {
        let at = self.clock(now);
        outbox.send(&PeerMessage::Pong { echo, at });
    }

    fn hear_pong(&mut self, echo: u64, at: u64, outbox: &mut Outbox, now: Instant) {
        let Some(pinged_at) = self.pinged_at.filter(|at| self.clock(*at) == echo) else {
            return;
        };
        self.pinged_at = None;
        let took = now.saturating_duration_since(pinged_at).min(MAX_DURATION);
        // Clocks are 62 bits on the wire.
        let [at, echo] = [at, echo].map(|clock| i64::try_from(clock).unwrap_or(i64::MAX));
        let outward = at - echo;
        outbox.tell(Said::RoundTrip { took, outward });
        if std::mem::take(&mut self.is_ping_wanted) {
            self.ping(outbox, now);
        }
    }

    fn say_request(
        &mut self,
        request: RequestId,
        segment: SegmentRef,
        id: SegmentId,
        blocks: BlockRange,
        deadline_after: Duration,
        outbox: &mut Outbox,
    ) {
        if self.ours.contains(request) {
            return;
        }
        let reject = |reason, outbox: &mut Outbox| outbox.tell(Said::Reject { request, reason });
        if !self.tracks.has(segment.track) {
            return reject(RejectReason::Absent, outbox);
        }
        let Some(wire) = self.ours.next() else {
            return reject(RejectReason::Busy, outbox);
        };
        let message = PeerMessage::Request {
            request: wire,
            handle: handle_of(segment.track),
            ordinal: segment.ordinal,
            id,
            blocks,
            deadline_after,
        };
        if outbox.send(&message) {
            self.ours.insert(wire, request, segment, blocks);
        } else {
            reject(RejectReason::Absent, outbox);
        }
    }

    /// Ends what is outstanding in `track`, in both directions.
    ///
    /// Our requests are cancelled in so many words: a peer that has left a track and joined it
    /// again hears some of them only after that, and would go on counting them.
    fn drop_requests(&mut self, track: TrackIndex, outbox: &mut Outbox) {
        while let Some(request) = self.theirs.drop_one(track) {
            outbox.tell(Said::Cancel { request });
        }
        while let Some((wire, request)) = self.ours.drop_one(track) {
            outbox.send(&PeerMessage::Cancel { request: wire });
            outbox.tell(Said::Reject {
                request,
                reason: RejectReason::Absent,
            });
        }
    }

    fn place(&self, place: Place) -> Result<Option<SegmentRef>, Violation> {
        self.segment(place.handle, place.ordinal, place.tag)
    }

    fn segment(
        &self,
        handle: Handle,
        ordinal: u64,
        tag: u32,
    ) -> Result<Option<SegmentRef>, Violation> {
        let track = self.tracks.ours(handle)?;
        Ok(track.map(|track| SegmentRef {
            track,
            ordinal,
            tag,
        }))
    }

    /// Microseconds since the talk began: 62 bits last for 146,000 years.
    fn clock(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.started_at).as_micros();
        u64::try_from(micros).expect("an instant has 64 bits of nanoseconds")
    }
}

fn number_of(us: &LinkConfig, id: TrackId) -> Option<TrackIndex> {
    us.tracks
        .iter()
        .find(|(_, ours, _)| *ours == id)
        .map(|(track, _, _)| *track)
}
