//! Jobs get things done: builds. A row with a phase, idempotent steps, a lease; a crash makes a job resumed or failed,
//! never "running" for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use paddock_core::JobId;
use paddock_core::durable;
use paddock_store::{Job, JobLease, StoreError};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::{Control, Error, Result};

pub mod build;
pub(crate) mod fetched_source;
mod own_submodules;
#[cfg(test)]
mod tests;

/// How long a job is ours without renewal.
const LEASE: Duration = Duration::from_secs(30);
/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often the queue is looked at when nothing wakes us.
const LOOK: Duration = Duration::from_secs(2);

/// Runs the jobs of this server's apps until `stop`. `owner` names this process: at its start the leases of processes
/// before it are over, since only one uses a data directory. Ends early where another has started all the same.
///
/// # Errors
/// When the database cannot be written for long, at the start.
pub async fn run(control: Arc<Control>, owner: String, stop: CancellationToken) -> Result<()> {
    control.store.expire_leases_of_others(&owner).await?;
    let mut wake = control.wakes.jobs.listen();
    let mut running = JoinSet::new();
    let mut workers: HashMap<JobId, AbortHandle> = HashMap::new();
    loop {
        if control.store.is_newest_incarnation().await.is_ok_and(|newest| !newest) {
            return Err(Error::internal(
                "run jobs",
                "another process has started with the identity of this data folder: was the folder copied?",
            ));
        }
        while running.len() < control.config.concurrent_builds {
            match control.store.claim_job(&owner, control.now(), LEASE).await {
                Ok(Some((job, lease))) => {
                    let id = job.id;
                    // Ours already, and its lease passed all the same: the clock was put on. Not two at a time.
                    if let Some(before) = workers.remove(&id) {
                        before.abort();
                    }
                    workers.insert(id, running.spawn(work(control.clone(), job, lease)));
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
            Some(_) = running.join_next() => workers.retain(|_, worker| !worker.is_finished()),
            () = wake.heard(LOOK) => {}
        }
    }
}

/// Works on one job and keeps its lease. A job whose lease is lost belongs to somebody else: we let go of it.
async fn work(control: Arc<Control>, job: Job, lease: JobLease) {
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
        () = keep(&control, &job, &lease) => {}
        () = done => {}
    }
    control.wakes.changes.wake();
}

/// Renews a lease until it is lost. One that could not be renewed in its time, because the database was away, is lost
/// too: whoever looks for jobs next, this process among them, may take the job.
async fn keep(control: &Control, job: &Job, lease: &JobLease) {
    let mut until = Instant::now() + LEASE;
    loop {
        tokio::time::sleep(RENEW).await;
        let asked = Instant::now();
        let renewed = control.store.renew_job(lease, control.now(), LEASE);
        match tokio::time::timeout_at(until, renewed).await {
            Ok(Ok(())) => until = asked + LEASE,
            Ok(Err(error @ StoreError::LeaseLost(_))) => {
                tracing::error!(job.id = %job.id, error = chain(&error), "a job belongs to somebody else now");
                return;
            }
            Ok(Err(error)) if Instant::now() + RENEW < until => {
                tracing::warn!(job.id = %job.id, error = chain(&error), "could not renew a lease, will be tried again");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::error!(job.id = %job.id, "the lease of a job could not be renewed in time: it stops here");
                return;
            }
        }
    }
}

async fn fail_unknown(control: &Control, job: &Job, lease: &JobLease, kind: &str) -> Result<()> {
    let mut tx = control.store.begin_record(control.now()).await?;
    tx.fail_job(lease, &format!("no such kind of job: {kind}")).await?;
    durable!("job.refused", tx.commit().await)?;
    tracing::error!(job.id = %job.id, job.kind = kind, "a job of a kind that this version does not know");
    Ok(())
}
