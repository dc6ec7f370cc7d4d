//! MPDs as JSON.

use std::collections::BTreeSet;

use p2pcdn_manifest::{
    ListedSegment, Listing, MpdResource, Period, Representation, SegmentWindow, parse_mpd,
};
use p2pcdn_wire::{ByteRange, UnixTime};
use serde_json::{Value, json};

use super::refusal;

/// Segments of one list that are printed.
const MAX_PRINTED: u64 = 20_000;

/// Segments of one MPD that are printed: a hostile one has thousands of lists without end.
const MAX_PRINTED_IN_ALL: u64 = 500_000;

/// What an MPD that came from `base` says at `now`.
pub(crate) fn dump(text: &[u8], base: &str, now: Option<UnixTime>) -> Value {
    let mpd = match parse_mpd(text, base) {
        Ok(mpd) => mpd,
        Err(error) => return refusal(&error.to_string()),
    };
    let mut printer = Printer {
        now,
        never_share: mpd.never_share.iter().map(|url| url.as_str()).collect(),
        left: MAX_PRINTED_IN_ALL,
    };
    let periods: Vec<_> = mpd.periods.iter().map(|it| printer.period(it)).collect();
    json!({
        "kind": "mpd",
        "never_share": printer.never_share,
        "live": mpd.is_dynamic,
        "periods": periods,
        "warnings": mpd.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

struct Printer<'a> {
    now: Option<UnixTime>,
    never_share: BTreeSet<&'a str>,
    /// Segments that may still be printed.
    left: u64,
}

impl Printer<'_> {
    fn period(&mut self, period: &Period) -> Value {
        let sets = period.adaptation_sets.iter();
        let representations = sets.flat_map(|set| &set.representations);
        let tracks: Vec<_> = representations.map(|it| self.track(it, period)).collect();
        json!({
            "id": period.id.as_deref(),
            "start": period.start.map(|start| start.as_secs_f64()),
            "tracks": tracks,
        })
    }

    fn track(&mut self, representation: &Representation, period: &Period) -> Value {
        let mut index = Value::Null;
        let mut truncated = false;
        let segments = match representation.listing(self.now) {
            Listing::Segments(window) => {
                // The players that it is compared with know of no segment sequences.
                let window = window.sequences();
                let newest = newest(&window, MAX_PRINTED.min(self.left));
                truncated = newest.count() < window.count();
                self.left -= newest.count();
                newest.iter().map(|it| self.segment(&it)).collect()
            }
            Listing::Indexed { index: found, .. } => {
                index = self.resource(&found);
                Vec::new()
            }
            Listing::Single(whole) => {
                let mut single = self.resource(&whole);
                single["start"] = json!(period.start.map(|start| start.as_secs_f64()));
                single["duration"] = json!(period.duration.map(|it| it.as_secs_f64()));
                vec![single]
            }
            _ => Vec::new(),
        };
        json!({
            "id": representation.id.as_deref(),
            "content_type": representation.content_type.to_string(),
            "bandwidth": representation.bandwidth,
            "init": representation.init.as_ref().map(|init| self.resource(init)),
            "index": index,
            "truncated": truncated,
            "segments": segments,
        })
    }

    fn segment(&self, segment: &ListedSegment) -> Value {
        json!({
            "uri": &*segment.url,
            "byte_range": range(segment.range),
            "number": segment.number,
            "time": segment.time,
            "start": segment.start.as_secs_f64(),
            "duration": segment.duration.map(|duration| duration.as_secs_f64()),
            "shareable": self.is_shareable(&segment.url),
        })
    }

    fn resource(&self, resource: &MpdResource) -> Value {
        json!({
            "uri": &*resource.url,
            "byte_range": range(resource.range),
            "shareable": self.is_shareable(&resource.url),
        })
    }

    fn is_shareable(&self, url: &str) -> bool {
        !self.never_share.contains(url)
    }
}

fn newest(window: &SegmentWindow, count: u64) -> SegmentWindow {
    let end = window.end_index();
    window.window(end.saturating_sub(count), end)
}

fn range(range: Option<ByteRange>) -> Value {
    range.map_or(
        Value::Null,
        |range| json!({ "start": range.start, "len": range.len() }),
    )
}
