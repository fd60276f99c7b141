//! Trees of files that a tenant has written: no link in them is followed, and none is too deep to be removed.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use paddock_core::durable;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};

/// Opens a folder, and nothing else.
///
/// # Errors
/// When there is none of this name, or something else: a link, a file.
pub fn open_folder(parent: impl rustix::fd::AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// The names in a folder, and whether each is a folder.
///
/// # Errors
/// When it cannot be read.
pub fn entries(folder: &OwnedFd) -> io::Result<Vec<(CString, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        found.push((name.to_owned(), kind == FileType::Directory));
    }
    Ok(found)
}

/// Removes a folder with its content; succeeds when it is gone. Folders are first moved up to the top, one after the
/// other, so that neither their depth nor the length of their paths matters.
///
/// # Errors
/// When it is no folder, or something in it cannot be removed.
#[expect(clippy::disallowed_methods, reason = "within a tree that is being removed")]
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let top = match open_folder(CWD, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut waiting = Vec::new();
    let mut moved: u64 = 0;
    for (name, is_folder) in entries(&top)? {
        if is_folder { waiting.push(name) } else { unlinkat(&top, &name, AtFlags::empty())? }
    }
    while let Some(name) = waiting.pop() {
        let folder = open_folder(&top, &name)?;
        for (inner, is_folder) in entries(&folder)? {
            if !is_folder {
                unlinkat(&folder, &inner, AtFlags::empty())?;
                continue;
            }
            let free = free_name(&top, &mut moved)?;
            renameat(&folder, &inner, &top, &free)?;
            waiting.push(free);
        }
        unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
    }
    durable!("tree.removed", std::fs::remove_dir(path))
}

/// A name that nothing has at the top.
fn free_name(top: &OwnedFd, moved: &mut u64) -> io::Result<CString> {
    loop {
        *moved += 1;
        let name = CString::new(format!(".removing-{moved}"))?;
        match statat(top, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(name),
            other => other.map(drop)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn every_tree_can_be_removed_and_nothing_else_goes() {
        let root = tempfile::tempdir().unwrap();
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir_all(tree.join(".removing-1/x")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("keep"), "").unwrap();
        std::fs::write(tree.join("a/b/c"), "").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink("/none", tree.join("dangling")).unwrap();
        let mut folder = open_folder(CWD, &tree).unwrap();
        // Longer than any path may be.
        for _ in 0..3_000 {
            mkdirat(&folder, "folder", Mode::from_raw_mode(0o700)).unwrap();
            folder = open_folder(&folder, "folder").unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("keep").exists());
        remove_tree(&tree).unwrap();
        symlink(&outside, &tree).unwrap();
        assert!(remove_tree(&tree).is_err(), "a link is no tree");
        assert!(outside.join("keep").exists());
    }
}
