//! Which segment a player loads next.

use p2pcdn::{
    manifest::{Liveness, NeverReason, Segment, Segments, Sharing},
    wire::MediaTime,
};

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// This segment.
    Load(Segment),
    /// This segment, although media before it are still unplayed: they are not listed any more.
    Skip(Segment),
    /// Nothing that is listed.
    Wait,
}

/// The one of `segments` that begins at `next`; with `None` the one to start with.
pub(super) fn pick(segments: &Segments, next: Option<MediaTime>) -> Pick {
    let Some(next) = next else {
        let start = start_of(segments);
        return start.map_or(Pick::Wait, Pick::Load);
    };
    let mut candidates = segments.ending_after(next).filter(is_playable);
    // Tracks need not be cut at the same times to the millisecond: what has its middle ahead is
    // ahead.
    let Some(found) = candidates.find(|one| one.start + one.duration / 2 > next) else {
        return Pick::Wait;
    };
    let fell_out = segments
        .first()
        .is_some_and(|first| first.start > next + first.duration / 2);
    match fell_out && segments.liveness != Liveness::Ended {
        true => start_of(segments).map_or(Pick::Wait, Pick::Skip),
        false => Pick::Load(found),
    }
}

/// Where a player that comes to `segments` begins: at the start, or three target durations behind
/// the live edge (hls.js `liveSyncDurationCount`).
fn start_of(segments: &Segments) -> Option<Segment> {
    let mut playable = segments.iter().filter(is_playable);
    if segments.liveness == Liveness::Ended {
        return playable.next();
    }
    let sync = segments
        .live_edge
        .saturating_sub(segments.target_duration * 3);
    let mut oldest = None;
    for one in playable.rev() {
        if one.start <= sync {
            return Some(one);
        }
        oldest = Some(one);
    }
    oldest
}

fn is_playable(segment: &Segment) -> bool {
    segment.sharing != Sharing::Never(NeverReason::Gap)
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, time::Duration};

    use p2pcdn::{
        manifest::{Config, Input, Output, Refresh},
        wire::Instant,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn time(seconds: u32) -> MediaTime {
        MediaTime::ZERO + SECOND * seconds
    }

    /// Segments of 2 s with these ordinals, the first of all at zero.
    fn listed(ordinals: Range<u32>, liveness: Liveness) -> Segments {
        listed_with(ordinals, liveness, None)
    }

    fn listed_with(ordinals: Range<u32>, liveness: Liveness, gap: Option<u32>) -> Segments {
        let now = Instant::EPOCH;
        let url = "http://h/live.m3u8";
        let mut refresh = Refresh::new(Config::default(), url, now);
        let end = match liveness {
            Liveness::Ended => "#EXT-X-ENDLIST\n",
            _ => "",
        };
        // What left the window was listed once, so that all begin where they do.
        for (first, end) in [(0, ""), (ordinals.start, end)] {
            let mut text =
                format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            for ordinal in first..ordinals.end {
                let tag = match gap == Some(ordinal) {
                    true => "#EXT-X-GAP\n",
                    false => "",
                };
                text += &format!("{tag}#EXTINF:2,\n{ordinal}.ts\n");
            }
            let loaded = Input::Loaded {
                url: url.into(),
                range: None,
                final_url: url.into(),
                body: (text + end).into(),
            };
            refresh.handle_input(loaded, now);
        }
        let updates = std::iter::from_fn(|| refresh.poll_output());
        let update = updates.filter_map(|output| match output {
            Output::Updated(update) => Some(update),
            _ => None,
        });
        let presentation = update.last().unwrap().presentation;
        presentation.tracks[0].segments.clone().unwrap()
    }

    fn picked(segments: &Segments, next: Option<MediaTime>) -> (&'static str, Option<u64>) {
        match pick(segments, next) {
            Pick::Load(one) => ("load", Some(one.ordinal)),
            Pick::Skip(one) => ("skip", Some(one.ordinal)),
            Pick::Wait => ("wait", None),
        }
    }

    #[test]
    fn a_live_viewer_starts_six_seconds_behind_the_edge() {
        let live = listed(20..30, Liveness::Live);
        assert_eq!(picked(&live, None), ("load", Some(27)));
        let short = listed(0..2, Liveness::Live);
        assert_eq!(picked(&short, None), ("load", Some(0)));
        let empty = listed(0..0, Liveness::Live);
        assert_eq!(picked(&empty, None), ("wait", None));
    }

    #[test]
    fn an_on_demand_viewer_starts_at_the_start_and_ends_at_the_end() {
        let vod = listed(0..30, Liveness::Ended);
        assert_eq!(picked(&vod, None), ("load", Some(0)));
        assert_eq!(picked(&vod, Some(time(58))), ("load", Some(29)));
        assert_eq!(picked(&vod, Some(time(60))), ("wait", None));
    }

    #[test]
    fn segments_follow_each_other_also_when_tracks_are_cut_a_little_apart() {
        let live = listed(20..30, Liveness::Live);
        let millis = Duration::from_millis(40);
        assert_eq!(picked(&live, Some(time(54))), ("load", Some(27)));
        assert_eq!(picked(&live, Some(time(54) + millis)), ("load", Some(27)));
        assert_eq!(
            picked(&live, Some(time(54).saturating_sub(millis))),
            ("load", Some(27))
        );
        assert_eq!(picked(&live, Some(time(60))), ("wait", None));
    }

    #[test]
    fn whoever_fell_out_of_the_window_starts_again_near_the_edge() {
        let live = listed(20..30, Liveness::Live);
        assert_eq!(picked(&live, Some(time(40))), ("load", Some(20)));
        assert_eq!(picked(&live, Some(time(36))), ("skip", Some(27)));
    }

    #[test]
    fn gaps_are_passed_over() {
        let live = listed_with(20..30, Liveness::Live, Some(28));
        assert_eq!(picked(&live, Some(time(56))), ("load", Some(29)));
    }
}
