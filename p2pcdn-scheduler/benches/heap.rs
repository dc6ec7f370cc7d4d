//! Heap bytes of one scheduler, counted by the allocator: idle, and among 16 and 30 neighbours in
//! one live track with a window of 30 segments.
//!
//! ```text
//! cargo bench -p p2pcdn-scheduler --bench heap
//! ```

mod steady;

use std::alloc::System;

use p2pcdn_scheduler::Scheduler;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use steady::{Recording, Window, record, replay, scheduler};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    println!("{} bytes in place", size_of::<Scheduler>());
    show("idle", &Vec::new());
    for (label, window, neighbours) in [
        ("live, alone", Window::Live(30), 0),
        ("live, 16 neighbours", Window::Live(30), 16),
        ("live, 30 neighbours", Window::Live(30), 30),
        ("film of 10,800, 16 neighbours", Window::Film(10_800), 16),
    ] {
        show(label, &record(window, neighbours, 90.7));
    }
}

/// What the scheduler holds after a recording; the most that it held in the last 4 s of it, two
/// segments long, which is what a simulation of many has to have room for.
fn show(label: &str, recording: &Recording) {
    let region = Region::new(ALLOCATOR);
    let mut scheduler = scheduler();
    let warm = recording.len() * 95 / 100;
    replay(&mut scheduler, &recording[..warm]);
    let mut most = held(&region);
    let mut total = 0;
    for input in recording[warm..].chunks(1) {
        replay(&mut scheduler, input);
        most = most.max(held(&region));
        total += held(&region);
    }
    let before = region.change();
    let mean = total / recording[warm..].len().max(1);
    println!(
        "{label}: {mean} bytes on the heap, at most {most}, {} allocations in all, {} inputs",
        before.allocations,
        recording.len()
    );
    drop(scheduler);
    let left = held(&region);
    assert_eq!(left, 0, "nothing is left when it is gone");
}

fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}
