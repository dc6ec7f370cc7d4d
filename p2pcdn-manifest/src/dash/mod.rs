//! DASH manifests (ISO/IEC 23009-1) as typed values, nothing of ours added yet.
//!
//! One pass over the XML gives elements as written (`read`, `elements`); then representations
//! inherit and URLs resolve (`finish`); segments are computed when asked for (`listing`).

mod base;
mod elements;
mod finish;
mod licences;
mod listing;
mod model;
mod periods;
mod read;
mod read_segments;
mod sidx;
mod template;
mod timeline;
mod values;
mod xml;

pub use listing::{ListedSegment, Listing, SegmentWindow};
pub use model::{
    AdaptationSet, ContentType, Descriptor, DescriptorKind, Mpd, MpdResource, PatchLocation,
    Period, Representation, UtcTiming,
};
pub use sidx::{IndexEntry, IndexTarget, SegmentIndex, SidxError, parse_sidx};

use std::borrow::Cow;

use crate::{
    error::{ParseError, Warning, WarningKind},
    limits::MAX_WARNINGS,
    resolve::{Resolve, resolve},
};

/// Reads an MPD that was fetched from `url` (after redirects).
///
/// As forgiving as players are: what can be lived with becomes a [`Warning`](crate::Warning). Of
/// several base URLs the one with the best DVB priority counts, else the first.
///
/// # Errors
///
/// When the text is no MPD, is broken XML, or exceeds a limit.
pub fn parse_mpd(text: &[u8], url: &str) -> Result<Mpd, ParseError> {
    let source = MpdSource {
        url,
        first_url: url,
        resolve,
        service_location: None,
    };
    source.parse(text)
}

/// Where an MPD came from, and how to read it.
#[derive(Clone, Copy, Debug)]
pub struct MpdSource<'a> {
    /// Its URL after redirects: what its own URLs are relative to.
    pub url: &'a str,
    /// The URL that was asked for: what the names of its segments are relative to.
    pub first_url: &'a str,
    /// How to resolve relative URLs.
    pub resolve: Resolve,
    /// Which of several base URLs to use (`@serviceLocation`); those with another one are used
    /// where there is none with this one. `None` has no preference.
    pub service_location: Option<&'a str>,
}

impl MpdSource<'_> {
    /// Reads an MPD; see [`parse_mpd`].
    ///
    /// # Errors
    ///
    /// When the text is no MPD, is broken XML, or exceeds a limit.
    pub fn parse(&self, bytes: &[u8]) -> Result<Mpd, ParseError> {
        let text = xml::text(bytes)?;
        let place = base::Place::new(self.url, self.first_url, self.resolve);
        let document = read::Reader::new(&text, place.clone()).read()?;
        let mut mpd = finish::finish(document, &place, self.service_location)?;
        if let Cow::Owned(_) = text {
            let kind = WarningKind::NotUtf8;
            mpd.warnings.insert(0, Warning { line: 0, kind });
            mpd.warnings.truncate(MAX_WARNINGS);
        }
        Ok(mpd)
    }
}
