//! Builds, slugs and sources.

use std::time::Duration;

use paddock_core::SourceId;
use paddock_core::build::BuildStatus;
use paddock_store::{NewSource, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, new_build, vars};

#[tokio::test]
async fn an_app_builds_one_thing_at_a_time() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let build = tx.create_build(&new_build(&app)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((build.status, build.buildpacks.len(), build.finished_at), (BuildStatus::Pending, 2, None));

    let second = new_build(&app);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert!(matches!(tx.create_build(&second).await, Err(StoreError::BuildRunning { id }) if id == build.id));
    drop(tx);
    let mut tx = t.store.begin_for_app(other.id, NOW, "test").await.unwrap();
    tx.create_build(&new_build(&other)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.running_build(app.id).await.unwrap(), Some(build.clone()));

    let mut tx = t.store.begin_for_app(app.id, NOW + Duration::from_secs(1), "test").await.unwrap();
    tx.fail_build(build.id, "No matching buildpack").await.unwrap();
    assert!(matches!(tx.succeed_build(build.id).await, Err(StoreError::Gone { .. })), "an end stays");
    tx.create_build(&second).await.unwrap();
    tx.commit().await.unwrap();
    let failed = t.store.build(app.id, build.id).await.unwrap().unwrap();
    assert_eq!(
        (failed.status, failed.failure.as_deref()),
        (BuildStatus::Failed, Some("No matching buildpack"))
    );
    assert_eq!(failed.finished_at, Some(NOW + Duration::from_secs(1)));
    assert_eq!(t.store.build(other.id, build.id).await.unwrap(), None, "not another app's");
}

#[tokio::test]
async fn a_build_that_succeeds_names_its_slug_and_release() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let build = tx.create_build(&new_build(&app)).await.unwrap();
    tx.commit().await.unwrap();
    let slug = t.slug(app.id, "sha256:aa").await;
    let release = t.release(&app, Some(slug), vars(&[])).await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_build_slug(build.id, slug).await.unwrap();
    tx.set_build_release(build.id, release.id).await.unwrap();
    tx.succeed_build(build.id).await.unwrap();
    tx.commit().await.unwrap();

    let build = t.store.build(app.id, build.id).await.unwrap().unwrap();
    assert_eq!(build.status, BuildStatus::Succeeded);
    assert_eq!((build.slug_id, build.release_id), (Some(slug), Some(release.id)));
    assert_eq!(t.store.running_build(app.id).await.unwrap(), None);
    let stored = t.store.slug(slug).await.unwrap().unwrap();
    assert_eq!(stored.process_types.values().collect::<Vec<_>>(), ["serve \"x\" --port=$PORT"]);
    assert_eq!(stored.app_id, Some(app.id));
}

#[tokio::test]
async fn a_source_is_found_by_either_secret_until_it_is_deleted() {
    let t = Fixture::new().await;
    let account_id = t.account("ada@example.test").await;
    let id = SourceId::from_uuid(Uuid::now_v7());
    let (put_secret_sha256, get_secret_sha256) = ([1; 32], [2; 32]);
    let expires_at = NOW + Duration::from_secs(3600);
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.create_source(&NewSource { id, account_id, put_secret_sha256, get_secret_sha256, expires_at })
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.source_by_put_secret(&[1; 32]).await.unwrap().unwrap().size_bytes, None);
    assert_eq!(t.store.source_by_put_secret(&[2; 32]).await.unwrap(), None, "each secret has one purpose");

    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.set_source_uploaded(id, 9, [7; 32]).await.unwrap();
    tx.commit().await.unwrap();
    let source = t.store.source_by_get_secret(&[2; 32]).await.unwrap().unwrap();
    assert_eq!((source.size_bytes, source.sha256), (Some(9), Some([7; 32])));
    assert_eq!(t.store.source(id).await.unwrap(), Some(source));
    assert_eq!(t.store.source_bytes_of(account_id, NOW).await.unwrap(), 9);
    assert_eq!(t.store.source_bytes_of(account_id, expires_at).await.unwrap(), 0, "what expired is no more");

    assert_eq!(t.store.expired_sources(expires_at).await.unwrap(), []);
    assert_eq!(t.store.expired_sources(expires_at + Duration::from_micros(1)).await.unwrap().len(), 1);
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert!(tx.delete_source(id).await.unwrap());
    assert!(matches!(tx.set_source_uploaded(id, 9, [7; 32]).await, Err(StoreError::Gone { .. })));
}
