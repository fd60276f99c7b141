//! The folder that a step of a build has written to becomes a layer. It is the upper one of an overlay that was mounted with `userxattr`, so what
//! it hides is said by character devices 0:0 and by attributes of folders. No link is followed, and nothing is opened but files and folders.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, openat, readlinkat, statat,
};
use rustix::io::Errno;

use super::layer::{LayerBuilder, Stop};
use super::tar::Problem;
use super::{ConvertError, LayerLimits, Refused, Warnings};
use crate::erofs::{Attributes, Entry, FileId, FolderId, Modified};
use crate::tree::{entries, open_folder};

/// What overlays say of their files, mounted in one way or the other.
const OVERLAY: [&[u8]; 2] = [b"user.overlay.", b"trusted.overlay."];

/// What of a tree is not the tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Paths from the tree's root that are left out, with what is in them.
    pub always: Vec<PathBuf>,
    /// Paths of files that are left out where they are empty: others have been mounted over them.
    pub if_empty: Vec<PathBuf>,
}

/// What became of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedTree {
    /// Bytes of the mountable file.
    pub layer_bytes: u64,
    /// Files, folders and links; 0 for a step that has written nothing.
    pub entries: u64,
    /// What was left out.
    pub warnings: Warnings,
}

/// Converts what a step has written below `root` to a mountable file in `output`, which is empty. Entries come in order of name, so equal trees
/// give equal bytes.
///
/// # Errors
/// [`ConvertError`]: the first thing that is wrong with it. What `output` has then is of no use.
pub fn convert_tree(
    root: &Path,
    left_out: &LeftOut,
    output: File,
    limits: &LayerLimits,
) -> Result<ConvertedTree, ConvertError> {
    let mut layer = LayerBuilder::new(output, *limits)?;
    let unreadable =
        |source| ConvertError::Unreadable { after: root.as_os_str().as_bytes().to_vec(), source };
    let folder = open_folder(CWD, root).map_err(unreadable)?;
    let mut walk = Walk {
        layer: &mut layer,
        always: left_out.always.iter().map(|path| components(path)).collect(),
        if_empty: left_out.if_empty.iter().map(|path| components(path)).collect(),
        depth_max: limits.depth,
        path: Vec::new(),
        several_names: HashMap::new(),
        attribute_names: vec![0; 64 * 1024],
    };
    if let Err(stop) = walk.run(folder) {
        return Err(stop.at(&walk.path.join(&b'/')));
    }
    let written = layer.finish()?;
    Ok(ConvertedTree { layer_bytes: written.bytes, entries: written.entries, warnings: written.warnings })
}

/// A path as the walk knows it.
fn components(path: &Path) -> Vec<u8> {
    let names = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    let names: Vec<&[u8]> = names.filter(|name| !matches!(*name, b"" | b".")).collect();
    names.join(&b'/')
}

struct Walk<'a> {
    layer: &'a mut LayerBuilder,
    always: HashSet<Vec<u8>>,
    if_empty: HashSet<Vec<u8>>,
    depth_max: usize,
    /// The names of the entry that is looked at.
    path: Vec<Vec<u8>>,
    /// Inodes with several names that have one in the layer.
    several_names: HashMap<(u64, u64), FileId>,
    /// Where names of attributes are listed; as many as the kernel has of a file.
    attribute_names: Vec<u8>,
}

/// A folder whose entries are not all taken.
struct Level {
    folder: OwnedFd,
    id: FolderId,
    names: IntoIter<CString>,
}

impl Walk<'_> {
    fn run(&mut self, root: OwnedFd) -> Result<(), Stop> {
        let stat = fstat(&root).map_err(unreadable)?;
        let attributes = self.attributes(&stat);
        self.layer.writer.set_attributes(FolderId::ROOT, attributes);
        let mut levels = vec![self.level(root, FolderId::ROOT)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                self.path.pop();
                continue;
            };
            self.path.push(name.to_bytes().to_vec());
            match self.entry(&level.folder, level.id, &name)? {
                Some((folder, id)) => {
                    let level = self.level(folder, id)?;
                    levels.push(level);
                }
                None => drop(self.path.pop()),
            }
        }
        Ok(())
    }

    fn level(&mut self, folder: OwnedFd, id: FolderId) -> Result<Level, Stop> {
        if self.path.len() > self.depth_max {
            return Err(Refused::DeepPath(self.depth_max).into());
        }
        if self.is_opaque(&folder)? {
            if id == FolderId::ROOT {
                return Err(Refused::OpaqueRoot.into());
            }
            self.layer.writer.set_opaque(id);
        }
        let entries = entries(&folder).map_err(Problem::Unreadable)?;
        let mut names: Vec<CString> = entries.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(Level { folder, id, names: names.into_iter() })
    }

    /// Takes an entry; a folder's own entries are still to be taken.
    fn entry(
        &mut self,
        parent: &OwnedFd,
        id: FolderId,
        name: &CStr,
    ) -> Result<Option<(OwnedFd, FolderId)>, Stop> {
        let path = self.path.join(&b'/');
        if self.always.contains(&path) {
            return Ok(None);
        }
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(unreadable)?;
        let bytes = name.to_bytes();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let folder = open_folder(parent, name).map_err(Problem::Unreadable)?;
                let attributes = self.attributes(&fstat(&folder).map_err(unreadable)?);
                let inner = self.layer.folder(id, bytes, attributes)?;
                return Ok(Some((folder, inner)));
            }
            FileType::RegularFile if stat.st_size == 0 && self.if_empty.contains(&path) => {}
            FileType::RegularFile => self.file(parent, id, name)?,
            FileType::Symlink => self.symlink(parent, id, name, &stat)?,
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                self.layer.count(bytes)?;
                self.layer.writer.add_whiteout(id, bytes)?;
            }
            FileType::CharacterDevice | FileType::BlockDevice => self.layer.warnings.devices += 1,
            FileType::Fifo | FileType::Socket | FileType::Unknown => self.layer.warnings.fifos += 1,
        }
        Ok(None)
    }

    fn file(&mut self, parent: &OwnedFd, id: FolderId, name: &CStr) -> Result<(), Stop> {
        // Should it have become a fifo meanwhile, it is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::empty()).map_err(unreadable)?;
        let stat = fstat(&file).map_err(unreadable)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Problem::Unreadable(io::Error::other("it was replaced while it was read")).into());
        }
        let name = name.to_bytes();
        if self.is_linked(id, name, &stat)? {
            return Ok(());
        }
        self.is_opaque(&file)?;
        let attributes = self.attributes(&stat);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.layer.file(id, name, attributes, size, &mut File::from(file))?;
        self.remember(id, name, &stat);
        Ok(())
    }

    fn symlink(&mut self, parent: &OwnedFd, id: FolderId, name: &CStr, stat: &Stat) -> Result<(), Stop> {
        if self.is_linked(id, name.to_bytes(), stat)? {
            return Ok(());
        }
        let target = readlinkat(parent, name, Vec::new()).map_err(unreadable)?;
        let attributes = self.attributes(stat);
        self.layer.symlink(id, name.to_bytes(), attributes, target.to_bytes())?;
        self.remember(id, name.to_bytes(), stat);
        Ok(())
    }

    /// Whether an inode has a name in the layer already, and got this one too.
    fn is_linked(&mut self, folder: FolderId, name: &[u8], stat: &Stat) -> Result<bool, Stop> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let Some(file) = self.several_names.get(&(stat.st_dev, stat.st_ino)) else { return Ok(false) };
        self.layer.count(name)?;
        self.layer.writer.add_link(folder, name, *file)?;
        Ok(true)
    }

    fn remember(&mut self, folder: FolderId, name: &[u8], stat: &Stat) {
        if let (true, Some(Entry::File(file))) = (stat.st_nlink > 1, self.layer.writer.get(folder, name)) {
            self.several_names.insert((stat.st_dev, stat.st_ino), file);
        }
    }

    fn attributes(&mut self, stat: &Stat) -> Attributes {
        let modified =
            Modified { seconds: stat.st_mtime, nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) };
        let owner = (stat.st_uid.into(), stat.st_gid.into());
        self.layer.attributes((stat.st_mode & 0o7777) as u16, owner, modified)
    }

    /// Whether a folder hides what lower layers have in it. Attributes that no overlay has written are counted.
    fn is_opaque(&mut self, file: &OwnedFd) -> Result<bool, Stop> {
        let mut is_opaque = false;
        let names = attribute_names(file, &mut self.attribute_names).map_err(unreadable)?;
        for name in names {
            let Some(mark) = OVERLAY.iter().find_map(|prefix| name.to_bytes().strip_prefix(*prefix)) else {
                self.layer.warnings.attributes += 1;
                continue;
            };
            match mark {
                b"opaque" => {
                    let mut value = [0; 1];
                    match fgetxattr(file, &name, &mut value) {
                        Ok(read) => is_opaque |= read == 1 && value == *b"y",
                        Err(Errno::RANGE) => {}
                        Err(error) => return Err(unreadable(error)),
                    }
                }
                // Its content, or what is in it, is that of something in a lower layer.
                b"metacopy" | b"redirect" => return Err(Refused::Partial.into()),
                _ => {}
            }
        }
        Ok(is_opaque)
    }
}

fn attribute_names(file: impl AsFd, buffer: &mut [u8]) -> Result<Vec<CString>, Errno> {
    let length = match flistxattr(file, &mut *buffer) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

fn unreadable(error: Errno) -> Stop {
    Problem::Unreadable(error.into()).into()
}
