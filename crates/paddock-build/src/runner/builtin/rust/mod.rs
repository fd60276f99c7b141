//! The Rust buildpack: `cargo build --release`, its binaries in `target/release`. Files, settings and messages: emk's
//! buildpack, the one that Heroku's users name.

mod config;
mod lock;
mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::config::Config;
use self::toolchain::Toolchain;
use super::{BuiltinBuild, PLAIN, Row, cache_key};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Files by which a Rust app is known.
const FILES: [&str; 4] = ["Cargo.toml", "RustConfig", "rust-toolchain", "rust-toolchain.toml"];
/// Where cargo's own files and what it builds are, below HOME.
const WORK: &str = ".rust";
/// The name of the same in the cache, and what it was saved for.
const SAVED: &str = "rust/work";
const SAVED_FOR: &str = "rust/work.for";
/// Where binaries are in the slug.
const RELEASE: &str = "target/release";

pub(super) const ROW: Row = Row {
    detect: |app| FILES.iter().any(|name| app.join(name).is_file()),
    looks_for: "Error: your app is configured to use the Rust buildpack, but there is no 'Cargo.toml' at its root.",
    compile,
    default_process_types,
    ..PLAIN
};

/// The one binary is the web process; of several the Procfile has to say which.
fn default_process_types(build_dir: &Path) -> BTreeMap<String, String> {
    let path = config::read(build_dir).map(|config| config.path).unwrap_or_default();
    let folder = Path::new(&path).join(RELEASE);
    let names = executables(&build_dir.join(&folder)).unwrap_or_default();
    let mut names: Vec<_> = names.into_iter().filter(|name| !name.contains('.')).collect();
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => {
            let line = format!("./{}", folder.join(name).display());
            BTreeMap::from([("web".to_owned(), line)])
        }
        _ => BTreeMap::new(),
    }
}

/// The names of the executable files in a folder.
fn executables(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// One build of a Rust app.
struct RustBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    config: Config,
    toolchain: Toolchain,
    /// The folder with `Cargo.toml`.
    package: PathBuf,
    lock: Option<Vec<u8>>,
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let config = match config::read(build.build_dir()) {
        Ok(config) => config,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    for line in &config.skipped {
        screen::warning(&format!("RustConfig line {line} is not of the form NAME=value and was skipped"));
    }
    let package = build.build_dir().join(&config.path);
    if !config.skips_build && !package.join("Cargo.toml").is_file() {
        screen::warning(
            "To deploy a Rust app, make sure you have a Cargo.toml file; one in a folder is named in the file RustConfig:\n\
             BUILD_PATH=that/folder",
        );
        return Ok(false);
    }
    let Some(toolchain) = toolchain::choose(build, &config.wanted)? else { return Ok(false) };
    build.used("rust", &toolchain.version);
    let lock = fs::read(package.join("Cargo.lock")).ok();
    RustBuild { build, config, toolchain, package, lock }.run()
}

impl RustBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        self.export()?;
        if self.config.skips_build {
            screen::step("Skipping Cargo build");
            return Ok(true);
        }
        if !self.build.build.session.path().split(':').any(|folder| Path::new(folder).join("cc").is_file()) {
            screen::warning(
                "This stack has no C compiler, which Rust links programs with: its operator has to install the package gcc.",
            );
            return Ok(false);
        }
        let key = self.key();
        if let Some(saved) = self.build.saved(SAVED, &key) {
            self.build.unpack(&saved, &self.work())?;
        }
        screen::step("Building application using Cargo");
        if !self.cargo_build()? {
            return Ok(false);
        }
        self.keep_binaries()?;
        self.save(&key)?;
        Ok(true)
    }

    fn work(&self) -> PathBuf {
        self.build.build.home.join(WORK)
    }

    fn cargo(&self) -> Command {
        let mut cargo = self.build.program(&self.toolchain.programs.join("cargo").display().to_string());
        cargo
            .current_dir(&self.package)
            .env("PATH", self.build.path(std::slice::from_ref(&self.toolchain.programs)))
            .env("CARGO_HOME", self.work().join("cargo"))
            .env("CARGO_TARGET_DIR", self.work().join("target"))
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        cargo
    }

    fn cargo_build(&self) -> Result<bool, Stop> {
        remove_any(&self.package.join("target")).map_err(Stop::io("could not remove the folder target"))?;
        let is_locked = self.config.flags.iter().any(|flag| matches!(flag.as_str(), "--locked" | "--frozen"));
        let succeeded = if self.lock.is_none() || is_locked {
            if self.lock.is_none() {
                screen::warning(
                    "No Cargo.lock found: every build may take other versions.\n\
                     Run `cargo generate-lockfile` and commit Cargo.lock.",
                );
            }
            self.cargo_builds(&[])?
        } else if self.cargo_builds(&["--locked"])? {
            true
        } else if self.lock_fits() {
            false
        } else {
            screen::warning(
                "Cargo.lock does not fit Cargo.toml: building with what cargo makes of both, which may differ from build to\n\
                 build. Run `cargo update --workspace` and commit Cargo.lock.",
            );
            self.cargo_builds(&[])?
        };
        if !succeeded {
            screen::warning("cargo build failed: see its messages above.");
        }
        Ok(succeeded)
    }

    fn cargo_builds(&self, more: &[&str]) -> Result<bool, Stop> {
        let mut cargo = self.cargo();
        cargo.arg("build").args(&self.config.flags).args(more);
        Ok(session::show_indented(cargo).map_err(Stop::io("could not run cargo"))?.success())
    }

    /// Whether a build failed for another reason than that the lock file is not up to date.
    fn lock_fits(&self) -> bool {
        let mut cargo = self.cargo();
        cargo.args(["fetch", "--locked"]);
        let said = session::capture(cargo).map(|captured| captured.stderr).unwrap_or_default();
        !String::from_utf8_lossy(&said).contains("--locked was passed")
    }

    /// The binaries alone go into the slug.
    fn keep_binaries(&self) -> Result<(), Stop> {
        let (from, to) = (self.work().join(RELEASE), self.package.join(RELEASE));
        let copy = || -> io::Result<Vec<String>> {
            fs::create_dir_all(&to)?;
            let names = if from.is_dir() { executables(&from)? } else { Vec::new() };
            for name in &names {
                fs::copy(from.join(name), to.join(name))?;
            }
            Ok(names)
        };
        let names = copy().map_err(Stop::io("could not copy the binaries"))?;
        if names.is_empty() {
            screen::warning(
                "No binary was built: of a workspace with several packages, name the one to run in the file RustConfig:\n\
                 RUST_CARGO_BUILD_FLAGS=\"--release -p NAME\"",
            );
        }
        for name in names {
            screen::detail(&format!("{RELEASE}/{name}"));
        }
        Ok(())
    }

    /// For later buildpacks, which may build extensions.
    fn export(&self) -> Result<(), Stop> {
        let programs = self.toolchain.programs.display();
        let cargo = self.work().join("cargo");
        self.build
            .export(&format!("export CARGO_HOME=\"{}\"\nexport PATH=\"{programs}:$PATH\"\n", cargo.display()))
    }

    /// What built dependencies may be used again for.
    fn key(&self) -> String {
        let stack = &self.build.build.plan.stack_version;
        cache_key(&[self.toolchain.version.to_string().as_bytes(), stack.as_bytes()])
    }

    /// Saves what was built of others' code, when there is something new. The app's own is built anew each time: cargo
    /// goes by dates of files, and those of a commit may be older than what was built.
    fn save(&self, key: &str) -> Result<(), Stop> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let saved_for = cache_key(&[key.as_bytes(), lock, self.config.flags.join(" ").as_bytes()]);
        if self.build.word(SAVED_FOR).as_deref() == Some(saved_for.as_str()) {
            return Ok(());
        }
        let own = lock::own_packages(&String::from_utf8_lossy(lock));
        let mut clean = self.cargo();
        clean.args(["clean", "--release", "--offline"]).args(own.iter().flat_map(|name| ["-p", name]));
        if own.is_empty() || session::must(clean).is_err() {
            screen::warning(
                "What was built could not be cleaned of the app's own packages: nothing of it is cached.",
            );
            return Ok(());
        }
        screen::step("Caching built dependencies");
        self.build.save(&self.work(), SAVED, key)?;
        self.build.keep_word(SAVED_FOR, &saved_for)
    }
}
