//! Whatever differs between viewers of the same playlist, they name the same things alike.
#![cfg(feature = "hls")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use p2pcdn_manifest::{HostGroup, IdentityConfig, IdentityMode, Input, PathToken, TrackKind};
use p2pcdn_wire::{ByteRange, SegmentId, TrackId};
use proptest::{collection::vec, prelude::*, sample::Index};
use support::Shell;

/// How one viewer came to the playlist.
#[derive(Clone, Debug)]
struct Viewer {
    host: &'static str,
    token: Token,
    /// The first segment that is listed.
    first: u64,
    /// How many segments of the playlist are left out of its reload.
    delta: Option<u64>,
    mode: IdentityMode,
}

#[derive(Clone, Debug)]
enum Token {
    None,
    /// `?token=...` on each URL.
    Query(u32),
    /// Akamai's, as a part of each path.
    Path(u32),
    /// Wowza's, in each file name.
    Session(u32),
}

/// Segments listed at a time.
const WINDOW: u64 = 8;

/// Where the windows begin.
const OFFSETS: [u64; 5] = [100, 101, 103, 104, 106];

impl Viewer {
    fn identity(&self) -> IdentityConfig {
        IdentityConfig {
            host_groups: vec![HostGroup {
                name: "origin".into(),
                hosts: vec!["a.example".into(), "B.example:8443".into()],
            }],
            path_tokens: vec![PathToken::Akamai, PathToken::Wowza],
            mode: self.mode,
            ..IdentityConfig::default()
        }
    }

    /// This path on its host, with its token.
    fn url(&self, path: &str) -> String {
        let url = format!("https://{}/show/{path}", self.host);

        let (head, tail) = url.rsplit_once('.').expect("it names a file");
        match &self.token {
            Token::None => url,
            Token::Query(token) => format!("{url}?token={token}"),
            Token::Path(token) => {
                url.replace("/show/", &format!("/hdnts=exp={token}~hmac=0f/show/"))
            }
            Token::Session(token) => format!("{head}_w{token}.{tail}"),
        }
    }

    fn playlist(&self, first: u64, skipped: u64) -> String {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12\n\
             #EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        );
        match skipped {
            0 => text += &format!("#EXT-X-MAP:URI=\"{}\"\n", self.url("init.mp4")),
            _ => text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"),
        }
        for n in first + skipped..first + WINDOW {
            let name = self.url(&format!("s{n}.mp4"));
            if n + 1 == first + WINDOW {
                for part in 0..2 {
                    let name = self.url(&format!("s{n}.{part}.mp4"));
                    text += &format!("#EXT-X-PART:DURATION=1,URI=\"{name}\"\n");
                }
            }
            text += &format!("#EXTINF:2,\n#EXT-X-BYTERANGE:{n}@10\n{name}\n");
        }
        text
    }

    /// What it names, by what that is: ordinal and part, or the init segment.
    fn names(&self) -> BTreeMap<What, SegmentId> {
        let url = self.url("live.m3u8");

        let before = self.first - self.delta.map_or(0, |_| 1);
        let text = self.playlist(before, 0);
        let mut shell = Shell::with(&url, self.identity(), &text);
        if let Some(skipped) = self.delta {
            shell.loaded(&url, &self.playlist(self.first, skipped));
        }
        let segments = &shell.presentation().tracks[0].segments;
        let segments = segments.as_ref().expect("it was loaded");
        assert_eq!(segments.window().start, self.first);
        let mut names = BTreeMap::new();
        for one in segments.iter() {
            names.insert((one.ordinal, None, one.range), one.id);
            let init = one.init.expect("the playlist has one");
            names.insert((u64::MAX, None, init.range), init.id);
        }
        for part in segments.parts() {
            names.insert((part.ordinal, Some(part.index), part.range), part.id);
        }
        names
    }
}

type What = (u64, Option<u32>, Option<ByteRange>);

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        Just(Token::None),
        (1u32..99).prop_map(Token::Query),
        (1u32..99).prop_map(Token::Path),
        (1u32..99).prop_map(Token::Session),
    ]
}

fn viewer(mode: IdentityMode) -> impl Strategy<Value = Viewer> {
    let host = prop_oneof![
        Just("a.example"),
        Just("b.example:8443"),
        Just("A.example:443")
    ];
    let first = (0..OFFSETS.len()).prop_map(|at| OFFSETS[at]);
    let delta = proptest::option::of(1u64..5);
    (host, token(), first, delta).prop_map(move |(host, token, first, delta)| Viewer {
        host,
        token,
        first,
        delta,
        mode,
    })
}

fn mode() -> impl Strategy<Value = IdentityMode> {
    prop_oneof![
        Just(IdentityMode::Both),
        Just(IdentityMode::PathOnly),
        Just(IdentityMode::OrdinalOnly)
    ]
}

proptest! {
    /// Hosts declared equal, tokens of three styles, offsets of the window, delta updates.
    #[test]
    fn viewers_name_alike_what_they_both_list(
        (one, other) in mode().prop_flat_map(|mode| (viewer(mode), viewer(mode)))
    ) {


        let (one, other) = (one.names(), other.names());
        let both: Vec<_> = one.keys().filter(|what| other.contains_key(what)).collect();
        prop_assert!(both.len() >= 3, "windows overlap");
        for what in both {
            prop_assert_eq!(one[what], other[what], "{:?}", what);
        }
        let ids: BTreeSet<_> = one.values().chain(other.values()).collect();
        let whats: BTreeSet<_> = one.keys().chain(other.keys()).collect();
        prop_assert_eq!(ids.len(), whats.len(), "and nothing else alike");
    }

    /// In any order, and whichever are left out.
    #[test]
    fn tracks_keep_their_names_in_any_order_and_choice(
        order in vec(any::<Index>(), 1..12),
    ) {
        let all = tracks(&ENTRIES);
        prop_assert_eq!(all.len(), ENTRIES.len());
        let chosen: Vec<&str> = order.iter().map(|at| *at.get(&ENTRIES)).collect();
        let distinct: BTreeSet<&str> = chosen.iter().copied().collect();
        let listed = tracks(&chosen);
        prop_assert_eq!(listed.len(), distinct.len());
        prop_assert!(listed.iter().all(|(url, track)| all.get(url) == Some(track)));
    }
}

const ENTRIES: [&str; 6] = [
    "#EXT-X-STREAM-INF:BANDWIDTH=3,CODECS=\"mp4a.40.2,avc1.64001f\",RESOLUTION=1280x720\nv720.m3u8\n",
    "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360\nv360.m3u8\n",
    "#EXT-X-STREAM-INF:BANDWIDTH=9,STABLE-VARIANT-ID=\"uhd\"\nv2160.m3u8\n",
    "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"still.m3u8\"\n",
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",URI=\"en.m3u8\"\n",
    "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"de.m3u8\"\n",
];

fn tracks(entries: &[&str]) -> BTreeMap<String, (TrackKind, TrackId)> {
    let text = format!("#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n{}", entries.concat());
    let shell = Shell::with(
        "https://a.example/list.m3u8",
        IdentityConfig::default(),
        &text,
    );
    let tracks = shell.presentation().tracks.iter();
    tracks
        .map(|track| (track.url.to_string(), (track.kind, track.id)))
        .collect()
}

#[test]
fn codecs_may_be_listed_in_any_order() {
    let swapped = ENTRIES[0].replace("mp4a.40.2,avc1.64001f", "avc1.64001f,mp4a.40.2");
    assert_eq!(tracks(&[&swapped]), tracks(&ENTRIES[..1]));
    let other = ENTRIES[0].replace("avc1.64001f", "avc1.640020");
    assert_ne!(tracks(&[&other]), tracks(&ENTRIES[..1]));
}

#[test]
fn a_multivariant_playlist_leads_to_the_same_names_on_hosts_declared_equal() {
    let identity = || IdentityConfig {
        host_groups: vec![HostGroup {
            name: "origin".into(),
            hosts: vec!["a.example".into(), "b.example".into()],
        }],
        ..IdentityConfig::default()
    };
    let names = |host: &str| {
        let url = format!("https://{host}/show/list.m3u8?token={host}");
        let mut shell = Shell::with(&url, identity(), &format!("#EXTM3U\n{}", ENTRIES.concat()));
        let track = shell.track("v360.m3u8");
        shell.input(Input::TrackActivated(track));
        let playlist = shell.take_loads().remove(0);
        shell.loaded(&playlist, &support::live("media/s", 3, 4));
        let ids: Vec<_> = shell
            .segments("v360.m3u8")
            .iter()
            .map(|one| one.id)
            .collect();
        (shell.presentation().swarm, track, ids)
    };
    assert_eq!(names("a.example"), names("b.example"));
    assert_ne!(names("a.example"), names("c.example"));
}
