//! One stream, its viewers with peers, and their twins without.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use p2pcdn::{ClientConfig, PublicKey};
use p2pcdn_example_attest::Attester;
use p2pcdn_example_swarm::{
    Audience, Failure, Fault, HttpWorld, Origin, OriginConfig, Rendition, Show, Target,
    ViewerRecord, Viewers, WallClock, World, start_attester,
};
use tokio::{task::JoinHandle, time::Instant};

use super::{crowd::Crowd, foreseen::Foreseen};

/// What is shown when, and who watches it for how long. All origins of a scene show the same.
pub(crate) struct Scene {
    pub(crate) show: Show,
    pub(crate) rendition: Rendition,
    pub(crate) viewers: usize,
    /// How long they watch, from the last arrival on.
    pub(crate) duration: Duration,
    wall: WallClock,
    live_since: Instant,
    first_join_at: Instant,
}

impl Scene {
    /// Three viewers, 0.3 s apart, watch the live show in the middle rendition for ten seconds.
    pub(crate) fn new() -> Self {
        let first_join_at = Instant::now() + LEAD_TIME;
        Self {
            show: Show::Live,
            rendition: Rendition::named("mid").expect("it is shipped"),
            viewers: 3,
            duration: Duration::from_secs(10),
            wall: WallClock::start(),
            live_since: first_join_at - LIVE_FOR,
            first_join_at,
        }
    }

    /// The same for `seconds`.
    pub(crate) fn lasting(seconds: u64) -> Self {
        Self {
            duration: Duration::from_secs(seconds),
            ..Self::new()
        }
    }

    pub(crate) async fn origin(&self) -> Origin {
        let config = OriginConfig {
            live_since: self.live_since,
            wall: self.wall,
            ..OriginConfig::default()
        };
        Origin::start(config).await.unwrap()
    }

    /// The media playlist of the one rendition.
    pub(crate) fn url(&self, origin: &Origin) -> String {
        let query = match self.show {
            Show::Secure => "?token=SECRET",
            Show::Live | Show::Vod => "",
        };
        let (show, rendition) = (self.show.folder(), self.rendition.name);
        let address = origin.address();
        format!("http://{address}/{show}/{rendition}/playlist.m3u8{query}")
    }

    /// The URL of the segment numbered `sequence`.
    pub(crate) fn segment_url(&self, origin: &Origin, sequence: u64) -> String {
        let playlist = self.url(origin);
        playlist.replace("playlist.m3u8", &format!("seg-{sequence:06}.m4s"))
    }

    pub(crate) async fn attester(&self, origin: &Origin, tracker: &str) -> (Attester, PublicKey) {
        start_attester(&self.url(origin), tracker).await.unwrap()
    }

    /// What those who know how the stream will go on know of it.
    pub(crate) fn foreseen(&self, origin: &Origin) -> Foreseen {
        Foreseen::new(&self.url(origin), self.rendition, self.live_since)
    }

    /// Lets everybody watch with peers.
    pub(crate) fn watch_together(
        &self,
        origin: &Origin,
        config: ClientConfig,
    ) -> (Arc<Crowd>, JoinHandle<Vec<ViewerRecord>>) {
        let crowd = Arc::new(Crowd::new(self.url(origin), config));
        let watching = self.watch(crowd.clone());
        (crowd, watching)
    }

    /// Lets everybody watch over HTTP alone.
    pub(crate) fn watch_alone(&self, origin: &Origin) -> JoinHandle<Vec<ViewerRecord>> {
        self.watch(Arc::new(HttpWorld::new(self.url(origin))))
    }

    fn watch(&self, world: Arc<dyn World>) -> JoinHandle<Vec<ViewerRecord>> {
        let audience = Audience {
            viewers: self.viewers,
            join_interval: Duration::from_millis(300),
            duration: self.duration,
            first_join_at: self.first_join_at,
            wall: self.wall,
            ..Audience::default()
        };
        tokio::spawn(async move { audience.watch(world).await.unwrap() })
    }
}

/// A client on the loopback interface that finds its peers at `tracker` and believes `key`.
pub(crate) fn client_config(tracker: &str, key: PublicKey) -> ClientConfig {
    ClientConfig {
        trackers: vec![tracker.to_owned()],
        publisher_keys: vec![key],
        bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
        ..ClientConfig::default()
    }
}

/// A fault that befalls every request for a path that contains `part`.
pub(crate) fn fault(part: &str, failure: Failure, times: Option<u32>) -> Fault {
    Fault {
        target: Target::Path(part.to_owned()),
        failure,
        times,
    }
}

/// Keeps the faults of others from the viewer called `name`.
pub(crate) fn exempt(origin: &Origin, name: &str) {
    let none = fault("no such path", Failure::Status(500), None);
    origin.set_faults(Viewers::One(name), vec![none]);
}

/// Whether those with peers watched as well as those without, and the right bytes.
pub(crate) fn assert_not_worse(hybrid: &[ViewerRecord], control: &[ViewerRecord]) {
    let stalled =
        |records: &[ViewerRecord]| records.iter().map(|one| one.stalled).sum::<Duration>();
    let played = |records: &[ViewerRecord]| records.iter().map(|one| one.played).sum::<Duration>();
    for (name, records) in [("with peers", hybrid), ("HTTP alone", control)] {
        let (stalled, played) = (stalled(records), played(records));
        let stalls: u64 = records.iter().map(|one| one.stalls).sum();
        println!("{name}: {stalls} stalls, {stalled:?}; played {played:?}");
    }
    for record in hybrid {
        assert_eq!(record.corrupt, 0, "{} played wrong bytes", record.name);
        assert!(record.startup.is_some(), "{} saw nothing", record.name);
    }
    assert!(stalled(hybrid) <= stalled(control) + SLACK);
    assert!(played(hybrid) + 2 * SLACK >= played(control));
}

/// Useful bytes from peers, of all viewers together.
pub(crate) fn peer_bytes(records: &[ViewerRecord]) -> u64 {
    records.iter().map(|one| one.delivery.peer_bytes).sum()
}

/// From the making of a scene to its first viewer: time to start its parts.
const LEAD_TIME: Duration = Duration::from_millis(2_500);

/// How long the live show has been on when the first viewer comes: segments 20 to 29 are listed,
/// and playback starts with 27.
const LIVE_FOR: Duration = Duration::from_millis(60_300);

/// What all viewers together may stand still on a machine that is busy with other things.
const SLACK: Duration = Duration::from_secs(1);
