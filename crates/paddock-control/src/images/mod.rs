//! The registry of each app, and images that are made ready to run.
//!
//! A client brings blobs ([`upload`]), then a manifest that names them ([`manifest`]). What is an image for this machine becomes
//! a row that waits, and a job ([`conversion`]) makes mountable layers of its blobs; who is about to run it waits for that
//! ([`ready`]). Images of other registries are pulled for builds that begin from them ([`pull`]). An app has the blobs that its rows say; the bytes lie once for all apps.

pub mod access;
mod blob;
mod conversion;
mod convert_layer;
pub mod error;
mod listing;
mod manifest;
mod of_image;
mod pull;
mod ready;
mod remote;
mod sweep;
mod token;
mod upload;

use std::sync::Arc;

pub use paddock_images::oci::MANIFEST_BYTES_MAX;
use paddock_images::{Blobs, LayerStore};
use paddock_outbound::Outbound;
use paddock_runtime::{LocalVolumes, Runtime, Share};

pub use access::{Action, Caller, RepositoryName};
pub use blob::Blob;
pub(crate) use conversion::Conversions;
pub use error::{RegistryError, RegistryResult};
pub use listing::{Page, Referrers};
pub use manifest::{KeptManifest, ReadManifest};
pub(crate) use sweep::RegistrySweep;
pub use token::RegistryToken;
pub use upload::{Begun, Chunk, Upload, UploadBody};

use crate::Machine;
use crate::kernel::Kernel;

/// The share by which converters see blobs: the folder of the store of blobs.
pub const BLOBS: Share = Share("blobs");

/// The use cases of registries and images.
pub struct Images {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) volumes: Arc<dyn LocalVolumes>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) layers: Arc<dyn LayerStore>,
    pub(crate) outbound: Outbound,
    pub(crate) token_key: token::TokenKey,
    pub(crate) upload_turns: upload::UploadTurns,
    pub(crate) converting: convert_layer::Converting,
}

/// How many images, and layers of them, are converted at a time: one for each core.
pub(crate) fn at_a_time(machine: Machine) -> usize {
    usize::try_from(machine.millicores.div_ceil(1000)).unwrap_or(1).max(1)
}

/// No conversion goes on yet.
pub(crate) fn converting(machine: Machine) -> convert_layer::Converting {
    convert_layer::Converting::new(at_a_time(machine))
}

/// Does what blocks off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
