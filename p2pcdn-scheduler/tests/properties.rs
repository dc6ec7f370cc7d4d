//! What holds for any inputs whatsoever: no panic, no busy loop, the same outputs for the same
//! inputs, no more under way than allowed.

mod support;

use std::{collections::BTreeMap, time::Duration};

use p2pcdn_metrics::HttpReason;
use p2pcdn_scheduler::{
    Config, Event, FetchFailure, FetchId, Growth, Input, Listed, MediaSpan, Output, Playback,
    PlaybackState, Policy, Scheduler, Sharing, Switch,
};
use p2pcdn_wire::{
    BitRate, BlockRange, BlockSet, Instant, LinkId, MediaTime, OrdinalRange, RejectReason,
    RequestId, Role, Said, Say, SegmentRef, TrackId, TrackIndex, UploadClass, tag_digest,
};
use proptest::{collection::vec, prelude::*, sample::select};
use support::{at, listed, number, peer, segment, segment_id};

/// Numbers that are mostly small and sometimes as odd as they get.
fn odd(usual: u64) -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..usual, 1 => select(vec![0, u64::MAX, u64::MAX - 1, 1 << 32])]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => (0u64..5_000).prop_map(Duration::from_millis),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
    ]
}

fn name() -> impl Strategy<Value = SegmentRef> {
    (odd(12), 0u16..2, prop::bool::weighted(0.1)).prop_map(|(ordinal, track, is_other)| {
        SegmentRef {
            track: TrackIndex(track),
            ordinal,
            tag: if is_other { 1 } else { segment(ordinal).tag },
        }
    })
}

fn link() -> impl Strategy<Value = LinkId> {
    (1u64..5).prop_map(LinkId)
}

fn blocks() -> impl Strategy<Value = BlockSet> {
    vec(prop_oneof![9 => 0u32..10, 1 => 0u32..3_000], 0..6)
        .prop_map(|all| all.into_iter().collect())
}

fn ordinals() -> impl Strategy<Value = OrdinalRange> {
    (odd(12), odd(14)).prop_map(|(start, end)| OrdinalRange::new(start, end))
}

fn said() -> impl Strategy<Value = Said> {
    let track = (0u16..3).prop_map(TrackIndex);
    let role = select(vec![Role::Watching, Role::Holding]);
    let class = select(vec![UploadClass::None, UploadClass::Low, UploadClass::High]);
    let digest = |range: OrdinalRange| {
        let tags = (range.start..range.end).take(20);
        tag_digest(tags.map(|ordinal| segment(ordinal).tag))
    };
    let range = (any::<u32>(), any::<u32>(), 0u32..9, 0u32..9);
    prop_oneof![
        4 => (track.clone(), role).prop_map(|(track, role)| Said::Joined { track, role }),
        1 => track.clone().prop_map(|track| Said::Left { track }),
        1 => class.prop_map(Said::Class),
        4 => (track.clone(), ordinals()).prop_map(move |(track, ordinals)| Said::Have {
            track, ordinals, digest: digest(ordinals),
        }),
        2 => (track.clone(), ordinals()).prop_map(move |(track, ordinals)| Said::HasMaps {
            track, ordinals, digest: digest(ordinals),
        }),
        6 => (name(), odd(200_000), blocks()).prop_map(|(segment, segment_len, blocks)| {
            Said::Holds { segment, segment_len, blocks }
        }),
        2 => (track, ordinals()).prop_map(|(track, ordinals)| Said::Lost { track, ordinals }),
        3 => (name(), duration()).prop_map(|(segment, expires_after)| Said::Intent {
            segment, expires_after,
        }),
        1 => name().prop_map(|segment| Said::IntentWithdrawn { segment }),
        8 => (0u32..20, name(), range, any::<bool>(), duration()).prop_map(
            |(request, segment, (a, b, c, d), is_odd, deadline_after)| Said::Request {
                request: RequestId(request),
                segment,
                id: segment_id(segment.ordinal),
                blocks: if is_odd { BlockRange::new(a, b) } else { BlockRange::new(c, d) },
                deadline_after,
            }
        ),
        1 => (0u32..20).prop_map(|request| Said::Cancel { request: RequestId(request) }),
        1 => (0u32..20).prop_map(|request| Said::Reject {
            request: RequestId(request),
            reason: RejectReason::Busy,
        }),
        1 => duration().prop_map(|took| Said::RoundTrip { took, outward: 0 }),
    ]
}

fn content() -> impl Strategy<Value = Input> {
    let growth = select(vec![Growth::Live, Growth::Ended]);
    let states = vec![
        PlaybackState::Starting,
        PlaybackState::Playing,
        PlaybackState::Playing,
        PlaybackState::Stalled,
        PlaybackState::Paused,
    ];
    let failure = select(vec![FetchFailure::Transient, FetchFailure::NotFound]);
    prop_oneof![
        4 => (vec(name(), 0..8), 0u64..8, duration(), growth).prop_map(
            |(mut names, first, duration, growth)| {
                names.sort_unstable();
                Input::SegmentsListed {
                    track: TrackIndex(0),
                    segments: names.into_iter().map(|name| Listed {
                        segment: SegmentRef { track: TrackIndex(0), ..name },
                        id: segment_id(name.ordinal),
                        duration,
                        sharing: if name.ordinal == 3 { Sharing::HttpOnly } else { Sharing::Shared },
                        ..listed(name.ordinal % 100)
                    }).collect(),
                    first,
                    growth,
                }
            }
        ),
        1 => (-5_000i64..30_000, -5_000i64..30_000).prop_map(|(from, until)| Input::TrackWanted {
            track: TrackIndex(0),
            span: MediaSpan {
                from: MediaTime::from_nanos(from * 1_000_000),
                until: MediaTime::from_nanos(until * 1_000_000),
            },
        }),
        6 => (select(states), -5_000i64..30_000, duration()).prop_map(|(state, millis, ahead)| {
            Input::PlaybackChanged(Playback {
                position: MediaTime::from_nanos(millis * 1_000_000),
                state,
                buffer_target: ahead,
            })
        }),
        4 => (name(), 0u64..200_000).prop_map(|(segment, segment_len)| Input::MapKnown {
            segment, segment_len,
        }),
        2 => (name(), 0u64..200_000).prop_map(|(segment, segment_len)| Input::LengthKnown {
            segment, segment_len,
        }),
        8 => (name(), blocks(), blocks(), blocks()).prop_map(
            |(segment, verified, private, quarantined)| Input::Stored {
                segment, verified, private, quarantined,
            }
        ),
        1 => (name(), blocks()).prop_map(|(segment, blocks)| Input::Dropped { segment, blocks }),
        1 => name().prop_map(|segment| Input::Cleared { segment }),
        1 => Just(Input::TrackReset { track: TrackIndex(0) }),
        1 => Just(Input::TrackLeft { track: TrackIndex(0) }),
        1 => (name(), blocks()).prop_map(|(segment, private)| Input::Unshareable {
            segment, segment_len: None, private,
        }),
        2 => (0u64..20, duration()).prop_map(|(fetch, ttfb)| Input::OriginAnswered {
            fetch: Some(FetchId(fetch)), ttfb,
        }),
        3 => (0u64..20, odd(200_000)).prop_map(|(fetch, offset)| Input::FetchProgressed {
            fetch: FetchId(fetch), offset,
        }),
        3 => (0u64..20, prop::option::of(failure)).prop_map(|(fetch, failure)| Input::FetchEnded {
            fetch: FetchId(fetch),
            result: failure.map_or(Ok(()), Err),
        }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let switch = select(vec![Switch::On, Switch::On, Switch::Off]);
    let limit = prop::option::of(odd(1_000_000).prop_map(BitRate::from_bps));
    prop_oneof![
        1 => (switch, limit).prop_map(|(peer_transfer, upload_limit)| {
            Input::PolicyChanged(Policy { peer_transfer, upload_limit, ..Policy::default() })
        }),
        2 => (0u16..2, select(vec![Role::Watching, Role::Watching, Role::Holding])).prop_map(
            |(track, role)| Input::TrackJoined {
                track: TrackIndex(track),
                id: TrackId::new([1; 16]),
                role,
                bitrate: None,
            }
        ),
        3 => link().prop_map(|link| Input::LinkReady { link, peer: peer(10 + number(link.0) as usize) }),
        1 => link().prop_map(|link| Input::LinkClosed { link }),
        20 => (link(), said()).prop_map(|(link, said)| Input::Peer(link, said)),
        6 => (link(), 0u32..20, name(), 0u32..10, select(vec![0u32, 16_384])).prop_map(
            |(link, request, segment, block, len)| Input::BlockArrived {
                link, request: RequestId(request), segment, block, len,
            }
        ),
        3 => (link(), odd(100_000)).prop_map(|(link, bytes)| Input::Credit { link, bytes }),
        1 => (link(), name(), 0u32..9).prop_map(|(link, segment, block)| Input::Corrupt {
            link, segment, block,
        }),
        1 => any::<u32>().prop_map(|viewers| Input::SwarmCounted { viewers }),
        20 => content(),
    ]
}

/// A scheduler of a viewer in two tracks that already plays, with three neighbours.
fn begun(seed: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(Config::new(peer(1)), seed, at(100.0));
    let now = at(100.0);
    let mut tell = |input| scheduler.handle_input(input, now);
    tell(Input::PolicyChanged(Policy::default()));
    tell(Input::TrackJoined {
        track: TrackIndex(0),
        id: TrackId::new([1; 16]),
        role: Role::Watching,
        bitrate: None,
    });
    tell(Input::SegmentsListed {
        track: TrackIndex(0),
        segments: (0..8).map(listed).collect(),
        first: 0,
        growth: Growth::Live,
    });
    for place in 1..4 {
        let link = LinkId(place);
        tell(Input::LinkReady {
            link,
            peer: peer(10 + number(place) as usize),
        });
        tell(Input::Peer(
            link,
            Said::Joined {
                track: TrackIndex(0),
                role: Role::Watching,
            },
        ));
        tell(Input::Credit {
            link,
            bytes: 1 << 18,
        });
    }
    tell(Input::PlaybackChanged(Playback {
        position: MediaTime::ZERO,
        state: PlaybackState::Playing,
        buffer_target: Duration::from_secs(30),
    }));
    scheduler
}

fn drain(scheduler: &mut Scheduler) -> Vec<Output> {
    std::iter::from_fn(|| scheduler.poll_output()).collect()
}

/// What must never be exceeded, counted from the outputs alone.
#[derive(Default)]
struct UnderWay {
    fetches: BTreeMap<FetchId, HttpReason>,
    news: u32,
}

impl UnderWay {
    fn see(&mut self, input: &Input, outputs: &[Output]) {
        if let Input::FetchEnded { fetch, .. } = input {
            self.fetches.remove(fetch);
        }
        for output in outputs {
            match output {
                Output::Fetch { fetch, reason, .. } => {
                    assert!(self.fetches.insert(*fetch, *reason).is_none());
                }
                Output::CancelFetch { fetch } => {
                    assert!(self.fetches.remove(fetch).is_some(), "cancelled twice");
                }
                Output::Peer(_, Say::Request { blocks, .. }) => {
                    assert!((1..=4).contains(&blocks.len()));
                }
                Output::Event(Event::NewsHeard { .. }) => self.news += 1,
                _ => {}
            }
        }
        assert!(self.fetches.len() <= 4, "{:?}", self.fetches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_inputs_are_survived_and_leave_no_busy_loop(
        steps in vec((input(), prop_oneof![9 => 0u64..300, 1 => Just(36_000_000)]), 1..80)
    ) {
        let mut scheduler = begun(1);
        let mut under_way = UnderWay::default();
        let mut now = at(100.0);
        for (input, millis) in steps {
            now += Duration::from_millis(millis);
            scheduler.handle_input(input.clone(), now);
            under_way.see(&input, &drain(&mut scheduler));
            prop_assert!(scheduler.poll_timeout().is_none_or(|at| at > now));
            scheduler.handle_timeout(now);
            let idle = Input::SwarmCounted { viewers: 0 };
            under_way.see(&idle, &drain(&mut scheduler));
            prop_assert!(scheduler.poll_timeout().is_none_or(|at| at > now));
        }
        // Left alone, it comes to rest: a second has room for few decisions.
        let end = now + Duration::from_secs(1);
        let mut wakes = 0;
        while let Some(when) = scheduler.poll_timeout().filter(|at| *at < end) {
            scheduler.handle_timeout(when);
            drain(&mut scheduler);
            wakes += 1;
            prop_assert!(wakes < 200, "still awake at {when}");
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        steps in vec((input(), 0u64..300), 1..60),
        seed in any::<u64>(),
    ) {
        let run = || {
            let mut scheduler = begun(seed);
            let mut now = at(100.0);
            let mut all = Vec::new();
            for (input, millis) in &steps {
                now += Duration::from_millis(*millis);
                scheduler.handle_input(input.clone(), now);
                all.push((drain(&mut scheduler), scheduler.poll_timeout()));
            }
            all
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn an_earlier_time_counts_as_the_latest_seen(
        inputs in vec(input(), 1..30),
        backwards in vec(0u64..100_000, 30),
    ) {
        let run = |times: &dyn Fn(usize) -> Instant| {
            let mut scheduler = begun(3);
            let mut all = Vec::new();
            for (place, input) in inputs.iter().enumerate() {
                scheduler.handle_input(input.clone(), times(place));
                all.push((drain(&mut scheduler), scheduler.poll_timeout()));
            }
            all
        };
        let standing = run(&|_| at(100.0));
        let jumping = run(&|place| at(100.0).saturating_sub(Duration::from_millis(backwards[place])));
        prop_assert_eq!(standing, jumping);
    }
}
