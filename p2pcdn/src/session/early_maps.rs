//! Block maps that came too early to be looked at, and those that turned out wrong.

use bytes::Bytes;
use p2pcdn_wire::{Instant, LinkId, SegmentRef};

/// Block maps that came before their segment was listed: each takes at most one message, so 1 MiB
/// at the worst.
const MAX_EARLY_MAPS: usize = 16;

/// Refused maps that are remembered until the right one shows who forged: a second of them from
/// eight neighbours.
const MAX_REFUSED: usize = 64;

/// Of these, of one link: twice what ends it.
const MAX_REFUSED_OF_ONE: usize = 8;

/// Maps that a neighbour may push, beyond what was asked for: the segments of a seek or a join at
/// once, then many times what a publisher makes.
const PUSH_BURST: u8 = 16;
const PUSHES_PER_SECOND: u64 = 4;

/// Pushed maps of segments that the manifest does not list yet.
#[derive(Clone, Debug, Default)]
pub(super) struct EarlyMaps(Vec<(SegmentRef, LinkId, Bytes)>);

impl EarlyMaps {
    /// Keeps a map. When there is no room, the oldest one of the link that has the most of them
    /// goes, so that nobody can displace what others sent by sending much.
    pub(super) fn keep(&mut self, segment: SegmentRef, link: LinkId, encoded: Bytes) {
        self.0
            .retain(|(name, from, _)| (*name, *from) != (segment, link));
        self.0.push((segment, link, encoded));
        if self.0.len() > MAX_EARLY_MAPS {
            let count_of = |link: LinkId| self.0.iter().filter(|(_, it, _)| *it == link).count();
            // Of links that have as many, the one that came last.
            let most = self.0.iter().map(|(_, from, _)| (count_of(*from), *from));
            if let Some((_, greedy)) = most.max()
                && let Some(oldest) = self.0.iter().position(|(_, from, _)| *from == greedy)
            {
                self.0.remove(oldest);
            }
        }
    }

    /// Takes what was kept of a segment.
    pub(super) fn take(&mut self, segment: SegmentRef) -> Vec<(LinkId, Bytes)> {
        let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(name, ..)| *name == segment);
        self.0 = rest;
        due.into_iter()
            .map(|(_, link, encoded)| (link, encoded))
            .collect()
    }
}

/// Who sent a map whose signature does not count here.
///
/// That alone is no crime: whoever trusts a key that is not pinned here, while the publisher
/// replaces it, hands its maps on in good faith. It is one once a map of the same segment was
/// accepted: the publisher makes one for each.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedMaps(Vec<(SegmentRef, LinkId)>);

impl RefusedMaps {
    pub(super) fn note(&mut self, segment: SegmentRef, link: LinkId) {
        let of_one = self.0.iter().filter(|(_, from)| *from == link).count();
        let is_known = self.0.contains(&(segment, link));
        if is_known || of_one >= MAX_REFUSED_OF_ONE {
            return;
        }
        if self.0.len() == MAX_REFUSED {
            self.0.remove(0);
        }
        self.0.push((segment, link));
    }

    /// The right map came: who sent another one?
    pub(super) fn take(&mut self, segment: SegmentRef) -> Vec<LinkId> {
        let forgers = self.0.iter().filter(|(name, _)| *name == segment);
        let forgers = forgers.map(|(_, link)| *link).collect();
        self.0.retain(|(name, _)| *name != segment);
        forgers
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.0.retain(|(_, from)| *from != link);
    }
}

/// How many more maps are looked at that a neighbour sends unasked.
#[derive(Clone, Copy, Debug)]
pub(super) struct PushAllowance {
    left: u8,
    filled_at: Instant,
}

impl PushAllowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: PUSH_BURST,
            filled_at: now,
        }
    }

    /// Takes one, if there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at).as_millis();
        let gained = passed / u128::from(1_000 / PUSHES_PER_SECOND);
        if gained > 0 {
            let gained = u8::try_from(gained).unwrap_or(u8::MAX);
            self.left = self.left.saturating_add(gained).min(PUSH_BURST);
            self.filled_at = now;
        }
        let has_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2pcdn_wire::TrackIndex;

    use super::*;

    fn segment(ordinal: u64) -> SegmentRef {
        SegmentRef {
            track: TrackIndex(0),
            ordinal,
            tag: 7,
        }
    }

    #[test]
    fn a_neighbour_cannot_displace_what_others_sent_early() {
        let mut early = EarlyMaps::default();
        let map = |byte: u8| Bytes::from(vec![byte; 4]);
        early.keep(segment(100), LinkId(1), map(1));
        early.keep(segment(101), LinkId(2), map(2));
        for ordinal in 0..1_000 {
            early.keep(segment(ordinal), LinkId(9), map(9));
        }
        assert_eq!(early.0.len(), 16);
        assert!(early.take(segment(100)).contains(&(LinkId(1), map(1))));
        assert!(early.take(segment(101)).contains(&(LinkId(2), map(2))));
        let newest = early.take(segment(999));
        assert_eq!(newest, [(LinkId(9), map(9))]);
    }

    #[test]
    fn refused_maps_that_are_remembered_are_bounded_for_each_link_and_in_all() {
        let mut refused = RefusedMaps::default();
        refused.note(segment(0), LinkId(1));
        for ordinal in 0..1_000 {
            refused.note(segment(ordinal), LinkId(2));
        }
        assert_eq!(refused.0.len(), 9);
        assert_eq!(refused.take(segment(0)), [LinkId(1), LinkId(2)]);
        for link in 0..1_000 {
            refused.note(segment(5), LinkId(link));
        }
        assert_eq!(refused.0.len(), 64);
    }

    #[test]
    fn four_a_second_are_looked_at_after_sixteen_at_once() {
        let mut allowance = PushAllowance::new(Instant::EPOCH);
        let mut taken = |millis: u64| {
            let now = Instant::from_epoch(Duration::from_millis(millis));
            (0..100).filter(|_| allowance.take(now)).count()
        };
        assert_eq!(taken(0), 16);
        assert_eq!(taken(249), 0);
        assert_eq!(taken(250), 1);
        assert_eq!(taken(1_250), 4);
        assert_eq!(taken(60_000), 16);
    }
}
