//! HTTP requests under way: each a task that reports to the driver.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use p2pcdn_manifest::LoadFailure;
use p2pcdn_scheduler::FetchId;
use p2pcdn_transport::{HttpClient, HttpError, HttpRequest, HttpResponse};
use p2pcdn_wire::{MAX_MESSAGE_LEN, SegmentRef};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{fetch::FetchRequest, http_response::ResponseHead};

/// How long a manifest may take as a whole: several target durations. A live manifest that is
/// older is of no use.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an origin may send nothing in the middle of a body, or before its head, before the
/// attempt counts as broken; what hls.js gives a fragment's first byte.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) type SharedHttpClient = Arc<dyn HttpClient + Send + Sync>;

/// What became of a request.
#[derive(Debug)]
pub(super) enum HttpEvent {
    Head {
        fetch: FetchId,
        head: ResponseHead,
        ttfb: Duration,
    },
    Body {
        fetch: FetchId,
        bytes: Bytes,
    },
    End {
        fetch: FetchId,
        result: Result<(), HttpError>,
    },
    Manifest {
        url: Arc<str>,
        result: Result<LoadedManifest, LoadFailure>,
    },
    Sidecar {
        segment: SegmentRef,
        encoded: Option<Bytes>,
    },
    Renewal {
        segment: SegmentRef,
        status: Option<u16>,
    },
}

/// A manifest as the origin gave it.
#[derive(Clone, Debug)]
pub(super) struct LoadedManifest {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) final_url: Arc<str>,
    pub(super) body: Bytes,
    pub(super) ttfb: Duration,
}

/// Sends requests with the viewer's own headers.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) http: SharedHttpClient,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) events: mpsc::Sender<HttpEvent>,
}

impl Loader {
    pub(super) fn request(&self, url: &str) -> HttpRequest {
        HttpRequest {
            headers: self.headers.clone(),
            ..HttpRequest::get(url)
        }
    }

    fn segment_request(&self, request: FetchRequest) -> HttpRequest {
        let mut http = self.request(&request.url);
        http.range = request.range;
        let if_range = request.if_range.map(String::into_bytes);
        http.headers
            .extend(if_range.map(|value| ("if-range".to_owned(), value)));
        http
    }

    /// Starts a segment's attempt; aborting the task cancels it.
    pub(super) fn fetch(&self, fetch: FetchId, request: FetchRequest) -> AbortHandle {
        let loader = self.clone();
        let request = self.segment_request(request);
        let task = async move {
            let result = loader.stream(fetch, request).await;
            loader.report(HttpEvent::End { fetch, result }).await;
        };
        tokio::spawn(task).abort_handle()
    }

    async fn stream(&self, fetch: FetchId, request: HttpRequest) -> Result<(), HttpError> {
        let (mut response, ttfb) = self.send(request).await?;
        let headers = response.headers.iter();
        let head = ResponseHead::new(
            response.status,
            headers.map(|(name, value)| (name.as_str(), value.as_slice())),
        );
        self.report(HttpEvent::Head { fetch, head, ttfb }).await;
        while let Some(bytes) = within(SILENCE_TIMEOUT, response.body.next()).await? {
            let bytes = bytes?;
            self.report(HttpEvent::Body { fetch, bytes }).await;
        }
        Ok(())
    }

    /// Loads a manifest.
    pub(super) fn manifest(&self, url: Arc<str>) {
        let loader = self.clone();
        tokio::spawn(async move {
            let load = loader.load_manifest(&url);
            let result = match tokio::time::timeout(MANIFEST_TIMEOUT, load).await {
                Ok(result) => result,
                Err(_) => Err(LoadFailure::Timeout),
            };
            loader.report(HttpEvent::Manifest { url, result }).await;
        });
    }

    async fn load_manifest(&self, url: &str) -> Result<LoadedManifest, LoadFailure> {
        let sent = self.send(self.request(url)).await;
        let (response, ttfb) = sent.map_err(load_failure)?;
        let (status, headers) = (response.status, response.headers.clone());
        let final_url = response.final_url.as_str().into();
        let body = collect(response, p2pcdn_manifest::MAX_TEXT_LEN).await?;
        Ok(LoadedManifest {
            status,
            headers,
            final_url,
            body,
            ttfb,
        })
    }

    /// Fetches a block map from the sidecar, without the viewer's headers: it is the publisher's,
    /// not the origin's.
    pub(super) fn sidecar(&self, segment: SegmentRef, url: String) {
        let loader = self.clone();
        tokio::spawn(async move {
            let load = async {
                let (response, _) = loader.send(HttpRequest::get(url)).await.ok()?;
                let is_there = response.status == 200;
                let body = collect(response, MAX_MESSAGE_LEN);
                if is_there { body.await.ok() } else { None }
            };
            let encoded = within(SILENCE_TIMEOUT, load).await.ok().flatten();
            loader.report(HttpEvent::Sidecar { segment, encoded }).await;
        });
    }

    /// Asks for a byte of a segment.
    pub(super) fn renewal(&self, segment: SegmentRef, request: FetchRequest) {
        let loader = self.clone();
        let request = self.segment_request(request);
        tokio::spawn(async move {
            let answer = loader.send(request).await.ok();
            let status = answer.map(|(response, _)| response.status);
            loader.report(HttpEvent::Renewal { segment, status }).await;
        });
    }

    /// Waits for the head of the response.
    pub(super) async fn send(
        &self,
        request: HttpRequest,
    ) -> Result<(HttpResponse, Duration), HttpError> {
        let sent_at = tokio::time::Instant::now();
        let response = within(SILENCE_TIMEOUT, self.http.fetch(request)).await??;
        Ok((response, sent_at.elapsed()))
    }

    async fn report(&self, event: HttpEvent) {
        // The driver is gone once the client is closed; so is the need to report.
        let _ = self.events.send(event).await;
    }
}

async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, HttpError> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| HttpError::Timeout)
}

async fn collect(mut response: HttpResponse, max_len: usize) -> Result<Bytes, LoadFailure> {
    let mut body = BytesMut::new();
    while let Some(bytes) = response.body.next().await {
        let bytes = bytes.map_err(load_failure)?;
        if body.len() + bytes.len() > max_len {
            return Err(LoadFailure::TooLong);
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body.freeze())
}

fn load_failure(error: HttpError) -> LoadFailure {
    match error {
        HttpError::Timeout => LoadFailure::Timeout,
        HttpError::InvalidRequest => LoadFailure::InvalidUrl,
        _ => LoadFailure::Network,
    }
}
