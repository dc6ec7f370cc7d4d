//! Manifests: loaded for the presentation, and handed to players that read text.

use std::{collections::BTreeMap, sync::Arc};

use p2pcdn_manifest::{Format, Input, Liveness, LoadFailure, Presentation, Track};
use p2pcdn_wire::{ByteRange, Instant};

use super::{
    driver::Driver,
    loads::{LoadedIndex, LoadedManifest},
    requests::Reply,
    response::{ClientError, Request, Response},
};
use crate::session::SessionInput;

/// A manifest as last loaded, and who waits for its next load.
#[derive(Debug, Default)]
pub(super) struct ManifestCopy {
    loaded: Option<(LoadedManifest, Instant)>,
    waiting: Vec<Reply>,
    /// For whom it is being loaded; `None` while it is not.
    load: Option<Purpose>,
}

/// By the URL asked for.
pub(super) type ManifestCopies = BTreeMap<Arc<str>, ManifestCopy>;

/// For whom a manifest is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// The player asked for it. That it cannot be had is for the player to hear.
    Player,
    /// The presentation is kept up to date with it.
    Refresh,
}

impl Driver {
    /// Answers with the manifest of the presentation.
    pub(super) fn fetch_manifest(
        &mut self,
        presentation: &Presentation,
        request: &Request,
        reply: Reply,
    ) {
        let is_live = |track: &Track| {
            let segments = track.segments.as_ref();
            segments.is_none_or(|segments| segments.liveness != Liveness::Ended)
        };
        let is_final =
            presentation.format != Format::Dash || !presentation.tracks.iter().any(is_live);
        self.fetch_text(&presentation.url, is_final, request, reply);
    }

    /// Answers with the media playlist of a track.
    pub(super) fn fetch_playlist(&mut self, track: &Track, request: &Request, reply: Reply) {
        self.activate(track.id);
        let segments = track.segments.as_ref();
        let is_final = segments.is_some_and(|it| it.liveness == Liveness::Ended);
        self.fetch_text(&track.url, is_final, request, reply);
    }

    /// Answers with what is at `url`, or with exactly what the player asked for when that is `url`
    /// with delivery directives: a low-latency player waits for the next part, or reads what
    /// changed since its own last load.
    fn fetch_text(&mut self, url: &Arc<str>, is_final: bool, request: &Request, reply: Reply) {
        let is_plain = without_fragment(&request.url) == without_fragment(url);
        let asked: Arc<str> = match is_plain {
            true => url.clone(),
            false => without_fragment(&request.url).into(),
        };
        let now = self.now();
        let max_age = self.manifest_max_age;
        let is_good = |loaded: &LoadedManifest, at: Instant| {
            let is_final = is_final && is_plain && loaded.status == 200;
            is_final || now.saturating_duration_since(at) < max_age
        };
        let copy = self.manifests.entry(asked.clone()).or_default();
        match &copy.loaded {
            Some((loaded, at)) if is_good(loaded, *at) => {
                // A player that is gone needs no answer.
                let _ = reply.send(Ok(loaded.to_response()));
            }
            _ => {
                copy.waiting.push(reply);
                self.load_manifest(asked, Purpose::Player);
            }
        }
    }

    /// Loads what is at `url`, unless that is under way.
    pub(super) fn load_manifest(&mut self, url: Arc<str>, purpose: Purpose) {
        let copy = self.manifests.entry(url.clone()).or_default();
        let is_under_way = copy.load.is_some();
        copy.load = copy.load.max(Some(purpose));
        if !is_under_way {
            self.loader.manifest(url);
        }
    }

    /// Tells everybody what became of a load.
    pub(super) fn manifest_loaded(
        &mut self,
        url: Arc<str>,
        result: Result<LoadedManifest, LoadFailure>,
    ) {
        let is_kept = self.is_kept(&url);
        let mut copy = self.manifests.remove(&url).unwrap_or_default();
        let purpose = copy.load.take();
        let failure = match &result {
            Ok(loaded) if loaded.status == 200 => None,
            Ok(loaded) => Some(LoadFailure::Status(loaded.status)),
            Err(reason) => Some(*reason),
        };
        for reply in copy.waiting.drain(..) {
            let answer = result.as_ref().map(LoadedManifest::to_response);
            let _ = reply.send(answer.map_err(|reason| ClientError::Manifest {
                url: url.to_string(),
                reason: *reason,
            }));
        }
        let loaded = result.ok();
        if let Some(loaded) = &loaded {
            self.tell(manifest_answered(loaded));
        }
        if let Some(reason) = failure {
            if purpose == Some(Purpose::Refresh) {
                let (url, range) = (url.clone(), None);
                self.tell_refresh(Input::LoadFailed { url, range, reason });
            }
        } else if let Some(loaded) = &loaded {
            self.tell_refresh(Input::Loaded {
                url: url.clone(),
                range: None,
                final_url: loaded.final_url.clone(),
                body: loaded.body.clone(),
            });
        }
        if is_kept {
            let now = self.now();
            let newer = loaded.map(|loaded| (loaded, now));
            copy.loaded = newer.or(copy.loaded);
            self.manifests.insert(url, copy);
        }
    }

    /// Whether a copy of what is at `url` may be asked for again. URLs with delivery directives are
    /// asked for once, and an MPD may name another place for each reload.
    fn is_kept(&self, url: &str) -> bool {
        self.presentation.as_ref().is_none_or(|presentation| {
            *presentation.url == *url || presentation.tracks.iter().any(|it| *it.url == *url)
        })
    }

    pub(super) fn index_loaded(
        &mut self,
        url: Arc<str>,
        range: ByteRange,
        result: Result<LoadedIndex, LoadFailure>,
    ) {
        let range = Some(range);
        let input = match result {
            Ok(index) => {
                self.tell(SessionInput::ManifestAnswered {
                    status: index.status,
                    ttfb: index.ttfb,
                    len: index.read_len,
                });
                match index.body {
                    Ok(body) => Input::Loaded {
                        url,
                        range,
                        final_url: index.final_url,
                        body,
                    },
                    Err(reason) => Input::LoadFailed { url, range, reason },
                }
            }
            Err(reason) => Input::LoadFailed { url, range, reason },
        };
        self.tell_refresh(input);
    }
}

impl ManifestCopy {
    /// What a session that begins now has to be told.
    pub(super) fn answered(&self) -> Option<SessionInput> {
        let (loaded, _) = self.loaded.as_ref()?;
        Some(manifest_answered(loaded))
    }
}

impl LoadedManifest {
    fn to_response(&self) -> Response {
        Response::whole(self.status, self.headers.clone(), self.body.clone())
    }
}

fn manifest_answered(loaded: &LoadedManifest) -> SessionInput {
    SessionInput::ManifestAnswered {
        status: loaded.status,
        ttfb: loaded.ttfb,
        len: loaded.body.len() as u64,
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}
