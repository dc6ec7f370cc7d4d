//! Base URLs: which of several, and what they resolve to.

use std::sync::Arc;

use crate::resolve::{Base, Resolve};

/// A `BaseURL` element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BaseUrl {
    pub(super) url: String,
    pub(super) service_location: Option<Arc<str>>,
    /// DVB: the smallest is preferred; one where there is none.
    pub(super) priority: u64,
    /// Nanoseconds that segments are available before they are complete.
    pub(super) availability_offset: i64,
    pub(super) availability_complete: Option<bool>,
}

/// What the URLs at some place of an MPD are relative to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Place {
    bases: Arc<Bases>,
    /// Whether any `BaseURL` led here, so that this is a resource and not the MPD.
    pub(super) is_explicit: bool,
    /// The sum over the levels whose `BaseURL` is part of it.
    pub(super) availability_offset: i64,
    pub(super) availability_complete: Option<bool>,
    pub(super) service_location: Option<Arc<str>>,
}

struct Bases {
    fetched: Base,
    /// As it would be without redirects of the MPD; `None` when it is the same.
    first: Option<Base>,
    resolve: Resolve,
}

/// A resolved URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) url: Arc<str>,
    /// As it would be without redirects of the MPD: what names are made from.
    pub(super) first_url: Arc<str>,
}

impl Place {
    /// The place of an MPD that was asked for as `first_url` and came from `url`.
    pub(super) fn new(url: &str, first_url: &str, resolve: Resolve) -> Self {
        let bases = Bases {
            fetched: Base::new(url, resolve),
            first: (first_url != url).then(|| Base::new(first_url, resolve)),
            resolve,
        };
        Self {
            bases: Arc::new(bases),
            is_explicit: false,
            availability_offset: 0,
            availability_complete: None,
            service_location: None,
        }
    }

    /// The place one level further down: of the `BaseURL`s there, the one of the service location
    /// `preferred` counts, else that with the smallest priority, else the first.
    ///
    /// `None` when its URL cannot be resolved.
    pub(super) fn enter(&self, urls: &[BaseUrl], preferred: Option<&str>) -> Option<Self> {
        let wanted = urls
            .iter()
            .find(|url| preferred.is_some() && url.service_location.as_deref() == preferred);
        let Some(chosen) = wanted.or_else(|| urls.iter().min_by_key(|url| url.priority)) else {
            return Some(self.clone());
        };
        let resolved = self.resolve(&chosen.url)?;
        let resolve = self.bases.resolve;
        let bases = Bases {
            fetched: Base::new(&resolved.url, resolve),
            first: (resolved.first_url != resolved.url)
                .then(|| Base::new(&resolved.first_url, resolve)),
            resolve,
        };
        // Levels that an absolute URL leaves out take no part in the offset.
        let inherited = if is_absolute(&chosen.url) {
            0
        } else {
            self.availability_offset
        };
        Some(Self {
            bases: Arc::new(bases),
            is_explicit: true,
            availability_offset: inherited.saturating_add(chosen.availability_offset),
            availability_complete: chosen.availability_complete.or(self.availability_complete),
            service_location: chosen
                .service_location
                .clone()
                .or_else(|| self.service_location.clone()),
        })
    }

    /// `None` when it is not a URL.
    pub(super) fn resolve(&self, reference: &str) -> Option<Resolved> {
        if reference.is_empty() {
            return Some(self.itself());
        }
        let url = self.bases.fetched.join(reference)?;
        let first_url = match &self.bases.first {
            None => url.clone(),
            Some(first) => first.join(reference).unwrap_or_else(|| url.clone()),
        };
        Some(Resolved { url, first_url })
    }

    /// The place as a URL.
    pub(super) fn itself(&self) -> Resolved {
        let url: Arc<str> = self.bases.fetched.as_str().into();
        let first = self.bases.first.as_ref();
        Resolved {
            first_url: first.map_or_else(|| url.clone(), |first| first.as_str().into()),
            url,
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place")
            .field(&self.bases.fetched.as_str())
            .finish()
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.itself() == other.itself()
            && self.is_explicit == other.is_explicit
            && self.availability_offset == other.availability_offset
            && self.availability_complete == other.availability_complete
            && self.service_location == other.service_location
    }
}

impl Eq for Place {}

fn is_absolute(url: &str) -> bool {
    url.split(['/', '?', '#'])
        .next()
        .is_some_and(|head| head.contains(':'))
        || url.starts_with("//")
}

#[cfg(all(test, feature = "url"))]
mod tests {
    use super::*;
    use crate::resolve::resolve;

    fn url(text: &str) -> BaseUrl {
        BaseUrl {
            url: text.into(),
            priority: 1,
            ..BaseUrl::default()
        }
    }

    fn entered(levels: &[&[BaseUrl]], preferred: Option<&str>) -> Place {
        let mpd = "https://a.example/x/live.mpd";
        levels
            .iter()
            .fold(Place::new(mpd, mpd, resolve), |place, urls| {
                place.enter(urls, preferred).expect("the URLs are sound")
            })
    }

    #[test]
    fn levels_are_resolved_one_after_the_other() {
        let place = entered(&[&[url("v/")], &[], &[url("../w/file.mp4")]], None);
        assert_eq!(&*place.itself().url, "https://a.example/x/w/file.mp4");
        assert_eq!(
            &*place.resolve("1.m4s").unwrap().url,
            "https://a.example/x/w/1.m4s"
        );
        assert_eq!(place.resolve("").unwrap(), place.itself());
    }

    #[test]
    fn priority_and_service_location_choose() {
        let mut urls = [
            url("https://b.example/"),
            url("https://c.example/"),
            url("https://d.example/"),
        ];
        assert_eq!(&*entered(&[&urls], None).itself().url, "https://b.example/");
        urls[0].priority = 3;
        urls[1].priority = 2;
        urls[2].priority = 2;
        urls[0].service_location = Some("west".into());
        assert_eq!(&*entered(&[&urls], None).itself().url, "https://c.example/");
        let west = entered(&[&urls], Some("west"));
        assert_eq!(&*west.itself().url, "https://b.example/");
        assert_eq!(west.service_location.as_deref(), Some("west"));
        assert_eq!(
            &*entered(&[&urls], Some("east")).itself().url,
            "https://c.example/"
        );
    }

    #[test]
    fn offsets_add_up_over_the_levels_that_take_part() {
        let early = |text, offset| BaseUrl {
            availability_offset: offset,
            ..url(text)
        };
        let relative = entered(&[&[early("a/", 1)], &[early("b/", 2)]], None);
        assert_eq!(relative.availability_offset, 3);
        let absolute = entered(&[&[early("a/", 1)], &[early("http://b.example/", 2)]], None);
        assert_eq!(absolute.availability_offset, 2);
        let endless = entered(&[&[early("a/", i64::MAX)], &[early("b/", 2)]], None);
        assert_eq!(endless.availability_offset, i64::MAX);
    }

    #[test]
    fn names_follow_the_url_that_was_asked_for() {
        let place = Place::new(
            "https://edge7.example/x/a.mpd",
            "https://cdn.example/x/a.mpd",
            resolve,
        );
        let place = place.enter(&[url("v/")], None).unwrap();
        let resolved = place.resolve("1.m4s").unwrap();
        assert_eq!(&*resolved.url, "https://edge7.example/x/v/1.m4s");
        assert_eq!(&*resolved.first_url, "https://cdn.example/x/v/1.m4s");
    }
}
