//! Blobs of apps' registries: which app has which. The bytes lie in the store of blobs, once for all apps.

use paddock_core::{AppId, BlobDigest, UnixMicros};

use crate::engine::{self, FromRow, Number, Row, reads, row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// That an app has a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryBlob {
    pub app_id: AppId,
    pub digest: BlobDigest,
    pub size_bytes: i64,
    /// When it came, or was last asked for while no manifest named it.
    pub created_at: UnixMicros,
}

row!(RegistryBlob { app_id, digest, size_bytes, created_at } optional {});

struct OfApp(AppId);

impl FromRow for OfApp {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("app_id").map(Self)
    }
}

struct Digest(BlobDigest);

impl FromRow for Digest {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("digest").map(Self)
    }
}

statements! {
    BY_DIGEST = "SELECT * FROM registry_blobs WHERE app_id = $1 AND digest = $2";
    OF_APP = "SELECT * FROM registry_blobs WHERE app_id = $1 ORDER BY digest";
    OF_SERVER = "SELECT DISTINCT digest FROM registry_blobs \
        WHERE app_id IN (SELECT id FROM apps WHERE server_id = $1) ORDER BY digest";
    ADD = "INSERT INTO registry_blobs (app_id, digest, size_bytes, created_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (app_id, digest) DO UPDATE SET created_at = excluded.created_at";
    TOUCH = "UPDATE registry_blobs SET created_at = $3 WHERE app_id = $1 AND digest = $2 AND created_at < $4 \
        AND NOT EXISTS (SELECT 1 FROM registry_references r WHERE r.app_id = registry_blobs.app_id \
        AND r.digest = registry_blobs.digest)";
    IS_NAMED = "SELECT COUNT(*) AS number FROM registry_references WHERE app_id = $1 AND digest = $2";
    DELETE = "DELETE FROM registry_blobs WHERE app_id = $1 AND digest = $2";
    APPS_WITH_UNNAMED = "SELECT DISTINCT app_id FROM registry_blobs \
        WHERE app_id IN (SELECT id FROM apps WHERE server_id = $1) AND created_at < $2 \
        AND NOT EXISTS (SELECT 1 FROM registry_references r WHERE r.app_id = registry_blobs.app_id \
        AND r.digest = registry_blobs.digest)";
    PURGE = "DELETE FROM registry_blobs WHERE app_id = $1 AND created_at < $2 \
        AND NOT EXISTS (SELECT 1 FROM registry_references r WHERE r.app_id = registry_blobs.app_id \
        AND r.digest = registry_blobs.digest)";
    BYTES = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS number FROM registry_blobs WHERE app_id = $1";
}

reads! {
    /// The blob, if the app has it.
    registry_blob(app_id: AppId, digest: &BlobDigest) -> one RegistryBlob: BY_DIGEST [app_id, *digest];
    /// All blobs that the app has.
    registry_blobs(app_id: AppId) -> all RegistryBlob: OF_APP [app_id];
}

impl Store {
    /// The bytes of all blobs that the app has.
    pub async fn registry_blob_bytes(&self, app_id: AppId) -> Result<i64> {
        let sum = engine::one::<Number>(&mut *self.reader().await?, BYTES, values![app_id]).await?;
        Ok(sum.map_or(0, |Number(bytes)| bytes))
    }

    /// Every blob that some app of this server has: what the store of blobs must keep.
    pub async fn kept_blobs(&self) -> Result<Vec<BlobDigest>> {
        let mut connection = self.reader().await?;
        let found = engine::all::<Digest>(&mut connection, OF_SERVER, values![self.server.id]).await?;
        Ok(found.into_iter().map(|Digest(digest)| digest).collect())
    }

    /// The apps of this server with blobs from before `before` that no manifest names.
    pub async fn apps_with_unnamed_blobs(&self, before: UnixMicros) -> Result<Vec<AppId>> {
        let values = values![self.server.id, before];
        let found = engine::all::<OfApp>(&mut *self.reader().await?, APPS_WITH_UNNAMED, values).await?;
        Ok(found.into_iter().map(|OfApp(app)| app).collect())
    }
}

impl Tx {
    /// Gives the app a blob; one that it has is as new.
    pub async fn add_registry_blob(
        &mut self,
        app_id: AppId,
        digest: &BlobDigest,
        size_bytes: i64,
    ) -> Result<()> {
        self.execute(ADD, values![app_id, *digest, size_bytes, self.now]).await.map(drop)
    }

    /// Has a blob count as new that no manifest names yet, if it came before `before`: whoever asks for it may be about to
    /// name it.
    pub async fn touch_registry_blob(
        &mut self,
        app_id: AppId,
        digest: &BlobDigest,
        before: UnixMicros,
    ) -> Result<()> {
        self.execute(TOUCH, values![app_id, *digest, self.now, before]).await.map(drop)
    }

    /// Whether a manifest of the app names it.
    pub async fn is_named_by_manifest(&mut self, app_id: AppId, digest: &BlobDigest) -> Result<bool> {
        let count = self.one::<Number>(IS_NAMED, values![app_id, *digest]).await?;
        Ok(count.is_some_and(|Number(count)| count > 0))
    }

    /// Takes a blob from the app. Whether it had it.
    pub async fn delete_registry_blob(&mut self, app_id: AppId, digest: &BlobDigest) -> Result<bool> {
        Ok(self.execute(DELETE, values![app_id, *digest]).await? > 0)
    }

    /// Takes the blobs from before `before` from the app that no manifest of it names. How many.
    pub async fn purge_registry_blobs(&mut self, app_id: AppId, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![app_id, before]).await
    }
}
