//! Trackers that are not there.

use std::net::{Ipv4Addr, SocketAddr};

use p2pcdn_example_swarm::LocalTracker;
use tokio::net::TcpListener;

use crate::support::{Scene, assert_not_worse, client_config, peer_bytes, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_tracker_viewers_watch_over_http() {
    let scene = Scene::new();
    let (origin, alone) = (scene.origin().await, scene.origin().await);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let tracker = format!("ws://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let (_attester, key) = scene.attester(&origin, &tracker).await;
    let watching = scene.watch_alone(&alone);
    let (_, together) = scene.watch_together(&origin, client_config(&tracker, key));
    let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
    assert_not_worse(&hybrid, &control);
    assert_eq!(peer_bytes(&hybrid), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_comes_back_is_found_again_and_its_absence_parts_nobody() {
    let scene = Scene::lasting(14);
    let (origin, alone) = (scene.origin().await, scene.origin().await);
    let tracker = LocalTracker::start().await.unwrap();
    let url = tracker.url().to_owned();
    let (_attester, key) = scene.attester(&origin, &url).await;
    let watching = scene.watch_alone(&alone);
    let (crowd, together) = scene.watch_together(&origin, client_config(&url, key));

    // Each other and the attester.
    let all_met = || crowd.all(3, |one| one.peer_count >= 3);
    wait_until("everybody has met", all_met).await;
    drop(tracker);
    let latecomer = crowd.open("latecomer").await.unwrap();
    let track = latecomer.presentation().tracks[0].id;
    latecomer.watch(track).await.unwrap();
    let before = crowd.shared_bytes().await;
    let shared = || async { crowd.shared_bytes().await > before };
    wait_until("they go on sharing without a tracker", shared).await;
    let segment = scene.segment_url(&origin, 28);
    let request = p2pcdn::Request::get(segment);
    latecomer
        .fetch(request)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let statistics = latecomer.statistics().await.unwrap();
    assert_eq!(statistics.peer_count, 0, "nobody tells it of peers");

    let address: SocketAddr = url["ws://".len()..url.len() - 1].parse().unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let _tracker = LocalTracker::serve(listener).unwrap();
    let found = || async { latecomer.statistics().await.unwrap().peer_count > 0 };
    wait_until("the latecomer finds peers", found).await;

    let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
    assert_not_worse(&hybrid, &control);
    assert!(peer_bytes(&hybrid) > 0);
}
