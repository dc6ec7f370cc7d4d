//! Finds what in an MPD holds URLs, and what each is relative to.

use std::ops::Range;

use super::super::{Licences, RewriteError, UrlKind};
use crate::{
    error::Found,
    limits::MAX_EDITS,
    markup::{Attribute, Malformed, Quote, Tag, Token, TokenKind, Tokens, local},
};

/// A URL in the text.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// As it is meant: not escaped, blanks around it cut off.
    pub(super) text: Box<str>,
    pub(super) span: Range<usize>,
    pub(super) quote: Quote,
    /// The name of an element without content: the span is the end of its tag.
    pub(super) empty: Option<Box<str>>,
}

/// Something that has base URLs: the MPD, a period, an adaptation set, a representation.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) scope: Scope,
    /// The level that it is in; of the MPD, itself.
    pub(super) parent: usize,
    /// Its `BaseURL`s.
    pub(super) bases: Vec<Reference>,
    /// Whether it says itself where the segments are.
    pub(super) has_segments: bool,
}

/// A URL that is not a `BaseURL`.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) reference: Reference,
    pub(super) kind: UrlKind,
    /// The level whose base URLs it is relative to; `None` for the MPD's own URL.
    pub(super) level: Option<usize>,
}

/// What was found in an MPD.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    /// In the order of the text; the first is the MPD.
    pub(super) levels: Vec<Level>,
    pub(super) uses: Vec<Use>,
    /// The prefix of the root's name, colon included.
    pub(super) prefix: &'a str,
    /// Where a `BaseURL` of the MPD belongs.
    pub(super) base_at: Option<usize>,
}

/// What an element is, as far as URLs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Mpd,
    Period,
    AdaptationSet,
    Representation,
    /// `SegmentBase`, `SegmentList`, `SegmentTemplate`.
    Segments,
    /// An element whose text is a URL.
    Url(TextUrl),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextUrl {
    Base,
    Document(UrlKind),
}

pub(super) fn scan(text: &[u8], licences: Licences) -> Result<Scan<'_>, RewriteError> {
    let mut scanner = Scanner::new(licences);
    let mut tokens = Tokens::new(text);
    loop {
        let token = tokens
            .next_token()
            .map_err(|Malformed(at)| RewriteError::Malformed { at })?;
        let Some(token) = token else {
            break;
        };
        scanner.token(token)?;
    }
    if scanner.scan.levels.is_empty() {
        return Err(not_an_mpd(Found::Other));
    }
    Ok(scanner.scan)
}

struct Scanner<'a> {
    scan: Scan<'a>,
    /// The open elements, and the levels that they are in or are.
    open: Vec<(Scope, usize)>,
    /// The text of the innermost element, if that is a URL.
    text: String,
    /// Where its first byte that is no blank begins, and the last ends.
    text_span: Option<Range<usize>>,
    base_count: usize,
    licences: Licences,
}

impl<'a> Scanner<'a> {
    fn new(licences: Licences) -> Self {
        Self {
            scan: Scan {
                levels: Vec::new(),
                uses: Vec::new(),
                prefix: "",
                base_at: None,
            },
            open: Vec::new(),
            text: String::new(),
            text_span: None,
            base_count: 0,
            licences,
        }
    }

    fn token(&mut self, token: Token<'a>) -> Result<(), RewriteError> {
        match token.kind {
            TokenKind::Start(tag) => {
                let opened = self.element(&tag, &token.span)?;
                self.open.push(opened);
                self.text.clear();
                self.text_span = None;
            }
            TokenKind::Empty(tag) => {
                let opened = self.element(&tag, &token.span)?;
                if let (Scope::Url(TextUrl::Base), level) = opened {
                    let end = token.span.end;
                    self.base(
                        level,
                        Reference {
                            text: "".into(),
                            span: end.saturating_sub(2)..end,
                            quote: Quote::None,
                            empty: Some(tag.name().into()),
                        },
                    )?;
                }
            }
            TokenKind::End => {
                let closed = self.open.pop();
                if self.open.is_empty() && self.scan.base_at.is_none() {
                    self.scan.base_at = Some(token.span.start);
                }
                if let Some((Scope::Url(url), level)) = closed {
                    self.text_url(url, level, token.span.start)?;
                }
            }
            TokenKind::Text(text) => {
                if let Some((Scope::Url(_), _)) = self.open.last() {
                    self.text.push_str(&text);
                    if !text.trim_ascii().is_empty() {
                        let start = token.span.start;
                        let span = self.text_span.get_or_insert(start..start);
                        span.end = token.span.end;
                    }
                }
            }
            TokenKind::Other => {}
        }
        Ok(())
    }

    /// Takes a start tag; gives what is opened.
    fn element(
        &mut self,
        tag: &Tag<'a>,
        span: &Range<usize>,
    ) -> Result<(Scope, usize), RewriteError> {
        let name = tag.local_name();
        let Some((parent, level)) = self.open.last().copied() else {
            return self.root(tag);
        };
        if parent == Scope::Mpd && name != "ProgramInformation" {
            self.scan.base_at.get_or_insert(span.start);
        }
        let scope = scope(parent, name);
        let level = match scope {
            Scope::Period | Scope::AdaptationSet | Scope::Representation => {
                self.open_level(scope, level)?
            }
            _ => level,
        };
        for attribute in tag.attributes() {
            self.attribute(scope, name, tag, &attribute, level)?;
        }
        Ok((scope, level))
    }

    fn root(&mut self, tag: &Tag<'a>) -> Result<(Scope, usize), RewriteError> {
        if tag.local_name() != "MPD" {
            let is_html = tag.name().eq_ignore_ascii_case("html");
            let found = if is_html { Found::Html } else { Found::Other };
            return Err(not_an_mpd(found));
        }
        if !self.scan.levels.is_empty() {
            return Ok((Scope::Other, 0));
        }
        let name = tag.name();
        let prefix_len = name.len() - local(name).len();
        self.scan.prefix = name.get(..prefix_len).unwrap_or_default();
        Ok((Scope::Mpd, self.open_level(Scope::Mpd, 0)?))
    }

    fn open_level(&mut self, scope: Scope, parent: usize) -> Result<usize, RewriteError> {
        if self.scan.levels.len() >= MAX_EDITS {
            return Err(RewriteError::TooLong);
        }
        self.scan.levels.push(Level {
            scope,
            parent,
            bases: Vec::new(),
            has_segments: false,
        });
        Ok(self.scan.levels.len() - 1)
    }

    fn attribute(
        &mut self,
        scope: Scope,
        element: &str,
        tag: &Tag<'a>,
        attribute: &Attribute<'a>,
        level: usize,
    ) -> Result<(), RewriteError> {
        let is_segments = self.is_in_segments(scope);
        let (kind, level) = match (element, attribute.name) {
            (_, "xlink:href") => (UrlKind::Remote, None),
            (_, name) if name.ends_with(":href") => (UrlKind::Remote, None),
            ("UTCTiming", "value") if is_http_clock(tag) => return self.clocks(attribute),
            ("ContentSteering", "proxyServerURL") => (UrlKind::Steering, None),
            (_, "licenseUrl") if self.licences == Licences::Map => (UrlKind::Licence, None),
            ("SegmentTemplate" | "SegmentURL", "media") if is_segments => {
                self.has_segments(level);
                (UrlKind::Segment, Some(level))
            }
            ("SegmentTemplate", "initialization") if is_segments => (UrlKind::Init, Some(level)),
            ("SegmentTemplate" | "SegmentURL", "index") if is_segments => {
                (UrlKind::Index, Some(level))
            }
            ("SegmentTemplate", "bitstreamSwitching") if is_segments => {
                (UrlKind::BitstreamSwitching, Some(level))
            }
            ("Initialization", "sourceURL") if is_segments => (UrlKind::Init, Some(level)),
            ("RepresentationIndex", "sourceURL") if is_segments => (UrlKind::Index, Some(level)),
            ("BitstreamSwitching", "sourceURL") if is_segments => {
                (UrlKind::BitstreamSwitching, Some(level))
            }
            _ => return Ok(()),
        };
        let text = attribute.text();
        let reference = Reference {
            text: text.trim_ascii().into(),
            span: attribute.value.clone(),
            quote: attribute.quote,
            empty: None,
        };
        self.push(reference, kind, level)
    }

    /// Whether an element says where segments are, or is in one that does.
    fn is_in_segments(&self, scope: Scope) -> bool {
        scope == Scope::Segments || matches!(self.open.last(), Some((Scope::Segments, _)))
    }

    fn has_segments(&mut self, level: usize) {
        if let Some(level) = self.scan.levels.get_mut(level) {
            level.has_segments = true;
        }
    }

    /// One or more URLs with blanks between them.
    fn clocks(&mut self, attribute: &Attribute<'a>) -> Result<(), RewriteError> {
        let mut at = attribute.value.start;
        for word in attribute.raw.split(u8::is_ascii_whitespace) {
            let span = at..at + word.len();
            at += word.len() + 1;
            let word = Attribute {
                raw: word,
                ..attribute.clone()
            };
            let reference = Reference {
                text: word.text().into(),
                span,
                quote: attribute.quote,
                empty: None,
            };
            self.push(reference, UrlKind::UtcTiming, None)?;
        }
        Ok(())
    }

    /// Takes an element whose text is a URL; `self.text` is that text, and its end tag begins at
    /// byte `end`.
    fn text_url(&mut self, url: TextUrl, level: usize, end: usize) -> Result<(), RewriteError> {
        let text: Box<str> = self.text.trim_ascii().into();
        let span = self.text_span.take();
        let span = span.unwrap_or(end..end);
        let reference = Reference {
            text,
            span,
            quote: Quote::None,
            empty: None,
        };
        match url {
            TextUrl::Base => self.base(level, reference),
            TextUrl::Document(UrlKind::Licence) if self.licences == Licences::Keep => Ok(()),
            TextUrl::Document(kind) => self.push(reference, kind, None),
        }
    }

    fn base(&mut self, level: usize, reference: Reference) -> Result<(), RewriteError> {
        self.base_count += 1;
        if self.base_count > MAX_EDITS {
            return Err(RewriteError::TooLong);
        }
        if let Some(level) = self.scan.levels.get_mut(level) {
            level.bases.push(reference);
        }
        Ok(())
    }

    fn push(
        &mut self,
        reference: Reference,
        kind: UrlKind,
        level: Option<usize>,
    ) -> Result<(), RewriteError> {
        if reference.text.is_empty() {
            return Ok(());
        }
        if self.scan.uses.len() >= MAX_EDITS {
            return Err(RewriteError::TooLong);
        }
        let found = Use {
            reference,
            kind,
            level,
        };
        self.scan.uses.push(found);
        Ok(())
    }
}

fn scope(parent: Scope, name: &str) -> Scope {
    match (parent, name) {
        (Scope::Mpd, "Period") => Scope::Period,
        (Scope::Period, "AdaptationSet" | "EmptyAdaptationSet") => Scope::AdaptationSet,
        (Scope::AdaptationSet, "Representation") => Scope::Representation,
        (
            Scope::Period | Scope::AdaptationSet | Scope::Representation,
            "SegmentBase" | "SegmentList" | "SegmentTemplate",
        ) => Scope::Segments,
        (Scope::Mpd | Scope::Period | Scope::AdaptationSet | Scope::Representation, "BaseURL") => {
            Scope::Url(TextUrl::Base)
        }
        (Scope::Mpd, "Location") => Scope::Url(TextUrl::Document(UrlKind::Mpd)),
        (Scope::Mpd, "PatchLocation") => Scope::Url(TextUrl::Document(UrlKind::Patch)),
        (Scope::Period, "ImportedMPD") => Scope::Url(TextUrl::Document(UrlKind::Mpd)),
        (_, "ContentSteering") => Scope::Url(TextUrl::Document(UrlKind::Steering)),
        (_, "Laurl" | "laurl" | "Authzurl" | "authzurl" | "Certurl" | "certurl") => {
            Scope::Url(TextUrl::Document(UrlKind::Licence))
        }
        _ => Scope::Other,
    }
}

fn is_http_clock(tag: &Tag<'_>) -> bool {
    let scheme = tag.value("schemeIdUri").unwrap_or_default();
    scheme.trim().starts_with("urn:mpeg:dash:utc:http-")
}

fn not_an_mpd(found: Found) -> RewriteError {
    RewriteError::NotAManifest { found }
}
