//! What a player asks for and what it gets.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use p2pcdn_manifest::LoadFailure;
use p2pcdn_transport::{HttpBody, HttpError, HttpRange};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::fetch::FetchError;

/// A request of the player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where: any URL that the presentation mentions, or another one, which is passed through.
    pub url: String,
    /// Only these bytes of the resource; `None` asks for all of it.
    pub range: Option<HttpRange>,
}

impl Request {
    /// A request for all of `url`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            range: None,
        }
    }
}

/// The answer to a [`Request`]; reads as a stream of the body's bytes, which come as soon as they
/// may be played.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status, as the origin would give it.
    pub status: u16,
    /// Headers from the origin, names in lower case; none for what came from peers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Bytes of the body, when known.
    pub len: Option<u64>,
    body: Body,
}

enum Body {
    Whole(Option<Bytes>),
    Parts(mpsc::UnboundedReceiver<Result<Bytes, ClientError>>),
    Passed {
        body: HttpBody,
        counted: mpsc::UnboundedSender<u64>,
    },
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Parts(_) => "Parts",
            Self::Passed { .. } => "Passed",
        })
    }
}

impl Response {
    pub(super) fn whole(status: u16, headers: Vec<(String, Vec<u8>)>, body: Bytes) -> Self {
        Self {
            status,
            headers,
            len: Some(body.len() as u64),
            body: Body::Whole(Some(body)),
        }
    }

    pub(super) fn parts(
        status: u16,
        len: Option<u64>,
        parts: mpsc::UnboundedReceiver<Result<Bytes, ClientError>>,
    ) -> Self {
        Self {
            status,
            headers: Vec::new(),
            len,
            body: Body::Parts(parts),
        }
    }

    pub(super) fn passed(
        response: p2pcdn_transport::HttpResponse,
        counted: mpsc::UnboundedSender<u64>,
    ) -> Self {
        let len = response
            .header("content-length")
            .and_then(|len| len.parse().ok());
        Self {
            status: response.status,
            headers: response.headers,
            len,
            body: Body::Passed {
                body: response.body,
                counted,
            },
        }
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// Why it ended early.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(part) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await {
            whole.extend_from_slice(&part?);
        }
        Ok(whole.freeze())
    }
}

impl Stream for Response {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.body {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Body::Parts(parts) => parts.poll_recv(cx),
            Body::Passed { body, counted } => body.as_mut().poll_next(cx).map(|part| {
                let part = part?;
                if let Ok(bytes) = &part {
                    // Nobody counts any more once the client is closed.
                    let _ = counted.send(bytes.len() as u64);
                }
                Some(part.map_err(ClientError::Http))
            }),
        }
    }
}

/// Why a [`Client`](super::Client) cannot do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The UDP socket cannot be opened.
    #[error("no UDP socket at {address}: {reason}")]
    Socket {
        /// The local address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The system gives no random bytes.
    #[error("no source of randomness")]
    Randomness,
    /// The manifest cannot be loaded.
    #[error("{url}: {reason}")]
    Manifest {
        /// Its URL.
        url: String,
        /// Why.
        reason: LoadFailure,
    },
    /// What the manifest's URL delivers is no manifest.
    #[error("{url} is no manifest: {reason}")]
    NotAManifest {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No request can be sent.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The origin does not deliver the segment, and nobody else has it.
    #[error(transparent)]
    Origin(#[from] FetchError),
    /// The playhead passed the segment before it was there.
    #[error("the playhead moved past the segment")]
    Passed,
    /// The player went on to another track while it was reading the segment.
    #[error("another track is played now")]
    Left,
    /// The segment left the manifest before it was there.
    #[error("the manifest no longer lists the segment")]
    Unlisted,
    /// The origin's bytes changed while they were being played; asking again gives one version.
    #[error("the content changed on the way")]
    ContentChanged,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}
