//! Keeps the disk free of what nobody can reach any more: files of destroyed apps, layers that no slug names, log
//! lines and rows past their time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use paddock_images::LayerDigest;
use paddock_store::DeletedApp;

use super::{PassReport, Reconciler};
use crate::error::{Error, chain};
use crate::{Control, Result, label};

/// Layers younger than this are spared: one is added before the row that names it.
const LAYER_AGE: Duration = Duration::from_secs(60 * 60);
/// Rows that only tell of the past are kept this long.
const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes what nobody can reach any more.
pub struct GarbageReconciler {
    control: Arc<Control>,
}

impl GarbageReconciler {
    /// For this control plane.
    #[must_use]
    pub fn new(control: Arc<Control>) -> Self {
        Self { control }
    }

    async fn remove_app(&self, app: &DeletedApp) -> Result<bool> {
        let control = &self.control;
        let observed =
            control.runtime.observe().await.map_err(|error| Error::internal("list containers", error))?;
        if observed.iter().filter_map(label::dyno_of).any(|container| container.app == app.app_id) {
            // Its dynos end first; the formation reconciler sees to that.
            control.wakes.dynos.wake();
            return Ok(false);
        }
        let removed = control.repositories.delete(app.app_id).await;
        removed.map_err(|error| Error::internal("remove a destroyed app's repository", error))?;
        let purged = control.builder.purge_cache(app.app_id).await;
        purged.map_err(|error| Error::internal("remove a destroyed app's build cache", error))?;
        let deleted = control.logs.delete_app(app.app_id).await;
        deleted.map_err(|error| Error::internal("remove a destroyed app's log", error))?;
        let mut tx = control.store.begin_platform(control.now()).await?;
        tx.forget_deleted_app(app.app_id).await?;
        tx.commit().await?;
        tracing::info!(app.name = %app.name, "removed what was left of the destroyed app {}", app.name);
        Ok(true)
    }

    async fn purge_rows(&self) -> Result<()> {
        let now = self.control.now();
        let mut tx = self.control.store.begin_platform(now).await?;
        tx.purge_orphan_slugs().await?;
        tx.purge_jobs(now - HISTORY).await?;
        tx.purge_events(now - HISTORY).await?;
        tx.purge_log_sessions(now).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn collect_layers(&self) -> Result<u64> {
        let named = self.control.store.slug_layers().await?;
        let keep: HashSet<LayerDigest> = named.iter().filter_map(|digest| digest.parse().ok()).collect();
        let layers = self.control.layers.clone();
        let before = SystemTime::now().checked_sub(LAYER_AGE).unwrap_or(SystemTime::UNIX_EPOCH);
        let collected = tokio::task::spawn_blocking(move || layers.collect(&keep, before)).await;
        let collected = collected.map_err(|error| Error::internal("collect layers", error))?;
        let collected = collected.map_err(|error| Error::internal("collect layers", error))?;
        Ok(collected.layers)
    }
}

#[async_trait]
impl Reconciler for GarbageReconciler {
    const NAME: &'static str = "garbage";
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport::default();
        for app in self.control.store.deleted_apps().await? {
            match self.remove_app(&app).await {
                Ok(true) => report.done += 1,
                Ok(false) => report.again_in = Some(Duration::from_secs(1)),
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(app.name = %app.name, error = chain(&error), "could not remove a destroyed app");
                }
            }
        }
        self.purge_rows().await?;
        report.done += usize::try_from(self.collect_layers().await?).unwrap_or(0);
        let retained = self.control.logs.retain(self.control.now()).await;
        retained.map_err(|error| Error::internal("retire old log lines", error))?;
        Ok(report)
    }
}
