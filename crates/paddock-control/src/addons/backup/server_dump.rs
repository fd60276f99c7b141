//! Dumps of databases for the server's own backup: one at a time, each in a volume that is gone before the next.

use std::fs::File;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use paddock_addons::postgres::{Mode, Rights};
use paddock_core::addon::AddonState;
use paddock_core::transfer::TransferKind;
use paddock_core::{AddonId, TransferId, UnixMicros};
use paddock_store::{Addon, Transfer};

use super::super::Addons;
use super::dump::DUMPED;
use super::run::{Outcome, Trouble, Watch, volume_of};
use super::store::{blocking, open_plain};
use crate::Result;
use crate::kernel::dump_databases::{DumpDatabases, Dumped};
use crate::kernel::error::chain;

/// How long after a failure a dump is tried once more: the database's server may be about to start.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How long a restore or a copy into a database is waited for.
const FILLED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How often it is looked for, and whoever waits told.
const LOOK: Duration = Duration::from_secs(2);

#[async_trait]
impl DumpDatabases for Addons {
    async fn dump_database(&self, addon: AddonId, told: &mut (dyn FnMut(u64) -> bool + Send)) -> Dumped {
        if !told(0) {
            return Dumped::Unwanted;
        }
        let filled_by = self.kernel.now() + FILLED_WITHIN;
        let mut outcome = self.dump_for_server(addon, filled_by, told).await;
        if matches!(outcome, Err(Trouble::Host(_) | Trouble::Told(_))) && told(0) {
            tokio::time::sleep(AGAIN_AFTER).await;
            outcome = self.dump_for_server(addon, filled_by, told).await;
        }
        match outcome {
            Ok(Some((file, bytes))) => Dumped::Dump(file, bytes),
            Ok(None) => Dumped::Gone,
            Err(Trouble::Canceled) => Dumped::Unwanted,
            Err(Trouble::Told(reason)) => Dumped::Failed(reason),
            Err(Trouble::Host(error)) => Dumped::Failed(chain(&error)),
        }
    }
}

impl Addons {
    /// What these dumps are made under: no transfer has the id of a server.
    fn server_dumps(&self) -> TransferId {
        TransferId::from_uuid(self.kernel.store.server_id().uuid())
    }

    async fn dump_for_server(
        &self,
        addon: AddonId,
        filled_by: UnixMicros,
        told: &mut (dyn FnMut(u64) -> bool + Send),
    ) -> Outcome<Option<(File, u64)>> {
        // One that is still to be filled has nothing else yet.
        let waiting = self.dumps_to_fill.open(addon).map_err(|error| Trouble::host("read a dump", error))?;
        if waiting.is_some() {
            return Ok(waiting);
        }
        self.wait_until_filled(addon, filled_by, told).await?;
        let _one_at_a_time = self.dumping.lock().await;
        let work = self.server_dumps();
        self.clear_work(work).await?;
        let row = self.kernel.store.addon(addon).await?;
        let Some(row) = row.filter(|row| row.state == AddonState::Provisioned) else { return Ok(None) };
        let began = self.kernel.now();
        let mut outcome = self.dump_row(work, &row, told).await;
        self.clear_work(work).await?;
        if outcome.is_ok()
            && let Some(name) = self.filled_since(addon, began).await?
        {
            outcome = Err(Trouble::Told(format!("{name} of it went on while it was dumped.")));
        }
        if outcome.is_err() && self.is_gone(addon).await? {
            return Ok(None);
        }
        outcome.map(Some)
    }

    /// Half of what is put into a database is no backup of it, nor is what it has before that.
    async fn wait_until_filled(
        &self,
        addon: AddonId,
        until: UnixMicros,
        told: &mut (dyn FnMut(u64) -> bool + Send),
    ) -> Outcome<()> {
        let mut changes = self.kernel.wakes.changes.listen();
        loop {
            let unfinished = self.kernel.store.unfinished_transfers_at(addon).await?;
            let Some(filling) = unfinished.iter().find(|one| fills(one, addon)) else { return Ok(()) };
            if !told(0) {
                return Err(Trouble::Canceled);
            }
            if self.kernel.now() >= until {
                return Err(Trouble::Told(format!("{} of it has not ended.", filling.name())));
            }
            changes.heard(LOOK).await;
        }
    }

    /// What has put something into a database since then.
    async fn filled_since(&self, addon: AddonId, since: UnixMicros) -> Result<Option<String>> {
        let all = self.kernel.store.transfers_of_addon(addon).await?;
        let is_meant = |one: &&Transfer| {
            fills(one, addon) && one.started_at.is_some() && one.finished_at.is_none_or(|at| at >= since)
        };
        Ok(all.iter().find(is_meant).map(Transfer::name))
    }

    /// The dump as a file that is open: it outlives its volume.
    async fn dump_row(
        &self,
        work: TransferId,
        row: &Addon,
        told: &mut (dyn FnMut(u64) -> bool + Send),
    ) -> Outcome<(File, u64)> {
        self.make_work(work).await?;
        let at = self.at_ready(row.id.uuid(), self.reached(row).await?, Mode::Reads).await?;
        let watch = Watch::Told(self.file_of(work, DUMPED, paddock_addons::postgres::DUMP), told);
        let ended = self.run_dump(work, &at, Rights::Kept, watch).await;
        if ended.is_err() {
            // Nobody is to be logged in who is dismissed.
            self.clear_work(work).await?;
        }
        self.dismiss(&at).await;
        let dump = self.dumped(work, &ended?).await?;
        let opened = blocking(move || {
            let file = open_plain(&dump)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        });
        opened.await.map_err(|error: io::Error| Trouble::host("read a dump", error))
    }

    async fn is_gone(&self, addon: AddonId) -> Result<bool> {
        let row = self.kernel.store.addon(addon).await?;
        Ok(row.is_none_or(|row| row.state != AddonState::Provisioned))
    }

    /// What a backup has left that was cut off: programs, files, logins. How many of these.
    pub(super) async fn sweep_server_dumps(&self) -> Result<u64> {
        let work = self.server_dumps();
        let Ok(_nobody_dumps) = self.dumping.try_lock() else { return Ok(0) };
        if !self.volumes.folder_of(volume_of(work)).exists() {
            return Ok(0);
        }
        for addon in self.kernel.store.addons().await? {
            let Ok(ready) = self.reached(&addon).await else { continue };
            if let Ok(at) = self.at_ready(addon.id.uuid(), ready, Mode::Reads).await {
                self.dismiss(&at).await;
            }
        }
        self.clear_work(work).await?;
        Ok(1)
    }
}

/// Whether a transfer puts something into this database.
fn fills(transfer: &Transfer, addon: AddonId) -> bool {
    transfer.kind != TransferKind::Backup && transfer.addon_id == Some(addon)
}
