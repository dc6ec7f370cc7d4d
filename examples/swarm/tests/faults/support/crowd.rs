//! Viewers with peers, within reach of the test.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use p2pcdn::{Client, ClientConfig, Statistics};
use p2pcdn_example_swarm::{PeerSource, PeerWorld, Source, SourceError, World};

/// A [`PeerWorld`] that remembers its clients by the names of the viewers.
pub(crate) struct Crowd {
    world: PeerWorld,
    clients: Mutex<BTreeMap<String, Client>>,
}

impl Crowd {
    pub(crate) fn new(manifest_url: String, config: ClientConfig) -> Self {
        Self {
            world: PeerWorld::new(manifest_url, config),
            clients: Mutex::default(),
        }
    }

    /// Opens a client for one who plays by itself, and is none of the crowd.
    pub(crate) async fn open(&self, name: &str) -> Result<Client, SourceError> {
        self.world.open(name).await
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        self.clients.lock().unwrap().values().cloned().collect()
    }

    /// Useful bytes from peers that everybody has got so far.
    pub(crate) async fn shared_bytes(&self) -> u64 {
        let mut shared = 0;
        for client in self.clients() {
            let statistics = client.statistics().await;
            shared += statistics.map_or(0, |one| one.snapshot.delivery.peer_bytes);
        }
        shared
    }

    /// Whether `count` viewers are there and all of them are as `is` says.
    pub(crate) async fn all(&self, count: usize, is: impl Fn(&Statistics) -> bool) -> bool {
        let clients = self.clients();
        for client in &clients {
            match client.statistics().await {
                Ok(statistics) if is(&statistics) => {}
                _ => return false,
            }
        }
        clients.len() == count
    }
}

#[async_trait]
impl World for Crowd {
    async fn join(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        let client = self.world.open(name).await?;
        let known = (name.to_owned(), client.clone());
        self.clients.lock().unwrap().extend([known]);
        Ok(Arc::new(PeerSource::new(client)))
    }
}
