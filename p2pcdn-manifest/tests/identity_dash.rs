//! Names of what an MPD lists: the same for all viewers, whatever of it differs between them.
#![cfg(feature = "dash")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use p2pcdn_manifest::{
    HostGroup, IdentityConfig, IdentityMode, Input, MAX_SEGMENTS, PathToken, Resource, Segment,
};
use p2pcdn_wire::{SegmentId, TrackId, UnixTime};
use proptest::prelude::*;
use support::Shell;

const URL: &str = "https://a.example/show/live.mpd";

/// 2026-01-01T00:00:00Z, when the presentations of these tests begin.
const START: i64 = 1_767_225_600_000_000;

const NUMBERED: &str = "<SegmentTemplate media=\"$RepresentationID$/$Number$.m4s\" \
                        initialization=\"$RepresentationID$/init.mp4\" duration=\"2\" startNumber=\"1\"/>";

/// A live MPD with this in its only period.
fn mpd(attributes: &str, inside: &str) -> String {
    format!(
        "<MPD type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" {attributes}>\
         <Period id=\"p0\" start=\"PT0S\">{inside}</Period></MPD>"
    )
}

fn video(segments: &str, ids: &[&str]) -> String {
    let representation = |id: &&str| format!("<Representation id=\"{id}\" bandwidth=\"1\"/>");
    let representations: String = ids.iter().map(representation).collect();
    format!("<AdaptationSet contentType=\"video\">{segments}{representations}</AdaptationSet>")
}

fn sound(segments: &str) -> String {
    format!(
        "<AdaptationSet contentType=\"audio\" lang=\"en\">{segments}\
         <Representation id=\"a1\" bandwidth=\"1\"/></AdaptationSet>"
    )
}

fn numbered(attributes: &str) -> String {
    mpd(attributes, &video(NUMBERED, &["v1", "v2"]))
}

/// Segments of 2 s from `first` on, in ticks of 1/1000 s, named by time.
fn timed(first: u64, count: u64) -> String {
    let template = format!(
        "<SegmentTemplate media=\"$RepresentationID$/$Time$.m4s\" timescale=\"1000\" \
         startNumber=\"{}\"><SegmentTimeline><S t=\"{}\" d=\"2000\" r=\"{}\"/></SegmentTimeline>\
         </SegmentTemplate>",
        first + 1,
        first * 2000,
        count - 1
    );
    mpd("minimumUpdatePeriod=\"PT2S\"", &video(&template, &["v1"]))
}

/// Has loaded the MPD when it is `seconds` after the start.
fn at(url: &str, identity: &IdentityConfig, text: &str, seconds: i64) -> Shell {
    let mut shell = Shell::with(url, identity.clone(), text);
    let time = UnixTime::from_micros(START + seconds * 1_000_000);
    shell.input(Input::ClockKnown(time));
    shell
}

fn segments(shell: &Shell) -> Vec<(TrackId, Segment)> {
    let tracks = shell.presentation().tracks.iter();
    let all = tracks.flat_map(|track| {
        let segments = track.segments.iter().flat_map(|segments| segments.iter());
        segments
            .map(|segment| (track.id, segment))
            .collect::<Vec<_>>()
    });
    all.collect()
}

/// The names of segments and of their init segments, by track and ordinal.
type Names = BTreeMap<(TrackId, u64), (SegmentId, Option<SegmentId>)>;

fn names(shell: &Shell) -> Names {
    let named = segments(shell)
        .into_iter()
        .map(|(track, one)| ((track, one.ordinal), (one.id, one.init.map(|init| init.id))));
    named.collect()
}

fn default_names(text: &str, seconds: i64) -> Names {
    names(&at(URL, &IdentityConfig::default(), text, seconds))
}

fn ids(names: &Names) -> BTreeSet<SegmentId> {
    names.values().map(|(id, _)| *id).collect()
}

fn with_hosts(hosts: &[&str]) -> IdentityConfig {
    IdentityConfig {
        host_groups: vec![HostGroup {
            name: "origin".into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        }],
        ..IdentityConfig::default()
    }
}

#[test]
fn hosts_share_names_only_when_declared_equal() {
    let text = numbered("");
    let of = |host: &str, identity: &IdentityConfig| {
        names(&at(
            &format!("https://{host}/show/live.mpd"),
            identity,
            &text,
            20,
        ))
    };
    let equal = with_hosts(&["a.example", "b.example"]);
    assert_eq!(of("a.example", &equal), of("b.example", &equal));
    assert_eq!(
        of("a.example", &equal).len(),
        20,
        "two representations of ten segments"
    );
    let alone = IdentityConfig::default();
    assert!(ids(&of("a.example", &alone)).is_disjoint(&ids(&of("b.example", &alone))));
    assert!(ids(&of("a.example", &equal)).is_disjoint(&ids(&of("c.example", &equal))));
}

#[test]
fn the_choice_of_base_url_is_in_no_name_where_hosts_are_declared_equal() {
    let text = |urls: [&str; 2]| {
        let base = urls.map(|url| format!("<BaseURL>{url}</BaseURL>")).concat();
        mpd("", &format!("{base}{}", video(NUMBERED, &["v1"])))
    };
    let (b, c) = ("https://b.example/x/", "https://c.example/x/");
    let of = |urls, identity: &IdentityConfig| names(&at(URL, identity, &text(urls), 20));
    let equal = with_hosts(&["b.example", "c.example"]);
    assert_eq!(of([b, c], &equal), of([c, b], &equal));
    let alone = IdentityConfig::default();
    assert!(ids(&of([b, c], &alone)).is_disjoint(&ids(&of([c, b], &alone))));
    let url = |urls| {
        segments(&at(URL, &equal, &text(urls), 20))[0]
            .1
            .url
            .to_string()
    };
    assert_ne!(
        url([b, c]),
        url([c, b]),
        "they are fetched from where the MPD says"
    );
}

#[test]
fn tokens_of_every_style_leave_names_alone() {
    let identity = IdentityConfig {
        path_tokens: vec![PathToken::Akamai, PathToken::Wowza],
        ..IdentityConfig::default()
    };
    let of = |base: &str, query: &str, session: &str| {
        let template = NUMBERED.replace(".m4s", &format!("{session}.m4s{query}"));
        let text = mpd(
            "",
            &format!(
                "<BaseURL>https://a.example{base}</BaseURL>{}",
                video(&template, &["v1"])
            ),
        );
        names(&at(&format!("{URL}{query}"), &identity, &text, 20))
    };
    let plain = of("/media/", "", "");
    assert_eq!(plain.len(), 10);
    assert_eq!(of("/media/", "?token=abc", ""), plain);
    assert_eq!(of("/hdntl=exp=1~hmac=00ff/media/", "", ""), plain);
    assert_eq!(of("/media/", "", "_w123456"), plain);
    assert!(ids(&of("/media/", "?wm=B", "")).is_disjoint(&ids(&plain)));
}

#[test]
fn a_clock_that_is_wrong_changes_which_segments_are_listed_and_no_name() {
    let text = numbered("timeShiftBufferDepth=\"PT60S\"");
    let all = default_names(&numbered(""), 1000);
    for seconds in [58, 60, 61, 90, 150] {
        let listed = default_names(&text, seconds);
        assert!(!listed.is_empty());
        assert!(
            listed
                .iter()
                .all(|(place, name)| all.get(place) == Some(name)),
            "{seconds}"
        );
    }
}

#[test]
fn versions_of_an_mpd_share_their_names() {
    let plain = default_names(&numbered(""), 60);
    for attributes in [
        "publishTime=\"2026-01-01T00:00:01Z\" minimumUpdatePeriod=\"PT2S\"",
        "publishTime=\"2026-01-01T00:00:31Z\" minimumUpdatePeriod=\"PT0S\"",
        "suggestedPresentationDelay=\"PT8S\" maxSegmentDuration=\"PT2S\" id=\"x\"",
    ] {
        assert_eq!(default_names(&numbered(attributes), 60), plain);
    }
}

#[test]
fn a_timeline_that_slides_keeps_the_names_of_what_stays() {
    let all = default_names(&timed(0, 100), 300);
    for first in [0, 1, 17, 50, 90] {
        let listed = default_names(&timed(first, 10), 300);
        assert_eq!(listed.len(), 10);
        assert!(
            listed
                .iter()
                .all(|(place, name)| all.get(place) == Some(name)),
            "{first}"
        );
    }
}

#[test]
fn a_live_presentation_that_is_over_keeps_its_names() {
    let numbers = numbered("mediaPresentationDuration=\"PT20S\"");
    let over = numbers.replace("dynamic", "static");
    assert_eq!(default_names(&numbers, 600), default_names(&over, 0));
    let times = timed(5, 10);
    let over = times.replace("dynamic", "static");
    let (moving, still) = (default_names(&times, 600), default_names(&over, 0));
    assert_eq!(
        ids(&moving),
        ids(&still),
        "the times name them, whatever the ordinals are"
    );
}

#[test]
fn adaptation_sets_may_come_in_any_order_or_be_left_out() {
    let sets = [
        video(NUMBERED, &["v1", "v2"]),
        sound(NUMBERED),
        video(NUMBERED, &["v3"]),
    ];
    let of = |order: &[usize]| {
        let inside: String = order.iter().map(|at| sets[*at].as_str()).collect();
        default_names(&mpd("", &inside), 20)
    };
    let all = of(&[0, 1, 2]);
    assert_eq!(all.len(), 40);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(of(&order), all);
    }
    let filtered = of(&[1]);
    assert_eq!(filtered.len(), 10);
    assert!(
        filtered
            .iter()
            .all(|(place, name)| all.get(place) == Some(name))
    );
}

#[test]
fn a_period_that_is_split_names_what_follows_anew() {
    let whole = default_names(&mpd("", &video(NUMBERED, &["v1"])), 20);
    let second = NUMBERED.replace("startNumber=\"1\"", "startNumber=\"6\"");
    let split = mpd(
        "",
        &format!(
            "{}</Period><Period id=\"p1\" start=\"PT10S\">{}",
            video(NUMBERED, &["v1"]),
            video(&second, &["v1"])
        ),
    );
    let split = default_names(&split, 20);
    let kept = ids(&whole).intersection(&ids(&split)).count();
    assert_eq!((whole.len(), split.len(), kept), (10, 10, 5));
}

#[test]
fn a_period_of_another_asset_under_the_same_id_is_another() {
    let of = |asset: &str| {
        let asset = format!("<AssetIdentifier schemeIdUri=\"urn:ad\" value=\"{asset}\"/>");
        default_names(
            &mpd("", &format!("{asset}{}", video(NUMBERED, &["v1"]))),
            20,
        )
    };
    assert_eq!(of("1"), of("1"));
    assert!(ids(&of("1")).is_disjoint(&ids(&of("2"))));
}

#[test]
fn the_same_files_as_hls_and_dash_have_names_of_their_own() {
    let identity = |mode| IdentityConfig {
        content_id: Some("show".into()),
        mode,
        ..IdentityConfig::default()
    };
    let template = NUMBERED.replace("$RepresentationID$/", "");
    let dash_text = mpd("", &video(&template, &["v1"]));
    let mut hls_text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"init.mp4\"\n".to_owned();
    hls_text.extend((1..=10).map(|number| format!("#EXTINF:2,\n{number}.m4s\n")));
    for mode in [
        IdentityMode::Both,
        IdentityMode::PathOnly,
        IdentityMode::OrdinalOnly,
    ] {
        let dash = at(URL, &identity(mode), &dash_text, 20);
        let hls = Shell::with(
            "https://a.example/show/live.m3u8",
            identity(mode),
            &hls_text,
        );
        let urls = |shell: &Shell| {
            let all = segments(shell)
                .into_iter()
                .map(|(_, one)| (one.ordinal, one.url));
            all.collect::<BTreeMap<_, _>>()
        };
        assert_eq!(urls(&dash), urls(&hls));
        assert!(
            ids(&names(&dash)).is_disjoint(&ids(&names(&hls))),
            "{mode:?}"
        );
    }
}

#[test]
fn each_mode_tells_apart_what_it_promises() {
    let of = |mode: IdentityMode, first: u64, session: &str| {
        let template = NUMBERED
            .replace("startNumber=\"1\"", &format!("startNumber=\"{first}\""))
            .replace("media=\"", &format!("media=\"{session}/"));
        let identity = IdentityConfig {
            mode,
            ..IdentityConfig::default()
        };
        ids(&names(&at(
            URL,
            &identity,
            &mpd("", &video(&template, &["v1"])),
            20,
        )))
    };
    let common = |mode, a: (u64, &str), b: (u64, &str)| {
        of(mode, a.0, a.1).intersection(&of(mode, b.0, b.1)).count()
    };
    for mode in [
        IdentityMode::Both,
        IdentityMode::PathOnly,
        IdentityMode::OrdinalOnly,
    ] {
        assert_eq!(of(mode, 1, "x").len(), 10);
        assert_eq!(common(mode, (1, "x"), (1, "x")), 10);
        assert_eq!(common(mode, (1, "x"), (100, "y")), 0);
        let paths_matter = if mode == IdentityMode::OrdinalOnly {
            10
        } else {
            0
        };
        assert_eq!(common(mode, (1, "x"), (1, "y")), paths_matter, "{mode:?}");
    }
    // The files `4.m4s` to `10.m4s` are in both, under the same numbers.
    assert_eq!(common(IdentityMode::Both, (1, "x"), (4, "x")), 7);
}

#[test]
fn a_segment_is_found_though_digits_stand_beside_its_number() {
    for media in [
        "v1$Number$.m4s",
        "$Number$0/s.m4s",
        "$RepresentationID$$Number%03d$0.m4s",
    ] {
        let template = format!("<SegmentTemplate media=\"{media}\" duration=\"2\"/>");
        let shell = at(
            URL,
            &IdentityConfig::default(),
            &mpd("", &video(&template, &["v1"])),
            40,
        );
        let listed = segments(&shell);
        assert_eq!(listed.len(), 20);
        for (track, one) in listed {
            let found = shell.presentation().resource(&one.url, None);
            assert_eq!(
                found,
                Some(Resource::Segment(track, one.ordinal)),
                "{}",
                one.url
            );
        }
    }
}

/// Lists of tens of millions of segments are in the field, longer ones in hostile MPDs.
#[test]
fn of_a_list_that_is_too_long_the_newest_are_kept() {
    let template = "<SegmentTemplate media=\"$Time$.m4s\" timescale=\"1\"><SegmentTimeline>\
                    <S t=\"0\" d=\"1\" r=\"4000000000\"/></SegmentTimeline></SegmentTemplate>";
    let text = mpd("", &video(template, &["v1"]));
    let shell = at(URL, &IdentityConfig::default(), &text, 4_000_000_001);
    let segments = shell.presentation().tracks[0].segments.clone();
    let segments = segments.expect("they are known");
    assert_eq!(segments.len(), MAX_SEGMENTS);
    assert_eq!(segments.last().map(|one| one.ordinal), Some(4_000_000_000));
}

proptest! {
    /// Whenever a viewer comes, however wrong its clock and however long its window.
    #[test]
    fn what_two_viewers_both_list_has_one_name(
        a in (2i64..4000, 2u32..300),
        b in (2i64..4000, 2u32..300),
    ) {
        let listed = |(seconds, depth): (i64, u32)| {
            let text = mpd(
                &format!("timeShiftBufferDepth=\"PT{depth}S\" minimumUpdatePeriod=\"PT{depth}S\""),
                &video(NUMBERED, &["v1"]),
            );
            default_names(&text, seconds)
        };
        let (a, b) = (listed(a), listed(b));
        for (place, name) in &a {
            prop_assert!(b.get(place).is_none_or(|other| other == name));
        }
        let shared = a.keys().filter(|place| b.contains_key(place)).count();
        prop_assert_eq!(shared, ids(&a).intersection(&ids(&b)).count());
    }
}
