//! The HTTP side: upgrades to WebSocket, start and end of the whole.

use std::{io, time::Duration};

use axum::{
    Router,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::{IntoResponse, Response},
    serve::Listener as _,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::info;

use crate::{
    config::Config,
    connection::{self, Shared},
    listener::Limited,
};

/// Serves a tracker on `listener` until `shutdown` resolves; then its connections are closed and
/// the port is free.
///
/// Any path upgrades to WebSocket; a plain GET answers with a line of counts. Dropping the future
/// ends everything at once, as if the tracker had crashed.
///
/// # Errors
///
/// When the address of `listener` cannot be read. Failures to accept a connection are retried.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (ending, ended) = watch::channel(());
    let (alive, mut all_ended) = mpsc::channel(1);
    let listener = Limited::new(listener, config.max_connections);
    info!(address = %listener.local_addr()?, "tracking");
    let shared = Shared::new(config, ended, alive);
    let app = Router::new().fallback(answer).with_state(shared);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = shutdown => {}
    }
    drop(ending);
    let _ = timeout(SHUTDOWN_TIMEOUT, all_ended.recv()).await;
    Ok(())
}

async fn answer(
    State(shared): State<Shared>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(shared.config.max_message_len)
            .max_frame_size(shared.config.max_message_len)
            .on_upgrade(|socket| connection::run(socket, shared)),
        Err(_) => shared.state().summary().into_response(),
    }
}

/// How long connections may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
