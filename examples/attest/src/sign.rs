//! Reading a segment and signing its block map.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use p2pcdn::{
    BlockMap, MapError, SignedMap, SigningKey,
    transport::{HttpClient, HttpError, HttpRequest},
    wire::{ByteRange, SegmentId},
};
use tokio::time::timeout;

/// Attempts at one segment: a segment that was just listed may not be there yet.
const ATTEMPTS: u32 = 5;

/// The pause before the second attempt; it doubles.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How long an attempt may bring nothing, before its head or in the middle of its body, as for a
/// viewer's.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest segment that peers can share, and one byte to notice a longer one.
const MAX_LEN: usize = p2pcdn::wire::MAX_BLOCKS as usize * p2pcdn::wire::BLOCK_LEN as usize + 1;

/// Reads segments from the origin and signs their block maps.
pub struct Signer {
    key: SigningKey,
    http: Arc<dyn HttpClient + Send + Sync>,
    headers: Vec<(String, Vec<u8>)>,
    read_bytes: AtomicU64,
}

/// Where a segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The resource.
    pub url: String,
    /// Its bytes that are the segment; `None`: all.
    pub range: Option<ByteRange>,
}

/// Why a segment was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The origin did not deliver it.
    #[error("the origin answered with status {0}")]
    Status(u16),
    /// The origin fell silent.
    #[error("nothing came for 10 s")]
    Silent(#[from] tokio::time::error::Elapsed),
    /// The connection failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The body has another length than the range that was asked for.
    #[error("{received} bytes instead of {expected}")]
    WrongLength {
        /// Bytes that came.
        received: u64,
        /// Bytes of the range.
        expected: u64,
    },
    /// It cannot have a block map.
    #[error(transparent)]
    Map(#[from] MapError),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("key", &self.key.public_key())
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with `key` what `http` reads, sending `headers` to the origin.
    #[must_use]
    pub fn new(
        key: SigningKey,
        http: Arc<dyn HttpClient + Send + Sync>,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Self {
        Self {
            key,
            http,
            headers,
            read_bytes: AtomicU64::new(0),
        }
    }

    /// Bytes read from the origin so far.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Reads a segment, trying again while the origin does not have it, and signs its map.
    ///
    /// # Errors
    ///
    /// The last attempt's.
    pub async fn sign(&self, id: SegmentId, source: &Source) -> Result<SignedMap, SignError> {
        let mut pause = RETRY_AFTER;
        for _ in 1..ATTEMPTS {
            match self.attempt(id, source).await {
                Err(SignError::Map(error)) => return Err(error.into()),
                Err(error) => tracing::debug!(segment = %id, %error, "tries again"),
                signed => return signed,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.attempt(id, source).await
    }

    async fn attempt(&self, id: SegmentId, source: &Source) -> Result<SignedMap, SignError> {
        let request = HttpRequest {
            headers: self.headers.clone(),
            range: source.range.map(Into::into),
            ..HttpRequest::get(&source.url)
        };
        let mut response = timeout(SILENCE_TIMEOUT, self.http.fetch(request)).await??;
        let expected_status = if source.range.is_some() { 206 } else { 200 };
        if response.status != expected_status {
            return Err(SignError::Status(response.status));
        }
        let mut bytes = Vec::new();
        while let Some(part) = timeout(SILENCE_TIMEOUT, response.body.next()).await? {
            let part = part?;
            self.read_bytes
                .fetch_add(part.len() as u64, Ordering::Relaxed);
            bytes.extend_from_slice(&part);
            if bytes.len() >= MAX_LEN {
                break;
            }
        }
        if let Some(range) = source.range
            && range.len() != bytes.len() as u64
        {
            return Err(SignError::WrongLength {
                received: bytes.len() as u64,
                expected: range.len(),
            });
        }
        Ok(BlockMap::of(id, &bytes)?.sign(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use async_trait::async_trait;
    use futures_util::stream;
    use p2pcdn::transport::HttpResponse;

    use super::*;

    /// Sends half of the first answer, and all of the second.
    #[derive(Default)]
    struct Stalling(AtomicU32);

    #[async_trait]
    impl HttpClient for Stalling {
        async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            let half = stream::iter([Ok(bytes::Bytes::from_static(b"half"))]);
            let first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
            Ok(HttpResponse {
                status: 200,
                headers: Vec::new(),
                final_url: request.url,
                body: match first {
                    true => half.chain(stream::pending()).boxed(),
                    false => half.clone().chain(half).boxed(),
                },
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_that_stalls_mid_body_is_asked_again() {
        let key = SigningKey::from_random([5; 32]);
        let signer = Signer::new(key, Arc::new(Stalling::default()), Vec::new());
        let source = Source {
            url: "https://cdn.example/0.ts".to_owned(),
            range: None,
        };
        let id = SegmentId::new([1; 16]);
        let signed = timeout(Duration::from_secs(60), signer.sign(id, &source)).await;
        let map = signed.expect("the stalled answer is given up");
        assert_eq!(map.expect("the second one is good").segment_len(), 8);
    }
}
