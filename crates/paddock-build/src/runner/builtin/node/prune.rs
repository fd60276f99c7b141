//! Development packages go before the app is packed. Commands and the reasons for leaving them: Heroku's own buildpack.

use std::fs;
use std::path::{Path, PathBuf};

use super::lock::{Lock, Manager};
use super::projects::has_workspaces;
use super::saved::Snapshot;
use super::settings::YARN_CACHE;
use super::{Installer, NodeBuild, show};
use crate::runner::builtin::semver::Version;
use crate::runner::screen;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The name of what pruning changes, in the cache.
const SAVED: &str = "node/pruned";
/// The pnpm that prunes without running the app's scripts.
const PNPM_OF_QUIET_PRUNING: Version = Version(8, 15, 6);
/// Taught to Yarn 2 and newer, which has no command of its own for this in all versions.
const PRUNE_OF_YARN: &str = include_str!("prune.cjs");

impl NodeBuild<'_> {
    pub(super) fn prune(&self) -> Result<bool, Stop> {
        screen::step("Pruning devDependencies");
        if let Some(reason) = self.reason_to_keep() {
            screen::detail(&format!("Skipping because {reason}"));
            return Ok(true);
        }
        let has_any = self.projects.len() > 1 || self.package.has_dev_dependencies;
        if !has_any && !self.has_cache_to_drop() {
            screen::detail("Skipping because there are none");
            return Ok(true);
        }
        let Some(lock) = &self.lock else { return self.prune_npm() };
        if let Some((folder, why)) = self.scripts_that_pruning_runs() {
            warn_of_scripts(&folder, &why);
            return Ok(true);
        }
        let key = self.key(lock);
        let may_cache = self.may_cache() && self.is_whole_without_install(lock);
        if may_cache && self.build.prune_as_saved(SAVED, &key)? {
            screen::detail(&format!("No change in {} detected: pruned as before", lock.name));
            return Ok(true);
        }
        let paths = self.pruned_paths();
        let before = Snapshot::take(self.build.build_dir(), &paths)
            .map_err(Stop::io("could not list the packages"))?;
        if !self.prune_locked(lock)? {
            return Ok(false);
        }
        if may_cache {
            self.build.save_pruned(&before, &paths, SAVED, &key)?;
        }
        Ok(true)
    }

    fn reason_to_keep(&self) -> Option<String> {
        let set = |name: &str| self.build.config_var(name).filter(|value| !value.is_empty());
        match set("NODE_ENV") {
            Some("test") => return Some("NODE_ENV is 'test'".to_owned()),
            Some(other) if other != "production" => return Some("NODE_ENV is not 'production'".to_owned()),
            _ => {}
        }
        let (name, only_true) = match self.manager() {
            Manager::Npm => ("NPM_CONFIG_PRODUCTION", false),
            Manager::Yarn => ("YARN_PRODUCTION", false),
            Manager::Berry => ("YARN2_SKIP_PRUNING", true),
            Manager::Pnpm => ("PNPM_SKIP_PRUNING", true),
        };
        let value = set(name).filter(|value| !only_true || *value == "true")?;
        Some(format!("{name} is '{value}'"))
    }

    /// Whether archives of packages lie in the app that dynos have no use for.
    fn has_cache_to_drop(&self) -> bool {
        self.manager() == Manager::Berry && self.yarn.has_node_modules && self.yarn.has_cache
    }

    fn prune_locked(&self, lock: &Lock) -> Result<bool, Stop> {
        match lock.manager {
            Manager::Npm => self.prune_npm(),
            Manager::Yarn => self.manager_runs(&[
                "install",
                "--production",
                "--frozen-lockfile",
                "--ignore-engines",
                "--ignore-scripts",
                "--prefer-offline",
            ]),
            Manager::Berry => self.prune_berry(),
            Manager::Pnpm => self.prune_pnpm(),
        }
    }

    fn prune_npm(&self) -> Result<bool, Stop> {
        let omit = match self.installer() {
            Installer::OwnOld => "--production",
            Installer::Own | Installer::Stacks => "--omit=dev",
        };
        let unlocked = ["prune", omit, "--ignore-scripts", "--no-package-lock"];
        self.npm_installs(if self.lock.is_some() { &unlocked[..3] } else { &unlocked })
    }

    fn prune_berry(&self) -> Result<bool, Stop> {
        screen::detail("Removing the development packages of all workspaces");
        let plugin = self.build.build.home.join(".yarn-prune.cjs");
        fs::write(&plugin, PRUNE_OF_YARN).map_err(Stop::io("could not write Yarn's plugin"))?;
        let mut yarn = self.program("yarn");
        yarn.args(["paddock", "prune"])
            .env("YARN_PLUGINS", &plugin)
            // What is pruned of it is no change that it should be kept from.
            .env("YARN_ENABLE_IMMUTABLE_CACHE", "false")
            .env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false");
        if !self.keeping_packages(|| show(yarn))? {
            return Ok(false);
        }
        if self.yarn.has_node_modules {
            screen::detail("Removing local yarn cache to reduce slug size");
            let cache = self.build.build_dir().join(YARN_CACHE);
            remove_any(&cache).map_err(Stop::io("could not remove Yarn's cache"))?;
        }
        Ok(true)
    }

    /// Where pnpm would run scripts of the app when it prunes, and why.
    fn scripts_that_pruning_runs(&self) -> Option<(PathBuf, String)> {
        if self.manager() != Manager::Pnpm {
            return None;
        }
        if self.is_workspace_of_pnpm() {
            let project = self.projects.iter().find(|project| project.has_install_scripts)?;
            let why = "A workspace of pnpm is pruned by installing anew, which runs";
            return Some((project.folder.clone(), why.to_owned()));
        }
        let version = self.toolchain.manager.filter(|version| *version < PNPM_OF_QUIET_PRUNING)?;
        self.package.install_scripts().next()?;
        Some((PathBuf::new(), format!("Pruning with pnpm {version} runs")))
    }

    fn is_workspace_of_pnpm(&self) -> bool {
        has_workspaces(self.build.build_dir(), &self.package, Manager::Pnpm)
    }

    fn prune_pnpm(&self) -> Result<bool, Stop> {
        if self.is_workspace_of_pnpm() {
            for project in &self.projects {
                let modules = self.build.build_dir().join(&project.folder).join("node_modules");
                remove_any(&modules).map_err(Stop::io("could not remove node_modules"))?;
            }
            return self.manager_runs(&["install", "--prod", "--frozen-lockfile"]);
        }
        let is_quiet = self.toolchain.manager.is_none_or(|version| version >= PNPM_OF_QUIET_PRUNING);
        let arguments = ["prune", "--prod", "--ignore-scripts"];
        self.manager_runs(if is_quiet { &arguments } else { &arguments[..2] })
    }
}

fn warn_of_scripts(folder: &Path, why: &str) {
    screen::warning(&format!(
        "Pruning skipped due to presence of lifecycle scripts\n\n\
         {why} these scripts of a package.json, and {} has some:\n\
         pnpm:devPreinstall, preinstall, install, postinstall, prepare. Development packages stay in the app.",
        folder.join("package.json").display()
    ));
}
