//! Dynos.

use std::time::Duration;

use paddock_core::dyno::DynoState;
use paddock_core::{ContainerId, DynoId};
use paddock_store::{DesiredDynoState, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, dyno, vars};

#[tokio::test]
async fn a_dyno_comes_back_as_it_was_put() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[])).await;
    let mut one = dyno(app.id, "web.1", &release);
    let put = async |dyno: paddock_store::Dyno| {
        let mut tx = t.store.begin_observation(app.id, NOW, "test").await.unwrap();
        tx.put_dyno(&dyno).await.unwrap();
        tx.commit().await.unwrap();
    };
    put(one.clone()).await;
    assert_eq!(t.store.dyno(one.id).await.unwrap().as_ref(), Some(&one));

    one.container_id = Some(ContainerId::from_uuid(Uuid::now_v7()));
    one.address = Some("10.1.2.3".parse().unwrap());
    one.port = Some(65_535);
    one.attach_secret_sha256 = Some([9; 32]);
    (one.terminal_rows, one.terminal_columns) = (Some(33), Some(99));
    one.crash_count = 2;
    one.exit_status = Some(-1);
    one.state = DynoState::Crashed;
    one.retry_at = Some(NOW + Duration::from_secs(20));
    put(one.clone()).await;
    assert_eq!(t.store.dynos(app.id).await.unwrap(), [one.clone()]);
    assert_eq!(t.store.dyno_by_attach_secret(&[9; 32]).await.unwrap().unwrap().id, one.id);
    assert_eq!(t.store.all_dynos().await.unwrap(), [one]);
}

#[tokio::test]
async fn a_dyno_is_wanted_until_it_is_not_and_stored_until_it_is_deleted() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[])).await;
    // A restarted dyno is a row of its own with the same name.
    let (old, new) = (dyno(app.id, "web.1", &release), dyno(app.id, "web.1", &release));
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.put_dyno(&old).await.unwrap();
    tx.set_dyno_desired(old.id, DesiredDynoState::Stopped).await.unwrap();
    tx.put_dyno(&new).await.unwrap();
    tx.count_hang_up(new.id).await.unwrap();
    tx.put_dyno(&new).await.unwrap();
    tx.count_hang_up(new.id).await.unwrap();
    let nobody = DynoId::from_uuid(Uuid::now_v7());
    let gone = tx.set_dyno_desired(nobody, DesiredDynoState::Stopped).await;
    assert!(matches!(gone, Err(StoreError::Gone { .. })));
    tx.commit().await.unwrap();
    let desired = async |id| t.store.dyno(id).await.unwrap().unwrap().desired;
    assert_eq!(desired(old.id).await, DesiredDynoState::Stopped);
    assert_eq!(desired(new.id).await, DesiredDynoState::Running);
    let new = t.store.dyno(new.id).await.unwrap().unwrap();
    assert_eq!((new.hang_ups, new.hung_up_at), (2, Some(NOW)), "what is put again keeps its count");

    let mut tx = t.store.begin_observation(app.id, NOW, "test").await.unwrap();
    assert!(tx.delete_dyno(old.id).await.unwrap());
    assert!(!tx.delete_dyno(old.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(t.store.all_dynos().await.unwrap(), [new]);
}

#[tokio::test]
async fn a_stop_acknowledged_between_a_read_and_its_write_survives() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[])).await;
    let one = dyno(app.id, "web.1", &release);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.put_dyno(&one).await.unwrap();
    tx.commit().await.unwrap();

    let mut read = t.store.dyno(one.id).await.unwrap().unwrap();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_dyno_desired(one.id, DesiredDynoState::Stopped).await.unwrap();
    tx.commit().await.unwrap();
    (read.state, read.port) = (DynoState::Up, Some(5000));
    let mut tx = t.store.begin_observation(app.id, NOW, "test").await.unwrap();
    tx.put_dyno(&read).await.unwrap();
    tx.commit().await.unwrap();

    let stored = t.store.dyno(one.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.port), (DynoState::Up, Some(5000)), "what was observed is noted");
    assert_eq!(stored.desired, DesiredDynoState::Stopped);
}

#[tokio::test]
async fn a_dyno_has_variables_of_its_own() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let release = t.release(&app, None, vars(&[])).await;
    let one = dyno(app.id, "run.4321", &release);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.put_dyno(&one).await.unwrap();
    tx.commit().await.unwrap();
    assert!(t.store.dyno_env(app.id, one.id).await.unwrap().is_empty());
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_dyno_env(app.id, one.id, &vars(&[("A", "ü\n\"")])).await.unwrap();
    tx.put_dyno(&one).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.dyno_env(app.id, one.id).await.unwrap(), vars(&[("A", "ü\n\"")]));
    let nobody = DynoId::from_uuid(Uuid::now_v7());
    assert!(matches!(t.store.dyno_env(app.id, nobody).await, Err(StoreError::Gone { .. })));
}
