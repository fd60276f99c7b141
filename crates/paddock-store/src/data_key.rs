//! New keys in the place of old ones.
//!
//! The master key lies in a file, what it wraps in the database: no statement changes both. So the new key is written
//! beside the old one first (`FILE.next`), then the database is changed in one transaction, then the file is renamed.
//! Whoever opens the store in between tries both files ([`data_keys`]) and ends what was begun. A key that goes to a file of
//! the operator's choice is found there by whoever asks for the same again ([`MasterKeyRotation::WasThere`]).
//!
//! A new data key takes effect in one transaction that keeps the old one beside it; then every sealed value is sealed
//! again, each by itself and only if it is still what was read; at last the old key is forgotten. Until then both open
//! what they sealed. Repeating it after a crash goes on where it was.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use paddock_core::durable;
use sqlx::{AnyConnection, Connection as _};

use crate::config::Whose;
use crate::database::Engine;
use crate::engine::{self, FromRow, Row, Sealed, statements, values};
use crate::error::{Result, StoreError};
use crate::seal::{self, Sealer};
use crate::{
    Store, StoreConfig, addon, attachment, config, credential, data_server, dyno, job, platform, report,
    request_outcome,
};

/// Where the data key before this one is, wrapped, while values are sealed again.
const PREVIOUS: &str = "previous-data-key";
/// Values that are sealed again in one transaction.
const BATCH: i64 = 100;

statements! {
    REPLACE_DATA_KEY = "UPDATE platform SET data_key = $1 WHERE id = 1 AND data_key = $2";
    PREVIOUS_DATA_KEY = "SELECT value FROM settings WHERE key = $1";
    KEEP_PREVIOUS = "INSERT INTO settings (key, value) VALUES ($1, $2) \
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    FORGET_PREVIOUS = "DELETE FROM settings WHERE key = $1";
    CONFIGS = "SELECT app_id, app_id AS id, sealed FROM config WHERE app_id > $1 ORDER BY app_id LIMIT $2";
    SET_CONFIG = "UPDATE config SET sealed = $2 WHERE app_id = $1 AND sealed = $3";
    ATTACHED = "SELECT app_id, app_id AS id, attached AS sealed FROM config WHERE attached IS NOT NULL AND app_id > $1 \
        ORDER BY app_id LIMIT $2";
    SET_ATTACHED = "UPDATE config SET attached = $2 WHERE app_id = $1 AND attached = $3";
    RELEASES = "SELECT app_id, id, config AS sealed FROM releases WHERE id > $1 ORDER BY id LIMIT $2";
    SET_RELEASE = "UPDATE releases SET config = $2 WHERE id = $1 AND config = $3";
    ATTACHED_OF_RELEASES = "SELECT app_id, id, attached AS sealed FROM releases WHERE attached IS NOT NULL AND id > $1 \
        ORDER BY id LIMIT $2";
    SET_ATTACHED_OF_RELEASE = "UPDATE releases SET attached = $2 WHERE id = $1 AND attached = $3";
    DYNOS = "SELECT app_id, id, env AS sealed FROM dynos WHERE env IS NOT NULL AND id > $1 ORDER BY id LIMIT $2";
    SET_DYNO = "UPDATE dynos SET env = $2 WHERE id = $1 AND env = $3";
    JOBS = "SELECT id AS app_id, id, secret AS sealed FROM jobs WHERE secret IS NOT NULL AND id > $1 ORDER BY id LIMIT $2";
    SET_JOB = "UPDATE jobs SET secret = $2 WHERE id = $1 AND secret = $3";
    ADDONS = "SELECT id AS app_id, id, secret AS sealed FROM addons WHERE id > $1 ORDER BY id LIMIT $2";
    SET_ADDON = "UPDATE addons SET secret = $2 WHERE id = $1 AND secret = $3";
    ATTACHMENTS = "SELECT id AS app_id, id, vars AS sealed FROM attachments WHERE id > $1 ORDER BY id LIMIT $2";
    SET_ATTACHMENT = "UPDATE attachments SET vars = $2 WHERE id = $1 AND vars = $3";
    CREDENTIALS = "SELECT id AS app_id, id, password AS sealed FROM credentials WHERE id > $1 ORDER BY id LIMIT $2";
    SET_CREDENTIAL = "UPDATE credentials SET password = $2 WHERE id = $1 AND password = $3";
    SUPERUSERS = "SELECT id AS app_id, id, password AS sealed FROM data_servers WHERE id > $1 ORDER BY id LIMIT $2";
    SET_SUPERUSER = "UPDATE data_servers SET password = $2 WHERE id = $1 AND password = $3";
    REPORTS = "SELECT id AS app_id, id, checks AS sealed FROM reports WHERE id > $1 ORDER BY id LIMIT $2";
    SET_REPORT = "UPDATE reports SET checks = $2 WHERE id = $1 AND checks = $3";
    OUTCOMES = "SELECT request_sha256, body FROM request_outcomes WHERE body IS NOT NULL";
    SET_OUTCOME = "UPDATE request_outcomes SET body = $2 WHERE request_sha256 = $1 AND body = $3";
    SETTINGS = "SELECT key, value FROM settings WHERE key > $1 ORDER BY key LIMIT $2";
    SET_SETTING = "UPDATE settings SET value = $2 WHERE key = $1 AND value = $3";
}

/// A table with sealed values. The test beside the migrations fails for a sealed column that is not here.
struct Table {
    read: &'static str,
    write: &'static str,
    place: fn(&SealedRow) -> Result<String>,
}

const TABLES: [Table; 11] = [
    Table {
        read: CONFIGS,
        write: SET_CONFIG,
        place: |row| Ok(config::current_place(Whose::User, parsed(&row.app_id)?)),
    },
    Table {
        read: ATTACHED,
        write: SET_ATTACHED,
        place: |row| Ok(config::current_place(Whose::Attachments, parsed(&row.app_id)?)),
    },
    Table {
        read: RELEASES,
        write: SET_RELEASE,
        place: |row| Ok(config::release_place(Whose::User, parsed(&row.app_id)?, parsed(&row.id)?)),
    },
    Table {
        read: ATTACHED_OF_RELEASES,
        write: SET_ATTACHED_OF_RELEASE,
        place: |row| Ok(config::release_place(Whose::Attachments, parsed(&row.app_id)?, parsed(&row.id)?)),
    },
    Table {
        read: DYNOS,
        write: SET_DYNO,
        place: |row| Ok(dyno::env_place(parsed(&row.app_id)?, parsed(&row.id)?)),
    },
    Table { read: JOBS, write: SET_JOB, place: |row| Ok(job::secret_place(parsed(&row.id)?)) },
    Table { read: ADDONS, write: SET_ADDON, place: |row| Ok(addon::secret_place(parsed(&row.id)?)) },
    Table {
        read: ATTACHMENTS,
        write: SET_ATTACHMENT,
        place: |row| Ok(attachment::vars_place(parsed(&row.id)?)),
    },
    Table {
        read: CREDENTIALS,
        write: SET_CREDENTIAL,
        place: |row| Ok(credential::password_place(parsed(&row.id)?)),
    },
    Table {
        read: SUPERUSERS,
        write: SET_SUPERUSER,
        place: |row| Ok(data_server::password_place(parsed(&row.id)?)),
    },
    Table { read: REPORTS, write: SET_REPORT, place: |row| Ok(report::checks_place(parsed(&row.id)?)) },
];

struct SealedRow {
    app_id: String,
    id: String,
    sealed: Vec<u8>,
}

impl FromRow for SealedRow {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { app_id: row.get("app_id")?, id: row.get("id")?, sealed: row.get("sealed")? })
    }
}

struct OutcomeRow {
    request_sha256: [u8; 32],
    body: Vec<u8>,
}

impl FromRow for OutcomeRow {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { request_sha256: row.get("request_sha256")?, body: row.get("body")? })
    }
}

struct SettingRow {
    key: String,
    value: String,
}

impl FromRow for SettingRow {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { key: row.get("key")?, value: row.get("value")? })
    }
}

struct Value(String);

impl FromRow for Value {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("value").map(Self)
    }
}

/// What a rotation of the master key came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterKeyRotation {
    /// There is a new one, or is to be, and the old one opens nothing any more.
    Done,
    /// The key in the new file was the present one already: an attempt before this one came as far as that, or the operator
    /// put it there.
    WasThere,
}

impl Store {
    /// Makes a new master key and wraps the data key with it; the old one opens nothing any more. With `new_file` the
    /// new key is there (made, unless it is there already) and the old file is removed, otherwise it takes its place.
    ///
    /// # Errors
    /// `MasterKeySame` when `new_file` is the old file; `MasterKey` and its kin, or the database could not be written.
    /// Repeat it then; the store can be opened.
    pub async fn rotate_master_key(
        &self,
        master_key_file: &Path,
        new_file: Option<&Path>,
    ) -> Result<MasterKeyRotation> {
        if let Some(path) = new_file.filter(|new_file| seal::is_same_file(new_file, master_key_file)) {
            return Err(StoreError::MasterKeySame { path: path.to_owned() });
        }
        #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
        let mut writer = self.writer().await?;
        if let Some(new_file) = new_file.filter(|new_file| new_file.exists()) {
            let wrapped = wrapped_data_key(&mut writer).await?;
            if seal::Master::read(new_file)?.unwrap(&wrapped).is_ok() {
                seal::remove_master(master_key_file)?;
                return Ok(MasterKeyRotation::WasThere);
            }
        }
        // What was begun and not ended is ended first.
        data_keys(&mut writer, master_key_file).await?;
        let next = new_file.map_or_else(|| next_file(master_key_file), Path::to_owned);
        if new_file.is_none() {
            seal::remove_master(&next)?;
        }
        let new = seal::Master::read_or_make(&next)?;
        let old = seal::Master::read(master_key_file)?;
        let mut transaction = writer
            .begin_with(self.engine().begin())
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let wrapped = wrapped_data_key(&mut transaction).await?;
        let rewrapped = new.wrap(&old.unwrap(&wrapped)?)?;
        engine::execute(&mut transaction, REPLACE_DATA_KEY, values![rewrapped, wrapped]).await?;
        if let Some(wrapped) = previous_data_key(&mut transaction).await? {
            let rewrapped = STANDARD.encode(new.wrap(&old.unwrap(&wrapped)?)?);
            engine::execute(&mut transaction, KEEP_PREVIOUS, values![PREVIOUS, rewrapped]).await?;
        }
        durable!("master_key.rewrapped", transaction.commit().await)
            .map_err(|error| StoreError::Commit(error.into()))?;
        match new_file {
            None => seal::move_master(&next, master_key_file)?,
            Some(_) => seal::remove_master(master_key_file)?,
        }
        Ok(MasterKeyRotation::Done)
    }

    /// Opens a store whose master key is to move to `new_file`, for a command. It may have moved before, where that was
    /// interrupted after the database knew of it: then the key in the file that `config` names opens nothing any more, or
    /// is gone, and this is `WasThere`. The old file is as it was.
    ///
    /// # Errors
    /// As [`Self::open`], with the key in `new_file` where that counts.
    pub async fn open_for_move(config: &StoreConfig, new_file: &Path) -> Result<(Self, MasterKeyRotation)> {
        match Self::open_for_command(config).await {
            Err(StoreError::Unseal { .. } | StoreError::MasterKeyMissing { .. }) if new_file.exists() => {
                let moved = StoreConfig { master_key_file: new_file.to_owned(), ..config.clone() };
                Ok((Self::open_for_command(&moved).await?, MasterKeyRotation::WasThere))
            }
            opened => Ok((opened?, MasterKeyRotation::Done)),
        }
    }

    /// Makes a new data key and seals every value with it, going on with what an earlier attempt began. Answers how
    /// many values were sealed again.
    ///
    /// # Errors
    /// The database could not be written. Repeat it then; until it succeeds both keys open what they sealed.
    pub async fn rotate_data_key(&self, master_key_file: &Path) -> Result<u64> {
        self.begin_data_key(master_key_file).await?;
        let mut resealed = 0;
        // Again until nothing is found: what was sealed with the old key may have been committed meanwhile.
        loop {
            let found =
                self.reseal_settings().await? + self.reseal_tables().await? + self.reseal_outcomes().await?;
            resealed += found;
            if found == 0 {
                break;
            }
        }
        durable!(
            "data_key.old_forgotten",
            engine::execute(&mut *self.writer().await?, FORGET_PREVIOUS, values![PREVIOUS]).await
        )?;
        Ok(resealed)
    }

    /// Whether other control planes may use the database, too: they would not know of a new data key.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.engine() == Engine::Postgres
    }

    /// Whether a new data key was made and not every value is sealed with it yet.
    pub async fn is_data_key_rotating(&self) -> Result<bool> {
        Ok(previous_data_key(&mut *self.reader().await?).await?.is_some())
    }

    async fn begin_data_key(&self, master_key_file: &Path) -> Result<()> {
        #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
        let mut writer = self.writer().await?;
        data_keys(&mut writer, master_key_file).await?;
        if previous_data_key(&mut writer).await?.is_some() {
            return Ok(());
        }
        let master = seal::Master::read(master_key_file)?;
        let mut transaction = writer
            .begin_with(self.engine().begin())
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let wrapped = wrapped_data_key(&mut transaction).await?;
        let new = seal::new_data_key()?;
        engine::execute(&mut transaction, KEEP_PREVIOUS, values![PREVIOUS, STANDARD.encode(&wrapped)])
            .await?;
        let rewrapped = master.wrap(&new)?;
        engine::execute(&mut transaction, REPLACE_DATA_KEY, values![rewrapped, wrapped]).await?;
        // Before the commit, while nobody else writes: whatever is written after it is sealed with the new key, and
        // what was sealed before still opens.
        let old = self.sealer().replace(&new);
        durable!("data_key.replaced", transaction.commit().await).map_err(|error| {
            self.sealer().put_back(old);
            StoreError::Commit(error.into())
        })
    }

    async fn reseal_tables(&self) -> Result<u64> {
        let mut resealed = 0;
        for table in &TABLES {
            let mut after = String::new();
            loop {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the connection of a statement that has a name"
                )]
                let mut writer = self.writer().await?;
                let begun = writer.begin_with(self.engine().begin()).await;
                let mut transaction = begun.map_err(|error| StoreError::Unavailable(error.into()))?;
                let rows: Vec<SealedRow> =
                    engine::all(&mut transaction, table.read, values![after, BATCH]).await?;
                let Some(last) = rows.last() else { break };
                after.clone_from(&last.id);
                for row in rows {
                    let Some(new) = self.sealer().reseal(&(table.place)(&row)?, &row.sealed)? else {
                        continue;
                    };
                    resealed +=
                        engine::execute(&mut transaction, table.write, values![row.id, new, row.sealed])
                            .await?;
                }
                durable!("data_key.rows_resealed", transaction.commit().await)
                    .map_err(|error| StoreError::Commit(error.into()))?;
            }
        }
        Ok(resealed)
    }

    /// What came of the requests of the last minutes.
    async fn reseal_outcomes(&self) -> Result<u64> {
        #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
        let mut writer = self.writer().await?;
        let mut resealed = 0;
        for row in engine::all::<OutcomeRow>(&mut writer, OUTCOMES, values![]).await? {
            let place = request_outcome::place(&row.request_sha256);
            let Some(new) = self.sealer().reseal(&place, &row.body)? else { continue };
            let values = values![row.request_sha256, new, row.body];
            resealed += durable!(
                "data_key.outcome_resealed",
                engine::execute(&mut writer, SET_OUTCOME, values).await
            )?;
        }
        Ok(resealed)
    }

    /// Settings that are sealed have their own name as place; the others do not open and stay.
    async fn reseal_settings(&self) -> Result<u64> {
        let (mut resealed, mut after) = (0, String::new());
        loop {
            #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
            let mut writer = self.writer().await?;
            let rows: Vec<SettingRow> = engine::all(&mut writer, SETTINGS, values![after, BATCH]).await?;
            let Some(last) = rows.last() else { return Ok(resealed) };
            after.clone_from(&last.key);
            for row in rows {
                let Ok(sealed) = STANDARD.decode(&row.value) else { continue };
                let Ok(Some(new)) = self.sealer().reseal(&row.key, &sealed) else { continue };
                let values = values![row.key, STANDARD.encode(new), row.value];
                resealed += durable!(
                    "data_key.setting_resealed",
                    engine::execute(&mut writer, SET_SETTING, values).await
                )?;
            }
        }
    }
}

/// The sealer of the data keys in the database. A rotation of the master key that was interrupted is ended: the key
/// that opens is the one whose wrapping was committed.
pub(crate) async fn data_keys(connection: &mut AnyConnection, master_key_file: &Path) -> Result<Sealer> {
    let wrapped = wrapped_data_key(connection).await?;
    let next = next_file(master_key_file);
    let opened =
        seal::Master::read(master_key_file).and_then(|master| Ok((master.unwrap(&wrapped)?, master)));
    let (data_key, master) = match opened {
        Err(StoreError::Unseal { .. } | StoreError::MasterKeyMissing { .. }) if next.exists() => {
            let master = seal::Master::read(&next)?;
            let data_key = master.unwrap(&wrapped)?;
            seal::move_master(&next, master_key_file)?;
            (data_key, master)
        }
        opened => opened?,
    };
    let sealer = Sealer::new(data_key);
    if let Some(previous) = previous_data_key(connection).await? {
        sealer.also_opens(master.unwrap(&previous)?);
    }
    Ok(sealer)
}

async fn wrapped_data_key(connection: &mut AnyConnection) -> Result<Vec<u8>> {
    let row = engine::one::<Sealed>(connection, platform::DATA_KEY, values![]).await?;
    Ok(row.and_then(|Sealed(wrapped)| wrapped).unwrap_or_default())
}

async fn previous_data_key(connection: &mut AnyConnection) -> Result<Option<Vec<u8>>> {
    let row = engine::one::<Value>(connection, PREVIOUS_DATA_KEY, values![PREVIOUS]).await?;
    let decoded = row.map(|Value(text)| STANDARD.decode(text)).transpose();
    decoded.map_err(|_| StoreError::UnknownValue { column: PREVIOUS })
}

/// Where a new master key waits for the database to know it.
fn next_file(master_key_file: &Path) -> PathBuf {
    let mut name = master_key_file.to_owned().into_os_string();
    name.push(".next");
    PathBuf::from(name)
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| StoreError::UnknownValue { column: "id" })
}
