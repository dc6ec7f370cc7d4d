//! Maps of few entries, in two pieces of memory.

/// A sorted map for the few dozen entries that a session has of most things: a binary search in
/// keys that lie side by side, and no more room than needed.
#[derive(Clone, Debug)]
pub(crate) struct Dense<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

/// A sorted set.
pub(crate) type DenseSet<K> = Dense<K, ()>;

impl<K: Ord + Copy, V> Dense<K, V> {
    pub(crate) const fn new() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Puts `value` in place of what is there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(place) => {
                if let Some(old) = self.values.get_mut(place) {
                    *old = value;
                }
            }
            Err(place) => self.insert_at(place, key, value),
        }
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = self.find(key).unwrap_or_else(|place| {
            self.insert_at(place, key, make());
            place
        });
        self.values
            .get_mut(place)
            .expect("it was found, or is there now")
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let place = self.find(key).ok()?;
        Some(self.remove_at(place))
    }

    pub(crate) fn pop_first(&mut self) -> Option<V> {
        (!self.is_empty()).then(|| self.remove_at(0))
    }

    pub(crate) fn retain(&mut self, keeps: impl Fn(K) -> bool) {
        let mut keys = self.keys.iter();
        self.values
            .retain(|_| keys.next().is_some_and(|key| keeps(*key)));
        self.keys.retain(|key| keeps(*key));
        self.shrink();
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.values.get(self.find(key).ok()?)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let place = self.find(key).ok()?;
        self.values.get_mut(place)
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.find(key).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// In ascending order.
    pub(crate) fn keys(&self) -> &[K] {
        &self.keys
    }

    pub(crate) fn values(&self) -> &[V] {
        &self.values
    }

    /// In ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.keys.iter().copied().zip(&self.values)
    }

    /// In ascending order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.keys.iter().copied().zip(&mut self.values)
    }

    fn find(&self, key: K) -> Result<usize, usize> {
        // Most of what is new is newer than all that is there, and asked for most.
        match self.keys.last() {
            None => Err(0),
            Some(last) if *last < key => Err(self.keys.len()),
            Some(last) if *last == key => Ok(self.keys.len() - 1),
            Some(_) => self.keys.binary_search(&key),
        }
    }

    fn insert_at(&mut self, place: usize, key: K, value: V) {
        if self.keys.len() == self.keys.capacity() {
            self.keys.reserve_exact(STEP);
        }
        if self.values.len() == self.values.capacity() {
            self.values.reserve_exact(STEP);
        }
        self.keys.insert(place, key);
        self.values.insert(place, value);
    }

    fn remove_at(&mut self, place: usize) -> V {
        self.keys.remove(place);
        let value = self.values.remove(place);
        self.shrink();
        value
    }

    fn shrink(&mut self) {
        let len = self.keys.len();
        if len == 0 || self.keys.capacity() > len + 2 * STEP {
            self.keys.shrink_to(len);
            self.values.shrink_to(len);
        }
    }
}

impl<K, V> Default for Dense<K, V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
        }
    }
}

/// Entries by which it grows: doubling would leave half of it empty.
const STEP: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0u8..5, 0u32..40), 0..200)) {
            let (mut dense, mut map) = (Dense::new(), BTreeMap::new());
            for (value, (kind, key)) in steps.into_iter().enumerate() {
                match kind {
                    0 | 1 => {
                        dense.insert(key, value);
                        map.insert(key, value);
                    }
                    2 => prop_assert_eq!(dense.remove(key), map.remove(&key)),
                    3 => prop_assert_eq!(
                        *dense.get_or_insert_with(key, || value),
                        *map.entry(key).or_insert(value)
                    ),
                    _ if key % 8 == 0 => {
                        dense.retain(|it| it % 3 != 0);
                        map.retain(|it, _| it % 3 != 0);
                    }
                    _ => prop_assert_eq!(dense.pop_first(), map.pop_first().map(|(_, value)| value)),
                }
                prop_assert_eq!(dense.get(key), map.get(&key));
                prop_assert_eq!(dense.contains(key), map.contains_key(&key));
                prop_assert!(dense.iter().eq(map.iter().map(|(key, value)| (*key, value))));
                prop_assert!(dense.keys.capacity() <= dense.len() + 2 * STEP);
            }
        }
    }

    #[test]
    fn an_empty_map_keeps_no_memory() {
        let mut dense = Dense::new();
        (0..9).for_each(|key| dense.insert(key, key));
        (0..9).for_each(|key| assert_eq!(dense.remove(key), Some(key)));
        assert_eq!((dense.keys.capacity(), dense.values.capacity()), (0, 0));
    }
}
