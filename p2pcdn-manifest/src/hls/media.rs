//! Media playlists as values.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, UnixTime};

use super::{
    date_range::DateRange,
    low_latency::{PreloadHint, RenditionReport, ServerControl},
    start::StartPoint,
};
use crate::{
    error::Warning,
    key::{Key, KeyUrl},
    segments::Liveness,
    table::{self, Bases, Table},
};

/// A media playlist: the segments of one track, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// `EXT-X-TARGETDURATION`, or the longest segment where it is absent. At least 1 s.
    pub target_duration: Duration,
    /// `EXT-X-TARGETDURATION`; `None` where it is absent, zero, or no number.
    pub declared_target_duration: Option<Duration>,
    /// Ordinal of the first segment that the playlist counts, listed or not.
    pub media_sequence: u64,
    /// How many segments at the start a delta update leaves out.
    pub skipped: u64,
    /// `RECENTLY-REMOVED-DATERANGES` of a delta update: ids of date ranges that are gone.
    pub removed_date_ranges: Vec<Box<str>>,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// Whether the playlist will change.
    pub liveness: Liveness,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub playlist_type: Option<PlaylistType>,
    /// `EXT-X-I-FRAMES-ONLY`: each segment is a single picture.
    pub is_i_frames_only: bool,
    /// `EXT-X-INDEPENDENT-SEGMENTS`: each segment can be decoded without another.
    pub is_independent: bool,
    /// `EXT-X-START`.
    pub start: Option<StartPoint>,
    /// `EXT-X-SERVER-CONTROL`.
    pub server_control: ServerControl,
    /// `PART-TARGET` of `EXT-X-PART-INF`: the longest part; `None` without parts.
    pub part_target: Option<Duration>,
    /// `EXT-X-PRELOAD-HINT`, at most [`MAX_PRELOAD_HINTS`](crate::MAX_PRELOAD_HINTS).
    pub preload_hints: Vec<PreloadHint>,
    /// `EXT-X-RENDITION-REPORT`, at most [`MAX_REPORTS`](crate::MAX_REPORTS).
    pub rendition_reports: Vec<RenditionReport>,
    /// `EXT-X-DATERANGE`, in the order of their first tags, at most
    /// [`MAX_DATE_RANGES`](crate::MAX_DATE_RANGES).
    pub date_ranges: Vec<DateRange>,
    /// Every key URL in it, also of keys that no segment uses.
    pub key_urls: Vec<KeyUrl>,
    /// What is wrong with it.
    pub warnings: Vec<Warning>,
    /// The segments listed, all at [`MediaTime::ZERO`](p2pcdn_wire::MediaTime::ZERO).
    pub(crate) table: Table,
    /// The parts listed.
    pub(crate) parts: Vec<ListedPart>,
    pub(crate) bases: Bases,
}

/// `EXT-X-PLAYLIST-TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlaylistType {
    /// `EVENT`: segments are added at the end only.
    Event,
    /// `VOD`: it will not change.
    Vod,
}

/// `EXT-X-PART`, its reference not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedPart {
    /// Ordinal of the segment that it is of, which need not be listed yet.
    pub(crate) sequence: u64,
    /// Its place in that segment, from 0.
    pub(crate) index: u32,
    /// Relative to the playlist, variables replaced.
    pub(crate) reference: Box<str>,
    pub(crate) range: Option<ByteRange>,
    pub(crate) duration: Duration,
    pub(crate) is_independent: bool,
    pub(crate) is_gap: bool,
    /// Which context of the table holds for it.
    pub(crate) context: usize,
}

/// A segment as a media playlist lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSegment {
    /// Its ordinal: the media sequence number.
    pub sequence: u64,
    /// Where to fetch it; `None` when the reference cannot be resolved.
    pub url: Option<Arc<str>>,
    /// The bytes of the resource, implicit offsets resolved; `None` for all of them.
    pub range: Option<ByteRange>,
    /// `EXTINF`.
    pub duration: Duration,
    /// `EXT-X-DISCONTINUITY` of this very segment.
    pub is_discontinuity: bool,
    /// How many discontinuities came before, this segment's own included.
    pub discontinuity_sequence: u64,
    /// `EXT-X-PROGRAM-DATE-TIME` of this very segment.
    pub date: Option<UnixTime>,
    /// `EXT-X-GAP`: there is nothing to fetch.
    pub is_gap: bool,
    /// `EXT-X-MAP` in force.
    pub init: Option<Arc<InitSection>>,
    /// `EXT-X-KEY`s in force.
    pub keys: Arc<[Key]>,
}

/// `EXT-X-PART`: a piece of a segment, listed before the segment is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPart {
    /// Ordinal of the segment that it is of, which need not be listed yet.
    pub sequence: u64,
    /// Its place in that segment, from 0.
    pub index: u32,
    /// Where to fetch it; `None` when the reference cannot be resolved.
    pub url: Option<Arc<str>>,
    /// The bytes of the resource, implicit offsets resolved; `None` for all of them.
    pub range: Option<ByteRange>,
    /// `DURATION`.
    pub duration: Duration,
    /// `INDEPENDENT`: it begins with a picture that can be decoded alone.
    pub is_independent: bool,
    /// `GAP`: there is nothing to fetch.
    pub is_gap: bool,
    /// How many discontinuities came before.
    pub discontinuity_sequence: u64,
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
    /// The bytes of the resource; `None` for all of them.
    pub range: Option<ByteRange>,
    /// The keys in force where it is declared: how it is encrypted itself.
    pub keys: Arc<[Key]>,
}

impl MediaPlaylist {
    /// The segments listed, resolved one by one as they are asked for.
    #[must_use]
    pub fn segments(&self) -> MediaSegments<'_> {
        MediaSegments {
            playlist: self,
            at: 0,
            inits: Inits::default(),
        }
    }

    /// The parts listed, resolved one by one as they are asked for.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = MediaPart> {
        let mut inits = Inits::default();
        self.parts.iter().map(move |part| {
            let context = self.table.contexts().get(part.context);
            MediaPart {
                sequence: part.sequence,
                index: part.index,
                url: self.bases.fetched.join(&part.reference),
                range: part.range,
                duration: part.duration,
                is_independent: part.is_independent,
                is_gap: part.is_gap,
                discontinuity_sequence: context.map_or(0, |context| context.discontinuity_sequence),
                init: context.and_then(|context| inits.resolve(context.init.as_ref()?, self)),
                keys: context
                    .map(|context| context.keys.clone())
                    .unwrap_or_default(),
            }
        })
    }

    /// Ordinal of the first segment listed, or of the one to come when there is none.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.media_sequence.saturating_add(self.skipped)
    }
}

/// The segments of a [`MediaPlaylist`].
#[derive(Clone, Debug)]
pub struct MediaSegments<'a> {
    playlist: &'a MediaPlaylist,
    at: usize,
    inits: Inits,
}

impl Iterator for MediaSegments<'_> {
    type Item = MediaSegment;

    fn next(&mut self) -> Option<Self::Item> {
        let playlist = self.playlist;
        let entry = playlist.table.entry(self.at)?;
        let context = playlist.table.context(self.at)?;
        let position = u64::try_from(self.at).unwrap_or(u64::MAX);
        self.at += 1;
        let init = context.init.as_ref();
        Some(MediaSegment {
            sequence: playlist.first_sequence().saturating_add(position),
            url: playlist.bases.fetched.join(entry.reference),
            range: entry.range,
            duration: entry.duration,
            is_discontinuity: entry.is_discontinuity,
            discontinuity_sequence: context.discontinuity_sequence,
            date: entry.date,
            is_gap: entry.is_gap,
            init: init.and_then(|init| self.inits.resolve(init, playlist)),
            keys: context.keys.clone(),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.playlist.table.len().saturating_sub(self.at);
        (left, Some(left))
    }
}

impl ExactSizeIterator for MediaSegments<'_> {}

/// The init section resolved last: it usually holds for all segments.
#[derive(Clone, Debug, Default)]
struct Inits(Option<(Arc<table::InitSection>, Arc<InitSection>)>);

impl Inits {
    fn resolve(
        &mut self,
        section: &Arc<table::InitSection>,
        playlist: &MediaPlaylist,
    ) -> Option<Arc<InitSection>> {
        if let Some((last, resolved)) = &self.0
            && Arc::ptr_eq(last, section)
        {
            return Some(resolved.clone());
        }
        let resolved = Arc::new(InitSection {
            url: playlist.bases.fetched.join(&section.reference)?,
            range: section.range,
            keys: section.keys.clone(),
        });
        self.0 = Some((section.clone(), resolved.clone()));
        Some(resolved)
    }
}
