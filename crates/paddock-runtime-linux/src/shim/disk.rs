//! The container's writable layer: a disk of its own with a hard limit, or a folder without any.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::disk::image;
use crate::error::{Doing, StepError};
use crate::record::{Folder, SpecRecord};

use super::rootfs;

/// How often a disk is looked at for the line that says that it is full.
const LOOK: Duration = Duration::from_secs(5);

/// A mount, whose root holds the upper of the container's overlay, and its limit.
#[derive(Debug)]
pub(super) struct Disk {
    /// Detached until the root is built; held until the container has ended.
    pub(super) mount: OwnedFd,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// A folder of the machine's own file system.
    Folder,
    /// A file system of this container alone.
    Image {
        limit_bytes: u64,
        /// Until the line about it was written.
        look_at: Option<Instant>,
    },
}

impl Disk {
    /// Makes it, empty.
    pub(super) fn make(spec: &SpecRecord, folder: &Folder) -> Result<Self, StepError> {
        let (Some(template), Some(limit_bytes)) = (&spec.disk_template, spec.limits.disk_bytes) else {
            let plain = folder.0.join("disk");
            std::fs::create_dir_all(&plain).doing(|| format!("make {}", plain.display()))?;
            return Ok(Self { mount: rootfs::plain_clone(&plain)?, form: Form::Folder });
        };
        let mount =
            image::mount(template, &folder.0.join("disk.img")).doing(|| "make the disk".to_owned())?;
        Ok(Self { mount, form: Form::Image { limit_bytes, look_at: Some(Instant::now() + LOOK) } })
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
        let Form::Image { limit_bytes, look_at: Some(at) } = &mut self.form else { return None };
        *at = now + LOOK;
        if !image::is_full(self.mount.as_fd()).unwrap_or(false) {
            return None;
        }
        let megabytes = *limit_bytes >> 20;
        self.form = Form::Image { limit_bytes: *limit_bytes, look_at: None };
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
