//! What a container sees of its own limits: `/sys/fs/cgroup`, read-only.
//!
//! Runtimes choose their heap and their threads by it (Node.js, the JVM, .NET, Go). They look where the host has it:
//! version 2 at the top, or a folder for each hierarchy of version 1. The cgroup namespace makes the container's group
//! the top of every one, so that nothing else of the host is to be seen.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::rootfs::{attach, new_mount};
use crate::cgroup::Shown;
use crate::error::{Doing, StepError};
use crate::kernel;

const ATTRIBUTES: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
const READ_ONLY: u64 = ATTRIBUTES | libc::MOUNT_ATTR_RDONLY;

/// Shows the hierarchies at `top`. Called by the container's root in its cgroup namespace.
pub(super) fn show(hierarchies: &[Shown], top: &Path) -> Result<(), StepError> {
    if let [Shown { folder, .. }] = hierarchies
        && folder.is_empty()
    {
        return attach(new_mount("cgroup2", &[], &[], READ_ONLY)?.as_fd(), top);
    }
    let folders = new_mount("tmpfs", &[("mode", "755"), ("size", "64k")], &[], ATTRIBUTES)?;
    attach(folders.as_fd(), top)?;
    for Shown { folder, controllers } in hierarchies {
        let point = top.join(folder);
        std::fs::create_dir(&point).doing(|| format!("make {}", point.display()))?;
        let wishes: Vec<_> = controllers.iter().map(|name| (name.as_str(), None)).collect();
        let kind = if controllers.is_empty() { "cgroup2" } else { "cgroup" };
        attach(new_mount(kind, &[], &wishes, READ_ONLY)?.as_fd(), &point)?;
        for name in controllers.iter().filter(|name| *name != folder) {
            symlink(folder, top.join(name)).doing(|| format!("link {name}"))?;
        }
    }
    kernel::mount_setattr(folders.as_fd(), READ_ONLY, None, false)
        .doing(|| "make the folders of the hierarchies read-only".to_owned())
}
