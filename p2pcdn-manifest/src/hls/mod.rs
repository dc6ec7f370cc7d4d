//! HLS playlists (RFC 8216bis) as typed values, nothing of ours added yet.

mod attributes;
mod date_range;
mod delta;
mod keys;
mod lexer;
mod low_latency;
mod media;
mod multivariant;
mod number;
mod parts;
mod reader;
mod start;
mod tracks;
mod variables;

pub use date_range::DateRange;
pub use low_latency::{HintKind, PreloadHint, RenditionReport, ServerControl};
pub(crate) use media::ListedPart;
pub use media::{InitSection, MediaPart, MediaPlaylist, MediaSegment, MediaSegments, PlaylistType};
pub use multivariant::{
    ContentSteering, Multivariant, Rendition, RenditionKind, SessionData, SessionDataValue,
    Variant, VariantKind,
};
pub(crate) use number::seconds;
pub use start::{StartOrigin, StartPoint};
pub(crate) use variables::{Scope, Variables};

use std::{borrow::Cow, sync::Arc};

use lexer::{Lexer, Line};

use crate::{
    error::{ParseError, Warning, WarningKind},
    limits::{MAX_EXPANDED_LEN, MAX_LINE_LEN, MAX_WARNINGS},
    listed::Listed,
    reference::{Look, PATH, are_all},
    resolve::{Base, Resolve, resolve},
    table::Bases,
};

/// A playlist as written, with its URLs resolved and its variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is taken apart at once"
)]
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
        before: None,
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
    /// The list of before, which a delta update goes on from.
    pub(crate) before: Option<&'a Listed>,
}

impl Source<'_> {
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<Manifest, ParseError> {
        let text = lexer::text(bytes)?;
        let mut manifest = match kind(&text)? {
            Kind::Multivariant => Manifest::Multivariant(tracks::parse(&text, self)?),
            Kind::Media => Manifest::Media(reader::parse(&text, self)?),
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
            "-X-MEDIA-SEQUENCE" | "-X-ENDLIST" | "-X-PLAYLIST-TYPE" | "-X-SKIP" | "-X-PART"
            | "-X-PART-INF" | "-X-PRELOAD-HINT" | "-X-SERVER-CONTROL"
                if kind.is_none() =>
            {
                kind = Some(Kind::Media);
            }
            _ => {}
        }
    }
    kind.ok_or(ParseError::UnknownKind)
}

/// Resolves the URLs of one playlist: for fetching, and for names.
struct Resolver {
    bases: Bases,
    budget: usize,
    /// Of the last reference that had to be resolved to see whether it can be: its directory, and
    /// the length of that when resolved.
    directory: (String, usize),
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
            bases: Bases { fetched, first },
            budget: MAX_EXPANDED_LEN,
            directory: (String::new(), 0),
        }
    }

    /// `None` when it is not a URL.
    fn resolve(&mut self, reference: &str) -> Result<Option<Resolved>, ParseError> {
        let Some(url) = self.bases.fetched.join(reference) else {
            return Ok(None);
        };
        let first_url = match &self.bases.first {
            None => url.clone(),
            // The longer of the two may pass the cap where the shorter does not.
            Some(first) => first.join(reference).unwrap_or_else(|| url.clone()),
        };
        let len = url.len().max(first_url.len());
        self.spend(len)?;
        Ok(Some(Resolved { url, first_url }))
    }

    /// Counts bytes that a short text was made into.
    fn spend(&mut self, len: usize) -> Result<(), ParseError> {
        self.budget = self.budget.checked_sub(len).ok_or(ParseError::TooLong)?;
        Ok(())
    }

    /// Whether the reference is a URL that [`Base::join`] will resolve. Asks once for all of a
    /// directory: in a long list, to resolve each absolute URL costs more than all else.
    fn resolves(&mut self, reference: &str, look: Look) -> bool {
        let rest_len = reference.len().saturating_sub(look.dir_len);
        if look.is_plain
            && let Some(base_len) = self.bases.fetched.dir_len()
        {
            return base_len.saturating_add(reference.len()) <= MAX_LINE_LEN;
        }
        let (directory, resolved_len) = &mut self.directory;
        let own = reference.get(..look.dir_len).unwrap_or_default();
        let is_told = look.is_rest_plain && rest_len > 0 && is_directory(own);
        if is_told && *directory == own {
            return resolved_len.saturating_add(rest_len) <= MAX_LINE_LEN;
        }
        let Some(url) = self.bases.fetched.join(reference) else {
            return false;
        };
        if is_told && let Some(len) = url.len().checked_sub(rest_len) {
            own.clone_into(directory);
            *resolved_len = len;
        }
        true
    }
}

/// Whether this is the directory of whatever stands behind it, and not the start of a host, say.
fn is_directory(text: &str) -> bool {
    let http = text.strip_prefix("https://");
    let rest = match http.or_else(|| text.strip_prefix("http://")) {
        Some(rest) => rest.split_once('/').filter(|(host, _)| !host.is_empty()),
        None => Some(("", text)).filter(|_| !text.is_empty() && !text.starts_with("//")),
    };
    rest.is_some_and(|(_, path)| are_all(path.as_bytes(), PATH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::look;

    #[cfg(feature = "url")]
    #[test]
    fn a_directory_is_asked_about_once_and_only_where_that_is_sound() {
        for text in [
            "../a/",
            "/a/b/",
            "/",
            "http://h/",
            "https://h.example:8080/a/../b/",
        ] {
            assert!(is_directory(text), "{text}");
        }
        for text in [
            "", "//", "//h/", "http:/", "http://", "skd://h/", "a:b/", "\\/", "/\t/", "a b/", "é/",
        ] {
            assert!(!is_directory(text), "{text}");
        }
        let variables = Variables::default();
        let url = "https://cdn.example/a/list.m3u8";
        let mut resolver = Resolver::new(&Source {
            url,
            first_url: url,
            resolve,
            variables: &variables,
            before: None,
        });
        let longest = "x".repeat(MAX_LINE_LEN - "https://h/".len());
        let too_long = format!("{longest}x");
        for rest in ["1.ts", "2.ts", &longest, &too_long, "3.ts"] {
            for directory in [
                "",
                "/",
                "../",
                "http://h/",
                "https://h/",
                "http://h:99999/",
                "//",
            ] {
                let reference = format!("{directory}{rest}");
                let expected = resolver.bases.fetched.join(&reference).is_some();
                let told = resolver.resolves(&reference, look(&reference));
                assert_eq!(told, expected, "{directory} {}", rest.len());
                // Once more, from memory.
                assert_eq!(resolver.resolves(&reference, look(&reference)), expected);
            }
        }
    }
}
