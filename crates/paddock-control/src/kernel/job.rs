//! Jobs get things done: builds. A row with a phase, idempotent steps, a lease; a crash makes a job resumed or failed,
//! never "running" for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::{JobId, UnixMicros};
use paddock_store::{Job, JobLease, JobState, StoreError};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::kernel::Kernel;
use crate::kernel::error::chain;
use crate::{Error, Result};

/// How long a job is ours without renewal.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How often a lease is renewed.
pub(crate) const RENEW: Duration = Duration::from_secs(10);
/// How often the queue is looked at when nothing wakes us.
const LOOK: Duration = Duration::from_secs(2);

/// One kind of job.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    /// Its name in the rows.
    fn kind(&self) -> &'static str;

    /// Does the job from the phase that its row is in. What fails is tried again when the lease has passed.
    async fn run(&self, job: &Job, lease: &JobLease) -> Result<()>;
}

/// Runs the jobs of this server's apps until `stop`. `owner` names this process: at its start the leases of processes
/// before it are over, since only one uses a data directory. So nobody else takes our jobs: a lease that passes while its
/// job is worked on, because this machine was too busy to renew it or its clock was put on, is ours all the same. Ends
/// early where another has started after all.
///
/// # Errors
/// When the database cannot be written for long, at the start.
pub(crate) async fn run(
    kernel: Arc<Kernel>,
    kinds: Arc<[Box<dyn Work>]>,
    owner: String,
    stop: CancellationToken,
) -> Result<()> {
    kernel.store.expire_leases_of_others(&owner).await?;
    let mut wake = kernel.wakes.jobs.listen();
    let mut running = JoinSet::new();
    let mut workers: HashMap<JobId, (AbortHandle, JobLease)> = HashMap::new();
    loop {
        if kernel.store.is_newest_incarnation().await.is_ok_and(|newest| !newest) {
            return Err(Error::internal(
                "run jobs",
                "another process has started with the identity of this data folder: was the folder copied?",
            ));
        }
        workers.retain(|_, (worker, _)| !worker.is_finished());
        while running.len() < kernel.config.concurrent_builds {
            // By one clock: what is renewed now has not passed now.
            let now = kernel.now();
            match claim(&kernel, &owner, workers.values().map(|(_, lease)| lease), now).await {
                Ok(Some((job, lease))) => {
                    let id = job.id;
                    let worker = running.spawn(work(kernel.clone(), kinds.clone(), job, lease.clone()));
                    if let Some((before, _)) = workers.insert(id, (worker, lease)) {
                        // Not two at a time, whatever the database says.
                        before.abort();
                    }
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
async fn work(kernel: Arc<Kernel>, kinds: Arc<[Box<dyn Work>]>, job: Job, lease: JobLease) {
    let done = async {
        let result = match kinds.iter().find(|kind| kind.kind() == job.kind) {
            Some(kind) => kind.run(&job, &lease).await,
            None => fail_unknown(&kernel, &job, &lease, &job.kind).await,
        };
        if let Err(error) = result {
            tracing::error!(job.id = %job.id, job.kind = job.kind, error = chain(&error), "a job stopped, will be resumed");
        }
    };
    tokio::select! {
        () = keep(&kernel, &job, &lease) => {}
        () = done => {}
    }
    kernel.wakes.changes.wake();
}

/// Claims a job, but none of those that are worked on here.
pub(crate) async fn claim<'a>(
    kernel: &Kernel,
    owner: &str,
    ours: impl Iterator<Item = &'a JobLease>,
    now: UnixMicros,
) -> std::result::Result<Option<(Job, JobLease)>, StoreError> {
    for lease in ours {
        match kernel.store.renew_job(lease, now, LEASE).await {
            // It has just ended, or its worker hears of it in a moment.
            Ok(()) | Err(StoreError::LeaseLost(_)) => {}
            Err(error) => return Err(error),
        }
    }
    kernel.store.claim_job(owner, now, LEASE).await
}

/// How a lease stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is ours, and was renewed.
    Ours,
    /// Its job has ended, by our hand: nobody else has ended it.
    Ended,
    /// Another one has the job.
    Taken { owner: String },
    /// The job is gone with its app.
    Gone,
}

pub(crate) async fn renew(kernel: &Kernel, lease: &JobLease) -> std::result::Result<Standing, StoreError> {
    match kernel.store.renew_job(lease, kernel.now(), LEASE).await {
        Ok(()) => return Ok(Standing::Ours),
        Err(StoreError::LeaseLost(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(match kernel.store.job(lease.job_id).await? {
        None => Standing::Gone,
        Some(row) if matches!(row.state, JobState::Succeeded | JobState::Failed) => Standing::Ended,
        Some(row) => Standing::Taken { owner: row.lease_owner.unwrap_or_default() },
    })
}

/// Renews a lease until it is lost. While the database is away it is not lost: what the work does is refused to whoever
/// has lost it, and nobody else looks for jobs of this server.
async fn keep(kernel: &Kernel, job: &Job, lease: &JobLease) {
    loop {
        tokio::time::sleep(RENEW).await;
        match renew(kernel, lease).await {
            Ok(Standing::Ours) => {}
            // What its work does after that is let come to its end.
            Ok(Standing::Ended) => return std::future::pending().await,
            Ok(Standing::Taken { owner }) => {
                tracing::error!(job.id = %job.id, owner, "a job belongs to somebody else now: it stops here");
                return;
            }
            Ok(Standing::Gone) => {
                tracing::info!(job.id = %job.id, "the app of a job was destroyed: it stops here");
                return;
            }
            Err(error) => {
                tracing::warn!(job.id = %job.id, error = chain(&error), "could not renew a lease, will be tried again");
            }
        }
    }
}

async fn fail_unknown(kernel: &Kernel, job: &Job, lease: &JobLease, kind: &str) -> Result<()> {
    let mut tx = kernel.record("refuse a job").await?;
    tx.fail_job(lease, &format!("no such kind of job: {kind}")).await?;
    tx.commit_quietly("job.refused").await?;
    tracing::error!(job.id = %job.id, job.kind = kind, "a job of a kind that this version does not know");
    Ok(())
}
