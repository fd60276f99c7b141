//! Starting a container: what its folder says, and the shim that is handed it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio as ProcessStdio;
use std::time::Duration;

use paddock_core::durable;
use paddock_files::make_private_folder;
use paddock_ipc::frame;
use paddock_runtime::{ContainerSpec, Mount};

use super::names::write_texts;
use super::unfinished::{self, START_PATIENCE};
use super::{HOST_PATH, LinuxRuntime, blocking};
use crate::protocol::{FromShim, Handover};
use crate::record::{Folder, NetworkRecord, SpecRecord, UserRecord, now};

impl LinuxRuntime {
    /// Writes a new container's folder; it appears whole.
    pub(super) fn write_folder(
        &self,
        record: &SpecRecord,
        mounts: &[Mount],
        folder: &Folder,
    ) -> io::Result<()> {
        let fresh = Folder(self.config.run_dir.join(format!(".new-{}", record.id)));
        #[expect(
            clippy::disallowed_methods,
            reason = "what a start that was cut off left, under a name of its own"
        )]
        let _ = std::fs::remove_dir_all(&fresh.0);
        make_private_folder(&fresh.0)?;
        write_texts(mounts, &fresh)?;
        fresh.write_spec(record)?;
        durable!("container.recorded", std::fs::rename(&fresh.0, &folder.0))
    }

    pub(super) async fn spec_record(
        &self,
        spec: &ContainerSpec,
        folder: &Folder,
        network: Option<NetworkRecord>,
    ) -> io::Result<SpecRecord> {
        let (id_base, user) = (self.config.id_ranges.base_of(spec.tenant), UserRecord::from(spec.user));
        let owner = user.on_host(id_base);
        Ok(SpecRecord {
            id: spec.id.to_string(),
            instance: self.config.instance.clone(),
            labels: spec.labels.clone(),
            hostname: spec.hostname.clone(),
            id_base,
            root: spec.root.into(),
            layers: spec.layers.iter().map(|layer| self.layer_record(layer)).collect::<io::Result<_>>()?,
            mounts: self.mount_records(spec, folder, owner)?,
            user,
            image_user: spec.image_user.clone(),
            command: spec.command.clone(),
            working_dir: spec.working_dir.clone(),
            limits: spec.limits.into(),
            disk: self.disk_record(&spec.disk).await?,
            network,
            stdio: spec.stdio.into(),
            time_limit_ms: spec.time_limit.map(milliseconds),
            leftover_grace_ms: milliseconds(spec.leftover_grace),
            created_at: now().0,
        })
    }

    /// Starts the shim of a folder and waits until the program was executed: which it is once it is `admitted`, so that it
    /// finds whom it may reach.
    pub(super) async fn start_shim(
        &self,
        folder: &Folder,
        handover: Handover,
        admitted: impl Future<Output = io::Result<()>>,
    ) -> io::Result<FromShim> {
        let (ours, theirs) = UnixStream::pair()?;
        let log = std::fs::File::options().create(true).append(true).open(folder.log())?;
        unfinished::mark_watched(&log)?;
        #[expect(clippy::disallowed_methods, reason = "the shim of this very program")]
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
        #[expect(clippy::disallowed_methods, reason = "it ends with the shim")]
        tokio::spawn(async move { child.wait().await });
        admitted.await?;
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

/// The end of a shim's log.
fn last_words(folder: &Folder) -> String {
    let log = std::fs::read_to_string(folder.log()).unwrap_or_default();
    log.lines().last().unwrap_or("it left no word").to_owned()
}
