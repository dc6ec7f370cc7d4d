//! The stream as its publisher knows it, also where it is not listed yet.

use std::{collections::BTreeMap, fmt::Write as _};

use bytes::Bytes;
use p2pcdn::{
    manifest::{Config, Input, Output, Refresh},
    wire::{Instant as WireInstant, SegmentId, SwarmId, TrackId},
};
use p2pcdn_example_swarm::{Rendition, SEGMENT_SECONDS};
use tokio::time::Instant;

/// Names and bytes of the segments of one track, of later ones too: names depend on nothing that
/// is not known beforehand.
pub(crate) struct Foreseen {
    pub(crate) swarm: SwarmId,
    pub(crate) track: TrackId,
    pub(crate) ids: BTreeMap<u64, SegmentId>,
    rendition: Rendition,
    live_since: Instant,
}

impl Foreseen {
    /// Reads a playlist made up for the purpose, under the URL of the real one.
    pub(crate) fn new(url: &str, rendition: Rendition, live_since: Instant) -> Self {
        let now = WireInstant::EPOCH;
        let mut refresh = Refresh::new(Config::default(), url, now);
        let loaded = Input::Loaded {
            url: url.into(),
            range: None,
            final_url: url.into(),
            body: text().into(),
        };
        refresh.handle_input(loaded, now);
        let updated =
            std::iter::from_fn(|| refresh.poll_output()).find_map(|output| match output {
                Output::Updated(update) => Some(update.presentation),
                _ => None,
            });
        let presentation = updated.expect("the text is a playlist");
        let track = &presentation.tracks[0];
        let segments = track.segments.as_ref().expect("it is the manifest itself");
        let ids = segments.iter().map(|one| (one.ordinal, one.id));
        Self {
            swarm: presentation.swarm,
            track: track.id,
            ids: ids.collect(),
            rendition,
            live_since,
        }
    }

    /// The segments that the live playlist lists at `now`, and those before them.
    pub(crate) fn published(&self, now: Instant) -> impl Iterator<Item = (u64, SegmentId)> {
        let running = now.saturating_duration_since(self.live_since);
        let listed = running.as_secs() / SEGMENT_SECONDS;
        self.ids
            .range(..listed)
            .map(|(ordinal, id)| (*ordinal, *id))
    }

    pub(crate) fn bytes(&self, ordinal: u64) -> Bytes {
        self.rendition.segment(ordinal)
    }
}

fn text() -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{SEGMENT_SECONDS}\n\
         #EXT-X-MEDIA-SEQUENCE:{FIRST}\n#EXT-X-MAP:URI=\"init.mp4\"\n"
    );
    for sequence in FIRST..END {
        let _ = writeln!(
            text,
            "#EXTINF:{SEGMENT_SECONDS}.000,\nseg-{sequence:06}.m4s"
        );
    }
    text
}

/// From the first segment that a scene lists to more than it ever will.
const FIRST: u64 = 20;
const END: u64 = 80;
