//! Every cap on what a manifest can make grow, each with its reason.

use std::time::Duration;

/// Bytes of one playlist: a day of 2 s segments with dates and tokens is 7 MB, and a body of this
/// size still parses within half a second on a slow core.
pub const MAX_TEXT_LEN: usize = 16 * 1024 * 1024;

/// Bytes of one line that matters: the longest URL that servers and proxies commonly accept. Also
/// the length of a line after variables are replaced.
pub const MAX_LINE_LEN: usize = 8 * 1024;

/// Segments of one playlist: four and a half days of 2 s segments.
pub const MAX_SEGMENTS: usize = 200_000;

/// Parts of one playlist: as many as segments, because some packagers list the parts of every one.
pub const MAX_PARTS: usize = MAX_SEGMENTS;

/// Preload hints of one playlist; the standard allows one of each of two types.
pub const MAX_PRELOAD_HINTS: usize = 16;

/// Date ranges of one playlist: a day with one every 8 s.
pub const MAX_DATE_RANGES: usize = 10_000;

/// Variants and renditions of one multivariant playlist: an order of magnitude above the largest
/// seen (every codec, quality and language of a film).
pub const MAX_TRACKS: usize = 1_024;

/// Entries of a multivariant playlist's session data, and rendition reports of a media playlist:
/// the latter has at most one for each track.
pub const MAX_REPORTS: usize = MAX_TRACKS;

/// Attributes read of one tag; the longest tag of RFC 8216bis has 20.
pub const MAX_ATTRIBUTES: usize = 64;

/// Keys in force at once for one segment, each of its own key format: three systems are common.
pub const MAX_KEYS_PER_SEGMENT: usize = 16;

/// Variables of one playlist: far above any seen.
pub const MAX_VARIABLES: usize = 256;

/// Bytes that variables and the resolution of relative URLs may produce for one playlist: four
/// times the longest text. Without it, short lines multiply a long variable or base URL.
pub const MAX_EXPANDED_LEN: usize = 4 * MAX_TEXT_LEN;

/// Warnings kept for one playlist: enough to see what is wrong, a fault that repeats on each line
/// aside.
pub const MAX_WARNINGS: usize = 64;

/// Key URLs remembered for one presentation, so that none of them is ever shared: as many as a
/// playlist can have segments. Beyond it nothing of the presentation is shared.
pub const MAX_KEY_URLS: usize = 200_000;

/// URLs of manifests, patches and clocks remembered with them, as a live MPD may name a new patch
/// each time: it names 1,000 in half an hour at least, and none of them is a segment's.
pub const MAX_CONTROL_URLS: usize = 1_024;

/// Duration of one segment: a third of a year; streams without an end that are written as one
/// segment declare up to a million seconds.
pub const MAX_SEGMENT_DURATION: Duration = Duration::from_secs(10_000_000);

/// Assumed target duration where a playlist gives none and has no segment: what RFC 8216
/// recommended for long (6 s).
pub const DEFAULT_TARGET_DURATION: Duration = Duration::from_secs(6);

/// Depth of nested XML elements: real MPDs stay under 15, with the events of other standards
/// inside.
pub const MAX_XML_DEPTH: usize = 128;

/// XML elements of one MPD, those that are passed over included: one for every 8 bytes of the
/// longest text would be a machine's doing; a day of 2 s segments written one by one in each of
/// ten representations has 432,000.
pub const MAX_XML_ELEMENTS: usize = 1_000_000;

/// Periods of one MPD: a day of advertisement breaks every minute, each a period between two.
pub const MAX_PERIODS: usize = 4_096;

/// Adaptation sets of one MPD, over all its periods.
pub const MAX_ADAPTATION_SETS: usize = 16_384;

/// Representations of one MPD, over all its periods: about 1 KiB is kept for each.
pub const MAX_REPRESENTATIONS: usize = 32_768;

/// `S` elements of one MPD, over all its timelines; 40 bytes are kept for each. A day of 2 s segments
/// written one by one in each of ten representations.
pub const MAX_TIMELINE_ENTRIES: usize = 500_000;

/// `BaseURL` elements at one level of an MPD: hosts to choose from; four are common.
pub const MAX_BASE_URLS: usize = 64;

/// Small repeated elements that are kept at one place of an MPD: descriptors, clocks, locations,
/// and the ids of sets that one can be switched with.
pub const MAX_DESCRIPTORS: usize = 256;

/// Zeros that a width in a template may ask for (`%0Nd`): a 64-bit number has 20 digits.
pub const MAX_TEMPLATE_WIDTH: usize = 32;

/// References of the segment indexes (`sidx`) of one resource: the count of each has 16 bits, and
/// indexes may nest.
pub const MAX_INDEX_ENTRIES: usize = 200_000;

/// How deep segment indexes may be nested: the DASH profiles allow two levels.
pub const MAX_INDEX_DEPTH: usize = 4;

/// Indexes of one resource that are loaded one after the other: one level below the first, each of
/// an hour, of the longest film.
pub const MAX_INDEX_LOADS: usize = 64;

/// Edits made in one manifest: five for each segment that a playlist may have (itself and its
/// parts).
pub const MAX_EDITS: usize = 1_000_000;

/// Bytes of a rewritten or patched manifest: four times the longest text, as relative references
/// grow when they become absolute.
pub const MAX_REWRITTEN_LEN: usize = 4 * MAX_TEXT_LEN;

/// Alternatives of one base URL when a manifest is rewritten: what several `BaseURL`s on several
/// levels of an MPD multiply to. Two to four are common.
pub const MAX_BASE_ALTERNATIVES: usize = 16;

/// Elements and pieces of text of an MPD and its patch together: a day of 2 s segments in five
/// tracks, each listed by itself. About 100 bytes each while a patch is applied.
pub const MAX_XML_NODES: usize = 1_000_000;

/// Predicates of one step of a selector: one is common.
pub const MAX_PREDICATES: usize = 8;

/// Work of one patch, in bytes of tags looked at, 16 at least for each: a hundred operations that
/// each search a day of 2 s segments are half of it. About a second on a slow core.
pub const MAX_PATCH_WORK: usize = 256 * 1024 * 1024;
