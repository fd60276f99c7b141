//! Volumes: what containers of a tenant have one after the other, and the server between them.
//!
//! A scratch one, `DIR/run/volumes/ID`, is a folder, or, with a limit, the mount point of an image that the server mounts
//! itself. That image has no name, and the mount is all that holds it: whoever finds the folder after a kill unmounts it, and
//! after a boot nothing but the folder is there.
//!
//! A lasting one, `DIR/volumes/ID`, is a folder of the machine's own file system and nothing else: an image would write with
//! less safety, and be a second thing to lose. Nothing but [`Volumes::remove`] takes it away.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use paddock_core::{VolumeId, durable};
use paddock_files::{make_private_folder, sync_folder_of};
use paddock_images::tree::{open_folder, remove_tree};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, fchmod, fchown, mkdirat, statat};
use rustix::mount::UnmountFlags;

use super::names::is_below;
use crate::disk::image;
use crate::images::is_mount_point;

/// Start of the name of a folder that is being deleted.
const GONE: &str = ".gone-";

/// The volumes of an instance.
#[derive(Debug, Clone)]
pub(super) struct Volumes {
    scratch: PathBuf,
    lasting: PathBuf,
}

impl Volumes {
    /// Uses these folders, and goes on with what an earlier process began to delete in them.
    pub(super) fn open(scratch: PathBuf, lasting: PathBuf) -> io::Result<Self> {
        let mut gone = Vec::new();
        for folder in [&scratch, &lasting] {
            make_private_folder(folder)?;
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_name().as_encoded_bytes().starts_with(GONE.as_bytes()) {
                    gone.push(entry.path());
                }
            }
        }
        tokio::task::spawn_blocking(move || gone.iter().for_each(|folder| delete(folder)));
        Ok(Self { scratch, lasting })
    }

    /// Where a volume is, or would be if it were a scratch one.
    pub(super) fn folder_of(&self, id: VolumeId) -> PathBuf {
        let name = id.to_string();
        let lasting = self.lasting.join(&name);
        if lasting.is_dir() { lasting } else { self.scratch.join(name) }
    }

    /// Makes a lasting one, and has its name on disk.
    pub(super) fn make_lasting(&self, id: VolumeId) -> io::Result<()> {
        if self.scratch.join(id.to_string()).is_dir() {
            return Ok(());
        }
        let folder = self.lasting.join(id.to_string());
        durable!("volume.made", make_private_folder(&folder).and_then(|()| sync_folder_of(&folder)))
    }

    /// Makes a folder, and mounts a copy of this template there, if nothing is mounted yet.
    pub(super) fn make(&self, id: VolumeId, template: Option<&Path>) -> io::Result<()> {
        let point = self.folder_of(id);
        if point.starts_with(&self.lasting) {
            return Ok(());
        }
        make_private_folder(&point)?;
        match template {
            Some(template) if !is_mount_point(&point)? => {
                let mount = image::mount(template, &point.join("disk.img"))?;
                durable!("volume.mounted", image::attach_at(mount.as_fd(), &point))
            }
            _ => Ok(()),
        }
    }

    /// A folder of a volume, by names none of which is a link. What is missing is made and is the owner's.
    pub(super) fn folder(&self, id: VolumeId, names: &str, owner: (u32, u32)) -> io::Result<PathBuf> {
        self.look(id, names, Some(owner), false)
    }

    /// The same, or a file that is there. Without an owner nothing is made.
    pub(super) fn folder_or_file(
        &self,
        id: VolumeId,
        names: &str,
        owner: Option<(u32, u32)>,
    ) -> io::Result<PathBuf> {
        self.look(id, names, owner, true)
    }

    fn look(
        &self,
        id: VolumeId,
        names: &str,
        owner: Option<(u32, u32)>,
        may_be_file: bool,
    ) -> io::Result<PathBuf> {
        if !is_below(names) {
            let reason = format!("{names:?} is no folder of a volume");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let point = self.folder_of(id);
        let missing = |error| io::Error::other(format!("{names:?} of volume {id}: {error}"));
        let mut folder = open_folder(CWD, &point).map_err(missing)?;
        let mut rest = names.split('/').peekable();
        while let Some(name) = rest.next() {
            if may_be_file && rest.peek().is_none() && is_file(&folder, name) {
                break;
            }
            let opened = match (open_folder(&folder, name), owner) {
                (Err(error), Some((uid, gid))) if error.kind() == io::ErrorKind::NotFound => {
                    mkdirat(&folder, name, Mode::RWXU).map_err(|error| missing(error.into()))?;
                    let made = open_folder(&folder, name).map_err(missing)?;
                    fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
                    fchmod(&made, Mode::from_raw_mode(0o755))?;
                    Ok(made)
                }
                (opened, _) => opened,
            };
            folder = opened.map_err(missing)?;
        }
        Ok(point.join(names))
    }

    /// Whether next to nothing more fits.
    pub(super) fn is_full(&self, id: VolumeId) -> io::Result<bool> {
        let point = self.folder_of(id);
        Ok(is_mount_point(&point)? && image::is_full(File::open(point)?.as_fd())?)
    }

    /// Lets go of one, and of what is in it: that is deleted in the background, since it may be much.
    pub(super) fn remove(&self, id: VolumeId) -> io::Result<()> {
        let point = self.folder_of(id);
        unmount(&point)?;
        let gone = point.with_file_name(format!("{GONE}{}", uuid::Uuid::new_v4()));
        match durable!("volume.removed", std::fs::rename(&point, &gone)) {
            Ok(()) => {
                if gone.starts_with(&self.lasting) {
                    // One that came back after a power cut would be nobody's.
                    sync_folder_of(&gone)?;
                }
                tokio::task::spawn_blocking(move || delete(&gone));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets go of every one that is not to last, and of all that is in them.
    pub(super) fn remove_scratch(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.scratch)? {
            let path = entry?.path();
            unmount(&path)?;
            remove_alone(&path)?;
        }
        Ok(())
    }
}

fn unmount(point: &Path) -> io::Result<()> {
    if is_mount_point(point)? {
        // Held open over the unmounting: what is not written yet need not be, and nobody gets in any more to write.
        let root = File::open(point)?;
        durable!("volume.unmounted", rustix::mount::unmount(point, UnmountFlags::DETACH))?;
        if let Err(error) = image::discard(root.into()) {
            tracing::warn!(volume = %point.display(), %error, "the disk of a volume is written before it goes");
        }
    }
    Ok(())
}

fn delete(folder: &Path) {
    if let Err(error) = remove_alone(folder) {
        tracing::warn!(folder = %folder.display(), %error, "could not delete a removed volume");
    }
}

/// One at a time: two would take entries away from each other. Succeeds when it is gone.
fn remove_alone(folder: &Path) -> io::Result<()> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    remove_tree(folder)
}

fn is_file(folder: &OwnedFd, name: &str) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
}
