//! A dump becomes a database: it is read to its end first, then the database is emptied, then filled.

use std::path::Path;

use paddock_addons::Refusal;
use paddock_addons::postgres::{Complaint, Contents, DUMP, Errand, IN, LIST, Mode, OUT, RIGHTS, complaint};
use paddock_core::{JobId, Tenant, TransferId, durable};
use paddock_files::make_private_folder;
use paddock_runtime::Network;
use paddock_store::Transfer;

use super::super::Addons;
use super::super::postgres::Ready;
use super::dump::{At, begins_as_dump};
use super::job::Moved;
use super::run::{Ended, Outcome, Place, Trouble, Watch};
use super::store::{blocking, open_plain, readable_file};

/// The folder of the volume that a dump is read from.
pub(super) const GIVEN: &str = "given";
/// The folder that the list of a dump is written to.
const LISTED: &str = "listed";
/// Longest list of a dump that is read: a line for each table, index, row of comments.
const LIST_BYTES_MAX: u64 = 256 << 20;

impl Addons {
    pub(super) async fn restore(&self, transfer: &Transfer, job: JobId) -> Outcome<Moved> {
        let at = self.at(transfer.id, transfer.addon_id, Mode::Writes).await?;
        self.make_given(transfer.id).await?;
        let given = self.file_of(transfer.id, GIVEN, DUMP);
        let bytes = match transfer.from_transfer_id {
            Some(backup) => self.given_backup(transfer, backup, &given).await?,
            None => {
                let most = at.ready.resource.plan.storage_bytes;
                self.fetch_dump(transfer.id, job, &given, most).await?
            }
        };
        self.fill(transfer, &at, &given, bytes).await
    }

    pub(super) async fn copy(&self, transfer: &Transfer) -> Outcome<Moved> {
        let source = self.source(transfer.id, transfer.from_addon_id).await?;
        let at = self.at(transfer.id, transfer.addon_id, Mode::Writes).await?;
        let dumped = self.dump(transfer, &source).await?;
        self.make_given(transfer.id).await?;
        let given = self.file_of(transfer.id, GIVEN, DUMP);
        let to = given.clone();
        // Copied, since it belongs to the user that dumped it.
        let moved = blocking(move || std::io::copy(&mut open_plain(&dumped)?, &mut readable_file(&to)?));
        let bytes = moved.await.map_err(|error| Trouble::host("pass a dump on", error))?;
        self.fill(transfer, &at, &given, bytes).await
    }

    pub(super) async fn make_given(&self, transfer: TransferId) -> Outcome<()> {
        let folder = self.file_of(transfer, GIVEN, "");
        let made = blocking(move || {
            make_private_folder(&folder)?;
            std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        });
        made.await.map_err(|error| Trouble::host("make a folder for a dump", error))
    }

    async fn given_backup(&self, transfer: &Transfer, backup: TransferId, given: &Path) -> Outcome<u64> {
        let gone = || Trouble::Told("The backup is gone.".to_owned());
        let row = self.kernel.store.transfer(backup).await?.filter(|row| row.deleted_at.is_none());
        let row = row.ok_or_else(gone)?;
        self.tell(transfer.id, &format!("Reading the backup {}.", row.name())).await?;
        match self.backups.fetch(&row.object, given).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(gone()),
            fetched => fetched.map_err(|error| Trouble::host("read a backup", error)),
        }
    }

    /// Fills a database from a dump that is there.
    async fn fill(&self, transfer: &Transfer, at: &At, given: &Path, bytes: u64) -> Outcome<Moved> {
        self.tell(transfer.id, "Reading the dump to its end, before anything is changed.").await?;
        let left_out = self.look_into(transfer.id, at.tenant, given).await?;
        for what in &left_out {
            self.tell(transfer.id, &format!("Left out, since only a superuser may make it: {what}")).await?;
        }
        self.tell(transfer.id, &format!("Emptying {}.", transfer.to_name)).await?;
        let extensions: Vec<String> =
            transfer.extensions.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let emptied = durable!("transfer.database_emptied", self.empty(&at.ready, &extensions).await);
        emptied.map_err(|error| Trouble::host("empty a database", error))?;
        let warnings = self.fill_empty(transfer, at).await?;
        self.put_right(&at.row).await?;
        Ok(Moved { bytes, warnings: warnings + left_out.len() })
    }

    /// Reads a dump to its end and writes the lists of what is put back beside it. What is left out that somebody may miss.
    pub(super) async fn look_into(
        &self,
        transfer: TransferId,
        tenant: Tenant,
        given: &Path,
    ) -> Outcome<Vec<String>> {
        let path = given.to_owned();
        let is_dump = blocking(move || begins_as_dump(&path)).await;
        if !is_dump.map_err(|error| Trouble::host("read a dump", error))? {
            return Err(Trouble::Told(super::at_address::NO_DUMP.to_owned()));
        }
        let errand = self.postgres.check_dump().map_err(|refusal| Trouble::Told(refusal.0))?;
        let place =
            Place { tenant, network: Network::None, writes: Some((LISTED, OUT)), reads: Some((GIVEN, IN)) };
        let ended = self.run(transfer, errand, place, Watch::Nobody).await?;
        if !ended.is_well() {
            let why = ended.last_words();
            return Err(Trouble::Told(format!("The dump cannot be read. Nothing was changed. {why}")));
        }
        let listed = self.file_of(transfer, LISTED, LIST);
        let list = self.file_of(transfer, GIVEN, LIST);
        let rights = self.file_of(transfer, GIVEN, RIGHTS);
        let looked = blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut text = Vec::new();
            open_plain(&listed)?.take(LIST_BYTES_MAX).read_to_end(&mut text)?;
            let contents = Contents::of(&String::from_utf8_lossy(&text));
            readable_file(&list)?.write_all(contents.list.as_bytes())?;
            readable_file(&rights)?.write_all(contents.rights.as_bytes())?;
            Ok(contents.left_out)
        });
        looked.await.map_err(|error| Trouble::host("read the list of a dump", error))
    }

    /// How many things were let go.
    async fn fill_empty(&self, transfer: &Transfer, at: &At) -> Outcome<usize> {
        self.admit(at, Mode::Writes).await?;
        let Ready { access, resource, .. } = &at.ready;
        let errand = self.postgres.restore(access, resource, &at.login);
        self.tell(transfer.id, &format!("Filling {} by pg_restore.", transfer.to_name)).await?;
        let ended = self.put_back(transfer.id, at, errand).await?;
        for line in &ended.lines {
            self.tell(transfer.id, line).await?;
        }
        weigh(&ended).map_err(|why| {
            Trouble::Told(format!(
                "The database was emptied, and could not be filled as the dump has it: {why}"
            ))
        })
    }

    /// Runs what puts something of the given dump back.
    pub(super) async fn put_back(
        &self,
        transfer: TransferId,
        at: &At,
        errand: std::result::Result<Errand, Refusal>,
    ) -> Outcome<Ended> {
        let errand = errand.map_err(|refusal| Trouble::Told(refusal.0))?;
        self.tell_reach(None).await;
        let place =
            Place { tenant: at.tenant, network: Network::Dyno, writes: None, reads: Some((GIVEN, IN)) };
        self.run(transfer, errand, place, Watch::Nobody).await
    }
}

/// How many of the things that `pg_restore` complained of are no loss; the first loss.
pub(super) fn weigh(ended: &Ended) -> Result<usize, String> {
    let complaints = || ended.lines.iter().filter_map(|line| Some((line, complaint(line)?)));
    if let Some((line, _)) = complaints().find(|(_, complaint)| *complaint == Complaint::Loss) {
        return Err(line.clone());
    }
    let harmless = complaints().count();
    // What it says at its end counts lines that were not kept, too.
    let ignored = ended
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("pg_restore: warning: errors ignored on restore: "));
    let ignored = ignored.map_or(Some(0), |count| count.trim().parse().ok());
    match (ended.is_well(), ignored) {
        (true, _) => Ok(harmless),
        (false, Some(count)) if count > 0 && count == harmless => Ok(harmless),
        _ => Err(ended.last_words()),
    }
}

#[cfg(test)]
mod tests {
    use paddock_runtime::Exit;

    use super::*;

    fn ended(status: i32, lines: &[&str]) -> Ended {
        let exit = Exit { status, out_of_memory: false, killed_after_grace: false };
        Ended { exit, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn a_restore_succeeds_when_nothing_is_lost() {
        let policy = "pg_restore: error: could not execute query: ERROR:  role \"capi_anon\" does not exist";
        let table = "pg_restore: error: could not execute query: ERROR:  type \"citext\" does not exist";
        let ignored = |count| format!("pg_restore: warning: errors ignored on restore: {count}");
        assert_eq!(weigh(&ended(0, &[])), Ok(0));
        assert_eq!(weigh(&ended(1, &[policy, "Command was: CREATE POLICY…", &ignored(1)])), Ok(1));
        assert_eq!(weigh(&ended(1, &[policy, table, &ignored(2)])), Err(table.to_owned()));
        assert!(weigh(&ended(1, &[policy, &ignored(7)])).is_err(), "six of them were not kept");
        assert!(
            weigh(&ended(1, &["pg_restore: error: could not read from input file: end of file"])).is_err()
        );
        assert_eq!(weigh(&ended(137, &[])), Err("it ended with status 137".to_owned()));
    }
}
