//! Segments travel between viewers, and arrive as the origin has them.

mod support;

use std::time::Duration;

use p2pcdn::{
    MapsConfig, SessionEvent, SessionOutput, Store,
    scheduler::{Policy, Switch},
    wire::{Instant, PeerMessage},
};
use support::{Fate, Sent, Stream, World, content};

/// The distinct segments that were asked of the origin, and how many requests that took.
fn asked(world: &World, viewers: &[usize], from: u64) -> (usize, usize) {
    let mut all: Vec<_> = viewers
        .iter()
        .flat_map(|viewer| world.asked_segments(*viewer))
        .filter(|ordinal| *ordinal >= from)
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    (all.len(), count)
}

/// When `server` sent blocks of a segment. A block names the request, the request the segment.
fn block_times(world: &World, server: usize, of: u64) -> Vec<Instant> {
    let requests = world.sent.iter().filter(|sent| sent.to == server);
    let requested: Vec<_> = requests
        .filter_map(|sent| match sent.message()? {
            PeerMessage::Request {
                request, ordinal, ..
            } if ordinal == of => Some((sent.from, request)),
            _ => None,
        })
        .collect();
    let served = world.sent.iter().filter(|sent| sent.from == server);
    served
        .filter(|sent| match sent.message() {
            Some(PeerMessage::Block { request, .. }) => requested.contains(&(sent.to, request)),
            _ => false,
        })
        .map(|sent| sent.at)
        .collect()
}

#[test]
fn viewers_of_a_live_stream_fetch_each_segment_once_between_them() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer(), world.viewer()];
    world.run_secs(60);
    world.check_no_stalls();
    let (segments, requests) = asked(&world, &viewers, 505);
    assert!(segments >= 23, "{segments}");
    assert!(requests <= segments + 3, "{requests} for {segments}");
    for viewer in viewers {
        assert!(world.peer_bytes(viewer) > 700_000, "{viewer}");
        assert!(world.player(viewer).played > Duration::from_secs(58));
    }
}

#[test]
fn viewers_of_a_film_share_it_too() {
    let mut world = World::new(Stream::Vod(40));
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(70);
    world.check_no_stalls();
    let total: u64 = (0..40)
        .map(|ordinal| content(ordinal, 0).len() as u64)
        .sum();
    for viewer in viewers {
        assert!(world.peer_bytes(viewer) > total / 4, "{viewer}");
        let all = world.peer_bytes(viewer) + world.http_bytes(viewer);
        assert!(all >= total, "{viewer} has {all} of {total}");
    }
}

#[test]
fn what_each_viewer_can_play_is_what_the_origin_has() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(30);
    for viewer in viewers {
        for ordinal in 505..512 {
            let segment = world.nodes[viewer]
                .session
                .segment_ref(world.track(viewer), ordinal);
            let Some(segment) = segment.filter(|it| world.store(viewer).is_complete(*it)) else {
                continue;
            };
            let played = world.store(viewer).playable(segment, 0).concat();
            assert!(played == content(ordinal, 0), "{ordinal}");
        }
    }
}

#[test]
fn a_viewer_gets_blocks_of_a_peer_that_does_not_hold_the_segment_yet() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    // Half a second for a segment: announcements of its first blocks come well before its last.
    world.rule(|_, answer| answer.piece_time = Duration::from_millis(80));
    world.run_secs(40);
    world.check_no_stalls();
    let cut_through = viewers.into_iter().any(|server| {
        let mut events = world.nodes[server].events.iter();
        events.any(|(completed_at, event)| match event {
            SessionEvent::SegmentCompleted { segment } => {
                let sent = block_times(&world, server, segment.ordinal);
                sent.first().is_some_and(|at| at < completed_at)
            }
            _ => false,
        })
    });
    assert!(
        cut_through,
        "nobody served a segment that it was still fetching"
    );
}

#[test]
fn a_map_that_is_pushed_before_the_segment_is_listed_counts_when_it_is() {
    let mut world = World::new(Stream::Live);
    let publisher = world.publisher();
    let viewer = world.viewer();
    world.run_secs(20);
    // The publisher's playlist is loaded first in each round, and its maps are pushed at once.
    let maps = world.messages(publisher, viewer);
    let pushed = maps
        .iter()
        .filter(|it| matches!(it, PeerMessage::Map { .. }))
        .count();
    assert!(pushed >= 8, "{pushed}");
    let refused = |event: &SessionEvent| matches!(event, SessionEvent::MapRefused { .. });
    assert!(!world.events(viewer).any(refused));
    for ordinal in 505..508 {
        let segment = world.segment(viewer, ordinal);
        assert!(world.store(viewer).map(segment).is_some(), "{ordinal}");
    }
}

#[test]
fn news_of_a_segment_that_is_not_listed_yet_reloads_the_manifest() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let first = world.viewer();
    world.run_for(Duration::from_millis(700));
    // Polls the playlist later than the first in each interval.
    let second = world.viewer();
    world.run_secs(30);
    let reloads = [first, second].map(|viewer| {
        let outputs = world.nodes[viewer].outputs.iter();
        outputs
            .filter(|(_, output)| matches!(output, SessionOutput::ReloadManifest { .. }))
            .count()
    });
    assert!(reloads.iter().sum::<usize>() > 0, "{reloads:?}");
}

#[test]
fn a_map_that_nobody_pushes_is_asked_for() {
    let mut world = World::new(Stream::Live);
    let publisher = world.publisher();
    world.nodes[publisher].config.maps = MapsConfig::default();
    let (config, now) = (world.nodes[publisher].config.clone(), world.now);
    world.nodes[publisher].session = support::new_session(&config, publisher, now);
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(30);
    for viewer in viewers {
        let asked = world.messages(viewer, publisher);
        assert!(
            asked
                .iter()
                .any(|it| matches!(it, PeerMessage::MapRequest { .. }))
        );
        assert!(world.peer_bytes(viewer) > 0, "{viewer}");
    }
}

#[test]
fn a_map_that_is_there_is_not_asked_for_again() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(60);
    for viewer in viewers {
        let asked: usize = (0..3)
            .filter(|to| *to != viewer)
            .flat_map(|to| world.messages(viewer, to))
            .filter(|it| matches!(it, PeerMessage::MapRequest { .. }))
            .count();
        assert!(asked <= 8, "{viewer} asked {asked} times for about 30 maps");
    }
}

#[test]
fn blocks_wait_for_a_late_map_and_count_once_it_is_there() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (quick, slow) = (world.viewer(), world.viewer());
    world.rule(|_, answer| answer.piece_time = Duration::from_millis(10));
    // Who does not upload is never on duty, and so waits for the other one.
    let no_upload = Policy {
        upload: Switch::Off,
        ..Policy::default()
    };
    world.set_policy(slow, no_upload);
    let late = Duration::from_millis(500);
    world.tamper(move |sent| match sent.message() {
        Some(PeerMessage::Map { .. }) if sent.to == slow => Fate::Delayed(late),
        _ => Fate::Arrives,
    });
    world.run_secs(40);
    world.check_no_stalls();
    let waited = (505..517).filter(|of| {
        let is_it = |sent: &&Sent| {
            matches!(sent.message(),
                Some(PeerMessage::Map { place, .. }) if sent.to == slow && place.ordinal == *of)
        };
        let map_at = world.sent.iter().find(is_it).map(|sent| sent.at + late);
        let block_at = block_times(&world, quick, *of).first().copied();
        map_at
            .zip(block_at)
            .is_some_and(|(map_at, block_at)| block_at < map_at)
    });
    assert!(waited.count() > 0, "no block came before its map");
    let delivery = world.nodes[slow].session.snapshot().delivery;
    assert!(delivery.peer_bytes > 0);
    assert_eq!(delivery.waste_bytes.corrupt, 0);
}

#[test]
fn a_segment_is_counted_where_its_bytes_came_from() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(30);
    for viewer in viewers {
        let mut from_peers = 0;
        for ordinal in 508..512 {
            let segment = world.segment(viewer, ordinal);
            let sources = world.nodes[viewer].session.sources(segment);
            if world.store(viewer).is_complete(segment) {
                let len = content(ordinal, 0).len() as u64;
                assert_eq!(sources.peer_len + sources.http_len, len, "{ordinal}");
                from_peers += sources.peer_len;
            }
        }
        assert!(from_peers > 0);
    }
}

#[test]
fn where_a_segment_came_from_is_forgotten_with_it() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    world.run_secs(20);
    let segment = world.segment(viewer, 506);
    let sources = |world: &World| world.nodes[viewer].session.sources(segment);
    assert!(world.store(viewer).is_complete(segment));
    assert_eq!(sources(&world).http_len, content(506, 0).len() as u64);
    // It is kept for a minute after it was played.
    world.run_secs(80);
    assert!(!world.store(viewer).is_complete(segment));
    assert_eq!(sources(&world).http_len, 0);
}
