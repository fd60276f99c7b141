//! One image: copied from a template, attached to a loop device, mounted.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, SeekFrom};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::BLOCK_BYTES;
use crate::kernel;

/// How often another free loop device is asked for when somebody else takes the one that was free.
const DEVICE_TRIES: u32 = 100;
/// What is left of a file system that counts as full: a large write is refused whole where less is left than it needs.
const FULL_BYTES: u64 = 4 << 20;
/// The same as a part of a small one.
const FULL_PART: u64 = 16;

/// A new file system like `template`, as a detached mount whose root belongs to host root. `name` is where its file
/// is made and unlinked again: it tells where the space is taken from.
pub(crate) fn mount(template: &Path, name: &Path) -> io::Result<OwnedFd> {
    let doing = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    let image = copy(template, name).map_err(doing("copy the empty disk"))?;
    let (device, path) = attach(image.as_fd()).map_err(doing("attach the disk to a loop device"))?;
    let mounted = mount_device(&path).map_err(doing("mount the disk"));
    // Closed last: a device that nobody has open and nothing has mounted lets go of its file.
    drop(device);
    mounted
}

/// Copies a sparse file to a new one without a name.
fn copy(template: &Path, name: &Path) -> io::Result<File> {
    let from = File::open(template)?;
    let to = File::options().read(true).write(true).create_new(true).mode(0o600).open(name)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the image has no name from here on, and goes with what holds it"
    )]
    std::fs::remove_file(name)?;
    #[expect(clippy::disallowed_methods, reason = "the image has no name any more")]
    to.set_len(from.metadata()?.len())?;
    let (mut at, mut buffer) = (0, vec![0; 64 * 1024]);
    loop {
        let start = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => return Ok(to),
            start => start?,
        };
        let end = rustix::fs::seek(&from, SeekFrom::Hole(start))?;
        at = start;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            from.read_exact_at(&mut buffer[..wanted], at)?;
            to.write_all_at(&buffer[..wanted], at)?;
            at += wanted as u64;
        }
    }
}

/// Attaches a file to a free loop device; the device and its path.
fn attach(image: BorrowedFd<'_>) -> io::Result<(File, String)> {
    let control = File::options().read(true).write(true).open("/dev/loop-control")?;
    let mut taken = io::Error::other("no device is free");
    for _ in 0..DEVICE_TRIES {
        let path = format!("/dev/loop{}", kernel::free_loop_device(control.as_fd())?);
        let device = File::options().read(true).write(true).open(&path)?;
        match kernel::back_loop_device(device.as_fd(), image, u32::try_from(BLOCK_BYTES).unwrap_or(512)) {
            Ok(()) => return Ok((device, path)),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

fn mount_device(path: &str) -> io::Result<OwnedFd> {
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", path)?;
    // Tables stay unwritten until they are used; what a container writes need not survive it, so nobody waits for it
    // to reach the disk; a machine's disk that is full must not stop the machine.
    for flag in ["noinit_itable", "nobarrier"] {
        fsconfig_set_flag(&context, flag)?;
    }
    fsconfig_set_string(&context, "errors", "remount-ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Attaches a detached mount at a folder.
pub(crate) fn attach_at(mount: BorrowedFd<'_>, folder: &Path) -> io::Result<()> {
    Ok(move_mount(mount, c"", CWD, folder, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Whether next to nothing more fits into the file system that a mount or an open file belongs to.
pub(crate) fn is_full(mount: BorrowedFd<'_>) -> io::Result<bool> {
    let found = rustix::fs::fstatvfs(mount)?;
    let (free, all) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    Ok(free <= FULL_BYTES.min(all / FULL_PART) || found.f_favail == 0)
}

/// Lets go of an image that nobody uses any more. What was written and is not on the machine's disk yet never goes there:
/// unmounting would write it first, gigabytes for nothing.
pub(crate) fn discard(mount: OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    kernel::shut_down_ext4(rustix::fs::openat(&mount, ".", flags, Mode::empty())?.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_stay_holes_and_the_copy_has_no_name() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (template, name) = (dir.path().join("template"), dir.path().join("image"));
        let file = File::create(&template).unwrap();
        file.set_len(1 << 30).unwrap();
        for (at, text) in [(0, "start"), (300 << 20, "middle"), ((1 << 30) - 3, "end")] {
            file.write_all_at(text.as_bytes(), at).unwrap();
        }
        let image = copy(&template, &name).unwrap();
        for (at, text) in [(0, "start"), (300 << 20, "middle"), ((1 << 30) - 3, "end")] {
            let mut found = vec![0; text.len()];
            image.read_exact_at(&mut found, at).unwrap();
            assert_eq!(found, text.as_bytes());
        }
        let found = image.metadata().unwrap();
        assert_eq!((found.len(), found.nlink()), (1 << 30, 0));
        assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
        assert!(!name.exists());
    }
}
