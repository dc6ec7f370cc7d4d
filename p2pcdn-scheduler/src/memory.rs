//! What is kept, and for how long.

use p2pcdn_wire::{MediaTime, Role, SegmentRef};

use crate::{
    io::Output,
    scheduler::Scheduler,
    segment::{Segment, Track},
};

impl Scheduler {
    /// Evicts what was played long ago, then what the budget has no room for, farthest behind the
    /// playhead first; never what the player still needs.
    pub(crate) fn plan_memory(&mut self) {
        let position = self.clock.position(self.now);
        let keep_from = position.saturating_sub(self.config.keep_behind);
        let mut total: u64 = 0;
        let mut evictable = Vec::new();
        let mut needed: Option<MediaTime> = None;
        for track in &self.tracks {
            for segment in track.segments.iter().filter(|s| s.is_held_in_part()) {
                total += segment.held_len();
                if is_needed(track, segment, position) {
                    needed = needed.into_iter().chain([segment.end()]).min();
                } else {
                    evictable.push((segment.end(), segment.name, segment.held_len()));
                }
            }
        }
        evictable.sort_unstable();
        let mut kept = None;
        for (end, name, len) in evictable {
            if end >= keep_from && total <= self.config.memory_budget {
                kept = Some(end);
                break;
            }
            total -= len;
            self.evict(name);
        }
        // Without room, what is needed goes as soon as it was played.
        let next = if total > self.config.memory_budget {
            needed
        } else {
            let first = kept.into_iter().chain(needed).min();
            first.map(|end| end + self.config.keep_behind)
        };
        if let Some(at) = next.and_then(|next| self.clock.passes_at(next)) {
            self.wake(at);
        }
        self.forget_unlisted(position);
    }

    /// Forgets segments that are neither listed nor needed nor held.
    fn forget_unlisted(&mut self, position: MediaTime) {
        let outputs = &mut self.outputs;
        for track in &mut self.tracks {
            let (first_listed, role) = (track.first_listed, track.role);
            track.segments.retain(|segment| {
                let keep = segment.name.ordinal >= first_listed
                    || (role == Role::Watching && segment.end() > position)
                    || segment.is_held_in_part();
                if !keep {
                    outputs.push_back(Output::Evict {
                        segment: segment.name,
                    });
                }
                keep
            });
        }
    }

    fn evict(&mut self, name: SegmentRef) {
        let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name)) else {
            return;
        };
        let was_told = segment.is_told();
        segment.clear();
        segment.has_map = false;
        self.outputs.push_back(Output::Evict { segment: name });
        if was_told {
            self.tell_lost(name);
        }
    }
}

fn is_needed(track: &Track, segment: &Segment, position: MediaTime) -> bool {
    track.role == Role::Watching && segment.end() > position
}
