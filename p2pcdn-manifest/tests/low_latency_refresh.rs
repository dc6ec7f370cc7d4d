//! LL-HLS: parts, blocking reloads, delta updates, rendition reports.
#![cfg(feature = "hls")]

mod support;

use std::time::Duration;

use p2pcdn_manifest::{
    Config, DeliveryDirectives, Event, IdentityConfig, Input, ParseError, Resource, Segment,
};
use p2pcdn_wire::{ByteRange, MediaTime, OrdinalRange};
use support::{A, B, LIST, Shell, URL, activate, direct};

/// A low-latency playlist that lists `listed`, of which the first `skipped` are left out, and
/// `parts` parts of the segment to come. Each segment is of four parts of 500 ms.
fn playlist(listed: std::ops::Range<u64>, skipped: u64, parts: u32) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:9\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.5\n\
         #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        listed.start
    );
    if skipped == 0 {
        text += "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"key\"\n";
    } else {
        text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n");
    }
    for n in listed.start + skipped..listed.end {
        if n + 1 == listed.end {
            for part in 0..4 {
                text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"s{n}.{part}.mp4\"\n");
            }
        }
        text += &format!("#EXTINF:2.000,\ns{n}.mp4\n");
    }
    let n = listed.end;
    for part in 0..parts {
        text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"s{n}.{part}.mp4\",INDEPENDENT=YES\n");
    }
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s{n}.{parts}.mp4\"\n")
}

fn segments(shell: &Shell) -> Vec<Segment> {
    shell.segments("").iter().collect()
}

#[test]
fn the_next_load_waits_at_the_server_for_the_next_part() {
    let mut shell = direct(&playlist(10..20, 0, 2));
    assert_eq!(
        shell.wake(),
        Some(100),
        "a pause, should the server not wait"
    );
    assert_eq!(
        shell.take_loads(),
        [format!("{URL}?_HLS_msn=20&_HLS_part=2&_HLS_skip=YES")]
    );
    shell.pass(400);
    let asked = format!("{URL}?_HLS_msn=20&_HLS_part=2&_HLS_skip=YES");
    shell.loaded(&asked, &playlist(10..20, 4, 3));
    assert_eq!(shell.segments("").window(), OrdinalRange::new(10, 20));
    shell.wake();
    assert_eq!(
        shell.take_loads(),
        [format!("{URL}?_HLS_msn=20&_HLS_part=3&_HLS_skip=YES")]
    );
}

#[test]
fn a_server_that_does_not_wait_is_polled() {
    let mut shell = direct(&playlist(10..20, 0, 2));
    shell.wake();
    let asked = shell.take_loads().remove(0);
    shell.loaded(&asked, &playlist(10..20, 0, 2));
    assert_eq!(shell.wake(), Some(500), "no sooner than any other playlist");
}

#[test]
fn a_delta_update_gives_what_the_whole_playlist_would() {
    let mut whole = direct(&playlist(10..20, 0, 0));
    whole.wake();
    whole.loaded(URL, &playlist(12..22, 0, 1));

    let mut delta = direct(&playlist(10..20, 0, 0));
    delta.wake();
    let asked = delta.take_loads().remove(0);
    delta.loaded(&asked, &playlist(12..22, 7, 1));

    assert_eq!(delta.take_events(), []);
    assert_eq!(segments(&delta), segments(&whole));
    let last = segments(&delta).pop().unwrap();
    assert_eq!(
        last.init.unwrap().url.as_ref(),
        "https://h.example/init.mp4"
    );
    assert_eq!(
        last.keys.len(),
        1,
        "what held for the segments left out holds on"
    );
    assert_eq!(delta.changes, whole.changes);
    assert_eq!(delta.changes[0].added, [OrdinalRange::new(20, 22)]);
    assert_eq!(delta.changes[0].removed, [OrdinalRange::new(10, 12)]);
    assert_eq!(delta.changes[0].changed, []);
}

#[test]
fn what_follows_what_is_left_out_goes_on_in_the_same_resource() {
    let list = |first: u64, skipped: u64| {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n"
        );
        if skipped > 0 {
            text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n");
        }
        for n in first + skipped..first + 8 {
            let offset = if skipped == 0 && n == first {
                format!("@{}", n * 100)
            } else {
                String::new()
            };
            text += &format!("#EXTINF:2,\n#EXT-X-BYTERANGE:100{offset}\nall.ts\n");
        }
        text
    };
    let mut shell = direct(&list(0, 0));
    shell.wake();
    shell.loaded(URL, &list(1, 5));
    let ranges: Vec<_> = segments(&shell).iter().map(|s| s.range).collect();
    let expected: Vec<_> = (1..9)
        .map(|n| Some(ByteRange::new(n * 100, n * 100 + 100)))
        .collect();
    assert_eq!(ranges, expected);
}

#[test]
fn a_delta_update_that_leaves_out_what_is_not_known_is_asked_for_again_whole() {
    let mut shell = direct(&playlist(10..20, 0, 0));
    let before = segments(&shell);
    shell.wake();
    let asked = shell.take_loads().remove(0);
    shell.loaded(&asked, &playlist(30..40, 6, 0));
    let [Event::ParseFailed { error, .. }] = &shell.take_events()[..] else {
        panic!("it cannot be used");
    };
    assert_eq!(*error, ParseError::UnusableDelta { skipped: 6 });
    assert_eq!(segments(&shell), before);
    shell.wake();
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn a_delta_update_that_the_player_asked_for_counts() {
    let mut shell = direct(&playlist(10..20, 0, 0));
    shell.loaded(
        &format!("{URL}?_HLS_msn=20&_HLS_skip=YES"),
        &playlist(11..21, 6, 0),
    );
    assert_eq!(shell.segments("").window(), OrdinalRange::new(11, 21));
}

#[test]
fn the_whole_playlist_is_asked_for_when_the_last_one_is_old() {
    let mut shell = direct(&playlist(10..20, 0, 0));
    let track = shell.track("");
    shell.input(Input::TrackDeactivated(track));
    shell.pass(7000);
    shell.input(Input::TrackActivated(track));
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn parts_lie_within_their_segments_and_are_found_by_url() {
    let shell = direct(&playlist(10..20, 0, 2));
    let segments = shell.segments("");
    let places: Vec<_> = segments
        .parts()
        .iter()
        .map(|part| (part.ordinal, part.index, part.start.as_nanos() / 1_000_000))
        .collect();
    assert_eq!(
        places,
        [
            (19, 0, 18_000),
            (19, 1, 18_500),
            (19, 2, 19_000),
            (19, 3, 19_500),
            (20, 0, 20_000),
            (20, 1, 20_500)
        ]
    );
    assert_eq!(
        segments.live_edge,
        MediaTime::ZERO + Duration::from_secs(20)
    );
    assert_eq!(segments.part_target, Some(Duration::from_millis(500)));
    assert_eq!(segments.live_delay, Some(Duration::from_millis(1500)));
    let mut ids: Vec<_> = segments.parts().iter().map(|part| part.id).collect();
    ids.extend(segments.iter().map(|segment| segment.id));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 16);
    let found = shell
        .presentation()
        .resource("https://h.example/s20.1.mp4", None);
    assert_eq!(found, Some(Resource::Part(shell.track(""), 20, 1)));
}

#[test]
fn a_part_has_the_same_name_once_its_segment_is_listed() {
    let before = direct(&playlist(10..20, 0, 4));
    let after = direct(&playlist(10..21, 0, 0));
    let id = |shell: &Shell, part: u32| {
        let mut parts = shell.segments("").parts().iter();
        let found = parts.find(|one| (one.ordinal, one.index) == (20, part));
        found.unwrap().id
    };
    for part in 0..4 {
        assert_eq!(id(&before, part), id(&after, part));
    }
}

#[test]
fn the_other_playlist_is_asked_for_where_this_one_says_it_is() {
    let text =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb.m3u8\n";
    let mut shell = Shell::with(LIST, IdentityConfig::default(), text);
    activate(&mut shell, A);
    let report = "#EXT-X-RENDITION-REPORT:URI=\"b.m3u8\",LAST-MSN=20,LAST-PART=1\n";
    shell.loaded(A, &(playlist(10..20, 0, 2) + report));
    shell.input(Input::TrackActivated(shell.track(B)));
    assert_eq!(shell.take_loads(), [format!("{B}?_HLS_msn=20&_HLS_part=1")]);
}

#[test]
fn a_server_that_refuses_directives_is_asked_without() {
    let mut shell = direct(&playlist(10..20, 0, 2));
    shell.wake();
    let asked = shell.take_loads().remove(0);
    shell.failed(&asked);
    shell.wake();
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn nothing_is_asked_for_that_way_if_so_configured() {
    let config = Config {
        delivery_directives: DeliveryDirectives::Never,
        ..Config::default()
    };
    let mut shell = Shell::configured(URL, config);
    shell.take_loads();
    shell.loaded(URL, &playlist(10..20, 0, 2));
    assert_eq!(shell.wake(), Some(2000));
    assert_eq!(shell.take_loads(), [URL]);
}
