//! Puts files where an instruction says. The root is the container's own, so every path leads to where it leads in the image.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown, lchown, symlink,
};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::mode::Mode;
use super::sources::{Entry, Result, owners};
use crate::host::copy_content;

/// What files are made like.
#[derive(Debug, Default)]
pub(super) struct Manner {
    /// Whose they are; `None` for whose the source is.
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<Mode>,
}

impl Manner {
    fn owner_of(&self, metadata: &Metadata) -> (u32, u32) {
        self.owner.unwrap_or_else(|| owners(metadata))
    }

    fn mode_of(&self, metadata: &Metadata) -> u32 {
        self.mode(metadata.mode(), metadata.is_dir())
    }

    fn mode(&self, mode: u32, is_folder: bool) -> u32 {
        self.mode.as_ref().map_or(mode & 0o777, |change| change.applied(mode, is_folder))
    }
}

/// Dates of folders that were made, to be set when everything is in them.
#[derive(Debug, Default)]
pub(super) struct Dates(Vec<(PathBuf, Timespec)>);

impl Dates {
    pub(super) fn set(self) -> Result<()> {
        for (path, date) in self.0.into_iter().rev() {
            set_date(&path, date).map_err(failed(&path))?;
        }
        Ok(())
    }
}

/// Puts one thing at `target`; what is in a folder is another one.
pub(super) fn put(
    source: &Path,
    entry: &Entry,
    target: &Path,
    manner: &Manner,
    dates: &mut Dates,
) -> Result<()> {
    let metadata = &entry.metadata;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return folder(metadata, target, manner, dates);
    }
    make_room(target)?;
    let (uid, gid) = manner.owner_of(metadata);
    if kind.is_symlink() {
        let put = || {
            symlink(fs::read_link(source)?, target)?;
            lchown(target, Some(uid), Some(gid))?;
            set_date(target, date_of(metadata))
        };
        return put().map_err(failed(target));
    }
    let put = || {
        let from = File::open(source)?;
        let to = new_file(target)?;
        copy_content(&from, &to)?;
        settle(&to, (uid, gid), manner.mode_of(metadata))?;
        set_date(target, date_of(metadata))
    };
    put().map_err(failed(target))
}

/// Puts a text.
pub(super) fn text(text: &str, target: &Path, manner: &Manner) -> Result<()> {
    make_room(target)?;
    let put = || {
        let mut to = new_file(target)?;
        to.write_all(text.as_bytes())?;
        settle(&to, manner.owner.unwrap_or_default(), manner.mode(0o644, false))
    };
    put().map_err(failed(target))
}

fn folder(metadata: &Metadata, target: &Path, manner: &Manner, dates: &mut Dates) -> Result<()> {
    match fs::metadata(target) {
        // Also a link to one: what is in it goes where the image has it.
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => {
            return Err(format!("{} is a file in the image and cannot become a folder", target.display()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(target)(error)),
    }
    let (uid, gid) = manner.owner_of(metadata);
    let make = || {
        // A link to nothing is replaced.
        if target.symlink_metadata().is_ok() {
            fs::remove_file(target)?;
        }
        DirBuilder::new().mode(0o755).create(target)?;
        chown(target, Some(uid), Some(gid))?;
        fs::set_permissions(target, PermissionsExt::from_mode(manner.mode_of(metadata)))
    };
    make().map_err(failed(target))?;
    dates.0.push((target.to_owned(), date_of(metadata)));
    Ok(())
}

/// Makes a folder, and those that it lies in, unless they are there; whose they are if they are made.
pub(super) fn folders(path: &Path, (uid, gid): (u32, u32)) -> Result<()> {
    let mut at = PathBuf::from("/");
    for name in path.components().skip(1) {
        at.push(name);
        match fs::metadata(&at) {
            Ok(found) if found.is_dir() => continue,
            Ok(_) => return Err(format!("{} is a file in the image, not a folder", at.display())),
            Err(_) => {}
        }
        let make = || {
            DirBuilder::new().mode(0o755).create(&at)?;
            chown(&at, Some(uid), Some(gid))
        };
        make().map_err(failed(&at))?;
    }
    Ok(())
}

/// Takes a file or link away that has to make room for another one.
fn make_room(target: &Path) -> Result<()> {
    match target.symlink_metadata() {
        Ok(found) if found.is_dir() => {
            Err(format!("{} is a folder in the image and cannot become a file", target.display()))
        }
        Ok(_) => fs::remove_file(target).map_err(failed(target)),
        Err(_) => Ok(()),
    }
}

fn new_file(target: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)
}

fn settle(file: &File, (uid, gid): (u32, u32), mode: u32) -> io::Result<()> {
    fchown(file, Some(uid), Some(gid))?;
    file.set_permissions(PermissionsExt::from_mode(mode))
}

fn date_of(metadata: &Metadata) -> Timespec {
    Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() }
}

fn set_date(path: &Path, date: Timespec) -> io::Result<()> {
    let dates = Timestamps { last_access: date, last_modification: date };
    Ok(utimensat(CWD, path, &dates, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Why a path could not be written.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{} cannot be written: {error}", path.display())
}
