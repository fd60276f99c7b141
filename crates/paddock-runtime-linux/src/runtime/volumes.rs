//! Volumes: images that the server mounts itself, for containers that have them one after the other.
//!
//! `DIR/run/volumes/ID` is the mount point. The image has no name, and the mount is all that holds it: whoever finds the
//! folder after a kill unmounts it, and after a boot nothing but the folder is there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use paddock_core::{VolumeId, durable};
use rustix::mount::UnmountFlags;

use super::make_private;
use crate::disk::image;
use crate::images::is_mount_point;

/// The volumes of an instance.
#[derive(Debug, Clone)]
pub(super) struct Volumes {
    folder: PathBuf,
}

impl Volumes {
    /// Uses this folder for mount points.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        Ok(Self { folder })
    }

    fn point(&self, id: VolumeId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Mounts a copy of this template, if nothing is mounted yet; the folder where it is.
    pub(super) fn make(&self, id: VolumeId, template: &Path) -> io::Result<PathBuf> {
        let point = self.point(id);
        make_private(&point)?;
        if !is_mount_point(&point)? {
            let mount = image::mount(template, &point.join("disk.img"))?;
            durable!("volume.mounted", image::attach_at(mount.as_fd(), &point))?;
        }
        Ok(point)
    }

    /// Whether next to nothing more fits.
    pub(super) fn is_full(&self, id: VolumeId) -> io::Result<bool> {
        let point = self.point(id);
        Ok(is_mount_point(&point)? && image::is_full(File::open(point)?.as_fd())?)
    }

    /// Lets go of one, and of what is in it.
    pub(super) fn remove(&self, id: VolumeId) -> io::Result<()> {
        remove(&self.point(id))
    }

    /// Lets go of every one.
    pub(super) fn remove_all(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            remove(&entry?.path())?;
        }
        Ok(())
    }
}

fn remove(point: &Path) -> io::Result<()> {
    if is_mount_point(point)? {
        // Held open over the unmounting: what is not written yet need not be, and nobody gets in any more to write.
        let root = File::open(point)?;
        durable!("volume.unmounted", rustix::mount::unmount(point, UnmountFlags::DETACH))?;
        if let Err(error) = image::discard(root.into()) {
            tracing::warn!(volume = %point.display(), %error, "the disk of a volume is written before it goes");
        }
    }
    match durable!("volume.removed", std::fs::remove_dir_all(point)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
