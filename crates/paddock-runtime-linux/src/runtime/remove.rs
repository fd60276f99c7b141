//! Removing a container, whatever state it is in.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use paddock_core::{ContainerId, durable};
use paddock_images::tree::remove_tree;
use paddock_runtime::RuntimeError;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{LinuxRuntime, blocking};
use crate::cgroup::{Cgroups, wait_a_moment};
use crate::client;
use crate::container::has_shim;
use crate::protocol::{FromShim, ToShim};
use crate::record::Folder;

/// How long a shim may take to kill and to clean up.
const QUIT_PATIENCE: Duration = Duration::from_secs(20);
/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Start of the name of a folder that is being deleted.
const GONE: &str = ".gone-";
/// Start of the name of a folder that is being made.
const NEW: &str = ".new-";

impl LinuxRuntime {
    /// Kills what is left of a container and forgets it. One that is gone is forgotten already.
    pub(super) async fn forget(&self, id: ContainerId, folder: &Folder) -> Result<(), RuntimeError> {
        let fail = move |error: io::Error| RuntimeError::host(format!("remove container {id}"), error);
        let (cgroups, existing) = (self.cgroups.clone(), folder.clone());
        durable!("container.ended", blocking(move || end(&existing, &cgroups, &id.to_string())).await)
            .map_err(fail)?;
        self.network.release(id).await.map_err(fail)?;
        // Renamed at once and deleted in the background: a tenant's files may be many.
        let gone = folder.0.with_file_name(format!("{GONE}{}", uuid::Uuid::new_v4()));
        match durable!("container.put_aside", std::fs::rename(&folder.0, &gone)) {
            Ok(()) => {
                tokio::task::spawn_blocking(move || delete(&gone));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
        if let Some(known) = known {
            known.wake();
        }
        self.collect_images(false).map_err(fail)?;
        self.changed.notify();
        Ok(())
    }
}

/// Finishes what an earlier process began to delete or to make.
pub(super) fn finish_removals(run_dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(run_dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(GONE) || name.starts_with(NEW)) {
            delete(&entry.path());
        }
    }
    Ok(())
}

fn delete(folder: &Path) {
    if let Err(error) = durable!("container.folder_deleted", remove_tree(folder)) {
        tracing::warn!(folder = %folder.display(), %error, "could not delete the folder of a removed container");
    }
}

/// Ends shim and container: by the shim if it lives, else by its cgroup.
fn end(folder: &Folder, cgroups: &Cgroups, name: &str) -> io::Result<()> {
    if has_shim(folder) {
        match client::ask(folder, &ToShim::Quit, QUIT_PATIENCE) {
            Ok(FromShim::Done) => {}
            Ok(other) => tracing::warn!(container = name, answer = ?other, "a shim could not clean up"),
            Err(error) => tracing::warn!(container = name, %error, "a shim did not answer"),
        }
    }
    // Whatever it answered, from here on it must be gone.
    if let Ok(state) = folder.state()
        && state.shim.is_alive()
        && let Some(pid) = Pid::from_raw(state.shim.pid)
        && let Ok(shim) = pidfd_open(pid, PidfdFlags::empty())
        // Asked again with the descriptor at hand: now it cannot be another process.
        && state.shim.is_alive()
    {
        let _ = pidfd_send_signal(&shim, Signal::KILL);
    }
    kill_group(cgroups, name)
}

fn kill_group(cgroups: &Cgroups, name: &str) -> io::Result<()> {
    let until = Instant::now() + KILL_PATIENCE;
    while !cgroups.processes(name).is_empty() {
        if Instant::now() > until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not end"));
        }
        cgroups.kill(name);
        wait_a_moment();
    }
    cgroups.remove(name, KILL_PATIENCE)
}
