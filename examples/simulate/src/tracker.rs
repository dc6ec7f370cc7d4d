//! The tracker at which viewers find each other.

use std::{collections::BTreeSet, sync::Arc};

use p2pcdn::wire::{Instant, LinkId};

use crate::{
    actor::{Actor, Outbox},
    draw::Draws,
    event::{ActorId, Signal, What},
    world::Shared,
};

/// A WebTorrent tracker, as aquatic and bittorrent-tracker are: it hands each offer of an announce
/// to another peer of the swarm, each to a different one, all drawn anew with each announce.
///
/// Who says goodbye is forgotten at once. Who just vanishes is counted and handed out until its
/// last announce is as old as `Tracker::memory`, and offers to it are lost.
pub struct Tracker {
    shared: Arc<Shared>,
    draws: Draws,
    /// Who is registered, in no order.
    members: Vec<ActorId>,
    /// Of each actor: the publisher's peer comes after the viewers, with others between.
    entries: Vec<Entry>,
    /// When whose registration lapses; one of each member.
    lapses: BTreeSet<(Instant, ActorId)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// In `members`.
    place: Option<u32>,
    announced_at: Instant,
    /// Announces so far.
    count: u32,
}

impl Tracker {
    /// A tracker that knows nobody.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            draws: shared.draws.of("tracker"),
            members: Vec::new(),
            entries: vec![Entry::default(); shared.publisher() as usize + 1],
            lapses: BTreeSet::new(),
            shared,
        }
    }

    /// Registered peers, those included that have vanished unnoticed.
    #[must_use]
    pub fn viewers(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    fn announced(&mut self, from: ActorId, links: &[LinkId], now: Instant, out: &mut Outbox) {
        let config = self.shared.scenario.tracker;
        let Some(entry) = self.entries.get_mut(from as usize) else {
            return;
        };
        self.lapses
            .remove(&(entry.announced_at + config.memory, from));
        self.lapses.insert((now + config.memory, from));
        entry.announced_at = now;
        entry.count += 1;
        let draws = self.draws.nth(u64::from(from)).nth(u64::from(entry.count));
        let own = match entry.place {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.members.len()).expect("as many as actors at most");
                entry.place = Some(place);
                self.members.push(from);
                place
            }
        };
        let reply = Signal::Announced {
            viewers: self.viewers(),
            interval: config.interval,
        };
        self.send(from, reply, now, out);
        let links = &links[..links.len().min(config.offers_per_announce)];
        let others = self.members.len() - 1;
        for (&their_link, other) in links.iter().zip(distinct(others, links.len(), draws)) {
            // All places but the announcer's own.
            let place = if other < own as usize {
                other
            } else {
                other + 1
            };
            self.send(
                self.members[place],
                Signal::Offer { from, their_link },
                now,
                out,
            );
        }
    }

    /// Forgets those whose last announce is too old.
    fn expire(&mut self, now: Instant) {
        while let Some(&(_, viewer)) = self.lapses.first().filter(|(at, _)| *at <= now) {
            self.forget(viewer);
        }
    }

    fn forget(&mut self, viewer: ActorId) {
        let Some(entry) = self.entries.get_mut(viewer as usize) else {
            return;
        };
        let lapses_at = entry.announced_at + self.shared.scenario.tracker.memory;
        self.lapses.remove(&(lapses_at, viewer));
        let Some(place) = entry.place.take() else {
            return;
        };
        self.members.swap_remove(place as usize);
        if let Some(&moved) = self.members.get(place as usize) {
            self.entries[moved as usize].place = Some(place);
        }
    }

    fn send(&self, to: ActorId, signal: Signal, now: Instant, out: &mut Outbox) {
        let at = now + self.shared.population.tracker_delay(to);
        out.send(to, at, What::Signal(Box::new(signal)));
    }
}

impl Actor for Tracker {
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        let What::Signal(signal) = what else {
            return;
        };
        self.expire(now);
        match *signal {
            Signal::Announce { leaving: true, .. } => self.forget(from),
            Signal::Announce { links, .. } => self.announced(from, &links, now, out),
            Signal::Announced { .. } | Signal::Offer { .. } | Signal::Answer { .. } => {}
        }
    }

    fn settle(&mut self, _: Instant, _: &mut Outbox) {}
}

/// `count` different numbers below `below`, all when there are no more, any set as likely as any
/// other; Floyd's algorithm (Bentley & Floyd, CACM 1987), so with one draw for each.
fn distinct(below: usize, count: usize, draws: Draws) -> Vec<usize> {
    let count = count.min(below);
    let mut chosen = Vec::with_capacity(count);
    for last in below - count..below {
        let draw = draws.nth(last as u64).below(last as u64 + 1) as usize;
        let number = if chosen.contains(&draw) { last } else { draw };
        // In any order, too: the first of an announce's offers are no better served.
        let place = draws
            .of("place")
            .nth(last as u64)
            .below(chosen.len() as u64 + 1);
        chosen.insert(place as usize, number);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::world::tests::plain;

    struct Bench {
        tracker: Tracker,
        out: Outbox,
    }

    impl Bench {
        fn new(viewers: u32) -> Self {
            let shared = Arc::new(Shared::new(&plain(viewers)));
            Self {
                tracker: Tracker::new(shared),
                out: Outbox::default(),
            }
        }

        /// The viewers counted, and who got an offer.
        fn announce(&mut self, from: ActorId, offers: u64, secs: u64) -> (u32, Vec<ActorId>) {
            let links = (0..offers).map(LinkId).collect();
            self.tell(
                from,
                Signal::Announce {
                    links,
                    leaving: false,
                },
                secs,
            );
            let mut viewers = None;
            let mut asked = Vec::new();
            for (_, to, what) in self.out.drain() {
                let What::Signal(signal) = what else {
                    panic!("{what:?}")
                };
                match *signal {
                    Signal::Announced { viewers: count, .. } if to == from => {
                        assert_eq!(viewers.replace(count), None);
                    }
                    Signal::Offer {
                        from: by,
                        their_link,
                    } if by == from => {
                        assert_eq!(their_link, LinkId(asked.len() as u64), "each once");
                        asked.push(to);
                    }
                    signal => panic!("{signal:?} to {to}"),
                }
            }
            (viewers.expect("an announce is answered"), asked)
        }

        fn tell(&mut self, from: ActorId, signal: Signal, secs: u64) {
            let now = Instant::from_epoch(Duration::from_secs(secs));
            let what = What::Signal(Box::new(signal));
            self.tracker.handle(from, what, now, &mut self.out);
        }

        fn leave(&mut self, from: ActorId, secs: u64) {
            self.tell(
                from,
                Signal::Announce {
                    links: Vec::new(),
                    leaving: true,
                },
                secs,
            );
        }
    }

    #[test]
    fn each_offer_goes_to_another_peer_and_none_back() {
        let mut bench = Bench::new(50);
        assert_eq!(bench.announce(0, 5, 0), (1, vec![]));
        assert_eq!(bench.announce(1, 5, 0), (2, vec![0]));
        for viewer in 2..50 {
            let (viewers, asked) = bench.announce(viewer, 5, 0);
            assert_eq!(viewers, viewer + 1);
            let different: BTreeSet<_> = asked.iter().copied().collect();
            assert_eq!(different.len(), 5.min(viewer as usize));
            assert_eq!(asked.len(), different.len());
            assert!(different.iter().all(|&other| other < viewer));
        }
    }

    #[test]
    fn no_more_offers_are_passed_on_than_it_allows() {
        let mut bench = Bench::new(50);
        for viewer in 0..50 {
            bench.announce(viewer, 0, 0);
        }
        assert_eq!(bench.announce(3, 40, 1).1.len(), 10);
    }

    #[test]
    fn everybody_is_drawn_as_often() {
        let mut bench = Bench::new(20);
        for viewer in 0..20 {
            bench.announce(viewer, 0, 0);
        }
        let mut counts = [0u32; 20];
        let mut firsts = [0u32; 20];
        for _ in 0..4_000 {
            let (_, asked) = bench.announce(7, 5, 1);
            firsts[asked[0] as usize] += 1;
            for viewer in asked {
                counts[viewer as usize] += 1;
            }
        }
        assert_eq!(counts[7], 0);
        // 19 others: 4,000 x 5 / 19 = 1,053 each with a deviation of 28; 211 with one of 14.
        for other in (0..20).filter(|&other| other != 7) {
            assert!((900..1_200).contains(&counts[other]), "{counts:?}");
            assert!((140..280).contains(&firsts[other]), "{firsts:?}");
        }
    }

    #[test]
    fn who_leaves_is_forgotten_at_once() {
        let mut bench = Bench::new(3);
        for viewer in 0..3 {
            bench.announce(viewer, 0, 0);
        }
        bench.leave(0, 1);
        bench.leave(0, 1);
        let (viewers, asked) = bench.announce(2, 5, 2);
        assert_eq!((viewers, asked), (2, vec![1]));
        assert_eq!(bench.announce(0, 5, 3).0, 3, "and may come back");
    }

    #[test]
    fn who_vanishes_is_handed_out_until_its_last_announce_is_too_old() {
        let mut bench = Bench::new(3);
        bench.announce(0, 0, 0);
        bench.announce(1, 0, 0);
        bench.announce(0, 0, 100);
        // Of 300 s: 1 lapses at 300, 0 at 400.
        let (viewers, asked) = bench.announce(2, 5, 299);
        assert_eq!((viewers, asked.len()), (3, 2));
        assert_eq!(bench.announce(2, 5, 300), (2, vec![0]));
        assert_eq!(bench.announce(2, 5, 400), (1, vec![]));
    }

    #[test]
    fn the_publishers_peer_is_handed_out_like_a_viewer() {
        let mut bench = Bench::new(2);
        let publisher = bench.tracker.shared.publisher();
        bench.announce(publisher, 0, 0);
        assert_eq!(bench.announce(1, 5, 0), (2, vec![publisher]));
    }

    #[test]
    fn announcing_often_takes_no_more_room() {
        let mut bench = Bench::new(2);
        for secs in 0..1_000 {
            bench.announce(0, 3, secs / 10);
        }
        assert_eq!(
            (bench.tracker.lapses.len(), bench.tracker.viewers()),
            (1, 1)
        );
    }

    #[test]
    fn a_signal_of_nobody_or_for_nobody_is_ignored() {
        let mut bench = Bench::new(2);
        bench.tell(
            9,
            Signal::Announce {
                links: vec![LinkId(1)],
                leaving: false,
            },
            0,
        );
        bench.leave(9, 0);
        bench.tell(
            0,
            Signal::Offer {
                from: 1,
                their_link: LinkId(1),
            },
            0,
        );
        assert_eq!(bench.out.drain().count(), 0);
        assert_eq!(bench.tracker.viewers(), 0);
    }

    #[test]
    fn any_number_of_different_numbers_can_be_drawn() {
        for below in 0..8 {
            for count in 0..10 {
                let drawn = distinct(below, count, Draws::new(3));
                let different: BTreeSet<_> = drawn.iter().collect();
                assert_eq!(drawn.len(), count.min(below));
                assert_eq!(different.len(), drawn.len());
                assert!(drawn.iter().all(|&number| number < below));
            }
        }
    }
}
