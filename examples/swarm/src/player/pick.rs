//! Which segment a player loads next.

use std::sync::Arc;

use p2pcdn::{
    manifest::{Liveness, NeverReason, Playlist, Segment, Sharing},
    wire::MediaTime,
};

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// This segment.
    Load(Arc<Segment>),
    /// This segment, although media before it are still unplayed: they have left the playlist.
    Skip(Arc<Segment>),
    /// Nothing that is listed.
    Wait,
}

/// The segment of `playlist` that begins at `next`; with `None` the one to start with.
pub(super) fn pick(playlist: &Playlist, next: Option<MediaTime>) -> Pick {
    let Some(next) = next else {
        let start = start_of(playlist);
        return start.map_or(Pick::Wait, Pick::Load);
    };
    let mut candidates = playlist.segments.iter().filter(|one| is_playable(one));
    // Tracks need not be cut at the same times to the millisecond: what has its middle ahead is
    // ahead.
    let Some(found) = candidates.find(|one| one.start + one.duration / 2 > next) else {
        return Pick::Wait;
    };
    let fell_out = playlist
        .segments
        .first()
        .is_some_and(|first| first.start > next + first.duration / 2);
    match fell_out && playlist.liveness != Liveness::Ended {
        true => start_of(playlist).map_or(Pick::Wait, Pick::Skip),
        false => Pick::Load(found.clone()),
    }
}

/// Where a player that comes to `playlist` begins: at the start, or three target durations behind
/// the live edge (hls.js `liveSyncDurationCount`).
fn start_of(playlist: &Playlist) -> Option<Arc<Segment>> {
    let mut playable = playlist.segments.iter().filter(|one| is_playable(one));
    if playlist.liveness == Liveness::Ended {
        return playable.next().cloned();
    }
    let sync = playlist
        .live_edge
        .saturating_sub(playlist.target_duration * 3);
    let all: Vec<_> = playable.collect();
    let at = all.iter().rposition(|one| one.start <= sync).unwrap_or(0);
    all.get(at).map(|one| Arc::clone(one))
}

fn is_playable(segment: &Segment) -> bool {
    segment.sharing != Sharing::Never(NeverReason::Gap)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2pcdn::wire::SegmentId;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn time(seconds: u32) -> MediaTime {
        MediaTime::ZERO + SECOND * seconds
    }

    /// Segments of 2 s with these ordinals.
    fn playlist(ordinals: std::ops::Range<u32>, liveness: Liveness) -> Playlist {
        let segment = |ordinal: u32| Segment {
            id: SegmentId::new([0; 16]),
            ordinal: u64::from(ordinal),
            url: "".into(),
            range: None,
            start: time(2 * ordinal),
            duration: SECOND * 2,
            discontinuity_sequence: 0,
            date: None,
            init: None,
            keys: [].into(),
            sharing: Sharing::Shared,
        };
        Playlist {
            segments: ordinals.clone().map(segment).map(Arc::new).collect(),
            media_sequence: u64::from(ordinals.start),
            target_duration: SECOND * 2,
            liveness,
            live_edge: time(2 * ordinals.end),
            epoch: 0,
        }
    }

    fn picked(playlist: &Playlist, next: Option<MediaTime>) -> (&'static str, Option<u64>) {
        match pick(playlist, next) {
            Pick::Load(one) => ("load", Some(one.ordinal)),
            Pick::Skip(one) => ("skip", Some(one.ordinal)),
            Pick::Wait => ("wait", None),
        }
    }

    #[test]
    fn a_live_viewer_starts_six_seconds_behind_the_edge() {
        let live = playlist(20..30, Liveness::Live);
        assert_eq!(picked(&live, None), ("load", Some(27)));
        let short = playlist(0..2, Liveness::Live);
        assert_eq!(picked(&short, None), ("load", Some(0)));
        let empty = playlist(0..0, Liveness::Live);
        assert_eq!(picked(&empty, None), ("wait", None));
    }

    #[test]
    fn an_on_demand_viewer_starts_at_the_start_and_ends_at_the_end() {
        let vod = playlist(0..30, Liveness::Ended);
        assert_eq!(picked(&vod, None), ("load", Some(0)));
        assert_eq!(picked(&vod, Some(time(58))), ("load", Some(29)));
        assert_eq!(picked(&vod, Some(time(60))), ("wait", None));
    }

    #[test]
    fn segments_follow_each_other_also_when_tracks_are_cut_a_little_apart() {
        let live = playlist(20..30, Liveness::Live);
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
        let live = playlist(20..30, Liveness::Live);
        assert_eq!(picked(&live, Some(time(40))), ("load", Some(20)));
        assert_eq!(picked(&live, Some(time(36))), ("skip", Some(27)));
    }

    #[test]
    fn gaps_are_passed_over() {
        let mut live = playlist(20..30, Liveness::Live);
        let mut gap = (*live.segments[8]).clone();
        gap.sharing = Sharing::Never(NeverReason::Gap);
        live.segments[8] = Arc::new(gap);
        assert_eq!(picked(&live, Some(time(56))), ("load", Some(29)));
    }
}
