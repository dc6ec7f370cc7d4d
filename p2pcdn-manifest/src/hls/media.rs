//! Media playlists.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, UnixTime};

use super::{
    Resolved, Resolver, Source,
    attributes::Attributes,
    keys::{self, KeyTag, KeysInForce},
    lexer::{Lexer, Line},
    number,
    variables::{Scope, excerpt},
};
use crate::{
    error::{ParseError, Warning, WarningKind},
    key::{Key, KeyUrl},
    limits::{DEFAULT_TARGET_DURATION, MAX_SEGMENT_DURATION, MAX_SEGMENTS},
    playlist::Liveness,
};

/// A media playlist: the segments of one track, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// `EXT-X-TARGETDURATION`, or the longest segment where it is absent. At least 1 s.
    pub target_duration: Duration,
    /// Ordinal of the first segment that the playlist counts, listed or not.
    pub media_sequence: u64,
    /// How many segments at the start a delta update leaves out.
    pub skipped: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// Whether the playlist will change.
    pub liveness: Liveness,
    /// The segments listed; the first has the ordinal `media_sequence + skipped`.
    pub segments: Vec<MediaSegment>,
    /// Every key URL in it, also of keys that no segment uses.
    pub key_urls: Vec<KeyUrl>,
    /// What is wrong with it.
    pub warnings: Vec<Warning>,
}

/// A segment as a media playlist lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSegment {
    /// Where to fetch it; `None` when the reference cannot be resolved.
    pub url: Option<Arc<str>>,
    /// The same had the playlist not been redirected.
    pub(crate) first_url: Option<Arc<str>>,
    /// The bytes of the resource, implicit offsets resolved; `None` for all of them.
    pub range: Option<ByteRange>,
    /// `EXTINF`.
    pub duration: Duration,
    /// How many discontinuities came before, this segment's own included.
    pub discontinuity_sequence: u64,
    /// `EXT-X-PROGRAM-DATE-TIME` of this very segment.
    pub date: Option<UnixTime>,
    /// `EXT-X-GAP`: there is nothing to fetch.
    pub gap: bool,
    /// `EXT-X-MAP` in force.
    pub init: Option<Arc<InitSection>>,
    /// `EXT-X-KEY`s in force.
    pub keys: Arc<[Key]>,
}

/// `EXT-X-MAP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitSection {
    /// Where to fetch it.
    pub url: Arc<str>,
    /// The same had the playlist not been redirected.
    pub(crate) first_url: Arc<str>,
    /// The bytes of the resource; `None` for all of them.
    pub range: Option<ByteRange>,
}

pub(super) fn parse(text: &str, source: &Source<'_>) -> Result<MediaPlaylist, ParseError> {
    let mut reader = Reader::new(text, source);
    while let Some(line) = reader.lexer.next_line()? {
        match line {
            Line::Tag { name, value } => reader.tag(name, value)?,
            Line::Url(reference) => reader.segment(reference)?,
        }
    }
    reader.finish()
}

/// A playlist half read.
struct Reader<'a> {
    lexer: Lexer<'a>,
    scope: Scope<'a>,
    resolver: Resolver,
    target_duration: Option<Duration>,
    playlist: MediaPlaylist,
    /// What the tags since the last segment say of the next one.
    next: Next,
    keys: KeysInForce,
    init: Option<Arc<InitSection>>,
    discontinuities: u64,
}

#[derive(Default)]
struct Next {
    duration: Option<Duration>,
    range: Option<(u64, Option<u64>)>,
    date: Option<UnixTime>,
    gap: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, source: &Source<'a>) -> Self {
        Self {
            lexer: Lexer::new(text),
            scope: Scope::new(source.url, source.variables),
            resolver: Resolver::new(source),
            target_duration: None,
            playlist: MediaPlaylist {
                target_duration: DEFAULT_TARGET_DURATION,
                media_sequence: 0,
                skipped: 0,
                discontinuity_sequence: 0,
                liveness: Liveness::Live,
                segments: Vec::new(),
                key_urls: Vec::new(),
                warnings: Vec::new(),
            },
            next: Next::default(),
            keys: KeysInForce::default(),
            init: None,
            discontinuities: 0,
        }
    }

    fn tag(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        match name {
            "INF" => self.next.duration = Some(self.duration(value)),
            "-X-BYTERANGE" => {
                let range = number::byte_range(value.trim_matches('"'));
                self.next.range = Some(range.ok_or_else(|| self.bad_range(value))?);
            }
            "-X-DISCONTINUITY" => self.discontinuities = self.discontinuities.saturating_add(1),
            "-X-GAP" => self.next.gap = true,
            "-X-PROGRAM-DATE-TIME" => {
                self.next.date = number::date(value);
                if self.next.date.is_none() {
                    self.lexer.warn(WarningKind::BadDate);
                }
            }
            "-X-KEY" => self.key(value)?,
            "-X-MAP" => self.map(value)?,
            "-X-TARGETDURATION" => {
                let duration = self.duration(value);
                self.target_duration = Some(duration).filter(|duration| !duration.is_zero());
            }
            "-X-MEDIA-SEQUENCE" => self.playlist.media_sequence = self.sequence(value)?,
            "-X-DISCONTINUITY-SEQUENCE" => {
                self.playlist.discontinuity_sequence = self.sequence(value)?;
            }
            "-X-SKIP" => {
                let skipped = Attributes::new(value).text("SKIPPED-SEGMENTS");
                self.playlist.skipped = self.integer(skipped.unwrap_or_default())?;
                self.lexer.warn(WarningKind::DeltaUpdate);
            }
            "-X-ENDLIST" => self.playlist.liveness = Liveness::Ended,
            // Players reload what calls itself on demand until it has an end, and some of it grows.
            "-X-PLAYLIST-TYPE" if matches!(value, "EVENT" | "VOD") => {
                self.playlist.liveness = self.playlist.liveness.max(Liveness::Event);
            }
            "-X-DEFINE" => self.scope.define(value, self.lexer.number())?,
            _ => {}
        }
        Ok(())
    }

    fn segment(&mut self, reference: &str) -> Result<(), ParseError> {
        let next = std::mem::take(&mut self.next);
        let Some(duration) = next.duration else {
            self.lexer.warn(WarningKind::StrayUrl);
            return Ok(());
        };
        let line = self.lexer.number();
        if self.playlist.segments.len() >= MAX_SEGMENTS {
            return Err(ParseError::TooMany { line });
        }
        let reference = self.scope.expand(reference, line)?;
        let resolved = self.resolver.resolve(&reference)?;
        if resolved.is_none() && !next.gap {
            self.lexer.warn(WarningKind::BadUrl);
        }
        let (url, first_url) = match resolved {
            Some(Resolved { url, first_url }) => (Some(url), Some(first_url)),
            None => (None, None),
        };
        let range = match next.range {
            None => None,
            Some((len, offset)) => Some(self.range(len, offset, url.as_deref())?),
        };
        self.playlist.segments.push(MediaSegment {
            url,
            first_url,
            range,
            duration,
            discontinuity_sequence: self.discontinuities,
            date: next.date,
            gap: next.gap,
            init: self.init.clone(),
            keys: self.keys.shared(),
        });
        Ok(())
    }

    /// Resolves a byte range. Without an offset it follows the segment before, which must then be
    /// of the same resource (RFC 8216bis section 4.4.4.2).
    fn range(
        &self,
        len: u64,
        offset: Option<u64>,
        url: Option<&str>,
    ) -> Result<ByteRange, ParseError> {
        let previous = || {
            let segment = self.playlist.segments.last()?;
            let end = segment.range?.end;
            (segment.url.as_deref() == url).then_some(end)
        };
        let start = offset.or_else(previous);
        let range = start.and_then(|start| Some(ByteRange::new(start, start.checked_add(len)?)));
        range.ok_or_else(|| self.bad_range(&len.to_string()))
    }

    fn key(&mut self, value: &str) -> Result<(), ParseError> {
        let tag = keys::read(value, &mut self.lexer, &mut self.scope, &mut self.resolver)?;
        if let KeyTag::Key(key) = &tag
            && let Some(url) = &key.url
            && self.playlist.key_urls.last() != Some(url)
        {
            if self.playlist.key_urls.len() >= MAX_SEGMENTS {
                let line = self.lexer.number();
                return Err(ParseError::TooMany { line });
            }
            self.playlist.key_urls.push(url.clone());
        }
        self.keys.apply(tag, &mut self.lexer);
        Ok(())
    }

    fn map(&mut self, value: &str) -> Result<(), ParseError> {
        let line = self.lexer.number();
        let attributes = Attributes::new(value);
        let resolved = match attributes.text("URI") {
            Some(uri) => self.resolver.resolve(&self.scope.expand(uri, line)?)?,
            None => None,
        };
        let Some(Resolved { url, first_url }) = resolved else {
            self.lexer.warn(WarningKind::BadUrl);
            self.init = None;
            return Ok(());
        };
        let range = match attributes.text("BYTERANGE") {
            None => None,
            Some(text) => {
                let text = self.scope.expand(text, line)?;
                let parsed = number::byte_range(&text);
                let (len, offset) = parsed.ok_or_else(|| self.bad_range(&text))?;
                // The offset is required here; players take the start of the resource without it.
                let start = offset.unwrap_or(0);
                let end = start.checked_add(len);
                Some(ByteRange::new(
                    start,
                    end.ok_or_else(|| self.bad_range(&text))?,
                ))
            }
        };
        self.init = Some(Arc::new(InitSection {
            url,
            first_url,
            range,
        }));
        Ok(())
    }

    fn duration(&mut self, value: &str) -> Duration {
        let duration = number::seconds(value);
        if duration.is_none_or(|duration| duration > MAX_SEGMENT_DURATION) {
            self.lexer.warn(WarningKind::BadDuration);
        }
        duration.unwrap_or_default().min(MAX_SEGMENT_DURATION)
    }

    /// Like players, takes the digits there are, and zero where there are none.
    fn sequence(&mut self, value: &str) -> Result<u64, ParseError> {
        let digits = number::digits(value);
        if digits.len() < value.len() || digits.is_empty() {
            self.lexer.warn(WarningKind::BadAttribute);
        }
        if digits.is_empty() {
            Ok(0)
        } else {
            self.integer(digits)
        }
    }

    fn integer(&self, value: &str) -> Result<u64, ParseError> {
        number::integer(value).ok_or_else(|| ParseError::BadNumber {
            line: self.lexer.number(),
            value: excerpt(value),
        })
    }

    fn bad_range(&self, value: &str) -> ParseError {
        ParseError::BadByteRange {
            line: self.lexer.number(),
            value: excerpt(value),
        }
    }

    fn finish(mut self) -> Result<MediaPlaylist, ParseError> {
        let mut playlist = self.playlist;
        if self.next.duration.is_some() {
            self.lexer.warn(WarningKind::MissingUrl);
        }
        let count = u64::try_from(playlist.segments.len()).unwrap_or(u64::MAX);
        let last = playlist.media_sequence.checked_add(playlist.skipped);
        if last.and_then(|first| first.checked_add(count)).is_none() {
            return Err(ParseError::BadNumber {
                line: 0,
                value: playlist.media_sequence.to_string(),
            });
        }
        for segment in &mut playlist.segments {
            segment.discontinuity_sequence = segment
                .discontinuity_sequence
                .saturating_add(playlist.discontinuity_sequence);
        }
        let longest = playlist
            .segments
            .iter()
            .map(|segment| segment.duration)
            .max();
        let target_duration = match self.target_duration {
            Some(target_duration) => target_duration,
            None => {
                self.lexer.warn(WarningKind::NoTargetDuration);
                let longest = longest.filter(|duration| !duration.is_zero());
                longest.unwrap_or(DEFAULT_TARGET_DURATION)
            }
        };
        playlist.target_duration = target_duration.max(Duration::from_secs(1));
        playlist.warnings = self.lexer.into_warnings().into_vec();
        Ok(playlist)
    }
}
