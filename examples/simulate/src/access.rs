//! Access lines: the technologies, their rates and their delay.

use std::time::Duration;

use p2pcdn::wire::{BitRate, UploadClass};

use crate::draw::Draws;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessClass {
    Fibre,
    Cable,
    Dsl,
    Lte,
    FiveG,
}

impl AccessClass {
    #[must_use]
    pub fn is_mobile(self) -> bool {
        matches!(self, Self::Lte | Self::FiveG)
    }
}

/// The technology of somebody at home: 45 % fibre, 33 % cable, 22 % DSL (OECD broadband statistics,
/// end of 2023: fibre 42 %, DSL 20 %; fixed wireless shared out, the rest taken for cable).
#[must_use]
pub fn fixed_class(draws: Draws) -> AccessClass {
    match draws.below(100) {
        0..45 => AccessClass::Fibre,
        45..78 => AccessClass::Cable,
        _ => AccessClass::Dsl,
    }
}

/// The technology of somebody on the way: 28 % 5G (OECD, end of 2023), the others 4G.
#[must_use]
pub fn mobile_class(draws: Draws) -> AccessClass {
    match draws.below(100) {
        0..28 => AccessClass::FiveG,
        _ => AccessClass::Lte,
    }
}

/// A downlink of this technology.
#[must_use]
pub fn downlink(class: AccessClass, draws: Draws) -> BitRate {
    let profile = profile(class);
    spread(profile.down, profile.sigma, draws)
}

/// An uplink of this technology.
#[must_use]
pub fn uplink(class: AccessClass, draws: Draws) -> BitRate {
    let profile = profile(class);
    spread(profile.up, profile.sigma, draws)
}

/// One way over the last mile.
#[must_use]
pub fn last_mile(class: AccessClass, draws: Draws) -> Duration {
    let median = Duration::from_millis(profile(class).delay_ms);
    let drawn = draws.log_normal(median, DELAY_SIGMA);
    drawn.clamp(median / 3, median * 3)
}

/// What a viewer with this uplink declares when it watches a stream of `bitrate`. Below 0.3 times
/// that it takes no turns at fetching for others: passing on one copy would take longer
/// than the segment plays.
#[must_use]
pub fn upload_class(up: BitRate, bitrate: BitRate) -> UploadClass {
    let ratio = up.as_bps() as f64 / bitrate.as_bps().max(1) as f64;
    if ratio < LEAST_SEEDER {
        UploadClass::None
    } else if ratio < 1.0 {
        UploadClass::Low
    } else if ratio <= 3.0 {
        UploadClass::Normal
    } else {
        UploadClass::High
    }
}

/// Uplink over bitrate; an assumption.
const LEAST_SEEDER: f64 = 0.3;

/// Of the logarithm of the last mile's delay; an assumption.
const DELAY_SIGMA: f64 = 0.35;

struct Profile {
    /// Median rates in kb/s.
    down: u64,
    up: u64,
    /// Of the logarithm of both rates; an assumption: the reports print no spread by technology,
    /// but products of one technology differ by four to ten.
    sigma: f64,
    /// Median one way.
    delay_ms: u64,
}

/// Downlinks: fibre 149.2 and cable 270.6 Mb/s (Ofcom, UK Home Broadband Performance, March 2023),
/// DSL near the usual rate of a UK line to the cabinet, 4G 21.3 Mb/s (Opensignal, USA, first
/// quarter of 2019), 5G 166.13 Mb/s (Ookla, world, third quarter of 2021).
///
/// Uplinks: 4G 6.3 and 5G 21.08 Mb/s from the same; fibre, cable and DSL are assumptions that agree
/// with Ofcom's median of 18.4 Mb/s over all. Uplinks are rescaled to the mean that a scenario
/// asks for, so only their proportions count.
///
/// Delays: half of the round trip to a near server, less 1 ms of backbone. Opensignal, as above,
/// measured 44 to 66 ms for 4G; the others are assumptions in the usual order of the FCC's reports
/// Measuring Broadband America: fibre below cable below DSL.
fn profile(class: AccessClass) -> Profile {
    let (down, up, sigma, delay_ms) = match class {
        AccessClass::Fibre => (149_200, 50_000, 0.6, 4),
        AccessClass::Cable => (270_600, 20_000, 0.5, 8),
        AccessClass::Dsl => (40_000, 8_000, 0.6, 14),
        AccessClass::Lte => (21_300, 6_300, 0.6, 26),
        AccessClass::FiveG => (166_130, 21_080, 0.6, 14),
    };
    Profile {
        down,
        up,
        sigma,
        delay_ms,
    }
}

/// Log-normal, cut at three standard deviations so that no single line carries a swarm.
fn spread(median_kbps: u64, sigma: f64, draws: Draws) -> BitRate {
    let factor = (sigma * draws.normal().clamp(-3.0, 3.0)).exp();
    BitRate::from_bps((median_kbps as f64 * 1e3 * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median_mbps(rate: impl Fn(AccessClass, Draws) -> BitRate, class: AccessClass) -> f64 {
        let mut all: Vec<u64> = (0..9_999)
            .map(|line| rate(class, Draws::new(2).nth(line)).as_bps())
            .collect();
        all.sort_unstable();
        all[all.len() / 2] as f64 / 1e6
    }

    #[test]
    fn medians_are_the_published_ones() {
        for (class, down) in [
            (AccessClass::Fibre, 149.2),
            (AccessClass::Cable, 270.6),
            (AccessClass::Lte, 21.3),
            (AccessClass::FiveG, 166.13),
        ] {
            let median = median_mbps(downlink, class);
            assert!((median / down - 1.0).abs() < 0.03, "{class:?} {median}");
        }
        let up = median_mbps(uplink, AccessClass::FiveG);
        assert!((up / 21.08 - 1.0).abs() < 0.03, "{up}");
    }

    #[test]
    fn the_median_home_uplink_is_near_the_published_one() {
        let mut all: Vec<u64> = (0..9_999)
            .map(|line| Draws::new(4).nth(line))
            .map(|line| uplink(fixed_class(line.of("class")), line.of("up")).as_bps())
            .collect();
        all.sort_unstable();
        let median = all[all.len() / 2] as f64 / 1e6;
        assert!((18.4 / 1.6..18.4 * 1.6).contains(&median), "{median}");
    }

    #[test]
    fn technologies_come_in_their_shares() {
        let count = |class| {
            (0..10_000)
                .map(|person| Draws::new(9).nth(person))
                .filter(|draws| fixed_class(*draws) == class || mobile_class(*draws) == class)
                .count()
        };
        assert!(count(AccessClass::Fibre).abs_diff(4_500) < 200);
        assert!(count(AccessClass::Dsl).abs_diff(2_200) < 200);
        assert!(count(AccessClass::FiveG).abs_diff(2_800) < 200);
    }

    #[test]
    fn last_miles_keep_within_a_factor_of_three() {
        for viewer in 0..10_000 {
            let delay = last_mile(AccessClass::Dsl, Draws::new(1).nth(viewer));
            assert!(delay >= Duration::from_millis(14) / 3);
            assert!(delay <= Duration::from_millis(42));
        }
    }

    #[test]
    fn the_declared_class_follows_the_uplink_in_bitrates() {
        let declares = |percent: u64| {
            upload_class(
                BitRate::from_bps(30_000 * percent),
                BitRate::from_bps(3_000_000),
            )
        };
        assert_eq!(declares(0), UploadClass::None);
        assert_eq!(declares(29), UploadClass::None);
        assert_eq!(declares(30), UploadClass::Low);
        assert_eq!(declares(99), UploadClass::Low);
        assert_eq!(declares(100), UploadClass::Normal);
        assert_eq!(declares(300), UploadClass::Normal);
        assert_eq!(declares(301), UploadClass::High);
    }
}
