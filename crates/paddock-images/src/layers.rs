//! The content store of mountable layers in a folder: one EROFS file each, named by the digest of its bytes.
//!
//! Only files that our converter wrote come in here, and nothing that a tenant names by digest is served from here.
//! A file appears under its name whole or not at all, and never changes.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use paddock_core::{LayerDigest, durable};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

/// Where an EROFS superblock begins, and its magic number (little endian).
const EROFS_SUPERBLOCK: u64 = 1024;
const EROFS_MAGIC: [u8; 4] = [0xe2, 0xe1, 0xf5, 0xe0];
const INCOMING: &str = ".incoming";

/// Something in the layer store failed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The file is no layer.
    #[error("{path} is not a layer: {reason}")]
    NotALayer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
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

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Layers.
    pub layers: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The layers in one folder. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Layers {
    folder: PathBuf,
    /// Adding and collecting exclude each other, so a layer that is added again is not collected under our hands.
    changing: Arc<Mutex<()>>,
}

impl Layers {
    /// Uses `folder`: made if missing, open to its owner only.
    ///
    /// # Errors
    /// [`LayerError::Disk`].
    pub fn open(folder: PathBuf) -> Result<Self, LayerError> {
        let prepare = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
            // Left by a crash while a file was copied in.
            remove_file(&folder.join(INCOMING))
        };
        prepare().map_err(|source| disk("prepare", &folder, source))?;
        Ok(Self { folder, changing: Arc::default() })
    }

    /// Where the layer is or would be.
    #[must_use]
    pub fn path_of(&self, digest: &LayerDigest) -> PathBuf {
        self.folder.join(format!("{}.erofs", digest.hex()))
    }

    /// Whether the layer is here.
    #[must_use]
    pub fn contains(&self, digest: &LayerDigest) -> bool {
        self.path_of(digest).exists()
    }

    /// Takes a converter's output in: it is moved (copied from another file system), owned by us, read-only, and on
    /// disk when this returns. The same bytes again give the same digest and change nothing. Whatever wrote
    /// `tmp_file` must have ended.
    ///
    /// # Errors
    /// [`LayerError::NotALayer`] for anything but a plain EROFS file, [`LayerError::Disk`].
    pub fn add_erofs(&self, tmp_file: &Path) -> Result<LayerDigest, LayerError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let open = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(tmp_file);
        let mut file = open.map_err(|source| disk("open", tmp_file, source))?;
        check(&mut file, tmp_file)?;
        if self.is_elsewhere(&file).map_err(|source| disk("look at", tmp_file, source))? {
            let digest = self.copy_in(&mut file).map_err(|source| disk("copy in", tmp_file, source))?;
            remove_file(tmp_file).map_err(|source| disk("remove", tmp_file, source))?;
            return Ok(digest);
        }
        let hash = hash(&mut file, &mut io::sink()).map_err(|source| disk("read", tmp_file, source))?;
        let digest = digest_of(hash);
        let target = self.path_of(&digest);
        if is_there(&target).map_err(|source| disk("touch", &target, source))? {
            remove_file(tmp_file).map_err(|source| disk("remove", tmp_file, source))?;
            return Ok(digest);
        }
        self.take(&file, tmp_file, &target)?;
        Ok(digest)
    }

    /// Takes a copy of a converter's output in, which is open: as [`Self::add_erofs`] does of what it is given by name.
    ///
    /// # Errors
    /// [`LayerError::NotALayer`] for anything but an EROFS file, [`LayerError::Disk`].
    pub fn copy_erofs(&self, mut file: File) -> Result<LayerDigest, LayerError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = Path::new("an open file");
        let metadata = file.metadata().map_err(|source| disk("read", name, source))?;
        if !metadata.is_file() {
            return Err(LayerError::NotALayer { path: name.to_owned(), reason: "it is not a plain file" });
        }
        check_superblock(&mut file, name)?;
        self.copy_in(&mut file).map_err(|source| disk("copy in", name, source))
    }

    fn take(&self, file: &File, from: &Path, target: &Path) -> Result<(), LayerError> {
        seal(file)
            .and_then(|()| durable!("layer.moved_in", std::fs::rename(from, target)))
            .map_err(|source| disk("move in", from, source))?;
        // What was moved must be what was read, whatever happened to the name meanwhile.
        let same = (file.metadata().and_then(|read| {
            let named = std::fs::symlink_metadata(target)?;
            Ok((read.dev(), read.ino()) == (named.dev(), named.ino()))
        }))
        .map_err(|source| disk("check", target, source))?;
        if !same {
            remove_file(target).map_err(|source| disk("remove", target, source))?;
            return Err(LayerError::NotALayer {
                path: from.into(),
                reason: "it was replaced while it was read",
            });
        }
        sync_folder(&self.folder).map_err(|source| disk("sync", &self.folder, source))
    }

    /// Whether a file lies on another file system, such as the disk of a build.
    fn is_elsewhere(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.dev() != std::fs::metadata(&self.folder)?.dev())
    }

    /// Copies a file in, reading it once: what is kept is what was hashed.
    fn copy_in(&self, file: &mut File) -> io::Result<LayerDigest> {
        let incoming = self.folder.join(INCOMING);
        remove_file(&incoming)?;
        let mut copy = OpenOptions::new().write(true).create_new(true).open(&incoming)?;
        let digest = digest_of(hash(file, &mut copy)?);
        let target = self.path_of(&digest);
        if is_there(&target)? {
            remove_file(&incoming)?;
            return Ok(digest);
        }
        seal(&copy)?;
        durable!("layer.copied_in", std::fs::rename(incoming, target))?;
        sync_folder(&self.folder)?;
        Ok(digest)
    }

    /// Removes a layer; removing what is gone succeeds. Mounts of it live on.
    ///
    /// # Errors
    /// [`LayerError::Disk`].
    pub fn remove(&self, digest: &LayerDigest) -> Result<(), LayerError> {
        let path = self.path_of(digest);
        remove_file(&path).map_err(|source| disk("remove", &path, source))
    }

    /// Every layer with its bytes, in order of digest.
    ///
    /// # Errors
    /// [`LayerError::Disk`].
    pub fn list(&self) -> Result<Vec<(LayerDigest, u64)>, LayerError> {
        let found = self.entries()?;
        Ok(found.into_iter().map(|(digest, metadata)| (digest, metadata.len())).collect())
    }

    /// Removes layers that are neither in `keep` nor were added (or added again) after `added_before`: a layer is
    /// added before the row that names it is written, so the newest are spared.
    ///
    /// # Errors
    /// [`LayerError::Disk`].
    pub fn collect(
        &self,
        keep: &HashSet<LayerDigest>,
        added_before: SystemTime,
    ) -> Result<Collected, LayerError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut collected = Collected::default();
        for (digest, metadata) in self.entries()? {
            let added_at = metadata.modified().map_err(|source| disk("read", &self.folder, source))?;
            if !keep.contains(&digest) && added_at < added_before {
                self.remove(&digest)?;
                collected.layers += 1;
                collected.bytes += metadata.len();
            }
        }
        Ok(collected)
    }

    fn entries(&self) -> Result<Vec<(LayerDigest, std::fs::Metadata)>, LayerError> {
        let read = || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&self.folder)? {
                let entry = entry?;
                let digest: Option<LayerDigest> = entry
                    .file_name()
                    .to_str()
                    .and_then(|name| format!("sha256:{}", name.strip_suffix(".erofs")?).parse().ok());
                match (digest, entry.metadata()) {
                    (Some(digest), Ok(metadata)) => found.push((digest, metadata)),
                    (Some(_), Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            Ok(found)
        };
        read().map_err(|source| disk("list", &self.folder, source))
    }
}

/// A plain file with one name and an EROFS superblock.
fn check(file: &mut File, path: &Path) -> Result<(), LayerError> {
    let refuse = |reason| Err(LayerError::NotALayer { path: path.to_owned(), reason });
    let metadata = file.metadata().map_err(|source| disk("read", path, source))?;
    if !metadata.is_file() {
        return refuse("it is not a plain file");
    }
    if metadata.nlink() != 1 {
        return refuse("it has further names");
    }
    check_superblock(file, path)
}

fn check_superblock(file: &mut File, path: &Path) -> Result<(), LayerError> {
    let refuse = |reason| Err(LayerError::NotALayer { path: path.to_owned(), reason });
    let mut magic = [0; 4];
    let read = file.seek(SeekFrom::Start(EROFS_SUPERBLOCK)).and_then(|_| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == EROFS_MAGIC => Ok(()),
        Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => Err(disk("read", path, source)),
        _ => refuse("it has no EROFS superblock"),
    }
}

/// Whether a layer is here already; it is as new for the collector then.
#[expect(clippy::disallowed_methods, reason = "files are dated by the time of this machine")]
fn is_there(layer: &Path) -> io::Result<bool> {
    match File::open(layer) {
        Ok(existing) => existing.set_modified(SystemTime::now()).map(|()| true),
        Err(_) => Ok(false),
    }
}

fn digest_of(hash: Sha256) -> LayerDigest {
    LayerDigest::of_sha256(hash.finalize().into())
}

/// Hashes the whole file, copying it as it goes.
fn hash<F: Read + Seek>(file: &mut F, copy: &mut impl Write) -> io::Result<Sha256> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hash);
        }
        hash.update(&buffer[..read]);
        copy.write_all(&buffer[..read])?;
    }
}

/// Ours, read-only, on disk.
fn seal(file: &File) -> io::Result<()> {
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fchown(file, Some(us.0), Some(us.1))?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    #[expect(clippy::disallowed_methods, reason = "files are dated by the time of this machine")]
    file.set_modified(SystemTime::now())?;
    file.sync_all()
}

fn remove_file(path: &Path) -> io::Result<()> {
    match durable!("layer.file_removed", std::fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn disk(doing: &'static str, path: &Path, source: io::Error) -> LayerError {
    LayerError::Disk { doing, path: path.to_owned(), source }
}
