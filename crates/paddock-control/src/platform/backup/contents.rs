//! What belongs to a backup: the database at one moment, and the files that this database names.
//!
//! Lasting volumes (`volumes/`) do not: a copy of the files of a program that writes to them is no moment of it. What is in the
//! databases that they hold is dumped by the program whose they are, one after the other, when all else is in the archive. Backups
//! that apps took of their databases (`backups/`) stay on this machine. So does `addresses.json`: the addresses of services are of a
//! range of this machine, and are given again. Nor does `unnamed-dumps.json`: in a bucket, what was taken after a backup is to have
//! its time when that is restored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use paddock_build::git::RepositoryFiles;
use paddock_core::addon::AddonState;
use paddock_core::{AddonId, AppId, LayerDigest};
use paddock_store::{App, Order, Store, StoreError, VersionRange};
use rustix::fs::OFlags;
use uuid::Uuid;

use crate::platform::backup::archive::Writer;
use crate::platform::backup::member;
use crate::platform::backup::member::{CLEAR_SECRETS, DATABASE, MASTER_KEY, SERVER_ID};
use crate::platform::backup::{BackupError, ClearSecrets, Source};

/// Copies of the database begin with this; one that a crash left is removed by the next backup.
const COPY_PREFIX: &str = "backup-";

/// The database at one moment, as a file, and the refs of every repository at the same moment.
pub(super) struct Snapshot {
    database: PathBuf,
    refs: BTreeMap<AppId, Vec<u8>>,
    pub(super) writes_held: Duration,
}

impl Snapshot {
    pub(super) async fn take(source: Source<'_>) -> Result<Self, BackupError> {
        let folder = source.data.join("db");
        remove_copies(&folder).map_err(|error| read_failed(&folder, error))?;
        let database = folder.join(format!("{COPY_PREFIX}{}.sqlite", Uuid::new_v4()));
        let mut snapshot = Self { database, refs: BTreeMap::new(), writes_held: Duration::ZERO };
        let held = source.store.snapshot(&snapshot.database).await?;
        // A build whose branch is moved and whose row does not say so yet is what a crash leaves too: it is resumed.
        for app in source.store.apps().await? {
            let path = repository(source.data, app.id);
            let refs = tokio::task::block_in_place(|| {
                RepositoryFiles::open(&path)?.map(|files| files.packed_refs()).transpose()
            });
            if let Some(refs) = refs.map_err(|error| read_failed(&path, error))? {
                snapshot.refs.insert(app.id, refs);
            }
        }
        snapshot.writes_held = held.release().await?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.database.clone().into_os_string();
            path.push(suffix);
            #[expect(
                clippy::disallowed_methods,
                reason = "a copy for a backup that is being written: nothing of the server's own"
            )]
            let _ = std::fs::remove_file(path);
        }
    }
}

fn remove_copies(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(COPY_PREFIX) {
            #[expect(
                clippy::disallowed_methods,
                reason = "a copy for a backup that is being written: nothing of the server's own"
            )]
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Where a member's bytes come from.
enum Origin {
    /// A file that must be there.
    File(PathBuf),
    /// A segment of a log: retention may remove it meanwhile.
    Segment(PathBuf),
    /// An object of a repository, which belongs to a user who is not trusted.
    Object { repository: PathBuf, path: String },
    /// Bytes made for the backup.
    Bytes(Vec<u8>),
}

/// One file of a backup.
pub(super) struct Planned {
    name: String,
    pub(super) bytes: u64,
    origin: Origin,
}

impl Planned {
    pub(super) fn write_to(&self, archive: &mut Writer) -> Result<(), BackupError> {
        let file = match &self.origin {
            Origin::Bytes(bytes) => return Ok(archive.add(&self.name, self.bytes, bytes.as_slice())?),
            Origin::File(path) => open(path)?.ok_or_else(|| BackupError::Missing { path: path.clone() })?,
            Origin::Segment(path) => match open(path)? {
                Some(file) => file,
                None => return Ok(()),
            },
            Origin::Object { repository, path } => {
                let failed = |source| read_failed(repository, source);
                let files = RepositoryFiles::open(repository).map_err(failed)?;
                let file = files.map(|files| files.open_object(path)).transpose().map_err(failed)?;
                file.flatten().ok_or_else(|| BackupError::Missing { path: repository.join(path) })?
            }
        };
        Ok(archive.add(&self.name, self.bytes, file)?)
    }
}

/// Everything that a backup holds.
pub(super) struct Contents {
    pub(super) apps: u64,
    /// The add-ons that hold something, each by its id and name.
    pub(super) databases: Vec<(AddonId, String)>,
    pub(super) files: Vec<Planned>,
}

impl Contents {
    pub(super) async fn of(
        source: Source<'_>,
        snapshot: &Snapshot,
        secrets: ClearSecrets,
    ) -> Result<Self, BackupError> {
        let mut contents = Self { apps: 0, databases: Vec::new(), files: Vec::new() };
        let id = format!("{}\n", source.store.server_id()).into_bytes();
        let (name, bytes) = (SERVER_ID.to_owned(), id.len() as u64);
        contents.files.push(Planned { name, bytes, origin: Origin::Bytes(id) });
        let config =
            super::store_config(&snapshot.database, source.master_key_file, source.store.server_id());
        let copy = Store::open(&config).await?;
        let listed = contents.list(source.data, &copy, snapshot).await;
        copy.close().await;
        listed?;
        // After the copy was closed, so that its log is part of it.
        contents.add_file(DATABASE.to_owned(), &snapshot.database)?;
        if secrets == ClearSecrets::Included {
            contents.add_file(MASTER_KEY.to_owned(), source.master_key_file)?;
            for name in CLEAR_SECRETS {
                let path = source.data.join(name);
                if path.exists() {
                    contents.add_file(name.to_owned(), &path)?;
                }
            }
        }
        Ok(contents)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    async fn list(&mut self, data: &Path, store: &Store, snapshot: &Snapshot) -> Result<(), BackupError> {
        for digest in store.needed_layers().await? {
            let path = data.join("layers").join(&digest);
            let digest: LayerDigest = digest.parse().map_err(|_| BackupError::Missing { path })?;
            let name = member::layer_name(&digest);
            self.add_file(name.clone(), &data.join(name))?;
        }
        for digest in store.kept_blobs().await? {
            let name = member::blob_name(&digest);
            self.add_file(name.clone(), &data.join(name))?;
        }
        self.databases = databases_of(store).await?;
        for app in store.apps().await? {
            self.apps += 1;
            let outputs = outputs_of(store, &app).await?;
            tokio::task::block_in_place(|| -> Result<(), BackupError> {
                if let Some(refs) = snapshot.refs.get(&app.id) {
                    self.add_repository(data, app.id, refs)?;
                }
                self.add_log(data, app.id)?;
                outputs.iter().try_for_each(|id| self.add_output(data, *id))
            })?;
        }
        Ok(())
    }

    fn add_file(&mut self, name: String, path: &Path) -> Result<(), BackupError> {
        let bytes = length(path)?.ok_or_else(|| BackupError::Missing { path: path.to_owned() })?;
        self.files.push(Planned { name, bytes, origin: Origin::File(path.to_owned()) });
        Ok(())
    }

    fn add_repository(&mut self, data: &Path, app: AppId, refs: &[u8]) -> Result<(), BackupError> {
        let folder = repository(data, app);
        let failed = |source| read_failed(&folder, source);
        let files = RepositoryFiles::open(&folder).map_err(failed)?;
        let files = files.ok_or_else(|| BackupError::Missing { path: folder.clone() })?;
        for (path, bytes) in files.objects().map_err(failed)? {
            let name = format!("git/{app}.git/{path}");
            let origin = Origin::Object { repository: folder.clone(), path };
            self.files.push(Planned { name, bytes, origin });
        }
        let (name, bytes) = (format!("git/{app}.git/packed-refs"), refs.len() as u64);
        self.files.push(Planned { name, bytes, origin: Origin::Bytes(refs.to_vec()) });
        Ok(())
    }

    fn add_log(&mut self, data: &Path, app: AppId) -> Result<(), BackupError> {
        let folder = data.join("logs").join(app.to_string());
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(read_failed(&folder, error)),
        };
        let names: io::Result<BTreeSet<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
        for segment in names.map_err(|error| read_failed(&folder, error))? {
            let (path, segment) = (folder.join(&segment), segment.to_string_lossy());
            let name = format!("logs/{app}/{segment}");
            // Measured after it was listed: all but the newest are complete then.
            if segment.ends_with(".seg")
                && let Some(bytes) = length(&path)?
            {
                self.files.push(Planned { name, bytes, origin: Origin::Segment(path) });
            }
        }
        Ok(())
    }

    /// The mark before the text: where there is a mark, the text is complete.
    fn add_output(&mut self, data: &Path, id: Uuid) -> Result<(), BackupError> {
        for name in [format!("outputs/{id}.end"), format!("outputs/{id}.txt")] {
            let path = data.join(&name);
            if let Some(bytes) = length(&path)? {
                self.files.push(Planned { name, bytes, origin: Origin::File(path) });
            }
        }
        Ok(())
    }
}

/// The add-ons that hold something: those that are being made do not yet, and nobody misses what those have that go.
pub(super) async fn databases_of(store: &Store) -> Result<Vec<(AddonId, String)>, StoreError> {
    let addons = store.addons().await?.into_iter().filter(|addon| addon.state == AddonState::Provisioned);
    Ok(addons.map(|addon| (addon.id, addon.name)).collect())
}

/// The outputs that an app's builds and releases may have.
async fn outputs_of(store: &Store, app: &App) -> Result<Vec<Uuid>, BackupError> {
    let all = VersionRange { from: None, to: None, order: Order::Ascending, max: u32::MAX };
    let releases = store.releases(app.id, all).await?;
    let with_command = releases.into_iter().filter(|release| release.release_command.is_some());
    let builds = store.builds(app.id).await?.into_iter().map(|build| build.id.uuid());
    Ok(builds.chain(with_command.map(|release| release.id.uuid())).collect())
}

fn repository(data: &Path, app: AppId) -> PathBuf {
    data.join("git").join(format!("{app}.git"))
}

fn length(path: &Path) -> Result<Option<u64>, BackupError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read_failed(path, error)),
    }
}

fn open(path: &Path) -> Result<Option<File>, BackupError> {
    let mut options = File::options();
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read_failed(path, error)),
    }
}

fn read_failed(path: &Path, source: io::Error) -> BackupError {
    BackupError::Read { path: path.to_owned(), source }
}
