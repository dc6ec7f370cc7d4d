//! What a [`Session`](super::Session) is told and what it wants done.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2pcdn_manifest::Presentation;
use p2pcdn_scheduler::{FetchId, MediaSpan, Playback, Policy};
use p2pcdn_transport::HttpError;
use p2pcdn_wire::{
    Channel, GoodbyeReason, LinkId, Message, PeerId, Role, SegmentId, SegmentRef, SwarmId, TrackId,
    Violation,
};

use crate::{
    authorisation::Standing, block_map::MapError, fetch::FetchError, fetch::FetchRequest,
    http_response::ResponseHead, maps::MapsConfig, network::Network, store::Mismatch,
};

/// Settings that hold for the life of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The swarm: that of the presentation.
    pub swarm: SwarmId,
    /// For the scheduler; this viewer's id is in it.
    pub scheduler: p2pcdn_scheduler::Config,
    /// For getting block maps.
    pub maps: MapsConfig,
    /// Connections to peers, at most; default 24. More are sent away, and so are those beyond half
    /// of it from one [`Network`].
    pub max_links: usize,
    /// Whose word is taken for the bytes of a segment. Default: the publisher's.
    pub integrity: Integrity,
    /// What a witness signs with, and what its draws start from: 32 bytes that nobody can guess, made
    /// anew for each session. Not used, and zeros by default, where the publisher signs.
    pub session_key: SessionKey,
    /// The network that this viewer is in, as neighbours see it; default `None`, unknown.
    pub network: Option<Network>,
}

/// Whose word is taken for the bytes of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integrity {
    /// The publisher's, whose key the store knows.
    #[default]
    Signed,
    /// That of viewers who read the segment over HTTP: nobody else signs anything.
    ///
    /// What comes from peers is then right with a probability only; the security document states
    /// which.
    Witnessed {
        /// How many of them, in different networks; 1 to 4, other values count as the nearest. Two
        /// are usual, [`Integrity::WITNESSES`].
        witnesses: u8,
    },
}

impl Integrity {
    /// Witnesses that are usually asked for.
    pub const WITNESSES: u8 = 2;
}

/// The secret of a session's Ed25519 key; `Debug` does not show it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionKey(pub [u8; 32]);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

impl SessionConfig {
    /// The defaults for the viewer `peer` in `swarm`.
    #[must_use]
    pub fn new(swarm: SwarmId, peer: PeerId) -> Self {
        Self {
            swarm,
            scheduler: p2pcdn_scheduler::Config::new(peer),
            maps: MapsConfig::default(),
            max_links: 24,
            integrity: Integrity::default(),
            session_key: SessionKey::default(),
            network: None,
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum SessionInput {
    /// The manifest was loaded, for the first time or again.
    PresentationUpdated(Arc<Presentation>),
    /// The viewer plays a track (`Watching`), or only keeps serving it (`Holding`).
    TrackRoleChanged {
        /// The track.
        track: TrackId,
        /// What the viewer does there.
        role: Role,
    },
    /// The player takes only this part of the timeline from a track that it watches, as after a
    /// change of rendition, before which it has what comes first in another track. A role that
    /// changes makes it all of the timeline again.
    TrackWanted {
        /// The track.
        track: TrackId,
        /// The part.
        span: MediaSpan,
    },
    /// The player moved, started, stalled, paused, sought; or simply reports.
    PlaybackChanged {
        /// What it is doing.
        playback: Playback,
        /// How far behind the newest moment of a live stream the playhead is, if known.
        latency: Option<Duration>,
    },
    /// The viewer's or the publisher's policy changed.
    PolicyChanged(Policy),
    /// The origin answered a manifest request.
    ManifestAnswered {
        /// The HTTP status.
        status: u16,
        /// From request to response head.
        ttfb: Duration,
        /// Bytes of the body.
        len: u64,
    },
    /// Something that is never shared came over HTTP: an init segment, a key.
    UnsharedReceived {
        /// Bytes.
        len: u64,
    },
    /// A connection to a peer opened.
    LinkOpened {
        /// Its link.
        link: LinkId,
        /// Where the peer is, as far as the shell knows: at most half of all links go to one
        /// network, so that an owner of many addresses in few places cannot take them all, and
        /// witnesses in one network count once.
        /// `None` where that is unknown, as in browsers, or private.
        network: Option<Network>,
    },
    /// A message came.
    LinkReceived {
        /// On which link.
        link: LinkId,
        /// On which channel.
        channel: Channel,
        /// The message, in one piece or with the payload apart, as the transport has it.
        message: Message,
    },
    /// The transport takes this many more bytes on a link now.
    LinkWritable {
        /// The link.
        link: LinkId,
        /// Bytes.
        credit: u64,
    },
    /// A connection is gone.
    LinkClosed {
        /// Its link.
        link: LinkId,
    },
    /// The head of an HTTP response came.
    FetchAnswered {
        /// The attempt.
        fetch: FetchId,
        /// The head.
        head: ResponseHead,
        /// From request to response head.
        ttfb: Duration,
    },
    /// Bytes of the body came.
    FetchReceived {
        /// The attempt.
        fetch: FetchId,
        /// The bytes.
        bytes: Bytes,
    },
    /// An HTTP attempt is over, regularly or not.
    FetchEnded {
        /// The attempt.
        fetch: FetchId,
        /// What the HTTP client says.
        result: Result<(), HttpError>,
    },
    /// The publisher read a segment from the origin and signed its block map.
    MapSigned {
        /// The segment.
        segment: SegmentRef,
        /// The encoded map.
        encoded: Bytes,
    },
    /// The sidecar answered.
    SidecarAnswered {
        /// The segment.
        segment: SegmentRef,
        /// The encoded map; `None` when it has none.
        encoded: Option<Bytes>,
    },
    /// The origin answered a request that only renews the authorisation.
    RenewalAnswered {
        /// The segment that was asked for.
        segment: SegmentRef,
        /// The HTTP status; `None` when there was no answer.
        status: Option<u16>,
    },
    /// The trackers count this many viewers.
    SwarmCounted {
        /// Viewers, dead ones included.
        viewers: u32,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOutput {
    /// Send an HTTP request, with the viewer's own headers.
    Fetch {
        /// The attempt.
        fetch: FetchId,
        /// The request.
        request: FetchRequest,
    },
    /// Give an attempt up. Nothing more is expected of it.
    CancelFetch {
        /// The attempt.
        fetch: FetchId,
    },
    /// Fetch a block map from the sidecar URL.
    FetchSidecar {
        /// The segment.
        segment: SegmentRef,
        /// Its full id, which names it there.
        id: SegmentId,
    },
    /// Ask the origin for one byte, to see that it still lets the viewer watch.
    RenewAuthorisation {
        /// The segment that it is a byte of.
        segment: SegmentRef,
        /// The request.
        request: FetchRequest,
    },
    /// Hand a message to the transport.
    Send {
        /// The link.
        link: LinkId,
        /// The channel.
        channel: Channel,
        /// The message.
        message: Message,
    },
    /// Close a connection.
    CloseLink {
        /// The link.
        link: LinkId,
    },
    /// Announce this viewer at the trackers and connect to peers.
    JoinSwarm,
    /// Leave the trackers. Links are closed apart.
    LeaveSwarm,
    /// Load a track's manifest now, if it was not loaded within a reload interval.
    ReloadManifest {
        /// The track.
        track: TrackId,
    },
    /// Something to know.
    Event(SessionEvent),
}

/// Something to know; may be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// More of a segment can be played.
    SegmentProgressed {
        /// The segment.
        segment: SegmentRef,
    },
    /// All of a segment can be played.
    SegmentCompleted {
        /// The segment.
        segment: SegmentRef,
    },
    /// An HTTP attempt at a segment failed. It is tried again as long as it is wanted.
    FetchFailed {
        /// The segment.
        segment: SegmentRef,
        /// Why.
        error: FetchError,
    },
    /// A segment has to come over HTTP, but the manifest no longer says where it is.
    Unlisted {
        /// The segment.
        segment: SegmentRef,
    },
    /// Bytes over HTTP contradict the block map or each other. What was played of the segment so
    /// far may be of another version than what follows.
    Mismatched {
        /// The segment.
        segment: SegmentRef,
        /// How.
        mismatch: Mismatch,
    },
    /// A peer can be talked to.
    PeerReady {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
    },
    /// A peer is gone, or was sent away.
    PeerGone {
        /// The link.
        link: LinkId,
        /// Why, when either side said so.
        reason: Option<GoodbyeReason>,
    },
    /// A peer broke the protocol.
    PeerViolated {
        /// The link.
        link: LinkId,
        /// How.
        violation: Violation,
    },
    /// A peer sent bytes that are not what the publisher signed; it is not connected to again.
    PeerCaught {
        /// The peer.
        peer: PeerId,
        /// The segment.
        segment: SegmentRef,
        /// The block.
        block: u32,
    },
    /// A block map was refused.
    MapRefused {
        /// The segment.
        segment: SegmentRef,
        /// Why.
        error: MapError,
    },
    /// Dealing with peers became possible or impossible.
    AuthorisationChanged(Standing),
}
