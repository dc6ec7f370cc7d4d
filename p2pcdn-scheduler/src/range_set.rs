//! A set of ordinals as sorted, disjoint, non-adjacent ranges.

use p2pcdn_wire::OrdinalRange;

/// Ordinals, cheap while they come in runs, which holdings of a stream do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(Vec<OrdinalRange>);

impl RangeSet {
    pub(crate) fn insert(&mut self, range: OrdinalRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|own| own.end < range.start);
        let to = self.0.partition_point(|own| own.start <= range.end);
        let merged = self.0[from..to].iter().fold(range, |merged, own| {
            OrdinalRange::new(merged.start.min(own.start), merged.end.max(own.end))
        });
        if from == to {
            // One run is what most sets have, and all they need room for.
            self.0.reserve_exact(1);
        }
        self.0.splice(from..to, [merged]);
    }

    pub(crate) fn remove(&mut self, range: OrdinalRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|own| own.end <= range.start);
        let to = self.0.partition_point(|own| own.start < range.end);
        let left: Vec<_> = self.0[from..to]
            .iter()
            .flat_map(|own| {
                [
                    OrdinalRange::new(own.start, range.start),
                    OrdinalRange::new(range.end, own.end),
                ]
            })
            .filter(|rest| !rest.is_empty())
            .collect();
        self.0.splice(from..to, left);
    }

    pub(crate) fn contains(&self, ordinal: u64) -> bool {
        let at = self.0.partition_point(|own| own.end <= ordinal);
        self.0.get(at).is_some_and(|own| own.contains(ordinal))
    }

    /// Keeps at most `count` runs, which is what the set costs: those with the highest ordinals.
    pub(crate) fn keep_last(&mut self, count: usize) {
        let surplus = self.0.len().saturating_sub(count);
        self.0.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..40)
        ) {
            let mut set = RangeSet::default();
            let mut model = BTreeSet::new();
            for (add, start, len) in steps {
                let range = OrdinalRange::new(start, start + len);
                if add {
                    set.insert(range);
                    model.extend(start..start + len);
                } else {
                    set.remove(range);
                    model.retain(|ordinal| !range.contains(*ordinal));
                }
                for ordinal in 0..60 {
                    prop_assert_eq!(set.contains(ordinal), model.contains(&ordinal));
                }
                let runs = model.iter().filter(|o| **o == 0 || !model.contains(&(**o - 1))).count();
                prop_assert_eq!(set.0.len(), runs);
            }
        }
    }

    #[test]
    fn the_highest_runs_are_kept() {
        let mut set = RangeSet::default();
        for ordinal in [1, 3, 5, 7] {
            set.insert(OrdinalRange::one(ordinal));
        }
        set.keep_last(2);
        let kept: Vec<_> = (0..9).filter(|ordinal| set.contains(*ordinal)).collect();
        assert_eq!(kept, [5, 7]);
    }
}
