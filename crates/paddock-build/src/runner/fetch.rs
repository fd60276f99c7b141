//! Buildpacks come in: each build gets a fresh, writable copy of each. `docs/contract/buildpacks.md`, section 2.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use paddock_core::buildpack::{BuildpackLocation, BuildpackRef};
use paddock_core::buildpack_meaning::Ran;
use paddock_core::hex;
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::lock_files;
use super::screen;
use super::session::{self, Session};
use super::stop::Stop;
use crate::plan::{PreparedBuildpack, RunnerFailure};
use crate::source::single_folder;

/// How often a fetch is tried.
const TRIES: u32 = 3;
/// Seconds that one try may take.
const TRY_SECONDS: &str = "90";
/// The largest archive, in bytes.
const ARCHIVE_BYTES_MAX: &str = "209715200";

/// Where buildpacks are fetched to and kept.
#[derive(Debug, Clone)]
pub(super) struct Shelf<'a> {
    pub(super) git: &'a Git,
    pub(super) session: &'a Session,
    /// Holds what earlier builds of this app fetched.
    pub(super) cache: &'a Cache,
    /// The archives that the host has fetched.
    pub(super) archives: PathBuf,
    /// What the host knows of buildpacks.
    pub(super) prepared: &'a BTreeMap<String, PreparedBuildpack>,
}

/// Git with no questions, no protocol that a tenant may not use, and no configuration but ours.
#[derive(Debug, Clone)]
pub(super) struct Git {
    /// Git's configuration where `http://` and `file://` are allowed; `None` where they are not.
    insecure: Option<PathBuf>,
}

impl Git {
    /// Prepares git; `folder` is made and gets its configuration.
    pub(super) fn prepare(folder: &Path, insecure: bool) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let configuration = folder.join("gitconfig");
        if insecure {
            // Repositories in a folder that the operator shows to builds belong to somebody else.
            fs::write(&configuration, "[safe]\n\tdirectory = *\n")?;
        }
        Ok(Self { insecure: insecure.then_some(configuration) })
    }

    /// Whether `http://` and `file://` are allowed.
    pub(super) fn is_insecure(&self) -> bool {
        self.insecure.is_some()
    }

    /// A git command; its own arguments are still to be added.
    pub(super) fn command(&self, session: &Session) -> Command {
        let mut command = session.plain("timeout");
        command
            .args([TRY_SECONDS, "git"])
            .env("GIT_ALLOW_PROTOCOL", if self.is_insecure() { "https:http:file" } else { "https" })
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.insecure.as_deref().unwrap_or(Path::new("/dev/null")))
            .env("GIT_TERMINAL_PROMPT", "0");
        command
    }
}

impl Shelf<'_> {
    /// Puts a buildpack into `folder`, which is made, and says of which commit it is, if it is of one. Built-in ones leave it empty.
    pub(super) fn fetch(&self, buildpack: &BuildpackRef, folder: &Path) -> Result<Option<String>, Stop> {
        fs::create_dir_all(folder).map_err(Stop::io("could not make a buildpack's folder"))?;
        let failed = |error: &dyn std::fmt::Display| {
            screen::step(&format!("Failed to fetch buildpack: {buildpack}"));
            Stop::told(RunnerFailure::Fetch, &format!("{error}"))
        };
        let none = PreparedBuildpack::default();
        let known = self.prepared.get(buildpack.as_str()).unwrap_or(&none);
        if let Some(why) = &known.missing {
            return Err(failed(why));
        }
        let mut commit = None;
        if let Some(digest) = &known.archive {
            self.unpack(&self.archives.join(digest), folder).map_err(|error| failed(&error))?;
        } else if !matches!(buildpack.location(), BuildpackLocation::Builtin(_)) {
            let kept = self.cache.open(self.session)?.join("buildpacks");
            fs::create_dir_all(&kept).map_err(Stop::io("could not make the cache of buildpacks"))?;
            let fetched = match buildpack.location() {
                BuildpackLocation::Builtin(_) => Ok(None),
                BuildpackLocation::Archive { url } => self.archive(url, &kept, folder).map(|()| None),
                BuildpackLocation::Git { url, reference } => {
                    self.repository(url, reference.as_deref(), &kept, folder, known.is_recent).map(Some)
                }
            };
            commit = fetched.map_err(|error| failed(&error))?;
        } else {
            return Ok(None);
        }
        tell_change(buildpack, known, commit.as_deref());
        check(buildpack, folder)?;
        Ok(commit)
    }

    /// Which version of a fetched buildpack this is: of a built-in one our own, of an archive its digest, of a repository the
    /// commit.
    pub(super) fn version(&self, buildpack: &BuildpackRef) -> Option<String> {
        let kept = || self.cache.open(self.session).ok().map(|kept| kept.join("buildpacks"));
        match buildpack.location() {
            BuildpackLocation::Builtin(_) => Some(format!("built-in {}", env!("CARGO_PKG_VERSION"))),
            BuildpackLocation::Archive { url } => {
                let digest = lock_files::digest(&kept()?.join(format!("{}.tgz", key(url)))).ok()?;
                Some(format!("archive sha256:{digest}"))
            }
            BuildpackLocation::Git { url, reference } => {
                let folder = &kept()?.join(format!("{}.git", key(url)));
                let last = format!("refs/fetched/{}", key(reference.as_deref().unwrap_or("HEAD")));
                let commit = Repository { shelf: self, folder }.commit_named(&last).ok()?;
                Some(format!("git {commit}"))
            }
        }
    }

    fn archive(&self, url: &str, kept: &Path, folder: &Path) -> io::Result<()> {
        let next = kept.join("next.tgz");
        let kept = kept.join(format!("{}.tgz", key(url)));
        let mut curl = self.session.plain("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location", "--max-redirs", "5"])
            .args(["--max-time", TRY_SECONDS, "--retry", "2", "--max-filesize", ARCHIVE_BYTES_MAX])
            .args(["--proto", if self.git.is_insecure() { "=https,http,file" } else { "=https" }])
            .args(["--proto-redir", if self.git.is_insecure() { "=https,http" } else { "=https" }])
            .arg("--output")
            .arg(&next)
            .args(["--url", url]);
        match session::must(curl) {
            Ok(()) => fs::rename(&next, &kept)?,
            Err(error) => fall_back(kept.exists().then_some("archive"), url, error)?,
        }
        self.unpack(&kept, folder)
    }

    fn unpack(&self, archive: &Path, folder: &Path) -> io::Result<()> {
        let mut tar = self.session.plain("tar");
        tar.args(["--extract", "--gzip", "--no-same-owner", "--directory"])
            .arg(folder)
            .arg("--file")
            .arg(archive);
        session::must(tar)?;
        if let Some(top) = single_folder(folder)?
            && !folder.join("bin").exists()
        {
            let aside = folder.with_extension("inner");
            fs::rename(top, &aside)?;
            fs::remove_dir(folder)?;
            fs::rename(aside, folder)?;
        }
        Ok(())
    }

    fn repository(
        &self,
        url: &str,
        reference: Option<&str>,
        kept: &Path,
        folder: &Path,
        is_recent: bool,
    ) -> io::Result<String> {
        let kept = kept.join(format!("{}.git", key(url)));
        if !kept.join("HEAD").exists() {
            let mut init = self.git.command(self.session);
            init.args(["init", "--quiet", "--bare", "--template="]).arg(&kept);
            session::must(init)?;
        }
        let repository = Repository { shelf: self, folder: &kept };
        let name = reference.unwrap_or("HEAD");
        // Under this ref the commit of the last success is found again when the next fetch fails.
        let last = format!("refs/fetched/{}", key(name));
        let before = repository.commit_named(&last).ok();
        let commit = match before.filter(|_| is_recent) {
            Some(commit) => commit,
            None => match repository.fetch(url, name) {
                Ok(commit) => {
                    repository.run(&["update-ref", &last, &commit])?;
                    commit
                }
                Err(error) => {
                    let before = repository.commit_named(&last);
                    fall_back(before.as_deref().ok(), url, error)?;
                    before?
                }
            },
        };
        let mut checkout = self.git.command(self.session);
        checkout.arg("--git-dir").arg(&kept).arg("--work-tree").arg(folder);
        checkout.args(["checkout", "--quiet", "--force", &last, "--", "."]);
        session::must(checkout)?;
        Ok(commit)
    }
}

/// Says that the commit of a repository is not that of the app's last build. What archives are, the host has said.
fn tell_change(buildpack: &BuildpackRef, known: &PreparedBuildpack, commit: Option<&str>) {
    let Some(Ok(now)) = commit.map(|commit| format!("commit:{commit}").parse::<Ran>()) else { return };
    let before = known.before.as_ref().and_then(|before| before.parse().ok());
    if let Some(text) = now.change(buildpack.name(), before.as_ref()) {
        screen::detail(&text);
    }
}

/// A kept bare repository of a buildpack.
struct Repository<'a> {
    shelf: &'a Shelf<'a>,
    folder: &'a Path,
}

impl Repository<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.shelf.git.command(self.shelf.session);
        command.arg("--git-dir").arg(self.folder).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> io::Result<()> {
        session::must(self.command(arguments))
    }

    fn commit_named(&self, name: &str) -> io::Result<String> {
        let wanted = format!("{name}^{{commit}}");
        let captured = session::capture(self.command(&["rev-parse", "--verify", "--quiet", &wanted]))?;
        if !captured.status.success() {
            return Err(io::Error::other(format!("no branch, tag or commit named {name}")));
        }
        Ok(String::from_utf8_lossy(&captured.stdout).trim().to_owned())
    }

    /// Fetches a branch, a tag, a commit or `HEAD`, and returns its commit. The quick way first: one commit of one
    /// name. A short commit id, or a server that cannot do that, needs everything.
    fn fetch(&self, url: &str, name: &str) -> io::Result<String> {
        let quick = ["fetch", "--quiet", "--no-tags", "--depth", "1", "--", url, name];
        if self.run(&quick).is_ok() {
            return self.commit_named("FETCH_HEAD");
        }
        let everything =
            ["fetch", "--quiet", "--force", "--", url, "+HEAD:refs/all/HEAD", "+refs/*:refs/all/*"];
        let mut result = Ok(());
        for _ in 0..TRIES {
            result = self.run(&everything);
            if result.is_ok() {
                break;
            }
        }
        result?;
        let names = [
            format!("refs/all/heads/{name}"),
            format!("refs/all/tags/{name}"),
            format!("refs/all/{name}"),
            name.to_owned(),
        ];
        names.iter().find_map(|name| self.commit_named(name).ok()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no branch, tag or commit named {name}"))
        })
    }
}

/// A failed refresh uses what was fetched before, and says so; a name that is gone is an error.
fn fall_back(before: Option<&str>, url: &str, error: io::Error) -> io::Result<()> {
    match before {
        Some(before) if error.kind() != io::ErrorKind::NotFound => {
            screen::warning(&format!(
                "{url} could not be fetched; using what an earlier build fetched: {}.",
                &before[..before.len().min(12)]
            ));
            Ok(())
        }
        _ => Err(error),
    }
}

fn key(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..16])
}

/// Makes the programs of a buildpack executable and checks that those exist that must.
fn check(buildpack: &BuildpackRef, folder: &Path) -> Result<(), Stop> {
    for entry in fs::read_dir(folder.join("bin")).into_iter().flatten().flatten() {
        // Following a link may fail or leave the folder: then it stays as it is.
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o755));
        }
    }
    for program in ["detect", "compile"] {
        if !folder.join("bin").join(program).is_file() {
            screen::step(&format!("Failed to fetch buildpack: {buildpack}"));
            let problem = format!("This is not a buildpack: it has no bin/{program}");
            return Err(Stop::told(RunnerFailure::Fetch, &problem));
        }
    }
    Ok(())
}
