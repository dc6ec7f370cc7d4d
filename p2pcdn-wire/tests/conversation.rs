//! Two links back to back, in virtual time, over channels that delay and reorder.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use p2pcdn_wire::*;
use proptest::prelude::*;

use support::*;

/// Two links and the wire between them: 20 ms for control, 20 to 50 ms for data.
struct Pair {
    links: [Link; 2],
    heard: [Vec<LinkOutput>; 2],
    /// Messages under way by the time they arrive; the second number keeps equal times in order.
    wire: BTreeMap<(Instant, u64), (usize, Channel, Message)>,
    sent: u64,
    bytes: usize,
    now: Instant,
    random: Pcg,
}

impl Pair {
    fn new(configs: [LinkConfig; 2], seed: u64) -> Self {
        let mut pair = Self {
            links: configs.map(|config| Link::new(config, at(0))),
            heard: [Vec::new(), Vec::new()],
            wire: BTreeMap::new(),
            sent: 0,
            bytes: 0,
            now: at(0),
            random: Pcg::new(seed),
        };
        for side in [0, 1] {
            pair.links[side].handle_input(LinkInput::Opened, at(0));
            pair.drain(side);
        }
        pair
    }

    fn say(&mut self, side: usize, say: impl IntoIterator<Item = Say>) {
        for say in say {
            self.links[side].handle_input(LinkInput::Say(say), self.now);
        }
        self.drain(side);
    }

    /// Lets `millis` pass.
    fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timers = self.links.iter().filter_map(Link::poll_timeout);
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            assert!(next >= self.now, "no timeout in the past");
            self.now = next;
            for side in [0, 1] {
                self.links[side].handle_timeout(next);
                self.drain(side);
            }
            if arrival == Some(next) {
                let (_, (to, channel, message)) = self.wire.pop_first().unwrap();
                self.links[to].handle_input(LinkInput::Received { channel, message }, next);
                self.drain(to);
            }
        }
        self.now = end;
    }

    fn drain(&mut self, side: usize) {
        while let Some(output) = self.links[side].poll_output() {
            let LinkOutput::Send { channel, message } = output else {
                self.heard[side].push(output);
                continue;
            };
            let jitter = match channel {
                Channel::Control => 0,
                Channel::Data => self.random.below(30) as u64,
            };
            self.sent += 1;
            self.bytes += message.len();
            let arrives_at = self.now + Duration::from_millis(20 + jitter);
            self.wire
                .insert((arrives_at, self.sent), (1 - side, channel, message));
        }
    }

    fn heard(&mut self, side: usize) -> Vec<LinkOutput> {
        std::mem::take(&mut self.heard[side])
    }
}

const A: usize = 0;
const B: usize = 1;

/// A and B in track 77 as 5 and 6.
fn pair(seed: u64) -> Pair {
    let mut pair = Pair::new([config(1, &[(5, 77)]), config(2, &[(6, 77)])], seed);
    pair.run(100);
    for side in [A, B] {
        let heard = pair.heard(side);
        assert!(matches!(
            heard[..],
            [
                LinkOutput::Event(LinkEvent::Ready { version: 1, .. }),
                LinkOutput::Said(Said::Class(UploadClass::Normal)),
                LinkOutput::Said(Said::Joined { .. }),
                LinkOutput::Said(Said::RoundTrip { .. }),
            ]
        ));
        assert_eq!(
            heard[3],
            LinkOutput::Said(Said::RoundTrip {
                took: Duration::from_millis(40),
                // Both read one clock.
                outward: 20_000
            })
        );
    }
    pair
}

fn segment(track: u16) -> SegmentRef {
    SegmentRef {
        track: TrackIndex(track),
        ordinal: 100,
        tag: SegmentId::new([3; 16]).tag(),
    }
}

fn payload(block: u32) -> Payload {
    Payload(vec![block as u8; 16_384].into())
}

#[test]
fn everything_that_can_be_said_is_heard() {
    let mut pair = pair(1);
    let (id, blocks) = (SegmentId::new([3; 16]), BlockRange::new(0, 2));
    let (track, theirs) = (TrackIndex(5), TrackIndex(6));
    let ordinals = OrdinalRange::new(90, 100);
    let expires_after = Duration::from_millis(250);
    let segment_len = 40_000;
    let request = RequestId(1);
    let statements = [
        (
            Say::Have {
                track,
                ordinals,
                digest: 4,
            },
            Said::Have {
                track: theirs,
                ordinals,
                digest: 4,
            },
        ),
        (
            Say::HasMaps {
                track,
                ordinals,
                digest: 5,
            },
            Said::HasMaps {
                track: theirs,
                ordinals,
                digest: 5,
            },
        ),
        (
            Say::Holds {
                segment: segment(5),
                segment_len,
                blocks: BlockSet::from_range(blocks),
            },
            Said::Holds {
                segment: segment(6),
                segment_len,
                blocks: BlockSet::from_range(blocks),
            },
        ),
        (
            Say::Lost { track, ordinals },
            Said::Lost {
                track: theirs,
                ordinals,
            },
        ),
        (
            Say::Intent {
                segment: segment(5),
                expires_after,
            },
            Said::Intent {
                segment: segment(6),
                expires_after,
            },
        ),
        (
            Say::IntentWithdrawn {
                segment: segment(5),
            },
            Said::IntentWithdrawn {
                segment: segment(6),
            },
        ),
        (
            Say::MapRequest {
                segment: segment(5),
                id,
            },
            Said::MapRequest {
                segment: segment(6),
                id,
            },
        ),
        (
            Say::Request {
                request,
                segment: segment(5),
                id,
                blocks,
                deadline_after: expires_after,
            },
            Said::Request {
                request,
                segment: segment(6),
                id,
                blocks,
                deadline_after: expires_after,
            },
        ),
        (Say::Cancel { request }, Said::Cancel { request }),
        (
            Say::Class(UploadClass::High),
            Said::Class(UploadClass::High),
        ),
        (
            Say::Join {
                track,
                id: track_id(77),
                role: Role::Holding,
            },
            Said::Joined {
                track: theirs,
                role: Role::Holding,
            },
        ),
        (Say::Leave { track }, Said::Left { track: theirs }),
    ];
    for (say, said) in statements {
        pair.say(A, [say]);
        pair.run(60);
        assert_eq!(pair.heard(B), [LinkOutput::Said(said)]);
        assert_eq!(pair.heard(A), []);
    }
    let reason = GoodbyeReason::Leaving;
    pair.say(A, [Say::Goodbye(reason)]);
    pair.run(60);
    assert_eq!(
        pair.heard(B),
        [
            LinkOutput::Close(reason),
            LinkOutput::Event(LinkEvent::Closed {
                by: Side::Peer,
                reason
            })
        ]
    );
}

#[test]
fn a_segment_and_its_map_cross() {
    let mut pair = pair(2);
    let id = SegmentId::new([3; 16]);
    let map = Payload(Bytes::from_static(b"a map"));
    pair.say(
        A,
        [
            Say::MapRequest {
                segment: segment(5),
                id,
            },
            Say::Request {
                request: RequestId(8),
                segment: segment(5),
                id,
                blocks: BlockRange::new(0, 46),
                deadline_after: Duration::from_secs(1),
            },
        ],
    );
    pair.run(60);
    let Some(LinkOutput::Said(Said::Request { request, .. })) = pair.heard(B).pop() else {
        panic!("a request");
    };
    pair.say(
        B,
        std::iter::once(Say::Map(MapData {
            segment: segment(6),
            payload: map.clone(),
        }))
        .chain((0..46).map(|block| {
            Say::Block(Block {
                request,
                block,
                payload: payload(block),
            })
        })),
    );
    pair.run(60);
    let heard = pair.heard(A);
    assert!(heard.contains(&LinkOutput::Map(MapData {
        segment: segment(5),
        payload: map
    })));
    let mut arrived: Vec<u32> = Vec::new();
    for output in &heard {
        if let LinkOutput::Block {
            segment: of,
            request,
            block,
            payload: bytes,
        } = output
        {
            assert_eq!((*of, *request), (segment(5), RequestId(8)));
            assert_eq!(*bytes, payload(*block));
            arrived.push(*block);
        }
    }
    assert!(!arrived.is_sorted(), "the data channel does reorder");
    arrived.sort_unstable();
    assert_eq!(arrived, (0..46).collect::<Vec<_>>());
    assert_eq!(heard.len(), 47);
}

#[test]
fn a_track_joined_later_is_found_by_both() {
    let mut pair = pair(3);
    for (side, number) in [(A, 20), (B, 30)] {
        pair.say(
            side,
            [Say::Join {
                track: TrackIndex(number),
                id: track_id(78),
                role: Role::Watching,
            }],
        );
    }
    pair.run(60);
    for (side, number) in [(A, 20), (B, 30)] {
        assert_eq!(
            pair.heard(side),
            [LinkOutput::Said(Said::Joined {
                track: TrackIndex(number),
                role: Role::Watching
            })]
        );
    }
}

#[test]
fn leaving_and_rejoining_at_once_does_not_make_the_others_requests_too_many() {
    let mut pair = pair(5);
    let track = TrackIndex(5);
    let join = Say::Join {
        track,
        id: track_id(77),
        role: Role::Watching,
    };
    let requests = |from: u32| {
        (from..from + 64).map(|number| Say::Request {
            request: RequestId(number),
            segment: segment(6),
            id: SegmentId::new([3; 16]),
            blocks: BlockRange::new(0, 1),
            deadline_after: Duration::from_secs(1),
        })
    };
    pair.say(A, [Say::Leave { track }, join]);
    pair.say(B, requests(0));
    pair.run(60);
    pair.say(B, requests(64));
    pair.run(60);
    let heard = pair.heard(A);
    let violated =
        |output: &LinkOutput| matches!(output, LinkOutput::Event(LinkEvent::Violation(_)));
    assert!(!heard.iter().any(violated), "{heard:?}");
    let asked = |output: &&LinkOutput| matches!(output, LinkOutput::Said(Said::Request { .. }));
    assert_eq!(heard.iter().filter(asked).count(), 128);
}

#[test]
fn an_idle_link_costs_a_few_bytes_a_second() {
    let mut pair = pair(4);
    let before = pair.bytes;
    pair.run(600_000);
    assert!(
        pair.bytes - before <= 600 * 5,
        "{} bytes",
        pair.bytes - before
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever two honest sides do at whatever time, neither sees a violation, and every request
    /// ends in one way.
    #[test]
    fn honest_sides_never_see_a_violation(
        seed in any::<u64>(),
        acts in prop::collection::vec((0usize..2, 0u8..8, 0u32..6, 0u64..40), 1..120),
    ) {
        let mut pair = pair(seed);
        let id = SegmentId::new([3; 16]);
        for (side, act, number, wait) in acts {
            let track = TrackIndex([5, 6][side]);
            let request = RequestId(number);
            let say = match act {
                0..=2 => Say::Request {
                    request,
                    segment: segment(track.0),
                    id,
                    blocks: BlockRange::new(number, number + 3),
                    deadline_after: Duration::from_secs(1),
                },
                3 => Say::Cancel { request },
                4 => Say::Leave { track },
                5 => Say::Join { track, id: track_id(77), role: Role::Watching },
                _ => Say::Class(UploadClass::Low),
            };
            pair.say(side, [say]);
            pair.run(wait);
            serve_what_was_requested(&mut pair, act)?;
        }
        pair.run(200);
        serve_what_was_requested(&mut pair, 0)?;
        pair.run(200);
        serve_what_was_requested(&mut pair, 0)?;
    }
}

/// Answers the requests heard so far: some blocks, then perhaps a reject.
fn serve_what_was_requested(pair: &mut Pair, act: u8) -> Result<(), TestCaseError> {
    for side in [A, B] {
        for output in pair.heard(side) {
            match output {
                LinkOutput::Said(Said::Request {
                    request, blocks, ..
                }) => {
                    let served =
                        (blocks.start..blocks.end)
                            .take(usize::from(act % 4))
                            .map(|block| {
                                Say::Block(Block {
                                    request,
                                    block,
                                    payload: payload(block),
                                })
                            });
                    let reason = RejectReason::TooLate;
                    pair.say(side, served.chain([Say::Reject { request, reason }]));
                }
                LinkOutput::Event(LinkEvent::Violation(violation)) => {
                    return Err(TestCaseError::fail(violation.to_string()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
