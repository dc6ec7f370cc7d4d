//! How many inputs a second one core takes, a drain after each: a viewer in steady state among 30
//! neighbours, in a live window of 30 segments and in a film of 10,800.
//!
//! ```text
//! cargo bench -p p2pcdn-scheduler --bench inputs
//! ```

mod steady;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use steady::{Window, at, record, replay, scheduler};

const NEIGHBOURS: u64 = 30;

/// What comes before is the start; a live viewer has filled the 60 s that it keeps by then.
const WARM: f64 = 90.0;
const MEASURED: f64 = 20.0;

fn inputs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inputs");
    for (label, window) in [
        ("live window of 30", Window::Live(30)),
        ("film of 10,800", Window::Film(10_800)),
    ] {
        let recording = record(window, NEIGHBOURS, WARM + MEASURED);
        let split = recording.partition_point(|(now, _)| *now < at(WARM));
        let (before, during) = recording.split_at(split);
        group.throughput(Throughput::Elements(during.len() as u64));
        group.bench_function(label, |bencher| {
            bencher.iter_batched_ref(
                || {
                    let mut scheduler = scheduler();
                    replay(&mut scheduler, before);
                    scheduler
                },
                |scheduler| replay(scheduler, during),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = inputs
}
criterion_main!(benches);
