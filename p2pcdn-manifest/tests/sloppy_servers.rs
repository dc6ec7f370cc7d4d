//! Servers that are careless or lie: what viewers are told stays right, and loads stay few.
#![cfg(feature = "hls")]

mod support;

use std::collections::BTreeSet;

use p2pcdn_manifest::{
    Event, IdentityConfig, Input, MAX_DATE_RANGES, NeverReason, Resource, Segment, Sharing,
};
use p2pcdn_wire::{ByteRange, OrdinalRange};
use support::{A, B, LIST, Shell, URL, activate, direct, live, load, variants, window};

/// A playlist of a server that gives delta updates, of which the first `skipped` segments are left
/// out.
fn delta(first: u64, count: u64, skipped: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12\n\
         #EXT-X-MEDIA-SEQUENCE:{first}\n"
    );
    if skipped > 0 {
        text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n");
    }
    for n in first + skipped..first + count {
        text += &format!("#EXTINF:2.000,\ns{n}.ts\n");
    }
    text
}

fn segments(shell: &Shell) -> Vec<Segment> {
    shell.segments("").iter().collect()
}

#[test]
fn the_highest_numbers_there_are_can_be_reloaded() {
    let list = |title: &str| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:18446744073709551613\n\
             #EXTINF:2,{title}\na.ts\n#EXTINF:2,\nb.ts\n"
        )
    };
    let mut shell = direct(&list(""));
    shell.wake();
    shell.loaded(URL, &list("another"));
    assert_eq!(shell.starts(""), [0, 2000]);
    assert_eq!(window(&shell).end, u64::MAX);
}

#[test]
fn a_redirect_whose_token_changes_each_time_changes_nothing() {
    let mut shell = Shell::new(URL, IdentityConfig::default());
    shell.take_loads();
    let at = |n: u32| format!("https://edge.example/live.m3u8?session={n}");
    shell.redirected(URL, &at(1), &delta(10, 10, 0));
    shell.wake();
    let asked = shell.take_loads().remove(0);
    shell.redirected(&asked, &at(2), &delta(11, 10, 6));
    assert_eq!(shell.take_events(), [], "the delta update can be used");
    assert_eq!(window(&shell), OrdinalRange::new(11, 21));
    assert_eq!(shell.changes[0].added, [OrdinalRange::new(20, 21)]);
    assert_eq!(shell.changes[0].changed, [], "the same URLs are listed");
    assert!(
        segments(&shell)
            .iter()
            .all(|one| one.url.starts_with("https://edge.example/s"))
    );
}

#[test]
fn delta_updates_that_never_fit_are_asked_for_no_more() {
    let mut shell = direct(&delta(10, 10, 0));
    let mut deltas = 0;
    for n in 0..10 {
        shell.wake();
        let asked = shell.take_loads().remove(0);
        // From another host each time, as far as a delta update is concerned.
        let host = format!("https://edge{n}.example/a/live.m3u8");
        let is_delta = asked.contains("_HLS_skip");
        deltas += u32::from(is_delta);
        let skipped = if is_delta { 6 } else { 0 };
        shell.redirected(&asked, &host, &delta(11 + n, 10, skipped));
    }
    assert!(deltas <= 3, "{deltas}");
}

#[test]
fn numbers_that_stand_still_and_delta_updates_are_not_mixed() {
    // Never counts what it drops, and offers delta updates all the same.
    let list =
        |first: u64| delta(first, 10, 0).replace(&format!("SEQUENCE:{first}\n"), "SEQUENCE:0\n");
    let mut shell = direct(&list(0));
    for n in 1..6 {
        shell.wake();
        let asked = shell.take_loads().remove(0);
        assert!(n == 1 || !asked.contains("_HLS_skip"), "{asked}");
        shell.loaded(&asked, &list(n));
    }
}

#[test]
fn a_server_that_leaves_no_date_range_out_lists_them_all() {
    let list = |first: u64, skipped: u64, ids: &[&str]| {
        let mut text = delta(first, 10, skipped);
        for id in ids {
            text += &format!("#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"2026-01-01T00:00:00Z\"\n");
        }
        text
    };
    let ids = |shell: &Shell| -> Vec<String> {
        let ranges = shell.segments("").date_ranges.iter();
        ranges.map(|range| range.id.to_string()).collect()
    };
    let mut shell = direct(&list(10, 0, &["a", "b"]));
    shell.wake();
    shell.loaded(&format!("{URL}?_HLS_skip=YES"), &list(11, 6, &["b", "c"]));
    assert_eq!(ids(&shell), ["b", "c"], "a is gone");
}

#[test]
fn the_newest_date_ranges_are_kept_when_there_are_too_many() {
    let control = "CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES";
    let list = |first: u64, skipped: u64, ids: std::ops::Range<usize>| {
        let mut text = delta(first, 10, skipped).replace("CAN-SKIP-UNTIL=12", control);
        for id in ids {
            text += &format!("#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"2026-01-01T00:00:00Z\"\n");
        }
        text
    };
    let mut shell = direct(&list(10, 0, 0..MAX_DATE_RANGES));
    shell.wake();
    let new = MAX_DATE_RANGES..MAX_DATE_RANGES + 1;
    shell.loaded(&format!("{URL}?_HLS_skip=v2"), &list(11, 6, new));
    let ranges = &shell.segments("").date_ranges;
    assert_eq!(ranges.len(), MAX_DATE_RANGES);
    assert_eq!(*ranges[0].id, *"1");
    assert_eq!(
        *ranges[MAX_DATE_RANGES - 1].id,
        *MAX_DATE_RANGES.to_string()
    );
}

#[test]
fn a_list_merged_from_delta_updates_takes_no_more_memory_than_a_whole_one() {
    let mut whole = direct(&delta(0, 6000, 0));
    whole.wake();
    whole.loaded(URL, &delta(1, 6000, 0));
    let mut merged = direct(&delta(0, 6000, 0));
    merged.wake();
    merged.loaded(URL, &delta(1, 6000, 5990));
    let lens = [&whole, &merged].map(|shell| shell.segments("").retained_len());
    assert_eq!(lens[1], lens[0]);
}

#[test]
fn parts_that_are_ranges_of_one_resource_are_all_found() {
    let mut text = live("s", 10, 3);
    text += "#EXT-X-PART-INF:PART-TARGET=0.5\n\
             #EXT-X-PART:DURATION=0.5,URI=\"all.mp4\",BYTERANGE=\"100@0\"\n\
             #EXT-X-PART:DURATION=0.5,URI=\"all.mp4\",BYTERANGE=\"100@100\"\n\
             #EXT-X-PART:DURATION=0.5,URI=\"all.mp4\",BYTERANGE=\"0@200\"\n";
    let shell = direct(&text);
    let track = shell.track("");
    let at = |start, end| {
        let range = Some(ByteRange::new(start, end));
        shell
            .presentation()
            .resource("https://h.example/all.mp4", range)
    };
    assert_eq!(at(0, 100), Some(Resource::Part(track, 13, 0)));
    assert_eq!(at(100, 200), Some(Resource::Part(track, 13, 1)));
    assert_eq!(at(50, 150), Some(Resource::Other));
    let empty = &shell.segments("").parts()[2];
    assert_eq!(empty.sharing, Sharing::Never(NeverReason::NotFetchable));
}

#[test]
fn a_part_that_turns_out_to_be_a_key_of_another_track_is_shared_no_more() {
    let mut shell = variants();
    let part = "#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-PART:DURATION=0.5,URI=\"odd.bin\"\n";
    load(&mut shell, A, &(live("s", 0, 3) + part));
    assert_eq!(shell.segments(A).parts()[0].sharing, Sharing::Shared);
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"odd.bin?token=1\"\n#EXTINF";
    load(&mut shell, B, &live("t", 0, 3).replacen("#EXTINF", key, 1));
    let sharing = shell.segments(A).parts()[0].sharing;
    assert_eq!(sharing, Sharing::Never(NeverReason::KeyUrl));
}

#[test]
fn a_playlist_url_that_has_directives_itself_is_loaded_again() {
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8?_HLS_msn=3&x=1\n";
    let mut shell = Shell::with(LIST, IdentityConfig::default(), text);
    let track = shell.presentation().tracks[0].id;
    shell.input(Input::TrackActivated(track));
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXTINF";
    for n in 0..3 {
        let asked = shell.take_loads();
        assert_eq!(asked.len(), 1, "{n}");
        assert_eq!(asked[0].matches("_HLS_msn").count(), 1, "{}", asked[0]);
        shell.loaded(&asked[0], &live("s", n, 3).replacen("#EXTINF", control, 1));
        assert_eq!(shell.segments("").window(), OrdinalRange::new(n, n + 3));
        shell.wake();
    }
}

#[test]
fn one_load_at_a_time_whatever_the_player_loads_meanwhile() {
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXTINF";
    let blocking = |first: u64| live("s", first, 3).replacen("#EXTINF", control, 1);
    let mut shell = direct(&blocking(0));
    shell.wake();
    let asked = shell.take_loads().remove(0);
    // The server keeps that one waiting, and answers the player.
    for n in 1..5 {
        shell.loaded(&format!("{URL}?_HLS_msn={}&_HLS_x=1", n + 3), &blocking(n));
        assert_eq!(
            shell.wake(),
            None,
            "the one that is under way is waited for"
        );
    }
    assert_eq!(window(&shell), OrdinalRange::new(4, 7));
    shell.loaded(&asked, &blocking(1));
    assert_eq!(window(&shell), OrdinalRange::new(4, 7), "it is older");
    assert!(shell.wake().is_some());
    assert_eq!(shell.take_loads().len(), 1);
}

#[test]
fn what_the_player_loads_in_vain_delays_nothing() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    shell.take_loads();
    shell.loaded(&format!("{URL}?_HLS_msn=9"), "<html>403</html>");
    assert_eq!(shell.wake(), None, "the load of before is still under way");
    shell.loaded(URL, &live("s", 1, 3));
    assert_eq!(shell.wake(), Some(2000));
}

#[test]
fn a_stream_that_ended_too_soon_and_goes_on_is_followed_again() {
    let mut shell = direct(&(live("s", 0, 3) + "#EXT-X-ENDLIST\n"));
    assert_eq!(shell.wake(), None);
    shell.loaded(URL, &live("s", 1, 3));
    assert!(shell.wake().is_some(), "the player saw it go on");
    assert_eq!(shell.take_loads(), [URL]);
}

#[test]
fn variants_that_claim_the_same_stable_id_are_told_apart() {
    let list = |order: [&str; 2]| {
        let variant = |name: &str| {
            format!("#EXT-X-STREAM-INF:BANDWIDTH=1,STABLE-VARIANT-ID=\"main\"\n{name}/v.m3u8\n")
        };
        format!("#EXTM3U\n{}{}", variant(order[0]), variant(order[1]))
    };
    let ids = |order: [&str; 2]| {
        let mut shell = Shell::with(LIST, IdentityConfig::default(), &list(order));
        let urls = order.map(|name| format!("https://h.example/{name}/v.m3u8"));
        let mut ids = BTreeSet::new();
        for url in &urls {
            if shell
                .presentation()
                .tracks
                .iter()
                .any(|track| *track.url == **url)
            {
                load(&mut shell, url, &live("s", 0, 3));
                let found = shell.segments(url).iter();
                ids.extend(found.map(|one| (one.id, one.url.to_string())));
            }
        }
        ids
    };
    let all: BTreeSet<_> = ids(["hi", "lo"])
        .into_iter()
        .chain(ids(["lo", "hi"]))
        .collect();
    let names: BTreeSet<_> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(names.len(), all.len(), "a name is of one resource");
}

#[test]
fn a_path_that_looks_like_another_host_is_not_taken_for_it() {
    let list = |name: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n");
    let id = |name: &str| segments(&direct(&list(name)))[0].id;
    let here = "https://h.example/https://other.example/1.ts";
    assert_ne!(id(here), id("https://other.example/1.ts"));
    assert_eq!(id(here), id("/https://other.example/1.ts"));
}

#[test]
fn the_order_of_values_of_one_parameter_stays() {
    let list = |name: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n");
    let id = |name: &str| segments(&direct(&list(name)))[0].id;
    assert_ne!(id("1.ts?v=a&v=b"), id("1.ts?v=b&v=a"), "the last may count");
    assert_eq!(id("1.ts?v=a&w=b&v=b"), id("1.ts?w=b&v=a&v=b"));
}

#[test]
fn a_track_that_is_played_late_does_not_stall() {
    let mut shell = variants();
    activate(&mut shell, A);
    let track = shell.track(A);
    shell.input(Input::TrackDeactivated(track));
    shell.input(Input::TrackActivated(track));
    shell.failed(A);
    assert!(matches!(
        shell.take_events()[..],
        [Event::LoadFailed { .. }]
    ));
    assert_eq!(shell.wake(), Some(500));
    assert_eq!(shell.take_loads(), [A]);
}

/// What a segment of an eventful stream has before it.
fn event(n: u64) -> String {
    let tags = [
        "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init2.mp4\"\n".to_owned(),
        "#EXT-X-KEY:METHOD=AES-128,URI=\"key1\"\n".to_owned(),
        format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://{n}\",KEYFORMAT=\"com.apple\"\n"),
        "#EXT-X-KEY:METHOD=NONE\n".to_owned(),
        "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"100@0\"\n".to_owned(),
        format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{:02}Z\n", n % 60),
        "#EXT-X-GAP\n".to_owned(),
        String::new(),
        "#EXT-X-BYTERANGE:10\n".to_owned(),
    ];
    let chosen = |salt: u64| {
        let at = (n + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(at).unwrap_or_default() % tags.len()
    };
    let (one, other) = (chosen(1), chosen(77));
    let mut text = tags[one].clone();
    if one != other {
        text += &tags[other];
    }
    text.replace("BYTERANGE:10\n", &format!("BYTERANGE:10@{}\n", n * 10))
}

/// A window of an eventful stream, as a server writes that counts its discontinuities and repeats
/// at the start of the window what is in force there.
fn eventful(first: u64, count: u64, skipped: u64) -> String {
    let (mut discontinuities, mut init, mut keys) = (0, String::new(), Vec::<String>::new());
    for n in 0..first {
        for line in event(n).lines() {
            if line.starts_with("#EXT-X-DISCONTINUITY") {
                discontinuities += 1;
            } else if line.starts_with("#EXT-X-MAP") {
                // With the keys in force there.
                init = keys.concat() + line + "\n";
            } else if line == "#EXT-X-KEY:METHOD=NONE" {
                keys.clear();
            } else if line.starts_with("#EXT-X-KEY") {
                let is_apple = |key: &String| key.contains("apple");
                let is_same = |key: &String| is_apple(key) == line.contains("apple");
                match keys.iter_mut().find(|key| is_same(key)) {
                    Some(key) => *key = format!("{line}\n"),
                    None => keys.push(format!("{line}\n")),
                }
            }
        }
    }
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12\n\
         #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n"
    );
    if skipped > 0 {
        text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n");
    } else {
        text += &format!("{init}#EXT-X-KEY:METHOD=NONE\n{}", keys.concat());
    }
    for n in first + skipped..first + count {
        text += &format!("{}#EXTINF:2.000,\ns{n}.mp4\n", event(n));
    }
    text
}

#[test]
fn delta_updates_of_an_eventful_stream_give_what_whole_playlists_would() {
    let mut whole = direct(&eventful(0, 20, 0));
    let mut delta = direct(&eventful(0, 20, 0));
    let mut first = 0;
    for step in 0..60 {
        first += step % 4;
        let skipped = 20 - step % 4 - step % 3;
        for (shell, skipped) in [(&mut whole, 0), (&mut delta, skipped)] {
            shell.pass(3000);
            let asked = shell.take_loads().pop().unwrap_or(URL.to_owned());
            shell.loaded(&asked, &eventful(first, 20, skipped));
        }
        assert_eq!(delta.take_events(), [], "{first}");
        for (a, b) in segments(&whole).iter().zip(segments(&delta)) {
            assert_eq!(*a, b, "window from {first}, {skipped} left out");
        }
        assert_eq!(segments(&whole).len(), 20);
        if step % 4 > 0 {
            assert_eq!(whole.changes, delta.changes, "{first}");
        }
    }
}

#[test]
fn a_playlist_that_lists_itself_is_not_shared() {
    let mut shell = variants();
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"list.m3u8\"\n\
                #EXTINF:2,\na.m3u8\n#EXTINF:2,\nb.m3u8?token=1\n#EXTINF:2,\n1.ts\n";
    load(&mut shell, A, text);
    let listed: Vec<_> = shell.segments(A).iter().collect();
    let never = Sharing::Never(NeverReason::KeyUrl);
    assert_eq!(listed[0].sharing, never);
    assert_eq!(listed[1].sharing, never);
    assert_eq!(listed[2].sharing, Sharing::Shared);
    assert_eq!(listed[2].init.as_ref().unwrap().sharing, never);
    let found = |url: &str| shell.presentation().resource(url, None);
    assert_eq!(found(LIST), Some(Resource::Manifest));
    assert_eq!(found(A), Some(Resource::MediaPlaylist(shell.track(A))));
}
