//! From whom block maps are got, and to whom they go.

use std::time::Duration;

use p2pcdn::{
    MapSource, Maps, MapsConfig, MapsInput, MapsOutput,
    wire::{Instant, LinkId, SegmentRef, TrackIndex},
};
use proptest::prelude::*;

const TRACK: TrackIndex = TrackIndex(0);

fn segment(ordinal: u64) -> SegmentRef {
    SegmentRef {
        track: TRACK,
        ordinal,
        tag: 5,
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(millis))
}

/// A machine with `links` neighbours in its track, numbered from 1.
fn maps(config: MapsConfig, links: u64) -> Maps {
    let mut maps = Maps::new(config, 7, at(0));
    for link in 1..=links {
        join(&mut maps, link);
    }
    maps
}

fn join(maps: &mut Maps, link: u64) {
    let link = LinkId(link);
    maps.handle_input(MapsInput::PeerJoined { link, track: TRACK }, at(0));
}

fn held(link: u64, ordinal: u64) -> MapsInput {
    MapsInput::MapHeldBy {
        link: LinkId(link),
        segment: segment(ordinal),
    }
}

fn accepted(from: MapSource) -> MapsInput {
    MapsInput::MapAccepted {
        segment: segment(1),
        from,
    }
}

fn refused(from: MapSource) -> MapsInput {
    MapsInput::MapRefused {
        segment: segment(1),
        from,
    }
}

fn outputs(maps: &mut Maps) -> Vec<MapsOutput> {
    std::iter::from_fn(|| maps.poll_output()).collect()
}

/// Goes to the next wake-up; returns when it is, in ms, and the link that is asked.
fn next_request(maps: &mut Maps) -> Option<(u128, u64)> {
    let now = maps.poll_timeout()?;
    maps.handle_timeout(now);
    match outputs(maps)[..] {
        [MapsOutput::Request { link, .. }] => Some((now.since_epoch().as_millis(), link.0)),
        _ => None,
    }
}

#[test]
fn a_map_that_comes_unasked_is_not_asked_for() {
    let mut maps = maps(MapsConfig::default(), 1);
    maps.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    assert_eq!(maps.poll_timeout(), None);
    maps.handle_input(held(1, 1), at(100));
    assert_eq!(maps.poll_timeout(), Some(at(130)));
    maps.handle_timeout(at(129));
    maps.handle_input(accepted(MapSource::Peer(LinkId(1))), at(129));
    maps.handle_timeout(at(5_000));
    assert_eq!(outputs(&mut maps), []);
    assert_eq!(maps.poll_timeout(), None);
}

#[test]
fn one_holder_after_another_is_asked_until_one_answers() {
    let mut maps = maps(MapsConfig::default(), 2);
    maps.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    maps.handle_input(held(1, 1), at(0));
    maps.handle_input(held(2, 1), at(0));
    let requests: Vec<_> = (0..3).map(|_| next_request(&mut maps)).collect();
    let times: Vec<_> = requests.iter().flatten().map(|(at, _)| *at).collect();
    assert_eq!(times, [30, 1_030, 2_030], "{requests:?}");
    let links: Vec<_> = requests.iter().flatten().map(|(_, link)| *link).collect();
    assert_ne!(links[0], links[1]);
    assert_eq!(links[0], links[2]);
}

#[test]
fn who_sent_a_bad_map_is_not_asked_again() {
    let mut maps = maps(MapsConfig::default(), 2);
    maps.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    maps.handle_input(held(1, 1), at(0));
    assert_eq!(next_request(&mut maps), Some((30, 1)));
    maps.handle_input(refused(MapSource::Peer(LinkId(1))), at(50));
    maps.handle_input(held(1, 1), at(60));
    assert_eq!(maps.poll_timeout(), None);
    maps.handle_input(held(2, 1), at(70));
    assert_eq!(next_request(&mut maps), Some((100, 2)));
}

#[test]
fn a_holder_that_leaves_is_replaced_at_once() {
    let mut maps = maps(MapsConfig::default(), 2);
    maps.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    maps.handle_input(held(1, 1), at(0));
    maps.handle_input(held(2, 1), at(0));
    let (_, first) = next_request(&mut maps).expect("a holder is asked");
    maps.handle_input(MapsInput::PeerLeft(LinkId(first)), at(40));
    assert_eq!(next_request(&mut maps), Some((40, 3 - first)));
    let gone = MapsInput::PeerParted {
        link: LinkId(3 - first),
        track: TRACK,
    };
    maps.handle_input(gone, at(50));
    assert_eq!(maps.poll_timeout(), None);
}

#[test]
fn early_announcements_count_once_the_segment_is_listed() {
    let mut maps = maps(MapsConfig::default(), 1);
    for ordinal in 0..9 {
        maps.handle_input(held(1, ordinal), at(0));
    }
    maps.handle_input(MapsInput::SegmentWanted(segment(0)), at(0));
    assert_eq!(maps.poll_timeout(), None, "eight are kept, the oldest goes");
    maps.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    assert_eq!(next_request(&mut maps), Some((30, 1)));
}

#[test]
fn a_publisher_pushes_its_maps_to_a_few_and_a_viewer_to_none() {
    let mut publisher = maps(MapsConfig::publisher(), 9);
    publisher.handle_input(held(3, 1), at(0));
    publisher.handle_input(held(4, 1), at(0));
    publisher.handle_input(accepted(MapSource::Own), at(0));
    let mut links: Vec<_> = outputs(&mut publisher)
        .into_iter()
        .filter_map(|output| match output {
            MapsOutput::Push { link, .. } => Some(link.0),
            _ => None,
        })
        .collect();
    links.sort_unstable();
    assert_eq!(links, [1, 2, 5, 6, 7, 8, 9], "all but those that have it");

    let mut publisher = maps(MapsConfig::publisher(), 20);
    publisher.handle_input(accepted(MapSource::Own), at(0));
    assert_eq!(outputs(&mut publisher).len(), 8);

    let mut viewer = maps(MapsConfig::default(), 9);
    viewer.handle_input(accepted(MapSource::Own), at(0));
    viewer.handle_input(accepted(MapSource::Peer(LinkId(1))), at(0));
    assert_eq!(outputs(&mut viewer), []);
}

#[test]
fn the_sidecar_is_the_last_resort() {
    let config = MapsConfig {
        sidecar_after: Some(Duration::from_millis(500)),
        ..MapsConfig::default()
    };
    let fetch = [MapsOutput::FetchSidecar {
        segment: segment(1),
    }];
    let mut alone = maps(config.clone(), 0);
    alone.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    let first_at = alone.poll_timeout().expect("nobody else has it");
    assert!((at(500)..at(1_000)).contains(&first_at), "{first_at}");
    alone.handle_timeout(first_at);
    assert_eq!(outputs(&mut alone), fetch);
    assert_eq!(alone.poll_timeout(), None);
    alone.handle_input(refused(MapSource::Sidecar), first_at);
    let next_after = alone
        .poll_timeout()
        .expect("it is tried again")
        .saturating_duration_since(first_at);
    assert!(
        (1_000..2_000).contains(&next_after.as_millis()),
        "{next_after:?}"
    );

    // A neighbour that announces and stays silent does not keep anybody from the sidecar.
    let mut silent = maps(config, 1);
    silent.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    silent.handle_input(held(1, 1), at(0));
    assert_eq!(next_request(&mut silent), Some((30, 1)));
    silent.handle_timeout(at(1_030));
    assert_eq!(outputs(&mut silent), fetch);
    silent.handle_input(refused(MapSource::Sidecar), at(1_100));
    assert_eq!(next_request(&mut silent), Some((1_100, 1)));
}

#[test]
fn holders_liars_and_wanted_segments_are_bounded() {
    let mut crowd = maps(MapsConfig::default(), 17);
    crowd.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    for link in 1..=17 {
        crowd.handle_input(held(link, 1), at(0));
    }
    let mut asked = std::collections::BTreeSet::new();
    while asked.len() < 17 {
        let now = crowd.poll_timeout().expect("someone is asked");
        crowd.handle_timeout(now);
        let before = asked.len();
        for output in outputs(&mut crowd) {
            if let MapsOutput::Request { link, .. } = output
                && !asked.insert(link)
            {
                assert_eq!(before, 16, "sixteen holders are kept");
                asked.extend((1..=17).map(LinkId));
            }
        }
    }

    let mut lied_to = maps(MapsConfig::default(), 17);
    lied_to.handle_input(MapsInput::SegmentWanted(segment(1)), at(0));
    for link in 1..=15 {
        lied_to.handle_input(refused(MapSource::Peer(LinkId(link))), at(0));
    }
    lied_to.handle_input(held(17, 1), at(0));
    assert!(lied_to.poll_timeout().is_some());
    lied_to.handle_input(refused(MapSource::Peer(LinkId(16))), at(0));
    assert_eq!(lied_to.poll_timeout(), None, "sixteen lies are enough");

    let mut many = maps(MapsConfig::default(), 1);
    for ordinal in 0..513 {
        many.handle_input(MapsInput::SegmentWanted(segment(ordinal)), at(0));
    }
    for ordinal in 0..513 {
        many.handle_input(held(1, ordinal), at(0));
    }
    many.handle_timeout(at(30));
    assert_eq!(outputs(&mut many).len(), 512);
}

fn input() -> impl Strategy<Value = MapsInput> {
    let link = (1u64..5).prop_map(LinkId);
    let from = prop_oneof![
        Just(MapSource::Own),
        Just(MapSource::Sidecar),
        (1u64..5).prop_map(|link| MapSource::Peer(LinkId(link))),
    ];
    let one = || (0u64..3).prop_map(segment);
    prop_oneof![
        link.clone()
            .prop_map(|link| MapsInput::PeerJoined { link, track: TRACK }),
        link.clone()
            .prop_map(|link| MapsInput::PeerParted { link, track: TRACK }),
        link.clone().prop_map(MapsInput::PeerLeft),
        one().prop_map(MapsInput::SegmentWanted),
        one().prop_map(MapsInput::SegmentGone),
        (link, one()).prop_map(|(link, segment)| MapsInput::MapHeldBy { link, segment }),
        (from.clone(), one()).prop_map(|(from, segment)| MapsInput::MapAccepted { segment, from }),
        (from, one()).prop_map(|(from, segment)| MapsInput::MapRefused { segment, from }),
    ]
}

proptest! {
    #[test]
    fn keeps_the_contract_of_every_machine(
        trace in prop::collection::vec((0u64..2_000, any::<bool>(), input()), 0..80),
    ) {
        let config = MapsConfig {
            sidecar_after: Some(Duration::from_millis(400)),
            ..MapsConfig::publisher()
        };
        let run = || {
            let mut maps = maps(config.clone(), 2);
            let mut log = vec![];
            let mut latest = at(0);
            for (now, wakes, input) in trace.clone() {
                // Times go back and forth on purpose.
                let now = at(now);
                latest = latest.max(now);
                maps.handle_input(input, now);
                if wakes {
                    maps.handle_timeout(now);
                    log.extend(outputs(&mut maps));
                    maps.handle_timeout(now);
                    assert_eq!(maps.poll_output(), None, "twice is harmless");
                    assert!(maps.poll_timeout().is_none_or(|wake| wake > latest), "no busy loop");
                }
            }
            log.extend(outputs(&mut maps));
            log
        };
        prop_assert_eq!(run(), run());
    }
}
