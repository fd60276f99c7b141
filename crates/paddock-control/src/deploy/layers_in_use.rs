//! Layers that running builds were given: they stay until the build has ended, also where what names them goes meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use paddock_core::{BuildId, LayerDigest};

/// Those of this process.
#[derive(Debug, Default)]
pub(crate) struct LayersInUse(Mutex<HashMap<BuildId, HashSet<LayerDigest>>>);

impl LayersInUse {
    fn builds(&self) -> MutexGuard<'_, HashMap<BuildId, HashSet<LayerDigest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A build that uses layers until what this answers is dropped.
    pub(crate) fn begin(&self, build: BuildId) -> Using<'_> {
        self.builds().insert(build, HashSet::new());
        Using { all: self, build }
    }

    /// What running builds use.
    pub(crate) fn all(&self) -> HashSet<LayerDigest> {
        self.builds().values().flatten().cloned().collect()
    }
}

/// What one build uses.
#[derive(Debug)]
pub(crate) struct Using<'a> {
    all: &'a LayersInUse,
    build: BuildId,
}

impl Using<'_> {
    pub(crate) fn add<'a>(&self, layers: impl IntoIterator<Item = &'a LayerDigest>) {
        self.all.builds().entry(self.build).or_default().extend(layers.into_iter().cloned());
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.all.builds().remove(&self.build);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn layers_are_in_use_while_a_build_that_was_given_them_runs() {
        let (all, layer) = (LayersInUse::default(), |byte| LayerDigest::of_sha256([byte; 32]));
        let [first, second] = [1, 2].map(|id| all.begin(BuildId::from_uuid(Uuid::from_u128(id))));
        first.add(&[layer(1), layer(2)]);
        second.add(&[layer(2)]);
        assert_eq!(all.all(), HashSet::from([layer(1), layer(2)]));
        drop(first);
        assert_eq!(all.all(), HashSet::from([layer(2)]));
        drop(second);
        assert!(all.all().is_empty());
    }
}
