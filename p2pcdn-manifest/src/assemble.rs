//! Makes the segments of a track from what was read, and says how they follow the last ones.

use std::sync::Arc;

use p2pcdn_wire::{MediaTime, TrackId, UnixTime};

use crate::{
    hls::{ListedPart, MediaPlaylist},
    identity::{IdentityConfig, IdentityMode, SegmentNamer},
    key::KeyUrls,
    listed::{Listed, sharing},
    resolve::Base,
    rows::Rows,
    segment::{NeverReason, Part, Sharing},
    segments::Segments,
    timeline::{self, Continuity, Related},
};

/// What the segments of a track are made from.
pub(crate) struct Assembly<'a> {
    pub(crate) namer: Arc<SegmentNamer>,
    /// How many segments the playlist has left uncounted so far.
    pub(crate) uncounted: u64,
    /// The last ones of the track.
    pub(crate) old: Option<&'a Segments>,
    /// The segments of another track to align with.
    pub(crate) other: Option<(&'a Segments, Related)>,
    pub(crate) keys: &'a Arc<KeyUrls>,
}

impl Assembly<'_> {
    /// The segments of this playlist, in places that are not final, and how they follow the last
    /// ones.
    pub(crate) fn draft(&self, media: MediaPlaylist) -> (Draft, Option<Continuity>) {
        let first = media.media_sequence.saturating_add(media.skipped);
        let first = first.saturating_add(self.uncounted);
        let control = &media.server_control;
        let low_latency = media.part_target.and(control.part_hold_back);
        let (base, table) = (media.bases.fetched, media.table);
        let old = self.old.and_then(|old| old.rows.listed());
        let mut segments = Segments {
            rows: Rows::Listed(Arc::new(Listed::new(
                table,
                first,
                base,
                self.namer.clone(),
                old.map(|old| &**old),
            ))),
            never_shared: self.keys.clone(),
            parts: Arc::new([]),
            anchor: None,
            date_ranges: media.date_ranges.into(),
            target_duration: media.target_duration,
            part_target: media.part_target,
            live_delay: low_latency.or(control.hold_back),
            liveness: media.liveness,
            live_edge: MediaTime::ZERO,
            epoch: self.old.map_or(0, |old| old.epoch),
        };
        let starts = timeline::spread(&segments, MediaTime::ZERO);
        place(&mut segments, &starts, MediaTime::ZERO);
        let old = self.old.filter(|old| !old.is_empty());
        let continuity = old.map(|old| timeline::continuity(old, &segments));
        let parts = media.parts;
        (Draft { segments, parts }, continuity)
    }

    /// The segments in their places.
    pub(crate) fn finish(&self, draft: Draft, continuity: Option<Continuity>) -> Segments {
        let Draft {
            mut segments,
            parts,
        } = draft;
        if let Some(Continuity::Slid(moved)) = continuity
            && let Some(listed) = segments.rows.listed_mut()
        {
            listed.first_ordinal = listed.first_ordinal.saturating_add(moved);
            listed.namer = Arc::new(listed.namer.with_mode(IdentityMode::PathOnly));
        }
        let old = self.old.filter(|old| !old.is_empty());
        let starts = match (old, continuity) {
            (Some(old), Some(continuity)) => timeline::next_starts(old, &segments, continuity),
            _ => {
                let (other, related) = self.other.unzip();
                let related = related.unwrap_or(Related::OtherKind);
                let first = timeline::first_start(&segments, other, related);
                timeline::spread(&segments, first)
            }
        };
        let edge = self.old.map(|old| old.live_edge).unwrap_or_default();
        place(&mut segments, &starts, edge);
        if matches!(continuity, Some(Continuity::Restarted(_))) {
            segments.epoch += 1;
        } else {
            segments.anchor = old.and_then(|old| anchor(old, &segments));
        }
        segments.parts = self.parts(&segments, &parts, continuity);
        segments
    }

    fn parts(
        &self,
        segments: &Segments,
        listed: &[ListedPart],
        continuity: Option<Continuity>,
    ) -> Arc<[Part]> {
        let moved = match continuity {
            Some(Continuity::Slid(moved)) => moved,
            _ => 0,
        };
        let known = self.old.map_or(&[][..], |old| &old.parts);
        let Some(rows) = segments.rows.listed() else {
            return Arc::new([]);
        };
        let mut parts: Vec<Part> = Vec::with_capacity(listed.len());
        for part in listed {
            let ordinal = part.sequence.saturating_add(self.uncounted);
            let ordinal = ordinal.saturating_add(moved);
            let begins = segments.rows.index_of(ordinal);
            let begins = begins.and_then(|index| segments.rows.start(index));
            let start = match parts.last() {
                Some(last) if last.ordinal == ordinal => last.end(),
                _ => begins.unwrap_or(segments.live_edge),
            };
            let url = rows.base.join(&part.reference);
            let sharing = match &url {
                _ if part.is_gap => Sharing::Never(NeverReason::Gap),
                _ if part.range.is_some_and(|range| range.is_empty()) => {
                    Sharing::Never(NeverReason::NotFetchable)
                }
                Some(url) => sharing(url, self.keys),
                None => Sharing::Never(NeverReason::NotFetchable),
            };
            parts.push(Part {
                id: rows
                    .namer
                    .part(&part.reference, (ordinal, part.index), part.range),
                ordinal,
                index: part.index,
                url: url.unwrap_or_else(|| (&*part.reference).into()),
                range: part.range,
                start,
                duration: part.duration,
                independent: part.is_independent,
                sharing,
            });
        }
        if *known == *parts {
            return self
                .old
                .map_or_else(|| Arc::new([]) as Arc<[Part]>, |old| old.parts.clone());
        }
        parts.into()
    }
}

/// A playlist read, in places that are not final.
pub(crate) struct Draft {
    pub(crate) segments: Segments,
    parts: Vec<ListedPart>,
}

/// Puts the segments into their places. Without any, the live edge is `edge`.
fn place(segments: &mut Segments, starts: &[MediaTime], edge: MediaTime) {
    if let Some(listed) = segments.rows.listed_mut() {
        listed.table.set_starts(starts.iter().copied());
    }
    let last = starts.last().zip(segments.rows.durations().next_back());
    segments.live_edge = last.map_or(edge, |(start, duration)| *start + duration);
}

/// A date that the new list no longer states but the old one knew of a segment that is in both.
fn anchor(old: &Segments, new: &Segments) -> Option<(MediaTime, UnixTime)> {
    if new.rows.dated(0).is_some() {
        return None;
    }
    let shared = new.window().start.max(old.window().start);
    let index = old.rows.index_of(shared)?;
    let start = old.rows.start(index)?;
    Some((start, old.date(index, start)?.time()))
}

/// What the segments of a playlist are named with and relative to.
pub(crate) fn namer(
    track: TrackId,
    first_url: &str,
    media: &MediaPlaylist,
    config: &Arc<IdentityConfig>,
) -> SegmentNamer {
    let bases = &media.bases;
    let base: Base = bases.first.as_ref().unwrap_or(&bases.fetched).clone();
    SegmentNamer::new(track, first_url, base, config.clone())
}
