//! What a scheduler can be told to do differently.

use std::time::Duration;

use p2pcdn_wire::{BitRate, PeerId, UploadClass};

/// Settings that hold for the life of a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This viewer's own id: its draws in the duty election come from it.
    pub peer: PeerId,
    /// Bytes of segments kept in memory; default 64 MiB, three minutes at 3 Mb/s. What the player
    /// still needs is kept even beyond.
    pub memory_budget: u64,
    /// How long media stays in memory after it was played, to serve viewers further behind;
    /// default 60 s. Zero drops it at once.
    pub keep_behind: Duration,
    /// How long after peer transfer was allowed a viewer without neighbours still expects some and
    /// lets segments wait for them, as far as their slack allows; default 3 s, a tracker's answer
    /// and an ICE set-up on a slow line.
    pub expect_peers_for: Duration,
    /// Safety on top of every estimate of how long HTTP takes; default 250 ms, a retransmission
    /// time-out of TCP (RFC 6298 minimum as Linux has it, 200 ms) and a scheduling delay.
    pub margin: Duration,
    /// Neighbours from which on the least useful ones are let go of, so that better ones find room;
    /// default 16, four times those that forward a block, so that no block's way depends on one of
    /// them. Useless ones are let go of below it only when none is of use.
    pub neighbours: usize,
    /// How many viewers are to fetch each segment over HTTP: default 1, enough where its bytes prove
    /// themselves; as many as witnesses are needed where fetchers vouch for them. Zero counts as 1.
    pub duty_copies: u32,
    /// The throughput assumed before anything was measured; default 4 Mb/s.
    pub throughput_prior: BitRate,
    /// The time to first byte assumed before anything was measured; default 200 ms.
    pub ttfb_prior: Duration,
}

impl Config {
    /// The defaults for the viewer called `peer`.
    #[must_use]
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            memory_budget: 64 << 20,
            keep_behind: Duration::from_secs(60),
            expect_peers_for: Duration::from_secs(3),
            margin: Duration::from_millis(250),
            neighbours: 16,
            duty_copies: 1,
            throughput_prior: BitRate::from_bps(4_000_000),
            ttfb_prior: Duration::from_millis(200),
        }
    }
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// It is done.
    #[default]
    On,
    /// It is not done.
    Off,
}

impl Switch {
    /// Whether it is [`Switch::On`].
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// What may be done with peers; can change at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Taking segments from peers and serving them; off means plain HTTP.
    pub peer_transfer: Switch,
    /// Serving segments to peers.
    pub upload: Switch,
    /// Bits per second of content served to all peers together; `None` (the default) sets no
    /// limit, zero serves nothing.
    pub upload_limit: Option<BitRate>,
    /// What this viewer declares of its uplink; with uploads off it declares
    /// [`UploadClass::None`].
    pub upload_class: UploadClass,
}

impl Policy {
    /// The class that peers are told.
    #[must_use]
    pub fn effective_class(&self) -> UploadClass {
        if self.may_upload() {
            self.upload_class
        } else {
            UploadClass::None
        }
    }

    /// Whether anything may be served.
    #[must_use]
    pub fn may_upload(&self) -> bool {
        self.peer_transfer.is_on()
            && self.upload.is_on()
            && self.upload_limit != Some(BitRate::ZERO)
    }
}
