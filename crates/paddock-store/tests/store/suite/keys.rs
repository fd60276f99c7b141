//! New keys: the old ones open nothing, every secret still reads.

use paddock_core::JobId;
use paddock_store::{MasterKeyRotation, NewJob, NewRelease, Store, StoreConfig, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, dyno, new_release, vars};

#[tokio::test]
async fn an_old_master_key_opens_nothing_after_a_rotation() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[("A", "1")])).await;
    let (config, old) = (t.config(), t.folder.path().join("old"));
    std::fs::copy(&config.master_key_file, &old).unwrap();

    t.store.rotate_master_key(&config.master_key_file, None).await.unwrap();
    // The server that runs goes on, with what it has and what it writes.
    t.release(&app, None, vars(&[("A", "2")])).await;
    assert_eq!(t.store.config_vars_of_release(app.id, release.id).await.unwrap(), vars(&[("A", "1")]));
    t.store.close().await;

    let with_old = StoreConfig { master_key_file: old, ..config.clone() };
    assert!(matches!(Store::open(&with_old).await, Err(StoreError::Unseal { .. })));
    let again = Store::open(&config).await.unwrap();
    assert_eq!(again.config_vars_of_release(app.id, release.id).await.unwrap(), vars(&[("A", "1")]));
}

#[tokio::test]
async fn a_master_key_can_move_to_another_file() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[("A", "1")])).await;
    let (config, elsewhere) = (t.config(), t.folder.path().join("safe/master"));
    t.store.rotate_master_key(&config.master_key_file, Some(&elsewhere)).await.unwrap();
    assert!(!config.master_key_file.exists(), "the old one is gone");
    t.store.close().await;
    assert!(matches!(Store::open(&config).await, Err(StoreError::MasterKeyMissing { .. })));
    let moved = StoreConfig { master_key_file: elsewhere, ..config };
    let again = Store::open(&moved).await.unwrap();
    assert_eq!(again.config_vars_of_release(app.id, release.id).await.unwrap(), vars(&[("A", "1")]));
}

#[tokio::test]
async fn a_master_key_does_not_move_to_where_it_is() {
    let t = Fixture::new().await;
    let key = t.config().master_key_file;
    let link = t.folder.path().join("link");
    std::os::unix::fs::symlink(&key, &link).unwrap();
    let before = std::fs::read(&key).unwrap();
    for same in [&key, &link] {
        let refused = t.store.rotate_master_key(&key, Some(same)).await;
        assert!(matches!(refused, Err(StoreError::MasterKeySame { .. })), "{refused:?}");
    }
    assert_eq!(std::fs::read(&key).unwrap(), before);
    t.store.close().await;
    Store::open(&t.config()).await.unwrap();
}

#[tokio::test]
async fn a_move_of_the_master_key_that_was_interrupted_is_found_by_its_new_file() {
    let t = Fixture::new().await;
    let (config, new) = (t.config(), t.folder.path().join("safe/master"));
    let old = std::fs::read(&config.master_key_file).unwrap();
    t.store.close().await;
    let (store, found) = Store::open_for_move(&config, &new).await.unwrap();
    assert_eq!(found, MasterKeyRotation::Done, "nothing was begun");
    store.rotate_master_key(&config.master_key_file, Some(&new)).await.unwrap();
    store.close().await;
    // Killed before the old file went, and after it.
    std::fs::write(&config.master_key_file, &old).unwrap();
    for _ in 0..2 {
        let (moved, found) = Store::open_for_move(&config, &new).await.unwrap();
        assert_eq!(found, MasterKeyRotation::WasThere);
        let again = moved.rotate_master_key(&config.master_key_file, Some(&new)).await.unwrap();
        assert_eq!(again, MasterKeyRotation::WasThere);
        moved.close().await;
    }
    // A server that runs, and could not remove it.
    std::fs::write(&config.master_key_file, &old).unwrap();
    let moved = StoreConfig { master_key_file: new.clone(), ..config.clone() };
    let store = Store::open(&moved).await.unwrap();
    let again = store.rotate_master_key(&config.master_key_file, Some(&new)).await.unwrap();
    assert_eq!(again, MasterKeyRotation::WasThere);
    assert!(!config.master_key_file.exists());
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_on_either_side_of_its_commit_is_settled() {
    let t = Fixture::new().await;
    let config = t.config();
    let (master, next) =
        (config.master_key_file.clone(), config.master_key_file.with_file_name("master.next"));
    // Before the commit: the new key waits, the old one counts.
    std::fs::write(&next, [5; 32]).unwrap();
    t.store.close().await;
    let store = Store::open(&config).await.unwrap();
    let before = std::fs::read(&master).unwrap();
    store.rotate_master_key(&master, None).await.unwrap();
    assert!(!next.exists());
    let after = std::fs::read(&master).unwrap();
    assert!(after != before && after != [5; 32]);
    store.close().await;
    // After the commit: the new key counts and still waits for its place.
    std::fs::rename(&master, &next).unwrap();
    std::fs::write(&master, before).unwrap();
    Store::open(&config).await.unwrap().close().await;
    assert_eq!(std::fs::read(&master).unwrap(), after);
    assert!(!next.exists());
}

#[tokio::test]
async fn a_new_data_key_seals_every_value_again() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[("A", "1")])).await;
    let one = dyno(app.id, "run.1", &release);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_config(app.id, &vars(&[("A", "2")])).await.unwrap();
    tx.set_attached(app.id, &vars(&[("URL", "six")])).await.unwrap();
    let config = tx.owned_config(app.id).await.unwrap();
    let attached =
        tx.create_release(&NewRelease { config, ..new_release(&app, None, vars(&[])) }).await.unwrap();
    tx.put_dyno(&one).await.unwrap();
    tx.set_dyno_env(app.id, one.id, &vars(&[("A", "3")])).await.unwrap();
    let job = JobId::from_uuid(Uuid::now_v7());
    let of = |text: &str| text.to_owned();
    let (kind, subject_id, phase, secret) = (of("build"), of("subject"), of("first"), Some(of("five")));
    let new = NewJob { id: job, kind, app_id: Some(app.id), subject_id, phase, secret, run_at: None };
    tx.enqueue_job(&new).await.unwrap();
    tx.commit().await.unwrap();
    let sealed = t.store.sealer().seal("a-setting", b"four").unwrap();
    let sealed = base64(&sealed);
    t.store.get_or_insert_setting("a-setting", &sealed).await.unwrap();
    t.store.get_or_insert_setting("plain", "cGxhaW4=").await.unwrap();

    let master = t.config().master_key_file;
    assert_eq!(t.store.rotate_data_key(&master).await.unwrap(), 8);
    assert!(!t.store.is_data_key_rotating().await.unwrap());
    t.store.close().await;

    // Another process knows the new key alone.
    let again = Store::open(&t.config()).await.unwrap();
    let both = vars(&[("A", "2"), ("URL", "six")]);
    assert_eq!(again.config_vars(app.id).await.unwrap(), both);
    assert_eq!(again.config_vars_of_release(app.id, attached.id).await.unwrap(), both);
    assert_eq!(again.config_vars_of_release(app.id, release.id).await.unwrap(), vars(&[("A", "1")]));
    assert_eq!(again.dyno_env(app.id, one.id).await.unwrap(), vars(&[("A", "3")]));
    assert_eq!(again.job_secret(job).await.unwrap().as_deref(), Some("five"));
    let resealed = again.setting("a-setting").await.unwrap().unwrap();
    assert_ne!(resealed, sealed);
    assert_eq!(again.setting("plain").await.unwrap().as_deref(), Some("cGxhaW4="));
    assert_eq!(again.rotate_data_key(&master).await.unwrap(), 8, "and again");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
