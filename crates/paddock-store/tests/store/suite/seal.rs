//! Secrets at rest.

use std::path::Path;

use paddock_store::{NewRelease, StoreError};

use super::fixture::{Fixture, NOW, dyno, new_release, vars};

const SECRET: &str = "s3cr3t-5f0c9b7e";

pub(super) fn files_holding(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_holding(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

#[tokio::test]
async fn no_file_ever_holds_a_secret_in_clear() {
    let t = Fixture::new().await;
    let app = t.app("plain-text-name").await;
    let secret = vars(&[("API_KEY_NAME", SECRET)]);
    let release = t.release(&app, None, secret.clone()).await;
    let one = dyno(app.id, "run.1", &release);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_config(app.id, &secret).await.unwrap();
    tx.set_attached(app.id, &secret).await.unwrap();
    let config = tx.owned_config(app.id).await.unwrap();
    tx.create_release(&NewRelease { config, ..new_release(&app, None, vars(&[])) }).await.unwrap();
    tx.put_dyno(&one).await.unwrap();
    tx.set_dyno_env(app.id, one.id, &secret).await.unwrap();
    tx.commit().await.unwrap();

    let look = || {
        t.dump();
        assert_ne!(
            files_holding(t.folder.path(), b"plain-text-name"),
            [""; 0],
            "the search finds what is there"
        );
        assert_eq!(files_holding(t.folder.path(), SECRET.as_bytes()), [""; 0]);
        assert_eq!(files_holding(t.folder.path(), b"API_KEY_NAME"), [""; 0], "names are sealed too");
    };
    look();
    assert_eq!(t.store.config_vars(app.id).await.unwrap(), secret);
    t.store.close().await;
    look();
}

#[tokio::test]
async fn sealed_bytes_do_not_open_in_another_place() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let one = t.release(&app, None, vars(&[("A", "1")])).await;
    let two = t.release(&app, None, vars(&[("A", "2")])).await;
    t.sabotage(
        "UPDATE releases SET config = (SELECT config FROM releases WHERE version = 2) WHERE version = 1",
    )
    .await;
    assert!(matches!(t.store.config_vars_of_release(app.id, one.id).await, Err(StoreError::Unseal { .. })));
    assert_eq!(t.store.config_vars_of_release(app.id, two.id).await.unwrap(), vars(&[("A", "2")]));
    // Nor does one owner's open as another's.
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_config(app.id, &vars(&[("A", "1")])).await.unwrap();
    tx.commit().await.unwrap();
    t.sabotage("UPDATE config SET attached = sealed").await;
    assert!(matches!(t.store.config_vars(app.id).await, Err(StoreError::Unseal { .. })));
}
