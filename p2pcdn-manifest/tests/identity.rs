//! Names that viewers agree on, and contents that never share one.

#![cfg(feature = "hls")]

mod support;

use std::collections::BTreeMap;

use p2pcdn_manifest::{
    HostGroup, IdentityConfig, Input, NeverReason, PathToken, Resource, Segments, Sharing,
};
use p2pcdn_wire::{ByteRange, SegmentId, TrackId};
use proptest::prelude::*;
use support::{Shell, live};

const MULTIVARIANT: &str = include_str!("fixtures/multivariant.m3u8");

/// The single track at `url` with this text.
fn single(url: &str, identity: &IdentityConfig, text: &str) -> Shell {
    Shell::with(url, identity.clone(), text)
}

fn ids(playlist: &Segments) -> BTreeMap<u64, SegmentId> {
    let segments = playlist.iter();
    segments
        .map(|segment| (segment.ordinal, segment.id))
        .collect()
}

fn single_ids(url: &str, identity: &IdentityConfig, text: &str) -> BTreeMap<u64, SegmentId> {
    ids(single(url, identity, text).segments(""))
}

fn track_ids(url: &str, identity: &IdentityConfig, text: &str) -> BTreeMap<String, TrackId> {
    let shell = Shell::with(url, identity.clone(), text);
    let tracks = shell.presentation().tracks.iter();
    tracks
        .filter_map(|track| Some((track.url.rsplit('/').next()?.to_owned(), track.id)))
        .collect()
}

fn two_hosts() -> IdentityConfig {
    IdentityConfig {
        host_groups: vec![HostGroup {
            name: "origin".into(),
            hosts: vec!["a.example".into(), "b.example".into()],
        }],
        ..IdentityConfig::default()
    }
}

#[test]
fn hosts_share_names_only_when_declared_equal() {
    let (a, b) = (
        "https://a.example/x/live.m3u8",
        "https://b.example/x/live.m3u8",
    );
    let text = live("/media/", 5, 4);
    let alone = IdentityConfig::default();
    let (one, other) = (single_ids(a, &alone, &text), single_ids(b, &alone, &text));
    assert!(one.values().all(|id| !other.values().any(|o| o == id)));
    assert_eq!(
        single_ids(a, &two_hosts(), &text),
        single_ids(b, &two_hosts(), &text)
    );
    let outside = "https://c.example/x/live.m3u8";
    assert_ne!(
        single_ids(a, &two_hosts(), &text),
        single_ids(outside, &two_hosts(), &text)
    );
}

#[test]
fn a_publishers_content_id_replaces_the_manifest_url() {
    let identity = IdentityConfig {
        content_id: Some("film 7".into()),
        ..IdentityConfig::default()
    };
    let text = live("s", 0, 3);
    let one = single("https://a.example/x/live.m3u8?u=1", &identity, &text);
    let other = single("https://b.example/y/live.m3u8", &identity, &text);
    assert_eq!(one.presentation().content, other.presentation().content);
    assert_eq!(one.presentation().swarm, other.presentation().swarm);
    assert_eq!(ids(one.segments("")), ids(other.segments("")));
    let tenant = IdentityConfig {
        tenant: "other".into(),
        ..identity
    };
    let stranger = single("https://a.example/x/live.m3u8?u=1", &tenant, &text);
    assert_ne!(one.presentation().swarm, stranger.presentation().swarm);
}

#[test]
fn tokens_of_every_style_leave_names_alone() {
    let text = |query: &str| live("s", 7, 3).replace(".ts", &format!(".ts?v=1&{query}"));
    let url = |query: &str| format!("https://h.example/x/live.m3u8?{query}");
    let identity = IdentityConfig::default();
    let plain = single_ids(&url(""), &identity, &text(""));
    for query in [
        "token=abc",
        "hdnts=st=1~exp=2~acl=/*~hmac=00ff",
        "Policy=a&Signature=b&Key-Pair-Id=c",
        "X-Amz-Signature=1&X-Amz-Expires=60",
        "st=abcdefghijklmnopqrstuv&e=1900000000",
    ] {
        assert_eq!(
            single_ids(&url(query), &identity, &text(query)),
            plain,
            "{query}"
        );
    }
    let other = single_ids(&url(""), &identity, &text("watermark=B"));
    assert!(plain.values().all(|id| !other.values().any(|o| o == id)));
}

#[test]
fn tokens_in_paths_are_dropped_only_when_declared() {
    let identity = IdentityConfig {
        path_tokens: vec![PathToken::Prefix("sess-".into())],
        ..IdentityConfig::default()
    };
    let ids = |viewer: &str, identity: &IdentityConfig| {
        let url = format!("https://h.example/sess-{viewer}/x/live.m3u8");
        single_ids(&url, identity, &live("s", 0, 2))
    };
    assert_eq!(ids("1", &identity), ids("2", &identity));
    let default = IdentityConfig::default();
    assert_ne!(ids("1", &default), ids("2", &default));
}

#[test]
fn names_do_not_depend_on_where_the_manifest_was_redirected() {
    let asked = "https://h.example/x/live.m3u8";
    let text = live("s", 3, 2);
    let direct = single(asked, &IdentityConfig::default(), &text);
    let mut redirected = Shell::new(asked, IdentityConfig::default());
    redirected.redirected(asked, "https://edge9.example/session/77/live.m3u8", &text);
    assert_eq!(ids(direct.segments("")), ids(redirected.segments("")));
    assert_eq!(
        &*redirected.segments("").at(0).unwrap().url,
        "https://edge9.example/session/77/s3.ts"
    );
}

#[test]
fn names_do_not_depend_on_the_window() {
    let url = "https://h.example/live.m3u8";
    let identity = IdentityConfig::default();
    let all = single_ids(url, &identity, &live("s", 0, 30));
    for first in [0, 1, 7, 19, 25] {
        for (ordinal, id) in single_ids(url, &identity, &live("s", first, 5)) {
            assert_eq!(all.get(&ordinal), Some(&id));
        }
    }
    let before = single_ids(url, &identity, include_str!("fixtures/live-before.m3u8"));
    let after = single_ids(url, &identity, include_str!("fixtures/live-after.m3u8"));
    assert_eq!(before[&102], after[&102]);
    assert_eq!(before[&103], after[&103]);
}

#[test]
fn names_do_not_depend_on_keys_dates_and_durations() {
    let url = "https://h.example/live.m3u8";
    let identity = IdentityConfig::default();
    let text = live("s", 0, 3);
    let other = text.replace("2.000", "2.002").replacen(
        "#EXTINF",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXT-X-DISCONTINUITY\n#EXTINF",
        1,
    );
    assert_eq!(
        single_ids(url, &identity, &text),
        single_ids(url, &identity, &other)
    );
}

#[test]
fn file_names_that_rotate_and_numbers_that_restart_name_other_segments() {
    let url = "https://h.example/live.m3u8";
    let identity = IdentityConfig::default();
    let ring =
        |first: u64| format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:2,\nseg0.ts\n");
    let names = [
        single_ids(url, &identity, &ring(0)),
        single_ids(url, &identity, &ring(10)),
        single_ids(url, &identity, &live("after-restart", 0, 1)),
    ];
    let distinct: std::collections::BTreeSet<_> = names.iter().flat_map(BTreeMap::values).collect();
    assert_eq!(distinct.len(), 3);
}

#[test]
fn ranges_of_one_resource_and_its_init_section_have_names_of_their_own() {
    let shell = single(
        "https://h.example/film.m3u8",
        &IdentityConfig::default(),
        include_str!("fixtures/byte-ranges.m3u8"),
    );
    let playlist = shell.segments("");
    let mut names: std::collections::BTreeSet<_> = playlist.iter().map(|s| s.id).collect();
    names.extend(playlist.at(0).unwrap().init.as_ref().map(|init| init.id));
    assert_eq!(names.len(), 4);
}

#[test]
fn tracks_keep_their_names_when_variants_are_shuffled_or_filtered() {
    let url = "https://h.example/show/list.m3u8";
    let identity = IdentityConfig::default();
    let all = track_ids(url, &identity, MULTIVARIANT);
    assert_eq!(
        all.len(),
        6,
        "each playlist is a track, renditions without one are none"
    );

    let (head, variants) = MULTIVARIANT.split_once("#EXT-X-STREAM-INF").unwrap();
    let variants = format!("#EXT-X-STREAM-INF{variants}");
    let mut variants: Vec<&str> = variants.split_inclusive(".m3u8\n").collect();
    variants.reverse();
    let shuffled = format!("{head}{}", variants.concat());
    assert_eq!(track_ids(url, &identity, &shuffled), all);
    variants.truncate(2);
    let filtered = track_ids(url, &identity, &format!("{head}{}", variants.concat()));
    assert!(filtered.len() < all.len());
    assert!(filtered.iter().all(|(name, id)| all.get(name) == Some(id)));
}

#[test]
fn a_playlist_listed_for_each_audio_group_is_one_track() {
    let variant = |bandwidth: u32, group: &str| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},AUDIO=\"{group}\"\nvideo.m3u8\n")
    };
    let (a, b) = (variant(2000, "a"), variant(1000, "b"));
    let url = "https://h.example/list.m3u8";
    let ids =
        |text: String| track_ids(url, &IdentityConfig::default(), &format!("#EXTM3U\n{text}"));
    assert_eq!(ids(format!("{a}{b}")).len(), 1);
    assert_eq!(ids(format!("{a}{b}")), ids(format!("{b}{a}")));
}

#[test]
fn a_stable_variant_id_names_a_track_wherever_its_playlist_moves() {
    let text = |path: &str, bandwidth: u32| {
        format!(
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},STABLE-VARIANT-ID=\"hd\"\n{path}\n"
        )
    };
    let id = |text: String| {
        let ids = track_ids(
            "https://h.example/list.m3u8",
            &IdentityConfig::default(),
            &text,
        );
        ids.into_values().next().unwrap()
    };
    assert_eq!(id(text("a/hd.m3u8", 1)), id(text("b/hd.m3u8", 2)));
    assert_ne!(
        id(text("a/hd.m3u8", 1)),
        id(text("https://other.example/hd.m3u8", 1))
    );
}

#[test]
fn redundant_variants_are_one_track_only_on_hosts_declared_equal() {
    let variant =
        |host: &str| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://{host}.example/v.m3u8\n");
    let text = format!("#EXTM3U\n{}{}", variant("a"), variant("b"));
    let count = |identity: IdentityConfig| {
        let shell = Shell::with("https://h.example/list.m3u8", identity, &text);
        shell.presentation().tracks.len()
    };
    assert_eq!(count(IdentityConfig::default()), 2);
    assert_eq!(count(two_hosts()), 1);
}

#[test]
fn a_url_that_is_a_key_is_never_shared() {
    let url = "https://h.example/x/film.m3u8";
    let shell = single(
        url,
        &IdentityConfig::default(),
        include_str!("fixtures/encrypted.m3u8"),
    );
    let sharing: Vec<Sharing> = shell.segments("").iter().map(|s| s.sharing).collect();
    let key = Sharing::Never(NeverReason::KeyUrl);
    let gap = Sharing::Never(NeverReason::Gap);
    let shared = Sharing::Shared;
    assert_eq!(sharing, [shared, shared, shared, shared, key, gap]);
    let presentation = shell.presentation();
    for url in ["keys/1?token=secret", "keys/2?token=else", "keys/1"] {
        let url = format!("https://h.example/x/{url}");
        assert_eq!(presentation.resource(&url, None), Some(Resource::Key));
    }
    assert!(presentation.never_shared.contains("skd://film"));
}

#[test]
fn a_key_that_becomes_known_later_withdraws_what_is_listed_already() {
    let url = "https://h.example/list.m3u8";
    let text =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb.m3u8\n";
    let mut shell = Shell::with(url, IdentityConfig::default(), text);
    for name in ["a", "b"] {
        shell.input(Input::TrackActivated(shell.track(&format!("{name}.m3u8"))));
    }
    shell.loaded(
        "https://h.example/a.m3u8",
        "#EXTM3U\n#EXT-X-MAP:URI=\"i\"\n#EXTINF:2,\nk\n#EXTINF:2,\ns\n",
    );
    let sharing = |shell: &Shell| -> Vec<(Sharing, Sharing)> {
        let segments = shell.segments("a.m3u8").iter();
        segments
            .map(|s| (s.sharing, s.init.as_ref().unwrap().sharing))
            .collect()
    };
    let (shared, key) = (Sharing::Shared, Sharing::Never(NeverReason::KeyUrl));
    assert_eq!(sharing(&shell), [(shared, shared), (shared, shared)]);
    let keys = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"i\"\n#EXTINF:2,\nt\n";
    shell.loaded("https://h.example/b.m3u8", keys);
    assert_eq!(sharing(&shell), [(key, key), (shared, key)]);
    // Once a key, always a key.
    shell.wake();
    shell.loaded("https://h.example/b.m3u8", &live("t", 0, 3));
    assert!(
        shell
            .presentation()
            .never_shared
            .contains("https://h.example/k")
    );
}

#[test]
fn what_has_no_bytes_at_a_server_is_never_shared() {
    let text = "#EXTM3U\n#EXTINF:2,\ndata:video/mp4,x\n#EXTINF:2,\n#EXT-X-BYTERANGE:0@5\na.ts\n";
    let shell = single("https://h.example/l.m3u8", &IdentityConfig::default(), text);
    let segments = &shell.segments("");
    let never = Sharing::Never(NeverReason::NotFetchable);
    assert!(segments.iter().all(|segment| segment.sharing == never));
}

#[test]
fn every_url_of_a_presentation_is_told_apart() {
    let url = "https://h.example/show/list.m3u8?token=1";
    let mut shell = Shell::with(url, IdentityConfig::default(), MULTIVARIANT);
    let track = shell.track("360.m3u8");
    shell.input(Input::TrackActivated(track));
    let list = "https://h.example/show/video/360.m3u8";
    shell.loaded(list, include_str!("fixtures/byte-ranges.m3u8"));
    let init = shell
        .segments("360.m3u8")
        .at(0)
        .unwrap()
        .init
        .as_ref()
        .unwrap()
        .id;
    let presentation = shell.presentation();
    let resource = |url: &str, range: Option<(u64, u64)>| {
        presentation.resource(url, range.map(|(start, end)| ByteRange::new(start, end)))
    };
    assert_eq!(resource(url, None), Some(Resource::Manifest));
    assert_eq!(resource(list, None), Some(Resource::MediaPlaylist(track)));
    let directive = format!("{list}?_HLS_msn=7");
    assert_eq!(
        resource(&directive, None),
        Some(Resource::MediaPlaylist(track))
    );
    assert_eq!(resource("skd://content-key", None), Some(Resource::Key));
    let film = "https://h.example/show/video/film.mp4";
    assert_eq!(
        resource(film, Some((0, 700))),
        Some(Resource::Init(track, init))
    );
    assert_eq!(
        resource(film, Some((700, 100_700))),
        Some(Resource::Segment(track, 0))
    );
    assert_eq!(
        resource(film, Some((200_001, 200_002))),
        Some(Resource::Segment(track, 2))
    );
    let newer = format!("{film}?token=new#t=1");
    assert_eq!(
        resource(&newer, Some((0, 700))),
        Some(Resource::Init(track, init))
    );
    for range in [None, Some((600, 800)), Some((0, u64::MAX)), Some((5, 5))] {
        assert_eq!(resource(film, range), Some(Resource::Other), "{range:?}");
    }
    assert_eq!(resource("https://h.example/elsewhere.mp4", None), None);
    assert_eq!(resource(&format!("{film}?v=2"), Some((0, 700))), None);
}

proptest! {
    /// No two different resources, ranges or places ever share a name.
    #[test]
    fn different_segments_have_different_names(
        a in (0u64..4, "[ab]{1,2}", 0u64..3, 1u64..3),
        b in (0u64..4, "[ab]{1,2}", 0u64..3, 1u64..3),
    ) {
        let id = |(ordinal, name, offset, len): &(u64, String, u64, u64)| {
            let text = format!(
                "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{ordinal}\n#EXT-X-BYTERANGE:{len}@{offset}\n#EXTINF:2,\n{name}\n"
            );
            single_ids("https://h.example/l.m3u8", &IdentityConfig::default(), &text)[ordinal]
        };
        prop_assert_eq!(id(&a) == id(&b), a == b);
    }
}
