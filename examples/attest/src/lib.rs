//! The publisher's side of integrity: reads each segment of a presentation once, signs its block
//! map, serves the maps as a sidecar and floods them into the swarm.
//!
//! [`Attester`] is the whole of it for programs that run one themselves; the `attest` command wraps
//! it.

mod keys;
mod sidecar;
mod sign;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use p2pcdn::{
    Client, ClientConfig, ClientError, SigningKey,
    manifest::{IdentityConfig, Liveness, Presentation, Sharing, Track},
    scheduler::{Policy, Switch},
    transport::{HttpClient, ReqwestClient, ReqwestConfig},
    wire::{SegmentId, TrackId, UploadClass},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use crate::{
    keys::{KeyFileError, generate_key, read_key},
    sidecar::Sidecar,
    sign::{SignError, Signer},
};

/// Segments read at a time: enough to hide the origin's latency, few enough not to compete with
/// viewers.
const CONCURRENCY: usize = 4;

/// What an attester works on.
#[derive(Debug)]
pub struct Config {
    /// The manifest, as viewers open it.
    pub manifest_url: String,
    /// Signs the block maps.
    pub key: SigningKey,
    /// WebTorrent trackers; with none the maps are only served as a sidecar.
    pub trackers: Vec<String>,
    /// What viewers are told about names too.
    pub identity: IdentityConfig,
    /// Sent with every request to the origin.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The local address of the UDP socket; `None` picks one.
    pub bind: Option<SocketAddr>,
}

/// A running attester; dropping it stops it.
#[derive(Debug)]
pub struct Attester {
    client: Client,
    signer: Arc<Signer>,
    sidecar: Sidecar,
    tasks: Vec<JoinHandle<()>>,
}

impl Attester {
    /// Opens the presentation and begins. The sidecar answers on `listener`.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be loaded or there is no socket.
    pub async fn start(config: Config, listener: TcpListener) -> Result<Self, ClientError> {
        let http: Arc<dyn HttpClient + Send + Sync> =
            Arc::new(ReqwestClient::new(&ReqwestConfig::default())?);
        let client_config = ClientConfig {
            trackers: config.trackers,
            publisher_keys: vec![config.key.public_key()],
            identity: config.identity,
            headers: config.headers.clone(),
            bind: config.bind,
            push_degree: 8,
            policy: Policy {
                // It hands on maps; the segments are the viewers'.
                upload: Switch::Off,
                upload_class: UploadClass::None,
                ..Policy::default()
            },
            ..ClientConfig::default()
        };
        let client = Client::open_with(&config.manifest_url, client_config, http.clone()).await?;
        let sidecar = Sidecar::default();
        let signer = Arc::new(Signer::new(config.key, http, config.headers));
        let work = Work {
            client: client.clone(),
            signer: signer.clone(),
            sidecar: sidecar.clone(),
            done: BTreeMap::new(),
            batches: JoinSet::new(),
        };
        let changes = client.changes();
        let tasks = vec![
            tokio::spawn(work.run(changes)),
            tokio::spawn(sidecar.clone().serve(listener)),
        ];
        Ok(Self {
            client,
            signer,
            sidecar,
            tasks,
        })
    }

    /// Bytes read from the origin so far, of media and manifests.
    pub async fn origin_bytes(&self) -> u64 {
        let manifests = match self.client.statistics().await {
            Ok(statistics) => statistics.snapshot.delivery.http_total_bytes(),
            Err(_) => 0,
        };
        manifests + self.signer.read_bytes()
    }

    /// How many maps were signed.
    #[must_use]
    pub fn signed_count(&self) -> usize {
        self.sidecar.signed_count()
    }

    /// Says goodbye to the swarm and stops.
    pub async fn close(self) {
        self.client.close().await;
    }
}

impl Drop for Attester {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Work {
    client: Client,
    signer: Arc<Signer>,
    sidecar: Sidecar,
    /// Per track, the ordinal below which everything was taken on, in which epoch.
    done: BTreeMap<TrackId, (u32, u64)>,
    /// What is being signed; ends with this.
    batches: JoinSet<()>,
}

/// One segment to sign.
#[derive(Clone, Debug)]
struct Job {
    track: TrackId,
    ordinal: u64,
    id: SegmentId,
    request: sign::Source,
}

impl Work {
    async fn run(mut self, mut changes: watch::Receiver<Arc<Presentation>>) {
        loop {
            let presentation = changes.borrow_and_update().clone();
            for track in &presentation.tracks {
                // Tracks appear once, but holding one again costs nothing.
                if self.client.hold(track.id).await.is_err() {
                    return;
                }
            }
            let mut jobs: Vec<_> = presentation
                .tracks
                .iter()
                .flat_map(|track| self.new_jobs(track))
                .collect();
            // What viewers need first comes first in every track, not track after track.
            jobs.sort_by_key(|(turn, _)| *turn);
            self.start(jobs);
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The segments of a track that were not taken on yet, in the order in which viewers need
    /// them: the newest first of a live window, the first first on demand.
    fn new_jobs(&mut self, track: &Track) -> Vec<(usize, Job)> {
        let Some(segments) = &track.segments else {
            return Vec::new();
        };
        let (epoch, from) = self.done.get(&track.id).copied().unwrap_or_default();
        let from = if epoch == segments.epoch { from } else { 0 };
        let end = segments.window().end;
        self.done.insert(track.id, (segments.epoch, end));
        let mut jobs: Vec<_> = segments
            .from_ordinal(from)
            .filter(|segment| segment.sharing == Sharing::Shared)
            .map(|segment| Job {
                track: track.id,
                ordinal: segment.ordinal,
                id: segment.id,
                request: sign::Source {
                    url: segment.url.to_string(),
                    range: segment.range,
                },
            })
            .collect();
        if segments.liveness == Liveness::Live {
            jobs.reverse();
        }
        jobs.into_iter().enumerate().collect()
    }

    fn start(&mut self, jobs: Vec<(usize, Job)>) {
        while self.batches.try_join_next().is_some() {}
        if jobs.is_empty() {
            return;
        }
        let (client, signer) = (self.client.clone(), self.signer.clone());
        let sidecar = self.sidecar.clone();
        self.batches.spawn(async move {
            use futures_util::StreamExt as _;
            futures_util::stream::iter(jobs)
                .for_each_concurrent(CONCURRENCY, |(_, job)| {
                    attest(client.clone(), signer.clone(), sidecar.clone(), job)
                })
                .await;
        });
    }
}

async fn attest(client: Client, signer: Arc<Signer>, sidecar: Sidecar, job: Job) {
    match signer.sign(job.id, &job.request).await {
        Ok(map) => {
            let encoded = map.encoded().clone();
            sidecar.keep(job.id, encoded.clone());
            // A closed client is about to end this task too.
            let _ = client.publish_map(job.track, job.ordinal, encoded).await;
        }
        Err(error) => {
            tracing::warn!(segment = %job.id, ordinal = job.ordinal, %error, "not signed");
        }
    }
}
