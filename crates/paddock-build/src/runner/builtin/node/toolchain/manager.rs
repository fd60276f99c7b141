//! Yarn and pnpm of an app: fetched by npm into the slug, or the Yarn that lies in the repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::declared::{Declared, Hash, Name, Verdict, first_number};
use super::super::files;
use super::super::lock::{Lock, Manager};
use super::super::package::Package;
use super::super::settings::YarnSettings;
use super::fetch::Fetch;
use crate::runner::builtin::semver::Version;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Yarn when an app does not say which. Source: Heroku's own buildpack.
const YARN: &str = "1.22.x";
/// Where a Yarn of the repository is called from, below the toolchain's folder.
const OWN_YARN: &str = "lib/yarn.cjs";

/// Which Yarn or pnpm an app is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Wanted {
    pub(in super::super) program: &'static str,
    /// Names of packages that may hold it, the likeliest first.
    packages: Vec<&'static str>,
    range: String,
    hash: Option<Hash>,
    /// Nobody said which.
    is_default: bool,
    /// It lies in the repository.
    own: Option<String>,
}

impl Wanted {
    /// What the app wants; `None` for one that npm alone serves.
    pub(in super::super) fn of(
        package: &Package,
        lock: Option<&Lock>,
        yarn: &YarnSettings,
    ) -> Result<Option<Self>, String> {
        let declared = package.declared.as_ref();
        let of_name = |name| declared.filter(|declared| declared.name == name);
        match lock.map(|lock| (lock.manager, lock.version)) {
            Some((Manager::Pnpm, version)) => {
                let default = || pnpm_for_lock(version).to_owned();
                Ok(Some(Self::new("pnpm", of_name(Name::Pnpm), package.pnpm.as_ref(), default)))
            }
            Some((Manager::Berry, version)) => {
                Self::berry(package, of_name(Name::Yarn), version, yarn).map(Some)
            }
            Some((Manager::Yarn, _)) => {
                Ok(Some(Self::new("yarn", of_name(Name::Yarn), package.yarn.as_ref(), || YARN.to_owned())))
            }
            // A script of an npm app may call them.
            Some((Manager::Npm, _)) | None => {
                let yarn = of_name(Name::Yarn).is_some() || package.yarn.is_some();
                let pnpm = of_name(Name::Pnpm).is_some() || package.pnpm.is_some();
                Ok(match (yarn, pnpm) {
                    (true, _) => {
                        Some(Self::new("yarn", of_name(Name::Yarn), package.yarn.as_ref(), String::new))
                    }
                    (_, true) => {
                        Some(Self::new("pnpm", of_name(Name::Pnpm), package.pnpm.as_ref(), String::new))
                    }
                    _ => None,
                })
            }
        }
    }

    fn new(
        program: &'static str,
        declared: Option<&Declared>,
        engine: Option<&String>,
        default: impl FnOnce() -> String,
    ) -> Self {
        let range = declared.map(|declared| declared.version.clone()).or_else(|| engine.cloned());
        let is_default = range.is_none();
        let range = range.unwrap_or_else(default);
        let packages = match program {
            "yarn" if first_number(&range) > Some(1) => vec!["@yarnpkg/cli-dist", "yarn"],
            "yarn" => vec!["yarn"],
            program => vec![program],
        };
        let hash = declared.and_then(|declared| declared.hash.clone());
        Self { program, packages, range, hash, is_default, own: None }
    }

    fn berry(
        package: &Package,
        declared: Option<&Declared>,
        lock_version: u64,
        yarn: &YarnSettings,
    ) -> Result<Self, String> {
        if let Some(path) = &yarn.path {
            let hash = None;
            return Ok(Self {
                program: "yarn",
                packages: Vec::new(),
                range: path.clone(),
                hash,
                is_default: false,
                own: Some(path.clone()),
            });
        }
        if let Some(declared) = declared.filter(|declared| declared.major() <= Some(1)) {
            return Err(format!(
                "packageManager in package.json is {declared}, but yarn.lock was written by Yarn 2 or newer.\n\
                 Name the version that wrote it in packageManager, or set yarnPath in .yarnrc.yml."
            ));
        }
        let engine = package.yarn.as_ref().filter(|range| first_number(range) > Some(1));
        Ok(Self::new("yarn", declared, engine, || yarn_for_lock(lock_version).to_owned()))
    }

    /// Part of the key of the toolchain.
    pub(super) fn key(&self) -> String {
        let hash = self.hash.as_ref().map(|hash| format!("{}.{}", hash.algorithm, hash.value));
        format!("{}@{}+{}", self.program, self.range, hash.unwrap_or_default())
    }

    /// It lies in the repository, so that nothing is fetched.
    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Says that the app should say which.
    fn warn_of_default(&self, lock: Option<&Lock>) {
        let Some(lock) = lock.filter(|_| self.is_default) else { return };
        if matches!(lock.manager, Manager::Pnpm | Manager::Berry) {
            screen::warning(&format!(
                "Default {0} version used\n\n\
                 There is a {1}, but package.json does not say which version of {0} it is for. This build uses\n\
                 {0}@{2}. Name a version in \"packageManager\" or \"engines.{0}\".",
                self.program, lock.name, self.range
            ));
        }
    }
}

/// The newest pnpm that installs from a lock file of this format.
fn pnpm_for_lock(version: u64) -> &'static str {
    match version {
        0..=5 => "7",
        6..=8 => "8",
        _ => "latest",
    }
}

/// The newest Yarn that takes a lock file of this format as it is.
fn yarn_for_lock(version: u64) -> &'static str {
    match version {
        0..=4 => "2",
        5..=6 => "3",
        _ => "4",
    }
}

impl Fetch<'_> {
    /// Brings the app's Yarn or pnpm; false when it cannot be had, which the user has been told.
    pub(super) fn manager(&self, wanted: &Wanted, lock: Option<&Lock>) -> Result<bool, Stop> {
        if let Some(path) = &wanted.own {
            return self.own_yarn(path).map(|()| true);
        }
        screen::detail(&format!("Downloading and installing {} ({})", wanted.program, wanted.range));
        let mut said = String::new();
        for package in &wanted.packages {
            match self.manager_of_package(package, wanted)? {
                Ok(right) => {
                    if right {
                        wanted.warn_of_default(lock);
                    }
                    return Ok(right);
                }
                Err(problem) => said = problem,
            }
        }
        screen::warning(&format!(
            "Unable to install {0} {1}: the npm registry gave no such version.\n\
             Name one that exists in \"packageManager\" or \"engines.{0}\" of package.json.",
            wanted.program, wanted.range
        ));
        screen::detail(&said);
        Ok(false)
    }

    /// Fetches the archive, looks at its hash and installs it. Gives whether the hash is right, or what npm said.
    fn manager_of_package(&self, package: &str, wanted: &Wanted) -> Result<Result<bool, String>, Stop> {
        let folder = self.download_folder()?;
        let mut npm = self.npm(&folder);
        npm.args(["pack", "--silent", "--ignore-scripts"]).arg(format!("{package}@{}", wanted.range));
        let packed = session::capture(npm).map_err(Stop::io("could not run npm"))?;
        let archive = archive_in(&folder).filter(|_| packed.status.success());
        let Some(archive) = archive else {
            return Ok(Err(String::from_utf8_lossy(&packed.stderr).into_owned()));
        };
        let mut npm = self.npm(&folder);
        npm.args(["install", "--global", "--no-audit", "--no-fund", "--prefix"])
            .arg(&self.folder)
            .arg(&archive);
        let installed = session::capture(npm).map_err(Stop::io("could not run npm"))?;
        if !installed.status.success() {
            return Ok(Err(String::from_utf8_lossy(&installed.stderr).into_owned()));
        }
        let bytes = fs::read(&archive).map_err(Stop::io("could not read what npm fetched"))?;
        Ok(Ok(self.has_right_hash(package, wanted, &bytes)))
    }

    /// The same for an npm that the app declares.
    pub(super) fn check_npm(&self, declared: &Declared) -> Result<bool, Stop> {
        let wanted = Wanted::new("npm", Some(declared), None, String::new);
        let folder = self.download_folder()?;
        let mut npm = self.npm(&folder);
        npm.args(["pack", "--silent", "--ignore-scripts"]).arg(format!("npm@{}", declared.version));
        session::capture(npm).map_err(Stop::io("could not run npm"))?;
        let bytes = archive_in(&folder).and_then(|archive| fs::read(archive).ok()).unwrap_or_default();
        Ok(self.has_right_hash("npm", &wanted, &bytes))
    }

    /// Whether what was fetched is what `packageManager` says. Yarn from 2 on is known by the hash of its program.
    fn has_right_hash(&self, package: &str, wanted: &Wanted, archive: &[u8]) -> bool {
        let Some(hash) = &wanted.hash else { return true };
        let program = self.folder.join("lib/node_modules").join(package).join("bin/yarn.js");
        let verdicts = [
            hash.check(archive),
            files::read(&program, files::LOCK_BYTES_MAX).map_or(Verdict::Wrong, |bytes| hash.check(&bytes)),
        ];
        if verdicts[0] == Verdict::Unknown {
            screen::detail(&format!(
                "The hash in packageManager is {}, which is not checked",
                hash.algorithm
            ));
            return true;
        }
        let is_right = verdicts.contains(&Verdict::Right);
        if is_right {
            screen::detail(&format!(
                "The {} of {}@{} is right",
                hash.algorithm, wanted.program, wanted.range
            ));
        } else {
            screen::warning(&format!(
                "The {} in packageManager of package.json is not that of {}@{} in the npm registry.\n\
                 Correct it, or remove what follows the version.",
                hash.algorithm, wanted.program, wanted.range
            ));
        }
        is_right
    }

    /// Puts a program into the toolchain that calls the Yarn of the repository.
    fn own_yarn(&self, path: &str) -> Result<(), Stop> {
        let path = Value::from(path);
        let script = format!(
            "#!/usr/bin/env node\nprocess.env.YARN_IGNORE_PATH = \"1\";\n\
             require(require(\"path\").resolve(__dirname, \"../../..\", {path}));\n"
        );
        let write = || {
            let file = self.folder.join(OWN_YARN);
            fs::create_dir_all(self.folder.join("lib"))?;
            fs::create_dir_all(self.folder.join("bin"))?;
            fs::write(&file, script)?;
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            for name in ["yarn", "yarnpkg"] {
                let link = self.folder.join("bin").join(name);
                remove_any(&link)?;
                symlink(Path::new("..").join(OWN_YARN), link)?;
            }
            Ok(())
        };
        write().map_err(Stop::io("could not make the program of yarn"))
    }

    /// The version of a program that npm has put into the toolchain.
    pub(super) fn version_of_manager(&self, wanted: &Wanted) -> Option<Version> {
        if let Some(path) = &wanted.own {
            return Some(version_in_name(path));
        }
        let modules = self.folder.join("lib/node_modules");
        wanted.packages.iter().find_map(|package| version_of_package(&modules.join(package)))
    }
}

/// The version of an installed package.
pub(super) fn version_of_package(folder: &Path) -> Option<Version> {
    let bytes = files::read(&folder.join("package.json"), files::PACKAGE_BYTES_MAX).ok()?;
    let json: Value = serde_json::from_slice(&bytes).ok()?;
    Version::parse(json.get("version")?.as_str()?)
}

/// The version in a name such as `.yarn/releases/yarn-3.2.2.cjs`; one that says none is taken for a new one.
fn version_in_name(path: &str) -> Version {
    let name = Path::new(path).file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let start = name.find(|c: char| c.is_ascii_digit());
    start.and_then(|start| Version::parse(&name[start..])).unwrap_or(Version(4, 0, 0))
}

fn archive_in(folder: &Path) -> Option<PathBuf> {
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "tgz");
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(is_archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(
        json: &str,
        lock: Option<(Manager, u64)>,
        path: Option<&str>,
    ) -> Result<Option<Wanted>, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("package.json"), json).unwrap();
        let package = Package::read(folder.path()).unwrap();
        let lock = lock.map(|(manager, version)| Lock { manager, name: "lock", bytes: Vec::new(), version });
        let yarn = YarnSettings { path: path.map(Into::into), ..YarnSettings::default() };
        Wanted::of(&package, lock.as_ref(), &yarn)
    }

    #[test]
    fn an_app_has_the_manager_that_it_asks_for() {
        let range =
            |json, lock| wanted(json, lock, None).unwrap().map(|wanted| (wanted.packages[0], wanted.range));
        let pnpm = |range: &str| Some(("pnpm", range.to_owned()));
        let berry = |range: &str| Some(("@yarnpkg/cli-dist", range.to_owned()));
        let declared = r#"{"packageManager":"pnpm@10.12.1+sha512.f0","engines":{"pnpm":">=9"}}"#;
        assert_eq!(range(declared, Some((Manager::Pnpm, 9))), pnpm("10.12.1"));
        assert_eq!(range(r#"{"engines":{"pnpm":">=9"}}"#, Some((Manager::Pnpm, 9))), pnpm(">=9"));
        for (lock, expected) in [(5, "7"), (6, "8"), (9, "latest")] {
            assert_eq!(range("{}", Some((Manager::Pnpm, lock))), pnpm(expected));
        }
        assert_eq!(range("{}", Some((Manager::Yarn, 1))), Some(("yarn", "1.22.x".into())));
        assert_eq!(range(r#"{"packageManager":"yarn@4.5.0"}"#, Some((Manager::Berry, 8))), berry("4.5.0"));
        assert_eq!(range(r#"{"engines":{"yarn":">=1.22"}}"#, Some((Manager::Berry, 6))), berry("3"));
        assert_eq!(range(r#"{"engines":{"yarn":"1.x"}}"#, None), Some(("yarn", "1.x".into())));
        assert_eq!(range("{}", Some((Manager::Npm, 3))), None);
    }

    #[test]
    fn a_yarn_of_the_repository_is_taken() {
        let path = ".yarn/releases/yarn-3.2.2.cjs";
        let own = wanted(r#"{"packageManager":"yarn@1.22.0"}"#, Some((Manager::Berry, 6)), Some(path));
        assert_eq!(own.unwrap().unwrap().own.as_deref(), Some(path));
        let problem =
            wanted(r#"{"packageManager":"yarn@1.22.0"}"#, Some((Manager::Berry, 6)), None).unwrap_err();
        assert!(problem.contains("but yarn.lock was written by Yarn 2 or newer."), "{problem}");
        assert_eq!(version_in_name(path), Version(3, 2, 2));
        assert_eq!(version_in_name("yarn-berry.cjs"), Version(4, 0, 0));
    }
}
