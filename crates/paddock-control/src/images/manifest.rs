//! Manifests: kept as they were sent, by their digest and by tags; what is an image for this machine is made ready.

use std::io::{self, Read};

use bytes::Bytes;
use paddock_core::event::Event;
use paddock_core::registry::{MediaType, Reference, RegistryCode};
use paddock_core::{AppId, BlobDigest, JobId};
use paddock_store::{ImageState, Manifest, NewJob, NewManifest};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::access::{Action, Caller, Opened, RepositoryName};
use super::conversion::{ImagePhase, KIND};
use super::error::{RegistryError, RegistryResult};
use super::shape::{CONFIG_BYTES_MAX, Descriptor, ImageShape, Names, Shape, is_config_of_image};
use super::{Images, blocking};
use crate::kernel::change::Change;
use crate::{Error, Result};

/// A manifest that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptManifest {
    pub digest: BlobDigest,
    /// What it is about.
    pub subject: Option<BlobDigest>,
}

/// A manifest as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadManifest {
    pub digest: BlobDigest,
    pub media_type: MediaType,
    pub content: String,
}

/// An image that a manifest is of.
struct OfImage {
    id: BlobDigest,
    /// What is known of it, or why it cannot be run.
    shape: std::result::Result<ImageShape, String>,
}

impl Images {
    /// Keeps a manifest, and has its tag name it. All that it names must be there.
    ///
    /// # Errors
    /// `MANIFEST_INVALID`, `MANIFEST_BLOB_UNKNOWN`, `DIGEST_INVALID` where it is not the one that the reference names,
    /// `DENIED`, `NAME_INVALID`.
    pub async fn put_manifest(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        reference: &Reference,
        content_type: Option<&str>,
        content: Bytes,
    ) -> RegistryResult<KeptManifest> {
        let opened = self.open(caller, name, Action::Push).await?;
        let invalid = |text| RegistryError::new(RegistryCode::ManifestInvalid, text);
        let digest = BlobDigest::of_sha256(Sha256::digest(&content).into());
        let content = String::from_utf8(content.into());
        let content = content.map_err(|_| invalid("The manifest is not a text.".to_owned()))?;
        let shape = Shape::read(content_type, &content).map_err(invalid)?;
        if let Reference::Digest(named) = reference
            && *named != digest
        {
            let text = format!("The digest of this manifest is {digest}, and not {named}.");
            return Err(RegistryError::new(RegistryCode::DigestInvalid, text));
        }
        self.room_for_manifest(opened.app.id).await?;
        let image = self.image_of(opened.app.id, &shape).await?;
        let subject = shape.subject.as_ref().map(|subject| subject.digest.clone());

        let mut tx = self.kernel.change_app(opened.app.id, "keep a manifest").await?;
        check_named(&mut tx, &opened, &shape.names).await?;
        let image_id = match (&image, &shape.names) {
            (Some(image), _) => Some(image.id.clone()),
            (None, Names::Manifests(manifests)) => image_of_index(&mut tx, &opened, manifests).await?,
            (None, Names::Blobs { .. }) => None,
        };
        let references = shape.names.all().map(|named| named.digest.clone()).chain(subject.clone());
        tx.put_manifest(&NewManifest {
            app_id: opened.app.id,
            repository: opened.repository.clone(),
            digest: digest.clone(),
            media_type: shape.media_type,
            content,
            image_id,
            references: references.collect(),
        })
        .await?;
        if let Reference::Tag(tag) = reference {
            tx.set_tag(opened.app.id, &opened.repository, tag, &digest).await?;
        }
        if let Some(image) = image {
            await_image(&mut tx, opened.app.id, image).await?;
        }
        let event = Event::ImagePushed {
            app: opened.app.id,
            repository: opened.repository.to_string(),
            reference: shown(reference),
            digest: digest.to_string(),
        };
        tx.commit("manifest.kept", event, &caller.actor).await?;
        Ok(KeptManifest { digest, subject })
    }

    /// The image that a manifest is of, by its configuration.
    async fn image_of(&self, app: AppId, shape: &Shape) -> RegistryResult<Option<OfImage>> {
        let Names::Blobs { config, .. } = &shape.names else { return Ok(None) };
        if !is_config_of_image(config) {
            return Ok(None);
        }
        // That it is there is looked at again when the manifest is kept.
        if self.kernel.store.registry_blob(app, &config.digest).await?.is_none() {
            return Err(unknown_names(vec![config.digest.to_string()]));
        }
        let (length, bytes) = self.config_of(&config.digest).await?;
        let shape = match length {
            0..=CONFIG_BYTES_MAX => ImageShape::read(&bytes),
            _ => Err(format!("Its configuration is larger than {} MB.", CONFIG_BYTES_MAX >> 20)),
        };
        // What is for no platform is no image: a proof of how one was built, say.
        let is_none = |shape: &ImageShape| shape.platform.os == "unknown";
        Ok((!shape.as_ref().is_ok_and(is_none)).then(|| OfImage { id: config.digest.clone(), shape }))
    }

    /// The configuration of an image and its length; nothing of one that is too large.
    pub(super) async fn config_of(&self, id: &BlobDigest) -> Result<(u64, Vec<u8>)> {
        let (blobs, wanted) = (self.blobs.clone(), id.clone());
        let read = blocking(move || {
            let found = blobs.read(&wanted).map_err(io::Error::other)?;
            let (file, length) = found.ok_or_else(|| io::Error::other("it is not on the disk"))?;
            let mut bytes = Vec::new();
            if length <= CONFIG_BYTES_MAX {
                file.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes)?;
            }
            Ok::<_, io::Error>((length, bytes))
        });
        read.await.map_err(|error| Error::internal("read the configuration of an image", error))
    }

    /// The manifest that is meant. A client that takes no index gets the image for this machine where a tag names one, as
    /// Docker's registry does it.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`, `NAME_UNKNOWN`, `NAME_INVALID`.
    pub async fn manifest(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        reference: &Reference,
        takes_index: bool,
    ) -> RegistryResult<ReadManifest> {
        let opened = self.open(caller, name, Action::Pull).await?;
        let found = self.manifest_of(opened.app.id, &opened.repository, reference).await?;
        let found = match found {
            Some(index)
                if index.media_type.is_index() && !takes_index && matches!(reference, Reference::Tag(_)) =>
            {
                Some(self.image_in_index(index, name, reference).await?)
            }
            found => found,
        };
        let found = match found {
            Some(found) => found,
            None if self.kernel.store.has_repository(opened.app.id, &opened.repository).await? => {
                let text = format!("{name} has no manifest {}.", shown(reference));
                return Err(RegistryError::new(RegistryCode::ManifestUnknown, text));
            }
            None => return Err(unpushed(name)),
        };
        Ok(ReadManifest { digest: found.digest, media_type: found.media_type, content: found.content })
    }

    pub(super) async fn manifest_of(
        &self,
        app: AppId,
        repository: &paddock_core::registry::Repository,
        reference: &Reference,
    ) -> RegistryResult<Option<Manifest>> {
        let store = &self.kernel.store;
        Ok(match reference {
            Reference::Digest(digest) => store.manifest(app, repository, digest).await?,
            Reference::Tag(tag) => store.tagged_manifest(app, repository, tag).await?,
        })
    }

    /// The manifest of the image for this machine. An index without one would be read as an image that lacks everything.
    async fn image_in_index(
        &self,
        index: Manifest,
        name: &RepositoryName,
        reference: &Reference,
    ) -> RegistryResult<Manifest> {
        let shape = Shape::read(Some(index.media_type.as_str()), &index.content);
        let shape = shape.map_err(|text| RegistryError::new(RegistryCode::ManifestUnknown, text))?;
        for named in shape.names.all() {
            let Some(id) = &index.image_id else { break };
            let found = self.kernel.store.manifest(index.app_id, &index.repository, &named.digest).await?;
            let is_it = |manifest: &Manifest| {
                !manifest.media_type.is_index() && manifest.image_id.as_ref() == Some(id)
            };
            if let Some(manifest) = found.filter(is_it) {
                return Ok(manifest);
            }
        }
        let text = format!("{name}:{} {}", shown(reference), shape.none_for_us());
        Err(RegistryError::new(RegistryCode::ManifestUnknown, text))
    }

    /// Removes a tag, or a manifest with its tags.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`, `DENIED`, `NAME_INVALID`.
    pub async fn delete_manifest(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        reference: &Reference,
    ) -> RegistryResult<()> {
        let opened = self.open(caller, name, Action::Delete).await?;
        let (app, repository) = (opened.app.id, &opened.repository);
        let mut tx = self.kernel.change_app(app, "delete a manifest").await?;
        let was_there = match reference {
            Reference::Digest(digest) => tx.delete_manifest(app, repository, digest).await?,
            Reference::Tag(tag) => tx.delete_tag(app, repository, tag).await?,
        };
        if !was_there {
            let text = format!("{name} has no manifest {}.", shown(reference));
            return Err(RegistryError::new(RegistryCode::ManifestUnknown, text));
        }
        let event =
            Event::ImageDeleted { app, repository: repository.to_string(), reference: shown(reference) };
        tx.commit("manifest.deleted", event, &caller.actor).await?;
        Ok(())
    }
}

/// That nothing was pushed there yet.
pub(super) fn unpushed(name: &RepositoryName) -> RegistryError {
    RegistryError::new(RegistryCode::NameUnknown, format!("Nothing was pushed to {name} yet."))
}

fn shown(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => tag.to_string(),
        Reference::Digest(digest) => digest.to_string(),
    }
}

fn unknown_names(missing: Vec<String>) -> RegistryError {
    let text = "The manifest names it, and this app does not have it: push it first.";
    RegistryError::new(RegistryCode::ManifestBlobUnknown, text).about(missing)
}

/// An error unless all that is named is there, as long as was said.
async fn check_named(tx: &mut Change<'_>, opened: &Opened, names: &Names) -> RegistryResult<()> {
    let mut missing = Vec::new();
    for named in names.all() {
        let is_there = match names {
            Names::Manifests(_) => tx.has_manifest(opened.app.id, &opened.repository, &named.digest).await?,
            Names::Blobs { .. } => match tx.registry_blob(opened.app.id, &named.digest).await? {
                Some(blob) if u64::try_from(blob.size_bytes).ok() != Some(named.size) => {
                    let text =
                        format!("{} has {} bytes, and not {}.", named.digest, blob.size_bytes, named.size);
                    return Err(RegistryError::new(RegistryCode::ManifestInvalid, text));
                }
                blob => blob.is_some(),
            },
        };
        if !is_there {
            missing.push(named.digest.to_string());
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(unknown_names(missing)) }
}

/// The image of an index that is for this machine: the first that is said to be, or else the first that is one.
async fn image_of_index(
    tx: &mut Change<'_>,
    opened: &Opened,
    manifests: &[Descriptor],
) -> RegistryResult<Option<BlobDigest>> {
    let is_ours = |named: &&Descriptor| named.platform.as_ref().is_some_and(super::shape::Platform::is_ours);
    let unsaid = |named: &&Descriptor| named.platform.is_none();
    for named in manifests.iter().filter(is_ours).chain(manifests.iter().filter(unsaid)) {
        let manifest = tx.manifest(opened.app.id, &opened.repository, &named.digest).await?;
        if let Some(id) = manifest.and_then(|manifest| manifest.image_id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Has an image made ready, or says why it cannot be run.
async fn await_image(tx: &mut Change<'_>, app: AppId, image: OfImage) -> RegistryResult<()> {
    let id = &image.id;
    let shape = image.shape.and_then(|shape| match shape.platform.is_ours() {
        true => Ok(shape),
        false => Err(format!(
            "It is for {}/{}, and this server runs linux/amd64: build it with --platform linux/amd64.",
            shape.platform.os, shape.platform.architecture
        )),
    });
    match shape {
        Ok(shape) if tx.await_image(app, id, &shape.config).await? => {
            let job = NewJob {
                id: JobId::from_uuid(Uuid::now_v7()),
                kind: KIND.to_owned(),
                app_id: Some(app),
                subject_id: id.to_string(),
                phase: crate::kernel::job::Phase::as_str(ImagePhase::Converting).to_owned(),
                secret: None,
                run_at: None,
            };
            tx.enqueue_job(&job).await?;
        }
        Ok(_) => {}
        Err(why) => {
            let row = tx.image(app, id).await?;
            if row.is_none_or(|row| row.state != ImageState::Ready) {
                tx.await_image(app, id, &Default::default()).await?;
                tx.set_image_failed(app, id, &why).await?;
            }
        }
    }
    Ok(())
}
