//! Well-formed playlists, read as by two other parsers.
#![cfg(feature = "hls")]

use p2pcdn_manifest::{Manifest, MediaPlaylist, parse};
use proptest::prelude::*;
use quick_m3u8::{HlsLine, config::ParsingOptions};

const BASE: &str = "https://cdn.example/show/list.m3u8";

/// A segment as it is written into a playlist.
#[derive(Clone, Debug)]
struct Written {
    name: String,
    millis: u32,
    range: Option<(u64, u64)>,
    /// Milliseconds since 1970.
    date: Option<i64>,
    is_discontinuity: bool,
    is_gap: bool,
}

fn segment() -> impl Strategy<Value = Written> {
    (
        "[a-z]{1,3}/[a-zA-Z0-9_-]{1,20}\\.(ts|m4s)(\\?[a-z]{1,4}=[A-Za-z0-9%~*=&/:?._-]{0,40})?",
        1u32..20_000,
        proptest::option::weighted(0.3, (1u64..1_000_000, 0u64..u64::MAX / 2)),
        proptest::option::weighted(0.3, 0i64..4_102_444_800_000),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.1),
    )
        .prop_map(
            |(name, millis, range, date, is_discontinuity, is_gap)| Written {
                name,
                millis,
                range,
                date,
                is_discontinuity,
                is_gap,
            },
        )
}

/// As RFC 8216bis has it, no more and no less.
fn write(segments: &[Written], sequence: u64, line_end: &str) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
    for segment in segments {
        if segment.is_discontinuity {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if let Some(millis) = segment.date {
            let date = calendar(millis);
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n");
        }
        if let Some((len, start)) = segment.range {
            text += &format!("#EXT-X-BYTERANGE:{len}@{start}\n");
        }
        if segment.is_gap {
            text.push_str("#EXT-X-GAP\n");
        }
        let (whole, fraction) = (segment.millis / 1000, segment.millis % 1000);
        text += &format!("#EXTINF:{whole}.{fraction:03},\n{}\n", segment.name);
    }
    text.replace('\n', line_end)
}

/// A date by counting days, not as the crate does it.
fn calendar(millis: i64) -> String {
    let (mut days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1000 % 60, of_day % 1000);
    format!(
        "{year:04}-{month:02}-{:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z",
        days + 1
    )
}

fn media(text: &str) -> MediaPlaylist {
    match parse(text.as_bytes(), BASE) {
        Ok(Manifest::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        segments in proptest::collection::vec(segment(), 1..40),
        sequence in 0u64..1 << 60,
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let list = media(&write(&segments, sequence, line_end));
        prop_assert_eq!(&list.warnings, &[]);
        prop_assert_eq!(list.segments().len(), segments.len());
        for ((ours, written), ordinal) in list.segments().zip(&segments).zip(sequence..) {
            prop_assert_eq!(ours.sequence, ordinal);
            prop_assert_eq!(ours.duration.as_millis(), u128::from(written.millis));
            let url = format!("https://cdn.example/show/{}", written.name);
            prop_assert_eq!(ours.url.as_deref(), Some(&*url));
            let range = ours.range.map(|range| (range.len(), range.start));
            prop_assert_eq!(range, written.range);
            prop_assert_eq!(ours.date.map(|date| date.as_micros()), written.date.map(|date| date * 1000));
            prop_assert_eq!(ours.is_discontinuity, written.is_discontinuity);
            prop_assert_eq!(ours.is_gap, written.is_gap);
        }
    }

    #[test]
    fn m3u8_rs_reads_the_same(segments in proptest::collection::vec(segment(), 1..40)) {
        let text = write(&segments, 7, "\n");
        let list = media(&text);
        let Ok(m3u8_rs::Playlist::MediaPlaylist(theirs)) = m3u8_rs::parse_playlist_res(text.as_bytes()) else {
            return Err(TestCaseError::fail("m3u8-rs refuses it"));
        };
        prop_assert_eq!(list.media_sequence, theirs.media_sequence);
        prop_assert_eq!(list.segments().len(), theirs.segments.len());
        for (ours, theirs) in list.segments().zip(theirs.segments) {
            let url = format!("https://cdn.example/show/{}", theirs.uri);
            prop_assert_eq!(ours.url.as_deref(), Some(&*url));
            prop_assert!((ours.duration.as_secs_f32() - theirs.duration).abs() < 1e-3);
            prop_assert_eq!(ours.is_discontinuity, theirs.discontinuity);
            let range = theirs.byte_range.map(|range| (range.length, range.offset));
            prop_assert_eq!(ours.range.map(|range| (range.len(), Some(range.start))), range);
            let date = theirs.program_date_time.map(|date| date.timestamp_micros());
            prop_assert_eq!(ours.date.map(|date| date.as_micros()), date);
        }
    }

    #[test]
    fn quick_m3u8_finds_the_same_lines(
        segments in proptest::collection::vec(segment(), 1..40),
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let text = write(&segments, 7, line_end);
        let mut reader = quick_m3u8::Reader::from_str(&text, ParsingOptions::default());
        let mut urls = Vec::new();
        while let Ok(Some(line)) = reader.read_line() {
            if let HlsLine::Uri(url) = line {
                urls.push(format!("https://cdn.example/show/{url}"));
            }
        }
        let ours: Vec<String> = media(&text)
            .segments()
            .filter_map(|segment| Some(segment.url?.to_string()))
            .collect();
        prop_assert_eq!(ours, urls);
    }
}
