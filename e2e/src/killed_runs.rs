//! What test runs that were killed left on this machine: servers, with everything that these have in the kernel.
//!
//! The folder of each server says which test process it belongs to. The first server of a run ends those whose process is
//! gone; a folder that says nothing is somebody else's and left alone, as is one whose process lives.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::leftovers::{Leftovers, instance_letters};
use crate::outcome::run;
use crate::wait::wait_for;

/// How the names of servers' folders begin.
pub(crate) const FOLDER_PREFIX: &str = "paddock-e2e-";
/// The file that says whom a folder belongs to.
const OWNER: &str = "test-process";

/// Says that a server's folder is this process's.
pub(crate) fn claim(folder: &Path) {
    let owner = owner_text(std::process::id()).expect("this process is there");
    fs::write(folder.join(OWNER), owner).unwrap();
}

/// Has a folder belong to a process that is gone, as when its run is killed.
pub(crate) fn disown(folder: &Path) {
    let mut ended = Command::new("true").spawn().unwrap();
    let owner = owner_text(ended.id()).expect("it was not waited for yet");
    ended.wait().unwrap();
    fs::write(folder.join(OWNER), owner).unwrap();
}

/// Ends what killed runs left, once in the life of this process; who comes meanwhile waits.
pub(crate) fn end_killed_runs_once(program: &Path) {
    static DONE: Once = Once::new();
    DONE.call_once(|| end_killed_runs(program));
}

/// Ends servers whose test process is gone, and removes their folders. What cannot be removed is said and left.
///
/// # Panics
/// When a server does not end in time.
pub fn end_killed_runs(program: &Path) {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let folder = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(FOLDER_PREFIX.as_bytes())
            && let Ok(owner) = File::open(folder.join(OWNER))
            // Another run may be at it.
            && flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok()
            && is_abandoned(&folder)
        {
            end(program, &folder);
        }
    }
}

/// Whether a folder's process is gone. Asked of the file that has its name now: one that was removed belongs to nobody.
fn is_abandoned(folder: &Path) -> bool {
    let Ok(owner) = fs::read_to_string(folder.join(OWNER)) else { return false };
    let pid = owner.split(' ').next().and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| !owner_text(pid).is_ok_and(|now| now == owner))
}

fn end(program: &Path, folder: &Path) {
    let data = folder.join("data");
    if data.is_dir() {
        let mut stop = Command::new(program);
        stop.args(["stop", "--stop-dynos", "--data"]).arg(&data);
        let stopped = run(stop, b"", Duration::from_secs(120));
        // The kernel takes down network namespaces, and the links in them, in its own time.
        let look = || Leftovers::of(&instance_letters(&data), &data);
        let is_gone = wait_for(Duration::from_secs(10), || look().is_empty().then_some(())).is_some();
        if stopped.status != 0 || !is_gone {
            #[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
            {
                eprintln!("a killed test run left {}: {}\n{:#?}", folder.display(), stopped.text(), look());
            }
            return;
        }
    }
    let _ = fs::remove_dir_all(folder);
}

/// A process that cannot be mistaken for a later one with its number: the number, when it began, in which boot.
fn owner_text(pid: u32) -> io::Result<String> {
    let began = paddock_testkit::process::began(pid)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(format!("{pid} {began} {}", boot.trim()))
}
