//! The base of the `host` stack, made for this host and for made-up ones. Needs root, since it sets owners.

use std::collections::{BTreeMap, HashSet};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use paddock_core::stack::{Stack, StackVersion};
use paddock_images::{HostStack, HostStackError};
use tempfile::TempDir;

fn file(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// A small usr-merged host.
fn host() -> TempDir {
    let host = TempDir::new().unwrap();
    let root = host.path();
    for name in ["bin", "sbin", "lib"] {
        std::fs::create_dir_all(root.join("usr").join(name)).unwrap();
        symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    symlink("/usr/lib", root.join("lib64")).unwrap();
    file(&root.join("var/lib/dpkg/status"), "Package: bash\nVersion: 5\n");
    file(&root.join("usr/lib/os-release"), "ID=made-up\n");
    file(&root.join("usr/share/ca-certificates/ca.crt"), "-----BEGIN CERTIFICATE-----\n");
    file(&root.join("etc/shadow"), "root:secret-of-the-host");
    symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    std::fs::create_dir_all(root.join("etc/ssl/certs")).unwrap();
    symlink("/usr/share/ca-certificates/ca.crt", root.join("etc/ssl/certs/ca.pem")).unwrap();
    host
}

/// Every path below `folder` with mode, owner, group and content or target.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                path.read_link().unwrap().into_os_string().into_encoded_bytes()
            } else if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            let inside = path.strip_prefix(folder).unwrap().to_owned();
            found.insert(inside, (metadata.mode(), metadata.uid(), metadata.gid(), content));
        }
    }
    found
}

#[test]
fn this_host_gives_a_base_with_its_certificates_and_none_of_its_secrets() {
    if !crate::root::may_run("this_host_gives_a_base_with_its_certificates_and_none_of_its_secrets") {
        return;
    }
    let stacks = TempDir::new().unwrap();
    let stack = HostStack::ensure(Path::new("/"), stacks.path()).unwrap();
    assert_eq!(stack.folder, stacks.path().join(format!("host-{}", stack.version)));
    let files = listing(&stack.folder);
    let entry = |path: &str| files.get(Path::new(path)).unwrap_or_else(|| panic!("no {path}"));
    for (path, mode, owner) in [
        ("app", 0o40755, 1000),
        ("tmp", 0o41777, 0),
        ("var/tmp", 0o41777, 0),
        ("dev", 0o40755, 0),
        ("proc", 0o40755, 0),
        ("sys", 0o40755, 0),
        ("run", 0o40755, 0),
        ("usr", 0o40755, 0),
        ("etc/passwd", 0o100644, 0),
        ("etc/ld.so.cache", 0o100644, 0),
        ("etc/os-release", 0o100644, 0),
    ] {
        let (found_mode, uid, gid, _) = entry(path);
        assert_eq!((*found_mode, *uid, *gid), (mode, owner, owner), "{path}");
    }
    assert_eq!(stack.folder.metadata().unwrap().mode(), 0o40755);
    for name in ["bin", "sbin", "lib"] {
        assert_eq!(entry(name).3, format!("usr/{name}").into_bytes());
    }
    assert_eq!(std::fs::read_dir(stack.folder.join("usr")).unwrap().count(), 0);
    let passwd = String::from_utf8(entry("etc/passwd").3.clone()).unwrap();
    assert!(passwd.contains("dyno:x:1000:1000:app:/app:/bin/bash\n"));
    assert!(files.keys().filter(|path| path.starts_with("etc/ssl/certs")).count() > 50);
    assert!(files.contains_key(Path::new("etc/alternatives/awk")));
    for (path, (mode, _, _, content)) in &files {
        if path.starts_with("etc/ssl") {
            assert_ne!(mode & 0o170_000, 0o120_000, "{} is a link", path.display());
        }
        assert!(!content.windows(11).any(|window| window == b"PRIVATE KEY"), "{}", path.display());
    }
    for secret in ["shadow", "gshadow", "machine-id", "ssh", "ssl/private", "gitconfig", "npmrc", "sudoers"] {
        assert!(!files.contains_key(&Path::new("etc").join(secret)), "{secret}");
    }
    let again = HostStack::ensure(Path::new("/"), stacks.path()).unwrap();
    assert_eq!(again, stack);
    assert_eq!(std::fs::read_dir(stacks.path()).unwrap().count(), 1);
}

#[test]
fn links_into_the_host_are_followed_below_its_root_only() {
    if !crate::root::may_run("links_into_the_host_are_followed_below_its_root_only") {
        return;
    }
    let (host, stacks) = (host(), TempDir::new().unwrap());
    let stack = HostStack::ensure(host.path(), stacks.path()).unwrap();
    let read = |path: &str| std::fs::read_to_string(stack.folder.join(path)).unwrap();
    assert_eq!(read("etc/os-release"), "ID=made-up\n");
    assert_eq!(read("etc/ssl/certs/ca.pem"), "-----BEGIN CERTIFICATE-----\n");
    assert_eq!(stack.folder.join("lib64").read_link().unwrap(), Path::new("usr/lib"));
    assert_eq!(
        stack.folder.join("etc/localtime").read_link().unwrap(),
        Path::new("/usr/share/zoneinfo/Etc/UTC")
    );
}

#[test]
fn what_is_not_for_everybody_is_left_out() {
    if !crate::root::may_run("what_is_not_for_everybody_is_left_out") {
        return;
    }
    let (host, stacks) = (host(), TempDir::new().unwrap());
    let etc = host.path().join("etc");
    file(&etc.join("ssl/certs/with-key.pem"), "-----BEGIN RSA PRIVATE KEY-----\n");
    file(&etc.join("ssl/certs/closed.pem"), "closed");
    std::fs::set_permissions(etc.join("ssl/certs/closed.pem"), Permissions::from_mode(0o640)).unwrap();
    file(&etc.join("perl/closed/inside"), "closed");
    std::fs::set_permissions(etc.join("perl/closed"), Permissions::from_mode(0o750)).unwrap();
    file(&etc.join("php/8.2/cli/php.ini"), "open");
    file(&etc.join("php/8.2/fpm/pool.d/www.conf"), "env[SECRET] = x");
    symlink("/etc/shadow-closed", etc.join("services")).unwrap();
    file(&etc.join("shadow-closed"), "closed");
    std::fs::set_permissions(etc.join("shadow-closed"), Permissions::from_mode(0o600)).unwrap();
    symlink("/etc", etc.join("perl/loop")).unwrap();
    symlink("loop", etc.join("mime.types")).unwrap();
    symlink("mime.types", etc.join("loop")).unwrap();
    std::fs::create_dir_all(etc.join("alternatives")).unwrap();
    symlink("/usr/bin/mawk", etc.join("alternatives/awk")).unwrap();
    symlink("/opt/tool", etc.join("alternatives/tool")).unwrap();
    let stack = HostStack::ensure(host.path(), stacks.path()).unwrap();
    let files = listing(&stack.folder);
    let names: Vec<String> = files.keys().map(|path| path.display().to_string()).collect();
    for absent in ["with-key.pem", "closed", "fpm", "services", "loop", "mime.types", "tool", "shadow"] {
        assert!(!names.iter().any(|name| name.contains(absent)), "{absent} in {names:?}");
    }
    for present in ["etc/php/8.2/cli/php.ini", "etc/alternatives/awk", "etc/perl"] {
        assert!(names.iter().any(|name| name == present), "{present} not in {names:?}");
    }
}

#[test]
fn the_version_follows_packages_and_configuration_and_old_ones_stay_until_collected() {
    if !crate::root::may_run(
        "the_version_follows_packages_and_configuration_and_old_ones_stay_until_collected",
    ) {
        return;
    }
    let (host, stacks) = (host(), TempDir::new().unwrap());
    let ensure = || HostStack::ensure(host.path(), stacks.path()).unwrap().version;
    let first = ensure();
    assert_eq!(ensure(), first);
    file(&host.path().join("var/lib/dpkg/status"), "Package: bash\nVersion: 6\n");
    let second = ensure();
    file(&host.path().join("etc/ssl/certs/own.pem"), "own");
    let third = ensure();
    std::fs::remove_file(host.path().join("var/lib/dpkg/status")).unwrap();
    let fourth = ensure();
    assert_eq!(ensure(), fourth);
    assert_eq!(HashSet::from([&first, &second, &third, &fourth]).len(), 4);
    // As if something were mounted there.
    let busy = stacks.path().join(format!("host-{first}/usr/lib"));
    std::fs::create_dir(&busy).unwrap();
    assert!(
        HostStack::collect(stacks.path(), &HashSet::from([second.clone(), third, fourth.clone()])).is_err()
    );
    assert!(stacks.path().join(format!("host-{first}/etc/passwd")).exists());
    std::fs::remove_dir(busy).unwrap();
    std::fs::create_dir(stacks.path().join(".new-left")).unwrap();
    HostStack::collect(stacks.path(), &HashSet::from([second.clone(), fourth.clone()])).unwrap();
    let mut left: Vec<String> = std::fs::read_dir(stacks.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut expected = [format!("host-{second}"), format!("host-{fourth}")];
    expected.sort();
    assert_eq!(left, expected);
    // A release of a version that is gone runs on the present one.
    let present = HostStack::ensure(host.path(), stacks.path()).unwrap();
    let base_of =
        |version: &str| present.base_of(&StackVersion { stack: Stack::HOST, version: version.to_owned() });
    assert_eq!(base_of(&second), stacks.path().join(format!("host-{second}")));
    for version in [&first, &fourth, "", "../../etc", "x/../y"] {
        assert_eq!(base_of(version), present.folder, "{version:?}");
    }
}

#[test]
fn a_crash_while_it_was_written_leaves_no_half_version() {
    if !crate::root::may_run("a_crash_while_it_was_written_leaves_no_half_version") {
        return;
    }
    let (host, stacks) = (host(), TempDir::new().unwrap());
    let whole = HostStack::ensure(host.path(), stacks.path()).unwrap();
    let unfinished = stacks.path().join(format!(".new-{}", whole.version));
    let expected = listing(&whole.folder);
    std::fs::rename(&whole.folder, &unfinished).unwrap();
    std::fs::remove_file(unfinished.join("etc/passwd")).unwrap();
    let again = HostStack::ensure(host.path(), stacks.path()).unwrap();
    assert_eq!(listing(&again.folder), expected);
    assert!(!unfinished.exists());
}

#[test]
fn a_host_without_merged_usr_is_refused() {
    if !crate::root::may_run("a_host_without_merged_usr_is_refused") {
        return;
    }
    for name in ["bin", "lib64"] {
        let (host, stacks) = (host(), TempDir::new().unwrap());
        std::fs::remove_file(host.path().join(name)).unwrap();
        std::fs::create_dir(host.path().join(name)).unwrap();
        let refused = HostStack::ensure(host.path(), stacks.path()).unwrap_err();
        assert!(matches!(refused, HostStackError::NotUsrMerged(_)), "{refused}");
        let text = format!("the host stack needs a host with merged /usr: /{name} is not a link into /usr");
        assert_eq!(refused.to_string(), text);
        assert_eq!(std::fs::read_dir(stacks.path()).unwrap().count(), 0);
    }
}
