//! Asking for a transfer: what is wanted is written down with its job.

use paddock_core::event::Event;
use paddock_core::transfer::TransferKind;
use paddock_core::{AddonId, AppId, AppRef, ErrorId, JobId, TransferId, TransferScheduleId};
use paddock_store::{Addon, NewJob, NewTransfer, Transfer, Tx};
use uuid::Uuid;

use super::super::{Addons, server};
use super::job::{KIND, TransferPhase};
use super::list::ShownTransfer;
use super::{OWN_BACKUP, is_good};
use crate::kernel::job::Phase as _;
use crate::{Actor, Error, Result};

/// Transfers of an app that have not ended.
const UNFINISHED_MAX: usize = 5;
/// What the other side of a backup and of a restore is called.
const BACKUP: &str = "BACKUP";

/// A copy that somebody wants.
#[derive(Clone)]
pub struct CopyOrder {
    pub from_name: String,
    /// Secret.
    pub from_url: String,
    pub to_name: String,
    /// Secret.
    pub to_url: String,
}

/// What a transfer is of.
pub(super) struct Wanted {
    pub(super) kind: TransferKind,
    pub(super) app: AppId,
    pub(super) addon: AddonId,
    pub(super) from_addon: Option<AddonId>,
    pub(super) from_transfer: Option<TransferId>,
    pub(super) from_name: String,
    pub(super) to_name: String,
    pub(super) schedule: Option<TransferScheduleId>,
    pub(super) extensions: Vec<String>,
    pub(super) secret: Option<String>,
}

impl Addons {
    /// Begins a backup of a database.
    pub async fn capture_backup(&self, actor: &Actor, database: &str) -> Result<ShownTransfer> {
        let row = self.provisioned_row(actor, database).await?;
        let from_name = self.name_in_app(&row).await?;
        self.order_transfer(actor, self.backup_of(&row, from_name, None)?).await
    }

    /// What a backup of a database is.
    pub(super) fn backup_of(
        &self,
        row: &Addon,
        from_name: String,
        schedule: Option<TransferScheduleId>,
    ) -> Result<Wanted> {
        Ok(Wanted {
            kind: TransferKind::Backup,
            app: billed(row)?,
            addon: row.id,
            from_addon: None,
            from_transfer: None,
            from_name,
            to_name: BACKUP.to_owned(),
            schedule,
            extensions: Vec::new(),
            secret: None,
        })
    }

    /// Begins to put a backup, or the dump at an address, in the place of what a database has.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for what is no backup; `conflict` while the database is filled already.
    pub async fn restore_backup(
        &self,
        actor: &Actor,
        database: &str,
        backup: &str,
        extensions: Vec<String>,
    ) -> Result<ShownTransfer> {
        let row = self.provisioned_row(actor, database).await?;
        self.postgres.check_extensions(&extensions).map_err(super::super::checked::refused)?;
        let (from_transfer, from_name, secret) = match backup.strip_prefix(OWN_BACKUP) {
            Some(id) => {
                let backup = self.good_backup(actor, id).await?;
                (Some(backup.id), backup.name(), None)
            }
            None => (None, shown_address(backup)?, Some(backup.to_owned())),
        };
        let wanted = Wanted {
            kind: TransferKind::Restore,
            app: billed(&row)?,
            addon: row.id,
            from_addon: None,
            from_transfer,
            from_name,
            to_name: self.name_in_app(&row).await?,
            schedule: None,
            extensions,
            secret,
        };
        self.order_transfer(actor, wanted).await
    }

    /// Begins to put what one database has in the place of what another has.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` where one of them is none of this platform's.
    pub async fn copy_database(
        &self,
        actor: &Actor,
        database: &str,
        order: CopyOrder,
    ) -> Result<ShownTransfer> {
        self.provisioned_row(actor, database).await?;
        let from = self.at_url(actor, &order.from_url, &order.from_name).await?;
        let to = self.at_url(actor, &order.to_url, &order.to_name).await?;
        if from.id == to.id {
            return Err(Error::invalid("A database cannot be copied onto itself."));
        }
        let wanted = Wanted {
            kind: TransferKind::Copy,
            app: billed(&to)?,
            addon: to.id,
            from_addon: Some(from.id),
            from_transfer: None,
            from_name: order.from_name,
            to_name: order.to_name,
            schedule: None,
            extensions: Vec::new(),
            secret: None,
        };
        self.order_transfer(actor, wanted).await
    }

    async fn order_transfer(&self, actor: &Actor, wanted: Wanted) -> Result<ShownTransfer> {
        let mut tx = self.kernel.observe_app(wanted.app, "make a transfer").await?;
        let app = wanted.app;
        let transfer = write_down(&mut tx, wanted).await?;
        let name = transfer.name();
        let what = match transfer.kind {
            TransferKind::Backup => format!("Backup {name} of {}", transfer.from_name),
            TransferKind::Restore => {
                format!("Restore {name} of {} to {}", transfer.from_name, transfer.to_name)
            }
            TransferKind::Copy => format!("Copy {name} of {} to {}", transfer.from_name, transfer.to_name),
        };
        tx.say(app, format!("{what} by user {}", actor.email));
        if let Some(addon) = transfer.addon_id {
            let event = Event::TransferCreated { app, addon, name };
            tx.commit("transfer.ordered", event, actor).await?;
        }
        Ok(ShownTransfer::of(transfer))
    }

    pub(super) async fn provisioned_row(&self, actor: &Actor, database: &str) -> Result<Addon> {
        let row = self.managed_postgres_row(actor, database).await?;
        match row.state {
            paddock_core::addon::AddonState::Provisioned => Ok(row),
            _ => Err(Error::not_found_because(
                "add_on",
                format!("{} is not yet provisioned. Run heroku addons:wait to wait until it is.", row.name),
            )),
        }
    }

    /// What the app that a database is billed to calls it.
    pub(super) async fn name_in_app(&self, row: &Addon) -> Result<String> {
        let all = self.kernel.store.attachments_of_addon(row.id).await?;
        let own = all.into_iter().map(|one| one.attachment);
        let own = own.filter(|one| Some(one.app_id) == row.app_id && one.namespace.is_none());
        let first = own.map(|one| one.name).min_by_key(|name| (name != "DATABASE", name.clone()));
        Ok(first.unwrap_or_else(|| row.name.clone()))
    }

    /// The database of this platform that an address leads to, if the actor may see it.
    async fn at_url(&self, actor: &Actor, url: &str, name: &str) -> Result<Addon> {
        let foreign = || {
            Error::invalid(format!(
                "{name} is no database of this platform that you may see, and copies from and to others are not built. \
                 Use pg_dump and heroku pg:push, or heroku pg:pull."
            ))
        };
        let (authority, database) = parts_of(url).ok_or_else(foreign)?;
        let store = &self.kernel.store;
        let billed = store.addons_of(actor.account_id).await?.into_iter().map(|one| one.addon.id);
        let attached = store.attachments_of(actor.account_id).await?;
        let ids: std::collections::BTreeSet<_> =
            billed.chain(attached.into_iter().map(|one| one.attachment.addon_id)).collect();
        for id in ids {
            let Some(row) = store.addon(id).await? else { continue };
            let Some(server) = row.data_server_id else { continue };
            let server = store.data_server(server).await?;
            let address = server.as_ref().and_then(server::address_of);
            let is_there = address.is_some_and(|address| address.to_string() == authority);
            if is_there && self.resource(&row).await?.database == database {
                return self.provisioned_row(actor, &row.name).await;
            }
        }
        Err(foreign())
    }

    /// A backup that can be restored, of an app that the actor may see.
    async fn good_backup(&self, actor: &Actor, id: &str) -> Result<Transfer> {
        let missing = || Error::not_found("backup");
        let id: TransferId = id.parse().map_err(|_| missing())?;
        let row = self.kernel.store.transfer(id).await?.ok_or_else(missing)?;
        let app = AppRef::Id(row.app_id.ok_or_else(missing)?);
        self.kernel.visible_app(actor, &app).await.map_err(|_| missing())?;
        match is_good(&row) {
            true => Ok(row),
            false => Err(Error::invalid(format!("Backup {} did not complete successfully.", row.name()))),
        }
    }
}

/// Makes the row of a transfer and its job.
///
/// # Errors
/// `conflict` while the database is filled; too many of the app's are under way.
pub(super) async fn write_down(tx: &mut Tx, wanted: Wanted) -> Result<Transfer> {
    let all = tx.transfers_of_app(wanted.app).await?;
    if all.iter().filter(|one| one.finished_at.is_none()).count() >= UNFINISHED_MAX {
        let text = format!(
            "{UNFINISHED_MAX} backups, restores and copies of this app have not ended yet. Wait for one, or cancel one: heroku pg:backups:cancel."
        );
        return Err(Error::new(ErrorId::Conflict, text));
    }
    let at = tx.unfinished_transfers_at(wanted.addon).await?;
    let fills = |kind| kind != TransferKind::Backup;
    // Of a database that is being filled there is nothing to be had, and two that fill it would have neither.
    if let Some(other) =
        at.iter().find(|one| fills(wanted.kind) || fills(one.kind) && one.addon_id == Some(wanted.addon))
    {
        let text = format!(
            "{} of this database has not ended yet. Wait for it, or cancel it: heroku pg:backups:cancel {0}.",
            other.name()
        );
        return Err(Error::new(ErrorId::Conflict, text));
    }
    let new = NewTransfer {
        id: TransferId::from_uuid(Uuid::now_v7()),
        app_id: wanted.app,
        kind: wanted.kind,
        addon_id: wanted.addon,
        from_addon_id: wanted.from_addon,
        from_transfer_id: wanted.from_transfer,
        from_name: wanted.from_name,
        to_name: wanted.to_name,
        schedule_id: wanted.schedule,
        extensions: wanted.extensions.join(","),
    };
    let transfer = tx.create_transfer(&new).await?;
    tx.enqueue_job(&NewJob {
        id: JobId::from_uuid(Uuid::now_v7()),
        kind: KIND.to_owned(),
        app_id: Some(wanted.app),
        subject_id: new.id.to_string(),
        phase: TransferPhase::Queued.as_str().to_owned(),
        secret: wanted.secret,
        run_at: None,
    })
    .await?;
    Ok(transfer)
}

pub(super) fn billed(row: &Addon) -> Result<AppId> {
    row.app_id.ok_or_else(|| Error::not_found("add_on"))
}

/// What may be shown of an address that a dump is to be fetched from.
fn shown_address(text: &str) -> Result<String> {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    is_web.then(|| paddock_outbound::shown(text)).flatten().ok_or_else(|| {
        Error::invalid("The backup is named by neither a backup of this platform nor an https address.")
    })
}

/// `10.1.2.3:5432` and `d123` of `postgres://user:password@10.1.2.3:5432/d123`.
fn parts_of(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let (before, database) = rest.rsplit_once('/')?;
    let authority = before.rsplit_once('@').map_or(before, |(_, authority)| authority);
    let database = database.split_once('?').map_or(database, |(database, _)| database);
    Some((authority, database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let parts = Some(("10.1.2.3:5432", "d1"));
        assert_eq!(parts_of("postgres://u1:p2@10.1.2.3:5432/d1"), parts);
        assert_eq!(parts_of("postgres://u1:p@:/x@10.1.2.3:5432/d1?sslmode=require"), parts);
        assert_eq!(parts_of("https://10.1.2.3:5432/d1"), None);
        assert_eq!(parts_of("postgres:"), None);
    }

    #[test]
    fn what_is_shown_of_an_address_is_no_secret() {
        let shown = shown_address("https://user:secret@example.com/a.dump?X-Amz-Signature=secret").unwrap();
        assert!(shown.contains("example.com/a.dump") && !shown.contains("secret"), "{shown}");
        for text in ["", "b001", "file:///etc/passwd", "’https://example.com/a’", "postgres://a/b"] {
            assert!(shown_address(text).is_err(), "{text}");
        }
    }
}
