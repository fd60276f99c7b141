//! The server's fail points: ends it, as kill -9 would, before or after a named durable step.
//!
//! Only `paddockd-fail-points` has them (`cargo build -p paddockd --features fail-points --bin paddockd-fail-points`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The folder through which a test and a server speak of points.
#[derive(Debug)]
pub struct FailPoints {
    folder: TempDir,
    noted: Mutex<Noted>,
}

/// What was seen of the points that are noted.
#[derive(Debug)]
struct Noted {
    length: u64,
    points: usize,
    /// When there was last one more.
    grown: Instant,
}

impl Default for Noted {
    fn default() -> Self {
        Self { length: 0, points: 0, grown: Instant::now() }
    }
}

impl FailPoints {
    /// Nothing is armed.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn new() -> FailPoints {
        FailPoints { folder: TempDir::with_prefix("paddock-points-").unwrap(), noted: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server dies when it next comes to this point (`NAME:before`, `NAME:after`, perhaps `@3`).
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn arm(&self, point: &str) {
        drop(fs::remove_file(self.folder().join("died")));
        fs::write(self.folder().join("armed.new"), point).unwrap();
        fs::rename(self.folder().join("armed.new"), self.folder().join("armed")).unwrap();
    }

    /// Nothing is armed any more.
    pub fn disarm(&self) {
        drop(fs::remove_file(self.folder().join("armed")));
    }

    /// Whether a server has died at the point that was armed last.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.folder().join("died").exists()
    }

    /// The program with fail points, with any arguments; it dies at these points wherever it runs.
    ///
    /// # Panics
    /// When it is not built.
    #[must_use]
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments);
        self.reach(&mut command);
        command
    }

    /// Has a command of that program listen to the points, too.
    pub fn reach(&self, command: &mut Command) {
        command.env("PADDOCK_FAIL_POINTS", self.folder());
    }

    #[must_use]
    pub fn clock(&self) -> ServerClock {
        ServerClock { ahead: self.folder().join("ahead") }
    }

    /// Notes from now on which points are passed.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn record(&self) {
        drop(fs::remove_file(self.folder().join("died")));
        fs::write(self.folder().join("reached"), "").unwrap();
        *self.noted.lock().unwrap() = Noted::default();
    }

    /// Whether this point was passed since [`Self::record`].
    #[must_use]
    pub fn has_passed(&self, point: &str) -> bool {
        let passed = fs::read_to_string(self.folder().join("reached")).unwrap_or_default();
        passed.lines().any(|line| line == point)
    }

    /// Whether no point was passed for this long that was not passed before since [`Self::record`]: some come every
    /// second. It is to be asked again and again meanwhile.
    ///
    /// # Panics
    /// When no points are noted.
    #[must_use]
    pub fn is_quiet_for(&self, length: Duration) -> bool {
        let file = self.folder().join("reached");
        let mut noted = self.noted.lock().unwrap();
        let written = fs::metadata(&file).unwrap().len();
        if written != noted.length {
            let text = fs::read_to_string(file).unwrap();
            let points = text.lines().collect::<BTreeSet<_>>().len();
            if points != noted.points {
                noted.grown = Instant::now();
            }
            (noted.length, noted.points) = (written, points);
        }
        noted.grown.elapsed() >= length
    }

    /// The points that were passed since [`Self::record`], each once, in order.
    ///
    /// # Panics
    /// When nothing was recorded.
    #[must_use]
    pub fn recorded(&self) -> Vec<String> {
        let mut times = self.recorded_times();
        times.retain(|point| !point.contains('@'));
        times
    }

    /// The same with each time that a point was passed: `NAME:before`, `NAME:before@2` …
    ///
    /// # Panics
    /// When nothing was recorded.
    #[must_use]
    pub fn recorded_times(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder().join("reached")).unwrap();
        fs::remove_file(self.folder().join("reached")).unwrap();
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        let mut named = |point| {
            let time = times.entry(point).or_default();
            *time += 1;
            if *time == 1 { point.to_owned() } else { format!("{point}@{time}") }
        };
        text.lines().map(&mut named).collect()
    }
}

impl Default for FailPoints {
    fn default() -> Self {
        Self::new()
    }
}

/// The clock of a server with fail points, which is the machine's until a test sets it ahead.
#[derive(Debug, Clone)]
pub struct ServerClock {
    ahead: PathBuf,
}

impl ServerClock {
    /// Sets it ahead by so much more, also for a server that is not started yet. It never goes back.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn advance(&self, by: Duration) {
        let ahead = fs::read_to_string(&self.ahead).map_or(0, |text| text.parse().unwrap());
        let new = self.ahead.with_extension("new");
        fs::write(&new, (ahead + by.as_secs()).to_string()).unwrap();
        fs::rename(new, &self.ahead).unwrap();
    }
}

/// The names of all durable steps, read from the sources: one that no test reaches is noticed.
///
/// # Panics
/// When the sources are not there.
#[must_use]
pub fn durable_steps() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.ends_with("paddock-core") {
            names_in(&folder.join("src"), &mut names);
        }
    }
    assert!(!names.is_empty(), "no durable step has a name: this looks in the wrong place");
    names
}

fn names_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What tests name is no step of the server.
        if path.is_dir() && !path.ends_with("tests") {
            names_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // By itself, or as the commit of a change.
            let openings = ["durable!(", ".commit(", ".commit_quietly("];
            for (at, opening) in openings.iter().flat_map(|opening| text.match_indices(opening)) {
                let rest = text[at + opening.len()..].trim_start();
                names.extend(
                    rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned),
                );
            }
        }
    }
}

/// The program with fail points: `$PADDOCKD_FAIL_POINTS`, or the one built beside the tests.
pub(crate) fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("PADDOCKD_FAIL_POINTS") {
        return PathBuf::from(program);
    }
    let program = crate::tools::paddockd().with_file_name("paddockd-fail-points");
    assert!(
        program.exists(),
        "{} is not built: cargo build -p paddockd --features fail-points --bin paddockd-fail-points (bin/test does)",
        program.display()
    );
    program
}
