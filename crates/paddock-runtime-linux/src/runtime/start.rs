//! Starting a container: what its folder says, and the shim that is handed it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio as ProcessStdio;
use std::time::Duration;

use paddock_core::durable;
use paddock_ipc::frame;
use paddock_runtime::{Access, ContainerSpec, Disk, Layer, Owners};

use super::{HOST_PATH, LinuxRuntime, blocking, make_private, unfinished};
use crate::protocol::{FromShim, Handover};
use crate::record::{DiskRecord, Folder, LayerRecord, MountRecord, NetworkRecord, SpecRecord, now};

/// How long a shim may take to start a program.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(60);

impl LinuxRuntime {
    /// Writes a new container's folder; it appears whole.
    pub(super) fn write_folder(&self, spec: &SpecRecord, folder: &Folder) -> io::Result<()> {
        let fresh = Folder(self.config.run_dir.join(format!(".new-{}", spec.id)));
        let _ = std::fs::remove_dir_all(&fresh.0);
        make_private(&fresh.0)?;
        fresh.write_spec(spec)?;
        durable!("container.recorded", std::fs::rename(&fresh.0, &folder.0))
    }

    pub(super) async fn spec_record(
        &self,
        spec: &ContainerSpec,
        network: Option<NetworkRecord>,
    ) -> io::Result<SpecRecord> {
        let disk = match &spec.disk {
            Disk::Unlimited => DiskRecord::Unlimited,
            Disk::Limited(bytes) => DiskRecord::Image {
                template: self.templates.of(*bytes).await?,
                limit_bytes: *bytes,
                interval: self.config.disk_interval,
            },
            Disk::Folder(folder) => DiskRecord::Folder { folder: folder.clone() },
        };
        let layer = |layer: &Layer| {
            let (path, host_usr) = match layer {
                Layer::Image(path) => (path, false),
                Layer::HostStack(path) => (path, true),
            };
            let named = |error| io::Error::other(format!("layer {}: {error}", path.display()));
            Ok(LayerRecord { folder: self.images.folder_of(path).map_err(named)?, host_usr })
        };
        Ok(SpecRecord {
            id: spec.id.to_string(),
            instance: self.config.instance.clone(),
            labels: spec.labels.clone(),
            hostname: spec.hostname.clone(),
            id_base: spec.id_base,
            layers: spec.layers.iter().map(layer).collect::<io::Result<_>>()?,
            mounts: spec.mounts.iter().map(mount_record).collect(),
            command: spec.command.clone(),
            working_dir: spec.working_dir.clone(),
            limits: spec.limits.into(),
            disk,
            network,
            stdio: spec.stdio.into(),
            time_limit_ms: spec.time_limit.map(milliseconds),
            leftover_grace_ms: milliseconds(spec.leftover_grace),
            created_at: now().0,
        })
    }

    /// Starts the shim of a folder and waits until the program was executed.
    pub(super) async fn start_shim(&self, folder: &Folder, handover: Handover) -> io::Result<FromShim> {
        let (ours, theirs) = UnixStream::pair()?;
        let log = std::fs::File::options().create(true).append(true).open(folder.log())?;
        unfinished::mark_watched(&log)?;
        let mut command = tokio::process::Command::new(&self.config.program);
        command
            .arg("shim")
            .arg(&folder.0)
            .env_clear()
            .env("PATH", HOST_PATH)
            .current_dir("/")
            .stdin(ProcessStdio::from(OwnedFd::from(theirs)))
            .stdout(ProcessStdio::from(log.try_clone()?))
            .stderr(ProcessStdio::from(log))
            .kill_on_drop(false);
        let mut child = durable!("container.shim_spawned", command.spawn())?;
        drop(command);
        // Reaped whenever it ends; nobody here waits for that.
        tokio::spawn(async move { child.wait().await });
        let folder = folder.clone();
        blocking(move || {
            ours.set_read_timeout(Some(START_PATIENCE))?;
            durable!("container.handed_over", frame::send(ours.as_fd(), &handover, &[]))?;
            drop(handover);
            match frame::receive(ours.as_fd())? {
                Some((answer, _)) => Ok(answer),
                None => Err(io::Error::other(format!("the shim ended: {}", last_words(&folder)))),
            }
        })
        .await
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What cannot be run is refused before anything is made.
pub(super) fn check(spec: &ContainerSpec) -> io::Result<()> {
    let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    let is_label = |name: &str| {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    if spec.id_base < 65_536 {
        return refuse(format!("ids from {} are the host's own", spec.id_base));
    }
    if spec.layers.is_empty() {
        return refuse("there is no layer".to_owned());
    }
    if !is_label(&spec.hostname) {
        return refuse(format!("{:?} is no host name", spec.hostname));
    }
    for mount in &spec.mounts {
        if !mount.target.starts_with('/') || mount.target.split('/').any(|name| name == "..") {
            return refuse(format!("{:?} is no absolute path", mount.target));
        }
    }
    Ok(())
}

fn mount_record(mount: &paddock_runtime::Mount) -> MountRecord {
    MountRecord {
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.access == Access::ReadOnly,
        idmapped: mount.owners == Owners::Plain,
    }
}

/// The end of a shim's log.
fn last_words(folder: &Folder) -> String {
    let log = std::fs::read_to_string(folder.log()).unwrap_or_default();
    log.lines().last().unwrap_or("it left no word").to_owned()
}
