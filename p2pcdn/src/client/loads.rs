//! HTTP requests under way: each a task that reports to the driver.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use p2pcdn_manifest::LoadFailure;
use p2pcdn_scheduler::FetchId;
use p2pcdn_transport::{HttpClient, HttpError, HttpRequest, HttpResponse};
use p2pcdn_wire::{ByteRange, MAX_MESSAGE_LEN, SegmentRef};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    fetch::{Fetch, FetchError, FetchPlan, FetchRequest},
    http_response::ResponseHead,
};

/// How long a manifest may take as a whole: several target durations. A live manifest that is
/// older is of no use.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of the longest index, and how far into a resource it may end where a server sends all of
/// it instead.
const MAX_INDEX_LEN: u64 = p2pcdn_manifest::MAX_TEXT_LEN as u64;

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
    Index {
        url: Arc<str>,
        range: ByteRange,
        result: Result<LoadedIndex, LoadFailure>,
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

/// The answer to a request for an index of segments, which is a range of a media resource.
#[derive(Clone, Debug)]
pub(super) struct LoadedIndex {
    pub(super) status: u16,
    pub(super) final_url: Arc<str>,
    /// Exactly the bytes asked for.
    pub(super) body: Result<Bytes, LoadFailure>,
    pub(super) ttfb: Duration,
    /// Bytes read, those that were not asked for included.
    pub(super) read_len: u64,
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
        let head = head_of(&response);
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
            let result = loader.in_time(loader.load_manifest(&url)).await;
            loader.report(HttpEvent::Manifest { url, result }).await;
        });
    }

    /// Loads an index of segments.
    pub(super) fn index(&self, url: Arc<str>, range: ByteRange) {
        let loader = self.clone();
        tokio::spawn(async move {
            let result = loader.in_time(loader.load_index(&url, range)).await;
            loader.report(HttpEvent::Index { url, range, result }).await;
        });
    }

    /// What `load` comes to, unless it takes too long or nobody waits for it any more: servers of
    /// low-latency streams may hold an answer back for seconds.
    async fn in_time<T>(
        &self,
        load: impl Future<Output = Result<T, LoadFailure>>,
    ) -> Result<T, LoadFailure> {
        tokio::select! {
            result = tokio::time::timeout(MANIFEST_TIMEOUT, load) => {
                result.unwrap_or(Err(LoadFailure::Timeout))
            }
            () = self.events.closed() => Err(LoadFailure::Network),
        }
    }

    async fn load_index(&self, url: &str, range: ByteRange) -> Result<LoadedIndex, LoadFailure> {
        if range.len() > MAX_INDEX_LEN {
            return Err(LoadFailure::TooLong);
        }
        let mut fetch = Fetch::new(FetchPlan {
            url: url.to_owned(),
            resource: Some(range),
            ..FetchPlan::default()
        });
        let sent = self.send(self.segment_request(fetch.request())).await;
        let (response, ttfb) = sent.map_err(load_failure)?;
        let (status, final_url) = (response.status, response.final_url.as_str().into());
        let mut read_len = 0;
        let body = read_range(response, &mut fetch, range, &mut read_len).await;
        Ok(LoadedIndex {
            status,
            final_url,
            body,
            ttfb,
            read_len,
        })
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

/// Reads no further than the range that `fetch` is after.
async fn read_range(
    mut response: HttpResponse,
    fetch: &mut Fetch,
    range: ByteRange,
    read_len: &mut u64,
) -> Result<Bytes, LoadFailure> {
    let head = fetch.handle_head(&head_of(&response));
    let head = head.map_err(|error| index_failure(&error))?;
    if head.range_ignored && range.end > MAX_INDEX_LEN {
        return Err(LoadFailure::TooLong);
    }
    let mut body = BytesMut::new();
    while !fetch.is_done()
        && let Some(bytes) = response.body.next().await
    {
        let bytes = bytes.map_err(load_failure)?;
        *read_len += bytes.len() as u64;
        if let Some((_, wanted)) = fetch.handle_body(bytes) {
            body.extend_from_slice(&wanted);
        }
    }
    let end = fetch.handle_end();
    end.map_err(|error| index_failure(&error))?;
    Ok(body.freeze())
}

fn head_of(response: &HttpResponse) -> ResponseHead {
    let headers = response.headers.iter();
    ResponseHead::new(
        response.status,
        headers.map(|(name, value)| (name.as_str(), value.as_slice())),
    )
}

fn index_failure(error: &FetchError) -> LoadFailure {
    match error {
        FetchError::Unauthorised { status }
        | FetchError::NotFound { status }
        | FetchError::Server { status }
        | FetchError::Status { status } => LoadFailure::Status(*status),
        FetchError::RangeNotSatisfiable { .. } => LoadFailure::Status(416),
        FetchError::TooLong { .. } => LoadFailure::TooLong,
        _ => LoadFailure::Network,
    }
}

fn load_failure(error: HttpError) -> LoadFailure {
    match error {
        HttpError::Timeout => LoadFailure::Timeout,
        HttpError::InvalidRequest => LoadFailure::InvalidUrl,
        _ => LoadFailure::Network,
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::stream;

    use super::*;

    const WANTED: ByteRange = ByteRange::new(4, 8);

    /// Answers everything alike, with a body that never ends.
    struct Origin {
        status: u16,
        content_range: Option<&'static str>,
        pieces: Vec<&'static [u8]>,
    }

    #[async_trait]
    impl HttpClient for Origin {
        async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            let header = |value: &str| ("content-range".to_owned(), value.as_bytes().to_vec());
            let pieces: Vec<_> = self
                .pieces
                .iter()
                .copied()
                .map(Bytes::from_static)
                .collect();
            let pieces = stream::iter(pieces.into_iter().map(Ok));
            Ok(HttpResponse {
                status: self.status,
                headers: self.content_range.map(header).into_iter().collect(),
                final_url: request.url,
                body: pieces.chain(stream::pending()).boxed(),
            })
        }
    }

    fn origin(status: u16, pieces: &[&'static [u8]]) -> Origin {
        Origin {
            status,
            content_range: (status == 206).then_some("bytes 4-7/100"),
            pieces: pieces.to_vec(),
        }
    }

    /// What comes of asking for `range`, and how many bytes were read for it.
    async fn load(origin: Origin, range: ByteRange) -> (Result<Bytes, LoadFailure>, u64) {
        let loader = Loader {
            http: Arc::new(origin),
            headers: Vec::new(),
            events: mpsc::channel(1).0,
        };
        let load = loader.load_index("https://h.example/v.mp4", range);
        let load = tokio::time::timeout(Duration::from_secs(5), load);
        match load.await.expect("it reads on although it has all") {
            Ok(index) => (index.body, index.read_len),
            Err(reason) => (Err(reason), 0),
        }
    }

    #[tokio::test]
    async fn an_index_is_exactly_the_bytes_asked_for() {
        let sidx = Ok(Bytes::from_static(b"sidx"));
        let part = origin(206, &[b"si", b"dx"]);
        assert_eq!(load(part, WANTED).await, (sidx.clone(), 4));
        // All of it instead of a part: nothing is read beyond.
        let whole = origin(200, &[b"ftypsi", b"dxmoof", b"mdat"]);
        assert_eq!(load(whole, WANTED).await, (sidx, 12));
    }

    #[tokio::test]
    async fn an_index_that_is_not_what_was_asked_for_is_a_failure() {
        let elsewhere = Origin {
            content_range: Some("bytes 5-8/100"),
            ..origin(206, &[b"sidx"])
        };
        assert_eq!(load(elsewhere, WANTED).await.0, Err(LoadFailure::Network));
        let refused = origin(403, &[b"no"]);
        assert_eq!(load(refused, WANTED).await.0, Err(LoadFailure::Status(403)));
    }

    #[tokio::test]
    async fn an_index_that_is_too_long_or_too_far_in_is_not_read() {
        let long = ByteRange::new(0, MAX_INDEX_LEN + 1);
        assert_eq!(
            load(origin(206, &[]), long).await,
            (Err(LoadFailure::TooLong), 0)
        );
        let far = ByteRange::new(MAX_INDEX_LEN, MAX_INDEX_LEN + 1);
        assert_eq!(
            load(origin(200, &[b"ftyp"]), far).await,
            (Err(LoadFailure::TooLong), 0)
        );
    }
}
