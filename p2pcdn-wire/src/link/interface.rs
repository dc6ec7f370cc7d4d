//! What a [`Link`](super::Link) is told and what it answers.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::{
    channel::{Channel, Message},
    id::{PeerId, RequestId, SegmentRef, SwarmId, TrackId, TrackIndex, WitnessKey},
    limits::{HELLO_TIMEOUT, PING_INTERVAL},
    message::{DecodeError, Handle},
    say::{GoodbyeReason, MapData, Payload, Role, Said, Say, UploadClass},
};

/// What a link says of this side in its hello, and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// This side.
    pub peer: PeerId,
    /// The swarm; a peer of another one is sent away.
    pub swarm: SwarmId,
    /// How much this side uploads. Default: [`UploadClass::Normal`].
    pub class: UploadClass,
    /// The tracks joined at the start: at most [`MAX_TRACKS`](crate::MAX_TRACKS), the rest is left
    /// out. Default: none.
    pub tracks: Vec<(TrackIndex, TrackId, Role)>,
    /// Proof that this side may be in the swarm: at most [`MAX_PROOF_LEN`](crate::MAX_PROOF_LEN)
    /// bytes, a longer one is left out. Default: empty, none.
    pub proof: Bytes,
    /// The key with which this side signs block maps as a witness. Default: `None`, it signs none.
    pub witness: Option<WitnessKey>,
    /// How long the peer's hello may take after the channels opened. Default: [`HELLO_TIMEOUT`].
    pub hello_timeout: Duration,
    /// How often the round-trip time is measured; zero: never. Default: [`PING_INTERVAL`].
    pub ping_interval: Duration,
}

impl LinkConfig {
    /// The defaults, which need to know who this side is and which swarm it is in.
    #[must_use]
    pub const fn new(peer: PeerId, swarm: SwarmId) -> Self {
        Self {
            peer,
            swarm,
            class: UploadClass::Normal,
            tracks: Vec::new(),
            proof: Bytes::new(),
            witness: None,
            hello_timeout: HELLO_TIMEOUT,
            ping_interval: PING_INTERVAL,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkInput {
    /// Both channels are open.
    Opened,
    /// A message arrived.
    Received {
        /// The channel it came on.
        channel: Channel,
        /// Its bytes, in one piece or with the payload apart.
        message: Message,
    },
    /// We have something to state.
    ///
    /// Not sent, because the peer could not use it: what comes before
    /// [`LinkEvent::Ready`] (except joining, leaving, the class and goodbye), what is about a track
    /// that the two sides do not share, a block or reject that no outstanding request of the peer
    /// asks for, a cancel of a request that is over, and what is beyond the limits of the protocol.
    /// Of these a request is answered by [`Said::Reject`], so that every request ends.
    Say(Say),
    /// The peer broke the protocol in a way that shows only outside of the link: in what it handed
    /// on, or in how much.
    Violated(Violation),
}

/// What to do, or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    /// Send a message.
    Send {
        /// On which channel.
        channel: Channel,
        /// The message.
        message: Message,
    },
    /// The peer stated something.
    Said(Said),
    /// A block arrived that an outstanding request asks for.
    Block {
        /// The segment.
        segment: SegmentRef,
        /// Our number of the request.
        request: RequestId,
        /// Which block.
        block: u32,
        /// Its bytes, 1 to [`BLOCK_LEN`](crate::BLOCK_LEN).
        payload: Payload,
    },
    /// A block map arrived, asked for or not.
    Map(MapData),
    /// Close the connection once what was sent before has left. Nothing follows but
    /// [`LinkEvent::Closed`].
    Close(GoodbyeReason),
    /// Something happened.
    Event(LinkEvent),
}

/// What may be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The hellos have been exchanged: the two can talk.
    Ready {
        /// The other side, as it calls itself.
        peer: PeerId,
        /// The version of the protocol that both speak.
        version: u32,
    },
    /// The key under which the other side signs block maps as a witness, as it says; follows
    /// `Ready`.
    Witness(WitnessKey),
    /// Bytes of a block arrived that we had requested but no longer want.
    Wasted {
        /// How many.
        len: u64,
    },
    /// A message was dropped unread, because the peer sent more than anybody has a use for.
    Dropped,
    /// The peer broke the protocol; at the last allowed time the link closes.
    Violation(Violation),
    /// The link is over.
    Closed {
        /// Who ended it.
        by: Side,
        /// Why.
        reason: GoodbyeReason,
    },
}

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// This end.
    Us,
    /// The other end.
    Peer,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// The bytes are no message.
    #[error("a message {0}")]
    Malformed(#[from] DecodeError),
    /// A block on the control channel, or something else on the data channel.
    #[error("a message on the {0:?} channel that belongs on the other")]
    WrongChannel(Channel),
    /// No hello in time.
    #[error("no hello in time")]
    HelloTimeout,
    /// Something else before the hello.
    #[error("a message before the hello")]
    BeforeHello,
    /// A repeated hello with another peer id or swarm.
    #[error("a repeated hello with another peer or swarm")]
    IdentityChanged,
    /// A repeated hello that gives the number of a joined track to another one.
    #[error("a repeated hello that gives handle {} to another track", .0.0)]
    HandleReassigned(Handle),
    /// A statement about a track that is in no hello.
    #[error("a statement about handle {}, which is in no hello", .0.0)]
    UnknownHandle(Handle),
    /// A request whose number is not greater than all before.
    #[error("{0} out of order")]
    RequestOrder(RequestId),
    /// More than [`MAX_REQUESTS`](crate::MAX_REQUESTS) outstanding requests.
    #[error("{0} is one too many")]
    TooManyRequests(RequestId),
    /// A block that was never requested, or came twice.
    #[error("block {block} of {request} was not asked for")]
    Unrequested {
        /// The request it claims to answer, as numbered on the wire.
        request: RequestId,
        /// Which block.
        block: u32,
    },
    /// A block map that its sender cannot have found to be right, as everybody does before handing
    /// one on.
    #[error("a block map that no honest peer hands on")]
    ForgedMap,
    /// More to do than anybody has a use for, for seconds. The first time is enough.
    #[error("messages far beyond what sharing takes")]
    Flooding,
}

// Queued outputs are part of a session's memory budget.
const _: () = assert!(size_of::<LinkOutput>() <= 80);
