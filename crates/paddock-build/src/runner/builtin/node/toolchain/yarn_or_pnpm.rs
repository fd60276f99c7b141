//! Yarn and pnpm of an app: fetched by npm into the slug, or the Yarn that lies in the repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::declared::{Declared, Verdict};
use super::super::files;
use super::super::lock::Lock;
use super::download::Fetch;
use super::wanted::Wanted;
use crate::runner::builtin::semver::Version;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Where a Yarn of the repository is called from, below the toolchain's folder.
const OWN_YARN: &str = "lib/yarn.cjs";

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
fn version_of_package(folder: &Path) -> Option<Version> {
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

    #[test]
    fn a_name_says_the_version() {
        assert_eq!(version_in_name(".yarn/releases/yarn-3.2.2.cjs"), Version(3, 2, 2));
        assert_eq!(version_in_name("yarn-berry.cjs"), Version(4, 0, 0));
    }
}
