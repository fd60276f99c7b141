//! The gate dies at a fifth of the points each time, and five times in a row at all. Which fifth a point is of is in its
//! name, so that it stays so.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use e2e::run;

use crate::wanted::wanted_places;

/// The fifth that is walked this time, or all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fifths(Option<u64>);

impl Fifths {
    /// What the tester asks for; else the next one, by commits and by runs, so that five runs in a row walk all and so do
    /// five commits where each is tested once.
    pub(crate) fn of_this_run() -> Self {
        let is_soak = e2e::rounds("PADDOCK_SOAK_POINTS", 0) > 0;
        let is_all = std::env::var_os("PADDOCK_WALK").is_some_and(|walk| walk == "all");
        let given = std::env::var_os("PADDOCK_WALK_FIFTH").map(|fifth| fifth.to_string_lossy().into_owned());
        match given.filter(|fifth| !fifth.is_empty()) {
            Some(fifth) => {
                let fifth = fifth.parse().ok().filter(|fifth| *fifth < 5);
                Self(Some(fifth.expect("PADDOCK_WALK_FIFTH is one of 0 to 4")))
            }
            None if is_soak || is_all || wanted_places().is_some() => Self(None),
            None => Self(Some((commits() + count_run()) % 5)),
        }
    }

    /// Whether this point is died at this time.
    pub(crate) fn walk(self, point: &str) -> bool {
        self.0.is_none_or(|fifth| fifth == fifth_of(point))
    }
}

impl fmt::Display for Fifths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(fifth) => write!(formatter, "the points of fifth {fifth} of 0 to 4 (PADDOCK_WALK=all: all)"),
            None => formatter.write_str("all points"),
        }
    }
}

/// FNV-1a, which is the same in every build.
fn fifth_of(point: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    // The lower bits alone would be those of the last letters.
    (point.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 16) % 5
}

/// The commits that the sources have; none where they are not in a repository.
fn commits() -> u64 {
    let mut git = Command::new("git");
    git.current_dir(env!("CARGO_MANIFEST_DIR")).args(["rev-list", "--count", "HEAD"]);
    let counted = run(git, b"", Duration::from_secs(30));
    counted.stdout.trim().parse().unwrap_or(0)
}

/// How many runs there were before this one with what is built here.
fn count_run() -> u64 {
    let program = std::env::current_exe().unwrap();
    let file = program.ancestors().nth(2).map_or_else(PathBuf::new, |target| target.join("crash-walks"));
    let before = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    fs::write(file, format!("{}\n", before + 1)).unwrap();
    before
}
