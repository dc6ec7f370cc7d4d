//! Which neighbours are let go of.

mod support;

use std::time::Duration;

use p2pcdn_scheduler::{Input, PlaybackState};
use p2pcdn_wire::{Role, Said};
use support::{
    TRACK, at, peer,
    rig::{Rig, Setup, has, joins, lost, swarm, wants, window},
};

/// A viewer of a live stream that holds segment 0 and has room for `target` neighbours.
fn setup(neighbours: &str, target: usize) -> Setup {
    let mut setup = Setup::new(window("#"), swarm(neighbours));
    setup.config.neighbours = target;
    setup.config.keep_behind = Duration::from_secs(3_600);
    setup
}

/// Who is let go of within `secs`, and after how many seconds, while the neighbours named each take
/// a block every so many seconds.
fn lets_go(rig: &mut Rig, takers: &[(char, u64)], secs: u64) -> Vec<(char, u64)> {
    let mut gone = Vec::new();
    let mut request = 0;
    for second in 0..secs {
        for (name, every) in takers {
            if second.is_multiple_of(*every) {
                request += 1;
                rig.hears(*name, wants(request, 0, 0..1, 900));
            }
        }
        for line in rig.says_within(1_000) {
            if let Some(name) = line.strip_prefix("bye ") {
                gone.push((name.chars().next().expect("a letter"), second));
            }
        }
    }
    gone
}

/// A neighbour answers pings after so long, often enough to be believed: one answer counts an
/// eighth, so after 50 less than 1 % of what was believed before is left.
fn is_far(rig: &mut Rig, name: char, millis: u64) {
    for _ in 0..50 {
        let took = Duration::from_millis(millis);
        rig.hears(name, Said::RoundTrip { took, outward: 0 });
    }
}

fn check_first(gone: &[(char, u64)], name: char) {
    let Some((first, after)) = gone.first() else {
        panic!("nobody was let go of");
    };
    assert_eq!(*first, name);
    // A minute, and the time to the next look.
    assert!((60..=76).contains(after), "{after} s");
}

#[test]
fn who_exchanges_nothing_for_a_minute_is_let_go_of_by_everybody() {
    let takers = [('a', 4), ('b', 4), ('c', 4)];
    assert_eq!(of_forty(|_| {}, &takers), 40);
}

#[test]
fn who_delivers_is_kept() {
    let mut setup = Setup::new(window("........"), swarm("a:11111111 b:0"));
    setup.config.neighbours = 2;
    let mut rig = setup.build();
    let mut gone = Vec::new();
    for second in 0..90 {
        let lines = rig.says_within(1_000);
        gone.extend(lines.iter().filter(|line| line.starts_with("bye")).cloned());
        let asked = lines.iter().find_map(|line| line.strip_prefix("ask a "));
        if let Some((ordinal, blocks)) = asked.and_then(|place| place.split_once('['))
            && second % 2 == 0
        {
            let block = blocks.split("..").next().and_then(|it| it.parse().ok());
            let (ordinal, block) = (ordinal.parse().expect("a number"), block.expect("a number"));
            rig.delivers('a', ordinal, block..block + 1);
        }
        rig.plays(PlaybackState::Playing, 0.0, Duration::from_secs(60));
    }
    assert_eq!(gone, ["bye b"]);
}

#[test]
fn with_room_for_more_nobody_is_let_go_of_while_anybody_is_of_use() {
    let mut rig = setup("a:0 b:0 c:0", 4).build();
    rig.tell(Input::SwarmCounted { viewers: 100 });
    assert_eq!(lets_go(&mut rig, &[('a', 5)], 300), []);
}

#[test]
fn when_nobody_is_of_use_others_are_looked_for() {
    let mut rig = setup("a:0 b:0 c:0", 16).build();
    rig.tell(Input::SwarmCounted { viewers: 5 });
    let gone = lets_go(&mut rig, &[], 120);
    check_first(&gone, 'a');
    assert_eq!(gone.len(), 3, "{gone:?}");
    let apart = gone.windows(2).map(|two| two[1].1 - two[0].1);
    assert!(
        apart.into_iter().all(|secs| (14..=16).contains(&secs)),
        "{gone:?}"
    );

    // Newcomers are not waited for.
    let mut rig = setup("a:0", 16).build();
    rig.tell(Input::SwarmCounted { viewers: 9 });
    let mut gone = Vec::new();
    for name in ['b', 'c', 'd', 'e'] {
        gone.extend(lets_go(&mut rig, &[], 20));
        rig.meet(name);
    }
    assert!(matches!(gone[..], [('a', _)]), "{gone:?}");

    // There are no others.
    let mut rig = setup("a:0 b:0 c:0", 16).build();
    rig.tell(Input::SwarmCounted { viewers: 4 });
    assert_eq!(lets_go(&mut rig, &[], 300), []);
}

#[test]
fn on_demand_who_claims_to_hold_what_is_lacked_and_brings_nothing_is_of_no_use() {
    let watch = |claims: bool| {
        let mut setup = setup("a:0", 16);
        setup.window = window("#...");
        setup.growth = p2pcdn_scheduler::Growth::Ended;
        let mut rig = setup.build();
        rig.tell(Input::SwarmCounted { viewers: 5 });
        for second in 0..100 {
            if claims {
                rig.hears('a', has(1 + second % 3));
            }
            let gone = lets_go(&mut rig, &[], 1);
            if !gone.is_empty() {
                return Some(second);
            }
            rig.hears('a', lost(1 + second % 3));
            rig.plays(PlaybackState::Playing, 0.0, Duration::from_secs(60));
        }
        None
    };
    assert!(matches!(watch(true), Some(60..=76)));
    // Who plays another part of the film may be of use later.
    assert_eq!(watch(false), None);
}

#[test]
fn nothing_is_held_against_anybody_while_the_player_rests() {
    let mut rig = setup("a:0 b:0", 2).build();
    rig.plays(PlaybackState::Paused, 0.0, Duration::from_secs(60));
    assert_eq!(lets_go(&mut rig, &[], 300), []);
    rig.plays(PlaybackState::Playing, 0.0, Duration::from_secs(60));
    // It was last looked at up to 15 s ago.
    assert_eq!(lets_go(&mut rig, &[], 44), []);
}

#[test]
fn nothing_is_held_against_anybody_after_a_sleep() {
    let mut rig = setup("a:0 b:0", 2).build();
    rig.says();
    rig.now += Duration::from_secs(7_200);
    rig.scheduler.handle_timeout(rig.now);
    assert_eq!(lets_go(&mut rig, &[], 55), []);
}

/// How many of forty viewers let go of `d`, when each of them has the same neighbours.
fn of_forty(change: impl Fn(&mut Rig), takers: &[(char, u64)]) -> usize {
    let lets_go_of_it = |me: &usize| {
        let mut setup = setup("a:0 b:0 c:0 d:0", 4);
        setup.config.peer = peer(*me);
        let mut rig = setup.build();
        change(&mut rig);
        let gone = lets_go(&mut rig, takers, 150);
        assert!(gone.iter().all(|(name, _)| *name == 'd'), "{gone:?}");
        !gone.is_empty()
    };
    (100..140).filter(lets_go_of_it).count()
}

#[test]
fn who_exchanges_far_less_than_others_is_let_go_of_by_three_viewers_of_four() {
    let takers = [('a', 4), ('b', 4), ('c', 4), ('d', 40)];
    let count = of_forty(|_| {}, &takers);
    // The random share keeps a quarter of all pairs.
    assert!((22..=38).contains(&count), "{count}");
}

#[test]
fn of_neighbours_that_exchange_as_much_the_far_one_is_let_go_of() {
    let takers = [('a', 4), ('b', 4), ('c', 4), ('d', 4)];
    let far = |rig: &mut Rig| is_far(rig, 'd', 250);
    let count = of_forty(far, &takers);
    assert!((22..=38).contains(&count), "{count}");
    let not_so_far = |rig: &mut Rig| is_far(rig, 'd', 50);
    assert_eq!(of_forty(not_so_far, &takers), 0);
}

#[test]
fn half_of_the_neighbours_may_watch_something_else() {
    let mut rig = setup("a:0 b:0 c:0 d:0", 4).build();
    for name in ['b', 'c'] {
        rig.hears(name, Said::Left { track: TRACK });
    }
    let takers = [('a', 5)];
    rig.hears('d', joins(Role::Holding));
    let gone = lets_go(&mut rig, &takers, 150);
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].0, 'd', "the last of three");
}

#[test]
fn each_viewer_looks_at_a_time_of_its_own() {
    let looks: std::collections::BTreeSet<_> = (100..140)
        .map(|me| {
            let mut setup = setup("a:0", 16);
            setup.config.peer = peer(me);
            let mut rig = setup.build();
            rig.says();
            let wakes_at = rig.scheduler.poll_timeout().expect("the next look");
            assert!(wakes_at <= at(115.0), "{wakes_at}");
            wakes_at
        })
        .collect();
    assert!(looks.len() > 30);
}
