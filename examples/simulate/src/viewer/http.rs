//! Requests to the edge and what came of them.

use std::time::Duration;

use p2pcdn::{
    ResponseHead,
    scheduler::FetchId,
    transport::HttpRange,
    wire::{BitRate, Instant, SegmentRef},
};

use crate::{
    draw::Draws,
    event::{Request, Resource},
    tally::SegmentKey,
};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Manifest,
    Fetch(FetchId),
    Sidecar(SegmentRef),
    Renewal(SegmentRef),
}

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) request: u32,
    pub(super) purpose: Purpose,
    pub(super) resource: Resource,
    /// Whether a range was asked for.
    pub(super) is_partial: bool,
    pub(super) sent_at: Instant,
    /// When anything was heard of it last.
    pub(super) heard_at: Instant,
    /// Of the head: bytes of the body, segments published, time to first byte.
    pub(super) head: Option<Head>,
    /// Bytes of the body that came.
    pub(super) received: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) len: u64,
    pub(super) published: u64,
    pub(super) ttfb: Duration,
}

/// All requests of one viewer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: Vec<Open>,
    next: u32,
    /// How often each of the last segments was asked for again.
    attempts: Vec<(SegmentKey, u64)>,
    /// Chunks to acknowledge, by request.
    pub(super) unacknowledged: Vec<(u32, u8)>,
}

impl Requests {
    /// Makes a request.
    pub(super) fn start(
        &mut self,
        purpose: Purpose,
        resource: Resource,
        is_partial: bool,
        path: Path,
        now: Instant,
    ) -> Request {
        self.next += 1;
        let request = self.next;
        self.open.push(Open {
            request,
            purpose,
            resource,
            is_partial,
            sent_at: now,
            heard_at: now,
            head: None,
            received: 0,
        });
        Request {
            request,
            resource,
            ttfb_draw: self.draw(path, resource, now),
            rate_cap: path.rate_cap.map_or(u64::MAX, BitRate::as_bps),
        }
    }

    pub(super) fn find_mut(&mut self, request: u32) -> Option<&mut Open> {
        self.open.iter_mut().find(|it| it.request == request)
    }

    pub(super) fn end(&mut self, request: u32) -> Option<Open> {
        let index = self.open.iter().position(|it| it.request == request)?;
        self.unacknowledged.retain(|(it, _)| *it != request);
        let ended = self.open.remove(index);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        Some(ended)
    }

    /// Ends all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = u32> + use<> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().map(|it| it.request)
    }

    pub(super) fn of_fetch(&self, fetch: FetchId) -> Option<u32> {
        let purpose = Purpose::Fetch(fetch);
        let found = self.open.iter().find(|it| it.purpose == purpose);
        found.map(|it| it.request)
    }

    /// Counts a chunk that arrived and has to be acknowledged.
    pub(super) fn acknowledge(&mut self, request: u32) {
        match self.unacknowledged.iter_mut().find(|it| it.0 == request) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.unacknowledged.push((request, 1)),
        }
    }

    /// A request that came to nothing for too long.
    pub(super) fn silent(&self, now: Instant) -> Option<u32> {
        let found = self.open.iter().find(|it| it.gives_up_at() <= now);
        found.map(|it| it.request)
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.open.iter().map(Open::gives_up_at).min()
    }

    /// The same in both worlds for the same try at the same thing.
    fn draw(&mut self, path: Path, resource: Resource, now: Instant) -> u64 {
        let Path { draws, person, .. } = path;
        match resource {
            Resource::Manifest { .. } => draws.manifest_ttfb(person, now),
            Resource::Segment { track, ordinal, .. } => {
                let key = SegmentKey { track, ordinal };
                let attempt = self.count_attempt(key);
                draws.segment_ttfb(person, key, attempt)
            }
            Resource::Map { track, ordinal } => {
                let draws = draws.of("map ttfb").nth(u64::from(person));
                let draws = draws.nth(u64::from(track)).nth(ordinal);
                draws.nth(u64::from(self.next)).bits()
            }
        }
    }

    /// Counts an attempt at a segment; returns how many there were before.
    fn count_attempt(&mut self, key: SegmentKey) -> u64 {
        if let Some((_, attempts)) = self.attempts.iter_mut().find(|(it, _)| *it == key) {
            *attempts += 1;
            return *attempts;
        }
        if self.attempts.len() >= MAX_ATTEMPTED {
            self.attempts.remove(0);
        }
        self.attempts.push((key, 0));
        0
    }
}

/// What the way to the edge is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) draws: Draws,
    pub(super) person: u32,
    pub(super) rate_cap: Option<BitRate>,
}

impl Open {
    /// What an HTTP server says of this range of a segment of `segment_len` bytes.
    pub(super) fn response_head(&self, status: u16, segment_len: u64) -> ResponseHead {
        let mut head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        if !matches!(status, 200 | 206) {
            return head;
        }
        let Resource::Segment { start, end, .. } = self.resource else {
            return head;
        };
        head.content_length = Some(end - start);
        head.status = 200;
        if self.is_partial && start >= end {
            head.status = 416;
            head.content_range = Some(format!("bytes */{segment_len}"));
        } else if self.is_partial {
            head.status = 206;
            head.content_range = Some(format!("bytes {start}-{}/{segment_len}", end - 1));
        }
        head
    }

    /// The offset in the segment of the next byte of the body.
    pub(super) fn offset(&self) -> u64 {
        match self.resource {
            Resource::Segment { start, .. } => start + self.received,
            _ => self.received,
        }
    }

    fn gives_up_at(&self) -> Instant {
        match self.purpose {
            Purpose::Manifest => self.sent_at + MANIFEST_TIMEOUT,
            _ => self.heard_at + SILENCE_TIMEOUT,
        }
    }
}

/// The bytes of a segment that a request means.
pub(super) fn range(asked: Option<HttpRange>, segment_len: u64) -> (u64, u64) {
    let Some(HttpRange { start, end }) = asked else {
        return (0, segment_len);
    };
    let start = start.min(segment_len);
    (start, end.unwrap_or(segment_len).clamp(start, segment_len))
}

/// How long an edge may send nothing before an attempt counts as broken, as p2pcdn's client has it.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a manifest may take, as p2pcdn's client has it.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Segments whose attempts are counted: more than a viewer has open or retries.
const MAX_ATTEMPTED: usize = 8;
