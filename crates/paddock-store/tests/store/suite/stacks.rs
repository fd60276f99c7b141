//! Stacks that the operator added, and which versions of them are kept.

use std::time::Duration;

use paddock_core::stack::{Stack, StackBase, StackState, StackVersion};
use paddock_core::{AppId, LayerDigest, SlugId, UnixMicros};
use paddock_store::{NewBuild, NewSlug, NewVersion, Store};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, new_build, new_slug, server};

fn digest(byte: u8) -> LayerDigest {
    LayerDigest::of_sha256([byte; 32])
}

fn stack() -> Stack {
    Stack::from_name("bookworm").unwrap()
}

/// A version with a layer for dynos that is named after its byte, and one more for builds.
fn version(byte: u8) -> NewVersion {
    NewVersion {
        name: stack(),
        version: byte.to_string(),
        system: "Debian".to_owned(),
        run_layers: vec![digest(byte), digest(1)],
        build_layers: vec![digest(byte + 100), digest(1)],
        size_bytes: 100,
    }
}

async fn add(store: &Store, byte: u8, at: UnixMicros) -> bool {
    let mut tx = store.begin_platform(at, "test").await.unwrap();
    let is_new = tx.put_version(&version(byte), false).await.unwrap();
    tx.commit().await.unwrap();
    is_new
}

async fn forget(store: &Store, before: UnixMicros) -> u64 {
    let mut tx = store.begin_record(NOW, "test").await.unwrap();
    let count = tx.forget_versions(before).await.unwrap();
    tx.commit().await.unwrap();
    count
}

async fn versions(store: &Store) -> Vec<String> {
    store.added_versions().await.unwrap().into_iter().map(|version| version.version).collect()
}

async fn slug_on(store: &Store, app_id: AppId, byte: u8) -> SlugId {
    let id = SlugId::from_uuid(Uuid::now_v7());
    let slug = NewSlug {
        stack: stack(),
        stack_version: byte.to_string(),
        ..new_slug(id, app_id, &digest(50).to_string())
    };
    let mut tx = store.begin_for_app(app_id, NOW, "test").await.unwrap();
    tx.create_slug(&slug).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn what_was_added_last_is_the_newest_also_when_it_was_there_before() {
    let t = Fixture::new().await;
    let later = |seconds| NOW + Duration::from_secs(seconds);
    assert!(add(&t.store, 2, NOW).await && add(&t.store, 3, later(1)).await);
    assert_eq!(versions(&t.store).await, ["3", "2"]);
    assert!(!add(&t.store, 2, later(2)).await, "it was there");
    assert_eq!(versions(&t.store).await, ["2", "3"]);
    let mut tx = t.store.begin_record(later(3), "test").await.unwrap();
    assert_eq!(tx.newest_version(&stack()).await.unwrap().unwrap().version, "2");
    assert_eq!(tx.newest_version(&Stack::HOST).await.unwrap(), None);
    tx.set_end_of_stack(&stack(), Some(later(9))).await.unwrap();
    assert!(tx.set_end_of_stack(&Stack::HOST, None).await.is_err(), "that is no row");
    tx.commit().await.unwrap();
    add(&t.store, 4, later(4)).await;
    let row = t.store.added_stacks().await.unwrap().remove(0);
    assert_eq!((row.support().state(), row.ends_at), (StackState::Deprecated, Some(later(9))));
    assert_eq!((row.created_at, row.updated_at), (NOW, later(4)));
}

#[tokio::test]
async fn a_slug_is_laid_upon_the_layers_of_its_version() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    add(&t.store, 2, NOW).await;
    let id = slug_on(&t.store, app.id, 2).await;
    let slug = t.store.slug(id).await.unwrap().unwrap();
    let web = "web".parse().unwrap();
    let artefact = t.store.artefact(&slug, &web).await.unwrap();
    assert_eq!((artefact.layers, artefact.base), (vec![digest(50), digest(2), digest(1)], None));
    let builds = t.store.base_of_builds(&stack(), "2").await.unwrap();
    assert_eq!(builds, StackBase::Layers(vec![digest(102), digest(1)]));

    let on_host = t.slug(app.id, &digest(51).to_string()).await;
    let on_host = t.store.slug(on_host).await.unwrap().unwrap();
    let artefact = t.store.artefact(&on_host, &web).await.unwrap();
    let host = StackVersion { stack: Stack::HOST, version: "1".to_owned() };
    assert_eq!((artefact.layers, artefact.base), (vec![digest(51)], Some(host)));

    let nothing = t.slug(app.id, "").await;
    let nothing = t.store.slug(nothing).await.unwrap().unwrap();
    let refused = t.store.artefact(&nothing, &web).await.unwrap_err();
    assert_eq!(refused.to_string(), "process type web does not exist");

    let missing = t.store.base_of_dynos(&stack(), "3").await.unwrap_err();
    assert_eq!(missing.to_string(), "stack bookworm, version 3 does not exist");
}

#[tokio::test]
async fn a_version_stays_as_long_as_a_slug_or_a_build_needs_it() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let later = |seconds| NOW + Duration::from_secs(seconds);
    for byte in 2..=4 {
        add(&t.store, byte, later(u64::from(byte))).await;
    }
    let slug = slug_on(&t.store, app.id, 2).await;
    let build = NewBuild { stack: stack(), stack_version: "3".to_owned(), ..new_build(&app) };
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert_eq!(tx.create_build(&build).await.unwrap().stack_version, "3");
    tx.commit().await.unwrap();

    assert_eq!(forget(&t.store, later(100)).await, 0);
    let needed = t.store.needed_layers().await.unwrap();
    for byte in [1, 2, 3, 4, 50, 102, 104] {
        assert!(needed.contains(&digest(byte).to_string()), "{byte}");
    }
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.fail_build(build.id, "test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(forget(&t.store, later(4)).await, 0, "the newer one is too new");
    assert_eq!(forget(&t.store, later(5)).await, 1);
    assert_eq!(versions(&t.store).await, ["4", "2"]);

    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    tx.remove_stack(&stack()).await.unwrap();
    assert!(tx.remove_stack(&stack()).await.is_err(), "it is gone");
    tx.commit().await.unwrap();
    assert_eq!(t.store.added_stacks().await.unwrap(), []);
    assert_eq!(forget(&t.store, NOW).await, 1);
    assert_eq!(versions(&t.store).await, ["2"]);
    assert!(t.store.slug(slug).await.unwrap().is_some());
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.delete_app(app.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(forget(&t.store, NOW).await, 1);
    assert!(t.store.needed_layers().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_server_has_its_own_stacks() {
    let t = Fixture::new().await;
    add(&t.store, 2, NOW).await;
    let config = paddock_store::StoreConfig { server: server(2), ..t.config() };
    let other = Store::open(&config).await.unwrap();
    assert_eq!((other.added_stacks().await.unwrap(), versions(&other).await), (Vec::new(), Vec::new()));
    add(&other, 3, NOW).await;
    assert_eq!(
        (versions(&t.store).await, versions(&other).await),
        (vec!["2".to_owned()], vec!["3".to_owned()])
    );
    let app = t.app("first").await;
    assert_eq!(t.store.apps_to_be_built_on(&Stack::HOST).await.unwrap(), [app.name.to_string()]);
    assert!(other.apps_to_be_built_on(&Stack::HOST).await.unwrap().is_empty());
    other.close().await;
}

#[tokio::test]
async fn whoever_stacks_are_tried_for_is_always_the_same_and_nobody_else() {
    let t = Fixture::new().await;
    let mut tenants = Vec::new();
    for _ in 0..2 {
        let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
        tenants.push(tx.tenant_of_stacks().await.unwrap());
        tx.commit().await.unwrap();
    }
    assert_eq!(tenants[0], tenants[1]);
    assert_ne!(t.app("first").await.tenant(), tenants[0]);
}
