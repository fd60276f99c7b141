//! Finding images of the server's own registry, for areas that must not know of it.

use std::time::Duration;

use async_trait::async_trait;
use paddock_core::AccountId;
use paddock_core::image::Image;

use crate::Result;

/// Finds images.
#[async_trait]
pub(crate) trait FindImages: Send + Sync {
    /// The image of this server's registry that a name means to this account, ready to run; `None` for a name of another
    /// registry. See `images/ready.rs`.
    async fn image_named(&self, account: AccountId, name: &str, patience: Duration) -> Result<Option<Image>>;

    /// The same for the operator, who sees every app.
    async fn image_of_operator(&self, name: &str, patience: Duration) -> Result<Option<Image>>;
}
