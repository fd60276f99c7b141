//! Keeps what accounts have left of their requests on disk, some seconds old at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::{Control, Result};

/// Writes rate limits down.
pub struct RateLimitReconciler {
    control: Arc<Control>,
}

impl RateLimitReconciler {
    /// For this control plane.
    #[must_use]
    pub fn new(control: Arc<Control>) -> Self {
        Self { control }
    }
}

#[async_trait]
impl Reconciler for RateLimitReconciler {
    const NAME: &'static str = "rate_limits";
    const INTERVAL: Duration = Duration::from_secs(10);

    async fn pass(&mut self) -> Result<PassReport> {
        let done = self.control.write_rate_limits().await?;
        Ok(PassReport { done, ..PassReport::default() })
    }
}
