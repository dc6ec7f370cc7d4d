//! Whom a session deals with, how much it does for them, and whom it takes no more.

mod support;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn::{
    MapError, Network, SessionEvent, SessionInput, SessionOutput,
    wire::{
        Channel, GoodbyeReason, Hello, HelloTrack, LinkId, OrdinalRange, PROTOCOL_VERSION, Payload,
        PeerId, PeerMessage, Place, Role, UploadClass, Violation,
    },
};
use support::{Fate, Stream, World};

/// A stranger who connects to a viewer by hand.
struct Stranger {
    viewer: usize,
    link: LinkId,
}

fn stranger(world: &mut World, viewer: usize, number: u8, network: Option<Network>) -> Stranger {
    let link = LinkId(10_000 + u64::from(number));
    world.tell(viewer, SessionInput::LinkOpened { link, network });
    let session = &world.nodes[viewer].config;
    let hello = Hello {
        min_version: PROTOCOL_VERSION,
        max_version: PROTOCOL_VERSION,
        features: 0,
        max_message_len: 65_535,
        peer: peer(number),
        swarm: session.swarm,
        class: UploadClass::Normal,
        proof: Bytes::new(),
        tracks: vec![HelloTrack {
            handle: world_handle(),
            id: world.track(viewer),
            role: Role::Watching,
        }],
        witness: None,
    };
    let stranger = Stranger { viewer, link };
    stranger.says(world, PeerMessage::Hello(hello));
    stranger
}

fn peer(number: u8) -> PeerId {
    PeerId::new([0x80 | number; 20])
}

fn world_handle() -> p2pcdn::wire::Handle {
    p2pcdn::wire::Handle(0)
}

impl Stranger {
    fn says(&self, world: &mut World, message: PeerMessage) {
        let received = SessionInput::LinkReceived {
            link: self.link,
            channel: message.channel(),
            message: message.encode().expect("within the limits"),
        };
        world.tell(self.viewer, received);
    }

    /// Sends a block map of a segment that the viewer lists, or will.
    fn maps(&self, world: &mut World, ordinal: u64, encoded: Bytes) {
        let tag = tag(world, self.viewer, ordinal);
        let place = Place {
            handle: world_handle(),
            ordinal,
            tag,
        };
        let payload = Payload(encoded);
        self.says(world, PeerMessage::Map { place, payload });
    }

    fn is_there(&self, world: &World) -> bool {
        let session = &world.nodes[self.viewer].session;
        session.peers().any(|(link, _)| link == self.link)
    }

    fn goodbye(&self, world: &World) -> Option<GoodbyeReason> {
        let outputs = world.nodes[self.viewer].outputs.iter().rev();
        outputs
            .filter_map(|(_, output)| match output {
                SessionOutput::Send { link, message, .. } if *link == self.link => {
                    PeerMessage::decode(message.clone().into_bytes()).ok()?
                }
                _ => None,
            })
            .find_map(|message| match message {
                PeerMessage::Goodbye { reason } => Some(reason),
                _ => None,
            })
    }
}

fn tag(world: &World, viewer: usize, ordinal: u64) -> u32 {
    let track = world.track(viewer);
    let listed = world.nodes[viewer].session.segment_ref(track, ordinal);
    listed.map_or(7, |segment| segment.tag)
}

fn newest(world: &World, viewer: usize) -> u64 {
    let presentation = world.nodes[viewer].presentation.as_ref();
    let track = &presentation.expect("it was loaded").tracks[0];
    let segments = track.segments.as_ref().expect("they are known");
    segments.window().end - 1
}

fn violations(world: &World, viewer: usize) -> Vec<Violation> {
    world
        .events(viewer)
        .filter_map(|event| match event {
            SessionEvent::PeerViolated { violation, .. } => Some(*violation),
            _ => None,
        })
        .collect()
}

fn refused_maps(world: &World, viewer: usize) -> usize {
    let is_it = |event: &&SessionEvent| matches!(event, SessionEvent::MapRefused { .. });
    world.events(viewer).filter(is_it).count()
}

/// A map of a segment, as if signed by somebody: of the right form and length.
fn forged(world: &World, viewer: usize, ordinal: u64) -> Bytes {
    let presentation = world.nodes[viewer].presentation.as_ref().expect("loaded");
    let segments = presentation.tracks[0].segments.as_ref().expect("known");
    let id = segments.segment(ordinal).expect("listed").id;
    let map = p2pcdn::BlockMap::of(id, &[5; 40_000]).expect("short");
    let key = p2pcdn::SigningKey::from_random([66; 32]);
    map.sign(&key).encoded().clone()
}

#[test]
fn half_of_the_links_go_to_one_network() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer_with(|config| config.max_links = 4);
    world.run_secs(5);
    let near = Some(Network::new(1));
    let first: Vec<_> = (0..3)
        .map(|number| stranger(&mut world, viewer, number, near))
        .collect();
    assert!(first[0].is_there(&world) && first[1].is_there(&world));
    assert!(!first[2].is_there(&world));
    assert_eq!(first[2].goodbye(&world), Some(GoodbyeReason::Full));
    // Others still find room, those of whom nothing is known among them.
    let elsewhere = stranger(&mut world, viewer, 3, Some(Network::new(2)));
    let unknown = stranger(&mut world, viewer, 4, None);
    assert!(elsewhere.is_there(&world) && unknown.is_there(&world));
    // One of the network goes, another one may come.
    world.tell(
        viewer,
        SessionInput::LinkClosed {
            link: first[0].link,
        },
    );
    assert!(stranger(&mut world, viewer, 5, near).is_there(&world));
}

#[test]
fn peers_of_unknown_networks_may_take_all_links() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer_with(|config| config.max_links = 4);
    world.run_secs(5);
    for number in 0..4 {
        assert!(stranger(&mut world, viewer, number, None).is_there(&world));
    }
}

#[test]
fn who_was_of_no_use_is_not_taken_again_for_five_minutes() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewer = world.viewer_with(|config| config.scheduler.neighbours = 2);
    world.viewer();
    world.run_secs(10);
    let useless = stranger(&mut world, viewer, 1, None);
    assert!(useless.is_there(&world));
    assert!(!world.nodes[viewer].session.refuses(peer(1)));
    world.run_secs(80);
    assert!(!useless.is_there(&world));
    assert_eq!(useless.goodbye(&world), Some(GoodbyeReason::Useless));
    // The publisher, who exchanges no bytes, and the other viewer are kept.
    assert_eq!(world.nodes[viewer].session.peers().count(), 2);

    let session = &world.nodes[viewer].session;
    assert!(session.refuses(peer(1)) && !session.is_banned(peer(1)));
    let again = stranger(&mut world, viewer, 1, None);
    assert!(!again.is_there(&world));
    world.run_secs(301);
    assert!(stranger(&mut world, viewer, 1, None).is_there(&world));
    world.check_no_stalls();
}

#[test]
fn four_maps_of_another_segment_end_a_link() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    world.run_secs(5);
    let liar = stranger(&mut world, viewer, 1, None);
    let newest = newest(&world, viewer);
    let other = forged(&world, viewer, newest);
    let mut of_another_length = other.to_vec();
    of_another_length.pop();
    for _ in 0..3 {
        liar.maps(&mut world, newest, Bytes::from(of_another_length.clone()));
    }
    assert!(liar.is_there(&world));
    liar.maps(&mut world, newest, Bytes::from(of_another_length));
    assert!(!liar.is_there(&world));
    assert_eq!(violations(&world, viewer), [Violation::ForgedMap; 4]);
    assert!(world.nodes[viewer].session.is_banned(peer(1)));
}

#[test]
fn a_forged_signature_is_held_against_its_sender_once_the_right_map_is_known() {
    for publishes in [true, false] {
        let mut world = World::new(Stream::Live);
        if publishes {
            world.publisher_after(Duration::from_millis(900));
        }
        let viewer = world.viewer();
        world.run_secs(8);
        let liar = stranger(&mut world, viewer, 1, None);
        let mut forged_for = 0;
        for _ in 0..40 {
            world.run_for(Duration::from_millis(250));
            let newest = newest(&world, viewer);
            if newest > forged_for {
                forged_for = newest;
                let encoded = forged(&world, viewer, newest);
                liar.maps(&mut world, newest, encoded);
            }
        }
        // Another key may be as good as ours, for all that a viewer without a publisher can tell.
        assert_eq!(liar.is_there(&world), !publishes, "{publishes}");
        assert!(refused_maps(&world, viewer) >= 4);
        let is_banned = world.nodes[viewer].session.is_banned(peer(1));
        assert_eq!(is_banned, publishes);
        world.check_no_stalls();
    }
}

#[test]
fn few_maps_that_nobody_asked_for_are_checked() {
    let mut world = World::new(Stream::Vod(400));
    let viewer = world.viewer();
    world.run_secs(5);
    let liar = stranger(&mut world, viewer, 1, None);
    let checked = |world: &World| refused_maps(world, viewer);
    // Far from what the player needs.
    for ordinal in 300..350 {
        let encoded = forged(&world, viewer, ordinal);
        liar.maps(&mut world, ordinal, encoded);
    }
    assert_eq!(checked(&world), 0);
    for round in 0..5 {
        for ordinal in 3..13 {
            let encoded = forged(&world, viewer, ordinal);
            liar.maps(&mut world, ordinal, encoded);
        }
        assert!(checked(&world) <= 16 + round, "{}", checked(&world));
    }
    assert_eq!(checked(&world), 16);
    let is_it = |event: &SessionEvent| {
        matches!(
            event,
            SessionEvent::MapRefused {
                error: MapError::Signature,
                ..
            }
        )
    };
    assert!(world.events(viewer).any(is_it));
}

#[test]
fn a_flood_is_dropped_unread_and_then_its_sender() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    world.run_secs(5);
    let flooder = stranger(&mut world, viewer, 1, None);
    let handle = world_handle();
    let ranges = (0..1_024).map(|run| (OrdinalRange::one(2 * run), 0));
    let ranges: Vec<_> = ranges.collect();
    let mut lasted = 0;
    // Ten a second, each of 1,024 runs.
    while flooder.is_there(&world) && lasted < 200 {
        lasted += 1;
        let ranges = ranges.clone();
        flooder.says(&mut world, PeerMessage::Bitfield { handle, ranges });
        world.run_for(Duration::from_millis(100));
    }
    // 2,000 are used up by eight of 257, for which 140 came back; 5 s later it is over.
    assert!((55..=62).contains(&lasted), "{lasted}");
    assert_eq!(violations(&world, viewer), [Violation::Flooding]);
    assert!(world.nodes[viewer].session.is_banned(peer(1)));
    world.check_no_stalls();
}

#[test]
fn honest_neighbours_come_nowhere_near_a_flood() {
    for stream in [Stream::Live, Stream::Vod(200)] {
        let mut world = World::new(stream);
        world.publisher();
        for _ in 0..6 {
            world.viewer();
            world.run_secs(2);
        }
        // Messages in any second, on any link.
        let mut most = 0;
        world.tamper(|_| Fate::Arrives);
        world.run_secs(30);
        for (from, to) in (0..7).flat_map(|from| (0..7).map(move |to| (from, to))) {
            let sent = world.sent.iter();
            let times: Vec<_> = sent
                .filter(|sent| sent.from == from && sent.to == to)
                .filter(|sent| sent.channel == Channel::Control)
                .map(|sent| sent.at)
                .collect();
            for (first, at) in times.iter().enumerate() {
                let within =
                    times[first..].partition_point(|later| *later < *at + Duration::from_secs(1));
                most = most.max(within);
            }
        }
        assert!(most > 0);
        assert!(most < 200, "{most}");
        for viewer in 1..7 {
            assert_eq!(violations(&world, viewer), []);
        }
        world.check_no_stalls();
    }
}
