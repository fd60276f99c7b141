//! Which containers have said all they will say.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use paddock_core::ContainerId;

/// Containers whose output is in the log to its end: they can be removed.
#[derive(Debug, Default)]
pub(crate) struct Drained(Mutex<HashSet<ContainerId>>);

impl Drained {
    pub(crate) fn insert(&self, id: ContainerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    pub(crate) fn contains(&self, id: ContainerId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    pub(crate) fn forget(&self, id: ContainerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
