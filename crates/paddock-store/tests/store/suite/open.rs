//! Opening: first start, later starts, and every reason not to.

use std::os::unix::fs::PermissionsExt as _;

use paddock_store::{Store, StoreError};

use super::fixture::{Fixture, NOW, new_app, vars};

#[tokio::test]
async fn the_first_start_makes_a_private_key_and_the_next_finds_it() {
    let t = Fixture::new().await;
    let config = t.config();
    let app = t.app("first").await;
    t.release(&app, None, vars(&[("A", "1")])).await;
    let key = std::fs::metadata(&config.master_key_file).unwrap();
    assert_eq!((key.permissions().mode() & 0o777, key.len()), (0o600, 32));
    t.store.close().await;

    let again = Store::open(&config).await.unwrap();
    let release = again.newest_release(app.id).await.unwrap().unwrap();
    assert_eq!(again.config_vars_of_release(app.id, release.id).await.unwrap(), vars(&[("A", "1")]));
}

#[tokio::test]
async fn references_are_enforced() {
    let t = Fixture::new().await;
    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    let nobody = paddock_core::AccountId::from_uuid(uuid::Uuid::now_v7());
    let made = tx.create_app(&new_app("first", nobody)).await;
    assert!(matches!(made.unwrap_err().why(), StoreError::Statement { .. }));
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let t = Fixture::new().await;
    t.store.close().await;
    t.sabotage("INSERT INTO schema_migrations (version, name) VALUES (99, 'later')").await;
    match Store::open(&t.config()).await {
        Err(StoreError::NewerVersion { found: 99, known }) => assert!((1..99).contains(&known)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_the_right_master_key_nothing_opens() {
    let t = Fixture::new().await;
    t.store.close().await;
    let key = t.config().master_key_file;
    let right = std::fs::read(&key).unwrap();

    std::fs::remove_file(&key).unwrap();
    let missing = Store::open(&t.config()).await;
    assert!(matches!(missing, Err(StoreError::MasterKeyMissing { .. })), "a new key would hide the loss");
    assert!(!key.exists());
    std::fs::write(&key, [0; 32]).unwrap();
    assert!(matches!(Store::open(&t.config()).await, Err(StoreError::Unseal { .. })));
    std::fs::write(&key, &right[..31]).unwrap();
    assert!(matches!(Store::open(&t.config()).await, Err(StoreError::MasterKeyLength { bytes: 31, .. })));
    std::fs::write(&key, right).unwrap();
    Store::open(&t.config()).await.unwrap();
}
