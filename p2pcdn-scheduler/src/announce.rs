//! Telling neighbours what is held.

use std::time::Duration;

use p2pcdn_wire::{
    BlockSet, Instant, LinkId, OrdinalRange, Role, Say, SegmentRef, TrackIndex, UploadClass,
    tag_digest,
};

use crate::{
    io::Output,
    scheduler::Scheduler,
    segment::{Announced, Segment, Track},
};

/// Neighbours that are told of the progress of one segment; 3 or 4 that forward are enough for
/// the number of copies to double each generation, and some have no room.
const PROGRESS_DEGREE: usize = 16;

/// Progress is told after this time and this many blocks, whichever is longer...
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);
const PROGRESS_BLOCKS: u32 = 4;

/// ...or after this time, however little it is.
const PROGRESS_PATIENCE: Duration = Duration::from_millis(60);

impl Scheduler {
    /// Tells a neighbour that joined a track what we hold there.
    pub(crate) fn tell_holdings(&mut self, link: LinkId, track: TrackIndex) {
        let mut told = Vec::new();
        if let Some(track) = self.track(track) {
            told.extend(
                runs(track, Segment::is_verified)
                    .iter()
                    .map(|run| have(run)),
            );
            let is_mapped = |segment: &Segment| segment.has_map && !segment.is_verified();
            told.extend(runs(track, is_mapped).iter().map(|run| has_maps(run)));
            let in_progress = track.segments.iter().filter(|segment| {
                is_mapped(segment) && segment.is_shared() && !segment.verified.is_empty()
            });
            told.extend(in_progress.filter_map(holds));
        }
        for say in told {
            self.say(link, say);
        }
    }

    /// Tells all neighbours in the track that a segment is complete.
    pub(crate) fn tell_complete(&mut self, name: SegmentRef) {
        let say = Say::Have {
            track: name.track,
            ordinals: OrdinalRange::one(name.ordinal),
            digest: tag_digest([name.tag]),
        };
        self.tell_track(name.track, &say);
    }

    /// Tells the neighbours that may lack the block map that we have it.
    pub(crate) fn tell_map(&mut self, name: SegmentRef) {
        let Some(segment) = self.track(name.track).and_then(|track| track.get(name)) else {
            return;
        };
        let say = has_maps(&[segment]);
        let lacking: Vec<_> = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| {
                neighbour.track(name.track).is_some_and(|track| {
                    track.role == Role::Watching && !track.has_map(name.ordinal)
                })
            })
            .map(|(link, _)| link)
            .collect();
        for link in lacking {
            self.say(link, say.clone());
        }
    }

    /// Tells all neighbours in the track that segments are gone.
    pub(crate) fn tell_lost(&mut self, name: SegmentRef) {
        let say = Say::Lost {
            track: name.track,
            ordinals: OrdinalRange::one(name.ordinal),
        };
        self.tell_track(name.track, &say);
    }

    /// Tells all neighbours in the track.
    pub(crate) fn tell_track(&mut self, track: TrackIndex, say: &Say) {
        let outputs = &mut self.outputs;
        for (link, neighbour) in self.neighbours.iter() {
            if neighbour.track(track).is_some() {
                outputs.push_back(Output::Peer(link, say.clone()));
            }
        }
    }

    /// Tells the progress of segments whose news is due.
    pub(crate) fn plan_announcements(&mut self) {
        for at in 0..self.unannounced.len() {
            let name = self.unannounced[at];
            match self.progress_due(name) {
                None => {}
                Some(due_at) if due_at <= self.now => self.tell_progress(name),
                Some(due_at) => self.wake(due_at),
            }
        }
        let mut unannounced = std::mem::take(&mut self.unannounced);
        unannounced.retain(|name| self.progress_due(*name).is_some());
        self.unannounced = unannounced;
    }

    /// When the next progress of a segment is to be told; `None` when there is none.
    fn progress_due(&self, name: SegmentRef) -> Option<Instant> {
        // Nobody asks a viewer that declares no uplink.
        if self.policy.effective_class() == UploadClass::None {
            return None;
        }
        progress_due(self.track(name.track)?.get(name)?, self.now)
    }

    /// Remembers that a segment has progress to tell.
    pub(crate) fn note_progress(&mut self, name: SegmentRef) {
        if self.progress_due(name).is_some() {
            self.insert_in_order(name, |own| &mut own.unannounced);
        }
    }

    fn tell_progress(&mut self, name: SegmentRef) {
        let now = self.now;
        let recipients = self.progress_recipients(name);
        let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name)) else {
            return;
        };
        segment.work_mut().announced = Announced {
            count: segment.verified.len(),
            at: Some(now),
        };
        let Some(say) = holds(segment) else {
            return;
        };
        for link in recipients {
            self.say(link, say.clone());
        }
    }

    /// The neighbours that want the segment, in an order that differs from sender to sender.
    fn progress_recipients(&self, name: SegmentRef) -> Vec<LinkId> {
        let mut wanting: Vec<_> = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| {
                neighbour
                    .track(name.track)
                    .is_some_and(|t| t.role == Role::Watching && !t.holds_all(name.ordinal))
            })
            .map(|(link, neighbour)| (neighbour.voter.affinity(self.voter, name), link))
            .collect();
        wanting.sort_unstable();
        wanting.truncate(PROGRESS_DEGREE);
        wanting.into_iter().map(|(_, link)| link).collect()
    }
}

/// The shared segments of a track for which `is` holds, in runs of consecutive ordinals.
fn runs(track: &Track, is: impl Fn(&Segment) -> bool) -> Vec<Vec<&Segment>> {
    let mut runs: Vec<Vec<&Segment>> = Vec::new();
    for segment in track.segments.iter().filter(|s| s.is_shared() && is(s)) {
        let before = segment.name.ordinal.checked_sub(1);
        match runs.last_mut() {
            Some(run) if run.last().map(|last| last.name.ordinal) == before => run.push(segment),
            _ => runs.push(vec![segment]),
        }
    }
    runs
}

fn have(run: &[&Segment]) -> Say {
    let (track, ordinals, digest) = span(run);
    Say::Have {
        track,
        ordinals,
        digest,
    }
}

fn has_maps(run: &[&Segment]) -> Say {
    let (track, ordinals, digest) = span(run);
    Say::HasMaps {
        track,
        ordinals,
        digest,
    }
}

/// What names a run, which has at least one segment.
fn span(run: &[&Segment]) -> (TrackIndex, OrdinalRange, u32) {
    let first = run.first().expect("a run has a segment").name;
    let last = run.last().expect("a run has a segment").name.ordinal;
    let digest = tag_digest(run.iter().map(|segment| segment.name.tag));
    let ordinals = OrdinalRange::new(first.ordinal, last.saturating_add(1));
    (first.track, ordinals, digest)
}

fn holds(segment: &Segment) -> Option<Say> {
    let blocks = if segment.is_shared() {
        segment.verified.clone()
    } else {
        BlockSet::new()
    };
    Some(Say::Holds {
        segment: segment.name,
        segment_len: segment.len?,
        blocks,
    })
}

/// When the next progress of a segment is to be told; `None` when there is none.
fn progress_due(segment: &Segment, now: Instant) -> Option<Instant> {
    if !segment.has_map || segment.completed || !segment.is_shared() {
        return None;
    }
    let news = segment
        .verified
        .len()
        .saturating_sub(segment.work().announced.count);
    match segment.work().announced.at {
        _ if news == 0 => None,
        None => Some(now),
        Some(at) if news >= PROGRESS_BLOCKS => Some(at + PROGRESS_INTERVAL),
        Some(at) => Some(at + PROGRESS_PATIENCE),
    }
}
