//! The store: connections for reading and for writing, and the transactions that begin on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use paddock_core::{AppId, UnixMicros};
use sqlx::any::Any;
use sqlx::pool::PoolConnection;
use sqlx::{AnyPool, Transaction};
use tokio::time::Instant;

use crate::database::{Database, Engine};
use crate::engine;
use crate::error::{Result, StoreError};
use crate::owner::{Owner, Purpose};
use crate::seal;
use crate::server_identity::ServerIdentity;
use crate::statistics::{Counters, Statistics, Turn};
use crate::touched::{TouchedApps, Touches, Touching};
use crate::tx::Tx;

/// How soon a database that is away is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Where the store's state and the key to its secrets are.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub database: Database,
    /// The master key: `DIR/keys/master` unless the operator keeps it elsewhere. Made at the first start.
    pub master_key_file: PathBuf,
    /// Who opens it.
    pub server: ServerIdentity,
    /// How long a use case waits for a connection.
    pub patience: Duration,
}

impl StoreConfig {
    /// With the patience that goes with the kind of database.
    #[must_use]
    pub fn new(database: Database, master_key_file: PathBuf, server: ServerIdentity) -> Self {
        let patience = database.engine().patience();
        Self { database, master_key_file, server, patience }
    }
}

/// Durable state. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) engine: Engine,
    pub(crate) writers: AnyPool,
    pub(crate) readers: AnyPool,
    pub(crate) sealer: Arc<seal::Sealer>,
    pub(crate) server: Arc<ServerIdentity>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) touches: Arc<Touches>,
    pub(crate) patience: Duration,
}

impl Store {
    /// Closes every connection, after what runs on them has ended.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// The apps that transactions touch from now on.
    #[must_use]
    pub fn touched_apps(&self) -> Arc<TouchedApps> {
        self.touches.listen()
    }

    /// Begins a change that belongs to an app and bumps the app's generation, which waiters wait for.
    ///
    /// # Errors
    /// `AppGone` when the app does not exist.
    pub async fn begin_for_app(&self, app_id: AppId, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        self.begin_with(Owner::App(app_id), now, doing).await
    }

    /// Begins recording what was *observed* of an app (states of its dynos, progress of its jobs): the app is
    /// locked as in [`Store::begin_for_app`], but its generation stays, since nobody wants anything new.
    ///
    /// # Errors
    /// `AppGone` when the app does not exist.
    pub async fn begin_observation(&self, app_id: AppId, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        self.begin_with(Owner::ObservedApp(app_id), now, doing).await
    }

    /// Begins a change that belongs to the platform (a new app, an account) and bumps its generation.
    pub async fn begin_platform(&self, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        self.begin_with(Owner::Platform, now, doing).await
    }

    /// Begins writing rows that nobody waits for and that depend on no others (log sessions, login failures,
    /// sources): no generation is bumped.
    pub async fn begin_record(&self, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        self.begin_with(Owner::Nobody, now, doing).await
    }

    async fn begin_with(&self, owner: Owner, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        let asked = Instant::now();
        let transaction = self.begin_write().await.map_err(|error| error.during(doing))?;
        let turn = Turn::begin(Arc::clone(&self.counters), asked.into_std());
        let touching = Touching::new(Arc::clone(&self.touches));
        let purpose = Purpose { owner, now, doing };
        Tx::begun(transaction, Arc::clone(&self.sealer), self.server.id, turn, touching, purpose).await
    }

    /// A transaction that writes and has taken no lock of its own yet.
    pub(crate) async fn begin_write(&self) -> Result<Transaction<'static, Any>> {
        let begin = self.engine.begin();
        self.patiently(|| self.writers.begin_with(begin)).await
    }

    /// A transaction that reads, begun by this statement.
    pub(crate) async fn begin_read(&self, begin: &'static str) -> Result<Transaction<'static, Any>> {
        self.patiently(|| self.readers.begin_with(begin)).await
    }

    /// What was done since it was opened.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Seals secrets for places that have no method here (keys of certificates, credentials).
    #[must_use]
    pub fn sealer(&self) -> &seal::Sealer {
        &self.sealer
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// A writing connection, for a change that is one statement.
    pub(crate) async fn writer(&self) -> Result<PoolConnection<Any>> {
        self.patiently(|| self.writers.acquire()).await
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Any>> {
        self.counters.count_read();
        self.patiently(|| self.readers.acquire()).await
    }

    /// Waits for a database that is away, as while its server restarts: nothing was asked of it yet.
    async fn patiently<T, F>(&self, connect: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let deadline = Instant::now() + self.patience;
        loop {
            match tokio::time::timeout_at(deadline, connect()).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) if engine::is_away(&error) && Instant::now() + AGAIN < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                Ok(Err(error)) => return Err(StoreError::Unavailable(error.into())),
                Err(_) => return Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut.into())),
            }
        }
    }
}
