//! One scheduler under the hand of a test.
//!
//! Segments are 2 s long and have eight blocks (0.5 Mb/s). A [`window`] is what the playlist lists,
//! one character a segment, the playhead at the start of the first: `#` held and verified, `.`
//! missing, `?` missing and its block map and length too, `x` missing and not shareable. A
//! [`swarm`] is the neighbours and the segments of the window that each holds: `a:110 b:011`.

use std::{ops::Range, time::Duration};

use p2pcdn_scheduler::{
    Config, FetchFailure, FetchId, Growth, Input, Listed, Output, Playback, PlaybackState, Policy,
    Scheduler, Sharing,
};
use p2pcdn_wire::{
    BLOCK_LEN, BitRate, BlockRange, BlockSet, ByteRange, Instant, LinkId, MediaTime, RequestId,
    Role, Said, Say, SegmentRef, TrackId, UploadClass, tag_digest,
};

use super::{DURATION, TRACK, at, listed, peer, segment, segment_id, words::Words};

pub(crate) const BLOCKS: u32 = 8;
pub(crate) const LEN: u64 = BLOCKS as u64 * BLOCK_LEN;

/// What the playlist lists.
#[derive(Clone, Debug)]
pub(crate) struct Window(Vec<char>);

pub(crate) fn window(text: &str) -> Window {
    Window(text.chars().collect())
}

/// Neighbours and what they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swarm(Vec<(char, Vec<bool>)>);

pub(crate) fn swarm(text: &str) -> Swarm {
    let neighbour = |word: &str| {
        let (name, held) = word.split_once(':').expect("a name and what it holds");
        let name = name.chars().next().expect("a letter");
        (name, held.chars().map(|mark| mark == '1').collect())
    };
    Swarm(text.split_whitespace().map(neighbour).collect())
}

/// How a rig begins.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) window: Window,
    pub(crate) swarm: Swarm,
    pub(crate) state: PlaybackState,
    pub(crate) buffer_target: Duration,
    pub(crate) growth: Growth,
    pub(crate) config: Config,
    pub(crate) policy: Policy,
}

impl Setup {
    pub(crate) fn new(window: Window, swarm: Swarm) -> Self {
        Self {
            window,
            swarm,
            state: PlaybackState::Playing,
            buffer_target: Duration::from_secs(60),
            growth: Growth::Live,
            config: Config::new(peer(100)),
            policy: Policy::default(),
        }
    }

    /// The rig of a viewer whose draws make it say such lines first.
    pub(crate) fn who(&self, says: impl Fn(&[String]) -> bool) -> (Rig, Vec<String>) {
        (100..200)
            .find_map(|me| {
                let mut setup = self.clone();
                setup.config.peer = peer(me);
                let mut rig = setup.build();
                let lines = rig.says();
                says(&lines).then_some((rig, lines))
            })
            .expect("one viewer in a hundred draws so")
    }

    pub(crate) fn build(self) -> Rig {
        let now = at(100.0);
        let mut rig = Rig {
            scheduler: Scheduler::new(self.config, 7, now),
            now,
            words: Words::default(),
            fetches: Vec::new(),
            requests: Vec::new(),
        };
        rig.tell(Input::PolicyChanged(self.policy));
        rig.tell(Input::TrackJoined {
            track: TRACK,
            id: TrackId::new([1; 16]),
            role: Role::Watching,
            bitrate: Some(BitRate::from_transfer(LEN, DURATION)),
        });
        rig.list(&self.window, self.growth);
        for (name, held) in &self.swarm.0 {
            rig.meet(*name);
            for (ordinal, _) in held.iter().enumerate().filter(|(_, held)| **held) {
                rig.hears(*name, has(ordinal as u64));
            }
        }
        rig.says();
        rig.plays(self.state, 0.0, self.buffer_target);
        rig
    }
}

pub(crate) fn playing(window: Window, swarm: Swarm) -> Rig {
    Setup::new(window, swarm).build()
}

pub(crate) fn starting(window: Window, swarm: Swarm) -> Rig {
    let mut setup = Setup::new(window, swarm);
    setup.state = PlaybackState::Starting;
    setup.build()
}

pub(crate) struct Rig {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Instant,
    words: Words,
    fetches: Vec<(FetchId, SegmentRef, ByteRange)>,
    requests: Vec<(LinkId, RequestId, SegmentRef, BlockRange)>,
}

impl Rig {
    pub(crate) fn tell(&mut self, input: Input) {
        self.scheduler.handle_input(input, self.now);
    }

    /// Lists a window.
    pub(crate) fn list(&mut self, window: &Window, growth: Growth) {
        let marks = || (0u64..).zip(window.0.iter().copied());
        let segments = marks().map(|(ordinal, mark)| Listed {
            sharing: if mark == 'x' {
                Sharing::HttpOnly
            } else {
                Sharing::Shared
            },
            ..listed(ordinal)
        });
        self.tell(Input::SegmentsListed {
            track: TRACK,
            segments: segments.collect(),
            first: 0,
            growth,
        });
        for (ordinal, mark) in marks() {
            if matches!(mark, '#' | '.') {
                self.map_comes(ordinal);
            }
            if mark == '#' {
                self.stores(ordinal, 0..BLOCKS);
            }
        }
    }

    pub(crate) fn plays(&mut self, state: PlaybackState, secs: f64, buffer_target: Duration) {
        self.tell(Input::PlaybackChanged(Playback {
            position: MediaTime::ZERO + Duration::from_secs_f64(secs),
            state,
            buffer_target,
        }));
    }

    pub(crate) fn map_comes(&mut self, ordinal: u64) {
        self.tell(Input::MapKnown {
            segment: segment(ordinal),
            segment_len: LEN,
        });
    }

    /// A neighbour connects and joins the track.
    pub(crate) fn meet(&mut self, name: char) {
        let link = link(name);
        let place = usize::try_from(link.0).expect("few neighbours");
        self.tell(Input::LinkReady {
            link,
            peer: peer(10 + place),
        });
        self.tell(Input::Credit {
            link,
            bytes: 1 << 20,
        });
        self.hears(name, Said::Class(UploadClass::Normal));
        self.hears(
            name,
            Said::RoundTrip {
                took: Duration::from_millis(20),
                outward: 0,
            },
        );
        self.hears(name, joins(Role::Watching));
    }

    pub(crate) fn hears(&mut self, from: char, said: Said) {
        self.tell(Input::Peer(link(from), said));
    }

    /// Verified blocks are stored.
    pub(crate) fn stores(&mut self, ordinal: u64, blocks: Range<u32>) {
        self.tell(Input::Stored {
            segment: segment(ordinal),
            verified: set(blocks),
            private: BlockSet::new(),
            quarantined: BlockSet::new(),
        });
    }

    /// Blocks from HTTP without a block map are stored.
    pub(crate) fn stores_privately(&mut self, ordinal: u64, blocks: Range<u32>) {
        self.tell(Input::Stored {
            segment: segment(ordinal),
            verified: BlockSet::new(),
            private: set(blocks),
            quarantined: BlockSet::new(),
        });
    }

    /// The oldest attempt for a segment brings what it is for, and ends.
    pub(crate) fn http_brings(&mut self, ordinal: u64) {
        let fetch = self.fetch(ordinal);
        let at = self.fetches.iter().position(|(id, ..)| *id == fetch);
        let (_, segment, range) = self.fetches.remove(at.expect("just found"));
        let end = range.end.min(LEN);
        let segment_len = LEN;
        self.tell(Input::LengthKnown {
            segment,
            segment_len,
        });
        self.tell(Input::FetchProgressed { fetch, offset: end });
        let blocks = block(range.start)..block(end);
        self.stores(ordinal, blocks);
        self.tell(Input::FetchEnded {
            fetch,
            result: Ok(()),
        });
    }

    pub(crate) fn http_fails(&mut self, ordinal: u64, failure: FetchFailure) {
        let fetch = self.fetch(ordinal);
        self.fetches.retain(|(id, ..)| *id != fetch);
        let result = Err(failure);
        self.tell(Input::FetchEnded { fetch, result });
    }

    /// All attempts under way break.
    pub(crate) fn http_fails_if_any(&mut self) {
        for (fetch, ..) in std::mem::take(&mut self.fetches) {
            let result = Err(FetchFailure::Transient);
            self.tell(Input::FetchEnded { fetch, result });
        }
    }

    /// The oldest attempt for a segment, which the test ends itself.
    pub(crate) fn take_fetch(&mut self, ordinal: u64) -> FetchId {
        let fetch = self.fetch(ordinal);
        self.fetches.retain(|(id, ..)| *id != fetch);
        fetch
    }

    /// The oldest attempt under way for a segment.
    pub(crate) fn fetch(&self, ordinal: u64) -> FetchId {
        let found = self
            .fetches
            .iter()
            .find(|(_, segment, _)| segment.ordinal == ordinal);
        found.expect("an attempt for the segment").0
    }

    /// The oldest request of a neighbour for a segment is served, as far as these blocks.
    pub(crate) fn delivers(&mut self, from: char, ordinal: u64, blocks: Range<u32>) {
        for block in blocks {
            let request = self.request(from, ordinal, block);
            self.tell(Input::BlockArrived {
                link: link(from),
                request,
                segment: segment(ordinal),
                block,
                len: 16_384,
            });
            self.stores(ordinal, block..block + 1);
        }
    }

    /// The request of a neighbour that a block belongs to.
    pub(crate) fn request(&self, from: char, ordinal: u64, block: u32) -> RequestId {
        let found = self.requests.iter().rev().find(|(to, _, segment, blocks)| {
            *to == link(from) && segment.ordinal == ordinal && blocks.contains(block)
        });
        found.expect("a request for the block").1
    }

    /// What the scheduler says now.
    pub(crate) fn says(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.scheduler.poll_output() {
            match &output {
                Output::Fetch {
                    fetch,
                    segment,
                    range,
                    ..
                } => self.fetches.push((*fetch, *segment, *range)),
                Output::CancelFetch { fetch } => self.fetches.retain(|(id, ..)| id != fetch),
                Output::Peer(
                    link,
                    Say::Request {
                        request,
                        segment,
                        blocks,
                        ..
                    },
                ) => self.requests.push((*link, *request, *segment, *blocks)),
                _ => {}
            }
            lines.push(self.words.of(&output));
        }
        lines
    }

    /// What the scheduler says within the next `millis`, woken when it asks for it.
    pub(crate) fn says_within(&mut self, millis: u64) -> Vec<String> {
        let end = self.now + Duration::from_millis(millis);
        let mut lines = self.says();
        while let Some(when) = self.scheduler.poll_timeout().filter(|at| *at <= end) {
            assert!(when > self.now, "a wake-up in the past");
            self.now = when;
            self.scheduler.handle_timeout(when);
            lines.extend(self.says());
        }
        self.now = end;
        self.scheduler.handle_timeout(end);
        lines.extend(self.says());
        lines
    }

    /// Milliseconds until the scheduler says something by itself, and what; at most a minute.
    pub(crate) fn says_next(&mut self) -> (u64, Vec<String>) {
        self.says_next_within(60)
    }

    /// The same, with another limit.
    pub(crate) fn says_next_within(&mut self, secs: u64) -> (u64, Vec<String>) {
        let start = self.now;
        let mut lines = self.says();
        while lines.is_empty() {
            let when = self
                .scheduler
                .poll_timeout()
                .expect("something to wait for");
            assert!(when > self.now, "a wake-up in the past");
            assert!(
                when < start + Duration::from_secs(secs),
                "nothing for so long"
            );
            self.now = when;
            self.scheduler.handle_timeout(when);
            lines = self.says();
        }
        let waited = self.now.saturating_duration_since(start).as_millis();
        (u64::try_from(waited).expect("at most a minute"), lines)
    }
}

pub(crate) fn link(name: char) -> LinkId {
    LinkId(u64::from(u32::from(name) - u32::from('a')) + 1)
}

pub(crate) fn set(blocks: Range<u32>) -> BlockSet {
    BlockSet::from_range(BlockRange::new(blocks.start, blocks.end))
}

fn block(offset: u64) -> u32 {
    super::number(offset.div_ceil(BLOCK_LEN))
}

pub(crate) fn joins(role: Role) -> Said {
    Said::Joined { track: TRACK, role }
}

pub(crate) fn has(ordinal: u64) -> Said {
    Said::Have {
        track: TRACK,
        ordinals: p2pcdn_wire::OrdinalRange::one(ordinal),
        digest: tag_digest([segment(ordinal).tag]),
    }
}

pub(crate) fn holds(ordinal: u64, blocks: Range<u32>) -> Said {
    Said::Holds {
        segment: segment(ordinal),
        segment_len: LEN,
        blocks: set(blocks),
    }
}

pub(crate) fn lost(ordinal: u64) -> Said {
    Said::Lost {
        track: TRACK,
        ordinals: p2pcdn_wire::OrdinalRange::one(ordinal),
    }
}

pub(crate) fn intends(ordinal: u64, millis: u64) -> Said {
    Said::Intent {
        segment: segment(ordinal),
        expires_after: Duration::from_millis(millis),
    }
}

pub(crate) fn withdraws(ordinal: u64) -> Said {
    Said::IntentWithdrawn {
        segment: segment(ordinal),
    }
}

/// A request for blocks of a segment, with its deadline in milliseconds.
pub(crate) fn wants(request: u32, ordinal: u64, blocks: Range<u32>, millis: u64) -> Said {
    Said::Request {
        request: RequestId(request),
        segment: segment(ordinal),
        id: segment_id(ordinal),
        blocks: BlockRange::new(blocks.start, blocks.end),
        deadline_after: Duration::from_millis(millis),
    }
}

pub(crate) fn rejects(request: RequestId) -> Said {
    Said::Reject {
        request,
        reason: p2pcdn_wire::RejectReason::Busy,
    }
}
