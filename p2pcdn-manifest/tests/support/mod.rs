//! A shell for the refresh machine, in virtual time.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{sync::Arc, time::Duration};

use p2pcdn_manifest::{
    Config, Event, IdentityConfig, Input, LoadFailure, Output, Presentation, Refresh, Segments,
    TrackChange, Update,
};
use p2pcdn_wire::{ByteRange, Instant, OrdinalRange, TrackId};

pub(crate) const URL: &str = "https://h.example/live.m3u8";
pub(crate) const LIST: &str = "https://h.example/list.m3u8";
pub(crate) const A: &str = "https://h.example/a.m3u8";
pub(crate) const B: &str = "https://h.example/b.m3u8";
pub(crate) const SOUND: &str = "https://h.example/sound.m3u8";

/// A live media playlist given directly.
pub(crate) fn direct(text: &str) -> Shell {
    Shell::with(URL, IdentityConfig::default(), text)
}

/// Two variants and a sound track, of which nothing is loaded.
pub(crate) fn variants() -> Shell {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"sound.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\na.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"a\"\nb.m3u8\n";
    Shell::with(LIST, IdentityConfig::default(), text)
}

/// Activates the track whose playlist URL is this.
pub(crate) fn activate(shell: &mut Shell, url: &str) {
    shell.input(Input::TrackActivated(shell.track(url)));
    assert_eq!(shell.take_loads(), [url]);
}

/// Activates the track, and answers its load with this text.
pub(crate) fn load(shell: &mut Shell, url: &str, text: &str) {
    activate(shell, url);
    shell.loaded(url, text);
}

/// The ordinals of the only track.
pub(crate) fn window(shell: &Shell) -> OrdinalRange {
    shell.segments("").window()
}

/// Drives one machine, and keeps what it put out.
pub(crate) struct Shell {
    refresh: Refresh,
    pub(crate) now: Instant,
    pub(crate) presentation: Option<Arc<Presentation>>,
    pub(crate) events: Vec<Event>,
    pub(crate) updates: usize,
    /// Of the last update.
    pub(crate) changes: Vec<TrackChange>,
    loads: Vec<(Arc<str>, Option<ByteRange>)>,
}

impl Shell {
    /// Has asked for the manifest.
    pub(crate) fn new(url: &str, identity: IdentityConfig) -> Self {
        let config = Config {
            identity: identity.into(),
            ..Config::default()
        };
        Self::configured(url, config)
    }

    pub(crate) fn configured(url: &str, config: Config) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1000));
        let mut shell = Self {
            refresh: Refresh::new(config, url, now),
            now,
            presentation: None,
            events: Vec::new(),
            updates: 0,
            changes: Vec::new(),
            loads: Vec::new(),
        };
        shell.drain();
        shell
    }

    /// Has loaded this text from this URL.
    pub(crate) fn with(url: &str, identity: IdentityConfig, text: &str) -> Self {
        let mut shell = Self::new(url, identity);
        assert_eq!(shell.take_loads(), [url]);
        shell.loaded(url, text);
        shell
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.refresh.handle_input(input, self.now);
        self.drain();
    }

    pub(crate) fn loaded(&mut self, url: &str, text: &str) {
        self.redirected(url, url, text);
    }

    pub(crate) fn redirected(&mut self, url: &str, final_url: &str, text: &str) {
        self.input(Input::Loaded {
            url: url.into(),
            range: None,
            final_url: final_url.into(),
            body: text.to_owned().into(),
        });
    }

    pub(crate) fn failed(&mut self, url: &str) {
        self.input(Input::LoadFailed {
            url: url.into(),
            range: None,
            reason: LoadFailure::Status(503),
        });
    }

    /// In how many milliseconds it wants to be woken.
    pub(crate) fn due_in(&self) -> Option<u128> {
        let at = self.refresh.poll_timeout()?;
        Some(at.saturating_duration_since(self.now).as_millis())
    }

    /// Lets time pass to the next wake-up, and says how many milliseconds that took; `None`
    /// without one.
    pub(crate) fn wake(&mut self) -> Option<u128> {
        let at = self.refresh.poll_timeout()?;
        let passed = at.saturating_duration_since(self.now).as_millis();
        self.now = self.now.max(at);
        self.refresh.handle_timeout(self.now);
        self.drain();
        let next = self.refresh.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "no busy loop");
        Some(passed)
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.refresh.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn take_loads(&mut self) -> Vec<String> {
        let loads = self.take_ranges();
        assert!(loads.iter().all(|(_, range)| range.is_none()));
        loads.iter().map(|(url, _)| url.to_string()).collect()
    }

    pub(crate) fn take_ranges(&mut self) -> Vec<(Arc<str>, Option<ByteRange>)> {
        std::mem::take(&mut self.loads)
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn presentation(&self) -> &Presentation {
        self.presentation
            .as_deref()
            .expect("the manifest was loaded")
    }

    /// The track whose playlist URL ends like this.
    pub(crate) fn track(&self, suffix: &str) -> TrackId {
        let mut tracks = self.presentation().tracks.iter();
        let found = tracks.find(|track| track.url.ends_with(suffix));
        found.expect("a track has this URL").id
    }

    pub(crate) fn segments(&self, suffix: &str) -> &Segments {
        let track = self.presentation().track(self.track(suffix));
        let segments = track.and_then(|track| track.segments.as_ref());
        segments.expect("its playlist was loaded")
    }

    /// Start of each segment in milliseconds.
    pub(crate) fn starts(&self, suffix: &str) -> Vec<i64> {
        let segments = self.segments(suffix).iter();
        segments.map(|s| s.start.as_nanos() / 1_000_000).collect()
    }

    fn drain(&mut self) {
        while let Some(output) = self.refresh.poll_output() {
            match output {
                Output::Load { url, range } => self.loads.push((url, range)),
                Output::Updated(Update {
                    presentation,
                    changes,
                }) => {
                    self.presentation = Some(presentation);
                    self.changes = changes;
                    self.updates += 1;
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

/// A media playlist of 2 s segments `first..first + count`, named `PREFIX<n>.ts`.
pub(crate) fn live(prefix: &str, first: u64, count: u64) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for n in first..first + count {
        text += &format!("#EXTINF:2.000,\n{prefix}{n}.ts\n");
    }
    text
}

/// The same with the date of the first segment, in seconds after 2026-01-01T00:00:00Z.
pub(crate) fn dated(prefix: &str, first: u64, count: u64, second: u64) -> String {
    let date = format!(
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z\n#EXTINF",
        second / 60,
        second % 60
    );
    live(prefix, first, count).replacen("#EXTINF", &date, 1)
}
