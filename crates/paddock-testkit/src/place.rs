//! Where tests have their folders that need no disk of the machine's.

use std::path::{Path, PathBuf};

/// In memory where that has room, since a disk that others use makes each commit wait; else where temporary files are.
#[must_use]
pub fn in_memory() -> PathBuf {
    const ROOM: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let size = rustix::fs::statvfs(memory).map_or(0, |found| found.f_blocks * found.f_frsize);
    if size >= ROOM { memory.to_owned() } else { std::env::temp_dir() }
}
