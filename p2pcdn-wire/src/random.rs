//! Reproducible randomness for decisions that nobody gains from foreseeing.

/// Where all randomness of a session starts.
///
/// What an adversary must not foresee (nonces, audit ranges, peer ids) is drawn with a keyed hash
/// by whoever has one; [`Pcg`] is for scheduling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A 64-bit sub-seed for the machine called `label`.
    #[must_use]
    pub fn derive(&self, label: &str) -> u64 {
        let words = self.0.chunks_exact(8).map(|chunk| {
            chunk
                .iter()
                .fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
        });
        let label = label.bytes().map(u64::from);
        words.chain(label).fold(0, |state, word| mix(state ^ word))
    }
}

/// A 64-bit value from 64 bits, every output bit depending on every input bit (the finaliser of
/// SplitMix64; Steele, Lea & Flood, OOPSLA 2014). Its values are stable across versions.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A small generator whose stream is stable across versions: PCG-XSH-RR 64/32 (O'Neill 2014).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcg {
    state: u64,
    increment: u64,
}

impl Pcg {
    /// The generator for `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: mix(seed),
            increment: mix(seed ^ 0x5bf0_3635) | 1,
        }
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        let old = self.state;
        self.state = old
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(self.increment);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the generator outputs the low 32 bits"
        )]
        let shifted = (((old >> 18) ^ old) >> 27) as u32;
        shifted.rotate_right((old >> 59) as u32)
    }

    /// A uniform index below `count`; zero when `count` is zero.
    pub fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.next_u32()) * count as u128;
        usize::try_from(wide >> 32).expect("below count, which is a usize")
    }

    /// A uniform number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.next_u32()) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_give_independent_streams() {
        let seed = Seed([7; 32]);
        assert_ne!(seed.derive("scheduler"), seed.derive("tracker"));
        assert_eq!(seed.derive("scheduler"), seed.derive("scheduler"));
        assert_ne!(seed.derive("a"), Seed([8; 32]).derive("a"));
    }

    #[test]
    fn draws_cover_the_range_evenly() {
        let mut pcg = Pcg::new(1);
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            counts[pcg.below(10)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(pcg.below(0), 0);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&pcg.unit())));
    }
}
