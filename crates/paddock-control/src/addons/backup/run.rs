//! One program of a transfer, in a container, from its start to its end.

use std::path::PathBuf;
use std::time::Duration;

use paddock_addons::postgres::Errand;
use paddock_core::artefact::ProgramUser;
use paddock_core::stack::Stack;
use paddock_core::{ContainerId, Tenant, TransferId, VolumeId, durable};
use paddock_runtime::{
    Access, ContainerSpec, ContainerState, Disk, Exit, Layer, Mount, MountSource, Network, Output, Root,
    Stdio, VolumeKind,
};
use uuid::Uuid;

use super::super::Addons;
use super::store::{blocking, open_plain};
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::{Result, kernel};

/// How often it is looked how far a program is, and whether it is still wanted.
const LOOK: Duration = Duration::from_secs(2);
/// The longest that one program may take.
const TIME_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// What a program may write outside its volume.
const SCRATCH_BYTES: u64 = 64 << 20;
/// Lines of a program that are kept, of its first words and of its last.
const LINES: usize = 100;
/// How long a container has to be seen as ended when its output has.
const END_TIME: Duration = Duration::from_secs(30);

/// Why a transfer does not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody wanted it to end.
    Canceled,
    /// For whoever asked for it: a sentence.
    Told(String),
    /// Ours: the operator is told the cause.
    Host(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.id {
            paddock_core::ErrorId::InternalServerError => Self::Host(error),
            _ => Self::Told(error.message),
        }
    }
}

impl From<paddock_store::StoreError> for Trouble {
    fn from(error: paddock_store::StoreError) -> Self {
        Error::from(error).into()
    }
}

impl Trouble {
    pub(super) fn host(
        doing: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Host(Error::internal(doing, cause))
    }
}

pub(super) type Outcome<T> = std::result::Result<T, Trouble>;

/// Where a program sees the files of its transfer.
pub(super) struct Place<'a> {
    pub(super) tenant: Tenant,
    pub(super) network: Network,
    /// The folder that it writes to, and where.
    pub(super) writes: Option<(&'a str, &'a str)>,
    /// The folder that it reads, and where.
    pub(super) reads: Option<(&'a str, &'a str)>,
}

/// Who hears how a file grows that a program writes.
pub(super) enum Watch<'a> {
    Nobody,
    /// It is noted with the transfer.
    Noted(PathBuf),
    /// Somebody who may not want it any more.
    Told(PathBuf, &'a mut (dyn FnMut(u64) -> bool + Send)),
}

/// What a program came to.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) lines: Vec<String>,
}

impl Ended {
    pub(super) fn is_well(&self) -> bool {
        self.exit.status == 0
    }

    /// Why it failed, as far as it said.
    pub(super) fn last_words(&self) -> String {
        if self.exit.out_of_memory {
            return "it ran out of memory".to_owned();
        }
        let last = self.lines.iter().rev().find(|line| !line.trim().is_empty());
        last.cloned().unwrap_or_else(|| format!("it ended with status {}", self.exit.status))
    }
}

pub(super) fn volume_of(transfer: TransferId) -> VolumeId {
    VolumeId::from_uuid(transfer.uuid())
}

impl Addons {
    /// A file of a transfer's volume, as this server sees it.
    pub(super) fn file_of(&self, transfer: TransferId, folder: &str, name: &str) -> PathBuf {
        self.volumes.folder_of(volume_of(transfer)).join(folder).join(name)
    }

    /// The volume that a transfer has until it ends.
    pub(super) async fn make_work(&self, transfer: TransferId) -> Outcome<()> {
        let kind = VolumeKind::Lasting { limit_bytes: None };
        let made =
            durable!("transfer.volume_made", self.runtime.make_volume(volume_of(transfer), kind).await);
        made.map_err(|error| Trouble::host("make the volume of a transfer", error))
    }

    /// Ends whatever runs for a transfer, and removes its files.
    pub(super) async fn clear_work(&self, transfer: TransferId) -> Result<()> {
        let observed = self.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        for one in observed.iter().filter(|one| label::transfer_of(one) == Some(transfer)) {
            self.end_container(one.id).await?;
        }
        let removed =
            durable!("transfer.volume_removed", self.runtime.remove_volume(volume_of(transfer)).await);
        removed.map_err(|error| Error::internal("remove the volume of a transfer", error))
    }

    async fn end_container(&self, id: ContainerId) -> Result<()> {
        let removed = durable!("transfer.container_removed", self.runtime.remove(id).await);
        removed.map_err(|error| Error::internal("remove the container of a transfer", error))
    }

    /// Runs a program to its end.
    pub(super) async fn run(
        &self,
        transfer: TransferId,
        errand: Errand,
        place: Place<'_>,
        mut watch: Watch<'_>,
    ) -> Outcome<Ended> {
        let id = ContainerId::from_uuid(Uuid::now_v7());
        let spec = self.errand_spec(transfer, id, errand, &place);
        let started = durable!("transfer.container_started", self.runtime.start(spec).await);
        started.map_err(|error| Trouble::host("start a program of a transfer", error))?;
        let output = self.runtime.output(id, 0).await;
        let mut output = output.map_err(|error| Trouble::host("read the output of a transfer", error))?;
        let mut lines = Vec::new();
        loop {
            tokio::select! {
                piece = output.recv() => match piece {
                    Some(piece) => self.hear(id, &mut lines, piece).await,
                    None => break,
                },
                () = tokio::time::sleep(LOOK), if !matches!(watch, Watch::Nobody) => {
                    self.look(transfer, &mut watch).await?;
                }
            }
        }
        let exit = self.exit_of(id).await?;
        self.end_container(id).await?;
        Ok(Ended { exit, lines: lines.into_iter().map(in_words).collect() })
    }

    async fn hear(&self, id: ContainerId, lines: &mut Vec<String>, piece: Output) {
        lines.push(String::from_utf8_lossy(&piece.bytes).into_owned());
        if lines.len() > 2 * LINES {
            lines.remove(LINES);
            // Nobody reads it again: a transfer that is cut off begins anew.
            if let Err(error) =
                durable!("transfer.output_acknowledged", self.runtime.ack(id, piece.seq).await)
            {
                tracing::debug!(error = chain(&error), "could not acknowledge the output of a transfer");
            }
        }
    }

    async fn look(&self, transfer: TransferId, watch: &mut Watch<'_>) -> Outcome<()> {
        let (Watch::Noted(file) | Watch::Told(file, _)) = &*watch else { return Ok(()) };
        let file = file.clone();
        let bytes = blocking(move || open_plain(&file)?.metadata()).await.map_or(0, |found| found.len());
        match watch {
            Watch::Nobody => Ok(()),
            Watch::Noted(_) => self.note_progress(transfer, bytes).await,
            Watch::Told(_, told) => {
                if told(bytes) {
                    Ok(())
                } else {
                    Err(Trouble::Canceled)
                }
            }
        }
    }

    async fn note_progress(&self, transfer: TransferId, bytes: u64) -> Outcome<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut tx = self.kernel.record("note how far a transfer is").await?;
        tx.note_transfer_progress(transfer, bytes).await?;
        tx.commit_quietly("transfer.progress_noted").await?;
        Ok(())
    }

    /// Waits for the end of a container whose output has ended.
    async fn exit_of(&self, id: ContainerId) -> Outcome<Exit> {
        let mut changes = self.kernel.wakes.output.listen();
        let ended = tokio::time::timeout(END_TIME, async {
            loop {
                let all = self.runtime.observe().await;
                let all = all.map_err(|error| Trouble::host("look at a program of a transfer", error))?;
                match all.iter().find(|one| one.id == id).map(|one| one.state) {
                    Some(ContainerState::Exited { exit, .. }) => return Ok(exit),
                    Some(ContainerState::Running) => changes.heard(Duration::from_millis(50)).await,
                    _ => {
                        return Err(Trouble::host(
                            "run a program of a transfer",
                            "what watched over it is gone",
                        ));
                    }
                }
            }
        });
        ended.await.unwrap_or_else(|_| Err(Trouble::host("run a program of a transfer", "it does not end")))
    }

    fn errand_spec(
        &self,
        transfer: TransferId,
        id: ContainerId,
        errand: Errand,
        place: &Place<'_>,
    ) -> ContainerSpec {
        let volume = |(folder, target): (&str, &str), access| Mount {
            target: target.to_owned(),
            source: MountSource::Volume { id: volume_of(transfer), folder: folder.to_owned(), access },
        };
        let text =
            |file: paddock_addons::File| Mount { target: file.path, source: MountSource::Text(file.text) };
        let mounts = place
            .writes
            .map(|writes| volume(writes, Access::ReadWrite))
            .into_iter()
            .chain(place.reads.map(|reads| volume(reads, Access::ReadOnly)))
            .chain(errand.files.into_iter().map(text));
        ContainerSpec {
            id,
            labels: label::of_transfer(transfer),
            hostname: transfer.to_string(),
            tenant: place.tenant,
            root: Root::Stack,
            layers: vec![Layer::Stack(self.kernel.config.present(&Stack::HOST))],
            mounts: mounts.collect(),
            command: errand.command,
            user: ProgramUser { uid: 1000, gid: 1000 },
            image_user: String::new(),
            env: errand.env,
            working_dir: "/".to_owned(),
            limits: errand.limits,
            disk: Disk::Limited(SCRATCH_BYTES),
            network: place.network,
            stdio: Stdio::Output,
            time_limit: Some(TIME_MAX),
            leftover_grace: Duration::ZERO,
        }
    }

    /// Ends when somebody wants a transfer to end.
    pub(super) async fn canceled(&self, transfer: TransferId) {
        let mut changes: kernel::wake::Listener = self.kernel.wakes.changes.listen();
        loop {
            match self.kernel.store.transfer(transfer).await {
                Ok(Some(row)) if row.canceled_at.is_none() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "could not look whether a transfer is wanted");
                }
            }
            changes.heard(LOOK).await;
        }
    }

    /// Says something in the log of a transfer.
    pub(super) async fn tell(&self, transfer: TransferId, message: &str) -> Result<()> {
        let mut tx = self.kernel.record("say something of a transfer").await?;
        // PostgreSQL keeps no NUL in a text, and a log line is no place for an essay.
        let message: String = message.chars().filter(|c| !c.is_control()).take(1000).collect();
        tx.say_of_transfer(transfer, &message).await?;
        tx.commit_quietly("transfer.said").await
    }
}

/// What a program said; of the line in which the shell tells of its death, with the text of its command, a sentence.
fn in_words(line: String) -> String {
    let told = line.strip_prefix("bash: line ").and_then(|rest| rest.split_once("\"$PADDOCK_PROGRAMS/"));
    match told.and_then(|(_, rest)| rest.split_once('"')) {
        Some((program, _)) => format!("{program} was ended from outside."),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn a_program_that_was_killed_is_told_of_without_its_command() {
        for word in ["Killed", "Segmentation fault", "Terminated"] {
            let told = format!(
                "bash: line 3:     3 {word}   \"$PADDOCK_PROGRAMS/pg_restore\" --file=/dev/null /in/dump"
            );
            assert_eq!(in_words(told), "pg_restore was ended from outside.");
        }
        for line in ["pg_dump: error: no", "bash: line 2: /x/pg_dump: No such file or directory", ""] {
            assert_eq!(in_words(line.to_owned()), line);
        }
    }
}
