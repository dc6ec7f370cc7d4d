//! Reads media playlists.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime, UnixTime};

use super::{
    Resolver, Source,
    attributes::Attributes,
    date_range::DateRanges,
    delta::context_behind,
    keys::{self, KeyTag, KeysInForce},
    lexer::{Lexer, Line},
    low_latency::{self, Tools, duration_or_zero},
    media::{MediaPlaylist, PlaylistType},
    number,
    parts::{Parts, Place, bad_range, byte_range},
    start,
    variables::{Scope, excerpt},
};
use crate::{
    date::date,
    error::{ParseError, WarningKind},
    limits::{DEFAULT_TARGET_DURATION, MAX_PRELOAD_HINTS, MAX_REPORTS, MAX_SEGMENTS},
    listed::Listed,
    reference::look,
    segments::Liveness,
    table::{Context, Entry, InitSection, Table},
};

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
    playlist: MediaPlaylist,
    /// What the tags since the last segment say of the next one.
    next: Next,
    keys: KeysInForce,
    init: Option<Arc<InitSection>>,
    discontinuities: u64,
    /// Whether what is in force is what was told the table last.
    is_context_told: bool,
    longest: Duration,
    date_ranges: DateRanges,
    parts: Parts,
    has_skip: bool,
    /// The list of before.
    before: Option<&'a Listed>,
    /// Whether what held behind the segments left out holds from here on.
    inherits: bool,
}

#[derive(Default)]
struct Next {
    duration: Option<Duration>,
    range: Option<(u64, Option<u64>)>,
    date: Option<UnixTime>,
    is_gap: bool,
    is_discontinuity: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, source: &Source<'a>) -> Self {
        let resolver = Resolver::new(source);
        let mut table = Table::default();
        // Address space, not memory: what is not written to is given back. A row for every 40
        // bytes is what lists have that hold nothing but names and durations.
        table.reserve(text.len() / 40, text.len());
        Self {
            lexer: Lexer::new(text),
            scope: Scope::new(source.url, source.variables),
            playlist: MediaPlaylist {
                target_duration: DEFAULT_TARGET_DURATION,
                declared_target_duration: None,
                media_sequence: 0,
                skipped: 0,
                removed_date_ranges: Vec::new(),
                discontinuity_sequence: 0,
                liveness: Liveness::Live,
                playlist_type: None,
                is_i_frames_only: false,
                is_independent: false,
                start: None,
                server_control: low_latency::ServerControl::default(),
                part_target: None,
                preload_hints: Vec::new(),
                rendition_reports: Vec::new(),
                date_ranges: Vec::new(),
                key_urls: Vec::new(),
                warnings: Vec::new(),
                table,
                parts: Vec::new(),
                bases: resolver.bases.clone(),
            },
            resolver,
            next: Next::default(),
            keys: KeysInForce::default(),
            init: None,
            discontinuities: 0,
            is_context_told: false,
            longest: Duration::ZERO,
            date_ranges: DateRanges::default(),
            parts: Parts::default(),
            has_skip: false,
            before: source.before,
            inherits: false,
        }
    }

    /// A tag that is of the segment to come, or of those from there on.
    fn tag(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        match name {
            "INF" => self.next.duration = Some(duration_or_zero(value, &mut self.lexer)),
            "-X-PROGRAM-DATE-TIME" => {
                self.next.date = date(value);
                if self.next.date.is_none() {
                    self.lexer.warn(WarningKind::BadDate);
                }
            }
            "-X-BYTERANGE" => {
                let range = number::byte_range(value.trim_matches('"'));
                self.next.range = Some(range.ok_or_else(|| self.bad_range(value))?);
            }
            "-X-DISCONTINUITY" => {
                self.discontinuities = self.discontinuities.saturating_add(1);
                self.next.is_discontinuity = true;
                self.is_context_told = false;
            }
            "-X-GAP" => self.next.is_gap = true,
            "-X-KEY" => self.key(value)?,
            "-X-MAP" => self.map(value)?,
            "-X-PART" => self.part(value)?,
            _ => self.playlist_tag(name, value)?,
        }
        Ok(())
    }

    /// A tag that is of the playlist as a whole.
    fn playlist_tag(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        match name {
            "-X-TARGETDURATION" => {
                let duration = Some(duration_or_zero(value, &mut self.lexer))
                    .filter(|duration| !duration.is_zero());
                self.playlist.declared_target_duration = duration;
            }
            "-X-MEDIA-SEQUENCE" => {
                self.playlist.media_sequence = self.sequence(value)?;
            }
            "-X-DISCONTINUITY-SEQUENCE" => {
                self.playlist.discontinuity_sequence = self.sequence(value)?;
            }
            "-X-SKIP" => self.skip(value)?,
            // It belongs elsewhere and holds for no segment; its URL is that of a key all the same.
            "-X-SESSION-KEY" => drop(self.read_key(value)?),
            "-X-ENDLIST" => self.playlist.liveness = Liveness::Ended,
            "-X-PLAYLIST-TYPE" => self.playlist_type(value),
            "-X-I-FRAMES-ONLY" => self.playlist.is_i_frames_only = true,
            "-X-INDEPENDENT-SEGMENTS" => self.playlist.is_independent = true,
            "-X-START" => self.playlist.start = start::read(value, &mut self.lexer),
            "-X-DEFINE" => self.scope.define(value, self.lexer.number())?,
            "-X-DATERANGE" => {
                let (lexer, scope) = (&mut self.lexer, &mut self.scope);
                self.date_ranges.take(value, lexer, scope)?;
            }
            "-X-SERVER-CONTROL" => {
                self.playlist.server_control = low_latency::server_control(value, &mut self.lexer);
            }
            "-X-PART-INF" => {
                self.playlist.part_target = low_latency::part_target(value, &mut self.lexer);
            }
            "-X-PRELOAD-HINT" if self.playlist.preload_hints.len() < MAX_PRELOAD_HINTS => {
                let hint = low_latency::preload_hint(value, self.tools())?;
                self.playlist.preload_hints.extend(hint);
            }
            "-X-RENDITION-REPORT" if self.playlist.rendition_reports.len() < MAX_REPORTS => {
                let report = low_latency::rendition_report(value, self.tools())?;
                self.playlist.rendition_reports.extend(report);
            }
            "-X-PRELOAD-HINT" | "-X-RENDITION-REPORT" => {
                self.lexer.warn(WarningKind::TooManyEntries);
            }
            _ => {}
        }
        Ok(())
    }

    fn tools(&mut self) -> Tools<'_, 'a> {
        Tools {
            lexer: &mut self.lexer,
            scope: &mut self.scope,
            resolver: &mut self.resolver,
        }
    }

    fn playlist_type(&mut self, value: &str) {
        let playlist_type = match value {
            "EVENT" => PlaylistType::Event,
            "VOD" => PlaylistType::Vod,
            _ => return,
        };
        let playlist = &mut self.playlist;
        playlist.playlist_type = Some(playlist_type);
        // Players reload what calls itself on demand until it has an end, and some of it grows.
        playlist.liveness = playlist.liveness.max(Liveness::Event);
    }

    fn segment(&mut self, reference: &str) -> Result<(), ParseError> {
        let next = std::mem::take(&mut self.next);
        let Some(duration) = next.duration else {
            self.lexer.warn(WarningKind::StrayUrl);
            return Ok(());
        };
        let line = self.lexer.number();
        if self.playlist.table.len() >= MAX_SEGMENTS {
            return Err(ParseError::TooMany { line });
        }
        let reference = self.scope.expand(reference, line)?;
        let range = match next.range {
            None => None,
            Some((len, offset)) => Some(self.range(len, offset, &reference)?),
        };
        self.tell_context()?;
        self.longest = self.longest.max(duration);
        self.parts.end_segment();
        let look = self.playlist.table.push(&Entry {
            reference: &reference,
            range,
            start: MediaTime::ZERO,
            duration,
            date: next.date,
            is_gap: next.is_gap,
            is_discontinuity: next.is_discontinuity,
        });
        if !self.resolver.resolves(&reference, look) && !next.is_gap {
            self.lexer.warn(WarningKind::BadUrl);
        }
        Ok(())
    }

    /// Takes over what holds behind the segments that a delta update leaves out, once and before
    /// anything can change it.
    fn inherit(&mut self) {
        if !std::mem::take(&mut self.inherits) {
            return;
        }
        let (first, skipped) = (self.playlist.media_sequence, self.playlist.skipped);
        if let Some(context) = context_behind(self.before, first, skipped) {
            self.init = context.init;
            self.keys = KeysInForce::from(&context.keys);
            // Those before the playlist are added at the end.
            let counted = context.discontinuity_sequence;
            let before = counted.saturating_sub(self.playlist.discontinuity_sequence);
            self.discontinuities = self.discontinuities.saturating_add(before);
            self.is_context_told = false;
        }
    }

    /// Tells the table what holds from here on, if it does not know.
    fn tell_context(&mut self) -> Result<(), ParseError> {
        self.inherit();
        if !self.is_context_told {
            let keys = self.keys.shared(&mut self.resolver)?;
            self.playlist.table.push_context(Context {
                discontinuity_sequence: self.discontinuities,
                init: self.init.clone(),
                keys,
            });
            self.is_context_told = true;
        }
        Ok(())
    }

    /// Resolves a byte range. Without an offset it follows the segment before, which must then be
    /// of the same resource (RFC 8216bis section 4.4.4.2).
    fn range(
        &self,
        len: u64,
        offset: Option<u64>,
        reference: &str,
    ) -> Result<ByteRange, ParseError> {
        let table = &self.playlist.table;
        let previous = || {
            let entry = match table.len().checked_sub(1) {
                Some(last) => table.entry(last)?,
                None => self.last_skipped()?,
            };
            let base = &self.resolver.bases.fetched;
            let is_same = entry.reference == reference
                || base
                    .join(entry.reference)
                    .is_some_and(|url| base.join(reference) == Some(url));
            entry.range.filter(|_| is_same).map(|range| range.end)
        };
        let start = offset.or_else(previous);
        byte_range(start, len).ok_or_else(|| self.bad_range(&len.to_string()))
    }

    /// The last of the segments that a delta update leaves out.
    fn last_skipped(&self) -> Option<Entry<'_>> {
        let first = self.playlist.first_sequence();
        let before = self.before.filter(|_| self.playlist.skipped > 0)?;
        before.table.entry(before.index_of(first.checked_sub(1)?)?)
    }

    fn part(&mut self, value: &str) -> Result<(), ParseError> {
        self.tell_context()?;
        let table = &self.playlist.table;
        let place = Place {
            segment: u64::try_from(table.len()).unwrap_or(u64::MAX),
            context: table.contexts().len().saturating_sub(1),
        };
        let tools = Tools {
            lexer: &mut self.lexer,
            scope: &mut self.scope,
            resolver: &mut self.resolver,
        };
        self.parts.take(value, place, tools)
    }

    fn key(&mut self, value: &str) -> Result<(), ParseError> {
        let tag = self.read_key(value)?;
        if self.keys.apply(tag, &mut self.lexer) {
            self.is_context_told = false;
        }
        Ok(())
    }

    fn read_key(&mut self, value: &str) -> Result<KeyTag, ParseError> {
        self.inherit();
        let tag = keys::read(value, &mut self.lexer, &mut self.scope, &mut self.resolver)?;
        keys::remember(&tag, &mut self.playlist.key_urls, self.lexer.number())?;
        Ok(tag)
    }

    fn map(&mut self, value: &str) -> Result<(), ParseError> {
        self.inherit();
        let line = self.lexer.number();
        let (mut uri, mut range) = ("", None);
        for (name, value) in Attributes::new(value) {
            match name {
                "URI" => uri = value,
                "BYTERANGE" if !value.is_empty() => range = Some(value),
                _ => {}
            }
        }
        let reference = self.scope.expand(uri, line)?;
        if reference.is_empty() || !self.resolver.resolves(&reference, look(&reference)) {
            self.lexer.warn(WarningKind::BadUrl);
            self.is_context_told &= self.init.is_none();
            self.init = None;
            return Ok(());
        }
        let range = match range {
            None => None,
            Some(text) => {
                let text = self.scope.expand(text, line)?;
                let parsed = number::byte_range(&text);
                let (len, offset) = parsed.ok_or_else(|| self.bad_range(&text))?;
                // The offset is required here; players take the start of the resource without it.
                let range = byte_range(Some(offset.unwrap_or(0)), len);
                Some(range.ok_or_else(|| self.bad_range(&text))?)
            }
        };
        let section = InitSection {
            reference: reference.into(),
            range,
            keys: self.keys.shared(&mut self.resolver)?,
        };
        // Some packagers repeat it before each segment.
        if self.init.as_deref() != Some(&section) {
            self.init = Some(Arc::new(section));
            self.is_context_told = false;
        }
        Ok(())
    }

    /// A delta update leaves out segments at its start, once. Elsewhere it would be anyone's guess
    /// which numbers the segments before and behind it have.
    fn skip(&mut self, value: &str) -> Result<(), ParseError> {
        let (mut skipped, mut removed) = ("", "");
        for (name, value) in Attributes::new(value) {
            match name {
                "SKIPPED-SEGMENTS" => skipped = value,
                "RECENTLY-REMOVED-DATERANGES" => removed = value,
                _ => {}
            }
        }
        if self.has_skip || self.playlist.table.len() > 0 {
            return Err(self.bad_number(skipped));
        }
        self.has_skip = true;
        self.inherits = true;
        self.playlist.skipped = self.integer(skipped)?;
        let removed = self.scope.expand(removed, self.lexer.number())?;
        let ids = removed.split('\t').filter(|id| !id.is_empty());
        self.playlist.removed_date_ranges = ids.map(Box::from).collect();
        self.lexer.warn(WarningKind::DeltaUpdate);
        Ok(())
    }

    /// Like players, takes the digits there are, and zero where there are none.
    fn sequence(&mut self, value: &str) -> Result<u64, ParseError> {
        if self.playlist.table.len() > 0 {
            self.lexer.warn(WarningKind::Misplaced);
        }
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
        number::integer(value).ok_or_else(|| self.bad_number(value))
    }

    fn bad_number(&self, value: &str) -> ParseError {
        ParseError::BadNumber {
            line: self.lexer.number(),
            value: excerpt(value),
        }
    }

    fn bad_range(&self, value: &str) -> ParseError {
        bad_range(self.lexer.number(), value)
    }

    fn finish(mut self) -> Result<MediaPlaylist, ParseError> {
        let mut playlist = self.playlist;
        if self.next.duration.is_some() {
            self.lexer.warn(WarningKind::MissingUrl);
        }
        let count = u64::try_from(playlist.table.len()).unwrap_or(u64::MAX);
        let first = playlist.media_sequence.checked_add(playlist.skipped);
        let Some(first) = first.filter(|first| first.checked_add(count).is_some()) else {
            return Err(ParseError::BadNumber {
                line: 0,
                value: playlist.media_sequence.to_string(),
            });
        };
        playlist.parts = self.parts.into_vec(first);
        let before = playlist.discontinuity_sequence;
        for context in playlist.table.contexts_mut() {
            context.discontinuity_sequence = context.discontinuity_sequence.saturating_add(before);
        }
        let target_duration = match playlist.declared_target_duration {
            Some(target_duration) => target_duration,
            None => {
                self.lexer.warn(WarningKind::NoTargetDuration);
                let longest = Some(self.longest).filter(|duration| !duration.is_zero());
                longest.unwrap_or(DEFAULT_TARGET_DURATION)
            }
        };
        playlist.target_duration = target_duration.max(Duration::from_secs(1));
        playlist.date_ranges = self.date_ranges.into_vec();
        playlist.warnings = self.lexer.into_warnings().into_vec();
        playlist.table.shrink();
        Ok(playlist)
    }
}
