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
    /// The oldest one, apart because there is seldom more than one: most of what is said or heard
    /// then needs no allocation. Empty only when `more` is.
    first: Option<LinkOutput>,
    more: VecDeque<LinkOutput>,
    haves: Option<Box<Haves>>,
}

/// Consecutive statements of what we hold of one track, to go out as one message.
#[derive(Clone, Debug)]
struct Haves {
    handle: Handle,
    /// The last one.
    last: (OrdinalRange, u32),
    /// Those before it.
    before: Vec<(OrdinalRange, u32)>,
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
        let next = (ordinals, digest);
        match &mut self.haves {
            Some(haves) if haves.takes(handle, ordinals) => {
                haves.before.push(std::mem::replace(&mut haves.last, next));
            }
            _ => {
                self.flush();
                self.haves = Some(Box::new(Haves {
                    handle,
                    last: next,
                    before: Vec::new(),
                }));
            }
        }
    }

    pub(super) fn tell(&mut self, said: Said) {
        self.push(LinkOutput::Said(said));
    }

    pub(super) fn event(&mut self, event: LinkEvent) {
        self.push(LinkOutput::Event(event));
    }

    pub(super) fn push(&mut self, output: LinkOutput) {
        match self.first {
            None => self.first = Some(output),
            Some(_) => self.more.push_back(output),
        }
    }

    pub(super) fn poll(&mut self) -> Option<LinkOutput> {
        if self.first.is_none() {
            self.flush();
        }
        let output = self.first.take()?;
        self.first = self.more.pop_front();
        if self.more.is_empty() && self.more.capacity() > 0 {
            // Most links are idle most of the time, and a session has many.
            self.more = VecDeque::new();
        }
        Some(output)
    }

    /// Forgets what was held back.
    pub(super) fn discard(&mut self) {
        self.haves = None;
    }

    /// Sends what was held back.
    fn flush(&mut self) {
        let Some(haves) = self.haves.take() else {
            return;
        };
        let (handle, mut ranges) = (haves.handle, haves.before);
        let (ordinals, digest) = haves.last;
        let message = if ranges.is_empty() {
            PeerMessage::Have {
                handle,
                ordinals,
                digest,
            }
        } else {
            ranges.push((ordinals, digest));
            PeerMessage::Bitfield { handle, ranges }
        };
        self.encode(&message);
    }

    fn encode(&mut self, message: &PeerMessage) -> bool {
        let channel = message.channel();
        message.encode().is_ok_and(|message| {
            self.push(LinkOutput::Send { channel, message });
            true
        })
    }
}

impl Haves {
    fn takes(&self, handle: Handle, ordinals: OrdinalRange) -> bool {
        let (last, _) = self.last;
        let before = self.before.iter().map(|(range, _)| range.len());
        let covered = before.sum::<u64>() + last.len();
        self.handle == handle
            && self.before.len() + 1 < MAX_RANGES
            && covered.saturating_add(ordinals.len()) <= MAX_HAVE_SEGMENTS
            && last.end <= ordinals.start
    }
}
