//! The files that a COPY names: in the folder that is built, in a container's own root, in a bundle.
//!
//! Nothing is found outside of the root that is looked in: links are followed by hand, and `/` of a link is that root. Nobody
//! changes anything there meanwhile.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::dockerignore::Dockerignore;
use crate::glob::{Glob, is_pattern};

/// The most links that lead to one file.
const LINKS_MAX: usize = 40;
/// The deepest folder, and the most files and folders of one instruction.
const DEPTH_MAX: usize = 200;
const ENTRIES_MAX: usize = 500_000;

/// Why something is not copied: a sentence without its full stop.
pub(super) type Result<T> = std::result::Result<T, String>;

/// A root in which files are looked for.
#[derive(Debug, Default)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) ignore: Dockerignore,
    /// Whether it is the folder that is built.
    pub(super) is_context: bool,
    /// What is mounted there and is no part of it.
    pub(super) hidden: BTreeSet<PathBuf>,
}

/// Something that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// From the root on, without links.
    pub(super) path: PathBuf,
    /// What it is called where it is named.
    pub(super) name: OsString,
    pub(super) is_folder: bool,
}

/// A file, folder or link of a tree.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// From what was found on; empty for that itself.
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

impl Root {
    /// The folder that is built.
    pub(super) fn context(path: &Path, ignore: &str) -> Result<Self> {
        let ignore = Dockerignore::read(ignore.as_bytes()).map_err(|why| format!(".dockerignore: {why}"))?;
        Ok(Self { path: path.to_owned(), ignore, is_context: true, hidden: BTreeSet::new() })
    }

    /// The root of the container.
    pub(super) fn of_container() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let hidden = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        // What an image has is no mount point but the root itself, and ours have no signs to be escaped.
        let hidden = hidden.filter_map(|path| Path::new(path).strip_prefix("/").ok()).map(Path::to_owned);
        let hidden = hidden.filter(|path| !path.as_os_str().is_empty()).collect();
        Self { path: "/".into(), hidden, ..Self::default() }
    }

    /// What a path or pattern names, in order of name. A pattern may name nothing.
    pub(super) fn find(&self, text: &str) -> Result<Vec<Found>> {
        if !is_pattern(text) {
            return match self.named(Path::new(text)) {
                Ok(Some(found)) => Ok(vec![found]),
                Ok(None) if self.is_context => Err(format!("{text} is left out by .dockerignore")),
                Err(_) if self.is_context => Err(format!(
                    "there is no {text} in the folder that is built, the one with the Dockerfile, of what was pushed"
                )),
                Ok(None) | Err(_) => Err(format!("there is no {text} in what it is copied from")),
            };
        }
        let mut found = Vec::new();
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        self.matching(Path::new(""), &parts, &mut found)?;
        Ok(found)
    }

    /// Goes on with the parts of a pattern in a folder.
    fn matching(&self, folder: &Path, parts: &[&str], found: &mut Vec<Found>) -> Result<()> {
        let Some((part, rest)) = parts.split_first() else {
            found.extend(self.named(folder).ok().flatten());
            return if found.len() > ENTRIES_MAX { Err(too_many()) } else { Ok(()) };
        };
        if !is_pattern(part) {
            return self.matching(&folder.join(part), rest, found);
        }
        let glob = Glob::parse(part).map_err(|why| format!("the pattern {part:?} is none: {why}"))?;
        let Ok(Some(place)) = self.named(folder) else { return Ok(()) };
        let Ok(names) = names_in(&self.path.join(&place.path)) else { return Ok(()) };
        for name in names {
            if glob.matches(&name.to_string_lossy()) {
                self.matching(&folder.join(&name), rest, found)?;
            }
        }
        Ok(())
    }

    /// What is at a path; `None` if it is no part of the root.
    fn named(&self, path: &Path) -> io::Result<Option<Found>> {
        let real = resolve(&self.path, path)?;
        let metadata = self.path.join(&real).symlink_metadata()?;
        let is_left_out = self.leaves_out(path) || self.leaves_out(&real);
        let is_hidden = real.ancestors().any(|folder| self.hidden.contains(folder));
        if is_hidden || (is_left_out && !(metadata.is_dir() && self.ignore.takes_back())) {
            return Ok(None);
        }
        let name = path.file_name().map(Into::into).unwrap_or_default();
        let found = Found { path: real, name, is_folder: metadata.is_dir() };
        let is_empty =
            || self.entries(&found, &Dockerignore::default()).is_ok_and(|entries| entries.is_empty());
        Ok(if is_left_out && is_empty() { None } else { Some(found) })
    }

    fn leaves_out(&self, path: &Path) -> bool {
        !path.as_os_str().is_empty() && self.ignore.leaves_out(&path.to_string_lossy())
    }

    /// Everything of what was found, in order, each folder before what is in it. `excludes` begin from what was found.
    pub(super) fn entries(&self, found: &Found, excludes: &Dockerignore) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut walk = Walk { root: self, found, excludes, entries: &mut entries };
        walk.visit(&mut PathBuf::new(), 0)?;
        Ok(entries)
    }
}

struct Walk<'a> {
    root: &'a Root,
    found: &'a Found,
    excludes: &'a Dockerignore,
    entries: &'a mut Vec<Entry>,
}

impl Walk<'_> {
    fn visit(&mut self, path: &mut PathBuf, depth: usize) -> Result<()> {
        let place = below(&self.found.path, path);
        if self.root.hidden.contains(&place) {
            return Ok(());
        }
        let on_disk = below(&self.root.path, &place);
        let unreadable = |error: io::Error| format!("{} cannot be read: {error}", place.display());
        let metadata = on_disk.symlink_metadata().map_err(unreadable)?;
        let is_left_out = self.root.leaves_out(&place) || self.is_excluded(path);
        let may_have = self.root.ignore.takes_back() || self.excludes.takes_back();
        let kind = metadata.file_type();
        let is_copied = kind.is_dir() || kind.is_file() || kind.is_symlink();
        if !is_copied || (is_left_out && !(kind.is_dir() && may_have)) {
            return Ok(());
        }
        let at = self.entries.len();
        self.entries.push(Entry { path: path.clone(), metadata });
        if self.entries.len() > ENTRIES_MAX {
            return Err(too_many());
        }
        if kind.is_dir() {
            if depth == DEPTH_MAX {
                return Err(format!(
                    "more than {DEPTH_MAX} folders lie in each other in {}",
                    self.found.path.display()
                ));
            }
            for name in names_in(&on_disk).map_err(unreadable)? {
                path.push(name);
                self.visit(path, depth + 1)?;
                path.pop();
            }
            // A folder that is left out is there for what of it is taken back.
            if is_left_out && self.entries.len() == at + 1 {
                self.entries.pop();
            }
        }
        Ok(())
    }

    fn is_excluded(&self, path: &Path) -> bool {
        let path = if path.as_os_str().is_empty() && !self.found.is_folder {
            Path::new(&self.found.name)
        } else {
            path
        };
        !path.as_os_str().is_empty() && self.excludes.leaves_out(&path.to_string_lossy())
    }
}

fn too_many() -> String {
    format!("it is more than {ENTRIES_MAX} files and folders")
}

/// The names in a folder, in order.
fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names: Vec<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// The path from `root` on that leads to the same, without links in it.
pub(super) fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut real = PathBuf::new();
    let mut waiting: Vec<OsString> = components(path);
    let mut links = 0;
    while let Some(name) = waiting.pop() {
        if name == ".." {
            real.pop();
            continue;
        }
        real.push(&name);
        let on_disk = root.join(&real);
        let metadata = on_disk.symlink_metadata()?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(io::Error::other("too many links"));
            }
            let target = fs::read_link(&on_disk)?;
            real.pop();
            if target.is_absolute() {
                real.clear();
            }
            waiting.extend(components(&target));
        } else if !metadata.is_dir() && !waiting.is_empty() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
    }
    Ok(real)
}

/// The names of a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

/// A path with another one after it; with nothing after it, itself.
pub(super) fn below(base: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { base.to_owned() } else { base.join(path) }
}

/// Owner and group.
pub(super) fn owners(metadata: &Metadata) -> (u32, u32) {
    (metadata.uid(), metadata.gid())
}
