//! `swarm`: one HLS or DASH stream, many viewers on this machine, and what the origin was spared.

use std::{io::Write as _, process::ExitCode};

use clap::Parser;
use p2pcdn_example_swarm::{Options, run, table};

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let outcome = match run(&options).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("swarm: {error}");
            return ExitCode::FAILURE;
        }
    };
    let figures = if options.json {
        let json = serde_json::to_string_pretty(&outcome.report);
        json.expect("a report is made of plain numbers") + "\n"
    } else {
        let control = outcome.control.as_deref();
        table(&outcome.report, &outcome.hybrid, control).to_string()
    };
    // Whoever reads may be gone, as `head` is.
    if let Err(error) = std::io::stdout().write_all(figures.as_bytes()) {
        eprintln!("swarm: the figures cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    if outcome
        .report
        .played_seconds
        .iter()
        .all(|seconds| *seconds <= 0.0)
    {
        eprintln!(
            "swarm: nobody played anything: the manifest lists no segments, or none can be had"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
