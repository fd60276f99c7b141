//! Making the add-ons that a build asks for, for areas that must not know of add-ons.

use async_trait::async_trait;
use paddock_core::AccountId;
use paddock_store::App;

/// Makes add-ons.
#[async_trait]
pub(crate) trait OrderAddons: Send + Sync {
    /// Makes those of these plans (`SERVICE:PLAN`, or `SERVICE`) whose service the app has none of yet, and waits for a moment
    /// until they can be used. What a pusher is told of it.
    async fn order_for_first_release(&self, app: &App, by: AccountId, plans: &[String]) -> Vec<String>;
}
