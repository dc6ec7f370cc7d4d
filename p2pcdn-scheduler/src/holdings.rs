//! What this viewer holds, as the session reports it.

use p2pcdn_wire::{BlockSet, Say, SegmentRef, TrackIndex};

use crate::{
    io::{Event, Output, Sharing},
    scheduler::Scheduler,
    segment::{Duty, Segment},
};

impl Scheduler {
    pub(crate) fn length_known(&mut self, name: SegmentRef, segment_len: u64) {
        self.change_segment(name, |segment| {
            segment.len.get_or_insert(segment_len);
        });
    }

    pub(crate) fn map_known(&mut self, name: SegmentRef, segment_len: u64) {
        let mut is_new = false;
        self.change_segment(name, |segment| {
            is_new = !segment.has_map;
            if is_new {
                segment.has_map = true;
                segment.len = Some(segment_len);
            }
        });
        if is_new {
            self.tell_map(name);
        }
    }

    pub(crate) fn stored(
        &mut self,
        name: SegmentRef,
        verified: &BlockSet,
        private: &BlockSet,
        quarantined: &BlockSet,
    ) {
        let was_verified = self.may_serve_all(name);
        let segment = self.track(name.track).and_then(|track| track.get(name));
        if segment.is_some_and(|segment| !segment.has_map) {
            // What waits for the block map leaves less room for more of it.
            self.agenda.sources.spoil();
        }
        self.change_segment(name, |segment| {
            segment.verified.union_with(verified);
            segment.hold_unverified(private, quarantined);
        });
        if !was_verified && self.may_serve_all(name) {
            self.tell_complete(name);
        }
    }

    pub(crate) fn cleared(&mut self, name: SegmentRef) {
        self.take_back(name);
        self.with_segment(name, |segment| {
            segment.clear();
            segment.has_map = false;
            segment.len = None;
        });
    }

    pub(crate) fn unshareable(
        &mut self,
        name: SegmentRef,
        segment_len: Option<u64>,
        private: BlockSet,
    ) {
        self.take_back(name);
        self.change_segment(name, |segment| {
            let was_completed = segment.completed;
            segment.sharing = Sharing::HttpOnly;
            segment.clear();
            segment.has_map = false;
            // The block map's may not be that of what HTTP delivers.
            segment.len = segment_len;
            segment.work_mut().private = private;
            let is_complete = segment.missing().is_some_and(|missing| missing.is_empty());
            segment.completed = was_completed && is_complete;
        });
    }

    pub(crate) fn reset_track(&mut self, index: TrackIndex) {
        let Some(track) = self.track_mut(index) else {
            return;
        };
        let names: Vec<_> = track.segments.iter().map(|segment| segment.name).collect();
        for name in names {
            self.take_back(name);
            self.outputs.push_back(Output::Evict { segment: name });
        }
        if let Some(track) = self.track_mut(index) {
            track.forget_segments();
        }
        for neighbour in self.neighbours.values_mut() {
            neighbour.forget_segments(index);
        }
    }

    pub(crate) fn leave_track(&mut self, index: TrackIndex) {
        self.reset_track(index);
        self.tracks.retain(|track| track.index != index);
        for neighbour in self.neighbours.values_mut() {
            neighbour.left(index);
        }
    }

    /// Takes back what neighbours were told of a segment: that we hold or fetch it.
    fn take_back(&mut self, name: SegmentRef) {
        self.withdraw_intent(name);
        let segment = self.track(name.track).and_then(|track| track.get(name));
        if segment.is_some_and(Segment::is_told) {
            self.tell_lost(name);
        }
    }

    /// Tells the neighbours that we no longer fetch a segment, if they think so.
    pub(crate) fn withdraw_intent(&mut self, name: SegmentRef) {
        let mut was_ours = false;
        self.with_segment(name, |segment| {
            was_ours = segment.duty == Duty::Ours;
            if was_ours {
                segment.duty = Duty::Unknown;
            }
        });
        if was_ours {
            self.tell_track(name.track, &Say::IntentWithdrawn { segment: name });
        }
    }

    /// Changes a segment, and lets the caller know if that completes it.
    fn change_segment(&mut self, name: SegmentRef, change: impl FnOnce(&mut Segment)) {
        let mut completes = false;
        self.with_segment(name, |segment| {
            change(segment);
            completes = segment.completes();
        });
        self.note_progress(name);
        if completes {
            self.event(Event::SegmentCompleted { segment: name });
        }
    }

    fn may_serve_all(&self, name: SegmentRef) -> bool {
        self.track(name.track)
            .and_then(|track| track.get(name))
            .is_some_and(|segment| segment.is_verified() && segment.is_shared())
    }
}
