//! What builds of an app leave for the next: `DIR/caches/APP/STACK/`.
//!
//! A build works on a copy that it makes itself, on its own disk. On success what it kept is taken off that disk and
//! takes the old cache's place by a rename, so a failed or cancelled build leaves the cache as it was.
//! Source: `docs/contract/buildpacks.md`, section 12.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use paddock_core::AppId;
use paddock_core::durable;
use paddock_core::stack::Stack;
use paddock_images::tree::remove_tree;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat, renameat_with};
use rustix::io::Errno;

use super::copy::copy_tree;
use super::disk::{open_below, used_bytes};
use crate::plan::KEPT_FOLDER;

/// The cache of an app on a stack, whether it exists or not: its place in the share of caches.
pub(super) fn place(app: AppId, stack: &Stack) -> String {
    format!("{app}/{}", stack.as_str())
}

pub(super) fn folder(caches: &Path, app: AppId, stack: &Stack) -> PathBuf {
    caches.join(place(app, stack))
}

/// Takes what a successful build kept out of its `/tmp`: afterwards it is `ready`, on the file system of the caches.
pub(super) fn take_out(tmp: &Path, ready: &Path) -> io::Result<()> {
    // The build may have put a link anywhere on this path: none is followed.
    let (parents, name) = KEPT_FOLDER.rsplit_once('/').expect("what is kept lies in a folder");
    let parent = open_below(tmp, parents)?;
    let kept = openat(&parent, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    match durable!("build.cache_moved_out", renameat(&parent, name, CWD, ready)) {
        // From a disk of its own.
        Err(Errno::XDEV) => durable!("build.cache_copied_out", copy_tree(&kept, ready)),
        moved => Ok(moved?),
    }
}

/// Puts `ready` in the place of the cache; keeping nothing empties it. The old one, if there is one, comes to where `ready`
/// was, in the build's folder, and goes with it: at no moment is there none.
pub(super) fn replace(ready: &Path, cache: &Path) -> io::Result<()> {
    fs::create_dir_all(cache.parent().expect("a cache lies in its app's folder"))?;
    durable!("build.cache_swapped", swap(ready, cache))
}

#[expect(clippy::disallowed_methods, reason = "the two ways of a swap that has a name")]
fn swap(ready: &Path, cache: &Path) -> io::Result<()> {
    match renameat_with(CWD, ready, CWD, cache, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => Ok(renameat(CWD, ready, CWD, cache)?),
        swapped => Ok(swapped?),
    }
}

/// Removes the caches of apps whose last build is the longest ago, until all together have `bytes_max` at most.
/// Returns how many bytes went. A build that is copying its cache meanwhile goes on without.
pub(super) fn evict(caches: &Path, bytes_max: u64) -> io::Result<u64> {
    let entries = match fs::read_dir(caches) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut apps = Vec::new();
    for entry in entries {
        let entry = entry?;
        apps.push((entry.metadata()?.modified()?, entry.path(), used_bytes(&entry.path())));
    }
    apps.sort();
    let mut total: u64 = apps.iter().fold(0, |sum, (_, _, bytes)| sum.saturating_add(*bytes));
    let mut evicted: u64 = 0;
    for (_, folder, bytes) in apps {
        if total <= bytes_max {
            break;
        }
        remove_tree(&folder)?;
        total = total.saturating_sub(bytes);
        evicted = evicted.saturating_add(bytes);
    }
    Ok(evicted)
}

/// Removes the caches of an app on all stacks.
pub(super) fn purge(caches: &Path, app: AppId) -> io::Result<()> {
    remove_tree(&caches.join(app.to_string()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// As a build does it.
    fn keep(tmp: &Path, cache: &Path) -> io::Result<()> {
        let ready = tmp.join("ready");
        take_out(tmp, &ready)?;
        replace(&ready, cache)
    }

    fn kept(root: &Path, content: &str) -> PathBuf {
        let tmp = root.join(content);
        fs::create_dir_all(tmp.join(KEPT_FOLDER)).unwrap();
        fs::write(tmp.join(KEPT_FOLDER).join("file"), content).unwrap();
        tmp
    }

    #[test]
    fn a_build_replaces_the_cache_whole() {
        let root = tempfile::tempdir().unwrap();
        let app = AppId::from_uuid(Uuid::now_v7());
        let cache = folder(root.path(), app, &Stack::HOST);
        for content in ["one", "two"] {
            keep(&kept(root.path(), content), &cache).unwrap();
            assert_eq!(fs::read_to_string(cache.join("file")).unwrap(), content);
        }
        purge(root.path(), app).unwrap();
        assert!(!cache.exists());
    }

    #[test]
    fn the_oldest_caches_go_first() {
        let root = tempfile::tempdir().unwrap();
        let caches = root.path().join("caches");
        assert_eq!(evict(&caches, 0).unwrap(), 0);
        let mut folders = Vec::new();
        for (content, seconds) in [("old", 1_000), ("new", 2_000)] {
            let cache = folder(&caches, AppId::from_uuid(Uuid::now_v7()), &Stack::HOST);
            keep(&kept(root.path(), content), &cache).unwrap();
            let app = fs::File::open(cache.parent().unwrap()).unwrap();
            app.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
            folders.push(cache);
        }
        assert_eq!(evict(&caches, 1 << 30).unwrap(), 0);
        let newest = used_bytes(folders[1].parent().unwrap());
        assert!(evict(&caches, newest).unwrap() > 0);
        assert!(!folders[0].exists() && folders[1].exists());
    }

    #[test]
    fn a_link_in_the_place_of_the_cache_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let cache = folder(root.path(), AppId::from_uuid(Uuid::now_v7()), &Stack::HOST);
        keep(&kept(root.path(), "good"), &cache).unwrap();
        fs::create_dir_all(root.path().join("secret/tmp")).unwrap();
        for (link, target) in [("codon", "secret"), ("codon/tmp", "secret/tmp")] {
            let tmp = tempfile::tempdir_in(root.path()).unwrap();
            let link = tmp.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(root.path().join(target), link).unwrap();
            assert!(keep(tmp.path(), &cache).is_err());
            assert_eq!(fs::read_to_string(cache.join("file")).unwrap(), "good");
        }
        assert!(root.path().join("secret/tmp").exists());
    }
}
