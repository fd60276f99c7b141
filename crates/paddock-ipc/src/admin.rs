//! The administrator's socket: what the operator's commands ask of a running `paddockd serve`.
//!
//! One request for each connection, and one answer; a backup is preceded by its progress. The server answers only a peer whose uid owns the data directory
//! (or root); the kernel tells the uid, the peer cannot.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::frame;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum AdminRequest {
    /// What a client needs to reach this server; makes the command-line authorization when there is none.
    Environment {
        /// For the proxy form, which is set up when there is none.
        #[serde(default)]
        proxy: Option<ProxyClient>,
    },
    /// Make an account with a random password.
    CreateAccount {
        /// Its address.
        email: String,
        /// Its full name, if given.
        name: Option<String>,
    },
    /// Give an account a random password.
    ResetPassword {
        /// Its address.
        email: String,
    },
    /// End the server; with `dynos`, the dynos and the router as well.
    Stop {
        /// Whether dynos and the router end too.
        dynos: bool,
    },
    /// Write a backup to the file whose descriptor comes with this: the asker's file, opened with the asker's rights.
    Backup {
        /// Whether the master key and other secrets in clear are part of it.
        clear_secrets: bool,
    },
    /// Make a new master key.
    RotateKeys {
        /// Make a new data key, too, and seal every secret again.
        data_key: bool,
        /// Where the new master key goes instead of the place of the old one.
        new_master_key_file: Option<PathBuf>,
    },
    /// How the server is.
    Status,
    /// Its numbers.
    Metrics,
}

/// A client of the proxy form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyClient {
    /// The address by which it reaches this server; none for the one that fits how the server listens.
    pub address: Option<String>,
    /// The folder on its machine that the certificates will be in; none for ours.
    pub certificates: Option<PathBuf>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// Variables for a shell, in order.
    Environment {
        /// Name and value.
        variables: Vec<(String, String)>,
    },
    /// The account has this password now; it is told this once.
    Password {
        /// The password.
        password: String,
    },
    /// The server is ending; the connection closes when it has.
    Stopping {
        /// Its process id.
        pid: u32,
    },
    /// How far a backup has come; more follows.
    BackupProgress {
        /// Bytes read.
        bytes_done: u64,
        /// Bytes to read.
        bytes_total: u64,
    },
    /// The backup is in the file, and the file on disk.
    BackedUp {
        /// Apps in it.
        apps: u64,
        /// Files in it.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// How long nobody could change anything.
        writes_held_milliseconds: u64,
    },
    /// The keys are new.
    KeysRotated {
        /// How many values were sealed again, where that was asked for.
        resealed: Option<u64>,
        /// Whether the master key that was asked for was the present one already.
        #[serde(default)]
        was_there: bool,
    },
    /// How the server is.
    Status {
        /// Its process id.
        pid: u32,
        /// Its version.
        version: String,
        /// What does not work as it should, a sentence each.
        problems: Vec<String>,
    },
    /// Its numbers, in the text form that Prometheus reads.
    Metrics {
        /// The text.
        text: String,
    },
    /// It was refused, or failed.
    Refused {
        /// A sentence for the operator.
        reason: String,
    },
}

/// Asks the server at `path`; blocks up to `timeout` for its answer. The stream stays open for the caller to wait on.
///
/// # Errors
/// When nobody listens or the answer does not come in time.
pub fn ask(path: &Path, request: &AdminRequest, timeout: Duration) -> io::Result<(AdminAnswer, UnixStream)> {
    let stream = send(path, request, &[], timeout)?;
    Ok((receive(&stream)?, stream))
}

/// Sends a request with descriptors beside it; its answers are to be received one by one, each within `timeout`.
///
/// # Errors
/// When nobody listens.
pub fn send(
    path: &Path,
    request: &AdminRequest,
    descriptors: &[BorrowedFd<'_>],
    timeout: Duration,
) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    frame::send(stream.as_fd(), request, descriptors)?;
    Ok(stream)
}

/// The next answer.
///
/// # Errors
/// When it does not come in time, or the server has ended.
pub fn receive(stream: &UnixStream) -> io::Result<AdminAnswer> {
    let (answer, _) = frame::receive(stream.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(answer)
}
