//! A player in real time, the same over HTTP alone and over peers.
//!
//! It does what hls.js does with its default settings, in so far as that decides what is fetched
//! when: it starts three target durations behind the live edge at a segment's start, plays as
//! soon as the first segment is complete, fetches one segment after the other as soon as they are
//! listed while less than 20 s lie ahead, retries as hls.js retries, and stands still while its
//! buffer is empty. It decodes nothing: it compares every byte with the origin's.

mod abr;
mod pick;
mod playhead;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use p2pcdn::{
    manifest::{Liveness, Segment, Segments},
    wire::{BitRate, ByteRange, MediaTime, SegmentId, TrackId, UnixTime},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

pub use self::{abr::Choice, playhead::Status};

use self::{
    abr::Chooser,
    pick::{Pick, pick},
    playhead::{Chunk, Playhead},
};
use crate::{
    clock::WallClock,
    record::{SegmentRecord, ViewerRecord},
    source::{PlaybackReport, Source, SourceError, Split},
    truth::{Cipher, Piece, Truth, Verdict},
};

/// A viewer's player.
pub struct Player {
    source: Arc<dyn Source>,
    config: PlayerConfig,
    state: Mutex<State>,
    /// Comparisons with the origin that may take as long as they like.
    judgements: Mutex<JoinSet<Verdict>>,
}

/// How a [`Player`] is set up.
#[derive(Clone, Debug)]
pub struct PlayerConfig {
    /// What the viewer is called; default empty.
    pub name: String,
    /// How the rendition is chosen; default the highest.
    pub choice: Choice,
    /// The clock against which latency is measured: the origin's. Default: started now.
    pub wall: WallClock,
    /// What is right; default the shipped media.
    pub truth: Arc<Truth>,
}

impl Default for PlayerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            choice: Choice::Top,
            wall: WallClock::start(),
            truth: Arc::new(Truth::Shipped),
        }
    }
}

#[derive(Debug)]
struct State {
    playhead: Playhead,
    /// Where playback will start, once that is known.
    start: Option<MediaTime>,
    loaded: Vec<Loaded>,
    keys: BTreeMap<String, [u8; 16]>,
    failed_tries: u64,
    skips: u64,
}

/// A segment that is complete.
#[derive(Debug)]
struct Loaded {
    id: SegmentId,
    len: u64,
    split: Split,
    use_as: Use,
}

#[derive(Debug)]
enum Use {
    Init,
    /// Put into the buffer.
    Media {
        start: MediaTime,
        /// Of the first frame.
        date: Option<SystemTime>,
    },
}

impl Player {
    /// A player that has not begun to load.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, config: PlayerConfig) -> Self {
        Self {
            source,
            config,
            state: Mutex::new(State {
                playhead: Playhead::new(),
                start: None,
                loaded: Vec::new(),
                keys: BTreeMap::new(),
                failed_tries: 0,
                skips: 0,
            }),
            judgements: Mutex::default(),
        }
    }

    /// Plays until `until` or to the end of the presentation and gives account. Startup counts
    /// from `joined`.
    pub async fn play(self, joined: Instant, until: Instant) -> ViewerRecord {
        let left_at = tokio::select! {
            biased;
            () = sleep_until(until) => until,
            () = self.load() => Instant::now(),
            () = self.report_regularly() => unreachable!("reports never end"),
        };
        self.into_record(joined, left_at).await
    }

    /// Loads segment after segment and returns when the last one has been played.
    async fn load(&self) {
        let rungs = self.insist(|| self.source.rungs()).await;
        let bandwidths: Vec<BitRate> = rungs.iter().map(|rung| rung.bandwidth).collect();
        let mut chooser = Chooser::new(self.config.choice);
        let mut current = None;
        let mut next = None;
        loop {
            self.wait_for_room().await;
            let chosen = chooser.choose(current, &bandwidths, self.source.throughput().await);
            current = Some(chosen);
            let Some(rung) = rungs.get(chosen) else { break };
            let Some(loaded_to) = self.load_next(rung.track, next).await else {
                break;
            };
            next = Some(loaded_to);
        }
        self.state().playhead.finish(Instant::now());
        while self.state().playhead.status() != Status::Ended {
            sleep(REPORT_INTERVAL).await;
        }
    }

    /// Loads the segment of `track` at `next` (where playback starts, if that is `None`) and
    /// returns where it ends; `None` when the presentation has ended.
    async fn load_next(&self, track: TrackId, next: Option<MediaTime>) -> Option<MediaTime> {
        let mut seen: Option<Segments> = None;
        let mut failures = 0;
        loop {
            let segments = self
                .insist(|| self.source.segments(track, seen.as_ref()))
                .await;
            let segment = match pick(&segments, next) {
                Pick::Load(segment) => segment,
                Pick::Skip(segment) => {
                    self.state().skips += 1;
                    segment
                }
                Pick::Wait if segments.liveness == Liveness::Ended => return None,
                Pick::Wait => {
                    seen = Some(segments);
                    continue;
                }
            };
            self.state().start.get_or_insert(segment.start);
            match self.load_segment(track, &segment).await {
                Ok(()) => return Some(segment.end()),
                Err(error) => self.back_off(&error, &mut failures).await,
            }
            // The segment may not be listed any more.
            seen = None;
        }
    }

    async fn load_segment(&self, track: TrackId, segment: &Segment) -> Result<(), SourceError> {
        if let Some(init) = &segment.init {
            let known = self.state().loaded.iter().any(|one| one.id == init.id);
            if !known {
                let bytes = self.download(&init.url, init.range).await?;
                let piece = Piece {
                    id: init.id,
                    url: init.url.clone(),
                    range: init.range,
                    cipher: None,
                };
                let split = Split {
                    http_bytes: bytes.len() as u64,
                    peer_bytes: 0,
                };
                self.keep(piece, bytes, split, Use::Init);
            }
        }
        let cipher = self.cipher(segment).await?;
        let bytes = self.download(&segment.url, segment.range).await?;
        let piece = Piece {
            id: segment.id,
            url: segment.url.clone(),
            range: segment.range,
            cipher,
        };
        let date = segment.date.map(|date| system_time(date.time()));
        let len = bytes.len() as u64;
        let split = self.source.split(track, segment, len).await;
        let use_as = Use::Media {
            start: segment.start,
            date,
        };
        self.keep(piece, bytes, split, use_as);
        let chunk = Chunk {
            start: segment.start,
            duration: segment.duration,
        };
        self.state().playhead.push(chunk, Instant::now());
        self.report().await;
        Ok(())
    }

    /// Notes that `piece` is complete, and has its bytes judged beside the playing.
    fn keep(&self, piece: Piece, bytes: Bytes, split: Split, use_as: Use) {
        let loaded = Loaded {
            id: piece.id,
            len: bytes.len() as u64,
            split,
            use_as,
        };
        self.state().loaded.push(loaded);
        let truth = self.config.truth.clone();
        let judge = async move { truth.judge(&piece, &bytes).await };
        let mut judgements = self
            .judgements
            .lock()
            .expect("nothing panics while holding it");
        judgements.spawn(judge);
    }

    /// What decrypts `segment`; fetches each key once.
    async fn cipher(&self, segment: &Segment) -> Result<Option<Cipher>, SourceError> {
        let Some(key) = segment.keys.iter().find(|key| &*key.method == "AES-128") else {
            return Ok(None);
        };
        let Some(url) = &key.url else { return Ok(None) };
        let known = self.state().keys.get(url.as_str()).copied();
        let bytes = match known {
            Some(bytes) => bytes,
            None => {
                let bytes = self.download(url.as_str(), None).await?;
                let bytes = <[u8; 16]>::try_from(&*bytes)
                    .map_err(|_| SourceError::Transfer("a key is not of 16 bytes".to_owned()))?;
                self.state().keys.insert(url.as_str().to_owned(), bytes);
                bytes
            }
        };
        let iv = key.iv.unwrap_or(u128::from(segment.ordinal));
        Ok(Some(Cipher {
            key: bytes,
            iv: iv.to_be_bytes(),
        }))
    }

    async fn download(&self, url: &str, range: Option<ByteRange>) -> Result<Bytes, SourceError> {
        let give_up_at = Instant::now() + LOAD_TIMEOUT;
        let first = async {
            let mut body = self.source.fetch(url, range).await?;
            let first = body.next().await.transpose()?;
            Ok((first, body))
        };
        let first = timeout(FIRST_BYTE_TIMEOUT, first).await;
        let (first, mut body) = first.map_err(|_| SourceError::Timeout)??;
        let mut bytes = BytesMut::from(first.unwrap_or_default());
        loop {
            let next = timeout_at(give_up_at, body.next()).await;
            match next.map_err(|_| SourceError::Timeout)? {
                Some(piece) => bytes.extend_from_slice(&piece?),
                None => return Ok(bytes.freeze()),
            }
        }
    }

    /// Asks again and again until there is an answer.
    async fn insist<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, SourceError>>,
    {
        let mut failures = 0;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => self.back_off(&error, &mut failures).await,
            }
        }
    }

    /// Waits before another try: not at all after a time-out, which was wait enough.
    async fn back_off(&self, error: &SourceError, failures: &mut u32) {
        tracing::debug!(viewer = %self.config.name, %error, "a try failed");
        self.state().failed_tries += 1;
        if *error != SourceError::Timeout {
            let delay = RETRY_DELAY * 2u32.pow((*failures).min(8));
            sleep(delay.min(RETRY_DELAY_MAX)).await;
        }
        *failures += 1;
    }

    async fn wait_for_room(&self) {
        loop {
            let buffered = self.now_playing().buffered;
            if buffered < BUFFER_TARGET {
                return;
            }
            sleep(buffered - BUFFER_TARGET + Duration::from_millis(1)).await;
        }
    }

    async fn report_regularly(&self) {
        loop {
            self.report().await;
            sleep(REPORT_INTERVAL).await;
        }
    }

    async fn report(&self) {
        let report = self.now_playing();
        self.source.report(report).await;
    }

    fn now_playing(&self) -> PlaybackReport {
        let now = Instant::now();
        let state = &mut *self.state();
        state.playhead.advance(now);
        let position = state.playhead.position(now);
        PlaybackReport {
            status: state.playhead.status(),
            position: position.or(state.start),
            buffered: state.playhead.buffered(now),
            latency: state.latency_at(position, self.config.wall.date_at(now)),
            buffer_target: BUFFER_TARGET,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }

    async fn into_record(self, joined: Instant, left_at: Instant) -> ViewerRecord {
        let delivery = self.source.delivery().await;
        self.source.leave().await;
        let state = self
            .state
            .into_inner()
            .expect("nothing panics while holding it");
        let judgements = self.judgements.into_inner();
        let judgements = judgements.expect("nothing panics while holding it");
        let verdicts = judgements.join_all().await;
        let wrong = verdicts.iter().filter(|one| **one == Verdict::Wrong);
        let played = state.playhead.stop(left_at);
        let first_frame = played.begun.first();
        ViewerRecord {
            startup: first_frame.map(|first| first.saturating_duration_since(joined)),
            stalls: played.stalls,
            stalled: played.stalled,
            played: played.duration,
            latency: mean_latency(&state.loaded, &played.begun, &self.config.wall),
            segments: segment_records(&state.loaded, &played.begun),
            corrupt: wrong.count() as u64,
            failed_tries: state.failed_tries,
            skips: state.skips,
            delivery,
            name: self.config.name,
        }
    }
}

impl State {
    /// How far `date` is ahead of the media at `position`.
    fn latency_at(&self, position: Option<MediaTime>, date: SystemTime) -> Option<Duration> {
        let position = position?;
        let mut newest_first = self.loaded.iter().rev();
        newest_first.find_map(|one| match one.use_as {
            Use::Media {
                start,
                date: Some(made),
            } if start <= position => {
                let made = made + position.saturating_duration_since(start);
                Some(date.duration_since(made).unwrap_or_default())
            }
            _ => None,
        })
    }
}

/// Every loaded segment, and when it began to play: `begun` has those put into the buffer, in
/// order.
fn segment_records(loaded: &[Loaded], begun: &[Instant]) -> Vec<SegmentRecord> {
    let first_frame = begun.first();
    let mut begun = begun.iter();
    let record = |one: &Loaded| {
        let begun = match one.use_as {
            Use::Init => None,
            Use::Media { .. } => begun.next(),
        };
        let begun = begun.zip(first_frame);
        SegmentRecord {
            id: one.id,
            len: one.len,
            split: one.split,
            begun: begun.map(|(begun, first)| begun.saturating_duration_since(*first)),
        }
    };
    loaded.iter().map(record).collect()
}

/// The mean over the segments played, which are of about one length, of the distance between
/// their date and the moment when they began to play.
fn mean_latency(loaded: &[Loaded], begun: &[Instant], wall: &WallClock) -> Option<Duration> {
    let dates = loaded.iter().filter_map(|one| match one.use_as {
        Use::Init => None,
        Use::Media { date, .. } => Some(date),
    });
    let latency =
        |(date, begun): (Option<SystemTime>, &Instant)| Some(wall.elapsed_since(date?, *begun));
    let latencies: Vec<Duration> = dates.zip(begun).filter_map(latency).collect();
    let count = u32::try_from(latencies.len()).ok()?;
    latencies.iter().sum::<Duration>().checked_div(count)
}

fn system_time(date: UnixTime) -> SystemTime {
    let micros = u64::try_from(date.as_micros()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

/// Loading pauses while so much lies ahead of the playhead.
const BUFFER_TARGET: Duration = Duration::from_secs(20);

/// How often the source is told the position: often enough for deadlines a second away.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// hls.js `fragLoadPolicy.default.maxTimeToFirstByteMs`.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// hls.js `fragLoadPolicy.default.maxLoadTimeMs`.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// hls.js `fragLoadPolicy.default.errorRetry.retryDelayMs`, doubled with every failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// hls.js `fragLoadPolicy.default.errorRetry.maxRetryDelayMs`.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(8);
