//! When which link wants to be woken.

use std::{cmp::Reverse, collections::BinaryHeap};

use p2pcdn_wire::{Instant, LinkId};

/// Alarms of many links, at most one of them current per link; a replaced one stays in the heap
/// until its time and is skipped then.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, LinkId)>>,
}

impl Timers {
    /// Wakes `link` at `at`, unless `current`, its alarm so far, is earlier.
    pub(super) fn set(&mut self, link: LinkId, at: Instant, current: &mut Option<Instant>) {
        if current.is_none_or(|current| at < current) {
            *current = Some(at);
            self.heap.push(Reverse((at, link)));
        }
    }

    /// The next alarm that is due, current or replaced.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, LinkId)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(alarm)| alarm)
    }

    /// When the next alarm is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
