//! Multivariant playlists as values.

use std::sync::Arc;

use p2pcdn_wire::BitRate;

use super::{Variables, start::StartPoint};
use crate::{
    error::Warning,
    key::{Key, KeyUrl},
    track::Resolution,
};

/// A multivariant playlist: the tracks of a presentation, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multivariant {
    /// `EXT-X-STREAM-INF` and `EXT-X-I-FRAME-STREAM-INF`.
    pub variants: Vec<Variant>,
    /// `EXT-X-MEDIA`.
    pub renditions: Vec<Rendition>,
    /// `EXT-X-SESSION-KEY`.
    pub session_keys: Vec<Key>,
    /// Every key URL in it, also of a stray `EXT-X-KEY`.
    pub key_urls: Vec<KeyUrl>,
    /// `EXT-X-SESSION-DATA`, at most [`MAX_REPORTS`](crate::MAX_REPORTS).
    pub session_data: Vec<SessionData>,
    /// `EXT-X-CONTENT-STEERING`.
    pub steering: Option<ContentSteering>,
    /// `EXT-X-INDEPENDENT-SEGMENTS`: each segment of each track can be decoded without another.
    pub is_independent: bool,
    /// `EXT-X-START`.
    pub start: Option<StartPoint>,
    /// What is wrong with it.
    pub warnings: Vec<Warning>,
    /// What its media playlists may import.
    pub(crate) variables: Variables,
}

impl Multivariant {
    /// The URLs that are never shared: those of keys, and of the server that steers.
    pub(crate) fn never_shared(&self) -> impl Iterator<Item = KeyUrl> {
        let keys = self.key_urls.iter().cloned();
        let steering = self.steering.iter();
        keys.chain(steering.map(|steering| KeyUrl::new(steering.url.clone())))
    }

    /// The pathways that its variants are on, each once, in order of appearance; a variant without
    /// one is on `.` (RFC 8216bis section 4.4.6.2).
    #[must_use]
    pub fn pathways(&self) -> Vec<&str> {
        let mut pathways: Vec<&str> = Vec::new();
        for variant in &self.variants {
            let pathway = variant.pathway.as_deref().unwrap_or(".");
            if !pathways.contains(&pathway) {
                pathways.push(pathway);
            }
        }
        pathways
    }
}

/// `EXT-X-STREAM-INF` or `EXT-X-I-FRAME-STREAM-INF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Which of the two.
    pub kind: VariantKind,
    /// Its media playlist.
    pub url: Arc<str>,
    /// The same had the multivariant playlist not been redirected.
    pub(crate) first_url: Arc<str>,
    /// `BANDWIDTH`: the peak.
    pub bandwidth: Option<BitRate>,
    /// `AVERAGE-BANDWIDTH`.
    pub average_bandwidth: Option<BitRate>,
    /// `SCORE` as written: the more the better, among all variants.
    pub score: Option<Arc<str>>,
    /// `CODECS`.
    pub codecs: Option<Arc<str>>,
    /// `SUPPLEMENTAL-CODECS`: what a player may decode it as instead.
    pub supplemental_codecs: Option<Arc<str>>,
    /// `RESOLUTION`.
    pub resolution: Option<Resolution>,
    /// `FRAME-RATE` as written.
    pub frame_rate: Option<Arc<str>>,
    /// `HDCP-LEVEL`.
    pub hdcp_level: Option<Arc<str>>,
    /// `ALLOWED-CPC` as written.
    pub allowed_cpc: Option<Arc<str>>,
    /// `VIDEO-RANGE`.
    pub video_range: Option<Arc<str>>,
    /// `REQ-VIDEO-LAYOUT`, such as `CH-STEREO`.
    pub video_layout: Option<Arc<str>>,
    /// `AUDIO`: the group of its sound renditions.
    pub audio: Option<Arc<str>>,
    /// `VIDEO`: the group of its picture renditions.
    pub video: Option<Arc<str>>,
    /// `SUBTITLES`: the group of its subtitles.
    pub subtitles: Option<Arc<str>>,
    /// `CLOSED-CAPTIONS`: the group of its closed captions; `None` also where it says `NONE`.
    pub closed_captions: Option<Arc<str>>,
    /// `NAME`, which is not in the standard and common.
    pub name: Option<Arc<str>>,
    /// `STABLE-VARIANT-ID`.
    pub stable_id: Option<Arc<str>>,
    /// `PATHWAY-ID`; `None` means `.`.
    pub pathway: Option<Arc<str>>,
}

/// What a variant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VariantKind {
    /// To play.
    Playback,
    /// Single pictures for fast seeking.
    IFrames,
}

/// `EXT-X-MEDIA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// `TYPE`.
    pub kind: RenditionKind,
    /// `GROUP-ID`.
    pub group: Arc<str>,
    /// `NAME`.
    pub name: Arc<str>,
    /// `LANGUAGE`.
    pub language: Option<Arc<str>>,
    /// `ASSOC-LANGUAGE`: the language in another role, such as written and not spoken.
    pub associated_language: Option<Arc<str>>,
    /// Its media playlist; `None` when the media is in the variants.
    pub url: Option<Arc<str>>,
    /// The same had the multivariant playlist not been redirected.
    pub(crate) first_url: Option<Arc<str>>,
    /// `DEFAULT`: to be played where the viewer has not chosen.
    pub is_default: bool,
    /// `AUTOSELECT`: a player may choose it by the viewer's language.
    pub is_autoselect: bool,
    /// `FORCED`: subtitles that are essential to understand what is shown.
    pub is_forced: bool,
    /// `CHARACTERISTICS`: comma-separated, as written.
    pub characteristics: Option<Arc<str>>,
    /// `CHANNELS` as written: the count first.
    pub channels: Option<Arc<str>>,
    /// `INSTREAM-ID`: where in the video the closed captions are.
    pub instream_id: Option<Arc<str>>,
    /// `STABLE-RENDITION-ID`.
    pub stable_id: Option<Arc<str>>,
}

/// The type of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RenditionKind {
    /// `VIDEO`.
    Video,
    /// `AUDIO`.
    Audio,
    /// `SUBTITLES`.
    Subtitles,
    /// `CLOSED-CAPTIONS`: in the video, never with a URL.
    ClosedCaptions,
}

/// `EXT-X-SESSION-DATA`: something about the presentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionData {
    /// `DATA-ID`: which of its facts, named like a domain in reverse.
    pub id: Arc<str>,
    /// `VALUE`, or where to get it.
    pub value: SessionDataValue,
    /// `LANGUAGE`.
    pub language: Option<Arc<str>>,
}

/// The value of a [`SessionData`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionDataValue {
    /// `VALUE`.
    Text(Arc<str>),
    /// `URI` of a JSON document (`FORMAT=JSON`, also where it is absent).
    Json(Arc<str>),
    /// `URI` of any other resource (`FORMAT=RAW`).
    Raw(Arc<str>),
}

/// `EXT-X-CONTENT-STEERING`: a server that says which pathways to prefer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSteering {
    /// `SERVER-URI`.
    pub url: Arc<str>,
    /// `PATHWAY-ID`: the one to begin with; `None` means that of the first variant.
    pub pathway: Option<Arc<str>>,
}
