//! Keeps bridge, forwarding and firewall rules as they must be: somebody else's tool may flush them at any time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;
use crate::kernel::error::Error;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::platform::Platform;

/// Keeps the containers' network true.
pub(crate) struct NetworkReconciler {
    platform: Arc<Platform>,
}

impl NetworkReconciler {
    #[must_use]
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        Self { platform }
    }
}

#[async_trait]
impl Reconciler for NetworkReconciler {
    const NAME: &'static str = "network";
    const INTERVAL: Duration = Duration::from_secs(15);

    async fn pass(&mut self) -> Result<PassReport> {
        let result = self.platform.runtime.reconcile_network().await;
        result.map_err(|error| Error::internal("bring the network back to what it must be", error))?;
        Ok(PassReport::default())
    }
}
