//! Schedules of daily backups: one for a database.

use paddock_core::{AddonId, AppId, TransferScheduleId, UnixMicros};

use crate::engine::{self, reads, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// A daily backup of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferSchedule {
    pub id: TransferScheduleId,
    pub addon_id: AddonId,
    /// What it is called: the config var that the database was named by.
    pub name: String,
    /// Of the day, in its time zone.
    pub hour: u32,
    /// `Europe/Paris`.
    pub timezone: String,
    /// The last day, there, that a backup was asked for: `2026-11-29`.
    pub last_day: Option<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(TransferSchedule { id, addon_id, name, hour, timezone, created_at, updated_at } optional { last_day });

/// What a schedule is made of; fields as in [`TransferSchedule`].
#[derive(Debug, Clone)]
pub struct NewTransferSchedule {
    pub id: TransferScheduleId,
    pub addon_id: AddonId,
    pub name: String,
    pub hour: u32,
    pub timezone: String,
}

statements! {
    BY_ID = "SELECT * FROM transfer_schedules WHERE id = $1";
    OF_APP = "SELECT transfer_schedules.* FROM transfer_schedules JOIN addons ON addons.id = transfer_schedules.addon_id \
        WHERE addons.app_id = $1 ORDER BY transfer_schedules.name, transfer_schedules.id";
    OF_SERVER = "SELECT transfer_schedules.* FROM transfer_schedules JOIN addons ON addons.id = transfer_schedules.addon_id \
        WHERE addons.server_id = $1 ORDER BY transfer_schedules.created_at, transfer_schedules.id";
    // One for a database: a new one takes the place of the one before.
    PUT = "INSERT INTO transfer_schedules (id, addon_id, name, hour, timezone, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (addon_id) DO UPDATE SET id = excluded.id, name = excluded.name, \
        hour = excluded.hour, timezone = excluded.timezone, created_at = excluded.created_at, updated_at = excluded.updated_at";
    TAKE_DAY = "UPDATE transfer_schedules SET last_day = $2, updated_at = $3 \
        WHERE id = $1 AND (last_day IS NULL OR last_day < $2)";
    DELETE = "DELETE FROM transfer_schedules WHERE id = $1";
}

reads! {
    transfer_schedule(id: TransferScheduleId) -> one TransferSchedule: BY_ID [id];
    /// Of the databases that are billed to an app, by name.
    transfer_schedules_of_app(app_id: AppId) -> all TransferSchedule: OF_APP [app_id];
}

impl Store {
    /// Of the databases that this server looks after, oldest first.
    pub async fn transfer_schedules(&self) -> Result<Vec<TransferSchedule>> {
        engine::all(&mut *self.reader().await?, OF_SERVER, values![self.server.id]).await
    }
}

impl Tx {
    /// Gives a database its schedule, in place of the one it had. Days that were done stay done.
    pub async fn put_transfer_schedule(&mut self, new: &NewTransferSchedule) -> Result<TransferSchedule> {
        let values = values![new.id, new.addon_id, new.name, new.hour, new.timezone, self.now];
        self.execute(PUT, values).await?;
        let gone = || StoreError::Gone { noun: "transfer schedule", id: new.id.to_string() };
        self.transfer_schedule(new.id).await?.ok_or_else(gone)
    }

    /// Notes that the backup of a day is asked for. Whether it was not before.
    pub async fn take_day_of_schedule(&mut self, id: TransferScheduleId, day: &str) -> Result<bool> {
        let values = values![id, day, self.now];
        Ok(self.execute(TAKE_DAY, values).await? > 0)
    }

    /// Ends a schedule. Whether it was there.
    pub async fn delete_transfer_schedule(&mut self, id: TransferScheduleId) -> Result<bool> {
        Ok(self.execute(DELETE, values![id]).await? > 0)
    }
}
