//! Images that can be run, for areas that must not know how they come to be.

use std::time::Duration;

use async_trait::async_trait;
use paddock_core::image::Image;
use paddock_core::{AccountId, AppId, BlobDigest};

use crate::Result;

/// Has images ready.
#[async_trait]
pub(crate) trait RunImages: Send + Sync {
    /// An image of the app by its id, waited for while it is being prepared.
    ///
    /// # Errors
    /// `not_found` for an image that was not pushed; `invalid_params` for one that cannot be run, with why; `conflict` when it
    /// is not ready in time.
    async fn image_ready(&self, app: AppId, id: &BlobDigest, patience: Duration) -> Result<Image>;

    /// The image that is meant by a name of this server's own registry, `HOST/APP/TYPE:TAG` or `…@DIGEST`, if that account works
    /// on its app; `None` for a name of another registry.
    ///
    /// # Errors
    /// As [`Self::image_ready`]; `not_found` also where the app is not to be seen, `invalid_params` for a name that is none.
    async fn base_image(
        &self,
        account: AccountId,
        reference: &str,
        patience: Duration,
    ) -> Result<Option<Image>>;
}
