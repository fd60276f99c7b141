//! A path inside a root, of which no link leads out.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens a path inside the root. "Again": something on the machine was renamed or mounted while `..` of a link was followed.
pub(super) fn open_inside(
    root: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    mode: Mode,
    within: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let once = || rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, within);
    let mut opened = once();
    for _ in 0..OPEN_TRIES {
        if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
        opened = once();
    }
    opened
}

/// How often a path is opened anew when the kernel says "again".
const OPEN_TRIES: u32 = 1000;
