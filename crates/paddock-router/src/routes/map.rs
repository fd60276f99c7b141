//! A map by text that is cheap to copy: a copy shares with the first one what does not differ between them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// A change copies one of them: of ten thousand entries forty.
const SHARDS: usize = 256;

type Shard<V> = HashMap<Box<str>, V, RandomState>;

/// The map. Readers of one copy never see what another becomes.
#[derive(Clone)]
pub(crate) struct SharedMap<V> {
    hasher: RandomState,
    shards: Box<[Arc<Shard<V>>]>,
}

impl<V: Clone> SharedMap<V> {
    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.shards[self.shard(key)].get(key)
    }

    pub(crate) fn insert(&mut self, key: &str, value: V) {
        self.shard_mut(key).insert(key.into(), value);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            self.shard_mut(key).remove(key);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(key, value)| (&**key, value))
    }

    fn shard_mut(&mut self, key: &str) -> &mut Shard<V> {
        let shard = self.shard(key);
        Arc::make_mut(&mut self.shards[shard])
    }

    fn shard(&self, key: &str) -> usize {
        // The map inside goes by the lowest and the highest bits.
        (self.hasher.hash_one(key) >> 32) as usize % SHARDS
    }
}

impl<V> Default for SharedMap<V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let none = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self { hasher, shards: std::iter::repeat_n(none, SHARDS).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_no_copy_changes_another(
            changes in prop::collection::vec(("[a-d]{1,2}", prop::option::of(0..9u8)), 0..200),
        ) {
            let (mut map, mut expected) = (SharedMap::default(), BTreeMap::new());
            let mut copies = vec![(map.clone(), expected.clone())];
            for (key, value) in &changes {
                match value {
                    Some(value) => {
                        map.insert(key, *value);
                        expected.insert(key.clone(), *value);
                    }
                    None => {
                        map.remove(key);
                        expected.remove(key);
                    }
                }
                copies.push((map.clone(), expected.clone()));
            }
            for (map, expected) in copies {
                let all: BTreeMap<String, u8> = map.iter().map(|(key, value)| (key.to_owned(), *value)).collect();
                prop_assert_eq!(&all, &expected);
                for (key, _) in &changes {
                    prop_assert_eq!(map.get(key), expected.get(key));
                }
            }
        }
    }

    #[test]
    fn a_change_copies_what_is_beside_it_alone() {
        let mut map = SharedMap::default();
        for n in 0..5_000 {
            map.insert(&format!("app-{n}"), n);
        }
        let before = map.clone();
        map.insert("app-7", 0);
        let differ = before.shards.iter().zip(&map.shards).filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(differ.count(), 1);
        assert_eq!((before.get("app-7"), map.get("app-7")), (Some(&7), Some(&0)));
        assert!(map.shards.iter().all(|shard| shard.len() < 100), "they are spread");
    }
}
