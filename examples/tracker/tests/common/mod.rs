//! A tracker on a port of its own, and clients of it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{future::pending, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use p2pcdn_example_tracker::{Config, serve};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Tracker {
    pub address: SocketAddr,
    pub task: JoinHandle<()>,
}

impl Tracker {
    pub async fn start(config: Config) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), config).await
    }

    pub async fn start_at(address: SocketAddr, config: Config) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            serve(listener, config, pending()).await.unwrap();
        });
        Self { address, task }
    }

    pub async fn connect(&self) -> Client {
        timeout(PATIENCE, connect(self.address)).await.unwrap()
    }

    /// A client that has announced itself as peer `peer` of `swarm`.
    pub async fn join(&self, swarm: u8, peer: u8) -> Client {
        let mut client = self.connect().await;
        client
            .announce(swarm, peer, json!({ "event": "started" }))
            .await;
        assert_eq!(client.receive().await["interval"], 120);
        client
    }
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

pub async fn connect(address: SocketAddr) -> Client {
    let url = format!("ws://{address}/announce");
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    Client { socket }
}

impl Client {
    pub async fn send(&mut self, message: Value) {
        let text = Message::text(message.to_string());
        self.socket.send(text).await.unwrap();
    }

    pub async fn announce(&mut self, swarm: u8, peer: u8, extra: Value) {
        let mut message = json!({
            "action": "announce",
            "info_hash": id(swarm),
            "peer_id": id(peer),
            "left": 1,
        });
        let extra = extra.as_object().unwrap().clone();
        message.as_object_mut().unwrap().extend(extra);
        self.send(message).await;
    }

    /// The next message; fails the test when the connection ends or nothing comes.
    pub async fn receive(&mut self) -> Value {
        self.receive_or_end().await.expect("the connection ended")
    }

    /// The next message, `None` when the connection ends first.
    pub async fn receive_or_end(&mut self) -> Option<Value> {
        loop {
            let next = timeout(PATIENCE, self.socket.next())
                .await
                .expect("nothing came");
            match next {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("{other:?}"),
            }
        }
    }

    /// Asks for the counts of `swarm`, which also shows that all before it was dealt with: whatever
    /// else arrives before the reply is returned beside it.
    pub async fn scrape(&mut self, swarm: u8) -> ((u64, u64), Vec<Value>) {
        self.send(json!({ "action": "scrape", "info_hash": id(swarm) }))
            .await;
        let mut others = Vec::new();
        loop {
            let message = self.receive().await;
            if message["action"] != "scrape" {
                others.push(message);
                continue;
            }
            let counts = &message["files"][id(swarm)];
            let count = |name: &str| counts[name].as_u64().unwrap();
            return ((count("complete"), count("incomplete")), others);
        }
    }

    /// Asks until `swarm` has these counts, for what other connections bring about.
    pub async fn wait_for_counts(&mut self, swarm: u8, counts: (u64, u64)) {
        let wait = async {
            while self.scrape(swarm).await.0 != counts {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait)
            .await
            .expect("the counts never came");
    }
}

/// Twenty bytes of which only some are ASCII.
pub fn id(number: u8) -> String {
    format!(
        "\u{0}\u{7f}\u{80}\u{ff}abcdefghijklmno{}",
        char::from(number)
    )
}

pub fn offer(number: u8) -> Value {
    json!({
        "offer": { "type": "offer", "sdp": format!("v=0 offer {number}") },
        "offer_id": id(number),
    })
}
