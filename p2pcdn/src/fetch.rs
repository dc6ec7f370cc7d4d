//! One attempt to get a segment, or a part of one, over HTTP.

use bytes::Bytes;
use p2pcdn_transport::{HttpError, HttpRange};
use p2pcdn_wire::ByteRange;
use thiserror::Error;

use crate::http_response::{ResponseHead, Validator};

/// What an attempt is to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchPlan {
    /// The resource, exactly as the player would request it.
    pub url: String,
    /// Which bytes of the resource are the segment; `None`: all.
    pub resource: Option<ByteRange>,
    /// The first byte wanted, counted from the start of the segment.
    pub start: u64,
    /// The byte after the last one wanted, likewise; `None`: up to the end of the segment, whose
    /// length need not be known. More than there is means the same.
    pub end: Option<u64>,
    /// The version that bytes from earlier attempts are of. Another version ends the attempt with
    /// [`FetchError::ContentChanged`] instead of mixing both. `None`: any version.
    pub validator: Option<Validator>,
}

/// The request an attempt makes. The shell adds the viewer's own headers and cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The URL.
    pub url: String,
    /// Its `Range`; `None` for the whole resource.
    pub range: Option<HttpRange>,
    /// Its `If-Range`; only ever together with a range.
    pub if_range: Option<String>,
}

/// What the head of a good response tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchHead {
    /// The length of the segment in bytes; `None` when the response does not say.
    pub segment_len: Option<u64>,
    /// The version of the resource, for the next attempt's [`FetchPlan::validator`].
    pub validator: Option<Validator>,
    /// Whether the segment may be passed on to peers, as far as `Cache-Control` says.
    pub shareable: bool,
    /// Whether the origin sends the whole resource although a range was asked for. What comes
    /// before the wanted bytes is skipped, and costs time and money all the same.
    pub range_ignored: bool,
}

/// What a complete body tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchEnd {
    /// The length of the segment in bytes, now known also when the head did not say, provided the
    /// attempt reached the segment's end.
    pub segment_len: Option<u64>,
}

/// One HTTP attempt for a segment or a part of it: makes the request, checks that the response
/// answers it, and says where in the segment the body's bytes belong.
///
/// Told the head, then the body piece by piece, then its end or failure; redirects, connections
/// and time limits are the HTTP client's. Bytes handed out by [`handle_body`](Self::handle_body)
/// stay good when the attempt fails later, unless the error says
/// [`Retry::Restart`](Retry::Restart). After [`is_done`](Self::is_done) the rest of the body is
/// worth nothing and the shell may cancel the transfer.
///
/// ```
/// use bytes::Bytes;
/// use p2pcdn::{Fetch, FetchPlan, ResponseHead};
///
/// let mut fetch = Fetch::new(FetchPlan {
///     url: "https://cdn.example/7.m4s".into(),
///     start: 10,
///     ..FetchPlan::default()
/// });
/// let range = fetch.request().range.and_then(|range| range.to_header());
/// assert_eq!(range.as_deref(), Some("bytes=10-"));
///
/// let head = ResponseHead::new(206, [("content-range", &b"bytes 10-14/15"[..])]);
/// assert_eq!(fetch.handle_head(&head)?.segment_len, Some(15));
/// let piece = fetch.handle_body(Bytes::from_static(b"abcde"));
/// assert_eq!(piece, Some((10, Bytes::from_static(b"abcde"))));
/// fetch.handle_end()?;
/// # Ok::<(), p2pcdn::FetchError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fetch {
    plan: FetchPlan,
    /// The wanted bytes, counted from the start of the resource.
    wanted: Wanted,
    /// The wanted bytes got so far.
    received: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    start: u64,
    /// `None`: the end of the resource, not known yet.
    end: Option<u64>,
}

#[derive(Clone, Debug)]
enum State {
    Requested,
    Body(Body),
    Ended,
}

#[derive(Clone, Debug)]
struct Body {
    /// Where in the resource the next byte of the body belongs.
    at: u64,
    /// Where in the resource the body ends, if the response says.
    end: Option<u64>,
    segment_len: Option<u64>,
}

impl Fetch {
    /// An attempt at `plan`.
    #[must_use]
    pub fn new(plan: FetchPlan) -> Self {
        let base = plan.resource.map_or(0, |range| range.start);
        let end = plan.end.map(|end| base.saturating_add(end));
        let wanted = Wanted {
            start: base.saturating_add(plan.start),
            end: match plan.resource {
                Some(range) => Some(end.map_or(range.end, |end| end.min(range.end))),
                None => end,
            },
        };
        Self {
            plan,
            wanted,
            received: 0,
            state: State::Requested,
        }
    }

    /// The request to make.
    #[must_use]
    pub fn request(&self) -> FetchRequest {
        let Wanted { start, end } = self.wanted;
        let range = (start > 0 || end.is_some()).then_some(HttpRange { start, end });
        let if_range = self.plan.validator.as_ref().and_then(Validator::if_range);
        FetchRequest {
            url: self.plan.url.clone(),
            range,
            if_range: range.and(if_range).map(str::to_owned),
        }
    }

    /// Takes the head of the response.
    ///
    /// # Errors
    ///
    /// Why this response does not deliver what was asked for; the attempt is over then.
    pub fn handle_head(&mut self, head: &ResponseHead) -> Result<FetchHead, FetchError> {
        self.state = State::Ended;
        check_status(head)?;
        if let Some(coding) = head.coding() {
            let coding = coding.to_owned();
            return Err(FetchError::Encoded { coding });
        }
        let validator = head.validator();
        let expected = self.plan.validator.as_ref();
        if let (Some(expected), Some(found)) = (expected, &validator)
            && expected.contradicts(found)
        {
            return Err(FetchError::ContentChanged);
        }
        let asked = self.request();
        let (body, resource_len) = match head.status {
            206 => self.partial_body(head)?,
            _ if asked.if_range.is_some() && validator != self.plan.validator => {
                // The whole instead of the range is how `If-Range` says that the version differs.
                return Err(FetchError::ContentChanged);
            }
            _ => ((0, head.content_length), head.content_length),
        };
        let segment_len = self.check_len(resource_len)?;
        self.state = State::Body(Body {
            at: body.0,
            end: body.1,
            segment_len,
        });
        Ok(FetchHead {
            segment_len,
            validator,
            shareable: head.is_shareable(),
            range_ignored: head.status != 206 && asked.range.is_some(),
        })
    }

    /// Takes the next bytes of the body; returns those that were wanted, with their place in the
    /// segment.
    pub fn handle_body(&mut self, bytes: Bytes) -> Option<(u64, Bytes)> {
        let base = self.base();
        let State::Body(body) = &mut self.state else {
            return None;
        };
        let here = ByteRange::new(body.at, body.at.saturating_add(bytes.len() as u64));
        body.at = here.end;
        let limit = base.saturating_add(MAX_SEGMENT_LEN);
        let end = [self.wanted.end, body.end].into_iter().flatten().min();
        let wanted = ByteRange::new(self.wanted.start, end.map_or(limit, |end| end.min(limit)));
        let part = here.intersection(wanted);
        if part.is_empty() {
            return None;
        }
        self.received += part.len();
        let from = usize::try_from(part.start - here.start).ok()?;
        let to = usize::try_from(part.end - here.start).ok()?;
        Some((part.start - base, bytes.slice(from..to)))
    }

    /// Takes the regular end of the body.
    ///
    /// # Errors
    ///
    /// [`FetchError::Truncated`] when wanted bytes are missing; [`FetchError::TooLong`] when the
    /// segment did not end in time.
    pub fn handle_end(&mut self) -> Result<FetchEnd, FetchError> {
        let State::Body(body) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(FetchError::Truncated {
                received: self.received,
                expected: None,
            });
        };
        let base = self.base();
        if body.at > base.saturating_add(MAX_SEGMENT_LEN) && self.wanted.end.is_none() {
            return Err(FetchError::TooLong { segment_len: None });
        }
        let expected_end = self.wanted.end.or(body.end).unwrap_or(self.wanted.start);
        let expected = expected_end.saturating_sub(self.wanted.start);
        if self.received < expected || body.at < self.wanted.start {
            let expected = Some(expected);
            return Err(FetchError::Truncated {
                received: self.received,
                expected,
            });
        }
        let reached_end = (self.wanted.end.is_none()).then(|| self.plan.start + self.received);
        Ok(FetchEnd {
            segment_len: body.segment_len.or(reached_end),
        })
    }

    /// Takes the failure of the transfer, before or after the head.
    pub fn handle_failure(&mut self, reason: HttpError) -> FetchError {
        self.state = State::Ended;
        FetchError::Interrupted {
            received: self.received,
            reason,
        }
    }

    /// Whether every wanted byte was handed out, or no more will be: what the body still brings
    /// is of no use.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let State::Body(body) = &self.state else {
            return matches!(self.state, State::Ended);
        };
        let limit = self.base().saturating_add(MAX_SEGMENT_LEN);
        let end = self.wanted.end.or(body.end);
        end.is_some_and(|end| body.at >= end) || body.at > limit
    }

    /// Where the wanted bytes that are still missing start in the segment: where the next attempt
    /// goes on.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.plan.start + self.received
    }

    /// Where a 206 starts and ends in the resource, and the resource's length.
    fn partial_body(&self, head: &ResponseHead) -> Result<Placed, FetchError> {
        if head.is_multipart() {
            return Err(FetchError::Multipart);
        }
        let content_range = head.byte_content_range();
        let found = content_range.and_then(|content| content.range);
        let wrong = FetchError::WrongRange {
            wanted_start: self.wanted.start,
            found,
        };
        let range = found
            .filter(|range| range.contains(self.wanted.start))
            .filter(|range| head.content_length.is_none_or(|len| len == range.len()))
            .ok_or(wrong)?;
        let resource_len = content_range.and_then(|content| content.resource_len);
        Ok(((range.start, Some(range.end)), resource_len))
    }

    /// Checks the resource's length, narrows what is wanted to it and returns the segment's.
    fn check_len(&mut self, resource_len: Option<u64>) -> Result<Option<u64>, FetchError> {
        let after_start = self
            .wanted
            .start
            .saturating_add(u64::from(self.plan.start > 0));
        let needed = self.plan.resource.map_or(after_start, |range| range.end);
        if let Some(resource_len) = resource_len.filter(|len| *len < needed) {
            return Err(FetchError::TooShort {
                resource_len,
                needed,
            });
        }
        let segment_len = match self.plan.resource {
            Some(range) => Some(range.len()),
            None => resource_len,
        };
        if segment_len.is_some_and(|len| len > MAX_SEGMENT_LEN) {
            return Err(FetchError::TooLong { segment_len });
        }
        if let (None, Some(len)) = (self.plan.resource, resource_len) {
            self.wanted.end = Some(self.wanted.end.map_or(len, |end| end.min(len)));
        }
        Ok(segment_len)
    }

    fn base(&self) -> u64 {
        self.plan.resource.map_or(0, |range| range.start)
    }
}

/// Where a body starts and, if known, ends in the resource; and the resource's length.
type Placed = ((u64, Option<u64>), Option<u64>);

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The origin does not let this viewer have it: 401, 402, 403, 407 or 451.
    #[error("the origin refuses access with status {status}")]
    Unauthorised {
        /// The status.
        status: u16,
    },
    /// It is not there, or not any more: 404 or 410.
    #[error("the origin does not have it, status {status}")]
    NotFound {
        /// The status.
        status: u16,
    },
    /// The origin cannot answer now: 408, 425, 429 or 5xx.
    #[error("the origin fails with status {status}")]
    Server {
        /// The status.
        status: u16,
    },
    /// Any other status that is not 200 or 206.
    #[error("the origin answers with status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The resource ends before the range: 416.
    #[error("the origin has nothing in the range asked for (its length: {resource_len:?} bytes)")]
    RangeNotSatisfiable {
        /// The resource's length in bytes, if the origin said.
        resource_len: Option<u64>,
    },
    /// The response holds another range than was asked for, or contradicts itself about it.
    #[error("byte {wanted_start} was asked for, the origin sends {found:?}")]
    WrongRange {
        /// The first byte asked for, counted from the start of the resource.
        wanted_start: u64,
        /// What `Content-Range` says; `None` when it is missing or malformed.
        found: Option<ByteRange>,
    },
    /// The response has several parts although one range was asked for.
    #[error("the origin sends several ranges in one body")]
    Multipart,
    /// The body is compressed, which was not asked for.
    #[error("the origin sends the body in the coding {coding:?}")]
    Encoded {
        /// `Content-Encoding`.
        coding: String,
    },
    /// The resource is another version than the one that earlier bytes are of.
    #[error("the content changed between two requests")]
    ContentChanged,
    /// The resource ends before the segment does.
    #[error("the resource has {resource_len} bytes, the segment needs {needed}")]
    TooShort {
        /// The resource's length in bytes.
        resource_len: u64,
        /// The least that the segment needs.
        needed: u64,
    },
    /// The segment is longer than [`MAX_SEGMENT_LEN`].
    #[error("the segment is longer than {MAX_SEGMENT_LEN} bytes")]
    TooLong {
        /// Its length in bytes, if the origin said.
        segment_len: Option<u64>,
    },
    /// The body ended before the wanted bytes did.
    #[error("the body ended after {received} of {expected:?} wanted bytes")]
    Truncated {
        /// Wanted bytes that came; they are good.
        received: u64,
        /// Wanted bytes that should have come, if known.
        expected: Option<u64>,
    },
    /// The transfer failed.
    #[error("after {received} wanted bytes: {reason}")]
    Interrupted {
        /// Wanted bytes that came; they are good.
        received: u64,
        /// What the HTTP client says.
        reason: HttpError,
    },
}

impl FetchError {
    /// What another attempt is good for.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Server { .. } | Self::Truncated { .. } => Retry::Resume,
            Self::Interrupted { reason, .. } => match reason {
                HttpError::InvalidRequest | HttpError::Redirect => Retry::Never,
                _ => Retry::Resume,
            },
            Self::ContentChanged
            | Self::WrongRange { .. }
            | Self::Multipart
            | Self::RangeNotSatisfiable { .. }
            | Self::TooShort { .. } => Retry::Restart,
            Self::Unauthorised { .. }
            | Self::NotFound { .. }
            | Self::Status { .. }
            | Self::Encoded { .. }
            | Self::TooLong { .. } => Retry::Never,
        }
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retry {
    /// Ask for what is missing, keeping what came.
    Resume,
    /// Drop what HTTP brought of the segment and ask for the whole of it, without a validator.
    Restart,
    /// The same request would get the same answer.
    Never,
}

fn check_status(head: &ResponseHead) -> Result<(), FetchError> {
    let status = head.status;
    Err(match status {
        200 | 206 => return Ok(()),
        401 | 402 | 403 | 407 | 451 => FetchError::Unauthorised { status },
        404 | 410 => FetchError::NotFound { status },
        408 | 425 | 429 | 500..=599 => FetchError::Server { status },
        416 => FetchError::RangeNotSatisfiable {
            resource_len: head
                .byte_content_range()
                .and_then(|content| content.resource_len),
        },
        _ => FetchError::Status { status },
    })
}

/// Bytes of the longest segment that is fetched at all, 256 MiB: 80 s at 25 Mb/s. It bounds what
/// an origin whose body never ends can fill.
pub const MAX_SEGMENT_LEN: u64 = 256 << 20;
