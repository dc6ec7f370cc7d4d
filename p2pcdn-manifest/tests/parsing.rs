//! One playlist, as written.
#![cfg(feature = "hls")]

use std::{sync::Arc, time::Duration};

use p2pcdn_manifest::{
    Found, InitSection, Liveness, MAX_KEYS_PER_SEGMENT, MAX_SEGMENTS, MAX_TEXT_LEN, MAX_TRACKS,
    MAX_WARNINGS, Manifest, MediaPlaylist, MediaSegment, Multivariant, ParseError, RenditionKind,
    VariantKind, WarningKind, parse,
};
use p2pcdn_wire::ByteRange;

const BASE: &str = "https://cdn.example/vod/show/list.m3u8?t=abc";

fn media(text: &str) -> MediaPlaylist {
    match parse(text.as_bytes(), BASE) {
        Ok(Manifest::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

fn multivariant(text: &str) -> Multivariant {
    match parse(text.as_bytes(), BASE) {
        Ok(Manifest::Multivariant(multivariant)) => multivariant,
        other => panic!("{other:?}"),
    }
}

fn error(text: &str) -> ParseError {
    parse(text.as_bytes(), BASE).expect_err("it must be refused")
}

/// The last part of each segment's URL.
fn names(media: &MediaPlaylist) -> Vec<String> {
    let urls = media.segments().filter_map(|s| s.url);
    let name = |url: Arc<str>| Some(url.rsplit('/').next()?.to_owned());
    urls.filter_map(name).collect()
}

fn segment(media: &MediaPlaylist, at: usize) -> MediaSegment {
    media.segments().nth(at).expect("it is listed")
}

fn millis(media: &MediaPlaylist) -> Vec<u128> {
    let segments = media.segments();
    segments.map(|s| s.duration.as_millis()).collect()
}

/// Keys in force per segment, as `method uri-tail`.
fn keys(media: &MediaPlaylist) -> Vec<Vec<String>> {
    let describe = |key: &p2pcdn_manifest::Key| {
        let url = key.url.as_ref().map_or("-", |url| url.as_str());
        format!(
            "{} {}",
            key.method,
            url.trim_start_matches("https://cdn.example/vod/show/")
        )
    };
    let segments = media.segments();
    segments
        .map(|s| s.keys.iter().map(describe).collect())
        .collect()
}

fn kinds(media: &MediaPlaylist) -> Vec<WarningKind> {
    media.warnings.iter().map(|warning| warning.kind).collect()
}

#[test]
fn a_live_window_is_read_whole() {
    let media = media(include_str!("fixtures/live-before.m3u8"));
    assert_eq!(media.media_sequence, 100);
    assert_eq!(media.target_duration, Duration::from_secs(2));
    assert_eq!(media.liveness, Liveness::Live);
    assert_eq!(
        names(&media),
        ["seg100.m4s", "seg101.m4s", "seg102.m4s", "seg103.m4s"]
    );
    assert_eq!(millis(&media), [2000, 1920, 2000, 2000]);
    let discontinuities: Vec<u64> = media.segments().map(|s| s.discontinuity_sequence).collect();
    assert_eq!(discontinuities, [3, 3, 3, 4]);
    let inits: Vec<Arc<InitSection>> = media.segments().filter_map(|s| s.init).collect();
    let is_it = |init: &Arc<InitSection>| *init.url == *"https://cdn.example/vod/show/init.mp4";
    assert!(inits.iter().all(is_it));
    assert_eq!(inits.len(), 4);
    // 2026-01-01T00:00:00Z is 1767225600 by `date`.
    let dates: Vec<Option<i64>> = media
        .segments()
        .map(|s| Some(s.date?.as_micros()))
        .collect();
    assert_eq!(dates, [Some(1_767_225_600_000_000), None, None, None]);
    assert_eq!(media.warnings, []);
}

#[test]
fn a_multivariant_playlist_is_read_whole() {
    let list = multivariant(include_str!("fixtures/multivariant.m3u8"));
    let variants: Vec<(VariantKind, &str, u64)> = list
        .variants
        .iter()
        .map(|v| {
            (
                v.kind,
                v.url.rsplit('/').next().unwrap(),
                v.bandwidth.unwrap().as_bps(),
            )
        })
        .collect();
    assert_eq!(
        variants,
        [
            (VariantKind::Playback, "720.m3u8", 3_200_000),
            (VariantKind::Playback, "360.m3u8", 1_200_000),
            (VariantKind::Playback, "only.m3u8", 96_000),
            (VariantKind::IFrames, "720-iframes.m3u8", 180_000),
        ]
    );
    let renditions: Vec<(RenditionKind, &str, bool)> = list
        .renditions
        .iter()
        .map(|r| (r.kind, &*r.name, r.url.is_some()))
        .collect();
    assert_eq!(
        renditions,
        [
            (RenditionKind::Audio, "English", true),
            (RenditionKind::Audio, "Commentary", false),
            (RenditionKind::Subtitles, "Deutsch", true),
            (RenditionKind::ClosedCaptions, "English", false),
        ]
    );
    let key = list.session_keys[0].url.as_ref().unwrap();
    assert_eq!(key.as_str(), "skd://content-key");
    assert_eq!(list.warnings, []);
}

#[test]
fn byte_ranges_without_offset_follow_the_one_before() {
    let media = media(include_str!("fixtures/byte-ranges.m3u8"));
    let ranges: Vec<ByteRange> = media.segments().filter_map(|s| s.range).collect();
    assert_eq!(
        ranges,
        [
            ByteRange::new(700, 100_700),
            ByteRange::new(100_700, 180_700),
            ByteRange::new(200_000, 250_000)
        ]
    );
    let init = segment(&media, 2).init.unwrap();
    assert_eq!(init.range, Some(ByteRange::new(0, 700)));
    assert_eq!(media.liveness, Liveness::Ended);
}

#[test]
fn a_byte_range_that_follows_nothing_is_refused() {
    let bad = |line, value: &str| ParseError::BadByteRange {
        line,
        value: value.into(),
    };
    let head = "#EXTM3U\n#EXTINF:6,\n#EXT-X-BYTERANGE:";
    assert_eq!(error(&format!("{head}10\na.mp4\n")), bad(4, "10"));
    assert_eq!(
        error(&format!(
            "{head}10@0\na.mp4\n#EXTINF:6,\n#EXT-X-BYTERANGE:5\nb.mp4\n"
        )),
        bad(7, "5")
    );
    assert_eq!(error(&format!("{head}1@\na.mp4\n")), bad(3, "1@"));
    let max = u64::MAX;
    assert_eq!(error(&format!("{head}1@{max}\na.mp4\n")), bad(4, "1"));
}

#[test]
fn keys_hold_until_replaced_per_format_or_cleared() {
    let media = media(include_str!("fixtures/encrypted.m3u8"));
    let first = "AES-128 keys/1?token=secret".to_owned();
    let second = "AES-128 keys/2?token=secret".to_owned();
    let apple = "SAMPLE-AES skd://film".to_owned();
    assert_eq!(
        keys(&media),
        [
            vec![],
            vec![first.clone()],
            vec![first],
            vec![second, apple],
            vec![],
            vec![],
        ]
    );
    assert_eq!(segment(&media, 1).keys[0].iv, Some(42));
    assert_eq!(segment(&media, 3).keys[0].iv, None);
    assert_eq!(media.key_urls.len(), 3);
    let gaps: Vec<bool> = media.segments().map(|s| s.is_gap).collect();
    assert_eq!(gaps, [false, false, false, false, false, true]);
}

#[test]
fn a_key_without_url_still_encrypts() {
    let media = media(
        "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"\"\n#EXTINF:6,\na.ts\n#EXT-X-KEY:X\n#EXTINF:6,\nb.ts",
    );
    assert_eq!(keys(&media), [vec!["AES-128 -"], vec!["UNKNOWN -"]]);
    assert!(kinds(&media).contains(&WarningKind::KeyWithoutUrl));
}

#[test]
fn init_sections_hold_until_replaced() {
    let media = media(
        "#EXTM3U\n#EXTINF:1,\na\n#EXT-X-MAP:URI=\"i\",FOO\n#EXTINF:1,\nb\n#EXTINF:1,\nc\n\
         #EXT-X-MAP:URI=\"j\",BYTERANGE=\"5\"\n#EXTINF:1,\nd\n",
    );
    let inits: Vec<Option<String>> = media
        .segments()
        .map(|s| {
            s.init
                .as_ref()
                .map(|i| format!("{} {:?}", &i.url[29..], i.range.map(|r| r.end)))
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        inits,
        [None, some("i None"), some("i None"), some("j Some(5)")]
    );
}

#[test]
fn durations_are_exact_and_sloppy_ones_recovered() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:6.006\n#EXTINF:9.97666666666667,\na.ts\n\
                #EXTINF:6\nb.ts\n#EXTINF:6.,T, with comma\nc.ts\n#EXTINF:.5,\nd.ts\n\
                #EXTINF:-1 tvg-id=\"a\",Chan\nhttp://x/e.ts\n#EXTINF:99999999999,\nf.ts\n";
    let media = media(text);
    let nanos: Vec<u128> = media.segments().map(|s| s.duration.as_nanos()).collect();
    assert_eq!(
        nanos,
        [
            9_976_666_667,
            6_000_000_000,
            6_000_000_000,
            500_000_000,
            0,
            10_000_000_000_000_000
        ]
    );
    assert_eq!(
        names(&media),
        ["a.ts", "b.ts", "c.ts", "d.ts", "e.ts", "f.ts"]
    );
    assert_eq!(media.target_duration, Duration::from_millis(6006));
    assert_eq!(kinds(&media), [WarningKind::BadDuration; 2]);
}

#[test]
fn a_missing_target_duration_is_the_longest_segment() {
    let list = media("#EXTM3U\n#EXTINF:3.5,\na\n#EXTINF:2,\nb\n");
    assert_eq!(list.target_duration, Duration::from_millis(3500));
    assert_eq!(kinds(&list), [WarningKind::NoTargetDuration]);
    let list = media("#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXTINF:0.1,\na\n");
    assert_eq!(list.target_duration, Duration::from_secs(1));
}

#[cfg(feature = "url")]
#[test]
fn text_oddities_neither_cut_nor_add_segments() {
    let three = ["a.ts", "b.ts", "c.ts"];
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n#EXT-X-DISCONTINUITY:foo\n\
                # comment\n\n#EXT-X-UNKNOWN\n#EXTINF:6,\n  b.ts  \n#EXTINF:6,\nc.ts\n#EXT-X-ENDLIST";
    for text in [
        text.to_owned(),
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
        format!(" \n{text}"),
    ] {
        let media = media(&text);
        assert_eq!(names(&media), three, "{text:?}");
        assert_eq!(media.liveness, Liveness::Ended);
    }
    let bytes = [text.as_bytes(), b"\n#EXTINF:6,caf\xe9\nd\xff.ts\n"].concat();
    let Ok(Manifest::Media(media)) = parse(&bytes, BASE) else {
        panic!("not UTF-8 is no reason to refuse");
    };
    assert_eq!(media.segments().len(), 4);
    assert_eq!(kinds(&media), [WarningKind::NotUtf8]);
}

#[cfg(feature = "url")]
#[test]
fn a_lone_cr_does_not_end_a_line() {
    let media = media("#EXTM3U\n#EXTINF:6,\na.ts\rx\n#EXTINF:6,\nb.ts\n");
    assert_eq!(media.segments().len(), 2);
    assert_eq!(names(&media)[1], "b.ts");
}

#[test]
fn tags_after_the_last_segment_are_no_segments() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MEDIA-SEQUENCE:10\n\
         #EXT-X-PART:DURATION=0.33,URI=\"p0.mp4\"\n#EXTINF:4,\ns.mp4\n#EXT-X-DATERANGE:ID=\"a\"\n\
         #EXT-X-ENDLIST-FOO\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p2.mp4\"",
    );
    assert_eq!(names(&media), ["s.mp4"]);
    assert_eq!((media.media_sequence, media.skipped), (10, 3));
    assert_eq!(media.liveness, Liveness::Live);
}

#[test]
fn urls_and_tags_that_miss_each_other_are_passed_over() {
    let list = media("#EXTM3U\nstray.ts\n#EXTINF:6,\na.ts\nstray.ts\n#EXTINF:6,\n");
    assert_eq!(names(&list), ["a.ts"]);
    assert_eq!(
        kinds(&list),
        [
            WarningKind::StrayUrl,
            WarningKind::StrayUrl,
            WarningKind::MissingUrl,
            WarningKind::NoTargetDuration
        ]
    );
    let list = multivariant(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:BANDWIDTH=2.5e6,RESOLUTION=1\n\
         # comment\n#EXT-X-FOO\nmid.m3u8\nstray.m3u8\n#EXT-X-STREAM-INF:AUDIO=\"\"\nhigh.m3u8\n",
    );
    let variants: Vec<_> = list
        .variants
        .iter()
        .map(|v| (&v.url[29..], v.bandwidth))
        .collect();
    assert_eq!(variants, [("mid.m3u8", None), ("high.m3u8", None)]);
}

#[test]
fn a_sequence_number_is_never_wrong_in_silence() {
    let head = "#EXTM3U\n#EXTINF:6,\na.ts\n#EXT-X-MEDIA-SEQUENCE:";
    assert_eq!(
        media(&format!("{head}{}", u64::MAX - 1)).media_sequence,
        u64::MAX - 1
    );
    assert_eq!(
        error(&format!("{head}18446744073709551616")),
        ParseError::BadNumber {
            line: 4,
            value: "18446744073709551616".into()
        }
    );
    // The one after the last segment must be a number too.
    assert!(matches!(
        error(&format!("{head}{}", u64::MAX)),
        ParseError::BadNumber { .. }
    ));
    let list = media(&format!("{head}gobble"));
    assert_eq!(list.media_sequence, 0);
    assert!(kinds(&list).contains(&WarningKind::BadAttribute));
}

#[test]
fn variables_are_replaced_everywhere_they_may_stand() {
    let list = media(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"d\",VALUE=\"dir\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"{$d}/k\"\n#EXT-X-MAP:URI=\"{$d}/i\"\n#EXTINF:6,\n{$d}/a.ts?t={$t}\n",
    );
    assert_eq!(names(&list), ["a.ts?t=abc"]);
    assert_eq!(keys(&list), [["AES-128 dir/k"]]);
    assert_eq!(
        error("#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"x\"\n#EXTINF:6,\na\n"),
        ParseError::UndefinedVariable {
            line: 2,
            name: "x".into()
        }
    );
}

#[test]
fn what_is_no_playlist_is_told() {
    assert_eq!(error(""), ParseError::Empty);
    assert_eq!(
        error("<!DOCTYPE html><title>403</title>"),
        ParseError::NotAPlaylist { found: Found::Html }
    );
    assert_eq!(
        error("#EXTM3U\n#EXT-X-VERSION:3\n"),
        ParseError::UnknownKind
    );
}

#[test]
fn each_limit_holds_at_one_more() {
    let segments = |count: usize| format!("#EXTM3U\n{}", "#EXTINF:1,\na\n".repeat(count));
    assert_eq!(
        media(&segments(MAX_SEGMENTS)).segments().len(),
        MAX_SEGMENTS
    );
    let line = u32::try_from(1 + 2 * (MAX_SEGMENTS + 1)).unwrap();
    assert_eq!(
        error(&segments(MAX_SEGMENTS + 1)),
        ParseError::TooMany { line }
    );

    let tracks = |count: usize| {
        let one = "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"a\"\n";
        format!("#EXTM3U\n{}", one.repeat(count))
    };
    assert_eq!(multivariant(&tracks(MAX_TRACKS)).variants.len(), MAX_TRACKS);
    assert!(matches!(
        error(&tracks(MAX_TRACKS + 1)),
        ParseError::TooMany { .. }
    ));

    let mut text = "#EXTM3U\n#EXTINF:1,\na\n".to_owned();
    text += &"#".repeat(MAX_TEXT_LEN - text.len());
    assert_eq!(media(&text).segments().len(), 1);
    text.push('#');
    assert_eq!(error(&text), ParseError::TooLong);
}

#[test]
fn keys_in_force_and_warnings_are_bounded() {
    let text = |count: usize| {
        let key = |n| format!("#EXT-X-KEY:METHOD=X,URI=\"k{n}\",KEYFORMAT=\"f{n}\"\n");
        let keys: String = (0..count).map(key).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{keys}#EXTINF:1,\na\n")
    };
    let full = media(&text(MAX_KEYS_PER_SEGMENT));
    assert_eq!(segment(&full, 0).keys.len(), MAX_KEYS_PER_SEGMENT);
    assert_eq!(full.warnings, []);
    let over = media(&text(MAX_KEYS_PER_SEGMENT + 1));
    assert_eq!(segment(&over, 0).keys.len(), MAX_KEYS_PER_SEGMENT);
    assert_eq!(kinds(&over), [WarningKind::TooManyKeys]);
    assert_eq!(
        over.key_urls.len(),
        MAX_KEYS_PER_SEGMENT + 1,
        "none may be shared"
    );

    let stray = |count: usize| format!("#EXTM3U\n#EXT-X-ENDLIST\n{}", "x\n".repeat(count));
    assert_eq!(media(&stray(MAX_WARNINGS - 1)).warnings.len(), MAX_WARNINGS);
    assert_eq!(media(&stray(MAX_WARNINGS + 1)).warnings.len(), MAX_WARNINGS);
}

#[test]
fn short_lines_cannot_multiply_a_long_base() {
    let base = format!("https://cdn.example/{}/list.m3u8", "x".repeat(8000));
    let key = "#EXT-X-KEY:METHOD=X,URI=\"a\"\n";
    let text = |count| format!("#EXTM3U\n#EXTINF:1,\na\n{}", key.repeat(count));
    assert_eq!(
        parse(text(10_000).as_bytes(), &base),
        Err(ParseError::TooLong)
    );
    // Segments are resolved when they are asked for.
    let text = format!("#EXTM3U\n{}", "#EXTINF:1,\na\n".repeat(10_000));
    let Ok(Manifest::Media(media)) = parse(text.as_bytes(), &base) else {
        panic!("it is a media playlist");
    };
    assert_eq!(media.segments().len(), 10_000);
}

#[test]
fn short_tags_cannot_multiply_a_long_list_of_keys() {
    let key = |n| format!("#EXT-X-KEY:METHOD=X,URI=\"k\",KEYFORMAT=\"{n}\"\n");
    let mut text = format!("#EXTM3U\n{}", (0..16).map(key).collect::<String>());
    for n in 0..80_000 {
        text += &format!("#EXT-X-KEY:METHOD=X,IV=0x{n:x},KEYFORMAT=\"0\"\n#EXTINF:1,\na\n");
    }
    assert_eq!(error(&text), ParseError::TooLong);
}

#[test]
fn keys_repeated_before_each_segment_are_remembered_once() {
    let keys = "#EXT-X-KEY:METHOD=X,URI=\"a\"\n#EXT-X-KEY:METHOD=X,URI=\"b\",KEYFORMAT=\"f\"\n";
    let media = media(&format!(
        "#EXTM3U\n{}",
        format!("{keys}#EXTINF:1,\na\n").repeat(1000)
    ));
    assert_eq!(media.key_urls.len(), 2);
    assert!(media.segments().all(|segment| segment.keys.len() == 2));
}
