//! XML as places in its text: what is edited without touching the rest. Tokens, attributes and
//! text are found by position; nothing is built from them here.

use std::{borrow::Cow, fmt::Write as _, ops::Range};

use quick_xml::{Reader, events::Event};

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind<'a>,
    /// Its bytes, brackets included.
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind<'a> {
    /// `<tag>`.
    Start(Tag<'a>),
    /// `<tag/>`.
    Empty(Tag<'a>),
    /// `</tag>`.
    End,
    /// Text, a reference or a CDATA section: what an element says.
    Text(Cow<'a, str>),
    /// A comment, a declaration or an instruction.
    Other,
}

/// What stands between the brackets of a start tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    text: &'a [u8],
    /// Where `text` begins.
    at: usize,
}

/// An attribute and where its parts stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a str,
    /// As written: escaped.
    pub(crate) raw: &'a [u8],
    /// The value between its quotes.
    pub(crate) value: Range<usize>,
    /// From the blanks before the name to the closing quote.
    pub(crate) whole: Range<usize>,
    pub(crate) quote: Quote,
}

/// How a value is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quote {
    Single,
    Double,
    /// The text of an element.
    None,
}

/// The text is not well-formed at this byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) usize);

/// The text as [`Tokens`] takes it: bytes that are not UTF-8 have others in their places.
pub(crate) fn readable(text: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut readable = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        readable.extend_from_slice(chunk.valid().as_bytes());
        readable.resize(readable.len() + chunk.invalid().len(), b'?');
    }
    Cow::Owned(readable)
}

/// Reads token after token of UTF-8; matches end tags with their start tags.
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    reader: Reader<&'a [u8]>,
    /// Bytes before what the reader reads.
    skipped: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let body = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut reader = Reader::from_reader(body);
        // An ampersand that begins no reference is common in URLs.
        reader.config_mut().allow_dangling_amp = true;
        let skipped = text.len() - body.len();
        Self {
            text,
            reader,
            skipped,
            depth: 0,
        }
    }

    /// The next token; `None` at the end.
    pub(crate) fn next_token(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        let start = self.position();
        let event = self.reader.read_event().map_err(|_| Malformed(start))?;
        let end = self.position();
        let kind = match event {
            Event::Start(_) => {
                self.depth += 1;
                TokenKind::Start(self.tag(start, end, 1)?)
            }
            Event::Empty(_) => TokenKind::Empty(self.tag(start, end, 2)?),
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                TokenKind::End
            }
            Event::Text(_) | Event::GeneralRef(_) => {
                let raw = self.text.get(start..end).unwrap_or_default();
                TokenKind::Text(unescaped(raw))
            }
            Event::CData(_) => {
                let raw = self.text.get(start..end).unwrap_or_default();
                let inner = raw.strip_prefix(b"<![CDATA[").unwrap_or_default();
                let inner = inner.strip_suffix(b"]]>").unwrap_or_default();
                TokenKind::Text(String::from_utf8_lossy(inner))
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                TokenKind::Other
            }
            Event::Eof if self.depth > 0 => return Err(Malformed(end)),
            Event::Eof => return Ok(None),
        };
        let span = start..end;
        Ok(Some(Token { kind, span }))
    }

    fn position(&self) -> usize {
        let read = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        read.saturating_add(self.skipped)
    }

    fn tag(&self, start: usize, end: usize, closing: usize) -> Result<Tag<'a>, Malformed> {
        let at = start + 1;
        let text = self.text.get(at..end.saturating_sub(closing));
        let text = text.ok_or(Malformed(start))?;
        Ok(Tag { text, at })
    }
}

impl<'a> Tag<'a> {
    /// A start tag by itself, brackets included: places count from its `<`.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        let inner = text.strip_prefix(b"<").unwrap_or(text);
        let inner = inner.strip_suffix(b">").unwrap_or(inner);
        let text = inner.strip_suffix(b"/").unwrap_or(inner);
        Self { text, at: 1 }
    }

    /// The name with its prefix.
    pub(crate) fn name(&self) -> &'a str {
        let end = self.text.iter().position(u8::is_ascii_whitespace);
        let name = self.text.get(..end.unwrap_or(self.text.len()));
        name.and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// The name without its prefix.
    pub(crate) fn local_name(&self) -> &'a str {
        local(self.name())
    }

    pub(crate) fn attributes(&self) -> Attributes<'a> {
        let rest = self.text.get(self.name().len()..).unwrap_or_default();
        Attributes {
            rest,
            at: self.at + self.name().len(),
        }
    }

    /// The value of an attribute without prefix.
    pub(crate) fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut all = self.attributes();
        all.find(|attribute| attribute.name == name)
            .map(|attribute| attribute.text())
    }
}

impl<'a> Attribute<'a> {
    /// The value as it is meant.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        unescaped(self.raw)
    }
}

/// The attributes of a tag; what is none is passed over.
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        loop {
            let rest = self.rest;
            let before = blanks(rest);
            let name_len = rest
                .get(before..)?
                .iter()
                .position(|b| *b == b'=' || b.is_ascii_whitespace())?;
            let name_end = before + name_len;
            let equals = name_end + blanks(rest.get(name_end..)?);
            if rest.get(equals) != Some(&b'=') {
                self.skip(equals.max(1));
                continue;
            }
            let open = equals + 1 + blanks(rest.get(equals + 1..)?);
            let quote = match rest.get(open)? {
                b'"' => Quote::Double,
                b'\'' => Quote::Single,
                _ => {
                    self.skip(open);
                    continue;
                }
            };
            let inside = open + 1;
            let delimiter = *rest.get(open)?;
            let len = rest.get(inside..)?.iter().position(|b| *b == delimiter)?;
            let name = rest.get(before..name_end)?;
            let raw = rest.get(inside..inside + len)?;
            let at = self.at;
            self.skip(inside + len + 1);
            return Some(Attribute {
                name: std::str::from_utf8(name).unwrap_or_default(),
                raw,
                value: at + inside..at + inside + len,
                whole: at..at + inside + len + 1,
                quote,
            });
        }
    }
}

impl Attributes<'_> {
    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.at += len;
    }
}

/// A name without its prefix.
pub(crate) fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Writes `text` so that it reads as itself between these quotes. What XML cannot hold at all is
/// percent-encoded.
pub(crate) fn escape_into(out: &mut String, text: &str, quote: Quote) {
    for c in text.chars() {
        match (c, quote) {
            ('&', _) => out.push_str("&amp;"),
            ('<', _) => out.push_str("&lt;"),
            ('>', Quote::None) => out.push_str("&gt;"),
            ('"', Quote::Double) => out.push_str("&quot;"),
            ('\'', Quote::Single) => out.push_str("&apos;"),
            ('\t' | '\n' | '\r', _) => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            (c, _) if c < ' ' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            ('\u{fffe}' | '\u{ffff}', _) => out.push('\u{fffd}'),
            (c, _) => out.push(c),
        }
    }
}

/// What is not a reference after all stands for itself.
fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    unescape(String::from_utf8_lossy(raw)).0
}

/// Replaces references to characters and to the five entities of XML. Any other stays as it is
/// written, and the second value is false.
pub(crate) fn unescape(text: Cow<'_, str>) -> (Cow<'_, str>, bool) {
    if !text.contains('&') {
        return (text, true);
    }
    let mut plain = String::with_capacity(text.len());
    let mut is_known = true;
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        // The longest reference is that of a character, with zeros in front of it.
        let name = after.split_once(';').filter(|(name, _)| name.len() <= 32);
        match name.and_then(|(name, after)| Some((character(name)?, after))) {
            Some((character, after)) => {
                plain.push(character);
                rest = after;
            }
            None => {
                plain.push('&');
                is_known = false;
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    (Cow::Owned(plain), is_known)
}

fn character(name: &str) -> Option<char> {
    let code = match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let code = match code.strip_prefix(['x', 'X']) {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()?
        }
        None if code.bytes().all(|b| b.is_ascii_digit()) => code.parse().ok()?,
        _ => return None,
    };
    char::from_u32(code).filter(|c| *c != '\0')
}

fn blanks(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &[u8]) -> Result<Vec<Token<'_>>, Malformed> {
        let mut tokens = Tokens::new(text);
        std::iter::from_fn(|| tokens.next_token().transpose()).collect()
    }

    #[test]
    fn tokens_cover_the_text_after_a_byte_order_mark() {
        let text = "\u{feff}<?xml version='1.0'?>\n<!-- a --><a b=\"1\" >x&amp;y &#65;<![CDATA[<z>]]></a ><?p?>\n";
        let mut end = 3;
        let mut said = String::new();
        for token in tokens(text.as_bytes()).unwrap() {
            assert_eq!(token.span.start, end);
            end = token.span.end;
            if let TokenKind::Text(text) = token.kind {
                said.push_str(&text);
            }
        }
        assert_eq!(end, text.len());
        assert_eq!(said, "\nx&y A<z>\n");
    }

    #[test]
    fn attributes_are_found_with_their_places() {
        let text = b"<a:b c='1\"' d = \"&lt;&amp;2\"\n e:f='' g h=3 i='4'/>";
        let all = tokens(text).unwrap();
        let TokenKind::Empty(tag) = &all.first().unwrap().kind else {
            panic!("one empty element");
        };
        assert_eq!((tag.name(), tag.local_name()), ("a:b", "b"));
        let mut found = Vec::new();
        for attribute in tag.attributes() {
            assert_eq!(text.get(attribute.value.clone()), Some(attribute.raw));
            found.push((attribute.name, attribute.text().into_owned()));
        }
        let expected = [("c", "1\""), ("d", "<&2"), ("e:f", ""), ("i", "4")];
        let expected = expected.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(found, expected);
        assert_eq!(tag.value("d").as_deref(), Some("<&2"));
        let d = tag.attributes().nth(1).unwrap();
        assert_eq!(text.get(d.whole).unwrap(), b" d = \"&lt;&amp;2\"");
    }

    #[test]
    fn a_lone_ampersand_stands_for_itself() {
        let all = tokens(b"<a u='?x=1&y=2'>?x=1&y=2</a>").unwrap();
        let TokenKind::Start(tag) = &all.first().unwrap().kind else {
            panic!("a start tag");
        };
        assert_eq!(tag.value("u").as_deref(), Some("?x=1&y=2"));
        let said: String = all
            .iter()
            .filter_map(|token| match &token.kind {
                TokenKind::Text(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect();
        assert_eq!(said, "?x=1&y=2");
    }

    #[test]
    fn what_is_not_closed_is_malformed() {
        for text in ["<a>", "<a", "<a></b>", "</a>", "<!-- x", "<a b='>"] {
            assert!(tokens(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn escaped_text_reads_as_itself() {
        let text = "a&b<c>\"d'\te\nf";
        for (quote, open) in [
            (Quote::Double, '"'),
            (Quote::Single, '\''),
            (Quote::None, '>'),
        ] {
            let mut escaped = String::new();
            escape_into(&mut escaped, text, quote);
            assert!(!escaped.contains(['<', open]), "{escaped}");
            assert_eq!(unescaped(escaped.as_bytes()), text);
        }
        let mut escaped = String::new();
        escape_into(&mut escaped, "\u{1}", Quote::None);
        assert_eq!(escaped, "%01");
    }
}
