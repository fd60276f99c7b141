//! What steps of builds have written, made mountable. Needs root for overlays.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use paddock_images::convert::{ConvertError, ConvertedTree, LayerLimits, LeftOut, Warnings, convert_tree};
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, mkdirat, mknodat, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::{NamedTempFile, TempDir};

use crate::mounted::{Content, Mounted, check, paths, seen, seen_without_marks};

fn converted(root: &Path, left_out: &LeftOut) -> Result<(NamedTempFile, ConvertedTree), ConvertError> {
    let limits = LayerLimits { entries: 2000, bytes: 1 << 20, name_bytes: 100_000, depth: 40 };
    let output = NamedTempFile::new().unwrap();
    let converted = convert_tree(root, left_out, output.reopen().unwrap(), &limits)?;
    assert_eq!(output.as_file().metadata().unwrap().len(), converted.layer_bytes);
    Ok((output, converted))
}

fn refused(root: &Path) -> String {
    let refused = converted(root, &LeftOut::default()).map(|(_, converted)| converted).unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    refused.to_string()
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// An overlay as steps of builds have it; unmounted when dropped.
struct Step {
    folder: TempDir,
}

impl Step {
    fn new(fill_lower: impl Fn(&Path)) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["lower", "upper", "work", "merged"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        fill_lower(&folder.path().join("lower"));
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let options =
            format!("userxattr,lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
        let options = CString::new(options).unwrap();
        mount("overlay", at("merged"), c"overlay", MountFlags::empty(), options.as_c_str()).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let _ = unmount(self.at("merged"), UnmountFlags::DETACH);
    }
}

/// All that is said of entries but the number of names, which a merged folder does not know, and dates of folders.
fn comparable(root: &Path) -> BTreeMap<PathBuf, (Content, u32, (u32, u32))> {
    seen_without_marks(root)
        .into_iter()
        .map(|(path, seen)| (path, (seen.content, seen.permissions, seen.owner)))
        .collect()
}

#[test]
fn a_steps_layer_over_what_it_began_with_is_what_the_step_has_seen() {
    if !crate::root::may_run("a_steps_layer_over_what_it_began_with_is_what_the_step_has_seen") {
        return;
    }
    let step = Step::new(|lower| {
        for folder in ["kept", "removed", "made again", "emptied"] {
            std::fs::create_dir_all(lower.join(folder).join("inner")).unwrap();
            std::fs::write(lower.join(folder).join("file"), folder).unwrap();
        }
        std::fs::write(lower.join("file"), "lower").unwrap();
        std::fs::write(lower.join("changed"), "lower").unwrap();
        std::fs::write(lower.join("mode"), "lower").unwrap();
        std::fs::hard_link(lower.join("mode"), lower.join("kept/mode")).unwrap();
        symlink("file", lower.join("link")).unwrap();
    });
    let root = step.at("merged");
    std::fs::remove_dir_all(root.join("removed")).unwrap();
    std::fs::remove_dir_all(root.join("made again")).unwrap();
    std::fs::create_dir(root.join("made again")).unwrap();
    std::fs::write(root.join("made again/new"), "new").unwrap();
    for name in ["emptied/file", "file", "link"] {
        std::fs::remove_file(root.join(name)).unwrap();
    }
    std::fs::create_dir(root.join("link")).unwrap();
    std::fs::write(root.join("changed"), "upper").unwrap();
    std::fs::set_permissions(root.join("mode"), Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(root.join("kept/file"), root.join("kept/renamed")).unwrap();
    std::fs::write(root.join("one"), "shared").unwrap();
    std::fs::hard_link(root.join("one"), root.join("kept/two")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    std::fs::hard_link(root.join("absolute"), root.join("absolute too")).unwrap();
    std::os::unix::fs::chown(root.join("one"), Some(1000), Some(7)).unwrap();
    let (file, converted) = converted(&step.at("upper"), &LeftOut::default()).unwrap();
    assert_eq!(converted.warnings, Warnings::default());
    check(file.path());
    let (upper, wanted) = (Mounted::new(file.path()), comparable(&root));
    let lower = Mounted::bind(&step.at("lower"));
    for options in ["", "userxattr,"] {
        let merged = Mounted::overlay(&[&upper, &lower], options);
        assert_eq!(comparable(merged.path()), wanted, "{options}");
        let got = seen_without_marks(merged.path());
        let at = |path: &str| &got[Path::new(path)];
        assert_eq!((at("one").links, at("kept/two").first_name.to_str()), (2, Some("kept/two")));
        assert_eq!(at("one").first_name.to_str(), Some("kept/two"));
        assert_eq!(at("absolute too").first_name.to_str(), Some("absolute"));
    }
}

#[test]
fn equal_trees_give_equal_layers() {
    let make = |backwards: bool| {
        let folder = TempDir::new().unwrap();
        let mut names: Vec<usize> = (0..300).collect();
        if backwards {
            names.reverse();
        }
        for name in names {
            std::fs::write(folder.path().join(name.to_string()), "x".repeat(name * 11)).unwrap();
        }
        let dated = Command::new("find")
            .arg(folder.path())
            .args(["-exec", "touch", "--date=@1600000000", "{}", "+"])
            .status();
        assert!(dated.unwrap().success());
        std::fs::read(converted(folder.path(), &LeftOut::default()).unwrap().0.path()).unwrap()
    };
    assert!(make(false) == make(true));
}

#[test]
fn what_is_not_the_tenants_is_left_out() {
    if !crate::root::may_run("what_is_not_the_tenants_is_left_out") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    for path in ["dev/pts", "proc", ".paddock/run", "etc", "app/dev", "sys"] {
        std::fs::create_dir_all(root.join(path)).unwrap();
    }
    for path in ["etc/hosts", "etc/resolv.conf", "etc/motd", "app/hosts", "dev/null", "app/dev/x"] {
        std::fs::write(root.join(path), "").unwrap();
    }
    std::fs::write(root.join("etc/hostname"), "of the image").unwrap();
    let paths_of = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
    let left_out = LeftOut {
        always: paths_of(&["/dev", "/proc", "/sys/", "/.paddock"]),
        if_empty: paths_of(&["/etc/hosts", "etc/hostname", "/etc/./resolv.conf"]),
    };
    let (file, converted) = converted(root, &left_out).unwrap();
    let wanted = ["", "app", "app/dev", "app/dev/x", "app/hosts", "etc", "etc/hostname", "etc/motd"];
    assert_eq!(paths(Mounted::new(file.path()).path()), wanted.map(PathBuf::from));
    assert_eq!(converted.entries, 7);
}

#[test]
fn what_no_layer_has_is_left_out_and_counted() {
    if !crate::root::may_run("what_no_layer_has_is_left_out_and_counted") {
        return;
    }
    // A disk on which attributes are.
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    mknodat(CWD, root.join("device"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), 0x103).unwrap();
    mknodat(CWD, root.join("block"), FileType::BlockDevice, Mode::from_raw_mode(0o600), 0).unwrap();
    mknodat(CWD, root.join("gone"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::write(root.join("program"), "x").unwrap();
    std::fs::set_permissions(root.join("program"), Permissions::from_mode(0o6755)).unwrap();
    attribute(
        &root.join("program"),
        "security.capability",
        b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    attribute(&root.join("program"), "user.overlay.origin", b"");
    std::fs::create_dir(root.join("opaque")).unwrap();
    attribute(&root.join("opaque"), "user.overlay.opaque", b"y");
    attribute(&root.join("opaque"), "user.of.tenant", b"y");
    std::fs::create_dir(root.join("not opaque")).unwrap();
    attribute(&root.join("not opaque"), "user.overlay.opaque", b"yes");
    std::fs::write(root.join("foreign"), "").unwrap();
    std::os::unix::fs::chown(root.join("foreign"), Some(70_000), Some(5)).unwrap();
    let (file, converted) = converted(root, &LeftOut::default()).unwrap();
    let wanted = Warnings { devices: 2, fifos: 2, setuid: 1, attributes: 2, ids: 1, marks: 0 };
    assert_eq!(converted.warnings, wanted);
    let seen = seen(Mounted::new(file.path()).path());
    let names: Vec<_> = seen.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["", "foreign", "gone", "not opaque", "opaque", "program"]);
    let at = |path: &str| &seen[Path::new(path)];
    assert_eq!(
        (&at("gone").content, at("foreign").owner, at("program").permissions),
        (&Content::Whiteout, (0, 5), 0o755)
    );
    assert!(at("opaque").is_opaque && !at("not opaque").is_opaque);
}

#[test]
fn a_tree_that_is_no_whole_layer_is_refused() {
    if !crate::root::may_run("a_tree_that_is_no_whole_layer_is_refused") {
        return;
    }
    let tree = |make: &dyn Fn(&Path)| {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        make(folder.path());
        let sentence = refused(folder.path());
        sentence.replace(folder.path().to_str().unwrap(), "ROOT")
    };
    let partial = tree(&|root| attribute(&root.join("d"), "user.overlay.redirect", b"/etc"));
    assert_eq!(partial, r#"layer: "d" is stored in part only"#);
    let partial = tree(&|root| {
        std::fs::write(root.join("d/f"), "").unwrap();
        attribute(&root.join("d/f"), "trusted.overlay.metacopy", b"");
    });
    assert_eq!(partial, r#"layer: "d/f" is stored in part only"#);
    let large = tree(&|root| File::create(root.join("f")).unwrap().set_len(1 << 40).unwrap());
    assert_eq!(large, "layer: more than 1048576 bytes when unpacked");
    let deep = tree(&|root| {
        let mut folder = openat(CWD, root, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..2_000 {
            mkdirat(&folder, "d2", Mode::from_raw_mode(0o700)).unwrap();
            folder = openat(&folder, "d2", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
    });
    assert!(deep.ends_with("lies deeper than 40 folders"), "{deep}");
    let many = tree(&|root| (0..2_000).for_each(|n| drop(File::create(root.join(n.to_string())).unwrap())));
    assert_eq!(many, "layer: more than 2000 files, folders and links");
    assert!(tree(&|root| attribute(root, "user.overlay.opaque", b"y")).contains("hides all lower layers"));
    assert_eq!(
        tree(&|root| {
            std::fs::remove_dir(root.join("d")).unwrap();
            std::fs::remove_dir(root).unwrap();
            symlink("/etc", root).unwrap();
        }),
        "layer: it could not be read after \"ROOT\": Not a directory (os error 20)"
    );
}
