//! What several fuzz targets have in common: texts made of likely lines, and what must hold of
//! every presentation and every update.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use p2pcdn_manifest::{
    KeyUrls, Presentation, Resource, Segment, SegmentDate, Segments, Sharing, TrackChange, Update,
};
use p2pcdn_wire::{OrdinalRange, TrackId};

/// A playlist of lines that playlists have, in any order.
#[derive(Arbitrary, Debug)]
pub struct Lines(Vec<(u8, u8)>);

impl Lines {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = "#EXTM3U\n".to_owned();
        for (line, number) in self.0.iter().take(256) {
            let line = LINES[usize::from(*line) % LINES.len()];
            text += &line.replace("{n}", &number.to_string());
            text.push('\n');
        }
        text
    }
}

const LINES: [&str; 42] = [
    "#EXTINF:2,\ns{n}.ts",
    "#EXTINF:2,\ns{n}.ts?token={n}",
    "#EXTINF:0,\n/a/{n}.ts",
    "#EXTINF:9999999,\nhttps://other.example/{n}.ts",
    "#EXTINF:{n},",
    "s.ts",
    "#EXT-X-TARGETDURATION:{n}",
    "#EXT-X-MEDIA-SEQUENCE:{n}",
    "#EXT-X-MEDIA-SEQUENCE:184467440737095516{n}",
    "#EXT-X-DISCONTINUITY-SEQUENCE:{n}",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-GAP",
    "#EXT-X-BYTERANGE:{n}",
    "#EXT-X-BYTERANGE:10@{n}",
    "#EXT-X-KEY:METHOD=NONE",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"k{n}.bin\"",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"s{n}.ts\"",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"i{n}.mp4\"",
    "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://{n}\",KEYFORMAT=\"f{n}\"",
    "#EXT-X-MAP:URI=\"i{n}.mp4\"",
    "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"{n}@{n}\"",
    "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{n}Z",
    "#EXT-X-PROGRAM-DATE-TIME:{n}999-01-01T00:00:00Z",
    "#EXT-X-SKIP:SKIPPED-SEGMENTS={n}",
    "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL={n},CAN-BLOCK-RELOAD=YES,HOLD-BACK=6,PART-HOLD-BACK=1",
    "#EXT-X-PART-INF:PART-TARGET=0.{n}",
    "#EXT-X-PART:DURATION=0.5,URI=\"p{n}.ts\"",
    "#EXT-X-PART:DURATION=0.5,URI=\"s{n}.ts\",BYTERANGE=\"{n}\"",
    "#EXT-X-PART:DURATION=0.5,URI=\"s1.ts\",BYTERANGE=\"1@{n}\",INDEPENDENT=YES,GAP=YES",
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{n}.ts\",BYTERANGE-START={n}",
    "#EXT-X-RENDITION-REPORT:URI=\"b.m3u8\",LAST-MSN={n},LAST-PART={n}",
    "#EXT-X-ENDLIST",
    "#EXT-X-PLAYLIST-TYPE:EVENT",
    "#EXT-X-PLAYLIST-TYPE:VOD",
    "#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{n}\"",
    "#EXTINF:1,\n{$v}/{n}.ts",
    "#EXT-X-DATERANGE:ID=\"{n}\",START-DATE=\"2026-01-01T00:00:00Z\",DURATION={n}",
    "#EXT-X-STREAM-INF:BANDWIDTH={n}\n{n}.m3u8",
    "#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\na.m3u8?token={n}",
    "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={n},URI=\"{n}.m3u8\"",
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{n}\",NAME=\"n\",URI=\"{n}.m3u8\"",
    "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"s{n}.ts\"",
];

/// Checks what holds of every presentation.
///
/// # Panics
///
/// When it does not hold.
pub fn check_presentation(presentation: &Presentation) {
    let keys = &presentation.never_shared;
    let ids: BTreeSet<TrackId> = presentation.tracks.iter().map(|track| track.id).collect();
    assert_eq!(
        ids.len(),
        presentation.tracks.len(),
        "each name is there once"
    );
    for track in &presentation.tracks {
        assert!(track.switching_set < presentation.switching_sets.len());
        let Some(segments) = &track.segments else {
            continue;
        };
        check_segments(segments, keys);
        for segment in segments.iter().take(16) {
            let found = presentation.resource(&segment.url, segment.range);
            let is_key = keys.count() > 0 && !keys.overflowed() && keys.contains(&segment.url);
            assert!(found.is_some());
            let is_manifest =
                matches!(found, Some(Resource::Manifest | Resource::MediaPlaylist(_)));
            assert!(is_manifest || is_key == (found == Some(Resource::Key)));
        }
    }
}

fn check_segments(segments: &Segments, keys: &KeyUrls) {
    let all: Vec<Segment> = segments.iter().collect();
    assert_eq!(all.len(), segments.len());
    assert!(
        all.is_sorted_by(|a, b| a.ordinal < b.ordinal),
        "ordinals ascend"
    );
    assert!(
        all.is_sorted_by_key(|segment| segment.start),
        "starts ascend"
    );
    let window = segments.window();
    if let (Some(first), Some(last)) = (all.first(), all.last()) {
        assert_eq!(
            (window.start, window.end),
            (first.ordinal, last.ordinal + 1)
        );
        assert_eq!(segments.start(), first.start);
    }
    let may_be_shared = |url: &str| !keys.contains(url) && url.starts_with("http");
    for segment in &all {
        assert_eq!(segments.segment(segment.ordinal).as_ref(), Some(segment));
        assert!(segment.sharing != Sharing::Shared || may_be_shared(&segment.url));
        assert!(segment.range.is_none_or(|range| range.start <= range.end));
        if let Some(init) = &segment.init {
            assert!(init.sharing != Sharing::Shared || may_be_shared(&init.url));
        }
    }
    for part in segments.parts() {
        assert!(part.sharing != Sharing::Shared || may_be_shared(&part.url));
    }
}

/// Checks that an update says of the segments exactly what became of them.
///
/// # Panics
///
/// When it does not.
pub fn check_update(old: Option<&Presentation>, update: &Update) {
    let new = &*update.presentation;
    assert_ne!(old, Some(new), "an update brings something");
    let mut changes: BTreeMap<TrackId, &TrackChange> = BTreeMap::new();
    for change in &update.changes {
        assert!(
            changes.insert(change.track, change).is_none(),
            "one change per track"
        );
    }
    let ids = old
        .into_iter()
        .flat_map(|old| &old.tracks)
        .chain(&new.tracks);
    let ids: BTreeSet<TrackId> = ids.map(|track| track.id).collect();
    let listed = |presentation: Option<&Presentation>, id: TrackId| {
        let segments = presentation.and_then(|it| it.track(id)?.segments.as_ref());
        let all = segments.into_iter().flat_map(Segments::iter);
        all.map(|segment| (segment.ordinal, segment))
            .collect::<BTreeMap<u64, Segment>>()
    };
    for id in ids {
        let (before, after) = (listed(old, id), listed(Some(new), id));
        match changes.get(&id) {
            Some(change) => check_change(change, &before, &after),
            None => {
                assert!(before.keys().eq(after.keys()), "nothing came or went");
                assert!(
                    before
                        .values()
                        .zip(after.values())
                        .all(|(a, b)| is_same(a, b))
                );
            }
        }
    }
}

fn check_change(
    change: &TrackChange,
    before: &BTreeMap<u64, Segment>,
    after: &BTreeMap<u64, Segment>,
) {
    let (added, removed) = (ordinals(&change.added), ordinals(&change.removed));
    let changed = ordinals(&change.changed);
    for ordinal in before.keys().chain(after.keys()) {
        let (was, is) = (before.get(ordinal), after.get(ordinal));
        let stays = !change.restarted && was.is_some() && is.is_some();
        assert_eq!(
            added.contains(ordinal),
            is.is_some() && !stays,
            "added {ordinal}"
        );
        assert_eq!(
            removed.contains(ordinal),
            was.is_some() && !stays,
            "removed {ordinal}"
        );
        let differs = was.zip(is).is_some_and(|(was, is)| !is_same(was, is));
        assert_eq!(
            changed.contains(ordinal),
            stays && differs,
            "changed {ordinal}"
        );
    }
    let known = |ordinal: &u64| before.contains_key(ordinal) || after.contains_key(ordinal);
    assert!(added.iter().chain(&removed).chain(&changed).all(known));
}

/// The ordinals in ranges that ascend and lie apart.
fn ordinals(ranges: &[OrdinalRange]) -> BTreeSet<u64> {
    assert!(ranges.iter().all(|range| range.start < range.end));
    ranges
        .iter()
        .flat_map(|range| range.start..range.end)
        .collect()
}

/// Whether two segments are the same in all but a computed date.
fn is_same(a: &Segment, b: &Segment) -> bool {
    let explicit = |segment: &Segment| segment.date.and_then(SegmentDate::explicit);
    let (mut x, mut y) = (a.clone(), b.clone());
    (x.date, y.date) = (None, None);
    x == y && explicit(a) == explicit(b)
}
