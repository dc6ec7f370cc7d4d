//! What happens between the actors of a world.

use std::time::Duration;

use p2pcdn::wire::{Channel, Instant, LinkId, Message};

/// A viewer, an edge or the tracker, by number: viewers come first, as many as the population has
/// people, then the edges, then the tracker.
pub type ActorId = u32;

/// One thing that happens to one actor.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: Instant,
    pub to: ActorId,
    /// With `serial`, the order among events of one moment, the same however many threads run.
    pub from: ActorId,
    pub serial: u32,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// To a viewer, by itself.
    Timer(Timer),
    /// Viewer to edge.
    Request(Request),
    /// Viewer to edge: `count` more chunks may be sent.
    Acknowledged { request: u32, count: u8 },
    /// Viewer to edge.
    Cancelled { request: u32 },
    /// Edge to viewer.
    Answer { request: u32, answer: Answer },
    /// Viewer to viewer. Arrives at the receiver's access line, whose downlink it has yet to pass.
    Packet {
        /// The receiver's number of the link.
        link: LinkId,
        channel: Channel,
        message: Message,
    },
    /// Viewer to viewer: the other side closed the connection.
    LinkClosed { link: LinkId },
    /// Between viewers and the tracker.
    Signal(Box<Signal>),
}

/// A viewer's own timers.
#[derive(Clone, Debug, PartialEq)]
pub enum Timer {
    /// The viewer arrives.
    Arrive,
    /// The viewer leaves.
    Depart { crash: bool },
    /// The session wants to be woken.
    Session,
    /// The player's next moment: stall, resume, report, decision.
    Player,
    /// The manifest is to be polled.
    Poll,
    /// A habit of its person: pause, resume, seek. The number in `Person::habits`.
    Habit(u16),
    /// What came over the network has passed the downlink.
    Passed,
    /// A send buffer has room again.
    Writable,
    /// A connection is set up, if it can be.
    Connected { link: LinkId },
    /// Announce again, if neighbours are missing.
    Announce,
    /// For adversaries.
    Mischief,
    /// An edge's: more of the body of this answer may be sent.
    Flow { viewer: ActorId, request: u32 },
    /// An edge's: its line is free again.
    Line,
}

/// An HTTP request, as far as an edge cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The viewer's number of it.
    pub request: u32,
    pub resource: Resource,
    /// The draw for its time to first byte: the same in both worlds for the same resource and try.
    pub ttfb_draw: u64,
    /// The largest rate that the path's round trip and loss allow, in bits per second.
    pub rate_cap: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The manifest of the track of this number.
    Manifest { track: u16 },
    /// Bytes of a segment.
    Segment {
        track: u16,
        ordinal: u64,
        start: u64,
        end: u64,
    },
    /// A signed block map.
    Map { track: u16, ordinal: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The response head.
    Head {
        status: u16,
        /// Bytes of the body.
        len: u64,
        /// For a manifest: how many segments of the event are published.
        published: u64,
        /// From request to response head, as the edge took it.
        took: Duration,
    },
    /// Bytes of the body; arrives at the viewer's access line.
    Chunk { len: u32, last: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Viewer to tracker. `links` are the sender's numbers of the links that it offers.
    Announce { links: Vec<LinkId>, leaving: bool },
    /// Tracker to viewer.
    Announced { viewers: u32, interval: Duration },
    /// Tracker to viewer: `from` offers a connection.
    Offer { from: ActorId, their_link: LinkId },
    /// Viewer to viewer by way of the tracker: the answer to an offer. The connection opens at
    /// `opens_at` on both sides, if ever.
    Answer {
        from: ActorId,
        link: LinkId,
        their_link: LinkId,
        opens_at: Option<Instant>,
    },
}

impl From<Timer> for What {
    fn from(timer: Timer) -> Self {
        Self::Timer(timer)
    }
}
