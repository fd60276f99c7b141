//! What transfers leave behind that nobody lists any more: files of backups that were let go, and all of an app that is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::AppId;
use paddock_store::Transfer;

use super::super::Addons;
use super::store::{Named, NamedDumps};
use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::sweep::Sweep;

/// How long the store may take for one removal.
const REMOVAL_TIME: Duration = Duration::from_secs(30);
/// How long it may take for a look at all of it.
const SWEEP_TIME: Duration = Duration::from_secs(2 * 60);

/// Sweeps after transfers.
pub(crate) struct TransferSweep {
    addons: Arc<Addons>,
}

impl TransferSweep {
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        Self { addons }
    }
}

#[async_trait]
impl Sweep for TransferSweep {
    /// The rows say what there is of it.
    async fn remove_app(&mut self, _: AppId) -> Result<()> {
        Ok(())
    }

    async fn sweep(&mut self) -> Vec<Result<u64>> {
        let rows = match self.addons.kernel.store.transfers_to_remove().await {
            Ok(rows) => rows,
            Err(error) => return vec![Err(error.into())],
        };
        let mut results = vec![self.addons.sweep_server_dumps().await];
        for row in rows {
            let removed = self.addons.remove_transfer(&row).await;
            let is_away = removed.is_err();
            results.push(removed.map(|()| 1));
            // The store is away for the others as well, and each of them would be waited for.
            if is_away {
                return results;
            }
        }
        results.push(self.addons.sweep_store().await);
        results
    }
}

impl Addons {
    /// Removes what was just let go; what does not go now, the sweep removes.
    pub(super) async fn remove_marked(&self) {
        let rows = self.kernel.store.transfers_to_remove().await.unwrap_or_default();
        for row in rows.iter().filter(|row| row.app_id.is_some()) {
            if let Err(error) = self.remove_transfer(row).await {
                tracing::warn!(transfer.id = %row.id, error = chain(&error), "could not remove a backup, will be tried again");
                return;
            }
        }
    }

    async fn sweep_store(&self) -> Result<u64> {
        let named: NamedDumps<'_> = &|| Box::pin(self.named_dumps());
        let swept = self.backups.sweep(self.kernel.now(), named);
        in_time(SWEEP_TIME, swept)
            .await
            .map_err(|error| Error::internal("look for backups that nobody names", error))
    }

    async fn named_dumps(&self) -> io::Result<Named> {
        let rows = self.kernel.store.transfers_of_server().await.map_err(io::Error::other)?;
        let is_unfinished = |row: &&Transfer| row.finished_at.is_none();
        let unfinished = rows.iter().filter(is_unfinished).map(|row| row.object.clone()).collect();
        Ok(Named { unfinished, all: rows.into_iter().map(|row| row.object).collect() })
    }

    /// Removes what the store has of a transfer, if it answers.
    pub(super) async fn remove_dump(&self, row: &Transfer) -> io::Result<()> {
        in_time(REMOVAL_TIME, self.backups.remove(&row.object)).await
    }

    /// The file first: as long as it is there, a row knows of it.
    async fn remove_transfer(&self, row: &Transfer) -> Result<()> {
        self.clear_work(row.id).await?;
        let removed = self.remove_dump(row).await;
        removed.map_err(|error| Error::internal("remove a backup", error))?;
        let mut tx = self.kernel.record("forget a transfer").await?;
        tx.delete_transfer(row.id).await?;
        tx.commit_quietly("transfer.forgotten").await
    }
}

/// A store that hangs does not hold up what else is cleaned up, nor whoever deletes a backup.
async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the store of backups takes too long")),
    }
}
