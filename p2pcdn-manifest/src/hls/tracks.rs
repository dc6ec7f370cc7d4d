//! Reads multivariant playlists.

use std::sync::Arc;

use p2pcdn_wire::BitRate;

use super::{
    Resolved, Resolver, Source,
    attributes::Attributes,
    keys::{self, KeyTag},
    lexer::{Lexer, Line},
    low_latency::Tools,
    multivariant::{
        ContentSteering, Multivariant, Rendition, RenditionKind, SessionData, SessionDataValue,
        Variant, VariantKind,
    },
    number, start,
    variables::{Scope, Variables},
};
use crate::{
    error::{ParseError, WarningKind},
    limits::{MAX_REPORTS, MAX_SEGMENTS, MAX_TRACKS},
    track::Resolution,
};

pub(super) fn parse(text: &str, source: &Source<'_>) -> Result<Multivariant, ParseError> {
    let mut reader = Reader {
        lexer: Lexer::new(text),
        scope: Scope::new(source.url, source.variables),
        resolver: Resolver::new(source),
        list: Multivariant {
            variants: Vec::new(),
            renditions: Vec::new(),
            session_keys: Vec::new(),
            key_urls: Vec::new(),
            session_data: Vec::new(),
            steering: None,
            is_independent: false,
            start: None,
            warnings: Vec::new(),
            variables: Variables::default(),
        },
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
        warnings: reader.lexer.into_warnings().into_vec(),
        variables: reader.scope.into_variables(),
        ..reader.list
    })
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    scope: Scope<'a>,
    resolver: Resolver,
    list: Multivariant,
}

impl<'a> Reader<'a> {
    fn tag(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        match name {
            "-X-I-FRAME-STREAM-INF" => {
                let uris = Attributes::new(value).filter(|(name, _)| *name == "URI");
                match uris.last().filter(|(_, uri)| !uri.is_empty()) {
                    Some((_, uri)) => self.variant(VariantKind::IFrames, value, uri)?,
                    None => self.lexer.warn(WarningKind::MissingUrl),
                }
            }
            "-X-MEDIA" => self.rendition(value)?,
            "-X-SESSION-KEY" => {
                if let KeyTag::Key(key) = self.key(value)? {
                    self.list.session_keys.push(key);
                }
            }
            // It belongs elsewhere; its URL is that of a key all the same.
            "-X-KEY" => drop(self.key(value)?),
            "-X-SESSION-DATA" => self.session_data(value)?,
            "-X-CONTENT-STEERING" => self.steering(value)?,
            "-X-INDEPENDENT-SEGMENTS" => self.list.is_independent = true,
            "-X-START" => self.list.start = start::read(value, &mut self.lexer),
            "-X-DEFINE" => self.scope.define(value, self.lexer.number())?,
            _ => {}
        }
        Ok(())
    }

    /// However odd its attributes are, a variant stays with what can be read of it, lest its URL be
    /// taken for that of another.
    fn variant(
        &mut self,
        kind: VariantKind,
        value: &str,
        reference: &str,
    ) -> Result<(), ParseError> {
        self.check_count()?;
        let Some(Resolved { url, first_url }) = self.tools().resolve(reference)? else {
            return Ok(());
        };
        let mut variant = bare_variant(kind, url, first_url);
        for (name, value) in present(value) {
            match name {
                "BANDWIDTH" => variant.bandwidth = self.rate(value)?,
                "AVERAGE-BANDWIDTH" => variant.average_bandwidth = self.rate(value)?,
                "RESOLUTION" => {
                    let resolution = number::resolution(&self.text(value)?);
                    variant.resolution =
                        resolution.map(|(width, height)| Resolution { width, height });
                }
                _ => {
                    if let Some(slot) = variant_text(&mut variant, name) {
                        *slot = Some(self.text(value)?);
                    }
                }
            }
        }
        let captions = variant.closed_captions.take();
        variant.closed_captions = captions.filter(|group| **group != *"NONE");
        if variant.bandwidth.is_none() {
            self.lexer.warn(WarningKind::BadAttribute);
        }
        self.list.variants.push(variant);
        Ok(())
    }

    fn rendition(&mut self, value: &str) -> Result<(), ParseError> {
        self.check_count()?;
        let (mut kind, mut uri) = (None, None);
        let mut rendition = bare_rendition();
        for (name, value) in present(value) {
            match name {
                "TYPE" => kind = rendition_kind(value),
                "URI" => uri = Some(value),
                "GROUP-ID" => rendition.group = self.text(value)?,
                "NAME" => rendition.name = self.text(value)?,
                "DEFAULT" => rendition.is_default = value == "YES",
                "AUTOSELECT" => rendition.is_autoselect = value == "YES",
                "FORCED" => rendition.is_forced = value == "YES",
                _ => {
                    if let Some(slot) = rendition_text(&mut rendition, name) {
                        *slot = Some(self.text(value)?);
                    }
                }
            }
        }
        let Some(kind) = kind else {
            self.lexer.warn(WarningKind::BadAttribute);
            return Ok(());
        };
        if let Some(uri) = uri {
            let Some(Resolved { url, first_url }) = self.tools().resolve(uri)? else {
                return Ok(());
            };
            (rendition.url, rendition.first_url) = (Some(url), Some(first_url));
        }
        self.list.renditions.push(Rendition { kind, ..rendition });
        Ok(())
    }

    fn key(&mut self, value: &str) -> Result<KeyTag, ParseError> {
        let line = self.lexer.number();
        let tag = keys::read(value, &mut self.lexer, &mut self.scope, &mut self.resolver)?;
        if self.list.session_keys.len() >= MAX_SEGMENTS {
            return Err(ParseError::TooMany { line });
        }
        keys::remember(&tag, &mut self.list.key_urls, line)?;
        Ok(tag)
    }

    fn session_data(&mut self, value: &str) -> Result<(), ParseError> {
        if self.list.session_data.len() >= MAX_REPORTS {
            self.lexer.warn(WarningKind::TooManyEntries);
            return Ok(());
        }
        let (mut id, mut text, mut uri, mut language) = (None, None, None, None);
        let mut is_raw = false;
        for (name, value) in Attributes::new(value) {
            match name {
                "DATA-ID" => id = Some(self.text(value)?),
                "VALUE" => text = Some(self.text(value)?),
                "URI" if !value.is_empty() => uri = Some(value),
                "FORMAT" => is_raw = value == "RAW",
                "LANGUAGE" => language = Some(self.text(value)?),
                _ => {}
            }
        }
        let value = match (text, uri) {
            (Some(text), _) => Some(SessionDataValue::Text(text)),
            (None, Some(uri)) => self.tools().resolve(uri)?.map(|Resolved { url, .. }| {
                if is_raw {
                    SessionDataValue::Raw(url)
                } else {
                    SessionDataValue::Json(url)
                }
            }),
            (None, None) => None,
        };
        match (id, value) {
            (Some(id), Some(value)) => self.list.session_data.push(SessionData {
                id,
                value,
                language,
            }),
            _ => self.lexer.warn(WarningKind::BadAttribute),
        }
        Ok(())
    }

    fn steering(&mut self, value: &str) -> Result<(), ParseError> {
        let (mut uri, mut pathway) = ("", None);
        for (name, value) in present(value) {
            match name {
                "SERVER-URI" => uri = value,
                "PATHWAY-ID" => pathway = Some(self.text(value)?),
                _ => {}
            }
        }
        let resolved = self.tools().resolve(uri)?;
        self.list.steering = resolved.map(|Resolved { url, .. }| ContentSteering { url, pathway });
        Ok(())
    }

    fn check_count(&self) -> Result<(), ParseError> {
        if self.list.variants.len() + self.list.renditions.len() < MAX_TRACKS {
            return Ok(());
        }
        let line = self.lexer.number();
        Err(ParseError::TooMany { line })
    }

    fn tools(&mut self) -> Tools<'_, 'a> {
        Tools {
            lexer: &mut self.lexer,
            scope: &mut self.scope,
            resolver: &mut self.resolver,
        }
    }

    fn rate(&mut self, value: &str) -> Result<Option<BitRate>, ParseError> {
        let value = self.scope.expand(value, self.lexer.number())?;
        Ok(number::whole(&value).map(BitRate::from_bps))
    }

    fn text(&mut self, value: &str) -> Result<Arc<str>, ParseError> {
        let text = self.scope.expand(value, self.lexer.number())?;
        Ok(text.as_ref().into())
    }
}

/// The attributes that are not empty.
fn present(value: &str) -> impl Iterator<Item = (&str, &str)> {
    Attributes::new(value).filter(|(_, value)| !value.is_empty())
}

fn bare_variant(kind: VariantKind, url: Arc<str>, first_url: Arc<str>) -> Variant {
    Variant {
        kind,
        url,
        first_url,
        bandwidth: None,
        average_bandwidth: None,
        score: None,
        codecs: None,
        supplemental_codecs: None,
        resolution: None,
        frame_rate: None,
        hdcp_level: None,
        allowed_cpc: None,
        video_range: None,
        video_layout: None,
        audio: None,
        video: None,
        subtitles: None,
        closed_captions: None,
        name: None,
        stable_id: None,
        pathway: None,
    }
}

/// Where the text of an attribute belongs.
fn variant_text<'v>(variant: &'v mut Variant, name: &str) -> Option<&'v mut Option<Arc<str>>> {
    Some(match name {
        "SCORE" => &mut variant.score,
        "CODECS" => &mut variant.codecs,
        "SUPPLEMENTAL-CODECS" => &mut variant.supplemental_codecs,
        "FRAME-RATE" => &mut variant.frame_rate,
        "HDCP-LEVEL" => &mut variant.hdcp_level,
        "ALLOWED-CPC" => &mut variant.allowed_cpc,
        "VIDEO-RANGE" => &mut variant.video_range,
        "REQ-VIDEO-LAYOUT" => &mut variant.video_layout,
        "AUDIO" => &mut variant.audio,
        "VIDEO" => &mut variant.video,
        "SUBTITLES" => &mut variant.subtitles,
        "CLOSED-CAPTIONS" => &mut variant.closed_captions,
        "NAME" => &mut variant.name,
        "STABLE-VARIANT-ID" => &mut variant.stable_id,
        "PATHWAY-ID" => &mut variant.pathway,
        _ => return None,
    })
}

fn bare_rendition() -> Rendition {
    Rendition {
        kind: RenditionKind::Video,
        group: Arc::default(),
        name: Arc::default(),
        language: None,
        associated_language: None,
        url: None,
        first_url: None,
        is_default: false,
        is_autoselect: false,
        is_forced: false,
        characteristics: None,
        channels: None,
        instream_id: None,
        stable_id: None,
    }
}

/// Where the text of an attribute belongs.
fn rendition_text<'r>(
    rendition: &'r mut Rendition,
    name: &str,
) -> Option<&'r mut Option<Arc<str>>> {
    Some(match name {
        "LANGUAGE" => &mut rendition.language,
        "ASSOC-LANGUAGE" => &mut rendition.associated_language,
        "CHARACTERISTICS" => &mut rendition.characteristics,
        "CHANNELS" => &mut rendition.channels,
        "INSTREAM-ID" => &mut rendition.instream_id,
        "STABLE-RENDITION-ID" => &mut rendition.stable_id,
        _ => return None,
    })
}

fn rendition_kind(value: &str) -> Option<RenditionKind> {
    match value {
        "VIDEO" => Some(RenditionKind::Video),
        "AUDIO" => Some(RenditionKind::Audio),
        "SUBTITLES" => Some(RenditionKind::Subtitles),
        "CLOSED-CAPTIONS" => Some(RenditionKind::ClosedCaptions),
        _ => None,
    }
}
