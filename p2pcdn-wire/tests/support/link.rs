//! A link that has met its peer, and short names for what the two say.

use std::time::Duration;

use bytes::Bytes;
use p2pcdn_wire::*;

use super::*;

pub(crate) const US: u8 = 1;
pub(crate) const PEER: u8 = 2;
pub(crate) const TRACK: u8 = 77;

/// A link in track 77, which is 5 here and 9 there, that has heard the peer's hello at 0 s.
pub(crate) fn talking() -> Link {
    let mut link = Link::new(config(US, &[(5, TRACK)]), at(0));
    link.handle_input(LinkInput::Opened, at(0));
    hear(&mut link, &PeerMessage::Hello(hello(PEER, &[(9, TRACK)])));
    drain(&mut link);
    link
}

pub(crate) fn hear(link: &mut Link, message: &PeerMessage) {
    link.handle_input(received(message), at(0));
}

pub(crate) fn say(link: &mut Link, say: Say) {
    link.handle_input(LinkInput::Say(say), at(0));
}

/// The messages in the outputs, decoded.
pub(crate) fn sent(link: &mut Link) -> Vec<PeerMessage> {
    drain(link)
        .into_iter()
        .filter_map(|output| match output {
            LinkOutput::Send { channel, message } => {
                let message = PeerMessage::decode(message.into_bytes()).unwrap().unwrap();
                assert_eq!(message.channel(), channel);
                Some(message)
            }
            _ => None,
        })
        .collect()
}

/// What the peer said, to go by the outputs.
pub(crate) fn said(link: &mut Link) -> Vec<Said> {
    drain(link)
        .into_iter()
        .filter_map(|output| match output {
            LinkOutput::Said(said) => Some(said),
            _ => None,
        })
        .collect()
}

pub(crate) fn violations(outputs: &[LinkOutput]) -> Vec<Violation> {
    outputs
        .iter()
        .filter_map(|output| match output {
            LinkOutput::Event(LinkEvent::Violation(violation)) => Some(*violation),
            _ => None,
        })
        .collect()
}

pub(crate) fn closed(outputs: &[LinkOutput]) -> Option<(Side, GoodbyeReason)> {
    outputs.iter().find_map(|output| match output {
        LinkOutput::Event(LinkEvent::Closed { by, reason }) => Some((*by, *reason)),
        _ => None,
    })
}

pub(crate) fn id(tag: u8) -> SegmentId {
    SegmentId::new([tag; 16])
}

pub(crate) fn segment(track: u16, ordinal: u64, tag: u8) -> SegmentRef {
    SegmentRef {
        track: TrackIndex(track),
        ordinal,
        tag: id(tag).tag(),
    }
}

pub(crate) fn want(request: u32, blocks: std::ops::Range<u32>) -> Say {
    Say::Request {
        request: RequestId(request),
        segment: segment(5, 100, 3),
        id: id(3),
        blocks: BlockRange::new(blocks.start, blocks.end),
        deadline_after: Duration::from_secs(1),
    }
}

pub(crate) fn wanted(request: u32, handle: u16, blocks: std::ops::Range<u32>) -> PeerMessage {
    PeerMessage::Request {
        request: RequestId(request),
        handle: Handle(handle),
        ordinal: 100,
        id: id(3),
        blocks: BlockRange::new(blocks.start, blocks.end),
        deadline_after: Duration::from_secs(1),
    }
}

pub(crate) fn block(request: u32, block: u32) -> PeerMessage {
    PeerMessage::Block {
        request: RequestId(request),
        block,
        payload: Payload(Bytes::from_static(b"bytes")),
    }
}

pub(crate) fn serve(request: u32, block: u32) -> Say {
    Say::Block(Block {
        request: RequestId(request),
        block,
        payload: Payload(Bytes::from_static(b"bytes")),
    })
}

pub(crate) fn have(track: u16, start: u64, end: u64) -> Say {
    Say::Have {
        track: TrackIndex(track),
        ordinals: OrdinalRange::new(start, end),
        digest: 1,
    }
}

pub(crate) fn hear_at(link: &mut Link, message: &PeerMessage, millis: u64) {
    link.handle_input(received(message), at(millis));
}
