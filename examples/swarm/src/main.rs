//! `swarm`: one HLS stream, many viewers on this machine, and what the origin was spared.

use std::process::ExitCode;

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
    if options.json {
        let json = serde_json::to_string_pretty(&outcome.report);
        println!("{}", json.expect("a report is made of plain numbers"));
    } else {
        let control = outcome.control.as_deref();
        print!("{}", table(&outcome.report, &outcome.hybrid, control));
    }
    ExitCode::SUCCESS
}
