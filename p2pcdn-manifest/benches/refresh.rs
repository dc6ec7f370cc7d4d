//! What hours of segments cost: to read, to read again every 2 s, and to keep.
//!
//! `cargo bench -p p2pcdn-manifest --bench refresh`. Beside Criterion's own figures, which are taken
//! one after the other, the run ends with a table of ratios, for which the contenders took turns on
//! the same texts: what else the machine does then weighs on all of them alike.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and makes its input itself"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fmt::Write as _,
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use p2pcdn_manifest::{Config, Input, Output, Refresh, Segments, Update};
use p2pcdn_wire::Instant;
use quick_m3u8::{Reader, config::ParsingOptions};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for list in LISTS {
        measure(&mut criterion, list);
    }
    criterion.final_summary();
    // Under `cargo test` every benchmark is run once, to see that it still runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    println!("\n{HEADER}");
    for list in LISTS {
        println!("{}", row(list, if is_test { 1 } else { ROUNDS }));
    }
    println!("{GOALS}");
}

/// A list of 2 s segments, as a packager writes it.
#[derive(Clone, Copy)]
struct List {
    name: &'static str,
    count: u64,
    /// Whether each segment has a date, and a URL with a token of 70 characters.
    has_tokens: bool,
}

/// Five minutes behind live of a plain list is what most players see; six hours are what a DVR
/// window makes of it.
const LISTS: [List; 3] = [
    List {
        name: "6 h",
        count: 10_800,
        has_tokens: false,
    },
    List {
        name: "6 h, dates and tokens",
        count: 10_800,
        has_tokens: true,
    },
    List {
        name: "1 min",
        count: 30,
        has_tokens: false,
    },
];

impl List {
    /// The list whose first segment has this ordinal.
    fn text(self, first: u64) -> Bytes {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        );
        for ordinal in first..first + self.count {
            if self.has_tokens {
                let second = ordinal * 2;
                let (day, hour) = (1 + second / 86_400 % 28, second / 3600 % 24);
                let (minute, second) = (second / 60 % 60, second % 60);
                writeln!(
                    text,
                    "#EXT-X-PROGRAM-DATE-TIME:2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z"
                )
                .unwrap();
            }
            write!(text, "#EXTINF:2.000000,\nv1080p/segment{ordinal:07}.ts").unwrap();
            if self.has_tokens {
                text +=
                    "?hdnts=exp=1795500000~acl=/live/*~hmac=d2a84f4b8b650937ec8f73cd8be2c74add5";
            }
            text.push('\n');
        }
        text.into()
    }
}

/// A player of the list at [`URL`], at some moment.
struct Viewer {
    refresh: Refresh,
    now: Instant,
}

impl Viewer {
    fn new() -> Self {
        let now = Instant::EPOCH;
        let mut refresh = Refresh::new(Config::default(), URL, now);
        assert!(matches!(refresh.poll_output(), Some(Output::Load { .. })));
        Self { refresh, now }
    }

    /// Has loaded this text 2 s after the last: what changed.
    fn loaded(&mut self, body: Bytes) -> Option<Update> {
        self.now += Duration::from_secs(2);
        let (url, range) = (URL.into(), None);
        let final_url = Clone::clone(&url);
        let input = Input::Loaded {
            url,
            range,
            final_url,
            body,
        };
        self.refresh.handle_timeout(self.now);
        self.refresh.handle_input(input, self.now);
        let outputs = std::iter::from_fn(|| self.refresh.poll_output());
        let update = |output| match output {
            Output::Updated(update) => Some(update),
            _ => None,
        };
        outputs.filter_map(update).last()
    }
}

/// A viewer whose list moves on by a segment with each load.
struct Stream {
    list: List,
    first: u64,
    viewer: Viewer,
}

impl Stream {
    fn new(list: List) -> Self {
        let mut viewer = Viewer::new();
        viewer.loaded(list.text(FIRST)).expect("it is the first");
        let first = FIRST;
        Self {
            list,
            first,
            viewer,
        }
    }

    fn next_text(&mut self) -> Bytes {
        self.first += 1;
        self.list.text(self.first)
    }

    /// What the update says of the last text must be right, or the figures are of something else.
    fn check(&self, update: &Update) {
        let [change] = &update.changes[..] else {
            panic!("one track changed: {:?}", update.changes);
        };
        let ends = |first: u64| vec![p2pcdn_wire::OrdinalRange::new(first, first + 1)];
        assert_eq!(change.added, ends(self.first + self.list.count - 1));
        assert_eq!(change.removed, ends(self.first - 1));
        assert_eq!(change.changed, []);
    }
}

fn cold(text: Bytes) -> (Viewer, Update) {
    let mut viewer = Viewer::new();
    let update = viewer.loaded(text).expect("it is the first");
    (viewer, update)
}

fn segments(update: &Update) -> &Segments {
    let segments = update
        .presentation
        .tracks
        .first()
        .and_then(|track| track.segments.as_ref());
    segments.expect("it was loaded")
}

/// Another library's model of the list: for comparison only.
fn m3u8_rs(text: &[u8]) -> m3u8_rs::MediaPlaylist {
    m3u8_rs::parse_media_playlist_res(text).expect("it is a media playlist")
}

/// A tokenizer, which models nothing: how fast lines and tags can be read at all. Says how many.
fn quick_m3u8(text: &str) -> usize {
    let mut reader = Reader::from_str(text, ParsingOptions::default());
    let mut lines = 0;
    while let Some(line) = reader.read_line().expect("its tags are right") {
        black_box(line);
        lines += 1;
    }
    lines
}

fn measure(criterion: &mut Criterion, list: List) {
    let text = list.text(FIRST);
    let mut group = criterion.benchmark_group(list.name);
    group.throughput(Throughput::Bytes(text.len().try_into().unwrap()));
    group.sample_size(20);
    let id = BenchmarkId::from_parameter;
    group.bench_function(id("cold"), |bencher| {
        bencher.iter_with_large_drop(|| cold(text.clone()));
    });
    group.bench_function(id("m3u8-rs"), |bencher| {
        bencher.iter_with_large_drop(|| m3u8_rs(&text));
    });
    group.bench_function(id("quick-m3u8, lines only"), |bencher| {
        let text = std::str::from_utf8(&text).unwrap();
        bencher.iter(|| quick_m3u8(text));
    });
    group.bench_function(id("refresh"), |bencher| {
        let Stream {
            mut first,
            mut viewer,
            ..
        } = Stream::new(list);
        let next = || {
            first += 1;
            list.text(first)
        };
        let load = |text| viewer.loaded(text).expect("it moved on");
        bencher.iter_batched(next, load, BatchSize::PerIteration);
    });
    group.bench_function(id("unchanged"), |bencher| {
        let mut viewer = cold(text.clone()).0;
        bencher.iter(|| assert_eq!(viewer.loaded(text.clone()), None));
    });
    group.finish();
}

/// Each contender once per round, and the shortest time of each: what else the machine does only
/// adds.
fn row(list: List, rounds: usize) -> String {
    let mut stream = Stream::new(list);
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..rounds {
        let text = stream.next_text();
        let (update, refresh) = timed(|| stream.viewer.loaded(text.clone()));
        stream.check(&update.expect("it moved on"));
        let (_, unchanged) = timed(|| stream.viewer.loaded(text.clone()));
        let (_, cold) = timed(|| cold(text.clone()));
        let (_, model) = timed(|| m3u8_rs(&text));
        let (_, lines) = timed(|| quick_m3u8(std::str::from_utf8(&text).unwrap()));
        let round = [cold, refresh, unchanged, model, lines];
        for (times, time) in times.iter_mut().zip(round) {
            times.push(time);
        }
    }
    let [cold, refresh, unchanged, model, lines] = times.map(|times| {
        let shortest = times.into_iter().min().unwrap_or_default();
        shortest.as_secs_f64() * 1e3
    });
    let kept = Kept::of(list);
    format!(
        "{:23} | {:>7.1} | {cold:>6.3} {model:>8.3} {:>6.1} | {refresh:>7.3} {lines:>8.3} {:>6.2} | {unchanged:>9.3} | {:>5.2} {:>6.1} {:>6.1}",
        list.name,
        kept.text_len / 1e3,
        model / cold,
        refresh / lines,
        kept.retained_len / kept.text_len,
        kept.per_segment,
        kept.counted_per_segment,
    )
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let started_at = std::time::Instant::now();
    let result = black_box(run());
    (result, started_at.elapsed())
}

/// What a list takes in memory once its text is gone.
struct Kept {
    text_len: f64,
    /// By the allocator: machine, presentation and all.
    retained_len: f64,
    /// Of that, for each segment beside its URL as written.
    per_segment: f64,
    /// The same by [`Segments::retained_len`].
    counted_per_segment: f64,
}

impl Kept {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn of(list: List) -> Self {
        let before = ALLOCATED.load(Ordering::Relaxed);
        let text = list.text(FIRST);
        let text_len = text.len();
        let tags_len: usize = text
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"#"))
            .map(|line| line.len() + 1)
            .sum();
        let count = usize::try_from(list.count).unwrap();
        let references_len = text_len - tags_len - count;
        // The first list and one more, as while it plays.
        let mut viewer = cold(list.text(FIRST - 1)).0;
        let update = viewer.loaded(text).expect("it moved on");
        let retained_len = ALLOCATED.load(Ordering::Relaxed) - before;
        let counted_len = segments(&update).retained_len();
        drop(viewer);
        let per_segment = |len: usize| (len as f64 - references_len as f64) / count as f64;
        Self {
            text_len: text_len as f64,
            retained_len: retained_len as f64,
            per_segment: per_segment(retained_len),
            counted_per_segment: per_segment(counted_len),
        }
    }
}

/// The system's allocator, counting.
struct Counting;

/// Bytes that are allocated now.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "there is no safe way to count allocations")]
// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `System` asks for.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(new_size, Ordering::Relaxed);
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `System` asks for.
        unsafe { System.realloc(at, layout, new_size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `System` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }
}

const URL: &str = "https://cdn.example/live/channel1/1080p.m3u8";

/// Ordinal of the first segment, as after a few days.
const FIRST: u64 = 123_456;

/// Of each contender for the table of ratios.
const ROUNDS: usize = 41;

const HEADER: &str = "\
list                    |    text |   cold  m3u8-rs  times | refresh    lines  times | unchanged | kept  per segment
                        |      KB |     ms       ms        |      ms       ms        |        ms | /text bytes + URL";

const GOALS: &str = "\
goals of 6 h            |         |                  >= 5 |                  < 1.5 |           | < 2      <= 96
cold: from text to first update; refresh: the list moved on by one segment, with what changed; both through
`Refresh`. lines: quick-m3u8 reads lines and tags and keeps nothing. kept: by the allocator; per segment also
by `Segments::retained_len`. Goal of 1 min: refresh < 0.1 ms.";
