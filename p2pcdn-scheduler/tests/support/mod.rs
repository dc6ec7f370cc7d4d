//! A small world in virtual time: schedulers, an origin, links with latency and uplinks with a
//! rate. Segments are 2 s of 3 Mb/s.

#![allow(dead_code, reason = "each test binary uses its own part of the world")]

use std::{collections::BTreeMap, time::Duration};

use p2pcdn_metrics::HttpReason;
use p2pcdn_scheduler::{
    Config, Event, FetchFailure, FetchId, Growth, Input, Listed, Output, Playback, PlaybackState,
    Policy, Scheduler, Sharing,
};
use p2pcdn_wire::{
    BLOCK_LEN, BitRate, BlockSet, ByteRange, Instant, LinkId, MediaTime, PeerId, Role, Said, Say,
    SegmentId, SegmentRef, TrackId, TrackIndex, UploadClass, block_count,
};

pub(crate) const TRACK: TrackIndex = TrackIndex(0);
pub(crate) const SEGMENT_LEN: u64 = 750_000;
pub(crate) const DURATION: Duration = Duration::from_secs(2);

pub(crate) fn at(secs: f64) -> Instant {
    Instant::from_epoch(Duration::from_secs_f64(secs))
}

pub(crate) fn segment_id(ordinal: u64) -> SegmentId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&p2pcdn_wire::mix(ordinal).to_be_bytes());
    SegmentId::new(bytes)
}

pub(crate) fn segment(ordinal: u64) -> SegmentRef {
    SegmentRef {
        track: TRACK,
        ordinal,
        tag: segment_id(ordinal).tag(),
    }
}

pub(crate) fn listed(ordinal: u64) -> Listed {
    Listed {
        segment: segment(ordinal),
        id: segment_id(ordinal),
        start: MediaTime::ZERO + DURATION * u32::try_from(ordinal).unwrap(),
        duration: DURATION,
        sharing: Sharing::Shared,
    }
}

pub(crate) fn peer(number: usize) -> PeerId {
    PeerId::new([u8::try_from(number + 1).unwrap(); 20])
}

/// How a viewer behaves towards the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Announces and promises, never delivers.
    Silent,
    /// What it sends is wrong.
    Wrong,
}

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) viewers: usize,
    pub(crate) seconds: f64,
    pub(crate) live: bool,
    /// Distance behind the live edge at which viewers start.
    pub(crate) latency: f64,
    pub(crate) join_every: f64,
    pub(crate) http: BitRate,
    pub(crate) ttfb: Duration,
    pub(crate) uplink: BitRate,
    pub(crate) one_way: Duration,
    /// When block maps are there after the segment; `None` is never.
    pub(crate) maps_after: Option<Duration>,
    pub(crate) peer_transfer: bool,
    pub(crate) manners: Vec<Manner>,
    /// From then on, for so long, the origin answers 500.
    pub(crate) outage: Option<(f64, f64)>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            viewers: 6,
            seconds: 60.0,
            live: true,
            latency: 6.0,
            join_every: 1.0,
            http: BitRate::from_bps(20_000_000),
            ttfb: Duration::from_millis(30),
            uplink: BitRate::from_bps(20_000_000),
            one_way: Duration::from_millis(10),
            maps_after: Some(Duration::from_millis(150)),
            peer_transfer: true,
            manners: Vec::new(),
            outage: None,
        }
    }
}

pub(crate) struct Viewer {
    pub(crate) scheduler: Scheduler,
    manner: Manner,
    joined_at: Instant,
    learnt: u64,
    position: MediaTime,
    state: PlaybackState,
    moved_at: Instant,
    started_at: Option<Instant>,
    held: BTreeMap<u64, BlockSet>,
    mapped: BTreeMap<u64, bool>,
    fetches: BTreeMap<FetchId, Fetch>,
    uplink_free_at: Instant,
    http_free_at: Instant,
    in_flight: BTreeMap<LinkId, u64>,
    news_at: Instant,
    pub(crate) events: Vec<Event>,
    pub(crate) disconnected: Vec<LinkId>,
    pub(crate) startup: Option<Duration>,
    pub(crate) stalls: u32,
    pub(crate) stalled: Duration,
    /// Bytes by segment.
    pub(crate) http: BTreeMap<u64, u64>,
    pub(crate) peers: BTreeMap<u64, u64>,
    pub(crate) reasons: BTreeMap<HttpReason, u64>,
    pub(crate) waste: u64,
    pub(crate) said_bytes: u64,
    pub(crate) wrong_stored: u32,
}

#[derive(Clone, Copy)]
struct Fetch {
    segment: SegmentRef,
    reason: HttpReason,
}

enum Happening {
    Join(usize),
    Poll(usize),
    Map(usize, u64),
    Tick(usize),
    Said(usize, LinkId, Said),
    Block {
        to: usize,
        link: LinkId,
        from: usize,
        request: p2pcdn_wire::RequestId,
        segment: SegmentRef,
        block: u32,
    },
    Sent(usize, LinkId),
    HttpHead(usize, FetchId),
    HttpBlock(usize, FetchId, u32, u64),
    HttpEnd(usize, FetchId, Result<(), FetchFailure>),
    Wake(usize),
}

pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) now: Instant,
    pub(crate) viewers: Vec<Viewer>,
    queue: BTreeMap<(Instant, u64), Happening>,
    next: u64,
    pub(crate) outputs: u64,
}

impl World {
    pub(crate) fn new(setting: Setting) -> Self {
        let mut world = Self {
            now: Instant::EPOCH,
            viewers: Vec::new(),
            queue: BTreeMap::new(),
            next: 0,
            outputs: 0,
            setting,
        };
        for number in 0..world.setting.viewers {
            let joined_at = at(20.0 + 0.3 + world.setting.join_every * number as f64);
            let config = Config::new(peer(number));
            let scheduler = Scheduler::new(config, number as u64, joined_at);
            let manner = world.setting.manners.get(number).copied();
            world.viewers.push(Viewer {
                scheduler,
                manner: manner.unwrap_or(Manner::Honest),
                joined_at,
                learnt: 0,
                position: MediaTime::ZERO,
                state: PlaybackState::Starting,
                moved_at: joined_at,
                started_at: None,
                held: BTreeMap::new(),
                mapped: BTreeMap::new(),
                fetches: BTreeMap::new(),
                uplink_free_at: joined_at,
                http_free_at: joined_at,
                in_flight: BTreeMap::new(),
                news_at: Instant::EPOCH,
                events: Vec::new(),
                disconnected: Vec::new(),
                startup: None,
                stalls: 0,
                stalled: Duration::ZERO,
                http: BTreeMap::new(),
                peers: BTreeMap::new(),
                reasons: BTreeMap::new(),
                waste: 0,
                said_bytes: 0,
                wrong_stored: 0,
            });
            world.later(joined_at, Happening::Join(number));
        }
        world
    }

    pub(crate) fn run(mut self) -> Self {
        let end = at(20.0 + self.setting.seconds);
        while let Some(((when, _), happening)) = self.queue.pop_first() {
            if when > end {
                break;
            }
            self.now = self.now.max(when);
            self.happen(happening);
        }
        self
    }

    fn later(&mut self, when: Instant, happening: Happening) {
        self.queue
            .insert((when.max(self.now), self.next), happening);
        self.next += 1;
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.later(self.now + wait, happening);
    }

    /// The newest segment that the origin has.
    fn edge(&self) -> u64 {
        if self.setting.live {
            self.now.since_epoch().as_secs() / 2 - 1
        } else {
            60
        }
    }

    fn tell(&mut self, viewer: usize, input: Input) {
        let now = self.now;
        self.viewers[viewer].scheduler.handle_input(input, now);
        self.drain(viewer);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Join(viewer) => self.join(viewer),
            Happening::Poll(viewer) => {
                self.poll(viewer);
                if self.setting.live {
                    self.after(DURATION, Happening::Poll(viewer));
                }
            }
            Happening::Map(viewer, ordinal) => {
                self.viewers[viewer].mapped.insert(ordinal, true);
                let segment = segment(ordinal);
                self.tell(
                    viewer,
                    Input::MapKnown {
                        segment,
                        segment_len: SEGMENT_LEN,
                    },
                );
                let held = self.viewers[viewer].held.get(&ordinal).cloned();
                if let Some(verified) = held {
                    self.store(viewer, segment, verified);
                }
            }
            Happening::Tick(viewer) => {
                self.tick(viewer);
                self.after(Duration::from_millis(100), Happening::Tick(viewer));
            }
            Happening::Said(viewer, link, said) => self.tell(viewer, Input::Peer(link, said)),
            Happening::Block {
                to,
                link,
                from,
                request,
                segment,
                block,
            } => self.block(to, link, from, request, segment, block),
            Happening::Sent(viewer, link) => {
                let sent = self.viewers[viewer].in_flight.get_mut(&link).unwrap();
                *sent -= BLOCK_LEN;
                let bytes = 262_144 - *sent;
                self.tell(viewer, Input::Credit { link, bytes });
            }
            Happening::HttpHead(viewer, fetch) => {
                let ttfb = self.setting.ttfb;
                if self.viewers[viewer].fetches.contains_key(&fetch) {
                    let fetch = Some(fetch);
                    self.tell(viewer, Input::OriginAnswered { fetch, ttfb });
                }
            }
            Happening::HttpBlock(viewer, fetch, block, offset) => {
                self.http_block(viewer, fetch, block, offset);
            }
            Happening::HttpEnd(viewer, fetch, result) => {
                if self.viewers[viewer].fetches.remove(&fetch).is_some() {
                    self.tell(viewer, Input::FetchEnded { fetch, result });
                }
            }
            Happening::Wake(viewer) => {
                let now = self.now;
                let scheduler = &mut self.viewers[viewer].scheduler;
                if scheduler.poll_timeout().is_some_and(|at| at <= now) {
                    scheduler.handle_timeout(now);
                    self.drain(viewer);
                }
            }
        }
    }

    fn join(&mut self, viewer: usize) {
        let edge = self.edge();
        let behind = (self.setting.latency / 2.0) as u64;
        let first = if self.setting.live {
            edge + 1 - behind
        } else {
            0
        };
        self.tell(
            viewer,
            Input::TrackJoined {
                track: TRACK,
                id: TrackId::new([1; 16]),
                role: Role::Watching,
                bitrate: Some(BitRate::from_bps(3_000_000)),
            },
        );
        self.viewers[viewer].learnt = first;
        self.viewers[viewer].position = listed(first).start;
        self.viewers[viewer].moved_at = self.now;
        self.report(viewer);
        self.poll(viewer);
        self.after(DURATION, Happening::Poll(viewer));
        self.after(Duration::ZERO, Happening::Tick(viewer));
        if !self.setting.peer_transfer {
            return;
        }
        self.tell(viewer, Input::PolicyChanged(Policy::default()));
        for other in 0..viewer {
            for (one, two) in [(viewer, other), (other, viewer)] {
                let link = LinkId(two as u64);
                self.viewers[one].in_flight.insert(link, 0);
                self.tell(
                    one,
                    Input::LinkReady {
                        link,
                        peer: peer(two),
                    },
                );
                let bytes = 262_144;
                self.tell(one, Input::Credit { link, bytes });
                for said in [
                    Said::Class(UploadClass::Normal),
                    Said::RoundTrip(self.setting.one_way * 2),
                    Said::Joined {
                        track: TRACK,
                        role: Role::Watching,
                    },
                ] {
                    self.tell(one, Input::Peer(link, said));
                }
            }
        }
    }

    fn poll(&mut self, viewer: usize) {
        let edge = self.edge();
        let known = self.viewers[viewer].learnt;
        if known > edge {
            return;
        }
        self.viewers[viewer].learnt = edge + 1;
        let segments = (known..=edge).map(listed).collect();
        let growth = if self.setting.live {
            Growth::Live
        } else {
            Growth::Ended
        };
        let first = if self.setting.live {
            edge.saturating_sub(9)
        } else {
            0
        };
        self.tell(
            viewer,
            Input::SegmentsListed {
                track: TRACK,
                segments,
                first,
                growth,
            },
        );
        if let Some(after) = self.setting.maps_after {
            for ordinal in known..=edge {
                let made_at = if self.setting.live {
                    at((ordinal as f64 + 1.0) * 2.0)
                } else {
                    Instant::EPOCH
                };
                self.later(made_at + after, Happening::Map(viewer, ordinal));
            }
        }
    }

    fn drain(&mut self, viewer: usize) {
        while let Some(output) = self.viewers[viewer].scheduler.poll_output() {
            self.outputs += 1;
            self.carry_out(viewer, output);
        }
        if let Some(when) = self.viewers[viewer].scheduler.poll_timeout() {
            self.later(when, Happening::Wake(viewer));
        }
    }

    fn carry_out(&mut self, viewer: usize, output: Output) {
        match output {
            Output::Fetch {
                fetch,
                segment,
                range,
                reason,
            } => self.fetch(viewer, fetch, segment, range, reason),
            Output::CancelFetch { fetch } => {
                self.viewers[viewer].fetches.remove(&fetch);
            }
            Output::Peer(link, say) => {
                let other = usize::try_from(link.0).unwrap();
                self.viewers[viewer].said_bytes += 24;
                if let Some(said) = said_of(say) {
                    let link = LinkId(viewer as u64);
                    self.after(self.setting.one_way, Happening::Said(other, link, said));
                }
            }
            Output::Serve {
                link,
                request,
                segment,
                block,
            } => {
                let to = usize::try_from(link.0).unwrap();
                *self.viewers[viewer].in_flight.get_mut(&link).unwrap() += BLOCK_LEN;
                if self.viewers[viewer].manner == Manner::Silent {
                    return;
                }
                let takes = self.setting.uplink.time_for(BLOCK_LEN);
                let sent = self.viewers[viewer].uplink_free_at.max(self.now) + takes;
                self.viewers[viewer].uplink_free_at = sent;
                let back = LinkId(viewer as u64);
                self.later(
                    sent + self.setting.one_way,
                    Happening::Block {
                        to,
                        link: back,
                        from: viewer,
                        request,
                        segment,
                        block,
                    },
                );
                self.later(
                    sent + self.setting.one_way * 2,
                    Happening::Sent(viewer, link),
                );
            }
            Output::Evict { segment } => {
                self.viewers[viewer].held.remove(&segment.ordinal);
            }
            Output::Disconnect { link, .. } => {
                self.viewers[viewer].disconnected.push(link);
            }
            Output::Event(event) => {
                if matches!(event, Event::NewsHeard { .. })
                    && self.viewers[viewer].news_at + Duration::from_secs(1) < self.now
                {
                    self.viewers[viewer].news_at = self.now;
                    self.after(self.setting.ttfb, Happening::Poll(viewer));
                }
                self.viewers[viewer].events.push(event);
            }
        }
    }

    fn fetch(
        &mut self,
        viewer: usize,
        fetch: FetchId,
        segment: SegmentRef,
        range: ByteRange,
        reason: HttpReason,
    ) {
        let out = Fetch { segment, reason };
        self.viewers[viewer].fetches.insert(fetch, out);
        let now = self.now.since_epoch().as_secs_f64() - 20.0;
        let head = self.now + self.setting.ttfb;
        if self
            .setting
            .outage
            .is_some_and(|(from, len)| (from..from + len).contains(&now))
        {
            let failed = Err(FetchFailure::Transient);
            self.later(head, Happening::HttpEnd(viewer, fetch, failed));
            return;
        }
        self.later(head, Happening::HttpHead(viewer, fetch));
        let end = range.end.min(SEGMENT_LEN);
        let mut when = head.max(self.viewers[viewer].http_free_at);
        let blocks = u32::try_from(range.start / BLOCK_LEN).unwrap()..block_count(end);
        for block in blocks {
            let offset = (u64::from(block + 1) * BLOCK_LEN).min(end);
            when += self.setting.http.time_for(BLOCK_LEN);
            self.later(when, Happening::HttpBlock(viewer, fetch, block, offset));
        }
        self.viewers[viewer].http_free_at = when;
        self.later(when, Happening::HttpEnd(viewer, fetch, Ok(())));
    }

    fn http_block(&mut self, viewer: usize, id: FetchId, block: u32, offset: u64) {
        let Some(fetch) = self.viewers[viewer].fetches.get(&id).copied() else {
            return;
        };
        let len = SEGMENT_LEN.min(u64::from(block + 1) * BLOCK_LEN) - u64::from(block) * BLOCK_LEN;
        let state = &mut self.viewers[viewer];
        let held = state.held.entry(fetch.segment.ordinal).or_default();
        if held.insert(block) {
            *state.http.entry(fetch.segment.ordinal).or_default() += len;
            *state.reasons.entry(fetch.reason).or_default() += len;
        } else {
            state.waste += len;
        }
        let now = self.now;
        let length = Input::LengthKnown {
            segment: fetch.segment,
            segment_len: SEGMENT_LEN,
        };
        let state = &mut self.viewers[viewer];
        state.scheduler.handle_input(length, now);
        let progress = Input::FetchProgressed { fetch: id, offset };
        state.scheduler.handle_input(progress, now);
        self.store(viewer, fetch.segment, [block].into_iter().collect());
    }

    fn store(&mut self, viewer: usize, segment: SegmentRef, blocks: BlockSet) {
        let mapped = self.viewers[viewer].mapped.contains_key(&segment.ordinal);
        let (verified, private) = if mapped {
            (blocks, BlockSet::new())
        } else {
            (BlockSet::new(), blocks)
        };
        self.tell(
            viewer,
            Input::Stored {
                segment,
                verified,
                private,
                quarantined: BlockSet::new(),
            },
        );
    }

    fn block(
        &mut self,
        to: usize,
        link: LinkId,
        from: usize,
        request: p2pcdn_wire::RequestId,
        segment: SegmentRef,
        block: u32,
    ) {
        if self.viewers[to].disconnected.contains(&link) {
            return;
        }
        let now = self.now;
        let start = u64::from(block) * BLOCK_LEN;
        let len = (start + BLOCK_LEN).min(SEGMENT_LEN) - start;
        let arrived = Input::BlockArrived {
            link,
            request,
            segment,
            block,
            len: u32::try_from(len).unwrap(),
        };
        self.viewers[to].scheduler.handle_input(arrived, now);
        if self.viewers[from].manner == Manner::Wrong {
            self.viewers[to].waste += len;
            self.tell(
                to,
                Input::Corrupt {
                    link,
                    segment,
                    block,
                },
            );
            return;
        }
        let state = &mut self.viewers[to];
        let mapped = state.mapped.contains_key(&segment.ordinal);
        if !mapped {
            // A quarantine without room.
            let blocks = [block].into_iter().collect();
            self.tell(to, Input::Dropped { segment, blocks });
            return;
        }
        let held = state.held.entry(segment.ordinal).or_default();
        if held.insert(block) {
            *state.peers.entry(segment.ordinal).or_default() += len;
        } else {
            state.waste += len;
        }
        self.store(to, segment, [block].into_iter().collect());
    }

    fn is_complete(&self, viewer: usize, ordinal: u64) -> bool {
        let held = self.viewers[viewer].held.get(&ordinal);
        held.is_some_and(|held| held.len() == block_count(SEGMENT_LEN))
    }

    fn report(&mut self, viewer: usize) {
        let state = &self.viewers[viewer];
        let playback = Playback {
            position: state.position,
            state: state.state,
            buffer_target: Duration::from_secs(20),
        };
        self.tell(viewer, Input::PlaybackChanged(playback));
    }

    fn tick(&mut self, viewer: usize) {
        let now = self.now;
        let state = &mut self.viewers[viewer];
        let passed = now.saturating_duration_since(state.moved_at);
        state.moved_at = now;
        let before = state.state;
        if before == PlaybackState::Playing {
            state.position = state.position + passed;
        } else if before == PlaybackState::Stalled {
            state.stalled += passed;
        }
        let ordinal = u64::try_from(state.position.as_nanos()).unwrap() / 2_000_000_000;
        let ready = self.is_complete(viewer, ordinal);
        let state = &mut self.viewers[viewer];
        state.state = match (before, ready) {
            (_, true) => PlaybackState::Playing,
            (PlaybackState::Starting, false) => PlaybackState::Starting,
            (PlaybackState::Playing, false) => {
                state.stalls += 1;
                PlaybackState::Stalled
            }
            (other, false) => other,
        };
        if ready && state.started_at.is_none() {
            state.started_at = Some(now);
            state.startup = Some(now.saturating_duration_since(state.joined_at));
        }
        if state.state != before || now.since_epoch().as_millis() % 1000 == 0 {
            self.report(viewer);
        }
    }

    /// Share of the bytes that came from peers, over segments that were complete, from
    /// `from_ordinal` on.
    pub(crate) fn peer_efficiency(&self, from_ordinal: u64) -> f64 {
        let sum = |bytes: &BTreeMap<u64, u64>| bytes.range(from_ordinal..).map(|(_, b)| b).sum();
        let http: u64 = self.viewers.iter().map(|v| -> u64 { sum(&v.http) }).sum();
        let peers: u64 = self.viewers.iter().map(|v| -> u64 { sum(&v.peers) }).sum();
        peers as f64 / (http + peers) as f64
    }

    pub(crate) fn reasons(&self) -> BTreeMap<HttpReason, u64> {
        let mut total = BTreeMap::new();
        for (reason, bytes) in self.viewers.iter().flat_map(|viewer| &viewer.reasons) {
            *total.entry(*reason).or_default() += bytes;
        }
        total
    }

    pub(crate) fn stalls(&self) -> u32 {
        self.viewers.iter().map(|viewer| viewer.stalls).sum()
    }
}

fn said_of(say: Say) -> Option<Said> {
    Some(match say {
        Say::Have {
            track,
            ordinals,
            digest,
        } => Said::Have {
            track,
            ordinals,
            digest,
        },
        Say::Holds {
            segment,
            segment_len,
            blocks,
        } => Said::Holds {
            segment,
            segment_len,
            blocks,
        },
        Say::HasMaps {
            track,
            ordinals,
            digest,
        } => Said::HasMaps {
            track,
            ordinals,
            digest,
        },
        Say::Lost { track, ordinals } => Said::Lost { track, ordinals },
        Say::Intent {
            segment,
            expires_after,
        } => Said::Intent {
            segment,
            expires_after,
        },
        Say::IntentWithdrawn { segment } => Said::IntentWithdrawn { segment },
        Say::Request {
            request,
            segment,
            id,
            blocks,
            deadline_after,
        } => Said::Request {
            request,
            segment,
            id,
            blocks,
            deadline_after,
        },
        Say::Cancel { request } => Said::Cancel { request },
        Say::Reject { request, reason } => Said::Reject { request, reason },
        Say::Class(class) => Said::Class(class),
        Say::Join { .. }
        | Say::Leave { .. }
        | Say::MapRequest { .. }
        | Say::Block(_)
        | Say::Map(_)
        | Say::Goodbye(_) => return None,
    })
}
