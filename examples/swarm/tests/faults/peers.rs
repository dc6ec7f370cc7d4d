//! Peers that leave in the middle, or mean no good.

use std::time::Duration;

use p2pcdn::wire::GoodbyeReason;
use p2pcdn_example_swarm::{LocalTracker, PeerSource, Player, PlayerConfig, ViewerRecord};
use tokio::time::Instant;

use crate::support::{
    Conduct, RawPeer, Scene, assert_not_worse, client_config, peer_bytes, wait_until,
};

/// Three viewers watch with one peer of this conduct among them.
async fn watch_with(conduct: Conduct) -> (Vec<ViewerRecord>, RawPeer) {
    let scene = Scene::new();
    let (origin, alone) = (scene.origin().await, scene.origin().await);
    let tracker = LocalTracker::start().await.unwrap();
    let (_attester, key) = scene.attester(&origin, tracker.url()).await;
    let raw = RawPeer::join(conduct, scene.foreseen(&origin), tracker.url());
    let watching = scene.watch_alone(&alone);
    let (_, together) = scene.watch_together(&origin, client_config(tracker.url(), key));
    let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
    assert_not_worse(&hybrid, &control);
    println!("{:?}", raw.account().summary());
    (hybrid, raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_announces_and_never_delivers_costs_no_stall() {
    let (hybrid, raw) = watch_with(Conduct::Silent).await;
    let account = raw.account();
    assert_eq!(account.met.len(), 4, "the viewers and the attester");
    assert!(
        account.asked_count > 0,
        "it was asked for what it announced"
    );
    assert!(peer_bytes(&hybrid) > 0, "the others share");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_wrong_bytes_is_caught_and_sent_away() {
    let (hybrid, raw) = watch_with(Conduct::WrongBytes).await;
    assert!(raw.account().sent_blocks > 0);
    assert!(raw.was_sent_away_for(GoodbyeReason::Corruption));
    let corrupt: u64 = hybrid
        .iter()
        .map(|one| one.delivery.waste_bytes.corrupt)
        .sum();
    assert!(corrupt > 0, "somebody got wrong bytes");
    assert!(peer_bytes(&hybrid) > 0, "the others share");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_garbage_is_sent_away() {
    let (hybrid, raw) = watch_with(Conduct::Garbage).await;
    assert!(raw.was_sent_away_for(GoodbyeReason::Violation));
    assert!(peer_bytes(&hybrid) > 0, "the others share");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_vanishes_in_the_middle_of_a_transfer_costs_no_stall() {
    let (hybrid, raw) = watch_with(Conduct::Vanishes { after_blocks: 5 }).await;
    let account = raw.account();
    assert!(account.is_gone && account.sent_blocks == 5);
    let right = 5 * p2pcdn::wire::BLOCK_LEN;
    assert!(
        peer_bytes(&hybrid) > right,
        "its blocks and those of others"
    );
}

#[test]
fn a_viewer_killed_while_it_serves_costs_nobody_a_stall() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    let (stage, home) = (runtime(), runtime());
    let handle = home.handle().clone();
    stage.block_on(async move {
        let scene = Scene::lasting(14);
        let (origin, alone) = (scene.origin().await, scene.origin().await);
        let tracker = LocalTracker::start().await.unwrap();
        let (_attester, key) = scene.attester(&origin, tracker.url()).await;
        let watching = scene.watch_alone(&alone);
        let (crowd, together) = scene.watch_together(&origin, client_config(tracker.url(), key));

        let (sender, opened) = tokio::sync::oneshot::channel();
        let world = crowd.clone();
        handle.spawn(async move {
            let client = world.open("victim").await.unwrap();
            let _ = sender.send(client.clone());
            let source = std::sync::Arc::new(PeerSource::new(client));
            let player = Player::new(source, PlayerConfig::default());
            let now = Instant::now();
            player.play(now, now + Duration::from_secs(60)).await
        });
        let victim = opened.await.unwrap();
        let all_met = || crowd.all(3, |one| one.peer_count >= 4);
        wait_until("everybody has met", all_met).await;
        let before = victim
            .statistics()
            .await
            .unwrap()
            .snapshot
            .delivery
            .upload_bytes;
        let serves = || async {
            let delivery = victim.statistics().await.unwrap().snapshot.delivery;
            delivery.upload_bytes > before
        };
        wait_until("the victim serves", serves).await;
        home.shutdown_background();
        let is_dead = || async { victim.statistics().await.is_err() };
        wait_until("the victim is dead", is_dead).await;
        let noticed = || crowd.all(3, |one| one.peer_count == 3);
        wait_until("the others notice", noticed).await;

        let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
        assert_not_worse(&hybrid, &control);
        assert!(peer_bytes(&hybrid) > 0);
    });
}
