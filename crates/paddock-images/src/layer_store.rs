//! The port to the content store of layers, for builds and for who keeps the store clean: neither knows where it is. On one
//! machine it is [`Layers`]; elsewhere it may be a registry that a cluster's nodes pull from.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use paddock_core::LayerDigest;

use crate::layers::{Collected, LayerError, Layers};

/// Keeps layers by their content. Every method may be repeated after a crash at any point.
#[async_trait]
pub trait LayerStore: Send + Sync {
    /// Takes in what a converter wrote to this file of the server's machine. When this returns the layer is durable and the
    /// file gone. The same bytes again give the same digest and change nothing. Whatever wrote the file must have ended.
    ///
    /// # Errors
    /// [`LayerError::NotALayer`], [`LayerError::Disk`].
    async fn add(&self, file: &Path) -> Result<LayerDigest, LayerError>;

    /// Takes in a copy of a converter's output that is open, read from its beginning; the same as [`Self::add`] else.
    ///
    /// # Errors
    /// [`LayerError::NotALayer`], [`LayerError::Disk`].
    async fn copy_in(&self, file: File) -> Result<LayerDigest, LayerError>;

    /// Whether a layer is here.
    ///
    /// # Errors
    /// [`LayerError::Disk`].
    async fn has(&self, digest: &LayerDigest) -> Result<bool, LayerError>;

    /// Every layer with its bytes, in order of digest.
    ///
    /// # Errors
    /// [`LayerError::Disk`].
    async fn list(&self) -> Result<Vec<(LayerDigest, u64)>, LayerError>;

    /// Removes layers that are neither in `keep` nor were added (or added again) after `added_before`: a layer is added
    /// before the row that names it is written, so the newest are spared. What runs on a layer goes on.
    ///
    /// # Errors
    /// [`LayerError::Disk`]; what was removed until then is gone.
    async fn collect(
        &self,
        keep: HashSet<LayerDigest>,
        added_before: SystemTime,
    ) -> Result<Collected, LayerError>;
}

/// The store in a folder of this machine, which is made if it is missing.
///
/// # Errors
/// [`LayerError::Disk`].
pub fn layer_store(folder: PathBuf) -> Result<Arc<dyn LayerStore>, LayerError> {
    Ok(Arc::new(Layers::open(folder)?))
}

#[async_trait]
impl LayerStore for Layers {
    async fn add(&self, file: &Path) -> Result<LayerDigest, LayerError> {
        let (layers, file) = (self.clone(), file.to_owned());
        blocking(move || layers.add_erofs(&file)).await
    }

    async fn copy_in(&self, file: File) -> Result<LayerDigest, LayerError> {
        let layers = self.clone();
        blocking(move || layers.copy_erofs(file)).await
    }

    async fn has(&self, digest: &LayerDigest) -> Result<bool, LayerError> {
        let (layers, digest) = (self.clone(), digest.clone());
        blocking(move || Ok(layers.contains(&digest))).await
    }

    async fn list(&self) -> Result<Vec<(LayerDigest, u64)>, LayerError> {
        let layers = self.clone();
        blocking(move || Self::list(&layers)).await
    }

    async fn collect(
        &self,
        keep: HashSet<LayerDigest>,
        added_before: SystemTime,
    ) -> Result<Collected, LayerError> {
        let layers = self.clone();
        blocking(move || Self::collect(&layers, &keep, added_before)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
