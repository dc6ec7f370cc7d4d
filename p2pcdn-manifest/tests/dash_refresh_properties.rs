//! What holds of the refresh machine with MPDs, whatever they say and whenever they come.
#![cfg(all(feature = "dash", feature = "url"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use p2pcdn_manifest::{
    Config, Input, LoadFailure, Output, Presentation, Refresh, Segment, Segments, Update,
};
use p2pcdn_wire::{ByteRange, Instant, OrdinalRange, TrackId, UnixTime};
use proptest::prelude::*;

const URL: &str = "https://h.example/show/live.mpd";

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds go by.
    Pass(u64),
    /// A load under way is answered, by number; `None` fails it.
    Answer(prop::sample::Index, Option<Vec<u8>>),
    /// An MPD arrives unasked.
    Unasked(Vec<u8>),
    /// The wall clock shows this second.
    Clock(i64),
    Activate(usize),
    Deactivate(usize),
    News(usize),
}

fn addressing() -> impl Strategy<Value = String> {
    let timeline = |name: &'static str| {
        (0u64..30, 0u64..5, 1u64..4).prop_map(move |(first, repeat, duration)| {
            format!(
                "<SegmentTemplate media=\"{name}\" startNumber=\"{first}\"><SegmentTimeline>\
                 <S t=\"{}\" d=\"2\" r=\"{repeat}\"/><S d=\"{duration}\"/></SegmentTimeline>\
                 </SegmentTemplate>",
                2 * first
            )
        })
    };
    prop_oneof![
        3 => timeline("$RepresentationID$/$Time$.m4s"),
        1 => timeline("$Number$.m4s"),
        1 => timeline("$Number$-$SubNumber$"),
        3 => Just("<SegmentTemplate media=\"$Number$.m4s\" duration=\"2\"/>".to_owned()),
        1 => Just("<SegmentTemplate media=\"$Number$\" duration=\"3\" timescale=\"2\" \
            availabilityTimeOffset=\"1\"/>".to_owned()),
        1 => (0u64..9).prop_map(|n| format!(
            "<SegmentList duration=\"2\" startNumber=\"{n}\"><SegmentURL media=\"a{n}\"/>\
             <SegmentURL media=\"b\" mediaRange=\"{n}-9\"/></SegmentList>"
        )),
        1 => Just("<SegmentBase indexRange=\"0-99\"/>".to_owned()),
        1 => Just("<SegmentTemplate media=\"http://[$Time$\" duration=\"2\"/>".to_owned()),
        1 => Just(String::new()),
    ]
}

fn period() -> impl Strategy<Value = String> {
    let attributes = prop_oneof![
        4 => (0u8..4).prop_map(|n| format!("id=\"{n}\" start=\"PT{}S\"", 20 * n)),
        1 => (0u8..60).prop_map(|n| format!("start=\"PT{n}S\"")),
        1 => Just("id=\"e\"".to_owned()),
        1 => Just("duration=\"PT20S\"".to_owned()),
    ];
    let ids = prop_oneof![3 => Just("v"), 1 => Just("w")];
    (attributes, addressing(), ids).prop_map(|(attributes, addressing, id)| {
        format!(
            "<Period {attributes}><AdaptationSet contentType=\"video\">{addressing}\
             <Representation id=\"v\"><BaseURL>f</BaseURL></Representation>\
             <Representation id=\"{id}\"><BaseURL>g</BaseURL></Representation></AdaptationSet>\
             </Period>"
        )
    })
}

fn mpd() -> impl Strategy<Value = Vec<u8>> {
    let heads = (
        prop_oneof![6 => Just("type=\"dynamic\" "), 1 => Just("")],
        prop_oneof![
            Just("minimumUpdatePeriod=\"PT2S\" "),
            Just("minimumUpdatePeriod=\"PT0S\" "),
            Just("minimumUpdatePeriod=\"P99Y\" "),
            Just(""),
        ],
        prop_oneof![
            Just("availabilityStartTime=\"2026-01-01T00:00:00Z\" "),
            Just("availabilityStartTime=\"2026-01-01T00:00:30Z\" "),
        ],
        prop_oneof![
            (0u8..60).prop_map(|n| format!("publishTime=\"2026-01-01T00:01:{n:02}Z\" ")),
            Just(String::new()),
        ],
        prop_oneof![Just("timeShiftBufferDepth=\"PT10S\" "), Just("")],
    );
    let links = prop_oneof![
        3 => Just(""),
        1 => Just("<Location>a.mpd</Location>"),
        1 => Just("<Location>https://b.example/live.mpd</Location>"),
        1 => Just("<PatchLocation ttl=\"9\">p.mpp</PatchLocation>"),
    ];
    (heads, links, prop::collection::vec(period(), 1..4)).prop_map(|(heads, links, periods)| {
        let (kind, update, start, published, depth) = heads;
        let periods = periods.concat();
        let text = format!(
            "<MPD id=\"a\" mediaPresentationDuration=\"PT90S\" {kind}{update}{start}{published}\
             {depth}>{links}{periods}</MPD>"
        );
        text.replace(
            if kind.is_empty() {
                ""
            } else {
                "mediaPresentationDuration=\"PT90S\""
            },
            "",
        )
        .into_bytes()
    })
}

/// An index of two segments, the first of which may be an index in its turn.
fn sidx() -> impl Strategy<Value = Vec<u8>> {
    any::<bool>().prop_map(|is_nested| {
        let first = 50 | u32::from(is_nested) << 31;
        let mut bytes = b"\0\0\0\x38sidx\0\0\0\0\0\0\0\x01\0\0\x03\xE8".to_vec();
        for word in [0, 0, 2, first, 2_000, 0, 60, 3_000, 0] {
            bytes.extend(u32::to_be_bytes(word));
        }
        bytes
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let patch = (0u8..60).prop_map(|n| {
        format!(
            "<Patch mpdId=\"a\" originalPublishTime=\"2026-01-01T00:01:{n:02}Z\">\
             <remove sel=\"/MPD/Period[1]\"/></Patch>"
        )
        .into_bytes()
    });
    prop_oneof![6 => mpd(), 2 => sidx(), 1 => patch, 1 => Just(b"<html>".to_vec())]
}

fn step() -> impl Strategy<Value = Step> {
    let any_index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (0u64..6_000).prop_map(Step::Pass),
        1 => Just(Step::Pass(200_000)),
        5 => (any_index(), body()).prop_map(|(at, body)| Step::Answer(at, Some(body))),
        1 => any_index().prop_map(|at| Step::Answer(at, None)),
        1 => mpd().prop_map(Step::Unasked),
        2 => (-30i64..120).prop_map(Step::Clock),
        2 => (0usize..6).prop_map(Step::Activate),
        1 => (0usize..6).prop_map(Step::Deactivate),
        1 => (0usize..6).prop_map(Step::News),
    ]
}

struct Shell {
    refresh: Refresh,
    now: Instant,
    loading: BTreeMap<(Arc<str>, Option<u64>), Option<ByteRange>>,
    last: Option<Arc<Presentation>>,
    outputs: Vec<Output>,
}

impl Shell {
    fn new() -> Self {
        let now = Instant::from_epoch(Duration::from_secs(100));
        let mut shell = Self {
            refresh: Refresh::new(Config::default(), URL, now),
            now,
            loading: BTreeMap::new(),
            last: None,
            outputs: Vec::new(),
        };
        shell.drain();
        shell
    }

    fn take(&mut self, step: &Step) {
        let track = |at: usize| {
            let tracks = self.last.as_ref().map_or(&[][..], |last| &last.tracks);
            let track = tracks.get(at);
            track.map_or(TrackId::new([0; TrackId::LEN]), |track| track.id)
        };
        let input = match step {
            Step::Pass(millis) => {
                self.now += Duration::from_millis(*millis);
                self.refresh.handle_timeout(self.now);
                let next = self.refresh.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "no busy loop");
                return self.drain();
            }
            Step::Answer(at, body) => {
                if self.loading.is_empty() {
                    return;
                }
                let load = self.loading.keys().nth(at.index(self.loading.len()));
                let load = load.expect("it is one of them").clone();
                let range = self.loading.remove(&load).expect("it is one of them");
                let (url, final_url) = (load.0.clone(), load.0);
                match body.clone() {
                    Some(body) => Input::Loaded {
                        url,
                        range,
                        final_url,
                        body: body.into(),
                    },
                    None => Input::LoadFailed {
                        url,
                        range,
                        reason: LoadFailure::Timeout,
                    },
                }
            }
            Step::Unasked(body) => {
                // It counts as the reload that is under way, wherever that is from.
                self.loading.retain(|_, range| range.is_some());
                Input::Loaded {
                    url: URL.into(),
                    range: None,
                    final_url: URL.into(),
                    body: body.clone().into(),
                }
            }
            Step::Clock(second) => {
                // 2026-01-01T00:00:00Z and so many seconds.
                let micros = 1_767_225_600_000_000 + second * 1_000_000;
                Input::ClockKnown(UnixTime::from_micros(micros))
            }
            Step::Activate(at) => Input::TrackActivated(track(*at)),
            Step::Deactivate(at) => Input::TrackDeactivated(track(*at)),
            Step::News(at) => Input::NewsHeard { track: track(*at) },
        };
        self.refresh.handle_input(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.refresh.poll_output() {
            match &output {
                Output::Load { url, range } => {
                    let key = (url.clone(), range.map(|range| range.start));
                    let before = self.loading.insert(key, *range);
                    assert_eq!(before, None, "one load at a time of {url}");
                }
                Output::Updated(update) => {
                    check_presentation(&update.presentation);
                    check_update(self.last.as_deref(), update);
                    self.last = Some(update.presentation.clone());
                }
                Output::Event(_) => {}
            }
            self.outputs.push(output);
        }
    }
}

fn check_presentation(presentation: &Presentation) {
    let ids: BTreeSet<_> = presentation.tracks.iter().map(|track| track.id).collect();
    assert_eq!(
        ids.len(),
        presentation.tracks.len(),
        "each name is there once"
    );
    for segments in presentation
        .tracks
        .iter()
        .filter_map(|track| track.segments.as_ref())
    {
        let all: Vec<Segment> = segments.iter().collect();
        assert_eq!(all.len(), segments.len());
        assert!(
            all.is_sorted_by(|a, b| a.ordinal < b.ordinal),
            "ordinals ascend"
        );
        for segment in all.iter().take(8) {
            assert_eq!(segments.segment(segment.ordinal).as_ref(), Some(segment));
            let found = presentation.resource(&segment.url, segment.range);
            assert_eq!(found.is_some(), !segment.url.is_empty());
        }
    }
}

type BySegment = BTreeMap<(TrackId, u64), Segment>;

/// All segments by track and ordinal, without the dates, which are computed.
fn listed(presentation: Option<&Presentation>) -> BySegment {
    let tracks = presentation
        .into_iter()
        .flat_map(|presentation| &presentation.tracks);
    let segments = tracks.flat_map(|track| {
        let segments = track.segments.iter().flat_map(Segments::iter);
        segments.map(|segment| {
            (
                (track.id, segment.ordinal),
                Segment {
                    date: None,
                    ..segment
                },
            )
        })
    });
    segments.collect()
}

/// An update says exactly what became of each segment.
fn check_update(old: Option<&Presentation>, update: &Update) {
    let (before, after) = (listed(old), listed(Some(&update.presentation)));
    let mut said = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    let mut restarted = BTreeSet::new();
    for change in &update.changes {
        let all = [&change.added, &change.removed, &change.changed];
        for (said, ranges) in said.iter_mut().zip(all) {
            let ordinals = ranges
                .iter()
                .flat_map(|range: &OrdinalRange| range.start..range.end);
            said.extend(ordinals.map(|ordinal| (change.track, ordinal)));
        }
        if change.restarted {
            restarted.insert(change.track);
        }
    }
    let stays = |key: &(TrackId, u64)| !restarted.contains(&key.0);
    let without = |all: &BySegment, other: &BySegment| {
        let gone = all
            .keys()
            .filter(|key| !other.contains_key(key) || !stays(key));
        gone.copied().collect::<BTreeSet<_>>()
    };
    assert_eq!(said[0], without(&after, &before), "added");
    assert_eq!(said[1], without(&before, &after), "removed");
    let changed = after
        .iter()
        .filter(|(key, now)| stays(key) && before.get(key).is_some_and(|before| before != *now));
    assert_eq!(said[2], changed.map(|(key, _)| *key).collect(), "changed");
}

fn run(steps: &[Step]) -> Vec<Output> {
    let mut shell = Shell::new();
    for step in steps {
        shell.take(step);
    }
    shell.outputs
}

proptest! {
    #[test]
    fn the_contract_holds_whatever_mpds_say(steps in prop::collection::vec(step(), 1..40)) {
        let outputs = run(&steps);
        prop_assert_eq!(outputs, run(&steps), "the same inputs give the same outputs");
    }
}
