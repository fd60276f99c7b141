//! How a router is told to stop, and how far that has gone.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Tells a router to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leave: CancellationToken,
    drain: CancellationToken,
    force: CancellationToken,
    reload: Notify,
}

impl Stop {
    /// Another router has the same sockets: no new clients here, and those that are here notice nothing. Each gets
    /// the answers it waits for, the last one with `Connection: close`; tunnels and streams go on.
    pub fn retire(&self) {
        self.0.leave.cancel();
    }

    /// No new clients; requests in flight are finished, everything else is closed.
    pub fn drain(&self) {
        self.0.leave.cancel();
        self.0.drain.cancel();
    }

    /// Reads the certificates again if they changed.
    pub fn reload_certificates(&self) {
        self.0.reload.notify_one();
    }

    /// Ready when the certificates are to be read again.
    pub(crate) async fn reloading(&self) {
        self.0.reload.notified().await;
    }

    /// Ready once the router takes no new clients.
    pub(crate) async fn leaving(&self) {
        self.0.leave.cancelled().await;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.0.leave.is_cancelled()
    }

    /// Ready once the router is to stop soon.
    pub(crate) async fn draining(&self) {
        self.0.drain.cancelled().await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }

    /// Requests in flight are broken off.
    pub(crate) fn force(&self) {
        self.0.force.cancel();
    }

    /// Ready once requests in flight are to be broken off.
    pub(crate) async fn forced(&self) {
        self.0.force.cancelled().await;
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.0.force.is_cancelled()
    }
}
