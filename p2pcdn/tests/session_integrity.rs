//! Only right bytes are played and passed on, whatever peers and the origin do.

mod support;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use bytes::BytesMut;
use p2pcdn::{
    Mismatch, SessionEvent, SessionInput, Store,
    wire::{Channel, GoodbyeReason, PeerMessage},
};
use support::{Fate, Sent, Stream, What, World, content};

fn flipped(sent: &Sent) -> Fate {
    let mut bytes = BytesMut::from(&sent.bytes[..]);
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Fate::Becomes(bytes.freeze())
}

fn has(world: &World, viewer: usize, is_it: impl Fn(&SessionEvent) -> bool) -> bool {
    world.events(viewer).any(is_it)
}

/// Who said that it has any block of `ordinal`, or all.
fn announced(world: &World, from: usize, ordinal: u64) -> bool {
    let sent = world.sent.iter().filter(|sent| sent.from == from);
    let is_it = |message| match message {
        PeerMessage::Have { ordinals, .. } => ordinals.contains(ordinal),
        PeerMessage::Bitfield { ranges, .. } => {
            ranges.iter().any(|(range, _)| range.contains(ordinal))
        }
        PeerMessage::Holds { place, blocks, .. } => place.ordinal == ordinal && !blocks.is_empty(),
        _ => false,
    };
    sent.filter_map(Sent::message).any(is_it)
}

/// The blocks of `ordinal` that `from` sent.
fn served(world: &World, from: usize, ordinal: u64) -> usize {
    let of_it = |sent: &Sent| match sent.message() {
        Some(PeerMessage::Block { payload, .. }) => {
            let whole = content(ordinal, 0);
            whole.chunks(16_384).any(|block| block == &payload.0[..])
        }
        _ => false,
    };
    let sent = world.sent.iter().filter(|sent| sent.from == from);
    sent.filter(|sent| sent.channel == Channel::Data && of_it(sent))
        .count()
}

#[test]
fn a_peer_that_sends_wrong_bytes_is_caught_and_not_let_in_again() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (victim, liar) = (world.viewer(), world.viewer());
    world.tamper(move |sent| match sent.channel {
        Channel::Data if sent.from == liar => flipped(sent),
        _ => Fate::Arrives,
    });
    world.run_secs(30);
    world.check_no_stalls();
    let liar_id = world.nodes[liar].peer;
    assert!(has(&world, victim, |event| matches!(event,
        SessionEvent::PeerCaught { peer, .. } if *peer == liar_id)));
    assert!(world.nodes[victim].session.is_banned(liar_id));
    assert!(
        world.nodes[victim]
            .session
            .peers()
            .all(|(_, peer)| peer != liar_id)
    );

    let since = world.now;
    world.connect(victim, liar);
    world.run_secs(2);
    assert!(
        world.nodes[victim]
            .session
            .peers()
            .all(|(_, peer)| peer != liar_id)
    );
    let goodbye = world.sent.iter().any(|sent| {
        let corruption = PeerMessage::Goodbye {
            reason: GoodbyeReason::Corruption,
        };
        sent.from == victim && sent.at > since && sent.message() == Some(corruption)
    });
    assert!(goodbye);
    let delivery = world.nodes[victim].session.snapshot().delivery;
    assert!(delivery.waste_bytes.corrupt > 0);
}

#[test]
fn a_map_that_the_publisher_did_not_sign_is_refused() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewer = world.viewer();
    world.tamper(|sent| match sent.message() {
        Some(PeerMessage::Map { .. }) => flipped(sent),
        _ => Fate::Arrives,
    });
    world.run_secs(20);
    world.check_no_stalls();
    assert!(has(&world, viewer, |event| matches!(
        event,
        SessionEvent::MapRefused { .. }
    )));
    assert!((505..508).all(|ordinal| !announced(&world, viewer, ordinal)));
}

#[test]
fn bytes_that_contradict_the_map_are_played_and_never_passed_on() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (odd, other) = (world.viewer(), world.viewer());
    // One edge serves another version of one segment, to one viewer.
    world.rule(move |asked, answer| {
        if asked.viewer == odd && asked.what == What::Segment(506) {
            answer.version = 9;
        }
    });
    // It has nobody else to get it from.
    world.tamper(move |sent| match sent.message() {
        Some(PeerMessage::Holds { place, blocks, .. })
            if sent.to == odd && place.ordinal == 506 && !blocks.is_empty() =>
        {
            Fate::Lost
        }
        Some(PeerMessage::Have { ordinals, .. }) if sent.to == odd && ordinals.contains(506) => {
            Fate::Lost
        }
        Some(PeerMessage::Intent { place, .. }) if place.ordinal == 506 => Fate::Lost,
        _ => Fate::Arrives,
    });
    world.run_secs(22);
    world.check_no_stalls();
    let is_it = |event: &SessionEvent| match event {
        SessionEvent::Mismatched { segment, mismatch } => {
            segment.ordinal == 506 && matches!(mismatch, Mismatch::Block(_))
        }
        _ => false,
    };
    assert!(has(&world, odd, is_it));
    let segment = world.segment(odd, 506);
    let played = world.store(odd).playable(segment, 0).concat();
    assert!(played == content(506, 9));
    assert!(!announced(&world, odd, 506));
    assert_eq!(served(&world, odd, 506), 0);
    assert!(!has(&world, other, |event| matches!(
        event,
        SessionEvent::PeerCaught { .. }
    )));
}

#[test]
fn a_segment_longer_than_its_map_says_comes_whole_over_http() {
    for late_map in [false, true] {
        let mut world = World::new(Stream::Live);
        world.publisher_after(Duration::from_millis(if late_map { 900 } else { 50 }));
        let viewer = world.viewer();
        world.rule(|asked, answer| {
            if matches!(asked.what, What::Segment(505..=507)) {
                answer.longer = 30_000;
            }
        });
        world.run_secs(30);
        world.check_no_stalls();
        let is_it = |event: &SessionEvent| matches!(event, SessionEvent::Mismatched { .. });
        assert!(has(&world, viewer, is_it));
        let mut served = 0;
        for message in world.messages(viewer, 0) {
            served += usize::from(matches!(message, PeerMessage::Block { .. }));
        }
        assert_eq!(served, 0);
    }
}

#[test]
fn a_private_segment_is_neither_announced_nor_served() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (one, other) = (world.viewer(), world.viewer());
    world.rule(|asked, answer| {
        if matches!(asked.what, What::Segment(505..=508)) {
            answer.cache_control = Some("private");
        }
    });
    world.run_secs(30);
    world.check_no_stalls();
    for viewer in [one, other] {
        for ordinal in 505..=508 {
            assert!(!announced(&world, viewer, ordinal), "{viewer} {ordinal}");
            assert_eq!(served(&world, viewer, ordinal), 0, "{viewer} {ordinal}");
        }
    }
    // Whoever asked first takes its word back, and so the other one comes to ask as well.
    let withdrawn = |from, to| {
        let messages = world.messages(from, to);
        messages.iter().any(|it| {
            matches!(it,
            PeerMessage::Withdrawn { place } if (505..=508).contains(&place.ordinal))
        })
    };
    assert!(withdrawn(one, other) || withdrawn(other, one));
}

#[test]
fn a_request_for_a_private_segment_is_rejected_although_its_bytes_match_the_map() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (one, other) = (world.viewer(), world.viewer());
    world.rule(|asked, answer| {
        if matches!(asked.what, What::Segment(505)) {
            answer.cache_control = Some("no-store");
        }
    });
    world.run_secs(14);
    let segment = world.segment(one, 505);
    assert!(!world.store(one).verified_blocks(segment).is_empty());
    let id = world.nodes[one].presentation.as_ref().unwrap().tracks[0]
        .segments
        .as_ref()
        .unwrap()
        .segment(505)
        .unwrap()
        .id;
    let (link, wire) = world.nodes[one]
        .links
        .iter()
        .find(|(_, wire)| wire.to == other)
        .unwrap();
    let (link, handle) = (*link, world.handle(other));
    assert_eq!(wire.to, other);
    let request = PeerMessage::Request {
        request: p2pcdn::wire::RequestId(60_000),
        handle,
        ordinal: 505,
        id,
        blocks: p2pcdn::wire::BlockRange::new(0, 1),
        deadline_after: Duration::from_secs(5),
    };
    let since = world.now;
    let message = request.encode().unwrap();
    let channel = Channel::Control;
    world.tell(
        one,
        SessionInput::LinkReceived {
            link,
            channel,
            message,
        },
    );
    world.run_secs(1);
    let answers: Vec<_> = world
        .sent
        .iter()
        .filter(|sent| sent.from == one && sent.to == other && sent.at >= since)
        .filter_map(Sent::message)
        .collect();
    assert!(
        answers
            .iter()
            .any(|it| matches!(it, PeerMessage::Reject { .. })),
        "{answers:?}"
    );
    assert_eq!(served(&world, one, 505), 0);
}

#[test]
fn an_origin_that_ignores_or_garbles_ranges_still_delivers() {
    for garbles in [false, true] {
        let mut world = World::new(Stream::Live);
        world.publisher();
        let viewers = [world.viewer(), world.viewer()];
        let broken = RefCell::new(BTreeSet::new());
        world.rule(move |asked, answer| {
            answer.ignores_range = !garbles;
            answer.shifts_range = garbles;
            // What breaks off is resumed with a range.
            if let What::Segment(ordinal) = asked.what
                && broken.borrow_mut().insert((asked.viewer, ordinal))
            {
                answer.breaks_after = Some(20_000);
            }
        });
        world.run_secs(40);
        let ranges = world.asked.iter().filter(|asked| asked.range.is_some());
        assert!(ranges.count() > 0, "no range was ever asked for");
        world.check_no_stalls();
        for viewer in viewers {
            assert!(world.player(viewer).played > Duration::from_secs(38));
        }
    }
}

#[test]
fn a_version_that_changes_on_the_way_is_fetched_anew() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    world.rule(|asked, answer| {
        if asked.what == What::Segment(505) {
            match asked.range {
                None if asked.at.since_epoch() < Duration::from_millis(1_012_200) => {
                    answer.breaks_after = Some(20_000);
                }
                _ => answer.version = 3,
            }
        }
    });
    world.run_secs(20);
    world.check_no_stalls();
    let is_it = |event: &SessionEvent| {
        matches!(
            event,
            SessionEvent::Mismatched {
                mismatch: Mismatch::Version,
                ..
            }
        )
    };
    assert!(has(&world, viewer, is_it));
    let segment = world.segment(viewer, 505);
    let played = world.store(viewer).playable(segment, 0).concat();
    assert!(played == content(505, 3));
}

#[test]
fn versions_do_not_mix_within_a_block_either() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    let broken = Cell::new(false);
    world.rule(move |asked, answer| {
        if asked.what == What::Segment(505) {
            if broken.replace(true) {
                answer.version = 3;
            } else {
                answer.breaks_after = Some(9_000);
            }
        }
    });
    world.run_secs(20);
    world.check_no_stalls();
    let segment = world.segment(viewer, 505);
    let played = world.store(viewer).playable(segment, 0).concat();
    assert!(played == content(505, 3));
}

#[test]
fn a_body_without_a_length_is_complete_when_it_ends() {
    let mut world = World::new(Stream::Live);
    world.rule(|_, answer| answer.has_length = false);
    let viewer = world.viewer();
    world.run_secs(20);
    world.check_no_stalls();
    assert!(world.player(viewer).played > Duration::from_secs(18));
}
