//! A small tree of files, first planned in memory, then hashed, then written.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use paddock_core::durable;
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder { mode: u32, owner: u32 },
    File { content: Vec<u8>, mode: u32 },
    Link { target: String },
}

/// Paths relative to the root (the root itself is empty), parents before children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    pub(super) fn folder(&mut self, path: impl AsRef<Path>, mode: u32, owner: u32) {
        self.add(path.as_ref(), Entry::Folder { mode, owner });
    }

    pub(super) fn file(&mut self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) {
        self.add(path.as_ref(), Entry::File { content: content.into(), mode: 0o644 });
    }

    pub(super) fn link(&mut self, path: impl AsRef<Path>, target: &str) {
        self.add(path.as_ref(), Entry::Link { target: target.to_owned() });
    }

    fn add(&mut self, path: &Path, entry: Entry) {
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            let folder = || Entry::Folder { mode: 0o755, owner: 0 };
            self.entries.entry(parent.to_owned()).or_insert_with(folder);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    pub(super) fn hash(&self, hash: &mut Sha256) {
        for (path, entry) in &self.entries {
            let (kind, content): (String, &[u8]) = match entry {
                Entry::Folder { mode, owner } => (format!("folder {mode:o} {owner}"), &[]),
                Entry::File { content, mode } => (format!("file {mode:o}"), content),
                Entry::Link { target } => ("link".into(), target.as_bytes()),
            };
            for part in [path.as_os_str().as_encoded_bytes(), kind.as_bytes(), content] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
    }

    /// Writes the tree to `unfinished` and, once it is on disk, renames it to `folder`. An error names the path.
    pub(super) fn write(&self, unfinished: &Path, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        let stacks = folder.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(stacks).map_err(at(stacks))?;
        remove(unfinished).map_err(at(unfinished))?;
        for (path, entry) in &self.entries {
            let path = unfinished.join(path);
            write_entry(&path, entry).map_err(at(&path))?;
        }
        let root = File::open(unfinished).map_err(at(unfinished))?;
        rustix::fs::syncfs(&root).map_err(|error| (unfinished.into(), error.into()))?;
        durable!("stack.made", std::fs::rename(unfinished, folder)).map_err(at(folder))?;
        File::open(stacks).and_then(|stacks| stacks.sync_all()).map_err(at(stacks))
    }
}

/// Removes a base; removing what is gone succeeds.
///
/// Never through a mount: bases have the host's `/usr` laid over them, in name spaces of their own, and if that ever
/// leaked into ours this would delete the host.
pub(super) fn remove(base: &Path) -> io::Result<()> {
    for mount_point in ["usr", "dev", "proc", "sys"] {
        let is_empty = match std::fs::read_dir(base.join(mount_point)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            entries => entries?.next().is_none(),
        };
        if !is_empty {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("/{mount_point} in it is not empty"),
            ));
        }
    }
    match durable!("stack.removed", std::fs::remove_dir_all(base)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_entry(path: &Path, entry: &Entry) -> io::Result<()> {
    match entry {
        Entry::Folder { mode, owner } => {
            DirBuilder::new().mode(0o700).create(path)?;
            chown(path, Some(*owner), Some(*owner))?;
            // After the change of owner, and by itself, so that no umask and no inherited group bit has a say.
            std::fs::set_permissions(path, Permissions::from_mode(*mode))
        }
        Entry::File { content, mode } => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(content)?;
            chown(path, Some(0), Some(0))?;
            file.set_permissions(Permissions::from_mode(*mode))
        }
        Entry::Link { target } => {
            symlink(target, path)?;
            lchown(path, Some(0), Some(0))
        }
    }
}
