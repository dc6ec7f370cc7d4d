//! Origins that fail.

use std::time::Duration;

use p2pcdn::{
    Client, ClientConfig, ClientError, FetchError, Request,
    manifest::LoadFailure,
    scheduler::{Playback, PlaybackState},
    wire::MediaTime,
};
use p2pcdn_example_swarm::{Failure, Fault, LocalTracker, Origin, Show, ViewerRecord, Viewers};
use tokio::time::timeout;

use crate::support::{Scene, assert_not_worse, client_config, exempt, fault, peer_bytes};

/// Three viewers watch while the origin fails all of them as `for_all` says, and viewer 1 as
/// `for_one` says.
async fn watch_through(for_all: Vec<Fault>, for_one: Vec<Fault>) -> Watched {
    let scene = Scene::lasting(12);
    let (origin, alone) = (scene.origin().await, scene.origin().await);
    let tracker = LocalTracker::start().await.unwrap();
    let (_attester, key) = scene.attester(&origin, tracker.url()).await;
    for origin in [&origin, &alone] {
        exempt(origin, "attester");
        origin.set_faults(Viewers::Others, for_all.clone());
        origin.set_faults(Viewers::One("viewer-1"), for_one.clone());
    }
    let watching = scene.watch_alone(&alone);
    let (_, together) = scene.watch_together(&origin, client_config(tracker.url(), key));
    let (hybrid, control) = (together.await.unwrap(), watching.await.unwrap());
    assert_not_worse(&hybrid, &control);
    assert!(peer_bytes(&hybrid) > 0, "they share");
    Watched {
        origin,
        hybrid,
        control,
    }
}

struct Watched {
    origin: Origin,
    hybrid: Vec<ViewerRecord>,
    control: Vec<ViewerRecord>,
}

impl Watched {
    /// Viewer 1, whom the origin fails for good, is helped by the others.
    fn assert_one_is_helped(&self) {
        let [helped, helpless] = [&self.hybrid, &self.control].map(|records| records[1].played);
        assert!(
            helped > helpless + Duration::from_secs(2),
            "{helped:?}, {helpless:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_the_origin_does_not_find_come_from_peers() {
    let for_all = vec![fault("seg-000030", Failure::Status(404), Some(1))];
    let for_one = vec![fault("seg-00003", Failure::Status(404), None)];
    let watched = watch_through(for_all, for_one).await;
    watched.assert_one_is_helped();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_origin_are_bridged_by_peers() {
    let for_all = vec![fault("seg-00003", Failure::Status(500), Some(3))];
    let for_one = vec![fault("seg-00003", Failure::Status(500), None)];
    let watched = watch_through(for_all, for_one).await;
    watched.assert_one_is_helped();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_stall_are_finished_by_peers() {
    let for_all = vec![fault("seg-000030", Failure::StallAfter(100_000), Some(1))];
    let for_one = vec![fault("seg-00003", Failure::StallAfter(50_000), None)];
    let watched = watch_through(for_all, for_one).await;
    watched.assert_one_is_helped();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_refuses_ranges_delivers_whole_segments() {
    // Bodies that are cut off make viewers ask for the rest.
    let cut = |segment| fault(segment, Failure::CloseAfter(60_000), Some(2));
    let faults = vec![
        cut("seg-000027"),
        cut("seg-000030"),
        cut("seg-000031"),
        fault("seg-", Failure::IgnoreRange, None),
    ];
    let watched = watch_through(faults.clone(), faults).await;
    let refused = watched.origin.requests();
    let refused = refused
        .iter()
        .filter(|one| one.range.is_some() && one.status == 200);
    assert!(refused.count() > 0, "a range was asked for");
}

/// A viewer by itself.
async fn lone(scene: &Scene, origin: &Origin) -> Client {
    Client::open(&scene.url(origin), ClientConfig::default())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_origin_refuses_for_good_is_a_typed_error_at_once() {
    let scene = Scene::new();
    let origin = scene.origin().await;
    let client = lone(&scene, &origin).await;
    let ask = async |status, segment| {
        let faults = vec![fault("seg-", Failure::Status(status), None)];
        origin.set_faults(Viewers::Others, faults);
        let request = Request::get(scene.segment_url(&origin, segment));
        let answer = timeout(Duration::from_secs(10), client.fetch(request)).await;
        answer.expect("an answer").expect_err("no segment")
    };
    let error = ask(404, 26).await;
    assert_eq!(
        error,
        ClientError::Origin(FetchError::NotFound { status: 404 })
    );
    assert_eq!(error.to_string(), "the origin does not have it, status 404");
    let error = ask(403, 27).await;
    assert_eq!(
        error,
        ClientError::Origin(FetchError::Unauthorised { status: 403 })
    );
    assert_eq!(
        error.to_string(),
        "the origin refuses access with status 403"
    );

    origin.set_faults(
        Viewers::Others,
        vec![fault("playlist", Failure::Status(404), None)],
    );
    let url = scene.url(&origin);
    let error = Client::open(&url, ClientConfig::default())
        .await
        .unwrap_err();
    let reason = LoadFailure::Status(404);
    assert_eq!(
        error,
        ClientError::Manifest {
            url: url.clone(),
            reason
        }
    );
    assert_eq!(error.to_string(), format!("{url}: HTTP status 404"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_origin_may_yet_deliver_is_tried_until_it_comes_or_is_passed() {
    let mut scene = Scene::new();
    // On demand, where nothing leaves the playlist meanwhile.
    scene.show = Show::Vod;
    let origin = scene.origin().await;
    for failure in [
        Failure::Status(500),
        Failure::StallAfter(50_000),
        Failure::CloseAfter(50_000),
    ] {
        origin.set_faults(Viewers::Others, vec![fault("seg-", failure, Some(2))]);
        let client = lone(&scene, &origin).await;
        let request = Request::get(scene.segment_url(&origin, 26));
        let body = async {
            let response = client.fetch(request).await?;
            assert_eq!(response.status, 200);
            response.bytes().await
        };
        let body = timeout(Duration::from_secs(60), body)
            .await
            .expect("an answer");
        let (body, right) = (body.unwrap(), scene.rendition.segment(26));
        assert!(
            body == right,
            "{} of {} bytes after {failure:?}",
            body.len(),
            right.len()
        );
    }

    origin.set_faults(
        Viewers::Others,
        vec![fault("seg-", Failure::Status(503), None)],
    );
    let client = lone(&scene, &origin).await;
    let track = client.presentation().tracks[0].clone();
    let segment = track.segments.unwrap().segment(26).unwrap();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.fetch(Request::get(&*segment.url)).await.map(|_| ()) }
    });
    let playback = |position| Playback {
        position,
        state: PlaybackState::Playing,
        buffer_target: Duration::from_secs(20),
    };
    crate::support::wait_until("the origin was asked", async || {
        origin.requests().iter().any(|one| one.status == 503)
    })
    .await;
    let after = MediaTime::ZERO + Duration::from_secs(3_600);
    client.set_playback(playback(after), None).await.unwrap();
    let answer = timeout(Duration::from_secs(10), asked)
        .await
        .expect("an answer");
    assert_eq!(answer.unwrap(), Err(ClientError::Passed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_leaves_the_playlist_before_it_came_is_a_typed_error() {
    let scene = Scene::new();
    let origin = scene.origin().await;
    let client = lone(&scene, &origin).await;
    // The oldest one: listed for two seconds more, at most.
    let segments = client.presentation().tracks[0].segments.clone().unwrap();
    let oldest = segments.first().unwrap().ordinal;
    let faults = vec![fault("seg-", Failure::Status(503), None)];
    origin.set_faults(Viewers::Others, faults);
    let request = Request::get(scene.segment_url(&origin, oldest));
    let answer = timeout(Duration::from_secs(30), client.fetch(request.clone())).await;
    let error = answer.expect("an answer").expect_err("no segment");
    assert_eq!(error, ClientError::Unlisted);

    // Asked for once more it is like anything else at the origin.
    origin.set_faults(Viewers::Others, Vec::new());
    let body = client.fetch(request).await.unwrap().bytes().await.unwrap();
    assert!(body == scene.rendition.segment(oldest));
}
