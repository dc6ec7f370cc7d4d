//! Block maps over HTTP, for viewers whose neighbours have none.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use p2pcdn::wire::SegmentId;
use tokio::net::TcpListener;

/// Maps kept, the oldest dropped first: five hours of three renditions of 2 s segments, about 50
/// MB.
const MAX_MAPS: usize = 30_000;

/// Signed block maps by segment id, served at `/<segment id>`.
#[derive(Clone, Debug, Default)]
pub struct Sidecar(Arc<Mutex<Maps>>);

#[derive(Debug, Default)]
struct Maps {
    by_id: HashMap<String, Bytes>,
    order: VecDeque<String>,
    signed_count: usize,
}

impl Sidecar {
    /// Keeps a map.
    pub fn keep(&self, id: SegmentId, encoded: Bytes) {
        let mut maps = self.lock();
        maps.signed_count += 1;
        let id = id.to_string();
        if maps.by_id.insert(id.clone(), encoded).is_none() {
            maps.order.push_back(id);
        }
        if maps.order.len() > MAX_MAPS
            && let Some(oldest) = maps.order.pop_front()
        {
            maps.by_id.remove(&oldest);
        }
    }

    /// How many maps were signed.
    #[must_use]
    pub fn signed_count(&self) -> usize {
        self.lock().signed_count
    }

    /// Answers requests until the listener fails.
    pub async fn serve(self, listener: TcpListener) {
        let app = Router::new().route("/{id}", get(answer)).with_state(self);
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the sidecar stopped");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        // A panic elsewhere leaves the maps whole: each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(sidecar): State<Sidecar>, Path(id): Path<String>) -> impl IntoResponse {
    match sidecar.lock().by_id.get(&id) {
        Some(encoded) => (
            StatusCode::OK,
            [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            encoded.clone(),
        )
            .into_response(),
        // It may be signed in a moment.
        None => (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")]).into_response(),
    }
}
