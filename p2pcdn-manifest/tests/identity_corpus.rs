//! Over all manifests at hand: no name stands for two different things, and what is listed is found.
//!
//! The manifests are those of `$P2PCDN_MANIFESTS`, else of `../shared/manifests` beside the project,
//! else the fixtures; which, is printed.
#![cfg(feature = "dash")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use p2pcdn_manifest::{
    IdentityConfig, IdentityMode, Input, Mpd, NeverReason, Presentation, Resource, Segment,
    Segments, Sharing, parse_mpd,
};
use p2pcdn_wire::{ByteRange, SegmentId, TrackId, UnixTime};
use support::Shell;

/// Segments of one track, and of one presentation, that are looked at: the oldest and the newest.
const MAX_PER_TRACK: usize = 2000;
const MAX_PER_PRESENTATION: usize = 4000;

/// Listed segments that one presentation's look-ups may pass by, each takes time in proportion to
/// those listed; and the look-ups that there are at least.
const MAX_PASSED: usize = 20_000;
const MIN_LOOK_UPS: usize = 20;

struct Found {
    name: String,
    presentation: Arc<Presentation>,
}

#[test]
fn no_name_is_shared_by_two_resources_and_what_is_listed_is_found() {
    let files = manifests();
    let (mut names, mut faults) = (Names::default(), Vec::new());
    let (mut read, mut looked_up) = (0, 0);
    for found in files
        .iter()
        .filter_map(|file| load(file, IdentityMode::Both))
    {
        read += 1;
        names.take(&found, &mut faults);
        looked_up += look_up(&found, &mut faults);
        keys_are_never_shared(&found, &mut faults);
    }
    println!(
        "{read} of {} are presentations: {} tracks, {} segments, init segments and parts, {} look-ups",
        files.len(),
        names.tracks.len(),
        names.segments.len(),
        looked_up
    );
    assert!(
        read > 10 && names.segments.len() > 50,
        "there was something to compare"
    );
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// A path alone names one resource too; an ordinal alone does not.
#[test]
fn names_by_path_alone_are_shared_only_by_the_same_resource() {
    let (mut names, mut faults) = (Names::default(), Vec::new());
    for found in manifests()
        .iter()
        .filter_map(|file| load(file, IdentityMode::PathOnly))
    {
        names.take(&found, &mut faults);
    }
    assert!(names.segments.len() > 50, "there was something to compare");
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

impl Found {
    /// How many segments of each track are looked at.
    fn share(&self) -> usize {
        let tracks = self.presentation.tracks.len().max(1);
        (MAX_PER_PRESENTATION / tracks).clamp(20, MAX_PER_TRACK)
    }
}

#[derive(Default)]
struct Names {
    segments: BTreeMap<SegmentId, (Arc<str>, Option<ByteRange>)>,
    tracks: BTreeMap<TrackId, String>,
}

impl Names {
    fn take(&mut self, found: &Found, faults: &mut Vec<String>) {
        let share = found.share();
        for (at, track) in found.presentation.tracks.iter().enumerate() {
            let place = format!("{} track {at}", found.name);
            if let Some(other) = self.tracks.insert(track.id, place.clone()) {
                faults.push(format!("{place} has the name of {other}"));
            }
            let Some(segments) = &track.segments else {
                continue;
            };
            for segment in some_of(segments, share) {
                self.takes(segment.id, &segment.url, segment.range, &place, faults);
                if let Some(init) = &segment.init {
                    self.takes(init.id, &init.url, init.range, &place, faults);
                }
            }
            for part in segments.parts() {
                self.takes(part.id, &part.url, part.range, &place, faults);
            }
        }
    }

    fn takes(
        &mut self,
        id: SegmentId,
        url: &Arc<str>,
        range: Option<ByteRange>,
        place: &str,
        faults: &mut Vec<String>,
    ) {
        let known = self
            .segments
            .entry(id)
            .or_insert_with(|| (url.clone(), range));
        if *known != (url.clone(), range) {
            faults.push(format!(
                "{place}: {url} {range:?} has the name of {known:?}"
            ));
        }
    }
}

/// How many were looked up.
fn look_up(found: &Found, faults: &mut Vec<String>) -> usize {
    let listed = || {
        let tracks = found.presentation.tracks.iter();
        tracks.filter_map(|track| track.segments.as_ref())
    };
    let count: usize = listed().map(Segments::len).sum();
    let affordable = (MAX_PASSED / count.max(1)).max(MIN_LOOK_UPS);
    let step = count / affordable + 1;
    let all = listed().flat_map(|segments| some_of(segments, found.share()));
    let chosen: Vec<Segment> = all.step_by(step).take(affordable).collect();
    for segment in &chosen {
        let found_as = found.presentation.resource(&segment.url, segment.range);
        if !is_itself(&found.presentation, segment, found_as) {
            faults.push(format!(
                "{}: {} {:?} is found as {found_as:?}",
                found.name, segment.url, segment.range
            ));
        }
    }
    chosen.len()
}

fn is_itself(presentation: &Presentation, segment: &Segment, found: Option<Resource>) -> bool {
    match found {
        Some(Resource::Segment(track, ordinal)) => {
            let track = presentation.track(track);
            let found = track.and_then(|track| track.segments.as_ref()?.segment(ordinal));
            found.is_some_and(|found| {
                found.id == segment.id || (found.url == segment.url && found.range == segment.range)
            })
        }
        Some(Resource::Key) => segment.sharing == Sharing::Never(NeverReason::KeyUrl),
        _ => segment.sharing == Sharing::Never(NeverReason::NotFetchable),
    }
}

fn keys_are_never_shared(found: &Found, faults: &mut Vec<String>) {
    let presentation = &found.presentation;
    let segments = presentation
        .tracks
        .iter()
        .filter_map(|track| track.segments.as_ref());
    for segment in segments.flat_map(|segments| some_of(segments, found.share())) {
        for url in segment.keys.iter().filter_map(|key| key.url.as_ref()) {
            let is_key = presentation.resource(url.as_str(), None) == Some(Resource::Key);
            if !is_key || !presentation.never_shared.contains(url.as_str()) {
                faults.push(format!("{}: {} is a key", found.name, url.as_str()));
            }
        }
        let is_key = presentation.never_shared.contains(&segment.url);
        if is_key && segment.sharing == Sharing::Shared {
            faults.push(format!(
                "{}: {} is a key and shared",
                found.name, segment.url
            ));
        }
    }
}

/// Each of them, or the oldest and the newest if there are too many.
fn some_of(segments: &Segments, most: usize) -> impl Iterator<Item = Segment> {
    let half = most / 2;
    let newest = segments.len().saturating_sub(half).max(half);
    let places = (0..half.min(segments.len())).chain(newest..segments.len());
    places.filter_map(|index| segments.at(index))
}

/// The presentation of a manifest at a URL of its own; `None` when it is none.
fn load(file: &Path, mode: IdentityMode) -> Option<Found> {
    let body = fs::read(file).expect("the folder lists it");
    let name = file.file_name()?.to_string_lossy().into_owned();
    let folder = file.parent()?.file_name()?.to_string_lossy();
    let url = format!("https://cdn.example/{folder}/{name}");
    let identity = IdentityConfig {
        mode,
        ..IdentityConfig::default()
    };
    let mut shell = Shell::new(&url, identity);
    let mpd = parse_mpd(&body, &url).ok();
    let clock = mpd.as_ref().and_then(clock);
    shell.input(Input::Loaded {
        url: url.as_str().into(),
        range: None,
        final_url: url.as_str().into(),
        body: body.into(),
    });
    if let Some(clock) = clock {
        shell.input(Input::ClockKnown(clock));
    }
    let presentation = shell.presentation?;
    Some(Found { name, presentation })
}

/// A moment at which a live MPD has segments: soon after it was written.
fn clock(mpd: &Mpd) -> Option<UnixTime> {
    let after = |time: UnixTime, seconds: u64| time + Duration::from_secs(seconds);
    let published = mpd.publish_time.map(|time| after(time, 10));
    published.or(mpd.availability_start_time.map(|time| after(time, 3600)))
}

fn manifests() -> Vec<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var_os("P2PCDN_MANIFESTS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| project.join("../../shared/manifests"));
    let mut files = Vec::new();
    for half in ["hls", "dash", "traps"] {
        collect(&folder.join(half), &mut files);
    }
    if files.is_empty() {
        println!("no manifests in {}: only the fixtures", folder.display());
        collect(&project.join("tests/fixtures"), &mut files);
    } else {
        println!("{} manifests of {}", files.len(), folder.display());
    }
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_manifest = |end: &std::ffi::OsStr| end == "m3u8" || end == "mpd";
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(is_manifest) {
            files.push(path);
        }
    }
}
