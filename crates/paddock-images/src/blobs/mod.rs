//! The content store of what clients send: one file for each blob, named by the digest of its bytes.
//!
//! Nothing in it is mounted as a root file system, whoever sent it: [`crate::Layers`] has what our own converter wrote, which
//! reads blobs from here. Who may have which blob is not known here either.
//!
//! ```text
//! uploads/ID            what has come of an upload
//! sha256/ab/abcd…       a blob, whole: it never changes
//! ```

mod upload;

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use paddock_core::{BlobDigest, UploadId, durable};
use rustix::fs::OFlags;

pub use upload::Appending;
use upload::Progress;

const UPLOADS: &str = "uploads";
const SHA256: &str = "sha256";

/// Why the store of blobs does not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// More of an upload was sent than comes next.
    #[error("the upload has {length} bytes so far")]
    Offset {
        /// So many bytes have come.
        length: u64,
    },
    /// Another request goes on with the upload, or ends it.
    #[error("another request goes on with the upload")]
    Superseded,
    /// It is a blob already: nothing can be added to it.
    #[error("the upload is complete")]
    Complete,
    /// What came is not what was said to come.
    #[error("what was sent has the digest {found}")]
    Digest {
        /// The digest of what came.
        found: BlobDigest,
    },
    /// The disk refused.
    #[error("could not {doing} {path}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The blobs in one folder. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
    /// Storing and sweeping exclude each other, so that a blob that comes again is not swept under our hands.
    changing: Arc<Mutex<()>>,
    uploads: Arc<Mutex<HashMap<UploadId, Arc<Mutex<Progress>>>>>,
}

impl Blobs {
    /// Uses `folder`: made if missing, open to its owner only.
    ///
    /// # Errors
    /// [`BlobError::Disk`].
    pub fn open(folder: PathBuf) -> Result<Self, BlobError> {
        for part in [folder.clone(), folder.join(UPLOADS), folder.join(SHA256)] {
            make_folder(&part).map_err(|source| disk("prepare", &part, source))?;
        }
        Ok(Self { folder, changing: Arc::default(), uploads: Arc::default() })
    }

    /// Where a blob is or would be, from the store's own folder on.
    #[must_use]
    pub fn place_of(digest: &BlobDigest) -> String {
        let hex = digest.hex();
        format!("{SHA256}/{}/{hex}", &hex[..2])
    }

    fn path_of(&self, digest: &BlobDigest) -> PathBuf {
        self.folder.join(Self::place_of(digest))
    }

    /// The file of a blob and its length, if the blob is here.
    ///
    /// # Errors
    /// [`BlobError::Disk`].
    pub fn read(&self, digest: &BlobDigest) -> Result<Option<(File, u64)>, BlobError> {
        let path = self.path_of(digest);
        let opened = || {
            let file = open_plain(&path, OpenOptions::new().read(true))?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        match opened() {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(source) => Err(disk("open", &path, source)),
        }
    }

    /// Every blob with its bytes, in order of digest.
    ///
    /// # Errors
    /// [`BlobError::Disk`].
    pub fn list(&self) -> Result<Vec<(BlobDigest, u64)>, BlobError> {
        Ok(self.entries()?.into_iter().map(|(digest, metadata)| (digest, metadata.len())).collect())
    }

    /// Removes blobs that are neither in `keep` nor came (or came again) after `came_before`: a blob is stored before the
    /// row that names it is written, so the newest are spared. Who reads one reads on.
    ///
    /// # Errors
    /// [`BlobError::Disk`]; what was removed until then is gone.
    pub fn sweep(&self, keep: &HashSet<BlobDigest>, came_before: SystemTime) -> Result<Swept, BlobError> {
        let mut swept = Swept::default();
        for (digest, metadata) in self.entries()? {
            if keep.contains(&digest) {
                continue;
            }
            let path = self.path_of(&digest);
            // One at a time, so that nobody who stores waits for all of it; looked at again, since it may have come again.
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let came_at = match std::fs::symlink_metadata(&path).and_then(|found| found.modified()) {
                Ok(at) => at,
                Err(error) if is_missing(&error) => continue,
                Err(source) => return Err(disk("look at", &path, source)),
            };
            if came_at < came_before {
                remove(&path)?;
                swept.files += 1;
                swept.bytes += metadata.len();
            }
        }
        Ok(swept)
    }

    /// Puts a file that was written and synced into its place, under a second name.
    fn keep(&self, file: &File, path: &Path, digest: &BlobDigest) -> Result<(), BlobError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let target = self.path_of(digest);
        if is_there(&target).map_err(|source| disk("touch", &target, source))? {
            return Ok(());
        }
        let store = || {
            let folder = target.parent().unwrap_or(&self.folder);
            if !folder.is_dir() {
                make_folder(folder)?;
                sync_folder(&self.folder.join(SHA256))?;
            }
            // Converters read it as users of their own; the folders above are ours alone.
            file.set_permissions(Permissions::from_mode(0o444))?;
            file.sync_all()?;
            match durable!("blob.stored", std::fs::hard_link(path, &target)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            sync_folder(folder)
        };
        store().map_err(|source| disk("store", &target, source))
    }

    fn entries(&self) -> Result<Vec<(BlobDigest, std::fs::Metadata)>, BlobError> {
        let root = self.folder.join(SHA256);
        let read = || {
            let mut found = Vec::new();
            for part in std::fs::read_dir(&root)? {
                for entry in std::fs::read_dir(part?.path())? {
                    let entry = entry?;
                    let digest: Option<BlobDigest> =
                        entry.file_name().to_str().and_then(|name| format!("sha256:{name}").parse().ok());
                    match (digest, entry.metadata()) {
                        (Some(digest), Ok(metadata)) => found.push((digest, metadata)),
                        (Some(_), Err(error)) if !is_missing(&error) => return Err(error),
                        _ => {}
                    }
                }
            }
            found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            Ok(found)
        };
        read().map_err(|source| disk("list", &root, source))
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Never through a link, nor waiting for anybody.
fn open_plain(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    how.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()).open(path)
}

/// Whether a blob is here already; it is as new for the sweep then.
#[expect(clippy::disallowed_methods, reason = "files are dated by the time of this machine")]
fn is_there(blob: &Path) -> io::Result<bool> {
    match File::open(blob) {
        Ok(existing) => existing.set_modified(SystemTime::now()).map(|()| true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<(), BlobError> {
    match durable!("blob.file_removed", std::fs::remove_file(path)) {
        Err(error) if !is_missing(&error) => Err(disk("remove", path, error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn disk(doing: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::Disk { doing, path: path.to_owned(), source }
}
