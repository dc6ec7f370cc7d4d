//! Any bytes, and an independent reader of the same text.
#![cfg(feature = "hls")]

use std::time::Duration;

use p2pcdn_manifest::{Manifest, parse};
use p2pcdn_wire::BitRate;
use proptest::prelude::*;

const BASE: &str = "https://cdn.example/show/list.m3u8?t=abc";

const FIXTURES: [&str; 6] = [
    include_str!("fixtures/multivariant.m3u8"),
    include_str!("fixtures/live-before.m3u8"),
    include_str!("fixtures/live-after.m3u8"),
    include_str!("fixtures/byte-ranges.m3u8"),
    include_str!("fixtures/encrypted.m3u8"),
    include_str!("fixtures/tokens.m3u8"),
];

/// m3u8-rs is right about well-formed text, f32 durations and scopes of keys aside.
#[test]
fn well_formed_playlists_are_read_as_by_m3u8_rs() {
    let tail = |url: &str| {
        url.trim_start_matches("https://cdn.example/show/")
            .to_owned()
    };
    for text in FIXTURES {
        let oracle = m3u8_rs::parse_playlist_res(text.as_bytes()).unwrap();
        match (parse(text.as_bytes(), BASE).unwrap(), oracle) {
            (Manifest::Media(ours), m3u8_rs::Playlist::MediaPlaylist(theirs)) => {
                assert_eq!(ours.media_sequence, theirs.media_sequence);
                let target = Duration::from_secs(theirs.target_duration);
                assert_eq!(ours.target_duration, target);
                assert_eq!(ours.segments().len(), theirs.segments.len());
                let mut discontinuities = theirs.discontinuity_sequence;
                for (ours, theirs) in ours.segments().zip(theirs.segments) {
                    discontinuities += u64::from(theirs.discontinuity);
                    assert_eq!(tail(ours.url.as_deref().unwrap()), theirs.uri);
                    let difference = ours.duration.as_secs_f32() - theirs.duration;
                    assert!(difference.abs() < 1e-3);
                    assert_eq!(ours.discontinuity_sequence, discontinuities);
                    let range = theirs.byte_range.map(|range| range.length);
                    assert_eq!(ours.range.map(|range| range.len()), range);
                    let date = theirs.program_date_time.map(|date| date.timestamp_micros());
                    assert_eq!(ours.date.map(|date| date.as_micros()), date);
                }
            }
            (Manifest::Multivariant(ours), m3u8_rs::Playlist::MasterPlaylist(theirs)) => {
                assert_eq!(ours.variants.len(), theirs.variants.len());
                for (ours, theirs) in ours.variants.iter().zip(theirs.variants) {
                    assert_eq!(tail(&ours.url), theirs.uri);
                    assert_eq!(ours.bandwidth.map(BitRate::as_bps), Some(theirs.bandwidth));
                    assert_eq!(ours.codecs.as_deref(), theirs.codecs.as_deref());
                }
                assert_eq!(ours.renditions.len(), theirs.alternatives.len());
                for (ours, theirs) in ours.renditions.iter().zip(theirs.alternatives) {
                    assert_eq!(ours.url.as_deref().map(tail), theirs.uri);
                    assert_eq!(*ours.name, theirs.name);
                }
            }
            (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
        }
    }
}

/// Lines that matter to the parser, in any order, whole or cut.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("#EXTINF:2.002,t".to_owned()),
        Just("seg{$v}.ts?token=x&n=1".to_owned()),
        Just("#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\"".to_owned()),
        Just("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\",URI=\"c\"".to_owned()),
        Just("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"w\"".to_owned()),
        Just("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1".to_owned()),
        Just("#EXT-X-MAP:URI=\"i\",BYTERANGE=\"10@0\"".to_owned()),
        Just("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.5+01:00".to_owned()),
        Just("#EXT-X-PART:DURATION=0.5,URI=\"p{$v}\",BYTERANGE=\"5\"".to_owned()),
        Just("#EXT-X-PART:DURATION=0.5,URI=\"p{$v}\",BYTERANGE=\"5@1\",GAP=YES".to_owned()),
        Just(
            "#EXT-X-DATERANGE:ID=\"d\",START-DATE=\"2026-01-01T00:00:00Z\",X-A=\"{$v}\"".to_owned()
        ),
        "#EXT-X-(PART|PRELOAD-HINT|RENDITION-REPORT|SERVER-CONTROL|PART-INF|START|DATERANGE):[-0-9.=,\"A-Z]{0,32}",
        "#EXT-X-(SESSION-DATA|CONTENT-STEERING|SESSION-KEY|I-FRAME-STREAM-INF):[-0-9.=,\"A-Z]{0,32}",
        "#EXT-X-(BYTERANGE|MEDIA-SEQUENCE|TARGETDURATION|SKIP|KEY|MAP|DEFINE):[-0-9@.=,\"A-Z]{0,24}",
        "#EXTINF:[-0-9.,e]{0,24}",
        "#EXT-X-PROGRAM-DATE-TIME:[-0-9:T+Z.]{0,32}",
        "\\PC{0,24}",
    ];
    proptest::collection::vec(line, 0..40)
        .prop_map(|lines| format!("#EXTM3U\n{}", lines.join("\n")))
}

/// Reads a playlist, and all that is worked out only when it is asked for.
fn read(bytes: &[u8], base: &str) {
    match parse(bytes, base) {
        Ok(Manifest::Media(media)) => {
            let segments = media.segments().map(|segment| segment.sequence);
            assert!(
                segments
                    .eq(media.first_sequence()
                        ..media.first_sequence() + media.segments().len() as u64)
            );
            assert_eq!(media.parts().count(), media.parts().len());
        }
        Ok(Manifest::Multivariant(list)) => assert!(list.pathways().len() <= list.variants.len()),
        Err(_) => {}
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        read(&bytes, BASE);
        bytes.splice(0..0, *b"#EXTM3U\n#EXTINF:1,\n");
        read(&bytes, BASE);
    }

    #[test]
    fn any_lines_are_read_or_refused(text in lines(), base in "\\PC{0,24}") {
        read(text.as_bytes(), BASE);
        read(text.as_bytes(), &base);
    }

    #[test]
    fn line_ends_do_not_change_what_is_read(text in lines()) {
        prop_assume!(!text.contains('\r'));
        let unix = parse(text.as_bytes(), BASE);
        let dos = parse(text.replace('\n', "\r\n").as_bytes(), BASE);
        prop_assert_eq!(unix, dos);
    }

    #[test]
    fn a_fixture_with_damaged_bytes_is_read_or_refused(
        which in 0..FIXTURES.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = FIXTURES[which].as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&bytes, BASE);
    }
}

/// What made other parsers quadratic: an attribute list that never ends.
#[test]
fn hostile_text_takes_time_in_proportion_to_its_length() {
    let text = |lines: usize| format!("#EXTM3U\n{}#EXTINF:1,\na\n", "#EXT-X-KEY:A\n".repeat(lines));
    let Ok(Manifest::Media(media)) = parse(text(200_000).as_bytes(), BASE) else {
        panic!("a playlist with many bad keys is still a playlist");
    };
    assert_eq!(media.segments().len(), 1);
    assert_eq!(media.segments().next().unwrap().keys.len(), 1);
}
