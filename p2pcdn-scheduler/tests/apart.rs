//! Renditions that follow each other, and viewers whom a slow origin makes late together.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{Growth, Input, Listed, MediaSpan};
use p2pcdn_wire::{BitRate, MediaTime, Role, SegmentRef, TrackId, TrackIndex};
use support::{
    listed,
    rig::{Rig, Setup, playing, starting, swarm, wants, window},
};

const OTHER: TrackIndex = TrackIndex(1);

fn secs(secs: u64) -> MediaTime {
    MediaTime::ZERO + Duration::from_secs(secs)
}

/// The player turns to another track, which lists so many segments.
fn turns(rig: &mut Rig, count: u64, span: MediaSpan) {
    rig.tell(Input::TrackJoined {
        track: OTHER,
        id: TrackId::new([2; 16]),
        role: Role::Watching,
        bitrate: Some(BitRate::from_bps(250_000)),
    });
    rig.tell(Input::TrackWanted { track: OTHER, span });
    rig.tell(Input::SegmentsListed {
        track: OTHER,
        segments: (0..count)
            .map(|ordinal| Listed {
                segment: SegmentRef {
                    track: OTHER,
                    ..listed(ordinal).segment
                },
                ..listed(ordinal)
            })
            .collect(),
        first: 0,
        growth: Growth::Live,
    });
}

#[test]
fn a_rendition_is_fetched_from_where_the_player_takes_it() {
    // The first two segments are there in the track before; nobody is in the new one.
    let mut rig = playing(window("##"), swarm(""));
    let from_there = MediaSpan {
        from: secs(4),
        ..MediaSpan::ALL
    };
    turns(&mut rig, 4, from_there);
    assert_eq!(rig.says_within(5_000), ["http 2[0..] no_peer"]);
}

#[test]
fn a_rendition_that_is_left_is_fetched_up_to_where_the_next_begins() {
    let mut rig = playing(window("#..."), swarm("a:0111"));
    let until = secs(4);
    rig.tell(Input::TrackWanted {
        track: support::TRACK,
        span: MediaSpan {
            until,
            ..MediaSpan::ALL
        },
    });
    let lines = rig.says();
    assert!(!lines.is_empty());
    assert!(
        lines.iter().all(|line| line.starts_with("ask a 1")),
        "{lines:?}"
    );
}

#[test]
fn a_rendition_waits_for_what_comes_before_it_in_the_one_that_is_left() {
    let mut rig = starting(window("."), swarm(""));
    assert_eq!(rig.says(), ["http 0[0..8] startup"]);
    let at = secs(2);
    rig.tell(Input::TrackWanted {
        track: support::TRACK,
        span: MediaSpan {
            until: at,
            ..MediaSpan::ALL
        },
    });
    turns(
        &mut rig,
        3,
        MediaSpan {
            from: at,
            ..MediaSpan::ALL
        },
    );
    assert_eq!(rig.says(), [""; 0]);
    rig.http_brings(0);
    let lines = rig.says();
    assert!(lines.contains(&"http 1[0..] startup".into()), "{lines:?}");
}

/// A viewer who waits for a segment of 16 blocks that the neighbour lacks too, over HTTP of so many
/// bits a second; its duration carries 1.05 Mb/s.
fn stuck(me: usize, http: u64) -> Vec<String> {
    let mut setup = Setup::new(window("?"), swarm("a:0"));
    setup.state = p2pcdn_scheduler::PlaybackState::Stalled;
    setup.config.peer = support::peer(me);
    setup.config.throughput_prior = BitRate::from_bps(http);
    let mut rig = setup.build();
    rig.tell(Input::MapKnown {
        segment: support::segment(0),
        segment_len: 16 * 16_384,
    });
    let mut lines = rig.says();
    lines.retain(|line| line.starts_with("http"));
    lines
}

#[test]
fn viewers_whom_a_slow_origin_makes_late_begin_in_different_places() {
    // 16 blocks in two thirds of 2 s are 1.57 Mb/s.
    let places = |http| {
        let lines: Vec<_> = (100..120).map(|me| stuck(me, http)).collect();
        assert!(
            lines
                .iter()
                .all(|it| it.len() == 1 && it[0].ends_with("..16] startup")),
            "{lines:?}"
        );
        let mut places: Vec<_> = lines.concat();
        places.sort_unstable();
        places.dedup();
        places
    };
    assert_eq!(places(1_600_000), ["http 0[0..16] startup"]);
    // Of 20 draws among 16 places, 11.6 differ in the mean.
    assert!(places(1_500_000).len() >= 8);
}

#[test]
fn a_viewer_whom_a_slow_origin_makes_late_serves_the_others() {
    let serves = |http| {
        let mut setup = Setup::new(window("#."), swarm("a:00"));
        setup.config.throughput_prior = BitRate::from_bps(http);
        let mut rig = setup.build();
        rig.plays(
            p2pcdn_scheduler::PlaybackState::Stalled,
            2.0,
            Duration::from_secs(60),
        );
        rig.hears('a', wants(1, 0, 0..1, 5_000));
        rig.says().contains(&"serve a 0[0]".to_owned())
    };
    // A segment of 8 blocks in two thirds of 2 s is 0.79 Mb/s.
    assert!(serves(700_000));
    assert!(!serves(4_000_000));
}

#[test]
fn peers_bring_the_far_half_of_what_a_slow_origin_brings() {
    let asks = |http| {
        let mut setup = Setup::new(window("."), swarm("a:1"));
        setup.state = p2pcdn_scheduler::PlaybackState::Stalled;
        setup.config.throughput_prior = BitRate::from_bps(http);
        let mut rig = setup.build();
        rig.says()
            .into_iter()
            .filter(|line| line.starts_with("ask"))
            .collect::<Vec<_>>()
    };
    // HTTP keeps half of the eight blocks and two more.
    assert_eq!(asks(700_000), ["ask a 0[6..8]"]);
    assert_eq!(asks(4_000_000), [""; 0]);
}
