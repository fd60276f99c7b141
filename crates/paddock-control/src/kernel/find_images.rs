//! Finding images by their names, for areas that must not know of it.

use std::time::Duration;

use async_trait::async_trait;
use paddock_build::BuildLog;
use paddock_core::image::Image;
use paddock_core::{AccountId, AppId};

use crate::Result;

/// Finds images.
#[async_trait]
pub(crate) trait FindImages: Send + Sync {
    /// The image of this server's registry that a name means to this account, ready to run; `None` for a name of another
    /// registry. See `images/ready.rs`.
    async fn image_named(&self, account: AccountId, name: &str, patience: Duration) -> Result<Option<Image>>;

    /// An image of another registry for a build of that app, pulled and ready to run; what is fetched is said in the build's
    /// output. See `images/pull.rs`.
    async fn image_elsewhere(&self, app: AppId, name: &str, log: &BuildLog) -> Result<Image>;

    /// As [`Self::image_named`] for the operator, who sees every app.
    async fn image_of_operator(&self, name: &str, patience: Duration) -> Result<Option<Image>>;
}
