//! Tracks that come and go while a session goes on.
#![cfg(feature = "dash")]

use std::sync::Arc;

use p2pcdn::{
    MemoryStore, MemoryStoreConfig, Session, SessionConfig, SessionInput,
    manifest::{Config, Input, Output, Presentation, ProgressiveConfig, Refresh, progressive},
    wire::{Instant, MAX_TRACKS, PeerId, Role, Seed, SwarmId},
};

const URL: &str = "https://cdn.example/live.mpd";

fn session(now: Instant) -> Session<MemoryStore> {
    let config = SessionConfig::new(SwarmId::new([1; 20]), PeerId::new([2; 20]));
    let store = MemoryStore::new(MemoryStoreConfig::default());
    Session::new(config, store, Seed([3; 32]), now)
}

/// A presentation whose only period is number `n`.
fn period(n: usize) -> Arc<Presentation> {
    let text = format!(
        "<MPD type=\"static\"><Period id=\"p{n}\" duration=\"PT6S\"><AdaptationSet contentType=\"video\">\
         <SegmentTemplate media=\"{n}/$Number$.m4s\" duration=\"2\"/>\
         <Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period></MPD>"
    );
    let now = Instant::EPOCH;
    let mut refresh = Refresh::new(Config::default(), URL, now);
    let loaded = Input::Loaded {
        url: URL.into(),
        range: None,
        final_url: URL.into(),
        body: text.into(),
    };
    refresh.handle_input(loaded, now);
    let mut updates = std::iter::from_fn(|| refresh.poll_output());
    let found = updates.find_map(|output| match output {
        Output::Updated(update) => Some(update.presentation),
        _ => None,
    });
    found.expect("it is an MPD")
}

#[test]
fn the_pieces_of_a_single_resource_are_segments_to_a_session() {
    let now = Instant::EPOCH;
    let url = "https://cdn.example/film.mp4";
    let film = progressive(url, 5_000_000, &ProgressiveConfig::default()).expect("it has bytes");
    let track = film.tracks[0].id;
    let mut session = session(now);
    session.handle_input(SessionInput::PresentationUpdated(Arc::new(film)), now);
    let pieces = (0..6).map(|piece| session.segment_ref(track, piece).is_some());
    // Four of 1 MiB, and the rest.
    assert_eq!(
        pieces.collect::<Vec<_>>(),
        [true, true, true, true, true, false]
    );
}

#[test]
fn a_live_presentation_may_have_any_number_of_periods() {
    let now = Instant::EPOCH;
    let mut session = session(now);
    let mut last = None;
    for n in 0..3 * MAX_TRACKS {
        let presentation = period(n);
        let track = presentation.tracks[0].id;
        session.handle_input(SessionInput::PresentationUpdated(presentation), now);
        session.handle_input(
            SessionInput::TrackRoleChanged {
                track,
                role: Role::Watching,
            },
            now,
        );
        while session.poll_output().is_some() {}
        assert!(session.segment_ref(track, 1).is_some(), "period {n}");
        if let Some(before) = last.replace(track) {
            assert_eq!(session.segment_ref(before, 1), None, "the last one is over");
        }
    }
}
