//! Containers of no build that this process runs: of uploaded slugs, of stacks that are tried. They look like those of builds
//! without a row.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use paddock_core::BuildId;

/// The running ones.
#[derive(Debug, Default)]
pub(crate) struct RunningContainers(Mutex<HashSet<BuildId>>);

impl RunningContainers {
    /// One is running until what this answers is dropped.
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
    all: &'a RunningContainers,
    id: BuildId,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
