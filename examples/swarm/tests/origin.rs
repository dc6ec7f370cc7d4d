//! The origin over real sockets: what HTTP promises, what a live window promises, and faults.

use std::time::Duration;

use p2pcdn_example_swarm::{
    Failure, Fault, Kind, Origin, OriginConfig, RENDITIONS, Shape, Show, Target, Viewers,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, timeout};

/// An origin whose live shows have run for 60.2 s: segments 20 to 29 are listed.
async fn origin() -> Origin {
    let config = OriginConfig {
        live_since: Instant::now() - Duration::from_millis(60_200),
        ..OriginConfig::default()
    };
    Origin::start(config).await.unwrap()
}

fn get(origin: &Origin, path: &str) -> RequestBuilder {
    let client = Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://{}{path}", origin.address()))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

const SEGMENT: &str = "/live/mid/seg-000025.m4s";

#[tokio::test]
async fn serves_exactly_the_bytes_of_a_range() {
    let origin = origin().await;
    let whole = RENDITIONS[1].segment(25);
    let len = whole.len();

    let part = send(get(&origin, SEGMENT).header("range", "bytes=100-299")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        header(&part, "content-range"),
        format!("bytes 100-299/{len}")
    );
    assert_eq!(header(&part, "content-length"), "200");
    assert_eq!(part.bytes().await.unwrap(), whole.slice(100..300));

    let tail = send(get(&origin, SEGMENT).header("range", "bytes=-10")).await;
    assert_eq!(tail.bytes().await.unwrap(), whole.slice(len - 10..));

    let beyond = send(get(&origin, SEGMENT).header("range", format!("bytes={len}-"))).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{len}"));
    assert_eq!(beyond.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn if_range_gives_the_part_only_of_the_same_representation() {
    let origin = origin().await;
    let etag = header(&send(get(&origin, SEGMENT)).await, "etag").to_owned();
    let part = |tag: &str| {
        let request = get(&origin, SEGMENT).header("range", "bytes=0-9");
        send(request.header("if-range", tag))
    };
    assert_eq!(part(&etag).await.status(), StatusCode::PARTIAL_CONTENT);
    let other = part("\"other\"").await;
    assert_eq!(other.status(), StatusCode::OK);
    assert_eq!(other.bytes().await.unwrap(), RENDITIONS[1].segment(25));
    let weak = part(&format!("W/{etag}")).await;
    assert_eq!(weak.status(), StatusCode::OK, "If-Range compares strongly");
}

#[tokio::test]
async fn head_says_what_get_would_say() {
    let origin = origin().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{SEGMENT}", origin.address());
    let head = send(
        client
            .request(Method::HEAD, url)
            .header("range", "bytes=0-9"),
    )
    .await;
    assert_eq!(head.status(), StatusCode::OK);
    let len = RENDITIONS[1].segment(25).len().to_string();
    assert_eq!(header(&head, "content-length"), len);
    assert_eq!(header(&head, "accept-ranges"), "bytes");
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    assert_eq!(origin.served()[""].media_bytes, 0);
}

#[tokio::test]
async fn the_live_window_lists_ten_segments_and_serves_older_ones_a_while() {
    let origin = origin().await;
    let playlist = send(get(&origin, "/live/top/playlist.m3u8")).await;
    assert!(playlist.headers().get("content-encoding").is_none());
    let text = playlist.text().await.unwrap();
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:20\n"), "{text}");
    let listed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("seg-"))
        .collect();
    assert_eq!(listed.len(), 10);
    assert_eq!((listed[0], listed[9]), ("seg-000020.m4s", "seg-000029.m4s"));
    // 24 is the only first segment of a pass over the media within the window.
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);

    let status = async |sequence| {
        let path = format!("/live/top/seg-{sequence:06}.m4s");
        send(get(&origin, &path)).await.status().as_u16()
    };
    // A few segments of distance from both ends: the window moves while this runs.
    assert_eq!(status(7).await, 404);
    assert_eq!(status(12).await, 200);
    assert_eq!(status(29).await, 200);
    assert_eq!(status(40).await, 404);
}

#[tokio::test]
async fn two_origins_started_apart_are_in_the_same_phase() {
    let since = Instant::now() - Duration::from_secs(61);
    let start = async || {
        let config = OriginConfig {
            live_since: since,
            ..OriginConfig::default()
        };
        let origin = Origin::start(config).await.unwrap();
        let text = send(get(&origin, "/live/low/playlist.m3u8"))
            .await
            .text()
            .await;
        (origin, text.unwrap())
    };
    let (_one, first) = start().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (_two, second) = start().await;
    let without_dates = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.contains("DATE-TIME"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(without_dates(&first), without_dates(&second));
}

#[tokio::test]
async fn the_encrypted_show_wants_a_token_for_everything() {
    let origin = origin().await;
    for path in [
        "/secure/master.m3u8",
        "/secure/top/playlist.m3u8",
        "/secure/top/seg-000025.m4s",
        "/secure/top/init.mp4",
        "/keys/k1",
    ] {
        let status = async |query| send(get(&origin, &format!("{path}{query}"))).await.status();
        assert_eq!(status("").await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(
            status("?token=wrong").await,
            StatusCode::FORBIDDEN,
            "{path}"
        );
        assert_eq!(status("?token=SECRET-7").await, StatusCode::OK, "{path}");
    }
    let master = send(get(&origin, "/secure/master.m3u8?token=SECRET-7")).await;
    let text = master.text().await.unwrap();
    assert!(
        text.contains("top/playlist.m3u8?token=SECRET-7\n"),
        "{text}"
    );
    let key = send(get(&origin, "/keys/k1?token=SECRET")).await;
    assert_eq!(header(&key, "cache-control"), "private, no-store");
    assert_eq!(key.bytes().await.unwrap().len(), 16);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_allowed_405() {
    let origin = origin().await;
    for path in [
        "/",
        "/live",
        "/live/best/playlist.m3u8",
        "/vod/top/seg-000300.m4s",
    ] {
        assert_eq!(
            send(get(&origin, path)).await.status(),
            StatusCode::NOT_FOUND
        );
    }
    let url = format!("http://{}{SEGMENT}", origin.address());
    let client = Client::builder().no_proxy().build().unwrap();
    let post = send(client.post(url).body("x")).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn faults_befall_the_viewer_they_are_meant_for_until_they_are_lifted() {
    let origin = origin().await;
    let ask = |viewer| send(get(&origin, SEGMENT).header("x-viewer", viewer));
    let fault = |failure| {
        vec![Fault {
            target: Target::Kind(Kind::Media),
            failure,
            times: None,
        }]
    };
    origin.set_faults(Viewers::One("unlucky"), fault(Failure::Status(403)));
    assert_eq!(ask("unlucky").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(ask("other").await.status(), StatusCode::OK);
    origin.set_faults(Viewers::One("unlucky"), Vec::new());
    assert_eq!(ask("unlucky").await.status(), StatusCode::OK);

    origin.set_faults(Viewers::Others, fault(Failure::Status(500)));
    assert_eq!(ask("other").await.status().as_u16(), 500);
    let playlist = send(get(&origin, "/live/top/playlist.m3u8")).await;
    assert_eq!(playlist.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_range_can_be_refused() {
    let origin = origin().await;
    let faults = vec![Fault {
        target: Target::Everything,
        failure: Failure::IgnoreRange,
        times: Some(1),
    }];
    origin.set_faults(Viewers::Others, faults);
    let ask = || send(get(&origin, SEGMENT).header("range", "bytes=0-9"));
    let refused = ask().await;
    assert_eq!(refused.status(), StatusCode::OK);
    assert_eq!(refused.bytes().await.unwrap(), RENDITIONS[1].segment(25));
    assert_eq!(ask().await.status(), StatusCode::PARTIAL_CONTENT);
}

#[tokio::test]
async fn bodies_can_stall_close_and_trickle() {
    let origin = origin().await;
    let ask = async |failure, wanted: usize| {
        let faults = vec![Fault {
            target: Target::Path("seg-".to_owned()),
            failure,
            times: Some(1),
        }];
        origin.set_faults(Viewers::Others, faults);
        let mut response = send(get(&origin, SEGMENT)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut got = 0;
        while got < wanted {
            let chunk = timeout(Duration::from_secs(10), response.chunk()).await;
            got += chunk.unwrap().unwrap().unwrap().len();
        }
        (got, response)
    };

    let (got, mut stalled) = ask(Failure::StallAfter(20_000), 20_000).await;
    assert_eq!(got, 20_000);
    let more = timeout(Duration::from_millis(300), stalled.chunk()).await;
    assert!(more.is_err(), "nothing more comes, and no end");

    let (got, mut closed) = ask(Failure::CloseAfter(20_000), 20_000).await;
    assert_eq!(got, 20_000);
    assert!(
        closed.chunk().await.is_err(),
        "a body cut short is an error"
    );

    let (got, _trickling) = ask(Failure::Trickle, 1).await;
    assert_eq!(got, 1);
}

#[tokio::test]
async fn a_line_carries_everything_in_the_end_and_books_it() {
    let origin = origin().await;
    let shape = Shape {
        bandwidth: Some(20_000_000),
        latency: Duration::from_millis(5),
    };
    origin.set_shape("a", shape);
    let load = async |path: &str| {
        let response = send(get(&origin, path).header("x-viewer", "a")).await;
        response.bytes().await.unwrap()
    };
    let (one, two) = tokio::join!(load(SEGMENT), load("/live/low/seg-000026.m4s"));
    assert_eq!(one, RENDITIONS[1].segment(25));
    assert_eq!(two, RENDITIONS[0].segment(26));
    let playlist = load("/live/low/playlist.m3u8").await;
    let key = load("/keys/k1?token=SECRET").await;
    let served = origin.served()["a"];
    assert_eq!(served.media_bytes, (one.len() + two.len()) as u64);
    assert_eq!(served.manifest_bytes, playlist.len() as u64);
    assert_eq!(served.key_bytes, key.len() as u64);
    assert_eq!(served.requests, 4);
    let requests = origin.requests();
    assert_eq!(requests[3].target, "/keys/k1?token=SECRET");
    assert_eq!(
        (requests[3].viewer.as_str(), requests[3].status),
        ("a", 200)
    );
}

#[tokio::test]
async fn every_show_has_a_master_playlist_at_its_url() {
    let origin = origin().await;
    let client = Client::builder().no_proxy().build().unwrap();
    for show in [Show::Live, Show::Vod, Show::Secure] {
        let text = send(client.get(origin.url(show)))
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(text.matches("#EXT-X-STREAM-INF:").count(), 3, "{text}");
    }
}
