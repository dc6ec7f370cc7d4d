//! Peers are dealt with only while the origin lets the viewer watch.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use p2pcdn::{Standing, Statistics};
use p2pcdn_example_attest::Attester;
use p2pcdn_example_swarm::{
    Failure, Fault, Kind, LocalTracker, Origin, Target, ViewerRecord, Viewers,
};
use tokio::task::JoinHandle;

use crate::support::{
    Conduct, Crowd, Doorman, RawPeer, Scene, client_config, exempt, fault, wait_until,
};

/// A scene with its viewers, who meet behind a door.
struct Stage {
    origin: Origin,
    crowd: Arc<Crowd>,
    together: JoinHandle<Vec<ViewerRecord>>,
    door: Doorman,
    tracker: LocalTracker,
    _attester: Attester,
}

impl Stage {
    async fn new(scene: &Scene, faults: Vec<Fault>) -> Self {
        let origin = scene.origin().await;
        let tracker = LocalTracker::start().await.unwrap();
        let door = Doorman::in_front_of(tracker.url()).await;
        let (attester, key) = scene.attester(&origin, tracker.url()).await;
        exempt(&origin, "attester");
        origin.set_faults(Viewers::Others, faults);
        let (crowd, together) = scene.watch_together(&origin, client_config(door.url(), key));
        Self {
            origin,
            crowd,
            together,
            door,
            tracker,
            _attester: attester,
        }
    }

    async fn wait_for(&self, what: &str, is: impl Fn(&Statistics) -> bool + Copy) {
        wait_until(what, || self.crowd.all(3, is)).await;
    }

    fn answers(&self, part: &str, status: u16) -> usize {
        let requests = self.origin.requests();
        let viewers = requests
            .iter()
            .filter(|one| one.viewer.starts_with("viewer"));
        viewers
            .filter(|one| one.target.contains(part) && one.status == status)
            .count()
    }
}

fn refuse(kind: Kind, status: u16) -> Vec<Fault> {
    vec![Fault {
        target: Target::Kind(kind),
        failure: Failure::Status(status),
        times: None,
    }]
}

fn is_among_peers(one: &Statistics) -> bool {
    one.standing == Standing::Granted && one.peer_count >= 3
}

fn is_refused(one: &Statistics) -> bool {
    one.standing == Standing::Refused && one.peer_count == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_looks_for_peers_before_the_origin_has_delivered_manifest_and_media() {
    let scene = Scene::lasting(8);
    let stage = Stage::new(&scene, refuse(Kind::Media, 503)).await;
    // Somebody is there to be met.
    let raw = RawPeer::join(
        Conduct::Observes,
        scene.foreseen(&stage.origin),
        stage.tracker.url(),
    );
    stage.wait_for("everybody is there", |_| true).await;
    wait_until("everybody was refused some media", async || {
        stage.answers("seg-", 503) + stage.answers("init", 503) >= 6
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        stage.answers("playlist", 200) >= 3,
        "manifests are delivered"
    );
    let is_pending = |one: &Statistics| one.standing == Standing::Pending && one.peer_count == 0;
    assert!(stage.crowd.all(3, is_pending).await);
    assert_eq!(stage.door.opened_count(), 0, "nobody was at the tracker");
    let viewers: BTreeSet<_> = stage.crowd.clients().iter().map(|one| one.peer()).collect();
    assert!(raw.account().met.is_disjoint(&viewers));

    stage.origin.set_faults(Viewers::Others, Vec::new());
    stage
        .wait_for("everybody is among peers", is_among_peers)
        .await;
    assert!(stage.door.opened_count() >= 3);
    for record in stage.together.await.unwrap() {
        assert_eq!(record.corrupt, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_media_leaves_the_peers_until_it_is_granted_again() {
    let scene = Scene::lasting(20);
    let stage = Stage::new(&scene, Vec::new()).await;
    stage
        .wait_for("everybody is among peers", is_among_peers)
        .await;
    stage
        .origin
        .set_faults(Viewers::Others, refuse(Kind::Media, 403));
    stage.wait_for("everybody left", is_refused).await;
    let at_the_tracker = stage.door.opened_count();
    let reloads = stage.answers("playlist", 200);
    wait_until("playlists are delivered all the same", async || {
        stage.answers("playlist", 200) >= reloads + 6
    })
    .await;
    assert!(
        stage.crowd.all(3, is_refused).await,
        "which changes nothing"
    );
    assert_eq!(stage.door.opened_count(), at_the_tracker);

    stage.origin.set_faults(Viewers::Others, Vec::new());
    stage
        .wait_for("everybody is among peers again", is_among_peers)
        .await;
    for record in stage.together.await.unwrap() {
        assert_eq!(record.corrupt, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_the_manifest_leaves_the_peers_until_it_is_granted_again() {
    let scene = Scene::lasting(14);
    let stage = Stage::new(&scene, Vec::new()).await;
    stage
        .wait_for("everybody is among peers", is_among_peers)
        .await;
    stage
        .origin
        .set_faults(Viewers::Others, refuse(Kind::Manifest, 401));
    stage.wait_for("everybody left", is_refused).await;
    stage.origin.set_faults(Viewers::Others, Vec::new());
    stage
        .wait_for("everybody is among peers again", is_among_peers)
        .await;
    stage.together.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_segment_is_an_error_of_that_segment_only() {
    let scene = Scene::lasting(10);
    let stage = Stage::new(&scene, Vec::new()).await;
    for viewer in ["viewer-0", "viewer-1", "viewer-2"] {
        // Whoever is the first to ask is refused.
        let faults = vec![fault("seg-000030", Failure::Status(403), Some(1))];
        stage.origin.set_faults(Viewers::One(viewer), faults);
    }
    stage
        .wait_for("everybody is among peers", is_among_peers)
        .await;
    let mut together = stage.together;
    let records = loop {
        tokio::select! {
            records = &mut together => break records.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                for client in stage.crowd.clients() {
                    // Who has watched to the end is gone.
                    let Ok(statistics) = client.statistics().await else { continue };
                    assert_eq!(statistics.standing, Standing::Granted);
                }
            }
        }
    };
    let requests = stage.origin.requests();
    let refused: Vec<_> = requests.iter().filter(|one| one.status == 403).collect();
    assert!(!refused.is_empty() && refused.iter().all(|one| one.target.contains("seg-000030")));
    for record in records {
        assert_eq!((record.corrupt, record.skips), (0, 0));
        assert!(
            record.stalled < Duration::from_secs(1),
            "{:?}",
            record.stalled
        );
    }
}
