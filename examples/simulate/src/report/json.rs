//! The object for programs. Its keys are fixed: scripts and releases are compared by them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Both, Figures, Quantiles, Setting};

/// One JSON object with the figures of a run. What there is no figure of is null.
#[must_use]
pub fn json(setting: &Setting<'_>, figures: &Figures) -> String {
    let object = Object::new(setting, figures);
    serde_json::to_string_pretty(&object).expect("plain numbers and strings with string keys")
}

#[derive(Serialize)]
struct Object<'a> {
    viewers: u32,
    preset: &'a str,
    seed: u64,
    peer_efficiency: Option<f64>,
    peer_efficiency_steady: Option<f64>,
    offload: Option<f64>,
    bound: Option<f64>,
    http_copies_per_segment: Option<f64>,
    waste_ratio: Option<f64>,
    control_ratio: Option<f64>,
    http_bytes_by_reason: BTreeMap<&'static str, u64>,
    stalls: Both<u64>,
    stall_seconds: Both<f64>,
    startup_ms: Both<Startup>,
    latency_s: Both<Quantiles>,
    mean_bitrate: Both<Option<f64>>,
    worse_than_twin: usize,
    corrupt_bytes_played: u64,
    events: u64,
    wall_s: f64,
    peak_rss_bytes: u64,
}

#[derive(Serialize)]
struct Startup {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

impl<'a> Object<'a> {
    fn new(setting: &Setting<'a>, figures: &Figures) -> Self {
        let reasons = figures.delivery.hybrid.http_bytes;
        Self {
            viewers: setting.scenario.viewers,
            preset: &setting.scenario.preset,
            seed: setting.scenario.seed,
            peer_efficiency: figures.peer_efficiency,
            peer_efficiency_steady: figures.peer_efficiency_steady,
            offload: figures.offload,
            bound: figures.bound,
            http_copies_per_segment: figures.http_copies_per_segment,
            waste_ratio: figures.waste_ratio,
            control_ratio: figures.control_ratio,
            http_bytes_by_reason: reasons
                .iter()
                .map(|(reason, bytes)| (reason.as_str(), bytes))
                .collect(),
            stalls: figures.stalls,
            stall_seconds: figures.stall_seconds,
            startup_ms: figures.startup_ms.map(|spread| Startup {
                p50: spread.p50,
                p95: spread.p95,
                p99: spread.p99,
            }),
            latency_s: figures.latency_s,
            mean_bitrate: figures.mean_bitrate,
            worse_than_twin: figures.worse_than_twin.len(),
            corrupt_bytes_played: figures.corrupt_bytes_played,
            events: figures.events,
            wall_s: figures.wall.as_secs_f64(),
            peak_rss_bytes: figures.peak_rss_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing;

    fn keys(value: &Value) -> Vec<&str> {
        value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    fn sorted(text: &str) -> Vec<&str> {
        let mut all: Vec<&str> = text.split_whitespace().collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_object_has_the_agreed_keys() {
        let object = testing::json(&testing::outcome());
        assert_eq!(
            keys(&object),
            sorted(
                "viewers preset seed peer_efficiency peer_efficiency_steady offload bound \
                 http_copies_per_segment waste_ratio control_ratio http_bytes_by_reason stalls \
                 stall_seconds startup_ms latency_s mean_bitrate worse_than_twin \
                 corrupt_bytes_played events wall_s peak_rss_bytes"
            )
        );
        for both in [
            "stalls",
            "stall_seconds",
            "startup_ms",
            "latency_s",
            "mean_bitrate",
        ] {
            assert_eq!(keys(&object[both]), ["hybrid", "twin"], "{both}");
        }
        for world in ["hybrid", "twin"] {
            assert_eq!(keys(&object["startup_ms"][world]), ["p50", "p95", "p99"]);
            assert_eq!(
                keys(&object["latency_s"][world]),
                ["mean", "p50", "p95", "p99"]
            );
        }
        assert_eq!(
            keys(&object["http_bytes_by_reason"]),
            sorted(
                "startup duty deadline no_holder no_peer policy integrity manifest not_shareable"
            )
        );
    }

    #[test]
    fn the_object_holds_the_figures() {
        let object = testing::json(&testing::outcome());
        assert_eq!(object["viewers"], json!(3));
        assert_eq!(object["preset"], json!("small"));
        assert_eq!(object["seed"], json!(7));
        assert_eq!(object["peer_efficiency"], json!(0.75));
        assert_eq!(object["http_bytes_by_reason"]["duty"], json!(150));
        assert_eq!(object["stalls"], json!({"hybrid": 1, "twin": 3}));
        assert_eq!(object["stall_seconds"], json!({"hybrid": 0.5, "twin": 4.0}));
        assert_eq!(object["worse_than_twin"], json!(1));
        assert_eq!(object["wall_s"], json!(2.5));
    }

    #[test]
    fn what_there_is_no_figure_of_is_null() {
        let object = testing::json(&crate::world::Outcome::default());
        assert_eq!(object["peer_efficiency"], Value::Null);
        assert_eq!(object["startup_ms"]["hybrid"]["p50"], Value::Null);
        assert_eq!(object["mean_bitrate"]["twin"], Value::Null);
        assert_eq!(object["worse_than_twin"], json!(0));
    }
}
