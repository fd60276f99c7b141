//! What is true of all statements and all tables, on both engines: `cargo xtask check-sql` runs these.

use std::collections::BTreeSet;

use paddock_core::ServerId;
use paddock_testkit::postgres::{PostgresServer, TestDatabase};
use sqlx::{AnyConnection, Executor as _, Row as _};
use uuid::Uuid;

use crate::{Database, DatabaseUrl, ServerIdentity, Store, StoreConfig, migrate, owner, platform};

/// A store and what goes with it.
struct Opened {
    store: Store,
    _folder: tempfile::TempDir,
    _database: Option<TestDatabase>,
}

async fn open(database: impl FnOnce(&tempfile::TempDir) -> Database, kept: Option<TestDatabase>) -> Opened {
    let folder = tempfile::TempDir::new().unwrap();
    let server = ServerIdentity {
        id: ServerId::from_uuid(Uuid::from_u128(1)),
        incarnation: Uuid::new_v4().to_string(),
        known: false,
    };
    let master_key_file = folder.path().join("master");
    let config = StoreConfig::new(database(&folder), master_key_file, server);
    Opened { store: Store::open(&config).await.unwrap(), _folder: folder, _database: kept }
}

async fn on_sqlite() -> Opened {
    open(|folder| Database::Sqlite(folder.path().join("paddock.sqlite")), None).await
}

/// `None` where there is no PostgreSQL and that is known.
async fn on_postgres() -> Option<Opened> {
    let database = PostgresServer::shared()?.database();
    let url = DatabaseUrl::new(database.url());
    Some(open(|_| Database::Postgres(url), Some(database)).await)
}

async fn prepare_every_statement(store: &Store) {
    let mut connection = store.writer().await.unwrap();
    let locks = [
        ("owner::BUMP_APP", owner::BUMP_APP),
        ("owner::LOCK_APP", owner::LOCK_APP),
        ("owner::BUMP_PLATFORM", owner::BUMP_PLATFORM),
        ("platform::DATA_KEY", platform::DATA_KEY),
        ("platform::SET_DATA_KEY", platform::SET_DATA_KEY),
    ];
    let (mut prepared, mut refused) = (0, Vec::new());
    for (name, sql) in crate::statements().chain(locks).chain(migrate::STATEMENTS.iter().copied()) {
        if let Err(error) = connection.prepare(sqlx::SqlStr::from_static(sql)).await {
            refused.push(format!("{name}: {error}\n{sql}"));
        }
        prepared += 1;
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
    assert!(prepared > 100, "only {prepared} statements were found");
}

#[tokio::test]
async fn sqlite_accepts_every_statement() {
    prepare_every_statement(&on_sqlite().await.store).await;
}

#[tokio::test]
async fn postgres_accepts_every_statement() {
    if let Some(opened) = on_postgres().await {
        prepare_every_statement(&opened.store).await;
    }
}

/// Of SQLite: each column with its type in the words of both; each index with its columns; each reference.
const SQLITE_SCHEMA: &str = "
    SELECT 'column ' || t.name || '.' || c.name || ' ' ||
        CASE WHEN t.name = 'events' AND c.name = 'sequence' THEN 'BIGINT' ELSE c.type END ||
        CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN ' NOT NULL' ELSE '' END AS line
    FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
    UNION SELECT 'index ' || t.name || ' (' || (SELECT group_concat(c.name) FROM (SELECT name FROM
        pragma_index_info(i.name) ORDER BY seqno) c) || ')' || CASE i.\"unique\" WHEN 1 THEN ' unique' ELSE '' END ||
        CASE i.partial WHEN 1 THEN ' partial' ELSE '' END
    FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
    UNION SELECT 'index events (sequence) unique'
    UNION SELECT 'index platform (id) unique'
    UNION SELECT 'index schema_migrations (version) unique'
    UNION SELECT 'reference ' || t.name || '.' || f.\"from\" || ' to ' || f.\"table\" || ' on delete ' ||
        lower(f.on_delete)
    FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'";

/// The same of PostgreSQL. A text that is not compared byte by byte has another order than on SQLite.
const POSTGRES_SCHEMA: &str = "
    SELECT 'column ' || table_name || '.' || column_name || ' ' || CASE data_type
            WHEN 'text' THEN CASE collation_name WHEN 'C' THEN 'TEXT' ELSE 'TEXT without COLLATE \"C\"' END
            WHEN 'bigint' THEN 'BIGINT' WHEN 'bytea' THEN 'BLOB' WHEN 'double precision' THEN 'DOUBLE'
            ELSE data_type END ||
        CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END AS line
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION SELECT 'index ' || t.relname || ' (' || (SELECT string_agg(a.attname, ',' ORDER BY k.place)
            FROM unnest(i.indkey) WITH ORDINALITY k(number, place)
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number) || ')' ||
        CASE WHEN i.indisunique THEN ' unique' ELSE '' END || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = 'public'
    UNION SELECT 'reference ' || t.relname || '.' || a.attname || ' to ' || f.relname || ' on delete ' ||
        CASE c.confdeltype WHEN 'a' THEN 'no action' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' ELSE '?' END
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY(c.conkey) WHERE c.contype = 'f'";

async fn schema(connection: &mut AnyConnection, sql: &'static str) -> BTreeSet<String> {
    let rows = sqlx::query(sql).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("line")).collect()
}

async fn schema_on_sqlite() -> BTreeSet<String> {
    let opened = on_sqlite().await;
    schema(&mut opened.store.writer().await.unwrap(), SQLITE_SCHEMA).await
}

/// Any other type is read or stored differently by some engine.
#[tokio::test]
async fn columns_have_portable_types() {
    let schema = schema_on_sqlite().await;
    let columns: Vec<_> = schema.iter().filter_map(|line| line.strip_prefix("column ")).collect();
    assert!(columns.len() > 150, "only {} columns were found", columns.len());
    for column in columns {
        let kind = column.split(' ').nth(1).unwrap();
        assert!(["TEXT", "BIGINT", "DOUBLE", "BLOB"].contains(&kind), "{column}");
    }
}

#[tokio::test]
async fn both_engines_have_the_same_tables() {
    let Some(postgres) = on_postgres().await else { return };
    let on_postgres = schema(&mut postgres.store.writer().await.unwrap(), POSTGRES_SCHEMA).await;
    let on_sqlite = schema_on_sqlite().await;
    let missing: Vec<_> = on_sqlite.difference(&on_postgres).collect();
    let more: Vec<_> = on_postgres.difference(&on_sqlite).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "only on SQLite: {missing:#?}\nonly on PostgreSQL: {more:#?}"
    );
}

#[tokio::test]
async fn the_connections_are_durable_and_the_readers_cannot_write() {
    let opened = on_sqlite().await;
    let store = &opened.store;
    for mut connection in [store.writer().await.unwrap(), store.reader().await.unwrap()] {
        let row = sqlx::query(
            "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal, \
            (SELECT synchronous FROM pragma_synchronous) AS sync, \
            (SELECT foreign_keys FROM pragma_foreign_keys) AS keys",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        let (journal, sync, keys): (String, i64, i64) =
            (row.get("journal"), row.get("sync"), row.get("keys"));
        assert_eq!((journal.as_str(), sync, keys), ("wal", 2, 1));
    }
    readers_cannot_write(store).await;
}

#[tokio::test]
async fn the_same_on_postgres_whatever_the_servers_settings_are() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    database.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); \
        EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); \
        END $$",
    );
    let url = DatabaseUrl::new(database.url());
    let opened = open(|_| Database::Postgres(url), Some(database)).await;
    let store = &opened.store;
    let show = "SELECT current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation') AS line";
    for mut connection in [store.writer().await.unwrap(), store.reader().await.unwrap()] {
        let row = sqlx::query(show).fetch_one(&mut *connection).await.unwrap();
        assert!(row.get::<String, _>("line").starts_with("on "));
    }
    let mut tx = store.begin_platform(paddock_core::UnixMicros(1), "test").await.unwrap();
    let row = sqlx::query(show).fetch_one(tx.connection()).await.unwrap();
    assert_eq!(row.get::<String, _>("line"), "on read committed");
    drop(tx);
    readers_cannot_write(store).await;
}

async fn readers_cannot_write(store: &Store) {
    let mut reader = store.reader().await.unwrap();
    assert!(sqlx::query("DELETE FROM settings").execute(&mut *reader).await.is_err());
}

/// What is stored in bytes is a hash or sealed; what is sealed must be known to the rotation of keys.
#[tokio::test]
async fn every_sealed_column_gets_a_new_data_key() {
    let opened = on_sqlite().await;
    let mut connection = opened.store.writer().await.unwrap();
    let columns = sqlx::query(
        "SELECT t.name || '.' || c.name AS line FROM sqlite_master t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND c.type = 'BLOB' ORDER BY line",
    );
    let columns = columns.fetch_all(&mut *connection).await.unwrap();
    let columns: Vec<String> = columns.iter().map(|row| row.get("line")).collect();
    let sealed: Vec<_> = columns.iter().filter(|column| !column.ends_with("sha256")).collect();
    assert_eq!(
        sealed,
        [
            "addons.secret",
            "attachments.vars",
            "config.attached",
            "config.sealed",
            "credentials.password",
            "data_servers.password",
            "data_servers.tls",
            "dynos.env",
            "jobs.secret",
            "platform.data_key",
            "releases.attached",
            "releases.config",
            "reports.checks",
            "request_outcomes.body"
        ],
        "a sealed column that is new goes into data_key.rs"
    );
}
