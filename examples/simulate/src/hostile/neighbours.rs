//! Whom an adversary is connected to.

use std::{collections::VecDeque, time::Duration};

use p2pcdn::wire::{Instant, Link, LinkConfig, LinkId, LinkOutput, RequestId, SegmentRef};

use crate::event::ActorId;

/// One victim.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) id: LinkId,
    pub(super) to: ActorId,
    pub(super) their_link: LinkId,
    pub(super) link: Link,
    /// Blocks that it requested, to be served at leisure.
    pub(super) owed: VecDeque<Owed>,
    /// Messages sent to it that nobody asked for.
    pub(super) flooded: u64,
    /// When the connection came about.
    pub(super) opened_at: Instant,
    heard_at: Instant,
}

/// A block that a neighbour requested.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) request: RequestId,
    pub(super) segment: SegmentRef,
    pub(super) block: u32,
}

impl Neighbour {
    pub(super) fn new(
        id: LinkId,
        to: ActorId,
        their_link: LinkId,
        config: LinkConfig,
        opens_at: Instant,
    ) -> Self {
        Self {
            id,
            to,
            their_link,
            link: Link::new(config, opens_at),
            owed: VecDeque::new(),
            flooded: 0,
            opened_at: opens_at,
            heard_at: opens_at,
        }
    }

    pub(super) fn owe(&mut self, owed: Owed) {
        if self.owed.len() == MAX_OWED {
            self.owed.pop_front();
        }
        self.owed.push_back(owed);
    }
}

/// All victims, in the order of their links.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    all: Vec<Neighbour>,
    /// Offers that nobody answered yet, and until when one may.
    offers: Vec<(LinkId, Instant)>,
    next: u64,
}

impl Neighbours {
    /// The number of a new link.
    pub(super) fn number(&mut self) -> LinkId {
        self.next += 1;
        LinkId(self.next - 1)
    }

    /// The number of a link that is offered now.
    pub(super) fn offer(&mut self, now: Instant) -> LinkId {
        self.offers.retain(|(_, until)| *until > now);
        let link = self.number();
        self.offers.push((link, now + OFFER_TIMEOUT));
        link
    }

    /// Whether the offer was still open; it no longer is.
    pub(super) fn end_offer(&mut self, link: LinkId) -> bool {
        let before = self.offers.len();
        self.offers.retain(|(offered, _)| *offered != link);
        self.offers.len() < before
    }

    pub(super) fn insert(&mut self, neighbour: Neighbour) {
        let at = self.all.partition_point(|known| known.id < neighbour.id);
        self.all.insert(at, neighbour);
    }

    pub(super) fn remove(&mut self, link: LinkId) -> Option<Neighbour> {
        let at = self.find(link)?;
        Some(self.all.remove(at))
    }

    pub(super) fn drain(&mut self) -> Vec<Neighbour> {
        self.offers.clear();
        std::mem::take(&mut self.all)
    }

    /// Removes those who fell silent, which the living do not: they ping every 10 s.
    pub(super) fn take_silent(&mut self, now: Instant) -> Vec<Neighbour> {
        let (silent, rest) = std::mem::take(&mut self.all)
            .into_iter()
            .partition(|neighbour| neighbour.heard_at + MAX_SILENCE <= now);
        self.all = rest;
        silent
    }

    pub(super) fn heard(&mut self, link: LinkId, now: Instant) {
        if let Some(neighbour) = self.get_mut(link) {
            neighbour.heard_at = now;
        }
    }

    pub(super) fn next_output(&mut self, link: LinkId) -> Option<LinkOutput> {
        self.get_mut(link)?.link.poll_output()
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Neighbour> {
        self.all.get(self.find(link)?)
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Neighbour> {
        let at = self.find(link)?;
        self.all.get_mut(at)
    }

    pub(super) fn links(&self) -> Vec<LinkId> {
        self.all.iter().map(|neighbour| neighbour.id).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_linked_to(&self, person: ActorId) -> bool {
        self.all.iter().any(|neighbour| neighbour.to == person)
    }

    fn find(&self, link: LinkId) -> Option<usize> {
        self.all.binary_search_by_key(&link, |known| known.id).ok()
    }
}

/// How long an offer may be answered, as in the real client.
const OFFER_TIMEOUT: Duration = Duration::from_secs(50);

/// Longer than between two pings of a viewer.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// As many as a link lets a neighbour have outstanding, a block each.
const MAX_OWED: usize = 64;
