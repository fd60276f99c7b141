//! Releases and the config vars they are made with.

use paddock_core::release::ReleaseStatus;
use paddock_core::{ReleaseId, SlugId};
use paddock_store::{Order, StoreError, VersionRange};
use uuid::Uuid;

use crate::fixture::{Fixture, NOW, new_release, vars};

#[tokio::test]
async fn versions_have_no_gaps_even_after_a_release_that_was_not_committed() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    for version in 1..=3 {
        let mut dropped = t.store.begin_for_app(app.id, NOW).await.unwrap();
        let release = dropped.create_release(&new_release(&app, None, vars(&[]))).await.unwrap();
        assert_eq!(release.version, version);
        drop(dropped);
        assert_eq!(t.release(&app, None, vars(&[])).await.version, version);
    }
    let newest = t.store.newest_release(app.id).await.unwrap().unwrap();
    assert_eq!(newest.version, 3);
    assert_eq!(t.store.release_by_version(app.id, 3).await.unwrap(), Some(newest));
    assert_eq!(t.store.release_by_version(app.id, 4).await.unwrap(), None);
}

#[tokio::test]
async fn a_range_bounds_orders_and_limits() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    for _ in 0..5 {
        t.release(&app, None, vars(&[])).await;
    }
    let list = async |from, to, order, max| -> Vec<i64> {
        let range = VersionRange { from, to, order, max };
        let releases = t.store.releases(app.id, range).await.unwrap();
        releases.into_iter().map(|release| release.version).collect()
    };
    assert_eq!(list(None, None, Order::Ascending, 1000).await, [1, 2, 3, 4, 5]);
    assert_eq!(list(None, None, Order::Descending, 2).await, [5, 4]);
    assert_eq!(list(Some(2), Some(4), Order::Ascending, 1000).await, [2, 3, 4]);
    assert_eq!(list(Some(2), Some(4), Order::Descending, 1).await, [4]);
    assert_eq!(list(Some(6), None, Order::Ascending, 1000).await, [0; 0]);
}

#[tokio::test]
async fn the_current_release_is_one_of_the_apps_own() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    assert_eq!(t.store.current_release(app.id).await.unwrap(), None);
    let slug = t.slug(app.id, "sha256:aa").await;
    let release = t.release(&app, Some(slug), vars(&[])).await;
    let stranger = t.release(&other, None, vars(&[])).await;
    assert_eq!(t.store.current_release(app.id).await.unwrap(), Some(release.clone()));
    let stored = t.store.app(app.id).await.unwrap().unwrap();
    assert_eq!((stored.current_release_id, stored.slug_bytes), (Some(release.id), Some(4096)));
    assert_eq!(stored.released_at, Some(NOW));

    let mut tx = t.store.begin_for_app(app.id, NOW).await.unwrap();
    assert!(matches!(tx.set_current_release(app.id, stranger.id).await, Err(StoreError::Gone { .. })));
    drop(tx);
    let mut tx = t.store.begin_for_app(app.id, NOW).await.unwrap();
    let mut phase = new_release(&app, Some(slug), vars(&[]));
    (phase.status, phase.release_command) = (ReleaseStatus::Pending, Some("migrate".into()));
    phase.output = Some("release/x.log".into());
    let phase = tx.create_release(&phase).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.pending_releases().await.unwrap()[0].output.as_deref(), Some("release/x.log"));
    let mut tx = t.store.begin_for_app(app.id, NOW).await.unwrap();
    tx.set_release_status(phase.id, ReleaseStatus::Failed).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.pending_releases().await.unwrap(), []);
    assert_eq!(t.store.current_release(app.id).await.unwrap().unwrap().id, release.id);
}

#[tokio::test]
async fn a_release_keeps_the_config_vars_it_was_made_with() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    assert!(t.store.config_vars(app.id).await.unwrap().is_empty());
    let old = t.release(&app, None, vars(&[("A", "1")])).await;
    let mut tx = t.store.begin_for_app(app.id, NOW).await.unwrap();
    tx.set_config(app.id, &vars(&[("A", "2"), ("B", "\u{1F40E}\n\"'\\")])).await.unwrap();
    let current = tx.config_vars(app.id).await.unwrap();
    let new = tx.create_release(&new_release(&app, None, current)).await.unwrap();
    assert_eq!(tx.config_vars_of_release(app.id, old.id).await.unwrap(), vars(&[("A", "1")]));
    tx.commit().await.unwrap();
    let of = async |id| t.store.config_vars_of_release(app.id, id).await;
    assert_eq!(of(old.id).await.unwrap(), vars(&[("A", "1")]));
    assert_eq!(of(new.id).await.unwrap(), t.store.config_vars(app.id).await.unwrap());
    let nothing = ReleaseId::from_uuid(Uuid::now_v7());
    assert!(matches!(of(nothing).await, Err(StoreError::Gone { .. })));
}

#[tokio::test]
async fn a_release_cannot_name_a_slug_that_does_not_exist() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.store.begin_for_app(app.id, NOW).await.unwrap();
    let nothing = SlugId::from_uuid(Uuid::now_v7());
    let made = tx.create_release(&new_release(&app, Some(nothing), vars(&[]))).await;
    assert!(matches!(made, Err(StoreError::Statement { .. })), "references are enforced");
}
