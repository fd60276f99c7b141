//! Keeps the disk free of what nobody can reach any more: files of destroyed apps, old releases, layers that no slug
//! names, log lines and rows past their time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::AppId;
use paddock_store::DeletedApp;

use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::request_outcome::REMEMBERED_FOR;
use crate::kernel::sweep::Sweep;
use crate::kernel::wake::{Wake, Wakes};
use crate::platform::Platform;

/// How long a destroyed app is remembered. Until then what comes late is removed as well: lines that the router still
/// had, the repository of a push that was under way.
const DESTROYED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is looked after often.
const LATE: Duration = Duration::from_secs(60);
/// Apps of one pass that were destroyed longer ago.
const GONE_AT_ONCE: usize = 64;
/// Failures that no limit looks back at any more.
const LOGIN_FAILURES: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a version of a stack stays that another took the place of, although nothing needs it: who begins a build reads
/// it before its row says so.
const REPLACED_STACKS: Duration = Duration::from_secs(60 * 60);
/// Rows that only tell of the past are kept this long.
const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes what nobody can reach any more.
pub(crate) struct GarbageReconciler {
    platform: Arc<Platform>,
    areas: Vec<Box<dyn Sweep>>,
    /// How far the apps were gone through that were not destroyed lately.
    gone_through: usize,
}

impl GarbageReconciler {
    pub(crate) fn new(platform: Arc<Platform>, areas: Vec<Box<dyn Sweep>>) -> Self {
        Self { platform, areas, gone_through: 0 }
    }

    /// Removes the files of a destroyed app, again and again until nothing can come late any more. False while containers
    /// of it (`running`) have still to end.
    async fn remove_app(&mut self, app: &DeletedApp, running: &HashSet<AppId>) -> Result<bool> {
        let kernel = &self.platform.kernel;
        if running.contains(&app.app_id) {
            // Its dynos and builds end first; the formation reconciler and the sweep of builds see to that.
            kernel.wakes.dynos.wake();
            return Ok(false);
        }
        for area in &mut self.areas {
            area.remove_app(app.app_id).await?;
        }
        if kernel.now().since(app.deleted_at) > DESTROYED {
            let mut tx = kernel.change_platform("forget a destroyed app").await?;
            tx.forget_deleted_app(app.app_id).await?;
            tx.commit_quietly("app.forgotten").await?;
            tracing::info!(app.name = %app.name, "the destroyed app {} is forgotten", app.name);
        }
        Ok(true)
    }

    /// Those that were destroyed lately, and some of the others: what comes late mostly comes at once.
    fn some_of(&mut self, deleted: Vec<DeletedApp>) -> Vec<DeletedApp> {
        let now = self.platform.kernel.now();
        let (lately, before): (Vec<_>, Vec<_>) =
            deleted.into_iter().partition(|app| now.since(app.deleted_at) < LATE);
        let begin = if self.gone_through < before.len() { self.gone_through } else { 0 };
        self.gone_through = begin + GONE_AT_ONCE;
        let some = before.into_iter().skip(begin).take(GONE_AT_ONCE);
        lately.into_iter().chain(some).collect()
    }

    /// Apps that have containers.
    async fn running_apps(&self) -> Result<HashSet<AppId>> {
        let observed = self.platform.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        Ok(observed.iter().filter_map(label::app_of).collect())
    }

    async fn purge_rows(&self) -> Result<()> {
        let now = self.platform.kernel.now();
        let mut tx = self.platform.kernel.change_platform("remove rows of the past").await?;
        tx.purge_orphan_slugs().await?;
        tx.purge_jobs(now - HISTORY).await?;
        tx.purge_events(now - HISTORY).await?;
        tx.purge_log_sessions(now).await?;
        tx.purge_login_failures(now - LOGIN_FAILURES).await?;
        tx.purge_authorizations(now - HISTORY).await?;
        tx.purge_request_outcomes(now - REMEMBERED_FOR).await?;
        tx.purge_reports(now - HISTORY).await?;
        tx.forget_versions(now - REPLACED_STACKS).await?;
        tx.commit_quietly("garbage.rows_purged").await?;
        Ok(())
    }
}

#[async_trait]
impl Reconciler for GarbageReconciler {
    const NAME: &'static str = "garbage";
    const INTERVAL: Duration = Duration::from_secs(60);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.garbage)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport::default();
        // A backup needs all of it to stay; it will still be there a pass later.
        let platform = self.platform.clone();
        let Ok(_turn) = platform.garbage.try_lock() else { return Ok(report) };
        // Rows before containers: none of an app that is deleted can begin any more.
        let deleted = self.platform.kernel.store.deleted_apps().await?;
        let running = self.running_apps().await?;
        for app in self.some_of(deleted) {
            match self.remove_app(&app, &running).await {
                Ok(true) if self.platform.kernel.now().since(app.deleted_at) < LATE => {
                    report.again_in = Some(Duration::from_secs(5));
                }
                Ok(true) => {}
                Ok(false) => report.again_in = Some(Duration::from_secs(1)),
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(app.name = %app.name, error = chain(&error), "could not remove a destroyed app");
                }
            }
        }
        let mut results = vec![self.purge_rows().await.map(|()| 0)];
        for area in &mut self.areas {
            results.extend(area.sweep().await);
        }
        for result in results {
            match result {
                Ok(removed) => report.done += usize::try_from(removed).unwrap_or(0),
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(error = chain(&error), "could not clean up, will be tried again");
                }
            }
        }
        Ok(report)
    }
}
