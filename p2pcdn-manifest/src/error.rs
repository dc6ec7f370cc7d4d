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
    /// There are more segments than [`MAX_SEGMENTS`](crate::MAX_SEGMENTS), more parts than
    /// [`MAX_PARTS`](crate::MAX_PARTS), more variants and
    /// renditions than [`MAX_TRACKS`](crate::MAX_TRACKS), or more variables than
    /// [`MAX_VARIABLES`](crate::MAX_VARIABLES).
    #[error("line {line}: too many entries")]
    TooMany {
        /// Number of the first line too many.
        line: u32,
    },
    /// It is a delta update, and what it leaves out is not known.
    #[error("a delta update that leaves out {skipped} segments, not all of them known")]
    UnusableDelta {
        /// How many segments it leaves out.
        skipped: u64,
    },
    /// It is a patch of an MPD that does not fit the one that is known.
    #[error("a patch that does not fit the MPD")]
    UnusablePatch,
    /// It is no segment index, or one that cannot be used.
    #[cfg(feature = "dash")]
    #[error(transparent)]
    Index(#[from] crate::dash::SidxError),
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
    /// Its root element is not `MPD`.
    #[error("not an MPD: {found}")]
    NotAnMpd {
        /// What it looks like instead.
        found: Found,
    },
    /// It is an MPD patch document, which changes an MPD and is none itself.
    #[error("an MPD patch document in place of an MPD")]
    UnexpectedPatch,
    /// It is an MPD without any period.
    #[error("an MPD without a period")]
    NoPeriod,
    /// It is not in UTF-8, the encoding that DASH asks for.
    #[error("not in UTF-8 but in UTF-16")]
    Utf16,
    /// The XML is broken, so that what follows cannot be understood.
    #[error("line {line}: broken XML")]
    BadXml {
        /// Line number, from 1.
        line: u32,
    },
    /// The text ends within an element.
    #[error("the manifest is cut off")]
    Truncated,
    /// XML elements are nested deeper than [`MAX_XML_DEPTH`](crate::MAX_XML_DEPTH).
    #[error("line {line}: nested too deeply")]
    TooDeep {
        /// Line number, from 1.
        line: u32,
    },
}

/// What a text looks like that is not the manifest asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Found {
    /// An HTML page, as servers send in place of an error status.
    #[error("an HTML page")]
    Html,
    /// A DASH manifest.
    #[error("a DASH manifest")]
    Dash,
    /// An HLS playlist.
    #[error("an HLS playlist")]
    Hls,
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
    /// There are more entries of a kind that nothing depends on than are kept; the rest is ignored.
    #[error("too many entries of this kind")]
    TooManyEntries,
    /// A tag that counts from the first segment stands behind it; it counts all the same.
    #[error("a tag in the wrong place")]
    Misplaced,
    /// A URL cannot be put in place of the one that is there; it is left as it was.
    #[error("a URL cannot be rewritten")]
    NotRewritten,
    /// A reference to the same resource at several base URLs is rewritten for the first of them.
    #[error("alternative base URLs are lost")]
    AlternativesLost,
    /// The playlist is a delta update; the segments that it leaves out are not known from it.
    #[error("a delta update")]
    DeltaUpdate,
    /// A number is out of the range that its place allows; it is repaired (a fraction cut off), or
    /// counts as absent.
    #[error("not a usable number")]
    BadNumber,
    /// A byte range cannot be read; the whole resource counts, or the index is unknown.
    #[error("not a usable byte range")]
    BadByteRange,
    /// A reference to an entity that XML does not predefine; it is kept as written.
    #[error("an unknown entity is not replaced")]
    UnknownEntity,
    /// The document has a type declaration, which is not read.
    #[error("a document type declaration is ignored")]
    DocType,
    /// Something follows the end of the document; it is ignored.
    #[error("text behind the end is ignored")]
    TrailingText,
    /// Some element is to be loaded from elsewhere (`xlink:href`), which is not supported: its
    /// own content counts, and without any it is left out.
    #[error("a remote element is not loaded")]
    XlinkUnsupported,
    /// Queries are to be added to segment URLs (`UrlQueryInfo`), which is not supported.
    #[error("query parameters are not added to URLs")]
    QueryInfoUnsupported,
    /// Where a period begins cannot be known; it counts as beginning at zero.
    #[error("a period without start")]
    NoPeriodStart,
    /// A live MPD does not say when it began; 1970 counts.
    #[error("no availability start time")]
    NoAvailabilityStart,
    /// A template has an identifier that nobody knows, or no closing `$`; it is kept as written.
    #[error("an unknown identifier in a template")]
    BadTemplate,
    /// An entry of a segment timeline begins before the one in front of it ends; it counts as
    /// written.
    #[error("a segment timeline goes back")]
    TimelineGoesBack,
    /// An entry of a segment timeline has no duration, or repeats without an end that could be
    /// known; it counts once.
    #[error("not a usable entry of a segment timeline")]
    BadTimelineEntry,
    /// Segments have no duration that would tell how many there are; there is one, or none.
    #[error("segments without duration")]
    NoSegmentDuration,
    /// A single resource has no index; it counts as one segment.
    #[error("no segment index")]
    NoIndexRange,
    /// There are more elements of a kind than are kept; the others are ignored.
    #[error("too many elements of a kind")]
    TooManyElements,
}
