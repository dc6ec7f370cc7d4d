//! Connections to trackers over real WebSockets on the loopback interface.
#![cfg(feature = "tokio")]

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use p2pcdn_transport::{MAX_TRACKER_MESSAGE_LEN, SignallingInput, TrackerId, TrackerSockets};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

const TRACKER: TrackerId = TrackerId(3);

async fn listen() -> (TcpListener, String) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(any).await.expect("loopback");
    let url = format!("ws://{}/announce", listener.local_addr().expect("bound"));
    (listener, url)
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.expect("a client");
    tokio_tungstenite::accept_async(stream)
        .await
        .expect("a WebSocket")
}

async fn next(sockets: &mut TrackerSockets) -> SignallingInput {
    let news = tokio::time::timeout(Duration::from_secs(10), sockets.recv()).await;
    news.expect("news in time")
}

#[tokio::test]
async fn frames_travel_both_ways() {
    let (listener, url) = listen().await;
    let mut sockets = TrackerSockets::new();
    sockets.connect(TRACKER, url);
    let mut server = accept(&listener).await;
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Connected(TRACKER)
    );
    sockets.send(TRACKER, "announce".to_owned());
    let received = server.next().await.expect("a frame").expect("a frame");
    assert_eq!(received, Message::text("announce"));
    server.send(Message::text("reply")).await.expect("sent");
    server
        .send(Message::binary("in binary"))
        .await
        .expect("sent");
    for text in ["reply", "in binary"] {
        let expected = SignallingInput::Received(TRACKER, text.to_owned());
        assert_eq!(next(&mut sockets).await, expected);
    }
}

#[tokio::test]
async fn what_was_sent_before_disconnecting_arrives() {
    let (listener, url) = listen().await;
    let mut sockets = TrackerSockets::new();
    sockets.connect(TRACKER, url);
    let mut server = accept(&listener).await;
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Connected(TRACKER)
    );
    sockets.send(TRACKER, "stopped".to_owned());
    sockets.disconnect(TRACKER);
    drop(sockets);
    let received = server.next().await.expect("a frame").expect("a frame");
    assert_eq!(received, Message::text("stopped"));
    assert!(matches!(server.next().await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn a_tracker_that_goes_away_is_noticed() {
    let (listener, url) = listen().await;
    let mut sockets = TrackerSockets::new();
    sockets.connect(TRACKER, url.clone());
    let server = accept(&listener).await;
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Connected(TRACKER)
    );
    drop(server);
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Disconnected(TRACKER)
    );
    drop(listener);
    sockets.connect(TRACKER, url);
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Disconnected(TRACKER)
    );
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let (listener, url) = listen().await;
    let mut sockets = TrackerSockets::new();
    sockets.connect(TRACKER, url);
    let mut server = accept(&listener).await;
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Connected(TRACKER)
    );
    let longest = "x".repeat(MAX_TRACKER_MESSAGE_LEN);
    server
        .send(Message::text(longest.clone()))
        .await
        .expect("sent");
    let received = SignallingInput::Received(TRACKER, longest.clone());
    assert!(
        next(&mut sockets).await == received,
        "the longest message passes"
    );
    server
        .send(Message::text(longest + "x"))
        .await
        .expect("sent");
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Disconnected(TRACKER)
    );
}

#[tokio::test]
async fn news_of_a_replaced_connection_is_dropped() {
    let (listener, url) = listen().await;
    let mut sockets = TrackerSockets::new();
    sockets.connect(TRACKER, url.clone());
    let mut first = accept(&listener).await;
    first.send(Message::text("old")).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    sockets.connect(TRACKER, url);
    let mut second = accept(&listener).await;
    second.send(Message::text("new")).await.expect("sent");
    assert_eq!(
        next(&mut sockets).await,
        SignallingInput::Connected(TRACKER)
    );
    let new = SignallingInput::Received(TRACKER, "new".to_owned());
    assert_eq!(next(&mut sockets).await, new);
}
