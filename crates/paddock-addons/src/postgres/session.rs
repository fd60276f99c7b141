//! The platform's own connections to a data server.
//!
//! A tenant owns what is in a database of his, functions and operators of any name among it, and the superuser comes there: so
//! whatever a statement of ours names is looked for in `pg_catalog`, and what a tenant has set for his database is set again
//! by the connection itself, which counts for more.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::names::Identifier;
use crate::{ServerAccess, StepError};

const CONNECT_TIME: Duration = Duration::from_secs(15);
/// Where statements that concern the whole server are made: no tenant gets there.
pub(super) const SERVER: &str = "postgres";

/// Set by the connection, before anything of the database's own.
const SETTINGS: [(&str, &str); 14] = [
    ("search_path", "pg_catalog"),
    ("role", "none"),
    // Of a library that is not there the server refuses every connection.
    ("local_preload_libraries", ""),
    ("statement_timeout", "0"),
    ("lock_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("synchronous_commit", "on"),
    ("session_replication_role", "origin"),
    ("check_function_bodies", "on"),
    ("log_min_error_statement", "panic"),
    ("log_min_duration_statement", "-1"),
    ("pg_stat_statements.track", "none"),
];

#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
}

impl Session {
    /// A connection to the server itself.
    pub(super) async fn server(access: &ServerAccess) -> Result<Self, StepError> {
        Self::open(access, SERVER).await
    }

    /// A connection to a tenant's database.
    pub(super) async fn database(access: &ServerAccess, database: Identifier<'_>) -> Result<Self, StepError> {
        Self::open(access, database.bare()).await
    }

    async fn open(access: &ServerAccess, database: &str) -> Result<Self, StepError> {
        let doing = || format!("connect to the database {database} of the data server {}", access.address);
        let options = PgConnectOptions::new_without_pgpass()
            .host(&access.address.ip().to_string())
            .port(access.address.port())
            .username("postgres")
            .password(access.password.reveal())
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert_from_pem(access.authority.clone().into_bytes())
            .application_name("Paddock")
            .options(SETTINGS)
            // Slow ones would be told whole, and there are verifiers in some.
            .disable_statement_logging();
        let connected = tokio::time::timeout(CONNECT_TIME, PgConnection::connect_with(&options)).await;
        match connected {
            Ok(Ok(connection)) => Ok(Self { connection }),
            Ok(Err(error)) => Err(StepError::new(doing(), error)),
            Err(_) => Err(StepError::new(doing(), "it does not answer in time")),
        }
    }

    /// Waits for what else is done to this database or was cut off: two at a time would see halves.
    pub(super) async fn alone_with(&mut self, database: Identifier<'_>) -> Result<(), StepError> {
        let rows = sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(database.bare());
        rows.execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| StepError::new(format!("wait for the database {}", database.bare()), error))
    }

    /// Runs statements of ours, all of them or none where the server allows that. `doing` is for people; the statements may
    /// have verifiers in them and are never told.
    pub(super) async fn run(&mut self, doing: &str, sql: String) -> Result<(), StepError> {
        if sql.is_empty() {
            return Ok(());
        }
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| StepError::new(doing, error))
    }

    /// Runs a statement that a tenant's own things may stand in the way of; those stay as they are then.
    pub(super) async fn try_run(&mut self, doing: &str, sql: String) -> Result<(), StepError> {
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await {
            // Class 42: what is named is there already, is not there, or is something else.
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("42")) => {
                Ok(())
            }
            outcome => outcome.map(drop).map_err(|error| StepError::new(doing, error)),
        }
    }

    /// Runs statements, one after the other where not all of them at once. Those that the server refuses are left out: why.
    pub(super) async fn run_each(
        &mut self,
        doing: &str,
        statements: Vec<String>,
    ) -> Result<Vec<StepError>, StepError> {
        match self.run(doing, statements.join(";\n")).await {
            Err(error) if is_refusal(&error) => {}
            outcome => return outcome.map(|()| Vec::new()),
        }
        let mut refused = Vec::new();
        for statement in statements {
            match self.run(doing, statement).await {
                Err(error) if is_refusal(&error) => refused.push(error),
                outcome => outcome?,
            }
        }
        Ok(refused)
    }

    /// The rows that a constant question gives for these texts.
    pub(super) async fn rows(
        &mut self,
        doing: &str,
        sql: &'static str,
        parameters: &[&str],
    ) -> Result<Vec<PgRow>, StepError> {
        let query = parameters.iter().fold(sqlx::query(sql), |query, text| query.bind((*text).to_owned()));
        query.fetch_all(&mut self.connection).await.map_err(|error| StepError::new(doing, error))
    }

    /// The texts of the first column.
    pub(super) async fn texts(
        &mut self,
        doing: &str,
        sql: &'static str,
        parameters: &[&str],
    ) -> Result<Vec<String>, StepError> {
        let rows = self.rows(doing, sql, parameters).await?;
        rows.iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()
            .map_err(|error| StepError::new(doing, error))
    }

    /// Ends the connection; that it cannot be ended well is nobody's loss.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }
}

/// Whether a server that is well has said no.
fn is_refusal(error: &StepError) -> bool {
    match error.source.downcast_ref() {
        // Of class 53 it has no room or no memory; of class 57 it ends.
        Some(sqlx::Error::Database(said)) => {
            said.code().is_some_and(|code| !code.starts_with("53") && !code.starts_with("57"))
        }
        _ => false,
    }
}

/// One value of a row.
pub(super) fn value<'r, T>(row: &'r PgRow, column: &str) -> Result<T, StepError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| StepError::new(format!("read the column {column}"), error))
}
