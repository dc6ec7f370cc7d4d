//! Playlists that other parsers read wrongly, each with what RFC 8216bis asks for.
#![cfg(feature = "hls")]

use std::{sync::Arc, time::Duration};

use p2pcdn_manifest::{
    DateRange, Liveness, Manifest, MediaPlaylist, Multivariant, ParseError, RenditionKind,
    WarningKind, parse,
};
use p2pcdn_wire::{BitRate, ByteRange, UnixTime};

const BASE: &str = "https://cdn.example/vod/list.m3u8?t=abc";

fn read(text: &str) -> Result<Manifest, ParseError> {
    parse(text.as_bytes(), BASE)
}

fn media(text: &str) -> MediaPlaylist {
    match read(text) {
        Ok(Manifest::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

fn multivariant(text: &str) -> Multivariant {
    match read(text) {
        Ok(Manifest::Multivariant(multivariant)) => multivariant,
        other => panic!("{other:?}"),
    }
}

/// URLs without what they have in common.
fn tails(urls: impl IntoIterator<Item = Option<Arc<str>>>) -> Vec<String> {
    let tail = |url: &str| {
        url.trim_start_matches("https://cdn.example/vod/")
            .to_owned()
    };
    let urls = urls.into_iter();
    urls.map(|url| tail(&url.expect("it resolves"))).collect()
}

fn names(media: &MediaPlaylist) -> Vec<String> {
    tails(media.segments().map(|segment| segment.url))
}

fn durations(media: &MediaPlaylist) -> Vec<u128> {
    let nanos = |duration: Duration| duration.as_nanos();
    media
        .segments()
        .map(|segment| nanos(segment.duration))
        .collect()
}

fn warnings(media: &MediaPlaylist) -> Vec<WarningKind> {
    media.warnings.iter().map(|warning| warning.kind).collect()
}

const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n";

#[test]
fn tags_behind_the_last_segment_are_kept() {
    let media = media(&format!(
        "{HEAD}#EXTINF:6,\na.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n\
         #EXT-X-DATERANGE:ID=\"d\",START-DATE=\"2020-01-01T00:00:00Z\"\n\
         #EXT-X-PART:DURATION=1,URI=\"p\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"h\"\n\
         #EXT-X-RENDITION-REPORT:URI=\"r\",LAST-MSN=1\n"
    ));
    assert_eq!(names(&media), ["a.ts"]);
    assert_eq!(media.key_urls.len(), 1);
    assert_eq!(media.date_ranges.len(), 1);
    assert_eq!(media.parts().len(), 1);
    assert_eq!(media.preload_hints.len(), 1);
    assert_eq!(media.rendition_reports.len(), 1);
}

#[test]
fn a_tag_on_a_last_line_without_line_end_is_no_segment() {
    let media = media(&format!("{HEAD}#EXTINF:6,\na.ts\n#EXT-X-UNKNOWN:URI=\"b\""));
    assert_eq!(names(&media), ["a.ts"]);
}

#[test]
fn a_key_holds_until_the_next_and_none_ends_it() {
    let key = |text: &str| format!("#EXT-X-KEY:{text}\n#EXTINF:6,\na\n#EXTINF:6,\na\n");
    let media = media(&format!(
        "{HEAD}{}{}{}",
        key("METHOD=AES-128,URI=\"1\""),
        key("METHOD=NONE"),
        key("METHOD=AES-128,URI=\"2\"")
    ));
    let keys: Vec<Option<String>> = media
        .segments()
        .map(|segment| Some(segment.keys.first()?.url.as_ref()?.as_str().to_owned()))
        .collect();
    let url = |name: &str| Some(format!("https://cdn.example/vod/{name}"));
    assert_eq!(keys, [url("1"), url("1"), None, None, url("2"), url("2")]);
}

#[test]
fn all_keys_of_several_systems_are_kept() {
    let media = media(&format!(
        "{HEAD}#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://1\",KEYFORMAT=\"apple\"\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:w\",KEYFORMAT=\"widevine\"\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:p\",KEYFORMAT=\"playready\"\n#EXTINF:6,\na\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:w2\",KEYFORMAT=\"widevine\"\n#EXTINF:6,\nb\n"
    ));
    let formats: Vec<Vec<String>> = media
        .segments()
        .map(|segment| {
            segment
                .keys
                .iter()
                .map(|key| key.format.to_string())
                .collect()
        })
        .collect();
    assert_eq!(formats, vec![vec!["apple", "widevine", "playready"]; 2]);
    let urls: Vec<&str> = media.key_urls.iter().map(|url| url.as_str()).collect();
    assert_eq!(urls, ["skd://1", "data:w", "data:p", "data:w2"]);
}

#[test]
fn a_key_in_the_wrong_playlist_is_known_and_holds_for_nothing() {
    let list = media(&format!(
        "{HEAD}#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"skd://1\"\n#EXTINF:6,\na\n"
    ));
    assert_eq!(list.key_urls[0].as_str(), "skd://1");
    assert_eq!(list.segments().next().unwrap().keys.len(), 0);
    let list = multivariant(
        "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"skd://2\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n",
    );
    assert_eq!(list.key_urls[0].as_str(), "skd://2");
    assert_eq!(list.session_keys, []);
}

#[test]
fn an_empty_attribute_spoils_no_tag() {
    let media = media(&format!(
        "{HEAD}#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"\"\n#EXTINF:6,\na\n"
    ));
    let keys = media.segments().next().unwrap().keys;
    assert_eq!(&*keys[0].format, "identity");
    assert!(keys[0].url.is_some());
}

#[test]
fn an_init_section_holds_until_the_next_and_knows_its_own_keys() {
    let media = media(&format!(
        "{HEAD}#EXT-X-MAP:URI=\"clear\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:6,\na\n\
         #EXT-X-MAP:URI=\"hidden\",BYTERANGE=\"7@3\"\n#EXTINF:6,\nb\n#EXTINF:6,\nc\n"
    ));
    let inits: Vec<(String, Option<ByteRange>, usize)> = media
        .segments()
        .map(|segment| segment.init.unwrap())
        .map(|init| {
            (
                tails([Some(init.url.clone())]).remove(0),
                init.range,
                init.keys.len(),
            )
        })
        .collect();
    let hidden = ("hidden".to_owned(), Some(ByteRange::new(3, 10)), 1);
    assert_eq!(
        inits,
        [("clear".to_owned(), None, 0), hidden.clone(), hidden]
    );
    assert!(media.segments().all(|segment| segment.keys.len() == 1));
}

#[test]
fn a_byte_range_without_offset_follows_the_segment_before() {
    let text = |second: &str| {
        format!(
            "{HEAD}#EXTINF:6,\n#EXT-X-BYTERANGE:10@5\na\n#EXT-X-BYTERANGE:4\n#EXTINF:6,\n{second}\n"
        )
    };
    let second = media(&text("a")).segments().nth(1).unwrap();
    assert_eq!(second.range, Some(ByteRange::new(15, 19)));
    // The same resource, written in another way.
    let second = media(&text("https://cdn.example/vod/a"))
        .segments()
        .nth(1)
        .unwrap();
    assert_eq!(second.range, Some(ByteRange::new(15, 19)));
    assert!(matches!(
        read(&text("b")),
        Err(ParseError::BadByteRange { line: 8, .. })
    ));
}

#[test]
fn every_date_range_is_kept_and_tags_of_one_id_are_merged() {
    let media = media(&format!(
        "{HEAD}#EXT-X-DATERANGE:ID=\"a\",CLASS=\"ad\",START-DATE=\"2020-01-01T00:00:00Z\",\
         PLANNED-DURATION=30.5,SCTE35-OUT=0xFC,X-ASSET-URI=\"u,v\",X-N=1,CUE=\"PRE,ONCE\"\n\
         #EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2020-01-01T00:00:01Z\",END-ON-NEXT=YES,CLASS=\"c\"\n\
         #EXT-X-DATERANGE:ID=\"a\",DURATION=31,SCTE35-IN=0xFD,X-ASSET-URI=\"other\",X-Z=\"2\",\
         END-DATE=\"2020-01-01T00:00:31Z\"\n#EXT-X-DATERANGE:CLASS=\"no id\"\n#EXTINF:6,\na\n"
    ));
    let [a, b] = &media.date_ranges[..] else {
        panic!("{:?}", media.date_ranges);
    };
    let at = |seconds: i64| Some(UnixTime::from_micros((1_577_836_800 + seconds) * 1_000_000));
    let pair = |name: &str, value: &str| (name.into(), value.into());
    let expected = DateRange {
        id: "a".into(),
        class: Some("ad".into()),
        start: at(0),
        end: at(31),
        duration: Some(Duration::from_secs(31)),
        planned_duration: Some(Duration::from_millis(30_500)),
        cue: Some("PRE,ONCE".into()),
        ends_on_next: false,
        scte35_command: None,
        scte35_out: Some("0xFC".into()),
        scte35_in: Some("0xFD".into()),
        attributes: vec![
            pair("X-ASSET-URI", "u,v"),
            pair("X-N", "1"),
            pair("X-Z", "2"),
        ],
    };
    assert_eq!(*a, expected);
    assert_eq!((b.start, b.ends_on_next), (at(1), true));
    assert_eq!(warnings(&media), [WarningKind::BadAttribute]);
}

#[test]
fn a_zone_without_colon_is_a_zone() {
    let media = media(&format!(
        "{HEAD}#EXT-X-PROGRAM-DATE-TIME:2020-01-01T01:30:00.123456+0130\n#EXTINF:6,\na\n#EXTINF:6,\nb\n"
    ));
    let dates: Vec<Option<i64>> = media
        .segments()
        .map(|segment| Some(segment.date?.as_micros()))
        .collect();
    // `date -u -d 2020-01-01 +%s` says 1577836800.
    assert_eq!(dates, [Some(1_577_836_800_123_456), None]);
}

#[test]
fn durations_keep_more_than_single_precision() {
    let media = media(&format!(
        "{HEAD}#EXTINF:9.97666666666667,\na\n#EXTINF:3600.0416666,\nb\n"
    ));
    assert_eq!(durations(&media), [9_976_666_667, 3_600_041_666_600]);
}

#[test]
fn a_comma_in_a_title_makes_no_segment() {
    let media = media(&format!(
        "{HEAD}#EXTINF:6,Title, with comma\na.ts\n#EXTINF:5,\nb.ts\n"
    ));
    assert_eq!(names(&media), ["a.ts", "b.ts"]);
    assert_eq!(durations(&media), [6_000_000_000, 5_000_000_000]);
}

#[test]
fn odd_durations_are_read_as_far_as_they_go() {
    let media = media(
        "#EXTM3U\n#EXTINF:-1 tvg-id=\"x\",Chan\na\n#EXTINF:.5\nb\n#EXTINF:6.\nc\n#EXTINF: 7 ,t\nd\n",
    );
    assert_eq!(
        durations(&media),
        [0, 500_000_000, 6_000_000_000, 7_000_000_000]
    );
}

#[test]
fn text_behind_a_tag_is_no_segment() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:6.006\n#EXTINF:6,\na\n#EXT-X-DISCONTINUITY:foo\n\
         #EXTINF:6,\nb\n#EXT-X-ENDLIST-FOO\n",
    );
    assert_eq!(names(&media), ["a", "b"]);
    assert_eq!(
        media.declared_target_duration,
        Some(Duration::from_millis(6006))
    );
    assert_eq!(media.liveness, Liveness::Live);
}

#[test]
fn a_sequence_number_over_64_bits_is_refused() {
    let text = format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:18446744073709551616\n#EXTINF:6,\na\n");
    assert!(matches!(
        read(&text),
        Err(ParseError::BadNumber { line: 3, .. })
    ));
}

#[test]
fn a_byte_that_is_not_utf8_cuts_nothing_off() {
    let text = format!("{HEAD}#EXTINF:6,caf?\na.ts\n#EXTINF:6,\nb.ts\n#EXT-X-ENDLIST\n");
    let bytes: Vec<u8> = text
        .bytes()
        .map(|byte| if byte == b'?' { 0xe9 } else { byte })
        .collect();
    let Ok(Manifest::Media(media)) = parse(&bytes, BASE) else {
        panic!("it is a media playlist");
    };
    assert_eq!(names(&media), ["a.ts", "b.ts"]);
    assert_eq!(media.liveness, Liveness::Ended);
    assert_eq!(warnings(&media), [WarningKind::NotUtf8]);
}

#[test]
fn a_lone_carriage_return_cuts_nothing_off() {
    let media = media(&format!(
        "{HEAD}#EXTINF:6,a\rb\na.ts\n#EXTINF:6,\nb.ts\n#EXT-X-ENDLIST\n"
    ));
    assert_eq!(names(&media), ["a.ts", "b.ts"]);
    assert_eq!(media.liveness, Liveness::Ended);
}

#[test]
fn a_byte_order_mark_and_blanks_before_the_first_line_are_skipped() {
    assert_eq!(
        names(&media(&format!("\u{feff}{HEAD}#EXTINF:6,\na\n"))),
        ["a"]
    );
    assert_eq!(
        names(&media(&format!(" \r\n\n{HEAD}#EXTINF:6,\na\n"))),
        ["a"]
    );
    // RFC 8216bis section 4.4.1.1: it must be the first line.
    let commented = format!("# a comment\n{HEAD}#EXTINF:6,\na\n");
    assert!(matches!(
        read(&commented),
        Err(ParseError::NotAPlaylist { .. })
    ));
}

#[test]
fn an_odd_variant_keeps_its_url_and_no_other() {
    let list = multivariant(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow\n#EXT-X-STREAM-INF:AUDIO=\"\",BANDWIDTH=2\nmid\n\
         #EXT-X-STREAM-INF:RESOLUTION=1280X720,BANDWIDTH=2.5e6\nhigh\n#EXT-X-STREAM-INF:\nodd\n",
    );
    let variants: Vec<(String, Option<u64>)> = list
        .variants
        .iter()
        .map(|v| {
            (
                tails([Some(v.url.clone())]).remove(0),
                v.bandwidth.map(BitRate::as_bps),
            )
        })
        .collect();
    let expected = [
        ("low", Some(1)),
        ("mid", Some(2)),
        ("high", None),
        ("odd", None),
    ];
    assert_eq!(
        variants,
        expected.map(|(name, rate)| (name.to_owned(), rate))
    );
    assert_eq!(
        list.variants[2].resolution.map(|r| (r.width, r.height)),
        Some((1280, 720))
    );
}

#[test]
fn an_attribute_of_another_type_spoils_no_rendition() {
    let list = multivariant(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"u\",FORCED=NO\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"m\",URI=\"v\",INSTREAM-ID=\"CC1\"\n",
    );
    let kinds: Vec<RenditionKind> = list.renditions.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [RenditionKind::Audio, RenditionKind::Subtitles]);
}

#[test]
fn a_malformed_attribute_swallows_no_line() {
    let media = media(&format!(
        "{HEAD}#EXT-X-MAP:URI=\"i.mp4\n#EXTINF:6,\na?x=1\n#EXT-X-MAP:URI=\"j.mp4\",FOO\n#EXTINF:6,\nb?x=\"\n"
    ));
    let inits = media
        .segments()
        .map(|segment| Some(segment.init?.url.clone()));
    assert_eq!(tails(inits), ["i.mp4", "j.mp4"]);
    assert_eq!(media.segments().len(), 2);
}

#[test]
fn variables_are_replaced_in_every_url() {
    let media = media(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"x\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
         #EXT-X-TARGETDURATION:6\n#EXT-X-KEY:METHOD=AES-128,URI=\"k{$v}\"\n\
         #EXT-X-MAP:URI=\"i{$v}\"\n#EXTINF:6,\n{$v}/{$t}\n\
         #EXT-X-PART:DURATION=1,URI=\"p{$v}\",BYTERANGE=\"1@0\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"h{$v}\"\n#EXT-X-RENDITION-REPORT:URI=\"r{$v}\"\n\
         #EXT-X-DATERANGE:ID=\"d{$v}\",X-ASSET-URI=\"{$t}\"\n",
    );
    assert_eq!(names(&media), ["x/abc"]);
    let segment = media.segments().next().unwrap();
    assert_eq!(tails([segment.init.map(|init| init.url.clone())]), ["ix"]);
    assert_eq!(media.key_urls[0].as_str(), "https://cdn.example/vod/kx");
    assert_eq!(tails(media.parts().map(|part| part.url)), ["px"]);
    assert_eq!(tails([Some(media.preload_hints[0].url.clone())]), ["hx"]);
    assert_eq!(
        tails([Some(media.rendition_reports[0].url.clone())]),
        ["rx"]
    );
    assert_eq!(&*media.date_ranges[0].id, "dx");
    assert_eq!(&*media.date_ranges[0].attributes[0].1, "abc");
}

#[test]
fn definitions_make_no_playlist_multivariant_and_parts_make_it_media() {
    let kind = |text: &str| match read(text) {
        Ok(Manifest::Media(_)) => "media",
        Ok(Manifest::Multivariant(_)) => "multivariant",
        Err(_) => "neither",
    };
    assert_eq!(
        kind("#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n#EXTINF:6,\na\n"),
        "media"
    );
    assert_eq!(kind("#EXTM3U\n#EXT-X-PART:DURATION=1,URI=\"p\"\n"), "media");
    assert_eq!(
        kind("#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\"\n"),
        "multivariant"
    );
    assert_eq!(
        kind("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n#EXTINF:6,\na\n"),
        "media"
    );
    assert_eq!(kind("#EXTM3U\n#EXT-X-VERSION:9\n"), "neither");
}

#[test]
fn an_i_frame_playlist_is_told() {
    let media = media(&format!(
        "{HEAD}#EXT-X-I-FRAMES-ONLY\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-START:TIME-OFFSET=3\n#EXTINF:2,\n#EXT-X-BYTERANGE:10@0\na\n#EXT-X-ENDLIST\n"
    ));
    assert!(media.is_i_frames_only && media.is_independent);
    assert_eq!(
        media.playlist_type,
        Some(p2pcdn_manifest::PlaylistType::Vod)
    );
    assert_eq!(
        media.start.unwrap().origin,
        p2pcdn_manifest::StartOrigin::Start
    );
}
