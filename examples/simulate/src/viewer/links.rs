//! Connections to other viewers: who is at the other end, and how much is in flight.

use std::{collections::VecDeque, time::Duration};

use p2pcdn::wire::{BLOCK_LEN, Instant, LinkId};

use crate::event::ActorId;

/// One side of a connection, or of an offer of one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: LinkId,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Our offer is out; who gets it is the tracker's choice.
    Offered {
        until: Instant,
    },
    /// Both sides know all they need.
    Opening {
        other: Other,
        by: Side,
        /// `None`: never.
        opens_at: Option<Instant>,
        until: Instant,
    },
    Open {
        other: Other,
        credit: Credit,
    },
}

/// The other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) actor: ActorId,
    /// Its number of the link.
    pub(super) link: LinkId,
}

/// Who offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Us,
    Them,
}

/// How we stand with somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Stranger,
    OfferedByUs(LinkId),
    OfferedByThem(LinkId),
    Open,
}

/// What became due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// An offer was not answered.
    Expired(LinkId),
    /// A connection can be used from now on.
    Opens(LinkId),
    /// A connection did not come about.
    Failed(LinkId),
    /// A send buffer has room again.
    Writable(LinkId),
}

/// All connections of one viewer.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// In order of their numbers, which are never given twice.
    list: Vec<Connection>,
    next: u64,
    neighbours: u16,
    due_at: Option<Instant>,
}

impl Links {
    /// A number for a new connection, which comes in at this stage.
    pub(super) fn add(&mut self, stage: Stage) -> LinkId {
        let link = LinkId(self.next);
        self.next += 1;
        self.list.push(Connection { link, stage });
        self.changed();
        link
    }

    pub(super) fn remove(&mut self, link: LinkId) -> Option<Connection> {
        let index = self.find(link)?;
        let removed = self.list.remove(index);
        self.list.shrink_to(self.list.len() * 2);
        self.changed();
        Some(removed)
    }

    pub(super) fn set_stage(&mut self, link: LinkId, stage: Stage) {
        if let Some(index) = self.find(link) {
            self.list[index].stage = stage;
            self.changed();
        }
    }

    pub(super) fn stage(&self, link: LinkId) -> Option<&Stage> {
        self.find(link).map(|index| &self.list[index].stage)
    }

    /// The other end and the credit of an open connection.
    pub(super) fn open_mut(&mut self, link: LinkId) -> Option<(Other, &mut Credit)> {
        let index = self.find(link)?;
        match &mut self.list[index].stage {
            Stage::Open { other, credit } => Some((*other, credit)),
            _ => None,
        }
    }

    /// Everything that became due by `now`, in order of the numbers; each is told again until it
    /// was dealt with.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Due> {
        if self.due_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let due = |connection: &Connection| {
            let link = connection.link;
            let at = connection.stage.due_at().filter(|at| *at <= now)?;
            Some(match connection.stage {
                Stage::Offered { .. } => Due::Expired(link),
                Stage::Opening { opens_at, .. } if opens_at == Some(at) => Due::Opens(link),
                Stage::Opening { .. } => Due::Failed(link),
                Stage::Open { .. } => Due::Writable(link),
            })
        };
        let due = self.list.iter().filter_map(due).collect();
        self.due_at = None;
        due
    }

    /// Has the times looked at again.
    pub(super) fn changed(&mut self) {
        let stages = || self.list.iter().map(|it| &it.stage);
        let neighbours = stages().filter(|it| it.other().is_some()).count();
        self.neighbours = u16::try_from(neighbours).unwrap_or(u16::MAX);
        self.due_at = stages().filter_map(Stage::due_at).min();
    }

    /// A connection may be due at `at`, if not earlier.
    pub(super) fn wake_by(&mut self, at: Instant) {
        self.due_at = Some(self.due_at.map_or(at, |due_at| due_at.min(at)));
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Those connected to, or about to be.
    pub(super) fn neighbour_count(&self) -> usize {
        usize::from(self.neighbours)
    }

    /// Offers that nobody answered yet.
    pub(super) fn offer_count(&self) -> usize {
        self.list.len() - self.neighbour_count()
    }

    pub(super) fn open_count(&self) -> usize {
        let is_open = |it: &&Connection| matches!(it.stage, Stage::Open { .. });
        self.list.iter().filter(is_open).count()
    }

    pub(super) fn standing(&self, with: ActorId) -> Standing {
        let is_with = |it: &&Connection| it.stage.other().is_some_and(|it| it.actor == with);
        match self.list.iter().find(is_with) {
            None => Standing::Stranger,
            Some(connection) => match connection.stage {
                Stage::Opening { by: Side::Us, .. } => Standing::OfferedByUs(connection.link),
                Stage::Opening { .. } => Standing::OfferedByThem(connection.link),
                _ => Standing::Open,
            },
        }
    }

    /// Drops the offers that are out.
    pub(super) fn drop_offers(&mut self) {
        self.list.retain(|it| it.stage.other().is_some());
        self.changed();
    }

    /// All other ends.
    pub(super) fn others(&self) -> impl Iterator<Item = Other> + '_ {
        self.list.iter().filter_map(|it| it.stage.other())
    }

    /// Bytes on the heap.
    pub(super) fn heap_len(&self) -> usize {
        let credits = self.list.iter().map(|it| match &it.stage {
            Stage::Open { credit, .. } => credit.in_flight.capacity() * size_of::<(Instant, u32)>(),
            _ => 0,
        });
        self.list.capacity() * size_of::<Connection>() + credits.sum::<usize>()
    }

    fn find(&self, link: LinkId) -> Option<usize> {
        self.list.binary_search_by_key(&link, |it| it.link).ok()
    }
}

impl Stage {
    pub(super) fn other(&self) -> Option<Other> {
        match self {
            Self::Offered { .. } => None,
            Self::Opening { other, .. } | Self::Open { other, .. } => Some(*other),
        }
    }

    fn due_at(&self) -> Option<Instant> {
        match self {
            Self::Offered { until } => Some(*until),
            Self::Opening {
                opens_at, until, ..
            } => Some(opens_at.unwrap_or(*until)),
            Self::Open { credit, .. } => credit.wake_at,
        }
    }
}

/// What SCTP takes on one connection: a window of bytes that were handed over and not acknowledged.
///
/// Acknowledgements are not sent, their time is known beforehand.
#[derive(Debug)]
pub(super) struct Credit {
    window: u32,
    /// What the session believes is free.
    told: u32,
    used: u32,
    /// When how much of it is acknowledged.
    in_flight: VecDeque<(Instant, u32)>,
    /// When the session is told of more; it is only while it can have been left waiting.
    wake_at: Option<Instant>,
}

impl Credit {
    /// With a window of so many bytes, of which a message at least always fits.
    pub(super) fn new(window: u64) -> Self {
        let window = window.clamp(MESSAGE_LEN, DATA_CAP);
        Self {
            window: window as u32,
            told: 0,
            used: 0,
            in_flight: VecDeque::new(),
            wake_at: None,
        }
    }

    /// What is free now, which the session is told.
    pub(super) fn tell(&mut self, now: Instant) -> u64 {
        self.release(now);
        self.told = self.window.saturating_sub(self.used);
        self.wake_at = None;
        self.plan_wake();
        u64::from(self.told)
    }

    /// Counts a message of `len` bytes that is acknowledged at `acknowledged_at`; returns when to
    /// tell the session of more, if it may now be waiting.
    pub(super) fn spend(
        &mut self,
        len: usize,
        acknowledged_at: Instant,
        now: Instant,
    ) -> Option<Instant> {
        self.release(now);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.used = self.used.saturating_add(len);
        self.told = self.told.saturating_sub(len);
        self.in_flight.push_back((acknowledged_at, len));
        self.plan_wake();
        self.wake_at
    }

    fn release(&mut self, now: Instant) {
        while let Some((at, len)) = self.in_flight.front().copied()
            && at <= now
        {
            self.in_flight.pop_front();
            self.used = self.used.saturating_sub(len);
        }
        if self.in_flight.is_empty() && self.in_flight.capacity() > IDLE_CAPACITY {
            self.in_flight = VecDeque::new();
        }
    }

    /// A session that may be waiting hears of more when half of the window is free, as a transport
    /// says it.
    fn plan_wake(&mut self) {
        if self.wake_at.is_some() || self.told >= self.window.min(2 * MESSAGE_LEN as u32) {
            return;
        }
        let wanted = (self.window / 2).max(MESSAGE_LEN as u32);
        let mut room = self.window.saturating_sub(self.used);
        for (at, len) in &self.in_flight {
            room = room.saturating_add(*len);
            if room >= wanted {
                self.wake_at = Some(*at);
                return;
            }
        }
    }
}

// A large world has some ten million of them.
const _: () = assert!(size_of::<Connection>() <= 96);

/// Of a send buffer of 128 KiB, what p2pcdn's transport keeps for control messages is not for data.
const DATA_CAP: u64 = (128 - 16) << 10;

/// A block as a message, at most. A session counts a whole one for each block, also for the shorter
/// last one of a segment: with less than two left it may have less than one.
const MESSAGE_LEN: u64 = BLOCK_LEN + 64;

/// Messages in flight that an idle connection keeps room for.
const IDLE_CAPACITY: usize = 4;

/// How long an offer waits for its answer, as the signalling of p2pcdn has it.
pub(super) const OFFER_TIMEOUT: Duration = Duration::from_secs(50);

/// How long a connection may take to open, as its WebRTC endpoint has it.
pub(super) const SETUP_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an open connection may be silent before it counts as lost, as its endpoint has it.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(7);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn a_sender_without_credit_is_woken_when_half_of_the_window_is_acknowledged() {
        let mut credit = Credit::new(128 << 10);
        assert_eq!(credit.tell(at(0)), 112 << 10);
        // Five blocks leave 114,688 - 5 x 16,404 = 32,668 bytes: less than two of the largest.
        for number in 1..=4 {
            assert_eq!(credit.spend(16_404, at(100 * number), at(0)), None);
        }
        // Room for 57,344 bytes: 32,668 + 2 x 16,404.
        assert_eq!(credit.spend(16_404, at(500), at(0)), Some(at(200)));
        assert_eq!(credit.tell(at(200)), 32_668 + 2 * 16_404);
        assert_eq!(credit.wake_at, None);
    }

    #[test]
    fn a_window_is_never_too_small_for_a_block() {
        let mut credit = Credit::new(1);
        assert_eq!(credit.tell(at(0)), 16_448);
        assert_eq!(credit.spend(16_404, at(70), at(0)), Some(at(70)));
        assert_eq!(credit.tell(at(70)), 16_448);
    }

    #[test]
    fn offers_expire_and_connections_open_or_fail_in_time() {
        let mut links = Links::default();
        let offered = links.add(Stage::Offered { until: at(50) });
        let other = Other {
            actor: 7,
            link: LinkId(3),
        };
        let opening = |opens_at| Stage::Opening {
            other,
            by: Side::Them,
            opens_at,
            until: at(15_000),
        };
        let opens = links.add(opening(Some(at(20))));
        let fails = links.add(opening(None));
        assert_eq!((links.offer_count(), links.neighbour_count()), (1, 2));
        assert_eq!(links.due_at(), Some(at(20)));
        assert_eq!(links.take_due(at(19)), []);
        assert_eq!(links.take_due(at(20)), [Due::Opens(opens)]);
        links.remove(opens);
        assert_eq!(links.take_due(at(50)), [Due::Expired(offered)]);
        links.remove(offered);
        assert_eq!(links.take_due(at(15_000)), [Due::Failed(fails)]);
    }
}
