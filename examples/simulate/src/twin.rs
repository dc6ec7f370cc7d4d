//! A plain HTTP player: what a viewer's evening would have been without us.
//!
//! Written apart from the session, so that it is an independent yardstick. It polls the playlist at
//! its own phase and fetches one segment at a time, each as soon as it is listed, the one before is
//! complete, and the buffer target has room for it.

use std::{sync::Arc, time::Duration};

use p2pcdn::{
    metrics::{Delivery, HttpReason},
    wire::Instant,
};

use crate::{
    abr::{Adaptation, Meter},
    actor::{Actor, Outbox},
    download::{Chunk, Downloads, Head},
    event::{ActorId, Resource, Timer, What},
    people::Person,
    player::Player,
    tally::{Glance, HttpShare, SegmentKey, Tally, Viewed},
    viewer::polling::Polling,
    world::Shared,
};

/// A viewer over HTTP alone.
#[derive(Debug)]
pub struct Twin {
    shared: Arc<Shared>,
    person: u32,
    presence: Presence,
    player: Player,
    adaptation: Adaptation,
    meter: Meter,
    downloads: Downloads,
    manifest: ManifestLoad,
    transfer: Option<Transfer>,
    /// The rendition that was chosen last.
    track: u16,
    /// The next wake-up that was asked for.
    armed: Option<Instant>,
    delivery: Delivery,
    delivered: Vec<SegmentKey>,
    http: Vec<HttpShare>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Expected,
    Here,
    Left(Instant),
}

#[derive(Debug)]
struct ManifestLoad {
    polling: Polling,
    request: Option<u32>,
    published: u64,
}

/// A segment that is fetched.
#[derive(Debug)]
struct Transfer {
    key: SegmentKey,
    len: u64,
    received: u64,
    attempts: u64,
    /// The request under way, and when it was made.
    request: Option<(u32, Instant)>,
    /// Received before this request.
    resumed_at: u64,
    retry: Retry,
}

/// After failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    failures: u32,
    /// When to try again; `None`: no attempt failed last.
    at: Option<Instant>,
}

impl Retry {
    /// At once the first time, then after 200 ms, doubling up to 3 s: docs/scheduling.md, back-off.
    fn failed(&mut self, now: Instant) {
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => Duration::from_millis(100) * (1 << failures.min(5)),
        };
        self.failures = self.failures.saturating_add(1);
        self.at = Some(now + pause.min(Duration::from_secs(3)));
    }

    fn is_due(self, now: Instant) -> bool {
        self.at.is_none_or(|at| at <= now)
    }
}

impl Twin {
    /// The twin of this person.
    #[must_use]
    pub fn new(shared: Arc<Shared>, person: u32) -> Self {
        let own = &shared.population.people[person as usize];
        let (arrives_at, phase) = (own.arrives_at, own.poll_phase);
        let interval = shared.media.segment_duration();
        Self {
            player: Player::new(&shared.scenario, shared.media.clone(), arrives_at),
            adaptation: Adaptation::new(&shared.scenario),
            downloads: Downloads::new(&shared, person),
            shared,
            person,
            presence: Presence::Expected,
            meter: Meter::default(),
            manifest: ManifestLoad {
                // It has not begun.
                polling: Polling::new(interval, phase, arrives_at),
                request: None,
                published: 0,
            },
            transfer: None,
            track: 0,
            armed: None,
            delivery: Delivery::default(),
            delivered: Vec::new(),
            http: Vec::new(),
        }
    }

    fn timer(&mut self, timer: &Timer, now: Instant, out: &mut Outbox) {
        match *timer {
            Timer::Arrive => self.arrive(out),
            _ if self.presence != Presence::Here => {}
            Timer::Depart { .. } => self.depart(now, out),
            Timer::Player => {
                self.armed = self.armed.filter(|at| *at > now);
            }
            Timer::Habit(number) => {
                if let Some((_, habit)) = self.own().habits.get(usize::from(number)).cloned() {
                    self.player.habit(&habit, now);
                }
            }
            Timer::Passed => {
                while let Some((request, chunk)) = self.downloads.passed(now, out) {
                    self.received(request, chunk, now);
                }
            }
            Timer::Session
            | Timer::Poll
            | Timer::Writable
            | Timer::Connected { .. }
            | Timer::Announce
            | Timer::Mischief
            | Timer::Flow { .. }
            | Timer::Line => {}
        }
    }

    fn arrive(&mut self, out: &mut Outbox) {
        if self.presence != Presence::Expected {
            return;
        }
        self.presence = Presence::Here;
        let person = self.own();
        if let Some(departure) = &person.departs {
            let crash = departure.is_crash;
            out.later(self.person, departure.at, Timer::Depart { crash }.into());
        }
        for (number, (at, _)) in (0..).zip(&person.habits) {
            out.later(self.person, *at, Timer::Habit(number).into());
        }
        self.track = self.adaptation.choose(Duration::ZERO, None, 0);
    }

    /// By a crash or not: the connections of a process that is gone are closed for it.
    fn depart(&mut self, now: Instant, out: &mut Outbox) {
        self.presence = Presence::Left(now);
        self.http.extend(self.incomplete());
        self.transfer = None;
        self.downloads.cancel_all(now, out);
    }

    fn load_manifest(&mut self, now: Instant, out: &mut Outbox) {
        let draw = self.shared.draws.manifest_ttfb(self.person, now);
        let resource = Resource::Manifest { track: self.track };
        let request = self.downloads.request(resource, draw, now, out);
        self.manifest.request = Some(request);
    }

    fn answered(&mut self, request: u32, head: Head, now: Instant) {
        let is_good = (200..300).contains(&head.status);
        if self.manifest.request == Some(request) {
            if is_good {
                self.manifest.published = head.published;
            } else {
                self.manifest.request = None;
                self.manifest.polling.failed(now);
            }
        } else if let Some(transfer) = self.transfer_of(request)
            && !is_good
        {
            transfer.request = None;
            transfer.retry.failed(now);
        }
    }

    fn received(&mut self, request: u32, chunk: Chunk, now: Instant) {
        let len = u64::from(chunk.len);
        if self.manifest.request == Some(request) {
            self.delivery.add_http(HttpReason::Manifest, len);
            if chunk.is_last {
                self.manifest.request = None;
                self.manifest.polling.succeeded(now);
                if self.shared.media.end().is_some() {
                    self.manifest.polling.end();
                }
                self.player.listed(self.manifest.published, now);
            }
            return;
        }
        let Some(transfer) = self.transfer_of(request) else {
            return;
        };
        transfer.received += len;
        self.delivery.add_http(HttpReason::Policy, len);
        if chunk.is_last {
            self.transfer_ended(now);
        }
    }

    fn transfer_ended(&mut self, now: Instant) {
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        let Transfer {
            key, len, received, ..
        } = transfer;
        if let Some((_, asked_at)) = transfer.request.take() {
            let took = now.saturating_duration_since(asked_at);
            self.meter.sample(received - transfer.resumed_at, took);
        }
        if received < len {
            // Cut short.
            transfer.retry.failed(now);
            self.transfer = Some(transfer);
            return;
        }
        self.delivered.push(key);
        let share = HttpShare {
            segment: key,
            http_len: received,
        };
        self.http.push(share);
        self.player.segment_ready(key, now);
    }

    fn transfer_of(&mut self, request: u32) -> Option<&mut Transfer> {
        let transfer = self.transfer.as_mut()?;
        let is_it = transfer.request.is_some_and(|(it, _)| it == request);
        is_it.then_some(transfer)
    }

    /// Fetches what is wanted, and nothing that is not any more.
    fn fetch(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(transfer) = &self.transfer
            && !self.player.wants(transfer.key.ordinal)
        {
            if let Some((request, _)) = transfer.request {
                self.downloads.cancel(request, now, out);
            }
            self.transfer = None;
        }
        if self.transfer.is_none() {
            let Some(ordinal) = self.player.next_ordinal() else {
                return;
            };
            let buffer = self.player.buffer(now);
            let estimate = self.meter.estimate();
            self.track = self.adaptation.choose(buffer, estimate, self.track);
            let track = self.track;
            self.transfer = Some(Transfer {
                key: SegmentKey { track, ordinal },
                len: self.shared.media.segment_len(track, ordinal),
                received: 0,
                attempts: 0,
                request: None,
                resumed_at: 0,
                retry: Retry::default(),
            });
        }
        self.request_transfer(now, out);
    }

    fn request_transfer(&mut self, now: Instant, out: &mut Outbox) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        if transfer.request.is_some() || !transfer.retry.is_due(now) {
            return;
        }
        let SegmentKey { track, ordinal } = transfer.key;
        let attempt = transfer.attempts;
        let draws = self.shared.draws;
        let draw = draws.segment_ttfb(self.person, transfer.key, attempt);
        let resource = Resource::Segment {
            track,
            ordinal,
            start: transfer.received,
            end: transfer.len,
        };
        let request = self.downloads.request(resource, draw, now, out);
        transfer.attempts += 1;
        transfer.resumed_at = transfer.received;
        transfer.request = Some((request, now));
        transfer.retry.at = None;
    }

    /// Asks to be woken when time alone changes something.
    fn arm(&mut self, now: Instant, out: &mut Outbox) {
        let retry = self.transfer.as_ref().and_then(|it| it.retry.at);
        let more = match self.transfer {
            Some(_) => None,
            None => self.player.wants_more_at(),
        };
        let moments = [
            self.player.poll_timeout(),
            more,
            retry,
            self.manifest.polling.due_at(),
        ];
        let Some(next) = moments.into_iter().flatten().min() else {
            return;
        };
        let next = next.max(now);
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            out.later(self.person, next, Timer::Player.into());
        }
    }

    /// What came of the segment that is fetched.
    fn incomplete(&self) -> Option<HttpShare> {
        let transfer = self.transfer.as_ref().filter(|it| it.received > 0)?;
        Some(HttpShare {
            segment: transfer.key,
            http_len: transfer.received,
        })
    }

    fn own(&self) -> &Person {
        &self.shared.population.people[self.person as usize]
    }
}

impl Actor for Twin {
    fn handle(&mut self, _from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        match what {
            What::Timer(timer) => self.timer(&timer, now, out),
            What::Answer { request, answer } if self.presence == Presence::Here => {
                if let Some(head) = self.downloads.answered(request, answer, now, out) {
                    self.answered(request, head, now);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, now: Instant, out: &mut Outbox) {
        if self.presence != Presence::Here {
            return;
        }
        self.player.handle_timeout(now);
        if self.manifest.polling.start_if_due(now) {
            self.load_manifest(now, out);
        }
        self.fetch(now, out);
        self.arm(now, out);
    }
}

impl Viewed for Twin {
    fn tally(&self, now: Instant) -> Tally {
        let until = match self.presence {
            Presence::Left(at) => at,
            Presence::Expected | Presence::Here => now,
        };
        Tally {
            person: self.person,
            is_hostile: self.own().hostile.is_some(),
            watched: self.player.watched(until),
            delivery: self.delivery,
            delivered: self.delivered.clone(),
            http: self.http.iter().copied().chain(self.incomplete()).collect(),
            corrupt_bytes_played: 0,
            connections: 0,
        }
    }

    fn glance(&self, now: Instant) -> Glance {
        Glance {
            buffer: self.player.buffer(now),
            is_present: self.presence == Presence::Here,
            is_stalled: self.player.is_stalled(),
            links: 0,
            delivery: self.delivery,
        }
    }
}

#[cfg(test)]
mod tests;
