//! The layer store and conversion. Needs mkfs.erofs, and root where layers are mounted.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use paddock_core::LayerDigest;
use paddock_images::{LayerError, Layers, mkfs_erofs_command};
use tempfile::TempDir;

use crate::mounted::Mounted;

fn convert(tree: &Path, out: &Path) {
    let command = mkfs_erofs_command(tree.to_str().unwrap(), out.to_str().unwrap());
    let output = Command::new(&command[0]).args(&command[1..]).output().expect("mkfs.erofs is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Makes a layer file that differs with `text`.
fn layer_file(folder: &Path, text: &str) -> PathBuf {
    let (tree, out) = (folder.join(format!("tree-{text}")), folder.join(format!("{text}.out")));
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("file"), text).unwrap();
    date_all(&tree);
    convert(&tree, &out);
    out
}

/// The same tree, made in one order or the other.
fn make_tree(root: &Path, backwards: bool) {
    type Step = fn(&Path);
    let mut steps: Vec<Step> = vec![
        |root| std::fs::write(root.join("Procfile"), "web: ./server\n").unwrap(),
        |root| std::fs::write(root.join("empty"), "").unwrap(),
        |root| std::fs::write(root.join("large"), vec![7; 300_000]).unwrap(),
        |root| std::fs::write(root.join("name with space"), "1").unwrap(),
        |root| std::fs::write(root.join("name\nwith newline"), "2").unwrap(),
        |root| std::fs::write(root.join(OsStr::from_bytes(b"latin-\xe9\xff")), "3").unwrap(),
        |root| symlink("../missing target", root.join("dangling")).unwrap(),
        |root| symlink("Procfile", root.join("link")).unwrap(),
        |root| std::fs::create_dir(root.join("empty folder")).unwrap(),
        |root| {
            std::fs::create_dir_all(root.join("bin/deep/er")).unwrap();
            std::fs::write(root.join("bin/deep/er/server"), "#!/bin/sh\n").unwrap();
            let executable = Permissions::from_mode(0o755);
            std::fs::set_permissions(root.join("bin/deep/er/server"), executable).unwrap();
        },
        |root| {
            // The name that was there first is not the same in both trees.
            let (one, other) = (root.join("hard one"), root.join("hard two"));
            std::fs::write(if root.join("Procfile").exists() { &one } else { &other }, "shared").unwrap();
            if one.exists() {
                std::fs::hard_link(one, other).unwrap();
            } else {
                std::fs::hard_link(other, one).unwrap();
            }
        },
        |root| {
            std::fs::create_dir(root.join("many")).unwrap();
            for n in 0..500 {
                std::fs::write(root.join(format!("many/{n}")), n.to_string()).unwrap();
            }
        },
    ];
    if backwards {
        steps.reverse();
        // Other inode numbers, too.
        std::fs::write(root.join("passing"), "").unwrap();
    }
    steps.iter().for_each(|step| step(root));
    if backwards {
        std::fs::remove_file(root.join("passing")).unwrap();
    }
    date_all(root);
    date(&root.join("Procfile"), 1_700_000_000_500);
}

/// Gives everything in a tree the same date.
fn date_all(root: &Path) {
    let mut dated = Command::new("find");
    dated.arg(root).args(["-exec", "touch", "--no-dereference", "--date=@1600000000", "{}", "+"]);
    assert!(dated.status().unwrap().success());
}

fn date(file: &Path, milliseconds: u64) {
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
    std::fs::File::open(file).unwrap().set_modified(date).unwrap();
}

#[test]
fn equal_trees_become_equal_bytes() {
    let folder = TempDir::new().unwrap();
    let mut files = Vec::new();
    for (name, backwards) in [("one", false), ("two", true)] {
        let tree = folder.path().join(name);
        std::fs::create_dir(&tree).unwrap();
        make_tree(&tree, backwards);
        let out = folder.path().join(format!("{name}.erofs"));
        convert(&tree, &out);
        files.push(std::fs::read(out).unwrap());
    }
    assert!(files[0] == files[1]);
    let procfile = folder.path().join("one/Procfile");
    let changes: [&dyn Fn(); 2] = [&|| date(&procfile, 1_700_000_001_500), &|| {
        std::fs::write(&procfile, "web: ./Server\n").unwrap();
        date(&procfile, 1_700_000_000_500);
    }];
    for change in changes {
        change();
        convert(&folder.path().join("one"), &folder.path().join("one.erofs"));
        assert!(std::fs::read(folder.path().join("one.erofs")).unwrap() != files[1]);
    }
}

#[test]
fn a_converted_tree_mounts_with_its_names_modes_and_links_and_belongs_to_the_dyno() {
    if !crate::root::may_run("a_converted_tree_mounts_with_its_names_modes_and_links_and_belongs_to_the_dyno")
    {
        return;
    }
    let folder = TempDir::new().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    make_tree(&tree, false);
    convert(&tree, &folder.path().join("out"));
    let layers = Layers::open(folder.path().join("layers")).unwrap();
    let digest = layers.add_erofs(&folder.path().join("out")).unwrap();
    let mounted = Mounted::new(&layers.path_of(&digest));
    let root = mounted.path();
    for name in std::fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().file_name()) {
        let (given, got) =
            (tree.join(&name).symlink_metadata().unwrap(), root.join(&name).symlink_metadata().unwrap());
        assert_eq!(
            (got.uid(), got.gid(), got.mode(), got.nlink(), got.mtime(), got.mtime_nsec()),
            (1000, 1000, given.mode(), given.nlink(), given.mtime(), given.mtime_nsec()),
            "{name:?}"
        );
        if given.is_symlink() {
            assert_eq!(root.join(&name).read_link().unwrap(), tree.join(&name).read_link().unwrap());
        } else if given.is_file() {
            assert!(std::fs::read(root.join(&name)).unwrap() == std::fs::read(tree.join(&name)).unwrap());
        }
    }
    assert_eq!(std::fs::read_dir(root).unwrap().count(), std::fs::read_dir(&tree).unwrap().count());
    assert_eq!(root.join("bin/deep/er/server").metadata().unwrap().mode(), 0o100_755);
    assert_eq!(std::fs::read_dir(root.join("many")).unwrap().count(), 500);
    assert_eq!(
        root.join("hard one").metadata().unwrap().ino(),
        root.join("hard two").metadata().unwrap().ino()
    );
    // Removed while mounted, it can still be read.
    layers.remove(&digest).unwrap();
    assert_eq!(std::fs::read(root.join("name with space")).unwrap(), b"1");
}

#[test]
fn a_layer_is_taken_in_once_under_its_digest_and_sealed() {
    let folder = TempDir::new().unwrap();
    let layers = Layers::open(folder.path().join("layers")).unwrap();
    let out = layer_file(folder.path(), "a");
    let sum = Command::new("sha256sum").arg(&out).output().unwrap();
    let digest = layers.add_erofs(&out).unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(digest.to_string(), format!("sha256:{}", &sum[..64]));
    assert_eq!(digest.to_string().parse::<LayerDigest>().unwrap(), digest);
    assert!(!out.exists());
    let metadata = layers.path_of(&digest).metadata().unwrap();
    assert_eq!(
        (metadata.mode(), metadata.uid(), metadata.gid()),
        (0o100_444, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    );
    assert_eq!(folder.path().join("layers").metadata().unwrap().mode() & 0o777, 0o700);
    let again = layer_file(folder.path(), "a");
    assert_eq!(layers.add_erofs(&again).unwrap(), digest);
    assert!(!again.exists());
    assert_eq!(layers.list().unwrap(), [(digest.clone(), metadata.len())]);
    layers.remove(&digest).unwrap();
    layers.remove(&digest).unwrap();
    assert!(!layers.contains(&digest));
    assert!(layers.list().unwrap().is_empty());
}

#[test]
fn a_layer_comes_in_from_another_file_system() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new_in("/dev/shm").unwrap());
    assert_ne!(folder.path().metadata().unwrap().dev(), elsewhere.path().metadata().unwrap().dev());
    let layers = Layers::open(folder.path().join("layers")).unwrap();
    let out = layer_file(elsewhere.path(), "a");
    let bytes = std::fs::read(&out).unwrap();
    let digest = layers.add_erofs(&out).unwrap();
    assert!(std::fs::read(layers.path_of(&digest)).unwrap() == bytes);
    assert_eq!(layers.path_of(&digest).metadata().unwrap().mode(), 0o100_444);
    assert!(!out.exists());
    assert_eq!(std::fs::read_dir(folder.path().join("layers")).unwrap().count(), 1);
}

#[test]
fn only_plain_erofs_files_are_taken() {
    let folder = TempDir::new().unwrap();
    let layers = Layers::open(folder.path().join("layers")).unwrap();
    let good = layer_file(folder.path(), "good");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("text"), "x".repeat(5000)).unwrap();
    std::fs::write(at("short"), "x").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    symlink(&good, at("symlink")).unwrap();
    std::fs::copy(&good, at("one name")).unwrap();
    std::fs::hard_link(at("one name"), at("two names")).unwrap();
    let fifo = Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(fifo.success());
    for name in ["text", "short", "folder", "two names", "fifo"] {
        let refused = layers.add_erofs(&at(name));
        assert!(matches!(refused, Err(LayerError::NotALayer { .. })), "{name}: {refused:?}");
    }
    for name in ["symlink", "missing"] {
        assert!(matches!(layers.add_erofs(&at(name)), Err(LayerError::Disk { .. })), "{name}");
    }
    assert!(layers.list().unwrap().is_empty());
    assert!(layers.add_erofs(&good).is_ok());
}

#[test]
fn collecting_keeps_what_is_named_and_what_is_new() {
    let folder = TempDir::new().unwrap();
    let layers = Layers::open(folder.path().join("layers")).unwrap();
    let add = |text: &str| layers.add_erofs(&layer_file(folder.path(), text)).unwrap();
    let (kept, old, again) = (add("kept"), add("old"), add("again"));
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for digest in [&kept, &old, &again] {
        std::fs::File::open(layers.path_of(digest)).unwrap().set_modified(long_ago).unwrap();
    }
    add("again");
    let new = add("new");
    let old_bytes = layers.path_of(&old).metadata().unwrap().len();
    let before = SystemTime::now() - Duration::from_secs(1800);
    let collected = layers.collect(&HashSet::from([kept.clone()]), before).unwrap();
    assert_eq!((collected.layers, collected.bytes), (1, old_bytes));
    assert!(!layers.contains(&old));
    assert!([&kept, &again, &new].iter().all(|digest| layers.contains(digest)));
    let later = SystemTime::now() + Duration::from_secs(10);
    layers.collect(&HashSet::new(), later).unwrap();
    assert!(layers.list().unwrap().is_empty());
}

#[test]
fn digests_have_one_form() {
    let digits = "0123456789abcdef".repeat(4);
    assert!(format!("sha256:{digits}").parse::<LayerDigest>().is_ok());
    for text in [
        digits.clone(),
        format!("sha256:{}", digits.to_uppercase()),
        format!("sha512:{digits}"),
        format!("sha256:{}", &digits[1..]),
        format!("sha256:../{}", &digits[3..]),
    ] {
        assert!(text.parse::<LayerDigest>().is_err(), "{text}");
    }
}
