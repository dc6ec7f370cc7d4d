//! The world with peers: every viewer is a full client with its own socket.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::StreamExt;
use p2pcdn::{
    Client, ClientConfig, ClientError, FetchError, Request,
    manifest::{LoadFailure, Segment, Segments},
    metrics::Delivery,
    scheduler::{Playback, PlaybackState},
    transport::HttpRange,
    wire::{BitRate, ByteRange, TrackId},
};

use crate::{
    http_world::rungs_of,
    player::Status,
    source::{Body, PlaybackReport, Rung, Source, SourceError, Split},
    world::World,
};

/// Viewers of one manifest who share it.
#[derive(Clone, Debug)]
pub struct PeerWorld {
    manifest_url: String,
    config: ClientConfig,
    joined_count: Arc<AtomicUsize>,
}

impl PeerWorld {
    /// The viewers of the stream at `manifest_url`, all set up by `config`.
    #[must_use]
    pub fn new(manifest_url: impl Into<String>, config: ClientConfig) -> Self {
        Self {
            manifest_url: manifest_url.into(),
            config,
            joined_count: Arc::default(),
        }
    }

    /// How many viewers were let in so far.
    #[must_use]
    pub fn joined_count(&self) -> usize {
        self.joined_count.load(Ordering::Relaxed)
    }

    /// Opens a client for the viewer called `name`.
    ///
    /// # Errors
    ///
    /// When the presentation cannot be opened.
    pub async fn open(&self, name: &str) -> Result<Client, SourceError> {
        let mut config = self.config.clone();
        let viewer = ("x-viewer".to_owned(), name.as_bytes().to_vec());
        config.headers.push(viewer);
        let client = Client::open(&self.manifest_url, config).await;
        self.joined_count.fetch_add(1, Ordering::Relaxed);
        client.map_err(source_error)
    }
}

#[async_trait]
impl World for PeerWorld {
    async fn join(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        let client = self.open(name).await?;
        Ok(Arc::new(PeerSource { client }))
    }
}

/// A viewer with peers.
#[derive(Debug)]
pub struct PeerSource {
    client: Client,
}

impl PeerSource {
    /// What `client` brings.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Source for PeerSource {
    async fn rungs(&self) -> Result<Vec<Rung>, SourceError> {
        Ok(rungs_of(&self.client.presentation()))
    }

    async fn segments(
        &self,
        track: TrackId,
        seen: Option<&Segments>,
    ) -> Result<Segments, SourceError> {
        self.client.watch(track).await.map_err(source_error)?;
        let mut changes = self.client.changes();
        loop {
            let current = changes.borrow_and_update().clone();
            let segments = current
                .track(track)
                .and_then(|track| track.segments.clone());
            if let Some(segments) = segments
                && seen.is_none_or(|seen| *seen != segments)
            {
                return Ok(segments);
            }
            let changed = changes.changed().await;
            changed.map_err(|_| source_error(ClientError::Closed))?;
        }
    }

    async fn fetch(&self, url: &str, range: Option<ByteRange>) -> Result<Body, SourceError> {
        let request = Request {
            range: range.map(HttpRange::from),
            ..Request::get(url)
        };
        let response = self.client.fetch(request).await.map_err(source_error)?;
        match response.status {
            200 | 206 => Ok(Box::pin(response.map(|part| part.map_err(source_error)))),
            status => Err(SourceError::Status(status)),
        }
    }

    async fn report(&self, playback: PlaybackReport) {
        let Some(position) = playback.position else {
            return;
        };
        let state = match playback.status {
            Status::Starting => PlaybackState::Starting,
            Status::Playing => PlaybackState::Playing,
            Status::Stalled => PlaybackState::Stalled,
            Status::Ended => PlaybackState::Paused,
        };
        let told = Playback {
            position,
            state,
            buffer_target: playback.buffer_target,
        };
        // A viewer whose client is closed has nobody to tell.
        let _ = self.client.set_playback(told, playback.latency).await;
    }

    async fn throughput(&self) -> Option<BitRate> {
        self.client.statistics().await.ok()?.throughput
    }

    async fn split(&self, track: TrackId, segment: &Segment, _len: u64) -> Split {
        let sources = self.client.sources(track, segment.ordinal).await;
        let sources = sources.unwrap_or_default();
        Split {
            http_bytes: sources.http_len,
            peer_bytes: sources.peer_len,
        }
    }

    async fn delivery(&self) -> Delivery {
        let statistics = self.client.statistics().await;
        statistics.map_or_else(|_| Delivery::default(), |s| s.snapshot.delivery)
    }

    async fn leave(&self) {
        self.client.close().await;
    }
}

fn source_error(error: ClientError) -> SourceError {
    match error {
        ClientError::Origin(
            FetchError::Unauthorised { status }
            | FetchError::NotFound { status }
            | FetchError::Server { status }
            | FetchError::Status { status },
        ) => SourceError::Status(status),
        ClientError::Manifest {
            reason: LoadFailure::Status(status),
            ..
        } => SourceError::Status(status),
        ClientError::Manifest { .. } | ClientError::NotAManifest { .. } => {
            SourceError::Manifest(error.to_string())
        }
        other => SourceError::Transfer(other.to_string()),
    }
}
