//! Resolution of the relative URLs in a manifest.

use std::sync::Arc;

use crate::{limits::MAX_LINE_LEN, reference::look};

/// Resolves a reference against an absolute base URL, by the WHATWG URL standard; `None` when the
/// result is not a URL. An empty reference asks for the base itself in normal form.
///
/// A plain function, so that a machine that uses it stays reproducible. In a browser, it wraps the
/// browser's own `URL`.
pub type Resolve = fn(base: &str, reference: &str) -> Option<String>;

/// Resolves with the `url` crate. Without the feature `url` it knows only references that are
/// absolute already; plain relative ones are resolved without asking it in any case.
#[cfg(feature = "url")]
#[must_use]
pub fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = url::Url::parse(base).ok()?;
    base.join(reference).ok().map(String::from)
}

/// Resolves with the `url` crate. Without the feature `url` it knows only references that are
/// absolute already; plain relative ones are resolved without asking it in any case.
#[cfg(not(feature = "url"))]
#[must_use]
pub fn resolve(base: &str, reference: &str) -> Option<String> {
    let reference = if reference.is_empty() {
        base
    } else {
        reference
    };
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (is_scheme && !rest.is_empty()).then(|| format!("{}:{rest}", scheme.to_ascii_lowercase()))
}

/// One base URL against which many references are resolved.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    resolve: Resolve,
    url: Arc<str>,
    /// Length of `url` up to and with the last slash of its path; `None` for a URL without a
    /// hierarchy.
    dir_len: Option<usize>,
}

impl Base {
    pub(crate) fn new(url: &str, resolve: Resolve) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let url: Arc<str> = resolve(url, "").map_or_else(|| url.into(), Arc::from);
        let dir_len = dir_len(&url);
        Self {
            resolve,
            url,
            dir_len,
        }
    }

    /// The absolute URL of `reference`; `None` when there is none or it is too long.
    pub(crate) fn join(&self, reference: &str) -> Option<Arc<str>> {
        if let Some(dir) = self.dir()
            && look(reference).is_plain
        {
            return (dir.len() + reference.len() <= MAX_LINE_LEN)
                .then(|| [dir, reference].concat().into());
        }
        let url = (self.resolve)(&self.url, reference)?;
        (url.len() <= MAX_LINE_LEN).then(|| url.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether references mean the same relative to both: the query of a base is part of no URL
    /// that is relative to it.
    pub(crate) fn is_place_of(&self, other: &Self) -> bool {
        let place = |base: &'_ Self| base.url.find('?').unwrap_or(base.url.len());
        std::ptr::fn_addr_eq(self.resolve, other.resolve)
            && self.url.get(..place(self)) == other.url.get(..place(other))
    }

    /// How much longer a plain reference becomes when it is resolved; `None` where it has to be
    /// asked.
    pub(crate) fn dir_len(&self) -> Option<usize> {
        self.dir_len
    }

    /// The directory that plain references are relative to, if the URL has one.
    pub(crate) fn dir(&self) -> Option<&str> {
        self.url.get(..self.dir_len?)
    }
}

impl PartialEq for Base {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && std::ptr::fn_addr_eq(self.resolve, other.resolve)
    }
}

impl Eq for Base {}

fn dir_len(url: &str) -> Option<usize> {
    let authority = url.find("://")? + 3;
    let path_end = url
        .find(['?', '#'])
        .filter(|at| *at >= authority)
        .unwrap_or(url.len());
    let slash = url.get(authority..path_end)?.rfind('/')?;
    Some(authority + slash + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, reference: &str) -> Option<String> {
        Base::new(base, resolve)
            .join(reference)
            .map(|url| url.to_string())
    }

    #[test]
    fn plain_references_follow_the_directory_of_the_base() {
        let base = "https://cdn.example/a/b/live.m3u8?x=/1";
        assert_eq!(
            join(base, "s/1.ts?k=a/../b&u=http://x").as_deref(),
            Some("https://cdn.example/a/b/s/1.ts?k=a/../b&u=http://x")
        );
        assert_eq!(
            join("https://cdn.example/", "1.ts").as_deref(),
            Some("https://cdn.example/1.ts")
        );
    }

    #[test]
    fn absolute_references_stand_alone() {
        assert_eq!(
            join("https://a.example/x/", "http://b.example/y#z").as_deref(),
            Some("http://b.example/y#z")
        );
        assert_eq!(
            join("https://a.example/x/", "skd://key").as_deref(),
            Some("skd://key")
        );
    }

    #[test]
    fn a_result_over_the_cap_is_refused() {
        let base = "https://a.example/";
        let longest = "x".repeat(MAX_LINE_LEN - base.len());
        assert!(join(base, &longest).is_some());
        assert!(join(base, &format!("{longest}x")).is_none());
        assert!(join(base, &format!("/{longest}x")).is_none());
    }

    #[cfg(feature = "url")]
    mod with_url {
        use proptest::prelude::*;

        use super::*;

        #[test]
        fn dots_roots_and_blanks_are_resolved() {
            let base = "https://cdn.example/a/b/live.m3u8";
            assert_eq!(
                join(base, "../c/1.ts").as_deref(),
                Some("https://cdn.example/a/c/1.ts")
            );
            assert_eq!(
                join(base, "/1.ts").as_deref(),
                Some("https://cdn.example/1.ts")
            );
            assert_eq!(
                join(base, "my file.ts").as_deref(),
                Some("https://cdn.example/a/b/my%20file.ts")
            );
            assert_eq!(
                join(base, "?n=2").as_deref(),
                Some("https://cdn.example/a/b/live.m3u8?n=2")
            );
            assert_eq!(
                join("https://cdn.example", "1.ts").as_deref(),
                Some("https://cdn.example/1.ts")
            );
        }

        proptest! {
            #[test]
            fn the_shortcut_agrees_with_the_standard(
                base in "https://h\\.example/[a-z/.?#%]{0,12}",
                reference in "[-a-z0-9._~/,=&%+@!$()*;?:# ']{0,16}",
            ) {
                let expected = resolve(&base, &reference);
                prop_assert_eq!(join(&base, &reference), expected);
            }
        }
    }
}
