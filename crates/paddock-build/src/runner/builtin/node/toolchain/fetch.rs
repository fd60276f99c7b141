//! What npm fetches for an app's toolchain.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::declared::Name;
use super::download::Fetch;
use super::wanted::Wanted;
use super::{Asked, Toolchain, version_in};
use crate::runner::builtin::BuiltinBuild;
use crate::runner::builtin::semver::{Version, satisfies};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

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

impl Fetch<'_> {
    /// Restores or fetches what is asked for; `None` for a range of Node.js takes the stack's.
    pub(super) fn run(&self, node: Option<&str>, asked: &Asked<'_>) -> Result<Option<Toolchain>, Stop> {
        let npm = asked.npm();
        let fetched = asked.wanted.filter(|wanted| !wanted.is_own());
        let manager = fetched.map(Wanted::key).unwrap_or_default();
        let key = format!("node {} npm {} {manager}", node.unwrap_or_default(), npm.unwrap_or_default());
        if let Some(saved) = self.build.saved(SAVED, &key) {
            self.build.unpack(&saved, &self.folder)?;
            if let Some(found) = self.look(asked.wanted) {
                return self.finish(asked, found).map(Some);
            }
        }
        remove_any(&self.folder)
            .and_then(|()| fs::create_dir_all(self.folder.join("bin")))
            .map_err(Stop::io("could not make the toolchain's folder"))?;
        let is_default = asked.package.node.is_none();
        let mut is_fallback = false;
        if let Some(range) = node
            && !self.fetch_node(range, is_default)?
        {
            if !is_default {
                return Ok(None);
            }
            is_fallback = true;
        }
        let Some(so_far) = self.look(None) else {
            screen::warning("The Node.js that was fetched does not run on this stack.");
            return Ok(None);
        };
        let range = npm.or_else(|| so_far.own_node.then(|| npm_of(so_far.node)));
        if let Some(range) = range.filter(|range| satisfies(self.stacks.npm, range) != Some(true))
            && !(self.fetch_npm(range, npm.is_some())? && self.has_right_npm(asked)?)
        {
            return Ok(None);
        }
        if let Some(wanted) = fetched
            && !self.manager(wanted, asked.lock)?
        {
            return Ok(None);
        }
        let Some(found) = self.look(asked.wanted) else {
            let npm = range.unwrap_or_default();
            screen::warning(&format!("npm {npm} does not run on Node.js {}.", so_far.node));
            return Ok(None);
        };
        if !is_fallback {
            self.build.save(&self.folder, SAVED, &key)?;
        }
        self.finish(asked, found).map(Some)
    }

    /// The stack's Node.js and npm, with nothing fetched.
    pub(super) fn stacks_alone(self, asked: &Asked<'_>) -> Result<Toolchain, Stop> {
        let found = Toolchain {
            node: self.stacks.node,
            npm: self.stacks.npm,
            manager: asked.wanted.and_then(|wanted| self.version_of_manager(wanted)),
            own_node: false,
            own_npm: false,
            programs: self.folder.join("bin"),
            stacks: self.stacks.clone(),
        };
        if let Some(wanted) = asked.wanted {
            self.manager(wanted, asked.lock)?;
        }
        Ok(found)
    }

    /// Says what was found, and makes a Yarn of the repository callable.
    fn finish(&self, asked: &Asked<'_>, found: Toolchain) -> Result<Toolchain, Stop> {
        screen::detail(&format!("Using node {} and npm {}", found.node, found.npm));
        if let Some(wanted) = asked.wanted.filter(|wanted| wanted.is_own()) {
            self.manager(wanted, asked.lock)?;
        } else if let (Some(wanted), Some(version)) = (asked.wanted, found.manager) {
            screen::detail(&format!("Using {} {version}", wanted.program));
        }
        Ok(found)
    }

    /// What is there, if it runs.
    fn look(&self, wanted: Option<&Wanted>) -> Option<Toolchain> {
        let programs = self.folder.join("bin");
        let (node, npm) = (programs.join("node"), programs.join("npm"));
        let (own_node, own_npm) = (node.exists(), npm.exists());
        let path = self.build.path(std::slice::from_ref(&programs));
        let version = |program: &Path| version_in(self.build, program, &path);
        let manager = match wanted {
            Some(wanted) => Some(self.version_of_manager(wanted)?),
            None => None,
        };
        Some(Toolchain {
            node: if own_node { version(&node)? } else { self.stacks.node },
            npm: if own_npm { version(&npm)? } else { self.stacks.npm },
            manager,
            own_node,
            own_npm,
            programs,
            stacks: self.stacks.clone(),
        })
    }

    /// Fetches a Node.js from the npm registry, where its binaries are packages of their own.
    fn fetch_node(&self, range: &str, is_default: bool) -> Result<bool, Stop> {
        screen::detail(&format!("Downloading and installing node {range}..."));
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        let name = format!("node-linux-{architecture}");
        let package = match self.download(&name, range, !is_default)? {
            Ok(package) => package,
            Err(_) if is_default => {
                screen::detail(&format!(
                    "The npm registry gave no Node.js {range}: using the stack's node {}",
                    self.stacks.node
                ));
                return Ok(false);
            }
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
        let package = match self.download("npm", range, true)? {
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

    /// Whether the npm that `packageManager` names has the hash that it says.
    fn has_right_npm(&self, asked: &Asked<'_>) -> Result<bool, Stop> {
        let declared = asked.package.declared.as_ref().filter(|declared| declared.name == Name::Npm);
        match declared {
            Some(declared) if declared.hash.is_some() => self.check_npm(declared),
            _ => Ok(true),
        }
    }
}

/// The npm that a Node.js brings.
fn npm_of(node: Version) -> &'static str {
    NPM_OF_NODE.iter().rfind(|(first, _)| *first <= node).map_or("2", |(_, npm)| npm)
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
