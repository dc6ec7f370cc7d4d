//! A viewer in steady state: what one scheduler is told while it plays among neighbours that
//! serve it and are served by it.

#![allow(dead_code, reason = "each bench uses its own part")]

use std::{collections::BTreeMap, time::Duration};

use p2pcdn_scheduler::{
    Config, Growth, Input, Listed, Output, Playback, PlaybackState, Policy, Scheduler, Sharing,
};
use p2pcdn_wire::{
    BLOCK_LEN, BitRate, BlockRange, BlockSet, Instant, LinkId, MediaTime, OrdinalRange, PeerId,
    RequestId, Role, Said, Say, SegmentId, SegmentRef, TrackId, TrackIndex, UploadClass,
    block_count, mix, tag_digest,
};

/// Segments of 2 s at 3 Mb/s.
pub(crate) const DURATION: Duration = Duration::from_secs(2);
pub(crate) const SEGMENT_LEN: u64 = 750_000;
const TRACK: TrackIndex = TrackIndex(0);

/// What the manifest lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// A live stream: the newest so many segments, one more every 2 s; the viewer is 6 s behind.
    Live(u64),
    /// A film of so many segments; the viewer is in its middle and wants 30 s ahead.
    Film(u64),
}

/// Inputs with their times.
pub(crate) type Recording = Vec<(Instant, Input)>;

pub(crate) fn at(secs: f64) -> Instant {
    Instant::from_epoch(Duration::from_secs_f64(1_000.0 + secs))
}

pub(crate) fn scheduler() -> Scheduler {
    Scheduler::new(Config::new(peer(1_000)), 7, at(0.0))
}

/// Tells everything and drains the outputs after each input; returns how many outputs there were.
pub(crate) fn replay(scheduler: &mut Scheduler, recording: &[(Instant, Input)]) -> u64 {
    let mut outputs = 0;
    for (now, input) in recording {
        scheduler.handle_input(input.clone(), *now);
        while let Some(output) = scheduler.poll_output() {
            std::hint::black_box(&output);
            outputs += 1;
        }
    }
    outputs
}

/// The inputs of `secs` seconds of a viewer among `neighbours`, who all watch the same track.
pub(crate) fn record(window: Window, neighbours: u64, secs: f64) -> Recording {
    let mut world = World::new(window, neighbours);
    world.begin();
    world.run(at(secs));
    world.recording
}

fn peer(number: u64) -> PeerId {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&mix(number).to_be_bytes());
    PeerId::new(bytes)
}

fn id(ordinal: u64) -> SegmentId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&mix(ordinal).to_be_bytes());
    SegmentId::new(bytes)
}

fn name(ordinal: u64) -> SegmentRef {
    SegmentRef {
        track: TRACK,
        ordinal,
        tag: id(ordinal).tag(),
    }
}

fn listed(ordinal: u64) -> Listed {
    Listed {
        segment: name(ordinal),
        id: id(ordinal),
        start: MediaTime::ZERO + DURATION * u32::try_from(ordinal).expect("few segments"),
        duration: DURATION,
        sharing: Sharing::Shared,
    }
}

fn have(ordinals: OrdinalRange) -> Said {
    Said::Have {
        track: TRACK,
        ordinals,
        digest: tag_digest((ordinals.start..ordinals.end).map(|ordinal| id(ordinal).tag())),
    }
}

/// What is going to happen.
enum Happening {
    Tell(Input),
    /// A new segment of a live stream.
    Publish(u64),
    Report,
    /// A neighbour gets a segment over the next second.
    Gets(u64, u64),
}

/// The viewer's surroundings, which do as its scheduler says.
struct World {
    scheduler: Scheduler,
    window: Window,
    neighbours: u64,
    queue: BTreeMap<(Instant, u64), Happening>,
    next: u64,
    now: Instant,
    position: MediaTime,
    recording: Recording,
}

impl World {
    fn new(window: Window, neighbours: u64) -> Self {
        Self {
            scheduler: scheduler(),
            window,
            neighbours,
            queue: BTreeMap::new(),
            next: 0,
            now: at(0.0),
            position: MediaTime::ZERO,
            recording: Vec::new(),
        }
    }

    fn later(&mut self, wait: f64, happening: Happening) {
        let when = self.now + Duration::from_secs_f64(wait);
        self.queue.insert((when, self.next), happening);
        self.next += 1;
    }

    fn tell_later(&mut self, wait: f64, input: Input) {
        self.later(wait, Happening::Tell(input));
    }

    fn hear_later(&mut self, wait: f64, link: u64, said: Said) {
        self.tell_later(wait, Input::Peer(LinkId(link), said));
    }

    /// The track, the neighbours and what they hold, the player.
    fn begin(&mut self) {
        self.tell(Input::PolicyChanged(Policy::default()));
        self.tell(Input::TrackJoined {
            track: TRACK,
            id: TrackId::new([1; 16]),
            role: Role::Watching,
            bitrate: Some(BitRate::from_bps(3_000_000)),
        });
        let (segments, at, growth) = match self.window {
            Window::Live(count) => (0..count, count.saturating_sub(3), Growth::Live),
            Window::Film(count) => (0..count, count / 2, Growth::Ended),
        };
        let last = segments.end;
        self.tell(Input::SegmentsListed {
            track: TRACK,
            segments: segments.map(listed).collect(),
            first: 0,
            growth,
        });
        self.position = listed(at).start;
        for link in 0..self.neighbours {
            self.meet(link);
            let held = match self.window {
                Window::Live(_) => OrdinalRange::new(0, last),
                // Film viewers are at different places.
                Window::Film(_) => OrdinalRange::new(0, at + 15 + link),
            };
            self.tell(Input::Peer(LinkId(link), have(held)));
        }
        for ordinal in at..(at + 30).min(last) {
            self.tell(Input::MapKnown {
                segment: name(ordinal),
                segment_len: SEGMENT_LEN,
            });
        }
        self.report();
        self.later(0.3, Happening::Publish(last));
        self.later(1.0, Happening::Report);
    }

    fn meet(&mut self, link: u64) {
        let peer = peer(link);
        let link = LinkId(link);
        self.tell(Input::LinkReady { link, peer });
        let bytes = 262_144;
        self.tell(Input::Credit { link, bytes });
        for said in [
            Said::Class(UploadClass::Normal),
            Said::RoundTrip {
                took: Duration::from_millis(20 + link.0),
                outward: 0,
            },
            Said::Joined {
                track: TRACK,
                role: Role::Watching,
            },
        ] {
            self.tell(Input::Peer(link, said));
        }
    }

    fn run(&mut self, end: Instant) {
        while let Some(((when, _), happening)) = self.queue.pop_first() {
            let wake = self.scheduler.poll_timeout();
            if when > end {
                break;
            }
            if let Some(wake) = wake.filter(|wake| *wake < when) {
                // A moment passes without news: the count of viewers, repeated, stands for it.
                self.now = self.now.max(wake);
                self.tell(Input::SwarmCounted {
                    viewers: u32::try_from(self.neighbours + 1).expect("few viewers"),
                });
                self.queue.insert((when.max(self.now), 0), happening);
                continue;
            }
            self.now = self.now.max(when);
            match happening {
                Happening::Tell(input) => self.tell(input),
                Happening::Publish(ordinal) => self.publish(ordinal),
                Happening::Report => {
                    self.position = self.position + Duration::from_secs(1);
                    self.report();
                    self.later(1.0, Happening::Report);
                }
                Happening::Gets(link, ordinal) => self.gets(link, ordinal),
            }
        }
    }

    fn report(&mut self) {
        self.tell(Input::PlaybackChanged(Playback {
            position: self.position,
            state: PlaybackState::Playing,
            buffer_target: Duration::from_secs(30),
        }));
    }

    /// Every 2 s: a live stream has a new segment, a film's viewers have moved on by one.
    fn publish(&mut self, ordinal: u64) {
        self.later(2.0, Happening::Publish(ordinal + 1));
        if let Window::Live(count) = self.window {
            self.tell(Input::SegmentsListed {
                track: TRACK,
                segments: vec![listed(ordinal)],
                first: (ordinal + 1).saturating_sub(count),
                growth: Growth::Live,
            });
            self.tell_later(0.15, map_known(ordinal));
            let first = mix(ordinal) % self.neighbours.max(1);
            if self.neighbours > 0 {
                let intent = Said::Intent {
                    segment: name(ordinal),
                    expires_after: Duration::from_millis(400),
                };
                self.hear_later(0.01, first, intent);
            }
            for link in 0..self.neighbours {
                let spread = (mix(ordinal ^ mix(link)) % 1_000) as f64 / 1_000.0;
                let begin = if link == first { 0.16 } else { 0.25 + spread };
                self.later(begin, Happening::Gets(link, ordinal));
            }
        } else {
            let at = ordinal_at(self.position);
            self.tell(map_known(at + 30));
            for link in 0..self.neighbours {
                let spread = (mix(ordinal ^ mix(link)) % 1_000) as f64 / 1_000.0;
                self.later(2.0 * spread, Happening::Gets(link, at + 15 + link));
            }
        }
    }

    /// A neighbour has the map, then more and more of the segment, then all of it; it asks us for
    /// eight of its blocks.
    fn gets(&mut self, link: u64, ordinal: u64) {
        let ordinals = OrdinalRange::one(ordinal);
        let digest = tag_digest([id(ordinal).tag()]);
        let track = TRACK;
        self.hear_later(
            0.0,
            link,
            Said::HasMaps {
                track,
                ordinals,
                digest,
            },
        );
        let count = block_count(SEGMENT_LEN);
        for step in 1..5u32 {
            let blocks = BlockSet::from_range(BlockRange::new(0, count * step / 5));
            let said = Said::Holds {
                segment: name(ordinal),
                segment_len: SEGMENT_LEN,
                blocks,
            };
            self.hear_later(f64::from(step) * 0.08, link, said);
        }
        self.hear_later(0.45, link, have(ordinals));
        if mix(link ^ mix(ordinal)) % 5 < 2 {
            for part in 0..2 {
                let request = Said::Request {
                    request: RequestId(u32::try_from(ordinal * 2 + part).expect("few")),
                    segment: name(ordinal),
                    id: id(ordinal),
                    blocks: BlockRange::new(4, 8),
                    deadline_after: Duration::from_secs(2),
                };
                self.hear_later(0.2 + part as f64 * 0.05, link, request);
            }
        }
    }

    fn tell(&mut self, input: Input) {
        self.recording.push((self.now, input.clone()));
        self.scheduler.handle_input(input, self.now);
        while let Some(output) = self.scheduler.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Peer(
                link,
                Say::Request {
                    request,
                    segment,
                    blocks,
                    ..
                },
            ) => {
                for block in blocks.start..blocks.end {
                    let wait = 0.03 + f64::from(block - blocks.start) * 0.008;
                    let start = u64::from(block) * BLOCK_LEN;
                    let len = SEGMENT_LEN.min(start + BLOCK_LEN) - start;
                    self.tell_later(
                        wait,
                        Input::BlockArrived {
                            link,
                            request,
                            segment,
                            block,
                            len: u32::try_from(len).expect("a block"),
                        },
                    );
                    self.tell_later(wait, stored(segment, block));
                }
            }
            Output::Serve { link, .. } => {
                self.tell_later(
                    0.01,
                    Input::Credit {
                        link,
                        bytes: 262_144,
                    },
                );
            }
            Output::Fetch {
                fetch,
                segment,
                range,
                ..
            } => {
                let first = u32::try_from(range.start / BLOCK_LEN).expect("few blocks");
                let end = block_count(range.end.min(SEGMENT_LEN));
                let ttfb = Duration::from_millis(30);
                self.tell_later(
                    0.03,
                    Input::OriginAnswered {
                        fetch: Some(fetch),
                        ttfb,
                    },
                );
                self.tell_later(
                    0.03,
                    Input::LengthKnown {
                        segment,
                        segment_len: SEGMENT_LEN,
                    },
                );
                let mut wait = 0.03;
                for block in first..end {
                    wait += 0.007;
                    let offset = (u64::from(block + 1) * BLOCK_LEN).min(SEGMENT_LEN);
                    self.tell_later(wait, Input::FetchProgressed { fetch, offset });
                    self.tell_later(wait, stored(segment, block));
                }
                self.tell_later(
                    wait,
                    Input::FetchEnded {
                        fetch,
                        result: Ok(()),
                    },
                );
            }
            _ => {}
        }
    }
}

fn map_known(ordinal: u64) -> Input {
    Input::MapKnown {
        segment: name(ordinal),
        segment_len: SEGMENT_LEN,
    }
}

fn stored(segment: SegmentRef, block: u32) -> Input {
    Input::Stored {
        segment,
        verified: [block].into_iter().collect(),
        private: BlockSet::new(),
        quarantined: BlockSet::new(),
    }
}

fn ordinal_at(position: MediaTime) -> u64 {
    position
        .saturating_duration_since(MediaTime::ZERO)
        .as_secs()
        / DURATION.as_secs()
}
