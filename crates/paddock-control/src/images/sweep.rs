//! What registries leave behind: uploads that nobody goes on with, blobs that no manifest names, manifests that no tag names,
//! what killed conversions left.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use paddock_core::{AppId, UnixMicros};

use super::{Images, blocking};
use crate::Result;
use crate::kernel::clock::machine_time;
use crate::kernel::error::Error;
use crate::kernel::label;
use crate::kernel::sweep::Sweep;

/// How long an upload waits to be gone on with.
const UPLOADS: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a blob waits to be named by a manifest.
const BLOBS: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a manifest stays that nothing names any more, and an image that no manifest is of.
const MANIFESTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long it is known which blobs of other registries a build was given.
const PULLED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long files are spared that no row names: a blob is stored before its row is written.
const FILES: Duration = Duration::from_secs(10 * 60);
/// Between two looks at all of it.
const EACH: Duration = Duration::from_secs(10 * 60);

/// Sweeps after registries.
pub(crate) struct RegistrySweep {
    images: Arc<Images>,
    swept_at: Option<UnixMicros>,
}

impl RegistrySweep {
    pub(crate) fn new(images: Arc<Images>) -> Self {
        Self { images, swept_at: None }
    }
}

#[async_trait]
impl Sweep for RegistrySweep {
    /// Its rows went with it, and its blobs are what no row names.
    async fn remove_app(&mut self, app: AppId) -> Result<()> {
        self.images.clear_slots(app).await
    }

    async fn sweep(&mut self) -> Vec<Result<u64>> {
        let mut results = vec![self.images.sweep_conversions().await];
        let now = self.images.kernel.now();
        if self.swept_at.is_some_and(|at| at + EACH > now && at <= now) {
            return results;
        }
        let images = &self.images;
        results.extend([
            images.sweep_uploads().await,
            images.sweep_manifests().await,
            images.sweep_images().await,
            images.sweep_blob_rows().await,
            images.sweep_pulled().await,
            images.sweep_files().await,
        ]);
        if results.iter().all(Result::is_ok) {
            self.swept_at = Some(now);
        }
        results
    }
}

impl Images {
    /// Converters that nobody waits for: those of a process before, and of apps that are gone.
    async fn sweep_conversions(&self) -> Result<u64> {
        let observed = self.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        let mut removed = 0;
        for container in &observed {
            if let Some(app) = label::conversion_of(container)
                && !self.converting.is_used(container.id)
            {
                self.clear_slots(app).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn sweep_uploads(&self) -> Result<u64> {
        let before = self.kernel.now() - UPLOADS;
        let mut removed = 0;
        for upload in self.kernel.store.stale_uploads(before).await? {
            let mut tx = self.kernel.record("give up an upload").await?;
            let is_stale = tx.delete_stale_upload(upload.id, before).await?;
            tx.commit_quietly("registry_upload.given_up").await?;
            if is_stale {
                let blobs = self.blobs.clone();
                let gone = blocking(move || blobs.remove_upload(upload.id)).await;
                gone.map_err(|error| Error::internal("remove what came of an upload", error))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn sweep_manifests(&self) -> Result<u64> {
        let before = self.kernel.now() - MANIFESTS;
        let mut removed = 0;
        for (app, repository, digest) in self.kernel.store.unneeded_manifests(before).await? {
            // Its lock: who pushes an index of it, or tags it, does so before or after.
            let mut tx = self.kernel.observe_app(app, "remove a manifest that nothing names").await?;
            removed += u64::from(tx.purge_manifest(app, &repository, &digest, before).await?);
            tx.commit_quietly("manifest.swept").await?;
        }
        Ok(removed)
    }

    async fn sweep_images(&self) -> Result<u64> {
        let before = self.kernel.now() - MANIFESTS;
        let mut removed = 0;
        for image in self.kernel.store.unneeded_images(before).await? {
            let mut tx = self.kernel.observe_app(image.app_id, "forget an image").await?;
            removed += u64::from(tx.delete_image(image.app_id, &image.id, before).await?);
            tx.commit_quietly("image.forgotten").await?;
        }
        Ok(removed)
    }

    async fn sweep_blob_rows(&self) -> Result<u64> {
        let before = self.kernel.now() - BLOBS;
        let mut removed = 0;
        for app in self.kernel.store.apps_with_unnamed_blobs(before).await? {
            let mut tx = self.kernel.observe_app(app, "let go of blobs that no manifest names").await?;
            removed += tx.purge_registry_blobs(app, before).await?;
            tx.commit_quietly("registry_blob.swept").await?;
        }
        Ok(removed)
    }

    async fn sweep_pulled(&self) -> Result<u64> {
        let before = self.kernel.now() - PULLED;
        let mut tx = self.kernel.record("forget what was pulled long ago").await?;
        let forgotten = tx.forget_pulled_blobs(before).await?;
        tx.commit_quietly("pulled_blob.forgotten").await?;
        Ok(forgotten)
    }

    /// Files that no row names.
    async fn sweep_files(&self) -> Result<u64> {
        let before = machine_time().checked_sub(FILES).unwrap_or(SystemTime::UNIX_EPOCH);
        let uploads = self.kernel.store.upload_ids().await?;
        let mut kept: HashSet<_> = self.kernel.store.kept_blobs().await?.into_iter().collect();
        kept.extend(self.converting.awaited());
        let blobs = self.blobs.clone();
        let swept = blocking(move || {
            let uploads = blobs.sweep_uploads(&uploads, before)?;
            let blobs = blobs.sweep(&kept, before)?;
            Ok::<_, paddock_images::BlobError>(uploads.files + blobs.files)
        });
        swept.await.map_err(|error| Error::internal("remove blobs that nobody has", error))
    }
}
