//! The caller's map, asked within bounds.

use std::sync::Arc;

use super::{RewriteError, UrlKind, UrlUse};
use crate::{limits::MAX_EXPANDED_LEN, resolve::Base};

/// What a URL becomes.
pub(super) type Map<'a> = &'a mut dyn FnMut(&UrlUse<'_>) -> Option<String>;

/// Asks the map, and counts the bytes that resolution produces.
pub(super) struct UrlMap<'a> {
    map: Map<'a>,
    budget: usize,
}

impl<'a> UrlMap<'a> {
    pub(super) fn new(map: Map<'a>) -> Self {
        let budget = MAX_EXPANDED_LEN;
        Self { map, budget }
    }

    /// What to put in place of an absolute URL; `None` to leave it. Only what can be fetched by
    /// HTTP is asked about.
    pub(super) fn ask(&mut self, url: &str, kind: UrlKind) -> Option<String> {
        if !is_http(url) {
            return None;
        }
        let answer = (self.map)(&UrlUse { url, kind })?;
        (!answer.trim().is_empty()).then_some(answer)
    }

    /// The absolute URL of a reference; `None` when there is none.
    pub(super) fn join(
        &mut self,
        base: &Base,
        reference: &str,
    ) -> Result<Option<Arc<str>>, RewriteError> {
        let joined = base.join(reference);
        self.spend(
            joined
                .as_ref()
                .map_or(0, |url| url.len())
                .saturating_add(reference.len()),
        )?;
        Ok(joined)
    }

    /// Counts bytes that a short text was made into.
    pub(super) fn spend(&mut self, len: usize) -> Result<(), RewriteError> {
        self.budget = self.budget.checked_sub(len).ok_or(RewriteError::TooLong)?;
        Ok(())
    }
}

/// Whether a reference means the same wherever it stands: `scheme:`, and two slashes behind those
/// schemes with which it would otherwise be relative to a base of the same scheme.
pub(super) fn is_absolute(reference: &str) -> bool {
    let reference = reference.trim_start();
    let end = reference.find([':', '/', '?', '#']);
    end.is_some_and(|end| {
        let (scheme, rest) = reference.split_at(end);
        let is_special = SPECIAL_SCHEMES
            .iter()
            .any(|special| special.eq_ignore_ascii_case(scheme));
        rest.starts_with(if is_special { "://" } else { ":" })
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// Those that the URL standard calls special.
const SPECIAL_SCHEMES: [&str; 6] = ["ftp", "file", "http", "https", "ws", "wss"];

fn is_http(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::resolve;

    #[test]
    fn references_with_a_scheme_are_absolute() {
        for absolute in ["http://h", "skd:x", " HTTPS://a", "x-y+1.2:"] {
            assert!(is_absolute(absolute), "{absolute}");
        }
        for relative in [
            "", "a", "/a:b", "?a:b", "#:", "1:x", "//h:80", "a/b:c", "https:a", "HTTP:/a",
        ] {
            assert!(!is_absolute(relative), "{relative}");
        }
    }

    #[test]
    fn only_http_is_asked_about_and_an_empty_answer_is_none() {
        let mut asked = Vec::new();
        let mut map = |of: &UrlUse<'_>| {
            asked.push(of.url.to_owned());
            Some(" ".to_owned())
        };
        let mut map = UrlMap::new(&mut map);
        for url in ["HTTPS://h/a", "skd://k", "data:,x", "urn:a"] {
            assert_eq!(map.ask(url, UrlKind::Key), None);
        }
        assert_eq!(asked, ["HTTPS://h/a"]);
    }

    #[test]
    fn resolution_is_bounded() {
        let mut map = |_: &UrlUse<'_>| None;
        let mut map = UrlMap::new(&mut map);
        let base = Base::new(&format!("https://h/{}/", "x".repeat(1_000)), resolve);
        let each = base.as_str().len() + 2;
        for _ in 0..MAX_EXPANDED_LEN / each {
            assert!(map.join(&base, "a").unwrap().is_some());
        }
        assert_eq!(map.join(&base, "a"), Err(RewriteError::TooLong));
    }
}
