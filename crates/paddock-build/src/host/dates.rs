//! The dates of a finished tree: web servers tell their clients by them whether a file has changed.
//!
//! Files of a commit have the commit's time, files that the build made have what it gave them. Two things are put right:
//! what has no date (archives that programs write often give none) gets the build's, and a folder is as new as the newest
//! file in it, so that the same commit gives the same tree.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use paddock_images::tree::{entries, open_folder};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, fstat, futimens, statat, utimensat};

use super::disk::DEPTH_MAX;

/// 2 January 1980, in seconds: older files cannot be put into a zip archive, wherever one is.
const OLDEST: i64 = 315_619_200;

/// Dates a tree that a build has left at `now`. What is too deep is left as it is.
pub(super) fn settle(tree: &Path, now: SystemTime) -> io::Result<()> {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timespec { tv_sec: i64::try_from(since.as_secs()).unwrap_or(0), tv_nsec: 0 };
    settle_folder(&open_folder(CWD, tree)?, now, 0).map(drop)
}

/// Gives a folder the date of another.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let date = std::fs::symlink_metadata(from)?.modified()?;
    std::fs::File::open(to)?.set_modified(date)
}

/// The date that the folder has afterwards.
fn settle_folder(folder: &OwnedFd, now: Timespec, depth: usize) -> io::Result<Timespec> {
    let mut newest = None;
    for (name, is_folder) in entries(folder)? {
        let date = if is_folder {
            if depth == DEPTH_MAX {
                continue;
            }
            settle_folder(&open_folder(folder, &name)?, now, depth + 1)?
        } else {
            let found = date_of(&statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?);
            if found.tv_sec < OLDEST {
                utimensat(folder, &name, &both(now), AtFlags::SYMLINK_NOFOLLOW)?;
                now
            } else {
                found
            }
        };
        newest = newest.max(Some(date));
    }
    let newest = match newest {
        Some(newest) => newest,
        None => Some(date_of(&fstat(folder)?)).filter(|found| found.tv_sec >= OLDEST).unwrap_or(now),
    };
    futimens(folder, &both(newest))?;
    Ok(newest)
}

fn date_of(found: &rustix::fs::Stat) -> Timespec {
    Timespec { tv_sec: found.st_mtime, tv_nsec: i64::try_from(found.st_mtime_nsec).unwrap_or(0) }
}

fn both(date: Timespec) -> Timestamps {
    Timestamps { last_access: date, last_modification: date }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::time::Duration;

    use super::*;

    const COMMIT: u64 = 1_700_000_000;
    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn files_keep_their_dates_and_what_has_none_gets_the_builds() {
        let root = tempfile::tempdir().unwrap();
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        fs::create_dir_all(tree.join("old/empty")).unwrap();
        fs::create_dir_all(tree.join("new")).unwrap();
        fs::write(&outside, "").unwrap();
        symlink(&outside, tree.join("old/link")).unwrap();
        for (name, date) in [("old/committed", COMMIT), ("new/built", NOW - 5), ("new/undated", 0)] {
            fs::write(tree.join(name), "").unwrap();
            fs::File::open(tree.join(name)).unwrap().set_modified(at(date)).unwrap();
        }
        let undated = Timespec { tv_sec: 0, tv_nsec: 0 };
        utimensat(CWD, tree.join("old/link"), &both(undated), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        fs::File::open(&outside).unwrap().set_modified(at(7)).unwrap();
        fs::File::open(tree.join("old/empty")).unwrap().set_modified(at(COMMIT)).unwrap();

        settle(&tree, at(NOW)).unwrap();
        let date = |name: &str| tree.join(name).symlink_metadata().unwrap().mtime().cast_unsigned();
        assert_eq!(date("old/committed"), COMMIT);
        assert_eq!((date("new/built"), date("new/undated")), (NOW - 5, NOW));
        assert_eq!((date("old/link"), date("old/empty")), (NOW, COMMIT));
        assert_eq!(fs::metadata(&outside).unwrap().mtime(), 7, "no link is followed");
        for folder in ["", "old", "new"] {
            assert_eq!(date(folder), NOW, "as new as the newest in it");
        }
        copy(&tree.join("old/empty"), root.path()).unwrap();
        assert_eq!(fs::metadata(root.path()).unwrap().mtime().cast_unsigned(), COMMIT);
    }

    #[test]
    fn a_tree_of_one_commit_is_dated_by_it_however_often_it_is_unpacked() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("tree/a/b")).unwrap();
        for name in ["tree/file", "tree/a/b/file"] {
            fs::write(root.path().join(name), "").unwrap();
            fs::File::open(root.path().join(name)).unwrap().set_modified(at(COMMIT)).unwrap();
        }
        settle(&root.path().join("tree"), at(NOW)).unwrap();
        for name in ["tree", "tree/a", "tree/a/b", "tree/file"] {
            assert_eq!(
                fs::metadata(root.path().join(name)).unwrap().mtime().cast_unsigned(),
                COMMIT,
                "{name}"
            );
        }
    }
}
