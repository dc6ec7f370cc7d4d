//! The queue of outputs, and what is held back until more of its kind has joined it.

use std::collections::VecDeque;

use crate::{
    limits::{MAX_HAVE_SEGMENTS, MAX_RANGES},
    message::{Handle, PeerMessage},
    range::OrdinalRange,
    say::Said,
};

use super::interface::{LinkEvent, LinkOutput};

#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<LinkOutput>,
    haves: Option<Haves>,
}

/// Consecutive statements of what we hold of one track, to go out as one message.
#[derive(Clone, Debug)]
struct Haves {
    handle: Handle,
    ranges: Vec<(OrdinalRange, u32)>,
}

impl Outbox {
    /// Queues `message`; returns whether it could be encoded.
    pub(super) fn send(&mut self, message: &PeerMessage) -> bool {
        self.flush();
        self.encode(message)
    }

    /// Queues a `have`, together with those just before it as a bitfield where they are one.
    pub(super) fn send_have(&mut self, handle: Handle, ordinals: OrdinalRange, digest: u32) {
        let have = PeerMessage::Have {
            handle,
            ordinals,
            digest,
        };
        if have.check().is_err() {
            return;
        }
        if !self
            .haves
            .as_ref()
            .is_some_and(|haves| haves.takes(handle, ordinals))
        {
            self.flush();
        }
        self.haves
            .get_or_insert_with(|| Haves {
                handle,
                ranges: Vec::new(),
            })
            .ranges
            .push((ordinals, digest));
    }

    pub(super) fn tell(&mut self, said: Said) {
        self.queue.push_back(LinkOutput::Said(said));
    }

    pub(super) fn event(&mut self, event: LinkEvent) {
        self.queue.push_back(LinkOutput::Event(event));
    }

    pub(super) fn push(&mut self, output: LinkOutput) {
        self.queue.push_back(output);
    }

    pub(super) fn poll(&mut self) -> Option<LinkOutput> {
        if self.queue.is_empty() {
            self.flush();
        }
        let output = self.queue.pop_front();
        if output.is_none() {
            // Most links are idle most of the time, and a session has many.
            self.queue = VecDeque::new();
        }
        output
    }

    /// Forgets what was held back.
    pub(super) fn discard(&mut self) {
        self.haves = None;
    }

    /// Sends what was held back.
    fn flush(&mut self) {
        let Some(Haves { handle, mut ranges }) = self.haves.take() else {
            return;
        };
        let message = match (ranges.pop(), ranges.is_empty()) {
            (Some((ordinals, digest)), true) => PeerMessage::Have {
                handle,
                ordinals,
                digest,
            },
            (last, _) => {
                ranges.extend(last);
                PeerMessage::Bitfield { handle, ranges }
            }
        };
        self.encode(&message);
    }

    fn encode(&mut self, message: &PeerMessage) -> bool {
        let channel = message.channel();
        message.encode().is_ok_and(|message| {
            self.queue.push_back(LinkOutput::Send { channel, message });
            true
        })
    }
}

impl Haves {
    fn takes(&self, handle: Handle, ordinals: OrdinalRange) -> bool {
        let covered: u64 = self.ranges.iter().map(|(range, _)| range.len()).sum();
        self.handle == handle
            && self.ranges.len() < MAX_RANGES
            && covered.saturating_add(ordinals.len()) <= MAX_HAVE_SEGMENTS
            && self
                .ranges
                .last()
                .is_none_or(|(range, _)| range.end <= ordinals.start)
    }
}
