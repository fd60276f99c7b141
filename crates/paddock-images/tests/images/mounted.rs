//! Layers as the kernel reads them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A mounted layer, or some of them; unmounted when dropped.
pub(crate) struct Mounted(TempDir);

impl Mounted {
    pub(crate) fn new(layer: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        mount(layer, folder.path(), c"erofs", MountFlags::RDONLY, None)
            .expect("this kernel mounts EROFS files (6.12 or later) for root");
        Self(folder)
    }

    /// Folders over each other, the uppermost first.
    pub(crate) fn overlay(layers: &[&Self], options: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let layers: Vec<_> = layers.iter().map(|layer| layer.path().to_str().unwrap()).collect();
        let options = std::ffi::CString::new(format!("{options}lowerdir={}", layers.join(":"))).unwrap();
        mount("overlay", folder.path(), c"overlay", MountFlags::RDONLY, options.as_c_str()).unwrap();
        Self(folder)
    }

    /// A folder of this machine.
    pub(crate) fn bind(folder: &Path) -> Self {
        let mounted = TempDir::new().unwrap();
        rustix::mount::mount_bind(folder, mounted.path()).unwrap();
        Self(mounted)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// What the checker of the format says of a file.
pub(crate) fn check(layer: &Path) {
    let output = Command::new("fsck.erofs").arg("--extract").arg(layer).output();
    let output = output.expect("fsck.erofs is installed");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

/// What can be seen of an entry, but for its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) content: Content,
    pub(crate) permissions: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: (i64, i64),
    pub(crate) links: u64,
    /// The first name of the same inode.
    pub(crate) first_name: PathBuf,
    /// Whether it has both marks of an opaque folder.
    pub(crate) is_opaque: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Folder,
    File { size: u64, sha256: [u8; 32] },
    Symlink(PathBuf),
    Whiteout,
}

/// Everything in a folder by its path, the folder itself by an empty one.
pub(crate) fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = seen_without_marks(root);
    for (path, seen) in &mut seen {
        seen.is_opaque = seen.content == Content::Folder && is_opaque(&root.join(path));
    }
    seen
}

/// The same, but for marks, which an overlay keeps to itself in part.
pub(crate) fn seen_without_marks(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut first_names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let paths = paths(root).into_iter();
    let seen = paths.map(|path| {
        let metadata = root.join(&path).symlink_metadata().unwrap();
        let mut seen = entry(&root.join(&path), &metadata);
        seen.first_name = first_names.entry(metadata.ino()).or_insert_with(|| path.clone()).clone();
        (path, seen)
    });
    seen.collect()
}

/// The paths of everything in a folder, in order.
pub(crate) fn paths(root: &Path) -> Vec<PathBuf> {
    let (mut paths, mut waiting) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(path) = waiting.pop() {
        if root.join(&path).symlink_metadata().unwrap().is_dir() {
            let entries = std::fs::read_dir(root.join(&path)).unwrap();
            waiting.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

fn entry(path: &Path, metadata: &std::fs::Metadata) -> Seen {
    let kind = metadata.file_type();
    let content = if kind.is_dir() {
        Content::Folder
    } else if kind.is_symlink() {
        Content::Symlink(path.read_link().unwrap())
    } else if kind.is_char_device() {
        assert_eq!(metadata.rdev(), 0);
        Content::Whiteout
    } else {
        let (size, sha256) = digest(&mut File::open(path).unwrap());
        assert_eq!(size, metadata.size(), "{path:?}");
        Content::File { size, sha256 }
    };
    Seen {
        content,
        permissions: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        links: metadata.nlink(),
        first_name: PathBuf::new(),
        is_opaque: false,
    }
}

fn is_opaque(path: &Path) -> bool {
    let marks = ["user.overlay.opaque", "trusted.overlay.opaque"].map(|name| {
        let mut value = [0; 8];
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(1) => {
                assert_eq!(value[0], b'y');
                true
            }
            Err(rustix::io::Errno::NODATA) => false,
            other => panic!("{path:?}: {name}: {other:?}"),
        }
    });
    assert_eq!(marks[0], marks[1], "{path:?} has one mark of the two");
    marks[0]
}

/// The length of what is read, and its SHA-256.
pub(crate) fn digest(content: &mut impl Read) -> (u64, [u8; 32]) {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match content.read(&mut buffer).unwrap() {
            0 => return (size, hash.finalize().into()),
            read => {
                size += read as u64;
                hash.update(&buffer[..read]);
            }
        }
    }
}

pub(crate) fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}
