//! The player in virtual time, over a source that does what it is told.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use p2pcdn::{
    manifest::{Config, Input, Liveness, Output, Refresh, Segment, Segments},
    metrics::Delivery,
    wire::{self, BitRate, ByteRange, MediaTime, TrackId},
};
use p2pcdn_example_swarm::{
    Body, Choice, PlaybackReport, Player, PlayerConfig, RENDITIONS, Rung, Source, SourceError,
    Split, Status, ViewerRecord,
};
use tokio::time::{Instant, sleep, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

/// A stream of 2 s segments whose first one was made at `since`.
struct Fake {
    since: Instant,
    kind: Liveness,
    /// What becomes of the request for a segment, by sequence number and time since the start.
    fate: Box<dyn Fn(u64, Duration) -> Fate + Send + Sync>,
    throughput: Option<BitRate>,
    started: Instant,
    asked: Mutex<Vec<(&'static str, u64)>>,
    reports: Mutex<Vec<PlaybackReport>>,
}

#[derive(Clone, Copy)]
enum Fate {
    Comes(Duration),
    Fails(u16),
    Corrupt,
    Hangs,
}

impl Fake {
    /// A live stream that has run for 60 s, each segment of which takes 100 ms.
    fn live() -> Self {
        let now = Instant::now();
        Self {
            since: now - SECOND * 60,
            kind: Liveness::Live,
            fate: Box::new(|_, _| Fate::Comes(SECOND / 10)),
            throughput: None,
            started: now,
            asked: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    fn with(mut self, fate: impl Fn(u64, Duration) -> Fate + Send + Sync + 'static) -> Self {
        self.fate = Box::new(fate);
        self
    }

    fn listed(&self) -> Range<u64> {
        match self.kind {
            Liveness::Ended => 0..10,
            _ => {
                let end = self.since.elapsed().as_secs() / 2;
                end.saturating_sub(10)..end
            }
        }
    }

    fn list(&self, track: TrackId) -> Segments {
        let listed = self.listed();
        let name = RENDITIONS[usize::from(track.as_bytes()[0])].name;
        let url = format!("http://fake/live/{name}/playlist.m3u8");
        let now = wire::Instant::EPOCH;
        let mut refresh = Refresh::new(Config::default(), &url, now);
        let end = match self.kind {
            Liveness::Ended => "#EXT-X-ENDLIST\n",
            _ => "",
        };
        // What left the window was listed once, so that segment n begins at 2 n seconds.
        for (first, end) in [(0, ""), (listed.start, end)] {
            let loaded = Input::Loaded {
                url: url.as_str().into(),
                range: None,
                final_url: url.as_str().into(),
                body: (text(first..listed.end) + end).into(),
            };
            refresh.handle_input(loaded, now);
        }
        let outputs = std::iter::from_fn(|| refresh.poll_output());
        let updates = outputs.filter_map(|output| match output {
            Output::Updated(update) => Some(update.presentation),
            _ => None,
        });
        let presentation = updates.last().unwrap();
        presentation.tracks[0].segments.clone().unwrap()
    }
}

/// A playlist of these segments, 2 s each.
fn text(listed: Range<u64>) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        listed.start
    );
    for sequence in listed {
        text += &format!("#EXTINF:2,\nseg-{sequence:06}.m4s\n");
    }
    text
}

#[async_trait]
impl Source for Fake {
    async fn rungs(&self) -> Result<Vec<Rung>, SourceError> {
        let rung = |index: u8| Rung {
            track: TrackId::new([index; 16]),
            bandwidth: BitRate::from_bps([400_000, 1_200_000, 3_000_000][usize::from(index)]),
        };
        Ok((0..3).map(rung).collect())
    }

    async fn segments(
        &self,
        track: TrackId,
        seen: Option<&Segments>,
    ) -> Result<Segments, SourceError> {
        loop {
            let list = self.list(track);
            if seen.is_none_or(|seen| *seen != list) {
                return Ok(list);
            }
            let next = self.listed().end + 1;
            sleep_until(self.since + Duration::from_secs(next * 2)).await;
        }
    }

    async fn fetch(&self, url: &str, _range: Option<ByteRange>) -> Result<Body, SourceError> {
        let rendition = RENDITIONS
            .iter()
            .find(|one| url.contains(one.name))
            .unwrap();
        let digits = url.trim_end_matches(".m4s").rsplit('-').next().unwrap();
        let sequence = digits.parse().unwrap();
        self.asked.lock().unwrap().push((rendition.name, sequence));
        let bytes = rendition.segment(sequence);
        let bytes = match (self.fate)(sequence, self.started.elapsed()) {
            Fate::Comes(after) => {
                sleep(after).await;
                bytes
            }
            Fate::Fails(status) => return Err(SourceError::Status(status)),
            Fate::Corrupt => bytes.slice(1..),
            Fate::Hangs => std::future::pending().await,
        };
        let halves = [bytes.slice(..100), bytes.slice(100..)];
        Ok(Box::pin(stream::iter(halves.map(Ok::<Bytes, SourceError>))))
    }

    async fn report(&self, playback: PlaybackReport) {
        self.reports.lock().unwrap().push(playback);
    }

    async fn throughput(&self) -> Option<BitRate> {
        self.throughput
    }

    async fn split(&self, _track: TrackId, _segment: &Segment, len: u64) -> Split {
        Split {
            http_bytes: 0,
            peer_bytes: len,
        }
    }

    async fn delivery(&self) -> Delivery {
        Delivery::default()
    }

    async fn leave(&self) {}
}

/// Plays `source` for `seconds`.
async fn play(source: Fake, choice: Choice, seconds: u32) -> (ViewerRecord, Arc<Fake>) {
    let source = Arc::new(source);
    let config = PlayerConfig {
        choice,
        ..PlayerConfig::default()
    };
    let now = Instant::now();
    let player = Player::new(source.clone(), config);
    let record = player.play(now, now + SECOND * seconds).await;
    (record, source)
}

fn sequences(source: &Fake) -> Vec<u64> {
    let asked = source.asked.lock().unwrap();
    asked.iter().map(|(_, sequence)| *sequence).collect()
}

/// The renditions that were asked for, each run of one once.
fn renditions(source: &Fake) -> Vec<&'static str> {
    let asked = source.asked.lock().unwrap();
    let mut names: Vec<_> = asked.iter().map(|(name, _)| *name).collect();
    names.dedup();
    names
}

#[tokio::test(start_paused = true)]
async fn a_healthy_live_stream_plays_from_the_first_segment_on() {
    let (record, source) = play(Fake::live(), Choice::Top, 20).await;
    assert_eq!(record.startup, Some(SECOND / 10));
    assert_eq!(record.played, SECOND * 20 - SECOND / 10);
    assert_eq!((record.stalls, record.corrupt, record.skips), (0, 0, 0));
    // The edge is at 30: start 3 segments behind it; then as they are listed.
    assert_eq!(sequences(&source), (27..=38).collect::<Vec<_>>());
    let begun: Vec<_> = record.segments.iter().filter_map(|one| one.begun).collect();
    assert_eq!(begun, (0..10).map(|n| SECOND * 2 * n).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_outage_longer_than_the_buffer_is_a_stall_of_the_difference() {
    // 27, 28 and 29 play from 0.1 s to 6.1 s; 30 is listed at 2 s and comes at 10 s.
    let fate = |sequence, _| match sequence {
        30 => Fate::Comes(SECOND * 8),
        _ => Fate::Comes(SECOND / 10),
    };
    let (record, source) = play(Fake::live().with(fate), Choice::Top, 20).await;
    let tenth = SECOND / 10;
    assert_eq!(
        (record.stalls, record.stalled),
        (1, SECOND * 10 - SECOND * 6 - tenth)
    );
    assert_eq!(record.played, SECOND * 20 - tenth - record.stalled);
    let reports = source.reports.lock().unwrap();
    assert!(reports.iter().any(|one| one.status == Status::Stalled));
    let last = reports.last().unwrap();
    assert_eq!(last.status, Status::Playing);
    assert!(last.position.unwrap() > MediaTime::ZERO + SECOND * 68);
}

#[tokio::test(start_paused = true)]
async fn refused_segments_are_asked_for_again_at_growing_distances() {
    // hls.js waits 1 s, then 2 s.
    let fate = |sequence, time: Duration| match sequence {
        27 if time < SECOND * 2 => Fate::Fails(404),
        _ => Fate::Comes(SECOND / 10),
    };
    let (record, source) = play(Fake::live().with(fate), Choice::Top, 10).await;
    assert_eq!(record.failed_tries, 2);
    assert_eq!(record.startup, Some(SECOND * 3 + SECOND / 10));
    assert_eq!(sequences(&source)[..4], [27, 27, 28, 29]);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_given_up_after_ten_seconds_and_made_again() {
    let fate = |sequence, time: Duration| match sequence {
        28 if time < SECOND * 5 => Fate::Hangs,
        _ => Fate::Comes(SECOND / 10),
    };
    let (record, _) = play(Fake::live().with(fate), Choice::Top, 30).await;
    // 27 plays until 2.1 s; 28 is asked for at 0.1 s, again at 10.1 s, and comes at 10.2 s.
    assert_eq!((record.stalls, record.failed_tries), (1, 1));
    assert_eq!(record.stalled, Duration::from_millis(8_100));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_left_the_playlist_is_skipped() {
    // 28 never comes. It leaves the playlist when 39 is listed, at 18 s after the start.
    let fate = |sequence, _| match sequence {
        28 => Fate::Fails(404),
        _ => Fate::Comes(SECOND / 10),
    };
    let (record, source) = play(Fake::live().with(fate), Choice::Top, 40).await;
    assert_eq!(record.skips, 1);
    let asked = sequences(&source);
    let after = asked.iter().find(|sequence| **sequence > 28).unwrap();
    assert!((36..40).contains(after), "{asked:?}");
    assert!(record.played > SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_noticed_and_counted() {
    let fate = |sequence, _| match sequence {
        29 | 31 => Fate::Corrupt,
        _ => Fate::Comes(SECOND / 10),
    };
    let (record, _) = play(Fake::live().with(fate), Choice::Top, 10).await;
    assert_eq!(record.corrupt, 2);
}

#[tokio::test(start_paused = true)]
async fn on_demand_keeps_twenty_seconds_ahead_and_ends() {
    let vod = || Fake {
        kind: Liveness::Ended,
        ..Fake::live()
    };
    // Ten segments of 2 s: all are loaded at once, the last of them when 18 s lie ahead.
    let (record, source) = play(vod(), Choice::Top, 60).await;
    assert_eq!(sequences(&source), (0..10).collect::<Vec<_>>());
    assert_eq!((record.stalls, record.played), (0, SECOND * 20));
    let slow = vod().with(|_, _| Fate::Comes(SECOND));
    let (_, source) = play(slow, Choice::Top, 60).await;
    let ahead = source.reports.lock().unwrap();
    let most = ahead.iter().map(|one| one.buffered).max().unwrap();
    assert!(most < SECOND * 22, "{most:?}");
}

#[tokio::test(start_paused = true)]
async fn adaptation_follows_the_throughput_that_the_source_reports() {
    let source = Fake {
        throughput: Some(BitRate::from_bps(20_000_000)),
        ..Fake::live()
    };
    let (record, source) = play(source, Choice::Adaptive, 10).await;
    assert_eq!(renditions(&source), ["top"]);
    assert_eq!(record.corrupt, 0);

    let source = Fake {
        throughput: None,
        ..Fake::live()
    };
    let (_, source) = play(source, Choice::Adaptive, 10).await;
    assert_eq!(renditions(&source), ["low"]);
}
