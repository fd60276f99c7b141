//! The image that a manifest is of: what is known of it before its layers are looked into, and why it cannot be run.

use std::io::{self, Read};

use paddock_core::image::ImageConfig;
use paddock_core::{AppId, BlobDigest, JobId};
use paddock_images::oci::media_type::{DOCKER_CONFIG, OCI_CONFIG};
use paddock_images::oci::{CONFIG_BYTES_MAX, ConfigFile, ImageError, ImageManifest, ImageParts};
use paddock_store::{ImageState, NewJob};
use uuid::Uuid;

use super::access::sentence;
use super::conversion::{ImagePhase, KIND};
use super::error::{RegistryError, RegistryResult};
use super::{Images, blocking};
use crate::kernel::change::Change;
use crate::kernel::job::Phase;
use crate::{Error, Result};

/// The most bytes of all words and variables of an image: they are given to its processes.
const WORDS_BYTES_MAX: usize = 128 << 10;

/// An image that a manifest is of.
pub(super) struct OfImage {
    /// The digest of its configuration.
    pub(super) id: BlobDigest,
    /// What it is made of, or why it cannot be run.
    pub(super) parts: std::result::Result<ImageParts, String>,
}

impl Images {
    /// The image that a manifest is of, if it is of one: not of a signature, say.
    ///
    /// # Errors
    /// `MANIFEST_BLOB_UNKNOWN` when the app does not have its configuration.
    pub(super) async fn image_of(
        &self,
        app: AppId,
        manifest: &ImageManifest,
        own: &BlobDigest,
    ) -> RegistryResult<Option<OfImage>> {
        if ![OCI_CONFIG, DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
            return Ok(None);
        }
        let id = manifest.config.digest.clone();
        // That it is there is looked at again when the manifest is kept.
        if self.kernel.store.registry_blob(app, &id).await?.is_none() {
            return Err(RegistryError::unknown_names(vec![id.to_string()]));
        }
        let (config, parts) = self.parts_of(manifest, own).await?;
        // What is for no platform is no image: a proof of how one was built, say.
        let is_none = config.is_some_and(|config| config.platform.os == "unknown");
        Ok((!is_none).then_some(OfImage { id, parts }))
    }

    /// What a manifest and its configuration say of an image, or why it cannot be run; and the configuration by itself, if it
    /// can be read.
    pub(super) async fn parts_of(
        &self,
        manifest: &ImageManifest,
        own: &BlobDigest,
    ) -> Result<(Option<ConfigFile>, std::result::Result<ImageParts, String>)> {
        let config = match self.config_of(&manifest.config.digest).await? {
            Some(bytes) => ConfigFile::read(&bytes),
            None => Err(ImageError::TooLarge { what: "configuration", bytes_max: CONFIG_BYTES_MAX }),
        };
        let parts = config.clone().and_then(|config| ImageParts::new(manifest, own, config));
        Ok((config.ok(), parts.map_err(|error| sentence(&error.to_string())).and_then(checked)))
    }

    /// The configuration of an image; nothing where it is too large.
    async fn config_of(&self, id: &BlobDigest) -> Result<Option<Vec<u8>>> {
        let (blobs, wanted) = (self.blobs.clone(), id.clone());
        let read = blocking(move || {
            let found = blobs.read(&wanted).map_err(io::Error::other)?;
            let (file, length) = found.ok_or_else(|| io::Error::other("it is not on the disk"))?;
            let mut bytes = Vec::new();
            if length > CONFIG_BYTES_MAX as u64 {
                return Ok(None);
            }
            file.take(CONFIG_BYTES_MAX as u64).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        });
        read.await.map_err(|error: io::Error| Error::internal("read the configuration of an image", error))
    }
}

/// The parts of an image, if it can be run, or why not.
pub(super) fn checked(parts: ImageParts) -> std::result::Result<ImageParts, String> {
    if parts.layers.is_empty() {
        return Err(sentence(&ImageError::NoLayers.to_string()));
    }
    words_fit(&parts.config.image).map(|()| parts)
}

fn words_fit(config: &ImageConfig) -> std::result::Result<(), String> {
    let words = config.entrypoint.iter().chain(&config.command).map(String::len).sum::<usize>();
    let env = config.env.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    match words + env {
        0..=WORDS_BYTES_MAX => Ok(()),
        _ => Err(format!(
            "The words and variables of its configuration are more than {} kB.",
            WORDS_BYTES_MAX >> 10
        )),
    }
}

/// Has an image made ready, or says why it cannot be run.
pub(super) async fn await_image(tx: &mut Change<'_>, app: AppId, image: OfImage) -> RegistryResult<()> {
    let id = &image.id;
    match image.parts {
        Ok(parts) if tx.await_image(app, id, &parts.config.image).await? => {
            let job = NewJob {
                id: JobId::from_uuid(Uuid::now_v7()),
                kind: KIND.to_owned(),
                app_id: Some(app),
                subject_id: id.to_string(),
                phase: ImagePhase::Converting.as_str().to_owned(),
                secret: None,
                run_at: None,
            };
            tx.enqueue_job(&job).await?;
        }
        Ok(_) => {}
        Err(why) => {
            let row = tx.image(app, id).await?;
            if row.is_none_or(|row| row.state != ImageState::Ready) {
                tx.await_image(app, id, &ImageConfig::default()).await?;
                tx.set_image_failed(app, id, &why).await?;
            }
        }
    }
    Ok(())
}
