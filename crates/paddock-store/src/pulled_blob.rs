//! Blobs that other registries gave to builds of apps: who was given the bytes.

use paddock_core::{AppId, BlobDigest, UnixMicros};

use crate::Tx;
use crate::engine::{statements, values};
use crate::error::Result;

statements! {
    USED = "UPDATE pulled_blobs SET used_at = $3 WHERE app_id = $1 AND digest = $2";
    KEEP = "INSERT INTO pulled_blobs (app_id, digest, used_at) VALUES ($1, $2, $3) \
        ON CONFLICT (app_id, digest) DO UPDATE SET used_at = excluded.used_at";
    FORGET = "DELETE FROM pulled_blobs WHERE used_at < $2 AND app_id IN (SELECT id FROM apps WHERE server_id = $1)";
}

impl Tx {
    /// Whether builds of the app were given the blob; it counts as used now.
    pub async fn use_pulled_blob(&mut self, app: AppId, digest: &BlobDigest) -> Result<bool> {
        let now = self.now;
        Ok(self.execute(USED, values![app, *digest, now]).await? > 0)
    }

    /// Writes down that builds of the app were given a blob.
    pub async fn keep_pulled_blob(&mut self, app: AppId, digest: &BlobDigest) -> Result<()> {
        let now = self.now;
        self.execute(KEEP, values![app, *digest, now]).await.map(drop)
    }

    /// Forgets what no build of this server has used since `before`; how many.
    pub async fn forget_pulled_blobs(&mut self, before: UnixMicros) -> Result<u64> {
        let server = self.server_id;
        self.execute(FORGET, values![server, before]).await
    }
}
