//! What goes into the signalling machine and what comes out.

use std::{fmt, time::Duration};

use p2pcdn_wire::{LinkId, PeerId};

use crate::peer::{PeerCommand, Sdp};

/// A tracker, by its place in [`SignallingConfig::trackers`](super::SignallingConfig::trackers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(pub u16);

impl fmt::Display for TrackerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tracker {}", self.0)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignallingInput {
    /// The WebSocket to a tracker is open.
    Connected(TrackerId),
    /// The WebSocket ended, or could not be opened.
    Disconnected(TrackerId),
    /// A text frame came.
    Received(TrackerId, String),
    /// The transport described a link: [`PeerEvent::Described`](crate::PeerEvent::Described).
    Described(LinkId, Sdp),
    /// A link opened.
    Opened(LinkId),
    /// A link ended, whoever ended it: also when the session closed it itself.
    Closed(LinkId),
    /// Another number of neighbours is looked for.
    WantedChanged(usize),
    /// We leave the swarm. Links that are open or opening stay; nothing more comes out after this.
    Stopped,
}

/// What to do, or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignallingOutput {
    /// Open a WebSocket to this URL.
    Connect(TrackerId, String),
    /// Close the WebSocket once everything was sent. No [`SignallingInput::Disconnected`] is
    /// needed.
    Disconnect(TrackerId),
    /// Send a text frame.
    Send(TrackerId, String),
    /// Hand this to the transport.
    Peer(PeerCommand),
    /// Something to know.
    Event(SignallingEvent),
}

/// What may be of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignallingEvent {
    /// A tracker took our announce.
    Announced {
        /// Which one.
        tracker: TrackerId,
        /// How often it wants announces, unless neighbours are missing. Within 5 s and an hour.
        interval: Duration,
        /// Peers that hold everything, as it counts them; trackers count the departed for many
        /// minutes.
        complete: u32,
        /// Other peers, ourselves included.
        incomplete: u32,
    },
    /// A peer offered a connection and we accept it.
    OfferReceived {
        /// The tracker that relayed it.
        tracker: TrackerId,
        /// The peer.
        from: PeerId,
        /// Our number of the link.
        link: LinkId,
    },
    /// A peer answered an offer of ours.
    AnswerReceived {
        /// The tracker that relayed it.
        tracker: TrackerId,
        /// The peer.
        from: PeerId,
        /// Our number of the link.
        link: LinkId,
    },
    /// A message was not acted upon.
    Ignored {
        /// The tracker that it came from.
        tracker: TrackerId,
        /// Why.
        reason: IgnoreReason,
    },
    /// A tracker warned us, in its own words, 200 characters at most.
    Warned(TrackerId, String),
    /// A tracker refused our announce, in its own words, 200 characters at most.
    Refused(TrackerId, String),
    /// A tracker could not be reached, or fell silent; it is tried again.
    Unreachable(TrackerId),
}

/// Why a message of a tracker was not acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// It is longer than 64 KiB.
    TooLong,
    /// It is not a message of a WebTorrent tracker.
    Malformed,
    /// It is about another swarm.
    OtherSwarm,
    /// Our own offer or answer came back.
    Own,
    /// It answers an offer that we did not make, or no longer wait for.
    UnknownOffer,
    /// A link to that peer is open or opening.
    AlreadyConnected,
    /// Both sides offered at once, and the other connection is kept.
    Glare,
    /// We have enough neighbours.
    Full,
}
