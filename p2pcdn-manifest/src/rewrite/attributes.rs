//! Places of attributes in the text of a tag (RFC 8216bis section 4.2), found as players find
//! them: within the line, passing over what is malformed.

use std::ops::Range;

/// An attribute and where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a [u8],
    /// Without quotes and blanks.
    pub(super) value: &'a [u8],
    /// Where the name begins in the text, blanks included.
    pub(super) at: usize,
    /// Place of the value in the text, its quotes included.
    pub(super) span: Range<usize>,
}

/// The attributes of one tag, in order. An attribute without `=` is passed over; a quote that is
/// not closed ends at the next comma.
pub(super) struct Attributes<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn position_of(&self, from: usize, wanted: &[u8]) -> Option<usize> {
        let rest = self.text.get(from..)?;
        let at = rest.iter().position(|b| wanted.contains(b))?;
        Some(from + at)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let text = self.text;
        loop {
            let end = self.position_of(self.at, b"=,")?;
            let at = self.at;
            let name = text.get(at..end)?.trim_ascii();
            if text.get(end) == Some(&b',') {
                self.at = end + 1;
                continue;
            }
            let rest = text.get(end + 1..)?;
            let start = end + 1 + (rest.len() - rest.trim_ascii_start().len());
            let is_quoted = text.get(start) == Some(&b'"');
            let closing = is_quoted
                .then(|| self.position_of(start + 1, b"\""))
                .flatten();
            let (value, span, from) = if let Some(closing) = closing {
                let value = text.get(start + 1..closing)?;
                (value, start..closing + 1, closing + 1)
            } else {
                let inside = start + usize::from(is_quoted);
                let comma = self.position_of(inside, b",").unwrap_or(text.len());
                let value = text.get(inside..comma)?.trim_ascii();
                let span =
                    start.min(comma)..inside + text.get(inside..comma)?.trim_ascii_end().len();
                (value, span, comma)
            };
            self.at = self
                .position_of(from, b",")
                .map_or(text.len(), |comma| comma + 1);
            return Some(Attribute {
                name,
                value,
                at,
                span,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String, String)> {
        let own = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Attributes::new(text.as_bytes())
            .map(|a| {
                let written = text.get(a.span.clone()).unwrap().to_owned();
                (own(a.name), own(a.value), written)
            })
            .collect()
    }

    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v, w)| ((*n).to_owned(), (*v).to_owned(), (*w).to_owned()))
            .collect();
        assert_eq!(values(text), expected, "{text}");
    }

    #[test]
    fn values_are_found_with_their_quotes() {
        check(
            "A=1, URI = \"a,b=c\" ,E=\"\",F=,G= x ",
            &[
                ("A", "1", "1"),
                ("URI", "a,b=c", "\"a,b=c\""),
                ("E", "", "\"\""),
                ("F", "", ""),
                ("G", "x", "x"),
            ],
        );
    }

    #[test]
    fn malformed_attributes_harm_only_themselves() {
        check("FOO,URI=\"a\"", &[("URI", "a", "\"a\"")]);
        check("URI=\"a\"x,B=1", &[("URI", "a", "\"a\""), ("B", "1", "1")]);
        check("URI=\"a ,B=1", &[("URI", "a", "\"a"), ("B", "1", "1")]);
        check("URI=\"a", &[("URI", "a", "\"a")]);
        check("URI=\"", &[("URI", "", "\"")]);
        check("URI= ", &[("URI", "", "")]);
        check(",,=,", &[("", "", "")]);
    }

    #[test]
    fn a_value_never_crosses_the_next_attribute() {
        check("URI= ,B=1", &[("URI", "", ""), ("B", "1", "1")]);
    }
}
