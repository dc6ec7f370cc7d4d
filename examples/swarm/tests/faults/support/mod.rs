//! What the tests have in common: a scene with its viewers, peers that misbehave, a door in front
//! of the tracker.

mod crowd;
mod doorman;
mod foreseen;
mod raw_peer;
mod scene;

pub(crate) use self::{
    crowd::Crowd,
    doorman::Doorman,
    raw_peer::{Conduct, RawPeer},
    scene::{Scene, assert_not_worse, client_config, exempt, fault, peer_bytes},
};

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// Waits until `holds` is true.
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let give_up_at = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < give_up_at, "waited in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Far longer than anything takes that is waited for, also on a machine that is busy with other
/// things.
const PATIENCE: Duration = Duration::from_secs(30);
