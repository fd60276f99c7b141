//! Backups in a bucket elsewhere, each server's below its id. What was taken before there was one stays in the folder, and is
//! read there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use jiff::Timestamp;
use paddock_core::{UnixMicros, durable};
use paddock_outbound::s3::{Bucket, Listed, Object, S3Error};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::StreamReader;

use super::store::{BackupFolder, BackupStore, KeptDump, NamedDumps, blocking, open_plain, readable_file};
use super::unnamed::Unnamed;

/// How often it is looked for what nobody names: each look is a few requests that cost something.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// A bucket, and the folder of before.
pub(crate) struct BackupBucket {
    bucket: Bucket,
    before: BackupFolder,
    /// The list of what no row names.
    unnamed: PathBuf,
    swept_at: Mutex<Option<UnixMicros>>,
}

impl BackupBucket {
    /// `bucket` is this server's part of one.
    pub(crate) fn new(bucket: Bucket, before: BackupFolder, unnamed: PathBuf) -> Self {
        Self { bucket, before, unnamed, swept_at: Mutex::default() }
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

    /// Removes what had no name for long enough. It is noted before, and told when there is more of it. How many went.
    async fn remove_unnamed(&self, objects: &[&Listed], now: UnixMicros) -> io::Result<u64> {
        let path = self.unnamed.clone();
        let before = blocking(move || Unnamed::read(&path)).await?;
        let unnamed = before.with(objects.iter().map(|object| object.name.as_str()), now);
        if unnamed != before {
            let (path, unnamed) = (self.unnamed.clone(), unnamed.clone());
            blocking(move || unnamed.write(&path)).await?;
        }
        let stays_until = |object: &Listed| {
            unnamed.stays_until(&object.name, UnixMicros(object.modified.as_microsecond()), now)
        };
        if unnamed.more_than(&before) > 0
            && let Some(first) = objects.iter().map(|object| stays_until(object)).min()
        {
            let until = Timestamp::from_microsecond(first.0).unwrap_or_default();
            tracing::warn!(
                objects = objects.len(),
                %until,
                "dumps in the bucket that no backup names: each is removed when that has been so for a week"
            );
        }
        let mut gone = 0;
        for object in objects.iter().filter(|object| stays_until(object) <= now) {
            durable!("backup.unnamed_removed", self.bucket.remove(&object.name).await).map_err(io_error)?;
            tracing::info!(object = object.name, "a dump that no backup names was removed");
            gone += 1;
        }
        Ok(gone)
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
        let objects: Vec<_> = objects.iter().filter(|object| !named.all.contains(&object.name)).collect();
        Ok(gone + self.remove_unnamed(&objects, now).await?)
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
