//! Makes the playlist of a track from what was read, sharing all that stayed with the last one.

use std::sync::Arc;

use crate::{
    hls::{InitSection, MediaPlaylist, MediaSegment},
    identity::SegmentNamer,
    key::KeyUrls,
    playlist::Playlist,
    segment::{InitSegment, NeverReason, Segment, SegmentDate, Sharing},
    timeline::{self, Continuity, Draft, Related},
};

/// What a playlist is made from.
pub(crate) struct Assembly<'a> {
    pub(crate) namer: SegmentNamer<'a>,
    pub(crate) media: &'a MediaPlaylist,
    /// The last playlist of the track.
    pub(crate) old: Option<&'a Playlist>,
    /// A playlist of another track to align with.
    pub(crate) other: Option<(&'a Playlist, Related)>,
    pub(crate) keys: &'a KeyUrls,
}

impl Assembly<'_> {
    /// The names and dates of the segments, and how they follow the last playlist.
    pub(crate) fn drafts(&self) -> (Vec<Draft>, Option<Continuity>) {
        let first = self.media.media_sequence.saturating_add(self.media.skipped);
        let mut drafts: Vec<Draft> = (first..)
            .zip(&self.media.segments)
            .map(|(ordinal, segment)| self.draft(ordinal, segment))
            .collect();
        timeline::fill_dates(&mut drafts, self.old);
        let target_duration = self.media.target_duration;
        let continuity = self
            .old
            .map(|old| timeline::continuity(old, &drafts, target_duration));
        (drafts, continuity)
    }

    /// The playlist with these segments.
    pub(crate) fn playlist(&self, drafts: &[Draft], continuity: Option<Continuity>) -> Playlist {
        let media = self.media;
        let restarted = matches!(continuity, Some(Continuity::Restarted(_)));
        let starts = match (self.old, continuity) {
            (Some(old), Some(continuity)) => timeline::next_starts(old, drafts, continuity),
            _ => {
                let (other, related) = self.other.unzip();
                let related = related.unwrap_or(Related::OtherKind);
                let (target, liveness) = (media.target_duration, media.liveness);
                timeline::first_starts(drafts, target, liveness, other, related)
            }
        };
        let old = self.old.filter(|_| !restarted);
        let mut inits = Inits::default();
        let mut segments = Vec::with_capacity(drafts.len());
        for ((draft, start), listed) in drafts.iter().zip(starts).zip(&media.segments) {
            let known = old.and_then(|old| old.segment(draft.ordinal));
            let init = listed.init.as_ref().map(|section| {
                let known = known.and_then(|known| known.init.as_ref());
                inits.segment(section, known, self)
            });
            let mut segment = Segment {
                id: draft.id,
                ordinal: draft.ordinal,
                url: listed.url.clone().unwrap_or_default(),
                range: listed.range,
                start,
                duration: draft.duration,
                discontinuity_sequence: listed.discontinuity_sequence,
                date: draft.date,
                init,
                keys: listed.keys.clone(),
                sharing: self.sharing(listed),
            };
            segments.push(match known {
                Some(known) => reuse(known, &mut segment).unwrap_or_else(|| segment.into()),
                None => segment.into(),
            });
        }
        let first = media.media_sequence.saturating_add(media.skipped);
        let old_edge = self.old.map(|old| old.live_edge).unwrap_or_default();
        let live_edge = segments
            .last()
            .map_or(old_edge, |last: &Arc<Segment>| last.end());
        Playlist {
            segments,
            media_sequence: first,
            target_duration: media.target_duration,
            liveness: media.liveness,
            live_edge,
            epoch: self.old.map_or(0, |old| old.epoch + u32::from(restarted)),
        }
    }

    fn draft(&self, ordinal: u64, segment: &MediaSegment) -> Draft {
        let known = self.old.and_then(|old| old.segment(ordinal));
        let same = known.filter(|known| {
            segment.url.as_ref() == Some(&known.url) && segment.range == known.range
        });
        // The same URL has the same name, unless the playlist was redirected elsewhere.
        let direct = segment.url == segment.first_url;
        let id = match same {
            Some(known) if direct => known.id,
            _ => {
                let url = segment.first_url.as_deref().unwrap_or_default();
                self.namer.media(url, ordinal, segment.range)
            }
        };
        Draft {
            ordinal,
            id,
            duration: segment.duration,
            date: segment.date.map(SegmentDate::Explicit),
        }
    }

    fn sharing(&self, listed: &MediaSegment) -> Sharing {
        let url = listed.url.as_deref().unwrap_or_default();
        if listed.gap {
            Sharing::Never(NeverReason::Gap)
        } else {
            sharing(url, listed.range.is_some_and(|r| r.is_empty()), self.keys)
        }
    }
}

/// Whether a resource may be shared.
fn sharing(url: &str, empty: bool, keys: &KeyUrls) -> Sharing {
    let fetchable = url.starts_with("http://") || url.starts_with("https://");
    if empty || !fetchable {
        Sharing::Never(NeverReason::NotFetchable)
    } else if keys.contains(url) {
        Sharing::Never(NeverReason::KeyUrl)
    } else {
        Sharing::Shared
    }
}

/// The playlist without what turned out to be keys since; `None` when nothing did.
pub(crate) fn without_keys(playlist: &Playlist, keys: &KeyUrls) -> Option<Playlist> {
    let is_key = |sharing: Sharing, url: &str| sharing == Sharing::Shared && keys.contains(url);
    let mut changed: Option<Playlist> = None;
    for (at, segment) in playlist.segments.iter().enumerate() {
        let media = is_key(segment.sharing, &segment.url);
        let init = segment.init.as_ref();
        let init = init.filter(|init| is_key(init.sharing, &init.url));
        if !media && init.is_none() {
            continue;
        }
        let mut marked = Segment::clone(segment);
        let never = Sharing::Never(NeverReason::KeyUrl);
        if media {
            marked.sharing = never;
        }
        if let Some(init) = init {
            let sharing = never;
            marked.init = Some(Arc::new(InitSegment {
                sharing,
                ..InitSegment::clone(init)
            }));
        }
        let changed = changed.get_or_insert_with(|| playlist.clone());
        if let Some(slot) = changed.segments.get_mut(at) {
            *slot = Arc::new(marked);
        }
    }
    changed
}

/// The old segment if nothing about it changed, a computed date aside; otherwise `new` takes over
/// what the old one knows better.
fn reuse(old: &Arc<Segment>, new: &mut Segment) -> Option<Arc<Segment>> {
    if let (Some(SegmentDate::Extrapolated(_)), Some(known)) = (new.date, old.date) {
        new.date = Some(known);
    }
    if *new.keys == *old.keys {
        new.keys = old.keys.clone();
    }
    (**old == *new).then(|| old.clone())
}

/// The init segments of a playlist, each made once.
#[derive(Default)]
struct Inits<'a> {
    last: Option<(&'a Arc<InitSection>, Arc<InitSegment>)>,
}

impl<'a> Inits<'a> {
    fn segment(
        &mut self,
        section: &'a Arc<InitSection>,
        known: Option<&Arc<InitSegment>>,
        assembly: &Assembly<'_>,
    ) -> Arc<InitSegment> {
        if let Some((last, made)) = &self.last
            && Arc::ptr_eq(last, section)
        {
            return made.clone();
        }
        let empty = section.range.is_some_and(|range| range.is_empty());
        let init = InitSegment {
            id: assembly.namer.init(&section.first_url, section.range),
            url: section.url.clone(),
            range: section.range,
            sharing: sharing(&section.url, empty, assembly.keys),
        };
        let made = match known {
            Some(known) if **known == init => known.clone(),
            _ => Arc::new(init),
        };
        self.last = Some((section, made.clone()));
        made
    }
}
