//! Finding out what a URL is to a presentation.

use p2pcdn_wire::{ByteRange, SegmentId};

use crate::{canonical::Canonical, identity::IdentityConfig, reference::look};

/// A URL and the bytes of it that somebody asks for.
pub(crate) struct Wanted<'a> {
    /// Without fragment.
    pub(crate) url: &'a str,
    range: Option<ByteRange>,
    /// [`Look::name`](crate::reference::Look::name) of the URL.
    pub(crate) name: u32,
    path: &'a str,
    canonical: Canonical,
}

/// How like a URL is to one that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    Exact,
    /// The same apart from access tokens.
    Token,
}

/// What was found; the better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Found {
    /// The URL itself, with these bytes.
    Exact(Place),
    /// The URL apart from access tokens, with these bytes.
    Token(Place),
    /// The URL is listed, but not with these bytes.
    Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Segment(u64),
    Part(u64, u32),
    Init(SegmentId),
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(url: &'a str, range: Option<ByteRange>) -> Self {
        let url = without_fragment(url);
        Self {
            url,
            range,
            name: look(url).name,
            path: without_query(url),
            canonical: canonical(url),
        }
    }

    /// Whether a row whose reference has this name may be it.
    pub(crate) fn may_be(&self, name: u32) -> bool {
        name == 0 || self.name == 0 || name == self.name
    }

    /// Whether it is the URL that is listed like this.
    pub(crate) fn is(&self, listed: &str) -> Option<Likeness> {
        if without_fragment(listed) == self.url {
            Some(Likeness::Exact)
        } else {
            let same = without_query(listed) == self.path && canonical(listed) == self.canonical;
            same.then_some(Likeness::Token)
        }
    }

    /// What it is, if its URL is so like that of what lies at `place` and is these bytes of it.
    pub(crate) fn found(
        &self,
        likeness: Likeness,
        range: Option<ByteRange>,
        place: Place,
    ) -> Found {
        match (covers(range, self.range), likeness) {
            (true, Likeness::Exact) => Found::Exact(place),
            (true, Likeness::Token) => Found::Token(place),
            (false, _) => Found::Elsewhere,
        }
    }

    /// Whether it is a playlist URL listed like this, or the same with other tokens or with the
    /// directives that low-latency players add.
    pub(crate) fn is_manifest(&self, listed: &str) -> bool {
        without_fragment(listed) == self.url
            || (self.url.contains("_HLS_")
                && without_query(listed) == self.path
                && canonical(listed) == self.canonical)
    }
}

impl Found {
    /// The better of the two.
    pub(crate) fn better(self, other: Self) -> Self {
        self.min(other)
    }
}

/// Whether the bytes `wanted` of a resource lie within its part `listed`; `None` is all of it.
fn covers(listed: Option<ByteRange>, wanted: Option<ByteRange>) -> bool {
    match (listed, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(listed), Some(wanted)) => {
            !wanted.is_empty() && listed.start <= wanted.start && wanted.end <= listed.end
        }
    }
}

fn canonical(url: &str) -> Canonical {
    Canonical::new(url, &IdentityConfig::default())
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
