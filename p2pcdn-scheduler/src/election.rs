//! The duty election: who fetches a segment over HTTP, and when, without anybody asking anybody.
//!
//! Each viewer draws x = -ln(1 - h) / w for a segment, h uniform from hash(peer id, segment) and w
//! the weight of its upload class, and all viewers can compute each other's draws. The smallest
//! draw fetches at once, the others wait a time that grows with their rank and stop waiting when
//! they hear that somebody fetches. (Exponential timers: Nonnenmacher & Biersack, ToN 1999;
//! weighted rendezvous hashing: Thaler & Ravishankar, ToN 1998.)

use std::{f64::consts::LN_2, time::Duration};

use p2pcdn_wire::{PeerId, SegmentRef, UploadClass, mix};

/// The largest factor on a generation in the waiting time: more only delays.
const MAX_PATIENCE: f64 = 5.0;

/// One viewer's hash of its id; with a segment it gives the viewer's draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voter(u64);

impl Voter {
    pub(crate) fn new(peer: PeerId) -> Self {
        let words = peer.as_bytes().chunks(8).map(|chunk| {
            chunk
                .iter()
                .fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
        });
        Self(words.fold(0, |state, word| mix(state ^ word)))
    }

    /// The draw: smaller is earlier, infinite for a viewer that uploads nothing.
    pub(crate) fn draw(self, segment: SegmentRef, class: UploadClass) -> f64 {
        let hash = mix(self.0 ^ mix(segment.ordinal ^ (u64::from(segment.tag) << 32)));
        let uniform = (hash >> 11) as f64 / (1u64 << 53) as f64;
        match class.weight() {
            0 => f64::INFINITY,
            weight => -log2(1.0 - uniform) * LN_2 / f64::from(weight),
        }
    }

    /// How near this viewer is to another one for a segment: an order of its neighbours for each
    /// viewer, another one for each segment.
    pub(crate) fn affinity(self, to: Self, segment: SegmentRef) -> u64 {
        mix(self.0 ^ mix(to.0 ^ segment.ordinal))
    }

    /// A number that two viewers have in common, whichever of them asks.
    pub(crate) fn pair(self, other: Self) -> u64 {
        mix(self.0 ^ other.0)
    }

    /// A number in 0..1 of its own, to spread what all viewers do at the same intervals.
    pub(crate) fn phase(self) -> f64 {
        (mix(self.0 ^ 0xbb67_ae85) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A place of its own for each segment, among so many.
    pub(crate) fn place(self, segment: SegmentRef, count: u32) -> usize {
        let hash = mix(self.0 ^ mix(segment.ordinal ^ 0x3c6e_f372));
        usize::try_from(hash % u64::from(count.max(1))).unwrap_or(0)
    }

    /// A number in 0..1 of its own for each segment, to spread what would otherwise happen to all
    /// viewers at once.
    pub(crate) fn jitter(self, segment: SegmentRef) -> f64 {
        let hash = mix(self.0 ^ mix(segment.ordinal ^ 0x6a09_e667));
        (hash >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A viewer's place among the candidates for one segment, zero first; `None` for one that is never
/// on duty.
///
/// `draws` are those of the neighbours in the track, `viewers` how many viewers the track has as
/// far as anybody knows, `weight` the mean weight of the neighbours. A viewer that sees at least
/// half of the track counts; one that sees less estimates.
pub(crate) fn rank(own: f64, draws: &[f64], viewers: u32, weight: f64) -> Option<f64> {
    if own.is_infinite() {
        return None;
    }
    let sees_most = f64::from(viewers) <= 2.0 * (draws.len() as f64 + 1.0);
    Some(if sees_most {
        draws.iter().filter(|draw| **draw < own).count() as f64
    } else {
        own * f64::from(viewers) * weight
    })
}

/// How long the candidate of this rank waits after it learnt of the segment.
///
/// `generation` is the time in which the number of copies doubles, `slack` what there is before
/// the rescue point.
pub(crate) fn wait(rank: f64, viewers: u32, generation: Duration, slack: Duration) -> Duration {
    let spread = generation.as_secs_f64() * log2(1.0 + f64::from(viewers));
    let patience = (slack.as_secs_f64() / spread).clamp(1.0, MAX_PATIENCE);
    generation.mul_f64(patience * log2(1.0 + rank))
}

/// The binary logarithm of a positive, finite number, to 40 binary places.
///
/// Made of multiplications and comparisons only, because the standard library's logarithm differs
/// from target to target in its last place, and a recording must replay everywhere.
fn log2(x: f64) -> f64 {
    let mut exponent = 0.0;
    let mut mantissa = x;
    while mantissa < 1.0 {
        mantissa *= 2.0;
        exponent -= 1.0;
    }
    while mantissa >= 2.0 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    let mut place = 0.5;
    for _ in 0..40 {
        mantissa *= mantissa;
        if mantissa >= 2.0 {
            mantissa /= 2.0;
            exponent += place;
        }
        place /= 2.0;
    }
    exponent
}

#[cfg(test)]
mod tests {
    use p2pcdn_wire::TrackIndex;

    use super::*;

    fn segment(ordinal: u64) -> SegmentRef {
        SegmentRef {
            track: TrackIndex(0),
            ordinal,
            tag: 0xfeed_beef,
        }
    }

    #[test]
    fn duty_falls_in_proportion_to_the_class() {
        let classes = [
            UploadClass::None,
            UploadClass::Low,
            UploadClass::Normal,
            UploadClass::High,
        ];
        let voters: Vec<_> = (0..4u8).map(|n| Voter::new(PeerId::new([n; 20]))).collect();
        let mut wins = [0u32; 4];
        for ordinal in 0..7_000 {
            let draws: Vec<_> = voters
                .iter()
                .zip(classes)
                .map(|(voter, class)| voter.draw(segment(ordinal), class))
                .collect();
            let winner = (0..4).min_by(|a, b| draws[*a].total_cmp(&draws[*b]));
            wins[winner.expect("four candidates")] += 1;
        }
        assert_eq!(wins[0], 0);
        for (won, expected) in wins[1..].iter().zip([1_000u32, 2_000, 4_000]) {
            assert!(won.abs_diff(expected) < 150, "{wins:?}");
        }
    }

    #[test]
    fn the_draw_does_not_depend_on_how_a_viewer_numbers_its_tracks() {
        let voter = Voter::new(PeerId::new([9; 20]));
        let other = SegmentRef {
            track: TrackIndex(3),
            ..segment(5)
        };
        let class = UploadClass::Normal;
        assert!((voter.draw(segment(5), class) - voter.draw(other, class)).abs() < f64::EPSILON);
    }

    #[test]
    fn the_first_does_not_wait_and_the_others_double() {
        let generation = Duration::from_millis(100);
        let slack = Duration::from_millis(400);
        let wait = |rank| wait(rank, 3, generation, slack);
        assert_eq!(wait(0.0), Duration::ZERO);
        assert_eq!(wait(1.0), Duration::from_millis(200));
        assert_eq!(wait(3.0), Duration::from_millis(400));
    }

    #[test]
    fn logarithms_are_those_of_the_standard_library() {
        for x in [1.0, 2.0, 3.0, 0.5, 0.3, 1e-16, 440_001.0, 1.7e9] {
            assert!((log2(x) - f64::log2(x)).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn a_viewer_that_sees_few_estimates_its_rank() {
        assert_eq!(rank(0.5, &[0.1, 0.7], 6, 2.0), Some(1.0));
        assert_eq!(rank(0.5, &[0.1, 0.7], 100, 2.0), Some(100.0));
        assert_eq!(rank(f64::INFINITY, &[], 1, 2.0), None);
    }
}
