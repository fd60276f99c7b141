//! The root of an image: what its layers say.
//!
//! Mount points come from a *skeleton*, the lowest layer of all: what a layer has in their place is seen instead, with its
//! owner and mode, and the upper holds only what programs wrote. A layer's link or file where a folder must be is taken away
//! in the upper; so is a whiteout.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount};

use super::image_user::ImageUsers;
use super::{PLAIN_FILES, READ_ONLY, UPPER, clone_of, name_files, owned_file, owned_folder};
use crate::error::{Doing, StepError};
use crate::kernel;
use crate::record::SpecRecord;
use crate::shim::slot::IDS;

/// The lowest layer, beside the others.
pub(super) const SKELETON: &str = "skeleton";
/// Where the container's own names are, until they are mounted.
const NAMES: &str = "names";

/// What there must be, as a folder, whatever the layers have; the mode where they have nothing.
const FOLDERS: [(&str, u32); 5] =
    [("dev", 0o755), ("proc", 0o755), ("sys", 0o755), ("etc", 0o755), ("tmp", 0o1777)];
/// The same, with the host's `/usr`.
const HOST_USR: (&str, u32) = ("usr", 0o755);

fn folders(host_usr: bool) -> impl Iterator<Item = (&'static str, u32)> {
    FOLDERS.into_iter().chain(host_usr.then_some(HOST_USR))
}

/// Makes the lowest layer, and the upper with owner and mode of the uppermost layer's root.
pub(super) fn prepare(
    spec: &SpecRecord,
    users: &ImageUsers,
    uppermost: Option<&String>,
    host_usr: bool,
) -> Result<(), StepError> {
    let (skeleton, root) = (Path::new(SKELETON), users.owner_of_roots(spec));
    owned_folder(skeleton, root, 0o755)?;
    for (name, mode) in folders(host_usr) {
        owned_folder(&skeleton.join(name), root, mode)?;
    }
    owned_folder(Path::new(NAMES), root, 0o755)?;
    for (name, content) in files_of_etc(spec, users) {
        owned_file(&skeleton.join("etc").join(name), root, b"")?;
        owned_file(&Path::new(NAMES).join(name), (spec.id_base, spec.id_base), &content)?;
    }
    for mount in &spec.mounts {
        mount_point(skeleton, &mount.target, mount.source.is_dir(), root);
    }
    let uppermost = uppermost.map_or(skeleton, |name| Path::new(name));
    let found = std::fs::metadata(uppermost).doing(|| format!("look at {}", uppermost.display()))?;
    let mapped = |id: u32| if (spec.id_base..spec.id_base + IDS).contains(&id) { id } else { spec.id_base };
    owned_folder(
        Path::new(UPPER),
        (mapped(found.uid()), mapped(found.gid())),
        found.permissions().mode() & 0o7777,
    )
}

/// The files of `/etc` that are the platform's: what the container is named, and who runs if the image does not name them.
fn files_of_etc(spec: &SpecRecord, users: &ImageUsers) -> Vec<(&'static str, Vec<u8>)> {
    let names = name_files(spec).into_iter().map(|(name, content)| (name, content.into_bytes()));
    names.chain(users.files.iter().cloned()).collect()
}

/// Makes what a mount's target takes, as far as nothing is in the way: then it is made where the target is looked up.
fn mount_point(skeleton: &Path, target: &str, is_folder: bool, root: (u32, u32)) {
    let names: Vec<_> = target.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    let mut path = skeleton.to_owned();
    for (number, name) in names.iter().enumerate() {
        path.push(name);
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            continue;
        }
        let made = if is_folder || number + 1 < names.len() {
            owned_folder(&path, root, 0o755)
        } else {
            owned_file(&path, root, b"")
        };
        if made.is_err() {
            return;
        }
    }
}

/// Makes sure of the folders that something is mounted on, and mounts the container's names. `root` is the merged root.
pub(super) fn shape(
    spec: &SpecRecord,
    users: &ImageUsers,
    root: BorrowedFd<'_>,
    host_usr: bool,
) -> Result<(), StepError> {
    let owner = users.owner_of_roots(spec);
    for (name, mode) in folders(host_usr) {
        real_folder(root, name, mode, owner).doing(|| format!("make /{name} inside"))?;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let etc =
        rustix::fs::openat(root, "etc", flags, Mode::empty()).doing(|| "open /etc inside".to_owned())?;
    for (name, _) in files_of_etc(spec, users) {
        let place = place_of_file(etc.as_fd(), name, owner).doing(|| format!("make /etc/{name} inside"))?;
        // A folder of the image's stays: nothing is written to it.
        let Some(place) = place else { continue };
        let clone = clone_of(&Path::new(NAMES).join(name), OpenTreeFlags::empty())?;
        kernel::mount_setattr(clone.as_fd(), READ_ONLY | PLAIN_FILES, None, false)
            .doing(|| format!("set the attributes of {name}"))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&clone, c"", &place, c"", flags).doing(|| format!("attach /etc/{name} inside"))?;
    }
    Ok(())
}

fn kind_of(folder: BorrowedFd<'_>, name: &str) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn give_to(folder: BorrowedFd<'_>, name: &str, (uid, gid): (u32, u32)) -> Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

fn real_folder(root: BorrowedFd<'_>, name: &str, mode: u32, owner: (u32, u32)) -> Result<(), Errno> {
    match kind_of(root, name)? {
        Some(FileType::Directory) => return Ok(()),
        Some(_) => rustix::fs::unlinkat(root, name, AtFlags::empty())?,
        None => {}
    }
    rustix::fs::mkdirat(root, name, Mode::RWXU)?;
    give_to(root, name, owner)?;
    rustix::fs::chmodat(root, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Where a file can be mounted: on a file, or on a link itself. `None` for a folder.
fn place_of_file(folder: BorrowedFd<'_>, name: &str, owner: (u32, u32)) -> Result<Option<OwnedFd>, Errno> {
    match kind_of(folder, name)? {
        Some(FileType::Directory) => return Ok(None),
        Some(_) => {}
        None => {
            rustix::fs::mknodat(folder, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
            give_to(folder, name, owner)?;
        }
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map(Some)
}
