//! The tracker ends when it is told to, or is killed, and another one takes its port.

mod common;

use common::{PATIENCE, Tracker, offer};
use p2pcdn_example_tracker::{Config, serve};
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

#[tokio::test]
async fn a_killed_tracker_can_be_restarted_on_its_port() {
    let tracker = Tracker::start(Config::default()).await;
    let mut client = tracker.join(1, 11).await;
    tracker.task.abort();
    assert_eq!(client.receive_or_end().await, None);
    let restarted = Tracker::start_at(tracker.address, Config::default()).await;
    let mut first = restarted.join(1, 11).await;
    let mut second = restarted.join(1, 12).await;
    second
        .announce(1, 12, json!({ "offers": [offer(1)] }))
        .await;
    assert_eq!(first.receive().await["offer"]["type"], "offer");
}

#[tokio::test]
async fn shutting_down_closes_every_connection_and_frees_the_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, Config::default(), async {
        let _ = stopped.await;
    }));
    let mut client = common::connect(address).await;
    client.announce(1, 11, json!({})).await;
    client.receive().await;
    stop.send(()).unwrap();
    assert_eq!(client.receive_or_end().await, None);
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
    TcpListener::bind(address).await.unwrap();
}
