//! The report for people.

use std::fmt::Write as _;

use p2pcdn::metrics::HttpReason;

use crate::{record::ViewerRecord, report::Report};

/// Lays out the figures of a run: a line per viewer and world, then the totals.
#[must_use]
pub fn table(report: &Report, hybrid: &[ViewerRecord], control: Option<&[ViewerRecord]>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "with peers");
    viewers(&mut text, hybrid);
    if let Some(control) = control {
        let _ = writeln!(text, "\nHTTP alone");
        viewers(&mut text, control);
    }
    text.push('\n');
    totals(&mut text, report);
    text
}

fn viewers(text: &mut String, viewers: &[ViewerRecord]) {
    let used = |reason: &HttpReason| {
        viewers
            .iter()
            .any(|viewer| viewer.delivery.http_bytes.of(*reason) > 0)
    };
    let reasons: Vec<HttpReason> = HttpReason::ALL.into_iter().filter(used).collect();
    let mut heads = vec![
        "viewer",
        "startup ms",
        "stalls",
        "stalled s",
        "latency s",
        "played s",
        "peers MB",
        "HTTP MB",
    ];
    heads.extend(reasons.iter().map(|reason| reason.as_str()));
    let mut rows = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for viewer in viewers {
        let optional = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        let delivery = &viewer.delivery;
        let mut row = vec![
            viewer.name.clone(),
            optional(viewer.startup.map(|time| time.as_secs_f64() * 1e3), 0),
            viewer.stalls.to_string(),
            format!("{:.2}", viewer.stalled.as_secs_f64()),
            optional(viewer.latency.map(|time| time.as_secs_f64()), 2),
            format!("{:.1}", viewer.played.as_secs_f64()),
            megabytes(delivery.peer_bytes),
            megabytes(delivery.http_media_bytes()),
        ];
        row.extend(
            reasons
                .iter()
                .map(|one| megabytes(delivery.http_bytes.of(*one))),
        );
        rows.push(row);
    }
    lay_out(text, &rows);
}

fn totals(text: &mut String, report: &Report) {
    let media = report.http_bytes + report.peer_bytes;
    let of_media = |bytes: u64| match media {
        0 => "-".to_owned(),
        _ => format!("{:.2} %", bytes as f64 * 100.0 / media as f64),
    };
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<28}{value}");
    };
    line(
        "peer efficiency",
        format!(
            "{} (bound {})",
            figure(report.peer_efficiency),
            figure(report.bound)
        ),
    );
    line(
        "peer efficiency, steady",
        format!(
            "{} (bound {})",
            figure(report.peer_efficiency_steady),
            figure(report.bound_steady)
        ),
    );
    line("offload", figure(report.offload));
    let origin = format!("{} MB of media", megabytes(report.http_bytes));
    line(
        "from the origin",
        match &report.control {
            Some(control) => {
                format!(
                    "{origin}, {} MB over HTTP alone",
                    megabytes(control.http_bytes)
                )
            }
            None => origin,
        },
    );
    line(
        "manifests",
        format!("{} MB", megabytes(report.manifest_bytes)),
    );
    line(
        "attester",
        format!("{} MB", megabytes(report.attester_bytes)),
    );
    line("wasted peer bytes", of_media(report.waste_bytes));
    line("control bytes", of_media(report.control_bytes));
    let stalls = |count, seconds| format!("{count} ({seconds:.2} s)");
    let with_peers = stalls(report.stalls, report.stall_seconds);
    line(
        "stalls",
        match &report.control {
            Some(control) => {
                let alone = stalls(control.stalls, control.stall_seconds);
                format!("{with_peers}, {alone} over HTTP alone")
            }
            None => with_peers,
        },
    );
    line("wrong segments played", report.corrupt_segments.to_string());
}

/// Columns as wide as their widest cell; the first to the left, the others to the right.
fn lay_out(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e6)
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_per_viewer_and_columns_for_the_reasons_that_occurred() {
        let mut one = ViewerRecord {
            name: "viewer-0".to_owned(),
            startup: Some(Duration::from_millis(123)),
            played: Duration::from_secs(45),
            ..ViewerRecord::default()
        };
        one.delivery.add_http(HttpReason::Duty, 2_500_000);
        one.delivery.add_peer(7_500_000);
        let viewers = [one];
        let report = Report::new(Duration::from_secs(45), &viewers, 0, Some(&viewers));
        let text = table(&report, &viewers, Some(&viewers));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "viewer    startup ms  stalls  stalled s  latency s  played s  peers MB  HTTP MB  duty"
        );
        assert_eq!(
            lines[2],
            "viewer-0         123       0       0.00          -      45.0      7.50     2.50  2.50"
        );
        assert!(text.contains("peer efficiency             0.750 (bound -)\n"));
        assert!(
            text.contains("from the origin             2.50 MB of media, 2.50 MB over HTTP alone")
        );
    }
}
