//! Requests and blocks in both directions, and what is waste.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own numbers should panic"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_wire::*;

use support::{link::*, *};

#[test]
fn blocks_answer_the_request_that_asked_for_them() {
    let mut link = talking();
    say(&mut link, want(40, 2..4));
    assert_eq!(sent(&mut link), [wanted(1, 5, 2..4)]);
    for arriving in [3, 2] {
        hear(&mut link, &block(1, arriving));
        assert_eq!(
            drain(&mut link),
            [LinkOutput::Block {
                segment: segment(5, 100, 3),
                request: RequestId(40),
                block: arriving,
                payload: Payload(Bytes::from_static(b"bytes")),
            }]
        );
    }
    say(
        &mut link,
        Say::Cancel {
            request: RequestId(40),
        },
    );
    assert_eq!(drain(&mut link), [], "it is over");
}

#[test]
fn blocks_that_nobody_asked_for_are_violations() {
    let mut link = talking();
    say(&mut link, want(40, 2..4));
    drain(&mut link);
    let unrequested = |request, block| Violation::Unrequested {
        request: RequestId(request),
        block,
    };
    hear(&mut link, &block(1, 4));
    hear(&mut link, &block(2, 2));
    assert_eq!(
        violations(&drain(&mut link)),
        [unrequested(1, 4), unrequested(2, 2)]
    );
    hear(&mut link, &block(1, 2));
    hear(&mut link, &block(1, 2));
    assert_eq!(violations(&drain(&mut link)), [unrequested(1, 2)]);
}

#[test]
fn blocks_after_a_cancel_or_reject_are_waste_but_no_more_than_were_asked_for() {
    let mut link = talking();
    say(&mut link, want(40, 0..2));
    say(&mut link, want(41, 0..1));
    say(
        &mut link,
        Say::Cancel {
            request: RequestId(40),
        },
    );
    drain(&mut link);
    let reject = PeerMessage::Reject {
        request: RequestId(2),
        reason: RejectReason::Busy,
    };
    hear(&mut link, &reject);
    hear(&mut link, &reject);
    assert_eq!(
        drain(&mut link),
        [LinkOutput::Said(Said::Reject {
            request: RequestId(41),
            reason: RejectReason::Busy
        })]
    );
    for (request, index) in [(1, 1), (2, 0), (1, 0)] {
        hear(&mut link, &block(request, index));
        assert_eq!(
            drain(&mut link),
            [LinkOutput::Event(LinkEvent::Wasted { len: 5 })]
        );
    }
    hear(&mut link, &block(1, 0));
    assert_eq!(violations(&drain(&mut link)).len(), 1);
}

#[test]
fn a_number_used_again_is_another_request_on_the_wire() {
    let mut link = talking();
    say(&mut link, want(40, 0..1));
    say(
        &mut link,
        Say::Cancel {
            request: RequestId(40),
        },
    );
    say(&mut link, want(40, 0..1));
    drain(&mut link);
    hear(&mut link, &block(1, 0));
    assert_eq!(
        drain(&mut link),
        [LinkOutput::Event(LinkEvent::Wasted { len: 5 })]
    );
    hear(&mut link, &block(2, 0));
    assert!(matches!(
        drain(&mut link)[..],
        [LinkOutput::Block {
            request: RequestId(40),
            ..
        }]
    ));
}

#[test]
fn requests_that_cannot_be_made_are_rejected_at_once() {
    let mut link = talking();
    let other_track = Say::Request {
        request: RequestId(1),
        segment: segment(6, 100, 3),
        id: id(3),
        blocks: BlockRange::new(0, 1),
        deadline_after: Duration::ZERO,
    };
    say(&mut link, other_track);
    say(&mut link, want(2, 5..5));
    let reject = |request, reason| {
        LinkOutput::Said(Said::Reject {
            request: RequestId(request),
            reason,
        })
    };
    assert_eq!(
        drain(&mut link),
        [
            reject(1, RejectReason::Absent),
            reject(2, RejectReason::Absent)
        ]
    );
    for request in 0..64 {
        say(&mut link, want(request, 0..1));
    }
    assert_eq!(sent(&mut link).len(), 64);
    say(&mut link, want(64, 0..1));
    assert_eq!(drain(&mut link), [reject(64, RejectReason::Busy)]);
}

#[test]
fn only_requested_blocks_are_served_and_each_once() {
    let mut link = talking();
    hear(&mut link, &wanted(7, 9, 2..4));
    assert_eq!(
        said(&mut link),
        [Said::Request {
            request: RequestId(7),
            segment: segment(5, 100, 3),
            id: id(3),
            blocks: BlockRange::new(2, 4),
            deadline_after: Duration::from_secs(1),
        }]
    );
    say(&mut link, serve(7, 1));
    say(&mut link, serve(8, 2));
    assert_eq!(drain(&mut link), []);
    say(&mut link, serve(7, 2));
    say(&mut link, serve(7, 2));
    assert_eq!(sent(&mut link), [block(7, 2)]);

    hear(
        &mut link,
        &PeerMessage::Cancel {
            request: RequestId(7),
        },
    );
    assert_eq!(
        said(&mut link),
        [Said::Cancel {
            request: RequestId(7)
        }]
    );
    say(&mut link, serve(7, 3));
    say(
        &mut link,
        Say::Reject {
            request: RequestId(7),
            reason: RejectReason::TooLate,
        },
    );
    assert_eq!(drain(&mut link), []);
}

#[test]
fn requests_of_the_peer_are_capped_and_numbered_upwards() {
    let mut link = talking();
    for request in 1..=64 {
        hear(&mut link, &wanted(request, 9, 0..1));
    }
    assert_eq!(said(&mut link).len(), 64);
    hear(&mut link, &wanted(65, 9, 0..1));
    hear(&mut link, &wanted(65, 9, 0..1));
    assert_eq!(
        violations(&drain(&mut link)),
        [
            Violation::TooManyRequests(RequestId(65)),
            Violation::RequestOrder(RequestId(65))
        ]
    );
    // Served, so over: there is room for one more.
    say(&mut link, serve(1, 0));
    hear(&mut link, &wanted(66, 9, 0..1));
    assert_eq!(said(&mut link).len(), 1);
}

#[test]
fn the_end_of_a_track_ends_its_requests() {
    let cancel = PeerMessage::Cancel {
        request: RequestId(1),
    };
    let ends = [
        LinkOutput::Said(Said::Cancel {
            request: RequestId(7),
        }),
        LinkOutput::Send {
            channel: Channel::Control,
            message: cancel.encode().unwrap(),
        },
        LinkOutput::Said(Said::Reject {
            request: RequestId(40),
            reason: RejectReason::Absent,
        }),
    ];
    let busy = || {
        let mut link = talking();
        hear(&mut link, &wanted(7, 9, 0..1));
        say(&mut link, want(40, 0..1));
        drain(&mut link);
        link
    };
    let mut link = busy();
    hear(&mut link, &PeerMessage::Hello(hello(PEER, &[])));
    let outputs = drain(&mut link);
    assert_eq!(outputs[..3], ends);
    assert_eq!(
        outputs[3..],
        [LinkOutput::Said(Said::Left {
            track: TrackIndex(5)
        })]
    );
    // What was on its way is waste.
    hear(&mut link, &block(1, 0));
    assert_eq!(
        drain(&mut link),
        [LinkOutput::Event(LinkEvent::Wasted { len: 5 })]
    );

    let mut link = busy();
    say(
        &mut link,
        Say::Leave {
            track: TrackIndex(5),
        },
    );
    let outputs = drain(&mut link);
    assert_eq!(outputs[..3], ends);
    assert!(matches!(outputs[3..], [LinkOutput::Send { .. }]));
    hear(&mut link, &wanted(8, 9, 0..1));
    assert_eq!(drain(&mut link), [], "sent before our hello was heard");
}
