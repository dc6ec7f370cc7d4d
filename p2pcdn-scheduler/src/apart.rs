//! Where HTTP begins on a segment that neighbours lack as well.

use p2pcdn_wire::{BlockRange, BlockSet, SegmentRef};

use crate::{http::Fetch, scheduler::Scheduler, segment::Segment};

/// Blocks that nobody holds, below which there is nothing to share out: a request more costs a time
/// to first byte, in which a line of 5 Mb/s carries half of them.
const LEAST_APART: u32 = 8;

impl Scheduler {
    /// Of what is `missing`, the part that HTTP brings first, if viewers who lack the same are to
    /// begin in different places: from a block of our own drawing, among those that no neighbour
    /// holds, to the end of the run that it is in.
    ///
    /// Viewers that an overloaded origin makes late are late with the same segment at the same time.
    /// When each begins at its front, all of them hold the same blocks all the while, nobody has
    /// anything for anybody, and the origin serves each alone; begun apart, each block that comes
    /// out of it is new to all. Who gets no help from others has it no later.
    pub(crate) fn own_part(&self, segment: &Segment, missing: &BlockSet) -> Option<BlockRange> {
        // Without a block map nothing can be announced.
        if !segment.has_map || !self.is_short(segment.name) {
            return None;
        }
        let name = segment.name;
        let mut unheld = missing.clone();
        let mut has_company = false;
        for neighbour in self.neighbours.values() {
            let Some(track) = neighbour.track(name.track) else {
                continue;
            };
            has_company |= neighbour.watches(name.track) && !track.holds_all(name.ordinal);
            unheld.subtract(&track.holds_of(name.ordinal, &unheld));
        }
        if !has_company || unheld.len() < LEAST_APART {
            return None;
        }
        let place = self.voter.place(name, unheld.len());
        let start = unheld.iter().nth(place)?;
        let run = missing.ranges().find(|run| run.contains(start))?;
        Some(BlockRange::new(start, run.end))
    }

    /// Whether HTTP is too slow for a segment: it takes longer than two thirds of the time that the
    /// segment plays, so that the little that others take of the same origin makes it late.
    pub(crate) fn is_short(&self, name: SegmentRef) -> bool {
        let track = self.track(name.track);
        let found = track.and_then(|track| Some((track, track.get(name)?)));
        found.is_some_and(|(track, segment)| {
            let len = track.expected_len(segment);
            let took = self.throughput.estimate().time_for(len);
            took.saturating_mul(3) / 2 > segment.duration
        })
    }

    /// Whether HTTP is at work on a segment, and will be for longer than another request takes to
    /// be answered.
    pub(crate) fn is_worked_at(&self, name: SegmentRef) -> bool {
        let mut fetches = self.fetches.iter();
        fetches.any(|fetch| fetch.segment == name && self.is_alive(fetch) && !self.is_ending(fetch))
    }

    /// Whether what an attempt has still to bring comes sooner than the first byte of another.
    fn is_ending(&self, fetch: &Fetch) -> bool {
        let left = self.throughput.estimate().time_for(self.left_of(fetch));
        fetch.answered_at.is_some() && left <= self.ttfb.p95
    }
}
