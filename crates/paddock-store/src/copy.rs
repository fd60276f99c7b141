//! From one engine to the other: every row of every table in one transaction, then read back and compared.
//!
//! What there is to copy is read from the schema, so a new table needs no line here.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::TryStreamExt as _;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use crate::database::{Database, DatabaseUrl, Engine};
use crate::engine::{Value, arguments};
use crate::error::{Cause, Result, StoreError};
use crate::server;
use crate::server_identity::ServerIdentity;
use crate::{migrate, opening};

/// What one table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    pub name: String,
    /// How many rows it has, on both sides.
    pub rows: u64,
    /// Sum of the rows' SHA-256, on both sides: the order of the rows does not matter.
    pub checksum: u128,
}

/// How a copy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// All of it was copied now.
    Now(Vec<CopiedTable>),
    /// The target had it already, row by row: an earlier copy was complete.
    Before(Vec<CopiedTable>),
}

/// Made by the migrations, with these rows, in an empty database.
const MADE_BY_MIGRATIONS: [&str; 2] = ["schema_migrations", "platform"];

/// Copies the database of a server that is stopped. `done` hears of each table.
///
/// # Errors
/// `CopyTarget` when the target holds something else; `Copy` when a table could not be copied or does not come back the
/// same. Nothing of it is kept then.
pub async fn copy_to_postgres(
    from: &Path,
    to: &DatabaseUrl,
    server: &ServerIdentity,
    mut done: impl FnMut(&CopiedTable),
) -> Result<Copied> {
    sqlx::any::install_default_drivers();
    let mut source = opening::connect(&Database::Sqlite(from.to_owned())).await?;
    migrate::migrate(&mut source, Engine::Sqlite).await?;
    server::adopt(&mut source, server).await?;
    let mut target = opening::connect(&Database::Postgres(to.clone())).await?;
    migrate::migrate(&mut target, Engine::Postgres).await?;
    let tables = tables(&mut source).await?;
    let whole = StoreError::copying("the database");
    sqlx::raw_sql("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        .execute(&mut target)
        .await
        .map_err(&whole)?;
    let mut transaction = target.begin().await.map_err(&whole)?;
    if !is_new(&mut transaction, &tables).await? {
        return match same(&mut source, &mut transaction, &tables).await? {
            Some(copied) => Ok(Copied::Before(copied)),
            None => Err(StoreError::CopyTarget(to.to_string())),
        };
    }
    let copied = copy_tables(&mut source, &mut transaction, &tables, &mut done).await?;
    continue_numbers_on_postgres(&mut source, &mut transaction).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "one transaction into an empty database, compared before it ends"
    )]
    transaction.commit().await.map_err(&whole)?;
    Ok(Copied::Now(copied))
}

/// Copies what a transaction on PostgreSQL sees into a new file of SQLite. Nothing else has that file open.
pub(crate) async fn copy_to_sqlite(source: &mut AnyConnection, to: &Path) -> Result<()> {
    let mut target = opening::connect(&Database::Sqlite(to.to_owned())).await?;
    migrate::migrate(&mut target, Engine::Sqlite).await?;
    let tables = tables(&mut target).await?;
    let whole = StoreError::copying("the database");
    let mut transaction = target.begin().await.map_err(&whole)?;
    // Rows of one table may refer to each other, and come in no order.
    sqlx::raw_sql("PRAGMA defer_foreign_keys = ON").execute(&mut *transaction).await.map_err(&whole)?;
    copy_tables(source, &mut transaction, &tables, &mut |_| ()).await?;
    continue_numbers_on_sqlite(source, &mut transaction).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "one transaction into an empty database, compared before it ends"
    )]
    transaction.commit().await.map_err(&whole)?;
    target.close().await.map_err(&whole)
}

/// Copies every table into a database that has what the migrations made, and compares what came back.
async fn copy_tables(
    source: &mut AnyConnection,
    target: &mut AnyConnection,
    tables: &[Table],
    done: &mut impl FnMut(&CopiedTable),
) -> Result<Vec<CopiedTable>> {
    let empty = sqlx::raw_sql("DELETE FROM platform").execute(&mut *target).await;
    empty.map_err(StoreError::copying("platform"))?;
    let mut copied = Vec::new();
    for table in tables.iter().filter(|table| table.name != "schema_migrations") {
        copy_table(source, target, table).await?;
        let there = table.sum(target).await?;
        if there != table.sum(source).await? {
            let differs: Cause = "the rows that came back differ from those that were sent".into();
            return Err(StoreError::Copy { what: table.name.clone(), source: differs });
        }
        done(&there);
        copied.push(there);
    }
    Ok(copied)
}

/// A table and its columns with their types.
struct Table {
    name: String,
    columns: Vec<(String, Kind)>,
    refers_to: Vec<String>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Blob,
}

impl Table {
    fn column_list(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.column_list(), self.name)
    }

    fn insert(&self) -> String {
        let places: Vec<_> = (1..=self.columns.len()).map(|place| format!("${place}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, self.column_list(), places.join(", "))
    }

    fn read(&self, row: &sqlx::any::AnyRow) -> sqlx::Result<Vec<Value>> {
        let value = |(place, (_, kind)): (usize, &(String, Kind))| {
            Ok(match kind {
                Kind::Text => Value::Text(row.try_get(place)?),
                Kind::Integer => Value::Integer(row.try_get(place)?),
                Kind::Blob => Value::Blob(row.try_get(place)?),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    async fn sum(&self, connection: &mut AnyConnection) -> Result<CopiedTable> {
        let failed = StoreError::copying(&self.name);
        let mut sum = CopiedTable { name: self.name.clone(), rows: 0, checksum: 0 };
        let mut rows = sqlx::query(AssertSqlSafe(self.select())).fetch(connection);
        while let Some(row) = rows.try_next().await.map_err(&failed)? {
            sum.rows += 1;
            sum.checksum = sum.checksum.wrapping_add(row_checksum(&self.read(&row).map_err(&failed)?));
        }
        Ok(sum)
    }
}

fn row_checksum(values: &[Value]) -> u128 {
    let mut bytes = Vec::new();
    for value in values {
        // Kind and length before each value: no two rows are the same bytes.
        let (kind, value) = match value {
            Value::Text(value) => (b't', value.as_deref().map(str::as_bytes).map(<[u8]>::to_vec)),
            Value::Integer(value) => (b'i', value.map(|value| value.to_be_bytes().to_vec())),
            Value::Blob(value) => (b'b', value.clone()),
        };
        bytes.push(kind);
        bytes.extend(value.as_ref().map_or(u64::MAX, |value| value.len() as u64).to_be_bytes());
        bytes.extend(value.unwrap_or_default());
    }
    let sum = digest(&SHA256, &bytes);
    let (first, _) = sum.as_ref().split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
    u128::from_be_bytes(*first)
}

/// Every table, those that others refer to before them: as SQLite has them, on whichever side it is.
async fn tables(source: &mut AnyConnection) -> Result<Vec<Table>> {
    let failed = StoreError::copying("the list of tables");
    let names =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut waiting = Vec::new();
    for row in sqlx::query(names).fetch_all(&mut *source).await.map_err(&failed)? {
        waiting.push(describe(source, row.try_get("name").map_err(&failed)?).await?);
    }
    let mut sorted: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let ready = |table: &Table| {
            table
                .refers_to
                .iter()
                .all(|name| *name == table.name || sorted.iter().any(|done| done.name == *name))
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
        if now.is_empty() {
            return Err(failed(sqlx::Error::Protocol("tables refer to each other in a circle".into())));
        }
        sorted.extend(now);
        waiting = later;
    }
    Ok(sorted)
}

async fn describe(source: &mut AnyConnection, name: String) -> Result<Table> {
    let failed = StoreError::copying(&name);
    let mut columns = Vec::new();
    let sql = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
    for row in sqlx::query(sql).bind(&name).fetch_all(&mut *source).await.map_err(&failed)? {
        let (column, kind): (String, String) =
            (row.try_get("name").map_err(&failed)?, row.try_get("type").map_err(&failed)?);
        let kind = match kind.as_str() {
            "TEXT" => Kind::Text,
            "BIGINT" | "INTEGER" => Kind::Integer,
            "BLOB" => Kind::Blob,
            other => return Err(failed(sqlx::Error::Protocol(format!("column {column} is {other}")))),
        };
        columns.push((column, kind));
    }
    let sql = "SELECT \"table\" AS target FROM pragma_foreign_key_list($1)";
    let references = sqlx::query(sql).bind(&name).fetch_all(&mut *source).await.map_err(&failed)?;
    let refers_to = references.iter().map(|row| row.try_get("target")).collect::<sqlx::Result<_>>();
    let refers_to = refers_to.map_err(&failed)?;
    Ok(Table { name, columns, refers_to })
}

/// Whether the target has what the migrations made and no more.
async fn is_new(target: &mut AnyConnection, tables: &[Table]) -> Result<bool> {
    for table in tables.iter().filter(|table| !MADE_BY_MIGRATIONS.contains(&table.name.as_str())) {
        let any = sqlx::query(AssertSqlSafe(format!("SELECT 1 FROM {} LIMIT 1", table.name)));
        if any.fetch_optional(&mut *target).await.map_err(StoreError::copying(&table.name))?.is_some() {
            return Ok(false);
        }
    }
    let used = sqlx::query("SELECT id FROM platform WHERE data_key IS NOT NULL OR generation > 0");
    let used = used.fetch_optional(&mut *target).await.map_err(StoreError::copying("platform"))?;
    Ok(used.is_none())
}

/// The sums of all tables, where they are the same on both sides.
async fn same(
    source: &mut AnyConnection,
    target: &mut AnyConnection,
    tables: &[Table],
) -> Result<Option<Vec<CopiedTable>>> {
    let mut sums = Vec::new();
    for table in tables.iter().filter(|table| table.name != "schema_migrations") {
        let (here, there) = (table.sum(source).await?, table.sum(target).await?);
        if here != there {
            return Ok(None);
        }
        sums.push(here);
    }
    Ok(Some(sums))
}

async fn copy_table(source: &mut AnyConnection, target: &mut AnyConnection, table: &Table) -> Result<()> {
    let failed = StoreError::copying(&table.name);
    let insert = table.insert();
    let mut rows = sqlx::query(AssertSqlSafe(table.select())).fetch(source);
    while let Some(row) = rows.try_next().await.map_err(&failed)? {
        let values = arguments(table.read(&row).map_err(&failed)?)
            .map_err(|error| StoreError::Copy { what: table.name.clone(), source: error.into() })?;
        let sent = sqlx::query_with(AssertSqlSafe(insert.clone()), values).execute(&mut *target).await;
        sent.map_err(&failed)?;
    }
    Ok(())
}

/// Events go on with the next number, also where the newest are deleted already.
async fn continue_numbers_on_postgres(source: &mut AnyConnection, target: &mut AnyConnection) -> Result<()> {
    let failed = StoreError::copying("the number of the next event");
    let newest = "SELECT seq AS number FROM sqlite_sequence WHERE name = 'events'";
    let newest = sqlx::query(newest).fetch_optional(source).await.map_err(&failed)?;
    if let Some(row) = newest {
        let number: i64 = row.try_get("number").map_err(&failed)?;
        let set = "SELECT setval(pg_get_serial_sequence('events', 'sequence'), $1)";
        sqlx::query(set).bind(number).execute(target).await.map_err(&failed)?;
    }
    Ok(())
}

/// The same the other way round. A sequence that was never asked is at 1 and says so.
async fn continue_numbers_on_sqlite(source: &mut AnyConnection, target: &mut AnyConnection) -> Result<()> {
    let failed = StoreError::copying("the number of the next event");
    let newest = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS number FROM events_sequence_seq";
    let row = sqlx::query(newest).fetch_one(source).await.map_err(&failed)?;
    let number: i64 = row.try_get("number").map_err(&failed)?;
    let update = "UPDATE sqlite_sequence SET seq = $1 WHERE name = 'events'";
    let updated = sqlx::query(update).bind(number).execute(&mut *target).await.map_err(&failed)?;
    if updated.rows_affected() == 0 {
        let insert = "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', $1)";
        sqlx::query(insert).bind(number).execute(target).await.map_err(&failed)?;
    }
    Ok(())
}

impl StoreError {
    /// What failed while `what` was copied.
    fn copying(what: &str) -> impl Fn(sqlx::Error) -> Self + use<> {
        let what = what.to_owned();
        move |source| Self::Copy { what: what.clone(), source: Box::new(source) }
    }
}
