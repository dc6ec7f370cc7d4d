//! What one viewer's session was told and what it answered, as a text file that can be played
//! again.
//!
//! A trace is JSON lines: a [`Header`] that says how to build the session, then what it was told,
//! with the time, then what it answered, as a digest with a few words for people, then the end.
//! Presentations are recorded by how many segments were published, and long runs of one byte, which
//! is what virtual payload is made of, by the byte and their length. So a session of a simulated
//! world needs nothing else to be debugged alone, and a change that should not change decisions can
//! be seen not to.

mod line;
mod recording;
mod run;
mod told;

use std::{
    io::{self, BufRead, Read, Write},
    sync::Arc,
};

use p2pcdn::{Session, SessionInput, SessionOutput, Store, manifest::Presentation, wire::Instant};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    line::{Answer, Line},
    told::Told,
};
pub use self::{
    recording::Recording,
    run::{header, replay_run},
};

/// The first line: which session of which run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The preset of the run.
    pub preset: String,
    /// What the command line changed of it, by option.
    pub overrides: Vec<(String, String)>,
    /// The seed of the run.
    pub seed: u64,
    /// The viewer.
    pub person: u32,
    /// When its session was made, in nanoseconds since the epoch.
    pub started_at: u64,
}

/// Writes a trace.
#[derive(Debug)]
pub struct Recorder<W> {
    writer: W,
    lines: u64,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
}

impl<W: Write> Recorder<W> {
    /// A trace of the session that the header describes, about to be made.
    pub fn new(writer: W, header: &Header) -> Self {
        let mut recorder = Self {
            writer,
            lines: 0,
            error: None,
        };
        recorder.write(&Line::Trace {
            version: VERSION,
            header: header.clone(),
        });
        recorder
    }

    /// The session is told this. `published` is how many segments the presentation lists as
    /// published, for the input that holds one.
    pub fn told(&mut self, input: &SessionInput, published: u64, now: Instant) {
        let input = Told::of(input, published);
        let at = line::nanos(now);
        self.write(&Line::Told { at, input });
    }

    /// The session is told that it is now `now`.
    pub fn woken(&mut self, now: Instant) {
        let at = line::nanos(now);
        self.write(&Line::Woken { at });
    }

    /// The session wants this.
    pub fn did(&mut self, output: &SessionOutput) {
        self.write(&Line::Did(Answer::of(output)));
    }

    /// The session wants nothing more until `wake_at`.
    pub fn drained(&mut self, wake_at: Option<Instant>) {
        let wake_at = wake_at.map(line::nanos);
        self.write(&Line::Drained { wake_at });
    }

    /// Ends the trace.
    ///
    /// # Errors
    ///
    /// The first error of writing, whenever it was.
    pub fn finish(mut self) -> io::Result<W> {
        let lines = self.lines;
        self.write(&Line::End { lines });
        if let Some(error) = self.error {
            return Err(error);
        }
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn write(&mut self, line: &Line) {
        if self.error.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut self.writer, line)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"));
        self.lines += 1;
        self.error = written.err();
    }
}

impl Recorder<Vec<u8>> {
    /// Another one that goes on from here; this one had no error, as memory gives none.
    fn copy(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            lines: self.lines,
            error: None,
        }
    }
}

/// What a session is replayed on.
pub struct Stage<S> {
    /// The session as it was when the trace began.
    pub session: Session<S>,
    /// The presentation when so many segments were published; `None` when there never was one.
    pub presentation: Box<dyn Fn(u64) -> Option<Arc<Presentation>>>,
}

/// How much was the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The header.
    pub header: Header,
    /// Times that the session was told something, the time included.
    pub inputs: u64,
    /// Things that it wanted.
    pub outputs: u64,
}

/// Where a replay goes another way than the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the trace, from 1.
    pub line: u64,
    /// When, in nanoseconds since the epoch.
    pub at: u64,
    /// What the trace says.
    pub recorded: String,
    /// What the session does.
    pub replayed: String,
}

/// Why a trace was not replayed to its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("the trace cannot be read")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("this is no trace")]
    NotATrace,
    /// It was written by another version of this program.
    #[error("the trace is of version {0}, not {VERSION}")]
    Version(u32),
    /// A line is not one of a trace.
    #[error("line {line} is none of a trace: {reason}")]
    Malformed {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// It ends before its end.
    #[error("the trace is cut short after line {line}")]
    CutShort {
        /// The last line, from 1.
        line: u64,
    },
    /// The run that the header describes cannot be built.
    #[error("the run of the trace cannot be built: {0}")]
    Stage(String),
    /// The run has no such presentation.
    #[error("line {line}: the run never published {published} segments")]
    Unpublished {
        /// The line, from 1.
        line: u64,
        /// Segments published, by the trace.
        published: u64,
    },
    /// The session does something else.
    #[error(
        "line {}: the trace has `{}`, the session does `{}`",
        .0.line, .0.recorded, .0.replayed
    )]
    Differs(Box<Difference>),
}

/// Plays a trace again on a session that `stage` builds from its header.
///
/// # Errors
///
/// Every [`ReplayError`]; [`ReplayError::Differs`] with the first difference.
pub fn replay<S: Store>(
    reader: impl BufRead,
    stage: impl FnOnce(&Header) -> Result<Stage<S>, String>,
) -> Result<Replayed, ReplayError> {
    let mut lines = Lines { reader, number: 0 };
    let header = match lines.next_line() {
        Ok(Some(Line::Trace { version, header })) if version == VERSION => header,
        Ok(Some(Line::Trace { version, .. })) => return Err(ReplayError::Version(version)),
        Err(ReplayError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            return Err(error.into());
        }
        _ => return Err(ReplayError::NotATrace),
    };
    let stage = stage(&header).map_err(ReplayError::Stage)?;
    let mut replay = Replay {
        stage,
        at: header.started_at,
        replayed: Replayed {
            header,
            inputs: 0,
            outputs: 0,
        },
    };
    while let Some(line) = lines.next_line()? {
        if let Line::End { lines: count } = line {
            return if count + 1 == lines.number {
                Ok(replay.replayed)
            } else {
                Err(lines.malformed(format!("the trace had {count} lines before this one")))
            };
        }
        replay.play(line, &lines)?;
    }
    Err(ReplayError::CutShort { line: lines.number })
}

struct Replay<S> {
    stage: Stage<S>,
    at: u64,
    replayed: Replayed,
}

impl<S: Store> Replay<S> {
    fn play<R>(&mut self, line: Line, lines: &Lines<R>) -> Result<(), ReplayError> {
        let session = &mut self.stage.session;
        match line {
            Line::Trace { .. } | Line::End { .. } => {
                Err(lines.malformed("a second header".to_owned()))
            }
            Line::Told { at, input } => {
                self.at = at;
                self.replayed.inputs += 1;
                let line = lines.number;
                let input = match input {
                    Told::PresentationUpdated { published } => {
                        let known = (self.stage.presentation)(published);
                        let unknown = ReplayError::Unpublished { line, published };
                        SessionInput::PresentationUpdated(known.ok_or(unknown)?)
                    }
                    told => told
                        .into_input()
                        .map_err(|reason| lines.malformed(reason))?,
                };
                session.handle_input(input, line::instant(at));
                Ok(())
            }
            Line::Woken { at } => {
                self.at = at;
                self.replayed.inputs += 1;
                session.handle_timeout(line::instant(at));
                Ok(())
            }
            Line::Did(recorded) => {
                self.replayed.outputs += 1;
                let output = session.poll_output();
                let replayed = output.as_ref().map(Answer::of);
                self.compare(lines.number, recorded.to_string(), replayed.as_ref())
            }
            Line::Drained { wake_at } => {
                let output = session.poll_output();
                if output.is_some() {
                    let nothing = "nothing more".to_owned();
                    let replayed = output.as_ref().map(Answer::of);
                    return self.compare(lines.number, nothing, replayed.as_ref());
                }
                let wakes_at = session.poll_timeout().map(line::nanos);
                let words = |at: Option<u64>| format!("wakes at {at:?} ns");
                self.same(lines.number, words(wake_at), words(wakes_at))
            }
        }
    }

    fn compare(
        &self,
        line: u64,
        recorded: String,
        replayed: Option<&Answer>,
    ) -> Result<(), ReplayError> {
        let replayed = replayed.map_or_else(|| "nothing more".to_owned(), Answer::to_string);
        self.same(line, recorded, replayed)
    }

    fn same(&self, line: u64, recorded: String, replayed: String) -> Result<(), ReplayError> {
        if recorded == replayed {
            return Ok(());
        }
        Err(ReplayError::Differs(Box::new(Difference {
            line,
            at: self.at,
            recorded,
            replayed,
        })))
    }
}

struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R> Lines<R> {
    fn malformed(&self, reason: String) -> ReplayError {
        let line = self.number;
        ReplayError::Malformed { line, reason }
    }
}

impl<R: BufRead> Lines<R> {
    fn next_line(&mut self) -> Result<Option<Line>, ReplayError> {
        let mut text = String::new();
        let read = self
            .reader
            .by_ref()
            .take(MAX_LINE_LEN)
            .read_line(&mut text)?;
        if read == 0 {
            return Ok(None);
        }
        if !text.ends_with('\n') && (read as u64) < MAX_LINE_LEN {
            return Err(ReplayError::CutShort { line: self.number });
        }
        self.number += 1;
        let line = serde_json::from_str(&text);
        line.map(Some)
            .map_err(|error| self.malformed(error.to_string()))
    }
}

/// Of what is written here.
const VERSION: u32 = 1;

/// Bytes of a line: more than the longest message takes in hexadecimal digits.
const MAX_LINE_LEN: u64 = 1 << 20;
