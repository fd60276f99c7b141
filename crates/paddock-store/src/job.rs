//! Jobs: work that ends. A claim is a lease with a fencing number: who lost it can change nothing any more.
//!
//! pending → running → succeeded | failed; a running job whose lease has passed can be claimed again, with the next
//! attempt. A server claims the jobs of its own apps, and those of no app.

use std::time::Duration;

use paddock_core::durable;
use paddock_core::{AppId, JobId, UnixMicros};

use crate::engine::{self, Number, Sealed, Word, reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for somebody.
    Pending,
    /// Somebody has its lease, or had when they died.
    Running,
    Succeeded,
    /// Given up.
    Failed,
}

impl JobState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The state with this stored text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

word_columns!(JobState = JobState::parse);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub kind: String,
    /// Its app; the job is deleted with it.
    pub app_id: Option<AppId>,
    /// The id of what it is about: a build, a release.
    pub subject_id: String,
    /// The step that is to be done next, or again.
    pub phase: String,
    pub state: JobState,
    pub lease_owner: Option<String>,
    /// When the lease passes.
    pub lease_until: Option<UnixMicros>,
    /// How often it was claimed; the fencing number of the lease.
    pub attempt: i64,
    /// Why the last attempt ended badly.
    pub last_error: Option<String>,
    /// Not to be claimed before.
    pub run_at: UnixMicros,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Job { id, kind, subject_id, phase, state, attempt, run_at, created_at, updated_at }
    optional { app_id, lease_owner, lease_until, last_error });

/// What a new job is made of; fields as in [`Job`].
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub kind: String,
    pub app_id: Option<AppId>,
    /// The id of what it is about.
    pub subject_id: String,
    pub phase: String,
    /// What it needs to know that nobody may read; it is kept sealed, until the job ends.
    pub secret: Option<String>,
    /// Not to be claimed before; `None`: at once.
    pub run_at: Option<UnixMicros>,
}

/// Proof of a claim: needed for every change to a running job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLease {
    pub job_id: JobId,
    pub owner: String,
    /// The attempt that the claim began.
    pub attempt: i64,
}

statements! {
    BY_ID = "SELECT * FROM jobs WHERE id = $1";
    CREATE = "INSERT INTO jobs (id, kind, app_id, subject_id, phase, state, attempt, payload, secret, run_at, created_at, \
        updated_at) VALUES ($1, $2, $3, $4, $5, 'pending', 0, '{}', $6, $8, $7, $7)";
    SECRET = "SELECT secret AS sealed FROM jobs WHERE id = $1";
    // The outer condition is the inner one again: a claimant that waited for another's claim finds it false.
    CLAIM = "UPDATE jobs SET state = 'running', lease_owner = $1, lease_until = $2, attempt = attempt + 1, \
        updated_at = $3 WHERE id = (SELECT id FROM jobs WHERE run_at <= $3 \
        AND kind = $5 AND (app_id IS NULL OR app_id IN (SELECT id FROM apps WHERE server_id = $4)) \
        AND (state = 'pending' OR (state = 'running' AND lease_until < $3)) \
        ORDER BY (SELECT COUNT(*) FROM jobs AS others WHERE others.app_id = jobs.app_id AND others.kind = jobs.kind \
        AND others.state = 'running' AND others.lease_until >= $3), created_at, id LIMIT 1) \
        AND (state = 'pending' OR (state = 'running' AND lease_until < $3)) RETURNING *";
    KINDS = "SELECT DISTINCT kind AS word FROM jobs WHERE run_at <= $1 \
        AND (app_id IS NULL OR app_id IN (SELECT id FROM apps WHERE server_id = $2)) \
        AND (state = 'pending' OR (state = 'running' AND lease_until < $1)) ORDER BY kind";
    CLAIMABLE = "SELECT COUNT(*) AS number FROM jobs WHERE run_at <= $1 AND kind = $3 \
        AND (app_id IS NULL OR app_id IN (SELECT id FROM apps WHERE server_id = $2)) \
        AND (state = 'pending' OR (state = 'running' AND lease_until < $1))";
    RENEW = "UPDATE jobs SET lease_until = $4, updated_at = $5 \
        WHERE id = $1 AND lease_owner = $2 AND attempt = $3 AND state = 'running'";
    SET_PHASE = "UPDATE jobs SET phase = $4, updated_at = $5 \
        WHERE id = $1 AND lease_owner = $2 AND attempt = $3 AND state = 'running'";
    SUCCEED = "UPDATE jobs SET state = 'succeeded', payload = '{}', secret = NULL, lease_owner = NULL, lease_until = NULL, last_error = NULL, \
        updated_at = $4 WHERE id = $1 AND lease_owner = $2 AND attempt = $3 AND state = 'running'";
    FAIL = "UPDATE jobs SET state = 'failed', payload = '{}', secret = NULL, lease_owner = NULL, lease_until = NULL, last_error = $4, \
        updated_at = $5 WHERE id = $1 AND lease_owner = $2 AND attempt = $3 AND state = 'running'";
    EXPIRE_LEASES = "UPDATE jobs SET lease_until = 0 WHERE state = 'running' AND lease_owner <> $1 \
        AND app_id IN (SELECT id FROM apps WHERE server_id = $2)";
    PURGE = "DELETE FROM jobs WHERE state IN ('succeeded', 'failed') AND updated_at < $1";
}

pub(crate) fn secret_place(id: JobId) -> String {
    format!("job-secret:{id}")
}

reads! {
    job(id: JobId) -> one Job: BY_ID [id];
}

impl Store {
    /// The kinds of the jobs that may be claimed, by name.
    pub async fn claimable_kinds(&self, now: UnixMicros) -> Result<Vec<String>> {
        let kinds =
            engine::all::<Word>(&mut *self.reader().await?, KINDS, values![now, self.server.id]).await?;
        Ok(kinds.into_iter().map(|Word(kind)| kind).collect())
    }

    /// Claims a job of a kind that may be claimed: one that is pending and due, or whose lease has passed. Apps take turns:
    /// of those that have the fewest running, the one that waits for longest. Safe for any number of claimants: each job
    /// goes to one.
    pub async fn claim_job(
        &self,
        owner: &str,
        kind: &str,
        now: UnixMicros,
        lease: Duration,
    ) -> Result<Option<(Job, JobLease)>> {
        #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
        let mut connection = self.writer().await?;
        loop {
            let values = values![owner, now + lease, now, self.server.id, kind];
            let claimed = durable!("job.claimed", engine::one::<Job>(&mut connection, CLAIM, values).await)?;
            if let Some(job) = claimed {
                let lease = JobLease { job_id: job.id, owner: owner.to_owned(), attempt: job.attempt };
                return Ok(Some((job, lease)));
            }
            // Somebody else may have taken the oldest between our look and our lock: then there is a next.
            let left = engine::one::<Number>(&mut connection, CLAIMABLE, values![now, self.server.id, kind]);
            if left.await?.is_none_or(|Number(count)| count == 0) {
                return Ok(None);
            }
        }
    }

    /// What a job has to know that nobody may read; `None` when it was made without, or has ended.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn job_secret(&self, id: JobId) -> Result<Option<String>> {
        let row = engine::one::<Sealed>(&mut *self.reader().await?, SECRET, values![id]).await?;
        let Some(sealed) = row.and_then(|Sealed(sealed)| sealed) else { return Ok(None) };
        let clear = self.sealer().unseal(&secret_place(id), &sealed)?;
        String::from_utf8(clear).map(Some).map_err(|_| StoreError::UnknownValue { column: "secret" })
    }

    /// Lets the leases that other owners have on jobs of this server's apps pass. Only for the one process of this
    /// server, as after taking its lock: what the one before it was doing can then be claimed at once. How many.
    pub async fn expire_leases_of_others(&self, owner: &str) -> Result<u64> {
        let values = values![owner, self.server.id];
        durable!(
            "job.leases_expired",
            engine::execute(&mut *self.writer().await?, EXPIRE_LEASES, values).await
        )
    }

    /// Makes a lease pass `lease` from `now`.
    ///
    /// # Errors
    /// `LeaseLost`: stop working on the job.
    pub async fn renew_job(&self, lease: &JobLease, now: UnixMicros, duration: Duration) -> Result<()> {
        let values = values![lease.job_id, lease.owner, lease.attempt, now + duration, now];
        let changed =
            durable!("job.renewed", engine::execute(&mut *self.writer().await?, RENEW, values).await)?;
        held(lease, changed)
    }
}

impl Tx {
    /// Makes a job that may be claimed once it is due.
    pub async fn enqueue_job(&mut self, new: &NewJob) -> Result<()> {
        let sealed = |secret: &String| self.sealer.seal(&secret_place(new.id), secret.as_bytes());
        let secret = new.secret.as_ref().map(sealed).transpose()?;
        let values = values![
            new.id,
            new.kind,
            new.app_id,
            new.subject_id,
            new.phase,
            secret,
            self.now,
            new.run_at.unwrap_or(self.now)
        ];
        self.execute(CREATE, values).await.map(drop)
    }

    /// Notes which step is next; what the step before has changed belongs into the same transaction.
    ///
    /// # Errors
    /// `LeaseLost`: drop the transaction and stop working on the job.
    pub async fn set_job_phase(&mut self, lease: &JobLease, phase: &str) -> Result<()> {
        let values = values![lease.job_id, lease.owner, lease.attempt, phase, self.now];
        held(lease, self.execute(SET_PHASE, values).await?)
    }

    /// Ends a job well.
    ///
    /// # Errors
    /// `LeaseLost`: drop the transaction and stop working on the job.
    pub async fn succeed_job(&mut self, lease: &JobLease) -> Result<()> {
        let values = values![lease.job_id, lease.owner, lease.attempt, self.now];
        held(lease, self.execute(SUCCEED, values).await?)
    }

    /// Ends a job badly.
    ///
    /// # Errors
    /// `LeaseLost`: drop the transaction and stop working on the job.
    pub async fn fail_job(&mut self, lease: &JobLease, error: &str) -> Result<()> {
        let values = values![lease.job_id, lease.owner, lease.attempt, error, self.now];
        held(lease, self.execute(FAIL, values).await?)
    }

    /// Deletes jobs that ended before `before`. How many.
    pub async fn purge_jobs(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}

fn held(lease: &JobLease, changed: u64) -> Result<()> {
    if changed == 0 { Err(StoreError::LeaseLost(lease.job_id)) } else { Ok(()) }
}
