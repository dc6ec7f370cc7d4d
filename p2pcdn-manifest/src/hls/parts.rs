//! Reads `EXT-X-PART` (RFC 8216bis section 4.4.4.9).

use std::collections::BTreeMap;

use p2pcdn_wire::ByteRange;

use super::{
    attributes::Attributes,
    low_latency::{Tools, duration_or_zero},
    media::ListedPart,
    number,
    variables::excerpt,
};
use crate::{
    error::{ParseError, WarningKind},
    limits::MAX_PARTS,
    reference::look,
};

/// The parts of a playlist that is being read.
#[derive(Default)]
pub(super) struct Parts {
    list: Vec<ListedPart>,
    /// Those of the segment to come.
    index: u32,
    /// Where the last part of each resource ends.
    ends: BTreeMap<Box<str>, u64>,
}

/// Where in a playlist a part is listed.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// How many segments are listed before it.
    pub(super) segment: u64,
    /// Which context of the table holds.
    pub(super) context: usize,
}

impl Parts {
    /// Takes a tag.
    pub(super) fn take(
        &mut self,
        value: &str,
        place: Place,
        tools: Tools<'_, '_>,
    ) -> Result<(), ParseError> {
        let line = tools.lexer.number();
        if self.list.len() >= MAX_PARTS {
            return Err(ParseError::TooMany { line });
        }
        let (mut uri, mut duration, mut range) = ("", "", None);
        let (mut is_independent, mut is_gap) = (false, false);
        for (name, value) in Attributes::new(value) {
            match name {
                "URI" => uri = value,
                "DURATION" => duration = value,
                "INDEPENDENT" => is_independent = value == "YES",
                "GAP" => is_gap = value == "YES",
                "BYTERANGE" if !value.is_empty() => range = Some(value),
                _ => {}
            }
        }
        // One without URL has its place all the same.
        let index = self.index;
        self.index = index.saturating_add(1);
        if uri.is_empty() {
            tools.lexer.warn(WarningKind::BadUrl);
            return Ok(());
        }
        let duration = duration_or_zero(duration, tools.lexer);
        let reference: Box<str> = tools.scope.expand(uri, line)?.into();
        let range = match range {
            None => None,
            Some(text) => Some(self.range(&tools.scope.expand(text, line)?, &reference, line)?),
        };
        if !tools.resolver.resolves(&reference, look(&reference)) && !is_gap {
            tools.lexer.warn(WarningKind::BadUrl);
        }
        self.list.push(ListedPart {
            sequence: place.segment,
            index,
            reference,
            range,
            duration,
            is_independent,
            is_gap,
            context: place.context,
        });
        Ok(())
    }

    /// Resolves a byte range. Without an offset it follows the last part of the same resource.
    fn range(&mut self, text: &str, reference: &str, line: u32) -> Result<ByteRange, ParseError> {
        let parsed = number::byte_range(text);
        let (len, offset) = parsed.ok_or_else(|| bad_range(line, text))?;
        let end = self.ends.get_mut(reference);
        let start = offset.or(end.as_deref().copied());
        let range = byte_range(start, len).ok_or_else(|| bad_range(line, text))?;
        match end {
            Some(end) => *end = range.end,
            None => {
                self.ends.insert(reference.into(), range.end);
            }
        }
        Ok(range)
    }

    /// The parts to come are of another segment.
    pub(super) fn end_segment(&mut self) {
        self.index = 0;
    }

    /// All of them, the first segment listed having the ordinal `first`.
    pub(super) fn into_vec(mut self, first: u64) -> Vec<ListedPart> {
        for part in &mut self.list {
            part.sequence = part.sequence.saturating_add(first);
        }
        self.list.shrink_to_fit();
        self.list
    }
}

/// `None` without a start, or beyond 64 bits.
pub(super) fn byte_range(start: Option<u64>, len: u64) -> Option<ByteRange> {
    let start = start?;
    Some(ByteRange::new(start, start.checked_add(len)?))
}

pub(super) fn bad_range(line: u32, value: &str) -> ParseError {
    ParseError::BadByteRange {
        line,
        value: excerpt(value),
    }
}
