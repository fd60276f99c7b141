//! The end of all dynos, when the operator asked for it.

use paddock_core::durable;
use paddock_runtime::ContainerState;

use crate::dynos::{Dynos, launch};
use crate::{Error, Result};

impl Dynos {
    /// Ends every dyno: SIGTERM to all, then SIGKILL after the grace. Rows stay: the next start begins them anew.
    pub async fn stop_all_dynos(&self) -> Result<()> {
        let listing = |error| Error::internal("list containers", error);
        for observed in self.runtime.observe().await.map_err(listing)? {
            let stopped = durable!(
                "dyno.stopped_with_server",
                self.runtime.stop(observed.id, launch::STOP_GRACE).await
            );
            stopped.map_err(|error| Error::internal("stop a container", error))?;
        }
        let deadline = tokio::time::Instant::now() + launch::STOP_GRACE + std::time::Duration::from_secs(5);
        while tokio::time::Instant::now() < deadline {
            let observed = self.runtime.observe().await.map_err(listing)?;
            if observed.iter().all(|container| container.state != ContainerState::Running) {
                break;
            }
            let pause = std::time::Duration::from_millis(500);
            let _ = tokio::time::timeout(pause, self.runtime.changed()).await;
        }
        Ok(())
    }
}
