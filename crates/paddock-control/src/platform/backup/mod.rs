//! Backup of a data directory, while its server runs or not, and restore into an empty one.
//!
//! A backup is one moment of the database and every file that it names. The database is copied first, with writes held,
//! and the refs of all repositories are read in the same moment; then the copy, not the folder, says which files
//! belong to it. What is in layers, objects and finished outputs never changes, log segments only grow, and nothing is removed
//! meanwhile ([`Control::back_up`] holds garbage collection and repacking), so what is copied later is complete.
//! What a file has beyond the database's moment (a newer log line, an object that no ref names yet) does no harm.
//!
//! What is in the databases of apps is dumped after that, each at a moment of its own ([`DumpDatabases`]); a restore leaves the
//! dumps in a folder, and the server that starts there fills the databases from them.
//!
//! Not in a backup, because it is made again: the range of user ids, the base of the `host` stack (the machine's own
//! `/usr`), the router's table and certificates, build caches, sources that wait for their build.
//!
//! * [`archive`]: the file: a compressed tar that begins with a header and ends with a sealed list of checksums;
//! * [`member`]: the names that may occur in it, and where they go;
//! * [`contents`]: what of a data directory belongs to it; [`restore`]: the way back.

mod archive;
mod contents;
mod error;
mod member;
mod restore;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use paddock_core::{AddonId, ServerId};
use paddock_store::{Database, Sealer, ServerIdentity, Store, StoreConfig};
use sha2::{Digest, Sha256};

use crate::kernel::dump_databases::{DumpDatabases, Dumped};
use crate::platform::Platform;

pub use archive::{FORMAT, Header};
pub use error::{ArchiveError, RestoreError};
pub use restore::{Restore, Restored, STAGING, is_unfinished, restore};

/// Where the seal of an archive's list belongs: it opens with this installation's data key alone.
const SEAL_PLACE: &str = "backup:manifest";

/// Whether the archive can be opened by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearSecrets {
    /// With the master key, the certificate authority and the two files of the first account.
    Included,
    /// Without: what is secret in the archive is sealed with a key that is kept elsewhere.
    LeftOut,
}

#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    data: &'a Path,
    store: &'a Store,
    master_key_file: &'a Path,
}

/// Whether what is in the databases of apps is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Databases {
    Dumped,
    LeftOut,
}

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of files read so far.
    pub bytes_done: u64,
    pub bytes_total: u64,
    /// The database that is being dumped.
    pub database: Option<DatabaseProgress>,
}

/// How far the dump of a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseProgress {
    /// From one on.
    pub number: u64,
    pub of: u64,
    /// Bytes of its dump so far.
    pub bytes: u64,
}

/// A database that could not be dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostDatabase {
    /// The name of its add-on.
    pub name: String,
    /// A sentence.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub apps: u64,
    /// Databases of apps that are in it.
    pub databases: u64,
    /// Those that were to be left out.
    pub databases_left_out: u64,
    /// Those that are not in it, and should be.
    pub databases_lost: Vec<LostDatabase>,
    pub files: u64,
    pub bytes: u64,
    /// How long writes to the database were held.
    pub writes_held: Duration,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("could not copy the database")]
    Store(#[from] paddock_store::StoreError),
    /// A file could not be read.
    #[error("could not read {path}")]
    Read {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file that the database names is not there: a backup without it could not be restored.
    #[error("{path} is missing although the database names it; paddockd doctor tells more")]
    Missing { path: std::path::PathBuf },
    /// The archive could not be written.
    #[error("could not write the backup")]
    Archive(#[from] ArchiveError),
    /// No server runs that could dump them.
    #[error(
        "{number} databases of apps cannot be dumped while the server does not run. Start it and back up then; or leave out what is in them: --without-databases"
    )]
    DatabasesAtRest { number: usize },
    /// Whoever asked for it went away.
    #[error("nobody waits for the backup any more")]
    Abandoned,
}

/// What a backup is to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where the master key lies.
    pub master_key_file: &'a Path,
    pub version: &'a str,
    pub secrets: ClearSecrets,
    pub databases: Databases,
}

/// Is told from time to time, and answers whether to go on.
pub type Tell<'a> = &'a mut (dyn FnMut(Progress) -> bool + Send);

impl Platform {
    /// Writes a backup of the running server to `out`. One at a time; garbage collection waits until all files are in it.
    ///
    /// # Errors
    /// [`BackupError`]; what was written to `out` is of no use then.
    pub async fn back_up(
        &self,
        wanted: Wanted<'_>,
        out: File,
        tell: Tell<'_>,
    ) -> Result<Summary, BackupError> {
        let _one_at_a_time = self.backing_up.lock().await;
        let (data, store) = (&*self.kernel.config.data_dir, &self.kernel.store);
        let mut begun = {
            let _garbage = self.garbage.lock().await;
            let _repacking = self.repositories.hold_repacking().await;
            Begun::with_files(data, store, wanted, out, tell).await?
        };
        if wanted.databases == Databases::Dumped {
            begun.dump(&*self.dumps, tell).await?;
        }
        begun.finish()
    }
}

/// Writes a backup of a data directory that no server works on.
///
/// # Errors
/// [`BackupError`]; what was written to `out` is of no use then.
pub async fn back_up(
    data: &Path,
    store: &Store,
    wanted: Wanted<'_>,
    out: File,
    tell: Tell<'_>,
) -> Result<Summary, BackupError> {
    let number = contents::databases_of(store).await?.len();
    if wanted.databases == Databases::Dumped && number > 0 {
        return Err(BackupError::DatabasesAtRest { number });
    }
    Begun::with_files(data, store, wanted, out, tell).await?.finish()
}

/// An archive with all files of a data directory in it.
struct Begun {
    archive: archive::Writer,
    /// As it was when the database was copied: a new data key opens nothing of that copy.
    sealer: Sealer,
    databases: Vec<(AddonId, String)>,
    progress: Progress,
    summary: Summary,
}

impl Begun {
    /// In the directory nothing is removed or repacked meanwhile.
    async fn with_files(
        data: &Path,
        store: &Store,
        wanted: Wanted<'_>,
        out: File,
        tell: Tell<'_>,
    ) -> Result<Self, BackupError> {
        let source = Source { data, store, master_key_file: wanted.master_key_file };
        let sealer = store.sealer().of_now();
        let snapshot = contents::Snapshot::take(source).await?;
        let contents = contents::Contents::of(source, &snapshot, wanted.secrets).await?;
        let has_dumps = wanted.databases == Databases::Dumped && !contents.databases.is_empty();
        #[expect(
            clippy::disallowed_methods,
            reason = "a backup says by the clock of this machine when it was made"
        )]
        let header = Header {
            format: if has_dumps { FORMAT } else { archive::FORMAT_WITHOUT_DUMPS },
            version: wanted.version.to_owned(),
            created_at: jiff::Timestamp::now().to_string(),
            bytes: contents.bytes(),
            apps: contents.apps,
            clear_secrets: wanted.secrets == ClearSecrets::Included,
        };
        let mut archive = archive::Writer::begin(out, &header)?;
        let mut progress = Progress { bytes_done: 0, bytes_total: header.bytes, database: None };
        for file in &contents.files {
            // A blocking read of one file; few enough run at once for a thread of the pool to be lent.
            tokio::task::block_in_place(|| file.write_to(&mut archive))?;
            progress.bytes_done += file.bytes;
            if !tell(progress) {
                return Err(BackupError::Abandoned);
            }
        }
        let summary = Summary {
            apps: contents.apps,
            databases: 0,
            databases_left_out: contents.databases.len() as u64,
            databases_lost: Vec::new(),
            files: 0,
            bytes: 0,
            writes_held: snapshot.writes_held,
        };
        Ok(Self { archive, sealer, databases: contents.databases, progress, summary })
    }

    /// Adds a dump of each database, one after the other: no more than one is on this machine's disk beside the archive.
    async fn dump(&mut self, dumps: &dyn DumpDatabases, tell: Tell<'_>) -> Result<(), BackupError> {
        let of = self.databases.len() as u64;
        self.summary.databases_left_out = 0;
        for (number, (id, name)) in (1..).zip(std::mem::take(&mut self.databases)) {
            let files = self.progress;
            let mut told =
                |bytes| tell(Progress { database: Some(DatabaseProgress { number, of, bytes }), ..files });
            match dumps.dump_database(id, &mut told).await {
                Dumped::Dump(file, bytes) => {
                    // Whoever waits hears of us while it is compressed, too, and may go away.
                    let content = Heard { content: file, heard: &mut || told(bytes) };
                    let archive = &mut self.archive;
                    tokio::task::block_in_place(|| archive.add(&member::dump_name(id), bytes, content))?;
                    self.summary.databases += 1;
                }
                Dumped::Gone => tracing::info!(addon.name = name, "destroyed while a backup was written"),
                Dumped::Failed(reason) => {
                    tracing::error!(addon.name = name, reason, "a database is not in a backup");
                    self.summary.databases_lost.push(LostDatabase { name, reason });
                }
                Dumped::Unwanted => return Err(BackupError::Abandoned),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Summary, BackupError> {
        let manifest = self.archive.manifest()?;
        let seal = self.sealer.seal(SEAL_PLACE, &Sha256::digest(&manifest))?;
        let (files, bytes) = tokio::task::block_in_place(|| self.archive.finish(&manifest, &seal))?;
        Ok(Summary { files, bytes, ..self.summary })
    }
}

/// What is read as long as somebody wants it.
struct Heard<'a> {
    content: File,
    heard: &'a mut (dyn FnMut() -> bool + Send),
}

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.heard)() {
            true => self.content.read(buffer),
            false => Err(io::Error::other("nobody waits for it any more")),
        }
    }
}

/// The store of this server in a data directory that lies elsewhere than its own, such as a copy.
fn store_config(database_file: &Path, master_key_file: &Path, server: ServerId) -> StoreConfig {
    // The next server that opens it writes its own start over this.
    let server = ServerIdentity { id: server, incarnation: "backup".to_owned(), known: false };
    StoreConfig::new(Database::Sqlite(database_file.to_owned()), master_key_file.to_owned(), server)
}
