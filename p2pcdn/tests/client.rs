//! A `Client` as a player meets it, with an origin in memory and no peers.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use p2pcdn::{
    Client, ClientConfig, ClientError, Request,
    manifest::LoadFailure,
    transport::{HttpClient, HttpError, HttpRange, HttpRequest, HttpResponse},
};
use tokio::time::{sleep, timeout};

const MASTER: &str = "https://cdn.example/master.m3u8";
const LOW: &str = "https://cdn.example/low.m3u8";
const HIGH: &str = "https://cdn.example/high.m3u8";

/// Far longer than anything here takes, and shorter than a test should hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is at a URL.
#[derive(Clone, Debug)]
enum Resource {
    Whole(Bytes),
    /// Says how long it is, delivers this much and then nothing more.
    StopsAfter(usize, Bytes),
    /// Comes after this long.
    Late(Duration, Bytes),
    /// Never answers.
    Silent,
}

/// An origin in memory.
#[derive(Debug, Default)]
struct Origin {
    resources: Mutex<BTreeMap<String, Resource>>,
    asked: Mutex<Vec<String>>,
}

impl Origin {
    fn new(resources: impl IntoIterator<Item = (&'static str, Resource)>) -> Arc<Self> {
        let resources = resources.into_iter();
        Arc::new(Self {
            resources: Mutex::new(resources.map(|(url, it)| (url.to_owned(), it)).collect()),
            asked: Mutex::default(),
        })
    }

    fn put(&self, url: &str, resource: Resource) {
        let mut resources = self.resources.lock().unwrap();
        resources.insert(url.to_owned(), resource);
    }

    fn times_asked(&self, url: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|one| *one == url).count()
    }

    fn times_asked_with(&self, text: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|one| one.contains(text)).count()
    }
}

#[async_trait]
impl HttpClient for Origin {
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.asked.lock().unwrap().push(request.url.clone());
        let found = self.resources.lock().unwrap().get(&request.url).cloned();
        let (status, whole, stops_after) = match found {
            Some(Resource::Whole(bytes)) => (200, bytes, None),
            Some(Resource::StopsAfter(count, bytes)) => (200, bytes, Some(count)),
            Some(Resource::Late(after, bytes)) => {
                sleep(after).await;
                (200, bytes, None)
            }
            Some(Resource::Silent) => std::future::pending().await,
            None => (404, Bytes::new(), None),
        };
        let mut headers = Vec::new();
        let (status, body) = match request.range {
            Some(range) if status == 200 => {
                let end = range.end.unwrap_or(u64::MAX).min(whole.len() as u64);
                let value = format!("bytes {}-{}/{}", range.start, end - 1, whole.len());
                headers.push(("content-range".to_owned(), value.into_bytes()));
                let at = |offset| usize::try_from(offset).unwrap();
                let (start, end) = (at(range.start), at(end));
                (206, whole.slice(start..end))
            }
            _ => (status, whole),
        };
        let len = body.len().to_string();
        headers.push(("content-length".to_owned(), len.into_bytes()));
        let sent = body.slice(..stops_after.unwrap_or(body.len()).min(body.len()));
        let sent = stream::iter([Ok(sent)]);
        Ok(HttpResponse {
            status,
            headers,
            final_url: request.url,
            body: match stops_after {
                Some(_) => sent.chain(stream::pending()).boxed(),
                None => sent.boxed(),
            },
        })
    }
}

fn text(text: impl Into<String>) -> Resource {
    Resource::Whole(Bytes::from(text.into()))
}

fn media(fill: u8) -> Bytes {
    Bytes::from(vec![fill; 40_000])
}

/// A playlist on demand of these segments, 2 s each.
fn vod(segments: &[&str]) -> Resource {
    let mut playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for segment in segments {
        playlist.push_str(&format!("#EXTINF:2,\n{segment}\n"));
    }
    text(playlist + "#EXT-X-ENDLIST\n")
}

/// A live playlist of the first so many segments, 2 s each, with these tags.
fn live(tags: &str, segments: usize) -> String {
    let mut playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{tags}");
    for segment in 0..segments {
        playlist.push_str(&format!("#EXTINF:2,\n{segment}.ts\n"));
    }
    playlist
}

fn listed_count(client: &Client) -> usize {
    let presentation = client.presentation();
    let segments = presentation.tracks[0].segments.as_ref();
    segments.map_or(0, |segments| segments.len())
}

fn master() -> Resource {
    text(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=200000\nlow.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=400000\nhigh.m3u8\n",
    )
}

async fn open(url: &str, origin: &Arc<Origin>) -> Client {
    let config = ClientConfig {
        bind: Some(([127, 0, 0, 1], 0).into()),
        ..ClientConfig::default()
    };
    let opened = Client::open_with(url, config, origin.clone()).await;
    opened.unwrap()
}

/// What `future` comes to; panics when it takes too long.
async fn soon<F: Future>(future: F) -> F::Output {
    let outcome = timeout(PATIENCE, future).await;
    outcome.expect("something takes for ever")
}

async fn read(client: &Client, url: &str) -> Result<Bytes, ClientError> {
    soon(async { client.fetch(Request::get(url)).await?.bytes().await }).await
}

#[tokio::test]
async fn hands_out_playlists_that_will_not_change_at_any_time() {
    let origin = Origin::new([
        (MASTER, master()),
        (LOW, vod(&["0.ts"])),
        (HIGH, vod(&["0.ts"])),
    ]);
    let client = open(MASTER, &origin).await;
    let first = read(&client, LOW).await.unwrap();
    // Longer than a copy of a live playlist is handed out.
    sleep(Duration::from_millis(1_200)).await;
    let master = read(&client, MASTER).await.unwrap();
    assert!(master.starts_with(b"#EXTM3U\n#EXT-X-STREAM-INF"));
    assert_eq!(read(&client, LOW).await.unwrap(), first);
    assert_eq!(origin.times_asked(LOW), 1);
}

#[tokio::test]
async fn a_body_cut_short_by_closing_is_an_error() {
    let origin = Origin::new([
        (LOW, vod(&["0.ts"])),
        (
            "https://cdn.example/0.ts",
            Resource::StopsAfter(20_000, media(7)),
        ),
    ]);
    let client = open(LOW, &origin).await;
    let request = Request::get("https://cdn.example/0.ts");
    let mut response = soon(client.fetch(request)).await.unwrap();
    let begun = soon(response.next()).await.unwrap();
    assert!(!begun.unwrap().is_empty());
    client.close().await;
    let rest = soon(response.collect::<Vec<_>>()).await;
    assert_eq!(rest.last(), Some(&Err(ClientError::Closed)));
}

#[tokio::test]
async fn a_part_of_a_segment_is_answered_as_a_part() {
    let mut bytes = vec![1; 40_000];
    bytes[10_000..10_004].copy_from_slice(b"here");
    let origin = Origin::new([
        (LOW, vod(&["0.ts"])),
        ("https://cdn.example/0.ts", Resource::Whole(bytes.into())),
    ]);
    let client = open(LOW, &origin).await;
    let response = soon(client.fetch(Request {
        range: Some(HttpRange {
            start: 10_000,
            end: Some(10_004),
        }),
        ..Request::get("https://cdn.example/0.ts")
    }));
    let response = response.await.unwrap();
    assert_eq!((response.status, response.len), (206, Some(4)));
    assert_eq!(soon(response.bytes()).await.unwrap(), "here");
}

#[tokio::test]
async fn a_segment_of_the_rendition_that_was_left_is_still_delivered() {
    let origin = Origin::new([
        (MASTER, master()),
        (LOW, vod(&["low0.ts", "low1.ts"])),
        (HIGH, vod(&["high0.ts", "high1.ts"])),
        ("https://cdn.example/low0.ts", Resource::Silent),
        ("https://cdn.example/high1.ts", Resource::Whole(media(2))),
    ]);
    let client = open(MASTER, &origin).await;
    read(&client, LOW).await.unwrap();
    read(&client, HIGH).await.unwrap();
    let left = client.fetch(Request::get("https://cdn.example/low0.ts"));
    let mut left = Box::pin(left);
    assert!(
        timeout(Duration::from_millis(100), &mut left)
            .await
            .is_err()
    );
    origin.put("https://cdn.example/low0.ts", Resource::Whole(media(1)));
    assert_eq!(
        read(&client, "https://cdn.example/high1.ts").await.unwrap(),
        media(2)
    );
    let late = soon(async { left.await?.bytes().await }).await;
    assert_eq!(late, Ok(media(1)));
}

#[tokio::test]
async fn a_segment_that_was_played_and_dropped_comes_again_after_a_seek_back() {
    let origin = Origin::new([
        (LOW, vod(&["0.ts", "1.ts", "2.ts"])),
        ("https://cdn.example/0.ts", Resource::Whole(media(0))),
        ("https://cdn.example/1.ts", Resource::Whole(media(1))),
        ("https://cdn.example/2.ts", Resource::Whole(media(2))),
    ]);
    let config = ClientConfig {
        bind: Some(([127, 0, 0, 1], 0).into()),
        memory_budget: 1,
        buffer_target: Duration::from_secs(2),
        ..ClientConfig::default()
    };
    let client = Client::open_with(LOW, config, origin.clone())
        .await
        .unwrap();
    for turn in 0..2 {
        for (name, fill) in [("0.ts", 0), ("1.ts", 1), ("2.ts", 2)] {
            let url = format!("https://cdn.example/{name}");
            assert_eq!(read(&client, &url).await, Ok(media(fill)), "{turn} {name}");
        }
    }
    assert_eq!(origin.times_asked("https://cdn.example/0.ts"), 2);
}

#[tokio::test]
async fn two_readers_of_one_segment_cost_one_request() {
    let origin = Origin::new([
        (LOW, vod(&["0.ts"])),
        ("https://cdn.example/0.ts", Resource::Whole(media(0))),
    ]);
    let client = open(LOW, &origin).await;
    let url = "https://cdn.example/0.ts";
    let both = tokio::join!(read(&client, url), read(&client, url));
    assert_eq!(both, (Ok(media(0)), Ok(media(0))));
    assert_eq!(origin.times_asked(url), 1);
}

#[tokio::test]
async fn a_clip_that_is_listed_twice_is_the_one_at_the_playhead() {
    let names = ["clip.ts", "1.ts", "2.ts", "3.ts", "clip.ts"];
    let origin = Origin::new([
        (LOW, vod(&names)),
        ("https://cdn.example/clip.ts", Resource::Whole(media(9))),
        ("https://cdn.example/1.ts", Resource::Silent),
    ]);
    let client = open(LOW, &origin).await;
    assert_eq!(
        read(&client, "https://cdn.example/clip.ts").await,
        Ok(media(9))
    );
    let track = client.presentation().tracks[0].id;
    let sources = |ordinal| client.sources(track, ordinal);
    assert_eq!(sources(0).await.unwrap().http_len, 40_000);
    assert_eq!(sources(4).await.unwrap().http_len, 0);
}

#[tokio::test]
async fn nothing_is_left_of_a_client_that_was_dropped() {
    let origin = Origin::new([
        (LOW, vod(&["0.ts"])),
        ("https://cdn.example/0.ts", Resource::Silent),
        ("https://cdn.example/key", Resource::Silent),
    ]);
    let client = open(LOW, &origin).await;
    for url in ["https://cdn.example/0.ts", "https://cdn.example/key"] {
        let asked = timeout(Duration::from_millis(50), client.fetch(Request::get(url)));
        assert!(asked.await.is_err());
    }
    drop(client);
    soon(async {
        while Arc::strong_count(&origin) > 1 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_url_is_called_so() {
    for url in ["not a url", "file:///etc/hosts", ""] {
        let error = Client::open(url, ClientConfig::default()).await.err();
        let expected = ClientError::Manifest {
            url: url.to_owned(),
            reason: LoadFailure::InvalidUrl,
        };
        assert_eq!(error, Some(expected));
    }
}

#[tokio::test]
async fn whoever_asks_a_closed_client_is_told_so() {
    let origin = Origin::new([(LOW, vod(&["0.ts"]))]);
    let client = open(LOW, &origin).await;
    tokio::join!(client.close(), client.close());
    assert_eq!(read(&client, LOW).await, Err(ClientError::Closed));
    assert!(client.changes().changed().now_or_never().is_some());
}

#[tokio::test]
async fn a_player_that_does_not_report_gets_all_that_it_asks_for_at_a_time() {
    let names = ["0.ts", "1.ts", "2.ts"];
    let urls = names.map(|name| format!("https://cdn.example/{name}"));
    let origin = Origin::new([(LOW, vod(&names))]);
    for (url, fill) in urls.iter().zip(0..) {
        origin.put(url, Resource::Whole(media(fill)));
    }
    let config = ClientConfig {
        bind: Some(([127, 0, 0, 1], 0).into()),
        buffer_target: Duration::from_secs(2),
        ..ClientConfig::default()
    };
    let client = Client::open_with(LOW, config, origin).await.unwrap();
    let [_, one, two] = &urls;
    let (one, two) = tokio::join!(read(&client, one), read(&client, two));
    assert!(one.unwrap() == media(1) && two.unwrap() == media(2));
}

#[tokio::test]
async fn a_low_latency_player_gets_exactly_what_it_asks_for() {
    let asked = "https://cdn.example/low.m3u8?_HLS_msn=3&_HLS_part=0";
    let newer = live("", 4) + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"4.0.ts\"\n";
    let origin = Origin::new([(LOW, text(live("", 3))), (asked, text(newer.clone()))]);
    let client = open(LOW, &origin).await;
    assert_eq!(listed_count(&client), 3);
    for times in 1..=2 {
        assert_eq!(read(&client, asked).await, Ok(newer.clone().into()));
        assert_eq!(origin.times_asked(asked), times);
    }
    // What the player learnt, the client knows too.
    let mut changes = client.changes();
    let is_known = |_: &Arc<_>| listed_count(&client) == 4;
    soon(changes.wait_for(is_known)).await.unwrap();
}

#[tokio::test]
async fn a_low_latency_player_hears_itself_that_the_server_refuses() {
    let origin = Origin::new([(LOW, text(live("", 3)))]);
    let client = open(LOW, &origin).await;
    let refused = Request::get("https://cdn.example/low.m3u8?_HLS_msn=99");
    let response = soon(client.fetch(refused)).await.unwrap();
    assert_eq!(response.status, 404);
    assert!(read(&client, LOW).await.unwrap().starts_with(b"#EXTM3U"));
}

const BLOCKING: &str = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n\
                        #EXT-X-PART-INF:PART-TARGET=0.5\n";

#[tokio::test]
async fn players_that_wait_for_the_same_wait_once_at_the_origin() {
    let origin = Origin::new([(LOW, text(live(BLOCKING, 3)))]);
    let next = "https://cdn.example/low.m3u8?_HLS_msn=3&_HLS_part=0";
    let newer = Bytes::from(live(BLOCKING, 4));
    origin.put(
        next,
        Resource::Late(Duration::from_millis(500), newer.clone()),
    );
    let client = open(LOW, &origin).await;
    let (one, other) = tokio::join!(read(&client, next), read(&client, next));
    assert_eq!((one, other), (Ok(newer.clone()), Ok(newer)));
    assert_eq!(origin.times_asked(next), 1);
}

#[tokio::test]
async fn a_client_asks_for_no_playlist_in_ways_that_its_player_does_not() {
    let origin = Origin::new([(LOW, text(live(BLOCKING, 3)))]);
    let client = open(LOW, &origin).await;
    // Longer than a copy of a live playlist is handed out.
    sleep(Duration::from_millis(1_200)).await;
    let plain = read(&client, LOW).await;
    assert_eq!(plain, Ok(live(BLOCKING, 3).into()));
    assert_eq!(origin.times_asked(LOW), 2);
    assert_eq!(origin.times_asked_with("_HLS_"), 0);
}

#[cfg(feature = "dash")]
mod dash {
    use super::*;

    const MPD: &str = "https://cdn.example/film.mpd";

    const ON_DEMAND: &str = r#"type="static" mediaPresentationDuration="PT6S""#;
    const LIVE: &str = r#"type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"
        minimumUpdatePeriod="PT60S""#;

    /// Three segments of 2 s.
    fn mpd(kind: &str, media: &str) -> Resource {
        text(format!(
            r#"<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" {kind}
     minBufferTime="PT2S" profiles="urn:mpeg:dash:profile:isoff-live:2011">
  <Period id="p" start="PT0S">
    <AdaptationSet contentType="video" mimeType="video/mp4">
      <SegmentTemplate timescale="1" media="{media}" initialization="init.mp4">
        <SegmentTimeline><S t="0" d="2" r="2"/></SegmentTimeline>
      </SegmentTemplate>
      <Representation id="v" bandwidth="100000"/>
    </AdaptationSet>
  </Period>
</MPD>"#
        ))
    }

    #[tokio::test]
    async fn segments_are_kept_whatever_names_them() {
        for kind in [ON_DEMAND, LIVE] {
            for (media_template, url) in [
                ("$Number$.m4s", "https://cdn.example/2.m4s"),
                ("t$Time$.m4s", "https://cdn.example/t2.m4s"),
            ] {
                let origin = Origin::new([
                    (MPD, mpd(kind, media_template)),
                    (url, Resource::Whole(media(2))),
                ]);
                let client = open(MPD, &origin).await;
                for _ in 0..2 {
                    assert_eq!(read(&client, url).await, Ok(media(2)), "{kind} {url}");
                }
                // The second time from memory.
                assert_eq!(origin.times_asked(url), 1, "{kind} {url}");
            }
        }
    }

    #[tokio::test]
    async fn a_live_mpd_is_loaded_again_for_a_player_that_asks_for_it() {
        let origin = Origin::new([(MPD, mpd(LIVE, "$Number$.m4s"))]);
        let client = open(MPD, &origin).await;
        // Longer than a copy of a live manifest is handed out.
        sleep(Duration::from_millis(1_200)).await;
        assert!(read(&client, MPD).await.unwrap().starts_with(b"<?xml"));
        assert_eq!(origin.times_asked(MPD), 2);
    }

    #[tokio::test]
    async fn an_mpd_on_demand_is_loaded_once() {
        let origin = Origin::new([(MPD, mpd(ON_DEMAND, "$Number$.m4s"))]);
        let client = open(MPD, &origin).await;
        // Longer than a copy of a live manifest is handed out.
        sleep(Duration::from_millis(1_200)).await;
        assert!(read(&client, MPD).await.unwrap().starts_with(b"<?xml"));
        assert_eq!(origin.times_asked(MPD), 1);
    }
}
