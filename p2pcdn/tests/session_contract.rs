//! The contract that every machine keeps, and what it holds against.

mod support;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn::{
    ResponseHead, SessionInput, SessionOutput, Standing, Store,
    scheduler::{FetchId, PlaybackState},
    transport::HttpError,
    wire::{Channel, Instant, LinkId, Pcg, Role, SegmentRef, TrackId, TrackIndex},
};
use proptest::prelude::*;
use support::{Fate, Step, Stream, What, World, new_session};

/// Inputs about what never was.
fn strange_inputs() -> Vec<SessionInput> {
    let link = LinkId(9_999);
    let fetch = FetchId(9_999);
    let segment = SegmentRef {
        track: TrackIndex(7),
        ordinal: 3,
        tag: 1,
    };
    vec![
        SessionInput::LinkReceived {
            link,
            channel: Channel::Data,
            message: Bytes::from_static(b"#\x01\x01abc").into(),
        },
        SessionInput::LinkWritable { link, credit: 5 },
        SessionInput::LinkClosed { link },
        SessionInput::FetchAnswered {
            fetch,
            head: ResponseHead::default(),
            ttfb: Duration::ZERO,
        },
        SessionInput::FetchReceived {
            fetch,
            bytes: Bytes::from_static(b"abc"),
        },
        SessionInput::FetchEnded {
            fetch,
            result: Ok(()),
        },
        SessionInput::FetchEnded {
            fetch,
            result: Err(HttpError::Reset),
        },
        SessionInput::SidecarAnswered {
            segment,
            encoded: None,
        },
        SessionInput::MapSigned {
            segment,
            encoded: Bytes::from_static(b"no map"),
        },
        SessionInput::RenewalAnswered {
            segment,
            status: None,
        },
        SessionInput::TrackRoleChanged {
            track: TrackId::new([9; 16]),
            role: Role::Watching,
        },
    ]
}

#[test]
fn inputs_about_what_never_was_change_nothing() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewer = world.viewer();
    world.viewer();
    world.run_secs(10);
    let before = world.nodes[viewer].outputs.len();
    let wake_at = world.nodes[viewer].session.poll_timeout();
    for input in strange_inputs() {
        world.tell(viewer, input);
    }
    let new = &world.nodes[viewer].outputs[before..];
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(world.nodes[viewer].session.poll_timeout(), wake_at);
    world.run_secs(10);
    world.check_no_stalls();
}

#[test]
fn what_is_over_stays_over() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewer = world.viewer();
    world.run_secs(10);
    // All that was told is told again, a few seconds late.
    let steps = world.nodes[viewer].steps.clone();
    let late: Vec<_> = steps
        .into_iter()
        .filter_map(|(_, step)| match step {
            Step::Input(input) => matches!(
                *input,
                SessionInput::FetchAnswered { .. }
                    | SessionInput::FetchReceived { .. }
                    | SessionInput::FetchEnded { .. }
            )
            .then_some(*input),
            Step::Timeout => None,
        })
        .collect();
    assert!(late.len() > 20);
    let http_bytes = world.http_bytes(viewer);
    for input in late {
        world.tell(viewer, input);
    }
    assert_eq!(world.http_bytes(viewer), http_bytes);
    world.run_secs(10);
    world.check_no_stalls();
}

#[test]
fn a_link_that_opens_twice_is_one_link() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewer = world.viewer();
    world.run_secs(5);
    let link = *world.nodes[viewer]
        .links
        .keys()
        .next()
        .expect("it has a neighbour");
    let before = world.nodes[viewer].outputs.len();
    world.tell(
        viewer,
        SessionInput::LinkOpened {
            link,
            network: None,
        },
    );
    assert_eq!(world.nodes[viewer].outputs.len(), before);
    assert_eq!(world.nodes[viewer].session.peers().count(), 1);
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.run_secs(40);
    for viewer in viewers {
        let node = &world.nodes[viewer];
        let started_at = Instant::from_epoch(support::START);
        let mut session = new_session(&node.config, viewer, started_at);
        let mut outputs = Vec::new();
        for (at, step) in &node.steps {
            match step {
                Step::Input(input) => session.handle_input((**input).clone(), *at),
                Step::Timeout => session.handle_timeout(*at),
            }
            outputs.extend(std::iter::from_fn(|| session.poll_output()).map(|it| (*at, it)));
        }
        assert!(
            outputs == node.outputs,
            "viewer {viewer} is not its own replay"
        );
    }
}

#[test]
fn a_timeout_early_twice_or_late_is_harmless() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    for _ in 0..400 {
        world.run_for(Duration::from_millis(50));
        for viewer in viewers {
            world.timeout(viewer);
            world.timeout(viewer);
        }
    }
    world.check_no_stalls();
    assert!(viewers.iter().all(|viewer| world.peer_bytes(*viewer) > 0));
}

#[test]
fn a_long_time_goes_by_without_a_busy_loop_or_growing_memory() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let viewers = [world.viewer(), world.viewer()];
    world.keeps_logs = false;
    world.run_secs(90);
    let early = viewers.map(|viewer| world.nodes[viewer].most_used);
    let wakeups = viewers.map(|viewer| world.nodes[viewer].wakeups);
    world.run_secs(300);
    world.check_no_stalls();
    for (index, viewer) in viewers.into_iter().enumerate() {
        let node = &world.nodes[viewer];
        let rate = (node.wakeups - wakeups[index]) / 300;
        assert!(rate < 20, "{rate} wake-ups a second");
        assert!(node.most_used <= early[index] + 200_000);
    }
}

#[test]
fn paused_for_hours_it_wakes_for_pings_and_renewals_only() {
    let mut world = World::new(Stream::Vod(100));
    world.publisher();
    let viewer = world.viewer();
    world.run_secs(30);
    world.player_mut(viewer).state = PlaybackState::Paused;
    world.run_secs(100);
    world.keeps_logs = false;
    let wakeups = world.nodes[viewer].wakeups;
    world.run_secs(3 * 3_600);
    // A ping in 10 s and a renewal in 50 s.
    let wakeups = world.nodes[viewer].wakeups - wakeups;
    assert!(wakeups < 3 * 3_600 / 4, "{wakeups} wake-ups");
    assert_eq!(world.nodes[viewer].session.standing(), Standing::Granted);
}

#[test]
fn an_idle_session_sleeps() {
    let mut world = World::new(Stream::Live);
    let viewer = world.viewer();
    world.run_secs(1);
    let session = new_session(&world.nodes[viewer].config, 9, world.now);
    assert_eq!(session.poll_timeout(), None);
}

/// A world in which messages get lost and doubled, and the origin fails in every way it can.
fn storm(seed: u64, loss: u32, failures: u32) -> World {
    let mut world = World::new(Stream::Live);
    world.publisher();
    for _ in 0..3 {
        world.viewer_with(|config| config.scheduler.memory_budget = 2 << 20);
    }
    let mut pcg = Pcg::new(seed);
    world.tamper(move |sent| match pcg.below(100) {
        roll if roll < loss as usize => Fate::Lost,
        roll if roll < 2 * loss as usize => Fate::Doubled,
        roll if roll < 3 * loss as usize => Fate::Delayed(Duration::from_millis(400)),
        // Single bits flip only where a real wire could not notice: in content.
        roll if roll < 3 * loss as usize + 1 && sent.channel == Channel::Data && seed % 2 == 1 => {
            let mut bytes = sent.bytes.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 0x10;
            }
            Fate::Becomes(bytes.into())
        }
        _ => Fate::Arrives,
    });
    world.rule(move |asked, answer| {
        let What::Segment(ordinal) = asked.what else {
            return;
        };
        let at = u64::try_from(asked.at.since_epoch().as_millis()).expect("a short test");
        let viewer = asked.viewer as u64;
        let mut pcg = Pcg::new(seed ^ at ^ ordinal << 20 ^ viewer << 50);
        if pcg.below(100) >= failures as usize {
            return;
        }
        match pcg.below(9) {
            0 => answer.status = 500,
            1 => answer.status = 404,
            2 => answer.status = 403,
            3 => answer.version = 5,
            4 => answer.longer = 20_000,
            5 => answer.cache_control = Some("private"),
            6 => answer.ignores_range = true,
            7 => answer.shifts_range = true,
            _ => answer.breaks_after = Some(pcg.below(50_000)),
        }
        answer.has_length = pcg.below(2) == 0;
    });
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn whatever_fails_only_right_bytes_are_played_in_bounded_memory(
        seed in any::<u64>(),
        loss in 0u32..15,
        failures in 0u32..60,
    ) {
        // The world checks the bytes at each event, that nothing panics and that time goes on.
        let mut world = storm(seed, loss, failures);
        world.run_secs(40);
        for viewer in 1..4 {
            let node = &world.nodes[viewer];
            // The budget, what is needed beyond it, and what waits for maps.
            prop_assert!(node.most_used < (2 << 20) + (4 << 20) + 1_000_000);
            prop_assert!(node.session.store().used_bytes() < (2 << 20) + 2_000_000);
            let sends = node.outputs.iter();
            let sends = sends.filter(|(_, it)| matches!(it, SessionOutput::Send { .. })).count();
            prop_assert!(sends < 20_000, "{} messages in 40 s", sends);
        }
        // When all is well again, so is playback.
        world.rule(|_, _| {});
        world.tamper(|_| Fate::Arrives);
        world.run_secs(15);
        let played: Vec<_> = (1..4).map(|viewer| world.player(viewer).played).collect();
        world.run_secs(10);
        for viewer in 1..4 {
            let since = world.player(viewer).played - played[viewer - 1];
            prop_assert!(since >= Duration::from_secs(9), "{viewer} played {since:?} of 10 s");
        }
    }
}
