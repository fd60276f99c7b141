//! The file of SQLite: private, named by any path, and looked at before it is used.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use paddock_core::{ServerId, UnixMicros};
use paddock_store::{Database, ServerIdentity, Store, StoreConfig, StoreError};
use tempfile::TempDir;
use uuid::Uuid;

fn config(folder: &TempDir, file: &str) -> StoreConfig {
    let database = Database::Sqlite(folder.path().join(file));
    let incarnation = Uuid::new_v4().to_string();
    let server = ServerIdentity { id: ServerId::from_uuid(Uuid::from_u128(1)), incarnation, known: false };
    StoreConfig::new(database, folder.path().join("keys/master"), server)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_start_makes_private_files() {
    let folder = TempDir::new().unwrap();
    // Characters that mean something in a URL: a path is a path.
    let config = config(&folder, "d b?%23/paddock.sqlite");
    let store = Store::open(&config).await.unwrap();
    store.begin_platform(UnixMicros(1), "test").await.unwrap().commit().await.unwrap();
    let file = folder.path().join("d b?%23/paddock.sqlite");
    assert_eq!((mode(&config.master_key_file), mode(&file)), (0o600, 0o600));
    assert_eq!(mode(&file.with_extension("sqlite-wal")), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_with_its_path() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("other.sqlite");
    std::fs::write(&file, "not a database, and long enough to be looked at".repeat(50)).unwrap();
    match Store::open(&config(&folder, "other.sqlite")).await {
        Err(StoreError::Open { database, source }) => {
            assert_eq!(database, file.display().to_string());
            assert!(source.to_string().contains("not a database"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}
