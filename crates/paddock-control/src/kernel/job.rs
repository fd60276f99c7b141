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

/// How far a job has come: a word in its row for each step that is to be done next, or again.
pub(crate) trait Phase: Copy + Send + Sync + 'static {
    const ALL: &'static [Self];

    fn as_str(self) -> &'static str;

    /// The phase with this word.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|phase| phase.as_str() == word)
    }
}

#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// Its name in the rows.
    const KIND: &'static str;
    type Phase: Phase;

    /// Does the job from the phase that its row is in. What fails is tried again when the lease has passed.
    async fn run(&self, job: &Job, phase: Self::Phase, lease: &JobLease) -> Result<()>;
}

/// A kind of job with places of its own: one kind that is full holds up no other.
pub(crate) struct Lane {
    kind: &'static str,
    slots: usize,
    work: Box<dyn AnyWork>,
}

impl Lane {
    /// At most `slots` jobs of this kind at a time.
    pub(crate) fn new<W: Work>(work: W, slots: usize) -> Self {
        Self { kind: W::KIND, slots, work: Box::new(work) }
    }
}

/// [`Work`] without its phases.
#[async_trait]
trait AnyWork: Send + Sync {
    /// `None` for a phase that this version does not know.
    async fn run_from(&self, job: &Job, lease: &JobLease) -> Option<Result<()>>;
}

#[async_trait]
impl<W: Work> AnyWork for W {
    async fn run_from(&self, job: &Job, lease: &JobLease) -> Option<Result<()>> {
        Some(self.run(job, W::Phase::parse(&job.phase)?, lease).await)
    }
}

/// A job that is worked on here.
struct Worker {
    kind: String,
    lease: JobLease,
    task: AbortHandle,
}

/// Runs the jobs of this server's apps until `stop`. `owner` names this process: at its start the leases of processes
/// before it are over, since only one uses a data directory. So nobody else takes the jobs of our apps (those of no app go
/// to any server of the database): a lease that passes while its job is worked on, because this machine was too busy to renew
/// it or its clock was put on, is ours all the same. Ends early where another has started after all.
///
/// # Errors
/// When the database cannot be written for long, at the start.
pub(crate) async fn run(
    kernel: Arc<Kernel>,
    lanes: Arc<[Lane]>,
    owner: String,
    stop: CancellationToken,
) -> Result<()> {
    kernel.store.expire_leases_of_others(&owner).await?;
    let mut wake = kernel.wakes.jobs.listen();
    let mut running = JoinSet::new();
    let mut workers: HashMap<JobId, Worker> = HashMap::new();
    loop {
        if kernel.store.is_newest_incarnation().await.is_ok_and(|newest| !newest) {
            return Err(Error::internal(
                "run jobs",
                "another process has started with the identity of this data folder: was the folder copied?",
            ));
        }
        workers.retain(|_, worker| !worker.task.is_finished());
        if let Err(error) = fill(&kernel, &lanes, &owner, &mut running, &mut workers).await {
            tracing::error!(error = chain(&error), "could not look for jobs, will be tried again");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(ended) = running.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(error = chain(&error), "a job broke off, will be resumed when its lease has passed");
                }
            }
            () = wake.heard(LOOK) => {}
        }
    }
}

/// Takes up what is due and has a place. A kind that no lane is for is taken up as well, to be refused.
async fn fill(
    kernel: &Arc<Kernel>,
    lanes: &Arc<[Lane]>,
    owner: &str,
    running: &mut JoinSet<()>,
    workers: &mut HashMap<JobId, Worker>,
) -> std::result::Result<(), StoreError> {
    for kind in kernel.store.claimable_kinds(kernel.now()).await? {
        let slots = lanes.iter().find(|lane| lane.kind == kind).map_or(1, |lane| lane.slots);
        while workers.values().filter(|worker| worker.kind == kind).count() < slots {
            // By one clock: what is renewed now has not passed now.
            let ours = workers.values().filter(|worker| worker.kind == kind).map(|worker| &worker.lease);
            let Some((job, lease)) = claim(kernel, owner, &kind, ours, kernel.now()).await? else { break };
            // Not two at a time, whatever the database says.
            if let Some(before) = workers.remove(&job.id) {
                before.task.abort();
            }
            let id = job.id;
            let task = running.spawn(work(kernel.clone(), lanes.clone(), job, lease.clone()));
            workers.insert(id, Worker { kind: kind.clone(), lease, task });
        }
    }
    Ok(())
}

/// Works on one job and keeps its lease. A job whose lease is lost belongs to somebody else: we let go of it.
async fn work(kernel: Arc<Kernel>, lanes: Arc<[Lane]>, job: Job, lease: JobLease) {
    let done = async {
        let done = match lanes.iter().find(|lane| lane.kind == job.kind) {
            Some(lane) => lane.work.run_from(&job, &lease).await,
            None => None,
        };
        let result = match done {
            Some(result) => result,
            None => refuse(&kernel, &lanes, &job, &lease).await,
        };
        if let Err(error) = result {
            tracing::error!(job.id = %job.id, job.kind = job.kind, error = chain(&error), "a job stopped, will be resumed");
        }
    };
    tokio::select! {
        () = keep(&kernel, &job, &lease) => {}
        () = done => {}
    }
}

/// Claims a job, but none of those that are worked on here.
pub(crate) async fn claim<'a>(
    kernel: &Kernel,
    owner: &str,
    kind: &str,
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
    kernel.store.claim_job(owner, kind, now, LEASE).await
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

/// A kind or a phase that a later version has written.
async fn refuse(kernel: &Kernel, lanes: &[Lane], job: &Job, lease: &JobLease) -> Result<()> {
    let what = match lanes.iter().any(|lane| lane.kind == job.kind) {
        true => format!("no such phase of a job of kind {}: {}", job.kind, job.phase),
        false => format!("no such kind of job: {}", job.kind),
    };
    let mut tx = kernel.record("refuse a job").await?;
    tx.fail_job(lease, &what).await?;
    tx.commit_quietly("job.refused").await?;
    tracing::error!(job.id = %job.id, job.kind = job.kind, job.phase = job.phase, "a job that this version does not know");
    Ok(())
}
