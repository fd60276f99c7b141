//! Images of apps: pushed or built, and what of them is ready to run; layers that were converted, by what they were made of.

use paddock_core::image::ImageConfig;
use paddock_core::{AppId, BlobDigest, LayerDigest, UnixMicros};

use crate::engine::{self, reads, row, statements, values, word_columns};
use crate::error::Result;
use crate::{Store, Tx};

/// How far an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageState {
    /// Its layers are being converted.
    Pending,
    /// It can be run.
    Ready,
    /// It cannot be run.
    Failed,
}

impl ImageState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// The state with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

word_columns!(ImageState = ImageState::parse);

/// An image of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    pub app_id: AppId,
    /// The digest of its configuration.
    pub id: BlobDigest,
    pub state: ImageState,
    /// Why it cannot be run: a sentence for whoever wants to.
    pub failure: Option<String>,
    pub config: ImageConfig,
    /// The uppermost first; none before it is ready.
    pub layers: Vec<LayerDigest>,
    /// Of its layers as they are mounted.
    pub size_bytes: i64,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(ImageRow { app_id, id, state, config, layers, size_bytes, created_at, updated_at } optional { failure });

/// The mountable layer that a tar became on this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedLayer {
    /// The digest of the tar.
    pub diff_id: BlobDigest,
    pub layer: LayerDigest,
    pub size_bytes: i64,
    /// When an image was last made of it.
    pub used_at: UnixMicros,
}

row!(ConvertedLayer { diff_id, layer, size_bytes, used_at } optional {});

struct DiffId(BlobDigest);

impl engine::FromRow for DiffId {
    fn from_row(row: &engine::Row) -> Result<Self> {
        row.get("diff_id").map(Self)
    }
}

statements! {
    BY_ID = "SELECT * FROM images WHERE app_id = $1 AND id = $2";
    /// What is ready stays so, whoever pushes it again; what failed is tried again.
    AWAIT = "INSERT INTO images (app_id, id, state, config, layers, size_bytes, created_at, updated_at) \
        VALUES ($1, $2, 'pending', $3, '[]', 0, $4, $4) ON CONFLICT (app_id, id) \
        DO UPDATE SET state = 'pending', failure = NULL, config = excluded.config, updated_at = excluded.updated_at \
        WHERE images.state = 'failed'";
    READY = "UPDATE images SET state = 'ready', failure = NULL, config = $3, layers = $4, size_bytes = $5, \
        updated_at = $6 WHERE app_id = $1 AND id = $2";
    FAIL = "UPDATE images SET state = 'failed', failure = $3, updated_at = $4 WHERE app_id = $1 AND id = $2 \
        AND state = 'pending'";
    UNNEEDED = "SELECT images.* FROM images JOIN apps ON apps.id = images.app_id \
        WHERE apps.server_id = $1 AND images.updated_at < $2 AND images.state <> 'pending' \
        AND NOT EXISTS (SELECT 1 FROM registry_manifests m WHERE m.app_id = images.app_id AND m.image_id = images.id) \
        ORDER BY images.app_id, images.id";
    DELETE = "DELETE FROM images WHERE app_id = $1 AND id = $2 AND updated_at < $3 AND state <> 'pending' \
        AND NOT EXISTS (SELECT 1 FROM registry_manifests m WHERE m.app_id = images.app_id AND m.image_id = images.id)";
    CONVERTED = "SELECT * FROM converted_layers WHERE server_id = $1 AND diff_id = $2";
    CONVERT = "INSERT INTO converted_layers (server_id, diff_id, layer, size_bytes, used_at) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (server_id, diff_id) \
        DO UPDATE SET layer = excluded.layer, size_bytes = excluded.size_bytes, used_at = excluded.used_at";
    USED = "UPDATE converted_layers SET used_at = $3 WHERE server_id = $1 AND diff_id = $2";
    OF_BLOB = "SELECT diff_id FROM layer_blobs WHERE blob = $1";
    FOUND = "INSERT INTO layer_blobs (blob, diff_id) VALUES ($1, $2) ON CONFLICT (blob) DO NOTHING";
}

reads! {
    image(app_id: AppId, id: &BlobDigest) -> one ImageRow: BY_ID [app_id, *id];
}

impl Store {
    /// What this tar became on this server.
    pub async fn converted_layer(&self, diff_id: &BlobDigest) -> Result<Option<ConvertedLayer>> {
        let values = values![self.server.id, *diff_id];
        engine::one(&mut *self.reader().await?, CONVERTED, values).await
    }

    /// The digest of the tar in this blob, if it was looked into.
    pub async fn diff_id_of_blob(&self, blob: &BlobDigest) -> Result<Option<BlobDigest>> {
        let found = engine::one::<DiffId>(&mut *self.reader().await?, OF_BLOB, values![*blob]).await?;
        Ok(found.map(|DiffId(diff_id)| diff_id))
    }

    /// Images of this server's apps that were not changed since `before` and that no manifest is of.
    pub async fn unneeded_images(&self, before: UnixMicros) -> Result<Vec<ImageRow>> {
        engine::all(&mut *self.reader().await?, UNNEEDED, values![self.server.id, before]).await
    }
}

impl Tx {
    /// Notes that an image is to be converted. False for one that waits for it already, or is ready.
    pub async fn await_image(
        &mut self,
        app_id: AppId,
        id: &BlobDigest,
        config: &ImageConfig,
    ) -> Result<bool> {
        Ok(self.execute(AWAIT, values![app_id, *id, *config, self.now]).await? > 0)
    }

    /// Notes what an image became.
    ///
    /// # Errors
    /// `Gone` when there is no such image.
    pub async fn set_image_ready(
        &mut self,
        app_id: AppId,
        id: &BlobDigest,
        config: &ImageConfig,
        layers: &[LayerDigest],
        size_bytes: i64,
    ) -> Result<()> {
        let values = values![app_id, *id, *config, layers.to_vec(), size_bytes, self.now];
        self.change("image", id, READY, values).await
    }

    /// Notes why an image cannot be run, in a sentence. False for one that does not wait any more.
    pub async fn set_image_failed(&mut self, app_id: AppId, id: &BlobDigest, failure: &str) -> Result<bool> {
        Ok(self.execute(FAIL, values![app_id, *id, failure, self.now]).await? > 0)
    }

    /// Forgets an image that was not changed since `before` and that no manifest is of. Whether it was one.
    pub async fn delete_image(&mut self, app_id: AppId, id: &BlobDigest, before: UnixMicros) -> Result<bool> {
        Ok(self.execute(DELETE, values![app_id, *id, before]).await? > 0)
    }

    /// Notes which layer a tar became on this server.
    pub async fn put_converted_layer(
        &mut self,
        diff_id: &BlobDigest,
        layer: &LayerDigest,
        size_bytes: i64,
    ) -> Result<()> {
        let values = values![self.server_id, *diff_id, *layer, size_bytes, self.now];
        self.execute(CONVERT, values).await.map(drop)
    }

    /// Notes that an image is made of a converted layer again. False if it is forgotten.
    pub async fn use_converted_layer(&mut self, diff_id: &BlobDigest) -> Result<bool> {
        Ok(self.execute(USED, values![self.server_id, *diff_id, self.now]).await? > 0)
    }

    /// Notes which tar is in a blob.
    pub async fn put_diff_id(&mut self, blob: &BlobDigest, diff_id: &BlobDigest) -> Result<()> {
        self.execute(FOUND, values![*blob, *diff_id]).await.map(drop)
    }
}
