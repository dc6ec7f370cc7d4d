//! Attesters that are not there: nothing that peers send can be trusted then.

use p2pcdn::SigningKey;
use p2pcdn_example_swarm::LocalTracker;

use crate::support::{Scene, assert_not_worse, client_config, peer_bytes, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_attester_viewers_watch_over_http_and_play_nothing_from_peers() {
    let scene = Scene::new();
    let (origin, alone) = (scene.origin().await, scene.origin().await);
    let tracker = LocalTracker::start().await.unwrap();
    let key = SigningKey::from_random([7; 32]).public_key();
    let watching = scene.watch_alone(&alone);
    let (crowd, together) = scene.watch_together(&origin, client_config(tracker.url(), key));
    let all_met = || crowd.all(3, |one| one.peer_count >= 2);
    wait_until("everybody has met", all_met).await;
    let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
    assert_not_worse(&hybrid, &control);
    assert_eq!(peer_bytes(&hybrid), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_attester_goes_viewers_go_on_over_http() {
    let scene = Scene::lasting(12);
    let (origin, alone) = (scene.origin().await, scene.origin().await);
    let tracker = LocalTracker::start().await.unwrap();
    let (attester, key) = scene.attester(&origin, tracker.url()).await;
    let watching = scene.watch_alone(&alone);
    let (crowd, together) = scene.watch_together(&origin, client_config(tracker.url(), key));
    let shared = || crowd.all(3, |one| one.peer_count >= 3);
    wait_until("everybody has met", shared).await;
    let shared = || async { crowd.shared_bytes().await > 0 };
    wait_until("they share", shared).await;
    attester.close().await;
    let parted = || crowd.all(3, |one| one.peer_count == 2);
    wait_until("the attester is gone", parted).await;

    let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
    assert_not_worse(&hybrid, &control);
}
