//! HTTP with reqwest.

use std::{error::Error, io, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue, RANGE},
    redirect::Policy,
};
use tracing::debug;

use crate::http::{HttpClient, HttpError, HttpMethod, HttpRequest, HttpResponse};

/// [`HttpClient`] on reqwest: HTTP/1.1 and HTTP/2, TLS by rustls with aws-lc-rs and the system's
/// certificates, connections kept and shared. Clones share them too.
#[derive(Clone, Debug)]
pub struct ReqwestClient {
    client: reqwest::Client,
}

/// The settings of a [`ReqwestClient`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReqwestConfig {
    /// How long a connection may take, TLS included. Default 10 s: the three tries of a lost TCP
    /// SYN (1, 2 and 4 s) and a handshake.
    pub connect_timeout: Duration,
    /// Redirects followed. Default 10, as in browsers' older limits; zero follows none and hands
    /// over the redirect itself.
    pub max_redirects: usize,
    /// Idle connections kept per host. Default 4: a manifest and a few tracks at once.
    pub max_idle_per_host: usize,
    /// The `User-Agent` when a request brings none of its own. Default: none is sent.
    pub user_agent: Option<String>,
}

impl Default for ReqwestConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            max_redirects: 10,
            max_idle_per_host: 4,
            user_agent: None,
        }
    }
}

impl ReqwestClient {
    /// A client with these settings.
    ///
    /// # Errors
    ///
    /// [`HttpError::Tls`] when the system has no usable certificates,
    /// [`HttpError::InvalidRequest`] when the user agent is not a header value.
    pub fn new(config: &ReqwestConfig) -> Result<Self, HttpError> {
        let redirects = match config.max_redirects {
            0 => Policy::none(),
            count => Policy::limited(count),
        };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(redirects)
            .pool_max_idle_per_host(config.max_idle_per_host)
            .tcp_nodelay(true);
        if let Some(user_agent) = &config.user_agent {
            let value = HeaderValue::from_str(user_agent);
            builder = builder.user_agent(value.map_err(|_| HttpError::InvalidRequest)?);
        }
        let client = builder.build().map_err(|error| {
            debug!(%error, "no HTTP client");
            HttpError::Tls
        })?;
        Ok(Self { client })
    }
}

#[async_trait]
impl HttpClient for ReqwestClient {
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = match request.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
        };
        let mut builder = self.client.request(method, &request.url);
        for (name, value) in &request.headers {
            let name = HeaderName::try_from(name).map_err(|_| HttpError::InvalidRequest)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| HttpError::InvalidRequest)?;
            if name != RANGE || request.range.is_none() {
                builder = builder.header(name, value);
            }
        }
        if let Some(range) = request.range {
            let value = range.to_header().ok_or(HttpError::InvalidRequest)?;
            builder = builder.header(RANGE, value);
        }
        let response = builder.send().await.map_err(|error| reason(&error))?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: headers.collect(),
            final_url: response.url().to_string(),
            body: Box::pin(
                response
                    .bytes_stream()
                    .map(|piece| piece.map_err(|error| reason(&error))),
            ),
        })
    }
}

/// What went wrong, from the chain of causes: reqwest's own kinds are coarse.
fn reason(error: &reqwest::Error) -> HttpError {
    if causes(error).any(is_tls_error) {
        HttpError::Tls
    } else if error.is_builder() {
        HttpError::InvalidRequest
    } else if error.is_redirect() {
        HttpError::Redirect
    } else if error.is_timeout() {
        HttpError::Timeout
    } else if error.is_connect() {
        HttpError::Connect
    } else if causes(error).any(is_parse_error) {
        HttpError::Protocol
    } else {
        HttpError::Reset
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn is_tls_error(cause: &(dyn Error + 'static)) -> bool {
    // Errors inside of I/O errors are not named as their sources, and are nested at times.
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls_error(inner))
}

fn is_parse_error(cause: &(dyn Error + 'static)) -> bool {
    cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_parse)
}
