//! What a message costs in a session amid 16 and 30 neighbours.
//!
//! `cargo bench -p p2pcdn --bench session`. A live stream of 2 s segments of 46 blocks, 30 of them
//! listed: each comes from the neighbours, block by block, and is asked for by them as often as a
//! fair share is. The store keeps no bytes. Hashing is not measured; the scheduler is.

mod support;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use p2pcdn::SessionInput;
use support::{Life, Step, live};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("messages through a session");
    group.sample_size(20);
    for neighbours in [16, 30] {
        let life = Life::amid(neighbours);
        group.throughput(Throughput::Elements(message_count(&life)));
        group.bench_function(BenchmarkId::from_parameter(neighbours), |bencher| {
            bencher.iter_batched(
                || (life.begun(), life.steady.clone()),
                |(mut session, steps)| {
                    let outputs = live(&mut session, steps);
                    (session, outputs)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}

/// Messages of the steady part.
fn message_count(life: &Life) -> u64 {
    let is_message = |step: &Step| match step {
        Step::Input(input) => matches!(**input, SessionInput::LinkReceived { .. }),
        Step::Timeout => false,
    };
    let messages = life.steady.iter().filter(|(_, step)| is_message(step));
    messages.count() as u64
}
