//! The way back: an archive into an empty data directory.
//!
//! Everything is unpacked into a folder of its own inside the data directory, checked, and then moved into place. A
//! restore that was interrupted leaves that folder: `serve` refuses to start on it, and another restore begins anew.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use paddock_build::git::lay_out;
use paddock_core::LayerDigest;
use paddock_core::{ServerId, durable};
use paddock_store::{Store, StoreError};
use sha2::{Digest, Sha256};

use crate::platform::backup::archive;
use crate::platform::backup::archive::{Header, Sink, Whole};
use crate::platform::backup::contents::databases_of;
use crate::platform::backup::error::{ArchiveError, RestoreError};
use crate::platform::backup::member;
use crate::platform::backup::member::{DATABASE, Kind, MASTER_KEY, SERVER_ID, TOP};
use crate::platform::backup::{Progress, SEAL_PLACE};

/// Where files are until all of them are checked.
pub const STAGING: &str = ".restoring";
/// Held while this goes on; not part of what must be empty.
const LOCK: &str = "serve.lock";

/// What to restore, and where.
#[derive(Debug, Clone, Copy)]
pub struct Restore<'a> {
    pub file: &'a Path,
    /// The data directory: empty, and locked by the caller.
    pub data: &'a Path,
    /// The master key, where it is kept apart.
    pub master_key_file: Option<&'a Path>,
    /// The user that owns the repositories.
    pub git_uid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup said of itself.
    pub header: Header,
    pub files: u64,
    pub bytes: u64,
    /// Databases that are filled when the server is started.
    pub databases: u64,
    /// The names of those that the backup knows of and has no dump of: they come back empty.
    pub empty: Vec<String>,
}

/// Whether a restore into this data directory was begun and not ended.
#[must_use]
pub fn is_unfinished(data: &Path) -> bool {
    data.join(STAGING).exists()
}

/// Restores a backup. `progress` is told from time to time.
///
/// # Errors
/// [`RestoreError`]; the data directory is as empty as before then.
pub async fn restore(
    restore: Restore<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Restored, RestoreError> {
    remove_leftovers(restore.data)?;
    check_empty(restore.data)?;
    let staging = restore.data.join(STAGING);
    make_folder(&staging)?;
    let restored = unpack_and_move(restore, &staging, progress).await;
    if restored.is_err() {
        // What cannot be removed now is removed by the next attempt.
        let _ = remove_leftovers(restore.data);
    }
    restored
}

async fn unpack_and_move(
    restore: Restore<'_>,
    staging: &Path,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Restored, RestoreError> {
    let file = File::open(restore.file).map_err(|source| failed(restore.file, source))?;
    let whole = tokio::task::block_in_place(|| {
        let mut unpacking = Unpacking { restore, staging, progress, done: 0, total: 0 };
        archive::read(file, &mut unpacking)
    })?;
    let empty = check(restore, staging, &whole).await?;
    tokio::task::block_in_place(|| settle(restore.data, staging))
        .map_err(|source| failed(restore.data, source))?;
    let bytes = whole.members.iter().map(|member| member.bytes).sum();
    let databases = whole.members.iter().filter(|member| member::addon_of(&member.name).is_some());
    let databases = databases.count() as u64;
    Ok(Restored { files: whole.members.len() as u64, bytes, databases, empty, header: whole.header })
}

/// Writes members below the staging folder.
struct Unpacking<'a> {
    restore: Restore<'a>,
    staging: &'a Path,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    done: u64,
    total: u64,
}

impl Sink for Unpacking<'_> {
    fn begin(&mut self, header: &Header) -> Result<(), RestoreError> {
        if !header.clear_secrets && self.restore.master_key_file.is_none() {
            return Err(RestoreError::KeyNeeded);
        }
        self.check_room(header.bytes)?;
        self.total = header.bytes;
        Ok(())
    }

    fn member(&mut self, name: &str, bytes: u64, content: &mut dyn Read) -> Result<(), RestoreError> {
        let refused = |reason| ArchiveError::Refused { name: name.to_owned(), reason };
        let kind = member::kind_of(name).ok_or_else(|| refused("is no file of a data directory"))?;
        let path = self.staging.join(name);
        if member::addon_of(name).is_some() {
            self.check_room(bytes)?;
            self.total += bytes;
        }
        self.make_folders(name, kind)?;
        let mut options = File::options();
        let mut file = match options.write(true).create_new(true).mode(kind.mode()).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(refused("is in it twice").into());
            }
            Err(error) => return Err(failed(&path, error)),
        };
        copy(content, &mut file, &path)?;
        let uid = (kind == Kind::Git).then_some(self.restore.git_uid);
        chown(&path, uid, uid).map_err(|error| failed(&path, error))?;
        self.done += bytes;
        (self.progress)(Progress { bytes_done: self.done, bytes_total: self.total, database: None });
        Ok(())
    }
}

impl Unpacking<'_> {
    fn check_room(&self, needed: u64) -> Result<(), RestoreError> {
        let data = self.restore.data;
        let stat = rustix::fs::statvfs(data).map_err(|error| failed(data, error.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        match needed > free {
            true => Err(RestoreError::NoRoom { data: data.to_owned(), needed, free }),
            false => Ok(()),
        }
    }

    /// The folders of a member. Those of a repository belong to git's user, as what git itself makes in one does.
    fn make_folders(&self, name: &str, kind: Kind) -> Result<(), RestoreError> {
        let parents: Vec<_> = Path::new(name).ancestors().skip(1).collect();
        for folder in parents.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
            let path = self.staging.join(folder);
            if path.exists() {
                continue;
            }
            make_folder(&path)?;
            if kind == Kind::Git && folder.extension().is_some_and(|extension| extension == "git") {
                lay_out(&path).map_err(|error| failed(&path, error))?;
            }
            if folder.starts_with("ca") {
                // Clients read the certificates in it.
                let open = Permissions::from_mode(0o755);
                std::fs::set_permissions(&path, open).map_err(|error| failed(&path, error))?;
            }
            if kind == Kind::Git {
                give(&path, self.restore.git_uid).map_err(|error| failed(&path, error))?;
            }
        }
        Ok(())
    }
}

/// Reading fails when the archive is bad, writing when the disk is.
fn copy(content: &mut dyn Read, file: &mut File, path: &Path) -> Result<(), RestoreError> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match content.read(&mut buffer).map_err(ArchiveError::Read)? {
            0 => return Ok(()),
            read => file.write_all(&buffer[..read]).map_err(|error| failed(path, error))?,
        }
    }
}

/// Gives a folder and all in it to a user.
fn give(path: &Path, uid: u32) -> io::Result<()> {
    chown(path, Some(uid), Some(uid))?;
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), uid)?;
        }
    }
    Ok(())
}

/// The database opens with the key, the list is sealed with it, and every file that the database names is there. The names of the
/// add-ons' databases that there is no dump of.
async fn check(restore: Restore<'_>, staging: &Path, whole: &Whole) -> Result<Vec<String>, RestoreError> {
    let names: BTreeSet<&str> = whole.members.iter().map(|member| member.name.as_str()).collect();
    let lacks = |name: &str| RestoreError::Lacks { name: name.to_owned() };
    let named = |name: &str| names.contains(name).then_some(()).ok_or_else(|| lacks(name));
    named(DATABASE)?;
    let key = match restore.master_key_file {
        Some(file) => file.to_owned(),
        None => named(MASTER_KEY).map(|()| staging.join(MASTER_KEY))?,
    };
    for member in &whole.members {
        if member::promised(&member.name).is_some_and(|digits| digits != member.sha256) {
            let (name, reason) = (member.name.clone(), "does not have the content that its name says");
            return Err(ArchiveError::Refused { name, reason }.into());
        }
    }
    named(SERVER_ID)?;
    let store = Store::open(&super::store_config(&staging.join(DATABASE), &key, server_id(staging)?)).await;
    let store = store.map_err(|error| match error {
        StoreError::Unseal { .. } => RestoreError::WrongKey { path: key.clone() },
        error => error.into(),
    })?;
    let checked = check_store(&store, whole, named).await;
    store.close().await;
    let empty = checked?;
    if restore.master_key_file.is_some() {
        // It stays where it is: the operator keeps it apart.
        let _ = durable!("restore.key_removed", std::fs::remove_file(staging.join(MASTER_KEY)));
    }
    Ok(empty)
}

fn server_id(staging: &Path) -> Result<ServerId, RestoreError> {
    let text = std::fs::read_to_string(staging.join(SERVER_ID)).unwrap_or_default();
    let refused =
        |_| ArchiveError::Refused { name: SERVER_ID.to_owned(), reason: "does not hold a server's id" };
    Ok(text.trim().parse().map_err(refused)?)
}

async fn check_store(
    store: &Store,
    whole: &Whole,
    named: impl Fn(&str) -> Result<(), RestoreError>,
) -> Result<Vec<String>, RestoreError> {
    let sealed = store.sealer().unseal(SEAL_PLACE, &whole.seal).map_err(|_| RestoreError::Seal)?;
    if sealed != Sha256::digest(&whole.manifest).as_slice() {
        return Err(RestoreError::Seal);
    }
    for layer in store.needed_layers().await? {
        let digest: Option<LayerDigest> = layer.parse().ok();
        named(&digest.map_or(layer, |digest| member::layer_name(&digest)))?;
    }
    for blob in store.kept_blobs().await? {
        named(&member::blob_name(&blob))?;
    }
    let mut empty = databases_of(store).await?;
    empty.retain(|(id, _)| named(&member::dump_name(*id)).is_err());
    Ok(empty.into_iter().map(|(_, name)| name).collect())
}

/// Makes everything durable, then moves it into place; the staging folder goes last.
fn settle(data: &Path, staging: &Path) -> io::Result<()> {
    let folder = File::open(data)?;
    rustix::fs::syncfs(&folder)?;
    for name in TOP {
        match durable!("restore.moved_in", std::fs::rename(staging.join(name), data.join(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    folder.sync_all()?;
    durable!("restore.ended", std::fs::remove_dir(staging))?;
    folder.sync_all()
}

/// What an interrupted restore left: the folder was empty when it began, so these names are all its own.
fn remove_leftovers(data: &Path) -> Result<(), RestoreError> {
    let staging = data.join(STAGING);
    if !staging.exists() {
        return Ok(());
    }
    for path in TOP.iter().map(|name| data.join(name)).chain([staging]) {
        let removed = durable!(
            "restore.leftover_removed",
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }
        );
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

fn check_empty(data: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(data).map_err(|error| failed(data, error))? {
        let name = entry.map_err(|error| failed(data, error))?.file_name();
        if name != LOCK {
            let found = name.to_string_lossy().into_owned();
            return Err(RestoreError::NotEmpty { data: data.to_owned(), found });
        }
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), RestoreError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed(path, error))
}

fn failed(path: &Path, source: io::Error) -> RestoreError {
    RestoreError::File { path: path.to_owned(), source }
}
