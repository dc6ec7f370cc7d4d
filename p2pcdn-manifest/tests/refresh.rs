//! What is loaded when, and what a presentation becomes.
#![cfg(feature = "hls")]

mod support;

use p2pcdn_manifest::{
    Event, Format, IdentityConfig, Input, Liveness, LoadFailure, NeverReason, ParseError, Sharing,
};
use p2pcdn_wire::OrdinalRange;
use support::{A, LIST, Shell, URL, activate, direct, live, load, variants, window};

#[test]
fn a_multivariant_playlist_waits_for_a_track_to_be_played() {
    let mut shell = variants();
    assert_eq!(shell.presentation().format, Format::HlsMultivariant);
    assert_eq!(shell.presentation().tracks.len(), 3);
    assert_eq!(shell.take_loads(), Vec::<String>::new());
    assert_eq!(shell.wake(), None);

    activate(&mut shell, A);
    shell.input(Input::TrackActivated(shell.track(A)));
    assert_eq!(
        shell.take_loads(),
        Vec::<String>::new(),
        "one load per URL at a time"
    );
    shell.loaded(A, &live("s", 0, 3));
    assert_eq!(shell.segments(A).len(), 3);
    assert_eq!(shell.wake(), Some(2000));
    assert_eq!(shell.take_loads(), [A]);
}

#[test]
fn a_media_playlist_given_directly_is_the_only_track_and_active() {
    let mut shell = direct(&live("s", 5, 3));
    assert_eq!(shell.presentation().format, Format::HlsMedia);
    assert_eq!(shell.presentation().tracks.len(), 1);
    assert_eq!(window(&shell), OrdinalRange::new(5, 8));
    assert_eq!(shell.wake(), Some(2000));
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn reloads_follow_the_target_duration_from_the_start_of_the_load() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    shell.pass(300);
    shell.loaded(URL, &live("s", 1, 3));
    assert_eq!(shell.wake(), Some(1700), "the load took 300 ms");
    shell.loaded(URL, &live("s", 1, 3));
    assert_eq!(shell.wake(), Some(1000), "half of it when nothing changed");
    let shorter = live("s", 2, 3).replacen("#EXTINF:2.000,\ns4", "#EXTINF:1.200,\ns4", 1);
    shell.loaded(URL, &shorter);
    assert_eq!(
        shell.wake(),
        Some(1200),
        "the last segment's when it is shorter"
    );
    shell.pass(5000);
    shell.loaded(URL, &live("s", 3, 3));
    assert_eq!(shell.wake(), Some(100), "a slow server is given a pause");
}

#[test]
fn a_changed_text_without_news_is_no_news() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    let updates = shell.updates;
    shell.loaded(URL, &(live("s", 0, 3) + "# another comment\n"));
    assert_eq!(shell.updates, updates);
    assert_eq!(shell.wake(), Some(1000));
    shell.loaded(URL, &live("s", 0, 3).replace(".ts", ".ts?token=new"));
    assert_eq!(shell.updates, updates + 1, "the URLs to fetch from changed");
    assert_eq!(shell.wake(), Some(1000));
}

#[test]
fn intervals_are_bounded_at_both_ends() {
    let text = |target: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXTINF:{target},\ns.ts\n")
    };
    assert_eq!(direct(&text("0")).wake(), Some(500));
    assert_eq!(direct(&text("99999")).wake(), Some(60_000));
}

#[test]
fn an_ended_playlist_is_loaded_once() {
    let mut shell = direct(&(live("s", 0, 3) + "#EXT-X-ENDLIST\n"));
    let track = shell.track("");
    assert_eq!(shell.take_events(), [Event::Ended { track }]);
    assert_eq!(shell.segments("").liveness, Liveness::Ended);
    assert_eq!(shell.wake(), None);
    shell.input(Input::TrackDeactivated(track));
    shell.input(Input::TrackActivated(track));
    assert_eq!(shell.take_loads(), Vec::<String>::new());
}

#[test]
fn a_stream_that_ends_keeps_its_names_and_places() {
    let mut shell = direct(&live("s", 4, 3));
    let before = shell.segments("").clone();
    shell.wake();
    shell.loaded(URL, &(live("s", 4, 3) + "#EXT-X-ENDLIST\n"));
    assert_eq!(shell.segments("").liveness, Liveness::Ended);
    assert!(
        before
            .iter()
            .zip(shell.segments("").iter())
            .all(|(a, b)| a == b)
    );
    assert_eq!(shell.wake(), None);
}

#[test]
fn a_track_that_is_left_is_loaded_no_more() {
    let mut shell = direct(&live("s", 0, 3));
    let track = shell.track("");
    shell.input(Input::TrackDeactivated(track));
    assert_eq!(shell.wake(), None);
    shell.pass(10_000);
    shell.input(Input::TrackActivated(track));
    assert_eq!(shell.take_loads(), [URL]);
    shell.input(Input::TrackDeactivated(track));
    shell.loaded(URL, &live("s", 5, 3));
    assert_eq!(window(&shell), OrdinalRange::new(5, 8), "late is not wrong");
    assert_eq!(shell.wake(), None);
}

#[test]
fn switching_to_and_fro_does_not_load_more_often() {
    let mut shell = direct(&live("s", 0, 3));
    let track = shell.track("");
    shell.pass(100);
    for _ in 0..10 {
        shell.input(Input::TrackDeactivated(track));
        shell.input(Input::TrackActivated(track));
    }
    assert_eq!(shell.take_loads(), Vec::<String>::new());
    assert_eq!(shell.wake(), Some(400));
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn failures_before_anything_is_known_back_off_to_eight_seconds_and_are_forgotten() {
    let mut shell = Shell::new(URL, IdentityConfig::default());
    let mut waits = Vec::new();
    for failures in 1..=7 {
        assert_eq!(shell.take_loads(), [URL]);
        shell.failed(URL);
        let reason = LoadFailure::Status(503);
        let url = URL.into();
        assert_eq!(
            shell.take_events(),
            [Event::LoadFailed {
                url,
                reason,
                failures
            }]
        );
        waits.extend(shell.wake());
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    shell.loaded(URL, &live("s", 0, 3));
    shell.wake();
    shell.failed(URL);
    assert_eq!(shell.wake(), Some(500));
}

#[test]
fn failures_of_a_live_playlist_are_retried_as_soon_as_one_that_did_not_change() {
    // RFC 8216 section 6.3.4: half of the target duration, of 6 s here.
    let list = live("s", 0, 3).replace("2.000", "6.000");
    let list = list.replace("TARGETDURATION:2", "TARGETDURATION:6");
    let mut shell = direct(&list);
    let mut waits = Vec::new();
    shell.wake();
    for _ in 0..5 {
        assert_eq!(shell.take_loads(), [URL]);
        shell.failed(URL);
        waits.extend(shell.wake());
    }
    assert_eq!(waits, [500, 1000, 2000, 3000, 3000]);
}

#[test]
fn early_news_ends_the_pause_after_a_failure() {
    let mut shell = direct(&live("s", 0, 3));
    let track = shell.track("");
    shell.wake();
    for wait in [500, 1000] {
        shell.take_loads();
        shell.failed(URL);
        assert_eq!(shell.wake(), Some(wait));
    }
    shell.take_loads();
    shell.failed(URL);
    shell.pass(200);
    shell.input(Input::NewsHeard { track });
    assert_eq!(shell.take_loads(), Vec::<String>::new());
    assert_eq!(shell.wake(), Some(300), "half a second after the last");
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn a_page_in_place_of_a_playlist_is_a_failure() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    shell.loaded(URL, "<html>oops</html>");
    let events = shell.take_events();
    let [
        Event::ParseFailed {
            error, failures: 1, ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert!(matches!(error, ParseError::NotAPlaylist { .. }));
    assert_eq!(
        window(&shell),
        OrdinalRange::new(0, 3),
        "what was known stays"
    );
    assert_eq!(shell.wake(), Some(500));

    let mut shell = variants();
    load(
        &mut shell,
        A,
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n",
    );
    let events = shell.take_events();
    assert!(matches!(
        &events[..],
        [Event::ParseFailed {
            error: ParseError::UnexpectedKind,
            ..
        }]
    ));
}

#[test]
fn faults_are_told_once() {
    let bad = |first: u64| live("s", first, 3).replacen("2.000", "x", 1);
    let mut shell = direct(&bad(0));
    assert!(matches!(&shell.take_events()[..], [Event::Warned { .. }]));
    shell.wake();
    shell.loaded(URL, &bad(1));
    assert_eq!(shell.take_events(), []);
}

#[test]
fn early_news_reloads_at_once_but_once_per_interval() {
    let mut shell = direct(&live("s", 0, 3));
    let track = shell.track("");
    shell.take_loads();
    // The interval is 2 s; two may come closer together, as long as the next waits for it.
    for first in [0, 1] {
        shell.pass(300);
        shell.input(Input::NewsHeard { track });
        assert_eq!(shell.take_loads(), [URL]);
        shell.loaded(URL, &live("s", first + 1, 3));
    }
    shell.pass(300);
    shell.input(Input::NewsHeard { track });
    assert_eq!(
        shell.take_loads(),
        Vec::<String>::new(),
        "the third in 600 ms"
    );
    assert_eq!(shell.wake(), Some(1700), "the ordinary reload stays");
    assert_eq!(shell.take_loads(), [URL]);
    shell.loaded(URL, &live("s", 3, 3));
    shell.pass(300);
    shell.input(Input::NewsHeard { track });
    assert_eq!(shell.take_loads(), [URL], "2.3 s after the first two");
}

#[test]
fn early_news_during_a_load_repeats_it_when_it_brought_nothing() {
    let mut shell = direct(&live("s", 0, 3));
    let track = shell.track("");
    shell.wake();
    shell.take_loads();
    shell.input(Input::NewsHeard { track });
    assert_eq!(shell.take_loads(), Vec::<String>::new());
    shell.loaded(URL, &live("s", 0, 3));
    assert_eq!(
        shell.wake(),
        Some(100),
        "not at once: the server was just asked"
    );
    assert_eq!(shell.take_loads(), [URL]);
    shell.input(Input::NewsHeard { track });
    shell.loaded(URL, &live("s", 1, 3));
    assert_eq!(shell.wake(), Some(2000), "it brought the news");
}

#[test]
fn what_the_player_loads_itself_counts_as_a_reload() {
    let mut shell = direct(&live("s", 0, 3));
    shell.pass(1500);
    shell.loaded(URL, &live("s", 1, 3));
    assert_eq!(window(&shell), OrdinalRange::new(1, 4));
    assert_eq!(shell.wake(), Some(2000));
    shell.loaded("https://h.example/unknown.m3u8", &live("s", 9, 3));
    assert_eq!(window(&shell), OrdinalRange::new(1, 4));
}

#[test]
fn inputs_about_what_is_unknown_are_ignored() {
    let mut shell = Shell::new(URL, IdentityConfig::default());
    let track = p2pcdn_wire::TrackId::new([7; 16]);
    shell.take_loads();
    for _ in 0..2 {
        shell.input(Input::TrackActivated(track));
        shell.input(Input::TrackDeactivated(track));
        shell.input(Input::NewsHeard { track });
        shell.failed("https://h.example/other.m3u8");
        assert_eq!(shell.take_loads(), Vec::<String>::new());
        assert_eq!(shell.take_events(), []);
        shell.loaded(URL, &live("s", 0, 3));
    }
}

#[test]
fn variables_are_imported_from_the_multivariant_playlist() {
    let text =
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"d\",VALUE=\"dir\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
    let mut shell = Shell::with(LIST, IdentityConfig::default(), text);
    load(
        &mut shell,
        A,
        "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"d\"\n#EXTINF:2,\n{$d}/s.ts\n",
    );
    let url = &shell.segments(A).at(0).unwrap().url;
    assert_eq!(&**url, "https://h.example/dir/s.ts");
}

#[test]
fn hours_asleep_are_one_reload() {
    let mut shell = direct(&live("s", 0, 3));
    shell.take_loads();
    shell.pass(8 * 3_600_000);
    assert_eq!(shell.take_loads(), [URL]);
    shell.pass(0);
    assert_eq!(shell.take_loads(), Vec::<String>::new());
}

#[test]
fn an_init_segment_that_turns_out_to_be_a_key_changes_its_segments() {
    let list = |keys: &str| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n{keys}#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:2,\n1.m4s\n"
        )
    };
    let mut shell = direct(&list(""));
    let keys = "#EXT-X-KEY:METHOD=AES-128,URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=NONE\n";
    shell.loaded(URL, &list(keys));
    let [change] = &shell.changes[..] else {
        panic!("one track changed: {:?}", shell.changes);
    };
    assert_eq!(change.changed, [OrdinalRange::new(0, 1)]);
    let init = shell.segments("").first().and_then(|segment| segment.init);
    let sharing = init.map(|init| init.sharing);
    assert_eq!(sharing, Some(Sharing::Never(NeverReason::KeyUrl)));
}
