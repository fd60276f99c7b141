//! Starts that a killed server did not finish.
//!
//! A folder is written, a shim is started on it, and only with the environment in its hands does the shim make the
//! container. A server that is killed in between leaves a folder whose program never ran; as soon as that is certain the
//! folder goes, and whoever wants the container starts it as if for the first time.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use paddock_runtime::RuntimeError;
use rustix::fs::{FlockOperation, flock};

use super::{LinuxRuntime, blocking, folders};
use crate::cgroup::wait_a_moment;
use crate::record::Folder;

/// How long a shim may take to start a program.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(60);

impl LinuxRuntime {
    /// Forgets what an earlier process began to start and whose program never ran.
    pub(super) async fn forget_unfinished(&self) -> Result<(), RuntimeError> {
        let run_dir = self.config.run_dir.clone();
        let found = blocking(move || {
            let mut folders = folders(&run_dir)?;
            folders.retain(|(_, folder)| was_never_started(folder, START_PATIENCE));
            Ok(folders)
        });
        let found = found.await.map_err(|error| RuntimeError::host("find unfinished starts", error))?;
        for (id, folder) in found {
            tracing::info!(container = %id, "a start that was interrupted is begun anew");
            self.forget(id, &folder).await?;
        }
        Ok(())
    }
}

/// Marks the shim's log, which the shim is about to inherit: the mark stays until the last process that has it ends.
pub(super) fn mark_watched(log: &File) -> io::Result<()> {
    Ok(flock(log, FlockOperation::NonBlockingLockExclusive)?)
}

/// Whether the program of this folder surely never ran. Waits while a shim is still at it.
pub(super) fn was_never_started(folder: &Folder, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        // Asked first: a shim that ends after this has left its word before the second question.
        let is_at_work = is_watched(folder);
        let has_begun = folder.exit().is_ok() || folder.state().is_ok_and(|state| state.init.is_some());
        if has_begun || (is_at_work && Instant::now() >= until) {
            return false;
        }
        if !is_at_work {
            return true;
        }
        wait_a_moment();
    }
}

fn is_watched(folder: &Folder) -> bool {
    File::open(folder.log()).is_ok_and(|log| flock(&log, FlockOperation::NonBlockingLockExclusive).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ExitRecord, ProcessRecord, StateRecord};

    #[test]
    fn only_what_nobody_is_at_and_never_ran_was_never_started() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder(root.path().to_owned());
        assert!(was_never_started(&folder, Duration::ZERO), "not even a shim was started");

        let log = File::create(folder.log()).unwrap();
        mark_watched(&log).unwrap();
        assert!(!was_never_started(&folder, Duration::ZERO), "a shim is at it");
        let inherited = log.try_clone().unwrap();
        drop(log);
        assert!(!was_never_started(&folder, Duration::ZERO), "the server is gone and the shim is not");
        drop(inherited);
        assert!(was_never_started(&folder, Duration::ZERO), "the shim has ended before its work");

        let shim = ProcessRecord::of(std::process::id().cast_signed()).unwrap();
        let mut state = StateRecord { shim: shim.clone(), init: None, started_at: 0 };
        folder.write_state(&state).unwrap();
        assert!(was_never_started(&folder, Duration::ZERO), "there was no pid 1 yet");
        state.init = Some(shim);
        folder.write_state(&state).unwrap();
        assert!(!was_never_started(&folder, Duration::ZERO), "its program may have run");
        let exit = ExitRecord { status: 0, out_of_memory: false, killed_after_grace: false, at: 0 };
        folder.write_exit(&exit).unwrap();
        assert!(!was_never_started(&folder, Duration::ZERO), "it ran to its end");
    }
}
