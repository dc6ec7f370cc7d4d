//! Manifests that ffmpeg wrote, against what ffprobe and the file system tell of the media.
//!
//! Expected values are those of `fixtures/ffmpeg/facts.txt`: the media were encoded as 70 frames of
//! 0.1 s with a key frame every 2 s, so that segments are 2, 2, 2 and 1 s long.
#![cfg(feature = "dash")]

mod support;

use std::time::Duration;

use p2pcdn_manifest::{
    Format, IdentityConfig, Input, Liveness, Resolution, Resource, Segment, Sharing, TrackKind,
    parse_sidx,
};
use p2pcdn_wire::{ByteRange, MediaTime};
use support::Shell;

const URL: &str = "https://h.example/ffmpeg/film.m3u8";
const MPD: &str = "https://h.example/ffmpeg/film.mpd";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/ffmpeg/", $name))
    };
}

fn loaded(url: &str, text: &str) -> Shell {
    Shell::with(url, IdentityConfig::default(), text)
}

fn segments(shell: &Shell, at: usize) -> Vec<Segment> {
    let track = &shell.presentation().tracks[at];
    let segments = track.segments.as_ref();
    segments.expect("it was loaded").iter().collect()
}

fn millis(segments: &[Segment]) -> Vec<u128> {
    segments
        .iter()
        .map(|one| one.duration.as_millis())
        .collect()
}

fn names(segments: &[Segment]) -> Vec<&str> {
    segments
        .iter()
        .filter_map(|one| one.url.rsplit('/').next())
        .collect()
}

/// First byte and length of each.
fn ranges(segments: &[Segment]) -> Vec<(u64, u64)> {
    let range = |one: &Segment| {
        one.range
            .map(|range| (range.start, range.end - range.start))
    };
    segments.iter().filter_map(range).collect()
}

/// Where each begins, in seconds.
fn starts(segments: &[Segment]) -> Vec<i64> {
    segments
        .iter()
        .map(|one| one.start.as_nanos() / 1_000_000_000)
        .collect()
}

#[test]
fn hls_with_transport_streams() {
    let shell = loaded(URL, fixture!("hls-ts/film.m3u8"));
    let list = segments(&shell, 0);
    assert_eq!(shell.presentation().format, Format::HlsMedia);
    assert_eq!(
        names(&list),
        ["film0.ts", "film1.ts", "film2.ts", "film3.ts"]
    );
    assert_eq!(millis(&list), [2000, 2000, 2000, 1000]);
    // ffprobe: from 1.4 s, 3.4 s, 5.4 s and 7.4 s of the stream's own clock.
    assert_eq!(starts(&list), [0, 2, 4, 6]);
    let all = shell.segments("");
    assert_eq!(all.liveness, Liveness::Ended);
    assert_eq!(all.live_edge, MediaTime::ZERO + Duration::from_secs(7));
}

#[test]
fn hls_in_a_single_file() {
    let shell = loaded(URL, fixture!("hls-single-file/film.m3u8"));
    let list = segments(&shell, 0);
    assert_eq!(millis(&list), [2000, 2000, 2000, 1000]);
    let init = list[0].init.clone().unwrap();
    assert_eq!(init.range, Some(ByteRange::new(0, 836)));
    let ranges = ranges(&list);
    assert_eq!(ranges.len(), 4);
    // Without gap from the init segment to the end of the file.
    let end = ranges.iter().fold(836, |end, (start, len)| {
        assert_eq!(*start, end);
        start + len
    });
    assert_eq!(end, 4477, "the length of film.m4s");
    // Where ffprobe finds the key frames lies in the segment that begins with each.
    for (segment, key_frame) in list.iter().zip([1080, 2563, 3399, 4151]) {
        let range = segment.range.unwrap();
        assert!((range.start..range.end).contains(&key_frame));
        let found = shell.presentation().resource(
            "https://h.example/ffmpeg/film.m4s",
            Some(ByteRange::new(key_frame, key_frame + 1)),
        );
        assert_eq!(
            found,
            Some(Resource::Segment(shell.track(""), segment.ordinal))
        );
    }
}

#[test]
fn hls_with_keys_that_change() {
    let shell = loaded(URL, fixture!("hls-encrypted/film.m3u8"));
    let list = segments(&shell, 0);
    assert_eq!(millis(&list), [2000, 2000, 2000, 1000]);
    let keys: Vec<_> = list
        .iter()
        .map(|one| (one.keys[0].url.as_ref().unwrap().as_str(), one.keys[0].iv))
        .collect();
    let key = |n: u128| match n {
        1 => ("https://h.example/ffmpeg/keys/1?token=secret", Some(n)),
        _ => ("https://h.example/ffmpeg/keys/2?token=secret", Some(n)),
    };
    assert_eq!(keys, [key(1), key(1), key(2), key(2)]);
    assert!(
        list.iter()
            .all(|one| one.keys.len() == 1 && &*one.keys[0].method == "AES-128")
    );
    assert!(
        list.iter().all(|one| one.sharing == Sharing::Shared),
        "as ciphertext"
    );
    let discontinuities: Vec<u64> = list.iter().map(|one| one.discontinuity_sequence).collect();
    assert_eq!(discontinuities, [1, 1, 2, 2]);
    let found = shell
        .presentation()
        .resource("https://h.example/ffmpeg/keys/2", None);
    assert_eq!(found, Some(Resource::Key));
}

#[test]
fn hls_with_variants_and_sound() {
    let mut shell = loaded(URL, fixture!("hls-variants/film.m3u8"));
    let tracks = &shell.presentation().tracks;
    let mut kinds: Vec<_> = tracks
        .iter()
        .map(|track| {
            (
                track.url.rsplit('/').next().unwrap(),
                track.kind,
                track.resolution,
            )
        })
        .collect();
    kinds.sort_unstable();
    let size = |width, height| Some(Resolution { width, height });
    assert_eq!(
        kinds,
        [
            ("large.m3u8", TrackKind::Video, size(64, 36)),
            ("small.m3u8", TrackKind::Video, size(32, 18)),
            ("sound.m3u8", TrackKind::Audio, None),
        ]
    );
    for (name, text) in [
        ("large.m3u8", fixture!("hls-variants/large.m3u8")),
        ("small.m3u8", fixture!("hls-variants/small.m3u8")),
        ("sound.m3u8", fixture!("hls-variants/sound.m3u8")),
    ] {
        let url = format!("https://h.example/ffmpeg/{name}");
        support::load(&mut shell, &url, text);
        assert_eq!(shell.segments(name).len(), 4);
    }
    let durations = |name: &str| millis(&shell.segments(name).iter().collect::<Vec<_>>());
    assert_eq!(durations("large.m3u8"), [2000, 2000, 2000, 1000]);
    // ffprobe: from 1.400 s, 3.448 s, 5.432 s, and 7.416 s; frames of 64 ms.
    assert_eq!(durations("sound.m3u8")[..3], [2048, 1984, 1984]);
}

#[test]
fn dash_by_number() {
    let shell = loaded(MPD, fixture!("dash-number/film.mpd"));
    let presentation = shell.presentation();
    assert_eq!(presentation.format, Format::Dash);
    assert_eq!(presentation.tracks.len(), 2);
    for at in 0..2 {
        let list = segments(&shell, at);
        let expected: Vec<String> = (1..=4)
            .map(|number| format!("chunk-stream{at}-{number:05}.m4s"))
            .collect();
        assert_eq!(names(&list), expected);
        let init = list[0].init.clone().unwrap();
        assert_eq!(
            *init.url,
            *format!("https://h.example/ffmpeg/init-stream{at}.m4s")
        );
    }
    assert_eq!(starts(&segments(&shell, 0)), [0, 2, 4, 6]);
}

#[test]
fn dash_by_time() {
    let shell = loaded(MPD, fixture!("dash-time/film.mpd"));
    let list = segments(&shell, 1);
    // As ffmpeg named the files.
    let files = [
        "film-1-0.m4s",
        "film-1-20480.m4s",
        "film-1-40960.m4s",
        "film-1-61440.m4s",
    ];
    assert_eq!(names(&list), files);
    assert_eq!(millis(&list), [2000, 2000, 2000, 1000]);
    assert_eq!(starts(&list), [0, 2, 4, 6]);
}

/// The same file twice: as ffmpeg lists its ranges, and as its own index does.
#[test]
fn dash_in_a_single_file() {
    let listed = loaded(MPD, fixture!("dash-single-file/list.mpd"));
    let mut indexed = loaded(MPD, fixture!("dash-single-file/index.mpd"));
    let track = indexed.presentation().tracks[0].id;
    indexed.input(Input::TrackActivated(track));
    let (url, range) = indexed.take_ranges().remove(0);
    assert_eq!(&*url, "https://h.example/ffmpeg/list-stream0.mp4");
    let range = range.unwrap();
    // The index is the last box of the head.
    assert_eq!(usize::try_from(range.end).unwrap(), HEAD.len());
    let index = &HEAD[usize::try_from(range.start).unwrap()..];
    assert_eq!(&index[4..8], b"sidx");
    indexed.input(Input::Loaded {
        url: url.clone(),
        range: Some(range),
        final_url: url,
        body: index.into(),
    });
    let (by_list, by_index) = (segments(&listed, 0), segments(&indexed, 0));
    assert_eq!(ranges(&by_index), ranges(&by_list));
    assert_eq!(ranges(&by_index).len(), 4);
    assert_eq!(by_index[0].range.unwrap().start, range.end);
    assert_eq!(
        by_index[3].range.unwrap().end,
        4324,
        "the length of the file"
    );
    assert_eq!(millis(&by_index), [2000, 2000, 2000, 1000]);
    assert_eq!(starts(&by_index), [0, 2, 4, 6]);
    for (segment, key_frame) in by_index.iter().zip([1083, 2514, 3298, 3998]) {
        let range = segment.range.unwrap();
        assert!((range.start..range.end).contains(&key_frame));
    }
}

#[test]
fn the_index_of_a_file_is_read_to_its_end() {
    assert!(parse_sidx(&HEAD[803..], 803).is_ok());
    for cut in 804..HEAD.len() {
        assert!(parse_sidx(&HEAD[803..cut], 803).is_err(), "{cut}");
    }
}

const HEAD: &[u8] = include_bytes!("fixtures/ffmpeg/dash-single-file/head.mp4");
