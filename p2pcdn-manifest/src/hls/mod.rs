//! HLS playlists (RFC 8216bis) as typed values, nothing of ours added yet.

mod attributes;
mod keys;
mod lexer;
mod media;
mod multivariant;
mod number;
mod variables;

pub use media::{InitSection, MediaPlaylist, MediaSegment};
pub use multivariant::{Multivariant, Rendition, RenditionKind, Variant, VariantKind};
pub(crate) use variables::Variables;

use std::{borrow::Cow, sync::Arc};

use lexer::{Lexer, Line};

use crate::{
    error::{ParseError, Warning, WarningKind},
    limits::{MAX_EXPANDED_LEN, MAX_WARNINGS},
    resolve::{Base, Resolve, resolve},
};

/// A playlist as written, with its URLs resolved and its variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// The tracks of a presentation.
    Multivariant(Multivariant),
    /// The segments of a track.
    Media(MediaPlaylist),
}

/// Reads a playlist that was fetched from `url` (after redirects).
///
/// As forgiving as players are: what can be lived with becomes a [`Warning`](crate::Warning).
/// Variables that a media playlist imports from its multivariant playlist are not known here; the
/// [`Refresh`](crate::Refresh) machine knows them.
///
/// # Errors
///
/// When the text is no playlist, exceeds a limit, or going on would fetch the wrong bytes or give
/// segments wrong names.
pub fn parse(text: &[u8], url: &str) -> Result<Manifest, ParseError> {
    Source {
        url,
        first_url: url,
        resolve,
        variables: &Variables::default(),
    }
    .parse(text)
}

/// Where a playlist came from.
pub(crate) struct Source<'a> {
    /// Its URL after redirects: what its own URLs are relative to.
    pub(crate) url: &'a str,
    /// The URL that was asked for: what the names of its segments are relative to.
    pub(crate) first_url: &'a str,
    pub(crate) resolve: Resolve,
    /// The variables of the multivariant playlist.
    pub(crate) variables: &'a Variables,
}

impl Source<'_> {
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<Manifest, ParseError> {
        let text = lexer::text(bytes)?;
        let mut manifest = match kind(&text)? {
            Kind::Multivariant => Manifest::Multivariant(multivariant::parse(&text, self)?),
            Kind::Media => Manifest::Media(media::parse(&text, self)?),
        };
        if let Cow::Owned(_) = text {
            let warnings = match &mut manifest {
                Manifest::Multivariant(multivariant) => &mut multivariant.warnings,
                Manifest::Media(media) => &mut media.warnings,
            };
            let kind = WarningKind::NotUtf8;
            warnings.insert(0, Warning { line: 0, kind });
            warnings.truncate(MAX_WARNINGS);
        }
        Ok(manifest)
    }
}

enum Kind {
    Multivariant,
    Media,
}

/// Like players, takes a playlist for a media playlist if it has a segment or a target duration,
/// whatever else is in it.
fn kind(text: &str) -> Result<Kind, ParseError> {
    let mut lexer = Lexer::new(text);
    let mut kind = None;
    while let Some(line) = lexer.next_line()? {
        let Line::Tag { name, .. } = line else {
            continue;
        };
        match name {
            "INF" | "-X-TARGETDURATION" => return Ok(Kind::Media),
            "-X-STREAM-INF"
            | "-X-I-FRAME-STREAM-INF"
            | "-X-MEDIA"
            | "-X-SESSION-DATA"
            | "-X-SESSION-KEY"
            | "-X-CONTENT-STEERING" => {
                kind = Some(Kind::Multivariant);
            }
            "-X-MEDIA-SEQUENCE" | "-X-ENDLIST" | "-X-PLAYLIST-TYPE" if kind.is_none() => {
                kind = Some(Kind::Media);
            }
            _ => {}
        }
    }
    kind.ok_or(ParseError::UnknownKind)
}

/// Resolves the URLs of one playlist: for fetching, and for names.
struct Resolver {
    fetched: Base,
    /// `None` when it is the same.
    first: Option<Base>,
    budget: usize,
}

/// A resolved URL.
#[derive(Clone)]
struct Resolved {
    url: Arc<str>,
    /// As it would be without redirects.
    first_url: Arc<str>,
}

impl Resolver {
    fn new(source: &Source<'_>) -> Self {
        let fetched = Base::new(source.url, source.resolve);
        let first = Base::new(source.first_url, source.resolve);
        let first = (first.as_str() != fetched.as_str()).then_some(first);
        Self {
            fetched,
            first,
            budget: MAX_EXPANDED_LEN,
        }
    }

    /// `None` when it is not a URL.
    fn resolve(&mut self, reference: &str) -> Result<Option<Resolved>, ParseError> {
        let Some(url) = self.fetched.join(reference) else {
            return Ok(None);
        };
        let first_url = match &self.first {
            None => url.clone(),
            // The longer of the two may pass the cap where the shorter does not.
            Some(first) => first.join(reference).unwrap_or_else(|| url.clone()),
        };
        let len = url.len().max(first_url.len());
        self.budget = self.budget.checked_sub(len).ok_or(ParseError::TooLong)?;
        Ok(Some(Resolved { url, first_url }))
    }
}
