//! Delivery directives: what an LL-HLS client asks of a server beside the playlist (RFC 8216bis
//! section 6.2.5).

use std::borrow::Cow;

use p2pcdn_wire::Instant;

use crate::hls::{MediaPlaylist, RenditionReport};

/// What the next load of a playlist may ask for, by what the last one offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    /// The next segment or part, to be waited for: media sequence number and part.
    next: Option<(u64, Option<u64>)>,
    /// Up to when older segments may be left out.
    skip: Option<Skip>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Skip {
    until: Instant,
    date_ranges: bool,
}

impl Directives {
    /// What a playlist that was loaded at `now` offers.
    pub(super) fn offered(media: &MediaPlaylist, now: Instant) -> Self {
        let control = &media.server_control;
        let count = u64::try_from(media.table.len()).unwrap_or(u64::MAX);
        let end = media.first_sequence().saturating_add(count);
        let part = media.part_target.map(|_| {
            let last = media.parts.last().filter(|part| part.sequence == end);
            last.map_or(0, |part| u64::from(part.index) + 1)
        });
        let next = control.can_block_reload.then_some((end, part));
        // Half of the time that the server allows, which is counted from when it made the list.
        let skip = control.can_skip_until.map(|boundary| Skip {
            until: now + boundary / 2,
            date_ranges: control.can_skip_date_ranges,
        });
        Self { next, skip }
    }

    /// What another track's playlist says of this one: its newest segment and part.
    pub(super) fn reported(report: &RenditionReport) -> Self {
        let next = report.last_sequence.map(|last| (last, report.last_part));
        Self { next, skip: None }
    }

    /// Asks for a whole playlist.
    pub(super) fn without_skip(self) -> Self {
        Self { skip: None, ..self }
    }

    /// Whether the server holds its answer back until there is something new.
    pub(super) fn blocks(&self) -> bool {
        self.next.is_some()
    }

    /// The URL to load at `now`.
    pub(super) fn url(&self, url: &str, now: Instant) -> String {
        let mut query = String::new();
        if let Some((msn, part)) = self.next {
            query += &format!("_HLS_msn={msn}");
            if let Some(part) = part {
                query += &format!("&_HLS_part={part}");
            }
        }
        if let Some(skip) = self.skip.filter(|skip| now < skip.until) {
            let value = if skip.date_ranges { "v2" } else { "YES" };
            let and = if query.is_empty() { "" } else { "&" };
            query += &format!("{and}_HLS_skip={value}");
        }
        if query.is_empty() {
            return url.to_owned();
        }
        // The URL of a playlist may have been written with some.
        let url = &*without_directives(url);
        let (url, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
        let joint = match url.find('?') {
            None => "?",
            Some(at) if at + 1 == url.len() => "",
            Some(_) => "&",
        };
        format!("{url}{joint}{query}{fragment}")
    }
}

/// The URL without the directives that a player, or a manifest, added to it.
pub(super) fn without_directives(url: &str) -> Cow<'_, str> {
    if !url.contains("_HLS_") {
        return Cow::Borrowed(url);
    }
    let (rest, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let Some((path, query)) = rest.split_once('?') else {
        return Cow::Borrowed(url);
    };
    let is_other = |field: &&str| !field.starts_with("_HLS_");
    let kept: Vec<&str> = query.split('&').filter(is_other).collect();
    let joint = if kept.is_empty() { "" } else { "?" };
    Cow::Owned(format!("{path}{joint}{}{fragment}", kept.join("&")))
}
