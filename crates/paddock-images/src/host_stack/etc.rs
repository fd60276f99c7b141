//! `/etc` of the `host` stack: what is written, and what is copied from the host.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

use super::HostStackError;
use super::tree::Tree;

/// Files that are written, whatever the host has.
///
/// The time zone is UTC as on Heroku, not the host's. `hostname`, `hosts` and `resolv.conf` are places for the
/// runtime to put a container's own on.
const GENERATED: [(&str, &str); 12] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\n\
         dyno:x:1000:1000:app:/app:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("group", "root:x:0:\ntty:x:5:\ndyno:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("hostname", "dyno\n"),
    ("resolv.conf", ""),
    (
        "nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\n\
         protocols: files\nservices: files\nethers: files\nrpc: files\n",
    ),
    ("host.conf", "multi on\n"),
    ("timezone", "Etc/UTC\n"),
    ("shells", "/bin/sh\n/bin/bash\n"),
    ("environment", ""),
    ("bash.bashrc", "[ -z \"$PS1\" ] || PS1='\\[\\033[01;34m\\]\\w\\[\\033[00m\\] \\$ '\n"),
    ("profile", "[ -z \"$PS1\" ] || [ -z \"$BASH\" ] || . /etc/bash.bashrc\n"),
];

/// What is copied: names in `/etc`, a `*` standing for any end of a name in its folder. Folders come whole; links to
/// files in them are followed.
const COPIED: [&str; 19] = [
    "inputrc",
    "java-*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    // Of Maven nothing that may hold passwords.
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "os-release",
    "perl",
    // Of PHP only what the command line reads: the folders of its servers may hold passwords.
    "php/*/cli",
    "php/*/mods-available",
    "protocols",
    "python3",
    "python3.*",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];

/// How often a path is opened anew when the kernel says "again".
const OPEN_TRIES: u32 = 1000;

/// Links of this folder are taken as links: they lead from `/usr` to `/usr`.
const ALTERNATIVES: &str = "etc/alternatives";
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const DEPTH_MAX: usize = 16;
/// Marks a key in PEM form, of any kind.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

pub(super) fn generate(tree: &mut Tree) {
    for (name, content) in GENERATED {
        tree.file(Path::new("etc").join(name), content);
    }
    tree.link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
    tree.link("etc/mtab", "/proc/self/mounts");
}

pub(super) fn copy(host: &HostRoot, tree: &mut Tree) -> Result<(), HostStackError> {
    for pattern in COPIED {
        for path in host.matching(pattern)? {
            copy_any(host, tree, &path, 0)?;
        }
    }
    tree.folder(ALTERNATIVES, 0o755, 0);
    for name in host.names(ALTERNATIVES)? {
        let path = format!("{ALTERNATIVES}/{name}");
        if let Some(target) = host.link_target(&path).filter(|target| target.starts_with("/usr/")) {
            tree.link(&path, &target);
        }
    }
    Ok(())
}

fn copy_any(host: &HostRoot, tree: &mut Tree, path: &str, depth: usize) -> Result<(), HostStackError> {
    match host.read(path)? {
        Found::Nothing => {}
        Found::File(content) => tree.file(path, content),
        // A link to a folder could lead back above itself.
        Found::Folder if depth > 0 && host.link_target(path).is_some() => {}
        Found::Folder => {
            tree.folder(path, 0o755, 0);
            if depth < DEPTH_MAX {
                for name in host.names(path)? {
                    copy_any(host, tree, &format!("{path}/{name}"), depth + 1)?;
                }
            }
        }
    }
    Ok(())
}

/// The host's root, read so that absolute links stay below it.
pub(super) struct HostRoot {
    folder: PathBuf,
    root: OwnedFd,
}

/// What a path of the host leads to.
enum Found {
    File(Vec<u8>),
    Folder,
    /// Nothing, or something that must not be copied.
    Nothing,
}

impl HostRoot {
    pub(super) fn open(folder: &Path) -> Result<Self, HostStackError> {
        let root =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let root =
            root.map_err(|error| HostStackError::Read { path: folder.into(), source: error.into() })?;
        Ok(Self { folder: folder.into(), root })
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        rustix::fs::statat(&self.root, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The target of a link; `None` for anything else.
    pub(super) fn link_target(&self, path: &str) -> Option<String> {
        rustix::fs::readlinkat(&self.root, path, Vec::new()).ok()?.into_string().ok()
    }

    /// What names the state of the host's packages.
    pub(super) fn packages(&self) -> Result<Vec<u8>, HostStackError> {
        if let Some(mut status) = self.open_at("var/lib/dpkg/status")? {
            let mut content = Vec::new();
            status.read_to_end(&mut content).map_err(|source| self.failed("var/lib/dpkg/status", source))?;
            return Ok(content);
        }
        let mut content = match self.read("etc/os-release")? {
            Found::File(content) => content,
            _ => Vec::new(),
        };
        let usr = rustix::fs::statat(&self.root, "usr", rustix::fs::AtFlags::empty())
            .map_err(|error| self.failed("usr", error.into()))?;
        content.extend_from_slice(format!("{}.{}", usr.st_mtime, usr.st_mtime_nsec).as_bytes());
        Ok(content)
    }

    /// The paths that an entry of the allow-list stands for.
    fn matching(&self, pattern: &str) -> Result<Vec<String>, HostStackError> {
        let mut paths = vec!["etc".to_owned()];
        for part in pattern.split('/') {
            let mut longer = Vec::new();
            for path in paths {
                match part.strip_suffix('*') {
                    None => longer.push(format!("{path}/{part}")),
                    Some(start) => {
                        let names = self.names(&path)?;
                        let names = names.iter().filter(|name| name.starts_with(start));
                        longer.extend(names.map(|name| format!("{path}/{name}")));
                    }
                }
            }
            paths = longer;
        }
        Ok(paths)
    }

    /// Names in a folder, in order; none where there is no such folder.
    fn names(&self, path: &str) -> Result<Vec<String>, HostStackError> {
        let Some(folder) = self.open_at(path)? else { return Ok(Vec::new()) };
        let is_folder = folder.metadata().is_ok_and(|metadata| metadata.is_dir());
        if !is_folder {
            return Ok(Vec::new());
        }
        let entries = Dir::read_from(folder.as_fd()).map_err(|error| self.failed(path, error.into()))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.failed(path, error.into()))?;
            // Configuration has readable names; others are nobody's loss.
            let name = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | ".."));
            names.extend(name.map(ToOwned::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, path: &str) -> Result<Found, HostStackError> {
        let Some(file) = self.open_at(path)? else { return Ok(Found::Nothing) };
        let metadata = file.metadata().map_err(|source| self.failed(path, source))?;
        let kind = FileType::from_raw_mode(metadata.mode());
        let wanted = match kind {
            FileType::Directory => 0o005,
            FileType::RegularFile => 0o004,
            _ => return Ok(Found::Nothing),
        };
        // What the host keeps from its own users is kept from tenants all the more.
        if metadata.permissions().mode() & wanted != wanted || metadata.len() > FILE_BYTES_MAX {
            return Ok(Found::Nothing);
        }
        if kind == FileType::Directory {
            return Ok(Found::Folder);
        }
        let mut content = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut content).map_err(|source| self.failed(path, source))?;
        if content.windows(PRIVATE_KEY.len()).any(|window| window == PRIVATE_KEY) {
            return Ok(Found::Nothing);
        }
        Ok(Found::File(content))
    }

    /// Opens what a path leads to, links followed below the root; `None` when it leads nowhere.
    fn open_at(&self, path: &str) -> Result<Option<File>, HostStackError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // The kernel answers "again" when anything on the machine was renamed or mounted while it followed `..`: it
        // cannot tell then whether the path stayed inside. Bounded, since somebody may rename without end.
        let open = || rustix::fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
        let mut opened = open();
        for _ in 0..OPEN_TRIES {
            if !matches!(opened, Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)) {
                break;
            }
            opened = open();
        }
        match opened {
            Ok(file) => Ok(Some(file.into())),
            Err(error) if matches!(io::Error::from(error).kind(), io::ErrorKind::NotFound) => Ok(None),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR | rustix::io::Errno::NXIO) => Ok(None),
            Err(error) => Err(self.failed(path, error.into())),
        }
    }

    fn failed(&self, path: &str, source: io::Error) -> HostStackError {
        HostStackError::Read { path: self.folder.join(path), source }
    }
}
