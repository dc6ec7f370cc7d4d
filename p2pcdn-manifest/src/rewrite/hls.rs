//! Playlists: URL lines and the attributes that hold URLs.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    Place, RewriteError, RewriteOptions, Rewritten, UrlKind, Warnings,
    attributes::{Attribute, Attributes},
    edits::Edits,
    url_map::{UrlMap, is_absolute},
};
use crate::{
    error::{ParseError, WarningKind},
    hls::{Scope, Variables},
    resolve::Base,
};

pub(super) fn rewrite(
    text: &[u8],
    url: &str,
    options: &RewriteOptions,
    map: UrlMap<'_>,
) -> Result<Rewritten, RewriteError> {
    let importable = Variables::from_pairs(&options.variables);
    let mut rewriter = Rewriter {
        base: Base::new(url, options.resolve),
        place: options.place,
        map,
        scope: Scope::new(url, &importable),
        edits: Edits::default(),
        warnings: Warnings::default(),
        next_url: UrlKind::Segment,
        has_undefined: false,
    };
    let mut at = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    for line in text
        .get(at..)
        .unwrap_or_default()
        .split_inclusive(|b| *b == b'\n')
    {
        let start = at + (line.len() - line.trim_ascii_start().len());
        rewriter.line(line.trim_ascii(), start)?;
        at += line.len();
    }
    Ok(Rewritten {
        edit_count: rewriter.edits.count(),
        text: rewriter.edits.apply(text)?,
        variables: rewriter.scope.into_variables().into_pairs(),
        warnings: rewriter.warnings.into_vec(text),
    })
}

struct Rewriter<'a, 'm> {
    base: Base,
    place: Place,
    map: UrlMap<'m>,
    scope: Scope<'a>,
    edits: Edits,
    warnings: Warnings,
    /// What the next URL line holds.
    next_url: UrlKind,
    /// Whether a definition could not be taken.
    has_undefined: bool,
}

impl Rewriter<'_, '_> {
    /// Takes a line without the blanks around it, which begins at byte `at`.
    fn line(&mut self, line: &[u8], at: usize) -> Result<(), RewriteError> {
        if line.is_empty() {
            return Ok(());
        }
        if !line.starts_with(b"#") {
            let kind = std::mem::replace(&mut self.next_url, UrlKind::Segment);
            return self.bare(line, at, kind);
        }
        let Some(tag) = line.strip_prefix(b"#EXT") else {
            return Ok(());
        };
        let colon = tag.iter().position(|b| *b == b':');
        let name = tag.get(..colon.unwrap_or(tag.len())).unwrap_or_default();
        let value = colon.and_then(|colon| tag.get(colon + 1..));
        let value = value.unwrap_or_default();
        let at = at + (line.len() - value.len());
        match name.trim_ascii() {
            b"-X-STREAM-INF" => self.next_url = UrlKind::MediaPlaylist,
            b"-X-DEFINE" => self.define(value, at)?,
            // Apple never took it up, but servers of the older low-latency HLS write it.
            b"-X-PREFETCH" => {
                let start = at + (value.len() - value.trim_ascii_start().len());
                self.bare(value.trim_ascii(), start, UrlKind::Segment)?;
            }
            name => {
                if !holds_url(name) {
                    return Ok(());
                }
                for attribute in Attributes::new(value) {
                    if let Some(kind) = kind(name, attribute.name) {
                        self.attribute(&attribute, at, kind)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn bare(&mut self, url: &[u8], at: usize, kind: UrlKind) -> Result<(), RewriteError> {
        let Some(replacement) = self.replacement(url, at, kind)? else {
            return Ok(());
        };
        self.edits.replace(at..at + url.len(), replacement)
    }

    fn attribute(
        &mut self,
        attribute: &Attribute<'_>,
        at: usize,
        kind: UrlKind,
    ) -> Result<(), RewriteError> {
        let span = at + attribute.span.start..at + attribute.span.end;
        let Some(replacement) = self.replacement(attribute.value, span.start, kind)? else {
            return Ok(());
        };
        self.edits.replace(span, format!("\"{replacement}\""))
    }

    /// What to write for a reference; `None` when it is to stay.
    fn replacement(
        &mut self,
        reference: &[u8],
        at: usize,
        kind: UrlKind,
    ) -> Result<Option<String>, RewriteError> {
        if reference.is_empty() || is_data(reference) {
            return Ok(None);
        }
        let reference = String::from_utf8_lossy(reference);
        if let Cow::Owned(_) = reference {
            self.warnings.push(at, WarningKind::NotUtf8);
        }
        let expanded = match self.scope.expand(&reference, 0) {
            Err(ParseError::TooLong) => return Err(RewriteError::TooLong),
            Ok(expanded) if !self.has_undefined || !expanded.contains("{$") => expanded,
            Ok(_) | Err(_) => {
                self.warnings.push(at, WarningKind::NotRewritten);
                return Ok(None);
            }
        };
        let Some(url) = self.map.join(&self.base, &expanded)? else {
            self.warnings.push(at, WarningKind::BadUrl);
            return Ok(None);
        };
        let answer = self.map.ask(&url, kind);
        if let Some(answer) = answer.filter(|answer| **answer != *url) {
            return Ok(Some(safe(answer.trim())));
        }
        let has_variable = matches!(expanded, Cow::Owned(_));
        let is_lost = self.place == Place::Moved && (has_variable || !is_absolute(&expanded));
        Ok(is_lost.then(|| safe(&url)))
    }

    /// Takes an `EXT-X-DEFINE`. What it takes from the query of the playlist's URL is written out,
    /// since players take it from the URL that they were given.
    fn define(&mut self, value: &[u8], at: usize) -> Result<(), RewriteError> {
        let text = String::from_utf8_lossy(value);
        match self.scope.define(&text, 0) {
            Ok(()) => {}
            Err(ParseError::TooLong) => return Err(RewriteError::TooLong),
            Err(_) => {
                self.has_undefined = true;
                self.warnings.push(at, WarningKind::BadAttribute);
                return Ok(());
            }
        }
        let is_named = Attributes::new(value).any(|attribute| attribute.name == b"NAME");
        if is_named || self.place == Place::Same {
            return Ok(());
        }
        // Like players, takes the last of several.
        let last = Attributes::new(value).filter(|attribute| attribute.name == b"QUERYPARAM");
        let Some(attribute) = last.last() else {
            return Ok(());
        };
        let name = String::from_utf8_lossy(attribute.value);
        let Some(value) = self.scope.value(&name) else {
            return Ok(());
        };
        if value.contains(['"', '\r', '\n']) || value.contains("{$") {
            self.warnings.push(at, WarningKind::NotRewritten);
            return Ok(());
        }
        let definition = format!("NAME=\"{name}\",VALUE=\"{value}\"");
        self.edits
            .replace(at + attribute.at..at + attribute.span.end, definition)
    }
}

fn holds_url(tag: &[u8]) -> bool {
    kind(tag, b"URI")
        .or_else(|| kind(tag, b"SERVER-URI"))
        .is_some()
        || tag == b"-X-DATERANGE"
}

/// What an attribute of a tag holds; `None` for no URL.
fn kind(tag: &[u8], attribute: &[u8]) -> Option<UrlKind> {
    Some(match (tag, attribute) {
        (b"-X-MEDIA" | b"-X-I-FRAME-STREAM-INF", b"URI") => UrlKind::MediaPlaylist,
        (b"-X-IMAGE-STREAM-INF", b"URI") => UrlKind::ImagePlaylist,
        (b"-X-MAP", b"URI") => UrlKind::Init,
        (b"-X-KEY" | b"-X-SESSION-KEY", b"URI") => UrlKind::Key,
        (b"-X-SESSION-DATA", b"URI") => UrlKind::SessionData,
        (b"-X-PART", b"URI") => UrlKind::Part,
        (b"-X-PRELOAD-HINT", b"URI") => UrlKind::PreloadHint,
        (b"-X-RENDITION-REPORT", b"URI") => UrlKind::RenditionReport,
        (b"-X-CONTENT-STEERING", b"SERVER-URI") => UrlKind::Steering,
        (b"-X-DATERANGE", b"X-ASSET-URI") => UrlKind::Interstitial,
        (b"-X-DATERANGE", b"X-ASSET-LIST") => UrlKind::InterstitialList,
        _ => return None,
    })
}

fn is_data(reference: &[u8]) -> bool {
    let scheme = reference.get(..5).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"data:")
}

/// The URL such that no player reads a quote, a line end or a variable into it.
fn safe(url: &str) -> String {
    let mut safe = String::with_capacity(url.len());
    for c in url.replace("{$", "%7B$").chars() {
        if c < ' ' || c == '"' {
            let _ = write!(safe, "%{:02X}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::UrlUse;
    use super::*;

    const URL: &str = "https://cdn.example/a/live.m3u8?t=q%2Fx";

    fn rewritten(text: &str, options: &RewriteOptions) -> (Rewritten, Vec<(String, UrlKind)>) {
        let mut seen = Vec::new();
        let mut map = |of: &UrlUse<'_>| {
            seen.push((of.url.to_owned(), of.kind));
            let path = of.url.strip_prefix("https://cdn.example/")?;
            (!path.contains("keep")).then(|| format!("http://p/{path}"))
        };
        let text = format!("#EXTM3U\n{text}");
        let mut done = super::super::rewrite(text.as_bytes(), URL, options, &mut map).unwrap();
        done.text.drain(..8);
        (done, seen)
    }

    fn text(text: &str) -> String {
        let (done, _) = rewritten(text, &RewriteOptions::default());
        String::from_utf8_lossy(&done.text).into_owned()
    }

    #[test]
    fn every_tag_with_a_url_is_put_to_the_map() {
        let original = "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a.m3u8\",NAME=\"URI=x\"\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
            #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"g.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n\
            #EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\"x\"\n\
            #EXT-X-SESSION-DATA:DATA-ID=\"d\",URI=\"d\"\n\
            #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k1\"\n\
            #EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXT-X-MAP:URI=\"m\",BYTERANGE=\"1@0\"\n\
            #EXT-X-PART:DURATION=1,URI=\"p\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"h\"\n\
            #EXT-X-RENDITION-REPORT:URI=\"r\",LAST-MSN=1\n\
            #EXT-X-DATERANGE:ID=\"1\",X-ASSET-URI=\"ai\",X-ASSET-LIST=\"al\"\n\
            #EXT-X-PREFETCH: f\n#EXTINF:1,\nu";
        let (done, seen) = rewritten(original, &RewriteOptions::default());
        let expected = [
            ("a.m3u8", UrlKind::MediaPlaylist),
            ("i.m3u8", UrlKind::MediaPlaylist),
            ("g.m3u8", UrlKind::ImagePlaylist),
            ("v.m3u8", UrlKind::MediaPlaylist),
            ("s", UrlKind::Steering),
            ("d", UrlKind::SessionData),
            ("k1", UrlKind::Key),
            ("k2", UrlKind::Key),
            ("m", UrlKind::Init),
            ("p", UrlKind::Part),
            ("h", UrlKind::PreloadHint),
            ("r", UrlKind::RenditionReport),
            ("ai", UrlKind::Interstitial),
            ("al", UrlKind::InterstitialList),
            ("f", UrlKind::Segment),
            ("u", UrlKind::Segment),
        ];
        let expected = expected.map(|(url, kind)| (format!("https://cdn.example/a/{url}"), kind));
        assert_eq!(seen, expected);
        assert_eq!(done.edit_count, expected.len());
        let mut by_hand = original.replace("URI=\"", "URI=\"http://p/a/");
        for (from, to) in [
            ("NAME=\"URI=x", "NAME=\"URI=x"),
            ("\nv.m", "\nhttp://p/a/v.m"),
            ("LIST=\"", "LIST=\"http://p/a/"),
            (": f", ": http://p/a/f"),
            ("\nu", "\nhttp://p/a/u"),
        ] {
            by_hand = by_hand.replace(from, to);
        }
        assert_eq!(String::from_utf8(done.text).unwrap(), by_hand);
    }

    #[test]
    fn all_else_stays_byte_for_byte() {
        let original = b"\xef\xbb\xbf#EXTM3U\r\n\t# \xff\r\n#EXTINF:1,\xfe URI=\"x\"\r\n  1.ts \t\r\n\n#EXT-X-NEW:URI=\"u\"\n#EXTINF:1,\n/2.ts";
        let expected = b"\xef\xbb\xbf#EXTM3U\r\n\t# \xff\r\n#EXTINF:1,\xfe URI=\"x\"\r\n  http://p/ \t\r\n\n#EXT-X-NEW:URI=\"u\"\n#EXTINF:1,\nhttp://p/";
        let mut map = |_: &UrlUse<'_>| Some("http://p/".to_owned());
        let options = RewriteOptions::default();
        let done = super::super::rewrite(original, URL, &options, &mut map).unwrap();
        assert_eq!(done.text, expected);
        assert!(done.warnings.is_empty());
    }

    #[test]
    fn unmapped_references_become_absolute_only_when_the_playlist_moves() {
        let original =
            "#EXTINF:1,\nkeep/1.ts\n#EXTINF:1,\nhttps://h/%7e?a b\n#EXT-X-KEY:URI=\"skd://k\"\n";
        let moved = original.replace("keep", "https://cdn.example/a/keep");
        assert_eq!(text(original), moved);
        let options = RewriteOptions {
            place: Place::Same,
            ..RewriteOptions::default()
        };
        let (done, _) = rewritten(original, &options);
        assert_eq!(done.text, original.as_bytes());
        assert_eq!(done.edit_count, 0);
    }

    #[test]
    fn variables_are_replaced_and_those_of_the_query_are_written_out() {
        let original = "#EXT-X-DEFINE:NAME=\"d\",VALUE=\"keep\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
            #EXT-X-DEFINE:IMPORT=\"i\"\n#EXTINF:1,\n{$d}/{$t}\n#EXTINF:1,\nhttps://h/{$i}\n\
            #EXTINF:1,\n{$i}?{$t}\n#EXTINF:1,\n{$none}\n";
        let options = RewriteOptions {
            variables: vec![("i".to_owned(), "im".to_owned())],
            ..RewriteOptions::default()
        };
        let (done, _) = rewritten(original, &options);
        let expected = "#EXT-X-DEFINE:NAME=\"d\",VALUE=\"keep\"\n\
            #EXT-X-DEFINE:NAME=\"t\",VALUE=\"q/x\"\n#EXT-X-DEFINE:IMPORT=\"i\"\n\
            #EXTINF:1,\nhttps://cdn.example/a/keep/q/x\n#EXTINF:1,\nhttps://h/im\n\
            #EXTINF:1,\nhttp://p/a/im?q/x\n#EXTINF:1,\n{$none}\n";
        assert_eq!(String::from_utf8(done.text).unwrap(), expected);
        let lines: Vec<u32> = done.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, [12]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = [pair("d", "keep"), pair("i", "im"), pair("t", "q/x")];
        assert_eq!(done.variables, variables);
    }

    #[test]
    fn broken_quotes_are_closed_and_harm_only_their_attribute() {
        assert_eq!(
            text("#EXT-X-MAP:URI=\"m,BYTERANGE=\"1@0\"\n"),
            "#EXT-X-MAP:URI=\"http://p/a/m,BYTERANGE=\"1@0\"\n"
        );
        assert_eq!(
            text("#EXT-X-MAP:URI=\"m\n"),
            "#EXT-X-MAP:URI=\"http://p/a/m\"\n"
        );
        assert_eq!(
            text("#EXT-X-MAP:URI=m,X\n"),
            "#EXT-X-MAP:URI=\"http://p/a/m\",X\n"
        );
        assert_eq!(
            text("#EXT-X-MAP:URI=\"\",URI=\n"),
            "#EXT-X-MAP:URI=\"\",URI=\n"
        );
    }

    #[test]
    fn an_answer_cannot_break_out_of_its_place() {
        let mut map = |_: &UrlUse<'_>| Some(" http://p/\"\n#{$t} ".to_owned());
        let original = b"#EXTM3U\n#EXT-X-MAP:URI=\"m\"\n";
        let options = RewriteOptions::default();
        let done = super::super::rewrite(original, URL, &options, &mut map).unwrap();
        let expected = "#EXTM3U\n#EXT-X-MAP:URI=\"http://p/%22%0A#%7B$t}\"\n";
        assert_eq!(String::from_utf8(done.text).unwrap(), expected);
    }
}
