//! Peers are dealt with only while the origin lets the viewer watch.

mod support;

use std::time::Duration;

use p2pcdn::{
    SessionEvent, SessionInput, SessionOutput, Standing,
    transport::HttpRange,
    wire::{GoodbyeReason, LinkId, MediaTime, PeerMessage},
};
use support::{Stream, What, World};

fn at_of(world: &World, viewer: usize, wanted: &SessionOutput) -> Vec<Duration> {
    let outputs = world.nodes[viewer].outputs.iter();
    outputs
        .filter(|(_, output)| output == wanted)
        .map(|(at, _)| at.since_epoch() - Duration::from_secs(1000))
        .collect()
}

fn joins(world: &World, viewer: usize) -> usize {
    at_of(world, viewer, &SessionOutput::JoinSwarm).len()
}

fn leaves(world: &World, viewer: usize) -> usize {
    at_of(world, viewer, &SessionOutput::LeaveSwarm).len()
}

#[test]
fn the_swarm_is_joined_once_a_manifest_and_a_segment_were_granted() {
    let mut world = World::new(Stream::Live);
    world.rule(|asked, answer| {
        if matches!(asked.what, What::Segment(_)) {
            answer.ttfb = Duration::from_millis(300);
        }
    });
    let viewer = world.viewer();
    world.run_secs(3);
    let joined_at = at_of(&world, viewer, &SessionOutput::JoinSwarm);
    // The manifest comes at 40 ms, the player looks at it at 100 ms, the head is there at 400 ms.
    assert_eq!(joined_at, [Duration::from_millis(400)]);
}

#[test]
fn nothing_is_joined_while_segments_are_refused() {
    let mut world = World::new(Stream::Live);
    world.rule(|asked, answer| {
        if matches!(asked.what, What::Segment(_)) {
            answer.status = 403;
        }
    });
    let viewer = world.viewer();
    world.run_secs(20);
    assert_eq!(joins(&world, viewer), 0);
    let link = LinkId(77);
    world.tell(
        viewer,
        SessionInput::LinkOpened {
            link,
            network: None,
        },
    );
    let last = world.nodes[viewer].outputs.last().map(|(_, output)| output);
    assert_eq!(last, Some(&SessionOutput::CloseLink { link }));
    assert!(world.sent.is_empty());
}

#[test]
fn a_lone_refused_segment_is_an_error_of_that_segment() {
    let mut world = World::new(Stream::Live);
    world.rule(|asked, answer| {
        if asked.what == What::Segment(505) {
            answer.status = 403;
        }
    });
    let viewer = world.viewer();
    world.run_secs(40);
    assert_eq!(leaves(&world, viewer), 0);
    assert_eq!(world.nodes[viewer].session.standing(), Standing::Granted);
    let failed = |event: &SessionEvent| match event {
        SessionEvent::FetchFailed { segment, .. } => segment.ordinal == 505,
        _ => false,
    };
    assert!(world.events(viewer).any(failed));
}

#[test]
fn two_refused_segments_end_peer_transfer_although_manifests_are_granted() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (guest, member) = (world.viewer(), world.viewer());
    world.run_secs(10);
    assert_eq!(world.nodes[guest].links.len(), 2);
    world.rule(move |asked, answer| {
        if asked.viewer == guest && matches!(asked.what, What::Segment(_)) {
            answer.status = 401;
        }
    });
    world.run_until(|world| leaves(world, guest) > 0);
    assert_eq!(world.nodes[guest].session.standing(), Standing::Refused);
    let at = world.now;
    world.run_secs(20);
    // Manifest reloads go on and succeed, and do not let it in again.
    assert_eq!((joins(&world, guest), leaves(&world, guest)), (1, 1));
    let later = world
        .sent
        .iter()
        .filter(|sent| sent.from == guest && sent.at > at);
    assert_eq!(later.count(), 0);
    let gone = |event: &SessionEvent| {
        matches!(
            event,
            SessionEvent::PeerGone {
                reason: Some(GoodbyeReason::Policy),
                ..
            }
        )
    };
    assert!(world.events(member).any(gone));

    world.rule(|_, _| {});
    world.run_secs(10);
    assert_eq!(joins(&world, guest), 2);
    assert_eq!(world.nodes[guest].session.standing(), Standing::Granted);
}

#[test]
fn a_refused_manifest_ends_peer_transfer_until_one_is_granted() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewer = world.viewer();
    world.run_secs(10);
    let allowed_at = world.now + Duration::from_secs(10);
    world.rule(move |asked, answer| {
        if asked.viewer == viewer && asked.what == What::Manifest && asked.at < allowed_at {
            answer.status = 403;
        }
    });
    world.run_secs(9);
    assert_eq!(world.nodes[viewer].session.standing(), Standing::Refused);
    assert!(world.nodes[viewer].links.is_empty());
    world.run_secs(15);
    assert_eq!(world.nodes[viewer].session.standing(), Standing::Granted);
    assert_eq!((joins(&world, viewer), leaves(&world, viewer)), (2, 1));
}

#[test]
fn a_film_that_comes_from_peers_alone_is_asked_for_one_byte_a_minute() {
    let mut world = World::new(Stream::Vod(200));
    world.publisher();
    let viewer = world.viewer();
    world.run_secs(5);
    // A paused player asks the origin for nothing.
    world.run_secs(30);
    world.player_mut(viewer).state = p2pcdn::scheduler::PlaybackState::Paused;
    world.run_secs(200);
    let renewals: Vec<_> = world
        .asked
        .iter()
        .filter(|asked| asked.viewer == viewer && matches!(asked.what, What::Renewal(_)))
        .collect();
    assert!((3..=4).contains(&renewals.len()), "{renewals:?}");
    for renewal in &renewals {
        let one_byte = HttpRange {
            start: 0,
            end: Some(1),
        };
        assert_eq!(renewal.range, Some(one_byte));
        assert!(
            renewal.url.ends_with("?token=viewer-token-1"),
            "{}",
            renewal.url
        );
    }
    assert_eq!(leaves(&world, viewer), 0);
}

#[test]
fn an_authorisation_that_is_not_renewed_is_stale_after_a_minute() {
    let mut world = World::new(Stream::Vod(200));
    world.rule(|asked, answer| {
        if matches!(asked.what, What::Renewal(_)) {
            answer.status = 503;
        }
    });
    world.publisher();
    let viewer = world.viewer();
    world.run_secs(30);
    world.player_mut(viewer).state = p2pcdn::scheduler::PlaybackState::Paused;
    world.run_secs(65);
    assert_eq!(world.nodes[viewer].session.standing(), Standing::Stale);
    assert_eq!((joins(&world, viewer), leaves(&world, viewer)), (1, 1));
    assert!(world.nodes[viewer].links.is_empty());
    // A success is enough to be back.
    let seek_to = MediaTime::ZERO + Duration::from_secs(300);
    world.player_mut(viewer).seek(seek_to);
    world.run_secs(5);
    assert_eq!(joins(&world, viewer), 2);
}

#[test]
fn switched_on_again_with_a_stale_authorisation_it_waits_for_the_next_success() {
    use p2pcdn::scheduler::{Policy, Switch};
    let mut world = World::new(Stream::Vod(200));
    let viewer = world.viewer();
    world.run_secs(30);
    world.player_mut(viewer).state = p2pcdn::scheduler::PlaybackState::Paused;
    world.run_secs(2);
    let off = Policy {
        peer_transfer: Switch::Off,
        ..Policy::default()
    };
    world.set_policy(viewer, off);
    world.run_secs(120);
    world.set_policy(viewer, Policy::default());
    assert_eq!(joins(&world, viewer), 1);
    assert_eq!(world.nodes[viewer].session.standing(), Standing::Stale);
}

#[test]
fn each_request_carries_the_viewers_own_url() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(20);
    for asked in &world.asked {
        let token = format!("token=viewer-token-{}", asked.viewer);
        assert!(asked.url.ends_with(&token), "{}", asked.url);
    }
    for viewer in viewers {
        let hellos = world.messages(viewer, 0);
        assert!(hellos.iter().any(|it| matches!(it, PeerMessage::Hello(_))));
    }
}
