//! The administrator's socket: what the operator's commands ask of a running `paddockd serve`.
//!
//! One request for each connection, and one answer; a backup is preceded by its progress, and the layers of a stack follow the
//! request one by one, each when the one before is answered. The server answers only a peer whose uid owns the data directory
//! (or root); the kernel tells the uid, the peer cannot.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
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
        /// Whose token; none for the first account's, which a client on another machine is not given.
        #[serde(default)]
        account: Option<String>,
    },
    /// Every account.
    ListAccounts,
    /// End all tokens of an account.
    LogOutAccount {
        /// Its address.
        email: String,
    },
    /// Let nobody in by an account.
    DisableAccount {
        /// Its address.
        email: String,
    },
    /// Let people in by it again.
    EnableAccount {
        /// Its address.
        email: String,
    },
    /// Delete an account.
    DeleteAccount {
        /// Its address.
        email: String,
    },
    /// Every app of this server.
    ListApps,
    /// What holds how much of the data directory, and why.
    Storage,
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
        /// Whether what is in the databases of apps is left out.
        #[serde(default)]
        without_databases: bool,
    },
    /// Make a new master key.
    RotateKeys {
        /// Make a new data key, too, and seal every secret again.
        data_key: bool,
        /// Where the new master key goes instead of the place of the old one.
        new_master_key_file: Option<PathBuf>,
    },
    /// Every stack.
    ListStacks,
    /// Add a stack, or a version of one: as many [`StackLayer`]s follow, and each is answered.
    AddStack {
        /// Its name.
        name: String,
        /// Whether it is on trial.
        is_beta: bool,
        /// How many layers follow.
        layers: usize,
        /// What dynos are laid upon.
        run: StackImage,
        /// What builds are laid upon, if that is another.
        build: Option<StackImage>,
    },
    /// Take a stack away.
    RemoveStack {
        /// Its name.
        name: String,
    },
    /// Say from when on nothing is built on a stack.
    DeprecateStack {
        /// Its name.
        name: String,
        /// Microseconds since 1970; none for never.
        ends_at: Option<i64>,
    },
    /// Give an archive of a buildpack a name. It is in the file whose descriptor comes with this, unless it has an address.
    ImportBuildpack {
        /// The name, such as `heroku/ruby`.
        name: String,
        /// Where the server fetches it from.
        url: Option<String>,
    },
    /// Archives of named buildpacks.
    ListBuildpacks,
    /// The state of the server.
    Status,
    /// Its numbers.
    Metrics,
}

/// An image of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackImage {
    /// Of the layers that follow, by their numbers, the uppermost first.
    Sent(Vec<usize>),
    /// One of the server's own registry, by its name.
    Registered(String),
}

/// A mountable layer of a stack, whose descriptor comes with this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackLayer {
    /// The count of those before.
    pub number: usize,
}

/// A stack in the operator's list. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackLine {
    /// Its name.
    pub name: String,
    /// `beta`, `public` or `deprecated`.
    pub state: String,
    /// From when on nothing is built on it.
    pub ends_at: Option<String>,
    /// What builds take now.
    pub version: Option<String>,
    /// What that calls itself.
    pub system: Option<String>,
    /// When that was added; none for what no operator added.
    pub added_at: Option<String>,
    /// Bytes of its layers.
    pub size_bytes: Option<u64>,
    /// Earlier versions that something still needs.
    pub kept_versions: usize,
    /// How many apps are to be built on it.
    pub apps: usize,
}

/// An archive of a named buildpack in the operator's list. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackLine {
    /// The name.
    pub name: String,
    /// 0 for what was fetched last; else the operator's, which count from 1.
    pub version: i64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Bytes of it.
    pub size_bytes: i64,
    /// When it came.
    pub added_at: String,
}

/// A client of the proxy form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyClient {
    /// The address by which it reaches this server; none for the one that fits how the server listens.
    pub address: Option<String>,
    /// The folder on its machine that the certificates will be in; none for ours.
    pub certificates: Option<PathBuf>,
}

impl ProxyClient {
    /// Whether it is on another machine than the server, for all that is said of it.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        let here = |address: &str| address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.certificates.is_some() || self.address.as_deref().is_some_and(|address| !here(address))
    }
}

/// An account in the operator's list. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    /// The address.
    pub email: String,
    /// The full name.
    pub name: Option<String>,
    /// Whether somebody may get in by it.
    pub enabled: bool,
    /// Whether the server was made with it.
    pub first: bool,
    /// How many apps it owns.
    pub apps: usize,
    /// How many tokens it has.
    pub tokens: usize,
    /// The last use of one, to the hour.
    pub last_login_at: Option<String>,
    /// When it was made.
    pub created_at: String,
}

/// An app in the operator's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppLine {
    /// Its name.
    pub name: String,
    /// The address of its owner.
    pub owner: String,
    /// How many dynos there are of each state.
    pub dynos: BTreeMap<String, usize>,
    /// When its current release became current.
    pub released_at: Option<String>,
    /// Size of its slug.
    pub slug_bytes: Option<i64>,
}

/// One kind of what the data directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageLine {
    /// Its name.
    pub what: String,
    /// Files or layers.
    pub count: u64,
    /// Bytes of the disk.
    pub bytes: u64,
    /// How much of it the next clean-up takes.
    pub freed_bytes: u64,
    /// Until when it is kept.
    pub why: String,
}

/// What an app holds of the data directory, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStorageLine {
    /// Its name.
    pub app: String,
    /// Layers that its releases need; those that it shares with others are counted by each.
    pub layer_bytes: u64,
    /// What was pushed to its registry.
    pub registry_bytes: u64,
    /// Its git repository.
    pub repository_bytes: u64,
    /// What its builds left for the next.
    pub build_cache_bytes: u64,
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
        /// How many tokens ended with the old one.
        #[serde(default)]
        ended_tokens: u64,
    },
    /// Every account, oldest first.
    Accounts {
        /// One each.
        accounts: Vec<AccountLine>,
    },
    /// What holds how much.
    Storage {
        /// By kind.
        kinds: Vec<StorageLine>,
        /// By app, those that hold the most first.
        apps: Vec<AppStorageLine>,
    },
    /// Every app, by name.
    Apps {
        /// One each.
        apps: Vec<AppLine>,
    },
    /// The archive has the name.
    BuildpackImported {
        /// What was imported.
        buildpack: BuildpackLine,
        /// Whether it was the newest of that name already.
        was_there: bool,
    },
    /// Archives of named buildpacks.
    Buildpacks {
        /// One each.
        buildpacks: Vec<BuildpackLine>,
    },
    /// Every stack.
    Stacks {
        /// One each.
        stacks: Vec<StackLine>,
    },
    /// The next layer of a stack may come, or what was wanted of them begins: so many were taken in.
    StackLayersTaken {
        /// How many.
        layers: usize,
    },
    /// The stack was added.
    StackAdded {
        /// Its version.
        version: String,
        /// What it calls itself.
        system: String,
        /// Whether this version was there already.
        was_there: bool,
    },
    /// It is done.
    Done {
        /// How many tokens ended with it.
        #[serde(default)]
        ended_tokens: u64,
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
        /// The database that is being dumped: its number, of how many, and bytes of its dump so far.
        #[serde(default)]
        database: Option<(u64, u64, u64)>,
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
        /// Databases of apps, whose contents are not in it, as was wanted.
        #[serde(default)]
        databases: u64,
        /// Databases of apps that are in it.
        #[serde(default)]
        databases_dumped: u64,
        /// Those that should be in it: the name of the add-on, and why it is not.
        #[serde(default)]
        databases_lost: Vec<(String, String)>,
    },
    /// The keys are new.
    KeysRotated {
        /// How many values were sealed again, where that was asked for.
        resealed: Option<u64>,
        /// Whether the master key that was asked for was the present one already.
        #[serde(default)]
        was_there: bool,
    },
    /// The state of the server.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_elsewhere_when_its_address_or_its_files_are() {
        let client = |address: Option<&str>, certificates: Option<&str>| ProxyClient {
            address: address.map(str::to_owned),
            certificates: certificates.map(PathBuf::from),
        };
        for here in [None, Some("127.0.0.1"), Some("::1")] {
            assert!(!client(here, None).is_elsewhere(), "{here:?}");
            assert!(client(here, Some("/home/me/ca")).is_elsewhere(), "{here:?}");
        }
        for address in ["192.0.2.7", "2001:db8::7", "server.example"] {
            assert!(client(Some(address), None).is_elsewhere(), "{address}");
        }
    }
}
