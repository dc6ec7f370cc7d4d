//! Which neighbours to keep: those with whom something useful is exchanged, the nearer the better,
//! and a few whoever they are.

use std::time::Duration;

use p2pcdn_wire::{GoodbyeReason, Instant, LinkId, OrdinalRange, Said, TrackIndex};

use crate::{
    agenda::Agenda,
    election::Voter,
    io::{Event, Growth, Output, PlaybackState},
    neighbour::Neighbour,
    scheduler::Scheduler,
};

/// From one look at the neighbours to the next: a new one takes up to ten seconds to come, by way
/// of the tracker, and as long again to show what it is worth.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// A neighbour that came later than this is not judged yet.
const PROBATION: Duration = Duration::from_secs(30);

/// Who exchanged nothing for so long, although there was something to exchange, is useless: thirty
/// segments of a live stream.
const USELESS_AFTER: Duration = Duration::from_secs(60);

/// In which what was exchanged counts for half.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// A neighbour with less than the median by this factor is let go of.
const FAR_BELOW: u64 = 4;

/// One neighbour in so many is kept whatever it exchanges, as long as it exchanges anything:
/// choosing all of them by use and nearness would part the mesh into islands.
const RANDOM_SHARE: u64 = 4;

/// At most one neighbour in so many may have nothing to do with what is played: they are of use
/// after a switch of renditions, and one of them may be who signs the block maps.
const BYSTANDERS: usize = 2;

/// Round trips below this count as this: they differ by what the machines do, not by distance.
const MIN_RTT: Duration = Duration::from_millis(10);

/// What a neighbour was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worth {
    met_at: Instant,
    /// Since when nothing useful was exchanged.
    useless_since: Instant,
    /// Whether it said since then that it holds, or fetches, what we lacked.
    has_offered: bool,
    /// Whether anything was exchanged, ever.
    has_exchanged: bool,
    /// Useful blocks both ways, those of older half-lives counting for less; in 1/1024 of a block.
    exchanged: u64,
    halved_at: Instant,
}

impl Worth {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            met_at: now,
            useless_since: now,
            has_offered: false,
            has_exchanged: false,
            exchanged: 0,
            halved_at: now,
        }
    }

    /// A block that was asked for came or was served.
    pub(crate) fn exchanged(&mut self, now: Instant) {
        self.fade(now);
        self.exchanged = self.exchanged.saturating_add(BLOCK);
        self.has_exchanged = true;
        self.forgive(now);
    }

    /// Nothing is held against it so far.
    fn forgive(&mut self, now: Instant) {
        self.useless_since = now;
        self.has_offered = false;
    }

    fn fade(&mut self, now: Instant) {
        while self.halved_at + HALF_LIFE <= now {
            self.exchanged /= 2;
            self.halved_at = if self.exchanged == 0 {
                now
            } else {
                self.halved_at + HALF_LIFE
            };
        }
    }

    fn is_on_probation(&self, now: Instant) -> bool {
        now < self.met_at + PROBATION
    }

    fn is_of_use(&self, now: Instant) -> bool {
        self.has_exchanged && !self.is_idle(now)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.useless_since + USELESS_AFTER <= now
    }
}

impl Scheduler {
    /// Lets go of a neighbour now and then, so that a better one finds room.
    pub(crate) fn plan_choice(&mut self) {
        if self.neighbours.values().next().is_none() {
            return;
        }
        let is_resting = self.clock.state() == PlaybackState::Paused;
        if self.look_at <= self.now {
            let has_slept = self.look_at + LOOK_INTERVAL <= self.now;
            self.look_at = self.now + LOOK_INTERVAL;
            // What was not exchanged while nothing was played is nobody's fault.
            if has_slept || is_resting {
                let now = self.now;
                self.neighbours
                    .values_mut()
                    .for_each(|neighbour| neighbour.worth.forgive(now));
            } else if let Some(link) = self.least_useful() {
                self.let_go(link);
            }
        }
        // A viewer that rests needs no better neighbours.
        if !is_resting {
            self.wake(self.look_at);
        }
    }

    /// When the first look is: each viewer has a phase of its own, so that not all ask the
    /// trackers at once.
    pub(crate) fn first_look(voter: Voter, now: Instant) -> Instant {
        now + LOOK_INTERVAL.mul_f64(voter.phase())
    }

    /// Takes note of whether a neighbour says that it could bring something that we lack.
    pub(crate) fn note_offers(&mut self, link: LinkId, said: &Said) {
        let known = self.neighbours.get(link);
        if known.is_none_or(|neighbour| neighbour.worth.has_offered) {
            return;
        }
        let offers = match said {
            Said::Have {
                track, ordinals, ..
            } => self.lacks_any(*track, *ordinals),
            Said::Holds {
                segment, blocks, ..
            } => {
                let ordinals = OrdinalRange::one(segment.ordinal);
                !blocks.is_empty() && self.lacks_any(segment.track, ordinals)
            }
            // Before the block map is there nobody can pass on what he fetches.
            Said::Intent { segment, .. } => self
                .wanted_segment(*segment)
                .is_some_and(|wanted| wanted.has_map && !wanted.completed),
            _ => false,
        };
        if offers && let Some(neighbour) = self.neighbours.get_mut(link) {
            neighbour.worth.has_offered = true;
        }
    }

    fn lacks_any(&self, track: TrackIndex, ordinals: OrdinalRange) -> bool {
        let ahead = self.clock.ahead(self.now);
        self.track(track)
            .filter(|track| track.is_watched())
            .is_some_and(|track| {
                let mut wanted = track.wanted(ahead);
                wanted.any(|segment| !segment.completed && ordinals.contains(segment.name.ordinal))
            })
    }

    fn least_useful(&mut self) -> Option<LinkId> {
        let now = self.now;
        let count = self.neighbours.values().count();
        let is_full = count >= self.config.neighbours;
        if !is_full && !self.is_eclipsed(count) {
            return None;
        }
        let judged = self.neighbours.iter();
        let useless = judged
            .filter(|(_, neighbour)| self.is_useless(neighbour))
            .min_by_key(|(link, neighbour)| (neighbour.worth.useless_since, *link));
        if let Some((link, _)) = useless {
            return Some(link);
        }
        self.neighbours
            .values_mut()
            .for_each(|neighbour| neighbour.worth.fade(now));
        let bystander = self.needless_bystander();
        bystander
            .or_else(|| self.far_below_the_others())
            .filter(|_| is_full)
    }

    /// Whether a neighbour has nothing to do with what is played here, for now: it watches another
    /// track, or signs block maps.
    fn is_bystander(&self, neighbour: &Neighbour) -> bool {
        let mut watched = self.tracks.iter().filter(|track| track.is_watched());
        neighbour.worth.exchanged == 0 && !watched.any(|track| neighbour.watches(track.index))
    }

    /// The bystander that came last, when there are too many of them.
    fn needless_bystander(&self) -> Option<LinkId> {
        let bystanders = || {
            let judged = self.neighbours.iter();
            judged.filter(|(_, it)| self.is_bystander(it) && !it.worth.is_on_probation(self.now))
        };
        let latest = bystanders().max_by_key(|(link, it)| (it.worth.met_at, *link));
        let most = self.config.neighbours / BYSTANDERS;
        latest
            .filter(|_| bystanders().count() > most)
            .map(|(link, _)| link)
    }

    /// Whether nothing was exchanged with a neighbour for long although there was something.
    fn is_useless(&self, neighbour: &Neighbour) -> bool {
        let worth = &neighbour.worth;
        worth.is_idle(self.now) && (worth.has_offered || self.could_take(neighbour))
    }

    /// Whether a neighbour watches what we hold, at the same time: only there does everybody need
    /// the same. Who plays another part of a film may need us later.
    fn could_take(&self, neighbour: &Neighbour) -> bool {
        self.policy.may_upload()
            && self.tracks.iter().any(|track| {
                track.growth == Growth::Live
                    && track.is_watched()
                    && neighbour.watches(track.index)
                    && track.held().any(|segment| segment.is_verified())
            })
    }

    /// Whether no neighbour is of use, and others could be found. Newcomers do not count in their
    /// favour, or a stream of them would protect those before.
    fn is_eclipsed(&self, count: usize) -> bool {
        let others = self.viewers.unwrap_or(0).saturating_sub(1);
        usize::try_from(others).unwrap_or(usize::MAX) > count
            && !self
                .neighbours
                .values()
                .any(|neighbour| neighbour.worth.is_of_use(self.now))
    }

    /// The neighbour with the least exchange for its distance, if that is far below what most
    /// come to.
    fn far_below_the_others(&self) -> Option<LinkId> {
        let judged = self.neighbours.iter();
        let mut values: Vec<_> = judged
            .filter(|(_, it)| !it.worth.is_on_probation(self.now) && !self.is_bystander(it))
            .map(|(link, neighbour)| (value(neighbour), link))
            .collect();
        values.sort_unstable();
        let (median, _) = *values.get(values.len() / 2)?;
        let is_chosen = |link: LinkId| {
            let neighbour = self.neighbours.get(link);
            neighbour.is_some_and(|it| !is_kept_anyway(self.voter, it.voter))
        };
        let (least, link) = values.into_iter().find(|(_, link)| is_chosen(*link))?;
        (least < median / FAR_BELOW).then_some(link)
    }

    fn let_go(&mut self, link: LinkId) {
        let Some(neighbour) = self.neighbours.get(link) else {
            return;
        };
        let peer = neighbour.peer;
        tracing::debug!(%link, %peer, "lets go of a neighbour");
        self.link_closed(link);
        // Who is asked, served and told depends on who is there.
        self.agenda = Agenda::new();
        self.outputs.push_back(Output::Disconnect {
            link,
            reason: GoodbyeReason::Useless,
        });
        self.event(Event::PeerLetGo { peer });
    }
}

/// What is exchanged with a neighbour in a round trip, on a scale of its own.
fn value(neighbour: &Neighbour) -> u64 {
    let millis = u64::try_from(neighbour.rtt.max(MIN_RTT).as_millis()).unwrap_or(u64::MAX);
    neighbour.worth.exchanged.saturating_mul(1_000) / millis.max(1)
}

/// Whether a pair of viewers belongs to the random share, on which both agree.
fn is_kept_anyway(one: Voter, other: Voter) -> bool {
    one.pair(other).is_multiple_of(RANDOM_SHARE)
}

/// One block in the units of [`Worth`]; halving leaves something of it for five minutes.
const BLOCK: u64 = 1_024;

// Every session has one for each neighbour.
const _: () = assert!(size_of::<Worth>() <= 48);
