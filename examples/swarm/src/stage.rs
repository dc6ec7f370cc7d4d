//! Everything of one run: origin, tracker, attester, the viewers with peers and their twins
//! without.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use p2pcdn::{ClientConfig, ClientError, PublicKey, SigningKey, manifest::IdentityConfig};
use p2pcdn_example_attest::Attester;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use crate::{
    cli::Options,
    clock::WallClock,
    http_world::HttpWorld,
    media::SEGMENT_SECONDS,
    origin::{Origin, OriginConfig, Shape, Show},
    peer_world::PeerWorld,
    progress::with_progress,
    record::ViewerRecord,
    report::Report,
    source::SourceError,
    truth::{FetchedTruth, Truth},
    world::{Audience, World},
};

/// What the attester is called at the origin, which serves it over a line of its own.
const ATTESTER: &str = "attester";

/// From the start of a world to its first viewer: time for the attester to sign what is listed.
const LEAD_TIME: Duration = Duration::from_secs(2);

/// How long the live show has been on when the first viewer comes: longer than its window, and 0.3 s
/// after a segment was published.
const LIVE_FOR: Duration = Duration::from_millis(60_300);

/// Seconds of the show on demand after the last one that anybody plays: more than a player's buffer.
const VOD_TAIL: u64 = 30;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// The viewers with peers.
    pub hybrid: Vec<ViewerRecord>,
    /// The viewers over HTTP alone, unless they were left out.
    pub control: Option<Vec<ViewerRecord>>,
}

/// Why a run did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// A listening socket.
    #[error("no socket on the loopback interface: {0}")]
    Socket(#[from] io::Error),
    /// The attester.
    #[error("the attester cannot open the stream: {0}")]
    Attester(#[from] ClientError),
    /// A viewer.
    #[error("a viewer cannot open the stream: {0}")]
    Viewer(#[from] SourceError),
    /// The system gives no random bytes.
    #[error("no source of randomness")]
    Randomness,
}

/// The stream of a world, and since when it is on.
struct Broadcast {
    /// Lives as long as the world; `None` when the stream is somebody else's.
    origin: Option<Origin>,
    manifest_url: String,
    first_join_at: Instant,
    wall: WallClock,
}

/// A tracker that runs in this process until it is dropped.
#[derive(Debug)]
pub struct LocalTracker {
    url: String,
    task: JoinHandle<()>,
}

impl LocalTracker {
    /// Starts a tracker on a free loopback port.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
    }

    /// Starts a tracker that answers on `listener`.
    ///
    /// # Errors
    ///
    /// When the listener has no address.
    pub fn serve(listener: TcpListener) -> io::Result<Self> {
        let url = format!("ws://{}/", listener.local_addr()?);
        let config = p2pcdn_example_tracker::Config::default();
        let task = tokio::spawn(async move {
            let forever = std::future::pending();
            if let Err(error) = p2pcdn_example_tracker::serve(listener, config, forever).await {
                tracing::warn!(%error, "the tracker stopped");
            }
        });
        Ok(Self { url, task })
    }

    /// Its `ws:` URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for LocalTracker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs the viewers with peers and, unless left out, the viewers without.
///
/// # Errors
///
/// When a part cannot be started.
pub async fn run(options: &Options) -> Result<Outcome, StageError> {
    let (hybrid, attester_bytes) = hybrid(options).await?;
    let control = if options.no_control {
        None
    } else {
        Some(control(options).await?)
    };
    let report = Report::new(
        options.watched(),
        &hybrid,
        attester_bytes,
        control.as_deref(),
    );
    Ok(Outcome {
        report,
        hybrid,
        control,
    })
}

async fn hybrid(options: &Options) -> Result<(Vec<ViewerRecord>, u64), StageError> {
    let broadcast = Broadcast::start(options).await?;
    let tracker = LocalTracker::start().await?;
    let (attester, key) = start_attester(&broadcast.manifest_url, tracker.url()).await?;
    let config = ClientConfig {
        trackers: vec![tracker.url().to_owned()],
        publisher_keys: vec![key],
        bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
        ..ClientConfig::default()
    };
    let world = PeerWorld::new(&broadcast.manifest_url, config);
    let records = broadcast
        .watch(options, "with peers", Arc::new(world))
        .await?;
    let attester_bytes = attester.origin_bytes().await;
    attester.close().await;
    Ok((records, attester_bytes))
}

async fn control(options: &Options) -> Result<Vec<ViewerRecord>, StageError> {
    let broadcast = Broadcast::start(options).await?;
    let world = HttpWorld::new(&broadcast.manifest_url);
    broadcast
        .watch(options, "HTTP alone", Arc::new(world))
        .await
}

/// Starts an attester with a new key for the stream at `manifest_url`.
///
/// # Errors
///
/// When it cannot open the stream.
pub async fn start_attester(
    manifest_url: &str,
    tracker: &str,
) -> Result<(Attester, PublicKey), StageError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| StageError::Randomness)?;
    let key = SigningKey::from_random(secret);
    let public_key = key.public_key();
    let config = p2pcdn_example_attest::Config {
        manifest_url: manifest_url.to_owned(),
        key,
        trackers: vec![tracker.to_owned()],
        identity: IdentityConfig::default(),
        headers: vec![("x-viewer".to_owned(), ATTESTER.as_bytes().to_vec())],
        bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
    };
    let sidecar = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok((Attester::start(config, sidecar).await?, public_key))
}

impl Broadcast {
    async fn start(options: &Options) -> Result<Self, StageError> {
        let first_join_at = Instant::now() + LEAD_TIME;
        let wall = WallClock::start();
        if let Some(manifest_url) = options.manifest.clone() {
            return Ok(Self {
                origin: None,
                manifest_url,
                first_join_at,
                wall,
            });
        }
        // As long as the first viewer watches and loads ahead.
        let watched = options.watched().as_secs() + u64::from(options.viewers);
        let vod_len = (watched + VOD_TAIL).div_ceil(SEGMENT_SECONDS);
        let origin = Origin::start(OriginConfig {
            live_since: first_join_at.checked_sub(LIVE_FOR).unwrap_or(first_join_at),
            wall,
            shape: options.shape(),
            vod_len,
            ..OriginConfig::default()
        })
        .await?;
        origin.set_shape(ATTESTER, Shape::default());
        let show = if options.vod { Show::Vod } else { Show::Live };
        let manifest_url = origin.url(show);
        Ok(Self {
            origin: Some(origin),
            manifest_url,
            first_join_at,
            wall,
        })
    }

    async fn watch(
        &self,
        options: &Options,
        name: &'static str,
        world: Arc<dyn World>,
    ) -> Result<Vec<ViewerRecord>, StageError> {
        let truth = match &self.origin {
            Some(_) => Truth::Shipped,
            None => Truth::Fetched(FetchedTruth::default()),
        };
        let audience = Audience {
            viewers: usize::from(options.viewers),
            duration: options.watched(),
            first_join_at: self.first_join_at,
            choice: options.choice(),
            wall: self.wall,
            truth: Arc::new(truth),
            ..Audience::default()
        };
        let total = audience.total_duration();
        let watching = audience.watch(world);
        Ok(with_progress(name, self.first_join_at, total, watching).await?)
    }
}
