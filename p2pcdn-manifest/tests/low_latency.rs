//! Low-latency HLS: what a playlist says of the live edge.
#![cfg(feature = "hls")]

use std::time::Duration;

use p2pcdn_manifest::{
    HintKind, MAX_DATE_RANGES, MAX_PARTS, MAX_PRELOAD_HINTS, MAX_REPORTS, Manifest, MediaPart,
    MediaPlaylist, ParseError, WarningKind, parse,
};
use p2pcdn_wire::ByteRange;

const BASE: &str = "https://cdn.example/live/list.m3u8";
const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:100\n";

fn read(tail: &str) -> Result<MediaPlaylist, ParseError> {
    match parse(format!("{HEAD}{tail}").as_bytes(), BASE)? {
        Manifest::Media(media) => Ok(media),
        Manifest::Multivariant(other) => panic!("{other:?}"),
    }
}

fn media(tail: &str) -> MediaPlaylist {
    read(tail).expect("it is a playlist")
}

fn parts(media: &MediaPlaylist) -> Vec<MediaPart> {
    media.parts().collect()
}

fn warnings(media: &MediaPlaylist) -> Vec<WarningKind> {
    media.warnings.iter().map(|warning| warning.kind).collect()
}

#[test]
fn server_control_and_part_target_are_read() {
    let list = media(
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES,\
         HOLD-BACK=12.5,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.33334\n",
    );
    let control = list.server_control;
    assert!(control.can_block_reload && control.can_skip_date_ranges);
    assert_eq!(control.can_skip_until, Some(Duration::from_secs(24)));
    assert_eq!(control.hold_back, Some(Duration::from_millis(12_500)));
    assert_eq!(control.part_hold_back, Some(Duration::from_millis(1500)));
    assert_eq!(list.part_target, Some(Duration::from_nanos(333_340_000)));
    let list = media("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=NO,HOLD-BACK=x\n#EXTINF:1,\na\n");
    assert_eq!(
        list.server_control,
        p2pcdn_manifest::ServerControl::default()
    );
    assert_eq!(list.part_target, None);
    assert_eq!(warnings(&list), [WarningKind::BadDuration]);
}

#[test]
fn parts_have_the_number_of_their_segment_listed_or_not() {
    let part = |name: &str| format!("#EXT-X-PART:DURATION=1.5,URI=\"{name}\"\n");
    let list = media(&format!(
        "#EXT-X-SKIP:SKIPPED-SEGMENTS=7\n#EXTINF:4,\ns0\n{}{}#EXTINF:4,\ns1\n{}",
        part("s1.0"),
        part("s1.1"),
        part("s2.0")
    ));
    let places: Vec<(u64, u32)> = list
        .parts()
        .map(|part| (part.sequence, part.index))
        .collect();
    assert_eq!(places, [(108, 0), (108, 1), (109, 0)]);
    let segments: Vec<u64> = list.segments().map(|segment| segment.sequence).collect();
    assert_eq!(segments, [107, 108]);
    let first = list.parts().next().unwrap();
    assert_eq!(first.url.as_deref(), Some("https://cdn.example/live/s1.0"));
    assert_eq!(first.duration, Duration::from_millis(1500));
    assert!(!first.is_independent && !first.is_gap);
}

#[test]
fn a_part_is_marked_independent_or_missing() {
    let list = media(
        "#EXT-X-PART:DURATION=1,URI=\"a\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=1,URI=\"b\",GAP=YES\n\
         #EXT-X-PART:DURATION=1,INDEPENDENT=YES\n#EXT-X-PART:DURATION=x,URI=\"d\",INDEPENDENT=NO\n",
    );
    let flags: Vec<(u32, bool, bool)> = list
        .parts()
        .map(|part| (part.index, part.is_independent, part.is_gap))
        .collect();
    // The one without URL has its place, and nothing to fetch.
    assert_eq!(
        flags,
        [(0, true, false), (1, false, true), (3, false, false)]
    );
    assert_eq!(
        warnings(&list),
        [WarningKind::BadUrl, WarningKind::BadDuration]
    );
}

#[test]
fn byte_ranges_of_parts_follow_the_last_one_of_their_resource() {
    let list = media(
        "#EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"10@100\"\n\
         #EXT-X-PART:DURATION=1,URI=\"b\",BYTERANGE=\"5@0\"\n\
         #EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"7\"\n\
         #EXTINF:3,\nc\n#EXT-X-PART:DURATION=1,URI=\"b\",BYTERANGE=6\n",
    );
    let ranges: Vec<Option<ByteRange>> = list.parts().map(|part| part.range).collect();
    let range = |start, end| Some(ByteRange::new(start, end));
    assert_eq!(
        ranges,
        [range(100, 110), range(0, 5), range(110, 117), range(5, 11)]
    );
    for bad in [
        "BYTERANGE=\"5\"",
        "BYTERANGE=\"x@1\"",
        "BYTERANGE=\"1@18446744073709551615\"",
    ] {
        let refused = read(&format!("#EXT-X-PART:DURATION=1,URI=\"a\",{bad}\n"));
        assert!(
            matches!(refused, Err(ParseError::BadByteRange { line: 4, .. })),
            "{bad}"
        );
    }
}

#[test]
fn what_is_in_force_changes_between_parts() {
    let list = media(
        "#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-MAP:URI=\"i\"\n#EXT-X-PART:DURATION=1,URI=\"a\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-PART:DURATION=1,URI=\"b\"\n#EXTINF:2,\nab\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"j\"\n#EXT-X-PART:DURATION=1,URI=\"c\"\n",
    );
    let parts = parts(&list);
    let keys: Vec<usize> = parts.iter().map(|part| part.keys.len()).collect();
    assert_eq!(keys, [0, 1, 1]);
    let discontinuities: Vec<u64> = parts
        .iter()
        .map(|part| part.discontinuity_sequence)
        .collect();
    assert_eq!(discontinuities, [2, 2, 3]);
    let init = |part: &MediaPart| part.init.as_ref().unwrap().url.to_string();
    assert_eq!(init(&parts[1]), "https://cdn.example/live/i");
    assert_eq!(init(&parts[2]), "https://cdn.example/live/j");
    assert_eq!(list.segments().next().unwrap().keys.len(), 1);
}

#[test]
fn preload_hints_say_what_comes_and_where() {
    let list = media(
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p\",BYTERANGE-START=20,BYTERANGE-LENGTH=5\n\
         #EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"m\"\n#EXT-X-PRELOAD-HINT:TYPE=TRAILER,URI=\"t\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q\",BYTERANGE-START=x\n#EXT-X-PRELOAD-HINT:TYPE=PART\n",
    );
    let hints: Vec<(HintKind, &str, u64, Option<u64>)> = list
        .preload_hints
        .iter()
        .map(|hint| (hint.kind, &hint.url[25..], hint.start, hint.len))
        .collect();
    assert_eq!(
        hints,
        [
            (HintKind::Part, "p", 20, Some(5)),
            (HintKind::Map, "m", 0, None)
        ]
    );
    let bad = [
        WarningKind::BadAttribute,
        WarningKind::BadAttribute,
        WarningKind::BadUrl,
    ];
    assert_eq!(warnings(&list), bad);
}

#[test]
fn rendition_reports_say_how_far_others_are() {
    let list = media(
        "#EXT-X-RENDITION-REPORT:URI=\"../1M/w.m3u8\",LAST-MSN=273,LAST-PART=2\n\
         #EXT-X-RENDITION-REPORT:URI=\"https://h/a.m3u8\",LAST-MSN=1\n",
    );
    #[cfg(feature = "url")]
    assert_eq!(
        &*list.rendition_reports[0].url,
        "https://cdn.example/1M/w.m3u8"
    );
    let other = list.rendition_reports.last().unwrap();
    assert_eq!(
        (&*other.url, other.last_sequence, other.last_part),
        ("https://h/a.m3u8", Some(1), None)
    );
}

#[test]
fn a_delta_update_says_what_it_leaves_out() {
    let list = media("#EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\tb c\"\n");
    assert_eq!(
        (list.media_sequence, list.skipped, list.first_sequence()),
        (100, 3, 103)
    );
    let removed: Vec<&str> = list.removed_date_ranges.iter().map(|id| &**id).collect();
    assert_eq!(removed, ["a", "b c"]);
    assert_eq!(warnings(&list), [WarningKind::DeltaUpdate]);
}

#[test]
fn segments_left_out_in_two_places_or_in_the_middle_are_refused() {
    let skip = "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n";
    let bad = |line, value: &str| {
        Err(ParseError::BadNumber {
            line,
            value: value.into(),
        })
    };
    assert_eq!(read(&format!("{skip}{skip}")), bad(5, "3"));
    assert_eq!(read(&format!("#EXTINF:4,\na\n{skip}")), bad(6, "3"));
    assert_eq!(read("#EXT-X-SKIP:\n"), bad(4, ""));
    assert_eq!(
        read("#EXT-X-SKIP:SKIPPED-SEGMENTS=18446744073709551615\n"),
        Err(ParseError::BadNumber {
            line: 0,
            value: "100".into()
        })
    );
}

#[test]
fn a_sequence_number_behind_a_segment_counts_with_a_warning() {
    let list = media("#EXTINF:4,\na\n#EXT-X-MEDIA-SEQUENCE:7\n");
    assert_eq!(list.media_sequence, 7);
    assert_eq!(warnings(&list), [WarningKind::Misplaced]);
}

#[test]
fn each_kind_of_entry_is_bounded() {
    let part = "#EXT-X-PART:DURATION=1,URI=\"p\"\n";
    assert_eq!(media(&part.repeat(MAX_PARTS)).parts().len(), MAX_PARTS);
    let over = read(&part.repeat(MAX_PARTS + 1));
    assert!(matches!(over, Err(ParseError::TooMany { .. })));

    let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p\"\n";
    let list = media(&hint.repeat(MAX_PRELOAD_HINTS + 1));
    assert_eq!(list.preload_hints.len(), MAX_PRELOAD_HINTS);
    assert_eq!(warnings(&list), [WarningKind::TooManyEntries]);

    let report = "#EXT-X-RENDITION-REPORT:URI=\"r\"\n";
    let list = media(&report.repeat(MAX_REPORTS + 1));
    assert_eq!(list.rendition_reports.len(), MAX_REPORTS);
    assert_eq!(warnings(&list), [WarningKind::TooManyEntries]);

    let range = |n: usize| format!("#EXT-X-DATERANGE:ID=\"{n}\"\n");
    let list = media(&(0..=MAX_DATE_RANGES).map(range).collect::<String>());
    assert_eq!(list.date_ranges.len(), MAX_DATE_RANGES);
    assert_eq!(warnings(&list), [WarningKind::TooManyEntries]);
}
