//! Tells the router what changed, for areas that must not know of a router.

use async_trait::async_trait;
use paddock_core::AppId;

/// Tells the router.
#[async_trait]
pub(crate) trait PublishRoutes: Send + Sync {
    /// Sends an app's route as it is now and waits for a moment until the router uses it. What fails, and what is said to a
    /// router that is away, is told by the reconciler.
    async fn publish(&self, app: AppId);
}
