//! Where segments lie on the timeline while playlists slide, jump, restart and are joined.
#![cfg(feature = "hls")]

mod support;

use std::sync::Arc;

use p2pcdn_manifest::{Event, Segment, SegmentDate};
use p2pcdn_wire::{MediaTime, OrdinalRange, UnixTime};
use support::{A, B, SOUND, URL, dated, direct, live, load, variants, window};

#[test]
fn positions_and_dates_stay_while_the_window_slides() {
    let mut shell = direct(include_str!("fixtures/live-before.m3u8"));
    assert_eq!(shell.starts(""), [0, 2000, 3920, 5920]);
    let before: Vec<Segment> = shell.segments("").iter().collect();
    shell.wake();
    shell.loaded(URL, include_str!("fixtures/live-after.m3u8"));
    assert_eq!(shell.starts(""), [3920, 5920, 7920, 9920]);
    assert_eq!(
        shell.segments("").live_edge,
        MediaTime::from_nanos(11_420_000_000)
    );
    // 2026-01-01T00:00:00Z is 1767225600; the date left the window with its segment.
    let date = |millis: i64| {
        let time = UnixTime::from_micros(1_767_225_600_000_000 + millis * 1000);
        Some(SegmentDate::Extrapolated(time))
    };
    let segments: Vec<Segment> = shell.segments("").iter().collect();
    let dates: Vec<_> = segments.iter().map(|segment| segment.date).collect();
    assert_eq!(dates, [date(3920), date(5920), date(7920), date(9920)]);
    assert_eq!(
        before[0].date.and_then(SegmentDate::explicit),
        before[0].date.map(SegmentDate::time)
    );
    assert_eq!(before[2].id, segments[0].id);
    assert!(Arc::ptr_eq(
        before[2].init.as_ref().unwrap(),
        segments[3].init.as_ref().unwrap()
    ));
}

#[test]
fn segments_are_found_by_ordinal_and_by_time() {
    let shell = direct(include_str!("fixtures/live-before.m3u8"));
    let playlist = shell.segments("");
    let ordinal = |segment: Option<Segment>| segment.map(|segment| segment.ordinal);
    assert_eq!(ordinal(playlist.segment(102)), Some(102));
    assert_eq!(ordinal(playlist.segment(99)), None);
    assert_eq!(ordinal(playlist.segment(104)), None);
    let at = |millis: i64| ordinal(playlist.segment_at(MediaTime::from_nanos(millis * 1_000_000)));
    assert_eq!(
        [at(-1), at(0), at(1999), at(2000)],
        [None, Some(100), Some(100), Some(101)]
    );
    assert_eq!([at(7919), at(7920)], [Some(103), None]);
}

#[test]
fn a_gap_without_overlap_is_bridged_by_date_or_by_mean_duration() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    shell.loaded(URL, &live("s", 10, 2));
    assert_eq!(shell.starts(""), [20_000, 22_000]);

    let mut shell = direct(&dated("s", 0, 3, 0));
    shell.wake();
    shell.loaded(URL, &dated("s", 10, 2, 25));
    assert_eq!(shell.starts(""), [25_000, 27_000]);
}

#[test]
fn a_window_that_follows_at_once_goes_on_where_the_last_ended() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    shell.loaded(URL, &live("s", 3, 2));
    assert_eq!(shell.starts(""), [6000, 8000]);
    assert_eq!(shell.take_events(), []);
}

#[test]
fn an_older_copy_is_passed_over() {
    let mut shell = direct(&live("s", 5, 4));
    for older in [live("s", 4, 4), live("s", 5, 3)] {
        shell.wake();
        shell.loaded(URL, &older);
        assert_eq!(window(&shell), OrdinalRange::new(5, 9));
    }
    assert_eq!(shell.wake(), Some(1000));
    assert_eq!(shell.take_events(), []);
}

#[test]
fn a_lagging_cache_is_no_restart() {
    let mut shell = direct(&live("s", 50, 4));
    shell.wake();
    shell.loaded(URL, &live("s", 20, 4));
    assert_eq!(window(&shell), OrdinalRange::new(50, 54));
    shell.wake();
    shell.loaded(URL, &live("s", 51, 4));
    shell.wake();
    shell.loaded(URL, &live("s", 20, 4));
    assert_eq!(window(&shell), OrdinalRange::new(51, 55));
    assert_eq!(shell.take_events(), []);

    let mut shell = direct(&dated("s", 50, 4, 100));
    for _ in 0..3 {
        shell.wake();
        shell.loaded(URL, &dated("s", 20, 4, 40));
    }
    assert_eq!(
        window(&shell),
        OrdinalRange::new(50, 54),
        "its dates are older"
    );
}

#[test]
fn a_restarted_encoder_begins_a_new_epoch() {
    let mut shell = direct(&live("s", 50, 4));
    let track = shell.track("");
    for _ in 0..2 {
        shell.wake();
        shell.loaded(URL, &live("r", 0, 3));
    }
    assert_eq!(shell.take_events(), [Event::EncoderRestarted { track }]);
    assert_eq!(shell.segments("").epoch, 1);
    assert_eq!(shell.starts(""), [8000, 10_000, 12_000], "right after");

    let mut shell = direct(&dated("s", 50, 4, 0));
    shell.wake();
    shell.loaded(URL, &dated("r", 0, 3, 30));
    assert_eq!(shell.take_events(), [Event::EncoderRestarted { track }]);
    assert_eq!(
        shell.starts(""),
        [30_000, 32_000, 34_000],
        "newer dates leave no doubt"
    );
}

#[test]
fn a_restart_within_the_window_is_told_by_its_dates() {
    let mut shell = direct(&dated("s", 0, 3, 0));
    let track = shell.track("");
    shell.wake();
    shell.loaded(URL, &dated("r", 0, 3, 20));
    assert_eq!(shell.take_events(), [Event::EncoderRestarted { track }]);
    assert_eq!(shell.starts(""), [20_000, 22_000, 24_000]);
}

#[test]
fn names_that_change_with_each_load_are_told_once() {
    let mut shell = direct(&live("tok1/s", 0, 3));
    let track = shell.track("");
    for (token, first) in [("tok2/s", 1), ("tok3/s", 2)] {
        shell.wake();
        shell.loaded(URL, &live(token, first, 3));
    }
    assert_eq!(shell.take_events(), [Event::NamesUnstable { track }]);
    assert_eq!(shell.starts(""), [4000, 6000, 8000]);
}

#[test]
fn a_window_that_loses_its_segments_keeps_the_old_ones() {
    let mut shell = direct(&live("s", 0, 3));
    shell.wake();
    shell.loaded(URL, &live("s", 3, 0));
    assert_eq!(window(&shell), OrdinalRange::new(0, 3));
    let mut shell = direct(&live("s", 3, 0));
    assert_eq!(window(&shell), OrdinalRange::new(3, 3));
    shell.wake();
    shell.loaded(URL, &live("s", 3, 2));
    assert_eq!(
        shell.starts(""),
        [0, 2000],
        "a stream that is about to begin"
    );
}

#[test]
fn tracks_on_demand_begin_together() {
    let mut shell = variants();
    load(&mut shell, A, &(live("s", 1, 3) + "#EXT-X-ENDLIST\n"));
    load(&mut shell, B, &(live("s", 0, 3) + "#EXT-X-ENDLIST\n"));
    assert_eq!(shell.starts(A), [0, 2000, 4000]);
    assert_eq!(shell.starts(B), [0, 2000, 4000]);
}

#[test]
fn live_tracks_are_aligned_by_date() {
    let mut shell = variants();
    load(&mut shell, A, &dated("s", 100, 5, 60));
    load(&mut shell, SOUND, &dated("t", 7, 4, 63));
    assert_eq!(shell.starts(SOUND), [3000, 5000, 7000, 9000]);
    load(&mut shell, B, &dated("u", 100, 3, 59));
    assert_eq!(
        shell.starts(B),
        [-1000, 1000, 3000],
        "dates count for more than ordinals"
    );
}

#[test]
fn live_variants_without_dates_are_aligned_by_ordinal() {
    let mut shell = variants();
    load(&mut shell, A, &live("s", 100, 5));
    load(&mut shell, B, &live("s", 102, 5));
    assert_eq!(shell.starts(B), [4000, 6000, 8000, 10_000, 12_000]);
}

#[test]
fn live_tracks_that_tell_nothing_are_aligned_by_their_edges() {
    let mut shell = variants();
    load(&mut shell, A, &live("s", 100, 5));
    load(&mut shell, SOUND, &live("s", 102, 2));
    assert_eq!(
        shell.starts(SOUND),
        [6000, 8000],
        "another kind may be numbered otherwise"
    );
    load(&mut shell, B, &live("s", 7, 3));
    assert_eq!(shell.starts(B), [4000, 6000, 8000]);
}

#[test]
fn dates_of_clocks_that_disagree_align_nothing() {
    let mut shell = variants();
    load(&mut shell, A, &dated("s", 100, 5, 0));
    load(&mut shell, SOUND, &dated("s", 100, 5, 600));
    assert_eq!(shell.starts(SOUND), [0, 2000, 4000, 6000, 8000]);
}
