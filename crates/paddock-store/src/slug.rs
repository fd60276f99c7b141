//! Slugs: the packed results of builds. The bytes lie in the content store; here is which layer, and what it runs.

use std::collections::{BTreeMap, BTreeSet};

use paddock_core::artefact::Artefact;
use paddock_core::stack::Stack;
use paddock_core::{AppId, LayerDigest, ProcessType, SlugId, UnixMicros};

use crate::engine::{self, FromRow, Row, reads, row, statements, values};
use crate::error::{Result, StoreError};
use crate::process_image::ProcessImages;
use crate::{SecretSha256, Store, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    pub id: SlugId,
    /// The app it was built for; `None` when that is deleted and another app's release uses the slug.
    pub app_id: Option<AppId>,
    /// Content digest of its layer; empty until a client has uploaded it.
    pub layer: String,
    pub size_bytes: i64,
    /// Checksum as the API says it, `SHA256:…`.
    pub checksum: Option<String>,
    /// The commit it was built from, or what the client called the source.
    pub commit_id: Option<String>,
    /// What the client said of the source.
    pub commit_description: Option<String>,
    /// Command by process type.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the last buildpack calls itself.
    pub buildpack_description: Option<String>,
    /// What it is laid upon.
    pub stack: Stack,
    /// The version of the stack it was built on.
    pub stack_version: String,
    /// What process types run of images, for one that is of images.
    pub images: ProcessImages,
    pub created_at: UnixMicros,
}

row!(Slug { id, layer, size_bytes, process_types, stack, stack_version, images, created_at }
    optional { app_id, checksum, commit_id, commit_description, buildpack_description });

impl Slug {
    /// Whether it has something to run: not before it is uploaded, nor when its last process type is gone.
    #[must_use]
    pub fn runs_something(&self) -> bool {
        !self.layer.is_empty() || !self.images.0.is_empty()
    }
}

/// What a new slug is made of; fields as in [`Slug`].
#[derive(Debug, Clone)]
pub struct NewSlug {
    pub id: SlugId,
    /// The app it is built for.
    pub app_id: AppId,
    /// Content digest of its layer; empty for one that a client will upload.
    pub layer: String,
    /// SHA-256 of the secret that opens the upload.
    pub put_secret_sha256: Option<SecretSha256>,
    pub size_bytes: i64,
    /// Checksum as the API says it.
    pub checksum: Option<String>,
    /// The commit it was built from.
    pub commit_id: Option<String>,
    /// What the client said of the source.
    pub commit_description: Option<String>,
    /// Command by process type.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the last buildpack calls itself.
    pub buildpack_description: Option<String>,
    /// What it is laid upon.
    pub stack: Stack,
    /// The version of the stack it was built on.
    pub stack_version: String,
    /// What process types run of images, for one that is of images.
    pub images: ProcessImages,
}

struct Layer(String);

impl FromRow for Layer {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("layer").map(Self)
    }
}

struct OfProcesses(ProcessImages);

impl FromRow for OfProcesses {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("images").map(Self)
    }
}

struct Several(Vec<LayerDigest>);

impl FromRow for Several {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("layers").map(Self)
    }
}

statements! {
    BY_ID = "SELECT * FROM slugs WHERE id = $1";
    BY_PUT_SECRET = "SELECT * FROM slugs WHERE put_secret_sha256 = $1";
    LAYERS = "SELECT DISTINCT layer FROM slugs WHERE layer <> '' ORDER BY layer";
    IMAGES = "SELECT images FROM slugs WHERE images <> ''";
    OF_APP = "SELECT slugs.* FROM slugs WHERE app_id = $1 OR id IN (SELECT slug_id FROM releases WHERE app_id = $1)";
    LAYERS_OF_IMAGES = "SELECT layers FROM images";
    LAYERS_OF_STACKS = "SELECT run_layers AS layers FROM stack_versions UNION SELECT build_layers FROM stack_versions";
    LAYERS_TO_REUSE = "SELECT layer FROM converted_layers UNION SELECT layer FROM build_steps WHERE layer <> ''";
    CREATE = "INSERT INTO slugs (id, app_id, layer, size_bytes, checksum, commit_id, commit_description, \
        process_types, buildpack_description, stack, stack_version, put_secret_sha256, images, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    /// What was uploaded once is never replaced: releases may run it.
    UPLOADED = "UPDATE slugs SET layer = $2, size_bytes = $3, checksum = $4 WHERE id = $1 AND layer = ''";
    PURGE_OLD = "DELETE FROM slugs WHERE app_id = $1 AND created_at < $2 \
        AND NOT EXISTS (SELECT 1 FROM releases WHERE releases.slug_id = slugs.id) \
        AND NOT EXISTS (SELECT 1 FROM builds WHERE builds.slug_id = slugs.id AND builds.status = 'pending')";
    PURGE_ORPHANS = "DELETE FROM slugs WHERE app_id IS NULL \
        AND NOT EXISTS (SELECT 1 FROM releases WHERE releases.slug_id = slugs.id)";
}

reads! {
    slug(id: SlugId) -> one Slug: BY_ID [id];
    /// The slug whose upload the secret with this SHA-256 opens.
    slug_by_put_secret(sha256: &SecretSha256) -> one Slug: BY_PUT_SECRET [*sha256];
}

impl Store {
    /// What a process of a release of a slug runs.
    ///
    /// # Errors
    /// `Gone` when the version of the stack is not there that it is laid upon, or the slug has nothing to run.
    pub async fn artefact(&self, slug: &Slug, process_type: &ProcessType) -> Result<Artefact> {
        if let Some(process) = slug.images.of(process_type) {
            return Ok(Artefact::of_image(process));
        }
        if !slug.runs_something() {
            return Err(StoreError::Gone { noun: "process type", id: process_type.to_string() });
        }
        let layer = slug.layer.parse().map_err(|_| StoreError::UnknownValue { column: "layer" })?;
        Ok(Artefact::of_slug(layer, self.base_of_dynos(&slug.stack, &slug.stack_version).await?))
    }

    /// The digest of every layer that some slug, image or stack needs, in order: without it releases do not run.
    pub async fn needed_layers(&self) -> Result<BTreeSet<String>> {
        let mut connection = self.reader().await?;
        let layers = engine::all::<Layer>(&mut connection, LAYERS, values![]).await?;
        let mut needed: BTreeSet<_> = layers.into_iter().map(|Layer(layer)| layer).collect();
        for OfProcesses(images) in engine::all(&mut connection, IMAGES, values![]).await? {
            needed.extend(images.layers().map(ToString::to_string));
        }
        for Several(layers) in engine::all(&mut connection, LAYERS_OF_IMAGES, values![]).await? {
            needed.extend(layers.iter().map(ToString::to_string));
        }
        drop(connection);
        needed.extend(self.layers_of_stacks().await?);
        Ok(needed)
    }

    /// Those that stacks are made of, all versions that are kept.
    pub async fn layers_of_stacks(&self) -> Result<BTreeSet<String>> {
        let found = engine::all(&mut *self.reader().await?, LAYERS_OF_STACKS, values![]).await?;
        let layers = found.into_iter().flat_map(|Several(layers)| layers);
        Ok(layers.map(|layer| layer.to_string()).collect())
    }

    /// Those that the slugs and releases of one app need.
    pub async fn layers_of_app(&self, app: AppId) -> Result<BTreeSet<String>> {
        let slugs = engine::all::<Slug>(&mut *self.reader().await?, OF_APP, values![app]).await?;
        let layers = slugs.iter().flat_map(|slug| {
            slug.images
                .layers()
                .map(ToString::to_string)
                .chain([slug.layer.clone()].into_iter().filter(|l| !l.is_empty()))
        });
        Ok(layers.collect())
    }

    /// The same of the platform, and every layer that is kept to be used again: what the content store must keep.
    pub async fn kept_layers(&self) -> Result<BTreeSet<String>> {
        let mut kept = self.needed_layers().await?;
        let again = engine::all::<Layer>(&mut *self.reader().await?, LAYERS_TO_REUSE, values![]).await?;
        kept.extend(again.into_iter().map(|Layer(layer)| layer));
        Ok(kept)
    }
}

impl Tx {
    pub async fn create_slug(&mut self, new: &NewSlug) -> Result<()> {
        let values = values![
            new.id,
            new.app_id,
            new.layer,
            new.size_bytes,
            new.checksum,
            new.commit_id,
            new.commit_description,
            new.process_types,
            new.buildpack_description,
            new.stack,
            new.stack_version,
            new.put_secret_sha256,
            new.images,
            self.now
        ];
        self.execute(CREATE, values).await.map(drop)
    }

    /// Gives a slug the layer that was made of its upload. Whether it had none.
    pub async fn set_slug_uploaded(
        &mut self,
        id: SlugId,
        layer: &str,
        size_bytes: i64,
        checksum: &str,
    ) -> Result<bool> {
        Ok(self.execute(UPLOADED, values![id, layer, size_bytes, checksum]).await? > 0)
    }

    pub(crate) async fn purge_old_slugs(&mut self, app_id: AppId, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE_OLD, values![app_id, before]).await
    }

    /// Deletes slugs of deleted apps that no release uses. How many.
    pub async fn purge_orphan_slugs(&mut self) -> Result<u64> {
        self.execute(PURGE_ORPHANS, values![]).await
    }
}
