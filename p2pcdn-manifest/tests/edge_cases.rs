//! HLS as servers and packagers really do it: what happens to the names of segments.
#![cfg(feature = "hls")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use p2pcdn_manifest::{
    Event, IdentityConfig, IdentityMode, Liveness, NeverReason, PathToken, Resource, Segment,
    SegmentDate, Sharing, TrackKind,
};
use p2pcdn_wire::{ByteRange, OrdinalRange, SegmentId, UnixTime};
use support::{A, B, LIST, Shell, URL, activate, dated, direct, live, load, variants, window};

fn segments(shell: &Shell) -> Vec<Segment> {
    shell.segments("").iter().collect()
}

fn ids(shell: &Shell) -> BTreeMap<u64, SegmentId> {
    segments(shell)
        .iter()
        .map(|one| (one.ordinal, one.id))
        .collect()
}

/// By the URL without the host.
fn by_path(shell: &Shell) -> BTreeMap<String, SegmentId> {
    let named = segments(shell).into_iter().map(|one| {
        let url = one.url.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
        (url, one.id)
    });
    named.collect()
}

fn with_mode(mode: IdentityMode, text: &str) -> Shell {
    let identity = IdentityConfig {
        mode,
        ..IdentityConfig::default()
    };
    Shell::with(URL, identity, text)
}

/// Loads the playlist once more.
fn reload(shell: &mut Shell, text: &str) {
    shell.wake();
    shell.take_loads();
    shell.loaded(URL, text);
}

/// The segments with these file names from `sequence` on.
fn named(sequence: u64, names: &[&str]) -> String {
    let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
    let lines = names.iter().map(|name| format!("#EXTINF:2,\n{name}\n"));
    std::iter::once(head).chain(lines).collect()
}

/// What two presentations both name.
fn common(a: &BTreeMap<u64, SegmentId>, b: &BTreeMap<u64, SegmentId>) -> usize {
    a.values()
        .filter(|id| b.values().any(|other| other == *id))
        .count()
}

#[test]
fn an_encoder_that_restarts_begins_an_epoch_that_is_in_no_name() {
    let mut shell = direct(&live("s", 50, 4));
    let before = ids(&shell);
    // Numbers alone may be a lagging cache, once.
    reload(&mut shell, &live("s", 0, 3));
    assert_eq!(shell.take_events(), []);
    reload(&mut shell, &live("s", 0, 4));
    let track = shell.track("");
    assert_eq!(shell.take_events(), [Event::EncoderRestarted { track }]);
    assert_eq!(shell.segments("").epoch, 1);
    assert!(shell.changes[0].restarted);
    assert_eq!(shell.changes[0].removed, [OrdinalRange::new(50, 54)]);
    assert_eq!(common(&before, &ids(&shell)), 0);
    let late = direct(&live("s", 0, 4));
    assert_eq!(
        ids(&late),
        ids(&shell),
        "who came later cannot know of epochs"
    );
}

#[test]
fn another_target_duration_without_overlap_is_a_restart() {
    let mut shell = direct(&live("s", 50, 4));
    let track = shell.track("");
    reload(
        &mut shell,
        &live("s", 90, 3).replace("TARGETDURATION:2", "TARGETDURATION:6"),
    );
    assert_eq!(shell.take_events(), [Event::EncoderRestarted { track }]);
}

#[test]
fn a_sequence_number_that_is_absent_is_zero() {
    let absent = live("s", 0, 3).replace("#EXT-X-MEDIA-SEQUENCE:0\n", "");
    assert_eq!(ids(&direct(&absent)), ids(&direct(&live("s", 0, 3))));
}

#[test]
fn numbers_that_stand_still_give_way_to_paths() {
    let standing =
        |first: u64| live("s", first, 5).replace(&format!("SEQUENCE:{first}"), "SEQUENCE:7");
    let mut shell = direct(&standing(0));
    let track = shell.track("");
    assert_eq!(window(&shell), OrdinalRange::new(7, 12));
    reload(&mut shell, &standing(1));
    assert_eq!(shell.take_events(), [Event::NumbersUnstable { track }]);
    assert_eq!(window(&shell), OrdinalRange::new(8, 13));
    let second = by_path(&shell);
    reload(&mut shell, &standing(3));
    assert_eq!(shell.take_events(), [], "it is said once");
    assert_eq!(window(&shell), OrdinalRange::new(10, 15), "ordinals go on");
    let third = by_path(&shell);
    assert_eq!(
        (second["s4.ts"], second["s5.ts"]),
        (third["s4.ts"], third["s5.ts"])
    );

    let mut late = direct(&standing(2));
    reload(&mut late, &standing(3));
    assert_eq!(by_path(&late), third, "whenever a viewer came");
    assert_ne!(window(&late), window(&shell));
}

#[test]
fn variants_share_no_name_though_numbers_and_files_are_the_same() {
    let mut shell = variants();
    load(&mut shell, A, &live("s", 5, 3));
    load(&mut shell, B, &live("s", 5, 3));
    let names: BTreeSet<SegmentId> = [A, B]
        .iter()
        .flat_map(|url| {
            shell
                .segments(url)
                .iter()
                .map(|one| one.id)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(names.len(), 6);
}

#[test]
fn variants_that_are_numbered_apart_keep_their_own_numbers() {
    let mut shell = variants();
    load(&mut shell, A, &live("s", 5, 3));
    load(&mut shell, B, &live("s", 900, 3));
    assert_eq!(shell.segments(A).window(), OrdinalRange::new(5, 8));
    assert_eq!(shell.segments(B).window(), OrdinalRange::new(900, 903));
}

#[test]
fn pictures_of_an_i_frame_playlist_are_named_apart_from_the_segments_they_lie_in() {
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n\
                #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"b.m3u8\"\n";
    let mut shell = Shell::with(LIST, IdentityConfig::default(), text);
    let kinds: Vec<TrackKind> = shell
        .presentation()
        .tracks
        .iter()
        .map(|one| one.kind)
        .collect();
    assert_eq!(kinds, [TrackKind::Video, TrackKind::IFrames]);
    let picture = "#EXTM3U\n#EXT-X-I-FRAMES-ONLY\n#EXTINF:2,\n#EXT-X-BYTERANGE:500@0\nfilm.mp4\n";
    load(
        &mut shell,
        A,
        &picture.replace("#EXT-X-I-FRAMES-ONLY\n", ""),
    );
    load(&mut shell, B, picture);
    let (film, still) = (
        shell.segments(A).at(0).unwrap(),
        shell.segments(B).at(0).unwrap(),
    );
    assert_eq!((&film.url, film.range), (&still.url, still.range));
    assert_ne!(film.id, still.id);
}

#[test]
fn a_viewer_with_a_shorter_window_knows_fewer_names() {
    let long = ids(&direct(&live("s", 0, 100)));
    let short = ids(&direct(&live("s", 90, 10)));
    assert_eq!(short.len(), 10);
    assert!(
        short
            .iter()
            .all(|(ordinal, id)| long.get(ordinal) == Some(id))
    );
}

#[test]
fn an_event_that_becomes_a_recording_keeps_its_names_unless_it_is_numbered_anew() {
    let event = live("s", 3, 5).replace("#EXT-X-MEDIA", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA");
    let recording = event.replace("EVENT", "VOD") + "#EXT-X-ENDLIST\n";
    let mut shell = direct(&event);
    assert_eq!(shell.segments("").liveness, Liveness::Event);
    let before = ids(&shell);
    reload(&mut shell, &recording);
    assert_eq!(shell.segments("").liveness, Liveness::Ended);
    assert_eq!(ids(&shell), before);
    let cut = direct(&recording.replace("SEQUENCE:3", "SEQUENCE:0"));
    assert_eq!(
        common(&ids(&cut), &before),
        0,
        "the files are the same, their places are not"
    );
}

#[test]
fn a_server_that_forgets_to_count_discontinuities_changes_no_name() {
    let first = live("s", 0, 4).replace(
        "#EXTINF:2.000,\ns1",
        "#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\ns1",
    );
    let mut shell = direct(&first);
    let before = segments(&shell);
    reload(&mut shell, &live("s", 2, 4));
    let after = segments(&shell);
    assert_eq!(before[2].id, after[0].id);
    let guards = (
        before[2].discontinuity_sequence,
        after[0].discontinuity_sequence,
    );
    assert_eq!(guards, (1, 0), "to be compared, not hashed");
}

#[test]
fn advertisements_on_paths_of_one_viewer_are_nobody_elses() {
    let for_viewer = |session: &str| {
        let ad = format!("https://ads.example/{session}/ad1.ts");
        direct(&named(10, &["s10.ts", &ad, "s11.ts"]))
    };
    let (one, other) = (ids(&for_viewer("7f3a")), ids(&for_viewer("99c0")));
    assert_eq!((one[&10], one[&12]), (other[&10], other[&12]));
    assert_ne!(one[&11], other[&11]);
}

#[test]
fn advertisements_inserted_for_one_viewer_need_names_by_path() {
    let alone = named(10, &["s10.ts", "s11.ts", "s12.ts"]);
    let ad = "https://ads.example/creative/5.ts";
    let inserted = named(10, &["s10.ts", ad, "s11.ts", "s12.ts"]);
    let later = named(10, &["s10.ts", "s11.ts", ad, "s12.ts"]);
    let by_both = |text: &str| by_path(&with_mode(IdentityMode::Both, text));
    assert_ne!(by_both(&alone)["s12.ts"], by_both(&inserted)["s12.ts"]);
    let by_path = |text: &str| by_path(&with_mode(IdentityMode::PathOnly, text));
    for name in ["s10.ts", "s11.ts", "s12.ts"] {
        assert_eq!(by_path(&alone)[name], by_path(&inserted)[name]);
    }
    assert_eq!(
        by_path(&inserted),
        by_path(&later),
        "the same creative wherever it comes"
    );
}

#[test]
fn a_watermark_in_path_or_query_tells_contents_apart_unless_it_is_declared_a_token() {
    for (a, b) in [
        ("wm-A/s1.ts", "wm-B/s1.ts"),
        ("s1.ts?wm=A", "s1.ts?wm=B"),
        ("s.ts?n=1", "s.ts?n=2"),
    ] {
        for mode in [IdentityMode::Both, IdentityMode::PathOnly] {
            let id = |name: &str| ids(&with_mode(mode, &named(1, &[name])))[&1];
            assert_ne!(id(a), id(b), "{mode:?}");
        }
    }
    // What a publisher must not do.
    let careless = IdentityConfig {
        path_tokens: vec![PathToken::Prefix("wm-".into())],
        session_parameters: vec!["wm".into()],
        ..IdentityConfig::default()
    };
    let id = |name: &str| ids(&Shell::with(URL, careless.clone(), &named(1, &[name])))[&1];
    assert_eq!(id("wm-A/s1.ts"), id("wm-B/s1.ts"));
    assert_eq!(id("s1.ts?wm=A"), id("s1.ts?wm=B"));
}

#[test]
fn an_init_segment_that_is_replaced_under_its_url_keeps_its_name_unless_its_range_tells() {
    let init = |map: &str| {
        let text = live("s", 0, 1).replace("#EXTINF", &format!("#EXT-X-MAP:{map}\n#EXTINF"));
        segments(&direct(&text))[0].init.clone().unwrap().id
    };
    let ranged = |len: u32| init(&format!("URI=\"i.mp4\",BYTERANGE=\"{len}@0\""));
    assert_eq!(ranged(700), ranged(700));
    assert_ne!(ranged(700), ranged(720));
    assert_ne!(ranged(700), init("URI=\"i.mp4\""));
    assert_ne!(init("URI=\"i.mp4\""), init("URI=\"j.mp4\""));
}

#[test]
fn a_url_that_is_a_key_and_a_segment_is_a_key_under_any_token() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ns0.ts\n#EXTINF:2,\nk?token=2\n\
                #EXT-X-KEY:METHOD=AES-128,URI=\"k?token=1\"\n#EXTINF:2,\ns2.ts\n";
    let shell = direct(text);
    let sharing: Vec<Sharing> = segments(&shell).iter().map(|one| one.sharing).collect();
    let never = Sharing::Never(NeverReason::KeyUrl);
    assert_eq!(sharing, [Sharing::Shared, never, Sharing::Shared]);
    let found = shell
        .presentation()
        .resource("https://h.example/k?token=3", None);
    assert_eq!(found, Some(Resource::Key));
}

#[test]
fn keys_that_rotate_change_no_name() {
    let keyed = |first: u64, key: &str| {
        let tag = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\",IV=0x0{first}\n#EXTINF");
        live("s", first, 4).replacen("#EXTINF", &tag, 1)
    };
    let mut shell = direct(&keyed(0, "k1"));
    let before = ids(&shell);
    reload(&mut shell, &keyed(1, "k2"));
    let after = ids(&shell);
    assert_eq!(common(&before, &after), 3);
    assert_eq!(
        segments(&shell)[0].keys[0].url.as_ref().unwrap().as_str(),
        "https://h.example/k2"
    );
    for key in ["k1", "k2"] {
        let found = shell
            .presentation()
            .resource(&format!("https://h.example/{key}"), None);
        assert_eq!(
            found,
            Some(Resource::Key),
            "also once it is no longer listed"
        );
    }
}

#[test]
fn parts_have_names_of_their_own_by_place_and_range() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-MEDIA-SEQUENCE:9\n";
    let part =
        |range: &str| format!("#EXT-X-PART:DURATION=1,URI=\"s9.mp4\",BYTERANGE=\"{range}\"\n");
    let text = format!(
        "{head}{}{}#EXTINF:2,\ns9.mp4\n#EXT-X-PART:DURATION=1,URI=\"s10.mp4\",GAP=YES\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s10.1.mp4\"\n",
        part("100@0"),
        part("150")
    );
    let shell = direct(&text);
    let list = shell.segments("");
    let parts = list.parts();
    let range = |start, end| Some(ByteRange::new(start, end));
    let ranges: Vec<_> = parts
        .iter()
        .map(|one| (one.ordinal, one.index, one.range))
        .collect();
    assert_eq!(
        ranges,
        [
            (9, 0, range(0, 100)),
            (9, 1, range(100, 250)),
            (10, 0, None)
        ]
    );
    let parent = list.at(0).unwrap();
    let names: BTreeSet<_> = parts.iter().map(|one| one.id).chain([parent.id]).collect();
    assert_eq!(names.len(), 4);
    assert!(parts[0].url == parent.url && parts[1].url == parent.url);
    assert_eq!(parts[2].sharing, Sharing::Never(NeverReason::Gap));
    let hint = shell
        .presentation()
        .resource("https://h.example/s10.1.mp4", None);
    assert_eq!(hint, None, "a hint is no promise");
}

#[test]
fn a_gap_counts_and_is_never_shared() {
    let text = live("s", 4, 3).replace("#EXTINF:2.000,\ns5", "#EXT-X-GAP\n#EXTINF:2.000,\ns5");
    let shell = direct(&text);
    let sharing: Vec<_> = segments(&shell)
        .iter()
        .map(|one| (one.ordinal, one.sharing))
        .collect();
    let gap = Sharing::Never(NeverReason::Gap);
    assert_eq!(
        sharing,
        [(4, Sharing::Shared), (5, gap), (6, Sharing::Shared)]
    );
}

#[test]
fn dates_that_jump_change_neither_names_nor_places() {
    let mut shell = direct(&dated("s", 0, 4, 0));
    let (before, starts) = (ids(&shell), shell.starts(""));
    reload(&mut shell, &dated("s", 1, 4, 3));
    assert_eq!(common(&before, &ids(&shell)), 3);
    assert_eq!(
        shell.starts("")[0],
        starts[1],
        "one second more is no second more of film"
    );
    assert_eq!(shell.take_events(), []);
}

#[test]
fn file_names_that_come_round_again_need_their_numbers() {
    let ring = |first: u64| {
        let names: Vec<String> = (first..first + 3)
            .map(|n| format!("seg{}.ts", n % 5))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        named(first, &names)
    };
    let both = |first| ids(&with_mode(IdentityMode::Both, &ring(first)));
    assert_eq!(common(&both(0), &both(5)), 0);
    assert_eq!(
        common(&both(0), &both(1)),
        2,
        "in the same round they are the same"
    );
    // What that mode is not for.
    let path = |first| ids(&with_mode(IdentityMode::PathOnly, &ring(first)));
    assert_eq!(common(&path(0), &path(5)), 3);
}

#[test]
fn names_by_ordinal_alone_outlive_paths_that_cannot_be_declared() {
    let text = |session: &str| live(&format!("{session}/s"), 5, 3);
    let of = |mode, session| ids(&with_mode(mode, &text(session)));
    assert_eq!(
        of(IdentityMode::OrdinalOnly, "x1"),
        of(IdentityMode::OrdinalOnly, "y2")
    );
    for mode in [IdentityMode::Both, IdentityMode::PathOnly] {
        assert_eq!(common(&of(mode, "x1"), &of(mode, "y2")), 0);
    }
    let ordinals: BTreeSet<_> = of(IdentityMode::OrdinalOnly, "x1").into_values().collect();
    assert_eq!(ordinals.len(), 3);
}

#[test]
fn each_segment_carries_what_viewers_compare() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DISCONTINUITY-SEQUENCE:40\n\
                #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n#EXTINF:2,\n#EXT-X-BYTERANGE:100@50\nf.ts\n\
                #EXTINF:2,\n#EXT-X-BYTERANGE:70\nf.ts\n\
                #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T01:00:00.5Z\n#EXTINF:2,\ng.ts\n";
    let carried: Vec<_> = segments(&direct(text))
        .iter()
        .map(|one| (one.range, one.date, one.discontinuity_sequence))
        .collect();
    let range = |start, end| Some(ByteRange::new(start, end));
    // 2026-01-01T00:00:00Z.
    let date = |millis: i64| UnixTime::from_micros(1_767_225_600_000_000 + millis * 1000);
    assert_eq!(
        carried,
        [
            (range(50, 150), Some(SegmentDate::Explicit(date(0))), 40),
            (
                range(150, 220),
                Some(SegmentDate::Extrapolated(date(2000))),
                40
            ),
            (None, Some(SegmentDate::Explicit(date(3_600_500))), 41),
        ]
    );
}

#[test]
fn a_restart_leaves_tracks_that_were_not_loaded_alone() {
    let mut shell = variants();
    load(&mut shell, A, &live("s", 50, 4));
    activate(&mut shell, B);
    shell.loaded(B, &live("t", 50, 4));
    for _ in 0..2 {
        shell.loaded(A, &live("s", 0, 4));
    }
    let epochs = (shell.segments(A).epoch, shell.segments(B).epoch);
    assert_eq!(epochs, (1, 0));
}
