//! What is between a viewer and its origin stays between them.

mod support;

use p2pcdn::{SessionInput, wire::PeerMessage};
use support::{Stream, World, origin};

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

#[test]
fn nothing_of_keys_tokens_or_urls_goes_to_a_peer() {
    let mut world = World::new(Stream::Encrypted);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(5);
    for viewer in viewers {
        // The player gets the key from the key server itself.
        let len = origin::KEY_BYTES.len() as u64;
        world.tell(viewer, SessionInput::UnsharedReceived { len });
    }
    world.run_secs(35);
    world.check_no_stalls();
    assert!(viewers.iter().all(|viewer| world.peer_bytes(*viewer) > 0));
    let secrets: [&[u8]; 9] = [
        origin::KEY_URL.as_bytes(),
        origin::KEY_TOKEN.as_bytes(),
        origin::KEY_BYTES,
        b"keys.example",
        b"secret-key",
        b"viewer-token",
        b"token=",
        b"origin.example",
        b"segment-",
    ];
    assert!(world.sent.len() > 100);
    for sent in &world.sent {
        for secret in secrets {
            let text = String::from_utf8_lossy(secret);
            assert!(!contains(&sent.bytes, secret), "{text} in {sent:?}");
        }
    }
}

#[test]
fn the_capture_above_would_notice() {
    assert!(contains(b"GET /a?token=1", b"token="));
    assert!(!contains(b"GET /a", b"token="));
}

#[test]
fn viewers_with_different_tokens_meet_and_call_segments_the_same() {
    let mut world = World::new(Stream::Encrypted);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(10);
    let hellos = viewers.map(|viewer| {
        let mut messages = world.messages(viewer, 0).into_iter();
        let hello = messages.find_map(|message| match message {
            PeerMessage::Hello(hello) => Some(hello),
            _ => None,
        });
        let hello = hello.expect("it said hello");
        (hello.swarm, hello.tracks[0].id)
    });
    assert_eq!(hellos[0], hellos[1]);
    assert_eq!(world.segment(1, 503), world.segment(2, 503));
}
