//! Attribute lists of tags (RFC 8216bis section 4.2), read as players read them: line by line,
//! passing over what is malformed.

use crate::limits::MAX_ATTRIBUTES;

/// The attributes of one tag, in order: name, and value without its quotes. Of several with one
/// name the last counts, like in hls.js.
///
/// Up to [`MAX_ATTRIBUTES`] are read. One without `=` is passed over; a quote that is not closed
/// ends at the next comma.
#[derive(Clone)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            left: MAX_ATTRIBUTES,
        }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let end = memchr::memchr2(b'=', b',', self.rest.as_bytes())?;
            let (name, rest) = self.rest.split_at_checked(end)?;
            match rest.strip_prefix('=') {
                Some(rest) => {
                    let (value, rest) = split_value(rest);
                    self.rest = rest;
                    return Some((name.trim(), value));
                }
                None => self.rest = rest.get(1..)?,
            }
        }
    }
}

/// Splits off a value, and the comma behind it.
fn split_value(text: &str) -> (&str, &str) {
    let open = text.trim_start().strip_prefix('"');
    let quoted = open.and_then(|inside| split_at_byte(inside, b'"'));
    let (value, rest) = match (quoted, open) {
        (Some((value, rest)), _) => {
            let rest = split_at_byte(rest, b',').map_or("", |(_, rest)| rest);
            return (value, rest);
        }
        (None, Some(unclosed)) => split_at_byte(unclosed, b',').unwrap_or((unclosed, "")),
        (None, None) => split_at_byte(text, b',').unwrap_or((text, "")),
    };
    (value.trim(), rest)
}

/// What is before and what is behind an ASCII character.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(&str, &str)> {
        Attributes::new(text).collect()
    }

    #[test]
    fn quoted_values_may_hold_commas_and_equals_signs() {
        assert_eq!(
            pairs("BANDWIDTH=1,CODECS=\"a,b=c\", NAME = x ,E=\"\",F="),
            [
                ("BANDWIDTH", "1"),
                ("CODECS", "a,b=c"),
                ("NAME", "x"),
                ("E", ""),
                ("F", "")
            ]
        );
    }

    #[test]
    fn malformed_attributes_harm_only_themselves() {
        assert_eq!(pairs("FOO,URI=\"a\""), [("URI", "a")]);
        assert_eq!(pairs("URI=\"a\",FOO"), [("URI", "a")]);
        assert_eq!(pairs("URI=\"a,B=1"), [("URI", "a"), ("B", "1")]);
        assert_eq!(pairs("URI=\"a\"x,B=1"), [("URI", "a"), ("B", "1")]);
        assert_eq!(pairs(",,"), []);
    }

    #[test]
    fn attributes_past_the_cap_are_not_read() {
        let list = |count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("A{n}=1")).collect();
            pairs(&names.join(",")).len()
        };
        assert_eq!(list(MAX_ATTRIBUTES), MAX_ATTRIBUTES);
        assert_eq!(list(MAX_ATTRIBUTES + 1), MAX_ATTRIBUTES);
    }
}
