//! What is true of all statements and all tables.

use sqlx::{Executor as _, Row as _};

use crate::{Store, StoreConfig, app, migrate, platform};

async fn store(folder: &tempfile::TempDir) -> Store {
    let config = StoreConfig {
        database_file: folder.path().join("paddock.sqlite"),
        master_key_file: folder.path().join("master"),
    };
    Store::open(&config).await.unwrap()
}

#[tokio::test]
async fn every_statement_is_accepted_by_the_engine() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = store(&folder).await;
    let mut connection = store.writer().await.unwrap();
    let locks = [
        ("app::BUMP_GENERATION", app::BUMP_GENERATION),
        ("app::LOCK", app::LOCK),
        ("platform::BUMP_GENERATION", platform::BUMP_GENERATION),
        ("platform::DATA_KEY", platform::DATA_KEY),
        ("platform::SET_DATA_KEY", platform::SET_DATA_KEY),
    ];
    let mut prepared = 0;
    for (name, sql) in crate::statements().chain(locks).chain(migrate::STATEMENTS.iter().copied()) {
        if let Err(error) = connection.prepare(sqlx::SqlStr::from_static(sql)).await {
            panic!("{name}: {error}\n{sql}");
        }
        prepared += 1;
    }
    assert!(prepared > 100, "only {prepared} statements were found");
}

/// Any other type is read or stored differently by some engine.
#[tokio::test]
async fn columns_have_portable_types() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = store(&folder).await;
    let mut connection = store.writer().await.unwrap();
    let columns = sqlx::query(
        "SELECT m.name AS table_name, p.name AS column_name, p.type AS type FROM sqlite_master m, \
         pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(columns.len() > 150, "only {} columns were found", columns.len());
    for row in columns {
        let (table, column): (String, String) = (row.get("table_name"), row.get("column_name"));
        let kind: String = row.get("type");
        let portable = ["TEXT", "BIGINT", "DOUBLE", "BLOB"].contains(&kind.as_str());
        // The engine's own counter, which each engine spells differently.
        let counter = (table.as_str(), column.as_str()) == ("events", "sequence");
        assert!(portable || counter, "{table}.{column} is {kind}");
    }
}

#[tokio::test]
async fn the_connections_are_durable_and_the_readers_cannot_write() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = store(&folder).await;
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
    let mut reader = store.reader().await.unwrap();
    assert!(sqlx::query("DELETE FROM settings").execute(&mut *reader).await.is_err());
}
