//! Which rendition a player takes next: the three ways that players in the field decide.
//!
//! Constants are those of the players and papers named beside them.

use std::time::Duration;

use p2pcdn::wire::BitRate;

use crate::scenario::{Abr, ContentKind, Scenario};

/// Chooses renditions, at the boundaries of segments.
#[derive(Clone, Debug)]
pub struct Adaptation {
    abr: Abr,
    rates: Vec<u64>,
    bola: Bola,
    /// Hybrid: whether the buffer decides rather than the throughput.
    follows_buffer: bool,
}

impl Adaptation {
    /// As the scenario has it.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let renditions = &scenario.content.renditions;
        let rates: Vec<u64> = renditions.iter().map(|rate| rate.as_bps()).collect();
        let reachable = match scenario.content.kind {
            // What is buffered was produced after the playhead.
            ContentKind::Live => scenario.latency.min(scenario.buffer_target),
            ContentKind::OnDemand(_) => scenario.buffer_target,
        };
        Self {
            abr: scenario.abr,
            bola: Bola::new(&rates, reachable),
            rates,
            follows_buffer: false,
        }
    }

    /// The rendition of the next segment, given the media ahead of the playhead, the estimate of
    /// the throughput if there is one, and the rendition of the last segment.
    pub fn choose(&mut self, buffer: Duration, throughput: Option<BitRate>, current: u16) -> u16 {
        let current = usize::from(current).min(self.rates.len() - 1);
        let by_throughput = self.by_throughput(throughput, current);
        let chosen = match self.abr {
            Abr::Fixed => self.rates.len() - 1,
            Abr::Throughput => by_throughput,
            Abr::Bola => self.by_buffer(buffer, throughput, by_throughput),
            Abr::Hybrid => self.by_both(buffer, by_throughput),
        };
        u16::try_from(chosen).unwrap_or(0)
    }

    /// Stays as long as the estimate carries the rate, and goes up only to what it carries with
    /// room to spare.
    fn by_throughput(&self, throughput: Option<BitRate>, current: usize) -> usize {
        let estimate = throughput.map_or(DEFAULT_ESTIMATE, |rate| rate.as_bps() as f64);
        let highest = |share: f64| {
            let fits = |rate: &&u64| **rate as f64 <= estimate * share;
            self.rates.iter().take_while(fits).count().saturating_sub(1)
        };
        match throughput {
            None => highest(DOWNGRADE_SHARE),
            Some(_) => {
                let up = highest(UPGRADE_SHARE);
                let down = highest(DOWNGRADE_SHARE);
                if up > current { up } else { down.min(current) }
            }
        }
    }

    /// Before anything was measured the buffer is empty for no fault of the line.
    fn by_buffer(
        &self,
        buffer: Duration,
        throughput: Option<BitRate>,
        by_throughput: usize,
    ) -> usize {
        match throughput {
            None => by_throughput,
            Some(_) => self.bola.choose(buffer, &self.rates),
        }
    }

    fn by_both(&mut self, buffer: Duration, by_throughput: usize) -> usize {
        let by_buffer = self.bola.choose(buffer, &self.rates);
        let is_low = buffer < self.bola.minimum;
        if self.follows_buffer {
            self.follows_buffer = !(is_low && by_buffer < by_throughput);
        } else {
            self.follows_buffer = !is_low && by_buffer >= by_throughput;
        }
        if self.follows_buffer {
            by_buffer
        } else {
            by_throughput
        }
    }
}

/// BOLA-BASIC (Spiteri, Urgaonkar, Sitaraman: "BOLA: Near-Optimal Bitrate Adaptation for Online
/// Videos", INFOCOM 2016) with logarithmic utilities and the parameters of dash.js's `BolaRule`.
#[derive(Clone, Debug)]
struct Bola {
    utilities: Vec<f64>,
    /// The paper's gamma p, in this scale.
    gp: f64,
    /// The paper's V p, in seconds.
    vp: f64,
    /// Below this it does not leave the lowest rendition.
    minimum: Duration,
}

impl Bola {
    fn new(rates: &[u64], reachable: Duration) -> Self {
        let lowest = rates.first().copied().unwrap_or(1).max(1) as f64;
        let utility = |rate: &u64| (*rate as f64 / lowest).ln() + 1.0;
        let utilities: Vec<f64> = rates.iter().map(utility).collect();
        let top = MINIMUM_BUFFER + BUFFER_PER_RENDITION * rates.len() as f64;
        // A player near the live edge never has so much. dash.js makes up for it by counting the
        // time that it waits for segments as buffer; scaling comes to the same and needs no state.
        let scale = (reachable.as_secs_f64() / top).min(1.0);
        let minimum = MINIMUM_BUFFER * scale;
        let highest = utilities.last().copied().unwrap_or(1.0);
        let gp = (highest - 1.0) / (top / MINIMUM_BUFFER - 1.0);
        Self {
            utilities,
            gp,
            vp: minimum / gp,
            minimum: Duration::try_from_secs_f64(minimum).unwrap_or_default(),
        }
    }

    fn choose(&self, buffer: Duration, rates: &[u64]) -> usize {
        // With one rendition there is no utility to gain.
        if self.gp <= 0.0 {
            return 0;
        }
        let score = |index: usize| {
            let gain = self.vp * (self.utilities[index] + self.gp);
            (gain - buffer.as_secs_f64()) / rates[index] as f64
        };
        (0..rates.len())
            .max_by(|one, other| score(*one).total_cmp(&score(*other)))
            .unwrap_or(0)
    }
}

/// An estimate of throughput from finished transfers: the lower of two exponentially weighted
/// means, so that it falls fast and rises slowly (hls.js and Shaka Player alike).
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    fast: Mean,
    slow: Mean,
    sampled: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    value: f64,
    /// Of all samples, in seconds.
    weight: f64,
}

impl Meter {
    /// Takes a transfer of so many bytes in so much time, from request to end.
    pub fn sample(&mut self, bytes: u64, took: Duration) {
        if bytes < LEAST_SAMPLE || took.is_zero() {
            return;
        }
        let rate = BitRate::from_transfer(bytes, took).as_bps() as f64;
        self.fast.sample(took.as_secs_f64(), rate, FAST_HALF_LIFE);
        self.slow.sample(took.as_secs_f64(), rate, SLOW_HALF_LIFE);
        self.sampled += bytes;
    }

    /// The estimate; `None` before enough was seen.
    #[must_use]
    pub fn estimate(&self) -> Option<BitRate> {
        let fast = self.fast.corrected(FAST_HALF_LIFE);
        let slow = self.slow.corrected(SLOW_HALF_LIFE);
        (self.sampled >= LEAST_SAMPLED).then(|| BitRate::from_bps(fast.min(slow).round() as u64))
    }
}

impl Mean {
    fn sample(&mut self, weight: f64, value: f64, half_life: f64) {
        let kept = 0.5f64.powf(weight / half_life);
        self.value = value * (1.0 - kept) + self.value * kept;
        self.weight += weight;
    }

    /// Without the zero that it began with.
    fn corrected(self, half_life: f64) -> f64 {
        self.value / (1.0 - 0.5f64.powf(self.weight / half_life))
    }
}

/// Shaka Player, `abr.bandwidthDowngradeTarget`: the share of the estimate that a rendition may
/// take before it is left.
const DOWNGRADE_SHARE: f64 = 0.95;

/// Shaka Player, `abr.bandwidthUpgradeTarget`: the share that a higher one may take.
const UPGRADE_SHARE: f64 = 0.85;

/// Shaka Player, `abr.defaultBandwidthEstimate`, in bits per second.
const DEFAULT_ESTIMATE: f64 = 1e6;

/// Shaka Player, `abr.advanced.fastHalfLife`, in seconds of transfer.
const FAST_HALF_LIFE: f64 = 2.0;

/// Shaka Player, `abr.advanced.slowHalfLife`, in seconds of transfer.
const SLOW_HALF_LIFE: f64 = 5.0;

/// Shaka Player, `abr.advanced.minBytes`: a shorter transfer tells the round trip, not the rate.
const LEAST_SAMPLE: u64 = 16_000;

/// Shaka Player, `abr.advanced.minTotalBytes`.
const LEAST_SAMPLED: u64 = 128_000;

/// dash.js, `MINIMUM_BUFFER_S` of `BolaRule`, in seconds. Also where its DYNAMIC strategy turns from
/// throughput to BOLA, if that chooses no less, and below which it turns back when BOLA chooses less
/// (Spiteri, Sitaraman, Sparacio: "From Theory to Practice: Improving Bitrate Adaptation in the
/// DASH Reference Player", MMSys 2018).
const MINIMUM_BUFFER: f64 = 10.0;

/// dash.js, `MINIMUM_BUFFER_PER_BITRATE_LEVEL_S` of `BolaRule`, in seconds.
const BUFFER_PER_RENDITION: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_renditions;

    fn adaptation(abr: Abr) -> Adaptation {
        let mut scenario = with_renditions(&[1, 2, 4]);
        scenario.content.kind = ContentKind::OnDemand(Duration::from_secs(600));
        scenario.buffer_target = Duration::from_secs(30);
        scenario.abr = abr;
        Adaptation::new(&scenario)
    }

    fn mbps(rate: f64) -> Option<BitRate> {
        Some(BitRate::from_bps((rate * 1e6) as u64))
    }

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn throughput_goes_up_later_than_it_goes_down() {
        let mut abr = adaptation(Abr::Throughput);
        let mut choose = |rate, current| abr.choose(secs(10.0), mbps(rate), current);
        // 2 Mb/s is 0.85 of 2.353 and 0.95 of 2.105.
        assert_eq!(choose(2.34, 0), 0);
        assert_eq!(choose(2.36, 0), 1);
        assert_eq!(choose(2.11, 1), 1);
        assert_eq!(choose(2.10, 1), 0);
        // Two at a time, both ways; never below the lowest.
        assert_eq!(choose(5.0, 0), 2);
        assert_eq!(choose(0.5, 2), 0);
    }

    #[test]
    fn a_fixed_player_takes_the_highest_and_a_new_one_what_shaka_assumes() {
        assert_eq!(adaptation(Abr::Fixed).choose(secs(0.0), mbps(0.1), 0), 2);
        assert_eq!(adaptation(Abr::Throughput).choose(secs(0.0), None, 2), 0);
        assert_eq!(adaptation(Abr::Bola).choose(secs(0.0), None, 2), 0);
    }

    #[test]
    fn bola_changes_rendition_at_the_buffer_levels_of_its_formula() {
        // Utilities 1, 1 + ln 2, 1 + ln 4; top level 10 + 3 x 2 = 16 s, so gp = ln 4 / 0.6 and
        // vp = 10 / gp. The scores of neighbours are equal at
        // vp ((u0 r1 - u1 r0) / (r1 - r0) + gp): 11.33 s and 14.33 s.
        let mut abr = adaptation(Abr::Bola);
        let mut choose = |level| abr.choose(secs(level), mbps(3.0), 0);
        assert_eq!(choose(11.3), 0);
        assert_eq!(choose(11.4), 1);
        assert_eq!(choose(14.3), 1);
        assert_eq!(choose(14.4), 2);
    }

    #[test]
    fn bola_near_the_live_edge_uses_the_buffer_that_it_can_have() {
        let mut scenario = with_renditions(&[1, 2, 4]);
        scenario.abr = Abr::Bola;
        // 6 s behind live: all levels times 6 / 16.
        let mut abr = Adaptation::new(&scenario);
        assert_eq!(abr.choose(secs(4.2), mbps(3.0), 0), 0);
        assert_eq!(abr.choose(secs(4.3), mbps(3.0), 0), 1);
        assert_eq!(abr.choose(secs(5.4), mbps(3.0), 0), 2);
    }

    #[test]
    fn the_hybrid_follows_throughput_until_the_buffer_is_filled_and_again_when_it_is_lower() {
        let mut abr = adaptation(Abr::Hybrid);
        assert_eq!(abr.choose(secs(9.0), mbps(2.5), 0), 1);
        // Above 10 s, but BOLA would take less.
        assert_eq!(abr.choose(secs(11.0), mbps(2.5), 1), 1);
        // BOLA takes over, and keeps to the buffer when throughput falls.
        assert_eq!(abr.choose(secs(15.0), mbps(2.5), 1), 2);
        assert_eq!(abr.choose(secs(12.0), mbps(1.2), 2), 1);
        // Low, and throughput allows more.
        assert_eq!(abr.choose(secs(8.0), mbps(2.5), 0), 1);
    }

    #[test]
    fn the_estimate_is_the_lower_of_a_fast_and_a_slow_mean() {
        let mut meter = Meter::default();
        meter.sample(125_000, secs(1.0));
        assert_eq!(meter.estimate(), None);
        meter.sample(125_000, secs(1.0));
        assert_eq!(meter.estimate(), mbps(1.0));
        // 5 s at 4 Mb/s after 2 s at 1 Mb/s. Fast: 4 (1 - 2^-2.5) + (1 - 2^-1) 2^-2.5, over
        // 1 - 2^-3.5: 3.709. Slow: 4 (1 - 2^-1) + (1 - 2^-0.4) 2^-1, over 1 - 2^-1.4: 3.415.
        meter.sample(2_500_000, secs(5.0));
        let estimate = meter.estimate().unwrap().as_bps() as f64 / 1e6;
        assert!((estimate - 3.415).abs() < 0.002, "{estimate}");
        // What is short says nothing.
        meter.sample(10_000, secs(10.0));
        assert_eq!(meter.estimate().unwrap().as_bps() as f64 / 1e6, estimate);
    }
}
