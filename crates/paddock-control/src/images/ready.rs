//! Images for those who are about to run them.

use std::time::Duration;

use async_trait::async_trait;
use paddock_core::image::Image;
use paddock_core::proxy_form::{self, Host};
use paddock_core::registry::Reference;
use paddock_core::{AccountId, AppId, BlobDigest, ErrorId};
use paddock_store::ImageState;
use tokio::time::Instant;

use super::Images;
use super::access::RepositoryName;
use crate::kernel::run_images::RunImages;
use crate::{Error, Result};

/// How often it is looked without a wake-up.
const LOOK: Duration = Duration::from_millis(500);
/// The tag of a name that has none.
const LATEST: &str = "latest";

#[async_trait]
impl RunImages for Images {
    async fn image_ready(&self, app: AppId, id: &BlobDigest, patience: Duration) -> Result<Image> {
        let deadline = Instant::now() + patience;
        let mut changes = self.kernel.wakes.changes.listen();
        loop {
            let row = self.kernel.store.image(app, id).await?;
            let row = row.ok_or_else(|| {
                let text = format!("This app has no image {id}. Push it first: heroku container:push.");
                Error::not_found_because("image", text)
            })?;
            match row.state {
                ImageState::Ready => {
                    return Ok(Image { id: row.id, layers: row.layers, config: row.config });
                }
                ImageState::Failed => {
                    let why = row.failure.unwrap_or_default();
                    return Err(Error::invalid(format!("Image {id} cannot be run. {why}")));
                }
                ImageState::Pending if Instant::now() >= deadline => {
                    let text = format!("Image {id} is still being prepared. Try again in a moment.");
                    return Err(Error::new(ErrorId::Conflict, text));
                }
                ImageState::Pending => {
                    changes.heard(LOOK.min(deadline.saturating_duration_since(Instant::now()))).await;
                }
            }
        }
    }

    async fn base_image(
        &self,
        account: AccountId,
        reference: &str,
        patience: Duration,
    ) -> Result<Option<Image>> {
        let Some((host, rest)) = reference.split_once('/') else { return Ok(None) };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        if !self.kernel.config.is_platform(host) && proxy_form::host(&name) != Some(Host::Registry) {
            return Ok(None);
        }
        let missing = |text| Error::not_found_because("image", text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, LATEST));
        let repository = RepositoryName::parse(repository).map_err(|error| Error::invalid(error.message))?;
        let wanted: Reference =
            digest.unwrap_or(tag).parse().map_err(|error| Error::invalid(format!("{error}.")))?;
        let app = self.kernel.app_visible_to(account, repository.app_name()).await?;
        let found = self.manifest_of(app.id, repository.repository(), &wanted).await;
        let found = found.map_err(|error| Error::internal("read a manifest", error))?;
        let found = found.ok_or_else(|| missing(format!("There is no image {reference}.")))?;
        let id = found.image_id.ok_or_else(|| {
            missing(format!("{reference} has no image for linux/amd64, which is what this server runs."))
        })?;
        self.image_ready(app.id, &id, patience).await.map(Some)
    }
}
