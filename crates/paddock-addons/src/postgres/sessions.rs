//! The sessions of a database: `pg:killall`, and before a database is dropped, restricted or rotated.

use super::Postgres;
use super::names::Identifier;
use super::session::Session;
use crate::{Resource, ServerAccess, StepError};

/// Each is waited for, five seconds at most: one in the kernel ends when it comes back.
const END_OF_DATABASE: &str = "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity \
    WHERE datname = $1 AND pid <> pg_backend_pid() AND usename <> 'postgres'";
const END_OF_USERS: &str = "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity WHERE usename = ANY (string_to_array($1, ','))";
const COUNT_OF_USERS: &str =
    "SELECT count(*)::text FROM pg_stat_activity WHERE usename = ANY (string_to_array($1, ','))";
const COUNT_OF_DATABASE: &str =
    "SELECT count(*)::text FROM pg_stat_activity WHERE datname = $1 AND usename <> 'postgres'";
/// A lock of each row would fill the table that all databases of a server share.
/// Whom it concerns is settled before any is ended: in one question the server may end sessions first, ours too.
const END_HOARDERS: &str = "WITH hoarders AS MATERIALIZED (SELECT a.pid, a.datname FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid \
    WHERE a.usename <> 'postgres' GROUP BY a.pid, a.datname HAVING count(*) > $1::bigint) \
    SELECT datname::text FROM hoarders WHERE pg_terminate_backend(pid, 5000)";

/// A tenth of the table of locks of a shared server.
const LOCKS_MAX: &str = "12800";

impl Postgres {
    /// Ends all sessions of a database but the platform's own.
    ///
    /// # Errors
    /// The server is away.
    pub async fn end_sessions(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let mut session = Session::server(server).await?;
        of_database(&mut session, database).await?;
        session.close().await;
        Ok(())
    }

    /// How many sessions a user has.
    ///
    /// # Errors
    /// The server is away.
    pub async fn sessions_of(&self, server: &ServerAccess, user: &str) -> Result<u64, StepError> {
        let user = Identifier::new(user)?;
        let mut session = Session::server(server).await?;
        let counts = session.texts("count the sessions of a user", COUNT_OF_USERS, &[user.bare()]).await?;
        session.close().await;
        Ok(counts.first().and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Ends sessions of a shared server that hold so many locks that none is left for others; the databases they were in.
    ///
    /// # Errors
    /// The server is away.
    pub async fn end_hoarders(&self, server: &ServerAccess) -> Result<Vec<String>, StepError> {
        let mut session = Session::server(server).await?;
        let ended = session.texts("end sessions with very many locks", END_HOARDERS, &[LOCKS_MAX]).await?;
        session.close().await;
        Ok(ended)
    }
}

pub(super) async fn of_database(session: &mut Session, database: Identifier<'_>) -> Result<(), StepError> {
    session.texts("end the sessions of a database", END_OF_DATABASE, &[database.bare()]).await.map(drop)
}

/// Of users who may not log in any more.
///
/// # Errors
/// One does not end.
pub(super) async fn last_of_users(session: &mut Session, users: &[Identifier<'_>]) -> Result<(), StepError> {
    let users = users.iter().map(|user| user.bare()).collect::<Vec<_>>().join(",");
    session.texts("end the sessions of users", END_OF_USERS, &[&users]).await?;
    none_left(session.texts("count the sessions of users", COUNT_OF_USERS, &[&users]).await?)
}

/// Of a database that nobody may come to any more.
///
/// # Errors
/// One does not end.
pub(super) async fn last_of_database(
    session: &mut Session,
    database: Identifier<'_>,
) -> Result<(), StepError> {
    of_database(session, database).await?;
    none_left(session.texts("count the sessions of a database", COUNT_OF_DATABASE, &[database.bare()]).await?)
}

fn none_left(counts: Vec<String>) -> Result<(), StepError> {
    match counts.iter().all(|count| count == "0") {
        true => Ok(()),
        false => Err(StepError::new("end sessions", "one of them does not end")),
    }
}
