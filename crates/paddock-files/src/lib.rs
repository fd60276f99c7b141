//! Files that are there whole or not at all, and that nobody else reads unless they are meant to.
//!
//! Every file that the server, its router and its shims put in the place of another is written by [`Beside`]: the
//! difference between such files is whether they must survive a power cut, and who may read them.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests look at files themselves"))]

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What is added to a file's name until it has its content.
const SUFFIX: &str = ".new";

/// A file's new content, written beside it: under the name itself is still what was there before, or nothing.
///
/// Dropped without [`Beside::replace`] or [`Beside::place`] it stays beside, where the next one takes its place.
#[derive(Debug)]
#[must_use = "the file has its name only once it is put into its place"]
pub struct Beside {
    file: File,
    new: PathBuf,
    path: PathBuf,
    is_synced: bool,
}

impl Beside {
    /// Writes content that its owner alone can read.
    ///
    /// # Errors
    /// As the file system has them.
    #[expect(clippy::disallowed_methods, reason = "what a kill left beside is nothing that anybody names")]
    pub fn write(path: &Path, content: impl AsRef<[u8]>) -> io::Result<Self> {
        let new = beside(path);
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // New, so that it is nobody's who left it open, nor a link to somewhere else.
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content.as_ref())?;
        Ok(Self { file, new, path: path.to_owned(), is_synced: false })
    }

    /// The open file, for whoever writes more.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Who may read it besides.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn with_mode(self, mode: u32) -> io::Result<Self> {
        self.file.set_permissions(Permissions::from_mode(mode))?;
        Ok(self)
    }

    /// Whose it is.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn owned_by(self, uid: u32) -> io::Result<Self> {
        fchown(&self.file, Some(uid), Some(uid))?;
        Ok(self)
    }

    /// Puts it on disk, as its name will be once it has it: it survives a power cut, and not only the end of a process.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn synced(mut self) -> io::Result<Self> {
        self.file.sync_all()?;
        self.is_synced = true;
        Ok(self)
    }

    /// Gives it its name. What had it before is gone.
    ///
    /// # Errors
    /// As the file system has them.
    #[expect(clippy::disallowed_methods, reason = "the caller names the step")]
    pub fn replace(self) -> io::Result<()> {
        std::fs::rename(&self.new, &self.path)?;
        self.sync_name()
    }

    /// Gives it its name if nothing has that name yet.
    ///
    /// # Errors
    /// As the file system has them.
    #[expect(clippy::disallowed_methods, reason = "the caller names the step")]
    pub fn place(self) -> io::Result<()> {
        renameat_with(CWD, &self.new, CWD, &self.path, RenameFlags::NOREPLACE)?;
        self.sync_name()
    }

    fn sync_name(&self) -> io::Result<()> {
        if self.is_synced { sync_folder_of(&self.path) } else { Ok(()) }
    }
}

/// Where the new content of a file is until it is put into its place, and stays if it never is.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(SUFFIX);
    path.with_file_name(name)
}

/// Makes an empty file that its owner alone can read, where there is none.
///
/// # Errors
/// As the file system has them.
pub fn make_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a folder, and those above it, that their owner alone can enter; those that exist are left as they are.
///
/// # Errors
/// As the file system has them.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts what has changed of a file's name on disk.
///
/// # Errors
/// As the disk has them.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn until_it_is_put_into_its_place_the_old_content_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        std::fs::write(&path, "old").unwrap();
        let beside = Beside::write(&path, "new").unwrap().synced().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        beside.replace().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside");
    }

    #[test]
    fn its_owner_alone_reads_it_whatever_was_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(folder.path().join("key.new"), "half a k").unwrap();
        std::fs::set_permissions(folder.path().join("key.new"), Permissions::from_mode(0o666)).unwrap();
        Beside::write(&path, "key").unwrap().replace().unwrap();
        assert_eq!((mode(&path), std::fs::read_to_string(&path).unwrap().as_str()), (0o600, "key"));
        Beside::write(&path, "shown").unwrap().with_mode(0o644).unwrap().replace().unwrap();
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn a_link_that_was_left_beside_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("key"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("key.new")).unwrap();
        Beside::write(&path, "secret").unwrap().replace().unwrap();
        assert!(!elsewhere.exists());
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn what_is_there_already_stays_where_nothing_is_to_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master");
        Beside::write(&path, "first").unwrap().synced().unwrap().place().unwrap();
        let again = Beside::write(&path, "second").unwrap().place();
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
    }

    #[test]
    fn folders_are_private_down_to_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_private_folder(&path).unwrap();
        make_private_folder(&path).unwrap();
        assert_eq!((mode(&path), mode(&folder.path().join("a"))), (0o700, 0o700));
        make_private_file(&path.join("c")).unwrap();
        assert_eq!(mode(&path.join("c")), 0o600);
        assert!(make_private_file(&path.join("c")).is_err(), "it is there");
    }
}
