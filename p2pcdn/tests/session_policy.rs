//! Peer transfer and uploads can be switched, and memory has a budget.

mod support;

use std::time::Duration;

use p2pcdn::{
    SessionEvent, SessionInput, SessionOutput, Store,
    scheduler::{Policy, Switch},
    wire::{GoodbyeReason, LinkId, PeerMessage, RejectReason, UploadClass},
};
use support::{Stream, World, content};

const OFF: Policy = Policy {
    peer_transfer: Switch::Off,
    upload: Switch::On,
    upload_limit: None,
    upload_class: UploadClass::Normal,
};

const NO_UPLOAD: Policy = Policy {
    peer_transfer: Switch::On,
    upload: Switch::Off,
    upload_limit: None,
    upload_class: UploadClass::Normal,
};

#[test]
fn switched_off_it_says_goodbye_and_leaves_the_swarm_in_the_same_drain() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (one, other) = (world.viewer(), world.viewer());
    world.run_secs(10);
    assert_eq!(world.nodes[one].session.peers().count(), 2);
    let before = world.nodes[one].outputs.len();
    let at = world.now;
    world.set_policy(one, OFF);
    assert!(world.nodes[one].links.is_empty() && !world.nodes[one].is_in_swarm);
    let outputs = &world.nodes[one].outputs[before..];
    let count = |is_it: &dyn Fn(&SessionOutput) -> bool| {
        outputs.iter().filter(|(_, output)| is_it(output)).count()
    };
    assert_eq!(
        count(&|it| matches!(it, SessionOutput::CloseLink { .. })),
        2
    );
    assert_eq!(count(&|it| *it == SessionOutput::LeaveSwarm), 1);
    for to in [0, other] {
        let last = world.messages(one, to).pop();
        let reason = GoodbyeReason::Policy;
        assert_eq!(last, Some(PeerMessage::Goodbye { reason }));
    }
    world.run_secs(20);
    world.check_no_stalls();
    assert!(
        world
            .sent
            .iter()
            .all(|sent| sent.from != one || sent.at <= at)
    );
    let peer_bytes = world.peer_bytes(one);

    world.set_policy(one, Policy::default());
    world.run_secs(20);
    assert_eq!(world.nodes[one].session.peers().count(), 2);
    assert!(world.peer_bytes(one) > peer_bytes);
    world.check_no_stalls();
}

#[test]
fn a_link_that_opens_while_switched_off_is_closed() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    world.run_secs(5);
    world.set_policy(viewer, OFF);
    let link = LinkId(55);
    world.tell(
        viewer,
        SessionInput::LinkOpened {
            link,
            network: None,
        },
    );
    let last = world.nodes[viewer].outputs.last().map(|(_, output)| output);
    assert_eq!(last, Some(&SessionOutput::CloseLink { link }));
}

#[test]
fn without_uploads_it_declares_none_and_rejects_what_is_requested_all_the_same() {
    let mut world = World::new(Stream::Vod(20));
    world.publisher();
    let keeper = world.viewer();
    world.set_policy(keeper, NO_UPLOAD);
    world.run_secs(12);
    let newcomer = world.viewer();
    world.run_secs(30);
    world.check_no_stalls();
    let said = world.messages(keeper, newcomer);
    let hello = said.iter().find_map(|message| match message {
        PeerMessage::Hello(hello) => Some(hello.class),
        _ => None,
    });
    assert_eq!(hello, Some(UploadClass::None));
    let policy = |it: &PeerMessage| {
        matches!(
            it,
            PeerMessage::Reject {
                reason: RejectReason::Policy,
                ..
            }
        )
    };
    let requests = world.messages(newcomer, keeper);
    let requests = requests
        .iter()
        .filter(|it| matches!(it, PeerMessage::Request { .. }));
    assert_eq!(
        said.iter().filter(|it| policy(it)).count(),
        requests.count()
    );
    assert_eq!(
        world.nodes[keeper].session.snapshot().delivery.upload_bytes,
        0
    );
}

#[test]
fn uploads_switched_off_while_running_end_at_once() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (one, other) = (world.viewer(), world.viewer());
    world.run_secs(20);
    let before = world.nodes[one].session.snapshot().delivery.upload_bytes;
    assert!(before > 0);
    world.set_policy(one, NO_UPLOAD);
    world.run_secs(20);
    let after = world.nodes[one].session.snapshot().delivery.upload_bytes;
    assert_eq!(before, after);
    let classes: Vec<_> = world
        .messages(one, other)
        .into_iter()
        .filter_map(|message| match message {
            PeerMessage::Hello(hello) => Some(hello.class),
            _ => None,
        })
        .collect();
    assert_eq!(classes, [UploadClass::Normal, UploadClass::None]);
    assert!(world.peer_bytes(one) > 0, "it still downloads");
}

#[test]
fn an_upload_limit_holds() {
    let mut world = World::new(Stream::Vod(60));
    world.publisher();
    let keeper = world.viewer();
    world.run_secs(30);
    let limit = p2pcdn::wire::BitRate::from_bps(80_000);
    let limited = Policy {
        upload_limit: Some(limit),
        ..Policy::default()
    };
    world.set_policy(keeper, limited);
    world.viewer();
    let since = world.nodes[keeper].session.snapshot().delivery.upload_bytes;
    world.run_secs(30);
    let uploaded = world.nodes[keeper].session.snapshot().delivery.upload_bytes - since;
    // 10 kB a second, and one block saved up.
    assert!(
        uploaded > 0 && uploaded <= 30 * 10_000 + 16_384,
        "{uploaded}"
    );
}

#[test]
fn what_was_played_makes_room_and_neighbours_hear_of_it() {
    let mut world = World::new(Stream::Vod(100));
    world.publisher();
    let budget = 14 * 64_000;
    let frugal = world.viewer_with(|config| config.scheduler.memory_budget = budget);
    let other = world.viewer();
    world.run_secs(100);
    world.check_no_stalls();
    // Beyond the budget there can be what is being fetched, rounded up to blocks, and maps.
    let used = world.nodes[frugal].most_used;
    assert!(used <= budget + 2 * 100_000, "{used}");
    assert!(world.nodes[other].most_used > budget + 2 * 100_000);
    let lost: Vec<_> = world
        .messages(frugal, other)
        .into_iter()
        .filter_map(|message| match message {
            PeerMessage::Lost { ordinals, .. } => Some(ordinals.start),
            _ => None,
        })
        .collect();
    assert!(lost.len() > 20 && lost.is_sorted(), "{lost:?}");
    let segment = world.segment(frugal, 0);
    assert_eq!(world.store(frugal).used_bytes().min(1), 1);
    assert_eq!(world.store(frugal).map(segment), None);
    assert!(world.store(frugal).playable(segment, 0).is_empty());
}

#[test]
fn after_a_seek_back_a_dropped_segment_comes_again() {
    let mut world = World::new(Stream::Vod(100));
    world.publisher();
    let frugal = world.viewer_with(|config| config.scheduler.memory_budget = 14 * 64_000);
    let other = world.viewer();
    world.run_secs(50);
    let segment = world.segment(frugal, 1);
    assert_eq!(world.store(frugal).map(segment), None);
    let before = world.peer_bytes(frugal);
    world.player_mut(frugal).seek(p2pcdn::wire::MediaTime::ZERO);
    world.run_until(|world| world.store(frugal).is_complete(segment));
    let played = world.store(frugal).playable(segment, 0).concat();
    assert!(played == content(1, 0));
    world.run_secs(2);
    let segment = world.segment(frugal, 6);
    let map = world.store(frugal).map(segment);
    assert!(map.is_some(), "maps are handed out again");
    assert!(world.peer_bytes(frugal) > before, "{other} holds all of it");
}

#[test]
fn an_encoder_that_starts_anew_does_not_confuse_anybody() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(20);
    // Media sequence 510 becomes 10.
    world.first_number = 500;
    world.run_secs(30);
    for viewer in viewers {
        let before = world.peer_bytes(viewer);
        world.run_secs(20);
        assert!(world.peer_bytes(viewer) > before, "{viewer}");
        let track = world.track(viewer);
        let session = &world.nodes[viewer].session;
        assert_eq!(session.segment_ref(track, 505), None);
        let caught = |event: &SessionEvent| matches!(event, SessionEvent::PeerCaught { .. });
        assert!(!world.events(viewer).any(caught));
        assert!(world.player(viewer).played > Duration::from_secs(50));
    }
}
