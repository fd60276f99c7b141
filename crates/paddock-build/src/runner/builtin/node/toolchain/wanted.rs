//! Which Yarn or pnpm an app asks for.

use super::super::declared::{Declared, Hash, Name, first_number};
use super::super::lock::{Lock, Manager};
use super::super::package::Package;
use super::super::settings::YarnSettings;
use crate::runner::screen;

/// Yarn when an app does not say which. Source: Heroku's own buildpack.
const YARN: &str = "1.22.x";
/// Which Yarn or pnpm an app is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Wanted {
    pub(in super::super) program: &'static str,
    /// Names of packages that may hold it, the likeliest first.
    pub(super) packages: Vec<&'static str>,
    pub(super) range: String,
    pub(super) hash: Option<Hash>,
    /// Nobody said which.
    is_default: bool,
    /// It lies in the repository.
    pub(super) own: Option<String>,
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

    pub(super) fn new(
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
    pub(super) fn warn_of_default(&self, lock: Option<&Lock>) {
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

#[cfg(test)]
mod tests {
    use std::fs;

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
    }
}
