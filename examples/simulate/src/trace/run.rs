//! Traces of viewers of whole runs: the header says all that it takes to build their sessions again.

use std::{
    io::{BufRead, Cursor, Read as _},
    sync::Arc,
    time::Duration,
};

use p2pcdn::MemoryStore;

use super::{Header, MAX_LINE_LEN, ReplayError, Replayed, Stage, line, line::Line, replay};
use crate::{
    presets::{Overrides, preset, random_small},
    scenario::{Integrity, PayloadKind, Scenario},
    viewer::{ViewerStore, new_session},
    virtual_store::VirtualStore,
    world::Shared,
};

/// The header of a trace of this person in the run of a preset.
#[must_use]
pub fn header(scenario: &Scenario, overrides: &Overrides, person: u32) -> Header {
    let seconds = |duration: Duration| duration.as_secs_f64().to_string();
    let integrity = overrides.integrity.map(|it| match it {
        Integrity::Signed => SIGNED.to_owned(),
        Integrity::Witnessed => WITNESSED.to_owned(),
    });
    let options = [
        (VIEWERS, overrides.viewers.map(|it| it.to_string())),
        (DURATION, overrides.duration.map(seconds)),
        (LATENCY, overrides.latency.map(seconds)),
        (INTEGRITY, integrity),
    ];
    let changed = options.into_iter();
    Header {
        preset: scenario.preset.clone(),
        overrides: changed
            .filter_map(|(option, value)| Some((option.to_owned(), value?)))
            .collect(),
        seed: scenario.seed,
        person,
        started_at: 0,
    }
}

/// Plays the trace of a viewer of a run again, on a session of its own.
///
/// # Errors
///
/// As [`replay`]; [`ReplayError::Stage`] when the header names a run that there is not.
pub fn replay_run(mut reader: impl BufRead) -> Result<Replayed, ReplayError> {
    let mut first = Vec::new();
    reader
        .by_ref()
        .take(MAX_LINE_LEN)
        .read_until(b'\n', &mut first)?;
    // A file that is no trace is refused by the replay itself.
    let scenario = match serde_json::from_slice(&first) {
        Ok(Line::Trace { header, .. }) => scenario(&header).map_err(ReplayError::Stage)?,
        _ => return Err(ReplayError::NotATrace),
    };
    let reader = Cursor::new(first).chain(reader);
    match scenario.payload {
        PayloadKind::Virtual => replay(reader, |header| stage::<VirtualStore>(&scenario, header)),
        PayloadKind::Real => replay(reader, |header| stage::<MemoryStore>(&scenario, header)),
    }
}

fn stage<S: ViewerStore>(scenario: &Scenario, header: &Header) -> Result<Stage<S>, String> {
    let shared = Arc::new(Shared::new(scenario));
    if header.person as usize >= shared.population.people.len() {
        return Err(format!("there is no viewer {}", header.person));
    }
    let session = new_session(&shared, header.person, line::instant(header.started_at));
    let presentation = move |published| {
        let presentation = shared.media.presentation(published);
        let is_it = super::recording::published(&presentation) == published;
        is_it.then_some(presentation)
    };
    Ok(Stage {
        session,
        presentation: Box::new(presentation),
    })
}

fn scenario(header: &Header) -> Result<Scenario, String> {
    let mut overrides = Overrides {
        seed: Some(header.seed),
        ..Overrides::default()
    };
    for (option, value) in &header.overrides {
        let unusable = || format!("{option} cannot be {value}");
        let seconds = || {
            let seconds = value.parse().map_err(|_| unusable())?;
            Duration::try_from_secs_f64(seconds).map_err(|_| unusable())
        };
        match option.as_str() {
            VIEWERS => overrides.viewers = Some(value.parse().map_err(|_| unusable())?),
            DURATION => overrides.duration = Some(seconds()?),
            LATENCY => overrides.latency = Some(seconds()?),
            INTEGRITY if value == SIGNED => overrides.integrity = Some(Integrity::Signed),
            INTEGRITY if value == WITNESSED => overrides.integrity = Some(Integrity::Witnessed),
            _ => return Err(unusable()),
        }
    }
    if header.preset == "random-small" {
        return Ok(random_small(header.seed));
    }
    preset(&header.preset, overrides).map_err(|error| error.to_string())
}

const VIEWERS: &str = "viewers";
const DURATION: &str = "duration";
const LATENCY: &str = "latency";
const INTEGRITY: &str = "integrity";
const SIGNED: &str = "signed";
const WITNESSED: &str = "witnessed";
