//! Conversions of uploaded slugs that this process runs: their containers look like those of builds without a row.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use paddock_core::BuildId;

/// The running ones.
#[derive(Debug, Default)]
pub(crate) struct Conversions(Mutex<HashSet<BuildId>>);

impl Conversions {
    /// One runs until what this answers is dropped.
    pub(crate) fn begin(&self, id: BuildId) -> Running<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Running { all: self, id }
    }

    /// Whether this one runs.
    pub(crate) fn is_running(&self, id: BuildId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

pub(crate) struct Running<'a> {
    all: &'a Conversions,
    id: BuildId,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
