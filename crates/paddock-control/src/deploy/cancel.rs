//! Builds that can be cancelled: the ones that run in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use paddock_core::BuildId;
use tokio_util::sync::CancellationToken;

/// The running builds' tokens.
#[derive(Debug, Default)]
pub(crate) struct Cancels(Mutex<HashMap<BuildId, CancellationToken>>);

impl Cancels {
    /// A build begins. One that was cancelled before it began is cancelled at once.
    pub(crate) fn begin(&self, id: BuildId) -> CancellationToken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }

    pub(crate) fn end(&self, id: BuildId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Cancels a build that runs or waits.
    pub(crate) fn cancel(&self, id: BuildId) {
        self.begin(id).cancel();
    }
}
