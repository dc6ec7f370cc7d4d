//! What becomes of a DASH presentation as time passes and MPDs are loaded again.
#![cfg(feature = "dash")]

mod support;

use std::time::Duration;

use p2pcdn_manifest::{
    Event, Format, IdentityConfig, Input, Liveness, LoadFailure, Resource, SegmentDate, Sharing,
};
use p2pcdn_wire::{ByteRange, MediaTime, OrdinalRange, TrackId, UnixTime};
use support::Shell;

const URL: &str = "https://h.example/show/live.mpd";

/// 2026-01-01T00:00:00Z, when the live presentations of these tests begin.
const START: i64 = 1_767_225_600_000_000;

fn period(inside: &str) -> String {
    format!(
        "<Period id=\"p0\" start=\"PT0S\"><AdaptationSet contentType=\"video\">{inside}\
         <Representation id=\"v1\" bandwidth=\"1000000\" width=\"640\" height=\"360\"/>\
         <Representation id=\"v2\" bandwidth=\"2000000\"/></AdaptationSet></Period>"
    )
}

fn live(attributes: &str, inside: &str) -> String {
    format!(
        "<MPD type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" {attributes}>{inside}</MPD>"
    )
}

fn numbered(attributes: &str) -> String {
    live(
        attributes,
        &period(
            "<SegmentTemplate media=\"$RepresentationID$/$Number$.m4s\" \
             initialization=\"$RepresentationID$/init.mp4\" duration=\"2\" startNumber=\"1\"/>",
        ),
    )
}

/// A timeline of 2 s segments from `first` on, in ticks of 1/1000 s.
fn timed(attributes: &str, first: u64, count: u64) -> String {
    let timeline = format!(
        "<SegmentTemplate media=\"$RepresentationID$/$Time$.m4s\" timescale=\"1000\">\
         <SegmentTimeline><S t=\"{}\" d=\"2000\" r=\"{}\"/></SegmentTimeline></SegmentTemplate>",
        first * 2000,
        count - 1
    );
    live(attributes, &period(&timeline))
}

/// Has loaded the MPD, and knows that it is `seconds` after the start.
fn shell(text: &str, seconds: i64) -> Shell {
    let mut shell = Shell::with(URL, IdentityConfig::default(), text);
    clock(&mut shell, seconds);
    shell
}

fn clock(shell: &mut Shell, seconds: i64) {
    let time = UnixTime::from_micros(START + seconds * 1_000_000);
    shell.input(Input::ClockKnown(time));
}

fn track(shell: &Shell, at: usize) -> TrackId {
    shell.presentation().tracks[at].id
}

fn window(shell: &Shell, at: usize) -> Option<OrdinalRange> {
    let track = &shell.presentation().tracks[at];
    track.segments.as_ref().map(|segments| segments.window())
}

#[test]
fn numbered_segments_become_available_as_time_passes() {
    let text = numbered("minimumUpdatePeriod=\"PT60S\" timeShiftBufferDepth=\"PT10S\"");
    let mut shell = shell(&text, 21);
    assert_eq!(shell.presentation().format, Format::Dash);
    // At 21 s, 10 segments are complete; what ends before 11 s is gone.
    assert_eq!(window(&shell, 0), Some(OrdinalRange::new(6, 11)));
    let segments = shell.presentation().tracks[0].segments.clone().unwrap();
    let newest = segments.last().unwrap();
    assert_eq!(&*newest.url, "https://h.example/show/v1/10.m4s");
    assert_eq!(newest.start, MediaTime::ZERO + Duration::from_secs(18));
    assert_eq!(newest.duration, Duration::from_secs(2));
    let began = UnixTime::from_micros(START + 18_000_000);
    assert_eq!(newest.date, Some(SegmentDate::Extrapolated(began)));
    assert_eq!(
        &*newest.init.unwrap().url,
        "https://h.example/show/v1/init.mp4"
    );
    assert_eq!(
        segments.live_edge,
        MediaTime::ZERO + Duration::from_secs(20)
    );
    assert_eq!(segments.liveness, Liveness::Live);

    shell.input(Input::TrackActivated(track(&shell, 0)));
    assert_eq!(shell.wake(), Some(1000), "the next one is complete at 22 s");
    assert_eq!(window(&shell, 0), Some(OrdinalRange::new(7, 12)));
    let of_track = |change: &&p2pcdn_manifest::TrackChange| change.track == track(&shell, 0);
    let change = shell.changes.iter().find(of_track).unwrap();
    assert_eq!(change.added, [OrdinalRange::new(11, 12)]);
    assert_eq!(change.removed, [OrdinalRange::new(6, 7)]);
    assert_eq!(change.changed, []);
    assert_eq!(shell.wake(), Some(2000));
    assert!(shell.take_loads().is_empty());
}

#[test]
fn the_mpd_is_loaded_again_after_its_update_period() {
    let mut shell = shell(&numbered("minimumUpdatePeriod=\"PT5S\""), 100);
    assert_eq!(shell.wake(), Some(5000));
    assert_eq!(shell.take_loads(), [URL]);
    shell.pass(300);
    shell.loaded(
        URL,
        &numbered("minimumUpdatePeriod=\"PT120S\" publishTime=\"2026-01-01T00:00:01Z\""),
    );
    assert_eq!(
        shell.due_in(),
        Some(119_700),
        "counted from when it was asked for"
    );
    shell.pass(119_700);
    assert_eq!(shell.take_loads(), [URL]);
    shell.failed(URL);
    assert_eq!(shell.due_in(), Some(500));
}

#[test]
fn nothing_of_a_live_list_is_known_before_the_clock_is() {
    let text = numbered("minimumUpdatePeriod=\"PT5S\"").replace(
        "</MPD>",
        "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"https://h.example/now\"/></MPD>",
    );
    let mut shell = Shell::with(URL, IdentityConfig::default(), &text);
    let [Event::ClockWanted { sources }] = &shell.take_events()[..] else {
        panic!("it has to ask");
    };
    assert_eq!(&*sources[0].value, "https://h.example/now");
    assert_eq!(
        window(&shell, 0).map(|window| window.end - window.start),
        Some(0)
    );
    clock(&mut shell, 10);
    assert_eq!(window(&shell, 0), Some(OrdinalRange::new(1, 6)));
    let found = shell.presentation().resource("https://h.example/now", None);
    assert_eq!(
        found,
        Some(Resource::Key),
        "clocks are never asked of a peer"
    );
}

#[test]
fn a_timeline_is_numbered_by_its_times_while_it_moves() {
    let mut shell = shell(&timed("minimumUpdatePeriod=\"PT2S\"", 100, 5), 220);
    let ordinals = |shell: &Shell| -> Vec<u64> {
        let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
        segments.iter().map(|segment| segment.ordinal).collect()
    };
    assert_eq!(
        ordinals(&shell),
        [200_000, 202_000, 204_000, 206_000, 208_000]
    );
    let segments = shell.presentation().tracks[0].segments.clone().unwrap();
    let segment = segments.segment(204_000).unwrap();
    assert_eq!(&*segment.url, "https://h.example/show/v1/204000.m4s");
    assert_eq!(segments.segment(203_000), None);
    shell.wake();
    shell.loaded(URL, &timed("minimumUpdatePeriod=\"PT2S\"", 102, 5));
    assert_eq!(
        ordinals(&shell),
        [204_000, 206_000, 208_000, 210_000, 212_000]
    );
    let change = &shell.changes[0];
    assert_eq!(
        change.added,
        [
            OrdinalRange::new(210_000, 210_001),
            OrdinalRange::new(212_000, 212_001)
        ]
    );
    assert_eq!(change.changed, []);
    let now = shell.presentation().tracks[0].segments.as_ref().unwrap();
    assert_eq!(now.segment(204_000).unwrap().id, segment.id);
    assert_eq!(now.epoch, 0);
}

#[test]
fn a_timeline_that_is_over_is_numbered_from_its_start() {
    let moving = shell(&timed("minimumUpdatePeriod=\"PT2S\"", 100, 5), 220);
    let text = timed("", 100, 5).replace("dynamic", "static");
    let over = shell(&text, 0);
    assert_eq!(window(&over, 0), Some(OrdinalRange::new(1, 6)));
    let segments = over.presentation().tracks[0].segments.as_ref().unwrap();
    assert_eq!(segments.liveness, Liveness::Ended);
    let ids = |shell: &Shell| -> Vec<_> {
        let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
        segments.iter().map(|segment| segment.id).collect()
    };
    assert_eq!(ids(&over), ids(&moving), "the times name them all along");
}

#[test]
fn an_older_mpd_is_passed_over() {
    let at = |seconds: u32, first| {
        timed(
            &format!("minimumUpdatePeriod=\"PT2S\" publishTime=\"2026-01-01T00:01:{seconds:02}Z\""),
            first,
            5,
        )
    };
    let mut shell = shell(&at(10, 100), 220);
    shell.wake();
    shell.loaded(URL, &at(8, 99));
    assert_eq!(window(&shell, 0), Some(OrdinalRange::new(200_000, 208_001)));
    shell.wake();
    shell.loaded(URL, &at(12, 101));
    assert_eq!(window(&shell, 0), Some(OrdinalRange::new(202_000, 210_001)));
}

#[test]
fn a_timeline_that_begins_anew_is_a_new_epoch() {
    let mut shell = shell(&timed("minimumUpdatePeriod=\"PT2S\"", 100, 5), 220);
    shell.wake();
    shell.loaded(URL, &timed("minimumUpdatePeriod=\"PT2S\"", 0, 3));
    let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
    assert_eq!(segments.epoch, 1);
    assert!(shell.changes[0].restarted);
    assert_eq!(shell.changes[0].removed.len(), 5);
}

#[test]
fn the_next_mpd_is_loaded_from_where_the_last_one_says() {
    let text = numbered("minimumUpdatePeriod=\"PT5S\"").replace(
        "<Period",
        "<Location>https://other.example/b.mpd</Location><Period",
    );
    let mut shell = shell(&text, 100);
    shell.wake();
    assert_eq!(shell.take_loads(), ["https://other.example/b.mpd"]);
    shell.input(Input::LoadFailed {
        url: "https://other.example/b.mpd".into(),
        range: None,
        reason: LoadFailure::Network,
    });
    shell.wake();
    assert_eq!(shell.take_loads(), ["https://other.example/b.mpd"]);
    shell.input(Input::LoadFailed {
        url: "https://other.example/b.mpd".into(),
        range: None,
        reason: LoadFailure::Network,
    });
    shell.wake();
    assert_eq!(
        shell.take_loads(),
        [URL],
        "where it was at first, it may still be"
    );
}

/// An index of these lengths, 1000 ticks of 1/1000 s each.
fn sidx(lens: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = u32::try_from(lens.len()).expect("a short index");
    let len = 32 + 12 * count;
    bytes.extend(len.to_be_bytes());
    bytes.extend(b"sidx");
    bytes.extend([0, 0, 0, 0]); // version, flags
    bytes.extend(1u32.to_be_bytes()); // reference id
    bytes.extend(1000u32.to_be_bytes()); // timescale
    bytes.extend(0u32.to_be_bytes()); // earliest presentation time
    bytes.extend(0u32.to_be_bytes()); // first offset
    bytes.extend(count.to_be_bytes());
    for len in lens {
        bytes.extend(len.to_be_bytes());
        bytes.extend(1000u32.to_be_bytes());
        bytes.extend(0x9000_0000u32.to_be_bytes());
    }
    bytes
}

#[test]
fn segments_of_a_single_resource_are_known_once_its_index_is_loaded() {
    let text = "<MPD type=\"static\" mediaPresentationDuration=\"PT3S\"><Period><AdaptationSet mimeType=\"video/mp4\">\
         <Representation id=\"v\" bandwidth=\"1\"><BaseURL>film.mp4</BaseURL>\
         <SegmentBase indexRange=\"800-867\"><Initialization range=\"0-799\"/></SegmentBase>\
         </Representation></AdaptationSet></Period></MPD>";
    let mut shell = shell(text, 0);
    let id = track(&shell, 0);
    assert_eq!(window(&shell, 0), None);
    shell.input(Input::TrackActivated(id));
    let film = "https://h.example/show/film.mp4";
    let index = ByteRange::new(800, 868);
    assert_eq!(shell.take_ranges(), [(film.into(), Some(index))]);
    shell.input(Input::Loaded {
        url: film.into(),
        range: Some(index),
        final_url: film.into(),
        body: sidx(&[100, 200, 300]).into(),
    });
    let segments = shell.presentation().tracks[0].segments.clone().unwrap();
    let listed: Vec<_> = segments
        .iter()
        .map(|one| (one.ordinal, one.range))
        .collect();
    let range = |start, end| Some(ByteRange::new(start, end));
    assert_eq!(
        listed,
        [
            (0, range(868, 968)),
            (1, range(968, 1168)),
            (2, range(1168, 1468))
        ]
    );
    assert_eq!(segments.live_edge, MediaTime::ZERO + Duration::from_secs(3));
    let init = segments.first().unwrap().init.unwrap();
    assert_eq!((&*init.url, init.range), (film, range(0, 800)));
    let resource = |start, end| shell.presentation().resource(film, range(start, end));
    assert_eq!(resource(1000, 1100), Some(Resource::Segment(id, 1)));
    assert_eq!(resource(0, 800), Some(Resource::Init(id, init.id)));
    assert_eq!(shell.take_events(), [Event::Ended { track: id }]);
}

#[test]
fn an_index_that_is_none_is_asked_for_again_later() {
    let text = "<MPD type=\"static\"><Period><AdaptationSet mimeType=\"video/mp4\">\
         <Representation id=\"v\" bandwidth=\"1\"><BaseURL>film.mp4</BaseURL>\
         <SegmentBase indexRange=\"0-99\"/></Representation></AdaptationSet></Period></MPD>";
    let mut shell = shell(text, 0);
    shell.input(Input::TrackActivated(track(&shell, 0)));
    let (film, index) = shell.take_ranges().remove(0);
    shell.input(Input::Loaded {
        url: film.clone(),
        range: index,
        final_url: film.clone(),
        body: vec![0; 100].into(),
    });
    assert!(
        matches!(&shell.take_events()[..], [Event::ParseFailed { url, failures: 1, .. }] if *url == film)
    );
    shell.wake();
    assert_eq!(shell.take_ranges(), [(film, index)]);
}

#[test]
fn each_period_has_tracks_of_its_own() {
    let adaptation = "<AdaptationSet contentType=\"video\"><SegmentTemplate media=\"$Number$.m4s\" duration=\"2\"/>\
         <Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet>";
    let text = format!(
        "<MPD type=\"static\"><Period id=\"a\" duration=\"PT4S\"><BaseURL>a/</BaseURL>{adaptation}</Period>\
         <Period id=\"b\" duration=\"PT6S\"><BaseURL>b/</BaseURL>{adaptation}</Period></MPD>"
    );
    let shell = shell(&text, 0);
    let tracks = &shell.presentation().tracks;
    assert_eq!(tracks.len(), 2);
    assert_ne!(tracks[0].id, tracks[1].id);
    let starts: Vec<_> = tracks
        .iter()
        .map(|track| track.period.unwrap().start.as_nanos() / 1_000_000_000)
        .collect();
    assert_eq!(starts, [0, 4]);
    let second = tracks[1].segments.as_ref().unwrap();
    assert_eq!(second.start(), MediaTime::ZERO + Duration::from_secs(4));
    assert_eq!(second.len(), 3);
    assert_eq!(shell.presentation().switching_sets.len(), 2);
}

#[test]
fn adaptation_sets_that_say_so_are_one_switching_set() {
    let set = |id: &str, other: &str| {
        format!(
            "<AdaptationSet id=\"{id}\" contentType=\"video\">\
             <SupplementalProperty schemeIdUri=\"urn:mpeg:dash:adaptation-set-switching:2016\" value=\"{other}\"/>\
             <SegmentTemplate media=\"$RepresentationID$-$Number$.m4s\" duration=\"2\"/>\
             <Representation id=\"v{id}\" bandwidth=\"1\"/></AdaptationSet>"
        )
    };
    let text = format!(
        "<MPD type=\"static\"><Period duration=\"PT4S\">{}{}{}</Period></MPD>",
        set("1", "2"),
        set("2", "1"),
        set("3", "")
    );
    let shell = shell(&text, 0);
    let sets: Vec<_> = shell
        .presentation()
        .tracks
        .iter()
        .map(|track| track.switching_set)
        .collect();
    assert_eq!(sets, [0, 0, 1]);
}

#[test]
fn what_is_a_licence_is_never_shared() {
    let text = numbered("").replace("dynamic", "static").replace(
        "<SegmentTemplate",
        "<ContentProtection schemeIdUri=\"urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e\">\
         <dashif:Laurl xmlns:dashif=\"https://dashif.org/CPS\">https://h.example/show/v1/3.m4s</dashif:Laurl>\
         </ContentProtection><SegmentTemplate",
    ).replace("<Period ", "<Period duration=\"PT8S\" ");
    let shell = shell(&text, 0);
    let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
    let shared: Vec<bool> = segments
        .iter()
        .map(|one| one.sharing == Sharing::Shared)
        .collect();
    assert_eq!(shared, [true, true, false, true]);
    assert_eq!(
        segments.first().unwrap().keys.len(),
        1,
        "it counts as encrypted"
    );
}

#[test]
fn the_same_mpd_is_no_news() {
    let text = timed("minimumUpdatePeriod=\"PT2S\"", 100, 5);
    let mut shell = shell(&text, 220);
    let updates = shell.updates;
    for _ in 0..3 {
        shell.wake();
        shell.loaded(URL, &text);
    }
    assert_eq!(shell.updates, updates);
}

#[test]
fn an_mpd_cannot_take_the_place_of_a_playlist_nor_html_of_either() {
    let mut shell = Shell::new(URL, IdentityConfig::default());
    shell.loaded(URL, "<html><body>Forbidden</body></html>");
    assert!(matches!(
        &shell.take_events()[..],
        [Event::ParseFailed { failures: 1, .. }]
    ));
}

#[test]
fn a_url_is_found_in_a_list_that_is_not_written_out() {
    let shell = shell(&timed("minimumUpdatePeriod=\"PT2S\"", 100, 5), 220);
    let tracks: Vec<TrackId> = shell
        .presentation()
        .tracks
        .iter()
        .map(|one| one.id)
        .collect();
    let found = |url: &str| {
        let url = format!("https://h.example/show/{url}");
        shell.presentation().resource(&url, None)
    };
    assert_eq!(
        found("v2/206000.m4s"),
        Some(Resource::Segment(tracks[1], 206_000))
    );
    assert_eq!(
        found("v1/206000.m4s?token=x"),
        Some(Resource::Segment(tracks[0], 206_000))
    );
    assert_eq!(found("v1/206001.m4s"), None);
    assert_eq!(found("v3/206000.m4s"), None);
}

#[test]
fn the_segments_of_a_sequence_have_ordinals_of_their_own() {
    let text = "<MPD type=\"static\"><Period duration=\"PT4S\"><AdaptationSet contentType=\"video\">\
         <SegmentTemplate media=\"$Number$-$SubNumber$.m4s\" timescale=\"1000\"><SegmentTimeline>\
         <S t=\"0\" d=\"2000\" k=\"4\" r=\"1\"/></SegmentTimeline></SegmentTemplate>\
         <Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period></MPD>";
    let shell = shell(text, 0);
    let segments = shell.presentation().tracks[0].segments.as_ref().unwrap();
    assert_eq!(segments.len(), 8);
    let listed: Vec<_> = segments.iter().collect();
    let mut ordinals: Vec<u64> = listed.iter().map(|one| one.ordinal).collect();
    assert!(ordinals.is_sorted());
    ordinals.dedup();
    assert_eq!(ordinals.len(), 8);
    for segment in listed {
        assert_eq!(segments.segment(segment.ordinal), Some(segment.clone()));
        let found = shell.presentation().resource(&segment.url, None);
        assert_eq!(
            found,
            Some(Resource::Segment(track(&shell, 0), segment.ordinal))
        );
    }
}
