//! A link fed with anything at all keeps its contract and its caps.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_wire::*;
use proptest::{collection::vec, prelude::*};

use support::*;

/// An input, or the passing of time only.
type Step = (u64, Option<LinkInput>);

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let channel = || prop_oneof![4 => Just(Channel::Control), 1 => Just(Channel::Data)];
    let garbage =
        (channel(), vec(any::<u8>(), 0..60)).prop_map(|(channel, bytes)| LinkInput::Received {
            channel,
            message: Bytes::from(bytes).into(),
        });
    let input = prop_oneof![
        12 => any_message()
            .prop_filter("the end comes soon enough", |message| !matches!(
                message,
                PeerMessage::Goodbye { .. }
            ))
            .prop_map(|message| Some(received(&message))),
        1 => garbage.prop_map(Some),
        8 => any_say().prop_map(|say| Some(LinkInput::Say(say))),
        2 => Just(None),
    ];
    vec((0u64..3_000, input), 0..120)
}

fn any_say() -> impl Strategy<Value = Say> {
    let track = || (0u16..4).prop_map(TrackIndex);
    let request = || (0u32..8).prop_map(RequestId);
    let role = Role::Watching;
    prop_oneof![
        (track(), 1u8..5).prop_map(move |(track, id)| Say::Join {
            track,
            id: track_id(id),
            role
        }),
        track().prop_map(|track| Say::Leave { track }),
        (track(), any::<u64>(), any::<u64>()).prop_map(|(track, start, len)| Say::Have {
            track,
            ordinals: OrdinalRange::new(start, start.saturating_add(len % 60_000)),
            digest: 0
        }),
        (request(), track(), 0u32..2_100, 0u32..2_100).prop_map(|(request, track, start, len)| {
            Say::Request {
                request,
                segment: SegmentRef {
                    track,
                    ordinal: 1,
                    tag: 0x0303_0303,
                },
                id: SegmentId::new([3; 16]),
                blocks: BlockRange::new(start, start + len),
                deadline_after: Duration::MAX,
            }
        }),
        request().prop_map(|request| Say::Cancel { request }),
        (request(), 0u32..2_100, 0usize..17_000).prop_map(|(request, block, len)| {
            Say::Block(Block {
                request,
                block,
                payload: Payload(vec![0; len].into()),
            })
        }),
        (track(), 0usize..70_000).prop_map(|(track, len)| {
            Say::Map(MapData {
                segment: SegmentRef {
                    track,
                    ordinal: 1,
                    tag: 0,
                },
                payload: Payload(vec![0; len].into()),
            })
        }),
    ]
}

/// Runs the steps on a link that has heard a hello, and checks the contract on the way.
fn run(steps: &[Step]) -> Vec<LinkOutput> {
    let tracks = [(0, 1), (1, 2), (2, 3), (3, 4)];
    let mut link = Link::new(config(1, &tracks), at(0));
    link.handle_input(LinkInput::Opened, at(0));
    link.handle_input(received(&PeerMessage::Hello(hello(2, &tracks))), at(0));
    let mut outputs = drain(&mut link);
    let mut now = at(0);
    for (wait, input) in steps {
        now += Duration::from_millis(*wait);
        match input {
            Some(input) => link.handle_input(input.clone(), now),
            None => {
                link.handle_timeout(now);
                let due = link.poll_timeout();
                assert!(due.is_none_or(|due| due > now), "no busy loop");
                assert_eq!(link.poll_timeout(), due, "polling changes nothing");
            }
        }
        outputs.extend(drain(&mut link));
    }
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_makes_it_panic_or_break_its_contract(steps in any_steps()) {
        let outputs = run(&steps);
        let mut violations = 0;
        for (index, output) in outputs.iter().enumerate() {
            match output {
                LinkOutput::Send { channel, message } => {
                    prop_assert!(message.len() <= MAX_MESSAGE_LEN);
                    let decoded = PeerMessage::decode(message.clone().into_bytes());
                    let Ok(Some(decoded)) = decoded else {
                        return Err(TestCaseError::fail(format!("sent {decoded:?}")));
                    };
                    prop_assert_eq!(decoded.channel(), *channel);
                }
                LinkOutput::Block { block, payload, .. } => {
                    prop_assert!(*block < MAX_BLOCKS);
                    prop_assert!((1..=BLOCK_LEN).contains(&(payload.0.len() as u64)));
                }
                LinkOutput::Event(LinkEvent::Violation(_)) => violations += 1,
                LinkOutput::Close(_) => {
                    let end = outputs.get(index + 1);
                    let closed = matches!(
                        end,
                        Some(LinkOutput::Event(LinkEvent::Closed { .. }))
                    );
                    prop_assert!(closed, "then {:?}", end);
                    prop_assert_eq!(index + 2, outputs.len(), "nothing after the end");
                }
                _ => {}
            }
        }
        prop_assert!(violations <= MAX_VIOLATIONS);
    }

    #[test]
    fn replaying_the_inputs_gives_the_same_outputs(steps in any_steps()) {
        prop_assert_eq!(run(&steps), run(&steps));
    }

    #[test]
    fn no_first_bytes_make_it_panic(
        bytes in vec(any::<u8>(), 0..200),
        as_hello in any::<bool>(),
    ) {
        let mut link = Link::new(config(1, &[(0, 1)]), at(0));
        let start: &[u8] = if as_hello { b"\x00p2pc\x01\x01" } else { b"" };
        let message = Bytes::from([start, &bytes].concat()).into();
        link.handle_input(LinkInput::Received { channel: Channel::Control, message }, at(0));
        let outputs = drain(&mut link);
        prop_assert!(outputs.len() < 100);
    }
}

#[test]
fn time_that_goes_back_or_leaps_is_fine() {
    let mut link = Link::new(config(1, &[]), at(5_000));
    link.handle_input(LinkInput::Opened, at(5_000));
    link.handle_timeout(at(0));
    assert_eq!(link.poll_timeout(), Some(at(15_000)));
    link.handle_input(received(&PeerMessage::Hello(hello(2, &[]))), at(1));
    assert_eq!(link.poll_timeout(), Some(at(15_000)), "the next ping");
    drain(&mut link);
    link.handle_timeout(at(36_000_000));
    assert_eq!(link.poll_timeout(), Some(at(36_010_000)));
    assert_eq!(drain(&mut link).len(), 1, "one ping, not one per interval");
}
