//! What is requested of which neighbour.

use std::{cmp::Reverse, time::Duration};

use p2pcdn_wire::{
    BLOCK_LEN, BlockRange, BlockSet, LinkId, MAX_DURATION, MediaTime, Say, SegmentRef, UploadClass,
    block_count,
};

use crate::{
    http::Fetch,
    neighbour::Neighbour,
    scheduler::{Scheduler, earliest},
    segment::Segment,
};

/// Blocks in one request: enough to make the request's own bytes vanish (0.1 %), few enough that
/// neighbouring requests go to different peers.
const MAX_RUN: u32 = 4;

/// Slack below which a segment's blocks are taken in the order of deadlines.
pub(crate) const URGENT: Duration = Duration::from_millis(1_500);

/// Blocks of a segment that may be on their way or wait while its block map is not there.
const MAX_UNMAPPED: u32 = 8;

/// How much of the line's time all outstanding requests together may take; and how many blocks may
/// always be outstanding, because the estimate is of HTTP, which an overloaded origin slows down.
const MAX_QUEUE: Duration = Duration::from_millis(300);
const MIN_OUTSTANDING: u32 = 12;

/// When HTTP and peers work on one segment from both ends, peers leave this many blocks before
/// the meeting point to HTTP, which is on its way already.
const MEETING_GAP: u32 = 2;

/// A segment's place in the queue: field order is the priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    Urgent { slack: Duration, ordinal: u64 },
    Spread { newest_first: Reverse<u64> },
    InOrder { slack: Duration, ordinal: u64 },
}

/// A segment that neighbours may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    priority: Priority,
    name: SegmentRef,
    slack: Duration,
}

/// One neighbour's view of the blocks that we want of a segment.
struct Source {
    link: LinkId,
    blocks: BlockSet,
    window: u32,
    delivery_time: Duration,
    /// Breaks ties, differently for each viewer, so that not all ask the same neighbour.
    affinity: u64,
}

impl Scheduler {
    pub(crate) fn plan_peers(&mut self) {
        self.make(
            |agenda| &mut agenda.requests,
            |own| {
                own.drop_lapsed_requests();
                own.cancel_needless_requests();
            },
        );
        if self.agenda.patience.is_now(self.now) {
            // A neighbour that was left alone may be asked again.
            self.agenda.sources.spoil();
        }
        self.make(|agenda| &mut agenda.sources, Self::request_all);
        self.make(|agenda| &mut agenda.patience, Self::wake_for_promises);
    }

    fn request_all(&mut self) {
        if !self.policy.peer_transfer.is_on() {
            return;
        }
        let mut wanted = std::mem::take(&mut self.scratch);
        self.wanted_by_priority(&mut wanted);
        let mut room = self.room();
        for wanted in &wanted {
            self.request_blocks(wanted.name, wanted.slack, &mut room);
        }
        wanted.clear();
        self.scratch = wanted;
        self.look_again_for_sources();
    }

    /// Time alone makes blocks worth requesting when a segment comes within the buffer target or
    /// becomes urgent, or an attempt falls silent.
    fn look_again_for_sources(&mut self) {
        let silences = self.fetches.iter().map(|fetch| self.falls_silent_at(fetch));
        let silence = silences.filter(|at| *at > self.now).min();
        silence.into_iter().for_each(|at| self.look_again(at));
        let ahead = self.clock.ahead(self.now);
        let mut next = None;
        for track in self.tracks.iter().filter(|track| track.is_watched()) {
            let comes = track.first_from(ahead.until);
            next = earliest(
                next,
                comes.and_then(|start| self.clock.horizon_passes_at(start)),
            );
            for segment in track.wanted(ahead) {
                let urgent = segment.start.saturating_sub(URGENT);
                if urgent >= ahead.from {
                    next = earliest(next, self.clock.passes_at(urgent));
                }
            }
        }
        next.into_iter().for_each(|at| self.look_again(at));
    }

    /// Asks to be woken when the next request lapses or a neighbour may be asked again.
    fn wake_for_promises(&mut self) {
        let now = self.now;
        let next = self.neighbours.values().flat_map(|neighbour| {
            let asked_at = neighbour.standing.may_be_asked_at();
            let lapses = neighbour.outstanding.iter().map(|out| out.lapses_at);
            lapses.chain((asked_at > now).then_some(asked_at))
        });
        if let Some(at) = next.min() {
            self.wake(at);
        }
    }

    /// Forgets requests that were not served in time, and thinks less of those who should have.
    fn drop_lapsed_requests(&mut self) {
        let now = self.now;
        let mut lapsed = Vec::new();
        for (link, neighbour) in self.neighbours.iter_mut() {
            let late = neighbour.take_lapsed(now);
            if !late.is_empty() {
                neighbour.standing.broke_a_promise(now);
                lapsed.extend(late.into_iter().map(|out| (link, out)));
            }
        }
        if !lapsed.is_empty() {
            self.agenda.sources.spoil();
            self.agenda.patience.spoil();
        }
        for (link, out) in lapsed {
            self.release(out.segment, &out.blocks);
            let request = out.request;
            tracing::debug!(%link, segment = %out.segment, blocks = ?out.blocks, "a request lapsed");
            self.say(link, Say::Cancel { request });
        }
    }

    /// Cancels requests for blocks that came from elsewhere or are no longer wanted.
    fn cancel_needless_requests(&mut self) {
        let mut needless = Vec::new();
        let mut next_end: Option<MediaTime> = None;
        let mut next_lapse = None;
        for (link, neighbour) in self.neighbours.iter() {
            for out in &neighbour.outstanding {
                let needed = self.policy.peer_transfer.is_on()
                    && self.wanted_segment(out.segment).is_some_and(|segment| {
                        segment.is_shared() && !segment.holds_all(&out.blocks)
                    });
                if !needed {
                    needless.push((link, out.request));
                }
                next_lapse = earliest(next_lapse, Some(out.lapses_at));
                let segment = self.track(out.segment.track);
                let end = segment.and_then(|track| Some(track.get(out.segment)?.end()));
                next_end = next_end.into_iter().chain(end).min();
            }
        }
        // The playhead that reaches the end of a segment makes requests for it needless.
        let over = next_end.and_then(|end| self.clock.reaches_at(end));
        for at in next_lapse.into_iter().chain(over) {
            self.look_again(at);
        }
        if !needless.is_empty() {
            self.agenda.sources.spoil();
            self.agenda.patience.spoil();
        }
        for (link, request) in needless {
            let taken = self
                .neighbours
                .get_mut(link)
                .and_then(|neighbour| neighbour.take_outstanding(request));
            if let Some(out) = taken {
                self.release(out.segment, &out.blocks);
            }
            self.say(link, Say::Cancel { request });
        }
    }

    /// Blocks are no longer on their way.
    pub(crate) fn release(&mut self, name: SegmentRef, blocks: &BlockSet) {
        if let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name))
            && !segment.work().requested.is_empty()
        {
            segment.work_mut().requested.subtract(blocks);
            segment.tidy();
        }
    }

    fn wanted_by_priority(&self, wanted: &mut Vec<Wanted>) {
        let ahead = self.clock.ahead(self.now);
        for track in self.tracks.iter().filter(|track| track.is_watched()) {
            for segment in track.wanted(ahead) {
                if segment.completed || !segment.is_shared() {
                    continue;
                }
                if self.would_endanger(segment.name) {
                    continue;
                }
                let slack = self.clock.time_until(segment.start, self.now);
                let ordinal = segment.name.ordinal;
                let priority = if slack < URGENT {
                    Priority::Urgent { slack, ordinal }
                } else if track.growth == crate::io::Growth::Live {
                    Priority::Spread {
                        newest_first: Reverse(ordinal),
                    }
                } else {
                    Priority::InOrder { slack, ordinal }
                };
                wanted.push(Wanted {
                    priority,
                    name: segment.name,
                    slack,
                });
            }
        }
        wanted.sort_unstable();
    }

    /// Whether peers may bring what HTTP is bringing of a segment, too: not of one that is in danger,
    /// unless it is the origin that is slow.
    fn has_line_to_spare(&self, name: SegmentRef) -> bool {
        !self.endangered.contains(&name) || self.is_short(name)
    }

    /// Whether blocks of this segment would be in the way of one that HTTP hurries to bring.
    fn would_endanger(&self, name: SegmentRef) -> bool {
        !self.endangered.is_empty() && !self.endangered.contains(&name)
    }

    /// Blocks that neighbours were asked for and that have not come.
    pub(crate) fn outstanding_count(&self) -> u32 {
        self.neighbours
            .values()
            .map(Neighbour::outstanding_count)
            .sum()
    }

    /// How many more blocks may be asked for: what all neighbours together are asked for is on the
    /// line before anything that turns out to be urgent.
    fn room(&self) -> u32 {
        let line = self.throughput.estimate().bytes_in(MAX_QUEUE) / BLOCK_LEN;
        let most = u32::try_from(line).unwrap_or(u32::MAX).max(MIN_OUTSTANDING);
        most.saturating_sub(self.outstanding_count())
    }

    fn request_blocks(&mut self, name: SegmentRef, slack: Duration, room: &mut u32) {
        let Some(segment) = self.track(name.track).and_then(|track| track.get(name)) else {
            return;
        };
        let mut wanted = self.blocks_to_request(segment);
        if wanted.is_empty() {
            return;
        }
        let id = segment.id;
        let backwards = self.fetches_of(name).next().is_some();
        let in_order = slack < URGENT;
        let mut sources = self.sources(name, &wanted);
        let rarity = Rarity::of(&sources, &wanted);
        // A block that nobody is asked for must not be drawn either: a plan made once more has to
        // leave the generator alone.
        while *room > 0
            && let Some(block) = self.pick(&rarity, &sources, &wanted, in_order, backwards)
        {
            let Some(source) = sources
                .iter_mut()
                .filter(|source| source.window > 0 && source.blocks.contains(block))
                .min_by_key(|source| (source.delivery_time, source.affinity))
            else {
                return;
            };
            let most = source.window.min(MAX_RUN).min(*room);
            let run = if backwards {
                run_to(block, &source.blocks, most)
            } else {
                run_from(block, &source.blocks, most)
            };
            let blocks = BlockSet::from_range(run);
            source.window -= run.len();
            *room -= run.len();
            let link = source.link;
            wanted.subtract(&blocks);
            for source in &mut sources {
                source.blocks.subtract(&blocks);
            }
            let now = self.now;
            if let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name)) {
                segment.work_mut().requested.union_with(&blocks);
            }
            let Some(neighbour) = self.neighbours.get_mut(link) else {
                return;
            };
            let request = neighbour.request(name, blocks, slack, now);
            self.agenda.requests.spoil();
            self.agenda.patience.spoil();
            let delivery_time = neighbour.delivery_time();
            if let Some(source) = sources.iter_mut().find(|source| source.link == link) {
                source.delivery_time = delivery_time;
            }
            // A request that comes late is still worth more than none.
            let deadline_after = slack.clamp(Duration::from_millis(500), MAX_DURATION);
            self.say(
                link,
                Say::Request {
                    request,
                    segment: name,
                    id,
                    blocks: run,
                    deadline_after,
                },
            );
        }
    }

    /// The blocks of a segment that peers should bring and are not bringing yet.
    fn blocks_to_request(&self, segment: &Segment) -> BlockSet {
        let name = segment.name;
        let stated = || {
            self.neighbours
                .values()
                .find_map(|neighbour| neighbour.track(name.track)?.stated_len(name.ordinal))
        };
        let Some(len) = segment.len.or_else(stated) else {
            return BlockSet::new();
        };
        let mut wanted = BlockSet::from_range(BlockRange::new(0, block_count(len)));
        for there in [
            &segment.verified,
            &segment.work().private,
            &segment.work().quarantined,
            &segment.work().requested,
        ] {
            wanted.subtract(there);
        }
        for fetch in self.fetches_of(name) {
            // HTTP goes front to back; peers come to meet it from the end, but only where the
            // player is waiting.
            let mut covered = fetch.covers(len);
            if self.is_hurrying(segment) && self.has_line_to_spare(name) {
                let half = covered.len() / 2 + MEETING_GAP;
                covered = covered.iter().take(half as usize).collect();
            }
            wanted.subtract(&covered);
        }
        if !segment.has_map {
            let under_way = segment.work().quarantined.len() + segment.work().requested.len();
            let room = MAX_UNMAPPED.saturating_sub(under_way);
            wanted = wanted.iter().take(room as usize).collect();
        }
        wanted
    }

    /// The attempts that are bringing a segment over HTTP; one that has fallen silent is not.
    fn fetches_of(&self, name: SegmentRef) -> impl Iterator<Item = &Fetch> {
        let fetches = self.fetches.iter();
        fetches.filter(move |fetch| fetch.segment == name && self.is_alive(fetch))
    }

    fn is_hurrying(&self, segment: &Segment) -> bool {
        self.clock.is_waiting() || self.clock.time_until(segment.start, self.now) < URGENT
    }

    fn sources(&self, name: SegmentRef, wanted: &BlockSet) -> Vec<Source> {
        let mut sources = Vec::new();
        for (link, neighbour) in self.neighbours.iter() {
            let Some(track) = neighbour.track(name.track) else {
                continue;
            };
            let serves = neighbour.class != UploadClass::None;
            if !serves
                || !track.holds_any(name.ordinal)
                || !neighbour.standing.may_be_asked(self.now)
            {
                continue;
            }
            let window = neighbour.window();
            if window == 0 {
                continue;
            }
            let blocks = track.holds_of(name.ordinal, wanted);
            if !blocks.is_empty() {
                sources.push(Source {
                    link,
                    blocks,
                    window: u32::try_from(window).unwrap_or(u32::MAX),
                    delivery_time: neighbour.delivery_time(),
                    affinity: self.voter.affinity(neighbour.voter, name),
                });
            }
        }
        sources
    }

    /// The next block to request: in order when time is short, else the rarest, ties broken by the
    /// generator.
    fn pick(
        &mut self,
        rarity: &Rarity,
        sources: &[Source],
        wanted: &BlockSet,
        in_order: bool,
        backwards: bool,
    ) -> Option<u32> {
        let available = |block: &u32| {
            sources
                .iter()
                .any(|source| source.window > 0 && source.blocks.contains(*block))
        };
        if backwards {
            return wanted.iter().filter(available).last();
        }
        if in_order {
            return wanted.iter().find(available);
        }
        let rarest: Vec<_> = wanted.iter().filter(available).collect();
        let least = rarest.iter().map(|block| rarity.holders(*block)).min()?;
        let ties: Vec<_> = rarest
            .into_iter()
            .filter(|block| rarity.holders(*block) == least)
            .collect();
        ties.get(self.random.below(ties.len())).copied()
    }
}

/// How many neighbours hold each block.
struct Rarity(Vec<(u32, u16)>);

impl Rarity {
    fn of(sources: &[Source], wanted: &BlockSet) -> Self {
        let holders = |block| {
            let count = sources.iter().filter(|s| s.blocks.contains(block)).count();
            u16::try_from(count).unwrap_or(u16::MAX)
        };
        Self(wanted.iter().map(|block| (block, holders(block))).collect())
    }

    fn holders(&self, block: u32) -> u16 {
        self.0
            .binary_search_by_key(&block, |(block, _)| *block)
            .map_or(0, |at| self.0[at].1)
    }
}

/// The run of at most `most` blocks from `block` on that are all in `blocks`.
fn run_from(block: u32, blocks: &BlockSet, most: u32) -> BlockRange {
    let end = (block..block.saturating_add(most))
        .take_while(|next| blocks.contains(*next))
        .last()
        .map_or(block + 1, |last| last + 1);
    BlockRange::new(block, end)
}

/// The run of at most `most` blocks up to and including `block` that are all in `blocks`.
fn run_to(block: u32, blocks: &BlockSet, most: u32) -> BlockRange {
    let first = block.saturating_sub(most.saturating_sub(1));
    let start = (first..=block)
        .rev()
        .take_while(|before| blocks.contains(*before))
        .last()
        .unwrap_or(block);
    BlockRange::new(start, block + 1)
}
