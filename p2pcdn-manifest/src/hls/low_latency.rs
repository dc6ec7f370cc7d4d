//! What a server tells players that want to be close behind live (RFC 8216bis sections 4.4.3.7,
//! 4.4.3.8, 4.4.5.3 and 4.4.5.4).

use std::{sync::Arc, time::Duration};

use super::{Resolved, Resolver, attributes::Attributes, lexer::Lexer, number, variables::Scope};
use crate::{
    error::{ParseError, WarningKind},
    limits::MAX_SEGMENT_DURATION,
};

/// `EXT-X-SERVER-CONTROL`: which requests the server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// `CAN-BLOCK-RELOAD`: it holds a request back until the segment or part asked for exists.
    pub can_block_reload: bool,
    /// `CAN-SKIP-UNTIL`: it leaves out segments that end at least this long before the end, if
    /// asked; `None` when it gives no delta updates.
    pub can_skip_until: Option<Duration>,
    /// `CAN-SKIP-DATERANGES`: it leaves out old date ranges too.
    pub can_skip_date_ranges: bool,
    /// `HOLD-BACK`: how far behind the end to play; `None` means three target durations.
    pub hold_back: Option<Duration>,
    /// `PART-HOLD-BACK`: the same for players that play parts; `None` when it has none.
    pub part_hold_back: Option<Duration>,
}

/// `EXT-X-PRELOAD-HINT`: what will be listed soon and can be asked for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// `TYPE`.
    pub kind: HintKind,
    /// `URI`.
    pub url: Arc<str>,
    /// `BYTERANGE-START`: the first byte; 0 where it is absent.
    pub start: u64,
    /// `BYTERANGE-LENGTH`: how many bytes; `None` for all that come.
    pub len: Option<u64>,
}

/// What a [`PreloadHint`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HintKind {
    /// `PART`: the next part.
    Part,
    /// `MAP`: the next init section.
    Map,
}

/// `EXT-X-RENDITION-REPORT`: how far another playlist of the presentation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionReport {
    /// `URI` of that playlist.
    pub url: Arc<str>,
    /// `LAST-MSN`: ordinal of its last segment, which may be listed in parts only.
    pub last_sequence: Option<u64>,
    /// `LAST-PART`: index of its last part within that segment; `None` without parts.
    pub last_part: Option<u64>,
}

/// The parts of a playlist's reader that these tags need.
pub(super) struct Tools<'r, 'a> {
    pub(super) lexer: &'r mut Lexer<'a>,
    pub(super) scope: &'r mut Scope<'a>,
    pub(super) resolver: &'r mut Resolver,
}

impl Tools<'_, '_> {
    /// Warns and gives `None` where it is not a URL.
    pub(super) fn resolve(&mut self, uri: &str) -> Result<Option<Resolved>, ParseError> {
        let uri = self.scope.expand(uri, self.lexer.number())?;
        let resolved = match &*uri {
            "" => None,
            uri => self.resolver.resolve(uri)?,
        };
        if resolved.is_none() {
            self.lexer.warn(WarningKind::BadUrl);
        }
        Ok(resolved)
    }
}

pub(super) fn server_control(value: &str, lexer: &mut Lexer<'_>) -> ServerControl {
    let mut control = ServerControl::default();
    for (name, value) in Attributes::new(value) {
        match name {
            "CAN-BLOCK-RELOAD" => control.can_block_reload = value == "YES",
            "CAN-SKIP-UNTIL" => control.can_skip_until = duration(value, lexer),
            "CAN-SKIP-DATERANGES" => control.can_skip_date_ranges = value == "YES",
            "HOLD-BACK" => control.hold_back = duration(value, lexer),
            "PART-HOLD-BACK" => control.part_hold_back = duration(value, lexer),
            _ => {}
        }
    }
    control
}

/// `EXT-X-PART-INF`.
pub(super) fn part_target(value: &str, lexer: &mut Lexer<'_>) -> Option<Duration> {
    let mut attributes = Attributes::new(value);
    let target = attributes.find_map(|(name, value)| (name == "PART-TARGET").then_some(value));
    duration(target.unwrap_or_default(), lexer).filter(|target| !target.is_zero())
}

pub(super) fn preload_hint(
    value: &str,
    mut tools: Tools<'_, '_>,
) -> Result<Option<PreloadHint>, ParseError> {
    let (mut kind, mut uri, mut start, mut len) = (None, "", Some(0), None);
    for (name, value) in Attributes::new(value) {
        match name {
            "TYPE" => kind = hint_kind(value),
            "URI" => uri = value,
            "BYTERANGE-START" => start = number::integer(value),
            "BYTERANGE-LENGTH" => {
                len = number::integer(value);
                start = start.filter(|_| len.is_some());
            }
            _ => {}
        }
    }
    // With a range that cannot be read, the wrong bytes would be asked for.
    let (Some(kind), Some(start)) = (kind, start) else {
        tools.lexer.warn(WarningKind::BadAttribute);
        return Ok(None);
    };
    let hint = tools.resolve(uri)?.map(|resolved| PreloadHint {
        kind,
        url: resolved.url,
        start,
        len,
    });
    Ok(hint)
}

fn hint_kind(value: &str) -> Option<HintKind> {
    match value {
        "PART" => Some(HintKind::Part),
        "MAP" => Some(HintKind::Map),
        _ => None,
    }
}

pub(super) fn rendition_report(
    value: &str,
    mut tools: Tools<'_, '_>,
) -> Result<Option<RenditionReport>, ParseError> {
    let (mut uri, mut last_sequence, mut last_part) = ("", None, None);
    for (name, value) in Attributes::new(value) {
        match name {
            "URI" => uri = value,
            "LAST-MSN" => last_sequence = number::integer(value),
            "LAST-PART" => last_part = number::integer(value),
            _ => {}
        }
    }
    let report = tools.resolve(uri)?.map(|resolved| RenditionReport {
        url: resolved.url,
        last_sequence,
        last_part,
    });
    Ok(report)
}

/// Warns and gives `None` where it is not a duration, or out of range.
pub(super) fn duration(value: &str, lexer: &mut Lexer<'_>) -> Option<Duration> {
    let duration = number::seconds(value).filter(|duration| *duration <= MAX_SEGMENT_DURATION);
    if duration.is_none() {
        lexer.warn(WarningKind::BadDuration);
    }
    duration
}

/// Warns where it is not a duration, or out of range: then zero, or the longest there may be.
pub(super) fn duration_or_zero(value: &str, lexer: &mut Lexer<'_>) -> Duration {
    let duration = number::seconds(value);
    if duration.is_none_or(|duration| duration > MAX_SEGMENT_DURATION) {
        lexer.warn(WarningKind::BadDuration);
    }
    duration.unwrap_or_default().min(MAX_SEGMENT_DURATION)
}
