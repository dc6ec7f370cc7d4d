//! `EXT-X-START`: where to begin playing.

use std::time::Duration;

use super::{
    attributes::Attributes,
    lexer::Lexer,
    number::{self, Sign},
};
use crate::error::WarningKind;

/// `EXT-X-START`: where to begin playing (RFC 8216bis section 4.4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPoint {
    /// What `offset` counts from.
    pub origin: StartOrigin,
    /// `TIME-OFFSET` without its sign.
    pub offset: Duration,
    /// `PRECISE`: whether what comes before the point in its segment is not shown.
    pub is_precise: bool,
}

/// What the offset of a [`StartPoint`] counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOrigin {
    /// The start of the playlist; forwards.
    Start,
    /// The end of its last segment; backwards.
    End,
}

/// `None` where it says nothing of use.
pub(super) fn read(value: &str, lexer: &mut Lexer<'_>) -> Option<StartPoint> {
    let mut offset = None;
    let mut is_precise = false;
    for (name, value) in Attributes::new(value) {
        match name {
            "TIME-OFFSET" => offset = number::signed_seconds(value),
            "PRECISE" => is_precise = value == "YES",
            _ => {}
        }
    }
    let Some((sign, offset)) = offset else {
        lexer.warn(WarningKind::BadAttribute);
        return None;
    };
    Some(StartPoint {
        origin: match sign {
            Sign::Plus => StartOrigin::Start,
            Sign::Minus => StartOrigin::End,
        },
        offset,
        is_precise,
    })
}
