//! The points of `paddockd restore`: killed at any of them it is run again, and brings back the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::{Outcome, run};
use tempfile::TempDir;

use crate::{Place, Walk, asked};

pub(crate) const NAME: &str = "restore";
/// In the middle of a restore: the next one has something to clear away.
const HALF: &str = "restore.moved_in:after@3";

impl Walk<'_> {
    /// Walks them on a backup of the walk's server, if that is asked for.
    pub(crate) fn restores(&mut self) {
        let Some(asked) = asked(NAME) else { return };
        let folder = TempDir::with_prefix("paddock-restores-").unwrap();
        // Git runs as a user of its own and must be able to pass.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let backup = folder.path().join("backup");
        self.client.operator(&["backup", "--to", &backup.display().to_string()]).succeeded();
        let whole = folder.path().join("whole");
        self.points.arm(HALF);
        self.restore(&backup, &whole);
        assert!(self.points.has_struck(), "a restore moves more than three things");
        self.points.record();
        self.restore(&backup, &whole).succeeded();
        let passed = self.points.recorded();
        let points = self.wanted(passed, &asked);
        for (number, point) in points.iter().enumerate() {
            self.say(NAME, number, points.len(), point);
            let place = format!("{NAME} {point}");
            let guard = Place(place.clone());
            let again = folder.path().join(number.to_string());
            self.points.arm(HALF);
            self.restore(&backup, &again);
            self.points.arm(point);
            self.restore(&backup, &again);
            self.points.disarm();
            self.book.walked(&place, point, self.points.has_struck());
            // One that came to its end is not begun again.
            if again.join(".restoring").exists() || !again.join("server-id").exists() {
                self.restore(&backup, &again).succeeded();
            }
            let differing = differing(&files(&again), &files(&whole));
            let what = "a restore brings back the same, however often it was cut off";
            assert!(differing.is_empty(), "{what}: {differing:?}");
            fs::remove_dir_all(&again).unwrap();
            drop(guard);
        }
    }

    fn restore(&self, backup: &Path, data: &Path) -> Outcome {
        let key = self.client.data.join("keys/master");
        let mut program = self.points.program(&["restore", "--from"]);
        program.arg(backup).arg("--data").arg(data).arg("--master-key-file").arg(key);
        run(program, b"", Duration::from_secs(60))
    }
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
