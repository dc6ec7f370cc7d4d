//! A playlist as lines: tags and URLs.

use std::borrow::Cow;

use memchr::{Memchr, memchr, memchr_iter};

use crate::{
    error::{Found, ParseError, Warning, WarningKind},
    limits::{MAX_LINE_LEN, MAX_TEXT_LEN, MAX_WARNINGS},
};

/// The text of a playlist, checked as far as it can be without reading its lines: bounded, UTF-8
/// (what is not is replaced), without byte order mark, begun by `#EXTM3U`.
///
/// A lone carriage return ends no line (RFC 8216 section 4.1).
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, ParseError> {
    if bytes.len() > MAX_TEXT_LEN {
        return Err(ParseError::TooLong);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = bytes.trim_ascii_start();
    if bytes.is_empty() {
        return Err(ParseError::Empty);
    }
    let after = bytes.strip_prefix(b"#EXTM3U").map(<[u8]>::first);
    if matches!(after, Some(None | Some(b'\r' | b'\n' | b' ' | b'\t'))) {
        return Ok(match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        });
    }
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let found = if head.contains("<mpd") {
        Found::Dash
    } else if head.starts_with("<!doctype html") || head.contains("<html") {
        Found::Html
    } else {
        Found::Other
    };
    Err(ParseError::NotAPlaylist { found })
}

/// One line that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `#EXT` + name, and what follows the colon, without blanks around it.
    Tag { name: &'a str, value: &'a str },
    /// A URL, without blanks around it.
    Url(&'a str),
}

/// Reads line after line.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the next line begins; behind the end after the last one.
    at: usize,
    ends: Memchr<'a>,
    number: u32,
    warnings: Warnings,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            ends: memchr_iter(b'\n', text.as_bytes()),
            number: 0,
            warnings: Warnings::default(),
        }
    }

    /// The next line that means something; `None` at the end.
    #[inline]
    pub(super) fn next_line(&mut self) -> Result<Option<Line<'a>>, ParseError> {
        while self.at <= self.text.len() {
            let end = self.ends.next().unwrap_or(self.text.len());
            let line = self.text.get(self.at..end).unwrap_or_default();
            self.at = end + 1;
            self.number = self.number.saturating_add(1);
            let Some(read) = read(line) else {
                continue;
            };
            // Of the whole line, because it hardly ever is that long.
            if line.len() <= MAX_LINE_LEN || read.len() <= MAX_LINE_LEN {
                return Ok(Some(read));
            }
            match read {
                Line::Tag { name, .. } if !matters(name) => self.warn(WarningKind::LongLine),
                _ => return Err(ParseError::LineTooLong { line: self.number }),
            }
        }
        Ok(None)
    }

    /// Notes that something is wrong with the line read last.
    pub(super) fn warn(&mut self, kind: WarningKind) {
        self.warnings.push(self.number, kind);
    }

    /// Number of the line read last, from 1.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn into_warnings(self) -> Warnings {
        self.warnings
    }
}

/// The first [`MAX_WARNINGS`] warnings.
#[derive(Default)]
pub(super) struct Warnings(Vec<Warning>);

impl Warnings {
    pub(super) fn push(&mut self, line: u32, kind: WarningKind) {
        if self.0.len() < MAX_WARNINGS {
            self.0.push(Warning { line, kind });
        }
    }

    pub(super) fn into_vec(self) -> Vec<Warning> {
        self.0
    }
}

impl Line<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Tag { value, .. } => value.len(),
            Self::Url(url) => url.len(),
        }
    }
}

/// What a line means, if anything.
#[inline]
fn read(line: &str) -> Option<Line<'_>> {
    let line = trim(line);
    let Some(comment) = line.strip_prefix('#') else {
        return (!line.is_empty()).then_some(Line::Url(line));
    };
    let tag = comment.strip_prefix("EXT")?;
    // Every second line.
    if let Some(value) = tag.strip_prefix("INF:") {
        let value = trim(value);
        return Some(Line::Tag { name: "INF", value });
    }
    let (name, value) = match memchr(b':', tag.as_bytes()) {
        Some(at) => (tag.get(..at)?, tag.get(at + 1..)?),
        None => (tag, ""),
    };
    let (name, value) = (trim(name), trim(value));
    // Without a name it is a comment.
    (!name.is_empty()).then_some(Line::Tag { name, value })
}

/// The text without blanks around it.
#[inline]
fn trim(text: &str) -> &str {
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.as_bytes() {
        // Nearly always: nothing that needs a table of all blanks there are.
        [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

/// Whether a tag is one that is read; others may have lines of any length.
fn matters(name: &str) -> bool {
    matches!(
        name,
        "INF"
            | "-X-BYTERANGE"
            | "-X-DEFINE"
            | "-X-KEY"
            | "-X-MAP"
            | "-X-MEDIA"
            | "-X-STREAM-INF"
            | "-X-I-FRAME-STREAM-INF"
            | "-X-SESSION-KEY"
            | "-X-MEDIA-SEQUENCE"
            | "-X-DISCONTINUITY-SEQUENCE"
            | "-X-SKIP"
            | "-X-PART"
            | "-X-PRELOAD-HINT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<Line<'_>>, ParseError> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| lexer.next_line().transpose()).collect()
    }

    fn tag<'a>(name: &'a str, value: &'a str) -> Line<'a> {
        Line::Tag { name, value }
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_the_last_one_need_not() {
        let expected = [tag("M3U", ""), tag("INF", "6,a:b"), Line::Url("x y.ts")];
        assert_eq!(
            lines("#EXTM3U\r\n# no\r\n\r\n#EXTINF:6,a:b\r\nx y.ts").unwrap(),
            expected
        );
        assert_eq!(
            lines("#EXTM3U\n#\n#EXT\n  #EXTINF: 6,a:b \n  x y.ts \n   ").unwrap(),
            expected
        );
    }

    #[test]
    fn a_lone_cr_ends_no_line() {
        assert_eq!(
            lines("a\rb\n#EXT-X-K\r:1").unwrap(),
            [Line::Url("a\rb"), tag("-X-K", "1")]
        );
    }

    #[test]
    fn a_line_over_the_cap_is_an_error_where_it_matters() {
        let longest = "x".repeat(MAX_LINE_LEN);
        assert!(lines(&longest).is_ok());
        let url = format!("\n{longest}x");
        assert_eq!(lines(&url), Err(ParseError::LineTooLong { line: 2 }));
        let key = format!("#EXT-X-KEY:{longest}x");
        assert_eq!(lines(&key), Err(ParseError::LineTooLong { line: 1 }));
        let other = format!("#EXT-X-CUE:{longest}x\na.ts");
        assert_eq!(lines(&other).unwrap(), [Line::Url("a.ts")]);
    }

    #[test]
    fn other_texts_are_told_apart() {
        let found = |text: &str| match super::text(text.as_bytes()) {
            Err(ParseError::NotAPlaylist { found }) => Some(found),
            _ => None,
        };
        assert_eq!(found("<!DOCTYPE html><p>403"), Some(Found::Html));
        assert_eq!(found("<?xml version='1.0'?>\n<MPD>"), Some(Found::Dash));
        assert_eq!(found("{\"error\":1}"), Some(Found::Other));
        assert_eq!(found("#EXTM3U8\n"), Some(Found::Other));
        assert_eq!(found("\u{feff} \n#EXTM3U"), None);
        assert_eq!(super::text(b" \n"), Err(ParseError::Empty));
    }
}
