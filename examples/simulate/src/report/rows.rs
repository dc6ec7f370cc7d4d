//! The figures in words and units, as the table and the page show them.

use std::time::Duration;

use p2pcdn::metrics::{Delivery, HttpReason};

use super::{Both, Figures, Quantiles, Setting};
use crate::scenario::{ContentKind, Integrity};

/// Rows that belong together.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) rows: Vec<Row>,
}

/// A figure of both worlds, or of the first alone.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) hybrid: String,
    pub(super) twin: String,
    /// What is meant, where the name does not say it; mostly empty.
    pub(super) note: String,
}

/// What was run, in a line.
pub(super) fn headline(setting: &Setting<'_>) -> String {
    let scenario = setting.scenario;
    let behind = match scenario.content.kind {
        ContentKind::Live => format!("{} s behind live", scenario.latency.as_secs_f64()),
        ContentKind::OnDemand(_) => "on demand".to_owned(),
    };
    format!(
        "{}: {} viewers for {} s, {behind}, seed {}",
        scenario.preset,
        grouped(scenario.viewers.into()),
        scenario.duration.as_secs_f64(),
        scenario.seed
    )
}

pub(super) fn sections(setting: &Setting<'_>, figures: &Figures) -> Vec<Section> {
    let section = |name, rows| Section { name, rows };
    vec![
        section("delivery", delivery(setting, figures)),
        section("bytes", bytes_by_source(&figures.delivery)),
        section("playback", playback(setting, figures)),
        section("run", run(setting, figures)),
    ]
}

fn delivery(setting: &Setting<'_>, figures: &Figures) -> Vec<Row> {
    let bound = match setting.scenario.integrity {
        Integrity::Signed => "1 - distinct / delivered, a copy for each group that can connect",
        Integrity::Witnessed => {
            "1 - 2 x distinct / delivered, two witnesses in each group that can connect"
        }
    };
    vec![
        own("peer efficiency", figure(figures.peer_efficiency))
            .note("from peers / (from peers + media over HTTP), from each join on"),
        own("  bound", figure(figures.bound_all_in)).note(bound),
        own(
            "peer efficiency, steady",
            figure(figures.peer_efficiency_steady),
        )
        .note("of what began to play in the measured part, 10 s after a first frame"),
        own("  bound", figure(figures.bound)),
        own("offload", figure(figures.offload))
            .note("as peer efficiency, with manifests and block maps among the HTTP bytes"),
        own(
            "HTTP copies per segment",
            decimal(figures.http_copies_per_segment, 2),
        )
        .note("steady; HTTP bytes / length of the segment"),
        own("waste", percent(figures.waste_ratio)).note("peer bytes of no use / media bytes"),
        own("control", percent(figures.control_ratio)).note("of media bytes, where it arrives"),
    ]
}

fn bytes_by_source(delivery: &Both<Delivery>) -> Vec<Row> {
    let row = |name: &str, of: &dyn Fn(&Delivery) -> u64| {
        let counts = delivery.map(of);
        both(name, counts.map(|count| bytes(*count)))
    };
    let mut rows = vec![
        row("from peers", &|one| one.peer_bytes),
        row("media over HTTP", &Delivery::http_media_bytes),
    ];
    for reason in HttpReason::ALL {
        let of = |one: &Delivery| one.http_bytes.of(reason);
        let is_used = of(&delivery.hybrid) + of(&delivery.twin) > 0;
        if is_used && reason != HttpReason::Manifest {
            rows.push(row(&format!("  {}", reason.as_str()), &of));
        }
    }
    rows.push(row("manifests", &|one| one.http_bytes.manifest));
    rows.push(row("block maps", &|one| one.map_bytes).note("over HTTP"));
    rows
}

fn playback(setting: &Setting<'_>, figures: &Figures) -> Vec<Row> {
    let mut rows = vec![
        both("stalls", figures.stalls.map(|count| grouped(*count))),
        both(
            "stalled",
            figures.stall_seconds.map(|time| format!("{time:.2} s")),
        ),
        both(
            "  share of the time",
            figures.stalled_share.map(|share| percent(*share)),
        ),
        own("added stall, p99", seconds(figures.added_stall_p99))
            .note("beyond the twin's, over viewers"),
    ];
    let startup = |of: fn(&Quantiles) -> Option<f64>| {
        let time = |spread| unit(of(spread), 0, "ms");
        figures.startup_ms.map(time)
    };
    rows.push(both("startup, p50", startup(|one| one.p50)));
    rows.push(both("  p95", startup(|one| one.p95)));
    rows.push(both("  p99", startup(|one| one.p99)));
    if setting.scenario.content.kind == ContentKind::Live {
        let latency = |of: fn(&Quantiles) -> Option<f64>| {
            let time = |spread| unit(of(spread), 2, "s");
            figures.latency_s.map(time)
        };
        let mean = both("latency, mean", latency(|one| one.mean));
        rows.push(mean.note("of each viewer's mean over the time played"));
        rows.push(both("  p50", latency(|one| one.p50)));
        rows.push(both("  p95", latency(|one| one.p95)));
        rows.push(both("  p99", latency(|one| one.p99)));
    }
    let megabits = |rate: &Option<f64>| unit(rate.map(|rate| rate / 1e6), 3, "Mb/s");
    rows.push(both("bitrate", figures.mean_bitrate.map(megabits)));
    let worse = u64::try_from(figures.worse_than_twin.len()).unwrap_or(u64::MAX);
    rows.push(
        own("worse than the twin", grouped(worse))
            .note("viewers; by 50 ms of startup or stalls, 100 ms of latency, 1 % of bitrate"),
    );
    rows.push(own(
        "corrupt bytes played",
        grouped(figures.corrupt_bytes_played),
    ));
    if setting.scenario.integrity == Integrity::Witnessed {
        let probability = figures.corrupt_share.map(|share| format!("{share:.2e}"));
        rows.push(
            own("  share of all", probability.unwrap_or_else(missing))
                .note("measured probability that a byte played is not the publisher's"),
        );
    }
    rows
}

fn run(setting: &Setting<'_>, figures: &Figures) -> Vec<Row> {
    let wall = figures.wall.as_secs_f64();
    let mut rows = vec![
        own("events", grouped(figures.events)).note("of both worlds"),
        own("wall time", format!("{wall:.1} s")),
    ];
    if wall > 0.0 {
        // Far below 2^53.
        let rate = figures.events as f64 / wall;
        rows.push(own("  events per second", grouped(rate as u64)));
    }
    if figures.peak_rss_bytes > 0 {
        let each = figures.peak_rss_bytes / u64::from(setting.scenario.viewers.max(1));
        rows.push(own("peak memory", bytes(figures.peak_rss_bytes)));
        rows.push(own("  per viewer", bytes(each)).note("of both worlds"));
    }
    rows
}

fn own(name: &str, hybrid: String) -> Row {
    Row {
        name: name.to_owned(),
        hybrid,
        twin: String::new(),
        note: String::new(),
    }
}

fn both(name: &str, values: Both<String>) -> Row {
    Row {
        name: name.to_owned(),
        hybrid: values.hybrid,
        twin: values.twin,
        note: String::new(),
    }
}

impl Row {
    fn note(self, note: &str) -> Self {
        Self {
            note: note.to_owned(),
            ..self
        }
    }
}

/// Four digits: at its largest, a swarm is told from the bound by the fourth.
fn figure(value: Option<f64>) -> String {
    decimal(value, 4)
}

fn decimal(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(missing, |value| format!("{value:.digits$}"))
}

fn percent(share: Option<f64>) -> String {
    unit(share.map(|share| share * 100.0), 2, "%")
}

fn unit(value: Option<f64>, digits: usize, unit: &str) -> String {
    value.map_or_else(missing, |value| format!("{value:.digits$} {unit}"))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn missing() -> String {
    "-".to_owned()
}

/// Three to six digits and a decimal unit.
pub(super) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1e3 {
            break;
        }
        value /= 1e3;
        unit = larger;
    }
    match unit {
        "B" => format!("{count} B"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// With a comma each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_readable() {
        let grouped_of = |number, text: &str| assert_eq!(grouped(number), text);
        grouped_of(0, "0");
        grouped_of(999, "999");
        grouped_of(1_000, "1,000");
        grouped_of(440_000, "440,000");
        grouped_of(1_234_567_890, "1,234,567,890");
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        let bytes_of = |count, text: &str| assert_eq!(bytes(count), text);
        bytes_of(0, "0 B");
        bytes_of(999, "999 B");
        bytes_of(1_000, "1.00 kB");
        bytes_of(12_345_678, "12.35 MB");
        bytes_of(8_800_000_000_000, "8.80 TB");
        bytes_of(8_800_000_000_000_000, "8800.00 TB");
    }
}
