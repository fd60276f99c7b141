//! One app's bare repository: making it, moving and reading its refs.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paddock_core::durable;
use paddock_core::{AppId, BuildId};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command};

use super::{GitError, Group, Repositories, files};

/// How long a git command that is not a transfer may take.
const COMMAND_TIME: Duration = Duration::from_secs(120);
/// The most output that is kept of a git command, in bytes.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most that is kept of what git says on standard error, in bytes.
const MESSAGE_BYTES_MAX: u64 = 4 * 1024;

/// Refs are locked for moments: a lock that is older was left by a git that was killed, or by a power cut.
const LOCK_TIME: Duration = Duration::from_secs(5 * 60);
/// What git says of a ref that is not where it was expected (the last also of one that is broken on disk). A lock that
/// somebody holds is not among it.
const MOVED: [&str; 3] = ["but expected", "reference already exists", "unable to resolve reference"];

/// Where the commits of builds are pinned.
const PINS: &str = "refs/paddock/builds/";
/// How long a commit may be pinned: builds take minutes.
const PIN_TIME: Duration = Duration::from_secs(24 * 60 * 60);

impl Repositories {
    /// Where an app's repository lies, whether it exists or not.
    #[must_use]
    pub fn path(&self, app: AppId) -> PathBuf {
        self.config.folder.join(format!("{app}.git"))
    }

    /// Where it is made before it has its name.
    fn unfinished(&self, app: AppId) -> PathBuf {
        self.config.folder.join(format!("{app}.git.next"))
    }

    /// Makes the app's repository if it does not exist.
    ///
    /// # Errors
    /// When git or the file system fails; nothing half made is left in its place.
    pub async fn create(&self, app: AppId) -> Result<PathBuf, GitError> {
        let path = self.path(app);
        if path.exists() {
            return Ok(path);
        }
        let _one_at_a_time = self.creating.lock().await;
        if path.exists() {
            return Ok(path);
        }
        let next = self.unfinished(app);
        remove_folder(&next)?;
        let init = ["init", "--bare", "--quiet", "--initial-branch=main", "--template="];
        self.output(&next, "init", &init).await?;
        let io = |source| GitError::io(format!("could not make the repository of {app}"), source);
        let info = next.join("info");
        std::fs::create_dir_all(&info).map_err(io)?;
        #[expect(clippy::disallowed_methods, reason = "in a repository that has not its name yet")]
        std::fs::write(info.join("attributes"), files::ATTRIBUTES).map_err(io)?;
        durable!("repository.made", std::fs::rename(&next, &path)).map_err(io)?;
        Ok(path)
    }

    /// Deletes the app's repository; succeeds when there is none.
    pub async fn delete(&self, app: AppId) -> Result<(), GitError> {
        let (path, next) = (self.path(app), self.unfinished(app));
        tokio::task::spawn_blocking(move || remove_folder(&next).and_then(|()| remove_folder(&path)))
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Repacks the app's repository if it has many loose objects or packs, and lets go of commits that a server which
    /// was killed pinned for builds it did not come to make. After each push; harmless at any time, and left to the next
    /// push while the files are held.
    pub(super) async fn maintain(&self, app: AppId) -> Result<(), GitError> {
        let Ok(_turn) = self.repacking.try_read() else { return Ok(()) };
        let path = self.path(app);
        self.unpin_old(app, &path).await?;
        let arguments = ["-c", "gc.auto=2000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"];
        durable!("repository.repacked", self.output(&path, "gc", &arguments).await).map(drop)
    }

    /// The bytes that the app's objects take on disk.
    pub async fn size_bytes(&self, app: AppId) -> Result<u64, GitError> {
        let path = self.create(app).await?;
        let text = self.text(&path, "count-objects", &["count-objects", "-v"]).await?;
        let kibibytes = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            matches!(name, "size" | "size-pack" | "size-garbage").then(|| value.parse::<u64>().ok())?
        });
        Ok(kibibytes.sum::<u64>() * 1024)
    }

    /// The commit that a ref or object id names, if it names one (an annotated tag is followed to its commit).
    ///
    /// # Errors
    /// When the name is malformed or git fails.
    pub async fn resolve(&self, app: AppId, name: &str) -> Result<Option<String>, GitError> {
        checked(name)?;
        let path = self.create(app).await?;
        let wanted = format!("{name}^{{commit}}");
        match self.text(&path, "rev-parse", &["rev-parse", "--verify", "--quiet", &wanted]).await {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(GitError::Failed { status, .. }) if status.code() == Some(1) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves a ref to `new`, if it is at `expected_old` now (all zeros for a ref that must not exist).
    ///
    /// # Errors
    /// [`GitError::RefMoved`] when it is elsewhere.
    pub async fn update_ref(
        &self,
        app: AppId,
        name: &str,
        new: &str,
        expected_old: &str,
    ) -> Result<(), GitError> {
        for text in [name, new, expected_old] {
            checked(text)?;
        }
        let path = self.create(app).await?;
        let moved = durable!(
            "repository.branch_moved",
            self.change_ref(&path, &["--no-deref", name, new, expected_old]).await
        );
        match moved {
            Err(GitError::Failed { message, .. }) if MOVED.iter().any(|words| message.contains(words)) => {
                Err(GitError::RefMoved(name.to_owned()))
            }
            other => other.map(drop),
        }
    }

    /// Keeps a build's commit from being collected, whatever becomes of the branch.
    ///
    /// # Errors
    /// When the commit does not exist or git fails.
    pub async fn pin(&self, app: AppId, build: BuildId, commit: &str) -> Result<(), GitError> {
        checked(commit)?;
        let path = self.create(app).await?;
        let name = format!("{PINS}{build}");
        durable!("repository.commit_pinned", self.change_ref(&path, &[&name, commit]).await).map(drop)
    }

    /// Lets a build's commit go; succeeds when it was not pinned.
    pub async fn unpin(&self, app: AppId, build: BuildId) -> Result<(), GitError> {
        let path = self.create(app).await?;
        let name = format!("{PINS}{build}");
        durable!("repository.commit_unpinned", self.change_ref(&path, &["-d", &name]).await).map(drop)
    }

    /// Lets go of what was pinned longer ago than any build takes.
    async fn unpin_old(&self, app: AppId, path: &Path) -> Result<(), GitError> {
        let refs = self.text(path, "for-each-ref", &["for-each-ref", "--format=%(refname)", PINS]).await?;
        for build in refs.lines().filter_map(|name| name.strip_prefix(PINS)?.parse::<BuildId>().ok()) {
            // The id has the time in it.
            let pinned_at = build.uuid().get_timestamp().map(|at| Duration::from_secs(at.to_unix().0));
            #[expect(
                clippy::disallowed_methods,
                reason = "the ids of builds have the time of this machine in them"
            )]
            let age = SystemTime::now().duration_since(UNIX_EPOCH + pinned_at.unwrap_or_default());
            if age.is_ok_and(|age| age > PIN_TIME) {
                self.unpin(app, build).await?;
            }
        }
        Ok(())
    }

    /// The first line of a commit's message.
    ///
    /// # Errors
    /// When the commit does not exist or git fails.
    pub async fn commit_subject(&self, app: AppId, commit: &str) -> Result<String, GitError> {
        checked(commit)?;
        let path = self.create(app).await?;
        let arguments = ["log", "-1", "--no-show-signature", "--format=%s", commit, "--"];
        Ok(self.text(&path, "log", &arguments).await?.trim_end().to_owned())
    }

    pub(super) async fn text(
        &self,
        git_dir: &Path,
        name: &'static str,
        arguments: &[&str],
    ) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.output(git_dir, name, arguments).await?).into_owned())
    }

    /// A durable step, which its caller names.
    async fn change_ref(&self, git_dir: &Path, change: &[&str]) -> Result<Vec<u8>, GitError> {
        self.output(git_dir, "update-ref", &[&["update-ref"], change].concat()).await
    }

    pub(super) async fn output(
        &self,
        git_dir: &Path,
        name: &'static str,
        arguments: &[&str],
    ) -> Result<Vec<u8>, GitError> {
        let result = run(self.command(Group::Own, git_dir, arguments), name).await;
        match &result {
            Err(GitError::Failed { message, .. }) if remove_old_lock(git_dir, message)? => {
                run(self.command(Group::Own, git_dir, arguments), name).await
            }
            _ => result,
        }
    }
}

/// Removes the lock that git complains of, if nobody holds it any more; whether it did.
fn remove_old_lock(git_dir: &Path, message: &str) -> Result<bool, GitError> {
    let named = message.split_once("Unable to create '").map(|(_, rest)| rest);
    let Some((lock, _)) = named.and_then(|rest| rest.split_once("': File exists")) else { return Ok(false) };
    let lock = git_dir.join(lock);
    let is_inside = lock.starts_with(git_dir) && !lock.components().any(|part| part == Component::ParentDir);
    let age = std::fs::symlink_metadata(&lock).and_then(|lock| lock.modified()).map(|at| at.elapsed());
    let is_old = matches!(age, Ok(Ok(age)) if age > LOCK_TIME);
    if !is_inside || !is_old || lock.extension() != Some("lock".as_ref()) {
        return Ok(false);
    }
    tracing::warn!(lock = %lock.display(), "removing a lock that a git which was killed has left");
    durable!("repository.old_lock_removed", std::fs::remove_file(&lock))
        .map_err(|source| GitError::io(format!("could not remove {}", lock.display()), source))?;
    Ok(true)
}

/// Runs a git command to its end and returns its output.
async fn run(command: Command, name: &'static str) -> Result<Vec<u8>, GitError> {
    run_with(command, name, |stdout| read_all(stdout, OUTPUT_BYTES_MAX)).await
}

/// Runs a git command and hands its output to `take`. When that fails the command is ended.
pub(super) async fn run_with<T, F: Future<Output = io::Result<T>>>(
    mut command: Command,
    name: &'static str,
    take: impl FnOnce(ChildStdout) -> F,
) -> Result<T, GitError> {
    let io = |source: io::Error| GitError::io(format!("could not run git {name}"), source);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(io)?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let work = async {
        let (taken, message) = tokio::try_join!(take(stdout), read_all(stderr, MESSAGE_BYTES_MAX))?;
        Ok::<_, io::Error>((taken, message, child.wait().await?))
    };
    let (taken, message, status) =
        tokio::time::timeout(COMMAND_TIME, work).await.map_err(|_| GitError::Timeout(name))?.map_err(io)?;
    if status.success() {
        return Ok(taken);
    }
    let message = String::from_utf8_lossy(&message).trim().to_owned();
    Err(GitError::Failed { command: name, status, message })
}

/// Reads to the end, keeping at most `limit` bytes: a process whose output is not read would hang.
async fn read_all(mut reader: impl tokio::io::AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut reader).take(limit).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?;
    Ok(kept)
}

fn remove_folder(path: &Path) -> Result<(), GitError> {
    match durable!("repository.removed", std::fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(GitError::io(format!("could not remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Names become arguments of git: no option, no range, no white space.
pub(super) fn checked(name: &str) -> Result<(), GitError> {
    let allowed = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    if name.is_empty() || name.starts_with('-') || name.contains("..") || !name.chars().all(allowed) {
        return Err(GitError::InvalidName(name.to_owned()));
    }
    Ok(())
}
