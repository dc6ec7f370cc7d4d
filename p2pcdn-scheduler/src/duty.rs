//! Taking part in the duty election: one viewer fetches what nobody has yet.

use std::{cmp::Reverse, time::Duration};

use p2pcdn_metrics::HttpReason;
use p2pcdn_wire::{BLOCK_LEN, Instant, MAX_DURATION, Say, SegmentRef};

use crate::{
    election,
    http::Candidate,
    neighbour::Neighbour,
    scheduler::{Scheduler, earliest},
    segment::{Duty, Promise},
};

/// The time in which a copy of a block becomes two, within bounds: below, scheduling delays
/// dominate; above, a measurement went wrong.
const MIN_GENERATION: Duration = Duration::from_millis(20);
const MAX_GENERATION: Duration = Duration::from_millis(500);

/// How long an intent is renewed while the block map is missing: a publisher reads and signs a
/// segment in less, and half of the slack at 6 s behind live is left.
const MAX_PROMISE: Duration = Duration::from_secs(2);

impl Scheduler {
    /// Takes part in the duty election of a segment that is shared, wanted and in no hurry.
    pub(crate) fn stand_for_duty(&mut self, candidate: Candidate, slack: Duration) {
        let name = candidate.name;
        if self.fetches.iter().any(|fetch| fetch.segment == name) {
            return;
        }
        let supported_until = self.supported_until(name);
        let Some(segment) = self.track(name.track).and_then(|track| track.get(name)) else {
            return;
        };
        let has_map = segment.has_map;
        let duty = match (segment.duty, supported_until) {
            (_, Some(until)) => {
                if let Support::Until(at) = until {
                    self.wake(at);
                }
                self.set_duty(name, Duty::Supported);
                return;
            }
            (open @ (Duty::Open { .. } | Duty::Reopened { .. }), None) => open,
            (before @ (Duty::Unknown | Duty::Supported | Duty::Ours), None) => {
                let Some(wait) = self.turn(name, slack) else {
                    return;
                };
                let turn_at = self.now + wait;
                match before {
                    Duty::Supported => Duty::Reopened { turn_at },
                    _ => Duty::Open { turn_at },
                }
            }
        };
        self.set_duty(name, duty);
        let (Duty::Open { turn_at } | Duty::Reopened { turn_at }) = duty else {
            return;
        };
        if turn_at > self.now {
            self.wake(turn_at);
            return;
        }
        // A segment that others fetched and could not pass on lacks its block map.
        let reason = match duty {
            Duty::Reopened { .. } if !has_map => HttpReason::Integrity,
            _ => HttpReason::Duty,
        };
        self.set_duty(name, Duty::Ours);
        self.fetch_missing(name, reason);
        let lifetime = self.intent_lifetime(slack);
        let until = self.now + MAX_PROMISE;
        self.promise(name, lifetime, until);
    }

    /// Tells the neighbours that we fetch a segment, and again before that expires.
    fn promise(&mut self, name: SegmentRef, lifetime: Duration, until: Instant) {
        let promise = Promise {
            lifetime,
            renew_at: self.now + lifetime / 2,
            until,
        };
        self.wake(promise.renew_at);
        if let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name)) {
            segment.work_mut().promise = Some(promise);
        }
        self.insert_in_order(name, |own| &mut own.promised);
        let intent = Say::Intent {
            segment: name,
            expires_after: lifetime,
        };
        self.tell_track(name.track, &intent);
    }

    /// Renews the intents of which neighbours see nothing yet. Blocks renew an intent by
    /// themselves, but they cannot be announced before the block map is there.
    pub(crate) fn plan_promises(&mut self) {
        if self.promised.is_empty() {
            return;
        }
        let now = self.now;
        let mut due = Vec::new();
        let mut wake = None;
        for name in std::mem::take(&mut self.promised) {
            let segment = self.track_mut(name.track).and_then(|t| t.get_mut(name));
            let Some((promise, segment)) =
                segment.and_then(|segment| Some((segment.work().promise?, segment)))
            else {
                continue;
            };
            let is_kept = segment.has_map && !segment.verified.is_empty();
            if is_kept || segment.duty != Duty::Ours || promise.until <= now {
                segment.work_mut().promise = None;
                segment.tidy();
                continue;
            }
            if promise.renew_at > now {
                wake = earliest(wake, Some(promise.renew_at));
            } else if !segment.work().private.is_empty() {
                // An attempt of which nothing came renews nothing.
                due.push((segment.name, promise));
            }
            self.promised.push(name);
        }
        wake.into_iter().for_each(|at| self.wake(at));
        for (name, promise) in due {
            self.promise(name, promise.lifetime, promise.until);
        }
    }

    pub(crate) fn set_duty(&mut self, name: SegmentRef, duty: Duty) {
        if let Some(segment) = self.track_mut(name.track).and_then(|t| t.get_mut(name)) {
            segment.duty = duty;
        }
    }

    /// Whether a neighbour holds, intends or delivers the segment, and until when that stands
    /// without further news.
    fn supported_until(&self, name: SegmentRef) -> Option<Support> {
        let (now, copies) = (self.now, self.copies_needed(name));
        let delivers = |neighbour: &&Neighbour| neighbour.delivers(name, now);
        let delivered = self.neighbours.values().filter(delivers).take(copies);
        let lacking = copies - delivered.count();
        if lacking == 0 {
            return Some(Support::Delivered);
        }
        let others = self.neighbours.values().filter(|it| !delivers(it));
        let intents = others.filter_map(|neighbour| neighbour.intends_until(name, now));
        if lacking == 1 {
            return intents.max().map(Support::Until);
        }
        let mut intents: Vec<_> = intents.collect();
        intents.sort_unstable_by_key(|until| Reverse(*until));
        intents.get(lacking - 1).copied().map(Support::Until)
    }

    /// How many others have to bring a segment so that we need not: one once its bytes prove
    /// themselves.
    fn copies_needed(&self, name: SegmentRef) -> usize {
        let segment = self.track(name.track).and_then(|track| track.get(name));
        if segment.is_some_and(|segment| segment.has_map) {
            return 1;
        }
        usize::try_from(self.config.duty_copies.max(1)).unwrap_or(usize::MAX)
    }

    /// How long until our turn; `None` when it never comes.
    fn turn(&self, name: SegmentRef, slack: Duration) -> Option<Duration> {
        let class = self.policy.effective_class();
        let voters = self.neighbours.values().filter(|neighbour| {
            neighbour.watches(name.track) && neighbour.standing.is_believed(self.now)
        });
        let mut draws = Vec::new();
        let mut weight = 0;
        for neighbour in voters {
            weight += neighbour.class.weight();
            draws.push(neighbour.voter.draw(name, neighbour.class));
        }
        let known = u32::try_from(draws.len() + 1).unwrap_or(u32::MAX);
        let viewers = self.viewers.map_or(known, |count| count.max(known));
        let mean_weight = f64::from(weight.max(1)) / (draws.len().max(1) as f64);
        let own = self.voter.draw(name, class);
        let rank = election::rank(own, &draws, viewers, mean_weight)?;
        // As many as copies are needed go first.
        let rank = (rank - f64::from(self.config.duty_copies.max(1) - 1)).max(0.0);
        Some(election::wait(rank, viewers, self.generation(), slack))
    }

    /// The time in which the number of copies of a block doubles: a block at a typical neighbour's
    /// rate and one and a half round trips.
    fn generation(&self) -> Duration {
        let mut rtts: Vec<_> = self.neighbours.values().map(|n| n.rtt).collect();
        let mut rates: Vec<_> = self.neighbours.values().map(|n| n.rate()).collect();
        rtts.sort_unstable();
        rates.sort_unstable();
        let (Some(rtt), Some(rate)) = (rtts.get(rtts.len() / 2), rates.get(rates.len() / 2)) else {
            return MIN_GENERATION;
        };
        let generation = rate.time_for(BLOCK_LEN).saturating_add(*rtt * 3 / 2);
        generation.clamp(MIN_GENERATION, MAX_GENERATION)
    }

    /// An intent must outlive the time to first byte, but not a third of the slack.
    fn intent_lifetime(&self, slack: Duration) -> Duration {
        let lifetime = self.ttfb.p99.min(slack / 3) + self.generation();
        lifetime.min(MAX_DURATION)
    }
}

/// Why a viewer does not stand for duty.
enum Support {
    /// A neighbour has some of it already.
    Delivered,
    /// A neighbour fetches it, and is believed until then.
    Until(Instant),
}
