//! Which rendition to play: throughput with hysteresis.

use p2pcdn::wire::BitRate;

/// How the rendition is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The highest one, always.
    Top,
    /// By the throughput that the source reports.
    Adaptive,
}

/// The adaptive rule, with the state that its hysteresis needs.
#[derive(Debug)]
pub(crate) struct Chooser {
    choice: Choice,
    /// Segments in a row after which a higher rendition would have been affordable.
    affordable_in_a_row: u32,
}

impl Chooser {
    pub(crate) fn new(choice: Choice) -> Self {
        Self {
            choice,
            affordable_in_a_row: 0,
        }
    }

    /// The rendition for the next segment, as an index into `bandwidths`, which rise.
    ///
    /// `current` is the rendition of the segment before, `None` at the start.
    pub(crate) fn choose(
        &mut self,
        current: Option<usize>,
        bandwidths: &[BitRate],
        throughput: Option<BitRate>,
    ) -> usize {
        let top = bandwidths.len().saturating_sub(1);
        if self.choice == Choice::Top {
            return top;
        }
        let throughput = throughput.unwrap_or(STARTING_THROUGHPUT);
        let Some(current) = current else {
            return affordable(bandwidths, throughput, UP_PERCENT);
        };
        if current > affordable(bandwidths, throughput, DOWN_PERCENT) {
            self.affordable_in_a_row = 0;
            return affordable(bandwidths, throughput, UP_PERCENT);
        }
        let wanted = affordable(bandwidths, throughput, UP_PERCENT);
        if wanted <= current {
            self.affordable_in_a_row = 0;
            return current;
        }
        self.affordable_in_a_row += 1;
        if self.affordable_in_a_row < SEGMENTS_BEFORE_UP {
            return current;
        }
        self.affordable_in_a_row = 0;
        wanted
    }
}

/// The highest rendition that takes at most `percent` of the throughput, else the lowest.
fn affordable(bandwidths: &[BitRate], throughput: BitRate, percent: u64) -> usize {
    let budget = u128::from(throughput.as_bps()) * u128::from(percent);
    let fits = |rate: &BitRate| u128::from(rate.as_bps()) * 100 <= budget;
    bandwidths.iter().rposition(fits).unwrap_or(0)
}

/// hls.js `abrBandWidthUpFactor`: a higher rendition may take 70 % of the throughput.
const UP_PERCENT: u64 = 70;

/// hls.js `abrBandWidthFactor`: the current one is kept while it takes at most 95 %.
const DOWN_PERCENT: u64 = 95;

/// hls.js `abrEwmaDefaultEstimate`.
const STARTING_THROUGHPUT: BitRate = BitRate::from_bps(500_000);

/// Two segments in a row must have been fast enough: one may have come from somebody's memory.
const SEGMENTS_BEFORE_UP: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> [BitRate; 3] {
        [400_000, 1_200_000, 3_000_000].map(BitRate::from_bps)
    }

    fn mbps(tenths: u64) -> Option<BitRate> {
        Some(BitRate::from_bps(tenths * 100_000))
    }

    #[test]
    fn top_is_top_whatever_the_throughput() {
        let mut chooser = Chooser::new(Choice::Top);
        assert_eq!(chooser.choose(None, &rates(), None), 2);
        assert_eq!(chooser.choose(Some(2), &rates(), mbps(1)), 2);
        assert_eq!(chooser.choose(None, &[], None), 0);
    }

    #[test]
    fn an_unknown_line_starts_at_the_bottom_and_climbs_after_two_fast_segments() {
        let mut chooser = Chooser::new(Choice::Adaptive);
        assert_eq!(chooser.choose(None, &rates(), None), 0);
        assert_eq!(chooser.choose(Some(0), &rates(), mbps(100)), 0);
        assert_eq!(chooser.choose(Some(0), &rates(), mbps(100)), 2);
    }

    #[test]
    fn a_dip_starts_the_count_anew() {
        let mut chooser = Chooser::new(Choice::Adaptive);
        assert_eq!(chooser.choose(Some(1), &rates(), mbps(50)), 1);
        assert_eq!(chooser.choose(Some(1), &rates(), mbps(20)), 1);
        assert_eq!(chooser.choose(Some(1), &rates(), mbps(50)), 1);
        assert_eq!(chooser.choose(Some(1), &rates(), mbps(50)), 2);
    }

    #[test]
    fn between_the_two_thresholds_nothing_changes() {
        // 3 Mb/s are kept down to 3.16 Mb/s and gained from 4.29 Mb/s.
        for tenths in 32..43 {
            let mut chooser = Chooser::new(Choice::Adaptive);
            for current in [1, 2] {
                for _ in 0..5 {
                    assert_eq!(
                        chooser.choose(Some(current), &rates(), mbps(tenths)),
                        current
                    );
                }
            }
        }
        let mut chooser = Chooser::new(Choice::Adaptive);
        assert_eq!(chooser.choose(Some(2), &rates(), mbps(31)), 1);
        assert_eq!(chooser.choose(Some(2), &rates(), mbps(1)), 0);
    }
}
