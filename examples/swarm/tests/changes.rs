//! What viewers change while they watch, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use p2pcdn::{
    Client, ClientConfig, Request,
    scheduler::{Playback, PlaybackState, Policy, Switch},
    wire::MediaTime,
};
use p2pcdn_example_attest::Attester;
use p2pcdn_example_swarm::{
    LocalTracker, Origin, OriginConfig, PeerSource, PeerWorld, Player, PlayerConfig, RENDITIONS,
    Rendition, Shape, Show, WallClock, start_attester,
};
use tokio::time::{Instant, sleep, timeout};

/// How long the live show has been on when the viewers come: longer than its window.
const LIVE_FOR: Duration = Duration::from_millis(60_300);

const NAMES: [&str; 2] = ["one", "two"];

/// Segments of the show on demand.
const VOD_LEN: u64 = 20;

/// From one announce at the tracker to the second one after it.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

async fn peer_count(client: &Client) -> usize {
    client.statistics().await.unwrap().peer_count
}

async fn peer_bytes(client: &Client) -> u64 {
    let statistics = client.statistics().await.unwrap();
    statistics.snapshot.delivery.peer_bytes
}

/// A stream with all that belongs to it, and two viewers.
struct Stage {
    wall: WallClock,
    clients: [Client; 2],
    parts: (Origin, LocalTracker, Attester),
}

impl Stage {
    async fn open(url: impl FnOnce(&Origin) -> String) -> Self {
        let wall = WallClock::start();
        let origin = Origin::start(OriginConfig {
            live_since: Instant::now() - LIVE_FOR,
            wall,
            vod_len: VOD_LEN,
            ..OriginConfig::default()
        });
        let origin = origin.await.unwrap();
        let url = url(&origin);
        let tracker = LocalTracker::start().await.unwrap();
        let (attester, key) = start_attester(&url, tracker.url()).await.unwrap();
        let config = ClientConfig {
            trackers: vec![tracker.url().to_owned()],
            publisher_keys: vec![key],
            bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
            ..ClientConfig::default()
        };
        let world = PeerWorld::new(&url, config);
        let [one, two] = NAMES.map(|name| world.open(name));
        let clients = [one.await.unwrap(), two.await.unwrap()];
        Self {
            wall,
            clients,
            parts: (origin, tracker, attester),
        }
    }

    async fn all_meet(&self) {
        let [one, two] = &self.clients;
        until("viewers and attester meet", async || {
            peer_count(one).await == 2 && peer_count(two).await == 2
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_switches_peers_off_and_on_again_finds_them_again() {
    let rendition = Rendition::named("mid").unwrap().name;
    let url = |origin: &Origin| {
        let address = origin.address();
        format!("http://{address}/live/{rendition}/playlist.m3u8")
    };
    let stage = Stage::open(url).await;
    for client in &stage.clients {
        let config = PlayerConfig {
            wall: stage.wall,
            ..PlayerConfig::default()
        };
        let player = Player::new(Arc::new(PeerSource::new(client.clone())), config);
        let joined = Instant::now();
        tokio::spawn(player.play(joined, joined + 4 * PATIENCE));
    }
    let [steady, fickle] = &stage.clients;
    stage.all_meet().await;
    for _ in 0..2 {
        let off = Policy {
            peer_transfer: Switch::Off,
            ..Policy::default()
        };
        fickle.set_policy(off).await.unwrap();
        until("peers are left", async || {
            peer_count(fickle).await == 0 && peer_count(steady).await == 1
        })
        .await;
        fickle.set_policy(Policy::default()).await.unwrap();
        stage.all_meet().await;
        let before = peer_bytes(fickle).await + peer_bytes(steady).await;
        until("they share again", async || {
            peer_bytes(fickle).await + peer_bytes(steady).await > before
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_the_rendition_on_demand_shares_the_new_one() {
    let stage = Stage::open(|origin| origin.url(Show::Vod)).await;
    let playback = Playback {
        position: MediaTime::ZERO,
        state: PlaybackState::Playing,
        buffer_target: Duration::from_secs(20),
    };
    let [low, mid] = ["low", "mid"].map(|name| {
        let bandwidth = Rendition::named(name).unwrap().peak_bandwidth();
        let presentation = stage.clients[0].presentation();
        let is_it = |track: &&p2pcdn::manifest::Track| {
            track.bandwidth.is_some_and(|it| it.as_bps() == bandwidth)
        };
        presentation.tracks.iter().find(is_it).unwrap().id
    });
    for client in &stage.clients {
        client.set_playback(playback, None).await.unwrap();
        client.watch(low).await.unwrap();
        let mut changes = client.changes();
        let listed = changes.wait_for(|it| it.track(low).unwrap().segments.is_some());
        let listed = listed.await.unwrap().clone();
        let segments = listed.track(low).unwrap().segments.as_ref().unwrap();
        let first = segments.first().unwrap();
        let response = client.fetch(Request::get(&*first.url)).await.unwrap();
        response.bytes().await.unwrap();
    }
    stage.all_meet().await;
    // All is signed, so that what the attester has is said once, on joining.
    let segments = VOD_LEN * RENDITIONS.len() as u64;
    let (_, _, attester) = &stage.parts;
    until("all is signed", async || {
        attester.signed_count() as u64 == segments
    })
    .await;
    // Peers answer sooner than the origin.
    for name in NAMES {
        stage.parts.0.set_shape(
            name,
            Shape {
                latency: Duration::from_millis(300),
                ..Shape::default()
            },
        );
    }
    for client in &stage.clients {
        client.watch(mid).await.unwrap();
    }
    until(
        "both take of the new rendition what the other has",
        async || {
            let mut shared = 0;
            for client in &stage.clients {
                for ordinal in 0..10 {
                    shared += client.sources(mid, ordinal).await.unwrap().peer_len;
                }
            }
            shared > 0
        },
    )
    .await;
}
