//! The points of `paddockd restore`: killed at any of them it is run again, and brings back the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Outcome, run};
use tempfile::TempDir;

use crate::Walk;
use crate::parts::{Part, Steps};

/// In the middle of a restore: the next one has something to clear away.
const HALF: &str = "restore.moved_in:after@3";

/// Of a backup of the lane's server.
pub(crate) fn part() -> Part {
    Part { length: usize::MAX, ..Part::new("restore", |walk| Restore::of(walk)) }
}

struct Restore {
    folder: TempDir,
    backup: PathBuf,
    /// What a restore that nobody cut off brings back.
    whole: BTreeMap<String, Vec<u8>>,
    passed: Vec<String>,
}

impl Restore {
    fn of(walk: &Walk) -> Self {
        let folder = TempDir::with_prefix("paddock-restores-").unwrap();
        // Git runs as a user of its own and must be able to pass.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let backup = folder.path().join("backup");
        walk.client.operator(&["backup", "--to", &backup.display().to_string()]).succeeded();
        let whole = folder.path().join("whole");
        walk.points.arm(HALF);
        restore(walk, &backup, &whole);
        assert!(walk.points.has_struck(), "a restore moves more than three things");
        walk.points.record();
        restore(walk, &backup, &whole).succeeded();
        let passed = walk.points.recorded();
        let whole = files(&whole);
        Self { folder, backup, whole, passed }
    }
}

impl Steps for Restore {
    fn record(&mut self, _: &mut Walk) -> Vec<String> {
        self.passed.clone()
    }

    fn die_at(&mut self, walk: &mut Walk, point: &str) -> bool {
        let again = self.folder.path().join("again");
        walk.points.arm(HALF);
        restore(walk, &self.backup, &again);
        walk.points.arm(point);
        restore(walk, &self.backup, &again);
        walk.points.disarm();
        let died = walk.points.has_struck();
        // One that came to its end is not begun again.
        if again.join(".restoring").exists() || !again.join("server-id").exists() {
            restore(walk, &self.backup, &again).succeeded();
        }
        let differing = differing(&files(&again), &self.whole);
        let what = "a restore brings back the same, however often it was cut off";
        assert!(differing.is_empty(), "{what}: {differing:?}");
        fs::remove_dir_all(&again).unwrap();
        died
    }
}

fn restore(walk: &Walk, backup: &Path, data: &Path) -> Outcome {
    let key = walk.client.data.join("keys/master");
    let mut program = walk.points.program(&["restore", "--from"]);
    program.arg(backup).arg("--data").arg(data).arg("--master-key-file").arg(key);
    run(program, b"", Duration::from_secs(60))
}

/// The paths at which two folders differ, without what lies there: there are keys among it.
fn differing(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let all = one.keys().chain(other.keys());
    all.filter(|path| one.get(*path) != other.get(*path)).cloned().collect()
}

/// What lies below a folder, by path; of a database only that it is there, for it was opened, and nothing of the lock,
/// which says who had it, and of the range of ids, which each folder has for itself.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                left.push(path);
            } else if name != "serve.lock" && name != "id-range" {
                let content = if name.starts_with("db/") { Vec::new() } else { fs::read(&path).unwrap() };
                found.insert(name, content);
            }
        }
    }
    found
}
