//! The HTTP origin of a test world: playlists made from the clock, segments made from a generator.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use bytes::Bytes;
use p2pcdn::{
    BlockMap, SigningKey,
    transport::HttpRange,
    wire::{Instant, Pcg, SegmentId, mix},
};

/// Every segment plays this long.
pub(crate) const SEGMENT: Duration = Duration::from_secs(2);

/// What only the origin, the viewers and the key server may know.
pub(crate) const KEY_URL: &str = "https://keys.example/drm/secret-key-17";
pub(crate) const KEY_TOKEN: &str = "keytoken-5e1f";
pub(crate) const KEY_BYTES: &[u8; 16] = b"KEYKEYKEYKEYKEY!";

/// What is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// A window of the newest 6 segments; numbered by the time since the epoch.
    Live,
    /// As `Live`, encrypted.
    Encrypted,
    /// This many segments, numbered from 0.
    Vod(u64),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Manifest,
    Segment(u64),
    /// One byte, to renew the authorisation.
    Renewal(u64),
}

/// A request as the origin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) viewer: usize,
    pub(crate) what: What,
    pub(crate) url: String,
    pub(crate) range: Option<HttpRange>,
    pub(crate) if_range: Option<String>,
    pub(crate) at: Instant,
}

/// How the origin answers; a rule changes it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) cache_control: Option<&'static str>,
    /// Each version of a segment has other bytes.
    pub(crate) version: u64,
    /// Bytes longer than the version that was signed.
    pub(crate) longer: usize,
    pub(crate) has_etag: bool,
    pub(crate) ignores_range: bool,
    /// Every range is answered with one that starts a byte too late.
    pub(crate) shifts_range: bool,
    pub(crate) has_length: bool,
    /// The connection breaks after so many bytes of the body.
    pub(crate) breaks_after: Option<usize>,
    pub(crate) ttfb: Duration,
    /// Between two pieces of 8 KiB.
    pub(crate) piece_time: Duration,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            cache_control: None,
            version: 0,
            longer: 0,
            has_etag: true,
            ignores_range: false,
            shifts_range: false,
            has_length: true,
            breaks_after: None,
            ttfb: Duration::from_millis(40),
            piece_time: Duration::from_millis(5),
        }
    }
}

pub(crate) type Rule = Box<dyn Fn(&Asked, &mut Answer)>;

pub(crate) fn publisher_key() -> SigningKey {
    SigningKey::from_random([42; 32])
}

/// The bytes of a segment: 3 to 6 blocks.
pub(crate) fn content(ordinal: u64, version: u64) -> Bytes {
    static MADE: Mutex<BTreeMap<(u64, u64), Bytes>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().expect("nobody panics while holding it");
    let make = || generate(ordinal, version);
    made.entry((ordinal, version)).or_insert_with(make).clone()
}

fn generate(ordinal: u64, version: u64) -> Bytes {
    let mut pcg = Pcg::new(mix(ordinal ^ mix(version)));
    let len = 40_000 + usize::try_from(ordinal % 7).expect("below 7") * 8_000;
    (0..len.div_ceil(4))
        .flat_map(|_| pcg.next_u32().to_be_bytes())
        .take(len)
        .collect()
}

/// The signed block map of a segment's first version.
pub(crate) fn signed_map(id: SegmentId, ordinal: u64) -> Bytes {
    let map = BlockMap::of(id, &content(ordinal, 0)).expect("short enough");
    map.sign(&publisher_key()).encoded().clone()
}

pub(crate) fn manifest_url(viewer: usize) -> String {
    format!("https://origin.example/live/index.m3u8?token=viewer-token-{viewer}")
}

/// The newest ordinal of a live stream.
pub(crate) fn newest(at: Instant) -> u64 {
    at.since_epoch().as_secs() / SEGMENT.as_secs() - 1
}

/// The playlist as one viewer gets it, with its token on every URL.
pub(crate) fn playlist(stream: Stream, first_number: u64, viewer: usize, at: Instant) -> String {
    let (first, count) = match stream {
        Stream::Live | Stream::Encrypted => (newest(at) - 5, 6),
        Stream::Vod(count) => (0, count),
    };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        first - first_number
    );
    if stream == Stream::Encrypted {
        text += &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{KEY_URL}?{KEY_TOKEN}\"\n");
    }
    for ordinal in first..first + count {
        text += &format!("#EXTINF:2.0,\nsegment-{ordinal}.m4s?token=viewer-token-{viewer}\n");
    }
    if matches!(stream, Stream::Vod(_)) {
        text += "#EXT-X-ENDLIST\n";
    }
    text
}

/// The segment that a URL is of.
pub(crate) fn ordinal_of(url: &str) -> u64 {
    let name = url.split("segment-").nth(1).expect("a segment's URL");
    let digits = name.split('.').next().expect("a segment's URL");
    digits.parse().expect("a segment's URL")
}
