//! The buildpacks that are written in Rust. They run in the build container like any other, see what earlier
//! buildpacks exported, and write `export` and `.profile.d` as the classic ones do.

mod go;
mod gradle;
mod jvm;
mod maven;
mod node;
mod php;
mod profile;
mod python;
mod ruby;
mod rust;
mod semver;
mod static_site;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use paddock_core::build_record::FactKind;
use paddock_core::buildpack::BuiltinBuildpack;
use paddock_core::hex;
use sha2::{Digest, Sha256};

use super::build::Build;
use super::session;
use super::stop::Stop;
use crate::source::remove_any;

pub(super) use self::static_site::BOOT;

/// Config vars that a build's programs do not get in their environment: they would change the tools themselves.
/// Source: `docs/contract/platform-behaviour.md`, section 9, and what a shell reads at its start.
const KEPT_BACK: [&str; 18] = [
    "BASH_ENV",
    "CPATH",
    "CPPATH",
    "DYNO",
    "ENV",
    "GIT_DIR",
    "HOME",
    "IFS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LIBRARY_PATH",
    "PATH",
    "PORT",
    "PYTHONHOME",
    "PYTHONPATH",
    "REQUEST_ID",
    "SHELL",
    "STACK",
];

/// What a built-in buildpack works with.
#[derive(Debug)]
pub(super) struct BuiltinBuild<'a> {
    pub(super) build: &'a Build<'a>,
    /// Its own folder, for `export`.
    pub(super) folder: &'a Path,
}

/// What a built-in buildpack is: a row, which its own module has.
pub(super) struct Row {
    /// Whether it wants the app.
    pub(super) detect: fn(&Path) -> bool,
    /// What it wanted to find, for an app that it does not want.
    pub(super) looks_for: &'static str,
    /// Compiles. False when something of the app failed and the user has seen it.
    pub(super) compile: fn(&BuiltinBuild<'_>) -> Result<bool, Stop>,
    /// Finishes what it left, when all have compiled: paths of the build become those of dynos.
    pub(super) settle: fn(&Build<'_>) -> Result<(), Stop>,
    /// Whether it has a word on the release, if often an empty one, as Heroku's own have.
    pub(super) releases: bool,
    /// Commands for process types that the Procfile does not have, of the finished tree.
    pub(super) default_process_types: fn(&Path) -> BTreeMap<String, String>,
}

/// A row of which only detection and compiling need to be said.
const PLAIN: Row = Row {
    detect: |_| false,
    looks_for: "",
    compile: |_| Ok(true),
    settle: |_| Ok(()),
    releases: true,
    default_process_types: |_| BTreeMap::new(),
};

/// An app that needs no compiling.
const PROCFILE: Row = Row {
    detect: |app| app.join("Procfile").is_file(),
    looks_for: "Error: there is no 'Procfile' at the root of your app.",
    releases: false,
    ..PLAIN
};

/// The row of a buildpack.
pub(super) const fn row(buildpack: BuiltinBuildpack) -> &'static Row {
    match buildpack {
        BuiltinBuildpack::Ruby => &ruby::ROW,
        BuiltinBuildpack::NodeJs => &node::ROW,
        BuiltinBuildpack::Python => &python::ROW,
        BuiltinBuildpack::Php => &php::ROW,
        BuiltinBuildpack::Go => &go::ROW,
        BuiltinBuildpack::Java => &maven::ROW,
        BuiltinBuildpack::Gradle => &gradle::ROW,
        BuiltinBuildpack::Rust => &rust::ROW,
        BuiltinBuildpack::Static => &static_site::ROW,
        BuiltinBuildpack::Procfile => &PROCFILE,
    }
}

impl BuiltinBuild<'_> {
    fn build_dir(&self) -> &Path {
        &self.build.build_dir
    }

    fn config_var(&self, name: &str) -> Option<&str> {
        self.build.config_vars.get(name).map(String::as_str)
    }

    /// A program in BUILD_DIR that sees the config vars and what earlier buildpacks exported.
    fn program(&self, program: &str) -> Command {
        let mut command = self.build.session.exported(program);
        let shown = self
            .build
            .config_vars
            .iter()
            .filter(|(name, _)| !KEPT_BACK.contains(&name.as_str()) && !name.starts_with("BASH_FUNC_"));
        command.envs(shown).current_dir(self.build_dir());
        command
    }

    /// Has curl fetch a toolchain's file in at most so many seconds. `protocols` is what curl calls so: `=https`.
    fn download(&self, address: &str, to: &Path, protocols: &str, seconds: u32) -> io::Result<()> {
        let mut curl = self.build.session.plain("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "5"])
            .args(["--proto", protocols, "--max-time", &seconds.to_string(), "--output"])
            .arg(to)
            .args(["--url", address]);
        session::must(curl)
    }

    /// `PATH` with folders before the usual ones.
    fn path(&self, before: &[PathBuf]) -> String {
        let usual = self.build.session.path();
        before.iter().map(|folder| format!("{}:", folder.display())).collect::<String>() + usual
    }

    /// Writes a script that every dyno sources at its start.
    fn profile(&self, name: &str, text: &str) -> Result<(), Stop> {
        let folder = self.build_dir().join(".profile.d");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(name), text))
            .map_err(Stop::io(format!("could not write .profile.d/{name}")))
    }

    /// Writes the script that is sourced before later buildpacks compile.
    fn export(&self, text: &str) -> Result<(), Stop> {
        fs::write(self.folder.join("export"), text).map_err(Stop::io("could not write export"))
    }

    /// The folder of this buildpack in the cache, for writing.
    fn cache(&self, name: &str) -> Result<PathBuf, Stop> {
        self.build.cache.open(&self.build.session)?;
        let folder = self.build.cache.cache_dir().join(name);
        fs::create_dir_all(&folder).map_err(Stop::io("could not make the cache folder"))?;
        Ok(folder)
    }

    /// A short text that an earlier build kept under a name.
    fn word(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.build.cache.find(name)?).ok()
    }

    /// Keeps a short text for later builds.
    fn keep_word(&self, name: &str, text: &str) -> Result<(), Stop> {
        self.build.cache.open(&self.build.session)?;
        let file = self.build.cache.cache_dir().join(name);
        fs::create_dir_all(file.parent().expect("a file lies in a folder"))
            .and_then(|()| fs::write(file, text))
            .map_err(Stop::io(format!("could not keep {name} in the cache")))
    }

    /// The archive that was saved under a name, if it was saved for this key; whether it was is noted.
    fn saved(&self, name: &str, key: &str) -> Option<PathBuf> {
        let saved_key = self.build.cache.find(&format!("{name}.key"));
        let is_same = saved_key.as_ref().map(|file| fs::read_to_string(file).is_ok_and(|saved| saved == key));
        let (reused, why) = match is_same {
            None => (false, "no earlier build has left it"),
            Some(false) => (false, "something that it is made of has changed"),
            Some(true) => (true, "nothing that it is made of has changed"),
        };
        let archive = self.build.cache.find(&format!("{name}.tar")).filter(|_| reused);
        let why = if reused && archive.is_none() { "what an earlier build left is not whole" } else { why };
        self.build.notes.reuse(name, archive.is_some(), why);
        archive
    }

    /// Notes a program that the build uses.
    fn used(&self, tool: &str, version: &impl ToString) {
        self.build.notes.fact(FactKind::Tool, tool, &version.to_string());
    }

    /// Unpacks a saved archive into an empty place.
    fn unpack(&self, archive: &Path, to: &Path) -> Result<(), Stop> {
        let mut tar = self.build.session.plain("tar");
        tar.args(["--extract", "--preserve-permissions", "--directory"]).arg(to).arg("--file").arg(archive);
        remove_any(to)
            .and_then(|()| fs::create_dir_all(to))
            .and_then(|()| session::must(tar))
            .map_err(Stop::io(format!("could not restore {}", archive.display())))
    }

    /// Saves a folder under a name for a key. One archive is read and written much faster than thousands of files.
    fn save(&self, folder: &Path, name: &str, key: &str) -> Result<(), Stop> {
        self.build.cache.open(&self.build.session)?;
        let file = |ending: &str| self.build.cache.cache_dir().join(format!("{name}.{ending}"));
        let mut tar = self.build.session.plain("tar");
        tar.args(["--create", "--directory"]).arg(folder).arg("--file").arg(file("tar")).arg(".");
        // The key goes first and comes last: an archive that was not finished has none.
        remove_any(&file("key"))
            .and_then(|()| fs::create_dir_all(file("tar").parent().expect("a file lies in a folder")))
            .and_then(|()| session::must(tar))
            .and_then(|()| fs::write(file("key"), key))
            .map_err(Stop::io(format!("could not save {}", folder.display())))
    }
}

/// A key of everything that a cached result depends on.
fn cache_key(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Each part with its length, so that moving bytes between parts makes another key.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}
