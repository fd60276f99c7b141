//! The folder that holds everything a server keeps: made, passable for those who must pass, and locked.

use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use paddock_control::backup;

use crate::paths::Paths;
use crate::start_error::StartError;

/// How long the lock of a server that was killed may still be held: by a process that it was just about to start.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// Makes the data directory: others may pass through it (the router and git run as users of their own), not list it.
pub(crate) fn prepare_data_dir(data: &Path) -> Result<Paths, StartError> {
    let failed = |error: io::Error| format!("could not use the data folder {}: {error}", data.display());
    std::fs::create_dir_all(data).map_err(failed)?;
    let data = std::fs::canonicalize(data).map_err(failed)?;
    if let Some(closed) = closed_to_others(&data).map_err(failed)? {
        let (data, closed) = (data.display(), closed.display());
        return Err(format!(
            "the data folder {data} lies below {closed}, which only its owner may enter. The router and git run as \
             users of their own and must pass. Choose another folder, such as /var/lib/paddock, or: chmod o+x {closed}"
        )
        .into());
    }
    if backup::is_unfinished(&data) {
        let data = data.display();
        return Err(format!(
            "a restore into {data} was begun and has not ended. Run it again: paddockd restore --from FILE --data {data}"
        )
        .into());
    }
    let paths = Paths::new(data);
    std::fs::set_permissions(&paths.data, PermissionsExt::from_mode(0o711))?;
    for folder in [paths.run(), paths.data.join("sources")] {
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711))?;
    }
    // What tenants wrote is nobody's but ours: neither the router's or git's, nor that of people on this machine.
    for name in ["builds", "buildpacks", "caches", "logs", "outputs", "run/images"] {
        let folder = paths.data.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
    }
    Ok(paths)
}

/// The first folder above `data` that users other than its owner may not pass through.
pub(crate) fn closed_to_others(data: &Path) -> io::Result<Option<PathBuf>> {
    for folder in data.ancestors().skip(1) {
        if std::fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
            return Ok(Some(folder.to_owned()));
        }
    }
    Ok(None)
}

/// One server at a time for a data directory: the kernel lets go of the lock however we end.
#[expect(clippy::disallowed_methods, reason = "the kernel has no lock that waits for a while")]
pub(crate) fn take_lock(path: &Path) -> Result<std::fs::File, StartError> {
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let until = std::time::Instant::now() + LOCK_PATIENCE;
    while rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        if std::time::Instant::now() < until {
            std::thread::sleep(LOCK_LOOK);
            continue;
        }
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let data = path.parent().unwrap_or(path).display();
        return Err(format!(
            "another server (process {}) uses the data folder {data}. Stop it with: paddockd stop --data {data}",
            holder.trim()
        )
        .into());
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}
