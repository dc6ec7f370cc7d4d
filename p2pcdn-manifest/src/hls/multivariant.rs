//! Multivariant playlists.

use std::sync::Arc;

use p2pcdn_wire::BitRate;

use super::{
    Resolved, Resolver, Source, Variables,
    attributes::Attributes,
    keys::{self, KeyTag},
    lexer::{Lexer, Line},
    number,
    variables::Scope,
};
use crate::{
    error::{ParseError, Warning, WarningKind},
    key::Key,
    limits::{MAX_SEGMENTS, MAX_TRACKS},
    track::Resolution,
};

/// A multivariant playlist: the tracks of a presentation, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multivariant {
    /// `EXT-X-STREAM-INF` and `EXT-X-I-FRAME-STREAM-INF`.
    pub variants: Vec<Variant>,
    /// `EXT-X-MEDIA`.
    pub renditions: Vec<Rendition>,
    /// `EXT-X-SESSION-KEY`.
    pub session_keys: Vec<Key>,
    /// What is wrong with it.
    pub warnings: Vec<Warning>,
    /// What its media playlists may import.
    pub(crate) variables: Variables,
}

/// `EXT-X-STREAM-INF` or `EXT-X-I-FRAME-STREAM-INF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Which of the two.
    pub kind: VariantKind,
    /// Its media playlist.
    pub url: Arc<str>,
    /// The same had the multivariant playlist not been redirected.
    pub(crate) first_url: Arc<str>,
    /// `BANDWIDTH`.
    pub bandwidth: Option<BitRate>,
    /// `CODECS`.
    pub codecs: Option<Arc<str>>,
    /// `RESOLUTION`.
    pub resolution: Option<Resolution>,
    /// `FRAME-RATE` as written.
    pub frame_rate: Option<Arc<str>>,
    /// `VIDEO-RANGE`.
    pub video_range: Option<Arc<str>>,
    /// `NAME`, which is not in the standard and common.
    pub name: Option<Arc<str>>,
    /// `STABLE-VARIANT-ID`.
    pub stable_id: Option<Arc<str>>,
    /// `PATHWAY-ID`.
    pub pathway: Option<Arc<str>>,
}

/// What a variant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VariantKind {
    /// To play.
    Playback,
    /// Single pictures for fast seeking.
    IFrames,
}

/// `EXT-X-MEDIA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// `TYPE`.
    pub kind: RenditionKind,
    /// `GROUP-ID`.
    pub group: Arc<str>,
    /// `NAME`.
    pub name: Arc<str>,
    /// `LANGUAGE`.
    pub language: Option<Arc<str>>,
    /// Its media playlist; `None` when the media is in the variants.
    pub url: Option<Arc<str>>,
    /// The same had the multivariant playlist not been redirected.
    pub(crate) first_url: Option<Arc<str>>,
    /// `STABLE-RENDITION-ID`.
    pub stable_id: Option<Arc<str>>,
}

/// The type of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RenditionKind {
    /// `VIDEO`.
    Video,
    /// `AUDIO`.
    Audio,
    /// `SUBTITLES`.
    Subtitles,
    /// `CLOSED-CAPTIONS`: in the video, never with a URL.
    ClosedCaptions,
}

pub(super) fn parse(text: &str, source: &Source<'_>) -> Result<Multivariant, ParseError> {
    let mut reader = Reader {
        lexer: Lexer::new(text),
        scope: Scope::new(source.url, source.variables),
        resolver: Resolver::new(source),
        variants: Vec::new(),
        renditions: Vec::new(),
        session_keys: Vec::new(),
    };
    // The attributes of a variant wait for the URL on the next line.
    let mut pending: Option<&str> = None;
    while let Some(line) = reader.lexer.next_line()? {
        match (line, pending.take()) {
            (Line::Url(url), Some(value)) => reader.variant(VariantKind::Playback, value, url)?,
            (Line::Url(_), None) => reader.lexer.warn(WarningKind::StrayUrl),
            (Line::Tag { name, value }, waiting) => {
                if name == "-X-STREAM-INF" {
                    if waiting.is_some() {
                        reader.lexer.warn(WarningKind::MissingUrl);
                    }
                    pending = Some(value);
                } else {
                    pending = waiting;
                    reader.tag(name, value)?;
                }
            }
        }
    }
    if pending.is_some() {
        reader.lexer.warn(WarningKind::MissingUrl);
    }
    Ok(Multivariant {
        variants: reader.variants,
        renditions: reader.renditions,
        session_keys: reader.session_keys,
        warnings: reader.lexer.into_warnings().into_vec(),
        variables: reader.scope.into_variables(),
    })
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    scope: Scope<'a>,
    resolver: Resolver,
    variants: Vec<Variant>,
    renditions: Vec<Rendition>,
    session_keys: Vec<Key>,
}

impl Reader<'_> {
    fn tag(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        match name {
            "-X-I-FRAME-STREAM-INF" => match Attributes::new(value).text("URI") {
                Some(url) => self.variant(VariantKind::IFrames, value, url)?,
                None => self.lexer.warn(WarningKind::MissingUrl),
            },
            "-X-MEDIA" => self.rendition(value)?,
            "-X-SESSION-KEY" => {
                let tag = keys::read(value, &mut self.lexer, &mut self.scope, &mut self.resolver)?;
                if let KeyTag::Key(key) = tag {
                    if self.session_keys.len() >= MAX_SEGMENTS {
                        let line = self.lexer.number();
                        return Err(ParseError::TooMany { line });
                    }
                    self.session_keys.push(key);
                }
            }
            "-X-DEFINE" => self.scope.define(value, self.lexer.number())?,
            _ => {}
        }
        Ok(())
    }

    fn variant(
        &mut self,
        kind: VariantKind,
        value: &str,
        reference: &str,
    ) -> Result<(), ParseError> {
        self.check_count()?;
        let Some(Resolved { url, first_url }) = self.resolve(reference)? else {
            self.lexer.warn(WarningKind::BadUrl);
            return Ok(());
        };
        let attributes = Attributes::new(value);
        let bandwidth = attributes.text("BANDWIDTH").and_then(number::integer);
        if bandwidth.is_none() {
            self.lexer.warn(WarningKind::BadAttribute);
        }
        let resolution = attributes.text("RESOLUTION").and_then(number::resolution);
        let variant = Variant {
            kind,
            url,
            first_url,
            bandwidth: bandwidth.map(BitRate::from_bps),
            codecs: self.attribute(&attributes, "CODECS")?,
            resolution: resolution.map(|(width, height)| Resolution { width, height }),
            frame_rate: self.attribute(&attributes, "FRAME-RATE")?,
            video_range: self.attribute(&attributes, "VIDEO-RANGE")?,
            name: self.attribute(&attributes, "NAME")?,
            stable_id: self.attribute(&attributes, "STABLE-VARIANT-ID")?,
            pathway: self.attribute(&attributes, "PATHWAY-ID")?,
        };
        self.variants.push(variant);
        Ok(())
    }

    fn rendition(&mut self, value: &str) -> Result<(), ParseError> {
        self.check_count()?;
        let attributes = Attributes::new(value);
        let kind = match attributes.text("TYPE") {
            Some("VIDEO") => RenditionKind::Video,
            Some("AUDIO") => RenditionKind::Audio,
            Some("SUBTITLES") => RenditionKind::Subtitles,
            Some("CLOSED-CAPTIONS") => RenditionKind::ClosedCaptions,
            _ => {
                self.lexer.warn(WarningKind::BadAttribute);
                return Ok(());
            }
        };
        let resolved = match attributes.text("URI") {
            Some(reference) => self.resolve(reference)?,
            None => None,
        };
        if resolved.is_none() && attributes.text("URI").is_some() {
            self.lexer.warn(WarningKind::BadUrl);
            return Ok(());
        }
        let (url, first_url) = match resolved {
            Some(Resolved { url, first_url }) => (Some(url), Some(first_url)),
            None => (None, None),
        };
        let group = self.attribute(&attributes, "GROUP-ID")?;
        let name = self.attribute(&attributes, "NAME")?;
        let rendition = Rendition {
            kind,
            group: group.unwrap_or_default(),
            name: name.unwrap_or_default(),
            language: self.attribute(&attributes, "LANGUAGE")?,
            url,
            first_url,
            stable_id: self.attribute(&attributes, "STABLE-RENDITION-ID")?,
        };
        self.renditions.push(rendition);
        Ok(())
    }

    fn check_count(&self) -> Result<(), ParseError> {
        if self.variants.len() + self.renditions.len() < MAX_TRACKS {
            return Ok(());
        }
        let line = self.lexer.number();
        Err(ParseError::TooMany { line })
    }

    fn resolve(&mut self, reference: &str) -> Result<Option<Resolved>, ParseError> {
        let reference = self.scope.expand(reference, self.lexer.number())?;
        self.resolver.resolve(&reference)
    }

    fn attribute(
        &mut self,
        attributes: &Attributes<'_>,
        name: &str,
    ) -> Result<Option<Arc<str>>, ParseError> {
        let Some(text) = attributes.text(name) else {
            return Ok(None);
        };
        let text = self.scope.expand(text, self.lexer.number())?;
        Ok(Some(text.as_ref().into()))
    }
}
