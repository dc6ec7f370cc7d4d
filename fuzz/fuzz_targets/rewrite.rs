//! Rewriting changes URLs and nothing else: none without need, and what they mean stays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pcdn_manifest::{Manifest, Place, RewriteOptions, Rewritten, UrlUse, parse, rewrite};

const URL: &str = "https://cdn.example/a/b/list?token=1";
const PROXY: &str = "http://127.0.0.1:8080/list";

fuzz_target!(|text: &[u8]| {
    let mut keep = |_: &UrlUse<'_>| None;
    let same = RewriteOptions {
        place: Place::Same,
        ..RewriteOptions::default()
    };
    let Ok(kept) = rewrite(text, URL, &same, &mut keep) else {
        return;
    };
    assert_eq!((kept.text.as_slice(), kept.edit_count), (text, 0));
    if let Ok(moved) = rewrite(text, URL, &RewriteOptions::default(), &mut keep) {
        check_meaning(text, &moved);
    }
    let mut all = |_: &UrlUse<'_>| Some("http://127.0.0.1:8080/x".to_owned());
    if let Ok(mapped) = rewrite(text, URL, &same, &mut all)
        && text.starts_with(b"#EXTM3U")
    {
        let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines(text), lines(&mapped.text));
    }
});

/// A playlist that moved lists the same URLs.
fn check_meaning(text: &[u8], moved: &Rewritten) {
    let (Ok(Manifest::Media(one)), Ok(Manifest::Media(other))) =
        (parse(text, URL), parse(&moved.text, PROXY))
    else {
        return;
    };
    if !moved.warnings.is_empty() {
        return;
    }
    // No URL is put in place with a quote in it, which some that nobody fetches may have, nor with
    // what a player could take for a variable.
    let url = |url: Option<std::sync::Arc<str>>| {
        url.map(|url| url.replace('"', "%22").replace("{$", "%7B$"))
    };
    for (a, b) in one.segments().zip(other.segments()) {
        assert_eq!(
            (url(a.url), a.range, a.sequence),
            (url(b.url), b.range, b.sequence)
        );
    }
    assert_eq!(one.segments().len(), other.segments().len());
}
