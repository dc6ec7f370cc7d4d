//! MPDs that are odd and yet plausible.
#![cfg(all(feature = "dash", feature = "url"))]

mod support;

use p2pcdn_manifest::{
    IdentityConfig, Listing, Mpd, RewriteOptions, UrlUse, WarningKind, parse_mpd, rewrite,
};
use support::Shell;

const URL: &str = "https://h.example/show/live.mpd";

fn shell(text: &str) -> Shell {
    Shell::with(URL, IdentityConfig::default(), text)
}

fn urls(mpd: &Mpd) -> Vec<String> {
    let representation = &mpd.periods[0].adaptation_sets[0].representations[0];
    let Listing::Segments(window) = representation.listing(None) else {
        panic!("a list of segments");
    };
    window
        .iter()
        .map(|segment| segment.url.to_string())
        .collect()
}

#[test]
fn the_last_number_tells_how_many_there_are_where_no_duration_does() {
    let text = "<MPD><Period><AdaptationSet><SegmentTemplate media=\"$Number$\" duration=\"4\" \
        startNumber=\"5\" endNumber=\"7\"/><Representation/></AdaptationSet></Period></MPD>";
    let mpd = parse_mpd(text.as_bytes(), URL).unwrap();
    assert_eq!(
        urls(&mpd),
        [5, 6, 7].map(|n| format!("https://h.example/show/{n}"))
    );
}

#[test]
fn an_mpd_of_nothing_but_remote_periods_is_warned_of() {
    let text = "<MPD xmlns:xlink=\"x\"><Period xlink:href=\"https://ads.example/1\"/></MPD>";
    let mpd = parse_mpd(text.as_bytes(), URL).unwrap();
    assert!(mpd.periods.is_empty());
    assert_eq!(mpd.warnings[0].kind, WarningKind::XlinkUnsupported);
}

#[test]
fn ampersands_of_both_kinds_in_one_value_are_one_url_to_reader_and_rewriter() {
    let text = "<MPD mediaPresentationDuration=\"PT4S\"><Period><AdaptationSet>\
        <SegmentTemplate media=\"https://c.example/$Number$?a=1&b=2&amp;c=3\" duration=\"4\"/>\
        <Representation/></AdaptationSet></Period></MPD>";
    let mpd = parse_mpd(text.as_bytes(), URL).unwrap();
    assert_eq!(urls(&mpd), ["https://c.example/1?a=1&b=2&c=3"]);
    let mut asked = Vec::new();
    let mut map = |of: &UrlUse<'_>| {
        asked.push(of.url.to_owned());
        None
    };
    rewrite(text.as_bytes(), URL, &RewriteOptions::default(), &mut map).unwrap();
    let expected = "https://c.example/$Number$?a=1&b=2&c=3";
    assert!(asked.iter().any(|url| url == expected), "{asked:?}");
}

/// Two sound tracks of one id, as when a packager counts in each adaptation set.
#[test]
fn tracks_of_one_id_have_the_same_names_in_any_order() {
    let set = |lang: &str| {
        format!(
            "<AdaptationSet contentType=\"audio\" lang=\"{lang}\"><SegmentTemplate \
             media=\"{lang}/$Number$\" duration=\"4\"/><Representation id=\"1\"/></AdaptationSet>"
        )
    };
    let names = |langs: [&str; 2]| {
        let sets = langs.map(set).concat();
        let mpd = "<MPD mediaPresentationDuration=\"PT4S\">";
        let shell = shell(&format!("{mpd}<Period>{sets}</Period></MPD>"));
        let tracks = shell.presentation().tracks.iter();
        let mut names: Vec<_> = tracks.map(|it| (it.language.clone(), it.id)).collect();
        names.sort();
        names
    };
    assert_eq!(names(["de", "en"]).len(), 2);
    assert_eq!(names(["de", "en"]), names(["en", "de"]));
}

fn live(published: &str, first: u64) -> String {
    format!(
        "<MPD type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" {published} \
         minimumUpdatePeriod=\"PT2S\"><Period start=\"PT0S\"><AdaptationSet><SegmentTemplate \
         media=\"$Time$\"><SegmentTimeline><S t=\"{first}\" d=\"2\"/></SegmentTimeline>\
         </SegmentTemplate><Representation id=\"v\"/></AdaptationSet></Period>\
         <Period id=\"early\"><AdaptationSet><SegmentTemplate media=\"e$Number$\" duration=\"2\"/>\
         <Representation id=\"v\"/></AdaptationSet></Period></MPD>"
    )
}

fn published(second: u64) -> String {
    format!("publishTime=\"2026-01-01T00:00:{second:02}Z\"")
}

fn first(shell: &Shell) -> Option<u64> {
    let segments = shell.presentation().tracks[0].segments.as_ref();
    Some(segments?.first()?.ordinal)
}

#[test]
fn an_mpd_that_stops_saying_when_it_was_published_is_taken() {
    let mut shell = shell(&live(&published(2), 0));
    shell.loaded(URL, &live("", 2));
    assert_eq!(first(&shell), Some(2));
}

#[test]
fn a_publisher_whose_clock_was_set_back_is_followed_in_the_end() {
    let mut shell = shell(&live(&published(50), 0));
    for n in 1..=3 {
        shell.loaded(URL, &live(&published(n), 2 * n));
        assert_eq!(first(&shell), Some(0), "a cache may lag");
    }
    shell.loaded(URL, &live(&published(4), 8));
    assert_eq!(first(&shell), Some(8));
}

#[test]
fn a_period_whose_start_is_not_known_yet_lists_nothing() {
    let shell = shell(&live("", 0));
    let tracks = &shell.presentation().tracks;
    assert_eq!(tracks.len(), 2);
    assert!(tracks[1].segments.is_none());
}
