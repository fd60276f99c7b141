//! Uploads: a file that grows, chunk by chunk, until it is a blob.
//!
//! The file's length is what has come. Its SHA-256 is carried along in memory; what of the file it lacks (all of it, after a
//! restart) is read from the file at the end. A request that goes on with an upload takes it over from the one before: a client
//! whose connection broke comes back before this server knows of that.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use paddock_core::{BlobDigest, UploadId, durable};
use sha2::{Digest, Sha256};

use super::{BlobError, Blobs, Swept, UPLOADS, disk, is_missing, open_plain, remove, sync_folder};

/// How much of a file is hashed at a time.
const HASHED_AT_ONCE: usize = 256 * 1024;

/// How far an upload is, as far as this process knows.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Counts the requests that went on with it: the last one alone writes.
    turn: u64,
    hash: Sha256,
    /// So many bytes of the file are in the hash.
    hashed: u64,
}

/// A request that goes on with an upload.
#[derive(Debug)]
pub struct Appending {
    file: File,
    path: PathBuf,
    progress: Arc<Mutex<Progress>>,
    turn: u64,
    length: u64,
}

impl Blobs {
    fn upload_path(&self, id: UploadId) -> PathBuf {
        self.folder.join(UPLOADS).join(id.to_string())
    }

    fn progress_of(&self, id: UploadId) -> Arc<Mutex<Progress>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }

    /// How much of an upload is on disk: none of one that nothing was sent of.
    ///
    /// # Errors
    /// [`BlobError::Disk`].
    pub fn length_of_upload(&self, id: UploadId) -> Result<u64, BlobError> {
        let path = self.upload_path(id);
        let length = || {
            let file = open_plain(&path, OpenOptions::new().read(true))?;
            // What a request before has written may not be on disk yet, and what this answers is.
            let length = file.metadata()?.len();
            file.sync_data()?;
            Ok(length)
        };
        match length() {
            Err(error) if is_missing(&error) => Ok(0),
            length => length.map_err(|source| disk("look at", &path, source)),
        }
    }

    /// How much of an upload there is by now, on disk or not.
    #[must_use]
    pub fn size_of_upload(&self, id: UploadId) -> u64 {
        std::fs::symlink_metadata(self.upload_path(id)).map_or(0, |metadata| metadata.len())
    }

    /// Goes on with an upload, at its end: `offset` is where the client goes on, if it says so. Whoever went on with it
    /// until now writes no more.
    ///
    /// # Errors
    /// [`BlobError::Offset`], [`BlobError::Complete`], [`BlobError::Disk`].
    pub fn append(&self, id: UploadId, offset: Option<u64>) -> Result<Appending, BlobError> {
        let (path, progress) = (self.upload_path(id), self.progress_of(id));
        let turn = take_over(&mut lock(&progress));
        let open = open_plain(&path, OpenOptions::new().read(true).write(true).create(true).mode(0o600));
        let file = open.map_err(|source| disk("open", &path, source))?;
        let metadata = file.metadata().map_err(|source| disk("look at", &path, source))?;
        if metadata.nlink() != 1 {
            return Err(BlobError::Complete);
        }
        let length = metadata.len();
        if offset.is_some_and(|offset| offset != length) {
            return Err(BlobError::Offset { length });
        }
        Ok(Appending { file, path, progress, turn, length })
    }

    /// Makes a blob of an upload: when this returns the blob is on disk, and its bytes are counted in the answer. The upload
    /// is there until it is removed, so that this can be done again after a crash.
    ///
    /// # Errors
    /// [`BlobError::Digest`] when it is not what it was to be, [`BlobError::Disk`].
    pub fn store(&self, id: UploadId, digest: &BlobDigest) -> Result<u64, BlobError> {
        let (path, progress) = (self.upload_path(id), self.progress_of(id));
        let mut progress = lock(&progress);
        take_over(&mut progress);
        let open = open_plain(&path, OpenOptions::new().read(true).write(true).create(true).mode(0o600));
        let file = open.map_err(|source| disk("open", &path, source))?;
        let length = progress.catch_up(&file).map_err(|source| disk("read", &path, source))?;
        let found = BlobDigest::of_sha256(progress.hash.clone().finalize().into());
        if found != *digest {
            return Err(BlobError::Digest { found });
        }
        self.keep(&file, &path, digest)?;
        Ok(length)
    }

    /// Removes what has come of an upload; removing what is gone succeeds.
    ///
    /// # Errors
    /// [`BlobError::Disk`].
    pub fn remove_upload(&self, id: UploadId) -> Result<(), BlobError> {
        // Whoever goes on with it has the same, and writes no more.
        let progress = self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(progress) = progress {
            take_over(&mut lock(&progress));
        }
        remove(&self.upload_path(id))
    }

    /// Removes uploads that are not among `keep` and were last written before `written_before`.
    ///
    /// # Errors
    /// [`BlobError::Disk`]; what was removed until then is gone.
    pub fn sweep_uploads(&self, keep: &[UploadId], written_before: SystemTime) -> Result<Swept, BlobError> {
        let folder = self.folder.join(UPLOADS);
        let failed = |source| disk("list", &folder, source);
        let mut swept = Swept::default();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<UploadId>().ok());
            let (Some(id), Ok(metadata)) = (id, entry.metadata()) else { continue };
            let is_old = metadata.modified().is_ok_and(|written| written < written_before);
            if is_old && !keep.contains(&id) {
                self.remove_upload(id)?;
                swept.files += 1;
                swept.bytes += metadata.len();
            }
        }
        Ok(swept)
    }
}

impl Appending {
    /// How much of the upload there is.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes more.
    ///
    /// # Errors
    /// [`BlobError::Superseded`] once another request goes on, [`BlobError::Disk`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let mut progress = lock(&self.progress);
        if progress.turn != self.turn {
            return Err(BlobError::Superseded);
        }
        let written = self.file.write_all_at(bytes, self.length);
        written.map_err(|source| disk("write", &self.path, source))?;
        // What a restart or a write that failed has left out of the hash is read at the end.
        if progress.hashed == self.length {
            progress.hash.update(bytes);
            progress.hashed += bytes.len() as u64;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Has what was written on disk: how much of the upload there is then.
    ///
    /// # Errors
    /// [`BlobError::Disk`].
    pub fn sync(&self) -> Result<u64, BlobError> {
        let sync = || {
            durable!("blob.upload_synced", self.file.sync_data())?;
            // It may have been made just now.
            self.path.parent().map_or(Ok(()), sync_folder)
        };
        sync().map_err(|source| disk("sync", &self.path, source))?;
        Ok(self.length)
    }
}

impl Progress {
    /// Reads what the hash lacks; the length of the file.
    fn catch_up(&mut self, file: &File) -> std::io::Result<u64> {
        let mut buffer = vec![0; HASHED_AT_ONCE];
        loop {
            let read = file.read_at(&mut buffer, self.hashed)?;
            if read == 0 {
                return Ok(self.hashed);
            }
            self.hash.update(&buffer[..read]);
            self.hashed += read as u64;
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_over(progress: &mut Progress) -> u64 {
    progress.turn += 1;
    progress.turn
}
