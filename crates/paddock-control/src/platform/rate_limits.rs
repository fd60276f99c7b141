//! Keeps what accounts have left of their requests on disk, some seconds old at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};
use crate::platform::Platform;

/// Writes rate limits down.
pub(crate) struct RateLimitReconciler {
    platform: Arc<Platform>,
}

impl RateLimitReconciler {
    #[must_use]
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        Self { platform }
    }
}

#[async_trait]
impl Reconciler for RateLimitReconciler {
    const NAME: &'static str = "rate_limits";
    const INTERVAL: Duration = Duration::from_secs(10);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.rate_limits)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        let done = self.platform.kernel.write_rate_limits().await?;
        Ok(PassReport { done, ..PassReport::default() })
    }
}
