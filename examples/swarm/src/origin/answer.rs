//! From a request to the head and the bytes of its answer.

use axum::{
    body::Body,
    http::{HeaderMap, Method, Response, StatusCode, Uri, header},
};
use bytes::Bytes;

use super::{
    Show, State, cipher,
    fault::Failure,
    playlist,
    range::{Asked, read_range},
    resource::Resource,
};
use crate::media::Rendition;

/// A response's head, and its body when there is one to send.
pub(super) struct Answer {
    pub(super) head: Response<Body>,
    pub(super) body: Option<Bytes>,
}

impl Answer {
    fn bare(status: StatusCode) -> Self {
        let mut head = Response::new(Body::empty());
        *head.status_mut() = status;
        Self { head, body: None }
    }
}

/// Answers a request that meets `failure`.
pub(super) fn answer(
    state: &State,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    resource: Option<&Resource>,
    failure: Option<Failure>,
) -> Answer {
    if let Some(Failure::Status(status)) = failure {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Answer::bare(status);
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        return Answer::bare(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(resource) = resource else {
        return Answer::bare(StatusCode::NOT_FOUND);
    };
    let token = token_of(uri);
    let admitted = token.is_some_and(|token| token.starts_with(&state.config.token));
    if resource.needs_token() && !admitted {
        return Answer::bare(StatusCode::FORBIDDEN);
    }
    let Some(representation) = represent(state, resource, token) else {
        return Answer::bare(StatusCode::NOT_FOUND);
    };
    let asked = match failure {
        Some(Failure::IgnoreRange) => Asked::Whole,
        _ if method == Method::HEAD => Asked::Whole,
        _ => asked(headers, &representation),
    };
    respond(representation, asked, method)
}

/// The representation of `resource` as of now; `None` when it does not exist (yet, or any
/// more). `token` is the request's.
fn represent(state: &State, resource: &Resource, token: Option<&str>) -> Option<Representation> {
    let query = match (resource.needs_token(), token) {
        (true, Some(token)) => format!("?token={token}"),
        _ => String::new(),
    };
    Some(match *resource {
        Resource::Master(_) => Representation::playlist(playlist::master(&query)),
        Resource::Playlist(show) => {
            let listed = match show {
                Show::Vod => 0..state.config.vod_len,
                Show::Live | Show::Secure => state.live_window().listed,
            };
            let date = state.config.wall.date_at(state.config.live_since);
            Representation::playlist(playlist::media(show, listed, date, &query))
        }
        Resource::Init(show, rendition) => {
            Representation::media(show, rendition, "init", rendition.init())
        }
        Resource::Segment(show, rendition, sequence) => {
            let exists = match show {
                Show::Vod => sequence < state.config.vod_len,
                Show::Live | Show::Secure => state.live_window().serves(sequence),
            };
            let bytes = match show {
                _ if !exists => return None,
                Show::Secure => cipher::encrypted_segment(rendition, sequence),
                Show::Live | Show::Vod => rendition.segment(sequence),
            };
            Representation::media(show, rendition, &sequence.to_string(), bytes)
        }
        Resource::Key => Representation {
            bytes: Bytes::from_static(&cipher::KEY),
            content_type: "application/octet-stream",
            cache_control: "private, no-store",
            etag: "\"k1\"".to_owned(),
        },
    })
}

/// What a GET asks of `representation`: its `Range`, unless its `If-Range` names another one.
fn asked(headers: &HeaderMap, representation: &Representation) -> Asked {
    let current = headers
        .get(header::IF_RANGE)
        .is_none_or(|tag| tag.as_bytes() == representation.etag.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| current);
    let range = range.and_then(|value| value.to_str().ok());
    read_range(range, representation.bytes.len())
}

fn respond(representation: Representation, asked: Asked, method: &Method) -> Answer {
    let len = representation.bytes.len();
    let head = Response::builder()
        .header(header::CONTENT_TYPE, representation.content_type)
        .header(header::CACHE_CONTROL, representation.cache_control)
        .header(header::ETAG, representation.etag)
        .header(header::ACCEPT_RANGES, "bytes");
    let (head, body) = match asked {
        Asked::Whole => (head.status(StatusCode::OK), representation.bytes),
        Asked::Part(part) => {
            let range = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            let head = head.header(header::CONTENT_RANGE, range);
            let body = representation.bytes.slice(part);
            (head.status(StatusCode::PARTIAL_CONTENT), body)
        }
        Asked::Unsatisfiable => {
            let head = head.header(header::CONTENT_RANGE, format!("bytes */{len}"));
            (head.status(StatusCode::RANGE_NOT_SATISFIABLE), Bytes::new())
        }
    };
    let head = head
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::empty())
        .expect("every header is made of visible ASCII");
    Answer {
        head,
        body: (method == Method::GET).then_some(body),
    }
}

/// The query parameter `token`, empty ones not counted.
fn token_of(uri: &Uri) -> Option<&str> {
    let pairs = uri.query()?.split('&');
    let token = pairs.filter_map(|pair| pair.strip_prefix("token=")).next();
    token.filter(|token| !token.is_empty())
}

/// A resource's bytes and what is said about them.
struct Representation {
    bytes: Bytes,
    content_type: &'static str,
    cache_control: &'static str,
    etag: String,
}

impl Representation {
    fn playlist(text: String) -> Self {
        Self {
            etag: format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16]),
            bytes: Bytes::from(text),
            content_type: "application/vnd.apple.mpegurl",
            cache_control: "public, max-age=1",
        }
    }

    /// The bytes behind a name never change, so the name is the entity tag.
    fn media(show: Show, rendition: Rendition, name: &str, bytes: Bytes) -> Self {
        Self {
            etag: format!("\"{}-{}-{name}\"", show.folder(), rendition.name),
            bytes,
            content_type: "video/mp4",
            cache_control: "public, max-age=3600, immutable",
        }
    }
}
