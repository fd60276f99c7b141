//! What can be seen of a database now: for its limits, `pg:info` and the line of numbers each minute.

use std::collections::BTreeMap;

use super::Postgres;
use super::names::Identifier;
use super::session::{Session, value};
use crate::{Resource, ServerAccess, StepError, Used};

/// Heaps and partitioned tables of the tenant's, as `Tables` of `pg:info` counts them.
const SAMPLE: &str = "SELECT current_setting('server_version') AS version, \
    pg_database_size(current_database()) AS size, \
    (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') \
      AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', '_heroku', 'pg_toast')) AS tables, \
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres') AS connections, \
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres' \
      AND wait_event_type = 'Lock') AS waiting, \
    (SELECT sum(idx_blks_hit)::float8 / nullif(sum(idx_blks_hit + idx_blks_read), 0)::float8 FROM pg_statio_user_indexes) AS index_hit_rate, \
    (SELECT sum(heap_blks_hit)::float8 / nullif(sum(heap_blks_hit + heap_blks_read), 0)::float8 FROM pg_statio_user_tables) AS table_hit_rate, \
    pg_snapshot_xmax(pg_current_snapshot())::text AS transaction";

const SIZES: &str = "SELECT datname::text AS name, pg_database_size(oid) AS size FROM pg_database \
    WHERE datallowconn AND datname <> 'postgres'";

/// What was seen of a database.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `15.18`.
    pub version: String,
    /// Bytes stored and tables.
    pub used: Used,
    /// Sessions of clients.
    pub connections: u64,
    /// Of these, such that wait for a lock.
    pub waiting: u64,
    /// Of reads of indexes, the share that came from memory; `None` before the first.
    pub index_hit_rate: Option<f64>,
    /// The same for tables.
    pub table_hit_rate: Option<f64>,
    /// The number of the next transaction.
    pub transaction: u64,
}

impl Postgres {
    /// Looks at a database.
    ///
    /// # Errors
    /// The server is away.
    pub async fn sample(&self, server: &ServerAccess, resource: &Resource) -> Result<Sample, StepError> {
        let database = Identifier::new(&resource.database)?;
        let mut inside = Session::database(server, database).await?;
        let rows = inside.rows("look at a database", SAMPLE, &[]).await?;
        inside.close().await;
        let Some(row) = rows.first() else {
            return Err(StepError::new("look at a database", "the server answers nothing"));
        };
        let count = |column| value::<i64>(row, column).map(|count| u64::try_from(count).unwrap_or(0));
        let version: String = value(row, "version")?;
        Ok(Sample {
            // Debian adds its own to it.
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            used: Used { storage_bytes: count("size")?, tables: count("tables")? },
            connections: count("connections")?,
            waiting: count("waiting")?,
            index_hit_rate: value(row, "index_hit_rate")?,
            table_hit_rate: value(row, "table_hit_rate")?,
            transaction: value::<String>(row, "transaction")?.parse().unwrap_or(0),
        })
    }

    /// How much all databases of a server hold, by their names: one question for a server with many.
    ///
    /// # Errors
    /// The server is away.
    pub async fn sizes(&self, server: &ServerAccess) -> Result<BTreeMap<String, u64>, StepError> {
        let mut session = Session::server(server).await?;
        let rows = session.rows("look at the databases of a server", SIZES, &[]).await?;
        session.close().await;
        rows.iter()
            .map(|row| {
                let size: i64 = value(row, "size")?;
                Ok((value(row, "name")?, u64::try_from(size).unwrap_or(0)))
            })
            .collect()
    }
}
