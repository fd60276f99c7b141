//! Tells the router what changed, for areas that must not know of a router.

use async_trait::async_trait;

/// Who tells the router.
#[async_trait]
pub(crate) trait PublishRoutes: Send + Sync {
    /// Sends the routes as they are now and waits until the router uses them. What fails is tried again by the reconciler.
    async fn publish(&self);
}
