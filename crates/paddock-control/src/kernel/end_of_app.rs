//! What an area does when an app is destroyed, within the very change that destroys it.

use async_trait::async_trait;
use paddock_core::{AccountId, AppId};

use crate::Result;
use crate::kernel::change::Change;

/// Has something that an app's rows do not take with them.
#[async_trait]
pub(crate) trait EndOfApp: Send + Sync {
    /// Lets go of it. `by` is who destroys the app.
    async fn end_of_app(&self, tx: &mut Change<'_>, app: AppId, by: AccountId) -> Result<()>;
}
