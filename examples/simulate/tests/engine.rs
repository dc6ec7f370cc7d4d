//! The engine by toy actors that write down what they are told.

use std::time::Duration;

use p2pcdn::wire::{Instant, mix};
use p2pcdn_example_simulate::{
    actor::{Actor, Outbox},
    engine::{Engine, EngineConfig},
    event::{ActorId, Timer, What},
};

const LOOKAHEAD: Duration = Duration::from_millis(4);

fn at(micros: u64) -> Instant {
    Instant::from_epoch(Duration::from_micros(micros))
}

/// What `ask` gives for each actor, in their order.
fn survey<A: Actor + Sync, T: Send>(engine: &Engine<A>, ask: impl Fn(&A) -> T + Sync) -> Vec<T> {
    let each = engine.gather(|all: &mut Vec<T>, _, actor| all.push(ask(actor)));
    each.into_iter().flatten().collect()
}

fn config(threads: usize, tick: Duration) -> EngineConfig {
    EngineConfig {
        lookahead: LOOKAHEAD,
        tick,
        threads,
        services: 2,
        end: at(10_000_000),
    }
}

/// Passes on what it is told to another or itself, by a hash of all that it was told so far; now
/// and then it sets itself a timer too, of which nothing comes.
struct Gossip {
    own: ActorId,
    count: u32,
    state: u64,
    seen: Vec<(Instant, ActorId, u64)>,
    settled: Vec<Instant>,
}

impl Actor for Gossip {
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        let is_last = matches!(what, What::Timer(Timer::Poll));
        let said = match what {
            What::Acknowledged { request, count } => u64::from(request) << 8 | u64::from(count),
            _ => 0,
        };
        self.seen.push((now, from, said));
        if is_last {
            return;
        }
        self.state = mix(self.state ^ said ^ u64::from(from));
        let word = |label: u64| mix(self.state ^ label);
        let what = |label| What::Acknowledged {
            request: word(label) as u32,
            count: self.seen.len() as u8,
        };
        let to = (word(1) % u64::from(self.count)) as ActorId;
        // Mostly near, now and then seconds away, on a coarse grid so that moments coincide.
        let far = if word(2).is_multiple_of(16) {
            3_000
        } else {
            20
        };
        let delay = LOOKAHEAD + Duration::from_millis(word(3) % far);
        if to != self.own {
            out.send(to, now + delay, what(4));
        } else {
            out.later(to, now + delay, what(4));
        }
        if word(5).is_multiple_of(4) {
            out.later(
                self.own,
                now + Duration::from_micros(word(6) % 3 * 500),
                What::Timer(Timer::Poll),
            );
        }
    }

    fn settle(&mut self, now: Instant, _: &mut Outbox) {
        self.settled.push(now);
    }
}

fn gossip(count: u32, threads: usize, tick: Duration) -> Engine<Gossip> {
    let actors = (0..count).map(|own| Gossip {
        own,
        count,
        state: u64::from(own),
        seen: Vec::new(),
        settled: Vec::new(),
    });
    let mut engine = Engine::new(actors.collect(), config(threads, tick));
    for own in 0..count {
        engine.schedule(
            own,
            at(u64::from(own % 7) * 1_000),
            What::Timer(Timer::Arrive),
        );
    }
    engine
}

#[test]
fn any_number_of_threads_gives_the_same_trace() {
    for tick in [Duration::ZERO, Duration::from_millis(10)] {
        let traces = [1, 2, 3].map(|threads| {
            let mut engine = gossip(300, threads, tick);
            engine.run_until(at(2_000_000));
            let seen = survey(&engine, |actor| (actor.seen.clone(), actor.settled.clone()));
            (seen, engine.digest(), engine.events(), engine.pending())
        });
        assert!(traces[0].2 > 5_000, "{} events", traces[0].2);
        assert_eq!(traces[0], traces[1]);
        assert_eq!(traces[0], traces[2]);
    }
}

#[test]
fn actors_are_asked_in_their_order_and_by_their_number() {
    for threads in [1, 3] {
        let engine = gossip(300, threads, Duration::ZERO);
        let numbers = engine.gather(|all: &mut Vec<_>, number, actor| {
            all.push((number, actor.own));
        });
        let expected: Vec<_> = (0..300).map(|number| (number, number)).collect();
        assert_eq!(numbers.concat(), expected);
        let gone: Vec<_> = engine.dissolve(|actor| actor.own);
        assert_eq!(gone, (0..300).collect::<Vec<_>>());
    }
}

#[test]
fn stopping_on_the_way_changes_nothing() {
    let mut whole = gossip(50, 1, Duration::ZERO);
    whole.run_until(at(5_000_000));
    let mut parts = gossip(50, 1, Duration::ZERO);
    for stop in 1..=50 {
        parts.run_until(at(stop * 100_000));
    }
    let seen = |engine: &Engine<Gossip>| survey(engine, |actor| actor.seen.clone());
    assert_eq!(seen(&whole), seen(&parts));
}

#[test]
fn an_actor_is_told_in_order_of_time_then_sender() {
    let mut engine = gossip(100, 2, Duration::ZERO);
    engine.run_until(at(3_000_000));
    for (own, seen) in (0..).zip(survey(&engine, |actor| actor.seen.clone())) {
        assert!(seen.is_sorted_by_key(|&(now, _, _)| now));
        for pair in seen.windows(2) {
            // An own event for the present moment can only come after what caused it.
            let is_own = pair[1].1 == own;
            assert!(pair[0].0 < pair[1].0 || pair[0].1 <= pair[1].1 || is_own);
        }
    }
}

/// Says to the next one when it was told to, and to itself at once and a little later.
#[derive(Default)]
struct Relay {
    next: Option<(ActorId, Duration)>,
    soon: Vec<Duration>,
    log: Vec<(Instant, &'static str)>,
}

impl Actor for Relay {
    fn handle(&mut self, from: ActorId, what: What, now: Instant, out: &mut Outbox) {
        let word = match what {
            What::Timer(Timer::Arrive) => "arrive",
            What::Timer(_) => "timer",
            _ => "told",
        };
        self.log.push((now, word));
        if let ("arrive", Some((to, delay))) = (word, self.next) {
            let what = What::Cancelled { request: 0 };
            out.send(to, now + delay, what);
        }
        if word == "arrive" {
            for delay in self.soon.drain(..) {
                out.later(from, now + delay, What::Timer(Timer::Poll));
            }
        }
    }

    fn settle(&mut self, now: Instant, _: &mut Outbox) {
        self.log.push((now, "settle"));
    }
}

fn relays(tick: Duration, arrivals: &[u64], delay: Duration) -> Vec<Vec<(Instant, &'static str)>> {
    let first = Relay {
        next: Some((1, delay)),
        soon: vec![Duration::from_millis(1), Duration::ZERO],
        log: Vec::new(),
    };
    let mut engine = Engine::new(vec![first, Relay::default()], config(1, tick));
    for &micros in arrivals {
        engine.schedule(0, at(micros), What::Timer(Timer::Arrive));
    }
    engine.run_until(at(1_000_000));
    survey(&engine, |actor| actor.log.clone())
}

#[test]
fn without_a_tick_each_event_is_settled_at_its_moment() {
    let logs = relays(Duration::ZERO, &[1_000, 1_500], LOOKAHEAD);
    let expected = [
        (1_000, "arrive"),
        (1_000, "timer"),
        (1_500, "arrive"),
        (2_000, "timer"),
    ];
    let expected = expected.map(|(micros, word)| [(at(micros), word), (at(micros), "settle")]);
    assert_eq!(logs[0], expected.concat());
    let told = [5_000, 5_500].map(|micros| [(at(micros), "told"), (at(micros), "settle")]);
    assert_eq!(logs[1], told.concat());
}

#[test]
fn with_a_tick_a_window_is_settled_once_and_the_next_begins_for_others() {
    let logs = relays(Duration::from_millis(10), &[1_000, 1_500], LOOKAHEAD);
    let expected = [
        (1_000, "arrive"),
        (1_000, "timer"),
        (1_500, "arrive"),
        (2_000, "timer"),
        (2_000, "settle"),
    ];
    assert_eq!(logs[0], expected.map(|(micros, word)| (at(micros), word)));
    // At 5 ms and 5.5 ms it would have been the same window.
    let expected = ["told", "told", "settle"].map(|word| (at(10_000), word));
    assert_eq!(logs[1], expected);
}

#[test]
#[should_panic(expected = "reaches 1 within the window")]
#[cfg(debug_assertions)]
fn without_a_tick_nobody_reaches_another_within_the_lookahead() {
    relays(Duration::ZERO, &[1_000], Duration::from_millis(2));
}

#[test]
fn nothing_happens_from_the_end_on() {
    let logs = relays(Duration::ZERO, &[999], LOOKAHEAD);
    assert_eq!(logs[1].len(), 2);
    let mut engine = Engine::new(vec![Relay::default()], config(1, Duration::ZERO));
    engine.schedule(0, at(9_999_999), What::Timer(Timer::Poll));
    engine.schedule(0, at(10_000_000), What::Timer(Timer::Poll));
    assert_eq!(engine.pending(), 1);
    assert_eq!(engine.run_until(at(20_000_000)), at(20_000_000));
    assert_eq!(engine.events(), 1);
}

/// What an event costs with actors that do next to nothing:
/// `cargo test --release -p p2pcdn-example-simulate --test engine -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn events_per_second() {
    struct Ball(u32, u64);
    impl Actor for Ball {
        fn handle(&mut self, _: ActorId, what: What, now: Instant, out: &mut Outbox) {
            self.1 = mix(self.1);
            let to = (self.1 % u64::from(self.0)) as ActorId;
            let delay = LOOKAHEAD + Duration::from_nanos((self.1 >> 32) % 50_000_000);
            out.send(to, now + delay, what);
        }
        fn settle(&mut self, _: Instant, _: &mut Outbox) {}
    }
    for (count, balls) in [
        (10, 20),
        (1_000, 10_000),
        (100_000, 500_000),
        (440_000, 2_000_000),
    ] {
        for threads in [1, 2] {
            let actors = (0..count).map(|own| Ball(count, u64::from(own)));
            let mut engine = Engine::new(actors.collect(), config(threads, Duration::ZERO));
            for ball in 0..balls {
                let what = What::Cancelled { request: 0 };
                engine.schedule(ball % count, at(u64::from(ball % 50_000)), what);
            }
            let begun = std::time::Instant::now();
            // A hop takes 29 ms in the mean: 5 million events.
            let stop = (5_000_000 * 29_000 / u64::from(balls)).min(9_000_000);
            engine.run_until(at(stop));
            let rate = engine.events() as f64 / begun.elapsed().as_secs_f64() / 1e6;
            let each = engine.queue_len() / engine.pending();
            println!(
                "{count} actors, {threads} threads: {rate:.1} M events/s, {} pending of {each} B",
                engine.pending()
            );
        }
    }
}
