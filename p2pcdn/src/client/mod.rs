//! The whole on tokio: sockets, HTTP and trackers around a [`Session`](crate::Session).

mod config;
mod driver;
mod loads;
mod manifests;
mod neighbours;
mod requests;
mod response;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2pcdn_manifest::Presentation;
use p2pcdn_metrics::Snapshot;
use p2pcdn_scheduler::{Playback, Policy};
use p2pcdn_transport::{ReqwestClient, ReqwestConfig};
use p2pcdn_wire::{BitRate, PeerId, TrackId};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    config::ClientConfig,
    response::{ClientError, Request, Response},
};
use self::{driver::Driver, loads::SharedHttpClient};
use crate::{authorisation::Standing, session::SegmentSources};

/// Commands that may wait for the driver; more make the caller wait.
const COMMAND_QUEUE: usize = 64;

/// One viewer of one presentation, with its sockets: give it what the player asks for, tell it
/// what the player does.
///
/// Cheap to clone; all clones are the same viewer. When the last one is dropped, the viewer leaves.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    changes: watch::Receiver<Arc<Presentation>>,
    peer: PeerId,
}

/// How a client is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The counters.
    pub snapshot: Snapshot,
    /// Peers that can be talked to.
    pub peer_count: usize,
    /// Where the viewer stands with the origin; peers are dealt with only while it is
    /// [`Standing::Granted`].
    pub standing: Standing,
    /// The HTTP throughput of late: what a player's rendition choice may reckon with; `None` until
    /// some was measured.
    pub throughput: Option<BitRate>,
    /// Bytes of media and block maps in memory.
    pub memory_len: u64,
}

#[derive(Debug)]
enum Command {
    Fetch(Request, oneshot::Sender<Result<Response, ClientError>>),
    Watch(TrackId),
    Hold(TrackId),
    SetPlayback(Playback, Option<Duration>),
    SetPolicy(Policy),
    Statistics(oneshot::Sender<Statistics>),
    Sources(TrackId, u64, oneshot::Sender<SegmentSources>),
    PublishMap(TrackId, u64, Bytes),
    Close(oneshot::Sender<()>),
}

impl Client {
    /// Opens the presentation at `manifest_url`. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be loaded or is none, or when there is no socket.
    pub async fn open(manifest_url: &str, config: ClientConfig) -> Result<Self, ClientError> {
        let http = ReqwestClient::new(&ReqwestConfig::default())?;
        Self::open_with(manifest_url, config, Arc::new(http)).await
    }

    /// Like [`open`](Self::open), with an HTTP client of the caller's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(
        manifest_url: &str,
        config: ClientConfig,
        http: SharedHttpClient,
    ) -> Result<Self, ClientError> {
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let (driver, peer) = Driver::new(manifest_url, config, http, receiver)?;
        let (opened, open) = oneshot::channel();
        tokio::spawn(driver.run(opened));
        let changes = open.await.unwrap_or(Err(ClientError::Closed))?;
        Ok(Self {
            commands,
            changes,
            peer,
        })
    }

    /// The presentation as last loaded.
    #[must_use]
    pub fn presentation(&self) -> Arc<Presentation> {
        self.changes.borrow().clone()
    }

    /// Tells of each change of the presentation.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Presentation>> {
        self.changes.clone()
    }

    /// This viewer's id in the swarm.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Says that the player plays a track: its manifest is loaded and kept fresh, and its segments
    /// are fetched ahead of the playhead. The track of the same kind that was played before is
    /// only served on. Fetching a segment says so too.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn watch(&self, track: TrackId) -> Result<(), ClientError> {
        self.tell(Command::Watch(track)).await
    }

    /// Keeps a track's manifest fresh without playing it, as a publisher of block maps does.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn hold(&self, track: TrackId) -> Result<(), ClientError> {
        self.tell(Command::Hold(track)).await
    }

    /// Fetches any URL: segments through the swarm, the presentation's manifests as they were last
    /// loaded, everything else (init segments, keys, parts) from the origin as it is. So are
    /// playlists with the delivery directives of a low-latency player, and segments whose ordinals
    /// have gaps (live DASH, named by time), which are not shared.
    ///
    /// A segment away from where the player is counts as a seek.
    ///
    /// # Errors
    ///
    /// When the origin fails it and no peer has it.
    pub async fn fetch(&self, request: Request) -> Result<Response, ClientError> {
        self.ask(|reply| Command::Fetch(request, reply)).await?
    }

    /// Says what the player is doing and, for a live stream, how far its playhead is behind the
    /// newest moment. To be told at each change and about once a second.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn set_playback(
        &self,
        playback: Playback,
        latency: Option<Duration>,
    ) -> Result<(), ClientError> {
        self.tell(Command::SetPlayback(playback, latency)).await
    }

    /// Changes what may be done with peers, at once.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn set_policy(&self, policy: Policy) -> Result<(), ClientError> {
        self.tell(Command::SetPolicy(policy)).await
    }

    /// How the client is doing.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn statistics(&self) -> Result<Statistics, ClientError> {
        self.ask(Command::Statistics).await
    }

    /// Where the bytes of a segment came from; zeros once nothing of it is held any more.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn sources(
        &self,
        track: TrackId,
        ordinal: u64,
    ) -> Result<SegmentSources, ClientError> {
        self.ask(|reply| Command::Sources(track, ordinal, reply))
            .await
    }

    /// Hands a signed block map of a listed segment to the swarm.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub async fn publish_map(
        &self,
        track: TrackId,
        ordinal: u64,
        encoded: Bytes,
    ) -> Result<(), ClientError> {
        self.tell(Command::PublishMap(track, ordinal, encoded))
            .await
    }

    /// Says goodbye to peers and trackers, and waits until that has left.
    pub async fn close(&self) {
        // A client that is closed already needs no goodbye.
        let _ = self.ask(Command::Close).await;
    }

    async fn tell(&self, command: Command) -> Result<(), ClientError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ClientError::Closed)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| ClientError::Closed)
    }
}
