//! The container's writable layer: a disk of its own with a hard limit, a folder of a volume, or one without any limit.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::disk::image;
use crate::error::{Doing, StepError};
use crate::record::{DiskRecord, Folder, SpecRecord};

use super::rootfs;

/// A mount, whose root holds the upper of the container's overlay, and its limit.
#[derive(Debug)]
pub(super) struct Disk {
    /// Detached until the root is built; held until the container has ended.
    pub(super) mount: OwnedFd,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// A folder of a file system that others write to as well: nothing is told of it, and it is not ours to end.
    Folder,
    /// A file system of this container alone.
    Image {
        limit_bytes: u64,
        interval: Duration,
        /// Until the line about it was written.
        look_at: Option<Instant>,
    },
}

impl Disk {
    /// Makes it, empty.
    pub(super) fn make(spec: &SpecRecord, folder: &Folder) -> Result<Self, StepError> {
        match &spec.disk {
            DiskRecord::Unlimited => Self::folder(&folder.0.join("disk")),
            DiskRecord::Folder { folder } => Self::folder(folder),
            DiskRecord::Image { template, limit_bytes, interval } => {
                let name = folder.0.join("disk.img");
                let mount = image::mount(template, &name).doing(|| "make the disk".to_owned())?;
                let (limit_bytes, interval) = (*limit_bytes, *interval);
                let look_at = Some(Instant::now() + interval);
                Ok(Self { mount, form: Form::Image { limit_bytes, interval, look_at } })
            }
        }
    }

    fn folder(folder: &Path) -> Result<Self, StepError> {
        std::fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
        Ok(Self { mount: rootfs::plain_clone(folder)?, form: Form::Folder })
    }

    /// When [`Self::look`] wants to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.form {
            Form::Image { look_at, .. } => look_at,
            Form::Folder => None,
        }
    }

    /// Once: the line for the log, when next to nothing more fits.
    pub(super) fn look(&mut self, now: Instant) -> Option<String> {
        let Form::Image { limit_bytes, interval, look_at } = &mut self.form else { return None };
        let at = look_at.as_mut()?;
        *at = now + *interval;
        if !image::is_full(self.mount.as_fd()).unwrap_or(false) {
            return None;
        }
        let megabytes = *limit_bytes >> 20;
        *look_at = None;
        Some(format!(
            "Disk quota reached ({megabytes}MB): writing fails with \"No space left on device\" until files are deleted"
        ))
    }

    /// Lets go of it when the container has ended.
    pub(super) fn discard(self) {
        if let Form::Image { .. } = self.form
            && let Err(error) = image::discard(self.mount)
        {
            super::log(&format!("discard the disk: {error}"));
        }
    }
}
