//! What a PostgreSQL server does that a file does not: several servers start at once, it restarts, it is not there.

use std::time::Duration;

use paddock_core::event::{By, Event};
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, ServerId, UnixMicros};
use paddock_store::{
    Copied, Database, DatabaseUrl, NewAccount, NewApp, ServerIdentity, Store, StoreConfig, StoreError,
    copy_to_postgres,
};
use paddock_testkit::port::Port;
use paddock_testkit::postgres::PostgresServer;
use tempfile::TempDir;
use uuid::Uuid;

fn config(folder: &TempDir, url: &str) -> StoreConfig {
    let database = Database::Postgres(DatabaseUrl::new(url));
    let incarnation = Uuid::new_v4().to_string();
    let server = ServerIdentity { id: ServerId::from_uuid(Uuid::from_u128(1)), incarnation, known: false };
    StoreConfig::new(database, folder.path().join("keys/master"), server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_on_an_empty_database_find_one() {
    let Some(server) = PostgresServer::shared() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let config = config(&folder, database.url());
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move { Store::open(&config).await.unwrap() })
        })
        .collect();
    let mut sealed = None;
    for start in starts {
        let store = start.await.unwrap();
        let bytes = sealed.get_or_insert_with(|| store.sealer().seal("place", b"clear").unwrap());
        assert_eq!(store.sealer().unseal("place", bytes).unwrap(), b"clear", "one data key");
    }
    assert_eq!(database.sql("SELECT count(*) FROM schema_migrations WHERE version = 1").trim(), "1");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let folder = TempDir::new().unwrap();
    let port = Port::take();
    let closed = port.number();
    let url = format!("postgres://paddock:s3cr3t@127.0.0.1:{closed}/platform?password=s3cr3t");
    let error = Store::open(&config(&folder, &url)).await.unwrap_err();
    let text = paddock_core::error::chain(&error);
    assert!(text.contains(&format!("postgres://paddock@127.0.0.1:{closed}/platform")), "{text}");
    assert!(!format!("{text} {error:?}").contains("s3cr3t"), "{text} {error:?}");
}

/// Readers and writers wait while the server restarts, and go on; what was acknowledged before is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_waited_for() {
    let Some(server) = PostgresServer::start() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let store = Store::open(&config(&folder, database.url())).await.unwrap();
    let begun = store.begin_platform(UnixMicros(1), "test").await.unwrap();
    let before = begun.commit().await.unwrap();
    let cut = store.begin_platform(UnixMicros(2), "test").await.unwrap();
    server.stop();

    let waiting = (store.clone(), store.clone());
    let read = tokio::spawn(async move { waiting.0.platform_generation().await });
    let write =
        tokio::spawn(async move { waiting.1.begin_platform(UnixMicros(3), "test").await?.commit().await });
    assert!(cut.commit().await.unwrap_err().is_unavailable(), "it was cut off");
    server.start_again();
    let read = read.await.unwrap().unwrap();
    assert!(read == before || read == before + 1, "{read}");
    assert_eq!(write.await.unwrap().unwrap(), before + 1, "of the one that was cut off nothing was kept");
}

/// A database that stays away is an error when the store's patience ends, which is within the time that clients wait.
#[tokio::test]
async fn a_server_that_stays_away_is_an_error_in_time() {
    let Some(server) = PostgresServer::start() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let mut config = config(&folder, database.url());
    assert!(config.patience < Duration::from_secs(15), "{:?}", config.patience);
    config.patience = Duration::from_secs(1);
    let store = Store::open(&config).await.unwrap();
    server.stop();
    let asked = std::time::Instant::now();
    let answer = store.platform_generation().await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let waited = asked.elapsed();
    // An attempt that could not end in time is not begun.
    assert!((Duration::from_millis(800)..Duration::from_secs(6)).contains(&waited), "{waited:?}");
    server.start_again();
    store.platform_generation().await.unwrap();
}

fn on_sqlite(folder: &TempDir) -> StoreConfig {
    let database = Database::Sqlite(folder.path().join("db/paddock.sqlite"));
    let other = config(folder, "");
    StoreConfig::new(database, other.master_key_file, other.server)
}

/// What no one byte a letter holds.
fn domain_added(app: AppId) -> Event {
    Event::DomainCreated { app, hostname: "f\u{fc}r.example".to_owned() }
}

/// An app with a release, config vars and an event, and an event that was deleted since.
async fn fill(store: &Store) {
    let owner_id = AccountId::from_uuid(Uuid::now_v7());
    let mut tx = store.begin_platform(UnixMicros(1), "test").await.unwrap();
    let account = NewAccount { id: owner_id, email: "a@x.test".into(), name: None, password_hash: None };
    tx.create_account(&account).await.unwrap();
    let id = AppId::from_uuid(Uuid::now_v7());
    let name = "first".parse().unwrap();
    tx.create_app(&NewApp { id, name, owner_id, stack: Stack::HOST }).await.unwrap();
    tx.set_config(id, &[("SECRET".to_owned(), "s3cr3t".to_owned())].into()).await.unwrap();
    for _ in 0..3 {
        tx.event(&domain_added(id), By::Operator).await.unwrap();
    }
    tx.record_login_failure("a@x.test", "10.0.0.1").await.unwrap();
    tx.record_login_failure("a@x.test", "10.0.0.1").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_copy_has_everything_and_goes_on_where_sqlite_ended() {
    let Some(server) = PostgresServer::shared() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let sqlite = on_sqlite(&folder);
    let store = Store::open(&sqlite).await.unwrap();
    fill(&store).await;
    let before = (store.apps().await.unwrap(), store.events_since(0, 100).await.unwrap());
    store.close().await;

    let Database::Sqlite(file) = &sqlite.database else { unreachable!() };
    let url = DatabaseUrl::new(database.url());
    let mut told = Vec::new();
    let copied = copy_to_postgres(file, &url, &sqlite.server, |table| told.push(table.name.clone())).await;
    let Copied::Now(tables) = copied.unwrap() else { panic!("nothing was there before") };
    let rows = |name: &str| tables.iter().find(|table| table.name == name).unwrap().rows;
    assert_eq!((rows("apps"), rows("events"), rows("login_failures"), rows("config")), (1, 3, 2, 1));
    assert_eq!(told.len(), tables.len());

    let mut postgres = config(&folder, database.url());
    postgres.server.known = true;
    let again = copy_to_postgres(file, &url, &sqlite.server, |_| {}).await.unwrap();
    assert_eq!(again, Copied::Before(tables), "a copy whose end was not noted is found complete");
    let store = Store::open(&postgres).await.unwrap();
    assert_eq!((store.apps().await.unwrap(), store.events_since(0, 100).await.unwrap()), before);
    let app = &before.0[0];
    assert_eq!(store.config_vars(app.id).await.unwrap()["SECRET"], "s3cr3t");
    let mut tx = store.begin_for_app(app.id, UnixMicros(2), "test").await.unwrap();
    assert_eq!(tx.event(&domain_added(app.id), By::Operator).await.unwrap(), 4);
    tx.commit().await.unwrap();

    let refused = copy_to_postgres(file, &url, &sqlite.server, |_| {}).await;
    assert!(matches!(refused, Err(StoreError::CopyTarget(_))), "{refused:?}");
}

/// A text that PostgreSQL does not take: nothing of the copy is kept, and it can be done again.
#[tokio::test]
async fn a_copy_that_fails_leaves_the_target_empty() {
    let Some(server) = PostgresServer::shared() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let sqlite = on_sqlite(&folder);
    let store = Store::open(&sqlite).await.unwrap();
    fill(&store).await;
    let mut tx = store.begin_platform(UnixMicros(3), "test").await.unwrap();
    let refused = tx.record_login_failure("a\0b", "10.0.0.1").await;
    assert!(matches!(refused, Err(StoreError::NulInText)), "{refused:?}");
    drop(tx);
    store.close().await;
    let Database::Sqlite(file) = &sqlite.database else { unreachable!() };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let sql = "INSERT INTO events (kind, payload, created_at) VALUES ('nul', 'a' || char(0) || 'b', 1)";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let url = DatabaseUrl::new(database.url());
    let failed = copy_to_postgres(file, &url, &sqlite.server, |_| {}).await.unwrap_err();
    assert!(matches!(&failed, StoreError::Copy { what, .. } if what == "events"), "{failed:?}");
    assert_eq!(database.sql("SELECT count(*) FROM accounts").trim(), "0");
    assert_eq!(database.sql("SELECT generation FROM platform").trim(), "0");
}

/// A backup is the same on both engines: the copy is a file of SQLite with everything, and numbers go on in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_a_file_that_goes_on_where_the_server_was() {
    let Some(server) = PostgresServer::shared() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let store = Store::open(&config(&folder, database.url())).await.unwrap();
    fill(&store).await;
    database.sql("DELETE FROM events WHERE sequence = 3");
    let before = (store.apps().await.unwrap(), store.events_since(0, 100).await.unwrap());
    let app = &before.0[0];

    let to = folder.path().join("db/paddock.sqlite");
    std::fs::create_dir(folder.path().join("db")).unwrap();
    let held = store.snapshot(&to).await.unwrap();
    let moment = Duration::from_millis(200);
    let write = tokio::time::timeout(moment, store.begin_for_app(app.id, UnixMicros(5), "test")).await;
    assert!(write.is_err(), "nobody changes an app meanwhile");
    assert_eq!(store.apps().await.unwrap().len(), 1, "reads go on");
    held.release().await.unwrap();
    let mut tx = store.begin_for_app(app.id, UnixMicros(6), "test").await.unwrap();
    tx.event(&domain_added(app.id), By::Operator).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;

    let copy = Store::open(&on_sqlite(&folder)).await.unwrap();
    assert_eq!((copy.apps().await.unwrap(), copy.events_since(0, 100).await.unwrap()), before);
    assert_eq!(copy.config_vars(app.id).await.unwrap()["SECRET"], "s3cr3t");
    let mut tx = copy.begin_for_app(app.id, UnixMicros(7), "test").await.unwrap();
    assert_eq!(tx.event(&domain_added(app.id), By::Operator).await.unwrap(), 4, "number 3 was given already");
    tx.commit().await.unwrap();
    copy.close().await;
}

/// What belongs to another server lies in that server's data folder: half a backup is none.
#[tokio::test]
async fn one_of_several_servers_is_not_backed_up_alone() {
    let Some(server) = PostgresServer::shared() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let store = Store::open(&config(&folder, database.url())).await.unwrap();
    let mut second = config(&folder, database.url());
    second.server.id = ServerId::from_uuid(Uuid::from_u128(2));
    Store::open(&second).await.unwrap().close().await;
    let refused = store.snapshot(&folder.path().join("copy")).await.err().unwrap();
    assert!(refused.to_string().contains("pg_dump"), "{refused}");
    assert!(!folder.path().join("copy").exists());
    store.begin_platform(UnixMicros(1), "test").await.unwrap().commit().await.unwrap();
}
