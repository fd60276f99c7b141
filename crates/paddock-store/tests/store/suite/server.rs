//! Several servers on one database: what each one sees and may take.

use std::time::Duration;

use paddock_core::JobId;
use paddock_store::{NewJob, Store, StoreConfig, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, new_app, server};

const LEASE: Duration = Duration::from_secs(30);

async fn beside(t: &Fixture, number: u128) -> Store {
    Store::open(&StoreConfig { server: server(number), ..t.config() }).await.unwrap()
}

#[tokio::test]
async fn a_server_sees_its_own_apps_and_takes_their_jobs_alone() {
    let t = Fixture::new().await;
    let other = beside(&t, 2).await;
    let mine = t.app("mine").await;
    let mut tx = other.begin_platform(NOW, "test").await.unwrap();
    let theirs = tx.create_app(&new_app("theirs", mine.owner_id)).await.unwrap();
    for app in [&mine, &theirs] {
        tx.enqueue_job(&NewJob {
            id: JobId::from_uuid(Uuid::now_v7()),
            kind: "build".into(),
            app_id: Some(app.id),
            subject_id: "subject".into(),
            phase: "first".into(),
            secret: None,
            run_at: None,
        })
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();

    for (store, app) in [(&t.store, &mine), (&other, &theirs)] {
        assert_eq!(store.apps().await.unwrap(), [store.app(app.id).await.unwrap().unwrap()]);
        assert_eq!(store.apps_of(app.owner_id).await.unwrap().len(), 2, "an account's are those of all");
        let (job, _) = store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap();
        assert_eq!(job.app_id, Some(app.id));
        assert!(store.claim_job("a", "build", NOW + LEASE / 2, LEASE).await.unwrap().is_none());
    }
    assert_eq!(other.expire_leases_of_others("b").await.unwrap(), 1, "its own alone");
    assert!(t.store.claim_job("b", "build", NOW + LEASE / 2, LEASE).await.unwrap().is_none());
    assert!(other.claim_job("b", "build", NOW + LEASE / 2, LEASE).await.unwrap().is_some());

    let mut tx = other.begin_for_app(theirs.id, NOW, "test").await.unwrap();
    tx.delete_app(theirs.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.deleted_apps().await.unwrap(), []);
    assert_eq!(other.deleted_apps().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_process_that_was_succeeded_knows_it() {
    let t = Fixture::new().await;
    assert!(t.store.is_newest_incarnation().await.unwrap());
    let other = beside(&t, 2).await;
    let copied = beside(&t, 1).await;
    assert!(!t.store.is_newest_incarnation().await.unwrap());
    assert!(other.is_newest_incarnation().await.unwrap() && copied.is_newest_incarnation().await.unwrap());
}

#[tokio::test]
async fn a_server_that_was_used_with_another_database_does_not_begin_anew() {
    let t = Fixture::new().await;
    let mut stranger = server(3);
    stranger.known = true;
    let config = StoreConfig { server: stranger.clone(), ..t.config() };
    for opened in [Store::open(&config).await, Store::open_for_command(&config).await] {
        assert!(matches!(opened, Err(StoreError::UnknownServer(id)) if id == stranger.id));
    }
    let mut known = server(1);
    known.known = true;
    Store::open(&StoreConfig { server: known, ..t.config() }).await.unwrap();
}

#[tokio::test]
async fn apps_from_before_there_were_servers_are_the_first_ones() {
    let t = Fixture::new().await;
    t.app("old").await;
    t.store.close().await;
    t.sabotage("UPDATE apps SET server_id = NULL; DELETE FROM servers").await;
    let store = beside(&t, 7).await;
    assert_eq!(store.apps().await.unwrap()[0].server_id, Some(store.server_id()));
}
