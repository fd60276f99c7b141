//! The Node.js buildpack: the system's Node.js or one fetched by npm, `npm ci`, the app's scripts, pruning.
//! Order and scripts: the classic buildpack as `docs/contract/buildpacks.md`, section 5, has it.

mod package;
mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::package::{Lock, Package};
use self::toolchain::Toolchain;
use super::{BuiltinBuild, PLAIN, Row, cache_key, profile};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// The name of the saved packages in the cache.
const SAVED: &str = "node/node_modules";
/// The npm with which options as they are used here begin.
const NPM_OF_OUR_OPTIONS: u64 = 7;
/// The only older one that installs what a lock file says, and the newest format of it that it reads.
const OLD_NPM: u64 = 6;
const OLD_LOCK: u64 = 2;
/// Scripts of the root package that npm runs when it installs; on a cache hit they are run by themselves.
const INSTALL_SCRIPTS: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];
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
    let starts = Package::read(build_dir).is_ok_and(|package| package.has_script("start"))
        || build_dir.join("server.js").is_file();
    let web = starts.then(|| ("web".to_owned(), "npm start".to_owned()));
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
    toolchain: Toolchain,
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let package = match Package::read(build.build_dir()) {
        Ok(package) => package,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    let lock = match package::find_lock(build.build_dir()) {
        Ok(lock) => lock,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    say_environment(build);
    let Some(toolchain) = toolchain::choose(build, &package)? else { return Ok(false) };
    NodeBuild { build, package, lock, toolchain }.run()
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
            .env("NPM_CONFIG_CACHE", self.npm_cache())
            .env("NPM_CONFIG_UPDATE_NOTIFIER", "false")
            .env("NPM_CONFIG_FUND", "false")
            .env("NPM_CONFIG_AUDIT", "false");
        command
    }

    /// What npm keeps of downloads: between builds only once the cache is open for writing.
    fn npm_cache(&self) -> PathBuf {
        if self.build.build.cache.is_opened() {
            return self.build.build.cache.cache_dir().join("node/npm");
        }
        self.build.build.home.join(".npm")
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
        Self::show(npm)
    }

    fn show(npm: Command) -> Result<bool, Stop> {
        Ok(session::show_indented(npm).map_err(Stop::io("could not run npm"))?.success())
    }

    /// Runs a script of the package, if it has it.
    fn script(&self, name: &str, title: &str) -> Result<bool, Stop> {
        if !self.package.has_script(name) {
            return Ok(true);
        }
        screen::step(title);
        screen::detail(&format!("Running {name}"));
        self.run_script(name)
    }

    /// Scripts are run by the npm that the app's dynos have.
    fn run_script(&self, name: &str) -> Result<bool, Stop> {
        let mut npm = self.program("npm");
        npm.args(["run", name]);
        Self::show(npm)
    }

    fn install(&self) -> Result<bool, Stop> {
        let modules = self.build.build_dir().join("node_modules");
        let Some(lock) = &self.lock else { return self.install_unlocked() };
        if modules.exists() {
            screen::warning(
                "node_modules is checked into source control; it is installed anew from the lock file.",
            );
        }
        let key = self.key(lock);
        let may_cache = self.build.config_var("NODE_MODULES_CACHE") != Some("false");
        if may_cache && let Some(saved) = self.build.saved(SAVED, &key) {
            screen::step("Restoring cache");
            self.build.unpack(&saved, &modules)?;
            screen::detail(&format!(
                "No change in {} detected: node_modules is not installed again",
                lock.name
            ));
            return self.run_install_scripts();
        }
        screen::step("Installing dependencies");
        screen::detail(&format!("Installing node modules ({})", lock.name));
        self.build.cache("node")?;
        if !self.npm_installs(&["ci", "--include=dev"])? {
            return Ok(false);
        }
        if may_cache && modules.is_dir() {
            screen::step("Caching build");
            screen::detail("- node_modules");
            self.build.save(&modules, SAVED, &key)?;
        }
        Ok(true)
    }

    fn install_unlocked(&self) -> Result<bool, Stop> {
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
        for name in INSTALL_SCRIPTS {
            if self.package.has_script(name) && !self.run_script(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Everything that what `npm ci` makes depends on.
    fn key(&self, lock: &Lock) -> String {
        let npmrc = fs::read(self.build.build_dir().join(".npmrc")).unwrap_or_default();
        let versions = format!("{} {}", self.toolchain.node, self.toolchain.npm);
        let stack = &self.build.build.plan.stack_version;
        cache_key(&[&lock.bytes, &self.package.bytes, &npmrc, versions.as_bytes(), stack.as_bytes()])
    }

    fn prune(&self) -> Result<bool, Stop> {
        let reason = match (self.build.config_var("NPM_CONFIG_PRODUCTION"), self.build.config_var("NODE_ENV"))
        {
            (Some("false"), _) => Some("NPM_CONFIG_PRODUCTION is 'false'".to_owned()),
            (_, Some(other)) if other != "production" => {
                Some(format!("NODE_ENV is not 'production' but '{other}'"))
            }
            _ => None,
        };
        screen::step("Pruning devDependencies");
        if let Some(reason) = reason {
            screen::detail(&format!("Skipping because {reason}"));
            return Ok(true);
        }
        if !self.package.has_dev_dependencies {
            screen::detail("Skipping because there are none");
            return Ok(true);
        }
        let omit = match self.installer() {
            Installer::OwnOld => "--production",
            Installer::Own | Installer::Stacks => "--omit=dev",
        };
        let unlocked = ["prune", omit, "--ignore-scripts", "--no-package-lock"];
        self.npm_installs(if self.lock.is_some() { &unlocked[..3] } else { &unlocked })
    }

    fn finish(&self) -> Result<(), Stop> {
        self.build.profile("nodejs.sh", profile::NODE)?;
        self.build.profile(profile::CONCURRENCY_NAME, &profile::node_concurrency())?;
        // In words of HOME's place at build time: later buildpacks run before the app moves to /app.
        self.build.export(&format!(
            "export PATH=\"{0}/.heroku/node/bin:{0}/node_modules/.bin:$PATH\"\n\
             export NODE_HOME=\"{0}/.heroku/node\"\nexport NODE_OPTIONS=\"${{NODE_OPTIONS:-{NODE_OPTIONS}}}\"\n",
            self.build.build_dir().display()
        ))
    }
}
