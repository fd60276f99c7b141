//! Releases and the config vars they are made with.

use std::time::Duration;

use paddock_core::config::OwnedConfig;
use paddock_core::release::ReleaseStatus;
use paddock_core::{AppId, ReleaseId, SlugId};
use paddock_store::{AppSpan, Concerns, NewRelease, Order, Store, StoreError, VersionRange};
use uuid::Uuid;

use super::fixture::{BACK_AT_VERSION_9, Fixture, NOW, new_build, new_release, vars};

#[tokio::test]
async fn versions_have_no_gaps_even_after_a_release_that_was_not_committed() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    for version in 1..=3 {
        let mut dropped = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
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

    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert!(matches!(tx.set_current_release(app.id, stranger.id).await, Err(StoreError::Gone { .. })));
    drop(tx);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let mut phase = new_release(&app, Some(slug), vars(&[]));
    (phase.status, phase.release_command) = (ReleaseStatus::Pending, Some("migrate".into()));
    phase.output = Some("release/x.log".into());
    let phase = tx.create_release(&phase).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        t.store.pending_releases_within(AppSpan::of_one(app.id)).await.unwrap()[0].output.as_deref(),
        Some("release/x.log")
    );
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_release_status(phase.id, ReleaseStatus::Failed).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.pending_releases_within(AppSpan::of_one(app.id)).await.unwrap(), []);
    assert_eq!(t.store.current_release(app.id).await.unwrap().unwrap().id, release.id);
}

#[tokio::test]
async fn a_release_keeps_the_config_vars_it_was_made_with() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    assert!(t.store.config_vars(app.id).await.unwrap().is_empty());
    let old = t.release(&app, None, vars(&[("A", "1")])).await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_config(app.id, &vars(&[("A", "2"), ("B", "\u{1F40E}\n\"'\\")])).await.unwrap();
    let current = tx.owned_config(app.id).await.unwrap().user;
    let new = tx.create_release(&new_release(&app, None, current)).await.unwrap();
    assert_eq!(tx.owned_config_of_release(app.id, old.id).await.unwrap().user, vars(&[("A", "1")]));
    tx.commit().await.unwrap();
    let of = async |id| t.store.config_vars_of_release(app.id, id).await;
    assert_eq!(of(old.id).await.unwrap(), vars(&[("A", "1")]));
    assert_eq!(of(new.id).await.unwrap(), t.store.config_vars(app.id).await.unwrap());
    let nothing = ReleaseId::from_uuid(Uuid::now_v7());
    assert!(matches!(of(nothing).await, Err(StoreError::Gone { .. })));
}

#[tokio::test]
async fn the_users_and_the_attachments_config_vars_are_kept_apart() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let (old, new) =
        (vars(&[("DATABASE_URL", "postgres://old")]), vars(&[("DATABASE_URL", "postgres://new")]));
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_attached(app.id, &old).await.unwrap();
    let config = tx.owned_config(app.id).await.unwrap();
    assert_eq!(config, OwnedConfig { user: vars(&[]), attached: old.clone() }, "before any of the user's");
    tx.set_config(app.id, &vars(&[("A", "1"), ("DATABASE_URL", "mine")])).await.unwrap();
    let config = tx.owned_config(app.id).await.unwrap();
    assert_eq!(config.attached, old, "neither writes the other");
    let made = NewRelease { config: config.clone(), ..new_release(&app, None, vars(&[])) };
    let release = tx.create_release(&made).await.unwrap();
    tx.set_attached(app.id, &new).await.unwrap();
    assert_eq!(
        tx.owned_config(app.id).await.unwrap(),
        OwnedConfig { user: config.user.clone(), attached: new }
    );
    assert_eq!(tx.owned_config_of_release(app.id, release.id).await.unwrap(), config);
    tx.commit().await.unwrap();

    let seen = |url| vars(&[("A", "1"), ("DATABASE_URL", url)]);
    assert_eq!(t.store.config_vars(app.id).await.unwrap(), seen("postgres://new"));
    let within = t.store.config_vars_within(AppSpan::of_one(app.id)).await.unwrap();
    assert_eq!(within[&app.id], seen("postgres://new"));
    let of_release = t.store.config_vars_of_release(app.id, release.id).await;
    assert_eq!(of_release.unwrap(), seen("postgres://old"));

    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_attached(app.id, &vars(&[])).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.config_vars(app.id).await.unwrap(), seen("mine"));
}

#[tokio::test]
async fn config_vars_from_before_there_were_attachments_are_the_users() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_config(app.id, &vars(&[("A", "1")])).await.unwrap();
    tx.commit().await.unwrap();
    let release = t.release(&app, None, vars(&[("A", "0")])).await;
    t.store.close().await;
    t.sabotage(BACK_AT_VERSION_9).await;
    let store = Store::open(&t.config()).await.unwrap();
    let mut tx = store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert_eq!(tx.owned_config(app.id).await.unwrap(), OwnedConfig::of_user(vars(&[("A", "1")])));
    let then = tx.owned_config_of_release(app.id, release.id).await.unwrap();
    assert_eq!(then, OwnedConfig::of_user(vars(&[("A", "0")])));
    assert_eq!(tx.newest_base_release(app.id).await.unwrap(), Some(release));
}

#[tokio::test]
async fn what_waits_for_its_release_phase_gets_the_attachments_config_vars_of_now() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let release = async |app, status| {
        let mut tx = t.store.begin_for_app(other.id, NOW, "test").await.unwrap();
        let new = NewRelease { status, ..new_release(app, None, vars(&[("A", "1")])) };
        let made = tx.create_release(&new).await.unwrap();
        tx.commit().await.unwrap();
        made
    };
    let ended = release(&app, ReleaseStatus::Failed).await;
    let pending = [release(&app, ReleaseStatus::Pending).await, release(&app, ReleaseStatus::Pending).await];
    let anothers = release(&other, ReleaseStatus::Pending).await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_attached(app.id, &vars(&[("DATABASE_URL", "postgres://new")])).await.unwrap();
    tx.commit().await.unwrap();
    let seen = async |app, id| t.store.config_vars_of_release(app, id).await.unwrap();
    for release in pending {
        assert_eq!(seen(app.id, release.id).await, vars(&[("A", "1"), ("DATABASE_URL", "postgres://new")]));
    }
    assert_eq!(seen(app.id, ended.id).await, vars(&[("A", "1")]));
    assert_eq!(seen(other.id, anothers.id).await, vars(&[("A", "1")]));
}

#[tokio::test]
async fn a_release_that_goes_on_with_another_is_no_base() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let base = t.release(&app, None, vars(&[])).await;
    assert_eq!((base.laid_on, base.base_version()), (None, 1));
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let new = NewRelease { laid_on: Some(base.base_version()), ..new_release(&app, None, vars(&[])) };
    let made = tx.create_release(&new).await.unwrap();
    assert_eq!(tx.newest_base_release(app.id).await.unwrap(), Some(base));
    tx.commit().await.unwrap();
    assert_eq!((made.version, made.base_version()), (2, 1));
    assert_eq!(t.store.newest_release(app.id).await.unwrap(), Some(made));
}

#[tokio::test]
async fn a_transaction_may_change_further_apps() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let touched = t.store.touched_apps();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.also_for_app(other.id).await.unwrap();
    assert_eq!(tx.concerns(), Concerns::default());
    tx.commit().await.unwrap();
    assert_eq!(touched.take(), [app.id, other.id].into());
    assert_eq!(t.store.app(other.id).await.unwrap().unwrap().generation, other.generation + 1);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let nothing = AppId::from_uuid(Uuid::now_v7());
    assert!(matches!(tx.also_for_app(nothing).await, Err(StoreError::AppGone(_))));
}

#[tokio::test]
async fn a_release_cannot_name_a_slug_that_does_not_exist() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let nothing = SlugId::from_uuid(Uuid::now_v7());
    let made = tx.create_release(&new_release(&app, Some(nothing), vars(&[]))).await;
    assert!(matches!(made.unwrap_err().why(), StoreError::Statement { .. }), "references are enforced");
}

#[tokio::test]
async fn what_expires_is_old_beyond_those_kept_and_needed_by_nothing() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut slugs = Vec::new();
    for layer in ["sha256:aa", "sha256:bb", "sha256:cc", "sha256:dd", "sha256:ee"] {
        slugs.push(t.slug(app.id, layer).await);
    }
    let [shared, failed, alone, waiting, newest] = slugs[..] else { unreachable!() };
    let first = t.release(&app, Some(shared), vars(&[])).await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let new = NewRelease { status: ReleaseStatus::Failed, ..new_release(&app, Some(failed), vars(&[])) };
    let second = tx.create_release(&new).await.unwrap();
    let build = tx.create_build(&new_build(&app)).await.unwrap();
    tx.set_build_slug(build.id, waiting).await.unwrap();
    tx.commit().await.unwrap();
    let third = t.release(&app, Some(shared), vars(&[])).await;
    let fourth = t.release(&app, Some(newest), vars(&[])).await;

    let later = NOW + Duration::from_secs(1);
    let expire = async |kept, before| {
        let expirable = t.store.apps_with_expirable_releases(kept, before).await.unwrap();
        let mut tx = t.store.begin_observation(app.id, later, "test").await.unwrap();
        let expired = tx.expire_releases(app.id, kept, before).await.unwrap();
        tx.commit().await.unwrap();
        (expirable.contains(&app.id), expired)
    };
    assert_eq!(expire(2, NOW).await, (false, 0), "all is young");
    assert_eq!(expire(2, later).await, (true, 2));
    let release = async |id| t.store.release(app.id, id).await.unwrap().unwrap();
    let found = async |id| {
        let found = release(id).await;
        (found.status, found.slug_id)
    };
    assert_eq!(found(first.id).await, (ReleaseStatus::Expired, None));
    assert_eq!(found(second.id).await, (ReleaseStatus::Failed, None));
    assert_eq!(found(third.id).await, (ReleaseStatus::Succeeded, Some(shared)));
    assert_eq!(found(fourth.id).await, (ReleaseStatus::Succeeded, Some(newest)));
    let there = async |slug| t.store.slug(slug).await.unwrap().is_some();
    assert!(there(shared).await && there(waiting).await && there(newest).await, "still needed");
    assert!(!there(failed).await && !there(alone).await);
    assert_eq!(expire(2, later).await, (false, 0), "once");
    // However few are kept, the current one is.
    assert_eq!(expire(0, later).await, (true, 1));
    assert_eq!(found(fourth.id).await, (ReleaseStatus::Succeeded, Some(newest)));
}
