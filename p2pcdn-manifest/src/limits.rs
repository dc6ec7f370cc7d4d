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

/// Variants and renditions of one multivariant playlist: an order of magnitude above the largest
/// seen (every codec, quality and language of a film).
pub const MAX_TRACKS: usize = 1_024;

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

/// Duration of one segment: a third of a year; streams without an end that are written as one
/// segment declare up to a million seconds.
pub const MAX_SEGMENT_DURATION: Duration = Duration::from_secs(10_000_000);

/// Assumed target duration where a playlist gives none and has no segment: what RFC 8216
/// recommended for long (6 s).
pub const DEFAULT_TARGET_DURATION: Duration = Duration::from_secs(6);
