//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::{origin::Shape, player::Choice};

/// Plays one HLS or DASH stream with many viewers that share it over WebRTC, and once more over HTTP
/// alone, and says what the origin was spared.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Viewers, who join one second apart.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub viewers: u16,
    /// Seconds to watch, counted from the moment when the last viewer has joined.
    #[arg(long, default_value_t = 45, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub duration: u32,
    /// Play on demand, with a buffer of 20 s, instead of live.
    #[arg(long)]
    pub vod: bool,
    /// Which rendition viewers play.
    #[arg(long, value_enum, default_value_t = RenditionChoice::Top)]
    pub rendition: RenditionChoice,
    /// Play somebody else's stream instead of the shipped one.
    #[arg(long, value_name = "URL", conflicts_with_all = ["vod", "bandwidth", "origin_latency"])]
    pub manifest: Option<String>,
    /// Leave out the viewers over HTTP alone.
    #[arg(long)]
    pub no_control: bool,
    /// Print one JSON object on standard output and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Each viewer's line to the origin, in Mb/s; 0 is unlimited.
    #[arg(long, default_value_t = 20.0, value_name = "MBPS", value_parser = not_negative)]
    pub bandwidth: f64,
    /// Milliseconds before the origin's first byte.
    #[arg(long, default_value_t = 20, value_name = "MS",
          value_parser = clap::value_parser!(u32).range(..=60_000))]
    pub origin_latency: u32,
}

/// Which rendition viewers play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RenditionChoice {
    /// The highest.
    Top,
    /// By throughput.
    Abr,
}

impl Options {
    /// The line between the origin and each viewer.
    #[must_use]
    pub fn shape(&self) -> Shape {
        // Not negative, see `not_negative`; a rate beyond 2^64 bit/s saturates, as good as any.
        let bits = (self.bandwidth * 1e6) as u64;
        Shape {
            bandwidth: (bits > 0).then_some(bits),
            latency: Duration::from_millis(self.origin_latency.into()),
        }
    }

    /// How players choose.
    #[must_use]
    pub fn choice(&self) -> Choice {
        match self.rendition {
            RenditionChoice::Top => Choice::Top,
            RenditionChoice::Abr => Choice::Adaptive,
        }
    }

    /// See [`duration`](Self::duration).
    #[must_use]
    pub fn watched(&self) -> Duration {
        Duration::from_secs(self.duration.into())
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("must be a number that is not negative".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("swarm").chain(line.split_whitespace()))
    }

    #[test]
    fn without_options_six_viewers_watch_live_for_45_seconds() {
        let options = parse("").unwrap();
        assert_eq!((options.viewers, options.duration), (6, 45));
        assert!(!options.vod && !options.no_control && !options.json);
        assert_eq!(options.choice(), Choice::Top);
        assert_eq!(options.shape().bandwidth, Some(20_000_000));
        assert_eq!(options.shape().latency, Duration::from_millis(20));
    }

    #[test]
    fn a_line_can_be_narrow_or_unlimited() {
        let bandwidth = |line| parse(line).unwrap().shape().bandwidth;
        assert_eq!(bandwidth("--bandwidth 2.5"), Some(2_500_000));
        assert_eq!(bandwidth("--bandwidth 0"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--viewers 0",
            "--viewers 201",
            "--duration 0",
            "--bandwidth -1",
            "--bandwidth nan",
            "--rendition best",
            "--manifest http://x/ --vod",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
