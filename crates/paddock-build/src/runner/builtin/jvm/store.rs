//! What a build tool of Java's fetched, kept between the builds of an app: its folder as one archive.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{BuiltinBuild, cache_key};
use crate::runner::screen;
use crate::runner::stop::Stop;

/// What the archives are saved for. Another number when their meaning changes.
const FORM: &str = "1";
/// Files that say when something was asked for, not what there is.
const NOT_FETCHED: [&str; 3] = [".lastUpdated", ".lock", "resolver-status.properties"];

/// A folder of what was fetched.
pub(in super::super) struct Store<'a> {
    build: &'a BuiltinBuild<'a>,
    /// The name of the archive in the cache.
    name: &'static str,
    folder: PathBuf,
    /// The folders in it in which a new name means that there is more to keep.
    watched: &'static [&'static str],
    /// What lay there at first.
    before: String,
}

impl<'a> Store<'a> {
    /// Brings back what the last build kept.
    pub(in super::super) fn restore(
        build: &'a BuiltinBuild<'a>,
        name: &'static str,
        folder: PathBuf,
        watched: &'static [&'static str],
    ) -> Result<Self, Stop> {
        let mut before = String::new();
        if let Some(saved) = build.saved(name, FORM) {
            build.unpack(&saved, &folder)?;
            before = names(&folder, watched);
        }
        fs::create_dir_all(&folder).map_err(Stop::io("could not make a folder for what is fetched"))?;
        Ok(Self { build, name, folder, watched, before })
    }

    pub(in super::super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps it, if there is something in it that was not there.
    pub(in super::super) fn save(&self) -> Result<(), Stop> {
        if names(&self.folder, self.watched) == self.before {
            return Ok(());
        }
        screen::step("Caching what was downloaded");
        self.build.save(&self.folder, self.name, FORM)
    }
}

/// The names of all files, as one.
fn names(folder: &Path, watched: &[&str]) -> String {
    let mut open: Vec<PathBuf> = watched.iter().map(|name| folder.join(name)).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            if is_folder {
                open.push(entry.path());
            } else if !NOT_FETCHED.iter().any(|ending| name.to_string_lossy().ends_with(ending)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    let parts: Vec<_> = found.iter().map(|path| path.as_os_str().as_encoded_bytes()).collect();
    cache_key(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_fetched_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        let look = || names(folder.path(), &["repository", "wrapper"]);
        let empty = look();
        write("repository/a/1/a.jar");
        let one = look();
        assert_ne!(one, empty);
        write("repository/b/1/b.jar.lastUpdated");
        write("repository/a/1/resolver-status.properties");
        write("other/c.jar");
        assert_eq!(look(), one);
        write("wrapper/dists/x");
        assert_ne!(look(), one);
    }
}
