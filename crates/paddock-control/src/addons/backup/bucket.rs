//! Backups in a bucket elsewhere, each server's below its id. What was taken before there was one stays in the folder, and is
//! read there.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use paddock_core::{UnixMicros, durable};
use paddock_outbound::s3::{Bucket, Object, S3Error};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::StreamReader;

use super::store::{BackupFolder, BackupStore, KeptDump, NamedDumps, blocking, open_plain, readable_file};

/// How often it is looked for what nobody names: each look is a few requests that cost something.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// For how long an object stays that no row names. After a server was restored from a backup of its own those are the dumps that were
/// taken since: somebody may want to copy them first.
const UNNAMED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A bucket, and the folder of before.
pub(crate) struct BackupBucket {
    bucket: Bucket,
    before: BackupFolder,
    swept_at: Mutex<Option<UnixMicros>>,
}

impl BackupBucket {
    /// `bucket` is this server's part of one.
    pub(crate) fn new(bucket: Bucket, before: BackupFolder) -> Self {
        Self { bucket, before, swept_at: Mutex::default() }
    }

    /// Whether it is time again.
    fn takes_turn(&self, now: UnixMicros) -> bool {
        let mut swept_at = self.swept_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = swept_at.is_none_or(|at| now.since(at) >= SWEEP_EVERY || now < at);
        if is_due {
            *swept_at = Some(now);
        }
        is_due
    }
}

#[async_trait]
impl BackupStore for BackupBucket {
    async fn keep(&self, name: &str, from: &Path) -> io::Result<u64> {
        let from = from.to_owned();
        let file = blocking(move || open_plain(&from)).await?;
        durable!("backup.uploaded", self.bucket.put(name, file).await).map_err(io_error)
    }

    async fn fetch(&self, name: &str, to: &Path) -> io::Result<u64> {
        let mut object = match self.bucket.get(name).await {
            Err(S3Error::NoObject) => return self.before.fetch(name, to).await,
            object => object.map_err(io_error)?,
        };
        let to = to.to_owned();
        let mut file = tokio::fs::File::from_std(blocking(move || readable_file(&to)).await?);
        while let Some(bytes) = object.chunk().await.map_err(io_error)? {
            file.write_all(&bytes).await?;
        }
        file.flush().await?;
        Ok(object.bytes())
    }

    async fn open(&self, name: &str) -> io::Result<(KeptDump, u64)> {
        match self.bucket.get(name).await {
            Err(S3Error::NoObject) => self.before.open(name).await,
            object => {
                let object = object.map_err(io_error)?;
                let bytes = object.bytes();
                Ok((reader(object), bytes))
            }
        }
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        durable!("backup.object_removed", self.bucket.remove(name).await).map_err(io_error)?;
        self.before.remove(name).await
    }

    async fn sweep(&self, now: UnixMicros, named: NamedDumps<'_>) -> io::Result<u64> {
        if !self.takes_turn(now) {
            return Ok(0);
        }
        // What there is before what is named: what begins meanwhile is in neither.
        let uploads = self.bucket.unfinished().await.map_err(io_error)?;
        let objects = self.bucket.list().await.map_err(io_error)?;
        let named = named().await?;
        let mut gone = 0;
        for upload in uploads.iter().filter(|upload| !named.unfinished.contains(&upload.name)) {
            durable!("backup.upload_given_up", self.bucket.give_up(upload).await).map_err(io_error)?;
            gone += 1;
        }
        for object in objects.iter().filter(|object| !named.all.contains(&object.name)) {
            if now.since(UnixMicros(object.modified.as_microsecond())) >= UNNAMED_FOR {
                durable!("backup.unnamed_removed", self.bucket.remove(&object.name).await)
                    .map_err(io_error)?;
                tracing::info!(object = object.name, "a dump that no backup names was removed");
                gone += 1;
            }
        }
        Ok(gone)
    }
}

fn reader(object: Object) -> KeptDump {
    let chunks = try_unfold(object, |mut object| async move {
        let chunk: Option<Bytes> = object.chunk().await.map_err(io_error)?;
        Ok::<_, io::Error>(chunk.map(|chunk| (chunk, object)))
    });
    Box::pin(StreamReader::new(Box::pin(chunks)))
}

fn io_error(error: S3Error) -> io::Error {
    match error {
        S3Error::NoObject => io::ErrorKind::NotFound.into(),
        S3Error::File(error) => error,
        error => io::Error::other(error),
    }
}
