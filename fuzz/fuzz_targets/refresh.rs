//! The contract of the refresh machine, whatever happens to it and whatever it loads.
#![no_main]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use p2pcdn_fuzz::{Lines, check_presentation, check_update};
use p2pcdn_manifest::{Config, Input, LoadFailure, Output, Presentation, Refresh};
use p2pcdn_wire::{ByteRange, Instant, TrackId, UnixTime};

const LIST: &str = "https://h.example/x/list.m3u8";

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// Milliseconds go by.
    Pass(u16),
    /// Hours go by: a laptop slept.
    Sleep(u8),
    /// A load under way is answered, by number.
    Answer(u8, Text<'a>),
    Fail(u8),
    /// A playlist arrives unasked.
    Unasked(u8, Text<'a>),
    Activate(u8),
    Deactivate(u8),
    News(u8),
    Clock(u32),
}

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    /// The same as the last time, moved on by this many segments.
    Live {
        first: u8,
        count: u8,
        dated: bool,
        ends: bool,
    },
    Multivariant,
    Lines(Lines),
    Raw(&'a [u8]),
}

impl Text<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Live {
                first,
                count,
                dated,
                ends,
            } => {
                let mut text =
                    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
                for n in u64::from(*first)..u64::from(*first) + u64::from(*count % 32) {
                    if *dated {
                        text += &format!(
                            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z\n",
                            n / 60,
                            n % 60
                        );
                    }
                    text += &format!("#EXTINF:1,\ns{n}.ts\n");
                }
                if *ends {
                    text += "#EXT-X-ENDLIST\n";
                }
                text.into_bytes()
            }
            Self::Multivariant => MULTIVARIANT.into(),
            Self::Lines(lines) => lines.text().into_bytes(),
            Self::Raw(bytes) => bytes.to_vec(),
        }
    }
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut shell = Shell::new();
    for step in steps.iter().take(64) {
        shell.take(step);
    }
});

/// A URL, and the first byte of it that is wanted and the first that is not.
type Load = (Arc<str>, Option<(u64, u64)>);

struct Shell {
    refresh: Refresh,
    now: Instant,
    loading: BTreeSet<Load>,
    last: Option<Arc<Presentation>>,
}

impl Shell {
    fn new() -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        let refresh = Refresh::new(Config::default(), LIST, now);
        let mut shell = Self {
            refresh,
            now,
            loading: BTreeSet::new(),
            last: None,
        };
        shell.drain();
        shell
    }

    fn take(&mut self, step: &Step<'_>) {
        let input = match step {
            Step::Pass(millis) => return self.pass(Duration::from_millis(u64::from(*millis))),
            Step::Sleep(hours) => return self.pass(Duration::from_secs(3600 * u64::from(*hours))),
            Step::Answer(at, text) => match self.load(*at) {
                Some((url, range)) => loaded(url, range, text.bytes()),
                None => return,
            },
            Step::Fail(at) => match self.load(*at) {
                Some((url, range)) => Input::LoadFailed {
                    url,
                    range,
                    reason: LoadFailure::Status(404),
                },
                None => return,
            },
            Step::Unasked(at, text) => {
                let url = match self.track_url(*at) {
                    Some(url) => url,
                    None => LIST.into(),
                };
                self.loading.remove(&(url.clone(), None));
                loaded(url, None, text.bytes())
            }
            Step::Activate(at) => Input::TrackActivated(self.track(*at)),
            Step::Deactivate(at) => Input::TrackDeactivated(self.track(*at)),
            Step::News(at) => Input::NewsHeard {
                track: self.track(*at),
            },
            Step::Clock(second) => {
                Input::ClockKnown(UnixTime::from_micros(i64::from(*second) * 1_000_000))
            }
        };
        self.refresh.handle_input(input, self.now);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.refresh.handle_timeout(self.now);
        let next = self.refresh.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "no busy loop");
        self.drain();
    }

    /// One of the loads under way, which is then answered.
    fn load(&mut self, at: u8) -> Option<(Arc<str>, Option<ByteRange>)> {
        let at = usize::from(at) % self.loading.len().max(1);
        let load = self.loading.iter().nth(at)?.clone();
        self.loading.remove(&load);
        let (url, range) = load;
        Some((url, range.map(|(start, end)| ByteRange::new(start, end))))
    }

    fn track(&self, at: u8) -> TrackId {
        let tracks = self.last.as_ref().map_or(&[][..], |last| &last.tracks);
        let at = usize::from(at) % tracks.len().max(1);
        tracks
            .get(at)
            .map_or(TrackId::new([0; 16]), |track| track.id)
    }

    fn track_url(&self, at: u8) -> Option<Arc<str>> {
        let tracks = &self.last.as_ref()?.tracks;
        let at = usize::from(at) % tracks.len().max(1);
        tracks.get(at).map(|track| track.url.clone())
    }

    fn drain(&mut self) {
        while let Some(output) = self.refresh.poll_output() {
            match output {
                Output::Load { url, range } => {
                    let range = range.map(|range| (range.start, range.end));
                    assert!(
                        self.loading.insert((url, range)),
                        "one load per URL at a time"
                    );
                }
                Output::Updated(update) => {
                    check_presentation(&update.presentation);
                    check_update(self.last.as_deref(), &update);
                    self.last = Some(update.presentation);
                }
                Output::Event(_) => {}
            }
        }
    }
}

fn loaded(url: Arc<str>, range: Option<ByteRange>, body: Vec<u8>) -> Input {
    let final_url = url.clone();
    Input::Loaded {
        url,
        range,
        final_url,
        body: body.into(),
    }
}

const MULTIVARIANT: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"sound.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\na.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"a\"\nb.m3u8\n";
