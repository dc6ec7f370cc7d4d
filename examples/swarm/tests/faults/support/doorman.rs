//! A door in front of a tracker.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Passes connections on to a tracker, and counts them.
pub(crate) struct Doorman {
    url: String,
    opened_count: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Doorman {
    /// A door in front of the tracker with the `ws:` URL `tracker`.
    pub(crate) async fn in_front_of(tracker: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let inside = tracker
            .trim_start_matches("ws://")
            .trim_end_matches('/')
            .to_owned();
        let opened_count = Arc::new(AtomicUsize::new(0));
        let count = opened_count.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut visitor, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let inside = inside.clone();
                tokio::spawn(async move {
                    let mut tracker = TcpStream::connect(inside).await?;
                    copy_bidirectional(&mut visitor, &mut tracker).await
                });
            }
        });
        Self {
            url,
            opened_count,
            task,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many connections there were.
    pub(crate) fn opened_count(&self) -> usize {
        self.opened_count.load(Ordering::Relaxed)
    }
}

impl Drop for Doorman {
    fn drop(&mut self) {
        self.task.abort();
    }
}
