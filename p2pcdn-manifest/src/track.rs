//! Tracks: what a player can choose from.

use std::sync::Arc;

use p2pcdn_wire::{BitRate, MediaTime, TrackId};

use crate::segments::Segments;

/// One sequence of segments that is fetched as such: an HLS media playlist, a DASH representation in
/// one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name, the same for every viewer.
    pub id: TrackId,
    /// What it carries.
    pub kind: TrackKind,
    /// The manifest that lists its segments, absolute, with the viewer's own query. HLS: its media
    /// playlist. DASH: the MPD. Progressive: the resource.
    pub url: Arc<str>,
    /// Which of the presentation's [`switching_sets`](crate::Presentation::switching_sets) it is
    /// in.
    pub switching_set: usize,
    /// The stretch of the timeline that it covers; `None` for all of it. DASH: its period.
    pub period: Option<MediaSpan>,
    /// Peak bandwidth the manifest declares; `None` for HLS renditions.
    pub bandwidth: Option<BitRate>,
    /// Codecs as the manifest writes them (RFC 6381).
    pub codecs: Option<Arc<str>>,
    /// Picture size.
    pub resolution: Option<Resolution>,
    /// Language as the manifest writes it (RFC 5646).
    pub language: Option<Arc<str>>,
    /// Name for people.
    pub name: Option<Arc<str>>,
    /// The segments; `None` until loaded.
    pub segments: Option<Segments>,
}

impl Track {
    /// Of which only this is known.
    pub(crate) fn new(id: TrackId, kind: TrackKind, url: Arc<str>) -> Self {
        Self {
            id,
            kind,
            url,
            switching_set: 0,
            period: None,
            bandwidth: None,
            codecs: None,
            resolution: None,
            language: None,
            name: None,
            segments: None,
        }
    }
}

/// A stretch of the timeline of the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaSpan {
    /// Where it begins.
    pub start: MediaTime,
    /// Where it ends; `None` when that is not known yet.
    pub end: Option<MediaTime>,
}

/// Tracks that are the same content at different quality, between which a player may switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchingSet {
    /// What they carry.
    pub kind: TrackKind,
    /// Language as the manifest writes it (RFC 5646).
    pub language: Option<Arc<str>>,
    /// Name for people.
    pub name: Option<Arc<str>>,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackKind {
    /// Video, alone or together with audio; also what cannot be told from the manifest.
    Video,
    /// Audio alone.
    Audio,
    /// Subtitles.
    Subtitles,
    /// Single pictures for fast seeking, usually byte ranges of a video track's resources.
    IFrames,
    /// Pictures in a grid, for a seek bar.
    Images,
}

impl TrackKind {
    /// The word that stands for it in a track's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Subtitles => "subtitles",
            Self::IFrames => "iframes",
            Self::Images => "images",
        }
    }
}

/// A picture size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolution {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}
