//! Attribute lists of tags (RFC 8216bis section 4.2), read as players read them: line by line,
//! passing over what is malformed.

use crate::limits::MAX_ATTRIBUTES;

/// The attributes of one tag, in order.
pub(super) struct Attributes<'a>(Vec<Attribute<'a>>);

struct Attribute<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Attributes<'a> {
    /// Reads up to [`MAX_ATTRIBUTES`]. An attribute without `=` is passed over; a quote that is
    /// not closed ends at the next comma.
    pub(super) fn new(mut text: &'a str) -> Self {
        let mut attributes = Vec::new();
        while !text.is_empty() && attributes.len() < MAX_ATTRIBUTES {
            let Some(end) = text.find(['=', ',']) else {
                break;
            };
            let (name, rest) = text.split_at(end);
            if let Some(rest) = rest.strip_prefix('=') {
                let value;
                (value, text) = split_value(rest);
                attributes.push(Attribute {
                    name: name.trim(),
                    value,
                });
            } else {
                text = rest.get(1..).unwrap_or_default();
            }
        }
        Self(attributes)
    }

    /// The value of an attribute, without quotes; of the last one if there are several, like
    /// hls.js.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        let mut all = self.0.iter().rev();
        all.find(|attribute| attribute.name == name)
            .map(|attribute| attribute.value)
    }

    /// The value of an attribute, if it is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name).filter(|value| !value.is_empty())
    }
}

/// Splits off a value, and the comma behind it.
fn split_value(text: &str) -> (&str, &str) {
    let open = text.trim_start().strip_prefix('"');
    let quoted = open.and_then(|inside| inside.split_once('"'));
    let (value, rest) = match (quoted, open) {
        (Some((value, rest)), _) => (value, rest),
        (None, Some(unclosed)) => split_at_comma(unclosed),
        (None, None) => split_at_comma(text),
    };
    let value = if quoted.is_some() {
        value
    } else {
        value.trim()
    };
    let rest = rest.find(',').and_then(|comma| rest.get(comma + 1..));
    (value, rest.unwrap_or_default())
}

fn split_at_comma(text: &str) -> (&str, &str) {
    text.split_at(text.find(',').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(&str, &str)> {
        let Attributes(list) = Attributes::new(text);
        list.iter().map(|a| (a.name, a.value)).collect()
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
    fn the_last_of_several_counts() {
        assert_eq!(Attributes::new("A=1,A=2").value("A"), Some("2"));
        assert_eq!(Attributes::new("A=\"\"").text("A"), None);
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
