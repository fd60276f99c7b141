//! Whether the ids of files can be mapped to a container's where a folder lies: file systems differ in that.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::host_check::HostCheck;
use crate::kernel;
use crate::tool::tool;

/// Ids that are mapped for the attempt; which ones does not matter.
const MAP: &str = "0 65536 65536\n";

/// Whether containers can have what is in a folder. Mounts nothing: the attempt is made on a copy that is attached
/// nowhere.
#[must_use]
pub fn check_folder(name: &'static str, folder: &Path) -> HostCheck {
    let kind = file_system_of(folder);
    let shown = format!("{} on {}", folder.display(), kind.as_deref().unwrap_or("a file system"));
    let (ok, detail) = match User::new() {
        // Without the right to try, or without the program that helps: the commonest case is known by its name.
        Err(error) => (kind.as_deref() != Some("overlay"), format!("{shown} (not tried: {error})")),
        Ok(user) => match user.maps(folder) {
            Ok(()) => (true, format!("{shown}, its ids can be mapped")),
            Err(error) => (false, format!("{shown}, whose ids cannot be mapped to a dyno's ({error})")),
        },
    };
    let remedy = "have it on ext4, xfs, btrfs or tmpfs: the machine itself or a virtual one has that, the overlay of \
                  another container has not";
    HostCheck { name, ok, detail, remedy }
}

/// A process in a user namespace of its own, which lives as long as this.
struct User {
    process: Child,
    namespace: File,
}

impl User {
    fn new() -> io::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut process = tool("unshare")
            .args(["--user", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        match enter(&mut process) {
            Ok(namespace) => Ok(Self { process, namespace }),
            Err(error) => {
                end(&mut process);
                Err(error)
            }
        }
    }

    /// Tries it.
    fn maps(&self, folder: &Path) -> io::Result<()> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let copy = open_tree(CWD, folder, flags)?;
        kernel::mount_setattr(copy.as_fd(), libc::MOUNT_ATTR_RDONLY, Some(self.namespace.as_fd()), false)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// Waits until the process is in its namespace, and gives that its ids.
fn enter(process: &mut Child) -> io::Result<File> {
    let (Some(input), Some(output)) = (&mut process.stdin, &mut process.stdout) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    // Only what it becomes in the namespace answers.
    input.write_all(b".")?;
    output.read_exact(&mut [0])?;
    let proc = format!("/proc/{}", process.id());
    for map in ["uid_map", "gid_map"] {
        #[expect(clippy::disallowed_methods, reason = "a switch of the kernel")]
        std::fs::write(format!("{proc}/{map}"), MAP)?;
    }
    File::open(format!("{proc}/ns/user"))
}

/// The kind of file system that a folder lies on.
fn file_system_of(folder: &Path) -> Option<String> {
    let folder = std::fs::canonicalize(folder).ok()?;
    kind_of(&folder, &std::fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn kind_of(folder: &Path, mounts: &str) -> Option<String> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = unescaped(left.split(' ').nth(4)?);
        folder.starts_with(&point).then(|| (point.len(), right.split(' ').next().unwrap_or("").to_owned()))
    };
    // Of two at one place the later hides the earlier.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// A path without the octal numbers that stand for blanks.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let octal = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.extend(octal);
        bytes.extend_from_slice(part.get(3..).unwrap_or("").as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_a_folder_is_that_of_the_innermost_mount() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      2 1 0:40 / /usr rw shared:1 - overlay overlay rw,lowerdir=/x\n\
                      3 1 0:41 / /data\\040disk rw - xfs /dev/sdb rw\n\
                      4 1 0:42 / /data\\040disk rw - tmpfs none rw\n";
        for (folder, kind) in
            [("/usr/lib", "overlay"), ("/usrlocal", "ext4"), ("/data disk/x", "tmpfs"), ("/", "ext4")]
        {
            assert_eq!(kind_of(Path::new(folder), mounts).as_deref(), Some(kind), "{folder}");
        }
    }
}
