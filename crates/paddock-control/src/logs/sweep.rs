//! Logs of apps that are gone, and lines past their time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use paddock_core::AppId;
use paddock_store::AppSpan;

use crate::Result;
use crate::kernel::error::Error;
use crate::kernel::sweep::Sweep;
use crate::logs::Logs;

/// Logs of one pass: those of five thousand apps are gone through within an hour.
const AT_ONCE: usize = 128;
/// Between two times that all are gone through.
const ROUND: Duration = Duration::from_secs(10 * 60);
/// A log that nobody has used for so long is on disk alone.
const UNUSED: Duration = Duration::from_secs(5 * 60);

/// Sweeps logs, some with each pass.
pub(crate) struct LogSweep {
    logs: Arc<Logs>,
    /// What is left of this round.
    left: Vec<AppId>,
    begun: Option<Instant>,
}

impl LogSweep {
    pub(crate) fn new(logs: Arc<Logs>) -> Self {
        Self { logs, left: Vec::new(), begun: None }
    }

    /// Old lines; and the logs of apps that nobody remembers, which lines brought back that came very late.
    async fn retire_logs(&mut self) -> Result<()> {
        let (store, logs) = (&self.logs.kernel.store, &self.logs.kernel.logs);
        logs.forget_unused(UNUSED);
        if self.left.is_empty() && self.begun.is_none_or(|begun| begun.elapsed() >= ROUND) {
            self.left = logs.apps().await.map_err(|error| Error::internal("list logs", error))?;
            // The first ones last: some are taken off that end, and lie next to each other.
            self.left.sort_by(|one, other| other.cmp(one));
            self.begun = Some(Instant::now());
        }
        let rest = self.left.len().saturating_sub(AT_ONCE);
        let some: Vec<_> = self.left[rest..].iter().rev().copied().collect();
        let Some(span) = AppSpan::of_ids(&some) else { return Ok(()) };
        // Rows after folders: an app has its row before its first line.
        let there: HashSet<AppId> = store.apps_within(span).await?.into_iter().map(|app| app.id).collect();
        let (known, mut unknown): (Vec<_>, Vec<_>) = some.into_iter().partition(|app| there.contains(app));
        if !unknown.is_empty() {
            let deleted: HashSet<_> = store.deleted_apps().await?.into_iter().map(|app| app.app_id).collect();
            unknown.retain(|app| !deleted.contains(app));
        }
        self.left.truncate(rest);
        // One that cannot be removed keeps no other from its turn.
        let mut outcome = Ok(());
        for app in unknown {
            let deleted = logs.delete_app(app).await;
            outcome = outcome.and(
                deleted.map_err(|error| Error::internal("remove the log of an app that is gone", error)),
            );
        }
        let retained = logs.retain(&known, self.logs.kernel.now()).await;
        outcome.and(retained.map_err(|error| Error::internal("retire old log lines", error)))
    }
}

#[async_trait]
impl Sweep for LogSweep {
    async fn remove_app(&mut self, app: AppId) -> Result<()> {
        let deleted = self.logs.kernel.logs.delete_app(app).await;
        deleted.map_err(|error| Error::internal("remove a destroyed app's log", error))
    }

    async fn sweep(&mut self) -> Vec<Result<u64>> {
        vec![self.retire_logs().await.map(|()| 0)]
    }
}
