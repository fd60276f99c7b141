//! Migrations: embedded, numbered, each in its own transaction, never backwards.
//!
//! Expand, move, contract: what the version before this one reads stays until the version after this one.

use sqlx::AnyConnection;
use sqlx::Connection as _;

use crate::engine::{self, Number, statements, values};
use crate::error::{Result, StoreError};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "foundation",
    sql: include_str!("../migrations/sqlite/0001_foundation.sql"),
}];

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
)";

statements! {
    NEWEST = "SELECT COALESCE(MAX(version), 0) AS number FROM schema_migrations";
    RECORD = "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)";
}

/// Brings the database to the version of this program.
pub(crate) async fn migrate(connection: &mut AnyConnection, begin: &'static str) -> Result<()> {
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    engine::execute(connection, CREATE_TABLE, values![]).await?;
    let found = newest(connection).await?;
    if found > known {
        return Err(StoreError::NewerVersion { found, known });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        apply(connection, begin, migration).await?;
    }
    Ok(())
}

async fn newest(connection: &mut AnyConnection) -> Result<i64> {
    Ok(engine::one::<Number>(connection, NEWEST, values![]).await?.map_or(0, |Number(version)| version))
}

async fn apply(connection: &mut AnyConnection, begin: &'static str, migration: &Migration) -> Result<()> {
    let version = migration.version;
    let failed = |error: sqlx::Error| StoreError::Migrate { version, source: Box::new(error) };
    let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
    // Somebody else may have been at it between our look and our lock.
    if newest(&mut transaction).await? >= version {
        return Ok(());
    }
    sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(failed)?;
    engine::execute(&mut transaction, RECORD, values![version, migration.name]).await?;
    transaction.commit().await.map_err(failed)
}
