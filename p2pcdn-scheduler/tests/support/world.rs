//! Viewers, an origin and time.

use std::{collections::BTreeMap, time::Duration};

use p2pcdn_metrics::HttpReason;
use p2pcdn_scheduler::{Config, FetchFailure, FetchId, Growth, Input, Policy, Scheduler};
use p2pcdn_wire::{
    BLOCK_LEN, BitRate, Instant, LinkId, RequestId, Role, Said, SegmentRef, TrackId, UploadClass,
};

use super::{
    DURATION, SEGMENT_LEN, TRACK, at, listed, peer, segment,
    setting::{Manner, Setting},
    viewer::Viewer,
};

pub(super) enum Happening {
    Join(usize),
    Poll(usize),
    Map(usize, u64),
    Tick(usize),
    Said(usize, LinkId, Said),
    Block {
        to: usize,
        link: LinkId,
        from: usize,
        request: RequestId,
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
            world.viewers.push(Viewer::new(
                scheduler,
                manner.unwrap_or(Manner::Honest),
                joined_at,
            ));
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

    pub(super) fn later(&mut self, when: Instant, happening: Happening) {
        self.queue
            .insert((when.max(self.now), self.next), happening);
        self.next += 1;
    }

    pub(super) fn after(&mut self, wait: Duration, happening: Happening) {
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

    pub(super) fn tell(&mut self, viewer: usize, input: Input) {
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
                let sent = self.viewers[viewer].in_flight.entry(link).or_default();
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
                let state = &mut self.viewers[viewer];
                state.wake_at = None;
                if state.scheduler.poll_timeout().is_some_and(|at| at <= now) {
                    state.scheduler.handle_timeout(now);
                }
                self.drain(viewer);
            }
        }
    }

    fn join(&mut self, viewer: usize) {
        let edge = self.edge();
        let behind = self.setting.segments_behind;
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
                    Said::RoundTrip {
                        took: self.setting.one_way * 2,
                        outward: i64::try_from(self.setting.one_way.as_micros())
                            .expect("a short way"),
                    },
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
