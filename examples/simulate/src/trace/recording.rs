//! The trace of one viewer of a run, as it comes about.

use p2pcdn::{SessionInput, SessionOutput, manifest::Presentation, wire::Instant};

use super::{Header, Recorder, line};

/// Records the session of a viewer from its beginning, in memory.
#[derive(Debug)]
pub struct Recording(State);

#[derive(Debug)]
enum State {
    /// There is no session yet.
    Waiting(Header),
    Running(Recorder<Vec<u8>>),
}

impl Recording {
    /// A recording of the viewer that the header names; it says when its session begins.
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self(State::Waiting(header))
    }

    /// The trace up to now, complete in itself.
    #[must_use]
    pub fn trace(&self) -> Vec<u8> {
        match &self.0 {
            State::Waiting(header) => finished(Recorder::new(Vec::new(), header)),
            State::Running(recorder) => finished(recorder.copy()),
        }
    }

    pub(crate) fn begin(&mut self, now: Instant) {
        if let State::Waiting(header) = &mut self.0 {
            header.started_at = line::nanos(now);
            self.0 = State::Running(Recorder::new(Vec::new(), header));
        }
    }

    pub(crate) fn told(&mut self, input: &SessionInput, now: Instant) {
        let published = match input {
            SessionInput::PresentationUpdated(presentation) => published(presentation),
            _ => 0,
        };
        self.running(|it| it.told(input, published, now));
    }

    pub(crate) fn woken(&mut self, now: Instant) {
        self.running(|it| it.woken(now));
    }

    pub(crate) fn did(&mut self, output: &SessionOutput) {
        self.running(|it| it.did(output));
    }

    pub(crate) fn drained(&mut self, wake_at: Option<Instant>) {
        self.running(|it| it.drained(wake_at));
    }

    fn running(&mut self, record: impl FnOnce(&mut Recorder<Vec<u8>>)) {
        if let State::Running(recorder) = &mut self.0 {
            record(recorder);
        }
    }
}

fn finished(recorder: Recorder<Vec<u8>>) -> Vec<u8> {
    recorder.finish().expect("memory takes all that is written")
}

/// How many segments are published when a manifest says this: the run lists the same of all tracks.
pub(super) fn published(presentation: &Presentation) -> u64 {
    let segments = presentation
        .tracks
        .iter()
        .filter_map(|track| track.segments.as_ref());
    let last = segments.filter_map(|it| it.last()).map(|it| it.ordinal);
    last.max().map_or(0, |last| last + 1)
}
