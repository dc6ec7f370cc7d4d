//! Any patch changes an MPD or is refused; the outcome is never half of a document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pcdn_manifest::{MAX_REWRITTEN_LEN, apply_patch, parse_mpd};

const MPD: &[u8] = br#"<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" id="a" publishTime="2026-01-01T00:00:00Z" type="dynamic">
  <Period id="1"><AdaptationSet id="1"><SegmentTemplate media="$Time$.m4s" timescale="1">
    <SegmentTimeline><S t="0" d="2" r="9"/><S d="3"/></SegmentTimeline></SegmentTemplate>
    <Representation id="v" bandwidth="1"/></AdaptationSet></Period>
</MPD>"#;

fuzz_target!(|operations: &[u8]| {
    let mut patch = br#"<Patch mpdId="a" originalPublishTime="2026-01-01T00:00:00Z" publishTime="2026-01-01T00:00:02Z">"#.to_vec();
    patch.extend_from_slice(operations);
    patch.extend_from_slice(b"</Patch>");
    if let Ok(text) = apply_patch(MPD, &patch) {
        assert!(text.len() <= MAX_REWRITTEN_LEN);
        assert_eq!(apply_patch(MPD, &patch).as_deref(), Ok(&*text));
        let _ = parse_mpd(&text, "https://cdn.example/live.mpd");
    }
});
