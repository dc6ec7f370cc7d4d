//! `Range` requests as RFC 9110 section 14 reads them.

use std::ops::Range;

/// What a `Range` header asks of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything: no header, one that cannot be read, or several ranges, which a server may
    /// decline to assemble.
    Whole,
    /// These bytes, half-open and not empty.
    Part(Range<usize>),
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads a `Range` header's value against a representation of `len` bytes.
pub(super) fn read_range(value: Option<&str>, len: usize) -> Asked {
    value
        .and_then(|value| read(value, len))
        .unwrap_or(Asked::Whole)
}

/// `None` when the header is to be ignored.
fn read(value: &str, len: usize) -> Option<Asked> {
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    if first.is_empty() {
        let suffix_len = number(last)?.min(len);
        return Some(match suffix_len {
            0 => Asked::Unsatisfiable,
            _ => Asked::Part(len - suffix_len..len),
        });
    }
    let first = number(first)?;
    let end = match last {
        "" => len,
        last => match number(last)? {
            last if last < first => return None,
            last => last.saturating_add(1).min(len),
        },
    };
    Some(match first < len {
        true => Asked::Part(first..end),
        false => Asked::Unsatisfiable,
    })
}

/// Digits only: `parse` alone would take a sign. Too large a number stands for the largest.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_9110_are_read_as_written_there() {
        // Section 14.1.2, of a representation of 10,000 bytes.
        let read = |value| read_range(Some(value), 10_000);
        assert_eq!(read("bytes=0-499"), Asked::Part(0..500));
        assert_eq!(read("bytes=500-999"), Asked::Part(500..1000));
        assert_eq!(read("bytes=-500"), Asked::Part(9500..10_000));
        assert_eq!(read("bytes=9500-"), Asked::Part(9500..10_000));
    }

    #[test]
    fn ends_are_clamped_and_starts_are_not() {
        let read = |value| read_range(Some(value), 10);
        assert_eq!(read("bytes=9-20"), Asked::Part(9..10));
        assert_eq!(read("bytes=-99"), Asked::Part(0..10));
        assert_eq!(read("bytes=10-20"), Asked::Unsatisfiable);
        assert_eq!(read("bytes=-0"), Asked::Unsatisfiable);
        assert_eq!(read("bytes=0-99999999999999999999999"), Asked::Part(0..10));
        assert_eq!(
            read_range(Some("bytes=0-0"), 0),
            Asked::Unsatisfiable,
            "an empty representation has no byte to serve"
        );
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for value in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=0--1",
        ] {
            assert_eq!(read_range(Some(value), 10), Asked::Whole, "{value}");
        }
        assert_eq!(read_range(None, 10), Asked::Whole);
    }
}
