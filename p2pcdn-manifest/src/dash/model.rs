//! An MPD with everything inherited and resolved, its segments not written out.

use std::{fmt, sync::Arc, time::Duration};

use p2pcdn_wire::{ByteRange, MediaTime, UnixTime};

use super::listing::{Listing, Plan};
use crate::{error::Warning, key::KeyUrl};

/// A DASH manifest (media presentation description, ISO/IEC 23009-1).
///
/// Segments are computed when asked for ([`Representation::listing`]), so that it stays small
/// however long the presentation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mpd {
    /// Whether the manifest changes, or segments become available, as time passes (`@type`).
    pub is_dynamic: bool,
    /// When the presentation began; what all availability counts from.
    pub availability_start_time: Option<UnixTime>,
    /// When it ends to be available.
    pub availability_end_time: Option<UnixTime>,
    /// When this manifest was made.
    pub publish_time: Option<UnixTime>,
    /// How long this manifest is good for; `None` when it does not change any more, zero when
    /// events in the media tell.
    pub minimum_update_period: Option<Duration>,
    /// How long segments stay available; `None` for as long as the presentation.
    pub time_shift_buffer_depth: Option<Duration>,
    /// How far behind the live edge the publisher wants players to be.
    pub suggested_presentation_delay: Option<Duration>,
    /// How long the whole presentation is.
    pub media_presentation_duration: Option<Duration>,
    /// How much a player should buffer first.
    pub min_buffer_time: Option<Duration>,
    /// The longest segment.
    pub max_segment_duration: Option<Duration>,
    /// Where to load the manifest from next time, in the order given; empty for where it came
    /// from.
    pub locations: Vec<Arc<str>>,
    /// Where to load changes to this manifest from.
    pub patch_locations: Vec<PatchLocation>,
    /// Clocks to set one's own by, the preferred one first.
    pub utc_timings: Vec<UtcTiming>,
    /// The periods in order; at least one.
    pub periods: Vec<Period>,
    /// Every URL of a licence, or of what belongs to one, each once, in alphabetical order.
    pub never_share: Vec<KeyUrl>,
    /// URLs that steer the presentation, such as those of clocks and of the manifest: nothing to
    /// share either.
    pub control_urls: Vec<Arc<str>>,
    /// What was wrong and lived with; at most [`MAX_WARNINGS`](crate::MAX_WARNINGS).
    pub warnings: Vec<Warning>,
}

/// Where to load changes to an MPD from (`PatchLocation`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchLocation {
    /// The absolute URL.
    pub url: Arc<str>,
    /// How long after its publish time the manifest can be changed from there; `None` for always.
    pub ttl: Option<Duration>,
}

/// A clock (`UTCTiming`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UtcTiming {
    /// How to read it, such as `urn:mpeg:dash:utc:http-iso:2014`.
    pub scheme: Arc<str>,
    /// As written: URLs with blanks between them, or a time for the `direct` scheme.
    pub value: Arc<str>,
}

/// A part of the presentation with its own tracks (`Period`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its name, unique in the MPD and the same in later versions of it.
    pub id: Option<Arc<str>>,
    /// Where it begins on the timeline of the presentation; `None` when that is not known yet.
    pub start: Option<MediaTime>,
    /// How long it is; `None` when that is not known yet.
    pub duration: Option<Duration>,
    /// What it is a part of (`AssetIdentifier`).
    pub asset: Option<Descriptor>,
    /// Its adaptation sets in order.
    pub adaptation_sets: Vec<AdaptationSet>,
}

/// Representations to switch between (`AdaptationSet`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptationSet {
    /// Its name, unique in the period.
    pub id: Option<Arc<str>>,
    /// What it is.
    pub content_type: ContentType,
    /// Its language, as written.
    pub lang: Option<Arc<str>>,
    /// Its MIME type, if its representations do not have their own.
    pub mime_type: Option<Arc<str>>,
    /// Its codecs, if its representations do not have their own.
    pub codecs: Option<Arc<str>>,
    /// Roles, accessibility, labels of other schemes, in the order written.
    pub properties: Vec<Descriptor>,
    /// Ids of the other adaptation sets of the period that can be switched to
    /// (`urn:mpeg:dash:adaptation-set-switching:2016`).
    pub switching_ids: Vec<Arc<str>>,
    /// Its representations in order.
    pub representations: Vec<Representation>,
}

/// One quality of an adaptation set (`Representation`): the track that is fetched as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// Its name, unique in the period and the same in later versions of the MPD.
    pub id: Option<Arc<str>>,
    /// Declared bandwidth in bits per second.
    pub bandwidth: Option<u64>,
    /// What it is.
    pub content_type: ContentType,
    /// Its MIME type, its own or that of the set.
    pub mime_type: Option<Arc<str>>,
    /// Its codecs (RFC 6381), its own or those of the set.
    pub codecs: Option<Arc<str>>,
    /// Width in pixels, as declared.
    pub width: Option<u64>,
    /// Height in pixels, as declared.
    pub height: Option<u64>,
    /// Frames per second, as written: a number or `30000/1001`.
    pub frame_rate: Option<Arc<str>>,
    /// Audio sampling rate, as written.
    pub audio_sampling_rate: Option<Arc<str>>,
    /// Whether it is encrypted.
    pub is_protected: bool,
    /// The service location of the base URL chosen for it.
    pub service_location: Option<Arc<str>>,
    /// What a decoder needs before any segment.
    pub init: Option<MpdResource>,
    /// Descriptors of its own.
    pub properties: Vec<Descriptor>,
    pub(super) plan: Plan,
}

impl Representation {
    /// Its segments at `now`.
    ///
    /// The clock counts for a dynamic MPD only, and there for what is not written out: segments of
    /// constant duration, and timelines with an open end. `None` is a clock that is not known yet,
    /// at which nothing of that is available.
    #[must_use]
    pub fn listing(&self, now: Option<UnixTime>) -> Listing {
        self.plan.listing(now)
    }

    /// When the segment with this index is complete at the origin, as promised by a dynamic MPD;
    /// `None` for a static one, and past the end.
    #[must_use]
    pub fn availability_of(&self, index: u64) -> Option<UnixTime> {
        self.plan.availability_of(index)
    }

    /// When to ask for the listing again: when the next segment that is not listed at `now`
    /// becomes available. `None` when only another version of the MPD can bring one.
    #[must_use]
    pub fn next_available_after(&self, now: UnixTime) -> Option<UnixTime> {
        self.plan.next_available_after(now)
    }

    /// Whether segments can be fetched while they are still being made, in chunks
    /// (`@availabilityTimeComplete` is false).
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.plan.is_chunked()
    }
}

/// A resource, or some bytes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MpdResource {
    /// Where to fetch it: absolute.
    pub url: Arc<str>,
    /// The URL as it would be without redirects of the MPD, for names.
    pub first_url: Arc<str>,
    /// The bytes that count; `None` for all.
    pub range: Option<ByteRange>,
}

/// A property in some scheme: roles, accessibility, essential and supplemental properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The element it is written as.
    pub kind: DescriptorKind,
    /// Its scheme (`@schemeIdUri`).
    pub scheme: Arc<str>,
    /// Its value, by the scheme.
    pub value: Option<Arc<str>>,
}

/// The element that a [`Descriptor`] is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorKind {
    /// `Role`.
    Role,
    /// `Accessibility`.
    Accessibility,
    /// `EssentialProperty`: who does not know the scheme must not use the element it stands in.
    Essential,
    /// `SupplementalProperty`.
    Supplemental,
    /// `AudioChannelConfiguration`.
    AudioChannels,
    /// `AssetIdentifier`.
    Asset,
}

/// What kind of media something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ContentType {
    /// Moving pictures, possibly with sound.
    Video,
    /// Sound.
    Audio,
    /// Subtitles and captions.
    Text,
    /// Still pictures, such as thumbnails.
    Image,
    /// Anything else, or not said.
    Other,
}

impl ContentType {
    /// From `@contentType` if it is known, else from the MIME type, else from the codecs.
    pub(super) fn new(stated: Option<&str>, mime: Option<&str>, codecs: Option<&str>) -> Self {
        let main = |text: &str| match text.split('/').next().unwrap_or_default().trim() {
            "video" => Some(Self::Video),
            "audio" => Some(Self::Audio),
            "text" => Some(Self::Text),
            "image" => Some(Self::Image),
            _ => None,
        };
        let by_codecs = |codecs: &str| match codecs.split('.').next().unwrap_or_default().trim() {
            "stpp" | "wvtt" | "tx3g" => Some(Self::Text),
            "avc1" | "avc3" | "hvc1" | "hev1" | "av01" | "vp09" | "vp9" | "vp8" | "dvh1" => {
                Some(Self::Video)
            }
            "mp4a" | "ac-3" | "ec-3" | "ac-4" | "opus" | "Opus" | "fLaC" | "vorbis" => {
                Some(Self::Audio)
            }
            _ => None,
        };
        let is_text = mime == Some("application/ttml+xml");
        stated
            .and_then(main)
            .or_else(|| mime.and_then(main))
            .or(is_text.then_some(Self::Text))
            .or_else(|| codecs.and_then(by_codecs))
            .unwrap_or(Self::Other)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Text => "text",
            Self::Image => "image",
            Self::Other => "other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_is_stated_or_follows_from_the_format() {
        let of = ContentType::new;
        assert_eq!(
            of(Some("audio"), Some("video/mp4"), None),
            ContentType::Audio
        );
        assert_eq!(of(Some("CRY"), Some("video/mp4"), None), ContentType::Video);
        assert_eq!(
            of(None, Some("application/mp4"), Some("stpp.ttml.im1t")),
            ContentType::Text
        );
        assert_eq!(
            of(None, Some("application/ttml+xml"), None),
            ContentType::Text
        );
        assert_eq!(of(None, Some("image/jpeg"), None), ContentType::Image);
        assert_eq!(
            of(None, None, Some("avc1.64001f, mp4a.40.2")),
            ContentType::Video
        );
        assert_eq!(of(None, None, None), ContentType::Other);
    }
}
