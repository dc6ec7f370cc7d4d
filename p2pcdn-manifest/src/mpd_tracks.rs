//! The tracks of an MPD, and their names.

use std::{collections::BTreeMap, sync::Arc};

use p2pcdn_wire::{BitRate, ContentId, MediaTime, TrackId};

use crate::{
    dash::{AdaptationSet, ContentType, Mpd, Period, Representation},
    identity::track_id,
    limits::MAX_TRACKS,
    track::{MediaSpan, Resolution, SwitchingSet, Track, TrackKind},
};

/// The tracks of an MPD, those of each period apart.
pub(crate) struct MpdTracks {
    /// Each with the place of its representation.
    pub(crate) tracks: Vec<(Track, Place)>,
    pub(crate) switching_sets: Vec<SwitchingSet>,
}

/// Where a representation is in an MPD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    period: usize,
    adaptation_set: usize,
    representation: usize,
}

impl Place {
    pub(crate) fn find(self, mpd: &Mpd) -> Option<(&Period, &Representation)> {
        let period = mpd.periods.get(self.period)?;
        let set = period.adaptation_sets.get(self.adaptation_set)?;
        Some((period, set.representations.get(self.representation)?))
    }
}

/// The tracks of an MPD at `url`, in its order, the newest periods first to be kept if there are
/// more than [`MAX_TRACKS`].
///
/// A representation is named by its id, which is unique in its period and stays the same from
/// version to version. Where it is missing or not unique, its attributes help, for all that have
/// it, as their order may differ from viewer to viewer; what is still the same then is left out,
/// since nothing says which is which.
pub(crate) fn tracks(mpd: &Mpd, content: ContentId, url: &Arc<str>) -> MpdTracks {
    let mut all = MpdTracks {
        tracks: Vec::new(),
        switching_sets: Vec::new(),
    };
    let counts = mpd.periods.iter().map(|period| {
        let sets = period.adaptation_sets.iter();
        sets.map(|set| set.representations.len()).sum::<usize>()
    });
    let mut room = MAX_TRACKS;
    let kept = counts.rev().take_while(|count| {
        let fits = *count <= room;
        room = room.saturating_sub(*count);
        fits
    });
    let first = mpd.periods.len().saturating_sub(kept.count());
    let periods = || mpd.periods.iter().enumerate().skip(first);
    let mut uses: BTreeMap<TrackId, u32> = BTreeMap::new();
    for (_, period) in periods() {
        let key = period_key(period);
        let sets = period.adaptation_sets.iter();
        let members = sets.flat_map(|set| set.representations.iter().map(move |it| (set, it)));
        for name in members.flat_map(|(set, it)| names(content, &key, period, set, it)) {
            *uses.entry(name).or_default() += 1;
        }
    }
    for (at, period) in periods() {
        all.add_period(period, at, content, url, &uses);
    }
    all
}

impl MpdTracks {
    fn add_period(
        &mut self,
        period: &Period,
        period_at: usize,
        content: ContentId,
        url: &Arc<str>,
        uses: &BTreeMap<TrackId, u32>,
    ) {
        let key = period_key(period);
        let start = period.start.unwrap_or(MediaTime::ZERO);
        let span = MediaSpan {
            start,
            end: period.duration.map(|duration| start + duration),
        };
        let mut known = Known::default();
        for (set_at, set) in period.adaptation_sets.iter().enumerate() {
            let switching_set = self.switching_set(set, &mut known);
            for (at, representation) in set.representations.iter().enumerate() {
                let kind = kind(representation.content_type);
                let names = names(content, &key, period, set, representation);
                let Some(id) = names.into_iter().find(|name| uses.get(name) == Some(&1)) else {
                    tracing::debug!("a representation that cannot be told apart is left out");
                    continue;
                };
                let track = Track {
                    switching_set,
                    period: Some(span),
                    bandwidth: representation.bandwidth.map(BitRate::from_bps),
                    codecs: representation.codecs.clone(),
                    resolution: resolution(representation),
                    language: set.lang.clone(),
                    ..Track::new(id, kind, url.clone())
                };
                let place = Place {
                    period: period_at,
                    adaptation_set: set_at,
                    representation: at,
                };
                self.tracks.push((track, place));
            }
        }
    }

    /// The switching set of an adaptation set: that of one it can be switched with, or its own.
    fn switching_set<'a>(&mut self, set: &'a AdaptationSet, known: &mut Known<'a>) -> usize {
        let named = set.switching_ids.iter();
        let named = named.filter_map(|id| known.by_id.get(&**id));
        let naming = set.id.as_deref().and_then(|id| known.by_named_id.get(id));
        let first = named.chain(naming).min().map(|(_, index)| *index);
        let index = first.unwrap_or_else(|| {
            self.switching_sets.push(SwitchingSet {
                kind: kind(set.content_type),
                language: set.lang.clone(),
                name: None,
            });
            self.switching_sets.len() - 1
        });
        let place = (known.count, index);
        known.count += 1;
        for id in &set.switching_ids {
            known.by_named_id.entry(id).or_insert(place);
        }
        if let Some(id) = &set.id {
            known.by_id.entry(id).or_insert(place);
        }
        index
    }
}

/// The adaptation sets of a period so far: each as its place among them and its switching set.
#[derive(Default)]
struct Known<'a> {
    count: usize,
    by_id: BTreeMap<&'a str, (usize, usize)>,
    /// By the ids of those that it says it can be switched with.
    by_named_id: BTreeMap<&'a str, (usize, usize)>,
}

/// The names that a representation can have, the best first.
fn names(
    content: ContentId,
    key: &str,
    period: &Period,
    set: &AdaptationSet,
    representation: &Representation,
) -> [TrackId; 2] {
    let fields = [
        by_id(representation),
        by_attributes(period, set, representation),
    ];
    let kind = kind(representation.content_type);
    fields.map(|fields| track_id(content, "dash", key, kind, &fields))
}

fn period_key(period: &Period) -> String {
    let asset = period.asset.as_ref().map(|asset| {
        let value = asset.value.as_deref().unwrap_or_default();
        format!(" of {}#{value}", asset.scheme)
    });
    let asset = asset.unwrap_or_default();
    match (&period.id, period.start) {
        (Some(id), _) => format!("id {id}{asset}"),
        (None, Some(start)) => format!("at {} ms{asset}", start.as_nanos() / 1_000_000),
        (None, None) => format!("early{asset}"),
    }
}

fn by_id(representation: &Representation) -> Vec<String> {
    let id = representation.id.as_deref().unwrap_or_default();
    vec!["representation".to_owned(), id.to_owned()]
}

fn by_attributes(
    period: &Period,
    set: &AdaptationSet,
    representation: &Representation,
) -> Vec<String> {
    let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let start = period.start.map(|start| start.as_nanos().to_string());
    let mut key = by_id(representation);
    key.extend([
        start.unwrap_or_default(),
        text(&set.id),
        text(&set.lang),
        number(representation.bandwidth),
        number(representation.width),
        number(representation.height),
        text(&representation.mime_type),
        text(&representation.codecs),
    ]);
    key
}

fn kind(content_type: ContentType) -> TrackKind {
    match content_type {
        ContentType::Video | ContentType::Other => TrackKind::Video,
        ContentType::Audio => TrackKind::Audio,
        ContentType::Text => TrackKind::Subtitles,
        ContentType::Image => TrackKind::Images,
    }
}

fn resolution(representation: &Representation) -> Option<Resolution> {
    Some(Resolution {
        width: u32::try_from(representation.width?).ok()?,
        height: u32::try_from(representation.height?).ok()?,
    })
}
