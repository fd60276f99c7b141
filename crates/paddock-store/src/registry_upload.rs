//! Uploads into apps' registries that are under way. How far one is its file knows.

use paddock_core::registry::Repository;
use paddock_core::{AppId, UnixMicros, UploadId};

use crate::engine::{self, FromRow, Number, Row, reads, row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryUpload {
    pub id: UploadId,
    pub app_id: AppId,
    pub repository: Repository,
    pub created_at: UnixMicros,
    /// When something came of it, or it began.
    pub updated_at: UnixMicros,
}

row!(RegistryUpload { id, app_id, repository, created_at, updated_at } optional {});

struct Id(UploadId);

impl FromRow for Id {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("id").map(Self)
    }
}

statements! {
    BY_ID = "SELECT * FROM registry_uploads WHERE id = $1";
    OF_APP = "SELECT * FROM registry_uploads WHERE app_id = $1 ORDER BY id";
    OF_SERVER = "SELECT registry_uploads.id FROM registry_uploads JOIN apps ON apps.id = registry_uploads.app_id \
        WHERE apps.server_id = $1";
    COUNT = "SELECT COUNT(*) AS number FROM registry_uploads WHERE app_id = $1";
    STALE = "SELECT * FROM registry_uploads WHERE updated_at < $2 \
        AND app_id IN (SELECT id FROM apps WHERE server_id = $1) ORDER BY id";
    CREATE = "INSERT INTO registry_uploads (id, app_id, repository, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $4)";
    TOUCH = "UPDATE registry_uploads SET updated_at = $2 WHERE id = $1";
    DELETE = "DELETE FROM registry_uploads WHERE id = $1";
    DELETE_STALE = "DELETE FROM registry_uploads WHERE id = $1 AND updated_at < $2";
}

reads! {
    registry_upload(id: UploadId) -> one RegistryUpload: BY_ID [id];
    /// All that go on for the app.
    registry_uploads(app_id: AppId) -> all RegistryUpload: OF_APP [app_id];
}

impl Store {
    /// Every upload of this server's apps.
    pub async fn upload_ids(&self) -> Result<Vec<UploadId>> {
        let mut connection = self.reader().await?;
        let found = engine::all::<Id>(&mut connection, OF_SERVER, values![self.server.id]).await?;
        Ok(found.into_iter().map(|Id(id)| id).collect())
    }

    /// Uploads of this server's apps that nothing came of since `before`.
    pub async fn stale_uploads(&self, before: UnixMicros) -> Result<Vec<RegistryUpload>> {
        engine::all(&mut *self.reader().await?, STALE, values![self.server.id, before]).await
    }
}

impl Tx {
    pub async fn create_registry_upload(
        &mut self,
        id: UploadId,
        app_id: AppId,
        repository: &Repository,
    ) -> Result<()> {
        self.execute(CREATE, values![id, app_id, *repository, self.now]).await.map(drop)
    }

    /// How many go on for the app.
    pub async fn count_registry_uploads(&mut self, app_id: AppId) -> Result<i64> {
        let count = self.one::<Number>(COUNT, values![app_id]).await?;
        Ok(count.map_or(0, |Number(count)| count))
    }

    /// Notes that something came of it. False for one that is gone.
    pub async fn touch_registry_upload(&mut self, id: UploadId) -> Result<bool> {
        Ok(self.execute(TOUCH, values![id, self.now]).await? > 0)
    }

    /// Ends an upload. Whether it was there.
    pub async fn delete_registry_upload(&mut self, id: UploadId) -> Result<bool> {
        Ok(self.execute(DELETE, values![id]).await? > 0)
    }

    /// Ends an upload that nothing came of since `before`. Whether it was one.
    pub async fn delete_stale_upload(&mut self, id: UploadId, before: UnixMicros) -> Result<bool> {
        Ok(self.execute(DELETE_STALE, values![id, before]).await? > 0)
    }
}
