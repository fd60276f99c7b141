//! Dynos: each row is one run of one dyno; a restarted `web.1` is a new row with a new id.
//!
//! Stored is what was decided and what was last observed. What runs is known by the runtime alone.

use std::net::IpAddr;

use paddock_core::config::ConfigVars;
use paddock_core::dyno::{DynoKind, DynoName, DynoSize, DynoState};
use paddock_core::{AppId, ContainerId, DynoId, ProcessType, ReleaseId, UnixMicros};

use crate::config::{seal_vars, unseal_vars};
use crate::engine::{self, Sealed, reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};
use crate::{AppSpan, SecretSha256, Store, Tx};

/// What is wanted of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DesiredDynoState {
    /// It should run.
    Running,
    /// It should end, and not be started again.
    Stopped,
}

impl DesiredDynoState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }

    /// The state with this stored text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Stopped].into_iter().find(|state| state.as_str() == text)
    }
}

word_columns!(DesiredDynoState = DesiredDynoState::parse);

/// A dyno as stored; variables of its own are read by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dyno {
    pub id: DynoId,
    pub app_id: AppId,
    /// Its name. Two rows may share one while the older is on its way down.
    pub name: DynoName,
    pub process_type: ProcessType,
    pub kind: DynoKind,
    /// Its command: a bash line for the dyno.
    pub command: String,
    pub size: DynoSize,
    pub release_id: ReleaseId,
    pub release_version: i64,
    /// The generation of the app that it was made for.
    pub generation: i64,
    /// Its state as last observed.
    pub state: DynoState,
    /// What is wanted of it.
    pub desired: DesiredDynoState,
    /// The container that runs it, once one was asked for.
    pub container_id: Option<ContainerId>,
    /// The address of its container.
    pub address: Option<IpAddr>,
    /// The port it was told to listen on.
    pub port: Option<u16>,
    /// SHA-256 of the secret that attaches a client to it.
    pub attach_secret_sha256: Option<SecretSha256>,
    /// Rows of its terminal; `None` when it has none.
    pub terminal_rows: Option<u16>,
    pub terminal_columns: Option<u16>,
    /// How long it may run, in seconds.
    pub time_to_live_seconds: Option<i64>,
    /// How often it crashed in a row.
    pub crash_count: i64,
    /// The exit status of its program, once it ended.
    pub exit_status: Option<i32>,
    pub created_at: UnixMicros,
    pub state_changed_at: UnixMicros,
    /// When the row was last written; set by the store.
    pub updated_at: UnixMicros,
    /// When a crashed one is tried again.
    pub retry_at: Option<UnixMicros>,
    /// How often it was hung up on since its client left, R16 included; changed by [`Tx::count_hang_up`] alone.
    pub hang_ups: i64,
    pub hung_up_at: Option<UnixMicros>,
    /// What is to be said of it beside its command; empty mostly. Changed by [`Tx::set_dyno_remark`] alone.
    pub remark: String,
}

row!(Dyno { id, app_id, name, process_type, kind, command, size, release_id, release_version, generation, state,
        desired, crash_count, created_at, state_changed_at, updated_at, hang_ups, remark }
    optional { container_id, address, port, attach_secret_sha256, terminal_rows, terminal_columns,
        time_to_live_seconds, exit_status, retry_at, hung_up_at });

statements! {
    BY_ID = "SELECT * FROM dynos WHERE id = $1";
    BY_ATTACH_SECRET = "SELECT * FROM dynos WHERE attach_secret_sha256 = $1";
    OF_APP = "SELECT * FROM dynos WHERE app_id = $1 ORDER BY created_at, id";
    ALL = "SELECT * FROM dynos WHERE app_id IN (SELECT id FROM apps WHERE server_id = $1) \
        ORDER BY app_id, created_at, id";
    WITHIN = "SELECT dynos.* FROM dynos JOIN apps ON apps.id = dynos.app_id \
        WHERE apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3 \
        ORDER BY dynos.app_id, dynos.created_at, dynos.id";
    // An existing row keeps its `desired`: what the caller read of it may be older than a stop acknowledged since.
    PUT = "INSERT INTO dynos (id, app_id, name, process_type, kind, command, size, release_id, release_version, \
        generation, state, desired, container_id, address, port, attach_secret_sha256, terminal_rows, \
        terminal_columns, time_to_live_seconds, crash_count, exit_status, created_at, state_changed_at, \
        updated_at, retry_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
        $22, $23, $24, $25) \
        ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, state = excluded.state, \
        container_id = excluded.container_id, address = excluded.address, port = excluded.port, \
        attach_secret_sha256 = excluded.attach_secret_sha256, \
        terminal_rows = excluded.terminal_rows, terminal_columns = excluded.terminal_columns, \
        crash_count = excluded.crash_count, exit_status = excluded.exit_status, \
        state_changed_at = excluded.state_changed_at, updated_at = excluded.updated_at, \
        retry_at = excluded.retry_at";
    SET_DESIRED = "UPDATE dynos SET desired = $2, updated_at = $3 WHERE id = $1";
    COUNT_HANG_UP = "UPDATE dynos SET hang_ups = hang_ups + 1, hung_up_at = $2, updated_at = $3 WHERE id = $1";
    SET_REMARK = "UPDATE dynos SET remark = $2, updated_at = $3 WHERE id = $1";
    ENV = "SELECT env AS sealed FROM dynos WHERE app_id = $1 AND id = $2";
    SET_ENV = "UPDATE dynos SET env = $2, updated_at = $3 WHERE id = $1";
    DELETE = "DELETE FROM dynos WHERE id = $1";
}

pub(crate) fn env_place(app_id: AppId, id: DynoId) -> String {
    format!("dyno-env:{app_id}:{id}")
}

reads! {
    dyno(id: DynoId) -> one Dyno: BY_ID [id];
    /// The dyno that the secret with this SHA-256 attaches to.
    dyno_by_attach_secret(sha256: &SecretSha256) -> one Dyno: BY_ATTACH_SECRET [*sha256];
    /// Every dyno of an app that has a row, oldest first.
    dynos(app_id: AppId) -> all Dyno: OF_APP [app_id];
}

impl Store {
    /// Every dyno that has a row, of all apps of this server.
    pub async fn all_dynos(&self) -> Result<Vec<Dyno>> {
        engine::all(&mut *self.reader().await?, ALL, values![self.server.id]).await
    }

    /// The same of the apps of a span.
    pub async fn dynos_within(&self, span: AppSpan) -> Result<Vec<Dyno>> {
        self.within(span, WITHIN).await
    }

    /// The variables that this dyno has besides the config vars of its release.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn dyno_env(&self, app_id: AppId, id: DynoId) -> Result<ConfigVars> {
        let row = engine::one::<Sealed>(&mut *self.reader().await?, ENV, values![app_id, id]).await?;
        match row {
            None => Err(StoreError::Gone { noun: "dyno", id: id.to_string() }),
            Some(Sealed(None)) => Ok(ConfigVars::new()),
            Some(Sealed(Some(sealed))) => unseal_vars(self.sealer(), &env_place(app_id, id), &sealed),
        }
    }
}

impl Tx {
    /// Makes or changes a dyno's row. What a dyno is made with (app, name, kind, command, size, release, time to
    /// live, time of creation) never changes. What is wanted of it is stored when the row is made and then changed by
    /// [`Tx::set_dyno_desired`] alone; a row is made with no hang-ups. The rest becomes as given, `updated_at` now.
    pub async fn put_dyno(&mut self, dyno: &Dyno) -> Result<()> {
        let values = values![
            dyno.id,
            dyno.app_id,
            dyno.name,
            dyno.process_type,
            dyno.kind,
            dyno.command,
            dyno.size,
            dyno.release_id,
            dyno.release_version,
            dyno.generation,
            dyno.state,
            dyno.desired,
            dyno.container_id,
            dyno.address,
            dyno.port,
            dyno.attach_secret_sha256,
            dyno.terminal_rows,
            dyno.terminal_columns,
            dyno.time_to_live_seconds,
            dyno.crash_count,
            dyno.exit_status,
            dyno.created_at,
            dyno.state_changed_at,
            self.now,
            dyno.retry_at
        ];
        self.execute(PUT, values).await.map(drop)
    }

    /// Stores, sealed, the variables that this dyno has besides the config vars of its release.
    ///
    /// # Errors
    /// `Gone` when there is no such dyno.
    pub async fn set_dyno_env(&mut self, app_id: AppId, id: DynoId, env: &ConfigVars) -> Result<()> {
        let sealed = seal_vars(&self.sealer, &env_place(app_id, id), env)?;
        let values = values![id, sealed, self.now];
        self.change("dyno", id, SET_ENV, values).await
    }

    /// Says what is wanted of a dyno.
    ///
    /// # Errors
    /// `Gone` when there is no such dyno.
    pub async fn set_dyno_desired(&mut self, id: DynoId, desired: DesiredDynoState) -> Result<()> {
        let values = values![id, desired, self.now];
        self.change("dyno", id, SET_DESIRED, values).await
    }

    /// It was hung up on once more, now.
    ///
    /// # Errors
    /// `Gone` when there is no such dyno.
    pub async fn count_hang_up(&mut self, id: DynoId) -> Result<()> {
        let values = values![id, self.now, self.now];
        self.change("dyno", id, COUNT_HANG_UP, values).await
    }

    /// Says something of it.
    ///
    /// # Errors
    /// `Gone` when there is no such dyno.
    pub async fn set_dyno_remark(&mut self, id: DynoId, remark: &str) -> Result<()> {
        self.change("dyno", id, SET_REMARK, values![id, remark, self.now]).await
    }

    /// Deletes a dyno's row. Whether there was one.
    pub async fn delete_dyno(&mut self, id: DynoId) -> Result<bool> {
        Ok(self.execute(DELETE, values![id]).await? > 0)
    }
}
