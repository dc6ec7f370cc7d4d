//! Any bytes are an MPD or an error; its lists agree with themselves however they are asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pcdn_manifest::{
    Listing, MAX_LINE_LEN, MAX_WARNINGS, Representation, SegmentWindow, parse_mpd,
};
use p2pcdn_wire::UnixTime;

const URL: &str = "https://cdn.example/a/live.mpd?token=1";

fuzz_target!(|input: (u32, &[u8])| {
    let (second, text) = input;
    let Ok(mpd) = parse_mpd(text, URL) else {
        return;
    };
    assert!(mpd.warnings.len() <= MAX_WARNINGS);
    let now = UnixTime::from_micros(i64::from(second) * 1_000_000);
    let sets = mpd
        .periods
        .iter()
        .flat_map(|period| &period.adaptation_sets);
    for representation in sets.flat_map(|set| &set.representations).take(64) {
        check(representation, now);
        check(representation, UnixTime::from_micros(i64::MAX));
    }
});

fn check(representation: &Representation, now: UnixTime) {
    assert!(
        representation
            .next_available_after(now)
            .is_none_or(|at| at > now)
    );
    for listing in [
        representation.listing(None),
        representation.listing(Some(now)),
    ] {
        match listing {
            Listing::Segments(window) => check_window(&window),
            Listing::Indexed { media, index } => {
                let whole = media.range;
                assert!(whole.is_none_or(|range| range.start <= range.end));
                assert!(index.range.is_none_or(|range| range.start <= range.end));
            }
            _ => {}
        }
    }
}

fn check_window(window: &SegmentWindow) {
    let (first, end) = (window.first_index(), window.end_index());
    assert!(first <= end);
    assert_eq!(window.count(), end - first);
    assert_eq!(window.segment(end), None);
    assert!(first == 0 || window.segment(first - 1).is_none());
    // A list may be as long as a u64 tells; a URL that is none is left out.
    let near = window.window(first, first.saturating_add(MAX_WALKED));
    let segments: Vec<_> = near.iter().collect();
    let some: Vec<_> = (first..near.end_index())
        .filter_map(|at| window.segment(at))
        .collect();
    assert_eq!(segments, some);
    for segment in &segments {
        assert!(segment.range.is_none_or(|range| range.start <= range.end));
        assert!(segment.url.len() <= MAX_LINE_LEN);
        let same_number = window.index_of_number(segment.number);
        assert!(same_number.is_some_and(|index| index <= segment.index));
    }
    let last = window.window(end.saturating_sub(1), end);
    assert_eq!(
        last.segment(end.wrapping_sub(1)),
        window.segment(end.wrapping_sub(1))
    );
}

/// Segments of one list that are looked at: enough for any real one, few enough to be fast.
const MAX_WALKED: u64 = 200;
