//! Copies a folder off a build's disk.
//!
//! The processes that wrote it are dead, and still it is the tenant's: no link is followed, only folders, plain files and
//! links are copied, without setuid. Holes stay holes and names of one file stay names of one file, so that a copy takes
//! no more space than the disk had.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use paddock_images::tree::{entries, open_folder};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    ftruncate, futimens, linkat, mkdirat, openat, readlinkat, seek, statat, symlinkat,
};
use rustix::io::Errno;

use super::disk::DEPTH_MAX;

/// Bits of a mode that are copied.
const PERMISSIONS: u32 = 0o777;

/// Copies a folder to the new folder `to`, with owners, permissions and times.
pub(super) fn copy_tree(from: &OwnedFd, to: &Path) -> io::Result<()> {
    mkdirat(CWD, to, Mode::RWXU)?;
    let top = open_folder(CWD, to)?;
    let mut copying = Copying { top: &top, path: Vec::new(), linked: HashMap::new() };
    copying.folder(from, &top)?;
    settle(&top, &rustix::fs::fstat(from)?)
}

struct Copying<'a> {
    top: &'a OwnedFd,
    /// The names that lead from the top to the folder at hand.
    path: Vec<CString>,
    /// The first copy of each file that has further names, by its place on the disk.
    linked: HashMap<u64, CString>,
}

impl Copying<'_> {
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
        if self.path.len() > DEPTH_MAX {
            return Err(io::Error::other(format!("there are more than {DEPTH_MAX} folders in each other")));
        }
        for (name, is_folder) in entries(from)? {
            let found = statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            if is_folder {
                mkdirat(to, &name, Mode::RWXU)?;
                let inner = open_folder(to, &name)?;
                self.path.push(name);
                let name = self.path.last().expect("a name was pushed");
                let outer = open_folder(from, name)?;
                self.folder(&outer, &inner)?;
                self.path.pop();
                settle(&inner, &found)?;
                continue;
            }
            match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => self.file(from, to, &name, &found)?,
                FileType::Symlink => {
                    symlinkat(readlinkat(from, &name, Vec::new())?, to, &name)?;
                    let (owner, group) = owners(&found);
                    chownat(to, &name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CString, found: &Stat) -> io::Result<()> {
        if found.st_nlink > 1 {
            let path = [self.path.as_slice(), std::slice::from_ref(name)].concat();
            let path = path.iter().map(|name| name.as_bytes()).collect::<Vec<_>>().join(&b'/');
            if let Some(first) = self.linked.get(&found.st_ino) {
                return Ok(linkat(self.top, first, to, name, AtFlags::empty())?);
            }
            self.linked.insert(found.st_ino, CString::new(path)?);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = File::from(openat(from, name, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
        copy_content(&source, &target)?;
        settle(&target.into(), found)
    }
}

/// Copies what was written and leaves out what was not.
pub(crate) fn copy_content(mut from: &File, mut to: &File) -> io::Result<()> {
    let mut at = 0;
    loop {
        let start = match seek(from, rustix::fs::SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            start => start?,
        };
        let end = seek(from, rustix::fs::SeekFrom::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut from.take(end - start), &mut to)?;
        at = end;
    }
    Ok(ftruncate(to, from.metadata()?.len())?)
}

/// Owner, permissions and times as those of what it is a copy of.
fn settle(copy: &OwnedFd, found: &Stat) -> io::Result<()> {
    let (owner, group) = owners(found);
    fchown(copy, owner, group)?;
    fchmod(copy, Mode::from_raw_mode(found.st_mode & PERMISSIONS))?;
    let written_at =
        Timespec { tv_sec: found.st_mtime, tv_nsec: i64::try_from(found.st_mtime_nsec).unwrap_or(0) };
    Ok(futimens(copy, &Timestamps { last_access: written_at, last_modification: written_at })?)
}

fn owners(found: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_copy_is_the_same_and_no_larger() {
        let root = tempfile::tempdir().unwrap();
        let (from, to, outside) =
            (root.path().join("from"), root.path().join("to"), root.path().join("outside"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/script"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(from.join("a/script"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::hard_link(from.join("a/script"), from.join("a/b/same")).unwrap();
        fs::write(&outside, "not ours").unwrap();
        symlink(&outside, from.join("link")).unwrap();
        rustix::fs::mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let holes = File::create(from.join("holes")).unwrap();
        holes.set_len(1 << 40).unwrap();
        holes.write_all_at(b"middle", 1 << 30).unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        File::open(from.join("a/script")).unwrap().set_modified(long_ago).unwrap();

        copy_tree(&open_folder(CWD, &from).unwrap(), &to).unwrap();
        let script = fs::metadata(to.join("a/script")).unwrap();
        assert_eq!((script.mode() & 0o7777, script.mtime(), script.nlink()), (0o755, 1_000, 2));
        assert_eq!(fs::metadata(to.join("a/b/same")).unwrap().ino(), script.ino());
        assert_eq!(fs::metadata(to.join("a")).unwrap().mode() & 0o7777, 0o500);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), outside);
        assert!(!to.join("pipe").exists(), "only folders, files and links");
        let copied = File::open(to.join("holes")).unwrap();
        let mut middle = [0; 6];
        copied.read_exact_at(&mut middle, 1 << 30).unwrap();
        let found = copied.metadata().unwrap();
        assert_eq!((&middle, found.len()), (b"middle", 1 << 40));
        assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    }

    #[test]
    fn what_is_too_deep_is_not_copied() {
        let root = tempfile::tempdir().unwrap();
        let from = root.path().join("from");
        fs::create_dir_all(from.join("d/".repeat(DEPTH_MAX + 2))).unwrap();
        assert!(copy_tree(&open_folder(CWD, &from).unwrap(), &root.path().join("to")).is_err());
    }
}
