//! What the scheduler is told and what it decides.

use std::time::Duration;

use p2pcdn_metrics::HttpReason;
use p2pcdn_wire::{
    BitRate, BlockSet, ByteRange, GoodbyeReason, LinkId, MediaTime, PeerId, RequestId, Role, Said,
    Say, SegmentId, SegmentRef, TrackId, TrackIndex,
};

use crate::config::Policy;

/// One HTTP attempt, numbered by the scheduler and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

impl std::fmt::Display for FetchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fetch {}", self.0)
    }
}

/// Whether a segment may travel between peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// It may.
    #[default]
    Shared,
    /// Only HTTP carries it.
    HttpOnly,
}

/// A segment as the manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub segment: SegmentRef,
    /// Its full id.
    pub id: SegmentId,
    /// Where it starts on the timeline.
    pub start: MediaTime,
    /// How long it plays.
    pub duration: Duration,
    /// Whether peers may carry it.
    pub sharing: Sharing,
}

/// Whether a track still grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// Segments are added as they are produced.
    #[default]
    Live,
    /// All segments are listed.
    Ended,
}

/// What the player is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaybackState {
    /// It waits for its first frame, at the beginning or after a seek.
    #[default]
    Starting,
    /// The playhead moves in real time.
    Playing,
    /// It ran out of media.
    Stalled,
    /// The viewer paused it.
    Paused,
}

/// The player as of the moment of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playback {
    /// The playhead.
    pub position: MediaTime,
    /// What it is doing.
    pub state: PlaybackState,
    /// How far ahead of the playhead segments are wanted.
    pub buffer_target: Duration,
}

/// A stretch of the timeline, from `from` up to `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaSpan {
    /// Where it begins.
    pub from: MediaTime,
    /// Where it ends; before `from`, it is empty.
    pub until: MediaTime,
}

impl MediaSpan {
    /// All of the timeline.
    pub const ALL: Self = Self {
        from: MediaTime::from_nanos(i64::MIN),
        until: MediaTime::from_nanos(i64::MAX),
    };

    /// What lies in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }
}

/// Why an HTTP attempt ended without the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchFailure {
    /// Another attempt may succeed: a connection broke, a server error, a body cut short.
    Transient,
    /// The origin does not have it (yet).
    NotFound,
    /// The origin refuses this viewer.
    Unauthorised,
    /// The origin answers with something that cannot be used.
    Unusable,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The policy changed.
    PolicyChanged(Policy),
    /// The session entered a track or changed its role there.
    TrackJoined {
        /// Its number.
        track: TrackIndex,
        /// Its id.
        id: TrackId,
        /// What the viewer does there.
        role: Role,
        /// Its declared bandwidth, for sizes not known yet.
        bitrate: Option<BitRate>,
    },
    /// The player takes only this part of the timeline from a watched track: a player that changes
    /// its rendition has what comes before in another track, and does not ask for it again. All of
    /// it until this is told, and again whenever the track is joined or its role changes.
    TrackWanted {
        /// The track.
        track: TrackIndex,
        /// The part. Segments that lie in it with any of their duration are wanted.
        span: MediaSpan,
    },
    /// The manifest lists these segments of a track, in ascending order. Segments known already
    /// are not repeated.
    SegmentsListed {
        /// The track.
        track: TrackIndex,
        /// The new ones.
        segments: Vec<Listed>,
        /// The first ordinal that is still listed; earlier ones are gone from the origin soon.
        first: u64,
        /// Whether more will come.
        growth: Growth,
    },
    /// The player moved, started, stalled, paused, sought; or simply reports.
    PlaybackChanged(Playback),
    /// A link finished its hello.
    LinkReady {
        /// The link.
        link: LinkId,
        /// Who is on the other side.
        peer: PeerId,
    },
    /// A link is gone.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// A peer stated something.
    Peer(LinkId, Said),
    /// A block arrived from a peer; what it is worth follows in [`Input::Stored`] or
    /// [`Input::Corrupt`].
    BlockArrived {
        /// The link.
        link: LinkId,
        /// Our request that it answers.
        request: RequestId,
        /// The segment.
        segment: SegmentRef,
        /// The block.
        block: u32,
        /// Its bytes.
        len: u32,
    },
    /// The transport takes this many more bytes on a link now.
    Credit {
        /// The link.
        link: LinkId,
        /// Bytes.
        bytes: u64,
    },
    /// The segment's length is known, from its block map.
    MapKnown {
        /// The segment.
        segment: SegmentRef,
        /// Bytes.
        segment_len: u64,
    },
    /// The segment's length is known, from the origin.
    LengthKnown {
        /// The segment.
        segment: SegmentRef,
        /// Bytes.
        segment_len: u64,
    },
    /// Blocks were stored.
    Stored {
        /// The segment.
        segment: SegmentRef,
        /// Those that match the block map: may be announced and served.
        verified: BlockSet,
        /// Those from HTTP without a block map (yet): may only be played.
        private: BlockSet,
        /// Those from peers that wait for the block map.
        quarantined: BlockSet,
    },
    /// Quarantined blocks were dropped for want of room or of a block map.
    Dropped {
        /// The segment.
        segment: SegmentRef,
        /// The blocks.
        blocks: BlockSet,
    },
    /// A peer's block does not match the block map.
    Corrupt {
        /// The link.
        link: LinkId,
        /// The segment.
        segment: SegmentRef,
        /// The block.
        block: u32,
    },
    /// Everything held of a segment was dropped, because its bytes turned out to be of two versions.
    Cleared {
        /// The segment.
        segment: SegmentRef,
    },
    /// The session left a track, whose number means no other from then on: what is held of it is let
    /// go.
    TrackLeft {
        /// The track.
        track: TrackIndex,
    },
    /// The numbering of a track started anew: what was listed of it is another content.
    TrackReset {
        /// The track.
        track: TrackIndex,
    },
    /// What the origin serves to this viewer is not what the block map says, or is private: the
    /// segment comes over HTTP alone from now on. Everything held of it, except what came over
    /// HTTP, was dropped.
    Unshareable {
        /// The segment.
        segment: SegmentRef,
        /// Bytes, as far as the origin said.
        segment_len: Option<u64>,
        /// The blocks that remain, all from HTTP.
        private: BlockSet,
    },
    /// The head of an HTTP response came.
    OriginAnswered {
        /// The attempt; `None` for a manifest.
        fetch: Option<FetchId>,
        /// From request to response head.
        ttfb: Duration,
    },
    /// The body of an HTTP attempt grew.
    FetchProgressed {
        /// The attempt.
        fetch: FetchId,
        /// Offset in the segment up to which bytes have come.
        offset: u64,
    },
    /// An HTTP attempt is over.
    FetchEnded {
        /// The attempt.
        fetch: FetchId,
        /// How.
        result: Result<(), FetchFailure>,
    },
    /// The trackers count this many viewers, dead ones included.
    SwarmCounted {
        /// Viewers.
        viewers: u32,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Fetch a part of a segment over HTTP.
    Fetch {
        /// The attempt.
        fetch: FetchId,
        /// The segment.
        segment: SegmentRef,
        /// The bytes; an end of `u64::MAX` means up to the end, whose place is not known yet.
        range: ByteRange,
        /// Why peers do not.
        reason: HttpReason,
    },
    /// Give an attempt up. No [`Input::FetchEnded`] is expected of it.
    CancelFetch {
        /// The attempt.
        fetch: FetchId,
    },
    /// Say something to a peer.
    Peer(LinkId, Say),
    /// Send one block that a peer requested.
    Serve {
        /// The link.
        link: LinkId,
        /// The peer's request.
        request: RequestId,
        /// The segment.
        segment: SegmentRef,
        /// The block.
        block: u32,
    },
    /// Forget the bytes of a segment.
    Evict {
        /// The segment.
        segment: SegmentRef,
    },
    /// Close a link, after saying why.
    Disconnect {
        /// The link.
        link: LinkId,
        /// Why.
        reason: GoodbyeReason,
    },
    /// Something to know.
    Event(Event),
}

/// Something to know; may be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A neighbour spoke of a segment that the manifest does not list yet: reloading it now
    /// saves the rest of the reload interval.
    NewsHeard {
        /// The track.
        track: TrackIndex,
    },
    /// All bytes of a segment are there.
    SegmentCompleted {
        /// The segment.
        segment: SegmentRef,
    },
    /// A segment cannot be had: the origin failed it and no peer has it. It is tried again as
    /// long as it is wanted.
    SegmentFailed {
        /// The segment.
        segment: SegmentRef,
        /// What the origin's last answer was.
        failure: FetchFailure,
    },
    /// A peer sent bytes that are not what the publisher signed.
    PeerCaught {
        /// The peer, never to be connected to again.
        peer: PeerId,
        /// The segment.
        segment: SegmentRef,
        /// The block.
        block: u32,
    },
    /// A neighbour was let go of because nothing, or little, was exchanged with it.
    PeerLetGo {
        /// The peer, not to be connected to again soon.
        peer: PeerId,
    },
}

// Every queued output costs this much; a session's queues are budgeted on it.
const _: () = assert!(size_of::<Output>() <= 88);
