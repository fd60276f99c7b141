//! Opening a store: connections, migrations, the keys to its secrets.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use paddock_core::UnixMicros;
use paddock_core::durable;
use paddock_files::make_private_folder;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, Connection as _};

use crate::database::{Database, Engine};
use crate::engine::{self, Sealed, values};
use crate::error::{Result, StoreError};
use crate::store::{Store, StoreConfig};
use crate::{data_key, migrate, platform, seal, server};

const READERS: u32 = 4;

/// What a store is opened for.
enum Purpose {
    /// By the one process that looks after the server's apps from now on.
    Serve,
    /// By a command, while there is none.
    Command,
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
#[expect(
    clippy::disallowed_methods,
    reason = "for the operator, who may want to know since when a server has been running"
)]
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
        make_private_folder(folder)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
