//! Which Node.js builds and runs an app, and which npm: the stack's own, or what npm fetches when `engines` asks for
//! another. What is fetched lies in the slug from the beginning, as a Node.js of one's own is laid out:
//! `.heroku/node/bin` and `.heroku/node/lib/node_modules/npm`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::BuiltinBuild;
use super::super::semver::{Version, range_of_npm, satisfies};
use super::package::Package;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Where it lies, below BUILD_DIR.
const FOLDER: &str = ".heroku/node";
/// The name of what was fetched in the cache.
const SAVED: &str = "node/toolchain";
/// From which version on Node.js brings which npm. Source: the list of its releases.
const NPM_OF_NODE: [(Version, &str); 11] = [
    (Version(0, 0, 0), "2"),
    (Version(5, 0, 0), "3"),
    (Version(7, 0, 0), "4"),
    (Version(8, 0, 0), "6"),
    (Version(15, 0, 0), "7"),
    (Version(16, 0, 0), "8"),
    (Version(18, 14, 0), "9"),
    (Version(18, 19, 0), "10"),
    (Version(19, 0, 0), "9"),
    (Version(20, 9, 0), "10"),
    (Version(24, 0, 0), "11"),
];

/// Node.js and npm.
pub(super) struct Toolchain {
    pub(super) node: Version,
    pub(super) npm: Version,
    /// Its Node.js is not the stack's.
    own_node: bool,
    /// Its npm is not the stack's.
    own_npm: bool,
    /// The programs of what was fetched.
    programs: PathBuf,
    pub(super) stacks: Stacks,
}

/// The Node.js and npm of the stack.
#[derive(Debug, Clone)]
pub(super) struct Stacks {
    node: Version,
    npm: Version,
    pub(super) node_program: PathBuf,
    pub(super) npm_program: PathBuf,
}

/// What an app asks for that the stack does not have.
struct Fetch<'a> {
    build: &'a BuiltinBuild<'a>,
    /// Where it is put together.
    folder: PathBuf,
    stacks: Stacks,
}

impl Toolchain {
    /// Folders to put before the usual path at build time.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        if self.own_node || self.own_npm { vec![self.programs.clone()] } else { Vec::new() }
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
    let Some(stacks) = Stacks::find(build) else { return Ok(None) };
    let (node, npm) = (stacks.node, stacks.npm);
    if let Some(range) = &package.node {
        if satisfies(node, range).is_none() {
            screen::warning(&format!(
                "engines.node in package.json cannot be read: {range:?}\nUse a version or a range such as \"{}.x\".",
                node.0
            ));
            return Ok(None);
        }
        screen::detail(&format!("Resolving node version {range}..."));
    }
    // A range of npm that is none may be a tag of its releases: the registry knows.
    let lacks = |version, range: &&String| satisfies(version, range) != Some(true);
    let node_range = package.node.as_ref().filter(|range| lacks(node, range));
    let npm_range = package.npm.as_ref().filter(|range| lacks(npm, range));
    let folder = build.build_dir().join(FOLDER);
    if node_range.is_none() && npm_range.is_none() {
        screen::detail(&format!("Using the stack's node {node} and npm {npm}"));
        let programs = folder.join("bin");
        return Ok(Some(Toolchain { node, npm, own_node: false, own_npm: false, programs, stacks }));
    }
    Fetch { build, folder, stacks }.run(node_range, package.npm.as_ref())
}

impl Stacks {
    /// Finds them; `None` when one is missing, which the user has been told.
    fn find(build: &BuiltinBuild<'_>) -> Option<Self> {
        let find = |name: &str| {
            let mut folders = build.build.session.path().split(':');
            let program = folders
                .find_map(|folder| Some(Path::new(folder).join(name)).filter(|path| path.is_file()))?;
            Some((version_of(build, &program)?, program))
        };
        let Some((node, node_program)) = find("node") else {
            screen::warning(
                "This stack has no Node.js: its operator has to install the packages nodejs and npm.",
            );
            return None;
        };
        let Some((npm, npm_program)) = find("npm") else {
            screen::warning("This stack has no npm: its operator has to install the package npm.");
            return None;
        };
        Some(Self { node, npm, node_program, npm_program })
    }
}

impl Fetch<'_> {
    /// Restores or fetches what is asked for; `None` for a range of Node.js takes the stack's.
    fn run(&self, node: Option<&String>, npm: Option<&String>) -> Result<Option<Toolchain>, Stop> {
        let key = format!("node {} npm {}", node.map_or("", String::as_str), npm.map_or("", String::as_str));
        if let Some(saved) = self.build.saved(SAVED, &key) {
            self.build.unpack(&saved, &self.folder)?;
            if let Some(found) = self.look() {
                screen::detail(&format!("Using node {} and npm {}", found.node, found.npm));
                return Ok(Some(found));
            }
        }
        remove_any(&self.folder)
            .and_then(|()| fs::create_dir_all(self.folder.join("bin")))
            .map_err(Stop::io("could not make the toolchain's folder"))?;
        if let Some(range) = node
            && !self.fetch_node(range)?
        {
            return Ok(None);
        }
        let Some(so_far) = self.look() else {
            screen::warning("The Node.js that was fetched does not run on this stack.");
            return Ok(None);
        };
        let asked = npm.map_or_else(|| npm_of(so_far.node), String::as_str);
        if satisfies(self.stacks.npm, asked) != Some(true) && !self.fetch_npm(asked, npm.is_some())? {
            return Ok(None);
        }
        let found = self.look();
        match &found {
            Some(found) => screen::detail(&format!("Using node {} and npm {}", found.node, found.npm)),
            None => {
                screen::warning(&format!("npm {asked} does not run on Node.js {}.", so_far.node));
                return Ok(None);
            }
        }
        self.build.save(&self.folder, SAVED, &key)?;
        Ok(found)
    }

    /// What is there, if it runs.
    fn look(&self) -> Option<Toolchain> {
        let programs = self.folder.join("bin");
        let (node, npm) = (programs.join("node"), programs.join("npm"));
        let (own_node, own_npm) = (node.exists(), npm.exists());
        let path = self.build.path(std::slice::from_ref(&programs));
        let version = |program: &Path| version_in(self.build, program, &path);
        Some(Toolchain {
            node: if own_node { version(&node)? } else { self.stacks.node },
            npm: if own_npm { version(&npm)? } else { self.stacks.npm },
            own_node,
            own_npm,
            programs,
            stacks: self.stacks.clone(),
        })
    }

    /// Fetches a Node.js from the npm registry, where its binaries are packages of their own.
    fn fetch_node(&self, range: &str) -> Result<bool, Stop> {
        screen::detail(&format!("Downloading and installing node {range}..."));
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        let name = format!("node-linux-{architecture}");
        let package = match self.download(&name, range)? {
            Ok(package) => package,
            Err(said) => {
                screen::warning(&format!(
                    "Node.js {range} is asked for in engines.node; the stack has {} and the npm registry gave no other.\n\
                     Change engines.node in package.json to \"{}.x\", or try again.",
                    self.stacks.node, self.stacks.node.0
                ));
                screen::detail(&said);
                return Ok(false);
            }
        };
        let Some(program) = program_of(self.build, &package) else {
            screen::warning(&format!("The package {name} for Node.js {range} holds no program."));
            return Ok(false);
        };
        move_file(&program, &self.folder.join("bin/node"))
            .map_err(Stop::io("could not keep the Node.js that was fetched"))?;
        Ok(true)
    }

    /// Fetches an npm. One that the app asks for, or the one that its Node.js would have brought.
    fn fetch_npm(&self, range: &str, is_asked_for: bool) -> Result<bool, Stop> {
        if is_asked_for {
            screen::detail(&format!("Bootstrapping npm {range}..."));
        }
        let package = match self.download("npm", range)? {
            Ok(package) => package,
            Err(said) => {
                screen::warning(&format!(
                    "npm {range} could not be fetched from the npm registry; the stack has {}.",
                    self.stacks.npm
                ));
                screen::detail(&said);
                return Ok(false);
            }
        };
        let modules = self.folder.join("lib/node_modules");
        let install = || {
            fs::create_dir_all(&modules)?;
            session::copy_folder(&self.build.build.session, &package, &modules.join("npm"))?;
            for name in ["npm", "npx"] {
                let program = format!("lib/node_modules/npm/bin/{name}-cli.js");
                // Those before 5.2 have no npx.
                if self.folder.join(&program).is_file() {
                    symlink(Path::new("..").join(program), self.folder.join("bin").join(name))?;
                }
            }
            Ok(())
        };
        install().map_err(Stop::io("could not keep the npm that was fetched"))?;
        Ok(true)
    }

    /// Has the stack's npm fetch a package; gives its folder, or what npm said.
    fn download(&self, name: &str, range: &str) -> Result<Result<PathBuf, String>, Stop> {
        let folder = self.build.build.home.join(".heroku/node-download");
        let prepare = || {
            remove_any(&folder)?;
            fs::create_dir_all(&folder)?;
            // Without one of its own, npm would look for a package further up.
            fs::write(folder.join("package.json"), "{}")
        };
        prepare().map_err(Stop::io("could not prepare the toolchain's folder"))?;
        let mut npm = self.build.program(&self.stacks.node_program.display().to_string());
        npm.arg(&self.stacks.npm_program)
            .current_dir(&folder)
            .env("NPM_CONFIG_CACHE", folder.join("npm"))
            .env("NPM_CONFIG_LOGLEVEL", "error")
            .env("NPM_CONFIG_UPDATE_NOTIFIER", "false")
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"])
            .arg(format!("{name}@{}", range_of_npm(range)));
        let captured = session::capture(npm).map_err(Stop::io("could not run npm"))?;
        if !captured.status.success() {
            return Ok(Err(String::from_utf8_lossy(&captured.stderr).into_owned()));
        }
        Ok(Ok(folder.join("node_modules").join(name)))
    }
}

/// The npm that a Node.js brings.
fn npm_of(node: Version) -> &'static str {
    NPM_OF_NODE.iter().rfind(|(first, _)| *first <= node).map_or("2", |(_, npm)| npm)
}

fn version_of(build: &BuiltinBuild<'_>, program: &Path) -> Option<Version> {
    version_in(build, program, build.build.session.path())
}

/// The version that a program says it has; npm runs on the first Node.js of the path.
fn version_in(build: &BuiltinBuild<'_>, program: &Path, path: &str) -> Option<Version> {
    let mut command = build.program(&program.display().to_string());
    command.env("PATH", path).arg("--version");
    let captured = session::capture(command).ok().filter(|captured| captured.status.success())?;
    Version::parse(String::from_utf8_lossy(&captured.stdout).trim())
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

/// HOME and the slug are not on one file system.
fn move_file(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    fs::remove_file(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_brings_its_npm() {
        for (node, npm) in [
            ("0.10.48", "2"),
            ("4.9.1", "2"),
            ("6.17.1", "3"),
            ("14.21.3", "6"),
            ("16.20.2", "8"),
            ("18.13.0", "8"),
            ("18.14.0", "9"),
            ("18.20.8", "10"),
            ("20.5.1", "9"),
            ("22.23.5", "10"),
            ("26.12.1", "11"),
        ] {
            assert_eq!(npm_of(Version::parse(node).unwrap()), npm, "{node}");
        }
    }
}
