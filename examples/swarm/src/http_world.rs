//! The world without peers: every viewer gets everything from the origin.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use p2pcdn::{
    manifest::{
        Config, Event, Input, LoadFailure, MAX_TEXT_LEN, Output, Presentation, Refresh, Segment,
        Segments, TrackKind,
    },
    metrics::{Delivery, HttpReason, Throughput, ThroughputConfig},
    wire::{self, BitRate, ByteRange, TrackId, UnixTime},
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    source::{Body, PlaybackReport, Rung, Source, SourceError, Split},
    world::World,
};

/// Viewers of one manifest over plain HTTP.
#[derive(Clone, Debug)]
pub struct HttpWorld {
    manifest_url: String,
}

impl HttpWorld {
    /// The viewers of the stream at `manifest_url`.
    #[must_use]
    pub fn new(manifest_url: impl Into<String>) -> Self {
        Self {
            manifest_url: manifest_url.into(),
        }
    }
}

#[async_trait]
impl World for HttpWorld {
    async fn join(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        Ok(Arc::new(HttpSource::open(&self.manifest_url, name)?))
    }
}

/// A viewer's own HTTP client and its view of the manifest.
///
/// Manifests are reloaded by the same rules as the viewers with peers reload them.
struct HttpSource {
    http: Http,
    presentation: watch::Receiver<Option<Arc<Presentation>>>,
    track: Mutex<Option<TrackId>>,
    inputs: mpsc::UnboundedSender<Input>,
    refreshing: AbortHandle,
}

/// What fetches and counts.
#[derive(Clone)]
struct Http {
    client: reqwest::Client,
    viewer: String,
    epoch: Instant,
    books: Arc<Mutex<Books>>,
}

struct Books {
    delivery: Delivery,
    throughput: Throughput,
}

impl HttpSource {
    fn open(manifest_url: &str, viewer: &str) -> Result<Self, SourceError> {
        let http = Http::new(manifest_url, viewer)?;
        let (sender, presentation) = watch::channel(None);
        let (inputs, inbox) = mpsc::unbounded_channel();
        let refresh = Refresh::new(Config::default(), manifest_url, http.now());
        let refreshing = tokio::spawn(keep_fresh(refresh, http.clone(), inbox, sender));
        Ok(Self {
            http,
            presentation,
            track: Mutex::new(None),
            inputs,
            refreshing: refreshing.abort_handle(),
        })
    }

    /// Makes `track` the one whose manifest is kept fresh.
    fn watch_track(&self, track: TrackId) {
        let mut watched = self.track.lock().expect("nothing panics while holding it");
        if *watched == Some(track) {
            return;
        }
        if let Some(before) = watched.replace(track) {
            let _ = self.inputs.send(Input::TrackDeactivated(before));
        }
        let _ = self.inputs.send(Input::TrackActivated(track));
    }
}

impl Drop for HttpSource {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn rungs(&self) -> Result<Vec<Rung>, SourceError> {
        let mut presentation = self.presentation.clone();
        let known = presentation.wait_for(Option::is_some).await;
        let known = known.map_err(|_| closed())?.clone();
        Ok(known.as_deref().map(rungs_of).unwrap_or_default())
    }

    async fn segments(
        &self,
        track: TrackId,
        seen: Option<&Segments>,
    ) -> Result<Segments, SourceError> {
        self.watch_track(track);
        let mut presentation = self.presentation.clone();
        loop {
            let current = presentation.borrow_and_update().clone();
            let segments = current
                .as_ref()
                .and_then(|current| current.track(track)?.segments.clone());
            if let Some(segments) = segments
                && seen.is_none_or(|seen| *seen != segments)
            {
                return Ok(segments);
            }
            presentation.changed().await.map_err(|_| closed())?;
        }
    }

    async fn fetch(&self, url: &str, range: Option<ByteRange>) -> Result<Body, SourceError> {
        let counted = Counted {
            asked_at: Instant::now(),
            pieces: Box::pin(self.http.get(url, range).await?.bytes_stream()),
            len: 0,
            http: self.http.clone(),
        };
        Ok(Box::pin(stream::unfold(counted, Counted::next)))
    }

    async fn report(&self, _playback: PlaybackReport) {}

    async fn throughput(&self) -> Option<BitRate> {
        let books = self.http.books();
        let measured = books.throughput.measured_at().is_some();
        measured.then(|| books.throughput.estimate())
    }

    async fn split(&self, _track: TrackId, _segment: &Segment, len: u64) -> Split {
        Split {
            http_bytes: len,
            peer_bytes: 0,
        }
    }

    async fn delivery(&self) -> Delivery {
        self.http.books().delivery
    }

    async fn leave(&self) {
        self.refreshing.abort();
    }
}

/// A body that is being read, into the books.
struct Counted {
    asked_at: Instant,
    pieces: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    len: u64,
    http: Http,
}

impl Counted {
    async fn next(mut self) -> Option<(Result<Bytes, SourceError>, Self)> {
        let piece = self.pieces.next().await;
        let mut books = self.http.books();
        match &piece {
            Some(Ok(piece)) => {
                let len = piece.len() as u64;
                self.len += len;
                books.delivery.add_http(HttpReason::Policy, len);
            }
            Some(Err(_)) => {}
            None => {
                let took = self.asked_at.elapsed();
                books.throughput.record(self.len, took, self.http.now());
            }
        }
        drop(books);
        Some((piece?.map_err(transfer_error), self))
    }
}

impl Http {
    fn new(manifest_url: &str, viewer: &str) -> Result<Self, SourceError> {
        // A proxy that the environment names would count for nothing on the loopback interface.
        let host = url::Url::parse(manifest_url).map_err(manifest_error)?;
        let is_local = matches!(host.host(), Some(url::Host::Ipv4(ip)) if ip.is_loopback());
        let builder = reqwest::Client::builder().tcp_nodelay(true);
        let builder = if is_local {
            builder.no_proxy()
        } else {
            builder
        };
        Ok(Self {
            client: builder.build().map_err(transfer_error)?,
            viewer: viewer.to_owned(),
            epoch: Instant::now(),
            books: Arc::new(Mutex::new(Books {
                delivery: Delivery::default(),
                throughput: Throughput::new(ThroughputConfig::default()),
            })),
        })
    }

    async fn get(
        &self,
        url: &str,
        range: Option<ByteRange>,
    ) -> Result<reqwest::Response, SourceError> {
        let mut request = self.client.get(url).header("x-viewer", &self.viewer);
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            request = request.header("range", format!("bytes={}-{last}", range.start));
        }
        let response = request.send().await.map_err(transfer_error)?;
        let wanted = if range.is_some() { 206 } else { 200 };
        match response.status().as_u16() {
            status if status == wanted => Ok(response),
            status => Err(SourceError::Status(status)),
        }
    }

    /// Loads a manifest, or the index in a range of a media resource, and gives its text and its
    /// URL after redirects.
    async fn load(
        &self,
        url: &str,
        range: Option<ByteRange>,
    ) -> Result<(Bytes, Arc<str>), LoadFailure> {
        let response = self.get(url, range).await.map_err(load_failure)?;
        let final_url: Arc<str> = response.url().as_str().into();
        let mut body = response.bytes_stream();
        let mut text = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| LoadFailure::Network)?;
            self.books()
                .delivery
                .add_http(HttpReason::Manifest, piece.len() as u64);
            text.extend_from_slice(&piece);
            if text.len() > MAX_TEXT_LEN {
                return Err(LoadFailure::TooLong);
            }
        }
        Ok((text.freeze(), final_url))
    }

    fn now(&self) -> wire::Instant {
        wire::Instant::from_epoch(self.epoch.elapsed())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics while holding it")
    }
}

/// Carries out what `refresh` wants, for as long as anybody listens.
async fn keep_fresh(
    mut refresh: Refresh,
    http: Http,
    mut inbox: mpsc::UnboundedReceiver<Input>,
    presentation: watch::Sender<Option<Arc<Presentation>>>,
) {
    let mut loads = JoinSet::new();
    let micros = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |it| it.as_micros());
    let clock = UnixTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
    refresh.handle_input(Input::ClockKnown(clock), http.now());
    loop {
        while let Some(output) = refresh.poll_output() {
            match output {
                Output::Load { url, range } => {
                    let http = http.clone();
                    loads.spawn(async move { load(&http, url, range).await });
                }
                Output::Updated(update) => {
                    presentation.send_replace(Some(update.presentation));
                }
                Output::Event(event) => log(&event),
            }
        }
        let due_at = refresh.poll_timeout();
        let due = async {
            match due_at {
                Some(due_at) => sleep_until(http.epoch + due_at.since_epoch()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => refresh.handle_timeout(http.now()),
            Some(Ok(input)) = loads.join_next() => refresh.handle_input(input, http.now()),
            input = inbox.recv() => match input {
                Some(input) => refresh.handle_input(input, http.now()),
                None => return,
            },
        }
    }
}

async fn load(http: &Http, url: Arc<str>, range: Option<ByteRange>) -> Input {
    let loaded = timeout(MANIFEST_TIMEOUT, http.load(&url, range)).await;
    match loaded.unwrap_or(Err(LoadFailure::Timeout)) {
        Ok((body, final_url)) => Input::Loaded {
            url,
            range,
            final_url,
            body,
        },
        Err(reason) => Input::LoadFailed { url, range, reason },
    }
}

fn log(event: &Event) {
    match event {
        Event::LoadFailed { .. } | Event::ParseFailed { .. } => tracing::info!(?event, "manifest"),
        _ => tracing::debug!(?event, "manifest"),
    }
}

/// The video tracks by rising bandwidth.
pub(crate) fn rungs_of(presentation: &Presentation) -> Vec<Rung> {
    let video = presentation.tracks.iter();
    let video = video.filter(|track| track.kind == TrackKind::Video);
    let mut rungs: Vec<Rung> = video
        .map(|track| Rung {
            track: track.id,
            bandwidth: track.bandwidth.unwrap_or_default(),
        })
        .collect();
    rungs.sort_by_key(|rung| rung.bandwidth);
    rungs
}

fn load_failure(error: SourceError) -> LoadFailure {
    match error {
        SourceError::Status(status) => LoadFailure::Status(status),
        SourceError::Timeout => LoadFailure::Timeout,
        SourceError::Transfer(_) | SourceError::Manifest(_) => LoadFailure::Network,
    }
}

fn transfer_error(error: reqwest::Error) -> SourceError {
    match error.is_timeout() {
        true => SourceError::Timeout,
        false => SourceError::Transfer(error.without_url().to_string()),
    }
}

fn manifest_error(error: url::ParseError) -> SourceError {
    SourceError::Manifest(error.to_string())
}

fn closed() -> SourceError {
    SourceError::Transfer("the viewer has left".to_owned())
}

/// hls.js `playlistLoadPolicy.default.maxLoadTimeMs`.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(20);
