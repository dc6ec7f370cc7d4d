//! `attest`: signs the block maps of a presentation's segments.

use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use p2pcdn::manifest::IdentityConfig;
use p2pcdn_example_attest::{Attester, Config, generate_key, read_key};
use tokio::net::TcpListener;

/// Signs the block map of each segment of a presentation, serves the maps over HTTP and hands them
/// to the swarm.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a signing key in a new file and print the public key that viewers pin.
    Keygen {
        /// The file; it must not exist yet.
        file: PathBuf,
    },
    /// Sign until interrupted. The first lines on stdout are the public key and the sidecar URL.
    Run {
        /// The manifest, as viewers open it.
        manifest_url: String,
        /// The file with the signing key, made by `keygen`.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A WebTorrent tracker (ws: or wss: URL); may be given several times.
        #[arg(long = "tracker", value_name = "URL")]
        trackers: Vec<String>,
        /// A header to send with every request to the origin, as `NAME: VALUE`; may be given several
        /// times.
        #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
        headers: Vec<(String, Vec<u8>)>,
        /// Where the sidecar listens.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attest: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Keygen { file } => println!("{}", generate_key(&file)?),
        Command::Run {
            manifest_url,
            key,
            trackers,
            headers,
            listen,
        } => {
            let key = read_key(&key)?;
            let listener = TcpListener::bind(listen)
                .await
                .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
            println!("{}", key.public_key());
            println!("http://{}", listener.local_addr()?);
            let config = Config {
                manifest_url,
                key,
                trackers,
                identity: IdentityConfig::default(),
                headers,
                bind: None,
            };
            let attester = Attester::start(config, listener).await?;
            tokio::signal::ctrl_c().await?;
            tracing::info!(signed = attester.signed_count(), "leaves");
            attester.close().await;
        }
    }
    Ok(())
}

fn header(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once(':').ok_or("must be NAME: VALUE")?;
    let name = name.trim();
    if name.is_empty() {
        return Err("the name is missing".to_owned());
    }
    Ok((name.to_owned(), value.trim().as_bytes().to_vec()))
}
