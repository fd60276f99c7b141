//! Manifests of apps' registries: what was pushed, by which tags it goes, what it names.

use paddock_core::registry::{MediaType, Repository, Tag};
use paddock_core::{AccountId, AppId, AppName, BlobDigest, UnixMicros};

use crate::engine::{self, FromRow, Number, Row, reads, row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// A manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub app_id: AppId,
    pub repository: Repository,
    pub digest: BlobDigest,
    pub media_type: MediaType,
    /// As it was sent.
    pub content: String,
    /// The image that it is of, where it is of one that can be run here.
    pub image_id: Option<BlobDigest>,
    pub created_at: UnixMicros,
}

row!(Manifest { app_id, repository, digest, media_type, content, created_at } optional { image_id });

/// What a new manifest is made of; fields as in [`Manifest`].
#[derive(Debug, Clone)]
pub struct NewManifest {
    pub app_id: AppId,
    pub repository: Repository,
    pub digest: BlobDigest,
    pub media_type: MediaType,
    pub content: String,
    pub image_id: Option<BlobDigest>,
    /// Blobs, and manifests of the repository, that it names.
    pub references: Vec<BlobDigest>,
    /// What it was made about, which need not be there.
    pub subject: Option<BlobDigest>,
}

/// A repository, as a catalog names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRepository {
    pub app: AppName,
    pub repository: Repository,
}

impl FromRow for ListedRepository {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { app: row.get("app")?, repository: row.get("repository")? })
    }
}

struct TagOf(Tag);

impl FromRow for TagOf {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("tag").map(Self)
    }
}

struct Unneeded {
    app_id: AppId,
    repository: Repository,
    digest: BlobDigest,
}

row!(Unneeded { app_id, repository, digest } optional {});

statements! {
    BY_DIGEST = "SELECT * FROM registry_manifests WHERE app_id = $1 AND repository = $2 AND digest = $3";
    BY_TAG = "SELECT m.* FROM registry_manifests m JOIN registry_tags t ON t.app_id = m.app_id \
        AND t.repository = m.repository AND t.digest = m.digest \
        WHERE t.app_id = $1 AND t.repository = $2 AND t.tag = $3";
    // As many as one page may have, less those before which it is full.
    ABOUT = "SELECT m.* FROM (SELECT digest, SUM(bytes) OVER (ORDER BY digest) - bytes AS bytes_above \
        FROM (SELECT digest, OCTET_LENGTH(content) AS bytes FROM registry_manifests WHERE app_id = $1 \
        AND repository = $2 AND subject = $3 AND digest > $4 ORDER BY digest LIMIT $5) listed) page \
        JOIN registry_manifests m ON m.app_id = $1 AND m.repository = $2 AND m.digest = page.digest \
        WHERE page.bytes_above < $6 ORDER BY m.digest";
    OF_IMAGE = "SELECT * FROM registry_manifests WHERE app_id = $1 AND image_id = $2 \
        AND media_type IN ('application/vnd.oci.image.manifest.v1+json', \
        'application/vnd.docker.distribution.manifest.v2+json') ORDER BY created_at DESC, repository, digest \
        LIMIT 1";
    BYTES = "SELECT CAST(COALESCE(SUM(OCTET_LENGTH(content)), 0) AS BIGINT) AS number FROM registry_manifests \
        WHERE app_id = $1";
    IS_IN = "SELECT COUNT(*) AS number FROM registry_manifests WHERE app_id = $1 AND repository = $2 AND digest = $3";
    HAS_ANY = "SELECT COUNT(*) AS number FROM registry_manifests WHERE app_id = $1 AND repository = $2";
    TAGS = "SELECT tag FROM registry_tags WHERE app_id = $1 AND repository = $2 AND tag > $3 ORDER BY tag LIMIT $4";
    CATALOG = "SELECT DISTINCT apps.name AS app, registry_manifests.repository FROM registry_manifests \
        JOIN apps ON apps.id = registry_manifests.app_id WHERE apps.server_id = $2 AND (apps.owner_id = $1 \
        OR apps.id IN (SELECT app_id FROM collaborators WHERE account_id = $1)) ORDER BY 1, 2";
    PUT = "INSERT INTO registry_manifests (app_id, repository, digest, media_type, content, image_id, subject, \
        created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (app_id, repository, digest) \
        DO UPDATE SET image_id = excluded.image_id, subject = excluded.subject, created_at = excluded.created_at";
    NAME = "INSERT INTO registry_references (app_id, repository, manifest, digest) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (app_id, repository, manifest, digest) DO NOTHING";
    TAG = "INSERT INTO registry_tags (app_id, repository, tag, digest, updated_at) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (app_id, repository, tag) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at";
    // Another than $5, which has no tag of it then.
    LEAVE = "UPDATE registry_manifests SET untagged_at = $4 WHERE app_id = $1 AND repository = $2 \
        AND digest IN (SELECT digest FROM registry_tags WHERE app_id = $1 AND repository = $2 AND tag = $3) \
        AND digest <> $5";
    LEAVE_IMAGE = "UPDATE images SET updated_at = $4 WHERE app_id = $1 AND id IN (SELECT m.image_id \
        FROM registry_manifests m JOIN registry_tags t ON t.app_id = m.app_id AND t.repository = m.repository \
        AND t.digest = m.digest WHERE t.app_id = $1 AND t.repository = $2 AND t.tag = $3 AND t.digest <> $5)";
    UNTAG = "DELETE FROM registry_tags WHERE app_id = $1 AND repository = $2 AND tag = $3";
    DELETE = "DELETE FROM registry_manifests WHERE app_id = $1 AND repository = $2 AND digest = $3";
    DELETE_TAGS = "DELETE FROM registry_tags WHERE app_id = $1 AND repository = $2 AND digest = $3";
    DELETE_NAMES = "DELETE FROM registry_references WHERE app_id = $1 AND repository = $2 AND manifest = $3";
    // For long neither pushed nor tagged, and neither tagged, nor named by another, nor about another that is there.
    UNNEEDED = "SELECT m.app_id, m.repository, m.digest FROM registry_manifests m \
        JOIN apps ON apps.id = m.app_id WHERE apps.server_id = $1 AND m.created_at < $2 \
        AND m.untagged_at < $2 \
        AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.app_id = m.app_id AND t.repository = m.repository \
        AND t.digest = m.digest) \
        AND NOT EXISTS (SELECT 1 FROM registry_references r WHERE r.app_id = m.app_id \
        AND r.repository = m.repository AND r.digest = m.digest) \
        AND NOT EXISTS (SELECT 1 FROM registry_manifests s WHERE s.app_id = m.app_id AND s.repository = m.repository \
        AND s.digest = m.subject) \
        ORDER BY m.app_id, m.repository, m.digest";
    PURGE = "DELETE FROM registry_manifests WHERE app_id = $1 AND repository = $2 AND digest = $3 \
        AND created_at < $4 AND untagged_at < $4 \
        AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.app_id = registry_manifests.app_id \
        AND t.repository = registry_manifests.repository AND t.digest = registry_manifests.digest) \
        AND NOT EXISTS (SELECT 1 FROM registry_references r WHERE r.app_id = registry_manifests.app_id \
        AND r.repository = registry_manifests.repository AND r.digest = registry_manifests.digest) \
        AND NOT EXISTS (SELECT 1 FROM registry_manifests s WHERE s.app_id = registry_manifests.app_id \
        AND s.repository = registry_manifests.repository AND s.digest = registry_manifests.subject)";
}

reads! {
    manifest(app_id: AppId, repository: &Repository, digest: &BlobDigest) -> one Manifest:
        BY_DIGEST [app_id, *repository, *digest];
    /// The manifest that a tag names.
    tagged_manifest(app_id: AppId, repository: &Repository, tag: &Tag) -> one Manifest:
        BY_TAG [app_id, *repository, *tag];
    /// The app's manifest of this image that was pushed last, and no index: an earlier one may name other layers.
    manifest_of_image(app_id: AppId, image_id: &BlobDigest) -> one Manifest: OF_IMAGE [app_id, *image_id];
}

impl Store {
    /// The bytes of all manifests that the app has.
    pub async fn manifest_bytes(&self, app_id: AppId) -> Result<i64> {
        let sum = engine::one::<Number>(&mut *self.reader().await?, BYTES, values![app_id]).await?;
        Ok(sum.map_or(0, |Number(bytes)| bytes))
    }

    /// Whether anything was pushed there.
    pub async fn has_repository(&self, app_id: AppId, repository: &Repository) -> Result<bool> {
        let values = values![app_id, *repository];
        let count = engine::one::<Number>(&mut *self.reader().await?, HAS_ANY, values).await?;
        Ok(count.is_some_and(|Number(count)| count > 0))
    }

    /// Tags of a repository in order, those after `after`, at most so many.
    pub async fn registry_tags(
        &self,
        app_id: AppId,
        repository: &Repository,
        after: &str,
        max: u32,
    ) -> Result<Vec<Tag>> {
        let values = values![app_id, *repository, after, max];
        let tags = engine::all::<TagOf>(&mut *self.reader().await?, TAGS, values).await?;
        Ok(tags.into_iter().map(|TagOf(tag)| tag).collect())
    }

    /// Manifests of a repository that are about `subject` in order, those after `after`: at most `max`, and no more when these
    /// come to `bytes_max`.
    pub async fn manifests_about(
        &self,
        app_id: AppId,
        repository: &Repository,
        subject: &BlobDigest,
        after: &str,
        (max, bytes_max): (u32, u32),
    ) -> Result<Vec<Manifest>> {
        let values = values![app_id, *repository, *subject, after, max, bytes_max];
        engine::all(&mut *self.reader().await?, ABOUT, values).await
    }

    /// The repositories of all apps of this server that the account works on, in order.
    pub async fn repositories_of(&self, account_id: AccountId) -> Result<Vec<ListedRepository>> {
        let values = values![account_id, self.server.id];
        engine::all(&mut *self.reader().await?, CATALOG, values).await
    }

    /// Manifests of this server's apps that nobody has named since `before`: neither a tag nor another manifest, and they are
    /// about no other.
    pub async fn unneeded_manifests(
        &self,
        before: UnixMicros,
    ) -> Result<Vec<(AppId, Repository, BlobDigest)>> {
        let values = values![self.server.id, before];
        let found = engine::all::<Unneeded>(&mut *self.reader().await?, UNNEEDED, values).await?;
        Ok(found.into_iter().map(|row| (row.app_id, row.repository, row.digest)).collect())
    }
}

impl Tx {
    /// Keeps a manifest with what it names; one that is there is as new.
    pub async fn put_manifest(&mut self, new: &NewManifest) -> Result<()> {
        let values = values![
            new.app_id,
            new.repository,
            new.digest,
            new.media_type,
            new.content,
            new.image_id,
            new.subject,
            self.now
        ];
        self.execute(PUT, values).await?;
        for digest in &new.references {
            self.execute(NAME, values![new.app_id, new.repository, new.digest, *digest]).await?;
        }
        Ok(())
    }

    /// Whether the repository has this manifest.
    pub async fn has_manifest(
        &mut self,
        app_id: AppId,
        repository: &Repository,
        digest: &BlobDigest,
    ) -> Result<bool> {
        let count = self.one::<Number>(IS_IN, values![app_id, *repository, *digest]).await?;
        Ok(count.is_some_and(|Number(count)| count > 0))
    }

    /// Has a tag name a manifest from now on. What it named before counts as new.
    pub async fn set_tag(
        &mut self,
        app_id: AppId,
        repository: &Repository,
        tag: &Tag,
        digest: &BlobDigest,
    ) -> Result<()> {
        self.leave(app_id, repository, tag, &digest.to_string()).await?;
        self.execute(TAG, values![app_id, *repository, *tag, *digest, self.now]).await.map(drop)
    }

    /// Removes a tag; what it named stays, and counts as new. Whether it was there.
    pub async fn delete_tag(&mut self, app_id: AppId, repository: &Repository, tag: &Tag) -> Result<bool> {
        self.leave(app_id, repository, tag, "").await?;
        Ok(self.execute(UNTAG, values![app_id, *repository, *tag]).await? > 0)
    }

    /// Notes that a tag is about to leave what it names, unless that is `next`.
    async fn leave(&mut self, app_id: AppId, repository: &Repository, tag: &Tag, next: &str) -> Result<()> {
        for leave in [LEAVE, LEAVE_IMAGE] {
            self.execute(leave, values![app_id, *repository, *tag, self.now, next]).await?;
        }
        Ok(())
    }

    /// Removes a manifest and its tags. Whether it was there.
    pub async fn delete_manifest(
        &mut self,
        app_id: AppId,
        repository: &Repository,
        digest: &BlobDigest,
    ) -> Result<bool> {
        let values = || values![app_id, *repository, *digest];
        self.execute(DELETE_TAGS, values()).await?;
        self.execute(DELETE_NAMES, values()).await?;
        Ok(self.execute(DELETE, values()).await? > 0)
    }

    /// Removes a manifest that neither a tag nor another manifest has named since `before` and that is about none that is
    /// there. Whether it was one.
    pub async fn purge_manifest(
        &mut self,
        app_id: AppId,
        repository: &Repository,
        digest: &BlobDigest,
        before: UnixMicros,
    ) -> Result<bool> {
        let purged = self.execute(PURGE, values![app_id, *repository, *digest, before]).await? > 0;
        if purged {
            self.execute(DELETE_NAMES, values![app_id, *repository, *digest]).await?;
        }
        Ok(purged)
    }
}
