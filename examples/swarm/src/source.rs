//! Where a player gets everything from.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use p2pcdn::{
    manifest::{Segment, Segments},
    metrics::Delivery,
    wire::{BitRate, ByteRange, MediaTime, TrackId},
};

use crate::player::Status;

/// One viewer's access to one presentation: over plain HTTP, or with the help of peers.
#[async_trait]
pub trait Source: Send + Sync {
    /// Waits for the manifest and returns the video tracks, by rising bandwidth.
    async fn rungs(&self) -> Result<Vec<Rung>, SourceError>;

    /// Waits for segments of `track` that differ from `seen`; with `None` the latest will do. From
    /// now on the viewer plays this track.
    async fn segments(
        &self,
        track: TrackId,
        seen: Option<&Segments>,
    ) -> Result<Segments, SourceError>;

    /// Starts to fetch one URL of the presentation. Dropping the body cancels it.
    async fn fetch(&self, url: &str, range: Option<ByteRange>) -> Result<Body, SourceError>;

    /// Takes note of where the viewer is.
    async fn report(&self, playback: PlaybackReport);

    /// What the viewer's adaptation may count on; `None` while nothing is known.
    async fn throughput(&self) -> Option<BitRate>;

    /// Where the `len` bytes of a segment that has been fetched came from.
    async fn split(&self, track: TrackId, segment: &Segment, len: u64) -> Split;

    /// All that was delivered so far.
    async fn delivery(&self) -> Delivery;

    /// Says goodbye, and waits until that is done.
    async fn leave(&self);
}

/// A track that a player can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The track.
    pub track: TrackId,
    /// What the manifest declares; zero where it declares nothing.
    pub bandwidth: BitRate,
}

/// The bytes of a resource as they come. After an error there is nothing more.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>;

/// Useful bytes of one segment, by where they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Over HTTP.
    pub http_bytes: u64,
    /// From peers.
    pub peer_bytes: u64,
}

/// Where a viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaybackReport {
    /// What the player does.
    pub status: Status,
    /// The playhead; before the first frame where it will start, `None` while that is unknown.
    pub position: Option<MediaTime>,
    /// Media ahead of the playhead.
    pub buffered: Duration,
    /// How far the playhead is behind the dates in the manifest; `None` where it has none, and
    /// before the first frame.
    pub latency: Option<Duration>,
    /// How far ahead of the playhead the player loads.
    pub buffer_target: Duration,
}

/// Why a source has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The origin answered with this status.
    #[error("the origin answered {0}")]
    Status(u16),
    /// Nothing came for too long.
    #[error("no answer for too long")]
    Timeout,
    /// The connection or the transfer broke.
    #[error("transfer failed: {0}")]
    Transfer(String),
    /// The manifest cannot be used.
    #[error("manifest: {0}")]
    Manifest(String),
}
