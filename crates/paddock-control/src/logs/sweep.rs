//! Logs of apps that are gone, and lines past their time.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use paddock_core::AppId;

use crate::Result;
use crate::kernel::error::Error;
use crate::kernel::sweep::Sweep;
use crate::logs::Logs;

/// Sweeps logs.
pub(crate) struct LogSweep {
    logs: Arc<Logs>,
}

impl LogSweep {
    pub(crate) fn new(logs: Arc<Logs>) -> Self {
        Self { logs }
    }

    /// Old lines; and the logs of apps that nobody remembers, which lines brought back that came very late.
    async fn retire_logs(&self) -> Result<()> {
        let (store, logs) = (&self.logs.kernel.store, &self.logs.kernel.logs);
        let found = logs.apps().await.map_err(|error| Error::internal("list logs", error))?;
        // Rows after folders: an app has its row before its first line.
        let mut known: HashSet<AppId> = store.apps().await?.into_iter().map(|app| app.id).collect();
        known.extend(store.deleted_apps().await?.into_iter().map(|app| app.app_id));
        for app in found.into_iter().filter(|app| !known.contains(app)) {
            let deleted = logs.delete_app(app).await;
            deleted.map_err(|error| Error::internal("remove the log of an app that is gone", error))?;
        }
        let retained = self.logs.kernel.logs.retain(self.logs.kernel.now()).await;
        retained.map_err(|error| Error::internal("retire old log lines", error))
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
