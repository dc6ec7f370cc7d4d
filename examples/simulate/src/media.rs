//! What is watched: segments, their lengths, bytes and block maps, and the manifest that lists them.
//!
//! A live event has been on for longer than any playlist lists when the clock starts, so that the
//! window is always full. Ordinal and position on the timeline count from its first segment.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use p2pcdn::{
    BlockMap, PublicKey, SigningKey,
    manifest::{Config, Input, Output, Presentation, Refresh},
    wire::{BLOCK_LEN, BitRate, Instant, MAX_BLOCKS, MediaTime, SegmentId, TrackId},
};

use crate::{
    draw::Draws,
    payload::{Mark, generated, marked},
    scenario::{Content, ContentKind, PayloadKind, Scenario},
    tally::SegmentKey,
    virtual_store::encode_map,
};

/// From the start of the clock to the first arrival; edges and lines have a past by then.
const LEAD_IN: Duration = Duration::ZERO;

/// Updates made beyond the end of a run, for whoever asks in its last moment.
const SPARE_UPDATES: u64 = 4;

/// Where the manifest is; a multivariant playlist when there are several renditions.
const MANIFEST_URL: &str = "https://origin.example/live/index.m3u8";

/// A segment's length varies by at most this many standard deviations, both ways alike, so that
/// the mean stays what it is.
const MOST_DEVIATIONS: f64 = 2.5;

/// When the first viewer may arrive.
#[must_use]
pub fn first_arrival() -> Instant {
    Instant::EPOCH + LEAD_IN
}

/// The content of a run.
#[derive(Debug)]
pub struct Media {
    content: Content,
    payload: PayloadKind,
    draws: Draws,
    /// Live: segments there at the start of the clock. On demand: all of them.
    first_published: u64,
    /// Segments that exist in this run.
    count: u64,
    tracks: Vec<TrackId>,
    /// By segments published, from `first_published` on.
    presentations: Vec<Arc<Presentation>>,
    playlist_len: u64,
    key: SigningKey,
    /// Encoded block maps, by ordinal, then by track.
    maps: Vec<OnceLock<Bytes>>,
}

impl Media {
    /// The content of `scenario`.
    ///
    /// # Panics
    ///
    /// If the scenario has no rendition, or none that a manifest can state.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let content = scenario.content.clone();
        assert!(!content.renditions.is_empty(), "a rendition is needed");
        let (first_published, count) = match content.kind {
            ContentKind::OnDemand(length) => {
                let count = count_of(length, content.segment_duration).max(1);
                (count, count)
            }
            ContentKind::Live => {
                let listed = content.window.max(1) as u64;
                let run = LEAD_IN + scenario.duration;
                let made = count_of(run, content.segment_duration);
                (listed, listed + made + SPARE_UPDATES)
            }
        };
        let draws = Draws::new(scenario.seed).of("media");
        let maps = count as usize * content.renditions.len();
        let mut media = Self {
            payload: scenario.payload,
            draws,
            first_published,
            count,
            tracks: Vec::new(),
            presentations: Vec::new(),
            playlist_len: 0,
            key: SigningKey::from_random([42; 32]),
            maps: (0..maps).map(|_| OnceLock::new()).collect(),
            content,
        };
        media.playlist_len = media.playlist(0, first_published).len() as u64;
        media.presentations = media.updates();
        media.tracks = media.track_ids();
        media
    }

    /// Segments below this ordinal are available.
    #[must_use]
    pub fn published(&self, at: Instant) -> u64 {
        match self.content.kind {
            ContentKind::OnDemand(_) => self.count,
            ContentKind::Live => {
                let made = count_of(at.since_epoch(), self.content.segment_duration);
                (self.first_published + made).min(self.count)
            }
        }
    }

    /// What the manifest says when so many segments are published.
    #[must_use]
    pub fn presentation(&self, published: u64) -> Arc<Presentation> {
        let last = self.presentations.len() - 1;
        let index = published.saturating_sub(self.first_published) as usize;
        self.presentations[index.min(last)].clone()
    }

    /// The ordinals that the manifest lists when so many segments are published.
    #[must_use]
    pub fn listed(&self, published: u64) -> Range<u64> {
        let published = published.min(self.count);
        match self.content.kind {
            ContentKind::OnDemand(_) => 0..published,
            ContentKind::Live => published.saturating_sub(self.content.window as u64)..published,
        }
    }

    /// Bytes of a segment: the same scenes are hard in all renditions.
    #[must_use]
    pub fn segment_len(&self, track: u16, ordinal: u64) -> u64 {
        let mean = self.rate(track).bytes_in(self.content.segment_duration);
        let deviation = self.draws.of("length").nth(ordinal).normal();
        let deviation = deviation.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS);
        let share = (1.0 + self.content.length_spread * deviation).max(0.1);
        ((mean as f64 * share) as u64).clamp(1, u64::from(MAX_BLOCKS) * BLOCK_LEN)
    }

    /// The name of the track that carries this rendition.
    #[must_use]
    pub fn track_id(&self, track: u16) -> TrackId {
        self.tracks[usize::from(track)]
    }

    /// The rendition that this track carries.
    #[must_use]
    pub fn track_of(&self, id: TrackId) -> Option<u16> {
        let index = self.tracks.iter().position(|track| *track == id)?;
        u16::try_from(index).ok()
    }

    /// How many renditions there are.
    #[must_use]
    pub fn track_count(&self) -> u16 {
        u16::try_from(self.content.renditions.len()).expect("a handful of renditions")
    }

    /// The rate of a rendition.
    #[must_use]
    pub fn rate(&self, track: u16) -> BitRate {
        self.content.renditions[usize::from(track)]
    }

    /// The segment at this URL.
    #[must_use]
    pub fn segment_of(&self, url: &str) -> Option<SegmentKey> {
        let mut parts = url.strip_suffix(".m4s")?.rsplit('/');
        let ordinal = parts.next()?.parse().ok()?;
        let track = parts.next()?.parse().ok()?;
        let is_there = ordinal < self.count && track < self.track_count();
        is_there.then_some(SegmentKey { track, ordinal })
    }

    /// Bytes of a playlist.
    #[must_use]
    pub fn playlist_len(&self) -> u64 {
        self.playlist_len
    }

    /// How long every segment plays.
    #[must_use]
    pub fn segment_duration(&self) -> Duration {
        self.content.segment_duration
    }

    /// Where a segment begins on the timeline.
    #[must_use]
    pub fn start(&self, ordinal: u64) -> MediaTime {
        MediaTime::ZERO + times(self.content.segment_duration, ordinal)
    }

    /// The segment that plays at this position.
    #[must_use]
    pub fn ordinal_at(&self, position: MediaTime) -> u64 {
        let since_start = position.saturating_duration_since(MediaTime::ZERO);
        count_of(since_start, self.content.segment_duration)
    }

    /// What a camera sees at this moment; `None` for content on demand.
    #[must_use]
    pub fn live_position(&self, at: Instant) -> Option<MediaTime> {
        match self.content.kind {
            ContentKind::OnDemand(_) => None,
            ContentKind::Live => Some(self.start(self.first_published) + at.since_epoch()),
        }
    }

    /// Where the content ends; `None` for a live event, which outlasts every run.
    #[must_use]
    pub fn end(&self) -> Option<MediaTime> {
        match self.content.kind {
            ContentKind::OnDemand(_) => Some(self.start(self.count)),
            ContentKind::Live => None,
        }
    }

    /// When a segment is there; the start of the clock for those from before.
    #[must_use]
    pub fn available_at(&self, ordinal: u64) -> Instant {
        let made = match self.content.kind {
            ContentKind::OnDemand(_) => 0,
            ContentKind::Live => (ordinal + 1).saturating_sub(self.first_published),
        };
        Instant::EPOCH + times(self.content.segment_duration, made)
    }

    /// When the signed block map of a segment is there.
    #[must_use]
    pub fn map_at(&self, _track: u16, ordinal: u64) -> Instant {
        match self.content.kind {
            ContentKind::OnDemand(_) => Instant::EPOCH,
            ContentKind::Live => self.available_at(ordinal) + self.content.signing,
        }
    }

    /// The encoded block map of a segment: signed where bytes are real, as
    /// [`encode_map`] makes it otherwise.
    ///
    /// # Panics
    ///
    /// If the run has no such segment.
    #[must_use]
    pub fn map(&self, track: u16, ordinal: u64) -> Bytes {
        let index = ordinal as usize * self.content.renditions.len() + usize::from(track);
        let make = || {
            let len = self.segment_len(track, ordinal);
            match self.payload {
                PayloadKind::Virtual => encode_map(len, true),
                PayloadKind::Real => {
                    let bytes = self.bytes(track, ordinal, 0..len);
                    let map = BlockMap::of(self.segment_id(track, ordinal), &bytes);
                    let map = map.expect("lengths are capped at the protocol's limit");
                    map.sign(&self.key).encoded().clone()
                }
            }
        };
        self.maps[index].get_or_init(make).clone()
    }

    /// Bytes of a segment.
    #[must_use]
    pub fn bytes(&self, track: u16, ordinal: u64, range: Range<u64>) -> Bytes {
        match self.payload {
            PayloadKind::Virtual => marked(Mark::Good, range),
            PayloadKind::Real => {
                let name = ordinal << 16 | u64::from(track);
                generated(self.draws.of("bytes").nth(name).bits(), range)
            }
        }
    }

    /// The key that signs block maps.
    #[must_use]
    pub fn publisher_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn segment_id(&self, track: u16, ordinal: u64) -> SegmentId {
        let presentation = self.presentation(ordinal + 1);
        let listed = presentation.track(self.track_id(track));
        let segments = listed.and_then(|track| track.segments.as_ref());
        let segment = segments.and_then(|segments| segments.segment(ordinal));
        segment.expect("a segment of the run is listed").id
    }

    /// Everything the manifest ever says, read by the machine that viewers use.
    fn updates(&self) -> Vec<Arc<Presentation>> {
        let mut refresh = Refresh::new(Config::default(), MANIFEST_URL, Instant::EPOCH);
        if self.track_count() > 1 {
            let text = self.multivariant();
            let presentation = take(&mut refresh, MANIFEST_URL, text, Instant::EPOCH);
            for track in &presentation.expect("it was just loaded").tracks {
                refresh.handle_input(Input::TrackActivated(track.id), Instant::EPOCH);
            }
        }
        let mut updates = Vec::new();
        for published in self.first_published..=self.count {
            let now = self.available_at(published - 1);
            let mut last = None;
            for track in 0..self.track_count() {
                let url = self.playlist_url(track);
                last = take(&mut refresh, &url, self.playlist(track, published), now).or(last);
            }
            updates.push(last.expect("each update lists another segment"));
        }
        updates
    }

    fn track_ids(&self) -> Vec<TrackId> {
        let urls = (0..self.track_count()).map(|track| self.playlist_url(track));
        let id = |url: String| {
            let mut tracks = self.presentations[0].tracks.iter();
            tracks.find(|track| *track.url == *url).map(|it| it.id)
        };
        urls.map(|url| id(url).expect("each playlist is a track"))
            .collect()
    }

    fn playlist_url(&self, track: u16) -> String {
        match self.track_count() {
            1 => MANIFEST_URL.to_owned(),
            _ => format!("https://origin.example/live/{track}.m3u8"),
        }
    }

    fn multivariant(&self) -> String {
        let mut text = String::from("#EXTM3U\n");
        for (track, rate) in self.content.renditions.iter().enumerate() {
            let bps = rate.as_bps();
            text += &format!("#EXT-X-STREAM-INF:BANDWIDTH={bps}\n{track}.m3u8\n");
        }
        text
    }

    fn playlist(&self, track: u16, published: u64) -> String {
        let listed = self.listed(published);
        let duration = self.content.segment_duration.as_secs_f64();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            duration.round().max(1.0),
            listed.start
        );
        for ordinal in listed {
            text += &format!("#EXTINF:{duration},\n{track}/{ordinal}.m4s\n");
        }
        if self.end().is_some() {
            text += "#EXT-X-ENDLIST\n";
        }
        text
    }
}

/// Has `refresh` read a text; the presentation if it changed.
fn take(refresh: &mut Refresh, url: &str, text: String, now: Instant) -> Option<Arc<Presentation>> {
    refresh.handle_timeout(now);
    let loaded = Input::Loaded {
        url: url.into(),
        range: None,
        final_url: url.into(),
        body: text.into(),
    };
    refresh.handle_input(loaded, now);
    let mut taken = None;
    while let Some(output) = refresh.poll_output() {
        match output {
            Output::Updated(update) => taken = Some(update.presentation),
            // The texts are known before they are asked for.
            Output::Load { .. } => {}
            Output::Event(event) => tracing::debug!(?event, "manifest"),
        }
    }
    taken
}

fn count_of(whole: Duration, part: Duration) -> u64 {
    u64::try_from(whole.as_nanos() / part.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn times(part: Duration, count: u64) -> Duration {
    let nanos = part.as_nanos().saturating_mul(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use p2pcdn::{SignedMap, manifest::Liveness};

    use super::*;
    use crate::testing::{scenario, with_renditions};

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_segment_is_published_when_it_is_produced_and_not_before() {
        let media = Media::new(&scenario());
        let before = media.published(first_arrival());
        for ordinal in before..before + 5 {
            let at = media.available_at(ordinal);
            assert_eq!(media.published(at), ordinal + 1);
            assert_eq!(
                media.published(at.saturating_sub(Duration::from_nanos(1))),
                ordinal
            );
            // The camera is where the segment ends.
            assert_eq!(media.live_position(at), Some(media.start(ordinal + 1)));
        }
        assert_eq!(
            media.map_at(0, before),
            media.available_at(before) + Duration::from_millis(150)
        );
    }

    #[test]
    fn the_manifest_lists_the_newest_segments_where_they_lie_on_the_timeline() {
        for scenario in [scenario(), with_renditions(&[1, 2, 4])] {
            let media = Media::new(&scenario);
            for published in [30, 31, 80, 81, 90] {
                let presentation = media.presentation(published);
                assert_eq!(presentation.tracks.len(), scenario.content.renditions.len());
                for track in 0..media.track_count() {
                    let id = media.track_id(track);
                    assert_eq!(media.track_of(id), Some(track));
                    let listed = presentation.track(id).unwrap().segments.clone().unwrap();
                    let ordinals: Vec<_> = listed.iter().map(|it| it.ordinal).collect();
                    assert_eq!(ordinals, (published - 30..published).collect::<Vec<_>>());
                    for segment in listed.iter() {
                        assert_eq!(segment.start, media.start(segment.ordinal));
                        assert_eq!(segment.duration, secs(2));
                        let key = SegmentKey {
                            track,
                            ordinal: segment.ordinal,
                        };
                        assert_eq!(media.segment_of(&segment.url), Some(key));
                    }
                    assert_eq!(listed.liveness, Liveness::Live);
                }
            }
            assert!(Arc::ptr_eq(
                &media.presentation(50),
                &media.presentation(50)
            ));
        }
    }

    #[test]
    fn content_on_demand_is_listed_whole_from_the_start() {
        let mut scenario = scenario();
        scenario.content.kind = ContentKind::OnDemand(secs(61));
        let media = Media::new(&scenario);
        assert_eq!(media.published(Instant::EPOCH), 30);
        let listed = media.presentation(30).tracks[0].segments.clone().unwrap();
        assert_eq!((listed.len(), listed.liveness), (30, Liveness::Ended));
        assert_eq!(media.end(), Some(MediaTime::ZERO + secs(60)));
        assert_eq!(media.available_at(29), Instant::EPOCH);
        assert_eq!(media.map_at(0, 29), Instant::EPOCH);
    }

    #[test]
    fn lengths_vary_around_the_mean_alike_in_all_renditions() {
        let mut scenario = with_renditions(&[1, 4]);
        scenario.content.length_spread = 0.2;
        scenario.duration = secs(4_000);
        let media = Media::new(&scenario);
        let lens: Vec<_> = (0..2_000)
            .map(|it| media.segment_len(0, it) as f64)
            .collect();
        // 2 s at 1 Mb/s.
        let mean = lens.iter().sum::<f64>() / 2_000.0;
        assert!((mean - 250_000.0).abs() < 5_000.0, "{mean}");
        let variance = lens.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 2_000.0;
        assert!((variance.sqrt() / 250_000.0 - 0.2).abs() < 0.02);
        for (ordinal, len) in (0..).zip(lens) {
            let ratio = media.segment_len(1, ordinal) as f64 / len;
            assert!((ratio - 4.0).abs() < 0.001);
        }
    }

    #[test]
    fn virtual_bytes_and_maps_are_marked() {
        let media = Media::new(&scenario());
        let len = media.segment_len(0, 7);
        assert_eq!(media.map(0, 7), encode_map(len, true));
        let block = media.bytes(0, 7, 16_384..32_768);
        assert_eq!((block.len(), block[0]), (16_384, 0));
        assert_eq!(media.bytes(0, 7, 0..len).len() as u64, len);
    }

    #[test]
    fn real_maps_are_signed_over_real_bytes() {
        let mut scenario = with_renditions(&[1, 2]);
        scenario.payload = PayloadKind::Real;
        let media = Media::new(&scenario);
        let map = SignedMap::verify(&media.map(1, 40), &[media.publisher_key()]).unwrap();
        assert_eq!(map.segment_len(), media.segment_len(1, 40));
        let block = media.bytes(1, 40, 16_384..32_768);
        assert!(map.matches(1, &block));
        assert!(!map.matches(1, &media.bytes(0, 40, 16_384..32_768)));
        assert!(!map.matches(1, &media.bytes(1, 41, 16_384..32_768)));
        // Any range is a part of the whole.
        assert_eq!(media.bytes(1, 40, 16_387..16_400), block.slice(3..16));
    }
}
