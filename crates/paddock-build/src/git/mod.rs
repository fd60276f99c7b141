//! Git over smart HTTP, with the installed git as engine: one bare repository an app, under an unprivileged user.
//!
//! A push goes: [`Repositories::advertise`], then [`Repositories::serve`] runs `git receive-pack`, which stores and
//! checks the objects and starts our hook ([`hook`]), which reaches [`HookListener::accept`]. The caller pins the
//! commit, builds, and answers with a [`PushResult`] per ref; it moves the deploy branch itself
//! ([`Repositories::update_ref`]) together with its own record of the build.
//!
//! Every git process has a cleared environment, one configuration file of ours and nothing of the host's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paddock_core::turns::Turns;
use paddock_core::{AppId, durable};
use tokio::process::Command;

mod archive;
mod files;
pub mod hook;
mod listener;
pub mod pkt_line;
pub mod proc_receive;
pub mod push;
mod repository;
mod service;
mod submodule;

pub use files::{RepositoryFiles, is_object_file, lay_out};
pub use hook::{HOOK_NAME, git_hook_main};
pub use listener::{HookListener, PushReply, PushRequest, Pusher};
pub use push::{PushResult, PushVerdict, RefCommand};
pub use service::{GitReply, GitRequest, Service};
pub use submodule::Submodule;

/// Transfers of one app at once: a pipeline that clones in several jobs fits.
const TRANSFERS_OF_AN_APP: usize = 8;
/// Transfers in all: each has up to five processes in their group.
const TRANSFERS: usize = 32;

/// Makes the command that runs a program as the git user, confined: a group's cgroup with limits, no privileges.
/// It must not pass on the environment of this process; it is cleared again here.
pub type Confine = Arc<dyn Fn(&Path, Group) -> Command + Send + Sync>;

/// Which git processes share their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Those that clients start: what they use up is not missing for builds.
    Transfers,
    /// The server's own.
    Own,
}

/// How git is run.
#[derive(Clone)]
pub struct GitConfig {
    /// `DIR/git`: the repositories. Made if missing, owned by the git user.
    pub folder: PathBuf,
    /// `DIR/git-hooks`: our hook and git's configuration. Made if missing; the git user can only read it.
    pub hooks: PathBuf,
    pub program: PathBuf,
    /// The user and group id that git processes have and repositories belong to.
    pub uid: u32,
    /// `paddockd`, which the hook is a link to; the git user must be able to run it.
    pub hook_program: PathBuf,
    /// The socket that hooks connect to; its folder must be reachable for the git user.
    pub hook_socket: PathBuf,
    /// The most bytes a repository may have before pushes to it are refused.
    pub repository_bytes_max: u64,
    /// The most bytes of a commit's files as a tar, submodules included: a small pack may name one file many times.
    pub archive_bytes_max: u64,
    /// Runs a program confined.
    pub confine: Confine,
}

#[derive(Clone)]
pub struct Repositories {
    config: Arc<GitConfig>,
    pushes: listener::Pushes,
    /// Transfers of clients, by app.
    transfers: Turns<AppId>,
    creating: Arc<tokio::sync::Mutex<()>>,
    /// Shared by who repacks a repository; taken whole by who needs its files to stay.
    repacking: Arc<tokio::sync::RwLock<()>>,
}

/// What went wrong with git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Something on the host failed.
    #[error("{doing}")]
    Io {
        /// What was tried, and on what.
        doing: String,
        #[source]
        source: io::Error,
    },
    /// Git ended with an error.
    #[error("git {command} ended with {status}: {message}")]
    Failed {
        command: &'static str,
        status: std::process::ExitStatus,
        /// The end of what it said.
        message: String,
    },
    /// Git did not end in time.
    #[error("git {0} did not end in time")]
    Timeout(&'static str),
    /// A ref is not where it was expected.
    #[error("{0} has changed meanwhile")]
    RefMoved(String),
    /// A name that is no ref, or text that is no object id.
    #[error("not a ref or object id: {0:?}")]
    InvalidName(String),
    /// The repository has become too large for further pushes.
    #[error("repository has {bytes} bytes; pushes are refused beyond {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    /// The files of a commit are more than a build takes.
    #[error("the files of commit {commit} have more than {limit} bytes")]
    ArchiveTooLarge { commit: String, limit: u64 },
    /// As many transfers go on as are allowed.
    #[error("too many git transfers are going on; try again in a moment")]
    Busy,
}

impl GitError {
    fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}

/// Flaws of old commits and tags that harm no checkout: who wrote them, when, and how modes are spelt. Nobody can mend the
/// history of a project to push it. Names in trees and `.gitmodules` stay errors.
const OF_OLD_HISTORY: [&str; 12] = [
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badName",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "multipleAuthors",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// What git is told in every process. Nothing is kept in the repositories, so that a newer paddockd changes all.
fn configuration(hooks: &Path) -> String {
    format!(
        "[core]\n\thooksPath = {hooks}\n\tbare = true\n\tfsync = committed\n\tfsyncMethod = batch\n\
         \tlogAllRefUpdates = false\n\
         [receive]\n\tfsckObjects = true\n\tmaxInputSize = 1g\n\tprocReceiveRefs = refs\n\tautogc = false\n\
         \tadvertiseAtomic = false\n\tdenyDeleteCurrent = ignore\n\
         [receive \"fsck\"]\n{warned}\
         [transfer]\n\tfsckObjects = true\n\thideRefs = refs/paddock\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[init]\n\tdefaultBranch = main\n\
         [tar]\n\tumask = 0022\n[advice]\n\tdetachedHead = false\n",
        hooks = quoted(hooks),
        warned = OF_OLD_HISTORY.map(|flaw| format!("\t{flaw} = warn\n")).concat()
    )
}

/// A path as a quoted value of git's configuration.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Gives a program a second name: the git user may run it there although it may not enter the program's own folder,
/// such as a build below a home that is its owner's alone. A copy where it lies on another file system.
#[expect(clippy::disallowed_methods, reason = "beside the hook, which is placed by a step with a name")]
fn link_or_copy(program: &Path, name: &Path) -> std::io::Result<()> {
    std::fs::hard_link(program, name).or_else(|_| std::fs::copy(program, name).map(drop))
}

impl Repositories {
    /// Prepares the folders, the hook and git's configuration.
    pub fn open(config: GitConfig) -> Result<Self, GitError> {
        let GitConfig { folder, hooks, uid, hook_program, .. } = &config;
        let io = |what: &Path, source| GitError::io(format!("could not prepare {}", what.display()), source);
        std::fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
        std::os::unix::fs::chown(folder, Some(*uid), Some(*uid)).map_err(|error| io(folder, error))?;
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(|error| io(folder, error))?;
        let home = hooks.join("home");
        std::fs::create_dir_all(&home).map_err(|error| io(&home, error))?;
        let configuration_file = hooks.join("gitconfig");
        durable!("repository.git_configured", std::fs::write(&configuration_file, configuration(hooks)))
            .map_err(|error| io(&configuration_file, error))?;
        let hook = hooks.join(HOOK_NAME);
        let next = hooks.join("proc-receive.next");
        // Replaced by a rename, so that a push that is under way finds the old or the new one.
        #[expect(clippy::disallowed_methods, reason = "what a start that broke off left beside the hook")]
        let _ = std::fs::remove_file(&next);
        link_or_copy(hook_program, &next)
            .and_then(|()| durable!("repository.hook_placed", std::fs::rename(&next, &hook)))
            .map_err(|error| io(&hook, error))?;
        Ok(Self {
            config: Arc::new(config),
            pushes: listener::Pushes::default(),
            transfers: Turns::new(TRANSFERS_OF_AN_APP, TRANSFERS),
            creating: Arc::default(),
            repacking: Arc::default(),
        })
    }

    /// Listens for hooks. Once per server.
    pub fn listen(&self) -> Result<HookListener, GitError> {
        HookListener::bind(&self.config.hook_socket, self.config.uid, self.pushes.clone())
    }

    /// Keeps every repository from being repacked until the answer is dropped; waits for who is at it.
    pub async fn hold_repacking(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        self.repacking.clone().write_owned().await
    }

    /// A git command with our environment and nothing else.
    fn command(&self, group: Group, git_dir: &Path, arguments: &[&str]) -> Command {
        let mut command = (self.config.confine)(&self.config.program, group);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.config.hooks.join("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_DIR", git_dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.config.hooks.join("gitconfig"))
            .env("GIT_ALLOW_PROTOCOL", "https")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // A pushed `refs/replace/` would show our own commands another commit under a commit's name.
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .args(arguments)
            .current_dir(&self.config.folder);
        command
    }
}
