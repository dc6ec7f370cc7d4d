//! `simulate`: a swarm in virtual time, on the session that ships, and its figures.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use p2pcdn_example_simulate::{
    cli::{Options, Target, WriteError},
    media,
    presets::{Overrides, preset},
    progress::Bar,
    report::{self, Figures, Setting},
    scenario::Scenario,
    tally::SegmentKey,
    trace,
    world::{self, Shared},
};

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let options = Options::parse();
    let (scenario, overrides) = scenario(&options);
    match run(&options, &scenario, &overrides) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the options ask for; ends the program where they cannot be met.
fn scenario(options: &Options) -> (Scenario, Overrides) {
    let refuse =
        |kind, reason: &dyn fmt::Display| -> ! { Options::command().error(kind, reason).exit() };
    if options.html.is_some() && options.html == options.record {
        let reason = "--html and --record cannot write the same file";
        refuse(ErrorKind::ArgumentConflict, &reason);
    }
    let overrides = Overrides {
        viewers: options.viewers,
        seed: Some(options.seed),
        duration: options.duration,
        latency: options.latency,
        integrity: options.integrity.map(Into::into),
        threads: std::thread::available_parallelism().ok().map(Into::into),
    };
    match preset(&options.preset, overrides) {
        Ok(scenario) => (scenario, overrides),
        Err(error) => refuse(ErrorKind::InvalidValue, &error),
    }
}

fn run(options: &Options, scenario: &Scenario, overrides: &Overrides) -> Result<(), Failure> {
    let open = |path: &Option<_>| path.as_deref().map(Target::open).transpose();
    let page = open(&options.html)?;
    let recording = open(&options.record)?;
    let bar = Bar::new(scenario.duration);
    let shared = Arc::new(Shared::new(scenario));
    let header = recording
        .as_ref()
        .map(|_| trace::header(scenario, overrides, RECORDED));
    let mut outcome = world::run_in(&shared, header.as_ref(), &mut |progress| {
        bar.reach(progress)
    });
    bar.finish();

    let setting = Setting {
        scenario,
        components: &shared.population.components(),
        segment_len: &|segment: SegmentKey| {
            shared.media.segment_len(segment.track, segment.ordinal)
        },
        first_arrival: media::first_arrival(),
    };
    let figures = Figures::new(&setting, &outcome);
    let warnings = figures.warnings(&setting, &outcome);
    let printed = if options.json {
        for warning in &warnings {
            eprintln!("simulate: {warning}");
        }
        print(&(report::json(&setting, &figures) + "\n"))
    } else {
        print(&report::text(&setting, &figures, &warnings))
    };
    // What a closed pipe refused may still go to the files.
    if let Some(page) = page {
        let html = report::html(&setting, &figures, &outcome, &warnings);
        page.write(|file| file.write_all(html.as_bytes()))?;
    }
    if let (Some(recording), Some(trace)) = (recording, outcome.trace.take()) {
        recording.write(|file| file.write_all(&trace))?;
    }
    printed
}

fn print(figures: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(figures.as_bytes()).and_then(|()| out.flush());
    written.map_err(Failure::Output)
}

/// The viewer that is recorded: the first, who is honest whatever the run.
const RECORDED: u32 = 0;

/// What went wrong with what the program writes.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the figures cannot be written: {0}")]
    Output(io::Error),
    #[error(transparent)]
    File(#[from] WriteError),
}
