//! From what an MPD says of one representation to the segments of its track.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::{MediaTime, TrackId, UnixTime};

use crate::{
    computed::{Computed, Numbering},
    dash::{Mpd, MpdResource, Period, Representation, SegmentWindow},
    identity::{IdentityConfig, SegmentNamer},
    key::{Key, KeyUrls},
    limits::{DEFAULT_TARGET_DURATION, MAX_SEGMENTS},
    listed::{Listed, sharing},
    presentation::Presentation,
    ranges::{self, Piece, file_name},
    resolve::{Base, Resolve},
    rows::Rows,
    segment::InitSegment,
    segments::{Liveness, Segments},
    table::InitSection,
};

/// What it takes to make the segments of a representation.
pub(super) struct Scope<'a> {
    pub(super) track: TrackId,
    pub(super) presentation: &'a Presentation,
    pub(super) mpd: &'a Mpd,
    pub(super) period: &'a Period,
    pub(super) representation: &'a Representation,
    pub(super) resolve: Resolve,
    pub(super) identity: &'a Arc<IdentityConfig>,
}

impl Scope<'_> {
    pub(super) fn start(&self) -> MediaTime {
        self.period.start.unwrap_or(MediaTime::ZERO)
    }

    fn namer(&self, base: &str) -> SegmentNamer {
        let base = Base::new(base, self.resolve);
        SegmentNamer::new(
            self.track,
            &self.presentation.url,
            base,
            self.identity.clone(),
        )
    }

    /// How segments are encrypted: the MPD names systems and their licence servers, no keys.
    fn keys(&self) -> Arc<[Key]> {
        match self.representation.is_protected {
            false => Arc::new([]),
            true => Arc::new([Key {
                method: "cenc".into(),
                url: None,
                format: "urn:mpeg:dash:mp4protection:2011".into(),
                iv: None,
            }]),
        }
    }

    pub(super) fn computed(&self, window: SegmentWindow) -> Computed {
        let window = bounded(window, self.mpd.is_dynamic);
        let namer = self.namer(&self.presentation.url);
        let init = self.representation.init.as_ref();
        let init = init.map(|init| InitSegment {
            id: namer.init(&init.first_url, init.range),
            url: init.url.clone(),
            range: init.range,
            sharing: sharing(&init.url, &KeyUrls::default()),
        });
        Computed {
            numbering: match (window.is_named_by_time(), self.mpd.is_dynamic) {
                (true, true) => Numbering::Time,
                _ if window.is_of_sequences() => Numbering::Sequence,
                (true, false) => Numbering::NumberNamedByTime,
                (false, _) => Numbering::Number,
            },
            window,
            namer,
            init: init.map(Arc::new),
            keys: self.keys(),
            default_duration: self.period.duration.unwrap_or(DEFAULT_TARGET_DURATION),
        }
    }

    /// Ranges of one resource, which are numbered from zero: the index is as fixed as the resource.
    pub(super) fn listed(&self, media: &MpdResource, pieces: impl Iterator<Item = Piece>) -> Rows {
        let init = self.representation.init.as_ref().map(|init| InitSection {
            reference: match init.url == media.url {
                true => file_name(&media.url).into(),
                false => (&*init.url).into(),
            },
            range: init.range,
            keys: self.keys(),
        });
        let table = ranges::table(&media.url, init, self.keys(), pieces);
        let namer = Arc::new(self.namer(&media.first_url));
        let base = Base::new(&media.url, self.resolve);
        Rows::Listed(Arc::new(Listed::new(table, 0, base, namer, None)))
    }

    pub(super) fn finish(
        &self,
        rows: Rows,
        before: Option<&Segments>,
        clock: Option<UnixTime>,
    ) -> Segments {
        let last = rows.len().checked_sub(1).and_then(|last| rows.place(last));
        let longest = self
            .mpd
            .max_segment_duration
            .filter(|longest| !longest.is_zero());
        let target_duration = longest.or(last.map(|(_, duration)| duration));
        let edge = before.map_or(self.start(), |before| before.live_edge);
        let (window, old) = (rows.window(), before.map(Segments::window));
        // A list that begins anew shares nothing with the last one, and is of lower numbers.
        let restarted =
            old.is_some_and(|old| rows.len() > 0 && old.start < old.end && window.end <= old.start);
        let epoch = before.map_or(0, |before| before.epoch) + u32::from(restarted);
        let began = self
            .mpd
            .availability_start_time
            .filter(|_| self.mpd.is_dynamic);
        Segments {
            never_shared: self.presentation.never_shared.clone(),
            parts: Arc::new([]),
            anchor: began.map(|began| (MediaTime::ZERO, began)),
            date_ranges: Arc::new([]),
            target_duration: target_duration
                .unwrap_or(DEFAULT_TARGET_DURATION)
                .max(Duration::from_secs(1)),
            part_target: None,
            live_delay: self.mpd.suggested_presentation_delay,
            liveness: self.liveness(clock),
            live_edge: last.map_or(edge, |(start, duration)| start + duration),
            epoch,
            rows,
        }
    }

    fn liveness(&self, clock: Option<UnixTime>) -> Liveness {
        let mpd = self.mpd;
        let awaits = |now| self.representation.next_available_after(now).is_some();
        if !mpd.is_dynamic
            || mpd.minimum_update_period.is_none() && clock.is_some_and(|now| !awaits(now))
        {
            Liveness::Ended
        } else if mpd.time_shift_buffer_depth.is_some() {
            Liveness::Live
        } else {
            Liveness::Event
        }
    }
}

/// As many segments as a list may have: the newest of a live one, else the first.
fn bounded(window: SegmentWindow, is_live: bool) -> SegmentWindow {
    let most = u64::try_from(MAX_SEGMENTS).unwrap_or(u64::MAX);
    let (first, end) = (window.first_index(), window.end_index());
    match is_live {
        true => window.window(end.saturating_sub(most).max(first), end),
        false => window.window(first, first.saturating_add(most).min(end)),
    }
}
