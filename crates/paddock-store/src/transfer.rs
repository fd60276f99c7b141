//! Transfers of databases: backups, restores and copies, with what was said of them.

use paddock_core::transfer::TransferKind;
use paddock_core::{AddonId, AppId, ServerId, Tenant, TransferId, TransferScheduleId, UnixMicros};

use crate::engine::{self, Number, reads, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub id: TransferId,
    /// The app that lists it; `None` when that is gone.
    pub app_id: Option<AppId>,
    /// The server that does it and has its file.
    pub server_id: ServerId,
    /// Its number among the app's.
    pub num: i64,
    pub kind: TransferKind,
    /// The database that is backed up, or written to.
    pub addon_id: Option<AddonId>,
    /// The database that a copy is made of.
    pub from_addon_id: Option<AddonId>,
    /// The backup that is restored.
    pub from_transfer_id: Option<TransferId>,
    pub from_name: String,
    pub to_name: String,
    /// What its file is called in the store of backups, if it has one.
    pub object: String,
    /// The schedule that asked for it.
    pub schedule_id: Option<TransferScheduleId>,
    /// Extensions that are to be there before a restore, with commas between.
    pub extensions: String,
    /// What the database had.
    pub source_bytes: Option<i64>,
    pub processed_bytes: i64,
    /// What was let go in it.
    pub warnings: i64,
    pub succeeded: bool,
    pub created_at: UnixMicros,
    pub started_at: Option<UnixMicros>,
    pub finished_at: Option<UnixMicros>,
    /// When somebody wanted it to end.
    pub canceled_at: Option<UnixMicros>,
    /// Since when it is listed no more.
    pub deleted_at: Option<UnixMicros>,
    pub updated_at: UnixMicros,
}

row!(Transfer { id, server_id, num, kind, from_name, to_name, object, extensions, processed_bytes, warnings, succeeded,
    created_at, updated_at } optional { app_id, addon_id, from_addon_id, from_transfer_id, schedule_id, source_bytes,
    started_at, finished_at, canceled_at, deleted_at });

impl Transfer {
    /// `b001`.
    #[must_use]
    pub fn name(&self) -> String {
        self.kind.name(self.schedule_id.is_some(), self.num)
    }
}

/// What a new transfer is made of; fields as in [`Transfer`].
#[derive(Debug, Clone)]
pub struct NewTransfer {
    pub id: TransferId,
    pub app_id: AppId,
    pub kind: TransferKind,
    pub addon_id: AddonId,
    pub from_addon_id: Option<AddonId>,
    pub from_transfer_id: Option<TransferId>,
    pub from_name: String,
    pub to_name: String,
    pub schedule_id: Option<TransferScheduleId>,
    pub extensions: String,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferEnd {
    pub succeeded: bool,
    pub warnings: i64,
    pub processed_bytes: i64,
}

/// Something that was said of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferLog {
    pub at: UnixMicros,
    pub message: String,
}

row!(TransferLog { at, message } optional {});

/// Whose app an add-on is billed to, and where it is.
#[derive(Debug)]
struct Billed {
    id_range: u32,
    data_server_id: paddock_core::DataServerId,
}

row!(Billed { id_range, data_server_id } optional {});

statements! {
    BY_ID = "SELECT * FROM transfers WHERE id = $1";
    BY_NUMBER = "SELECT * FROM transfers WHERE app_id = $1 AND num = $2 AND deleted_at IS NULL";
    OF_APP = "SELECT * FROM transfers WHERE app_id = $1 AND deleted_at IS NULL ORDER BY num DESC";
    OF_ADDON = "SELECT * FROM transfers WHERE addon_id = $1 AND deleted_at IS NULL ORDER BY created_at, id";
    // An add-on's own, and those that read it.
    UNFINISHED_AT = "SELECT * FROM transfers WHERE (addon_id = $1 OR from_addon_id = $1) AND finished_at IS NULL \
        AND deleted_at IS NULL ORDER BY created_at, id";
    TO_REMOVE = "SELECT * FROM transfers WHERE server_id = $1 AND (deleted_at IS NOT NULL OR app_id IS NULL) ORDER BY id";
    OF_SERVER = "SELECT * FROM transfers WHERE server_id = $1 ORDER BY id";
    LOGS = "SELECT at, message FROM transfer_logs WHERE transfer_id = $1 ORDER BY seq";
    BILLED = "SELECT DISTINCT apps.id_range, addons.data_server_id FROM addons JOIN apps ON apps.id = addons.app_id \
        WHERE addons.server_id = $1 AND addons.data_server_id IS NOT NULL";
    NUMBER = "INSERT INTO transfer_numbers (app_id, last) VALUES ($1, 1) \
        ON CONFLICT (app_id) DO UPDATE SET last = transfer_numbers.last + 1 RETURNING last AS number";
    CREATE = "INSERT INTO transfers (id, app_id, server_id, num, kind, addon_id, from_addon_id, from_transfer_id, from_name, \
        to_name, object, schedule_id, extensions, processed_bytes, warnings, succeeded, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, $14, $14)";
    START = "UPDATE transfers SET started_at = COALESCE(started_at, $2), source_bytes = $3, processed_bytes = 0, \
        updated_at = $2 WHERE id = $1 AND finished_at IS NULL";
    PROGRESS = "UPDATE transfers SET processed_bytes = $2, updated_at = $3 WHERE id = $1 AND finished_at IS NULL";
    END = "UPDATE transfers SET succeeded = $2, warnings = $3, processed_bytes = $4, finished_at = $5, updated_at = $5 \
        WHERE id = $1 AND finished_at IS NULL";
    CANCEL = "UPDATE transfers SET canceled_at = $2, updated_at = $2 \
        WHERE id = $1 AND finished_at IS NULL AND canceled_at IS NULL";
    MARK_DELETED = "UPDATE transfers SET deleted_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    DELETE = "DELETE FROM transfers WHERE id = $1";
    SAY = "INSERT INTO transfer_logs (transfer_id, seq, at, message) VALUES ($1, \
        (SELECT COALESCE(MAX(seq), 0) + 1 FROM transfer_logs WHERE transfer_id = $1), $2, $3)";
}

reads! {
    transfer(id: TransferId) -> one Transfer: BY_ID [id];
    /// Of an app, by its number.
    transfer_numbered(app_id: AppId, num: i64) -> one Transfer: BY_NUMBER [app_id, num];
    /// Of an app, the newest first.
    transfers_of_app(app_id: AppId) -> all Transfer: OF_APP [app_id];
    /// Of a database, the oldest first.
    transfers_of_addon(addon_id: AddonId) -> all Transfer: OF_ADDON [addon_id];
    /// Those that have not ended and read or write a database.
    unfinished_transfers_at(addon_id: AddonId) -> all Transfer: UNFINISHED_AT [addon_id];
    /// What was said of a transfer.
    transfer_logs(id: TransferId) -> all TransferLog: LOGS [id];
}

impl Store {
    /// Transfers of this server that nobody lists any more, whose files are still to be removed.
    pub async fn transfers_to_remove(&self) -> Result<Vec<Transfer>> {
        engine::all(&mut *self.reader().await?, TO_REMOVE, values![self.server.id]).await
    }

    /// Every transfer of this server, those included that are listed no more.
    pub async fn transfers_of_server(&self) -> Result<Vec<Transfer>> {
        engine::all(&mut *self.reader().await?, OF_SERVER, values![self.server.id]).await
    }

    /// To whose app the add-ons of each data server are billed: transfers reach it in that app's name.
    pub async fn billed_tenants(&self) -> Result<Vec<(Tenant, paddock_core::DataServerId)>> {
        let rows: Vec<Billed> =
            engine::all(&mut *self.reader().await?, BILLED, values![self.server.id]).await?;
        Ok(rows.into_iter().map(|row| (Tenant(row.id_range), row.data_server_id)).collect())
    }
}

impl Tx {
    /// Makes a transfer, with the app's next number. Within a transaction that locks the app.
    pub async fn create_transfer(&mut self, new: &NewTransfer) -> Result<Transfer> {
        let number = self.one::<Number>(NUMBER, values![new.app_id]).await?;
        let Number(num) = number.ok_or_else(|| gone(new.id))?;
        let values = values![
            new.id,
            new.app_id,
            self.server_id,
            num,
            new.kind,
            new.addon_id,
            new.from_addon_id,
            new.from_transfer_id,
            new.from_name,
            new.to_name,
            format!("{}/{}.dump", new.app_id, new.id),
            new.schedule_id,
            new.extensions,
            self.now
        ];
        self.execute(CREATE, values).await?;
        self.transfer(new.id).await?.ok_or_else(|| gone(new.id))
    }

    /// Notes that a transfer is worked on, once more perhaps.
    ///
    /// # Errors
    /// `Gone`, also when it has ended.
    pub async fn start_transfer(&mut self, id: TransferId, source_bytes: Option<i64>) -> Result<()> {
        let values = values![id, self.now, source_bytes];
        self.change("transfer", id, START, values).await
    }

    /// Notes how far a transfer has come, if it has not ended.
    pub async fn note_transfer_progress(&mut self, id: TransferId, processed_bytes: i64) -> Result<()> {
        let values = values![id, processed_bytes, self.now];
        self.execute(PROGRESS, values).await.map(drop)
    }

    /// Ends a transfer.
    ///
    /// # Errors
    /// `Gone`, also when it has ended.
    pub async fn end_transfer(&mut self, id: TransferId, end: TransferEnd) -> Result<()> {
        let values = values![id, end.succeeded, end.warnings, end.processed_bytes, self.now];
        self.change("transfer", id, END, values).await
    }

    /// Notes that somebody wants a transfer to end. Whether it had not ended.
    pub async fn cancel_transfer(&mut self, id: TransferId) -> Result<bool> {
        let values = values![id, self.now];
        Ok(self.execute(CANCEL, values).await? > 0)
    }

    /// Takes a transfer out of all lists; its file is still to be removed. Whether it was in them.
    pub async fn mark_transfer_deleted(&mut self, id: TransferId) -> Result<bool> {
        let values = values![id, self.now];
        Ok(self.execute(MARK_DELETED, values).await? > 0)
    }

    /// Deletes the row of a transfer of which nothing is left.
    pub async fn delete_transfer(&mut self, id: TransferId) -> Result<()> {
        self.execute(DELETE, values![id]).await.map(drop)
    }

    /// Adds to what was said of a transfer.
    pub async fn say_of_transfer(&mut self, id: TransferId, message: &str) -> Result<()> {
        let values = values![id, self.now, message];
        self.execute(SAY, values).await.map(drop)
    }
}

fn gone(id: TransferId) -> StoreError {
    StoreError::Gone { noun: "transfer", id: id.to_string() }
}
