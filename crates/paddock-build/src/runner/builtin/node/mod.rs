//! The Node.js buildpack: Node.js, npm, Yarn or pnpm as the app asks for them, its packages from its lock file, its
//! scripts, pruning. Order and scripts: the classic buildpack as `docs/contract/buildpacks.md`, section 5, has it.

mod declared;
mod files;
mod install;
mod lock;
mod package;
mod projects;
mod prune;
mod saved;
mod settings;
mod toolchain;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::lock::{Lock, Manager};
use self::package::Package;
use self::projects::Project;
use self::settings::{YARN_CACHE, YarnSettings};
use self::toolchain::{Toolchain, Wanted};
use super::semver::Version;
use super::{BuiltinBuild, PLAIN, Row, profile};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// The npm with which options as they are used here begin.
const NPM_OF_OUR_OPTIONS: u64 = 7;
/// The only older one that installs what a lock file says, and the newest format of it that it reads.
const OLD_NPM: u64 = 6;
const OLD_LOCK: u64 = 2;
/// The pnpm that has settings in variables of its own, and that looks before each script whether all is installed.
const PNPM_OF_OWN_VARIABLES: Version = Version(11, 0, 0);
/// What a build's Node.js may use. Source: `docs/contract/buildpacks.md`, section 12.
const NODE_OPTIONS: &str = "--max_old_space_size=2560";

pub(super) const ROW: Row = Row {
    detect: |app| app.join("package.json").is_file(),
    looks_for: "Error: your app is configured to use the Node.js buildpack, but there is no 'package.json' at its root.",
    compile,
    default_process_types,
    ..PLAIN
};

fn default_process_types(build_dir: &Path) -> BTreeMap<String, String> {
    let Ok(package) = Package::read(build_dir) else { return BTreeMap::new() };
    let manager = lock::find(build_dir).ok().flatten().map_or(Manager::Npm, |lock| lock.manager);
    // Without a script of that name npm and pnpm start `server.js`, and Yarn nothing.
    let program = match manager {
        Manager::Yarn | Manager::Berry if !package.has_script("start") => "npm",
        manager => manager.program(),
    };
    let web = package::starts(build_dir, &package).then(|| ("web".to_owned(), format!("{program} start")));
    web.into_iter().collect()
}

/// Which npm installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installer {
    Own,
    /// The app's own, which wants other words for the same.
    OwnOld,
    Stacks,
}

/// One build of a Node.js app.
struct NodeBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    package: Package,
    lock: Option<Lock>,
    yarn: YarnSettings,
    projects: Vec<Project>,
    toolchain: Toolchain,
}

/// What an app says of itself.
struct App {
    package: Package,
    lock: Option<Lock>,
    yarn: YarnSettings,
    wanted: Option<Wanted>,
}

impl App {
    /// Reads it, or says what is wrong with it.
    fn read(build: &BuiltinBuild<'_>) -> Result<Self, String> {
        let build_dir = build.build_dir();
        let package = Package::read(build_dir)?;
        let lock = lock::find(build_dir)?;
        lock::agree(&package, lock.as_ref())?;
        if let Some(range) = &package.iojs {
            return Err(format!(
                "Error: io.js is no longer supported\n\n\
                 package.json asks for io.js {range} in engines.iojs. Remove that and ask for Node.js in engines.node."
            ));
        }
        let is_berry = lock.as_ref().is_some_and(|lock| lock.manager == Manager::Berry);
        if is_berry && build.config_var("YARN_PRODUCTION").is_some_and(|value| !value.is_empty()) {
            return Err("Unsupported Yarn configuration: YARN_PRODUCTION\n\n\
                 Yarn 2 and newer ends when it sees this variable. YARN2_SKIP_PRUNING says whether development\n\
                 packages stay:\n  heroku config:unset YARN_PRODUCTION\n  heroku config:set YARN2_SKIP_PRUNING=true"
                .to_owned());
        }
        let yarn = if is_berry { YarnSettings::read(build_dir)? } else { YarnSettings::default() };
        let wanted = Wanted::of(&package, lock.as_ref(), &yarn)?;
        Ok(Self { package, lock, yarn, wanted })
    }
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let app = match App::read(build) {
        Ok(app) => app,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    say_environment(build);
    if app.lock.as_ref().is_some_and(|lock| lock.manager == Manager::Berry) {
        warn_of_unused(build);
    }
    let chosen = toolchain::choose(build, &app.package, app.lock.as_ref(), app.wanted.as_ref())?;
    let Some(toolchain) = chosen else { return Ok(false) };
    let App { package, lock, yarn, .. } = app;
    let manager = lock.as_ref().map_or(Manager::Npm, |lock| lock.manager);
    build.used("node", &toolchain.node);
    build.used("npm", &toolchain.npm);
    if let Some(version) = &toolchain.manager {
        build.used(manager.program(), version);
    }
    let projects = projects::find(build.build_dir(), &package, manager);
    NodeBuild { build, package, lock, yarn, projects, toolchain }.run()
}

/// Settings of Yarn 1 that newer ones do not read.
fn warn_of_unused(build: &BuiltinBuild<'_>) {
    for name in [".npmrc", ".yarnrc"] {
        if build.build_dir().join(name).is_file() {
            screen::warning(&format!(
                "There is an existing {name} file that will not be used. All configurations are read from the .yarnrc.yml file."
            ));
        }
    }
}

fn say_environment(build: &BuiltinBuild<'_>) {
    screen::step("Creating runtime environment");
    screen::detail(" ");
    for (name, default) in
        [("NODE_VERBOSE", "false"), ("NODE_ENV", "production"), ("NODE_MODULES_CACHE", "true")]
    {
        screen::detail(&format!("{name}={}", build.config_var(name).unwrap_or(default)));
    }
    screen::detail(" ");
}

impl NodeBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        if !self.script("heroku-prebuild", "Prebuild")? || !self.install()? {
            return Ok(false);
        }
        let script = if self.package.has_script("heroku-postbuild") { "heroku-postbuild" } else { "build" };
        if !self.script(script, "Build")? || !self.prune()? || !self.script("heroku-cleanup", "Cleanup")? {
            return Ok(false);
        }
        self.finish()?;
        screen::step("Build succeeded!");
        Ok(true)
    }

    /// The manager that installs the packages and runs the scripts.
    fn manager(&self) -> Manager {
        self.lock.as_ref().map_or(Manager::Npm, |lock| lock.manager)
    }

    /// A program with Node.js and the app's own programs in its path.
    fn program(&self, name: &str) -> Command {
        let mut command = self.build.program(name);
        let mut before = self.toolchain.folders();
        before.push(self.build.build_dir().join("node_modules/.bin"));
        command.env("PATH", self.build.path(&before));
        for (name, value) in
            [("NODE_ENV", "production"), ("NODE_OPTIONS", NODE_OPTIONS), ("NPM_CONFIG_LOGLEVEL", "error")]
        {
            command.env(name, self.build.config_var(name).unwrap_or(value));
        }
        command
            .env("NPM_CONFIG_CACHE", self.downloads("npm"))
            .env("NPM_CONFIG_UPDATE_NOTIFIER", "false")
            .env("NPM_CONFIG_FUND", "false")
            .env("NPM_CONFIG_AUDIT", "false");
        for (name, value) in self.manager_env() {
            if self.build.config_var(&name).is_none() {
                command.env(name, value);
            }
        }
        command
    }

    /// Settings of the app's manager, which config vars go before.
    fn manager_env(&self) -> Vec<(String, PathBuf)> {
        let set = |name: &str, value: PathBuf| (name.to_owned(), value);
        match self.manager() {
            Manager::Npm => Vec::new(),
            Manager::Yarn => vec![set("YARN_CACHE_FOLDER", self.downloads("yarn"))],
            Manager::Berry => {
                let in_app = self.yarn.uses_cache_of_app();
                let cache =
                    if in_app { self.build.build_dir().join(YARN_CACHE) } else { self.downloads("yarn") };
                let mut all =
                    vec![set("YARN_CACHE_FOLDER", cache), set("YARN_ENABLE_GLOBAL_CACHE", "false".into())];
                if self.yarn.has_cache {
                    all.push(set("YARN_ENABLE_IMMUTABLE_CACHE", "true".into()));
                }
                all
            }
            Manager::Pnpm => {
                let prefix = if self.has_own_pnpm_variables() { "pnpm_config_" } else { "npm_config_" };
                let mut all = vec![
                    // Always the same one: what is installed knows it by this path.
                    set(&format!("{prefix}store_dir"), self.build.build.cache.cache_dir().join("node/pnpm")),
                    // A script that writes to an installed file must not reach the store.
                    set(&format!("{prefix}package_import_method"), "copy".into()),
                ];
                if self.has_own_pnpm_variables() {
                    all.push(set(&format!("{prefix}verify_deps_before_run"), "false".into()));
                }
                all
            }
        }
    }

    fn has_own_pnpm_variables(&self) -> bool {
        self.toolchain.manager.is_some_and(|version| version >= PNPM_OF_OWN_VARIABLES)
    }

    /// What a manager keeps of downloads: between builds only once the cache is open for writing.
    fn downloads(&self, manager: &str) -> PathBuf {
        if self.build.build.cache.is_opened() {
            return self.build.build.cache.cache_dir().join("node").join(manager);
        }
        self.build.build.home.join(format!(".{manager}"))
    }

    /// The npm that installs and prunes: the app's own, unless that is too old to read the lock file.
    fn installer(&self) -> Installer {
        let lock_version = self.lock.as_ref().map_or(1, |lock| lock.version);
        match self.toolchain.npm.0 {
            NPM_OF_OUR_OPTIONS.. => Installer::Own,
            OLD_NPM if lock_version <= OLD_LOCK => Installer::OwnOld,
            _ => Installer::Stacks,
        }
    }

    fn npm_installs(&self, arguments: &[&str]) -> Result<bool, Stop> {
        let mut npm = match self.installer() {
            Installer::Own => self.program("npm"),
            Installer::OwnOld => {
                let mut npm = self.program("npm");
                // What `--include=dev` says to later ones.
                npm.env("NPM_CONFIG_PRODUCTION", "false");
                npm
            }
            Installer::Stacks => {
                // npm itself runs on the stack's Node.js; what it starts finds the app's in its path.
                let stacks = &self.toolchain.stacks;
                let mut npm = self.program(&stacks.node_program.display().to_string());
                // An npm of that age takes no notice of what packages want beside them.
                npm.arg(&stacks.npm_program).env("NPM_CONFIG_LEGACY_PEER_DEPS", "true");
                npm
            }
        };
        npm.args(arguments);
        show(npm)
    }

    /// Has Yarn or pnpm do something.
    fn manager_runs(&self, arguments: &[&str]) -> Result<bool, Stop> {
        let mut command = self.program(self.manager().program());
        command.args(arguments);
        show(command)
    }

    /// Runs a script of the package, if it has it.
    fn script(&self, name: &str, title: &str) -> Result<bool, Stop> {
        if !self.package.has_script(name) {
            return Ok(true);
        }
        screen::step(title);
        let with = if self.manager().program() == "yarn" { " (yarn)" } else { "" };
        screen::detail(&format!("Running {name}{with}"));
        let flags =
            self.build.config_var("NODE_BUILD_FLAGS").filter(|flags| name == "build" && !flags.is_empty());
        self.run_script(name, flags)
    }

    /// Scripts are run by the program that the app's dynos have.
    fn run_script(&self, name: &str, flags: Option<&str>) -> Result<bool, Stop> {
        let mut arguments = vec!["run", name];
        if let Some(flags) = flags {
            screen::detail(&format!("Running with {flags} flags"));
            if self.manager().program() != "yarn" {
                arguments.push("--");
            }
            arguments.push(flags);
        }
        self.manager_runs(&arguments)
    }

    fn finish(&self) -> Result<(), Stop> {
        self.build.profile("nodejs.sh", profile::NODE)?;
        if self.manager() == Manager::Pnpm && self.has_own_pnpm_variables() {
            self.build.profile("pnpm.sh", profile::PNPM)?;
        }
        self.build.profile(profile::CONCURRENCY_NAME, &profile::node_concurrency())?;
        // In words of HOME's place at build time: later buildpacks run before the app moves to /app.
        self.build.export(&format!(
            "export PATH=\"{0}/.heroku/node/bin:{0}/node_modules/.bin:$PATH\"\n\
             export NODE_HOME=\"{0}/.heroku/node\"\nexport NODE_OPTIONS=\"${{NODE_OPTIONS:-{NODE_OPTIONS}}}\"\n",
            self.build.build_dir().display()
        ))
    }
}

/// Runs a manager, its output shown.
fn show(command: Command) -> Result<bool, Stop> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = session::show_indented(command).map_err(Stop::io(format!("could not run {name}")))?;
    Ok(status.success())
}
