//! The publisher's peer: tells its session each block map when it is signed.

use std::collections::VecDeque;

use p2pcdn::{SessionInput, wire::Instant};

use super::{
    ViewerStore,
    life::{Life, Role},
};
use crate::tally::SegmentKey;

/// Which block maps are still to come.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// Listed and not signed yet, oldest first.
    unsigned: VecDeque<(Instant, SegmentKey)>,
    /// Segments below this ordinal were seen.
    seen: u64,
}

impl Publishing {
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.unsigned.front().map(|(at, _)| *at)
    }
}

impl<S: ViewerStore> Life<S> {
    /// Plans the maps of what is newly listed. Its own reading of the origin is no viewer's.
    pub(super) fn plan_maps(&mut self, published: u64) {
        let Role::Publisher(publishing) = &mut self.role else {
            return;
        };
        let media = &self.shared.media;
        let listed = media.listed(published);
        for ordinal in listed.start.max(publishing.seen)..listed.end {
            for track in 0..media.track_count() {
                let key = SegmentKey { track, ordinal };
                let at = media.map_at(track, ordinal);
                publishing.unsigned.push_back((at, key));
            }
        }
        publishing.seen = publishing.seen.max(published);
    }

    /// Hands the session what is signed by now.
    pub(super) fn publish_due(&mut self, now: Instant) {
        while let Role::Publisher(publishing) = &mut self.role
            && publishing.due_at().is_some_and(|at| at <= now)
            && let Some((_, key)) = publishing.unsigned.pop_front()
        {
            let id = self.shared.media.track_id(key.track);
            let session = self.session.as_ref();
            let segment = session.and_then(|it| it.segment_ref(id, key.ordinal));
            if let Some(segment) = segment {
                let encoded = self.shared.media.map(key.track, key.ordinal);
                self.tell(SessionInput::MapSigned { segment, encoded }, now);
            }
        }
    }
}
