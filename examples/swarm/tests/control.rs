//! Viewers over HTTP alone, in real time against a real origin.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use p2pcdn_example_swarm::{
    Audience, Choice, Failure, Fault, FetchedTruth, HttpWorld, Kind, Origin, OriginConfig, Report,
    Shape, Show, Target, Truth, ViewerRecord, Viewers, WallClock,
};
use tokio::time::Instant;

/// Two viewers, half a second apart, for six seconds.
fn audience(wall: WallClock) -> Audience {
    Audience {
        viewers: 2,
        join_interval: Duration::from_millis(500),
        duration: Duration::from_secs(6),
        first_join_at: Instant::now() + Duration::from_millis(100),
        wall,
        ..Audience::default()
    }
}

async fn origin(wall: WallClock, shape: Shape) -> Origin {
    let config = OriginConfig {
        live_since: Instant::now() - Duration::from_millis(60_500),
        wall,
        shape,
        ..OriginConfig::default()
    };
    Origin::start(config).await.unwrap()
}

async fn watch(origin: &Origin, show: Show, audience: Audience) -> Vec<ViewerRecord> {
    let world = Arc::new(HttpWorld::new(origin.url(show)));
    audience.watch(world).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn live_viewers_play_in_real_time_about_six_seconds_behind() {
    let wall = WallClock::start();
    let origin = origin(wall, Shape::default()).await;
    let records = watch(&origin, Show::Live, audience(wall)).await;
    for record in &records {
        let startup = record.startup.expect("a first frame");
        assert!(startup < Duration::from_secs(2), "{startup:?}");
        assert_eq!((record.stalls, record.corrupt), (0, 0));
        // Startup and playing share the 6 s (6.5 s for the first viewer).
        assert!(record.played + startup <= Duration::from_millis(6_510));
        assert!(record.played > Duration::from_secs(4));
        // 6 s behind an edge that is up to 2 s old, and the startup.
        let latency = record.latency.expect("the playlist has dates");
        let span = Duration::from_secs(6)..Duration::from_secs(8) + startup;
        assert!(span.contains(&latency), "{latency:?}");
    }
    let served = origin.served();
    for record in &records {
        let served = served[&record.name];
        let counted = record.delivery;
        // What the origin wrote last may not have been read.
        assert!(served.media_bytes >= counted.http_media_bytes());
        let loaded: u64 = record.segments.iter().map(|one| one.len).sum();
        assert!(counted.http_media_bytes() >= loaded && loaded > 0);
        assert!(counted.http_bytes.manifest > 0);
        assert_eq!(counted.peer_bytes, 0);
    }
    let report = Report::new(Duration::from_secs(6), &records, 0, Some(&records));
    assert_eq!(report.peer_efficiency, Some(0.0));
    assert!(
        report.bound.unwrap() > 0.3,
        "both had mostly the same segments"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_viewers_play_from_the_start_with_twenty_seconds_ahead() {
    let wall = WallClock::start();
    let origin = origin(wall, Shape::default()).await;
    let records = watch(&origin, Show::Vod, audience(wall)).await;
    for record in &records {
        assert_eq!((record.stalls, record.corrupt), (0, 0));
        assert_eq!(record.latency, None);
        // 20 s ahead after 6 s of playing are 13 segments, and one more that brought the buffer
        // over its target; with the init segment.
        assert!(
            (12..=15).contains(&record.segments.len()),
            "{}",
            record.segments.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_stream_is_decrypted_and_right() {
    let wall = WallClock::start();
    let origin = origin(wall, Shape::default()).await;
    let records = watch(&origin, Show::Secure, audience(wall)).await;
    for record in &records {
        assert!(record.startup.is_some());
        assert_eq!(record.corrupt, 0);
        assert_eq!(
            origin.served()[&record.name].key_bytes,
            16,
            "the key is fetched once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_line_makes_an_adaptive_viewer_stay_low() {
    let wall = WallClock::start();
    let shape = Shape {
        bandwidth: Some(1_000_000),
        latency: Duration::ZERO,
    };
    let origin = origin(wall, shape).await;
    let audience = Audience {
        choice: Choice::Adaptive,
        ..audience(wall)
    };
    let records = watch(&origin, Show::Live, audience).await;
    let requests = origin.requests();
    assert!(
        requests
            .iter()
            .any(|one| one.target.starts_with("/live/low/seg-"))
    );
    assert!(
        !requests
            .iter()
            .any(|one| one.target.starts_with("/live/top/seg-"))
    );
    assert!(records.iter().all(|record| record.stalls == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_segment_is_tried_again() {
    let wall = WallClock::start();
    let origin = origin(wall, Shape::default()).await;
    let faults = vec![Fault {
        target: Target::Kind(Kind::Media),
        failure: Failure::Status(500),
        times: Some(1),
    }];
    origin.set_faults(Viewers::One("viewer-0"), faults);
    let records = watch(&origin, Show::Live, audience(wall)).await;
    assert_eq!((records[0].failed_tries, records[1].failed_tries), (1, 0));
    assert!(records[0].startup.unwrap() > Duration::from_secs(1));
    assert!(records[0].played > Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_somebody_else_is_judged_by_one_more_download_of_each_segment() {
    let wall = WallClock::start();
    let origin = origin(wall, Shape::default()).await;
    let audience = Audience {
        truth: Arc::new(Truth::Fetched(FetchedTruth::default())),
        ..audience(wall)
    };
    let records = watch(&origin, Show::Live, audience).await;
    assert!(records.iter().all(|record| record.corrupt == 0));
    let loaded = records.iter().flat_map(|record| &record.segments);
    let distinct: BTreeSet<_> = loaded.map(|one| one.id).collect();
    // Whoever sends no `x-viewer` header is the judge.
    assert_eq!(origin.served()[""].requests, distinct.len() as u64);
}
