//! Any bytes are a playlist or an error; what is read is within its limits and says the same
//! however its lines end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pcdn_manifest::{
    MAX_DATE_RANGES, MAX_KEYS_PER_SEGMENT, MAX_LINE_LEN, MAX_PARTS, MAX_PRELOAD_HINTS, MAX_REPORTS,
    MAX_SEGMENT_DURATION, MAX_SEGMENTS, MAX_TRACKS, MAX_WARNINGS, Manifest, MediaPlaylist,
    MediaSegment, Multivariant, parse,
};

const URL: &str = "https://cdn.example/a/list.m3u8?token=1";

fuzz_target!(|data: &[u8]| {
    match parse(data, URL) {
        Ok(Manifest::Media(media)) => {
            check_media(&media);
            if !data.contains(&b'\r') {
                check_line_ends(data, &media);
            }
        }
        Ok(Manifest::Multivariant(list)) => check_multivariant(&list),
        Err(_) => {}
    }
});

fn check_media(media: &MediaPlaylist) {
    let segments: Vec<MediaSegment> = media.segments().collect();
    assert_eq!(segments.len(), media.segments().len());
    assert!(segments.len() <= MAX_SEGMENTS);
    for (sequence, segment) in (media.first_sequence()..).zip(&segments) {
        assert_eq!(segment.sequence, sequence);
        assert!(segment.duration <= MAX_SEGMENT_DURATION);
        assert!(segment.keys.len() <= MAX_KEYS_PER_SEGMENT);
        assert!(
            segment
                .url
                .as_ref()
                .is_none_or(|url| url.len() <= MAX_LINE_LEN)
        );
        assert!(segment.range.is_none_or(|range| range.start <= range.end));
        let keys = segment.keys.iter().filter_map(|key| key.url.as_ref());
        assert!(keys.into_iter().all(|url| media.key_urls.contains(url)));
    }
    let counted = segments
        .iter()
        .map(|segment| segment.discontinuity_sequence);
    assert!(counted.is_sorted());
    let parts: Vec<_> = media.parts().collect();
    assert!(parts.len() <= MAX_PARTS);
    let places = parts.iter().map(|part| (part.sequence, part.index));
    assert!(
        places.is_sorted_by(|a, b| a < b),
        "each part has a place of its own"
    );
    assert!(media.target_duration.as_secs() >= 1);
    assert!(media.preload_hints.len() <= MAX_PRELOAD_HINTS);
    assert!(media.rendition_reports.len() <= MAX_REPORTS);
    assert!(media.date_ranges.len() <= MAX_DATE_RANGES);
    assert!(media.warnings.len() <= MAX_WARNINGS);
}

fn check_line_ends(data: &[u8], media: &MediaPlaylist) {
    let mut crlf = Vec::with_capacity(2 * data.len());
    for byte in data {
        if *byte == b'\n' {
            crlf.push(b'\r');
        }
        crlf.push(*byte);
    }
    crlf.extend_from_slice(b"\r\n");
    match parse(&crlf, URL) {
        Ok(Manifest::Media(other)) => {
            assert!(media.segments().eq(other.segments()));
            assert!(media.parts().eq(other.parts()));
            assert_eq!(media.key_urls, other.key_urls);
        }
        other => panic!("a playlist with LF only: {other:?}"),
    }
}

fn check_multivariant(list: &Multivariant) {
    assert!(list.variants.len() + list.renditions.len() <= MAX_TRACKS);
    assert!(
        list.variants
            .iter()
            .all(|variant| variant.url.len() <= MAX_LINE_LEN)
    );
    assert!(list.warnings.len() <= MAX_WARNINGS);
}
