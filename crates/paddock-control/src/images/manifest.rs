//! Manifests: kept as they were sent, by their digest and by tags; what is an image for this machine is made ready.

use bytes::Bytes;
use paddock_core::event::Event;
use paddock_core::registry::{MediaType, Reference, RegistryCode, Repository};
use paddock_core::{AppId, BlobDigest};
use paddock_images::oci::{Index, Manifest};
use paddock_store::{Manifest as Row, NewManifest};
use sha2::{Digest, Sha256};

use super::Images;
use super::access::{Action, Caller, Opened, RepositoryName, sentence};
use super::error::{RegistryError, RegistryResult};
use super::of_image::await_image;
use crate::kernel::change::Change;

/// The most that one manifest names.
const NAMED_MAX: usize = 1000;

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
        let (digest, sent) = read(content_type, content)?;
        if let Reference::Digest(named) = reference
            && *named != digest
        {
            let text = format!("The digest of this manifest is {digest}, and not {named}.");
            return Err(RegistryError::new(RegistryCode::DigestInvalid, text));
        }
        self.room_for_manifest(opened.app.id).await?;
        let image = match &sent.manifest {
            Manifest::Image(manifest) => self.image_of(opened.app.id, manifest, &digest).await?,
            Manifest::Index(_) => None,
        };
        let subject = sent.manifest.subject().map(|subject| subject.digest.clone());

        let mut tx = self.kernel.change_app(opened.app.id, "keep a manifest").await?;
        check_named(&mut tx, &opened, &sent.manifest).await?;
        let image_id = match (&image, &sent.manifest) {
            (Some(image), _) => Some(image.id.clone()),
            (None, Manifest::Index(index)) => image_of_index(&mut tx, &opened, index, &digest).await?,
            (None, Manifest::Image(_)) => None,
        };
        let new = sent.row(&opened, digest.clone(), image_id);
        tx.put_manifest(&new).await?;
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
        repository: &Repository,
        reference: &Reference,
    ) -> RegistryResult<Option<Row>> {
        let store = &self.kernel.store;
        Ok(match reference {
            Reference::Digest(digest) => store.manifest(app, repository, digest).await?,
            Reference::Tag(tag) => store.tagged_manifest(app, repository, tag).await?,
        })
    }

    /// The manifest of the image for this machine. An index without one would be read as an image that lacks everything.
    async fn image_in_index(
        &self,
        row: Row,
        name: &RepositoryName,
        reference: &Reference,
    ) -> RegistryResult<Row> {
        let unusable = |why: String| {
            let text = format!("{name}:{} is no image for this server: {why}.", shown(reference));
            RegistryError::new(RegistryCode::ManifestUnknown, text)
        };
        let chosen = match Manifest::read(row.content.as_bytes(), row.media_type.as_str()) {
            Ok(Manifest::Index(index)) => index
                .choose(&row.digest)
                .map(|named| named.digest.clone())
                .map_err(|e| unusable(e.to_string()))?,
            Ok(Manifest::Image(_)) => return Ok(row),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let found = self.kernel.store.manifest(row.app_id, &row.repository, &chosen).await?;
        found.ok_or_else(|| unusable(format!("{chosen} was not pushed")))
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

/// A manifest as it was sent.
struct Sent {
    media_type: MediaType,
    content: String,
    manifest: Manifest,
}

impl Sent {
    fn row(self, opened: &Opened, digest: BlobDigest, image_id: Option<BlobDigest>) -> NewManifest {
        let named = self.manifest.blobs().into_iter().chain(self.manifest.manifests());
        let references = named.map(|named| named.digest.clone()).collect();
        NewManifest {
            app_id: opened.app.id,
            repository: opened.repository.clone(),
            digest,
            media_type: self.media_type,
            content: self.content,
            image_id,
            references,
            subject: self.manifest.subject().map(|subject| subject.digest.clone()),
        }
    }
}

/// Reads a manifest; its digest is that of its bytes.
fn read(content_type: Option<&str>, content: Bytes) -> RegistryResult<(BlobDigest, Sent)> {
    let invalid = |text: &str| RegistryError::new(RegistryCode::ManifestInvalid, sentence(text));
    let digest = BlobDigest::of_sha256(Sha256::digest(&content).into());
    let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let manifest = Manifest::read(&content, kind).map_err(|error| invalid(&error.to_string()))?;
    let media_type = MediaType::parse(kind).ok_or_else(|| invalid("its media type is not taken"))?;
    let named = manifest.blobs().len() + manifest.manifests().len();
    if named > NAMED_MAX {
        return Err(invalid(&format!(
            "the manifest names {named} things, and {NAMED_MAX} at most are taken"
        )));
    }
    let content = String::from_utf8(content.into()).map_err(|_| invalid("the manifest is not a text"))?;
    Ok((digest, Sent { media_type, content, manifest }))
}

/// An error unless all that is named is there, as long as was said.
async fn check_named(tx: &mut Change<'_>, opened: &Opened, manifest: &Manifest) -> RegistryResult<()> {
    let mut missing = Vec::new();
    for named in manifest.blobs() {
        match tx.registry_blob(opened.app.id, &named.digest).await? {
            None => missing.push(named.digest.to_string()),
            Some(blob) if u64::try_from(blob.size_bytes).ok() == Some(named.size) => {}
            Some(blob) => {
                let text = format!("{} has {} bytes, and not {}.", named.digest, blob.size_bytes, named.size);
                return Err(RegistryError::new(RegistryCode::ManifestInvalid, text));
            }
        }
    }
    for named in manifest.manifests() {
        if !tx.has_manifest(opened.app.id, &opened.repository, &named.digest).await? {
            missing.push(named.digest.to_string());
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(RegistryError::unknown_names(missing)) }
}

/// The image of an index that is for this machine, if it has one.
async fn image_of_index(
    tx: &mut Change<'_>,
    opened: &Opened,
    index: &Index,
    own: &BlobDigest,
) -> RegistryResult<Option<BlobDigest>> {
    let Ok(chosen) = index.choose(own) else { return Ok(None) };
    let manifest = tx.manifest(opened.app.id, &opened.repository, &chosen.digest).await?;
    Ok(manifest.and_then(|manifest| manifest.image_id))
}
