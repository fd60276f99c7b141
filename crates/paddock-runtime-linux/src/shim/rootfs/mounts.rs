//! What a container has besides its layers: folders and files of the host, at targets inside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount};

use super::image_user::ImageUsers;
use super::inside::open_inside;
use super::{PLAIN_FILES, READ_ONLY, clone_of};
use crate::error::{Doing, StepError};
use crate::kernel;
use crate::record::{MountRecord, RootRecord, SpecRecord};

/// Attaches a host folder or file at its target.
pub(super) fn attach_host_folder(
    mount: &MountRecord,
    spec: &SpecRecord,
    root: BorrowedFd<'_>,
) -> Result<(), StepError> {
    let clone = clone_of(&mount.source, OpenTreeFlags::AT_SYMLINK_NOFOLLOW)?;
    let attributes = PLAIN_FILES | if mount.read_only { READ_ONLY } else { 0 };
    kernel::mount_setattr(clone.as_fd(), attributes, None, false)
        .doing(|| format!("set the attributes of {}", mount.source.display()))?;
    let is_folder = mount.source.is_dir();
    let owner = owner_of_targets(spec, &mount.target);
    let target = target_inside(root, &mount.target, is_folder, owner, owner)?;
    if is_same(root, target.as_fd())? {
        // By a link of a layer: what is mounted would be the root.
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput))
            .doing(|| format!("attach {} inside", mount.target));
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&clone, c"", &target, c"", flags).doing(|| format!("attach {} inside", mount.target))
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool, StepError> {
    let of = |file| rustix::fs::fstat(file).doing(|| "look at a mount point".to_owned());
    let (one, other) = (of(one)?, of(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Whose a target is that has to be made.
fn owner_of_targets(spec: &SpecRecord, path: &str) -> (u32, u32) {
    let first = path.split('/').find(|name| !name.is_empty());
    let is_the_users = spec.root == RootRecord::Stack && matches!(first, Some("app" | "tmp"));
    if is_the_users { spec.owner() } else { (spec.id_base, spec.id_base) }
}

/// Makes the folder where the program begins, unless it is there: the user's, in folders of whoever has root's.
pub(super) fn make_working_folder(
    spec: &SpecRecord,
    users: &ImageUsers,
    root: BorrowedFd<'_>,
) -> Result<(), StepError> {
    let path = &spec.working_dir;
    let mut names = path.split('/').filter(|name| !name.is_empty());
    // What is the kernel's is not there yet.
    if matches!(names.clone().next(), None | Some("proc" | "sys" | "dev")) || names.any(|name| name == "..") {
        return Ok(());
    }
    let (parents, owner) = (users.owner_of_roots(spec), users.runner.user.on_host(spec.id_base));
    target_inside(root, path, true, parents, owner).map(drop).map_err(|error| match error {
        StepError::Host { source, .. } => {
            StepError::Program { reason: format!("could not make the folder {path}: {source}") }
        }
        program @ StepError::Program { .. } => program,
    })
}

/// Opens a path inside the root, making what is missing: the folders on the way are `parents`', the last one is `owner`'s. No
/// link of an image leads outside.
fn target_inside(
    root: BorrowedFd<'_>,
    path: &str,
    is_folder: bool,
    parents: (u32, u32),
    owner: (u32, u32),
) -> Result<OwnedFd, StepError> {
    let doing = || format!("make {path} inside");
    let open =
        |path: &str, flags: OFlags, mode: Mode| open_inside(root, path, flags, mode, ResolveFlags::IN_ROOT);
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.contains(&"..") {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput)).doing(doing);
    }
    for depth in 1..=names.len() {
        let (parent, here) = (names[..depth - 1].join("/"), names[..depth].join("/"));
        match open(&here, OFlags::PATH, Mode::empty()) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error).doing(doing),
            Ok(found) if depth == names.len() => return Ok(found),
            Ok(_) => continue,
        }
        let parent = if parent.is_empty() { ".".to_owned() } else { parent };
        let parent = open(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).doing(doing)?;
        let name = names[depth - 1];
        if is_folder || depth < names.len() {
            rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).doing(doing)?;
        } else {
            let kind = FileType::RegularFile;
            rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(0o644), 0).doing(doing)?;
        }
        let (uid, gid) = if depth < names.len() { parents } else { owner };
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).doing(doing)?;
    }
    open(&names.join("/"), OFlags::PATH, Mode::empty()).doing(doing)
}
