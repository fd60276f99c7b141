//! The job of a transfer.
//!
//! ```text
//! queued ──▶ moving ──all of it done──▶ succeeded
//!               │ ◀── cut off by an end of the server: begun anew, a few times
//!               └──▶ failed, cancelled
//! ```
//! Everything that is done while it moves can be done again: files are in a volume of the transfer's, which a new beginning
//! removes, and a database that was emptied is emptied again. How it ended, the end of the job and which backups are let go for it
//! are one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use paddock_addons::postgres::retention;
use paddock_core::TransferId;
use paddock_core::plan::backup_retention::{EndedBackup, displaced};
use paddock_core::transfer::TransferKind;
use paddock_store::{Job, JobLease, Transfer, TransferEnd};

use super::super::Addons;
use super::run::{Outcome, Trouble};
use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::job::{Phase, Work};

pub(super) const KIND: &str = "transfer";
/// How many transfers a server does at a time.
pub const AT_A_TIME: usize = 2;
/// After this many ends of the server it is given up: it may be what ends it.
const ATTEMPTS_MAX: i64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferPhase {
    Queued,
    Moving,
}

impl Phase for TransferPhase {
    const ALL: &'static [Self] = &[Self::Queued, Self::Moving];

    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Moving => "moving",
        }
    }
}

/// Transfers, as a kind of job.
pub(crate) struct Transfers(pub(crate) Arc<Addons>);

#[async_trait]
impl Work for Transfers {
    const KIND: &'static str = KIND;
    type Phase = TransferPhase;

    async fn run(&self, job: &Job, phase: TransferPhase, lease: &JobLease) -> Result<()> {
        run(&self.0, job, phase, lease).await
    }
}

/// What a transfer has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) bytes: u64,
    /// What was let go in it.
    pub(super) warnings: usize,
}

/// Runs the job of a transfer from wherever it is.
pub(crate) async fn run(addons: &Addons, job: &Job, phase: TransferPhase, lease: &JobLease) -> Result<()> {
    let id: TransferId =
        job.subject_id.parse().map_err(|error| Error::internal("read the job of a transfer", error))?;
    let Some(transfer) = addons.kernel.store.transfer(id).await?.filter(|row| row.app_id.is_some()) else {
        // The app was destroyed: its job went with it, and the sweep clears away what there is.
        addons.kernel.wakes.garbage.wake();
        return Ok(());
    };
    if phase == TransferPhase::Moving {
        addons.clear_work(id).await?;
        addons.let_go_of_dump(&transfer).await;
        addons.tell(id, "The server was started anew: the transfer begins again.").await?;
    }
    let outcome = if lease.attempt > ATTEMPTS_MAX {
        Err(Trouble::Told("The server ended again and again while this was done.".to_owned()))
    } else {
        // Dropped where it is; what it leaves is cleared away below.
        tokio::select! {
            biased;
            () = addons.canceled(id) => Err(Trouble::Canceled),
            outcome = attempt(addons, &transfer, job, lease) => outcome,
        }
    };
    addons.clear_work(id).await?;
    addons.leave_databases(&transfer, outcome.is_ok()).await;
    if outcome.is_err() {
        addons.let_go_of_dump(&transfer).await;
    }
    conclude(addons, &transfer, lease, outcome).await?;
    addons.remove_marked().await;
    Ok(())
}

async fn attempt(addons: &Addons, transfer: &Transfer, job: &Job, lease: &JobLease) -> Outcome<Moved> {
    let source_bytes = addons.bytes_of_source(transfer).await;
    let mut tx = addons.kernel.record("begin a transfer").await?;
    tx.start_transfer(transfer.id, source_bytes).await?;
    tx.set_job_phase(lease, TransferPhase::Moving.as_str()).await?;
    tx.commit_quietly("transfer.begun").await?;
    addons.make_work(transfer.id).await?;
    match transfer.kind {
        TransferKind::Backup => addons.back_up(transfer).await,
        TransferKind::Restore => addons.restore(transfer, job.id).await,
        TransferKind::Copy => addons.copy(transfer).await,
    }
}

/// Writes down how a transfer ended, with what is let go for it.
async fn conclude(
    addons: &Addons,
    transfer: &Transfer,
    lease: &JobLease,
    outcome: Outcome<Moved>,
) -> Result<()> {
    let (end, told) = match &outcome {
        Ok(moved) => (
            TransferEnd {
                succeeded: true,
                warnings: i64::try_from(moved.warnings).unwrap_or(i64::MAX),
                processed_bytes: i64::try_from(moved.bytes).unwrap_or(i64::MAX),
            },
            "Done.".to_owned(),
        ),
        Err(trouble) => {
            let end =
                TransferEnd { succeeded: false, warnings: 0, processed_bytes: transfer.processed_bytes };
            (end, sentence(transfer, trouble))
        }
    };
    addons.tell(transfer.id, &told).await?;
    let mut tx = addons.kernel.record("end a transfer").await?;
    tx.end_transfer(transfer.id, end).await?;
    match end.succeeded {
        true => tx.succeed_job(lease).await?,
        false => tx.fail_job(lease, &told).await?,
    }
    if let (TransferKind::Backup, Some(addon)) = (transfer.kind, transfer.addon_id) {
        let backups = tx.transfers_of_addon(addon).await?;
        let row = tx.addon(addon).await?;
        let plan = row.and_then(|row| addons.service_of(&row).ok()?.info().plan(Some(&row.plan)).ok());
        for id in plan.map(|plan| displaced(&ended(&backups), retention(plan))).unwrap_or_default() {
            tx.mark_transfer_deleted(id).await?;
        }
    }
    if let Some(app) = transfer.app_id {
        tx.say(app, in_app_log(transfer, end.succeeded, &told));
    }
    tx.commit_quietly("transfer.ended").await
}

fn ended(backups: &[Transfer]) -> Vec<EndedBackup> {
    let of = |row: &Transfer| EndedBackup {
        id: row.id,
        is_scheduled: row.schedule_id.is_some(),
        is_good: row.succeeded,
        created_at: row.created_at,
    };
    let is_meant = |row: &&Transfer| row.kind == TransferKind::Backup && row.finished_at.is_some();
    backups.iter().filter(is_meant).map(of).collect()
}

fn sentence(transfer: &Transfer, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Canceled if transfer.kind == TransferKind::Backup => "Canceled.".to_owned(),
        Trouble::Canceled => "Canceled: the database has what was moved until then.".to_owned(),
        Trouble::Told(told) => told.clone(),
        Trouble::Host(error) => {
            tracing::error!(transfer.id = %transfer.id, error = chain(error), "a transfer failed");
            "The platform could not do this. Try again, or give the operator the transfer's id.".to_owned()
        }
    }
}

fn in_app_log(transfer: &Transfer, succeeded: bool, told: &str) -> String {
    let (name, of) = (transfer.name(), &transfer.from_name);
    let (what, of) = match (transfer.kind, transfer.schedule_id) {
        (TransferKind::Backup, None) => ("Backup", of),
        (TransferKind::Backup, Some(_)) => ("Scheduled backup", of),
        (TransferKind::Restore, _) => ("Restore", &transfer.to_name),
        (TransferKind::Copy, _) => ("Copy", of),
    };
    match succeeded {
        true => format!("{what} {name} of {of} completed"),
        false => format!("{what} {name} of {of} failed: {told}"),
    }
}
