//! Runs a WebTorrent tracker: prints its URL, then serves until it is interrupted.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use clap::Parser;
use p2pcdn_example_tracker::{Config, serve};
use tokio::net::TcpListener;
use tracing::Level;

/// A small WebTorrent tracker for development.
///
/// The first line on the standard output is the URL of the tracker; everything else goes to the
/// standard error.
#[derive(Debug, Parser)]
#[command(name = "tracker", version)]
struct Options {
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Say more.
    #[arg(long, short)]
    verbose: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let level = if options.verbose {
        Level::DEBUG
    } else {
        Level::INFO
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .init();
    match run(options.listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(listen: SocketAddr) -> Result<(), String> {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; choose another port with --listen, or 0 for a free one",
            _ => "",
        };
        format!("cannot listen on {listen}: {error}{hint}")
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    // Whoever started it may not care for the line.
    let _ = writeln!(io::stdout(), "ws://{address}");
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    serve(listener, Config::default(), interrupted)
        .await
        .map_err(|error| error.to_string())
}
