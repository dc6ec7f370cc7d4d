//! The tracks of a multivariant playlist, and their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use p2pcdn_wire::{ContentId, TrackId};

use crate::{
    canonical::Canonical,
    hls::{Multivariant, Rendition, RenditionKind, Variant, VariantKind},
    identity::{IdentityConfig, track_id},
    track::{SwitchingSet, Track, TrackKind},
};

/// A track, and the URL of its playlist had the multivariant playlist not been redirected.
pub(crate) struct NamedTrack {
    pub(crate) track: Track,
    pub(crate) first_url: Arc<str>,
}

/// The tracks of a manifest, and which of them are the same content.
pub(crate) struct NamedTracks {
    pub(crate) tracks: Vec<NamedTrack>,
    pub(crate) switching_sets: Vec<SwitchingSet>,
}

/// The track of a media playlist that was given instead of a multivariant playlist.
pub(crate) fn single(content: ContentId, url: &Arc<str>) -> NamedTracks {
    let kind = TrackKind::Video;
    let id = track_id(content, "hls", "", kind, &["single".to_owned()]);
    NamedTracks {
        tracks: vec![NamedTrack {
            track: Track::new(id, kind, url.clone()),
            first_url: url.clone(),
        }],
        switching_sets: vec![SwitchingSet {
            kind,
            language: None,
            name: None,
        }],
    }
}

/// The tracks of a multivariant playlist that was asked for at `url`, in its order.
///
/// A media playlist that is listed several times (once per audio group, say) is one track, named
/// after the entry that sorts first, so that the order of the entries does not matter. Several
/// media playlists with the same name (the same variant on hosts that are declared to be equal) are
/// one track too: the first listed.
pub(crate) fn tracks(
    multivariant: &Multivariant,
    content: ContentId,
    url: &str,
    config: &IdentityConfig,
) -> NamedTracks {
    let manifest = Canonical::new(url, config);
    let path = |url: &str| {
        let url = Canonical::new(url, config);
        let origin = url.origin().to_owned();
        let origin = if origin == manifest.origin() {
            String::new()
        } else {
            origin
        };
        (url.below(&manifest), origin)
    };
    let contested = contested(multivariant, path);
    let variants = multivariant
        .variants
        .iter()
        .map(|variant| from_variant(variant, path(&variant.first_url), &contested));
    let renditions = multivariant.renditions.iter().filter_map(|rendition| {
        let first_url = rendition.first_url.as_deref()?;
        from_rendition(rendition, path(first_url), &contested)
    });
    let all: Vec<Entry> = variants.chain(renditions).collect();
    let mut names = BTreeSet::new();
    let mut named = NamedTracks {
        tracks: Vec::new(),
        switching_sets: Vec::new(),
    };
    for entry in first_of_each_url(&all) {
        let mut track = entry.track.clone();
        track.id = track_id(content, "hls", "", track.kind, &entry.key);
        if names.insert(track.id) {
            track.switching_set = named.switching_set(&track);
            let first_url = entry.first_url.clone();
            named.tracks.push(NamedTrack { track, first_url });
        }
    }
    named
}

/// Who claims a stable id: id, pathway and kind of a variant; id and group of a rendition; and the
/// origin.
type Claim<'a> = (&'a str, &'a str, Option<VariantKind>, String);

fn variant_claim(variant: &Variant, origin: String) -> Option<Claim<'_>> {
    let pathway = variant.pathway.as_deref().unwrap_or_default();
    let id = variant.stable_id.as_deref()?;
    Some((id, pathway, Some(variant.kind), origin))
}

fn rendition_claim(rendition: &Rendition, origin: String) -> Option<Claim<'_>> {
    let id = rendition.stable_id.as_deref()?;
    Some((id, &rendition.group, None, origin))
}

/// The stable ids that several playlists of one pathway or group claim: they tell nothing apart.
fn contested<'a>(
    multivariant: &'a Multivariant,
    path: impl Fn(&str) -> (String, String),
) -> BTreeSet<Claim<'a>> {
    let variants = multivariant.variants.iter().filter_map(|variant| {
        let (path, origin) = path(&variant.first_url);
        Some((variant_claim(variant, origin)?, path))
    });
    let renditions = multivariant.renditions.iter().filter_map(|rendition| {
        let (path, origin) = path(rendition.first_url.as_deref()?);
        Some((rendition_claim(rendition, origin)?, path))
    });
    let mut paths: BTreeMap<Claim<'_>, String> = BTreeMap::new();
    let mut contested = BTreeSet::new();
    for (claim, path) in variants.chain(renditions) {
        match paths.get(&claim) {
            Some(known) if *known != path => drop(contested.insert(claim)),
            Some(_) => {}
            None => drop(paths.insert(claim, path)),
        }
    }
    contested
}

/// Of the entries with the same URL the one that sorts first, in the order in which the URLs are
/// listed.
fn first_of_each_url(all: &[Entry]) -> Vec<&Entry> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen: Vec<&Entry> = Vec::new();
    for entry in all {
        let sorted = |entry: &Entry| (entry.track.kind, entry.key.clone());
        match places
            .get(&*entry.track.url)
            .and_then(|at| chosen.get_mut(*at))
        {
            Some(known) if sorted(entry) < sorted(known) => *known = entry,
            Some(_) => {}
            None => {
                places.insert(&entry.track.url, chosen.len());
                chosen.push(entry);
            }
        }
    }
    chosen
}

impl NamedTracks {
    /// The set that a track is in. Variants are one set; renditions are one if they have language
    /// and name in common, since groups are qualities of the same.
    fn switching_set(&mut self, track: &Track) -> usize {
        let is_variant = track.bandwidth.is_some() || track.kind == TrackKind::IFrames;
        let set = SwitchingSet {
            kind: track.kind,
            language: track.language.clone(),
            name: track.name.clone().filter(|_| !is_variant),
        };
        let known = self.switching_sets.iter().position(|known| *known == set);
        known.unwrap_or_else(|| {
            self.switching_sets.push(set);
            self.switching_sets.len() - 1
        })
    }
}

/// One listing of a track.
struct Entry {
    track: Track,
    first_url: Arc<str>,
    /// What tells it from the other tracks of its kind.
    key: Vec<String>,
}

fn from_variant(
    variant: &Variant,
    (path, origin): (String, String),
    contested: &BTreeSet<Claim<'_>>,
) -> Entry {
    let kind = match variant.kind {
        VariantKind::IFrames => TrackKind::IFrames,
        VariantKind::Playback if is_audio_only(variant) => TrackKind::Audio,
        VariantKind::Playback => TrackKind::Video,
    };
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let claim = variant_claim(variant, origin.clone());
    let is_contested = claim.is_some_and(|claim| contested.contains(&claim));
    let key = match variant.stable_id.as_ref().filter(|_| !is_contested) {
        Some(id) => vec!["stable variant".to_owned(), id.to_string(), origin],
        None => {
            let bandwidth = variant.bandwidth.map(|rate| rate.as_bps().to_string());
            let resolution = variant
                .resolution
                .map(|r| format!("{}x{}", r.width, r.height));
            let codecs = variant.codecs.as_deref().unwrap_or_default();
            let mut codecs: Vec<&str> = codecs.split(',').map(str::trim).collect();
            codecs.sort_unstable();
            vec![
                "variant".to_owned(),
                path,
                bandwidth.unwrap_or_default(),
                resolution.unwrap_or_default(),
                codecs.join(","),
                text(&variant.frame_rate),
                text(&variant.video_range),
            ]
        }
    };
    Entry {
        track: Track {
            bandwidth: variant.bandwidth,
            codecs: variant.codecs.clone(),
            resolution: variant.resolution,
            name: variant.name.clone(),
            ..Track::new(UNNAMED, kind, variant.url.clone())
        },
        first_url: variant.first_url.clone(),
        key,
    }
}

/// `None` without a playlist of its own.
fn from_rendition(
    rendition: &Rendition,
    (path, origin): (String, String),
    contested: &BTreeSet<Claim<'_>>,
) -> Option<Entry> {
    let kind = match rendition.kind {
        RenditionKind::Video => TrackKind::Video,
        RenditionKind::Audio => TrackKind::Audio,
        RenditionKind::Subtitles => TrackKind::Subtitles,
        RenditionKind::ClosedCaptions => return None,
    };
    let group = rendition.group.to_string();
    let claim = rendition_claim(rendition, origin.clone());
    let is_contested = claim.is_some_and(|claim| contested.contains(&claim));
    let key = match rendition.stable_id.as_ref().filter(|_| !is_contested) {
        Some(id) => vec!["stable rendition".to_owned(), id.to_string(), origin, group],
        None => {
            let language = rendition.language.as_deref().unwrap_or_default();
            vec![
                "rendition".to_owned(),
                path,
                group,
                rendition.name.to_string(),
                language.to_owned(),
            ]
        }
    };
    Some(Entry {
        track: Track {
            language: rendition.language.clone(),
            name: Some(rendition.name.clone()),
            ..Track::new(UNNAMED, kind, rendition.url.clone()?)
        },
        first_url: rendition.first_url.clone()?,
        key,
    })
}

/// Whether the variant declares codecs, all of them of audio.
fn is_audio_only(variant: &Variant) -> bool {
    const AUDIO: [&str; 8] = [
        "mp4a", "ac-3", "ec-3", "ac-4", "opus", "flac", "fLaC", "mp3",
    ];
    let audio = |codec: &str| AUDIO.iter().any(|prefix| codec.trim().starts_with(prefix));
    let codecs = variant.codecs.as_deref();
    variant.resolution.is_none() && codecs.is_some_and(|list| list.split(',').all(audio))
}

/// Until the entry that names the track is chosen.
const UNNAMED: TrackId = TrackId::new([0; TrackId::LEN]);
