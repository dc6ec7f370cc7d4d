//! Everything that a client can make grow has a limit.

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, Tracker, connect, id, offer};
use futures_util::SinkExt;
use p2pcdn_example_tracker::Config;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

async fn failure(client: &mut common::Client) -> String {
    let reply = client.receive().await;
    reply["failure reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let tracker = Tracker::start(Config::default()).await;
    let mut client = tracker.join(1, 11).await;
    let longest = " ".repeat(64 * 1024 - 2) + "{}";
    client
        .socket
        .send(Message::text(longest.clone()))
        .await
        .unwrap();
    assert_eq!(failure(&mut client).await, "no action");
    // The tracker may close before it has read all of it.
    let _ = client.socket.send(Message::text(longest + " ")).await;
    assert_eq!(client.receive_or_end().await, None);
    let mut observer = tracker.connect().await;
    observer.wait_for_counts(1, (0, 0)).await;
}

#[tokio::test]
async fn offers_beyond_the_limit_are_dropped() {
    let config = Config {
        max_offers: 3,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let mut others = Vec::new();
    for peer in 1..=5 {
        others.push(tracker.join(1, peer).await);
    }
    let mut client = tracker.join(1, 11).await;
    let offers: Vec<Value> = (1..=4).map(offer).collect();
    client.announce(1, 11, json!({ "offers": offers })).await;
    client.scrape(1).await;
    let mut received = 0;
    for other in &mut others {
        received += other.scrape(1).await.1.len();
    }
    assert_eq!(received, 3);
}

#[tokio::test]
async fn a_full_swarm_takes_nobody_else_in() {
    let config = Config {
        max_peers: 2,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let mut first = tracker.join(1, 11).await;
    let _second = tracker.join(1, 12).await;
    let mut third = tracker.connect().await;
    third.announce(1, 13, json!({ "event": "started" })).await;
    assert_eq!(failure(&mut third).await, "the swarm is full");
    // Those who are in it stay in it.
    first.announce(1, 11, json!({})).await;
    assert_eq!(first.receive().await["incomplete"], 2);
    first.announce(1, 11, json!({ "event": "stopped" })).await;
    assert_eq!(first.receive().await["incomplete"], 1);
    third.announce(1, 13, json!({ "event": "started" })).await;
    assert_eq!(third.receive().await["incomplete"], 2);
}

#[tokio::test]
async fn there_are_no_more_swarms_than_allowed() {
    let config = Config {
        max_swarms: 2,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let mut client = tracker.join(1, 11).await;
    let _other = tracker.join(2, 12).await;
    client.announce(3, 11, json!({})).await;
    assert_eq!(failure(&mut client).await, "too many swarms");
    // A swarm ends with its last peer.
    client.announce(1, 11, json!({ "event": "stopped" })).await;
    client.receive().await;
    client.announce(3, 11, json!({})).await;
    assert_eq!(client.receive().await["incomplete"], 1);
}

#[tokio::test]
async fn one_connection_joins_no_more_swarms_than_allowed() {
    let config = Config {
        max_joined: 2,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let mut client = tracker.join(1, 11).await;
    client.announce(1, 12, json!({})).await;
    assert_eq!(client.receive().await["incomplete"], 2);
    client.announce(2, 11, json!({})).await;
    assert_eq!(
        failure(&mut client).await,
        "too many swarms on one connection"
    );
    client.announce(1, 12, json!({})).await;
    assert_eq!(client.receive().await["incomplete"], 2);
    assert_eq!(client.scrape(2).await.0, (0, 0));
}

#[tokio::test]
async fn a_scrape_of_too_many_swarms_is_refused() {
    let config = Config {
        max_scraped: 2,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let mut client = tracker.connect().await;
    let scrape = |swarms: u8| {
        let hashes: Vec<String> = (0..swarms).map(id).collect();
        json!({ "action": "scrape", "info_hash": hashes })
    };
    client.send(scrape(2)).await;
    assert_eq!(
        client.receive().await["files"].as_object().unwrap().len(),
        2
    );
    client.send(scrape(3)).await;
    assert!(failure(&mut client).await.starts_with("too many"));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_another_to_end() {
    let config = Config {
        max_connections: 2,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let first = tracker.join(1, 11).await;
    let mut second = tracker.join(1, 12).await;
    let mut third = tokio::spawn(connect(tracker.address));
    assert!(
        timeout(Duration::from_millis(100), &mut third)
            .await
            .is_err()
    );
    assert_eq!(second.scrape(1).await.0, (0, 2));
    drop(first);
    let mut third = timeout(PATIENCE, third).await.unwrap().unwrap();
    third.wait_for_counts(1, (0, 1)).await;
}

#[tokio::test]
async fn messages_beyond_the_rate_wait() {
    let config = Config {
        message_rate: 20,
        message_burst: 5,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let mut client = tracker.connect().await;
    let started_at = Instant::now();
    for _ in 0..5 {
        client.scrape(1).await;
    }
    let burst = started_at.elapsed();
    for _ in 0..10 {
        client.scrape(1).await;
    }
    // Ten at twenty a second. The burst alone would take a quarter of a second.
    assert!(
        started_at.elapsed() >= Duration::from_millis(490),
        "{:?}",
        started_at.elapsed()
    );
    assert!(burst < Duration::from_millis(250), "{burst:?}");
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_one_that_answers_pings_is_not() {
    let config = Config {
        idle_timeout: Duration::from_millis(600),
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    // Nobody reads from this one, so nobody answers its pings.
    let silent = tracker.join(1, 11).await;
    let mut quiet = tracker.join(1, 12).await;
    let listening = tokio::spawn(async move {
        // Answers pings while it waits for a message.
        quiet.receive().await
    });
    let mut observer = tracker.connect().await;
    observer.wait_for_counts(1, (0, 1)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut offering = tracker.join(1, 13).await;
    offering
        .announce(1, 13, json!({ "offers": [offer(1)] }))
        .await;
    let offered = timeout(PATIENCE, listening).await.unwrap().unwrap();
    assert_eq!(offered["offer_id"], id(1));
    drop(silent);
}

#[tokio::test]
async fn a_connection_that_reads_too_slowly_is_closed() {
    let config = Config {
        max_queued: 4,
        message_rate: 100_000,
        message_burst: 100_000,
        ..Config::default()
    };
    let tracker = Tracker::start(config).await;
    let slow = tracker.join(1, 11).await;
    let mut client = tracker.join(1, 12).await;
    let long = json!([{
        "offer": { "type": "offer", "sdp": "x".repeat(60_000) },
        "offer_id": id(1),
    }]);
    let flood = async {
        // The buffers of the two sockets take several megabytes before the queue begins to fill.
        while client.scrape(1).await.0 == (0, 2) {
            client.announce(1, 12, json!({ "offers": long })).await;
        }
    };
    timeout(PATIENCE, flood)
        .await
        .expect("the slow connection was never closed");
    assert_eq!(client.scrape(1).await.0, (0, 1));
    drop(slow);
}
