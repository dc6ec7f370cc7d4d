//! Serving: earliest deadline first, late work rejected at once.

use std::{cmp::Reverse, time::Duration};

use p2pcdn_wire::{
    BLOCK_LEN, BitRate, BlockRange, Instant, LinkId, RejectReason, RequestId, Say, SegmentId,
    SegmentRef,
};

use crate::{
    io::Output,
    neighbour::Neighbour,
    peers::URGENT,
    scheduler::{Scheduler, earliest},
    segment::{Duty, Segment},
};

/// Blocks that may wait to be served, over all neighbours: 4 MiB, two seconds of a 16 Mb/s uplink,
/// beyond which a deadline is lost anyway.
const MAX_QUEUED_BLOCKS: u32 = 256;

/// Blocks of them that one neighbour may have waiting: 1 MiB, four times what a requester here has
/// outstanding, so that nobody takes all the room.
const MAX_QUEUED_OF_ONE: u32 = 64;

/// How long a request may have to wait for what others were served already.
const MAX_WAIT: Duration = Duration::from_millis(300);

/// Room for the head of a block's message.
const HEAD_LEN: u64 = 32;

/// How much of an upload limit may be saved up: one second of it, and at least one block.
const BURST: Duration = Duration::from_secs(1);

/// What is left of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) request: RequestId,
    pub(crate) segment: SegmentRef,
    pub(crate) blocks: BlockRange,
    pub(crate) deadline: Instant,
}

/// A request's place among those that wait: field order is the priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: Rank,
    deadline: Instant,
    link: LinkId,
    request: RequestId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Nobody was given it, and we are the one who fetched it for all.
    Seed(Share),
    Urgent,
    /// Nobody was given it by us.
    Fresh(Share),
    Again(Share),
}

/// Who of those with the same need is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    weight: Reverse<u32>,
    served_at: Instant,
}

/// A request as the peer made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) request: RequestId,
    pub(crate) segment: SegmentRef,
    pub(crate) id: SegmentId,
    pub(crate) blocks: BlockRange,
    pub(crate) deadline_after: Duration,
}

/// A token bucket over the bytes served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    bytes: u64,
    filled_at: Instant,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bytes: 0,
            filled_at: now,
        }
    }

    fn fill(&mut self, limit: BitRate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at);
        let gained = limit.bytes_in(passed);
        // Time that was too short to gain a byte is not lost.
        if gained > 0 {
            let most = limit.bytes_in(BURST).max(BLOCK_LEN);
            self.bytes = self.bytes.saturating_add(gained).min(most);
            self.filled_at = now;
        }
    }

    /// Takes one block, or tells how long to wait for it.
    fn take(&mut self, limit: BitRate, now: Instant) -> Result<(), Duration> {
        self.fill(limit, now);
        match self.bytes.checked_sub(BLOCK_LEN) {
            Some(rest) => {
                self.bytes = rest;
                Ok(())
            }
            None => Err(limit.time_for(BLOCK_LEN - self.bytes)),
        }
    }
}

impl Scheduler {
    /// Queues what a peer requests, or tells it why not.
    pub(crate) fn take_request(&mut self, link: LinkId, request: Request) {
        let verdict = self.judge(link, &request);
        let now = self.now;
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return;
        };
        match verdict {
            Ok(()) => neighbour.uploads.push(Upload {
                request: request.request,
                segment: request.segment,
                blocks: request.blocks,
                deadline: now + request.deadline_after,
            }),
            Err(reason) => self.reject(link, request.request, reason),
        }
    }

    fn judge(&self, link: LinkId, request: &Request) -> Result<(), RejectReason> {
        if !self.policy.may_upload() {
            return Err(RejectReason::Policy);
        }
        let segment = self
            .track(request.segment.track)
            .and_then(|track| track.get(request.segment))
            .ok_or(RejectReason::Absent)?;
        if segment.id != request.id {
            return Err(RejectReason::OtherContent);
        }
        let range = request.blocks;
        if range.is_empty()
            || !segment.is_shared()
            || !(range.start..range.end).all(|block| segment.verified.contains(block))
        {
            return Err(RejectReason::Absent);
        }
        if request.deadline_after.is_zero() {
            return Err(RejectReason::TooLate);
        }
        let queued: u32 = self.neighbours.values().map(Neighbour::queued_blocks).sum();
        let of_this_one = self
            .neighbours
            .get(link)
            .map_or(0, Neighbour::queued_blocks);
        if queued.saturating_add(range.len()) > MAX_QUEUED_BLOCKS
            || of_this_one.saturating_add(range.len()) > MAX_QUEUED_OF_ONE
        {
            return Err(RejectReason::Busy);
        }
        Ok(())
    }

    fn reject(&mut self, link: LinkId, request: RequestId, reason: RejectReason) {
        self.say(link, Say::Reject { request, reason });
    }

    /// Drops queued requests that became pointless, then serves as much as the transport and the
    /// policy take.
    pub(crate) fn plan_uploads(&mut self) {
        if self.neighbours.values().all(|one| one.uploads.is_empty()) {
            return;
        }
        self.sweep_uploads();
        // Requests and acknowledgements of what HTTP hurries to bring share the uplink.
        if self.needs_the_uplink() {
            return;
        }
        while let Some(turn) = self.next_to_serve() {
            if let Err(wait) = self.pacer.may_send(self.now) {
                self.wake(self.now + wait);
                self.look_again(self.now);
                return;
            }
            if let Some(limit) = self.policy.upload_limit
                && let Err(wait) = self.allowance.take(limit, self.now)
            {
                self.wake(self.now + wait);
                // Each look at the allowance rounds it: that it is looked at now and then would
                // not do.
                self.look_again(self.now);
                return;
            }
            self.serve_one(turn);
        }
    }

    /// Whether serving would be in the way of what HTTP hurries to bring. Where the origin is what
    /// makes it late, everybody's segments are in danger for long, and a swarm in which nobody
    /// serves until he is out of it stays there.
    fn needs_the_uplink(&self) -> bool {
        let is_close = |name: &SegmentRef| {
            let segment = self.track(name.track).and_then(|track| track.get(*name));
            segment.is_some_and(|it| self.clock.time_until(it.start, self.now) < URGENT)
        };
        let mut hurried = self.endangered.iter().filter(|name| !self.is_short(**name));
        hurried.any(|name| !self.pacer.is_nimble() || is_close(name))
    }

    /// Rejects the requests whose deadline passed and those for segments that are gone.
    fn sweep_uploads(&mut self) {
        let mut rejected = Vec::new();
        let mut next_deadline = None;
        let queue = || self.neighbours.values().flat_map(|it| &it.uploads);
        let first = queue().filter(|upload| !self.is_again(upload));
        let mut ahead: u32 = first.map(|upload| upload.blocks.len()).sum();
        for (link, neighbour) in self.neighbours.iter() {
            for upload in &neighbour.uploads {
                let held = self
                    .track(upload.segment.track)
                    .and_then(|track| track.get(upload.segment))
                    .is_some_and(|segment| {
                        segment.is_shared() && segment.verified.contains(upload.blocks.start)
                    });
                let reason = if !self.policy.may_upload() {
                    RejectReason::Policy
                } else if !held {
                    RejectReason::Absent
                } else if upload.deadline <= self.now {
                    RejectReason::TooLate
                } else if self.is_again(upload) && self.takes_too_long(ahead) {
                    RejectReason::Busy
                } else {
                    if self.is_again(upload) {
                        ahead += upload.blocks.len();
                    }
                    next_deadline = earliest(next_deadline, Some(upload.deadline));
                    continue;
                };
                rejected.push((link, upload.request, reason));
            }
        }
        if let Some(at) = next_deadline {
            self.wake(at);
        }
        for (link, request, reason) in rejected {
            if let Some(neighbour) = self.neighbours.get_mut(link) {
                neighbour.uploads.retain(|upload| upload.request != request);
            }
            self.reject(link, request, reason);
        }
    }

    /// Whether all of a request was given to others before, and there is time to ask those.
    fn is_again(&self, upload: &Upload) -> bool {
        let segment = self
            .track(upload.segment.track)
            .and_then(|track| track.get(upload.segment));
        let was_served = |segment: &Segment| {
            let mut blocks = upload.blocks.start..upload.blocks.end;
            blocks.all(|block| segment.served.contains(block))
        };
        upload.deadline > self.now + URGENT && segment.is_some_and(was_served)
    }

    /// Whether who waits behind so many blocks had better ask those who were given them: its
    /// requests are then free for what nobody else has.
    fn takes_too_long(&self, ahead: u32) -> bool {
        self.pacer.time_for(u64::from(ahead) * BLOCK_LEN) > MAX_WAIT
    }

    /// What to serve next, among the links that the transport has room for.
    fn next_to_serve(&self) -> Option<Turn> {
        let mut next: Option<Turn> = None;
        for (link, neighbour) in self.neighbours.iter() {
            if neighbour.credit < BLOCK_LEN + HEAD_LEN {
                continue;
            }
            for upload in &neighbour.uploads {
                let turn = Turn {
                    rank: self.rank(upload, neighbour),
                    deadline: upload.deadline,
                    link,
                    request: upload.request,
                };
                if next.is_none_or(|best| turn < best) {
                    next = Some(turn);
                }
            }
        }
        next
    }

    /// What we alone can pass on goes first: until it has left once, it is late for everybody. Then
    /// what runs out of time; of the rest, blocks that nobody was given yet, since they multiply;
    /// those who upload much before those who upload little; then each link in turn, so that the
    /// one whose player is furthest does not get everything.
    fn rank(&self, upload: &Upload, neighbour: &Neighbour) -> Rank {
        let segment = self
            .track(upload.segment.track)
            .and_then(|track| track.get(upload.segment));
        let was_served = segment.is_some_and(|it| it.served.contains(upload.blocks.start));
        let is_ours = segment.is_some_and(|it| it.duty == Duty::Ours);
        let share = Share {
            weight: Reverse(neighbour.class.weight()),
            served_at: neighbour.served_at,
        };
        if !was_served && is_ours {
            Rank::Seed(share)
        } else if upload.deadline <= self.now + URGENT {
            Rank::Urgent
        } else if !was_served {
            Rank::Fresh(share)
        } else {
            Rank::Again(share)
        }
    }

    fn serve_one(&mut self, turn: Turn) {
        let (link, now) = (turn.link, self.now);
        let Some(neighbour) = self.neighbours.get_mut(link) else {
            return;
        };
        let mut uploads = neighbour.uploads.iter_mut();
        let Some(upload) = uploads.find(|upload| upload.request == turn.request) else {
            return;
        };
        let served = *upload;
        upload.blocks.start += 1;
        if upload.blocks.is_empty() {
            neighbour
                .uploads
                .retain(|upload| upload.request != served.request);
            if neighbour.uploads.is_empty() {
                neighbour.uploads = Vec::new();
            }
        }
        self.agenda.uploads.spoil();
        neighbour.served_at = now;
        neighbour.credit = neighbour.credit.saturating_sub(BLOCK_LEN + HEAD_LEN);
        neighbour.worth.exchanged(now);
        let wants_ping = self.pacer.sent(&mut neighbour.base, now);
        let block = served.blocks.start;
        self.with_segment(served.segment, |segment| {
            segment.served.insert(block);
        });
        self.outputs.push_back(Output::Serve {
            link,
            request: served.request,
            segment: served.segment,
            block,
        });
        if wants_ping {
            self.say(link, Say::Ping);
        }
    }

    /// A neighbour answered a ping.
    pub(crate) fn round_trip(&mut self, link: LinkId, took: Duration, outward: i64) {
        let now = self.now;
        if let Some(neighbour) = self.neighbours.get_mut(link) {
            neighbour.measured_rtt(took);
            neighbour.base.answered(outward, now);
            self.pacer.answered(&mut neighbour.base, took, outward, now);
            // Our own queue is in the way to every neighbour, theirs only in the way to one.
            let excesses = self
                .neighbours
                .values()
                .filter_map(|it| it.base.excess(now));
            if let Some(excess) = excesses.min() {
                self.pacer.queued(took, excess, now);
                self.agenda.uploads.spoil();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_limit_holds_over_any_stretch_of_time() {
        let limit = BitRate::from_bps(8 * 100_000);
        let mut allowance = Allowance::new(Instant::EPOCH);
        let mut served = 0;
        for millis in 0..10_000u64 {
            let now = Instant::from_epoch(Duration::from_millis(millis));
            if allowance.take(limit, now).is_ok() {
                served += BLOCK_LEN;
            }
        }
        assert!((980_000..=1_000_000).contains(&served), "{served}");
    }
}
