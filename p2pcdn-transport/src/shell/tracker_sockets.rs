//! The WebSockets to trackers.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{self, Message, Utf8Bytes, protocol::WebSocketConfig},
};
use tracing::debug;

use crate::signalling::{MAX_TRACKER_MESSAGE_LEN, SignallingInput, TrackerId};

/// The WebSockets of one [`Signalling`](crate::Signalling) machine, each in a task of its own.
///
/// [`recv`](Self::recv) gives what the machine wants to be told; dropping the whole ends all
/// connections.
#[derive(Debug)]
pub struct TrackerSockets {
    sockets: BTreeMap<TrackerId, Socket>,
    next_generation: u64,
    news_sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

#[derive(Debug)]
struct Socket {
    generation: u64,
    texts: mpsc::Sender<String>,
    task: AbortHandle,
}

#[derive(Debug)]
struct News {
    generation: u64,
    input: SignallingInput,
}

impl TrackerSockets {
    /// No connections yet.
    #[must_use]
    pub fn new() -> Self {
        let (news_sender, news) = mpsc::channel(MAX_NEWS);
        Self {
            sockets: BTreeMap::new(),
            next_generation: 0,
            news_sender,
            news,
        }
    }

    /// Connects to a tracker; a connection it had before is dropped. Must be called within a tokio
    /// runtime.
    pub fn connect(&mut self, tracker: TrackerId, url: String) {
        self.abort(tracker);
        let generation = self.next_generation;
        self.next_generation += 1;
        let (texts, outgoing) = mpsc::channel(MAX_UNSENT);
        let report = Report {
            generation,
            sender: self.news_sender.clone(),
        };
        let task = tokio::spawn(run(tracker, url, outgoing, report)).abort_handle();
        let socket = Socket {
            generation,
            texts,
            task,
        };
        self.sockets.insert(tracker, socket);
    }

    /// Sends a text frame. One that a slow tracker has no room for is dropped, as if it were lost
    /// on the way.
    pub fn send(&mut self, tracker: TrackerId, text: String) {
        if let Some(socket) = self.sockets.get(&tracker)
            && socket.texts.try_send(text).is_err()
        {
            debug!(%tracker, "frame dropped");
        }
    }

    /// Ends the connection once what was sent has left, within a second.
    pub fn disconnect(&mut self, tracker: TrackerId) {
        // Without a sender the task says goodbye and ends.
        self.sockets.remove(&tracker);
    }

    /// What happened next. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> SignallingInput {
        loop {
            let Some(news) = self.news.recv().await else {
                // We hold a sender, so that the channel never closes.
                std::future::pending::<()>().await;
                continue;
            };
            let tracker = match &news.input {
                SignallingInput::Connected(tracker)
                | SignallingInput::Disconnected(tracker)
                | SignallingInput::Received(tracker, _) => *tracker,
                _ => continue,
            };
            let current = self.sockets.get(&tracker);
            if current.is_some_and(|socket| socket.generation == news.generation) {
                if matches!(news.input, SignallingInput::Disconnected(_)) {
                    self.sockets.remove(&tracker);
                }
                return news.input;
            }
        }
    }

    fn abort(&mut self, tracker: TrackerId) {
        if let Some(socket) = self.sockets.remove(&tracker) {
            socket.task.abort();
        }
    }
}

impl Default for TrackerSockets {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TrackerSockets {
    fn drop(&mut self) {
        // Connections being ended finish by themselves.
        for socket in self.sockets.values() {
            socket.task.abort();
        }
    }
}

struct Report {
    generation: u64,
    sender: mpsc::Sender<News>,
}

impl Report {
    /// `false` when nobody listens any more.
    async fn say(&self, input: SignallingInput) -> bool {
        let news = News {
            generation: self.generation,
            input,
        };
        self.sender.send(news).await.is_ok()
    }
}

async fn run(tracker: TrackerId, url: String, texts: mpsc::Receiver<String>, report: Report) {
    if let Err(error) = talk(tracker, &url, texts, &report).await {
        debug!(%tracker, %error, "tracker connection ended");
    }
    report.say(SignallingInput::Disconnected(tracker)).await;
}

async fn talk(
    tracker: TrackerId,
    url: &str,
    mut texts: mpsc::Receiver<String>,
    report: &Report,
) -> Result<(), tungstenite::Error> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_TRACKER_MESSAGE_LEN))
        .max_frame_size(Some(MAX_TRACKER_MESSAGE_LEN));
    let (mut socket, _) = connect_async_with_config(url, Some(limits), true).await?;
    if !report.say(SignallingInput::Connected(tracker)).await {
        return Ok(());
    }
    loop {
        tokio::select! {
            text = texts.recv() => {
                let Some(text) = text else {
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.close(None)).await;
                    return Ok(());
                };
                socket.send(Message::Text(text.into())).await?;
            }
            message = socket.next() => {
                let Some(message) = message else {
                    return Ok(());
                };
                // Some trackers send their JSON in binary frames.
                let text = match message? {
                    Message::Text(text) => text.to_string(),
                    Message::Binary(bytes) => Utf8Bytes::try_from(bytes)?.to_string(),
                    Message::Close(_) => return Ok(()),
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                if !report.say(SignallingInput::Received(tracker, text)).await {
                    return Ok(());
                }
            }
        }
    }
}

/// Messages that wait for the machine; beyond that the connections wait.
const MAX_NEWS: usize = 64;

/// Frames that wait for one tracker: an announce and the answers to a burst of offers.
const MAX_UNSENT: usize = 32;

/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
