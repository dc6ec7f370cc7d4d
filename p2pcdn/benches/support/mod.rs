//! One viewer of a live stream and what befalls it amid scripted neighbours, recorded to be played
//! to fresh sessions.

mod script;
mod store;

use std::{sync::Arc, time::Duration};

use p2pcdn::{
    Session, SessionConfig, SessionInput,
    manifest::{self, Presentation, Refresh},
    wire::{Instant, PeerId, Seed},
};

pub(crate) use self::store::LengthStore;

/// One step of a session's life.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Input(Box<SessionInput>),
    Timeout,
}

/// What befalls a session, in order.
pub(crate) type Steps = Vec<(Instant, Step)>;

/// A recorded life: until all is steady, and from then on.
pub(crate) struct Life {
    pub(crate) beginning: Steps,
    pub(crate) steady: Steps,
}

impl Life {
    /// With so many neighbours.
    pub(crate) fn amid(neighbours: usize) -> Self {
        let steps = script::Script::new(neighbours).record(BEGINNING + STEADY);
        let split_at = START + BEGINNING;
        let (beginning, steady) = steps.into_iter().partition(|(at, _)| *at < split_at);
        Self { beginning, steady }
    }

    /// A session at the end of the beginning.
    pub(crate) fn begun(&self) -> Session<LengthStore> {
        let mut session = new_session();
        live(&mut session, self.beginning.clone());
        session
    }
}

/// Lets the session live through `steps`; returns how much it wanted done.
pub(crate) fn live(session: &mut Session<LengthStore>, steps: Steps) -> usize {
    let mut outputs = 0;
    for (at, step) in steps {
        match step {
            Step::Input(input) => session.handle_input(*input, at),
            Step::Timeout => session.handle_timeout(at),
        }
        while let Some(output) = session.poll_output() {
            std::hint::black_box(&output);
            outputs += 1;
        }
        std::hint::black_box(session.poll_timeout());
    }
    outputs
}

/// A viewer before its first input.
pub(crate) fn new_session() -> Session<LengthStore> {
    let (presentation, _) = Playlist::new().next();
    let config = SessionConfig {
        max_links: 40,
        ..SessionConfig::new(presentation.swarm, PeerId::new([0xff; 20]))
    };
    Session::new(config, LengthStore::default(), Seed([7; 32]), START)
}

/// The live playlist, which moves on by a segment with each load.
struct Playlist {
    refresh: Refresh,
    first: u64,
}

impl Playlist {
    fn new() -> Self {
        let mut refresh = Refresh::new(manifest::Config::default(), URL, START);
        while refresh.poll_output().is_some() {}
        let first = FIRST;
        Self { refresh, first }
    }

    /// Loads it, and says which ordinal is the newest.
    fn next(&mut self) -> (Arc<Presentation>, u64) {
        let newest = self.first + WINDOW - 1;
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            self.first
        );
        for ordinal in self.first..=newest {
            text += &format!("#EXTINF:2.0,\nsegment-{ordinal}.m4s\n");
        }
        let at = START + SEGMENT * u32::try_from(self.first - FIRST).expect("a short stream");
        self.first += 1;
        let loaded = manifest::Input::Loaded {
            url: URL.into(),
            range: None,
            final_url: URL.into(),
            body: text.into(),
        };
        self.refresh.handle_timeout(at);
        self.refresh.handle_input(loaded, at);
        let outputs = std::iter::from_fn(|| self.refresh.poll_output());
        let update = |output| match output {
            manifest::Output::Updated(update) => Some(update.presentation),
            _ => None,
        };
        let presentation = outputs.filter_map(update).last();
        (presentation.expect("it moved on"), newest)
    }
}

/// Bytes of every segment: 46 blocks, 2 s at 3 Mb/s, the last one short.
const SEGMENT_LEN: u64 = 750_000;
const SEGMENT: Duration = Duration::from_secs(2);

/// Segments that the playlist lists.
const WINDOW: u64 = 30;

/// The first ordinal, as after a few days.
const FIRST: u64 = 123_456;

const START: Instant = Instant::EPOCH;

/// Until the first eviction is long past: media stays for a minute after it was played.
const BEGINNING: Duration = Duration::from_secs(80);
const STEADY: Duration = Duration::from_secs(20);

const URL: &str = "https://cdn.example/live/channel1/1080p.m3u8";
