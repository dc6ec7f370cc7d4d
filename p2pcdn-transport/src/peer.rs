//! What every stack of peer connections offers: commands in, events out.

use std::fmt;

use bytes::Bytes;
use p2pcdn_wire::{Channel, Fingerprint, Instant, LinkId, Message};

/// Connections to peers, two data channels each.
///
/// Commands go in, events come out, because a browser's session descriptions are asynchronous and
/// its callbacks fill a queue. There is no `Send` bound: who needs one adds it.
///
/// The contract is that of every machine here: after any `handle_*` or [`try_send`](Self::try_send)
/// drain [`poll_event`](Self::poll_event) to `None`, then wait for
/// [`poll_timeout`](Self::poll_timeout) or the next input. Commands about links that ended or never
/// were are ignored.
pub trait PeerTransport {
    /// Carries out a command.
    fn handle_command(&mut self, command: PeerCommand, now: Instant);

    /// Hands a message to a link.
    ///
    /// # Errors
    ///
    /// The message itself, when the link is not open, its send buffer is full, or the message is
    /// longer than [`MAX_MESSAGE_LEN`](p2pcdn_wire::MAX_MESSAGE_LEN). A full link says
    /// [`PeerEvent::Writable`] later.
    fn try_send(
        &mut self,
        to: LinkId,
        channel: Channel,
        message: Message,
        now: Instant,
    ) -> Result<(), Message>;

    /// Tells the transport that it is now `now`.
    fn handle_timeout(&mut self, now: Instant);

    /// What happened next; `None` when there is nothing more.
    #[must_use]
    fn poll_event(&mut self) -> Option<PeerEvent>;

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when only an input can
    /// change anything.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What a transport is told to do.
///
/// The caller numbers the links and never reuses a number; a command with a number in use is
/// ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerCommand {
    /// Make an offer; answered by [`PeerEvent::Described`].
    Offer(LinkId, ChannelPlan),
    /// Accept a peer's offer; answered by [`PeerEvent::Described`] with our answer. The plan is
    /// needed on this side too, because negotiated channels are not announced.
    Accept(LinkId, ChannelPlan, Sdp),
    /// Complete our offer with the peer's answer.
    Complete(LinkId, Sdp),
    /// End a link, or forget an offer. What was handed over before is sent if it can be at once;
    /// nothing more is said about the link.
    Close(LinkId),
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// Our offer or answer, complete with candidates: nothing is trickled.
    Described(LinkId, Sdp),
    /// Both channels are open. A [`Writable`](Self::Writable) with the initial credit follows.
    Opened(LinkId, Fingerprints),
    /// A message arrived.
    Received(LinkId, Channel, Bytes),
    /// The data channel takes at least this many more bytes. Replaces what was said before: a
    /// sender that subtracts what it hands over, and waits when nothing is left, is always told
    /// again.
    Writable(LinkId, usize),
    /// The link ended, or never opened. Not said after [`PeerCommand::Close`].
    Closed(LinkId, CloseReason),
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed it.
    Remote,
    /// Nothing was heard from the other side for too long.
    Lost,
    /// It did not open in time, or the offer was not answered in time.
    SetupTimeout,
    /// There are as many links, or as many unopened ones, as may be.
    TooManyLinks,
    /// The session description is malformed or asks for something else than data channels.
    BadDescription,
    /// The other side opened channels that were not agreed on, or sent messages that are too long.
    Violation,
    /// The stack below failed, for example because the certificate does not match.
    Failed,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Remote => "closed by the peer",
            Self::Lost => "the peer fell silent",
            Self::SetupTimeout => "the connection did not open in time",
            Self::TooManyLinks => "too many connections",
            Self::BadDescription => "unusable session description",
            Self::Violation => "the peer broke the channel plan",
            Self::Failed => "the connection failed",
        })
    }
}

/// The certificates of both ends, which tickets and possession checks bind to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprints {
    /// Ours.
    pub local: Fingerprint,
    /// The peer's, as its handshake proved.
    pub remote: Fingerprint,
}

/// A session description, complete with candidates.
///
/// `Debug` prints its length only: it holds addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct Sdp(String);

impl Sdp {
    /// The description with this text, which nothing has looked at yet.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}

/// The channels of a link, as its dialect wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelPlan {
    /// What [`Channel::Control`] is.
    pub control: ChannelSpec,
    /// What [`Channel::Data`] is.
    pub data: ChannelSpec,
}

impl ChannelPlan {
    /// The channels of `p2pcdn/1`: 0 ordered for control, 1 unordered for blocks, both reliable
    /// and negotiated beforehand, which saves their announcement a round trip.
    pub const P2PCDN_1: Self = Self {
        control: ChannelSpec {
            label: "control",
            stream_id: Channel::Control.id(),
            delivery: Delivery::Ordered,
        },
        data: ChannelSpec {
            label: "data",
            stream_id: Channel::Data.id(),
            delivery: Delivery::Unordered,
        },
    };
}

/// One reliable data channel, negotiated beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelSpec {
    /// Its label, which peers do not see.
    pub label: &'static str,
    /// Its id, the same on both sides (RFC 8832 calls it the stream id).
    pub stream_id: u16,
    /// In which order messages arrive.
    pub delivery: Delivery,
}

/// In which order the messages of a reliable channel arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// As they were sent.
    Ordered,
    /// As they come: a lost datagram delays only its own message.
    Unordered,
}
