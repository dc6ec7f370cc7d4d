//! What no rule of who fetches what from whom can pass.

use std::collections::HashMap;

use crate::tally::SegmentKey;

/// Collects deliveries and says which share of their bytes could have come from peers at best.
///
/// Each segment has to enter every group of viewers that can reach one another once over HTTP; with
/// witnesses as often as there are to be, or by each viewer of the group when these are fewer. So
/// the bound is 1 - (bytes that must enter) / (bytes delivered), for n viewers of one track in one
/// group 1 - 1/n, with w witnesses 1 - w/n.
#[derive(Clone, Debug)]
pub struct Bound {
    copies: u64,
    delivered: u64,
    groups: HashMap<(u32, SegmentKey), Deliveries>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Deliveries {
    count: u64,
    len: u64,
}

impl Bound {
    /// `copies` of a segment have to enter a group over HTTP: 1 where its bytes prove themselves.
    #[must_use]
    pub fn new(copies: u64) -> Self {
        Self {
            copies,
            delivered: 0,
            groups: HashMap::new(),
        }
    }

    /// A viewer of the group `component` has had this segment of `len` bytes. Once per viewer and
    /// segment.
    pub fn add(&mut self, component: u32, segment: SegmentKey, len: u64) {
        self.delivered += len;
        let deliveries = self.groups.entry((component, segment)).or_default();
        deliveries.count += 1;
        deliveries.len = len;
    }

    /// The largest share of what was delivered that peers could have brought; `None` when nothing
    /// was delivered.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let entering = |one: &Deliveries| one.len * one.count.min(self.copies);
        let entered: u64 = self.groups.values().map(entering).sum();
        (self.delivered > 0).then(|| (self.delivered - entered) as f64 / self.delivered as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(ordinal: u64) -> SegmentKey {
        SegmentKey { track: 0, ordinal }
    }

    fn share(copies: u64, deliveries: &[(u32, u64, u64)]) -> Option<f64> {
        let mut bound = Bound::new(copies);
        for (component, ordinal, len) in deliveries {
            bound.add(*component, segment(*ordinal), *len);
        }
        bound.share()
    }

    #[test]
    fn n_viewers_of_one_group_are_bound_by_all_but_one_copy() {
        for n in [2, 3, 5, 10, 20] {
            let all: Vec<_> = (0..n).map(|_| (0, 7, 300)).collect();
            let expected = 1.0 - 1.0 / n as f64;
            assert!((share(1, &all).unwrap() - expected).abs() < 1e-12, "{n}");
        }
    }

    #[test]
    fn each_group_needs_a_copy_of_its_own() {
        // Three and two viewers that cannot reach one another: 2 of 5 copies enter.
        let pockets = [(0, 7, 10), (0, 7, 10), (3, 7, 10), (0, 7, 10), (3, 7, 10)];
        assert_eq!(share(1, &pockets), Some(0.6));
    }

    #[test]
    fn bytes_count_and_not_segments() {
        // 100 bytes had by one, 300 by two: 300 of 700 could come from peers.
        let mixed = [(0, 1, 100), (0, 2, 300), (0, 2, 300)];
        assert_eq!(share(1, &mixed), Some(300.0 / 700.0));
    }

    #[test]
    fn renditions_are_segments_of_their_own() {
        let mut bound = Bound::new(1);
        bound.add(0, segment(1), 10);
        let other = SegmentKey {
            track: 1,
            ordinal: 1,
        };
        bound.add(0, other, 10);
        assert_eq!(bound.share(), Some(0.0));
    }

    #[test]
    fn two_witnesses_are_two_copies_and_never_more_than_there_are_viewers() {
        let five: Vec<_> = (0..5).map(|_| (0, 7, 10)).collect();
        assert_eq!(share(2, &five), Some(0.6));
        assert_eq!(share(2, &five[..1]), Some(0.0));
    }

    #[test]
    fn nothing_delivered_has_no_bound() {
        assert_eq!(share(1, &[]), None);
    }
}
