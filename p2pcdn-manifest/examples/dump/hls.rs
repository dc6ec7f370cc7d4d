//! An HLS playlist as JSON.

use std::collections::BTreeSet;

use p2pcdn_manifest::{
    HintKind, InitSection, Key, Liveness, Manifest, MediaPlaylist, Multivariant, RenditionKind,
    VariantKind, parse,
};
use p2pcdn_wire::{BitRate, ByteRange};
use serde_json::{Value, json};

/// What the crate reads of a playlist that was fetched from `base`.
pub(crate) fn dump(text: &[u8], base: &str) -> Value {
    match parse(text, base) {
        Ok(Manifest::Multivariant(list)) => multivariant(&list),
        Ok(Manifest::Media(list)) => media(&list),
        Err(error) => json!({ "kind": "error", "message": error.to_string() }),
    }
}

fn multivariant(list: &Multivariant) -> Value {
    let of_kind = |kind| {
        list.variants
            .iter()
            .filter(move |variant| variant.kind == kind)
    };
    let variants: Vec<Value> = of_kind(VariantKind::Playback)
        .map(|variant| {
            json!({
                "uri": *variant.url,
                "bandwidth": variant.bandwidth.map(BitRate::as_bps),
                "width": variant.resolution.map(|resolution| resolution.width),
                "height": variant.resolution.map(|resolution| resolution.height),
                "codecs": variant.codecs.as_deref(),
            })
        })
        .collect();
    let iframe_variants: Vec<Value> = of_kind(VariantKind::IFrames)
        .map(|variant| json!({ "uri": *variant.url }))
        .collect();
    let renditions: Vec<Value> = list
        .renditions
        .iter()
        .map(|rendition| {
            json!({
                "type": rendition_type(rendition.kind),
                "group": *rendition.group,
                "name": *rendition.name,
                "language": rendition.language.as_deref(),
                "uri": rendition.url.as_deref(),
            })
        })
        .collect();
    json!({
        "kind": "multivariant",
        "never_share": list.key_urls.iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        "variants": variants,
        "iframe_variants": iframe_variants,
        "renditions": renditions,
        "session_keys": keys(&list.session_keys),
    })
}

fn rendition_type(kind: RenditionKind) -> &'static str {
    match kind {
        RenditionKind::Video => "VIDEO",
        RenditionKind::Audio => "AUDIO",
        RenditionKind::Subtitles => "SUBTITLES",
        RenditionKind::ClosedCaptions => "CLOSED-CAPTIONS",
    }
}

fn media(list: &MediaPlaylist) -> Value {
    let key_urls: BTreeSet<&str> = list.key_urls.iter().map(|url| url.as_str()).collect();
    let is_key = |url: &str| key_urls.contains(url);
    let init = |init: &InitSection| {
        json!({
            "uri": *init.url,
            "byte_range": range(init.range),
            "shareable": !is_key(&init.url),
        })
    };
    let segments: Vec<Value> = list
        .segments()
        .filter_map(|segment| {
            let uri = segment.url?;
            Some(json!({
                "uri": *uri,
                "sequence": segment.sequence,
                "duration": segment.duration.as_secs_f64(),
                "byte_range": range(segment.range),
                "discontinuity": segment.is_discontinuity,
                "gap": segment.is_gap,
                "init": segment.init.as_deref().map(init),
                "keys": keys(&segment.keys),
                "program_date_time": segment.date.map(|date| date.as_micros() as f64 / 1e3),
                "shareable": !segment.is_gap && !is_key(&uri),
            }))
        })
        .collect();
    let parts: Vec<Value> = list
        .parts()
        .filter_map(|part| {
            let uri = part.url?;
            Some(json!({
                "sequence": part.sequence,
                "index": part.index,
                "uri": *uri,
                "duration": part.duration.as_secs_f64(),
                "byte_range": range(part.range),
                "independent": part.is_independent,
                "gap": part.is_gap,
                "shareable": !part.is_gap && !is_key(&uri),
            }))
        })
        .collect();
    let preload_hints: Vec<Value> = list
        .preload_hints
        .iter()
        .map(|hint| {
            let is_whole = hint.start == 0 && hint.len.is_none();
            let range = (!is_whole).then(|| json!({ "start": hint.start, "len": hint.len }));
            let kind = match hint.kind {
                HintKind::Part => "PART",
                HintKind::Map => "MAP",
            };
            json!({
                "type": kind,
                "uri": *hint.url,
                "byte_range": range,
                "shareable": !is_key(&hint.url),
            })
        })
        .collect();
    let target_duration = list.declared_target_duration;
    json!({
        "kind": "media",
        "never_share": key_urls,
        "target_duration": target_duration.map(|duration| duration.as_secs_f64()),
        "media_sequence": list.media_sequence,
        "discontinuity_sequence": list.discontinuity_sequence,
        "skipped": list.skipped,
        "endlist": list.liveness == Liveness::Ended,
        "segments": segments,
        "parts": parts,
        "preload_hints": preload_hints,
    })
}

fn keys(keys: &[Key]) -> Vec<Value> {
    let value = |key: &Key| {
        json!({
            "method": *key.method,
            "uri": key.url.as_ref().map(|url| url.as_str()),
            "keyformat": *key.format,
            "iv": key.iv.map(|iv| format!("{iv:#x}")),
        })
    };
    keys.iter().map(value).collect()
}

fn range(range: Option<ByteRange>) -> Option<Value> {
    range.map(|range| json!({ "start": range.start, "len": range.len() }))
}
