//! The HTTP origin: live and on-demand HLS from the shipped media, with a line of configurable
//! quality to each viewer and failures on demand.
//!
//! A viewer is whoever calls itself so in the request header `x-viewer`; everything that the
//! origin keeps apart (line, faults, books) is kept apart by that name.

mod answer;
mod body;
pub(crate) mod cipher;
mod fault;
mod ledger;
mod playlist;
mod range;
mod resource;
mod shape;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Body,
    extract,
    http::{HeaderMap, Method, Response, Uri},
    serve::ListenerExt,
};
use tokio::{net::TcpListener, sync::oneshot, time::Instant};

pub use self::{
    fault::{Failure, Fault, Target, Viewers},
    ledger::{Request, Served},
    resource::{Kind, Show},
    shape::Shape,
};
pub(crate) use resource::Resource;

use self::{
    answer::answer,
    body::Sending,
    ledger::{Ledger, VIEWERS_MAX},
    playlist::LiveWindow,
    shape::Bottleneck,
};
use crate::clock::WallClock;

/// How an [`Origin`] is set up.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// When the live shows began. Two origins with equal distances from this moment to their
    /// viewers' arrivals show these the same stream. Default: now.
    pub live_since: Instant,
    /// The clock behind the dates in playlists; default: started now.
    pub wall: WallClock,
    /// Segments that a live playlist lists; default 10, which are 20 s.
    pub window_len: u64,
    /// Segments served for a while after they have left the playlist; default 11, as long as a
    /// playlist that listed them plus one segment (RFC 8216 section 6.2.2).
    pub kept_len: u64,
    /// Segments in the on-demand show; default 300, which are 10 minutes.
    pub vod_len: u64,
    /// What the query parameter `token` must begin with in the encrypted show; default `SECRET`.
    pub token: String,
    /// The line of every viewer that has none of its own; default unlimited.
    pub shape: Shape,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            live_since: Instant::now(),
            wall: WallClock::start(),
            window_len: 10,
            kept_len: 11,
            vod_len: 300,
            token: "SECRET".to_owned(),
            shape: Shape::default(),
        }
    }
}

/// An origin that listens on a loopback port of its own until it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

impl Origin {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    pub async fn start(config: OriginConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            config,
            lines: Mutex::default(),
            ledger: Mutex::default(),
        });
        let router = Router::new().fallback(serve).with_state(state.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        // A head and a small body are two writes: Nagle's algorithm would hold back the second
        // one for the 40 ms of a delayed acknowledgement.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            let served = axum::serve(listener, router).with_graceful_shutdown(stopped);
            if let Err(error) = served.await {
                tracing::warn!(%error, "the origin stopped");
            }
        });
        Ok(Self {
            address,
            state,
            _stop: stop,
        })
    }

    /// Where `show` is; for the encrypted one with the configured token.
    #[must_use]
    pub fn url(&self, show: Show) -> String {
        let query = match show {
            Show::Secure => format!("?token={}", self.state.config.token),
            Show::Live | Show::Vod => String::new(),
        };
        format!(
            "http://{}/{}/master.m3u8{query}",
            self.address,
            show.folder()
        )
    }

    /// The listening socket's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives `viewer` a line of its own from its next response on.
    pub fn set_shape(&self, viewer: &str, shape: Shape) {
        self.state.settings_of(Viewers::One(viewer), |settings| {
            settings.shape = Some(shape);
        });
    }

    /// Replaces the faults of `viewers` from their next request on; an empty list ends them.
    pub fn set_faults(&self, viewers: Viewers<'_>, faults: Vec<Fault>) {
        self.state.settings_of(viewers, |settings| {
            settings.faults = (!faults.is_empty()).then_some(faults);
        });
    }

    /// What each viewer has had so far.
    #[must_use]
    pub fn served(&self) -> BTreeMap<String, Served> {
        self.state.ledger().served()
    }

    /// Every request so far, in order of arrival, as far as they are remembered.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.ledger().requests()
    }
}

/// What all requests share.
#[derive(Debug)]
struct State {
    config: OriginConfig,
    lines: Mutex<Lines>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Lines {
    others: Settings,
    settings: BTreeMap<String, Settings>,
    lines: BTreeMap<String, Arc<Line>>,
}

/// What has been asked for on behalf of a viewer.
#[derive(Debug, Default)]
struct Settings {
    shape: Option<Shape>,
    faults: Option<Vec<Fault>>,
}

/// The line to one viewer.
#[derive(Debug)]
struct Line {
    viewer: String,
    bottleneck: Bottleneck,
}

impl State {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while holding it")
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().expect("nothing panics while holding it")
    }

    fn settings_of(&self, viewers: Viewers<'_>, change: impl FnOnce(&mut Settings)) {
        let lines = &mut *self.lines();
        change(match viewers {
            Viewers::Others => &mut lines.others,
            Viewers::One(viewer) => lines.settings.entry(viewer.to_owned()).or_default(),
        });
    }

    /// The line to `viewer`, its shape, and the failure that its request for `path` meets.
    fn line(
        &self,
        viewer: &str,
        path: &str,
        kind: Option<Kind>,
    ) -> (Arc<Line>, Shape, Option<Failure>) {
        let lines = &mut *self.lines();
        let new = || {
            Arc::new(Line {
                viewer: viewer.to_owned(),
                bottleneck: Bottleneck::new(),
            })
        };
        let line = match lines.lines.get(viewer) {
            Some(line) => line.clone(),
            // Beyond the cap nothing is kept: a made-up name gets a line for one request.
            None if lines.lines.len() >= VIEWERS_MAX => new(),
            None => lines
                .lines
                .entry(viewer.to_owned())
                .or_insert_with(new)
                .clone(),
        };
        let mut own = lines.settings.get_mut(viewer);
        let shape = own.as_ref().and_then(|own| own.shape);
        let faults = match own.as_mut().and_then(|own| own.faults.as_mut()) {
            Some(faults) => Some(faults),
            None => lines.others.faults.as_mut(),
        };
        let failure = faults.and_then(|faults| fault::strike(faults, path, kind));
        (line, shape.unwrap_or(self.config.shape), failure)
    }

    fn live_window(&self) -> LiveWindow {
        let running = Instant::now().saturating_duration_since(self.config.live_since);
        LiveWindow::after(running, self.config.window_len, self.config.kept_len)
    }
}

async fn serve(
    extract::State(state): extract::State<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let viewer = text("x-viewer").unwrap_or_default();
    let resource = Resource::at_path(uri.path());
    let kind = resource.as_ref().map(Resource::kind);
    let (line, shape, failure) = state.line(viewer, uri.path(), kind);
    if !shape.latency.is_zero() {
        tokio::time::sleep(shape.latency).await;
    }
    let answer = answer(&state, &method, &uri, &headers, resource.as_ref(), failure);
    state.ledger().note_request(Request {
        viewer: viewer.to_owned(),
        target: uri.to_string(),
        range: text("range").map(str::to_owned),
        status: answer.head.status().as_u16(),
    });
    let (Some(kind), Some(rest)) = (kind, answer.body) else {
        return answer.head;
    };
    let sending = Sending {
        state: state.clone(),
        line,
        kind,
        bandwidth: shape.bandwidth,
        failure,
        rest,
        sent: 0,
    };
    answer.head.map(|_| sending.into_body())
}
