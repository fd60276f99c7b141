//! The programs that journeys run: the server beside the tests, and the official CLI, installed once outside the tree.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::outcome::run;

/// The CLI that the contract was written from.
const HEROKU: &str = "heroku@11.10.0";

/// A store in the protocol of S3, and what its server stands on.
const MOTO: [&str; 5] =
    ["moto[s3]==5.2.1", "flask==3.1.3", "flask-cors==6.0.2", "boto3==1.43.11", "botocore==1.43.11"];

/// A Node for it where the system's is too old (Debian 12 has 18), from the same registry.
const NODE: &str = "node@20";

/// The folder to put before PATH so that `heroku` is the official CLI.
pub(crate) fn heroku_bin() -> PathBuf {
    let folder = tools_folder();
    let bin = folder.join("node_modules/.bin");
    if bin.join("heroku").exists() {
        return bin;
    }
    fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("could not make {}: {error}", folder.display()));
    let lock = File::create(folder.join("install.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if !bin.join("heroku").exists() {
        install(&folder);
    }
    bin
}

/// The folder of Python packages with the store for backups, installed once outside the tree.
pub(crate) fn moto() -> PathBuf {
    let folder = cache_folder().join("moto-5.2.1");
    let done = folder.join("installed");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("install.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if !done.exists() {
        let mut command = Command::new("python3");
        command.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            "--target",
        ]);
        command.arg(&folder).args(MOTO);
        let outcome = run(command, b"", Duration::from_secs(600));
        assert_eq!(outcome.status, 0, "could not install the store for backups:\n{}", outcome.text());
        fs::write(done, "").unwrap();
    }
    folder
}

/// The file that the official `heroku` is.
pub(crate) fn heroku_entry() -> PathBuf {
    fs::canonicalize(heroku_bin().join("heroku")).unwrap()
}

/// A folder with the program `heroku` that hands calls to a driver: beside the tests, under a name of its own.
///
/// # Panics
/// When it is not built.
pub(crate) fn stand_in() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).map(|folder| folder.join("stand-in-heroku"));
    let program = built.filter(|program| program.exists()).expect("the stand-in is built with the journeys");
    let folder = program.with_file_name("stand-in");
    let link = folder.join("heroku");
    if !link.exists() {
        fs::create_dir_all(&folder).unwrap();
        // Another test may be at it.
        let _ = std::os::unix::fs::symlink(&program, &link);
    }
    folder
}

/// The program under test: `$PADDOCKD`, or the one built beside the tests.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn paddockd() -> PathBuf {
    if let Some(program) = std::env::var_os("PADDOCKD") {
        return PathBuf::from(program);
    }
    // Tests lie in `deps`, examples in `examples`, both beside the program.
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).map(|folder| folder.join("paddockd"));
    let program = built.filter(|program| program.exists());
    program.expect("paddockd is not built: run `cargo build -p paddockd` first (bin/test does)")
}

fn install(folder: &Path) {
    let mut command = Command::new("npm");
    command.args(["install", "--prefix"]).arg(folder).args([
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
        HEROKU,
    ]);
    if !system_node_is_new_enough() {
        command.arg(NODE);
    }
    let outcome = run(command, b"", Duration::from_secs(600));
    assert_eq!(outcome.status, 0, "could not install the official CLI:\n{}", outcome.text());
}

fn system_node_is_new_enough() -> bool {
    let Ok(output) = Command::new("node").arg("--version").output() else { return false };
    let version = String::from_utf8_lossy(&output.stdout);
    let major =
        version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= 20)
}

/// `$PADDOCK_TOOLS_DIR`, or a folder of the user's cache.
fn tools_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("PADDOCK_TOOLS_DIR") {
        return PathBuf::from(folder);
    }
    cache_folder().join(HEROKU.replace('@', "-"))
}

/// Where tools of tests are, each below its name and version.
fn cache_folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    cache.unwrap_or_else(home).join("paddock-tools")
}
