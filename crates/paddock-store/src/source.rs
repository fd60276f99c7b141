//! Sources: upload places for source archives, each with one secret to write and one to read.

use paddock_core::{AccountId, SourceId, UnixMicros};

use crate::engine::{self, Number, reads, row, statements, values};
use crate::error::Result;
use crate::{SecretSha256, Store, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: SourceId,
    pub account_id: AccountId,
    /// SHA-256 of the secret in its put URL.
    pub put_secret_sha256: SecretSha256,
    /// SHA-256 of the secret in its get URL.
    pub get_secret_sha256: SecretSha256,
    /// Size of what was uploaded in bytes; `None` until then.
    pub size_bytes: Option<i64>,
    /// SHA-256 of what was uploaded.
    pub sha256: Option<[u8; 32]>,
    pub created_at: UnixMicros,
    pub expires_at: UnixMicros,
}

row!(Source { id, account_id, put_secret_sha256, get_secret_sha256, created_at, expires_at }
    optional { size_bytes, sha256 });

/// What a new source is made of; fields as in [`Source`].
#[derive(Debug, Clone)]
pub struct NewSource {
    pub id: SourceId,
    pub account_id: AccountId,
    /// SHA-256 of the secret in its put URL.
    pub put_secret_sha256: SecretSha256,
    /// SHA-256 of the secret in its get URL.
    pub get_secret_sha256: SecretSha256,
    pub expires_at: UnixMicros,
}

statements! {
    BY_ID = "SELECT * FROM sources WHERE id = $1";
    BY_PUT_SECRET = "SELECT * FROM sources WHERE put_secret_sha256 = $1";
    BY_GET_SECRET = "SELECT * FROM sources WHERE get_secret_sha256 = $1";
    EXPIRED = "SELECT * FROM sources WHERE expires_at < $1 ORDER BY expires_at, id";
    CREATE = "INSERT INTO sources (id, account_id, put_secret_sha256, get_secret_sha256, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    BYTES_OF = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS number FROM sources \
        WHERE account_id = $1 AND expires_at > $2";
    UPLOADED = "UPDATE sources SET size_bytes = $2, sha256 = $3 WHERE id = $1";
    DELETE = "DELETE FROM sources WHERE id = $1";
}

reads! {
    source(id: SourceId) -> one Source: BY_ID [id];
    /// The source whose put URL has the secret with this SHA-256. It may have expired.
    source_by_put_secret(sha256: &SecretSha256) -> one Source: BY_PUT_SECRET [*sha256];
    /// The source whose get URL has the secret with this SHA-256. It may have expired.
    source_by_get_secret(sha256: &SecretSha256) -> one Source: BY_GET_SECRET [*sha256];
    /// Sources that expired before `now`: delete the file, then the row.
    expired_sources(now: UnixMicros) -> all Source: EXPIRED [now];
}

impl Store {
    /// The bytes of all sources of this account that have not expired.
    pub async fn source_bytes_of(&self, account: AccountId, now: UnixMicros) -> Result<i64> {
        let sum = engine::one::<Number>(&mut *self.reader().await?, BYTES_OF, values![account, now]).await?;
        Ok(sum.map_or(0, |Number(bytes)| bytes))
    }
}

impl Tx {
    pub async fn create_source(&mut self, new: &NewSource) -> Result<()> {
        let values = values![
            new.id,
            new.account_id,
            new.put_secret_sha256,
            new.get_secret_sha256,
            self.now,
            new.expires_at
        ];
        self.execute(CREATE, values).await.map(drop)
    }

    /// Notes what was uploaded; a second upload replaces the first.
    ///
    /// # Errors
    /// `Gone` when there is no such source.
    pub async fn set_source_uploaded(
        &mut self,
        id: SourceId,
        size_bytes: i64,
        sha256: [u8; 32],
    ) -> Result<()> {
        self.change("source", id, UPLOADED, values![id, size_bytes, sha256]).await
    }

    /// Deletes a source's row. Whether there was one.
    pub async fn delete_source(&mut self, id: SourceId) -> Result<bool> {
        Ok(self.execute(DELETE, values![id]).await? > 0)
    }
}
