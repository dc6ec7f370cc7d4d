//! Rewriting: the text of a manifest with other URLs in it, every other byte as it was.

#[cfg(feature = "hls")]
mod attributes;
#[cfg(feature = "dash")]
mod dash;
mod directives;
mod edits;
#[cfg(feature = "hls")]
mod hls;
mod url_map;

pub use directives::{split_directives, with_directives};

use thiserror::Error;

use crate::{
    error::{Found, Warning, WarningKind},
    limits::{MAX_TEXT_LEN, MAX_WARNINGS},
    resolve::{Resolve, resolve},
};

/// How a manifest is rewritten.
#[derive(Clone, Debug)]
pub struct RewriteOptions {
    /// Where the rewritten manifest is served. Default: [`Place::Moved`].
    pub place: Place,
    /// Whether the map is asked about licence servers of MPDs. Default: [`Licences::Keep`], since
    /// licence requests carry what only the viewer and the licence server should see.
    pub licences: Licences,
    /// What an HLS media playlist may import: [`Rewritten::variables`] of its multivariant
    /// playlist. Default: nothing.
    pub variables: Vec<(String, String)>,
    /// How relative URLs are resolved. Default: [`resolve()`].
    pub resolve: Resolve,
}

impl Default for RewriteOptions {
    fn default() -> Self {
        Self {
            place: Place::Moved,
            licences: Licences::Keep,
            variables: Vec::new(),
            resolve,
        }
    }
}

/// Where a rewritten manifest is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the URL that it came from: relative URLs keep their meaning.
    Same,
    /// Anywhere else: every relative URL becomes absolute, in an MPD by way of a base URL.
    Moved,
}

/// Whether the map is asked about licence servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Licences {
    /// No: players go to the licence server themselves.
    Keep,
    /// Yes.
    Map,
}

/// A URL in a manifest, as the map sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlUse<'a> {
    /// The absolute URL, `http` or `https` (nothing else is asked about), variables replaced. The
    /// templates of an MPD have their identifiers (`$Number$`, ...) in it, and so must the answer.
    pub url: &'a str,
    /// What is there.
    pub kind: UrlKind,
}

/// What is at a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UrlKind {
    /// HLS: the playlist of a variant or rendition. Players add delivery directives to the answer,
    /// see [`split_directives`].
    MediaPlaylist,
    /// HLS: another rendition's playlist in `EXT-X-RENDITION-REPORT`. The answer ought to be that
    /// for the playlist itself.
    RenditionReport,
    /// HLS: an image playlist (`EXT-X-IMAGE-STREAM-INF`).
    ImagePlaylist,
    /// A media segment, or in an MPD the template of many.
    Segment,
    /// HLS: a part of a segment.
    Part,
    /// HLS: a part or init segment to come.
    PreloadHint,
    /// An init segment, or in an MPD the template of many.
    Init,
    /// DASH: a segment index in a resource of its own.
    Index,
    /// DASH: a bitstream switching segment.
    BitstreamSwitching,
    /// DASH: a resource that is a whole representation, read by byte ranges.
    Representation,
    /// DASH: what other URLs are relative to. The answer speaks for all that is below it, see
    /// [`rewrite`].
    BaseUrl,
    /// HLS: a key.
    Key,
    /// HLS: `EXT-X-SESSION-DATA`.
    SessionData,
    /// A steering manifest. Players add directives to the answer.
    Steering,
    /// HLS: an interstitial (`X-ASSET-URI`).
    Interstitial,
    /// HLS: a list of interstitials (`X-ASSET-LIST`).
    InterstitialList,
    /// DASH: where the MPD is to be loaded from next, or another MPD that it takes in.
    Mpd,
    /// DASH: a Patch document.
    Patch,
    /// DASH: a piece of the MPD (`xlink:href`).
    Remote,
    /// DASH: a clock.
    UtcTiming,
    /// DASH: a licence server; see [`RewriteOptions::licences`].
    Licence,
}

/// A rewritten manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The text.
    pub text: Vec<u8>,
    /// How many places differ from the original.
    pub edit_count: usize,
    /// HLS: the variables that the playlist defines, for [`RewriteOptions::variables`].
    pub variables: Vec<(String, String)>,
    /// What could not be done as asked, the first [`MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
}

/// Why a text is not rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// It is neither a playlist nor an MPD, or of a format whose feature is off.
    #[error("not a manifest: {found}")]
    NotAManifest {
        /// What it looks like instead.
        found: Found,
    },
    /// An MPD is not well-formed.
    #[error("not well-formed at byte {at}")]
    Malformed {
        /// Offset of the offending token.
        at: usize,
    },
    /// The text is longer than [`MAX_TEXT_LEN`], needs more than
    /// [`MAX_EDITS`](crate::MAX_EDITS), or becomes longer than
    /// [`MAX_REWRITTEN_LEN`](crate::MAX_REWRITTEN_LEN), or its URLs expand to more than
    /// [`MAX_EXPANDED_LEN`](crate::MAX_EXPANDED_LEN).
    #[error("the manifest is too long")]
    TooLong,
}

/// Puts other URLs into a manifest that was fetched from `url` (after redirects): a local proxy
/// hands players the manifest with URLs that point at itself.
///
/// `map` sees each URL, absolute, and says what to put in its place, or `None` to have it mean
/// what it meant. Only spans of the text that hold URLs change; line ends, comments, unknown tags
/// and elements, the order of attributes and bytes that are not UTF-8 stay. The answers are
/// absolute URLs; they are escaped as the place asks.
///
/// # HLS
///
/// Every URL line and every attribute that holds a URL is put to the map, with its variables
/// replaced. When the manifest moves, `EXT-X-DEFINE:QUERYPARAM` becomes a definition by value, as
/// its query does not move along, and what the map leaves is written out absolute if it was
/// relative or held a variable.
///
/// # DASH
///
/// The map is asked about every base URL first, as [`UrlKind::BaseUrl`]; an MPD without one of its
/// own that moves gets one, and the map is asked about the folder of the MPD. Where it gives an
/// answer, that speaks for everything below: references that only lead downwards (`a/$Number$.m4s`)
/// are neither asked about nor changed, and resolve below the answer. References that do not
/// (`/a`, `../a`, `//host/a`, absolute ones) are asked about each on their own, as are all below
/// base URLs without an answer. So a player that resolves the rewritten MPD asks exactly for
/// `map(url)` where the map was asked and answered, for the same path below the mapped base where a
/// base URL speaks, and for the original URL otherwise.
///
/// A reference below several alternative base URLs that has to change keeps the first only; one
/// that several representations resolve to different URLs, and one change cannot suit them all, is
/// left, each with a [`Warning`].
///
/// Patch documents are not rewritten: they change the MPD as it was before. A proxy patches its
/// copy with [`apply_patch`](crate::apply_patch) and hands out whole MPDs.
///
/// # Errors
///
/// When the text is no manifest or exceeds a limit.
///
/// ```
/// use p2pcdn_manifest::{RewriteOptions, rewrite};
///
/// let text = b"#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\n1.ts\n";
/// let url = "https://cdn.example/live.m3u8";
/// let mut map = |of: &p2pcdn_manifest::UrlUse<'_>| {
///     let path = of.url.strip_prefix("https://cdn.example")?;
///     path.ends_with(".ts").then(|| format!("http://127.0.0.1:8080{path}"))
/// };
/// let rewritten = rewrite(text, url, &RewriteOptions::default(), &mut map)?;
/// assert_eq!(
///     String::from_utf8_lossy(&rewritten.text),
///     "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://cdn.example/k\"\n#EXTINF:2,\n\
///      http://127.0.0.1:8080/1.ts\n"
/// );
/// # Ok::<(), p2pcdn_manifest::RewriteError>(())
/// ```
pub fn rewrite(
    text: &[u8],
    url: &str,
    options: &RewriteOptions,
    map: &mut dyn FnMut(&UrlUse<'_>) -> Option<String>,
) -> Result<Rewritten, RewriteError> {
    if text.len() > MAX_TEXT_LEN {
        return Err(RewriteError::TooLong);
    }
    let body = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let body = body.trim_ascii_start();
    let map = url_map::UrlMap::new(map);
    #[cfg(feature = "hls")]
    if is_playlist(body) {
        return hls::rewrite(text, url, options, map);
    }
    #[cfg(feature = "dash")]
    if body.starts_with(b"<") {
        return dash::rewrite(text, url, options, map);
    }
    Err(RewriteError::NotAManifest { found: found(body) })
}

fn is_playlist(body: &[u8]) -> bool {
    let after = body.strip_prefix(b"#EXTM3U").map(<[u8]>::first);
    matches!(after, Some(None | Some(b'\r' | b'\n' | b' ' | b'\t')))
}

fn found(body: &[u8]) -> Found {
    let head = body.get(..body.len().min(1024)).unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if head.contains("<mpd") {
        Found::Dash
    } else if head.starts_with("<!doctype html") || head.contains("<html") {
        Found::Html
    } else {
        Found::Other
    }
}

/// The first warnings, by the byte that they are about.
#[derive(Default)]
struct Warnings(Vec<(usize, WarningKind)>);

impl Warnings {
    fn push(&mut self, at: usize, kind: WarningKind) {
        if self.0.len() < MAX_WARNINGS {
            self.0.push((at, kind));
        }
    }

    /// With line numbers.
    fn into_vec(mut self, text: &[u8]) -> Vec<Warning> {
        self.0.sort_unstable();
        let mut line = 1_u32;
        let mut counted = 0;
        let numbered = self.0.into_iter().map(|(at, kind)| {
            let between = text.get(counted..at).unwrap_or_default();
            let ends = between.iter().filter(|b| **b == b'\n').count();
            line = line.saturating_add(u32::try_from(ends).unwrap_or(u32::MAX));
            counted = at;
            Warning { line, kind }
        });
        numbered.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_capped_and_numbered_by_line() {
        let mut warnings = Warnings::default();
        warnings.push(5, WarningKind::BadUrl);
        warnings.push(0, WarningKind::NotUtf8);
        warnings.push(5, WarningKind::NotRewritten);
        let lines: Vec<u32> = warnings
            .into_vec(b"a\n\nb\nc")
            .into_iter()
            .map(|warning| warning.line)
            .collect();
        assert_eq!(lines, [1, 4, 4]);
        let mut warnings = Warnings::default();
        for at in 0..=MAX_WARNINGS {
            warnings.push(at, WarningKind::BadUrl);
        }
        assert_eq!(warnings.into_vec(b"").len(), MAX_WARNINGS);
    }

    #[test]
    fn other_texts_are_told_apart() {
        let mut map = |_: &UrlUse<'_>| None;
        let mut error = |text: &[u8]| {
            let result = rewrite(text, "https://h/", &RewriteOptions::default(), &mut map);
            result.unwrap_err()
        };
        let not = |found| RewriteError::NotAManifest { found };
        assert_eq!(error(b""), not(Found::Other));
        assert_eq!(error(b"<html><body></body></html>"), not(Found::Html));
        assert_eq!(error(b"<Patch/>"), not(Found::Other));
        assert_eq!(error(b"#EXTM3U8\n"), not(Found::Other));
        assert_eq!(error(&vec![b' '; MAX_TEXT_LEN + 1]), RewriteError::TooLong);
    }
}
