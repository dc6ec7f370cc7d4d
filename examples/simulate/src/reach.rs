//! Connected components of those who can connect.

use crate::nat::NatClass;

/// For each of `count` the least number of its component, edges being asked for.
///
/// A breadth-first search over a list of those not found yet: each question either finds one or
/// fails, so where most pairs connect it takes about `count` over that share of questions.
#[must_use]
pub fn of_pairs(count: usize, connects: impl Fn(u32, u32) -> bool) -> Vec<u32> {
    let mut component = vec![0; count];
    let mut unfound: Vec<u32> = (0..).take(count).collect();
    while let Some(&root) = unfound.iter().min() {
        unfound.retain(|person| *person != root);
        let mut found = vec![root];
        while let Some(from) = found.pop() {
            component[from as usize] = root;
            unfound.retain(|person| {
                let connects = connects(from, *person);
                if connects {
                    found.push(*person);
                }
                !connects
            });
        }
    }
    component
}

/// The same when classes alone decide, in time linear in the people.
#[must_use]
pub fn of_classes(classes: impl Iterator<Item = NatClass>) -> Vec<u32> {
    let classes: Vec<NatClass> = classes.collect();
    // Up to two of each class stand for all of it: those of a class that reaches itself are
    // together through each other, those of one that does not are together through whoever reaches
    // one of them, because that one reaches all.
    let mut chosen: Vec<u32> = Vec::new();
    for (number, class) in (0..).zip(&classes) {
        let is_class = |other: &&u32| classes[**other as usize] == *class;
        if chosen.iter().filter(is_class).count() < 2 {
            chosen.push(number);
        }
    }
    let class_of = |place: u32| classes[chosen[place as usize] as usize];
    let small = of_pairs(chosen.len(), |a, b| class_of(a).reaches(class_of(b)));
    (0..)
        .zip(&classes)
        .map(|(number, class): (u32, _)| {
            let mut same = (0..)
                .zip(&chosen)
                .filter(|(_, other)| classes[**other as usize] == *class);
            let (first, second) = (same.next(), same.next());
            match (first, second) {
                // Two of the class apart from each other: everybody of it is alone.
                (Some((a, _)), Some((b, _))) if small[a] != small[b] => number,
                (Some((a, _)), _) => chosen[small[a] as usize],
                (None, _) => number,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;

    #[test]
    fn components_are_named_by_their_least() {
        let edges = [(0, 3), (3, 4), (1, 5)];
        let connects = |a: u32, b: u32| edges.contains(&(a.min(b), a.max(b)));
        assert_eq!(of_pairs(6, connects), [0, 1, 2, 0, 0, 1]);
        assert_eq!(of_pairs(0, connects), [0u32; 0]);
    }

    #[test]
    fn two_symmetric_viewers_are_apart_until_a_third_joins_them() {
        use NatClass::{Blocked, Open, PortRestricted, Symmetric};
        assert_eq!(of_classes([Symmetric, Symmetric].into_iter()), [0, 1]);
        assert_eq!(
            of_classes([Symmetric, Symmetric, Open].into_iter()),
            [0, 0, 0]
        );
        let mixed = [
            Symmetric,
            PortRestricted,
            PortRestricted,
            Symmetric,
            Blocked,
            Blocked,
        ];
        assert_eq!(of_classes(mixed.into_iter()), [0, 1, 1, 3, 4, 5]);
    }

    #[test]
    fn by_class_and_by_pair_agree() {
        for seed in 0..300 {
            let draws = Draws::new(seed);
            let classes: Vec<NatClass> = (0..1 + draws.below(12))
                .map(|person| NatClass::ALL[draws.nth(person).below(6) as usize])
                .filter(|class| draws.below(3) > 0 || *class > NatClass::Restricted)
                .collect();
            let connects = |a: u32, b: u32| classes[a as usize].reaches(classes[b as usize]);
            assert_eq!(
                of_classes(classes.iter().copied()),
                of_pairs(classes.len(), connects),
                "seed {seed}: {classes:?}"
            );
        }
    }
}
