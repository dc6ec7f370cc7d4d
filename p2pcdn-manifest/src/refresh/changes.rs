//! What became of the segments of a presentation since it was last put out.

use std::sync::Arc;

use p2pcdn_wire::{OrdinalRange, TrackId};

use crate::{listed::Compared, presentation::Presentation, segments::Segments};

/// A presentation that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// All of it.
    pub presentation: Arc<Presentation>,
    /// What became of the segments, track by track; tracks whose segments stayed are left out.
    pub changes: Vec<TrackChange>,
}

/// What became of the segments of a track since the last update. The ranges are of ordinals,
/// ascending and apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackChange {
    /// The track.
    pub track: TrackId,
    /// Whether its numbering began anew: then all segments of before are in `removed`, all of now
    /// in `added`.
    pub restarted: bool,
    /// Segments that were not listed.
    pub added: Vec<OrdinalRange>,
    /// Segments that are listed no more.
    pub removed: Vec<OrdinalRange>,
    /// Segments of which something other than a computed date changed: their URL, say, or their
    /// place on the timeline.
    pub changed: Vec<OrdinalRange>,
}

/// Compares two presentations in time proportional to the segments of the tracks that changed.
pub(super) fn changes(old: Option<&Presentation>, new: &Presentation) -> Vec<TrackChange> {
    let known = |id: TrackId| old?.track(id)?.segments.as_ref();
    let now = new.tracks.iter().map(|track| {
        let change = change(track.id, known(track.id), track.segments.as_ref());
        change.filter(|change| !change.is_empty())
    });
    let gone = old.into_iter().flat_map(|old| &old.tracks);
    let gone = gone.filter(|track| new.track(track.id).is_none());
    let gone = gone.map(|track| change(track.id, track.segments.as_ref(), None));
    now.chain(gone).flatten().collect()
}

fn change(track: TrackId, old: Option<&Segments>, new: Option<&Segments>) -> Option<TrackChange> {
    if let (Some(old), Some(new)) = (old, new)
        && old.rows.ptr_eq(&new.rows)
        && old.never_shared == new.never_shared
    {
        return None;
    }
    let mut change = TrackChange {
        track,
        restarted: old
            .zip(new)
            .is_some_and(|(old, new)| old.epoch != new.epoch),
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
    };
    let count = |segments: Option<&Segments>| segments.map_or(0, Segments::len);
    let ordinal = |segments: Option<&Segments>, at: usize| {
        let rows = &segments?.rows;
        (at < rows.len()).then(|| rows.ordinal(at))
    };
    let same_scope = old
        .zip(new)
        .is_some_and(|(old, new)| old.rows.has_scope_of(&new.rows));
    let mut compared = Compared::default();
    let (mut before, mut after) = (0, 0);
    while before < count(old) || after < count(new) {
        let (was, is) = (ordinal(old, before), ordinal(new, after));
        let earlier = |a: Option<u64>, b: Option<u64>| a.is_some() && (b.is_none() || a < b);
        if change.restarted && was.is_some() || earlier(was, is) {
            push(&mut change.removed, was);
            before += 1;
        } else if change.restarted || earlier(is, was) {
            push(&mut change.added, is);
            after += 1;
        } else {
            let same = same_scope
                && old.zip(new).is_some_and(|(old, new)| {
                    // The same may be written in other ways.
                    old.is_same(before, new, after, &mut compared)
                        || old.makes_same(before, new, after)
                });
            if !same {
                push(&mut change.changed, is);
            }
            before += 1;
            after += 1;
        }
    }
    Some(change)
}

impl TrackChange {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Adds an ordinal to the last range if it follows at once, else as a range of its own.
fn push(ranges: &mut Vec<OrdinalRange>, ordinal: Option<u64>) {
    let Some(ordinal) = ordinal else { return };
    let end = ordinal.saturating_add(1);
    match ranges.last_mut() {
        Some(last) if last.end == ordinal => last.end = end,
        _ => ranges.push(OrdinalRange::new(ordinal, end)),
    }
}
