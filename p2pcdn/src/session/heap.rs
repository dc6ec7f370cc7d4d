//! What a session keeps in memory, part by part, against its budget.
//!
//! `cargo test -p p2pcdn --lib session::heap -- --nocapture` prints it.

use std::{mem::take, time::Duration};

use allocation_counter::measure;
use p2pcdn_metrics::{Delivery, Playback, Quantiles, Throughput};
use p2pcdn_scheduler::Scheduler;
use p2pcdn_wire::Seed;

#[path = "../../benches/support/mod.rs"]
mod support;

use self::support::{LengthStore, Life, live, new_session};
use super::Session;
use crate::maps::Maps;

/// Bytes, those in the session itself included, and how many allocations hold the others.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    len: i64,
    count: i64,
}

/// What a session of a life is made of, at one moment.
#[derive(Clone, Debug)]
struct Parts {
    links: Size,
    scheduler: Size,
    metrics: Size,
    queues: Size,
    maps: Size,
    rest: Size,
}

impl Size {
    /// What `drop` frees, and `inline` bytes beside it.
    fn of(inline: usize, drop: impl FnOnce()) -> Self {
        let info = measure(drop);
        Self {
            len: i64::try_from(inline).expect("a small part") - info.bytes_current,
            count: -info.count_current,
        }
    }
}

impl Parts {
    /// Of a session that has come so far into the steady part of its life.
    fn of(life: &Life, into: Duration) -> Self {
        let mut session = Box::new(life.begun());
        let until = session.now + into;
        let due = life.steady.iter().take_while(|(at, _)| *at < until);
        live(&mut session, due.cloned().collect());
        take_apart(session)
    }

    fn all(&self) -> [(&'static str, Size, Option<i64>); 6] {
        [
            ("links", self.links, Some(8_192)),
            ("scheduler", self.scheduler, Some(6_144)),
            ("metrics", self.metrics, Some(2_048)),
            ("queues", self.queues, Some(2_048)),
            ("maps", self.maps, None),
            ("rest", self.rest, None),
        ]
    }

    fn len(&self) -> i64 {
        self.all().iter().map(|(_, size, _)| size.len).sum()
    }
}

fn take_apart(mut session: Box<Session<LengthStore>>) -> Parts {
    let (config, now) = (session.config.clone(), session.now);
    let links = Size::of(0, || drop(take(&mut session.links)));
    // The estimators are in the scheduler.
    let estimators = size_of::<Throughput>() + size_of::<Quantiles>();
    let other = Scheduler::new(config.scheduler.clone(), 0, now);
    let old = std::mem::replace(&mut session.scheduler, other);
    let scheduler = Size::of(size_of::<Scheduler>() - estimators, || drop(old));
    let counters = size_of::<Delivery>() + size_of::<Playback>();
    let metrics = Size::of(estimators + counters, || drop(take(&mut session.sources)));
    let queues = Size::of(0, || drop(take(&mut session.outputs)));
    let other = Maps::new(config.maps, Seed([0; 32]).derive("maps"), now);
    let old = std::mem::replace(&mut session.maps, other);
    let inline = size_of::<Maps>() + size_of_val(&session.early_maps);
    let maps = Size::of(inline, || {
        drop(old);
        take(&mut session.early_maps);
        take(&mut session.wanted_maps);
    });
    drop(take(&mut session.store));
    let inline = counters + size_of::<Scheduler>() + inline + size_of::<LengthStore>();
    let rest = Size::of(0, || drop(session));
    Parts {
        links,
        scheduler,
        metrics,
        queues,
        maps,
        rest: Size {
            len: rest.len - i64::try_from(inline).expect("a small part"),
            ..rest
        },
    }
}

/// At rest between two segments or amid one, whichever takes more.
fn largest(neighbours: usize) -> Parts {
    let life = Life::amid(neighbours);
    let moments = [0, 700].map(|millis| Parts::of(&life, Duration::from_millis(millis)));
    let largest = moments
        .into_iter()
        .max_by_key(Parts::len)
        .expect("there are two");
    println!("\n{neighbours} neighbours | bytes | allocations | budget of 16");
    for (name, size, budget) in largest.all() {
        let budget = budget.map_or_else(String::new, |budget| budget.to_string());
        println!("{name:13} | {:5} | {:11} | {budget}", size.len, size.count);
    }
    println!("in all        | {:5}", largest.len());
    println!("alone         | {:5}", alone());
    largest
}

/// A session before its first input.
fn alone() -> i64 {
    let session = Box::new(new_session());
    Size::of(0, || drop(session)).len
}

#[test]
fn all_but_the_scheduler_of_sixteen_neighbours_fits_the_budget() {
    let parts = largest(16);
    for (name, size, budget) in parts.all() {
        let budget = budget.filter(|_| name != "scheduler");
        assert!(
            budget.is_none_or(|budget| size.len <= budget),
            "{name}: {size:?}"
        );
    }
    let len = parts.len() - parts.scheduler.len;
    assert!(len <= (20 - 6) << 10, "{len} bytes");
    largest(30);
}
