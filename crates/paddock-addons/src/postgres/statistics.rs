//! Statistics that are begun anew: `pg:stats-reset`.

use super::Postgres;
use super::names::Identifier;
use super::session::Session;
use crate::{Resource, ServerAccess, StepError};

const RESET: &str = "SELECT pg_stat_reset(); SELECT _heroku.reset_statements(0, oid, 0) FROM pg_database WHERE datname = current_database()";

impl Postgres {
    /// Forgets what was counted of a database: tables, indexes, statements.
    ///
    /// # Errors
    /// The server is away.
    pub async fn reset_statistics(
        &self,
        server: &ServerAccess,
        resource: &Resource,
    ) -> Result<(), StepError> {
        let mut inside = Session::database(server, Identifier::new(&resource.database)?).await?;
        inside.run("reset the statistics of a database", RESET.to_owned()).await?;
        inside.close().await;
        Ok(())
    }
}
