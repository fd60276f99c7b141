//! Blobs of an app's registry, and how much it may hold.

use std::fs::File;
use std::time::Duration;

use paddock_core::registry::RegistryCode;
use paddock_core::{AppId, BlobDigest};

use super::access::{Action, Caller, RepositoryName};
use super::error::{RegistryError, RegistryResult};
use super::{Images, blocking};

/// How stale it may be when a blob was last asked for that no manifest names.
const ASKED_EACH: Duration = Duration::from_secs(60 * 60);
/// All manifests of an app together: they are in the database.
const MANIFEST_BYTES_MAX: i64 = 256 << 20;

/// A blob as it is read.
#[derive(Debug)]
pub struct Blob {
    pub digest: BlobDigest,
    pub file: File,
    pub length: u64,
}

impl Images {
    /// A blob that the app has.
    ///
    /// # Errors
    /// `BLOB_UNKNOWN`, `NAME_UNKNOWN`, `NAME_INVALID`.
    pub async fn blob(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        digest: &BlobDigest,
    ) -> RegistryResult<Blob> {
        let opened = self.open(caller, name, Action::Pull).await?;
        let row = self.kernel.store.registry_blob(opened.app.id, digest).await?;
        let row = row.ok_or_else(|| unknown(digest))?;
        // Who asks whether it is there may be about to name it in a manifest.
        if row.created_at + ASKED_EACH < self.kernel.now() {
            let before = self.kernel.now() - ASKED_EACH;
            let mut tx = self.kernel.observe_app(opened.app.id, "note that a blob was asked for").await?;
            tx.touch_registry_blob(opened.app.id, digest, before).await?;
            tx.commit_quietly("registry_blob.touched").await?;
        }
        let (blobs, wanted) = (self.blobs.clone(), digest.clone());
        let found = blocking(move || blobs.read(&wanted)).await?;
        let lost = || RegistryError::internal("read a blob", format!("{digest} is not on the disk"));
        let (file, length) = found.ok_or_else(lost)?;
        Ok(Blob { digest: digest.clone(), file, length })
    }

    /// Takes a blob from the app that no manifest names.
    ///
    /// # Errors
    /// `BLOB_UNKNOWN`; `UNSUPPORTED` while a manifest names it; `DENIED`.
    pub async fn delete_blob(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        digest: &BlobDigest,
    ) -> RegistryResult<()> {
        let opened = self.open(caller, name, Action::Delete).await?;
        let mut tx = self.kernel.observe_app(opened.app.id, "delete a blob").await?;
        if tx.is_named_by_manifest(opened.app.id, digest).await? {
            let text = "A manifest of this app names the blob: delete the manifest first.";
            let refusal = RegistryError::new(RegistryCode::Unsupported, text);
            return Err(refusal.about(vec![digest.to_string()]));
        }
        if !tx.delete_registry_blob(opened.app.id, digest).await? {
            return Err(unknown(digest));
        }
        tx.commit_quietly("registry_blob.deleted").await?;
        Ok(())
    }

    /// How many bytes more the registry of an app may hold.
    pub(super) async fn room_of(&self, app: AppId) -> RegistryResult<u64> {
        let store = &self.kernel.store;
        let kept = store.registry_blob_bytes(app).await? + store.manifest_bytes(app).await?;
        let uploads: Vec<_> =
            store.registry_uploads(app).await?.into_iter().map(|upload| upload.id).collect();
        let blobs = self.blobs.clone();
        let coming =
            blocking(move || uploads.into_iter().map(|id| blobs.size_of_upload(id)).sum::<u64>()).await;
        let held = u64::try_from(kept).unwrap_or(0).saturating_add(coming);
        Ok(self.kernel.config.registry_bytes.saturating_sub(held))
    }

    /// That a registry has no room for more.
    pub(super) async fn is_full(&self, app: AppId) -> RegistryError {
        let kept = self.kernel.store.registry_blob_bytes(app).await.unwrap_or_default();
        let gigabytes =
            |bytes: u64| format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000);
        let text = format!(
            "The registry of this app has no room for it: it holds {}, and {} is all that it may, with what is being \
             uploaded. Delete images that are not used any more.",
            gigabytes(u64::try_from(kept).unwrap_or(0)),
            gigabytes(self.kernel.config.registry_bytes),
        );
        RegistryError::new(RegistryCode::Denied, text)
    }

    /// An error when an app has as many manifests as it may.
    pub(super) async fn room_for_manifest(&self, app: AppId) -> RegistryResult<()> {
        if self.kernel.store.manifest_bytes(app).await? < MANIFEST_BYTES_MAX {
            return Ok(());
        }
        let megabytes = MANIFEST_BYTES_MAX >> 20;
        let text =
            format!("The manifests of this app come to {megabytes} MB: delete some that are not used.");
        Err(RegistryError::new(RegistryCode::Denied, text))
    }
}

fn unknown(digest: &BlobDigest) -> RegistryError {
    let text = "This app has no such blob.";
    RegistryError::new(RegistryCode::BlobUnknown, text).about(vec![digest.to_string()])
}
