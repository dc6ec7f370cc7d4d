//! One WebSocket from its upgrade to its end.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::ws::{Message, WebSocket},
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use crate::{
    config::Config,
    state::{ConnectionId, State},
};

/// What all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    state: Arc<Mutex<State>>,
    pub(crate) config: Config,
    /// Changes, or loses its sender, when the tracker ends.
    shutdown: watch::Receiver<()>,
    /// Held by every connection, so that the tracker sees the last one end.
    _alive: mpsc::Sender<()>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        shutdown: watch::Receiver<()>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(config.clone()))),
            config,
            shutdown,
            _alive: alive,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one connection until either side ends it.
pub(crate) async fn run(socket: WebSocket, shared: Shared) {
    let (sink, stream) = socket.split();
    let (queue, queued) = mpsc::channel(shared.config.max_queued.max(1));
    let closing = Arc::new(Notify::new());
    let id = shared.state().connect(queue.clone(), closing.clone());
    let _guard = Guard {
        id,
        shared: shared.clone(),
    };
    let mut shutdown = shared.shutdown.clone();
    let reading = read(stream, id, &shared, queue);
    let writing = write(sink, queued);
    tokio::pin!(writing);
    tokio::select! {
        () = reading => {}
        () = &mut writing => return,
        () = closing.notified() => return,
        _ = shutdown.changed() => {}
    }
    // The queue has ended with the guard's entry: what is in it may still go out.
    shared.state().disconnect(id);
    let _ = timeout(FLUSH_TIMEOUT, writing).await;
}

/// Takes the connection out of the state however its task ends.
struct Guard {
    id: ConnectionId,
    shared: Shared,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.state().disconnect(self.id);
    }
}

async fn read(
    mut stream: SplitStream<WebSocket>,
    id: ConnectionId,
    shared: &Shared,
    queue: mpsc::Sender<Message>,
) {
    let mut allowance = Allowance::new(&shared.config);
    let half = shared.config.idle_timeout / 2;
    let mut pinged = false;
    loop {
        let Ok(received) = timeout(half, stream.next()).await else {
            if pinged || queue.try_send(Message::Ping(Bytes::new())).is_err() {
                debug!(?id, "closing a silent connection");
                return;
            }
            pinged = true;
            continue;
        };
        pinged = false;
        match received {
            Some(Ok(Message::Text(text))) => {
                allowance.take().await;
                shared.state().handle_message(id, &text);
            }
            Some(Ok(Message::Binary(bytes))) => {
                allowance.take().await;
                let text = String::from_utf8_lossy(&bytes);
                shared.state().handle_message(id, &text);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => allowance.take().await,
            Some(Ok(Message::Close(_))) | None => return,
            Some(Err(error)) => {
                debug!(?id, %error, "a connection broke");
                return;
            }
        }
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut queued: mpsc::Receiver<Message>) {
    while let Some(message) = queued.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}

/// A bucket that fills with `rate` messages a second up to `burst`.
struct Allowance {
    interval: Duration,
    burst: u32,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Allowance {
    fn new(config: &Config) -> Self {
        Self {
            interval: Duration::from_secs(1) / config.message_rate.max(1),
            burst: config.message_burst.max(1),
            full_at: Instant::now(),
        }
    }

    /// Waits until one more message is allowed.
    async fn take(&mut self) {
        self.full_at = self.full_at.max(Instant::now()) + self.interval;
        let allowed_at = self.full_at.checked_sub(self.interval * self.burst);
        if let Some(allowed_at) = allowed_at {
            sleep_until(allowed_at).await;
        }
    }
}

/// How long the last messages to a closing connection may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
