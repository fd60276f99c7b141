//! Sources: archives that clients put here before a build, streamed to disk.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use paddock_core::durable;
use paddock_core::turns::Turn;
use paddock_core::{AccountId, ErrorId, SourceId};
use paddock_store::{NewSource, Source as Row};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::kernel::secret;
use crate::{Actor, Error, Result};

/// Most bytes of a source archive.
const SOURCE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of an account's sources from which on it uploads no more.
const SOURCES_BYTES_MAX: i64 = 5 * 1024 * 1024 * 1024;
/// Uploads at once, of one account and in all.
pub(crate) const UPLOADS_OF_AN_ACCOUNT: usize = 4;
pub(crate) const UPLOADS: usize = 16;
/// How long an upload may pause.
const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(60);
/// How long an upload may take, pauses or not.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a source is kept.
const SOURCE_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSourceSecrets {
    pub put_secret: String,
    /// For getting it, and for naming it in a build.
    pub get_secret: String,
}

/// The body of an upload.
pub type Upload = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

impl Deploy {
    /// Makes a place for an archive.
    pub async fn create_source(&self, actor: &Actor) -> Result<NewSourceSecrets> {
        let secrets = NewSourceSecrets { put_secret: secret::random(), get_secret: secret::random() };
        let new = NewSource {
            id: SourceId::from_uuid(Uuid::now_v7()),
            account_id: actor.account_id,
            put_secret_sha256: secret::sha256(&secrets.put_secret),
            get_secret_sha256: secret::sha256(&secrets.get_secret),
            expires_at: self.kernel.now() + SOURCE_KEPT_FOR,
        };
        let mut tx = self.kernel.record("make a source").await?;
        tx.create_source(&new).await?;
        tx.commit_quietly("source.made").await?;
        Ok(secrets)
    }

    /// Stores an archive; on disk when this answers. A second upload replaces the first, whole or not at all.
    ///
    /// # Errors
    /// `not_found` for a secret that opens nothing; `payload_too_large`; `bad_request` when the body breaks off;
    /// `service_unavailable` while as many uploads go on as are allowed; `invalid_params` when the account has no room.
    pub async fn upload_source(&self, put_secret: &str, body: Upload) -> Result<()> {
        let found = self.kernel.store.source_by_put_secret(&secret::sha256(put_secret)).await;
        let row = self.unexpired(found?)?;
        let _turn = self.turn_to_upload(row.account_id)?;
        self.room_for_sources(row.account_id).await?;
        let path = self.source_blob_path(row.id);
        let part = path.with_extension(format!("{}.part", Uuid::new_v4().simple()));
        let stored = self.store_upload(&row, body, &part, &path);
        let outcome = in_time(stored).await;
        if outcome.is_err() {
            // What is left of a broken upload is of no use; it may not exist.
            let _ = durable!("source.part_removed", tokio::fs::remove_file(&part).await);
        }
        outcome
    }

    /// One more upload for this account, until the answer is dropped.
    pub(crate) fn turn_to_upload(&self, account: AccountId) -> Result<Turn<AccountId>> {
        self.uploads.begin(account).ok_or_else(|| {
            let text = "Too many uploads are going on. Try again when one of them has ended.";
            Error::new(ErrorId::ServiceUnavailable, text)
        })
    }

    /// An error when the account's sources take all the room that they may.
    async fn room_for_sources(&self, account: AccountId) -> Result<()> {
        let bytes = self.kernel.store.source_bytes_of(account, self.kernel.now()).await;
        match bytes? {
            bytes if bytes < SOURCES_BYTES_MAX => Ok(()),
            bytes => Err(Error::invalid(format!(
                "Your uploaded sources take {} MB, which is all that they may. Each is kept for a day after it was made.",
                bytes >> 20
            ))),
        }
    }

    async fn store_upload(&self, row: &Row, body: Upload, part: &PathBuf, path: &PathBuf) -> Result<()> {
        let disk = |error: std::io::Error| Error::internal("store a source archive", error);
        tokio::fs::create_dir_all(self.kernel.config.data_dir.join("sources")).await.map_err(disk)?;
        let (size_bytes, digest) = write_all(body, part).await?;
        durable!("source.stored", tokio::fs::rename(part, path).await).map_err(disk)?;
        let folder = File::open(self.kernel.config.data_dir.join("sources")).await.map_err(disk)?;
        folder.sync_all().await.map_err(disk)?;
        let mut tx = self.kernel.record("note a source archive").await?;
        let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        tx.set_source_uploaded(row.id, size_bytes, digest).await?;
        tx.commit_quietly("source.uploaded").await?;
        Ok(())
    }

    /// The archive behind a get secret, and its size in bytes.
    ///
    /// # Errors
    /// `not_found`, also before the upload.
    pub async fn open_source(&self, get_secret: &str) -> Result<(File, u64)> {
        let found = self.kernel.store.source_by_get_secret(&secret::sha256(get_secret)).await;
        let row = self.unexpired(found?)?;
        let size_bytes = row.size_bytes.and_then(|bytes| u64::try_from(bytes).ok());
        let size_bytes = size_bytes.ok_or_else(|| Error::not_found("source"))?;
        let file = File::open(self.source_blob_path(row.id)).await;
        Ok((file.map_err(|error| Error::internal("open a source archive", error))?, size_bytes))
    }

    fn unexpired(&self, row: Option<Row>) -> Result<Row> {
        row.filter(|row| row.expires_at > self.kernel.now()).ok_or_else(|| Error::not_found("source"))
    }
}

/// An upload that does not end is given up.
pub(crate) async fn in_time<T>(upload: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(UPLOAD_TIME_MAX, upload).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorId::BadRequest, "The upload took more than an hour: it was given up."))
    })
}

/// Writes a body to a new file, synced; its length and SHA-256.
pub(crate) async fn write_all(mut body: Upload, path: &PathBuf) -> Result<(u64, [u8; 32])> {
    let disk = |error: std::io::Error| Error::internal("write a source archive", error);
    #[expect(clippy::disallowed_methods, reason = "the file gets its name in a step that has one")]
    let mut file = File::create_new(path).await.map_err(disk)?;
    let (mut size_bytes, mut digest) = (0_u64, Sha256::new());
    loop {
        let chunk = match tokio::time::timeout(UPLOAD_IDLE_MAX, body.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) => return Err(Error::new(ErrorId::BadRequest, "The upload ended early.")),
            Err(_) => return Err(Error::new(ErrorId::BadRequest, "The upload paused for too long.")),
        };
        size_bytes += chunk.len() as u64;
        if size_bytes > SOURCE_BYTES_MAX {
            let text = format!("The archive is too large: at most {SOURCE_BYTES_MAX} bytes are taken.");
            return Err(Error::new(ErrorId::PayloadTooLarge, text));
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    file.sync_all().await.map_err(disk)?;
    Ok((size_bytes, digest.finalize().into()))
}
