//! The layers of a container and the overlay of them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{FsOpenFlags, OpenTreeFlags, fsconfig_set_flag, fsconfig_set_string, fsopen};

use super::{PLAIN_FILES, READ_ONLY, UPPER, WORK, attach, clone_of, finish_mount, wish};
use crate::error::{Doing, StepError};
use crate::kernel;
use crate::record::{LayerRecord, RootRecord};

/// The longest value of an option that the kernel takes.
const OPTION_BYTES: usize = 255;
/// Says on the root of a layer that nothing of the layers below is to be seen. The kernel heeds it on every folder but that.
const OPAQUE: &str = "trusted.overlay.opaque";

/// The attached layers of a container.
#[derive(Debug)]
pub(super) struct Lower {
    /// Their folders, the uppermost first.
    pub(super) folders: Vec<String>,
    /// Whether the host's `/usr` belongs to one of them.
    pub(super) host_usr: bool,
}

/// Attaches each layer's clone, idmapped where `userns` is given.
pub(super) fn attach_layers(
    layers: &[LayerRecord],
    userns: Option<BorrowedFd<'_>>,
) -> Result<Lower, StepError> {
    let mut lower = Lower { folders: Vec::new(), host_usr: false };
    for (index, layer) in layers.iter().enumerate() {
        let clone = clone_of(&layer.folder, OpenTreeFlags::empty())?;
        kernel::mount_setattr(clone.as_fd(), READ_ONLY | PLAIN_FILES, userns, false)
            .doing(|| format!("idmap the layer {}", layer.folder.display()))?;
        let name = format!("l{index}");
        std::fs::create_dir(&name).doing(|| format!("make {name}"))?;
        attach(clone.as_fd(), Path::new(&name))?;
        let hides_all_below = is_opaque(&name);
        lower.folders.push(name);
        lower.host_usr |= layer.host_usr;
        if hides_all_below {
            break;
        }
    }
    Ok(lower)
}

fn is_opaque(folder: &str) -> bool {
    let mut value = [0; 1];
    rustix::fs::getxattr(folder, OPAQUE, &mut value).is_ok_and(|length| value[..length] == *b"y")
}

/// A new overlay of these folders.
fn of_folders(lower: &[String]) -> Result<OwnedFd, StepError> {
    let context =
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).doing(|| "open file system overlay".to_owned())?;
    set(&context, "source", "overlay")?;
    let joined = lower.join(":");
    if joined.len() <= OPTION_BYTES {
        set(&context, "lowerdir", &joined)?;
    } else {
        let too_old = |error: rustix::io::Errno| {
            let so_many =
                format!("lay {} layers over each other, which takes a kernel of 6.5 or newer", lower.len());
            StepError::Host { doing: so_many, source: error.into() }
        };
        for folder in lower {
            fsconfig_set_string(&context, "lowerdir+", folder).map_err(too_old)?;
        }
    }
    Ok(context)
}

fn set(context: &OwnedFd, key: &str, value: &str) -> Result<(), StepError> {
    fsconfig_set_string(context, key, value).doing(|| format!("set {key}={value} of overlay"))
}

/// An overlay of these folders that can only be read, attached nowhere.
pub(super) fn to_read(lower: &[String]) -> Result<OwnedFd, StepError> {
    finish_mount(&of_folders(lower)?, "overlay", READ_ONLY | PLAIN_FILES | libc::MOUNT_ATTR_NOEXEC)
}

/// An overlay of these folders under the writable one, not attached yet.
pub(super) fn overlay(lower: &[String], root: RootRecord) -> Result<OwnedFd, StepError> {
    let context = of_folders(lower)?;
    set(&context, "upperdir", UPPER)?;
    set(&context, "workdir", WORK)?;
    // Nobody needs the upper's fsyncs: it dies with the container, or is read while the machine is up.
    wish(&context, "volatile", None);
    if root != RootRecord::Stack {
        // Files of all layers are on one device: `tar --one-file-system` and `du -x` leave out what is on another.
        wish(&context, "xino", Some("on"));
    }
    if root == RootRecord::Build {
        // What it notes in the upper can be read inside a user namespace, and no file is there in part or by reference.
        fsconfig_set_flag(&context, "userxattr").doing(|| "set userxattr of overlay".to_owned())?;
        wish(&context, "index", Some("off"));
    } else {
        // Renaming folders of a lower layer works.
        wish(&context, "redirect_dir", Some("on"));
    }
    finish_mount(&context, "overlay", PLAIN_FILES)
}
