//! Backup of a data directory, while its server runs or not, and restore into an empty one.
//!
//! A backup is one moment of the database and every file that it names. The database is copied first, with writes held,
//! and the refs of all repositories are read in the same moment; then the copy, not the folder, says which files
//! belong to it. What is in layers, objects and finished outputs never changes, log segments only grow, and nothing is removed
//! meanwhile ([`Control::back_up`] holds garbage collection and repacking), so what is copied later is complete.
//! What a file has beyond the database's moment (a newer log line, an object that no ref names yet) does no harm.
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
use std::path::Path;
use std::time::Duration;

use paddock_core::ServerId;
use paddock_store::{Database, ServerIdentity, Store, StoreConfig};
use sha2::{Digest, Sha256};

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
pub struct Source<'a> {
    pub data: &'a Path,
    pub store: &'a Store,
    /// Where the master key lies.
    pub master_key_file: &'a Path,
    pub version: &'a str,
}

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read so far.
    pub bytes_done: u64,
    pub bytes_total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub apps: u64,
    /// Databases of apps, whose contents are not in it.
    pub databases: u64,
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
    /// Whoever asked for it went away.
    #[error("nobody waits for the backup any more")]
    Abandoned,
}

impl Platform {
    /// Writes a backup of the running server to `out`. One at a time; garbage collection waits meanwhile.
    ///
    /// # Errors
    /// [`BackupError`]; what was written to `out` is of no use then.
    pub async fn back_up(
        &self,
        master_key_file: &Path,
        version: &str,
        secrets: ClearSecrets,
        out: File,
        progress: &mut (dyn FnMut(Progress) -> bool + Send),
    ) -> Result<Summary, BackupError> {
        let source = Source {
            data: &self.kernel.config.data_dir,
            store: &self.kernel.store,
            master_key_file,
            version,
        };
        let _garbage = self.garbage.lock().await;
        let _repacking = self.repositories.hold_repacking().await;
        back_up(source, secrets, out, progress).await
    }
}

/// Writes a backup of a data directory in which nothing is removed or repacked meanwhile. `progress` is told from time
/// to time and answers whether to go on.
///
/// # Errors
/// [`BackupError`]; what was written to `out` is of no use then.
pub async fn back_up(
    source: Source<'_>,
    secrets: ClearSecrets,
    out: File,
    progress: &mut (dyn FnMut(Progress) -> bool + Send),
) -> Result<Summary, BackupError> {
    let snapshot = contents::Snapshot::take(source).await?;
    let contents = contents::Contents::of(source, &snapshot, secrets).await?;
    let total = contents.bytes();
    #[expect(
        clippy::disallowed_methods,
        reason = "a backup says by the clock of this machine when it was made"
    )]
    let header = Header {
        format: FORMAT,
        version: source.version.to_owned(),
        created_at: jiff::Timestamp::now().to_string(),
        bytes: total,
        apps: contents.apps,
        clear_secrets: secrets == ClearSecrets::Included,
    };
    let mut archive = archive::Writer::begin(out, &header)?;
    let mut done = 0;
    for file in &contents.files {
        // A blocking read of one file; few enough run at once for a thread of the pool to be lent.
        tokio::task::block_in_place(|| file.write_to(&mut archive))?;
        done += file.bytes;
        if !progress(Progress { bytes_done: done, bytes_total: total }) {
            return Err(BackupError::Abandoned);
        }
    }
    let manifest = archive.manifest()?;
    let seal = source.store.sealer().seal(SEAL_PLACE, &Sha256::digest(&manifest))?;
    let (files, bytes) = tokio::task::block_in_place(|| archive.finish(&manifest, &seal))?;
    let (apps, databases) = (contents.apps, contents.databases);
    Ok(Summary { apps, databases, files, bytes, writes_held: snapshot.writes_held })
}

/// The store of this server in a data directory that lies elsewhere than its own, such as a copy.
fn store_config(database_file: &Path, master_key_file: &Path, server: ServerId) -> StoreConfig {
    // The next server that opens it writes its own start over this.
    let server = ServerIdentity { id: server, incarnation: "backup".to_owned(), known: false };
    StoreConfig::new(Database::Sqlite(database_file.to_owned()), master_key_file.to_owned(), server)
}
