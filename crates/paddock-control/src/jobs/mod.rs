//! Jobs get things done: builds. A row with a phase, idempotent steps, a lease; a crash makes a job resumed or failed,
//! never "running" for ever.

use std::sync::Arc;
use std::time::Duration;

use paddock_store::{Job, JobLease, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::{Control, Result};

pub mod build;
pub(crate) mod fetched_source;
mod own_submodules;

/// How long a job is ours without renewal.
const LEASE: Duration = Duration::from_secs(30);
/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often the queue is looked at when nothing wakes us.
const LOOK: Duration = Duration::from_secs(2);

/// Runs jobs until `stop`. `owner` names this process: at its start the leases of processes before it are over, since
/// only one control plane uses a data directory.
///
/// # Errors
/// When the store cannot be written at the start.
pub async fn run(control: Arc<Control>, owner: String, stop: CancellationToken) -> Result<()> {
    control.store.expire_leases_of_others(&owner).await?;
    let mut wake = control.wakes.jobs.listen();
    let mut running = JoinSet::new();
    loop {
        while running.len() < control.config.concurrent_builds {
            match control.store.claim_job(None, &owner, control.now(), LEASE).await {
                Ok(Some((job, lease))) => {
                    running.spawn(work(control.clone(), job, lease));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(error = chain(&error), "could not look for jobs, will be tried again");
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = running.join_next() => {}
            () = wake.heard(LOOK) => {}
        }
    }
}

/// Works on one job and keeps its lease. A job whose lease is lost belongs to somebody else: we let go of it.
async fn work(control: Arc<Control>, job: Job, lease: JobLease) {
    let keep = async {
        loop {
            tokio::time::sleep(RENEW).await;
            match control.store.renew_job(&lease, control.now(), LEASE).await {
                Ok(()) => {}
                Err(error @ StoreError::LeaseLost(_)) => {
                    tracing::error!(job.id = %job.id, error = chain(&error), "a job belongs to somebody else now");
                    return;
                }
                // A store that is busy is asked again; nobody else takes jobs of a data directory that we hold.
                Err(error) => {
                    tracing::warn!(job.id = %job.id, error = chain(&error), "could not renew a lease");
                }
            }
        }
    };
    let done = async {
        let result = match job.kind.as_str() {
            build::KIND => build::run(&control, &job, &lease).await,
            other => fail_unknown(&control, &job, &lease, other).await,
        };
        if let Err(error) = result {
            tracing::error!(job.id = %job.id, job.kind = job.kind, error = chain(&error), "a job stopped, will be resumed");
        }
    };
    tokio::select! {
        () = keep => {}
        () = done => {}
    }
    control.wakes.changes.wake();
}

async fn fail_unknown(control: &Control, job: &Job, lease: &JobLease, kind: &str) -> Result<()> {
    let mut tx = control.store.begin_record(control.now()).await?;
    tx.fail_job(lease, &format!("no such kind of job: {kind}")).await?;
    tx.commit().await?;
    tracing::error!(job.id = %job.id, job.kind = kind, "a job of a kind that this version does not know");
    Ok(())
}
