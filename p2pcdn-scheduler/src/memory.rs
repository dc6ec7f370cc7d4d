//! What is kept, and for how long.

use p2pcdn_wire::{MediaTime, Role, SegmentRef};

use crate::{
    agenda::Agenda,
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
            for segment in track.held() {
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
        self.memory_room = self.config.memory_budget.saturating_sub(total);
        // The playhead at its end makes a segment one that may go, a moment before it is past it.
        if let Some(at) = next.and_then(|next| self.clock.reaches_at(next)) {
            self.look_again(at);
        }
        if total > self.config.memory_budget {
            self.look_again(self.now);
        }
        if let Some(end) = self.forget_unlisted(position)
            && let Some(at) = self.clock.reaches_at(end)
        {
            self.look_again(at);
        }
    }

    /// Forgets segments that are neither listed nor needed nor held. Returns the end of the first
    /// that is merely needed.
    fn forget_unlisted(&mut self, position: MediaTime) -> Option<MediaTime> {
        let outputs = &mut self.outputs;
        let mut next: Option<MediaTime> = None;
        for track in &mut self.tracks {
            let (first_listed, role) = (track.first_listed, track.role);
            if track
                .segments
                .first()
                .is_none_or(|first| first.name.ordinal >= first_listed)
            {
                continue;
            }
            let count = track.segments.len();
            track.segments.retain(|segment| {
                let keep = segment.name.ordinal >= first_listed
                    || (role == Role::Watching && segment.end() > position)
                    || segment.is_held_in_part();
                if !keep {
                    outputs.push_back(Output::Evict {
                        segment: segment.name,
                    });
                } else if segment.name.ordinal < first_listed && !segment.is_held_in_part() {
                    next = next.into_iter().chain([segment.end()]).min();
                }
                keep
            });
            if track.segments.len() != count {
                track.note_lengths();
            }
        }
        next
    }

    fn evict(&mut self, name: SegmentRef) {
        let Some(track) = self.track_mut(name.track) else {
            return;
        };
        let Some(segment) = track.get_mut(name) else {
            return;
        };
        let was_told = segment.is_told();
        segment.clear();
        segment.has_map = false;
        track.note_held(name.ordinal, false);
        self.agenda = Agenda::new();
        self.outputs.push_back(Output::Evict { segment: name });
        if was_told {
            self.tell_lost(name);
        }
    }
}

fn is_needed(track: &Track, segment: &Segment, position: MediaTime) -> bool {
    track.role == Role::Watching && segment.end() > position
}
