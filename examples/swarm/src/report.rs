//! The figures: what was delivered, by whom, and what the viewers saw.
//!
//! | figure | definition |
//! |---|---|
//! | `peer_efficiency` | useful peer bytes / (useful peer bytes + HTTP media bytes) |
//! | `offload` | useful peer bytes / (useful peer bytes + every HTTP byte: media, manifests, signatures, and what the attester read) |
//! | `bound` | 1 - bytes of distinct segments / bytes of all segments, of those delivered to anyone |
//! | `*_steady` | the same over the segments whose playback began more than 10 s after their viewer's first frame; null when a viewer has fewer than 10 of them |
//! | `http_bytes` | media over HTTP, all viewers; manifests and the attester are apart |
//! | `control_bytes` | peer traffic that is not content, each message counted where it arrived |

use std::{collections::BTreeMap, time::Duration};

use p2pcdn::{metrics::Delivery, wire::SegmentId};
use serde::Serialize;

use crate::record::{SegmentRecord, ViewerRecord};

/// What a run has shown; serialises to the object that `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Viewers in each world.
    pub viewers: usize,
    /// Seconds from the moment when the last viewer joined.
    pub duration_s: f64,
    /// See the table above; null when nothing was delivered.
    pub peer_efficiency: Option<f64>,
    /// See the table above.
    pub peer_efficiency_steady: Option<f64>,
    /// See the table above; null when nothing was delivered.
    pub offload: Option<f64>,
    /// The best `peer_efficiency` possible with what was delivered.
    pub bound: Option<f64>,
    /// The best `peer_efficiency_steady` possible with what was delivered.
    pub bound_steady: Option<f64>,
    /// Media bytes over HTTP.
    pub http_bytes: u64,
    /// Useful content bytes from peers.
    pub peer_bytes: u64,
    /// Content bytes sent to peers.
    pub upload_bytes: u64,
    /// Content bytes from peers that were of no use.
    pub waste_bytes: u64,
    /// Peer traffic that is not content.
    pub control_bytes: u64,
    /// Playlists over HTTP.
    pub manifest_bytes: u64,
    /// What the origin served to the attester.
    pub attester_bytes: u64,
    /// Every HTTP byte of the viewers, by reason.
    pub http_bytes_by_reason: BTreeMap<&'static str, u64>,
    /// Stalls of all viewers.
    pub stalls: u64,
    /// Seconds that all viewers together stood still.
    pub stall_seconds: f64,
    /// Per viewer, from joining to the first frame; null when there was none.
    pub startup_ms: Vec<Option<f64>>,
    /// Per viewer, mean distance behind the dates in the playlist; null without dates.
    pub latency_s: Vec<Option<f64>>,
    /// Per viewer, media played.
    pub played_seconds: Vec<f64>,
    /// Segments with other bytes than the origin's.
    pub corrupt_segments: u64,
    /// The same viewers over HTTP alone; null when they were left out.
    pub control: Option<Control>,
}

/// The figures of a world without peers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// Media bytes over HTTP.
    pub http_bytes: u64,
    /// Stalls of all viewers.
    pub stalls: u64,
    /// Seconds that all viewers together stood still.
    pub stall_seconds: f64,
    /// Per viewer, from joining to the first frame; null when there was none.
    pub startup_ms: Vec<Option<f64>>,
    /// Per viewer, mean distance behind the dates in the playlist; null without dates.
    pub latency_s: Vec<Option<f64>>,
    /// Per viewer, media played.
    pub played_seconds: Vec<f64>,
}

impl Report {
    /// The figures of a run of `duration` with these viewers, and of their twins over HTTP alone.
    #[must_use]
    pub fn new(
        duration: Duration,
        hybrid: &[ViewerRecord],
        attester_bytes: u64,
        control: Option<&[ViewerRecord]>,
    ) -> Self {
        let delivery: Delivery = hybrid.iter().map(|viewer| viewer.delivery).sum();
        let every_http_byte = delivery.http_total_bytes() + attester_bytes;
        let steady = steady_segments(hybrid);
        let reasons = delivery.http_bytes.iter();
        Self {
            viewers: hybrid.len(),
            duration_s: duration.as_secs_f64(),
            peer_efficiency: delivery.peer_efficiency(),
            peer_efficiency_steady: steady.as_deref().and_then(efficiency),
            offload: share(delivery.peer_bytes, every_http_byte),
            bound: bound(hybrid.iter().flat_map(|viewer| &viewer.segments)),
            bound_steady: steady.as_ref().and_then(|all| bound(all.iter().copied())),
            http_bytes: delivery.http_media_bytes(),
            peer_bytes: delivery.peer_bytes,
            upload_bytes: delivery.upload_bytes,
            waste_bytes: delivery.waste_total_bytes(),
            control_bytes: delivery.control_received_bytes,
            manifest_bytes: delivery.http_bytes.manifest,
            attester_bytes,
            http_bytes_by_reason: reasons
                .map(|(reason, bytes)| (reason.as_str(), bytes))
                .collect(),
            stalls: stalls(hybrid),
            stall_seconds: stall_seconds(hybrid),
            startup_ms: startup_ms(hybrid),
            latency_s: latency_s(hybrid),
            played_seconds: played_seconds(hybrid),
            corrupt_segments: hybrid.iter().map(|viewer| viewer.corrupt).sum(),
            control: control.map(Control::new),
        }
    }
}

impl Control {
    fn new(viewers: &[ViewerRecord]) -> Self {
        let delivery: Delivery = viewers.iter().map(|viewer| viewer.delivery).sum();
        Self {
            http_bytes: delivery.http_media_bytes(),
            stalls: stalls(viewers),
            stall_seconds: stall_seconds(viewers),
            startup_ms: startup_ms(viewers),
            latency_s: latency_s(viewers),
            played_seconds: played_seconds(viewers),
        }
    }
}

/// The steady segments of all viewers; `None` when one of the viewers has too few.
fn steady_segments(viewers: &[ViewerRecord]) -> Option<Vec<&SegmentRecord>> {
    let mut all = Vec::new();
    for viewer in viewers {
        let steady = |one: &&SegmentRecord| one.begun.is_some_and(|begun| begun > SETTLING);
        let before = all.len();
        all.extend(viewer.segments.iter().filter(steady));
        if all.len() - before < STEADY_SEGMENTS_MIN {
            return None;
        }
    }
    Some(all)
}

fn efficiency(segments: &[&SegmentRecord]) -> Option<f64> {
    let peer = segments.iter().map(|one| one.split.peer_bytes).sum();
    let http = segments.iter().map(|one| one.split.http_bytes).sum();
    share(peer, http)
}

fn bound<'a>(segments: impl Iterator<Item = &'a SegmentRecord>) -> Option<f64> {
    let mut distinct: BTreeMap<SegmentId, u64> = BTreeMap::new();
    let mut delivered = 0;
    for one in segments {
        delivered += one.len;
        distinct.insert(one.id, one.len);
    }
    let distinct: u64 = distinct.values().sum();
    share(delivered - distinct, distinct)
}

/// `part / (part + rest)`; `None` when both are zero.
fn share(part: u64, rest: u64) -> Option<f64> {
    let whole = part + rest;
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn stalls(viewers: &[ViewerRecord]) -> u64 {
    viewers.iter().map(|viewer| viewer.stalls).sum()
}

fn stall_seconds(viewers: &[ViewerRecord]) -> f64 {
    let stalled: Duration = viewers.iter().map(|viewer| viewer.stalled).sum();
    stalled.as_secs_f64()
}

fn startup_ms(viewers: &[ViewerRecord]) -> Vec<Option<f64>> {
    let millis = |startup: Duration| startup.as_secs_f64() * 1e3;
    viewers.iter().map(|one| one.startup.map(millis)).collect()
}

fn latency_s(viewers: &[ViewerRecord]) -> Vec<Option<f64>> {
    let seconds = |latency: Duration| latency.as_secs_f64();
    viewers.iter().map(|one| one.latency.map(seconds)).collect()
}

fn played_seconds(viewers: &[ViewerRecord]) -> Vec<f64> {
    viewers.iter().map(|one| one.played.as_secs_f64()).collect()
}

/// A viewer that has played this long is past its start-up, which no peer can help much.
const SETTLING: Duration = Duration::from_secs(10);

/// Fewer segments than this make no figure that can be trusted.
const STEADY_SEGMENTS_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use p2pcdn::metrics::{HttpReason, Waste};

    use super::*;
    use crate::source::Split;

    /// A segment `name` of `http + peer` bytes that begins to play after `begun` seconds.
    fn segment(name: u8, http_bytes: u64, peer_bytes: u64, begun: u64) -> SegmentRecord {
        SegmentRecord {
            id: SegmentId::new([name; 16]),
            len: http_bytes + peer_bytes,
            split: Split {
                http_bytes,
                peer_bytes,
            },
            begun: Some(Duration::from_secs(begun)),
        }
    }

    fn viewer(segments: Vec<SegmentRecord>) -> ViewerRecord {
        ViewerRecord {
            segments,
            ..ViewerRecord::default()
        }
    }

    fn report(viewers: &[ViewerRecord]) -> Report {
        Report::new(Duration::from_secs(45), viewers, 0, None)
    }

    #[test]
    fn two_viewers_of_one_segment_are_bound_by_a_half() {
        let viewers = [
            viewer(vec![segment(1, 100, 0, 0)]),
            viewer(vec![segment(1, 0, 100, 0)]),
        ];
        assert_eq!(report(&viewers).bound, Some(0.5));
    }

    #[test]
    fn the_bound_counts_what_was_delivered_and_not_heads() {
        // 300 bytes delivered, of which 200 are distinct: only segment 1 was had twice.
        let viewers = [
            viewer(vec![segment(1, 100, 0, 0), segment(2, 100, 0, 2)]),
            viewer(vec![segment(1, 100, 0, 0)]),
        ];
        assert_eq!(report(&viewers).bound, Some(100.0 / 300.0));
        assert_eq!(report(&[]).bound, None);
    }

    #[test]
    fn steady_figures_leave_out_the_first_ten_seconds() {
        // Up to 10 s all is HTTP; the ten segments after that come to 1/4 over HTTP for the one
        // and from peers for the other.
        let early = |name| segment(name, 40, 0, u64::from(name) * 2);
        let late = |name: u8, http| segment(name, http, 40 - http, u64::from(name) * 2);
        let one = (0..=5).map(early).chain((6..16).map(|name| late(name, 10)));
        let two = (0..=5).map(early).chain((6..16).map(|name| late(name, 0)));
        let viewers = [viewer(one.collect()), viewer(two.collect())];
        let figures = report(&viewers);
        // 300 + 400 of 800 bytes came from peers.
        assert_eq!(figures.peer_efficiency_steady, Some(0.875));
        assert_eq!(figures.bound_steady, Some(0.5));
    }

    #[test]
    fn steady_figures_are_null_when_one_viewer_has_nine_segments() {
        let segments = |count: u8| (0..count).map(|name| segment(name, 0, 1, 11)).collect();
        let ten = viewer(segments(10));
        let nine = viewer(segments(9));
        let figures = report(&[ten.clone(), nine]);
        assert_eq!(figures.peer_efficiency_steady, None);
        assert_eq!(figures.bound_steady, None);
        assert_eq!(report(&[ten]).peer_efficiency_steady, Some(1.0));
    }

    #[test]
    fn offload_counts_every_http_byte_and_efficiency_media_only() {
        let mut one = viewer(Vec::new());
        one.delivery.add_peer(600);
        one.delivery.add_http(HttpReason::Duty, 150);
        one.delivery.add_http(HttpReason::Startup, 50);
        one.delivery.add_http(HttpReason::Manifest, 100);
        one.delivery.add_map(50);
        one.delivery.add_waste(Waste::Late, 7);
        let figures = Report::new(Duration::from_secs(1), &[one], 250, None);
        assert_eq!(figures.peer_efficiency, Some(0.75));
        assert_eq!(figures.offload, Some(0.5));
        assert_eq!((figures.http_bytes, figures.manifest_bytes), (200, 100));
        assert_eq!(figures.http_bytes_by_reason["duty"], 150);
        assert_eq!(figures.waste_bytes, 7);
    }

    #[test]
    fn the_object_has_the_agreed_keys() {
        let control = [ViewerRecord::default()];
        let figures = Report::new(Duration::ZERO, &control, 0, Some(&control));
        let json = serde_json::to_value(figures).unwrap();
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let sorted = |text: &str| {
            let mut all: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(
            keys(&json),
            sorted(
                "viewers duration_s peer_efficiency peer_efficiency_steady offload bound \
                 bound_steady http_bytes peer_bytes upload_bytes waste_bytes control_bytes \
                 manifest_bytes attester_bytes http_bytes_by_reason stalls stall_seconds \
                 startup_ms latency_s played_seconds corrupt_segments control"
            )
        );
        assert_eq!(
            keys(&json["control"]),
            sorted("http_bytes stalls stall_seconds startup_ms latency_s played_seconds")
        );
        assert!(json["peer_efficiency"].is_null());
        assert!(json["startup_ms"][0].is_null());
    }
}
