//! Which Node.js builds and runs an app: the stack's own, or one that npm fetches when `engines.node` asks for another.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::BuiltinBuild;
use super::super::semver::{Version, satisfies};
use super::package::Package;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The oldest Node.js that npm of our days runs on.
const OLDEST_FOR_NPM: u64 = 18;

/// Node.js and npm.
pub(super) struct Toolchain {
    pub(super) node: Version,
    pub(super) npm: String,
    /// Where the program of a fetched Node.js is; the stack's own has none.
    fetched: Option<PathBuf>,
}

impl Toolchain {
    /// Whether the app's Node.js is young enough for the stack's npm.
    pub(super) fn runs_the_stacks_npm(&self) -> bool {
        self.fetched.is_none() || self.node.0 >= OLDEST_FOR_NPM
    }

    /// Folders to put before the usual path at build time.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.fetched.iter().filter_map(|program| program.parent()).map(Path::to_owned).collect()
    }

    /// Puts a fetched Node.js into the slug.
    pub(super) fn install(&self, build: &BuiltinBuild<'_>) -> Result<(), Stop> {
        let Some(program) = &self.fetched else { return Ok(()) };
        let folder = build.build_dir().join(".heroku/node/bin");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::copy(program, folder.join("node")).map(drop))
            .map_err(Stop::io("could not put Node.js into the slug"))
    }
}

/// Chooses; `None` when there is none that fits, which the user has been told.
pub(super) fn choose(build: &BuiltinBuild<'_>, package: &Package) -> Result<Option<Toolchain>, Stop> {
    screen::step("Installing binaries");
    let or = |range: &Option<String>, default: &str| range.clone().unwrap_or_else(|| default.to_owned());
    screen::detail(&format!("engines.node (package.json):   {}", or(&package.node, "unspecified")));
    screen::detail(&format!(
        "engines.npm (package.json):    {}",
        or(&package.npm, "unspecified (use default)")
    ));
    screen::detail(" ");
    let Some(node) = version_of(build, "node") else {
        screen::warning(
            "This stack has no Node.js: its operator has to install the packages nodejs and npm.",
        );
        return Ok(None);
    };
    let Some(npm) = version_of(build, "npm") else {
        screen::warning("This stack has no npm: its operator has to install the package npm.");
        return Ok(None);
    };
    if let Some(range) = &package.npm
        && satisfies(npm, range) == Some(false)
    {
        screen::warning(&format!("npm {range} is asked for in engines.npm; the stack's npm {npm} is used."));
    }
    let stacks = Toolchain { node, npm: npm.to_string(), fetched: None };
    let Some(range) = &package.node else {
        screen::detail(&format!("Using the stack's node {node} and npm {npm}"));
        return Ok(Some(stacks));
    };
    match satisfies(node, range) {
        Some(true) => {
            screen::detail(&format!("Resolving node version {range}..."));
            screen::detail(&format!("Using the stack's node {node} and npm {npm}"));
            Ok(Some(stacks))
        }
        Some(false) => fetch(build, range, &stacks),
        None => {
            screen::warning(&format!(
                "engines.node in package.json cannot be read: {range:?}\nUse a version or a range such as \"{}.x\".",
                node.0
            ));
            Ok(None)
        }
    }
}

fn version_of(build: &BuiltinBuild<'_>, program: &str) -> Option<Version> {
    let mut command = build.program(program);
    command.arg("--version");
    let captured = session::capture(command).ok()?;
    Version::parse(String::from_utf8_lossy(&captured.stdout).trim())
}

/// Fetches a Node.js from the npm registry, where its binaries are packages of their own.
fn fetch(build: &BuiltinBuild<'_>, range: &str, stacks: &Toolchain) -> Result<Option<Toolchain>, Stop> {
    screen::detail(&format!("Resolving node version {range}..."));
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let name = format!("node-linux-{architecture}");
    let saved = build.build.cache.find("node/toolchain/node");
    let saved = saved.filter(|program| {
        kept_version(build, program).is_some_and(|version| satisfies(version, range) == Some(true))
    });
    let is_saved = saved.is_some();
    let program = match saved {
        Some(saved) => saved,
        None => build.cache("node")?.join("toolchain/node"),
    };
    if !is_saved && let Err(said) = install(build, &name, range, &program)? {
        screen::warning(&format!(
            "Node.js {range} is asked for in engines.node; the stack has {} and the npm registry gave no other.\n\
             Change engines.node in package.json to \"{}.x\", or try again.",
            stacks.node, stacks.node.0
        ));
        screen::detail(&said);
        return Ok(None);
    }
    let Some(node) = kept_version(build, &program) else {
        screen::warning(&format!("The Node.js that was fetched for {range} does not run on this stack."));
        return Ok(None);
    };
    let how = if is_saved { "Using node" } else { "Downloading and installing node" };
    screen::detail(&format!("{how} {node} with the stack's npm {}", stacks.npm));
    Ok(Some(Toolchain { node, npm: stacks.npm.clone(), fetched: Some(program) }))
}

/// The program in an installed package. Packages of old versions hold it in an archive of its own.
fn program_of(build: &BuiltinBuild<'_>, package: &Path) -> Option<PathBuf> {
    let program = package.join("bin/node");
    if program.is_file() {
        return Some(program);
    }
    let is_archive = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".tar.gz"));
    let archive = fs::read_dir(package).ok()?.flatten().map(|entry| entry.path()).find(is_archive)?;
    let mut tar = build.program("tar");
    tar.current_dir(package).arg("-xzf").arg(archive).args([
        "--strip-components=2",
        "--wildcards",
        "*/bin/node",
    ]);
    session::capture(tar).ok().filter(|captured| captured.status.success())?;
    Some(package.join("node")).filter(|program| program.is_file())
}

/// Installs the package and keeps its program alone; or what npm said.
fn install(
    build: &BuiltinBuild<'_>,
    name: &str,
    range: &str,
    program: &Path,
) -> Result<Result<(), String>, Stop> {
    let folder = build.build.home.join(".heroku/node-download");
    let prepare = || {
        remove_any(&folder)?;
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(program.parent().expect("the program lies in a folder of the cache"))?;
        // Without one of its own, npm would look for a package further up.
        fs::write(folder.join("package.json"), "{}")
    };
    prepare().map_err(Stop::io("could not prepare the toolchain's folder"))?;
    let mut npm = build.program("npm");
    npm.current_dir(&folder)
        .env("NPM_CONFIG_CACHE", folder.join("npm"))
        .env("NPM_CONFIG_LOGLEVEL", "error")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"])
        .arg(format!("{name}@{range}"));
    let captured = session::capture(npm).map_err(Stop::io("could not run npm"))?;
    if !captured.status.success() {
        return Ok(Err(String::from_utf8_lossy(&captured.stderr).into_owned()));
    }
    let Some(installed) = program_of(build, &folder.join("node_modules").join(name)) else {
        return Ok(Err(format!("the package {name} for {range} holds no program")));
    };
    fs::copy(installed, program)
        .and_then(|_| remove_any(&folder))
        .map_err(Stop::io("could not keep the Node.js that was fetched"))?;
    Ok(Ok(()))
}

fn kept_version(build: &BuiltinBuild<'_>, program: &Path) -> Option<Version> {
    program.is_file().then(|| version_of(build, program.to_str()?))?
}
