//! One tracker as the machine sees it.

use std::time::Duration;

use p2pcdn_wire::{Instant, Pcg};

/// ```text
/// Away --until--> Connecting --connected--> Gathering --offers made--> Announced
///  ^                  |                        ^                          |
///  |<-----failed------'                        '--------announce due------|
///  '<-------------------disconnected, or silent---------------------------'
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not connected; tried again at `until`.
    Away { until: Instant },
    /// Being connected to, until `until` at most.
    Connecting { until: Instant },
    /// Connected; an announce waits for offers to be made, until `until` at most.
    Gathering { until: Instant },
    /// Connected and announced.
    Announced {
        announced_at: Instant,
        /// When the tracker must have replied; `None` when it has.
        reply_by: Option<Instant>,
    },
    /// We left the swarm.
    Stopped,
}

#[derive(Clone, Debug)]
pub(super) struct Tracker {
    pub(super) url: String,
    pub(super) state: State,
    /// Whether this connection carried an announce.
    pub(super) has_announced: bool,
    /// Failed connections in a row.
    failure_count: u32,
    interval: Duration,
    min_interval: Duration,
    /// Early announces in a row.
    eager_count: u32,
    /// Peers in the swarm besides us, as last reported.
    pub(super) other_count: usize,
    /// Share of a delay by which it is lengthened, so that viewers do not announce in step.
    stagger: f64,
}

impl Tracker {
    pub(super) const fn new(url: String, now: Instant) -> Self {
        Self {
            url,
            state: State::Away { until: now },
            has_announced: false,
            failure_count: 0,
            interval: DEFAULT_INTERVAL,
            min_interval: MIN_INTERVAL,
            eager_count: 0,
            other_count: 0,
            stagger: 0.0,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(
            self.state,
            State::Gathering { .. } | State::Announced { .. }
        )
    }

    /// The connection failed or ended: waits for longer each time, by a random half.
    pub(super) fn fail(&mut self, now: Instant, pcg: &mut Pcg) {
        let delay = backoff(RECONNECT_DELAY, self.failure_count).min(MAX_RECONNECT_DELAY);
        self.failure_count = self.failure_count.saturating_add(1);
        self.has_announced = false;
        self.state = State::Away {
            until: now + delay.mul_f64(0.5 + pcg.unit() / 2.0),
        };
    }

    /// An announce was sent.
    pub(super) fn announced(&mut self, now: Instant, pcg: &mut Pcg) {
        self.has_announced = true;
        self.stagger = pcg.unit() / 10.0;
        self.state = State::Announced {
            announced_at: now,
            reply_by: Some(now + REPLY_TIMEOUT),
        };
    }

    /// The tracker replied to an announce.
    pub(super) fn replied(
        &mut self,
        interval: Option<Duration>,
        min_interval: Option<Duration>,
        other_count: usize,
    ) {
        self.failure_count = 0;
        self.other_count = other_count;
        if let Some(interval) = interval {
            self.interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        }
        if let Some(min_interval) = min_interval {
            self.min_interval = min_interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        }
        if let State::Announced { reply_by, .. } = &mut self.state
            && reply_by.take().is_some()
        {
            self.eager_count = self.eager_count.saturating_add(1);
        }
    }

    /// The tracker refused an announce: the next one waits as if it had come to nothing.
    pub(super) fn refused(&mut self) {
        self.replied(None, None, 0);
    }

    /// The last announce brought a neighbour, so that the next early one is soon again.
    pub(super) const fn bore_fruit(&mut self) {
        self.eager_count = 0;
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// When to announce next: after the interval, or earlier when neighbours are missing that the
    /// tracker could find.
    pub(super) fn announce_at(&self, wants_more: bool) -> Option<Instant> {
        let State::Announced { announced_at, .. } = self.state else {
            return None;
        };
        let delay = if wants_more {
            let eager = backoff(MIN_INTERVAL, self.eager_count.saturating_sub(1));
            eager.max(self.min_interval).min(self.interval)
        } else {
            self.interval
        };
        Some(announced_at + delay.mul_f64(1.0 + self.stagger))
    }

    /// When something is to be done about the tracker.
    pub(super) fn wake_at(&self, wants_more: bool) -> Option<Instant> {
        match &self.state {
            State::Away { until } | State::Connecting { until } | State::Gathering { until } => {
                Some(*until)
            }
            State::Announced { reply_by, .. } => {
                let announce_at = self.announce_at(wants_more);
                announce_at.into_iter().chain(*reply_by).min()
            }
            State::Stopped => None,
        }
    }
}

fn backoff(first: Duration, count: u32) -> Duration {
    first.saturating_mul(2u32.saturating_pow(count.min(16)))
}

/// How often to announce until the tracker says: what WebTorrent clients use.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(120);

/// No tracker is announced to more often, whatever it says: one announce carries ten offers.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// Nor less often: trackers forget peers after 20 to 60 minutes.
pub(super) const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The first wait after a lost connection: a restarted tracker is back in a second or two.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The longest wait: thousands of viewers of a dead tracker cost it little, and find it again
/// within a minute.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(60);

/// How long a connection may take: TCP, TLS and WebSocket over a slow mobile line.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a reply may take before the connection counts as dead.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an announce waits for its offers: making ten takes 20 ms of a core natively; browsers
/// gather candidates for a second or two.
pub(super) const GATHER_TIMEOUT: Duration = Duration::from_secs(2);
