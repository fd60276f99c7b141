//! Opening the store: files, connections, migrations, keys.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use paddock_core::durable;
use paddock_core::{AppId, UnixMicros};
use sqlx::any::{Any, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AnyPool, Connection as _, Transaction};
use tokio::time::Instant;

use crate::database::{Database, Engine};
use crate::engine::{self, Sealed, values};
use crate::error::{Result, StoreError};
use crate::owner::Owner;
use crate::server::{self, ServerIdentity};
use crate::statistics::{Counters, Statistics, Turn};
use crate::touched::{TouchedApps, Touches, Touching};
use crate::tx::Tx;
use crate::{data_key, migrate, platform, private_file, seal};

const READERS: u32 = 4;
/// How soon a database that is away is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Where the store's state and the key to its secrets are.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The database.
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

/// What a store is opened for.
enum Purpose {
    /// By the one process that looks after the server's apps from now on.
    Serve,
    /// By a command, while there is none.
    Command,
}

/// Durable state. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    writers: AnyPool,
    readers: AnyPool,
    sealer: Arc<seal::Sealer>,
    pub(crate) server: Arc<ServerIdentity>,
    counters: Arc<Counters>,
    touches: Arc<Touches>,
    patience: Duration,
}

impl Store {
    /// Opens the database, migrates it and reads the keys; makes all three at the first start.
    ///
    /// # Errors
    /// `UnknownServer`, `NewerVersion`, `MasterKeyMissing`, `MasterKeyLength`, `Unseal` (another master key), or what the
    /// system said.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        Self::open_for(config, Purpose::Serve).await
    }

    /// The same for a command that works on the store while its server does not run: another process of this server, on a
    /// copy of its data folder, is not succeeded by it.
    ///
    /// # Errors
    /// As [`Self::open`], with the same refusal of a database that does not know the server.
    pub async fn open_for_command(config: &StoreConfig) -> Result<Self> {
        Self::open_for(config, Purpose::Command).await
    }

    async fn open_for(config: &StoreConfig, purpose: Purpose) -> Result<Self> {
        let database = &config.database;
        let engine = database.engine();
        let failed = |error: sqlx::Error| not_opened(database, error.into());
        // By itself first: a pool would try a broken file again and again, and then not say what was wrong.
        let mut connection = connect(database).await?;
        migrate::migrate(&mut connection, engine).await?;
        server::is_expected(&mut connection, &config.server).await?;
        let sealer = Arc::new(data_key(&mut connection, &config.master_key_file).await?);
        match purpose {
            Purpose::Serve => server::register(&mut connection, &config.server, now()).await?,
            Purpose::Command => server::adopt(&mut connection, &config.server).await?,
        }
        connection.close().await.map_err(failed)?;
        let url = database.driver_url().map_err(|problem| not_opened(database, problem.into()))?;
        let patience = config.patience;
        let writers = pool(engine, engine.writers(), "", patience).connect(&url).await.map_err(failed)?;
        let session = engine.reader_session();
        let readers = pool(engine, READERS, session, patience).connect(&url).await.map_err(failed)?;
        Ok(Self {
            engine,
            writers,
            readers,
            sealer,
            server: Arc::new(config.server.clone()),
            counters: Arc::default(),
            touches: Arc::default(),
            patience,
        })
    }

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
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn begin_platform(&self, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        self.begin_with(Owner::Platform, now, doing).await
    }

    /// Begins writing rows that nobody waits for and that depend on no others (log sessions, login failures,
    /// sources): no generation is bumped.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn begin_record(&self, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        self.begin_with(Owner::Nobody, now, doing).await
    }

    async fn begin_with(&self, owner: Owner, now: UnixMicros, doing: &'static str) -> Result<Tx> {
        let asked = Instant::now();
        let transaction = self.begin_write().await.map_err(|error| error.during(doing))?;
        let turn = Turn::begin(Arc::clone(&self.counters), asked.into_std());
        let touching = Touching::new(Arc::clone(&self.touches));
        Tx::begun(transaction, Arc::clone(&self.sealer), self.server.id, turn, touching, owner, now, doing)
            .await
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

    /// What the database is.
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

fn pool(engine: Engine, connections: u32, session: &'static str, patience: Duration) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(engine.session()).execute(&mut *connection).await?;
                sqlx::raw_sql(session).execute(&mut *connection).await?;
                Ok(())
            })
        })
}

/// A connection outside the pools, which other servers that start wait for.
pub(crate) async fn connect(database: &Database) -> Result<AnyConnection> {
    if let Database::Sqlite(path) = database {
        prepare_file(path).map_err(|error| not_opened(database, error.into()))?;
    }
    sqlx::any::install_default_drivers();
    let url = database.driver_url().map_err(|problem| not_opened(database, problem.into()))?;
    let failed = |error: sqlx::Error| not_opened(database, error.into());
    let engine = database.engine();
    let mut connection = AnyConnection::connect(&url).await.map_err(failed)?;
    sqlx::raw_sql(engine.session()).execute(&mut connection).await.map_err(failed)?;
    sqlx::raw_sql(engine.lock_schema()).execute(&mut connection).await.map_err(failed)?;
    Ok(connection)
}

/// The machine's clock: for the operator, who may want to know since when a server has been running.
fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn not_opened(database: &Database, source: crate::Cause) -> StoreError {
    StoreError::Open { database: database.to_string(), source }
}

async fn data_key(connection: &mut AnyConnection, master_key_file: &Path) -> Result<seal::Sealer> {
    let row = engine::one::<Sealed>(connection, platform::DATA_KEY, values![]).await?;
    if row.and_then(|Sealed(wrapped)| wrapped).is_none() {
        let master = seal::Master::read_or_make(master_key_file)?;
        let wrapped = master.wrap(&seal::new_data_key()?)?;
        // Another process may be first; what is read then is its key.
        durable!(
            "store.data_key_kept",
            engine::execute(connection, platform::SET_DATA_KEY, values![wrapped]).await
        )?;
    }
    data_key::data_keys(connection, master_key_file).await
}

/// Makes folder and file readable by us alone; the engine gives its log the mode of the database.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        private_file::make_private_folder(folder)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
