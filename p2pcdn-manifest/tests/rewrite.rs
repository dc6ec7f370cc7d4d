//! Rewritten manifests: read with simple readers of the test's own, every URL in them is what the
//! map made of it, and nothing else has changed.
#![cfg(all(feature = "hls", feature = "dash", feature = "url"))]

mod urls;

use std::collections::BTreeMap;

use p2pcdn_manifest::{Place, RewriteOptions, Rewritten, UrlKind, UrlUse, rewrite};
use proptest::prelude::*;
use urls::{Found, found_in};

const HLS: [&str; 6] = [
    include_str!("fixtures/multivariant.m3u8"),
    include_str!("fixtures/live-before.m3u8"),
    include_str!("fixtures/byte-ranges.m3u8"),
    include_str!("fixtures/encrypted.m3u8"),
    include_str!("fixtures/tokens.m3u8"),
    include_str!("fixtures/rewrite/low-latency.m3u8"),
];

const DASH: [&str; 4] = [
    include_str!("fixtures/rewrite/no-base.mpd"),
    include_str!("fixtures/rewrite/nested-bases.mpd"),
    include_str!("fixtures/rewrite/lists.mpd"),
    include_str!("fixtures/rewrite/odd.mpd"),
];

const FROM: &str = "https://cdn.example/vod/show/manifest.mpd?token=a%2Fb&x=1";
const PROXY: &str = "http://127.0.0.1:8080/hidden/m?id=7";

/// A proxy that keeps the structure of paths: everything below one prefix.
fn prefixed(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    Some(format!("http://127.0.0.1:8080/o/{scheme}/{rest}"))
}

/// The maps that proxies have; each gives what becomes of a URL of a kind.
const MAPS: [fn(&str, UrlKind) -> Option<String>; 5] = [
    // Everything.
    |url, _| prefixed(url),
    // Nothing.
    |_, _| None,
    // Leaves only, each with a number of its own.
    |url, kind| {
        let sum = url
            .bytes()
            .fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let identifiers: Vec<&str> = url.split('$').skip(1).step_by(2).collect();
        let identifiers = identifiers
            .iter()
            .map(|id| format!("&${id}$"))
            .collect::<String>();
        let is_leaf = !matches!(kind, UrlKind::BaseUrl | UrlKind::Representation);
        is_leaf.then(|| format!("http://127.0.0.1:8080/n?u={sum:x}\"'<>{identifiers}"))
    },
    // Base URLs only.
    |url, kind| (kind == UrlKind::BaseUrl).then(|| prefixed(url)).flatten(),
    // One host only.
    |url, _| {
        url.starts_with("https://cdn.example/")
            .then(|| prefixed(url))
            .flatten()
    },
];

fn rewritten(
    text: &[u8],
    place: Place,
    map: fn(&str, UrlKind) -> Option<String>,
) -> Option<(Rewritten, Vec<Answer>)> {
    let options = RewriteOptions {
        place,
        variables: vec![("imported".to_owned(), "i".to_owned())],
        ..RewriteOptions::default()
    };
    let mut asked = Vec::new();
    let mut ask = |of: &UrlUse<'_>| {
        let answer = map(of.url, of.kind);
        asked.push((of.url.to_owned(), of.kind, answer.clone()));
        answer
    };
    let done = rewrite(text, FROM, &options, &mut ask).ok()?;
    Some((done, asked))
}

/// A question to the map, and its answer.
type Answer = (String, UrlKind, Option<String>);

/// What the map was asked and answered.
struct Asked {
    /// By whether a base URL was asked about, and the URL in normal form.
    answers: BTreeMap<(bool, String), Option<String>>,
    /// The folders of base URLs that the map answered for, and the answers.
    spoken: BTreeMap<String, String>,
}

impl Asked {
    fn new(asked: &[Answer]) -> Self {
        let mut answers = BTreeMap::new();
        let mut spoken = BTreeMap::new();
        for (url, kind, answer) in asked {
            let is_base = matches!(kind, UrlKind::BaseUrl | UrlKind::Representation);
            answers.insert((is_base, urls::normal(url)), answer.clone());
            if let (true, Some(answer)) = (is_base, answer) {
                spoken.insert(urls::folder(url).to_owned(), answer.clone());
            }
        }
        Self { answers, spoken }
    }

    /// Where `original` may end up: what the map answered; the same path below a base URL with an
    /// answer; itself if nothing speaks for it.
    fn acceptable(&self, original: &Found) -> Vec<String> {
        let key = (original.is_base, urls::normal(&original.url));
        let answer = self.answers.get(&key);
        let mut urls: Vec<String> = answer
            .map(|answer| answer.clone().unwrap_or_else(|| original.url.clone()))
            .into_iter()
            .collect();
        for (folder, answer) in &self.spoken {
            if let Some(rest) = original.url.strip_prefix(&**folder) {
                urls.push([urls::folder(answer), rest].concat());
            }
        }
        if urls.is_empty() {
            urls.push(original.url.clone());
        }
        urls
    }
}

/// Checks one manifest with every map, and counts the URLs seen.
fn check(name: &str, text: &[u8]) -> usize {
    let before = found_in(text, FROM);
    let mut count = 0;
    for (nth, map) in MAPS.into_iter().enumerate() {
        let Some((done, asked)) = rewritten(text, Place::Moved, map) else {
            return 0;
        };
        let after = found_in(&done.text, PROXY);
        let asked = Asked::new(&asked);
        let lost = done.warnings.iter().any(|warning| {
            use p2pcdn_manifest::WarningKind::{AlternativesLost, BadUrl, NotRewritten};
            matches!(warning.kind, AlternativesLost | BadUrl | NotRewritten)
        });
        if lost {
            continue;
        }
        assert_eq!(before.len(), after.len(), "{name}, map {nth}");
        for (before, after) in before.iter().zip(&after) {
            if before.url.is_empty() {
                continue;
            }
            let expected = asked.acceptable(before);
            let got = urls::normal(&after.url);
            assert!(
                expected.iter().any(|url| urls::normal(url) == got),
                "{name}, map {nth}: {before:?} became {got}, not {expected:?}",
            );
            count += 1;
        }
    }
    let same: fn(&str, UrlKind) -> Option<String> = |url, _| Some(url.to_owned());
    for map in [same, |_, _| None] {
        let (done, _) = rewritten(text, Place::Same, map).expect("it was rewritten before");
        assert_eq!(done.edit_count, 0, "{name}");
        assert_eq!(done.text, text, "{name}");
    }
    count
}

#[test]
fn urls_of_the_fixtures_become_what_the_map_says() {
    for text in HLS.iter().chain(&DASH) {
        assert!(check(text.get(..60).unwrap(), text.as_bytes()) > 0);
    }
}

/// All manifests in the folder that `P2PCDN_MANIFESTS` names, if it does.
#[test]
fn urls_of_real_manifests_become_what_the_map_says() {
    let Some(folder) = std::env::var_os("P2PCDN_MANIFESTS") else {
        return;
    };
    let (mut files, mut urls) = (0, 0);
    for format in ["hls", "dash", "traps"] {
        let Ok(entries) = std::fs::read_dir(std::path::Path::new(&folder).join(format)) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let text = std::fs::read(&path).unwrap();
            files += 1;
            urls += check(&path.to_string_lossy(), &text);
        }
    }
    println!("{files} files, {urls} URLs");
}

/// What stays of a text when it is read from both ends: all but the edits.
fn is_kept(before: &[u8], after: &[u8], marker: u8) -> bool {
    // Every byte of the original that is outside of an edit is in the result, in order; edits
    // hold the marker and nothing else.
    let mut rest = after.iter().copied().filter(|b| *b != marker);
    let mut original = before.iter().copied();
    rest.all(|b| original.any(|o| o == b))
}

proptest! {
    #[test]
    fn any_playlist_is_rewritten_without_harm(
        lines in proptest::collection::vec(
            "(#EXT-X-(KEY|MAP|MEDIA|PART|DEFINE|DATERANGE|STREAM-INF):|#EXTINF:|)((URI|NAME|VALUE|QUERYPARAM|IMPORT|X-ASSET-URI)?[=\",]{0,3}[a-z{$}/:. ]{0,8}){0,4}[\r\t]?",
            0..12,
        ),
        noise in any::<Vec<u8>>(),
    ) {
        let mut text = b"#EXTM3U\n".to_vec();
        text.extend(lines.join("\n").into_bytes());
        text.push(b'\n');
        text.extend(noise);
        let options = RewriteOptions { place: Place::Same, ..RewriteOptions::default() };
        let done = rewrite(&text, FROM, &options, &mut |_| None).unwrap();
        prop_assert_eq!(&done.text, &text);
        let moved = rewritten(&text, Place::Moved, |url, _| prefixed(url)).unwrap().0;
        let lines = |text: &[u8]| text.iter().filter(|b| **b == b'\n').count();
        prop_assert_eq!(lines(&moved.text), lines(&text));
    }

    #[test]
    fn any_bytes_are_rewritten_or_refused(text in any::<Vec<u8>>(), url in "\\PC{0,16}") {
        for head in [&b"#EXTM3U\n"[..], b"<MPD>", b"<MPD><Period><BaseURL>", b""] {
            let text = [head, &text].concat();
            let _ = rewrite(&text, &url, &RewriteOptions::default(), &mut |of| prefixed(of.url));
        }
    }

    #[test]
    fn only_urls_of_an_mpd_change(at in 0..2_000_usize, with in "[<>/'\"$&;a.]{0,3}", nth in 0..4_usize) {
        let mut text = DASH[nth].as_bytes().to_vec();
        let at = at.min(text.len());
        text.splice(at..(at + 1).min(text.len()), with.into_bytes());
        // Answers of one byte that is nowhere else.
        let options = RewriteOptions { place: Place::Same, ..RewriteOptions::default() };
        let mut map = |of: &UrlUse<'_>| {
            let is_base = matches!(of.kind, UrlKind::BaseUrl | UrlKind::Representation);
            (!is_base && !of.url.contains('$')).then(|| "~".to_owned())
        };
        if let Ok(done) = rewrite(&text, FROM, &options, &mut map) {
            prop_assert!(is_kept(&text, &done.text, b'~'));
        }
    }
}
