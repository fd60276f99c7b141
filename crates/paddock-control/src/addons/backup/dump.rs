//! A database becomes a dump.

use std::path::PathBuf;

use paddock_addons::postgres::{DUMP, Mode, OUT, Rights};
use paddock_addons::{Login, Secret};
use paddock_core::transfer::TransferKind;
use paddock_core::{AddonId, Tenant, TransferId, durable};
use paddock_runtime::Network;
use paddock_store::{Addon, Transfer};
use uuid::Uuid;

use super::super::Addons;
use super::super::postgres::{CLOSED, Ready};
use super::job::Moved;
use super::run::{Ended, Outcome, Place, Trouble, Watch};
use super::store::{blocking, open_plain};
use crate::kernel::error::chain;

/// The folder of the volume that a dump is written to.
pub(super) const DUMPED: &str = "dumped";
/// What every dump of the custom format begins with.
pub(super) const MAGIC: &[u8] = b"PGDMP";

fn gone() -> Trouble {
    Trouble::Told("The database is gone.".to_owned())
}

/// A database that a transfer is at.
pub(super) struct At {
    pub(super) row: Addon,
    pub(super) ready: Ready,
    /// The app that it is billed to: the transfer's programs work in its name.
    pub(super) tenant: Tenant,
    pub(super) login: Login,
}

impl Addons {
    /// A database that answers, and a login for this transfer alone. It is not let in yet.
    pub(super) async fn at(&self, transfer: TransferId, addon: Option<AddonId>, mode: Mode) -> Outcome<At> {
        let row = self.kernel.store.addon(addon.ok_or_else(gone)?).await?.ok_or_else(gone)?;
        let ready = self.ready(&row).await?;
        self.at_ready(transfer.uuid(), ready, mode).await
    }

    /// The same of one that is read. In one that is closed there is nothing that its owner knows.
    pub(super) async fn source(&self, transfer: TransferId, addon: Option<AddonId>) -> Outcome<At> {
        match addon.is_some_and(|addon| self.dumps_to_fill.has_failed(addon)) {
            true => Err(Trouble::Told(CLOSED.to_owned())),
            false => self.at(transfer, addon, Mode::Reads).await,
        }
    }

    /// The same of one that was found, the login named for an id.
    pub(super) async fn at_ready(&self, id: Uuid, ready: Ready, mode: Mode) -> Outcome<At> {
        let row = ready.row.clone();
        let app = self.kernel.store.app(row.app_id.ok_or_else(gone)?).await?.ok_or_else(gone)?;
        let word = id.simple().to_string();
        // Those of a copy may be on one server.
        let letter = match mode {
            Mode::Reads => 's',
            Mode::Writes => 't',
        };
        let user = format!("{letter}{}", word.get(word.len() - 13..).unwrap_or_default());
        let login = Login { user, password: Secret::new(crate::kernel::secret::random()) };
        Ok(At { row, ready, tenant: app.tenant(), login })
    }

    pub(super) async fn admit(&self, at: &At, mode: Mode) -> Outcome<()> {
        let Ready { access, resource, .. } = &at.ready;
        let step = self.postgres.admit(access, resource, &at.login, mode);
        let admitted = durable!("transfer.login_made", step.await);
        admitted.map_err(|error| Trouble::host("let a transfer into a database", error))
    }

    /// What a transfer leaves of itself in databases when nothing of it runs any more, however it ended: no login, and no
    /// database that was being emptied, but one that is closed.
    pub(super) async fn leave_databases(&self, transfer: &Transfer, succeeded: bool) {
        let target = match transfer.kind {
            TransferKind::Backup => (transfer.addon_id, Mode::Reads),
            TransferKind::Restore | TransferKind::Copy => (transfer.addon_id, Mode::Writes),
        };
        for (addon, mode) in [target, (transfer.from_addon_id, Mode::Reads)] {
            if addon.is_none() {
                continue;
            }
            // One that is gone has nothing left.
            let Ok(at) = self.at(transfer.id, addon, mode).await else { continue };
            if mode == Mode::Writes && !succeeded && !self.dumps_to_fill.has_failed(at.row.id) {
                self.mend(&at).await;
            }
            self.dismiss(&at).await;
        }
    }

    /// Where a login does not go now, its password was never told anyway.
    pub(super) async fn dismiss(&self, at: &At) {
        let Ready { access, resource, .. } = &at.ready;
        let step = self.postgres.dismiss(access, resource, &at.login.user);
        if let Err(error) = durable!("transfer.login_removed", step.await) {
            tracing::warn!(
                addon.name = at.row.name,
                error = chain(&error),
                "a login of a transfer stays for now"
            );
        }
    }

    /// A backup that did not come to its end has nothing in the store, nor half of it. What does not go now goes with its row.
    pub(super) async fn let_go_of_dump(&self, transfer: &Transfer) {
        if transfer.kind != TransferKind::Backup {
            return;
        }
        if let Err(error) = self.remove_dump(transfer).await {
            tracing::warn!(transfer.id = %transfer.id, error = chain(&error), "what a backup began to keep stays for now");
        }
    }

    /// A database whose emptying was cut off is there again.
    async fn mend(&self, at: &At) {
        let Ok(service) = self.service_of(&at.row) else { return };
        let Ready { access, resource, .. } = &at.ready;
        if let Err(error) = durable!("transfer.database_mended", service.provision(access, resource).await) {
            tracing::warn!(
                addon.name = at.row.name,
                error = chain(&error),
                "a database is not whole, it is mended when its server starts"
            );
        }
    }

    /// What a transfer's database holds, if it answers.
    pub(super) async fn bytes_of_source(&self, transfer: &Transfer) -> Option<i64> {
        let source = transfer.from_addon_id.or(transfer.addon_id)?;
        if transfer.kind == TransferKind::Restore {
            return None;
        }
        let row = self.kernel.store.addon(source).await.ok().flatten()?;
        let used = self.used(&row).await.ok()?;
        i64::try_from(used.storage_bytes).ok()
    }

    pub(super) async fn back_up(&self, transfer: &Transfer) -> Outcome<Moved> {
        let at = self.source(transfer.id, transfer.addon_id).await?;
        self.dump(transfer, &at).await?;
        let dump = self.file_of(transfer.id, DUMPED, DUMP);
        let kept = self.backups.keep(&transfer.object, &dump).await;
        let bytes = kept.map_err(|error| Trouble::host("keep a backup", error))?;
        Ok(Moved { bytes, warnings: 0 })
    }

    /// Dumps a database. When this succeeds the dump is whole. Where it is.
    pub(super) async fn dump(&self, transfer: &Transfer, at: &At) -> Outcome<PathBuf> {
        let version = self.version_of(&at.row).await?;
        self.tell(transfer.id, &format!("Dumping {} by pg_dump {version}.", transfer.from_name)).await?;
        let watch = Watch::Noted(self.file_of(transfer.id, DUMPED, DUMP));
        let ended = self.run_dump(transfer.id, at, Rights::LeftOut, watch).await?;
        for line in &ended.lines {
            self.tell(transfer.id, line).await?;
        }
        self.dumped(transfer.id, &ended).await
    }

    /// Runs what dumps a database into the volume of a transfer.
    pub(super) async fn run_dump(
        &self,
        transfer: TransferId,
        at: &At,
        rights: Rights,
        watch: Watch<'_>,
    ) -> Outcome<Ended> {
        self.admit(at, Mode::Reads).await?;
        let version = self.version_of(&at.row).await?;
        let Ready { access, resource, .. } = &at.ready;
        let errand = self.postgres.dump(&version, access, resource, &at.login, rights);
        let errand = errand.map_err(|refusal| Trouble::Told(refusal.0))?;
        // Whoever changes what is attached may have told the runtime before this database was there.
        self.tell_reach(None).await;
        let place =
            Place { tenant: at.tenant, network: Network::Dyno, writes: Some((DUMPED, OUT)), reads: None };
        self.run(transfer, errand, place, watch).await
    }

    /// Where the dump is that a program has made.
    pub(super) async fn dumped(&self, transfer: TransferId, ended: &Ended) -> Outcome<PathBuf> {
        if !ended.is_well() {
            return Err(Trouble::Told(format!("The database could not be dumped: {}", ended.last_words())));
        }
        let dump = self.file_of(transfer, DUMPED, DUMP);
        let found = dump.clone();
        let is_dump = blocking(move || begins_as_dump(&found)).await;
        match is_dump.map_err(|error| Trouble::host("read a dump", error))? {
            true => Ok(dump),
            false => Err(Trouble::Told("pg_dump has written nothing that can be restored.".to_owned())),
        }
    }

    /// The version of the server that a database is on.
    async fn version_of(&self, row: &Addon) -> Outcome<String> {
        let server = match row.data_server_id {
            Some(id) => self.kernel.store.data_server(id).await?,
            None => None,
        };
        server.map(|server| server.version).ok_or_else(|| Trouble::Told("The database is gone.".to_owned()))
    }
}

/// Whether a file begins as a dump of the custom format does.
pub(super) fn begins_as_dump(path: &std::path::Path) -> std::io::Result<bool> {
    use std::io::Read as _;
    let mut beginning = Vec::new();
    open_plain(path)?.take(MAGIC.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == MAGIC)
}
