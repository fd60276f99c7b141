//! What an install has made, kept for builds with the same lock file: all of it, and what pruning changes in it.
//!
//! Paths are bytes of the tenant's and go from file to file with a zero byte between them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::BuiltinBuild;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// What tells one file from another at the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    mode: u32,
    /// Of a folder nothing but that it is one: what is in it has marks of its own.
    size: u64,
    changed: (i64, i64),
    leads_to: PathBuf,
}

/// What lies below some paths of BUILD_DIR.
#[derive(Debug, Default)]
pub(super) struct Snapshot(BTreeMap<PathBuf, Mark>);

impl Snapshot {
    pub(super) fn take(build_dir: &Path, paths: &[PathBuf]) -> io::Result<Self> {
        let mut snapshot = Self::default();
        for path in paths {
            snapshot.add(build_dir, path)?;
        }
        Ok(snapshot)
    }

    fn add(&mut self, build_dir: &Path, path: &Path) -> io::Result<()> {
        let full = build_dir.join(path);
        let Ok(metadata) = fs::symlink_metadata(&full) else { return Ok(()) };
        self.0.insert(path.to_owned(), Mark::of(&full, &metadata));
        if metadata.is_dir() {
            for entry in fs::read_dir(&full)? {
                self.add(build_dir, &path.join(entry?.file_name()))?;
            }
        }
        Ok(())
    }

    /// What is gone in a later one or of another kind, the highest paths alone, and what is new or another in it.
    fn differs_from(&self, later: &Self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut gone: Vec<PathBuf> = Vec::new();
        for (path, mark) in &self.0 {
            let stays = later.0.get(path).is_some_and(|later| later.kind() == mark.kind());
            if !stays && gone.last().is_none_or(|above| !path.starts_with(above)) {
                gone.push(path.clone());
            }
        }
        let is_new = |(path, mark): &(&PathBuf, &Mark)| self.0.get(*path) != Some(*mark);
        let changed = later.0.iter().filter(is_new).map(|(path, _)| path.clone()).collect();
        (gone, changed)
    }
}

impl Mark {
    fn of(path: &Path, metadata: &Metadata) -> Self {
        if metadata.is_dir() {
            return Self { mode: metadata.mode(), size: 0, changed: (0, 0), leads_to: PathBuf::new() };
        }
        Self {
            mode: metadata.mode(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            leads_to: fs::read_link(path).unwrap_or_default(),
        }
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

impl BuiltinBuild<'_> {
    /// Saves what lies at some paths of BUILD_DIR, where there is anything, under a name for a key.
    pub(super) fn save_paths(&self, paths: &[PathBuf], name: &str, key: &str) -> Result<(), Stop> {
        let there: Vec<_> =
            paths.iter().filter(|path| self.build_dir().join(path).exists()).cloned().collect();
        self.save_listed(&there, name, key, true)
    }

    /// Puts back what was saved so, in place of what is there.
    pub(super) fn restore_paths(&self, archive: &Path, paths: &[PathBuf]) -> Result<(), Stop> {
        let clear = || paths.iter().try_for_each(|path| remove_any(&self.build_dir().join(path)));
        clear().and_then(|()| self.extract(archive)).map_err(Stop::io("could not restore the packages"))
    }

    /// Saves what pruning has changed since `before`.
    pub(super) fn save_pruned(
        &self,
        before: &Snapshot,
        paths: &[PathBuf],
        name: &str,
        key: &str,
    ) -> Result<(), Stop> {
        let after =
            Snapshot::take(self.build_dir(), paths).map_err(Stop::io("could not list the packages"))?;
        let (gone, changed) = before.differs_from(&after);
        self.save_listed(&changed, name, key, false)?;
        let list = self.build.cache.cache_dir().join(format!("{name}.gone"));
        fs::write(list, joined(&gone)).map_err(Stop::io("could not save what was pruned"))
    }

    /// Prunes as an earlier build with the same key has; false when none has.
    pub(super) fn prune_as_saved(&self, name: &str, key: &str) -> Result<bool, Stop> {
        let list = self.build.cache.find(&format!("{name}.gone")).and_then(|list| fs::read(list).ok());
        let (Some(archive), Some(list)) = (self.saved(name, key), list) else { return Ok(false) };
        let remove = || {
            let gone = list.split(|byte| *byte == 0).filter(|path| !path.is_empty());
            gone.map(|path| Path::new(OsStr::from_bytes(path)))
                .filter(|path| path.components().all(|part| matches!(part, std::path::Component::Normal(_))))
                .try_for_each(|path| remove_any(&self.build_dir().join(path)))
        };
        remove()
            .and_then(|()| self.extract(&archive))
            .map_err(Stop::io("could not prune as an earlier build did"))?;
        Ok(true)
    }

    fn save_listed(&self, paths: &[PathBuf], name: &str, key: &str, whole: bool) -> Result<(), Stop> {
        self.build.cache.open(&self.build.session)?;
        let file = |ending: &str| self.build.cache.cache_dir().join(format!("{name}.{ending}"));
        let list = self.build.home.join(".paths-to-save");
        let mut tar = self.build.session.plain("tar");
        tar.arg("--create").arg("--directory").arg(self.build_dir()).arg("--file").arg(file("tar"));
        if !whole {
            tar.arg("--no-recursion");
        }
        tar.args(["--null", "--verbatim-files-from", "--files-from"]).arg(&list);
        // The key goes first and comes last: an archive that was not finished has none.
        remove_any(&file("key"))
            .and_then(|()| fs::create_dir_all(file("tar").parent().expect("a file lies in a folder")))
            .and_then(|()| fs::write(&list, joined(paths)))
            .and_then(|()| session::must(tar))
            .and_then(|()| fs::write(file("key"), key))
            .and_then(|()| remove_any(&list))
            .map_err(Stop::io("could not save the packages"))
    }

    fn extract(&self, archive: &Path) -> io::Result<()> {
        let mut tar = self.build.session.plain("tar");
        tar.args(["--extract", "--preserve-permissions", "--directory"])
            .arg(self.build_dir())
            .arg("--file")
            .arg(archive);
        session::must(tar)
    }
}

fn joined(paths: &[PathBuf]) -> Vec<u8> {
    paths.iter().flat_map(|path| path.as_os_str().as_bytes().iter().copied().chain([0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_is_what_is_gone_and_what_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for name in ["node_modules/a/x", "node_modules/b/y/z", "node_modules/b.c", "other/d"] {
            write(name, "1");
        }
        let paths = [PathBuf::from("node_modules"), PathBuf::from("missing")];
        let before = Snapshot::take(folder.path(), &paths).unwrap();
        fs::remove_dir_all(folder.path().join("node_modules/b")).unwrap();
        write("node_modules/a/x", "22");
        write("node_modules/new", "3");
        let after = Snapshot::take(folder.path(), &paths).unwrap();
        let (gone, changed) = before.differs_from(&after);
        assert_eq!(gone, [PathBuf::from("node_modules/b")]);
        assert_eq!(changed, [PathBuf::from("node_modules/a/x"), PathBuf::from("node_modules/new")]);
        assert_eq!(joined(&gone), b"node_modules/b\0");
    }
}
