//! The servers that share this database. An app belongs to the one in whose data folder its slugs and dynos are.

use paddock_core::{ServerId, UnixMicros};
use sqlx::AnyConnection;

use crate::Store;
use crate::engine::{self, Number, statements, values};
use crate::error::{Result, StoreError};
use crate::server_identity::ServerIdentity;

statements! {
    IS_KNOWN = "SELECT COUNT(*) AS number FROM servers WHERE id = $1";
    REGISTER = "INSERT INTO servers (id, incarnation, started_at) VALUES ($1, $2, $3) \
        ON CONFLICT (id) DO UPDATE SET incarnation = excluded.incarnation, started_at = excluded.started_at";
    REGISTER_FIRST = "INSERT INTO servers (id, incarnation, started_at) VALUES ($1, $2, $3) \
        ON CONFLICT (id) DO NOTHING";
    ADOPT_APPS = "UPDATE apps SET server_id = $1 WHERE server_id IS NULL";
    ADOPT_DELETED = "UPDATE deleted_apps SET server_id = $1 WHERE server_id IS NULL";
    IS_NEWEST = "SELECT COUNT(*) AS number FROM servers WHERE id = $1 AND incarnation = $2";
}

/// An error where a server has used another database before: here it would begin anew.
pub(crate) async fn is_expected(connection: &mut AnyConnection, server: &ServerIdentity) -> Result<()> {
    if !server.known {
        return Ok(());
    }
    match engine::one::<Number>(connection, IS_KNOWN, values![server.id]).await? {
        Some(Number(1..)) => Ok(()),
        _ => Err(StoreError::UnknownServer(server.id)),
    }
}

/// Notes that this server uses the database from now on, and that apps which had no server yet are its own.
pub(crate) async fn register(
    connection: &mut AnyConnection,
    server: &ServerIdentity,
    now: UnixMicros,
) -> Result<()> {
    let incarnation = server.incarnation.as_str();
    engine::execute(connection, REGISTER, values![server.id, incarnation, now]).await?;
    adopt_apps(connection, server).await
}

/// The same where no server starts, in a copy of a database or for a command: one that has registered stays as it is.
pub(crate) async fn adopt(connection: &mut AnyConnection, server: &ServerIdentity) -> Result<()> {
    let values = values![server.id, server.incarnation.as_str(), UnixMicros(0)];
    engine::execute(connection, REGISTER_FIRST, values).await?;
    adopt_apps(connection, server).await
}

async fn adopt_apps(connection: &mut AnyConnection, server: &ServerIdentity) -> Result<()> {
    engine::execute(connection, ADOPT_APPS, values![server.id]).await?;
    engine::execute(connection, ADOPT_DELETED, values![server.id]).await.map(drop)
}

impl Store {
    /// The server that opened this store.
    #[must_use]
    pub fn server_id(&self) -> ServerId {
        self.server.id
    }

    /// Whether no process of the same server has started since: one that was succeeded, because its data folder was
    /// copied, must end.
    pub async fn is_newest_incarnation(&self) -> Result<bool> {
        let values = values![self.server.id, self.server.incarnation.as_str()];
        let found = engine::one::<Number>(&mut *self.reader().await?, IS_NEWEST, values).await?;
        Ok(found.is_some_and(|Number(count)| count > 0))
    }
}
