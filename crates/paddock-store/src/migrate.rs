//! Migrations: embedded, numbered, each in its own transaction, never backwards.
//!
//! Expand, move, contract: what the version before this one reads stays until the version after this one.

use paddock_core::durable;
use sqlx::AnyConnection;
use sqlx::Connection as _;

use crate::database::Engine;
use crate::engine::{self, Number, statements, values};
use crate::error::{Result, StoreError};

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Migration {
    const fn sql(&self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }
}

/// One line for each number; both engines have a file of that name.
macro_rules! migrations {
    ($($version:literal $name:literal: $file:literal;)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
        }),*]
    };
}

const MIGRATIONS: &[Migration] = migrations! {
    1 "foundation": "0001_foundation.sql";
    2 "favorites": "0002_favorites.sql";
    3 "servers": "0003_servers.sql";
    4 "accounts and requests": "0004_accounts_and_requests.sql";
    5 "uploaded slugs": "0005_uploaded_slugs.sql";
    6 "hang-ups": "0006_hang_ups.sql";
    7 "readers of logs": "0007_readers_of_logs.sql";
    8 "secrets of jobs": "0008_secrets_of_jobs.sql";
    9 "disabled accounts": "0009_disabled_accounts.sql";
    10 "cost by change": "0010_cost_by_change.sql";
    11 "owned config": "0011_owned_config.sql";
    12 "add-ons": "0012_addons.sql";
    13 "backups": "0013_backups.sql";
    14 "reports": "0014_reports.sql";
    15 "images": "0015_images.sql";
    16 "stacks": "0016_stacks.sql";
    17 "pulled blobs": "0017_pulled_blobs.sql";
    18 "manifest subjects": "0018_manifest_subjects.sql";
    19 "builds made again": "0019_builds_made_again.sql";
    20 "buildpack pins": "0020_buildpack_pins.sql";
    21 "build records": "0021_build_records.sql";
};

const fn create_table(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)"
        }
        Engine::Postgres => {
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, \
             name TEXT COLLATE \"C\" NOT NULL)"
        }
    }
}

statements! {
    NEWEST = "SELECT COALESCE(MAX(version), 0) AS number FROM schema_migrations";
    RECORD = "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)";
}

/// Brings the database to the version of this program.
pub(crate) async fn migrate(connection: &mut AnyConnection, engine: Engine) -> Result<()> {
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    engine::execute(connection, create_table(engine), values![]).await?;
    let found = newest(connection).await?;
    if found > known {
        return Err(StoreError::NewerVersion { found, known });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        apply(connection, engine, migration).await?;
    }
    Ok(())
}

async fn newest(connection: &mut AnyConnection) -> Result<i64> {
    Ok(engine::one::<Number>(connection, NEWEST, values![]).await?.map_or(0, |Number(version)| version))
}

async fn apply(connection: &mut AnyConnection, engine: Engine, migration: &Migration) -> Result<()> {
    let version = migration.version;
    let failed = |error: sqlx::Error| StoreError::Migrate { version, source: Box::new(error) };
    let mut transaction = connection.begin_with(engine.begin()).await.map_err(failed)?;
    // Somebody else may have been at it between our look and our lock.
    if newest(&mut transaction).await? >= version {
        return Ok(());
    }
    sqlx::raw_sql(migration.sql(engine)).execute(&mut *transaction).await.map_err(failed)?;
    engine::execute(&mut transaction, RECORD, values![version, migration.name]).await?;
    durable!("store.migrated", transaction.commit().await).map_err(failed)
}
