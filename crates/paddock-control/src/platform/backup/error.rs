//! Why a backup is not written or not restored.

use std::io;
use std::path::PathBuf;

use paddock_store::StoreError;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It could not be written.
    #[error("could not write the archive")]
    Write(#[source] io::Error),
    /// It has more members than a restore would read.
    #[error(
        "there are {members} files, and a backup can have about five million: stop the server and copy its folder instead"
    )]
    TooMany { members: usize },
    /// A file became shorter while it was read.
    #[error("{name} became shorter while it was read; try again")]
    Shrunk { name: String },
    /// It could not be read to its end.
    #[error("the backup is cut off or damaged: the copy of it is incomplete")]
    Read(#[source] io::Error),
    /// It ends too early.
    #[error("the backup is cut off: its list of files is missing")]
    NoManifest,
    /// It begins with something else.
    #[error("this file is no backup of paddockd")]
    NotABackup,
    /// A later program has written it.
    #[error(
        "the backup was written by paddockd {version} in a newer form ({format}); restore it with that version"
    )]
    Newer { version: String, format: u32 },
    /// It has a member that no backup has.
    #[error("the backup is damaged or was tampered with: {name:?} {reason}")]
    Refused { name: String, reason: &'static str },
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something is in the data directory.
    #[error("{data} is not empty ({found} is in it). Restore into an empty folder")]
    NotEmpty {
        data: PathBuf,
        /// Something in it.
        found: String,
    },
    /// A file or folder could not be used.
    #[error("could not use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The archive is not what it should be.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The disk is too small.
    #[error("the backup holds {needed} bytes, but only {free} are free below {data}")]
    NoRoom {
        data: PathBuf,
        /// What the backup needs.
        needed: u64,
        free: u64,
    },
    /// The archive cannot be opened by itself.
    #[error("this backup was made without the master key: say where the key is with --master-key-file FILE")]
    KeyNeeded,
    /// The key is another one.
    #[error("the master key {path} is not the one that this backup's secrets are sealed with")]
    WrongKey { path: PathBuf },
    /// The database cannot be used.
    #[error("the backup's database could not be opened")]
    Store(#[from] StoreError),
    /// The list of checksums was not written by the server that the backup is of.
    #[error("the backup was tampered with: its list of checksums is not sealed with this server's key")]
    Seal,
    /// A file that the database names is not in the archive.
    #[error("the backup lacks {name}, which its database names")]
    Lacks { name: String },
}
