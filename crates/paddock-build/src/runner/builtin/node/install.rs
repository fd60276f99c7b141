//! The packages of an app, from its lock file: installed once for each lock file, then put back.

use std::fs;
use std::path::PathBuf;

use super::lock::{Lock, Manager};
use super::settings::{YARN_CACHE, YARN_SETTINGS};
use super::{NodeBuild, files};
use crate::runner::builtin::cache_key;
use crate::runner::screen;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The name of the saved packages in the cache.
const SAVED: &str = "node/packages";
/// The name under which older builds saved them.
const SAVED_BEFORE: [&str; 2] = ["node/node_modules.tar", "node/node_modules.key"];
/// Files of the app that say how packages are installed.
const SETTINGS: [&str; 6] =
    [".npmrc", ".yarnrc", YARN_SETTINGS, "pnpm-workspace.yaml", ".pnpmfile.cjs", ".pnpmfile.mjs"];
/// What Yarn 2 and newer leave beside `node_modules`, or instead of it.
const LEFT_BY_YARN: [&str; 7] = [
    ".pnp.js",
    ".pnp.cjs",
    ".pnp.data.json",
    ".pnp.loader.mjs",
    ".yarn/build-state.yml",
    ".yarn/install-state.gz",
    ".yarn/unplugged",
];
/// How names of config vars begin, in any case, that change what is installed.
const VARIABLES: [&str; 5] = ["npm_config_", "yarn", "pnpm_", "node_env", "node_options"];

impl NodeBuild<'_> {
    pub(super) fn install(&self) -> Result<bool, Stop> {
        let Some(lock) = &self.lock else { return self.install_unlocked() };
        let modules = self.build.build_dir().join("node_modules");
        if modules.exists() {
            screen::warning(
                "node_modules is checked into source control; it is installed anew from the lock file.",
            );
            remove_any(&modules).map_err(Stop::io("could not remove node_modules"))?;
        }
        let key = self.key(lock);
        let may_cache = self.may_cache();
        let is_whole = self.is_whole_without_install(lock);
        if !may_cache || !is_whole {
            let why = if may_cache {
                "packages or scripts of the repository itself take part in the install"
            } else {
                "NODE_MODULES_CACHE is false"
            };
            self.build.build.notes.reuse(SAVED, false, why);
        }
        if may_cache
            && is_whole
            && let Some(saved) = self.build.saved(SAVED, &key)
        {
            screen::step("Restoring cache");
            self.build.restore_paths(&saved, &self.installed_paths())?;
            screen::detail(&format!(
                "No change in {} detected: node_modules is not installed again",
                lock.name
            ));
            return self.run_install_scripts();
        }
        screen::step("Installing dependencies");
        self.build.cache("node")?;
        if !self.install_locked(lock)? {
            screen::warning(&format!(
                "Unable to install the packages of {0}. If {1} says above that it does not match package.json, run\n\
                 `{1} install`, commit {0} and push again.",
                lock.name,
                lock.manager.program()
            ));
            return Ok(false);
        }
        if may_cache {
            screen::step("Caching build");
            screen::detail("- node_modules");
            self.build.save_paths(&self.installed_paths(), SAVED, &key)?;
            for name in SAVED_BEFORE {
                remove_any(&self.build.build.cache.cache_dir().join(name))
                    .map_err(Stop::io("could not remove an old cache"))?;
            }
        }
        Ok(true)
    }

    pub(super) fn may_cache(&self) -> bool {
        self.build.config_var("NODE_MODULES_CACHE") != Some("false")
    }

    fn install_locked(&self, lock: &Lock) -> Result<bool, Stop> {
        match lock.manager {
            Manager::Npm => {
                screen::detail(&format!("Installing node modules ({})", lock.name));
                let dev = if self.installs_production("NPM_CONFIG_PRODUCTION") {
                    "--omit=dev"
                } else {
                    "--include=dev"
                };
                self.npm_installs(&["ci", dev])
            }
            Manager::Yarn => {
                screen::detail(&format!("Installing node modules ({})", lock.name));
                let production = self.installs_production("YARN_PRODUCTION");
                self.manager_runs(&[
                    "install",
                    &format!("--production={production}"),
                    "--frozen-lockfile",
                    "--ignore-engines",
                    "--prefer-offline",
                ])
            }
            Manager::Berry => {
                screen::detail(&format!("Running 'yarn install' with {}", lock.name));
                self.keeping_packages(|| self.manager_runs(&["install", "--immutable"]))
            }
            Manager::Pnpm => self.install_by_pnpm(lock),
        }
    }

    fn install_by_pnpm(&self, lock: &Lock) -> Result<bool, Stop> {
        screen::detail(&format!("Running 'pnpm install' with {}", lock.name));
        let reporter = self.build.config_var("PNPM_INSTALL_REPORTER").and_then(|reporter| {
            let is_known = matches!(reporter, "default" | "ndjson" | "append-only" | "silent");
            if !is_known {
                screen::detail(&format!(
                    "Warning: Invalid PNPM_INSTALL_REPORTER value '{reporter}'. Valid values: default, ndjson, append-only, silent"
                ));
            }
            is_known.then(|| format!("--reporter={reporter}"))
        });
        let mut arguments = vec!["install", "--prod=false", "--frozen-lockfile"];
        arguments.extend(reporter.as_deref());
        self.manager_runs(&arguments)
    }

    /// Whether a config var asks for no development packages from the beginning.
    fn installs_production(&self, name: &str) -> bool {
        self.build.config_var(name) == Some("true")
    }

    fn install_unlocked(&self) -> Result<bool, Stop> {
        self.build.build.notes.reuse(SAVED, false, "there is no lock file");
        screen::step("Installing dependencies");
        screen::warning(
            "No package-lock.json found: every build may install other versions.\n\
             Run `npm install` and commit package-lock.json.",
        );
        screen::detail("Installing node modules (package.json)");
        self.build.cache("node")?;
        self.npm_installs(&["install", "--include=dev", "--no-package-lock"])
    }

    fn run_install_scripts(&self) -> Result<bool, Stop> {
        for name in self.package.install_scripts() {
            let is_pnpms = name.starts_with("pnpm:");
            if (!is_pnpms || self.manager() == Manager::Pnpm) && !self.run_script(name, None)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the saved packages are all that an install makes. Scripts of other packages of the repository may make
    /// more, in an order that the manager knows, and packages in a folder of it are copied.
    pub(super) fn is_whole_without_install(&self, lock: &Lock) -> bool {
        let copies = lock.manager != Manager::Npm && names_folder(&lock.bytes);
        !copies && !self.projects.iter().skip(1).any(|project| project.has_install_scripts)
    }

    /// Where an install puts what it makes.
    fn installed_paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            self.projects.iter().map(|project| project.folder.join("node_modules")).collect();
        if self.manager() == Manager::Berry {
            paths.extend(LEFT_BY_YARN.map(PathBuf::from));
            if self.yarn.uses_cache_of_app() && !self.yarn.has_cache {
                paths.push(YARN_CACHE.into());
            }
        }
        paths
    }

    /// The same, and what pruning takes away beside it.
    pub(super) fn pruned_paths(&self) -> Vec<PathBuf> {
        let mut paths = self.installed_paths();
        if self.manager() == Manager::Berry && self.yarn.has_cache {
            paths.push(YARN_CACHE.into());
        }
        paths
    }

    /// Runs Yarn and gives the app its own `package.json` files back, which Yarn 2 and newer write in their own manner.
    pub(super) fn keeping_packages(&self, run: impl FnOnce() -> Result<bool, Stop>) -> Result<bool, Stop> {
        let read = |path: &PathBuf| files::read(path, files::PACKAGE_BYTES_MAX).ok();
        let paths = self
            .projects
            .iter()
            .map(|project| self.build.build_dir().join(&project.folder).join("package.json"));
        let before: Vec<_> = paths.map(|path| (read(&path), path)).collect();
        let succeeded = run()?;
        for (bytes, path) in before {
            if let Some(bytes) = bytes
                && read(&path).as_ref() != Some(&bytes)
            {
                fs::write(&path, bytes).map_err(Stop::io(format!("could not write {}", path.display())))?;
            }
        }
        Ok(succeeded)
    }

    /// Everything that what is installed depends on.
    pub(super) fn key(&self, lock: &Lock) -> String {
        let toolchain = &self.toolchain;
        let manager = toolchain.manager.map(|version| version.to_string()).unwrap_or_default();
        let versions = format!(
            "{} {} {} {manager} {}",
            toolchain.node,
            toolchain.npm,
            lock.manager.program(),
            self.yarn.path.as_deref().unwrap_or_default()
        );
        let changes = |name: &str| {
            let name = name.to_ascii_lowercase();
            VARIABLES.iter().any(|start| name.starts_with(start))
        };
        let variables = self.build.build.config_vars.iter().filter(|(name, _)| changes(name));
        let settings = SETTINGS.map(|name| files::settings(self.build.build_dir(), name));
        let stack = &self.build.build.plan.stack_version;
        let mut parts: Vec<&[u8]> = vec![&lock.bytes, versions.as_bytes(), stack.as_bytes()];
        parts.extend(variables.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        parts.extend(settings.iter().map(Vec::as_slice));
        for project in &self.projects {
            parts.extend([project.folder.as_os_str().as_encoded_bytes(), &project.package_bytes]);
        }
        cache_key(&parts)
    }
}

/// Whether a lock file has a package from a folder of the repository, `file:PATH`.
fn names_folder(lock: &[u8]) -> bool {
    const WORD: &[u8] = b"file:";
    lock.windows(WORD.len() + 2).any(|window| {
        let (before, after) = (window[0], window[WORD.len() + 1]);
        &window[1..=WORD.len()] == WORD && !before.is_ascii_alphanumeric() && !after.is_ascii_whitespace()
    })
}

#[cfg(test)]
mod tests {
    use super::names_folder;

    #[test]
    fn a_lock_file_names_packages_of_folders() {
        for (lock, expected) in [
            ("settings:\n  excludeLinksFromLockfile: false\n", false),
            ("\"lib@file:./lib\":\n", true),
            ("  lib:\n    version: file:packages/lib\n", true),
            ("file:", false),
        ] {
            assert_eq!(names_folder(lock.as_bytes()), expected, "{lock}");
        }
    }
}
