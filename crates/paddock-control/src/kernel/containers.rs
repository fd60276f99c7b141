//! The ends of many containers, waited for.

use std::time::Duration;

use paddock_runtime::{ContainerState, Observed, Runtime};

use super::error::{Error, Result};

/// A container that ends without telling is found by looking.
const LOOKS_APART: Duration = Duration::from_millis(500);

/// The containers that are meant.
pub(crate) async fn listed(
    runtime: &dyn Runtime,
    is_meant: impl Fn(&Observed) -> bool,
) -> Result<Vec<Observed>> {
    let observed = runtime.observe().await.map_err(|error| Error::internal("list containers", error))?;
    Ok(observed.into_iter().filter(is_meant).collect())
}

/// Waits until none of those that are meant runs, so long at most.
pub(crate) async fn ended(
    runtime: &dyn Runtime,
    is_meant: impl Fn(&Observed) -> bool,
    patience: Duration,
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < deadline {
        let left = listed(runtime, &is_meant).await?;
        if left.iter().all(|container| container.state != ContainerState::Running) {
            break;
        }
        let _ = tokio::time::timeout(LOOKS_APART, runtime.changed()).await;
    }
    Ok(())
}
