//! XML as a sequence of elements: one pass over the text, bounded, nothing kept.

use std::borrow::Cow;

use quick_xml::{
    Reader,
    errors::SyntaxError,
    events::{BytesStart, Event},
};

use crate::{
    error::{Found, ParseError, Warning, WarningKind},
    limits::{
        MAX_ATTRIBUTES, MAX_LINE_LEN, MAX_TEXT_LEN, MAX_WARNINGS, MAX_XML_DEPTH, MAX_XML_ELEMENTS,
    },
    markup::unescape,
};

/// The text of a manifest: without its byte order mark, and with replacement characters where it
/// is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, ParseError> {
    if bytes.len() > MAX_TEXT_LEN {
        return Err(ParseError::TooLong);
    }
    if matches!(
        bytes,
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, b'<', ..] | [b'<', 0, ..]
    ) {
        return Err(ParseError::Utf16);
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    match text.trim_start().as_bytes() {
        [] => Err(ParseError::Empty),
        [b'<', ..] => Ok(text),
        [b'#', b'E', b'X', b'T', b'M', b'3', b'U', ..] => {
            Err(ParseError::NotAnMpd { found: Found::Hls })
        }
        _ => Err(ParseError::NotAnMpd {
            found: Found::Other,
        }),
    }
}

/// Reads elements one after the other.
///
/// After [`child`](Self::child) gave an element, exactly one of [`child`](Self::child) until
/// `None`, [`skip`](Self::skip) or [`content`](Self::content) reads it to its end.
pub(super) struct Xml<'t> {
    text: &'t str,
    reader: Reader<&'t [u8]>,
    /// Elements that are open.
    depth: usize,
    /// The element last opened has no content: its end is next.
    is_empty: bool,
    elements: usize,
    /// Where lines were last counted to, and how many there are until there.
    counted: (usize, u32),
    warnings: Vec<Warning>,
}

/// An element's name and attributes.
pub(super) struct Element<'t> {
    start: BytesStart<'t>,
}

/// A name, without the prefix of its namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// In no namespace, as the attributes of DASH are.
    Plain(&'a str),
    /// In some other one.
    Prefixed(&'a str),
}

/// Attributes in the order written.
pub(super) type Attributes<'e> = Vec<(Name<'e>, Cow<'e, str>)>;

impl<'t> Xml<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().allow_dangling_amp = true;
        Self {
            text,
            reader,
            depth: 0,
            is_empty: false,
            elements: 0,
            counted: (0, 1),
            warnings: Vec::new(),
        }
    }

    /// The root element.
    pub(super) fn root(&mut self) -> Result<Element<'t>, ParseError> {
        loop {
            match self.event()? {
                Event::Start(start) => return self.open(start),
                Event::Empty(start) => {
                    self.is_empty = true;
                    return self.open(start);
                }
                Event::DocType(_) => self.warn(WarningKind::DocType),
                Event::Eof => return Err(ParseError::Truncated),
                _ => {}
            }
        }
    }

    /// The next element within the one that is open; `None` at the end of that one.
    pub(super) fn child(&mut self) -> Result<Option<Element<'t>>, ParseError> {
        loop {
            match self.inside()? {
                Inside::Element(element) => return Ok(Some(element)),
                Inside::End => return Ok(None),
                Inside::Text(_) => {}
            }
        }
    }

    /// Passes over the content of the element last opened, elements within it included.
    pub(super) fn skip(&mut self) -> Result<(), ParseError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.inside()?;
        }
        Ok(())
    }

    /// The text in the element last opened, without blanks around it; elements within it are
    /// passed over. `None` when it is longer than any URL may be.
    pub(super) fn content(&mut self) -> Result<Option<String>, ParseError> {
        let outside = self.depth.saturating_sub(1);
        let mut content = String::new();
        let mut is_long = false;
        while self.depth > outside {
            if let Inside::Text(text) = self.inside()?
                && self.depth == outside + 1
            {
                is_long |= content.len() + text.len() > MAX_LINE_LEN;
                if !is_long {
                    content.push_str(&text);
                }
            }
        }
        if is_long {
            self.warn(WarningKind::LongLine);
            return Ok(None);
        }
        let trimmed = content.trim();
        Ok(Some(if trimmed.len() == content.len() {
            content
        } else {
            trimmed.to_owned()
        }))
    }

    /// What stands after the root element is only warned of.
    pub(super) fn finish(mut self) -> Vec<Warning> {
        let rest = self.text.get(self.position()..).unwrap_or_default().trim();
        if !rest.is_empty() && !rest.starts_with("<!--") {
            self.warn(WarningKind::TrailingText);
        }
        self.warnings
    }

    /// Remembers a warning about the place that is being read.
    pub(super) fn warn(&mut self, kind: WarningKind) {
        if self.warnings.len() < MAX_WARNINGS {
            let line = self.line();
            self.warnings.push(Warning { line, kind });
        }
    }

    pub(super) fn too_many(&mut self) -> ParseError {
        ParseError::TooMany { line: self.line() }
    }

    /// The attributes with their values, references replaced, namespace declarations left out; at
    /// most [`MAX_ATTRIBUTES`].
    pub(super) fn attributes<'e>(&mut self, element: &'e Element<'_>) -> Attributes<'e> {
        let mut attributes = element.start.attributes();
        // Finding duplicates takes quadratic time.
        attributes.with_checks(false);
        let mut read = Vec::new();
        for attribute in attributes {
            let Ok(attribute) = attribute else {
                self.warn(WarningKind::BadAttribute);
                continue;
            };
            let name = match attribute.key.into_inner().split_once(':') {
                Some(("xmlns", _)) => continue,
                Some((_, local)) => Name::Prefixed(local),
                None => Name::Plain(attribute.key.into_inner()),
            };
            if attribute.value.len() > MAX_LINE_LEN {
                self.warn(WarningKind::LongLine);
                continue;
            }
            if read.len() >= MAX_ATTRIBUTES {
                self.warn(WarningKind::TooManyElements);
                break;
            }
            let (value, is_known) = unescape(attribute.value);
            if !is_known {
                self.warn(WarningKind::UnknownEntity);
            }
            read.push((name, value));
        }
        read
    }

    fn inside(&mut self) -> Result<Inside<'t>, ParseError> {
        if self.is_empty {
            self.is_empty = false;
            self.depth = self.depth.saturating_sub(1);
            return Ok(Inside::End);
        }
        loop {
            return Ok(match self.event()? {
                Event::Start(start) => Inside::Element(self.open(start)?),
                Event::Empty(start) => {
                    self.is_empty = true;
                    Inside::Element(self.open(start)?)
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Inside::End
                }
                Event::Text(text) => Inside::Text(text.into_inner()),
                Event::CData(text) => Inside::Text(text.into_inner()),
                Event::GeneralRef(name) => {
                    let written = format!("&{};", name.into_inner());
                    let (text, is_known) = unescape(Cow::Owned(written));
                    if !is_known {
                        self.warn(WarningKind::UnknownEntity);
                    }
                    Inside::Text(text)
                }
                Event::Eof => return Err(ParseError::Truncated),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
            });
        }
    }

    fn open(&mut self, start: BytesStart<'t>) -> Result<Element<'t>, ParseError> {
        self.depth += 1;
        self.elements += 1;
        if self.depth > MAX_XML_DEPTH {
            return Err(ParseError::TooDeep { line: self.line() });
        }
        if self.elements > MAX_XML_ELEMENTS {
            return Err(self.too_many());
        }
        Ok(Element { start })
    }

    fn event(&mut self) -> Result<Event<'t>, ParseError> {
        self.reader.read_event().map_err(|error| match error {
            // Every other one is about something that never ends.
            quick_xml::Error::Syntax(error) if error != SyntaxError::InvalidBangMarkup => {
                ParseError::Truncated
            }
            _ => ParseError::BadXml { line: self.line() },
        })
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The number of the line that is being read, from 1.
    pub(super) fn line(&mut self) -> u32 {
        let position = self.position();
        let (counted, line) = self.counted;
        let passed = self.text.as_bytes().get(counted..position);
        let passed = passed.unwrap_or_default().iter();
        let lines = passed.filter(|b| **b == b'\n').count();
        let line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.counted = (position.max(counted), line);
        line
    }
}

impl Element<'_> {
    /// Its name, without the prefix of its namespace.
    pub(super) fn name(&self) -> &str {
        self.start.local_name().into_inner()
    }
}

enum Inside<'t> {
    Element(Element<'t>),
    Text(Cow<'t, str>),
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, ParseError> {
        let mut xml = Xml::new(text);
        xml.root()?;
        let mut children = Vec::new();
        while let Some(element) = xml.child()? {
            let mut said = element.name().to_owned();
            for (name, value) in xml.attributes(&element) {
                let (prefix, name) = match name {
                    Name::Plain(name) => ("", name),
                    Name::Prefixed(name) => (":", name),
                };
                said.push_str(&format!(" {prefix}{name}={value}"));
            }
            let content = xml.content()?.unwrap_or_default();
            children.push(format!("{said} [{content}]"));
        }
        Ok(children)
    }

    #[test]
    fn elements_are_read_without_their_prefixes() {
        let children = read(
            "<?xml version='1.0'?><!-- c --><m:R xmlns:m='u'><m:A b='1' x:c=\"2\" xmlns:x='v'/>\
             <B> t<!-- no --><C>inner</C><![CDATA[<&]]>&amp;&#x41;&#66; </B></m:R>",
        );
        assert_eq!(
            children.unwrap(),
            ["A b=1 :c=2 []", "B [t<&&AB]"].map(String::from)
        );
    }

    #[test]
    fn unknown_entities_stay_as_written() {
        let mut xml =
            Xml::new("<!DOCTYPE R [<!ENTITY e 'boom'>]>\n<R><A b='&e;&lt;?a=1&b=2'>&e;</A></R>");
        xml.root().unwrap();
        let element = xml.child().unwrap().unwrap();
        let attributes = xml.attributes(&element);
        let values: Vec<_> = attributes.iter().map(|(_, value)| &**value).collect();
        assert_eq!(values, ["&e;<?a=1&b=2"]);
        assert_eq!(xml.content().unwrap().unwrap(), "&e;");
        assert!(xml.child().unwrap().is_none());
        let kinds: Vec<_> = xml.finish().iter().map(|w| w.kind).collect();
        assert_eq!(kinds[0], WarningKind::DocType);
        assert_eq!(kinds[1], WarningKind::UnknownEntity);
    }

    #[test]
    fn broken_and_cut_off_documents_are_told_apart() {
        for text in ["<R><A></B></R>", "<R><!A></R>", "</R>"] {
            assert_eq!(read(text), Err(ParseError::BadXml { line: 1 }), "{text}");
        }
        for text in [
            "<R>",
            "<R><A>",
            "<R><A b=\"",
            "<R",
            "<R><![CDATA[x",
            "<!-- ",
        ] {
            assert_eq!(read(text), Err(ParseError::Truncated), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested =
            |depth: usize| format!("<R>{}{}</R>", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(read(&nested(MAX_XML_DEPTH - 1)).is_ok());
        assert_eq!(
            read(&nested(MAX_XML_DEPTH)),
            Err(ParseError::TooDeep { line: 1 })
        );
    }

    #[test]
    fn elements_are_bounded() {
        let many = |count: usize| format!("<R>{}</R>", "<a/>".repeat(count));
        assert!(read(&many(MAX_XML_ELEMENTS - 1)).is_ok());
        assert_eq!(
            read(&many(MAX_XML_ELEMENTS)),
            Err(ParseError::TooMany { line: 1 })
        );
    }

    #[test]
    fn texts_that_are_not_utf_8_xml_are_named() {
        assert_eq!(text(b""), Err(ParseError::Empty));
        assert_eq!(text(b" \n"), Err(ParseError::Empty));
        assert_eq!(text(b"\xFF\xFE<\0"), Err(ParseError::Utf16));
        assert_eq!(text(b"\0<\0M"), Err(ParseError::Utf16));
        let not = |found| Err(ParseError::NotAnMpd { found });
        assert_eq!(text(b"#EXTM3U\n"), not(Found::Hls));
        assert_eq!(text(b"{}"), not(Found::Other));
        assert_eq!(text(b"\xEF\xBB\xBF <MPD/>").unwrap(), " <MPD/>");
    }
}
