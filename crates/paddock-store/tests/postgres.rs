//! What a PostgreSQL server does that a file does not: several servers start at once, it restarts, it is not there.

use paddock_core::UnixMicros;
use paddock_store::{Database, DatabaseUrl, Store, StoreConfig, StoreError};
use paddock_testkit::postgres::PostgresServer;
use tempfile::TempDir;

fn config(folder: &TempDir, url: &str) -> StoreConfig {
    let database = Database::Postgres(DatabaseUrl::new(url));
    StoreConfig { database, master_key_file: folder.path().join("keys/master") }
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
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
    let begun = store.begin_platform(UnixMicros(1)).await.unwrap();
    let before = begun.commit().await.unwrap();
    let cut = store.begin_platform(UnixMicros(2)).await.unwrap();
    server.stop();

    let waiting = (store.clone(), store.clone());
    let read = tokio::spawn(async move { waiting.0.platform_generation().await });
    let write = tokio::spawn(async move { waiting.1.begin_platform(UnixMicros(3)).await?.commit().await });
    assert!(matches!(cut.commit().await, Err(StoreError::Unavailable(_))), "it was cut off");
    server.start_again();
    let read = read.await.unwrap().unwrap();
    assert!(read == before || read == before + 1, "{read}");
    assert_eq!(write.await.unwrap().unwrap(), before + 1, "of the one that was cut off nothing was kept");
}

/// A database that stays away is an error within the time that clients wait.
#[tokio::test]
async fn a_server_that_stays_away_is_an_error_in_time() {
    let Some(server) = PostgresServer::start() else { return };
    let (database, folder) = (server.database(), TempDir::new().unwrap());
    let store = Store::open(&config(&folder, database.url())).await.unwrap();
    server.stop();
    let asked = std::time::Instant::now();
    let answer = store.platform_generation().await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(15));
    server.start_again();
    store.platform_generation().await.unwrap();
}
