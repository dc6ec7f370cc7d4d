//! Segment by segment: the steady part, what bounds it, and how many copies left the edges.

use std::collections::BTreeMap;

use super::Setting;
use crate::{
    bound::Bound,
    tally::{SegmentKey, Tally},
};

/// The deliveries of some segments to some viewers.
#[derive(Clone, Debug)]
pub(super) struct Deliveries {
    peer: u64,
    http: u64,
    bound: Bound,
    /// HTTP bytes and length of each segment.
    segments: BTreeMap<SegmentKey, (u64, u64)>,
}

impl Deliveries {
    /// Segments that viewers began to play in the steady part.
    pub(super) fn steady(setting: &Setting<'_>, viewers: &[&Tally]) -> Self {
        Self::new(setting, viewers, |viewer| &viewer.watched.steady)
    }

    /// All that was delivered.
    pub(super) fn all(setting: &Setting<'_>, viewers: &[&Tally]) -> Self {
        Self::new(setting, viewers, |viewer| &viewer.delivered)
    }

    fn new(
        setting: &Setting<'_>,
        viewers: &[&Tally],
        which: impl Fn(&Tally) -> &[SegmentKey],
    ) -> Self {
        let mut all = Self {
            peer: 0,
            http: 0,
            bound: Bound::new(setting.copies()),
            segments: BTreeMap::new(),
        };
        for viewer in viewers {
            // Played again, or fetched again after it was dropped, is not a delivery more.
            let mut once = which(viewer).to_vec();
            once.sort_unstable();
            once.dedup();
            let over_http = http_bytes(viewer);
            for segment in once {
                let len = (setting.segment_len)(segment);
                let http = over_http.get(&segment).copied().unwrap_or(0).min(len);
                all.add(setting.component(viewer.person), segment, len, http);
            }
        }
        all
    }

    fn add(&mut self, component: u32, segment: SegmentKey, len: u64, http: u64) {
        self.peer += len - http;
        self.http += http;
        self.bound.add(component, segment, len);
        self.segments.entry(segment).or_insert((0, len)).0 += http;
    }

    /// Bytes from peers as a share of all bytes.
    pub(super) fn efficiency(&self) -> Option<f64> {
        super::share(self.peer, self.http)
    }

    /// The best that `efficiency` could be.
    pub(super) fn bound(&self) -> Option<f64> {
        self.bound.share()
    }

    /// Mean over the segments.
    pub(super) fn http_copies(&self) -> Option<f64> {
        let count = self.segments.len() as f64;
        let sum: f64 = self.copies_of_each().map(|(_, copies)| copies).sum();
        (count > 0.0).then(|| sum / count)
    }

    /// In order of track and ordinal.
    pub(super) fn copies_of_each(&self) -> impl Iterator<Item = (SegmentKey, f64)> + '_ {
        let copies = |(http, len): (u64, u64)| http as f64 / len.max(1) as f64;
        self.segments
            .iter()
            .map(move |(segment, bytes)| (*segment, copies(*bytes)))
    }
}

fn http_bytes(viewer: &Tally) -> BTreeMap<SegmentKey, u64> {
    let mut bytes = BTreeMap::new();
    for share in &viewer.http {
        *bytes.entry(share.segment).or_default() += share.http_len;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::testing, tally::HttpShare};

    fn key(ordinal: u64) -> SegmentKey {
        SegmentKey { track: 0, ordinal }
    }

    /// A viewer that played these segments and had these bytes of them over HTTP.
    fn viewer(person: u32, steady: &[u64], http: &[(u64, u64)]) -> Tally {
        let mut tally = Tally {
            person,
            ..Tally::default()
        };
        tally.watched.steady = steady.iter().copied().map(key).collect();
        tally.http = http
            .iter()
            .map(|(ordinal, http_len)| HttpShare {
                segment: key(*ordinal),
                http_len: *http_len,
            })
            .collect();
        tally
    }

    /// Segments are 100 bytes long; everybody reaches everybody but person 9.
    fn steady(viewers: &[Tally]) -> Deliveries {
        let scenario = testing::scenario();
        let components = [0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let setting = Setting {
            components: &components,
            segment_len: &|_| 100,
            ..testing::setting(&scenario)
        };
        Deliveries::steady(&setting, &viewers.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_did_not_come_over_http_came_from_peers() {
        let viewers = [
            viewer(0, &[5, 6], &[(5, 100), (6, 20)]),
            viewer(1, &[5, 6], &[(6, 40)]),
        ];
        let all = steady(&viewers);
        // 160 of 400 bytes over HTTP; of two segments 100 and 60 bytes.
        assert_eq!(all.efficiency(), Some(0.6));
        assert_eq!(all.http_copies(), Some(0.8));
        assert_eq!(all.bound(), Some(0.5));
    }

    #[test]
    fn segments_outside_of_the_steady_part_do_not_count() {
        let viewers = [viewer(0, &[6], &[(5, 100)]), viewer(1, &[6], &[(6, 100)])];
        assert_eq!(steady(&viewers).efficiency(), Some(0.5));
        assert_eq!(steady(&viewers).http_copies(), Some(1.0));
    }

    #[test]
    fn a_segment_played_twice_was_delivered_once() {
        let viewers = [viewer(0, &[5, 6, 5], &[(5, 60), (5, 60)])];
        let all = steady(&viewers);
        // No more of it over HTTP than it is long: 100 of 200.
        assert_eq!(all.efficiency(), Some(0.5));
        assert_eq!(all.bound(), Some(0.0));
    }

    #[test]
    fn who_can_reach_nobody_needs_a_copy_of_his_own() {
        let viewers = [
            viewer(0, &[5], &[(5, 100)]),
            viewer(1, &[5], &[]),
            viewer(2, &[5], &[]),
            viewer(9, &[5], &[(5, 100)]),
        ];
        let all = steady(&viewers);
        assert_eq!(all.bound(), Some(0.5));
        assert_eq!(all.efficiency(), Some(0.5));
        assert_eq!(all.http_copies(), Some(2.0));
    }

    #[test]
    fn no_segments_give_no_figures() {
        let all = steady(&[viewer(0, &[], &[(5, 100)])]);
        assert_eq!(
            (all.efficiency(), all.bound(), all.http_copies()),
            (None, None, None)
        );
    }
}
