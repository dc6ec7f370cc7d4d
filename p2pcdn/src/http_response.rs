//! What of an HTTP response's head matters to a fetch (RFC 9110, RFC 9111).

use p2pcdn_wire::ByteRange;

/// The head of an HTTP response, reduced to what a [`Fetch`](crate::Fetch) looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, after redirects.
    pub status: u16,
    /// `Content-Length`, when it is a number.
    pub content_length: Option<u64>,
    /// `Content-Range`, as sent.
    pub content_range: Option<String>,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// `Content-Encoding`, as sent.
    pub content_encoding: Option<String>,
    /// `Cache-Control`, several joined by commas.
    pub cache_control: Option<String>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
    /// `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// `Date`, as sent.
    pub date: Option<String>,
}

impl ResponseHead {
    /// Picks what matters out of all header fields, whose names are compared without case. Values
    /// that are not text, or longer than 1 KiB, are taken as absent: none of these has a use for
    /// more.
    #[must_use]
    pub fn new<'a>(status: u16, headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut head = Self {
            status,
            ..Self::default()
        };
        for (name, value) in headers {
            let text = std::str::from_utf8(value).ok();
            if let Some(text) = text.filter(|text| text.len() <= MAX_VALUE_LEN) {
                head.add(&name.to_ascii_lowercase(), text.trim());
            }
        }
        head
    }

    fn add(&mut self, name: &str, value: &str) {
        let slot = match name {
            "content-length" => {
                self.content_length = value.parse().ok();
                return;
            }
            "cache-control" => {
                match &mut self.cache_control {
                    Some(earlier) if earlier.len() + value.len() < MAX_VALUE_LEN => {
                        earlier.push_str(", ");
                        earlier.push_str(value);
                    }
                    Some(_) => {}
                    none => *none = Some(value.to_owned()),
                }
                return;
            }
            "content-range" => &mut self.content_range,
            "content-type" => &mut self.content_type,
            "content-encoding" => &mut self.content_encoding,
            "etag" => &mut self.etag,
            "last-modified" => &mut self.last_modified,
            "date" => &mut self.date,
            _ => return,
        };
        *slot = Some(value.to_owned());
    }

    /// Whether the response may be passed on to other viewers: it is not when `Cache-Control`
    /// keeps it out of shared caches. A `private` that names header fields does not count, because
    /// header fields are never shared.
    #[must_use]
    pub fn is_shareable(&self) -> bool {
        let directives = self.cache_control.as_deref().unwrap_or_default().split(',');
        !directives
            .map(str::trim)
            .any(|it| it.eq_ignore_ascii_case("private") || it.eq_ignore_ascii_case("no-store"))
    }

    /// What tells this version of the resource from others.
    #[must_use]
    pub fn validator(&self) -> Option<Validator> {
        if let Some(etag) = &self.etag {
            return Some(match etag.strip_prefix("W/") {
                Some(_) => Validator::WeakETag(etag.clone()),
                None => Validator::ETag(etag.clone()),
            });
        }
        let modified = self.last_modified.clone()?;
        // Strong only if nothing else can have been modified in the same second (RFC 9110
        // section 8.8.2.2); dates have one spelling, so differing texts are differing seconds.
        let is_strong = self.date.as_ref().is_some_and(|date| *date != modified);
        is_strong.then_some(Validator::LastModified(modified))
    }

    /// The range and the complete length of `Content-Range: bytes ..`.
    pub(crate) fn byte_content_range(&self) -> Option<ContentRange> {
        let text = self.content_range.as_deref()?;
        let (unit, text) = text.split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = text.trim().split_once('/')?;
        let resource_len = match total {
            "*" => None,
            total => Some(parse(total)?),
        };
        let range = match range {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                let range = ByteRange::new(parse(first)?, parse(last)?.checked_add(1)?);
                if range.is_empty() || resource_len.is_some_and(|len| len < range.end) {
                    return None;
                }
                Some(range)
            }
        };
        Some(ContentRange {
            range,
            resource_len,
        })
    }

    pub(crate) fn is_multipart(&self) -> bool {
        const MULTIPART: &str = "multipart/byteranges";
        self.content_type
            .as_deref()
            .and_then(|it| it.get(..MULTIPART.len()))
            .is_some_and(|it| it.eq_ignore_ascii_case(MULTIPART))
    }

    /// The coding of a body that is not the resource's own bytes.
    pub(crate) fn coding(&self) -> Option<&str> {
        self.content_encoding
            .as_deref()
            .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
    }
}

/// What tells one version of a resource from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validator {
    /// A strong entity tag, quotes included: equal tags are equal bytes.
    ETag(String),
    /// A weak entity tag: equal tags are equivalent contents. Cannot be used with `If-Range`.
    WeakETag(String),
    /// A modification date that was over when the response was made.
    LastModified(String),
}

impl Validator {
    /// The value of `If-Range`, when it can be used for that.
    #[must_use]
    pub fn if_range(&self) -> Option<&str> {
        match self {
            Self::ETag(text) | Self::LastModified(text) => Some(text),
            Self::WeakETag(_) => None,
        }
    }

    /// Whether both say that these are different versions; different kinds say nothing.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self != other
    }
}

/// A `Content-Range` in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// `None` for `*`, in answers that say the range cannot be satisfied.
    pub(crate) range: Option<ByteRange>,
    /// `None` for `*`.
    pub(crate) resource_len: Option<u64>,
}

/// Digits only: `str::parse` would take a sign as well.
fn parse(digits: &str) -> Option<u64> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Bytes of a header value that is looked at.
const MAX_VALUE_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> ResponseHead {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        ResponseHead::new(status, headers)
    }

    fn content_range(value: &str) -> Option<(Option<ByteRange>, Option<u64>)> {
        let range = head(206, &[("Content-Range", value)]).byte_content_range()?;
        Some((range.range, range.resource_len))
    }

    #[test]
    fn content_ranges_are_read_as_rfc_9110_writes_them() {
        // The examples of RFC 9110 section 14.4, then what it calls invalid.
        let range = Some(ByteRange::new(42, 1234));
        assert_eq!(
            content_range("bytes 42-1233/1234"),
            Some((range, Some(1234)))
        );
        assert_eq!(content_range("bytes 42-1233/*"), Some((range, None)));
        assert_eq!(content_range("bytes */1234"), Some((None, Some(1234))));
        for invalid in [
            "bytes 42-1233/1233",
            "bytes 42-41/1234",
            "bytes 42-1233",
            "bytes -5/10",
            "bytes +4-5/10",
            "items 42-1233/1234",
            "bytes 0-18446744073709551615/*",
            "bytes 0-99999999999999999999/*",
            "",
        ] {
            assert_eq!(content_range(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn what_shared_caches_may_not_keep_is_not_shareable() {
        let shareable = |fields: &[&str]| {
            let headers: Vec<_> = fields.iter().map(|it| ("CACHE-control", *it)).collect();
            head(200, &headers).is_shareable()
        };
        assert!(shareable(&[]));
        assert!(shareable(&["max-age=5, public"]));
        assert!(shareable(&["no-cache"]));
        assert!(shareable(&["private=\"set-cookie\""]));
        assert!(!shareable(&["max-age=5, Private"]));
        assert!(!shareable(&["max-age=5", "no-store"]));
    }

    #[test]
    fn only_what_names_the_exact_bytes_goes_into_if_range() {
        let validator = |headers: &[(&str, &str)]| head(200, headers).validator();
        let strong = validator(&[("etag", "\"a\""), ("last-modified", "x")]).unwrap();
        assert_eq!(strong.if_range(), Some("\"a\""));
        let weak = validator(&[("etag", "W/\"a\"")]).unwrap();
        assert_eq!(weak.if_range(), None);
        let old = [
            ("last-modified", "Tue, 15 Nov 1994 12:45:26 GMT"),
            ("date", "Tue, 15 Nov 1994 12:45:27 GMT"),
        ];
        assert_eq!(validator(&old).unwrap().if_range(), Some(old[0].1));
        assert_eq!(validator(&old[..1]), None);
        assert_eq!(validator(&[old[0], ("date", old[0].1)]), None);
        assert!(!strong.contradicts(&weak));
        assert!(strong.contradicts(&Validator::ETag("\"b\"".into())));
    }

    #[test]
    fn values_longer_than_any_use_are_absent() {
        let longest = "x".repeat(1024);
        assert!(head(200, &[("etag", &longest)]).etag.is_some());
        let longer = "x".repeat(1025);
        assert!(head(200, &[("etag", &longer)]).etag.is_none());
    }
}
