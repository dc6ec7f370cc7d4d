//! What can be wrong with a manifest: fatal ([`ParseError`]) or survivable ([`Warning`]).

use thiserror::Error;

/// Why a text is not used as a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There is no text.
    #[error("the manifest is empty")]
    Empty,
    /// It does not begin with `#EXTM3U`.
    #[error("not an HLS playlist: {found}")]
    NotAPlaylist {
        /// What it looks like instead.
        found: Found,
    },
    /// It has the first line of a playlist, and no tag that tells which kind.
    #[error("neither a multivariant nor a media playlist")]
    UnknownKind,
    /// It is a multivariant playlist, where one lists a media playlist.
    #[error("a multivariant playlist in place of a media playlist")]
    UnexpectedKind,
    /// It is longer than [`MAX_TEXT_LEN`](crate::MAX_TEXT_LEN), or its URLs and variables expand
    /// to more than [`MAX_EXPANDED_LEN`](crate::MAX_EXPANDED_LEN).
    #[error("the playlist is too long")]
    TooLong,
    /// A line that matters is longer than [`MAX_LINE_LEN`](crate::MAX_LINE_LEN).
    #[error("line {line} is too long")]
    LineTooLong {
        /// Its number, from 1.
        line: u32,
    },
    /// There are more segments than [`MAX_SEGMENTS`](crate::MAX_SEGMENTS), more variants and
    /// renditions than [`MAX_TRACKS`](crate::MAX_TRACKS), or more variables than
    /// [`MAX_VARIABLES`](crate::MAX_VARIABLES).
    #[error("line {line}: too many entries")]
    TooMany {
        /// Number of the first line too many.
        line: u32,
    },
    /// A number that orders segments cannot be read or is beyond 64 bits: going on would give
    /// segments wrong names.
    #[error("line {line}: {value:?} is not a usable number")]
    BadNumber {
        /// Line number, from 1.
        line: u32,
        /// What stands there, its first bytes.
        value: String,
    },
    /// A byte range cannot be read, or has no offset and nothing to follow: going on would fetch
    /// the wrong bytes.
    #[error("line {line}: byte range {value:?} cannot be resolved")]
    BadByteRange {
        /// Line number, from 1.
        line: u32,
        /// What stands there, its first bytes.
        value: String,
    },
    /// A URL uses a variable that is not defined, or a definition imports one that does not exist.
    #[error("line {line}: variable {name:?} is not defined")]
    UndefinedVariable {
        /// Line number, from 1.
        line: u32,
        /// The variable, its first bytes.
        name: String,
    },
}

/// What a text looks like that is no playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Found {
    /// An HTML page, as servers send in place of an error status.
    #[error("an HTML page")]
    Html,
    /// A DASH manifest.
    #[error("a DASH manifest")]
    Dash,
    /// Anything else.
    #[error("unknown text")]
    Other,
}

/// Something wrong with a manifest that can be lived with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct Warning {
    /// Line number, from 1; 0 for the text as a whole.
    pub line: u32,
    /// What is wrong.
    pub kind: WarningKind,
}

/// What is wrong with a manifest, and what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
#[non_exhaustive]
pub enum WarningKind {
    /// Some bytes are not UTF-8; they are replaced.
    #[error("not UTF-8")]
    NotUtf8,
    /// A long line of no importance is passed over.
    #[error("a long line is ignored")]
    LongLine,
    /// A URL stands where none belongs; it is ignored.
    #[error("a URL without its tag is ignored")]
    StrayUrl,
    /// A tag that needs a URL on the next line has none; it is ignored.
    #[error("a tag without its URL is ignored")]
    MissingUrl,
    /// A URL cannot be resolved; what it belongs to is ignored or never shared.
    #[error("a URL cannot be resolved")]
    BadUrl,
    /// A duration cannot be read or is out of range; it counts as zero, or is cut.
    #[error("not a usable duration")]
    BadDuration,
    /// There is no target duration; the longest segment gives it.
    #[error("no target duration")]
    NoTargetDuration,
    /// An attribute cannot be read; it counts as absent.
    #[error("not a usable attribute")]
    BadAttribute,
    /// A date cannot be read; it counts as absent.
    #[error("not a usable date")]
    BadDate,
    /// A key has no URL; the segment counts as encrypted all the same.
    #[error("a key without URL")]
    KeyWithoutUrl,
    /// More keys are in force than are kept; their URLs are never shared all the same.
    #[error("too many keys at once")]
    TooManyKeys,
    /// The playlist is a delta update; the segments that it leaves out are not known from it.
    #[error("a delta update")]
    DeltaUpdate,
}
