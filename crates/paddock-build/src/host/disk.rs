//! File work on trees that a build has made: it blocks, follows no link, and no tree is too deep for it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use paddock_core::durable;
use paddock_images::tree::{entries, open_folder, remove_tree};
use rustix::fs::{AtFlags, CWD, statat};

/// What the names of folders begin with that are being deleted.
const DISCARDED: &str = ".discarded-";
/// The deepest tree that is walked: each level keeps a descriptor open.
pub(super) const DEPTH_MAX: usize = 200;
/// What an entry counts at least, in bytes: empty files use up a file system too.
const ENTRY_BYTES_MIN: u64 = 4096;

/// Runs blocking file work where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The ids that entries of a folder are named by; none when there is no such folder.
pub(super) fn ids_in<T: std::str::FromStr>(folder: &Path) -> io::Result<Vec<T>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name()));
    let names: io::Result<Vec<_>> = names.collect();
    Ok(names?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// Puts a folder aside, out of the way at once, and deletes it in the background with what earlier times left so.
/// Succeeds when it is gone.
pub(super) fn discard(parent: &Path, name: &str) -> io::Result<()> {
    let aside = parent.join(format!("{DISCARDED}{name}"));
    match durable!("build.files_put_aside", std::fs::rename(parent.join(name), aside)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let parent = parent.to_owned();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = remove_discarded(&parent) {
            tracing::warn!(%error, folder = %parent.display(), "could not delete the files of a build");
        }
    });
    Ok(())
}

/// Deletes what was put aside.
pub(super) fn remove_discarded(parent: &Path) -> io::Result<()> {
    // One at a time: two would take entries away from each other.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = match std::fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(DISCARDED.as_bytes()) {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Opens a folder below `root` by its parts between slashes, none of which may be a link.
pub(super) fn open_below(root: &Path, below: &str) -> io::Result<OwnedFd> {
    below.split('/').try_fold(open_folder(CWD, root)?, |folder, part| open_folder(&folder, part))
}

/// The bytes that a tree takes on disk; more than any limit for one that is too deep to count. What changes or
/// cannot be read meanwhile is not counted.
pub(super) fn used_bytes(folder: &Path) -> u64 {
    open_folder(CWD, folder).map_or(0, |folder| used_in(&folder, 0))
}

fn used_in(folder: &OwnedFd, depth: usize) -> u64 {
    if depth > DEPTH_MAX {
        return u64::MAX;
    }
    let mut bytes: u64 = 0;
    for (name, is_folder) in entries(folder).unwrap_or_default() {
        let blocks = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW).map_or(0, |stat| stat.st_blocks);
        let used = u64::try_from(blocks).unwrap_or(0).saturating_mul(512);
        bytes = bytes.saturating_add(used.max(ENTRY_BYTES_MIN));
        if is_folder && let Ok(inner) = open_folder(folder, &name) {
            bytes = bytes.saturating_add(used_in(&inner, depth + 1));
        }
    }
    bytes
}

/// Whether no path below the folder is longer than `bytes_max`, and none has more than [`DEPTH_MAX`] folders.
pub(super) fn paths_fit(folder: &Path, bytes_max: usize) -> io::Result<bool> {
    paths_fit_in(&open_folder(CWD, folder)?, bytes_max, 0)
}

fn paths_fit_in(folder: &OwnedFd, bytes_left: usize, depth: usize) -> io::Result<bool> {
    for (name, is_folder) in entries(folder)? {
        let Some(left) = bytes_left.checked_sub(name.count_bytes() + 1) else { return Ok(false) };
        if is_folder && (depth == DEPTH_MAX || !paths_fit_in(&open_folder(folder, &name)?, left, depth + 1)?)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{Mode, mkdirat};

    use super::*;

    /// A chain of folders longer than any path may be.
    fn deep(root: &Path, levels: usize) {
        let mut folder = open_folder(CWD, root).unwrap();
        for _ in 0..levels {
            mkdirat(&folder, "folder", Mode::from_raw_mode(0o700)).unwrap();
            folder = open_folder(&folder, "folder").unwrap();
        }
    }

    #[test]
    fn paths_that_are_too_long_or_too_deep_do_not_fit() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/bb")).unwrap();
        std::fs::write(root.path().join("a/bb/ccc"), "").unwrap();
        symlink("/usr", root.path().join("a/usr")).unwrap();
        assert!(paths_fit(root.path(), "a/bb/ccc/".len()).unwrap());
        assert!(!paths_fit(root.path(), "a/bb/ccc".len()).unwrap());
        deep(root.path(), DEPTH_MAX + 1);
        assert!(!paths_fit(root.path(), usize::MAX).unwrap());
        remove_tree(&root.path().join("folder")).unwrap();
        assert!(paths_fit(root.path(), usize::MAX).unwrap());
    }

    #[test]
    fn empty_files_count() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..100 {
            std::fs::write(root.path().join(number.to_string()), "").unwrap();
        }
        assert!(used_bytes(root.path()) >= 100 * ENTRY_BYTES_MIN);
    }

    #[test]
    fn bytes_are_counted_without_following_links() {
        let root = tempfile::tempdir().unwrap();
        let before = used_bytes(root.path());
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/b"), vec![1; 100_000]).unwrap();
        symlink("/usr", root.path().join("usr")).unwrap();
        let used = used_bytes(root.path()) - before;
        assert!((100_000..200_000).contains(&used), "{used}");
        deep(root.path(), 1_000);
        assert_eq!(used_bytes(root.path()), u64::MAX, "depth hides nothing");
        remove_tree(&root.path().join("folder")).unwrap();
    }
}
