//! Git repositories with sample apps, made anew for each journey.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::outcome::run;

/// A working tree on branch `main`. Authors and dates are fixed: the same files give the same commit.
#[derive(Debug)]
pub struct Repo {
    folder: TempDir,
    commits: AtomicU32,
}

impl Repo {
    /// A sample app of `e2e/apps`, committed.
    ///
    /// # Panics
    /// When there is no such app.
    #[must_use]
    pub fn of_app(name: &str) -> Repo {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps").join(name);
        let repo = Repo::empty();
        copy(&source, repo.path());
        repo.commit(name);
        repo
    }

    /// Some files, committed.
    #[must_use]
    pub fn of_files(files: &[(&str, &str)]) -> Repo {
        let repo = Repo::empty();
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.commit("First");
        repo
    }

    fn empty() -> Repo {
        let folder = TempDir::with_prefix("paddock-repo-").unwrap();
        let repo = Repo { folder, commits: AtomicU32::new(0) };
        repo.git(&["init", "--quiet", "--initial-branch", "main"]);
        repo
    }

    /// The working tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file; scripts (`#!`) become executable.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path: PathBuf = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Commits everything and gives the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The id of the newest commit.
    #[must_use]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git here, with nobody's configuration, and gives its output.
    pub fn git(&self, arguments: &[&str]) -> String {
        let date = format!("2026-01-01T00:{:02}:00Z", self.commits.load(Ordering::Relaxed) % 60);
        let mut command = Command::new("git");
        command.current_dir(self.path()).args([
            "-c",
            "commit.gpgsign=false",
            "-c",
            "core.hooksPath=/dev/null",
        ]);
        command.args(arguments);
        command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
        command.envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")]);
        command.envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")]);
        command.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
        run(command, b"", Duration::from_secs(60)).succeeded().stdout
    }
}

fn copy(from: &Path, to: &Path) {
    let entries =
        fs::read_dir(from).unwrap_or_else(|error| panic!("no sample app {}: {error}", from.display()));
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
