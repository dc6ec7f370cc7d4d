//! Variables of playlists: `EXT-X-DEFINE` and `{$name}` (RFC 8216bis sections 4.3 and 4.4.2.3).

use std::{borrow::Cow, collections::BTreeMap};

use super::attributes::Attributes;
use crate::{
    error::ParseError,
    limits::{MAX_EXPANDED_LEN, MAX_LINE_LEN, MAX_VARIABLES},
};

/// What `{$name}` stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(crate) fn from_pairs(pairs: &[(String, String)]) -> Self {
        Self(pairs.iter().take(MAX_VARIABLES).cloned().collect())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0.into_iter().collect()
    }
}

/// The variables of a playlist that is being read.
pub(crate) struct Scope<'a> {
    defined: Variables,
    /// Those of the multivariant playlist.
    importable: &'a Variables,
    /// Where the playlist came from, after redirects.
    url: &'a str,
    /// Bytes that may still be produced.
    budget: usize,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(url: &'a str, importable: &'a Variables) -> Self {
        Self {
            defined: Variables::default(),
            importable,
            url,
            budget: MAX_EXPANDED_LEN,
        }
    }

    /// Takes an `EXT-X-DEFINE`.
    pub(crate) fn define(&mut self, value: &str, line: u32) -> Result<(), ParseError> {
        let undefined = |name: &str| ParseError::UndefinedVariable {
            line,
            name: excerpt(name),
        };
        let (mut name, mut literal, mut parameter, mut import) = (None, "", None, None);
        for (attribute, value) in Attributes::new(value) {
            match attribute {
                "VALUE" => literal = value,
                _ if value.is_empty() => {}
                "NAME" => name = Some(value),
                "QUERYPARAM" => parameter = Some(value),
                "IMPORT" => import = Some(value),
                _ => {}
            }
        }
        let (name, value) = if let Some(name) = name {
            (name, self.expand(literal, line)?.into_owned())
        } else if let Some(name) = parameter {
            let value = query_parameter(self.url, name);
            (name, value.ok_or_else(|| undefined(name))?)
        } else if let Some(name) = import {
            let Variables(importable) = self.importable;
            let value = importable.get(name).cloned();
            (name, value.ok_or_else(|| undefined(name))?)
        } else {
            return Ok(());
        };
        let Variables(defined) = &mut self.defined;
        if defined.len() >= MAX_VARIABLES && !defined.contains_key(name) {
            return Err(ParseError::TooMany { line });
        }
        defined.insert(name.to_owned(), value);
        Ok(())
    }

    /// The text with its variables replaced.
    #[inline]
    pub(crate) fn expand<'t>(
        &mut self,
        text: &'t str,
        line: u32,
    ) -> Result<Cow<'t, str>, ParseError> {
        let Variables(defined) = &self.defined;
        // Without definitions this is the text of a playlist that knows nothing of variables.
        if defined.is_empty() || !text.contains("{$") {
            return Ok(Cow::Borrowed(text));
        }
        self.expand_all(text, line)
    }

    fn expand_all<'t>(&mut self, text: &'t str, line: u32) -> Result<Cow<'t, str>, ParseError> {
        let Variables(defined) = &self.defined;
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{$") {
            expanded.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let Some(value) = defined.get(name) else {
                let name = excerpt(name);
                return Err(ParseError::UndefinedVariable { line, name });
            };
            expanded.push_str(value);
            if expanded.len() > MAX_LINE_LEN {
                return Err(ParseError::LineTooLong { line });
            }
            rest = after;
        }
        expanded.push_str(rest);
        if expanded.len() > MAX_LINE_LEN {
            return Err(ParseError::LineTooLong { line });
        }
        self.spend(expanded.len())?;
        Ok(Cow::Owned(expanded))
    }

    /// Counts bytes that a short text was made into.
    pub(crate) fn spend(&mut self, len: usize) -> Result<(), ParseError> {
        self.budget = self.budget.checked_sub(len).ok_or(ParseError::TooLong)?;
        Ok(())
    }

    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let Variables(defined) = &self.defined;
        defined.get(name).map(String::as_str)
    }

    pub(crate) fn into_variables(self) -> Variables {
        self.defined
    }
}

/// The beginning of a text, for an error.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

fn query_parameter(url: &str, name: &str) -> Option<String> {
    let url = url.split('#').next()?;
    let (_, query) = url.split_once('?')?;
    let mut fields = query.split('&');
    fields.find_map(|field| {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        (percent_decoded(key) == name).then(|| percent_decoded(value))
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| *first == b'%');
        let value = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match value {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Variables(pairs.iter().map(owned).collect())
    }

    #[test]
    fn definitions_come_from_the_playlist_its_url_and_its_parent() {
        let parent = variables(&[("host", "cdn.example")]);
        let mut scope = Scope::new("https://h/a.m3u8?t=a%2Fb+c&u", &parent);
        scope.define("NAME=\"dir\",VALUE=\"v\"", 1).unwrap();
        scope.define("NAME=\"path\",VALUE=\"{$dir}/w\"", 2).unwrap();
        scope.define("QUERYPARAM=\"t\"", 3).unwrap();
        scope.define("IMPORT=\"host\"", 4).unwrap();
        assert_eq!(
            scope.expand("{$host}/{$path}?{$t}{x}", 5).unwrap(),
            "cdn.example/v/w?a/b c{x}"
        );
    }

    #[test]
    fn what_is_not_defined_is_an_error_once_anything_is() {
        let none = Variables::default();
        let mut scope = Scope::new("https://h/a.m3u8", &none);
        let undefined = |line, name: &str| ParseError::UndefinedVariable {
            line,
            name: name.into(),
        };
        assert_eq!(scope.expand("{$a}", 1).unwrap(), "{$a}");
        assert_eq!(scope.define("QUERYPARAM=\"t\"", 2), Err(undefined(2, "t")));
        assert_eq!(scope.define("IMPORT=\"i\"", 3), Err(undefined(3, "i")));
        scope.define("NAME=\"b\",VALUE=\"\"", 4).unwrap();
        assert_eq!(scope.expand("{$a}", 5), Err(undefined(5, "a")));
        assert_eq!(scope.expand("{$a", 6), Err(undefined(6, "a")));
        assert_eq!(scope.expand("x{$b}y", 7).unwrap(), "xy");
    }

    #[test]
    fn expansion_is_bounded_by_line_by_playlist_and_by_count() {
        let none = Variables::default();
        let mut scope = Scope::new("https://h/a.m3u8", &none);
        let half = "x".repeat(MAX_LINE_LEN / 2);
        scope
            .define(&format!("NAME=\"h\",VALUE=\"{half}\""), 1)
            .unwrap();
        assert_eq!(scope.expand("{$h}{$h}", 1).unwrap().len(), MAX_LINE_LEN);
        for text in ["{$h}{$h}y", "{$h}{$h}{$h}"] {
            assert_eq!(
                scope.expand(text, 2),
                Err(ParseError::LineTooLong { line: 2 })
            );
        }
        for _ in 1..MAX_EXPANDED_LEN / MAX_LINE_LEN {
            scope.expand("{$h}{$h}", 3).unwrap();
        }
        assert_eq!(scope.expand("{$h}", 4), Err(ParseError::TooLong));

        for n in 1..MAX_VARIABLES {
            scope
                .define(&format!("NAME=\"v{n}\",VALUE=\"\""), 5)
                .unwrap();
        }
        let more = scope.define("NAME=\"w\",VALUE=\"\"", 6);
        assert_eq!(more, Err(ParseError::TooMany { line: 6 }));
    }
}
