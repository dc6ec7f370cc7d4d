//! The body of a response on its way through a viewer's line.

use std::{io, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::sleep;

use super::{Line, State, fault::Failure, resource::Kind};

/// A body that is being sent.
pub(super) struct Sending {
    pub(super) state: Arc<State>,
    pub(super) line: Arc<Line>,
    pub(super) kind: Kind,
    pub(super) bandwidth: Option<u64>,
    pub(super) failure: Option<Failure>,
    pub(super) rest: Bytes,
    pub(super) sent: u64,
}

impl Sending {
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, Self::next))
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.rest.is_empty() {
            return None;
        }
        let mut len = self.rest.len().min(CHUNK_LEN);
        match self.failure {
            Some(Failure::StallAfter(limit)) if self.sent >= limit => std::future::pending().await,
            Some(Failure::CloseAfter(limit)) if self.sent >= limit => {
                self.rest.clear();
                // hyper drops what it has buffered when a body fails, and sends it while it waits.
                sleep(FLUSH_TIME).await;
                return Some((Err(io::ErrorKind::ConnectionAborted.into()), self));
            }
            Some(Failure::StallAfter(limit) | Failure::CloseAfter(limit)) => {
                len = len.min(usize::try_from(limit - self.sent).unwrap_or(usize::MAX));
            }
            Some(Failure::Trickle) => {
                sleep(Duration::from_secs(1)).await;
                len = 1;
            }
            Some(Failure::Status(_) | Failure::IgnoreRange) | None => {}
        }
        let chunk = self.rest.split_to(len);
        self.line.bottleneck.pass(len, self.bandwidth).await;
        self.sent += len as u64;
        self.state
            .ledger()
            .note_bytes(&self.line.viewer, self.kind, len as u64);
        Some((Ok(chunk), self))
    }
}

/// Bytes that pass the line in one go: small enough for two responses to share it fairly, large
/// enough for few wake-ups (6.5 ms at 20 Mb/s).
const CHUNK_LEN: usize = 16_384;

/// More than a write to a socket takes.
const FLUSH_TIME: Duration = Duration::from_millis(20);
