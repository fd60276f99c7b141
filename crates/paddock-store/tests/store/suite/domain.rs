//! Host names: whose they are, and which of them overlap.

use paddock_core::{AccountId, AppId};
use paddock_store::{DomainKind, Store, StoreError};

use super::fixture::{BACK_AT_VERSION_9, Fixture, NOW, new_domain};

async fn add(store: &Store, app: AppId, hostname: &str) {
    let mut tx = store.begin_for_app(app, NOW, "test").await.unwrap();
    tx.create_domain(&new_domain(app, hostname)).await.unwrap();
    tx.commit().await.unwrap();
}

/// The host name of another owner's domain that overlaps with one that is to be added.
async fn overlap(store: &Store, hostname: &str, owner: AccountId) -> Option<String> {
    let mut tx = store.begin_platform(NOW, "test").await.unwrap();
    tx.overlapping_domain(hostname, owner).await.unwrap().map(|domain| domain.hostname)
}

#[tokio::test]
async fn a_host_name_belongs_to_one_app() {
    let t = Fixture::new().await;
    let (one, two) = (t.app("app-one").await, t.app("app-two").await);
    let first = new_domain(one.id, "www.example.test");
    let mut tx = t.store.begin_for_app(one.id, NOW, "test").await.unwrap();
    tx.create_domain(&first).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_for_app(two.id, NOW, "test").await.unwrap();
    let taken = tx.create_domain(&new_domain(two.id, "www.example.test")).await;
    assert!(matches!(taken, Err(StoreError::HostnameTaken(name)) if name == "www.example.test"));
    drop(tx);

    let found = t.store.domain(one.id, first.id).await.unwrap().unwrap();
    assert_eq!((found.hostname, found.kind), (first.hostname, DomainKind::Custom));
    assert_eq!(found.status, "pending");
    assert_eq!(t.store.domain(two.id, first.id).await.unwrap(), None, "not another app's");
    assert_eq!(t.store.domains(one.id).await.unwrap().len(), 1);
    let mut tx = t.store.begin_for_app(two.id, NOW, "test").await.unwrap();
    assert!(!tx.delete_domain(two.id, first.id).await.unwrap());
    assert!(tx.delete_domain(one.id, first.id).await.unwrap());
    tx.create_domain(&new_domain(two.id, "www.example.test")).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_wildcard_overlaps_with_what_is_below_it_and_with_nothing_beside_it() {
    let t = Fixture::new().await;
    let (one, two) = (t.app("app-one").await, t.app("app-two").await);
    for hostname in ["www.a.test", "a.test", "*.b.test", "x-c.test", "deep.below.d.test"] {
        add(&t.store, one.id, hostname).await;
    }
    for (hostname, expected) in [
        ("*.a.test", Some("www.a.test")),
        ("a.test", None),
        ("x.b.test", Some("*.b.test")),
        ("x.y.b.test", Some("*.b.test")),
        ("b.test", None),
        ("*.y.b.test", Some("*.b.test")),
        // The same name is no overlap: it is taken.
        ("*.b.test", None),
        ("*.c.test", None),
        ("*.d.test", Some("deep.below.d.test")),
        ("*.w.d.test", None),
        ("*.test", Some("a.test")),
    ] {
        let found = overlap(&t.store, hostname, two.owner_id).await;
        match expected {
            // Any of several.
            Some("a.test") => assert!(found.is_some(), "{hostname}"),
            expected => assert_eq!(found.as_deref(), expected, "{hostname}"),
        }
        assert_eq!(overlap(&t.store, hostname, one.owner_id).await, None, "{hostname} is the owner's own");
    }
    let mut tx = t.store.begin_for_app(one.id, NOW, "test").await.unwrap();
    assert_eq!(tx.count_domains(one.id).await.unwrap(), 5);
    let renamed =
        tx.domains(one.id).await.unwrap().into_iter().find(|domain| domain.hostname == "www.a.test");
    tx.set_domain_hostname(renamed.unwrap().id, "www.e.test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(overlap(&t.store, "*.a.test", two.owner_id).await, None);
    assert_eq!(overlap(&t.store, "*.e.test", two.owner_id).await.as_deref(), Some("www.e.test"));
}

#[tokio::test]
async fn names_from_before_there_was_an_order_of_their_ends_have_one() {
    let t = Fixture::new().await;
    let (one, two) = (t.app("app-one").await, t.app("app-two").await);
    add(&t.store, one.id, "www.a.test").await;
    t.store.close().await;
    t.sabotage(BACK_AT_VERSION_9).await;
    let store = Store::open(&t.config()).await.unwrap();
    assert_eq!(overlap(&store, "*.a.test", two.owner_id).await.as_deref(), Some("www.a.test"));
}
