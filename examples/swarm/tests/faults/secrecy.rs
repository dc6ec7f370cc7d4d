//! What peers are never told.

use std::collections::BTreeSet;

use bytes::Bytes;
use p2pcdn::wire::{PeerId, PeerMessage};
use p2pcdn_example_swarm::{LocalTracker, Show};
use tokio::sync::mpsc;

use crate::support::{Conduct, RawPeer, Scene, client_config, peer_bytes};

/// What the origin and its viewers keep to themselves: tokens, the key, where it is, headers, and
/// what stands in playlists.
const SECRETS: [&[u8]; 13] = [
    b"SECRET",
    b"token=",
    b"p2pcdn-swarm-key",
    b"keys/k1",
    b"cookie",
    b"a-viewers-own-cookie",
    b"x-viewer",
    b"viewer-",
    b"http:",
    b".m3u8",
    b"seg-0",
    b"#EXT",
    b"init.mp4",
];

/// The first secret in `message`, raw or in hexadecimal digits.
fn secret_in(message: &[u8]) -> Option<&'static [u8]> {
    let has = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
    let hex = |secret: &[u8]| {
        secret
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    SECRETS
        .into_iter()
        .find(|secret| has(secret) || has(hex(secret).as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_to_a_peer_holds_a_token_a_key_a_header_or_a_line_of_a_playlist() {
    let mut scene = Scene::new();
    scene.show = Show::Secure;
    let origin = scene.origin().await;
    let tracker = LocalTracker::start().await.unwrap();
    let (_attester, key) = scene.attester(&origin, tracker.url()).await;
    let observer = RawPeer::join(Conduct::Observes, scene.foreseen(&origin), tracker.url());
    let (log, mut logged) = mpsc::unbounded_channel();
    let mut config = client_config(tracker.url(), key);
    let cookie = (
        "cookie".to_owned(),
        b"session=a-viewers-own-cookie".to_vec(),
    );
    config.headers.push(cookie);
    config.message_log = Some(log);
    let (crowd, together) = scene.watch_together(&origin, config);
    let records = together.await.unwrap();
    let viewers: BTreeSet<PeerId> = crowd.clients().iter().map(|one| one.peer()).collect();
    drop(crowd);

    let mut sent = Vec::new();
    while let Some(message) = logged.recv().await {
        sent.push(message);
    }
    assert!(
        records
            .iter()
            .all(|one| one.corrupt == 0 && one.played.as_secs() > 5)
    );
    assert!(peer_bytes(&records) > 0, "they share what is encrypted");
    let served = origin.served();
    let had_key = records.iter().all(|one| served[&one.name].key_bytes == 16);
    assert!(had_key, "each from the origin");

    assert_is_complete(&sent, &viewers);
    let account = observer.account();
    let observed: Vec<_> = account.received.iter().collect();
    assert!(viewers.is_subset(&account.met), "it met every viewer");
    assert!(account.received_blocks > 0);
    // What arrives was in the log, so that the log can be believed.
    let in_log: BTreeSet<&Bytes> = sent.iter().collect();
    for (from, message) in &observed {
        let from_viewer = from.is_some_and(|peer| viewers.contains(&peer));
        assert!(!from_viewer || in_log.contains(message));
    }

    for message in sent
        .iter()
        .chain(observed.iter().map(|(_, message)| message))
    {
        let secret = secret_in(message).map(String::from_utf8_lossy);
        assert_eq!(
            secret,
            None,
            "in {:?}",
            PeerMessage::decode(message.clone())
        );
    }
    for secret in SECRETS {
        let longest = sent.iter().max_by_key(|one| one.len()).unwrap();
        let planted = [longest, secret, b"\n"].concat();
        assert!(
            secret_in(&planted).is_some(),
            "the search finds what is there"
        );
    }
}

/// Whether every viewer said hello and sent blocks and block maps.
fn assert_is_complete(sent: &[Bytes], viewers: &BTreeSet<PeerId>) {
    let (mut greeted, mut blocks, mut maps) = (BTreeSet::new(), 0, 0);
    for message in sent {
        match PeerMessage::decode(message.clone()).unwrap() {
            Some(PeerMessage::Hello(hello)) => _ = greeted.insert(hello.peer),
            Some(PeerMessage::Block { .. }) => blocks += 1,
            Some(PeerMessage::Map { .. }) => maps += 1,
            _ => {}
        }
    }
    assert_eq!(greeted, *viewers);
    println!(
        "{} messages, {blocks} blocks, {maps} block maps",
        sent.len()
    );
    assert!(blocks > 20 && maps > 0);
}
