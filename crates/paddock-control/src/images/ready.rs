//! Images of our own registry for builds that begin with one.

use std::time::Duration;

use async_trait::async_trait;
use paddock_build::BuildLog;
use paddock_core::image::Image;
use paddock_core::proxy_form::{self, Host};
use paddock_core::registry::Reference;
use paddock_core::{AccountId, AppId, BlobDigest, ErrorId};
use paddock_store::ImageState;
use tokio::time::Instant;

use super::Images;
use super::access::RepositoryName;
use crate::kernel::find_images::FindImages;
use crate::{Error, Result};

/// How often it is looked without a wake-up.
const LOOK: Duration = Duration::from_secs(1);
/// The tag of a name that has none.
const LATEST: &str = "latest";

#[async_trait]
impl FindImages for Images {
    async fn image_named(&self, account: AccountId, name: &str, patience: Duration) -> Result<Option<Image>> {
        self.base_image(Some(account), name, patience).await
    }

    async fn image_elsewhere(&self, app: AppId, name: &str, log: &BuildLog) -> Result<Image> {
        self.pull(app, name, log).await
    }

    async fn image_of_operator(&self, name: &str, patience: Duration) -> Result<Option<Image>> {
        self.base_image(None, name, patience).await
    }
}

impl Images {
    /// The image that is meant by a name of this server's own registry, `HOST/APP/TYPE:TAG` or `…@DIGEST`, if that account works
    /// on its app, or none is asked about; `None` for a name of another registry. One that is still being made ready is waited for.
    ///
    /// # Errors
    /// `not_found` for an image that is not there, or not to be seen; `invalid_params` for a name that is none and for an image
    /// that cannot be run, with why; `service_unavailable` for one that is not ready in time.
    pub async fn base_image(
        &self,
        account: Option<AccountId>,
        reference: &str,
        patience: Duration,
    ) -> Result<Option<Image>> {
        let Some((host, rest)) = reference.split_once('/') else { return Ok(None) };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        if !self.kernel.config.is_platform(host) && proxy_form::host(&name) != Some(Host::Registry) {
            return Ok(None);
        }
        let (repository, wanted) = match rest.split_once('@') {
            // A tag beside a digest says nothing.
            Some((rest, digest)) => (rest.split(':').next().unwrap_or(rest), digest),
            None => rest.rsplit_once(':').unwrap_or((rest, LATEST)),
        };
        let repository = RepositoryName::parse(repository).map_err(|error| Error::invalid(error.message))?;
        let wanted: Reference = wanted.parse().map_err(|error| Error::invalid(format!("{error}.")))?;
        let missing = |text| Error::not_found_because("image", text);
        let app = match account {
            Some(account) => self.kernel.app_visible_to(account, repository.app_name()).await?.id,
            None => {
                let app = self.kernel.store.app_by_name(repository.app_name()).await?;
                app.ok_or_else(|| Error::not_found("app"))?.id
            }
        };
        let found = self.manifest_of(app, repository.repository(), &wanted).await;
        let found = found.map_err(|error| Error::internal("read a manifest", error))?;
        let found = found.ok_or_else(|| missing(format!("There is no image {reference}.")))?;
        let id = found.image_id.ok_or_else(|| {
            missing(format!("{reference} has no image for linux/amd64, which is what this server runs."))
        })?;
        self.ready(app, &id, reference, patience).await.map(Some)
    }

    async fn ready(&self, app: AppId, id: &BlobDigest, name: &str, patience: Duration) -> Result<Image> {
        let until = Instant::now() + patience;
        let mut changes = self.kernel.wakes.changes.listen();
        loop {
            let row = self.kernel.store.image(app, id).await?;
            let row = row.ok_or_else(|| {
                Error::not_found_because("image", format!("There is no image {name} any more."))
            })?;
            match row.state {
                ImageState::Ready => {
                    return Ok(Image { id: row.id, layers: row.layers, base: None, config: row.config });
                }
                ImageState::Failed => {
                    let why = row.failure.unwrap_or_default();
                    return Err(Error::invalid(format!("{name} cannot be used: {why}")));
                }
                ImageState::Pending if Instant::now() < until => changes.heard(LOOK).await,
                ImageState::Pending => {
                    let text = format!("{name} is still being made ready. Try again in a minute.");
                    return Err(Error::new(ErrorId::ServiceUnavailable, text));
                }
            }
        }
    }
}
