//! What fetching over HTTP needs, and no more.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;

/// An HTTP client.
///
/// Dropping the future of [`fetch`](Self::fetch), or the body, cancels the request. Redirects are
/// followed; bodies are handed over as they come, without decompression, so that byte ranges and
/// lengths mean what they say. No limit is put on how long a body takes: whoever fetches knows its
/// deadline.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait HttpClient {
    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    ///
    /// When no complete head came. A status such as 404 is a response, not an error.
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// What is asked for.
    pub method: HttpMethod,
    /// Where.
    pub url: String,
    /// Sent as they are, in this order. A `Range` here is overridden by [`range`](Self::range).
    pub headers: Vec<(String, Vec<u8>)>,
    /// Only these bytes of the resource; `None` asks for all of it.
    pub range: Option<HttpRange>,
}

impl HttpRequest {
    /// A `GET` of `url` without headers of its own.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: HttpMethod::Get,
            url: url.into(),
            headers: Vec::new(),
            range: None,
        }
    }
}

/// The methods in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpMethod {
    /// Head and body.
    #[default]
    Get,
    /// The head alone.
    Head,
}

/// The bytes that a request asks for (RFC 9110 section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HttpRange {
    /// The first byte.
    pub start: u64,
    /// The first byte after the range; `None` is the end of the resource.
    pub end: Option<u64>,
}

impl HttpRange {
    /// The value of the `Range` header; `None` for an empty range, which the header cannot say.
    #[must_use]
    pub fn to_header(self) -> Option<String> {
        match self.end {
            None => Some(format!("bytes={}-", self.start)),
            Some(end) if end > self.start => Some(format!("bytes={}-{}", self.start, end - 1)),
            Some(_) => None,
        }
    }
}

impl From<p2pcdn_wire::ByteRange> for HttpRange {
    fn from(range: p2pcdn_wire::ByteRange) -> Self {
        Self {
            start: range.start,
            end: Some(range.end),
        }
    }
}

/// The head of a response, and its body under way.
pub struct HttpResponse {
    /// The status code, 100 to 999.
    pub status: u16,
    /// All headers in the order they came; names are in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Where the response came from, after redirects.
    pub final_url: String,
    /// The body, in pieces as they come. After an error there is nothing more.
    pub body: HttpBody,
}

impl HttpResponse {
    /// The first header called `name`, in lower case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value).ok()
    }
}

impl std::fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("header_count", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// A body in pieces; dropping it cancels the transfer.
#[cfg(not(target_arch = "wasm32"))]
pub type HttpBody = Pin<Box<dyn Stream<Item = Result<Bytes, HttpError>> + Send>>;

/// A body in pieces; dropping it cancels the transfer.
#[cfg(target_arch = "wasm32")]
pub type HttpBody = Pin<Box<dyn Stream<Item = Result<Bytes, HttpError>>>>;

/// Why a request got no head, or a body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL or a header is malformed.
    #[error("the URL or a header is malformed")]
    InvalidRequest,
    /// The host has no address, or nothing listens there.
    #[error("no connection to the host")]
    Connect,
    /// No connection came about in time.
    #[error("the connection took too long")]
    Timeout,
    /// The host's certificate or the handshake was refused.
    #[error("no secure connection to the host")]
    Tls,
    /// More redirects than the client follows, or one that leads nowhere.
    #[error("too many redirects")]
    Redirect,
    /// The connection ended before the response did.
    #[error("the connection ended before the response")]
    Reset,
    /// What came is not HTTP.
    #[error("the response is not HTTP")]
    Protocol,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive_on_the_wire() {
        let range = |start, end| HttpRange { start, end };
        assert_eq!(range(0, Some(1)).to_header().unwrap(), "bytes=0-0");
        assert_eq!(range(500, Some(1000)).to_header().unwrap(), "bytes=500-999");
        assert_eq!(range(500, None).to_header().unwrap(), "bytes=500-");
        assert_eq!(range(500, Some(500)).to_header(), None);
        assert_eq!(range(500, Some(1)).to_header(), None);
    }
}
