//! Transfers as those see them who may see their app: all of them, one with its log; ended and deleted.

use paddock_core::event::Event;
use paddock_core::{AppRef, TransferId};
use paddock_store::{Transfer, TransferLog};

use super::super::Addons;
use super::{OWN_BACKUP, is_good};
use crate::{Actor, Error, Result};

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTransfer {
    pub row: Transfer,
    /// What names it where it is to be restored from; none for what cannot be.
    pub to_url: Option<String>,
}

/// A transfer with what was said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedTransfer {
    pub transfer: ShownTransfer,
    pub logs: Vec<TransferLog>,
}

impl ShownTransfer {
    pub(super) fn of(row: Transfer) -> Self {
        let to_url = is_good(&row).then(|| format!("{OWN_BACKUP}{}", row.id));
        Self { row, to_url }
    }
}

impl Addons {
    /// The transfers of an app, the newest first.
    pub async fn list_transfers(&self, actor: &Actor, app: &AppRef) -> Result<Vec<ShownTransfer>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.transfers_of_app(app.id).await?;
        Ok(rows.into_iter().map(ShownTransfer::of).collect())
    }

    /// One transfer of an app, by number or id.
    pub async fn transfer(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<LoggedTransfer> {
        let row = self.transfer_row(actor, app, identity).await?;
        let logs = self.kernel.store.transfer_logs(row.id).await?;
        Ok(LoggedTransfer { transfer: ShownTransfer::of(row), logs })
    }

    /// Lets a transfer end where it is; one that has ended is left as it is.
    pub async fn cancel_transfer(
        &self,
        actor: &Actor,
        app: &AppRef,
        identity: &str,
    ) -> Result<ShownTransfer> {
        let row = self.transfer_row(actor, app, identity).await?;
        let Some(app) = row.app_id else { return Err(missing()) };
        let mut tx = self.kernel.observe_app(app, "cancel a transfer").await?;
        if tx.cancel_transfer(row.id).await? {
            tx.say(app, format!("Cancel {} by user {}", row.name(), actor.email));
            let event = Event::TransferCanceled { app, name: row.name() };
            tx.commit("transfer.canceled", event, actor).await?;
        }
        let row = self.kernel.store.transfer(row.id).await?;
        row.map(ShownTransfer::of).ok_or_else(missing)
    }

    /// Deletes a transfer, with the backup that it made.
    ///
    /// # Errors
    /// `invalid_params` while it has not ended.
    pub async fn delete_transfer(
        &self,
        actor: &Actor,
        app: &AppRef,
        identity: &str,
    ) -> Result<ShownTransfer> {
        let row = self.transfer_row(actor, app, identity).await?;
        let Some(app) = row.app_id else { return Err(missing()) };
        if row.finished_at.is_none() {
            let name = row.name();
            let text = format!("{name} has not ended yet. Cancel it first: heroku pg:backups:cancel {name}.");
            return Err(Error::invalid(text));
        }
        let mut tx = self.kernel.observe_app(app, "delete a transfer").await?;
        if !tx.mark_transfer_deleted(row.id).await? {
            return Err(missing());
        }
        tx.say(app, format!("Delete {} by user {}", row.name(), actor.email));
        let event = Event::TransferDeleted { app, name: row.name() };
        tx.commit("transfer.deleted", event, actor).await?;
        self.remove_marked().await;
        Ok(ShownTransfer::of(row))
    }

    pub(super) async fn transfer_row(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Transfer> {
        let app = self.kernel.visible_app(actor, app).await?;
        let store = &self.kernel.store;
        let found = match (identity.parse::<i64>(), identity.parse::<TransferId>()) {
            (Ok(number), _) => store.transfer_numbered(app.id, number).await?,
            (_, Ok(id)) => store.transfer(id).await?,
            _ => None,
        };
        let found = found.filter(|row| row.app_id == Some(app.id) && row.deleted_at.is_none());
        found.ok_or_else(missing)
    }
}

pub(super) fn missing() -> Error {
    Error::not_found("backup")
}
