//! Image files of layers, each mounted once on the host and cloned by every container that has it.
//!
//! Two mounts of one file share no page cache, clones of one mount do. A mount point is named after the file's
//! inode, so that a file that was replaced is another image, and found again after a restart. A mount goes when no
//! container uses it and its file was unlinked: until then it keeps the cache warm.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::tool::tool;

/// The mounts under one folder.
#[derive(Debug)]
pub(crate) struct Images {
    folder: PathBuf,
    changing: Mutex<()>,
}

impl Images {
    /// Uses this folder for mount points.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, changing: Mutex::new(()) })
    }

    /// The folder to clone for a layer: where its file is mounted (now, if it is not yet), or the layer itself
    /// where it is an unpacked folder.
    pub(crate) fn folder_of(&self, layer: &Path) -> io::Result<PathBuf> {
        let found = std::fs::metadata(layer)?;
        if found.is_dir() {
            return Ok(layer.to_owned());
        }
        let name = layer.file_name().and_then(|name| name.to_str()).unwrap_or("image");
        let point = self.folder.join(format!("{}-{}-{name}", found.dev(), found.ino()));
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_mount_point(&point)? {
            std::fs::create_dir_all(&point)?;
            mount(layer, &point)?;
            #[expect(
                clippy::disallowed_methods,
                reason = "a note beside a mount point, which goes with the machine"
            )]
            std::fs::write(self.source_note(&point), layer.as_os_str().as_encoded_bytes())?;
        }
        Ok(point)
    }

    /// Unmounts what is not in `used` and whose file is gone, or with `all` every one that is not in `used`.
    pub(crate) fn collect(&self, used: &BTreeSet<PathBuf>, all: bool) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in std::fs::read_dir(&self.folder)? {
            let point = entry?.path();
            if !point.is_dir() || used.contains(&point) {
                continue;
            }
            let note = self.source_note(&point);
            let source = std::fs::read_to_string(&note).unwrap_or_default();
            let is_same = std::fs::metadata(&source).is_ok_and(|found| {
                let prefix = format!("{}-{}-", found.dev(), found.ino());
                point.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
            });
            if is_same && !all {
                continue;
            }
            if is_mount_point(&point)? {
                rustix::mount::unmount(&point, UnmountFlags::DETACH)?;
            }
            #[expect(clippy::disallowed_methods, reason = "a mount point, which goes with the machine")]
            std::fs::remove_dir(&point)?;
            #[expect(clippy::disallowed_methods, reason = "a note beside a mount point")]
            let _ = std::fs::remove_file(note);
        }
        Ok(())
    }

    /// Where the path of a mounted file is kept.
    fn source_note(&self, point: &Path) -> PathBuf {
        let mut name = point.file_name().unwrap_or_default().to_owned();
        name.push(".source");
        self.folder.join(name)
    }
}

/// Whether something is mounted at a folder; a missing one is none.
pub(crate) fn is_mount_point(path: &Path) -> io::Result<bool> {
    let device = |path: &Path| match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found.dev())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let (here, above) = (device(path)?, device(path.parent().unwrap_or(path))?);
    Ok(here.is_some() && here != above)
}

/// Mounts an EROFS file: by itself where the kernel can, else through a loop device.
fn mount(file: &Path, point: &Path) -> io::Result<()> {
    match mount_file(file, point) {
        Ok(()) => Ok(()),
        Err(by_file) => mount_loop(file, point).map_err(|by_loop| {
            io::Error::other(format!("as a file: {by_file}; by a loop device: {by_loop}"))
        }),
    }
}

fn mount_file(file: &Path, point: &Path) -> io::Result<()> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", file)?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(move_mount(mount.as_fd(), c"", rustix::fs::CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn mount_loop(file: &Path, point: &Path) -> io::Result<()> {
    let output =
        tool("mount").args(["-t", "erofs", "-o", "loop,ro,nosuid,nodev"]).args([file, point]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The two ways to mount a file show the same; kernels before 6.12 have the second one only.
    #[test]
    fn a_file_is_mounted_either_way() {
        let announced = std::env::var_os("PADDOCK_TESTS_UNPRIVILEGED").is_some();
        if announced && !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (tree, file) = (dir.path().join("tree"), dir.path().join("image.erofs"));
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("hello"), "hello").unwrap();
        let made = Command::new("mkfs.erofs").arg("--quiet").args([&file, &tree]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (name, mount) in
            [("file", mount_file as fn(&Path, &Path) -> io::Result<()>), ("loop", mount_loop)]
        {
            let point = dir.path().join(name);
            std::fs::create_dir(&point).unwrap();
            assert!(!is_mount_point(&point).unwrap());
            mount(&file, &point).unwrap_or_else(|error| panic!("by {name}: {error}"));
            let text = std::fs::read_to_string(point.join("hello"));
            let mounted = is_mount_point(&point);
            rustix::mount::unmount(&point, UnmountFlags::DETACH).unwrap();
            assert_eq!((text.unwrap().as_str(), mounted.unwrap()), ("hello", true), "by {name}");
        }
    }
}
