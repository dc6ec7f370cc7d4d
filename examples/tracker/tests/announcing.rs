//! Peers find each other, and are counted, as the protocol says.

mod common;

use common::{Tracker, id, offer};
use p2pcdn_example_tracker::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn an_offer_reaches_another_peer_and_its_answer_comes_back() {
    let tracker = Tracker::start(Config::default()).await;
    let mut first = tracker.join(1, 11).await;
    let mut second = tracker.connect().await;
    let offers = json!({ "event": "started", "numwant": 1, "offers": [offer(7)] });
    second.announce(1, 12, offers).await;
    assert_eq!(
        second.receive().await,
        json!({
            "action": "announce",
            "info_hash": id(1),
            "interval": 120,
            "complete": 0,
            "incomplete": 2,
        })
    );
    assert_eq!(
        first.receive().await,
        json!({
            "action": "announce",
            "info_hash": id(1),
            "peer_id": id(12),
            "offer_id": id(7),
            "offer": { "type": "offer", "sdp": "v=0 offer 7" },
        })
    );
    let answer = json!({
        "answer": { "type": "answer", "sdp": "v=0 answer" },
        "offer_id": id(7),
        "to_peer_id": id(12),
    });
    first.announce(1, 11, answer).await;
    assert_eq!(
        second.receive().await,
        json!({
            "action": "announce",
            "info_hash": id(1),
            "peer_id": id(11),
            "offer_id": id(7),
            "answer": { "type": "answer", "sdp": "v=0 answer" },
        })
    );
    // The answer itself was not replied to.
    assert_eq!(first.scrape(1).await, ((0, 2), vec![]));
}

#[tokio::test]
async fn offers_go_to_different_peers_and_never_back() {
    let tracker = Tracker::start(Config::default()).await;
    let mut others = Vec::new();
    for peer in 11..=15 {
        others.push(tracker.join(1, peer).await);
    }
    let mut stranger = tracker.join(2, 30).await;
    let mut offering = tracker.join(1, 20).await;
    let offers: Vec<_> = (1..=8).map(offer).collect();
    offering.announce(1, 20, json!({ "offers": offers })).await;
    let ((complete, incomplete), received) = offering.scrape(1).await;
    assert_eq!((complete, incomplete), (0, 6));
    assert_eq!(received.len(), 1, "only the reply to its announce");
    let mut seen = Vec::new();
    for other in &mut others {
        let (_, received) = other.scrape(1).await;
        assert_eq!(received.len(), 1, "one offer for each");
        seen.push(received[0]["offer_id"].clone());
    }
    seen.sort_by_key(ToString::to_string);
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert_eq!(stranger.scrape(1).await.1, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn peers_are_counted_by_what_they_announce() {
    let tracker = Tracker::start(Config::default()).await;
    let mut client = tracker.connect().await;
    client
        .announce(1, 11, json!({ "event": "started", "left": 0 }))
        .await;
    client
        .announce(1, 12, json!({ "event": "started", "left": null }))
        .await;
    client.announce(1, 13, json!({})).await;
    assert_eq!(client.scrape(1).await.0, (1, 2));
    // Announcing again counts nobody twice.
    client
        .announce(1, 11, json!({ "event": "started", "left": 0 }))
        .await;
    client.announce(1, 12, json!({ "event": "update" })).await;
    assert_eq!(client.scrape(1).await.0, (1, 2));
    client
        .announce(1, 12, json!({ "event": "completed" }))
        .await;
    client
        .announce(1, 12, json!({ "event": "completed" }))
        .await;
    client.announce(1, 13, json!({ "left": 0 })).await;
    assert_eq!(client.scrape(1).await.0, (3, 0));
    client.announce(1, 11, json!({ "event": "stopped" })).await;
    client.announce(1, 11, json!({ "event": "stopped" })).await;
    client.announce(1, 99, json!({ "event": "stopped" })).await;
    assert_eq!(client.scrape(1).await.0, (2, 0));
}

#[tokio::test]
async fn a_scrape_names_every_swarm_that_was_asked_for() {
    let tracker = Tracker::start(Config::default()).await;
    let mut client = tracker.join(1, 11).await;
    client
        .send(json!({ "action": "scrape", "info_hash": [id(1), id(2)] }))
        .await;
    assert_eq!(
        client.receive().await,
        json!({
            "action": "scrape",
            "files": {
                id(1): { "complete": 0, "incomplete": 1, "downloaded": 0 },
                id(2): { "complete": 0, "incomplete": 0, "downloaded": 0 },
            },
            "flags": { "min_request_interval": 120 },
        })
    );
}

#[tokio::test]
async fn a_connection_that_closes_leaves_every_swarm_it_had_joined() {
    let tracker = Tracker::start(Config::default()).await;
    let mut observer = tracker.join(1, 11).await;
    let mut client = tracker.connect().await;
    for swarm in 1..=3 {
        client
            .announce(swarm, 12, json!({ "event": "started" }))
            .await;
        // Another peer behind the same connection: browsers share one among their swarms.
        client
            .announce(swarm, 13, json!({ "event": "started" }))
            .await;
    }
    client.scrape(1).await;
    observer.wait_for_counts(1, (0, 3)).await;
    observer.wait_for_counts(3, (0, 2)).await;
    client.announce(2, 12, json!({ "event": "stopped" })).await;
    observer.wait_for_counts(2, (0, 1)).await;
    // Not closed properly, just gone.
    drop(client);
    observer.wait_for_counts(1, (0, 1)).await;
    observer.wait_for_counts(2, (0, 0)).await;
    observer.wait_for_counts(3, (0, 0)).await;
}

#[tokio::test]
async fn a_peer_that_comes_back_is_reached_by_its_new_connection() {
    let tracker = Tracker::start(Config::default()).await;
    let mut old = tracker.join(1, 11).await;
    let mut new = tracker.join(1, 11).await;
    let mut other = tracker.join(1, 12).await;
    other.announce(1, 12, json!({ "offers": [offer(1)] })).await;
    assert_eq!(new.receive().await["offer_id"], id(1));
    assert_eq!(old.scrape(1).await, ((0, 2), vec![]));
    // Neither what the old one says at its end nor that end takes the peer out.
    old.announce(1, 11, json!({ "event": "stopped" })).await;
    assert_eq!(old.scrape(1).await.0, (0, 2));
    old.socket.close(None).await.unwrap();
    assert_eq!(old.receive_or_end().await, None);
    assert_eq!(other.scrape(1).await.0, (0, 2));
}

#[tokio::test]
async fn malformed_messages_are_told_why_and_do_no_harm() {
    let tracker = Tracker::start(Config::default()).await;
    let mut client = tracker.join(1, 11).await;
    for (message, reason) in [
        (
            json!({ "action": "announce", "info_hash": "short" }),
            "info_hash",
        ),
        (
            json!({ "action": "announce", "info_hash": id(1), "peer_id": 5 }),
            "peer_id",
        ),
        (json!({ "action": "scrape", "info_hash": {} }), "info_hash"),
        (json!({ "action": "dance" }), "action"),
        (json!("hello"), "action"),
    ] {
        client.send(message.clone()).await;
        let reply = client.receive().await;
        let said = reply["failure reason"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{message}: {reply}");
    }
    client.announce(1, 11, json!({ "event": "exploded" })).await;
    assert_eq!(
        client.receive().await,
        json!({ "action": "announce", "info_hash": id(1), "failure reason": "invalid event" })
    );
    let garbage = tokio_tungstenite::tungstenite::Message::binary(vec![0xff, 0, 0x7b]);
    futures_util::SinkExt::send(&mut client.socket, garbage)
        .await
        .unwrap();
    let reply = client.receive().await;
    assert!(
        reply["failure reason"]
            .as_str()
            .unwrap()
            .starts_with("not JSON")
    );
    assert_eq!(client.scrape(1).await, ((0, 1), vec![]));
}

#[tokio::test]
async fn an_answer_to_a_peer_that_left_is_dropped() {
    let tracker = Tracker::start(Config::default()).await;
    let mut client = tracker.join(1, 11).await;
    let answer = json!({
        "answer": { "type": "answer", "sdp": "v=0" },
        "offer_id": id(7),
        "to_peer_id": id(12),
    });
    client.announce(1, 11, answer).await;
    assert_eq!(client.scrape(1).await, ((0, 1), vec![]));
}

#[tokio::test]
async fn a_plain_get_is_answered_with_counts() {
    let tracker = Tracker::start(Config::default()).await;
    let _client = tracker.join(1, 11).await;
    let mut socket = tokio::net::TcpStream::connect(tracker.address)
        .await
        .unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: tracker\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(
        response.contains("1 connections, 1 swarms, 1 peers"),
        "{response}"
    );
}
